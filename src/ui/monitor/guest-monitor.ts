/** The monitor of one guest: its figures now, charts of the last minutes, VM exits by reason, and all of it as files. */
import {
  exitReasons,
  exportHistory,
  type Coordinator,
  type ExitCounter,
  type ExportFormat,
  type GuestFigures,
  type GuestHistory,
} from '../../vmm/index.ts';
import { button, h, setText } from '../dom.ts';
import { saveAsFile } from '../files.ts';
import { chartGrid, guestCharts } from './charts.ts';
import { byteRateText, bytesText, millionsText, percentText, rateText } from './numbers.ts';

export interface MonitorView {
  readonly element: HTMLElement;
  /** Takes the last sample. */
  update(): void;
  /** Takes the colours of the page's theme. */
  paint(): void;
  dispose(): void;
}

export function guestMonitor(vmm: Coordinator, id: string): MonitorView {
  const charts = chartGrid(guestCharts());
  const tiles = figureTiles();
  const exits = exitTable();
  const empty = h('p', { class: 'empty' }, 'It has not run yet: there is nothing to show.');
  const body = h('div', { class: 'monitor-body' }, tiles.element, charts.element, exits.element);
  const save = (format: ExportFormat): void => {
    const history = vmm.history(id);
    if (history !== undefined) saveAsFile(`${id}-monitor.${format}`, exportHistory(history, format));
  };
  const element = h(
    'div',
    { class: 'monitor-view' },
    h(
      'div',
      { class: 'view-head' },
      h('h3', {}, 'Monitor'),
      charts.control,
      button('JSON', 'download', () => save('json'), 'Save the samples as JSON'),
      button('CSV', 'download', () => save('csv'), 'Save the samples as CSV'),
    ),
    empty,
    body,
  );
  return {
    element,
    update: () => {
      const history = vmm.history(id);
      const figures = vmm.monitor().guests[id];
      body.hidden = history === undefined;
      empty.hidden = history !== undefined;
      if (history === undefined || figures === undefined) return;
      tiles.update(figures);
      exits.update(history);
      charts.draw(history);
    },
    paint: charts.paint,
    dispose: charts.dispose,
  };
}

function figureTiles(): { readonly element: HTMLElement; update(figures: GuestFigures): void } {
  const tile = (label: string) => {
    const value = h('dd', { class: 'figure' });
    const note = h('dd', { class: 'figure-note' });
    return { element: h('div', { class: 'tile' }, h('dt', {}, label), value, note), value, note };
  };
  const cpu = tile('Processor');
  const speed = tile('Instructions');
  const memory = tile('Memory');
  const exits = tile('VM exits');
  const console = tile('Console');
  const all = [cpu, speed, memory, exits, console];
  return {
    element: h('dl', { class: 'tiles' }, ...all.map(({ element }) => element)),
    update: (figures) => {
      const { millionInstructionsPerSecond: millions, memory: bytes, consoleBytesPerSecond: bytesPerSecond } = figures;
      setText(cpu.value, percentText(figures.cpuPercent));
      setText(
        cpu.note,
        figures.stealPercent === undefined ? 'of one processor' : `${percentText(figures.stealPercent)} stolen`,
      );
      setText(speed.value, millionsText(millions.all));
      const tiers = millions.interpreted + millions.compiled;
      setText(speed.note, tiers < 0.001 ? 'idle' : `${percentText((100 * millions.compiled) / tiers)} compiled`);
      setText(memory.value, bytesText(bytes.residentBytes));
      const given = bytes.balloonedBytes > 0 ? `, ${bytesText(bytes.balloonedBytes)} ballooned` : '';
      setText(memory.note, `of ${bytesText(bytes.reservedBytes)}${given}`);
      setText(exits.value, rateText(figures.exitsPerSecond.all));
      setText(exits.note, `${rateText(figures.tlbMissesPerSecond)} TLB misses`);
      setText(console.value, byteRateText(bytesPerSecond.out));
      setText(console.note, `${byteRateText(bytesPerSecond.in)} in`);
    },
  };
}

const reasonTexts: Record<ExitCounter, string> = {
  budget: 'End of a slice',
  halt: 'HLT',
  shutdown: 'Shutdown',
  request: 'Request of the coordinator',
  portRead: 'Port read (IN)',
  portWrite: 'Port write (OUT)',
  mmioRead: 'Device memory read',
  mmioWrite: 'Device memory write',
  msrRead: 'RDMSR',
  msrWrite: 'WRMSR',
  cpuid: 'CPUID',
  interrupt: 'Interrupt window',
  taskPriority: 'Task priority (CR8)',
  deadline: 'Timer deadline',
  log: 'Log',
  compile: 'Compiler',
};

/** Reasons that have occurred, in a fixed order: rows that change places cannot be read. */
function exitTable(): { readonly element: HTMLElement; update(history: GuestHistory): void } {
  const rows = exitReasons.map((reason) => {
    const rate = h('td', { class: 'number' });
    const bar = h('span', { class: 'share-fill' });
    const element = h(
      'tr',
      { hidden: true },
      h('th', { scope: 'row' }, reasonTexts[reason]),
      rate,
      h('td', { class: 'share-cell', 'aria-hidden': 'true' }, h('span', { class: 'share' }, bar)),
    );
    return { reason, element, rate, bar };
  });
  const headings = ['Reason of VM exits', 'Now', ''];
  const table = h(
    'table',
    { class: 'exits' },
    h('caption', { class: 'sr-only' }, 'VM exits by reason'),
    h(
      'thead',
      {},
      h('tr', {}, ...headings.map((text) => h(text === '' ? 'td' : 'th', text === '' ? {} : { scope: 'col' }, text))),
    ),
    h('tbody', {}, ...rows.map(({ element }) => element)),
  );
  return {
    element: table,
    update: (history) => {
      const all = Math.max(1, history.last('exits'));
      for (const { reason, element, rate, bar } of rows) {
        const perSecond = history.last(`exit.${reason}`);
        if (perSecond > 0 && element.hidden) element.hidden = false;
        if (element.hidden) continue;
        setText(rate, rateText(perSecond));
        const width = `${Math.round((100 * perSecond) / all)}%`;
        if (bar.style.width !== width) bar.style.width = width;
      }
    },
  };
}
