/**
 * The page: tabs at the top, and under them either the catalogue or the guests, side by side where the window is wide
 * enough, else one at a time. It keeps no state of guests: it shows the coordinator's.
 */
import {
  messageOf,
  settingsOfQuery,
  VmmError,
  type Coordinator,
  type GuestRequest,
  type GuestSource,
  type VmmEvent,
} from '../vmm/index.ts';
import { catalogueView } from './catalogue-view.ts';
import { ask } from './dialog.ts';
import { button, h, icon } from './dom.ts';
import { failedPane, guestPane, type Pane } from './guest-pane.ts';
import { guestsView, type GuestsView } from './guests-view.ts';
import { memoryMeter } from './memory-meter.ts';
import { processorControl } from './processor-control.ts';
import { tabStrip } from './tabs.ts';
import { themeButton } from './theme.ts';

const layoutKey = 'tabvisor.layout';
/** Counters are shown this often. */
const tickMs = 1000;

type Layout = 'tiles' | 'tabs';

export class App {
  readonly element: HTMLElement;
  readonly #vmm: Coordinator;
  readonly #panes = new Map<string, Pane>();
  readonly #tabs;
  readonly #meter;
  readonly #processors;
  readonly #home: HTMLElement;
  readonly #guests: GuestsView;
  readonly #catalogue: HTMLElement;
  readonly #grid = h('div', { class: 'grid' });
  readonly #layoutButton: HTMLButtonElement;
  /** Id of the guest in front, or undefined for the catalogue. */
  #active: string | undefined;
  #layout: Layout = readLayout();

  constructor(vmm: Coordinator) {
    this.#vmm = vmm;
    this.#meter = memoryMeter(vmm);
    this.#processors = processorControl(vmm);
    this.#tabs = tabStrip({
      select: (id, focus) => this.#show(id, focus ? 'console' : 'tab'),
      close: (id) => void this.#close(id),
    });
    this.#layoutButton = button('', 'tiles', () => this.#toggleLayout());
    this.#layoutButton.classList.add('quiet');
    const logo = h('img', { src: './favicon.svg', alt: '', width: '22', height: '22' });
    const brand = h('a', { class: 'brand', href: './' }, logo, 'Tabvisor');
    brand.addEventListener('click', (event) => {
      // With guests on the page the catalogue is only another view of it.
      if (this.#panes.size === 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.#show(undefined, 'none');
    });
    const theme = themeButton(() => {
      for (const pane of this.#panes.values()) pane.paint();
    });
    this.#home = h('main', { class: 'home' });
    const tools = h(
      'div',
      { class: 'tools' },
      this.#processors.element,
      this.#meter.element,
      this.#layoutButton,
      theme,
    );
    this.element = h(
      'div',
      { class: 'app' },
      h('header', { class: 'bar' }, brand, this.#tabs.element, tools),
      this.#home,
      this.#grid,
    );
    this.#guests = guestsView(vmm, this.#home, { open: (id) => void this.#open(id) });
    const actions = {
      bootEntry: (id: string) => void this.#boot({ kind: 'catalogue', id, overrides: {} }),
      bootOwn: (source: GuestSource) => void this.#boot({ kind: 'own', source }),
    };
    this.#catalogue = catalogueView(vmm, actions, this.#guests.element);
    const { obstacle } = vmm;
    this.#home.append(obstacle === undefined ? this.#catalogue : obstacleView(obstacle));
    vmm.subscribe((event) => this.#onEvent(event));
    setInterval(() => this.#tick(), tickMs);
    addEventListener('beforeunload', (event) => {
      if (this.#alive > 0) event.preventDefault();
    });
    this.#arrange();
  }

  /**
   * Brings back the guests of earlier visits, and boots those that start with the page (not with `autostart=no`, for when
   * one of them is what makes the page fail), and what its address asks for.
   */
  async open(query: string): Promise<void> {
    if (this.#vmm.obstacle !== undefined) return;
    await this.#applySettings(query);
    const autostart = await this.#vmm.definitions.load();
    const ids = new URLSearchParams(query).get('autostart') === 'no' ? [] : autostart;
    // Defined one after the other, so that they stand in their order; started side by side.
    for (const request of this.#vmm.requestsOf(query)) {
      const id = await this.#define(request);
      if (id !== undefined) ids.push(id);
    }
    await Promise.all(ids.map((id) => this.#start(id)));
  }

  async #applySettings(query: string): Promise<void> {
    const settings = settingsOfQuery(query);
    if (settings === undefined) return;
    try {
      await this.#vmm.processors(settings);
    } catch (error) {
      this.#showFailure('Processors', messageOf(error));
    }
  }

  get #alive(): number {
    return this.#vmm.list().filter(({ status }) => ['starting', 'running', 'paused'].includes(status.state)).length;
  }

  /** Shows a guest that is kept, and starts it if it does not run. */
  async #open(id: string): Promise<void> {
    this.#addPane(id);
    this.#show(id, 'none');
    await this.#start(id);
  }

  async #boot(request: GuestRequest): Promise<void> {
    const id = await this.#define(request);
    if (id === undefined) return;
    if (request.kind === 'catalogue') rememberInUrl(request.id);
    await this.#start(id);
  }

  /** Whatever goes wrong is shown in a pane of its own; then there is no id. */
  async #define(request: GuestRequest): Promise<string | undefined> {
    try {
      if (request.kind === 'invalid') throw new VmmError('badArgument', request.message);
      const id =
        request.kind === 'own'
          ? await this.#vmm.create(request.source)
          : await this.#vmm.create(request.id, request.overrides);
      this.#show(this.#active ?? id, 'none');
      return id;
    } catch (error) {
      this.#showFailure(nameOf(request), messageOf(error));
      return undefined;
    }
  }

  async #start(id: string): Promise<void> {
    try {
      const start = this.#vmm.start(id);
      if (this.#active === undefined && this.#panes.has(id)) this.#show(id, 'none');
      await start;
      // The console gets the keyboard, unless the user has gone on to something else.
      const at = document.activeElement;
      const free = at === null || at === document.body || this.#panes.get(id)?.element.contains(at) === true;
      if (this.#active === id && free) this.#panes.get(id)?.focus();
    } catch {
      // The guest's state tells, in its pane.
    }
  }

  #showFailure(name: string, message: string): void {
    let id = name;
    for (let n = 2; this.#panes.has(id); n++) id = `${name}-${n}`;
    this.#add(failedPane(id, name, message, () => this.#drop(id)));
    if (this.#active === undefined) this.#show(id, 'none');
  }

  #onEvent(event: VmmEvent): void {
    if (event.kind === 'log') console.info(`[${event.id}] ${event.line}`);
    if (event.kind === 'executorReplaced') {
      console.info(
        `[${event.id}] Its worker died (${event.message}) while it was at rest; another one goes on with it.`,
      );
    }
    if (event.kind === 'guests' || event.kind === 'status') this.#syncPanes(event);
    if (event.kind !== 'memory' && event.kind !== 'log') this.#updateGuests();
    this.#meter.update();
    this.#processors.update();
    this.#updateTabs();
  }

  #updateGuests(): void {
    const had = this.#guests.count > 0;
    this.#guests.update();
    const has = this.#guests.count > 0;
    if (had === has) return;
    const cards = this.#catalogue.querySelector(has ? '.cards' : '.own');
    cards?.before(this.#guests.element);
  }

  /** A guest that was defined has a pane from the time it is started, all others from the beginning; until it is closed. */
  #syncPanes(event: Extract<VmmEvent, { kind: 'guests' | 'status' }>): void {
    const guests = this.#vmm.list();
    for (const { id, transient, definition, status } of guests) {
      const fromTheBeginning = transient && !definition.template && event.kind === 'guests';
      if (fromTheBeginning || status.state === 'starting') this.#addPane(id);
    }
    for (const [id, pane] of this.#panes) {
      if (!pane.guest) continue;
      if (!guests.some((guest) => guest.id === id)) this.#drop(id);
      else if (event.kind === 'guests' || event.id === id) pane.update();
    }
  }

  #addPane(id: string): void {
    if (this.#panes.has(id)) return;
    const options = {
      onFocus: () => this.#focused(id),
      onLeave: () => this.#tabs.focus(id),
      onClose: () => void this.#close(id),
      // The address need not name it any more.
      onKept: () => forgetInUrl(this.#transient()),
    };
    this.#add(guestPane(this.#vmm, id, options));
  }

  /** Ids that the page's address may name. */
  #transient(): string[] {
    const lasting = new Set(this.#vmm.list().flatMap((guest) => (guest.transient ? [] : [guest.id])));
    return [...this.#panes.keys()].filter((id) => !lasting.has(id));
  }

  #add(pane: Pane): void {
    this.#panes.set(pane.id, pane);
    this.#grid.append(pane.element);
    this.#arrange();
  }

  /** A guest that was defined stays so; any other is gone. What runs is ended, if the user agrees. */
  async #close(id: string): Promise<void> {
    const guest = this.#vmm.list().find((one) => one.id === id);
    if (guest === undefined) {
      this.#drop(id);
      return;
    }
    const runs = ['starting', 'running', 'paused'].includes(guest.status.state);
    if (runs && !(await confirmEnd(guest.name))) return;
    if (!guest.transient) {
      await this.#vmm.kill(id);
      this.#drop(id);
    } else {
      await this.#vmm.remove(id);
    }
  }

  #drop(id: string): void {
    const pane = this.#panes.get(id);
    this.#panes.delete(id);
    pane?.dispose();
    forgetInUrl(this.#transient());
    if (this.#active === id) this.#show([...this.#panes.keys()].at(-1), 'none');
    else this.#arrange();
  }

  /** A pane in a tile got the keyboard. */
  #focused(id: string): void {
    if (this.#active === id) return;
    this.#active = id;
    this.#arrange();
  }

  #show(id: string | undefined, focus: 'console' | 'tab' | 'none'): void {
    this.#active = id;
    this.#arrange();
    if (focus === 'tab') this.#tabs.focus(id);
    else if (focus === 'console' && id !== undefined) this.#panes.get(id)?.focus();
  }

  #arrange(): void {
    const home = this.#active === undefined;
    this.element.dataset['layout'] = this.#layout;
    this.#home.hidden = !home;
    this.#grid.hidden = home;
    for (const [id, pane] of this.#panes) {
      pane.element.classList.toggle('front', id === this.#active);
    }
    this.#grid.style.setProperty('--panes', String(Math.max(1, this.#panes.size)));
    this.#grid.dataset['count'] = String(this.#panes.size);
    this.#layoutButton.hidden = this.#panes.size < 2;
    const tiles = this.#layout === 'tiles';
    const title = tiles ? 'Show one guest at a time' : 'Show guests side by side';
    this.#layoutButton.title = title;
    this.#layoutButton.setAttribute('aria-label', title);
    this.#layoutButton.replaceChildren(icon(tiles ? 'tabs' : 'tiles'));
    for (const pane of this.#panes.values()) pane.layOut();
    this.#updateTabs();
  }

  #updateTabs(): void {
    this.#tabs.update(
      [...this.#panes.values()].map((pane) => ({
        id: pane.id,
        name: pane.name,
        state: pane.status()?.state ?? 'failed',
        title: pane.summary(),
      })),
      this.#active,
    );
    const front = this.#active === undefined ? undefined : this.#panes.get(this.#active);
    const alive = this.#alive;
    const rest = alive > 0 ? `${alive} guest${alive === 1 ? '' : 's'} running` : 'boot a computer in this tab';
    const title =
      front === undefined ? `Tabvisor: ${rest}` : `${front.name} (${front.status()?.state ?? 'failed'}) – Tabvisor`;
    if (document.title !== title) document.title = title;
  }

  #toggleLayout(): void {
    this.#layout = this.#layout === 'tiles' ? 'tabs' : 'tiles';
    try {
      localStorage.setItem(layoutKey, this.#layout);
    } catch {
      // Without storage the choice holds for this visit.
    }
    if (this.#active === undefined) this.#active = [...this.#panes.keys()][0];
    this.#arrange();
  }

  #tick(): void {
    if (document.hidden) return;
    for (const pane of this.#panes.values()) pane.tick();
    this.#updateTabs();
  }
}

function confirmEnd(name: string): Promise<boolean> {
  return ask({
    title: `End ${name}?`,
    content: [h('p', {}, 'It runs, and what it holds in its memory is lost.')],
    no: 'Let it run',
    yes: 'End it',
    danger: true,
  });
}

function nameOf(request: GuestRequest): string {
  if (request.kind === 'own') return request.source.name;
  return request.kind === 'catalogue' ? request.id : request.name;
}

function readLayout(): Layout {
  try {
    return localStorage.getItem(layoutKey) === 'tabs' ? 'tabs' : 'tiles';
  } catch {
    return 'tiles';
  }
}

/** What was booted by a click stands in the address afterwards: a reload, or a colleague, boots the same. */
function rememberInUrl(catalogueId: string): void {
  const url = new URL(location.href);
  url.searchParams.append('guest', catalogueId);
  history.replaceState(null, '', url);
}

/** Takes what is no longer there out of the page's address; `ids`: what is. */
function forgetInUrl(ids: readonly string[]): void {
  const url = new URL(location.href);
  const kept = new Map<string, number>();
  for (const id of ids) {
    const base = id.replace(/-\d+$/, '');
    for (const name of new Set([id, base])) kept.set(name, (kept.get(name) ?? 0) + 1);
  }
  const guests = url.searchParams.getAll('guest');
  url.searchParams.delete('guest');
  for (const guest of guests) {
    const left = kept.get(guest) ?? 0;
    if (left > 0) url.searchParams.append('guest', guest);
    kept.set(guest, left - 1);
  }
  history.replaceState(null, '', url);
}

function obstacleView(obstacle: string): HTMLElement {
  return h(
    'div',
    { class: 'catalogue' },
    h('div', { class: 'intro' }, h('h1', {}, 'No guest can run in this page yet')),
    h('div', { class: 'notice', 'data-tone': 'error', role: 'alert' }, h('span', { class: 'notice-text' }, obstacle)),
  );
}
