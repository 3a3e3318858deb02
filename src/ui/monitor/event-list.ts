/** The event log as a table, newest first, and as files. */
import { exportEvents, type Coordinator, type ExportFormat, type LogEntry } from '../../vmm/index.ts';
import { button, h, setText } from '../dom.ts';
import { saveAsFile } from '../files.ts';
import { clockText } from './numbers.ts';

/** Rows that are shown; the files have all. */
const shownRows = 200;

const words: Record<LogEntry['kind'], string> = {
  guestAdded: 'added',
  guestRemoved: 'removed',
  starting: 'starting',
  running: 'running',
  paused: 'paused',
  stopped: 'stopped',
  crashed: 'crashed',
  startFailed: 'not started',
  admissionRefused: 'refused',
  executorReplaced: 'executor replaced',
  processors: 'scheduler',
  memoryLimit: 'memory limit',
  balloonAsked: 'balloon',
  balloonAnswered: 'balloon',
};

export interface EventList {
  readonly element: HTMLElement;
  /** Takes what has happened since. */
  update(): void;
}

/** `guest`: only what is about it; undefined: all, with a column for the guest. */
export function eventList(vmm: Coordinator, guest?: string): EventList {
  const body = h('tbody');
  const empty = h('p', { class: 'empty' }, 'Nothing has happened yet.');
  const headings = ['Time', ...(guest === undefined ? ['Guest'] : []), 'Event', 'What happened'];
  const table = h(
    'table',
    { class: 'events' },
    h('thead', {}, h('tr', {}, ...headings.map((text) => h('th', { scope: 'col' }, text)))),
    body,
  );
  const mine = (entries: readonly LogEntry[]): LogEntry[] =>
    entries.filter((entry) => guest === undefined || entry.guest === guest);
  const save = (format: ExportFormat): void =>
    saveAsFile(`${guest ?? 'tabvisor'}-events.${format}`, exportEvents(mine(vmm.events().entries), format));
  const element = h(
    'section',
    { class: 'events-view', 'aria-label': guest === undefined ? 'Events of all guests' : 'Events' },
    h(
      'div',
      { class: 'view-head' },
      h('h3', {}, 'Events'),
      button('JSON', 'download', () => save('json'), 'Save the events as JSON'),
      button('CSV', 'download', () => save('csv'), 'Save the events as CSV'),
    ),
    h('div', { class: 'table-scroll', tabindex: '0', role: 'group', 'aria-label': 'List of events' }, table),
    empty,
  );
  let next = 0;

  function update(): void {
    const news = vmm.events(next);
    next = news.next;
    for (const entry of mine(news.entries)) body.prepend(row(entry, guest === undefined));
    while (body.rows.length > shownRows) body.deleteRow(-1);
    table.hidden = body.rows.length === 0;
    empty.hidden = !table.hidden;
  }

  return { element, update };
}

function row({ atMs, name, guest, kind, tone, text }: LogEntry, withGuest: boolean): HTMLTableRowElement {
  const badge = h('span', { class: 'badge', 'data-tone': tone });
  setText(badge, words[kind]);
  const time = h('time', { datetime: new Date(atMs).toISOString() }, clockText(atMs));
  return h(
    'tr',
    {},
    h('td', { class: 'number' }, time),
    withGuest ? h('td', {}, name ?? guest ?? 'Host') : undefined,
    h('td', {}, badge),
    h('td', { class: 'text' }, text),
  );
}
