/** The guests of the host, and its processors, as tables of figures. */
import { sampleIntervalMs, type Coordinator, type MonitorSnapshot, type ProcessorsState } from '../../vmm/index.ts';
import { h, setText } from '../dom.ts';
import { callName, stateText } from '../format.ts';
import { bytesText, byteRateText, millionsText, percentText, rateText } from '../monitor/numbers.ts';

export interface FigureTable {
  readonly element: HTMLElement;
  update(snapshot: MonitorSnapshot): void;
}

interface Rows {
  readonly element: HTMLElement;
  /** Cells of each row, by a key; rows come and go. */
  show(rows: ReadonlyMap<string, readonly string[]>): void;
}

/** The first `texts` columns are text, the others are numbers. */
function rowsOf(caption: string, texts: number, headings: readonly string[], open?: (key: string) => void): Rows {
  const body = h('tbody');
  const shown = new Map<string, HTMLTableRowElement>();
  const element = h(
    'div',
    { class: 'table-scroll', tabindex: '0', role: 'group', 'aria-label': caption },
    h(
      'table',
      { class: 'figures' },
      h('caption', { class: 'sr-only' }, caption),
      h(
        'thead',
        {},
        h('tr', {}, ...headings.map((text, n) => h('th', { scope: 'col', class: n < texts ? '' : 'number' }, text))),
      ),
      body,
    ),
  );
  const make = (key: string): HTMLTableRowElement => {
    const name =
      open === undefined ? h('span') : h('button', { type: 'button', class: 'link', onclick: () => open(key) });
    const cells = headings.slice(1).map((_, n) => h('td', { class: n + 1 < texts ? '' : 'number' }));
    const row = h('tr', {}, h('th', { scope: 'row' }, name), ...cells);
    body.append(row);
    shown.set(key, row);
    return row;
  };
  return {
    element,
    show: (rows) => {
      for (const [key, row] of shown) {
        if (rows.has(key)) continue;
        row.remove();
        shown.delete(key);
      }
      for (const [key, texts] of rows) {
        const row = shown.get(key) ?? make(key);
        for (const [n, text] of texts.entries()) {
          const cell = row.cells[n];
          if (cell !== undefined) setText(n === 0 ? (cell.firstElementChild ?? cell) : cell, text);
        }
      }
    },
  };
}

const none = '–';

export function guestTable(vmm: Coordinator, open: (id: string) => void): FigureTable {
  const headings = [
    'Guest',
    'State',
    'CPU',
    'Steal',
    'Instructions',
    'VM exits',
    'Resident',
    'Reserved',
    'Console',
    'Weight',
    'Processor',
  ];
  const rows = rowsOf('Guests of this host', 2, headings, open);
  return {
    element: rows.element,
    update: ({ guests }) => {
      const { guests: times } = vmm.processorsNow;
      const cells = new Map<string, readonly string[]>();
      for (const { id, status, definition } of vmm.list()) {
        const figures = guests[id];
        if (definition.template || figures === undefined) continue;
        const runs = status.state === 'running' || status.state === 'paused';
        const { processor } = times[id] ?? {};
        const numbers = [
          percentText(figures.cpuPercent),
          figures.stealPercent === undefined ? none : percentText(figures.stealPercent),
          millionsText(figures.millionInstructionsPerSecond.all),
          rateText(figures.exitsPerSecond.all),
          bytesText(figures.memory.residentBytes),
          bytesText(figures.memory.reservedBytes),
          byteRateText(figures.consoleBytesPerSecond.out),
          String(vmm.share(id).weight),
          processor === undefined ? none : `CPU ${processor}`,
        ];
        cells.set(id, [callName(vmm.list(), id), stateText(status), ...(runs ? numbers : numbers.map(() => none))]);
      }
      rows.show(cells);
    },
  };
}

export function processorTable(vmm: Coordinator): FigureTable {
  const rows = rowsOf('Processors', 2, ['Processor', 'Runs', 'Busy', 'Switches', 'Taken over', 'Switch takes']);
  let before: { readonly atMs: number; readonly processors: ProcessorsState['processors'] } | undefined;
  return {
    element: rows.element,
    update: () => {
      const { processors } = vmm.processorsNow;
      const now = { atMs: performance.now(), processors };
      const last = before?.processors.length === processors.length ? before : undefined;
      if (last !== undefined && now.atMs - last.atMs < sampleIntervalMs / 2) return;
      before = now;
      const seconds = (now.atMs - (last?.atMs ?? now.atMs)) / 1000;
      const cells = new Map<string, readonly string[]>();
      for (const [n, use] of processors.entries()) {
        const old = last?.processors[n];
        const rate = (of: 'busySeconds' | 'switches' | 'takeOvers'): number =>
          old === undefined || seconds <= 0 ? 0 : Math.max(0, use[of] - old[of]) / seconds;
        const name = use.guest === undefined ? 'idle' : callName(vmm.list(), use.guest);
        cells.set(String(n), [
          `CPU ${n}`,
          name,
          percentText(Math.min(100, 100 * rate('busySeconds'))),
          rateText(rate('switches')),
          rateText(rate('takeOvers')),
          switchText(use.knownSwitchMicroseconds),
        ]);
      }
      rows.show(cells);
    },
  };
}

/** The median of the last switches between guests that a processor knew. */
function switchText(microseconds: readonly number[]): string {
  const sorted = [...microseconds].sort((a, b) => a - b);
  const median = sorted[sorted.length >> 1];
  return median === undefined ? none : `${Math.round(median)} µs`;
}
