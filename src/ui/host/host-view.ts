/** The host: its kind, its processors and who runs on them, its memory, its figures over time, and what happened. */
import { exportHistory, type Coordinator, type ExportFormat, type ProcessorSettings } from '../../vmm/index.ts';
import { button, h } from '../dom.ts';
import { saveAsFile } from '../files.ts';
import { chartGrid, hostCharts } from '../monitor/charts.ts';
import { eventList } from '../monitor/event-list.ts';
import { modeSwitch } from './mode-switch.ts';
import { poolBar } from './pool-bar.ts';
import { guestTable, processorTable } from './tables.ts';
import { timelineView } from './timeline-view.ts';

export interface HostActions {
  /** Shows a guest. */
  readonly open: (id: string) => void;
  /** The kind of hypervisor was chosen. */
  readonly switched: (settings: ProcessorSettings) => void;
}

export interface HostView {
  readonly element: HTMLElement;
  /** It is on the screen now, or not. */
  shown(on: boolean): void;
  /** Takes the last sample and the coordinator's state. */
  update(): void;
  logged(): void;
  paint(): void;
  focus(): void;
}

export function hostView(vmm: Coordinator, actions: HostActions): HostView {
  const mode = modeSwitch(vmm, actions.switched);
  const guests = guestTable(vmm, actions.open);
  const processors = processorTable(vmm);
  const timeline = timelineView(vmm);
  const pool = poolBar(vmm);
  const charts = chartGrid(hostCharts(vmm.processorsNow.available));
  const events = eventList(vmm);
  const noGuests = h('p', { class: 'empty' }, 'No guest yet. The catalogue has some to boot.');
  const noScheduler = h(
    'p',
    { class: 'empty' },
    'In hosted mode browser and operating system schedule the guests, and tell nobody how. In bare-metal mode each ' +
      'decision of Tabvisor’s scheduler is drawn here.',
  );
  const scheduler = h('div', { class: 'scheduler' }, timeline.element, processors.element);
  const title = h('h1', { tabindex: '-1' }, 'Host');
  const save = (format: ExportFormat): void =>
    saveAsFile(`tabvisor-monitor.${format}`, exportHistory(vmm.history(), format));
  const card = (name: string, heading: string, ...children: readonly HTMLElement[]): HTMLElement =>
    h('section', { class: `host-card ${name}`, 'aria-label': heading }, h('h2', {}, heading), ...children);
  const figures = card('over-time', 'All guests over time', charts.element);
  figures.firstElementChild?.replaceWith(
    h(
      'div',
      { class: 'view-head' },
      h('h2', {}, 'All guests over time'),
      charts.control,
      button('JSON', 'download', () => save('json'), 'Save the samples as JSON'),
      button('CSV', 'download', () => save('csv'), 'Save the samples as CSV'),
    ),
  );
  const element = h(
    'main',
    { class: 'host', id: 'host', hidden: true },
    h(
      'div',
      { class: 'host-page' },
      title,
      card('guests-now', 'Guests', guests.element, noGuests),
      card('who-runs', 'Processors', scheduler, noScheduler),
      card('kind-of', 'Kind of hypervisor', mode.element),
      card('memory-pool', 'Memory pool', pool.element),
      figures,
      h('section', { class: 'host-card', 'aria-label': 'Events' }, events.element),
    ),
  );
  let visible = false;

  function update(): void {
    if (!visible) return;
    const snapshot = vmm.monitor();
    const { mode: kind } = snapshot.host;
    mode.update();
    guests.update(snapshot);
    guests.element.hidden = Object.keys(snapshot.guests).length === 0;
    noGuests.hidden = !guests.element.hidden;
    scheduler.hidden = kind === 'hosted';
    noScheduler.hidden = !scheduler.hidden;
    timeline.watch(kind === 'bare-metal');
    if (kind === 'bare-metal') processors.update(snapshot);
    pool.update(snapshot);
    charts.draw(vmm.history());
  }

  return {
    element,
    shown: (on) => {
      visible = on;
      if (on) {
        update();
        events.update();
      } else {
        timeline.watch(false);
      }
    },
    update,
    logged: () => {
      if (visible) events.update();
    },
    paint: () => {
      charts.paint();
      timeline.paint();
    },
    focus: () => title.focus(),
  };
}
