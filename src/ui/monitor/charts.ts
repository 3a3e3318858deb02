/** The charts that a guest and the host have, and how much of the past they show. */
import type { GuestColumn, HostColumn } from '../../vmm/index.ts';
import { h } from '../dom.ts';
import { chart, type Chart, type ChartData, type ChartSpec } from './chart.ts';
import { byteRateText, bytesText, millionsText, percentText, rateText } from './numbers.ts';

const mib = 2 ** 20;

const instructions: ChartSpec<GuestColumn> = {
  title: 'Instructions',
  series: [
    { column: 'instructions', label: 'all', colour: 'series-3', filled: true },
    { column: 'compiled', label: 'compiled', colour: 'series-1', filled: true },
  ],
  text: millionsText,
  top: 10,
};

const exits: ChartSpec<GuestColumn> = {
  title: 'VM exits',
  series: [{ column: 'exits', label: 'all', colour: 'series-2', filled: true }],
  text: rateText,
  top: 100,
};

// Disks will have such a chart of their own.
const console: ChartSpec<GuestColumn> = {
  title: 'Console',
  series: [
    { column: 'consoleOut', label: 'out', colour: 'series-1', filled: true },
    { column: 'consoleIn', label: 'in', colour: 'series-3' },
  ],
  text: byteRateText,
  top: 1000,
};

const memory: ChartSpec<GuestColumn> = {
  title: 'Memory',
  series: [
    { column: 'reserved', label: 'reserved', colour: 'series-4' },
    { column: 'resident', label: 'resident', colour: 'series-1', filled: true },
    { column: 'ballooned', label: 'ballooned', colour: 'series-3' },
  ],
  text: bytesText,
  top: 16 * mib,
  steps: Array.from({ length: 14 }, (_, n) => 2 ** n * mib),
};

/** `processors`: how many can be used at once. */
function cpu(processors: number): ChartSpec<GuestColumn> {
  return {
    title: processors === 1 ? 'Processor' : `Processors (${processors} × 100 %)`,
    series: [
      { column: 'cpu', label: 'used', colour: 'series-1', filled: true },
      { column: 'steal', label: 'stolen', colour: 'series-2' },
    ],
    text: percentText,
    top: 100 * processors,
    fixed: true,
  };
}

export function guestCharts(): ChartSpec<GuestColumn>[] {
  return [cpu(1), instructions, memory, exits, console];
}

export function hostCharts(processors: number): ChartSpec<HostColumn>[] {
  return [
    { ...cpu(processors), fixed: false },
    instructions,
    exits,
    {
      ...memory,
      series: [
        { column: 'budget', label: 'budget', colour: 'series-2' },
        ...memory.series.filter(({ column }) => column !== 'ballooned'),
      ],
    },
    console,
  ];
}

const windows = [
  [60, 'last minute'],
  [300, 'last 5 minutes'],
] as const;

export interface ChartGrid<Column extends string> {
  readonly element: HTMLElement;
  /** The choice of how much is shown. */
  readonly control: HTMLElement;
  draw(data: ChartData<Column>): void;
  paint(): void;
  dispose(): void;
}

export function chartGrid<Column extends string>(specs: readonly ChartSpec<Column>[]): ChartGrid<Column> {
  const charts: Chart<Column>[] = specs.map((spec) => chart(spec));
  const select = h(
    'select',
    { 'aria-label': 'Time shown', class: 'compact' },
    ...windows.map(([seconds, text]) => h('option', { value: String(seconds) }, text)),
  );
  let latest: ChartData<Column> | undefined;
  const draw = (): void => {
    if (latest === undefined) return;
    for (const one of charts) one.draw(latest, Number(select.value));
  };
  select.addEventListener('change', draw);
  return {
    element: h('div', { class: 'charts' }, ...charts.map(({ element }) => element)),
    control: select,
    draw: (data) => {
      latest = data;
      draw();
    },
    paint: () => {
      for (const one of charts) one.paint();
    },
    dispose: () => {
      for (const one of charts) one.dispose();
    },
  };
}
