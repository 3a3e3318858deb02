/** Turns samples into tables: medians over the rounds, and ratios against Tabvisor. */
import type { Architecture } from '../guests/schema.ts';
import type { Runtime } from './peers/peer.ts';
import type { Sample, TimedSection } from './samples.ts';
import { figure, geometricMean, markdownTable, median } from './statistics.ts';

/** A column; the first one is what the others are compared with. */
export interface Column {
  readonly id: string;
  readonly runtime: Runtime;
}

export interface Cell {
  /** Median. */
  readonly seconds: number;
  readonly rounds: number;
  readonly millionInstructionsPerSecond?: number;
  /** How many times as long as the reference: median of the rounds' ratios, as rounds drift and their ratios less. */
  readonly ratio?: number;
}

export interface TableRow {
  readonly row: string;
  readonly cells: Readonly<Record<string, Cell>>;
}

export interface Table {
  readonly section: TimedSection;
  readonly arch: Architecture;
  readonly columns: readonly Column[];
  /** Column → the one that its ratios are against; absent: no ratio. */
  readonly references: Readonly<Record<string, string>>;
  readonly rows: readonly TableRow[];
  /** Column → geometric mean of its ratios. */
  readonly means: Readonly<Record<string, number>>;
}

/** Peers are compared with Tabvisor in the same runtime; native ones with it wherever it runs, under Node if it can. */
export function referencesOf(columns: readonly Column[]): Record<string, string> {
  const own = columns.filter(({ id }) => id.startsWith('tabvisor'));
  const references: Record<string, string> = {};
  for (const { id, runtime } of columns) {
    const reference = runtime === 'native' ? own[0] : own.find((one) => one.runtime === runtime);
    if (reference !== undefined && reference.id !== id) references[id] = reference.id;
  }
  return references;
}

/** One table for each section and architecture that has samples; rows in the order in which they were first measured. */
export function tabulate(samples: readonly Sample[], columns: readonly Column[]): Table[] {
  const tables: Table[] = [];
  for (const section of ['workloads', 'boot', 'decode'] as const) {
    for (const arch of ['i386', 'amd64'] as const) {
      const chosen = samples.filter((sample) => sample.section === section && sample.arch === arch);
      if (chosen.length > 0) tables.push(tableOf(section, arch, { samples: chosen, columns }));
    }
  }
  return tables;
}

function tableOf(
  section: TimedSection,
  arch: Architecture,
  from: { readonly samples: readonly Sample[]; readonly columns: readonly Column[] },
): Table {
  const { samples } = from;
  const columns = from.columns.filter(({ id }) => samples.some((sample) => sample.peer === id));
  const references = referencesOf(columns);
  const rows = [...new Set(samples.map((sample) => sample.row))].map((row): TableRow => {
    const cells: Record<string, Cell> = {};
    for (const { id } of columns) {
      const own = samples.filter((sample) => sample.row === row && sample.peer === id);
      const reference = samples.filter((sample) => sample.row === row && sample.peer === references[id]);
      const cell = cellOf(own, reference);
      if (cell !== undefined) cells[id] = cell;
    }
    return { row, cells };
  });
  const means: Record<string, number> = {};
  for (const { id } of columns) {
    const mean = geometricMean(rows.flatMap(({ cells }) => cells[id]?.ratio ?? []));
    if (mean !== undefined) means[id] = mean;
  }
  return { section, arch, columns, references, rows, means };
}

function cellOf(own: readonly Sample[], reference: readonly Sample[]): Cell | undefined {
  const seconds = median(own.map((sample) => sample.seconds));
  if (seconds === undefined) return undefined;
  const speed = median(own.flatMap((sample) => sample.millionInstructionsPerSecond ?? []));
  const ratio = median(
    own.flatMap((sample) => {
      const other = reference.find((one) => one.round === sample.round);
      return other === undefined ? [] : sample.seconds / other.seconds;
    }),
  );
  return {
    seconds,
    rounds: own.length,
    ...(speed === undefined ? {} : { millionInstructionsPerSecond: speed }),
    ...(ratio === undefined ? {} : { ratio }),
  };
}

const titles: Readonly<Record<TimedSection, string>> = {
  workloads: 'workloads, guest seconds',
  boot: 'boot, host seconds to the ready line',
  decode: 'code that hardly repeats, host seconds',
};

/** Seconds of each column, M instructions/s where they are counted, and how many times as long as Tabvisor each took. */
export function renderTable(table: Table): string {
  const { columns, references } = table;
  const counting = columns.filter(({ id }) =>
    table.rows.some(({ cells }) => cells[id]?.millionInstructionsPerSecond !== undefined),
  );
  const compared = columns.filter(({ id }) => references[id] !== undefined);
  const header = [
    'row',
    ...columns.map(({ id }) => `${id} s`),
    ...counting.map(({ id }) => `${id} M/s`),
    ...compared.map(({ id }) => `${id} ÷ ${references[id]}`),
  ];
  const rows = table.rows.map(({ row, cells }) => [
    row,
    ...columns.map(({ id }) => figure(cells[id]?.seconds)),
    ...counting.map(({ id }) => figure(cells[id]?.millionInstructionsPerSecond)),
    ...compared.map(({ id }) => figure(cells[id]?.ratio)),
  ]);
  const blank = [...columns, ...counting].map(() => '');
  const mean = ['geometric mean', ...blank, ...compared.map(({ id }) => figure(table.means[id]))];
  const body = table.rows.length > 1 && compared.length > 0 ? [...rows, mean] : rows;
  return `### ${table.arch}: ${titles[table.section]}\n\n${markdownTable(header, body)}\n`;
}
