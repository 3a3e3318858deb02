/**
 * The page: the inventory at the left, and beside it the host, the catalogue, or the guests, tiled where the window is wide
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
import { forgetGuests, rememberGuest, rememberProcessors } from './address.ts';
import { catalogueView, obstacleView } from './catalogue-view.ts';
import { openMenu } from './context-menu.ts';
import { confirmEnd } from './dialog.ts';
import { button, h, icon } from './dom.ts';
import { failedPane, guestPane, type Pane } from './guest-pane.ts';
import { guestsView, type GuestsView } from './guests-view.ts';
import { hostView, type HostView } from './host/host-view.ts';
import { inventoryFigures, inventoryItems } from './inventory-items.ts';
import { inventory, places, type Inventory } from './inventory.ts';
import { keepLayout, readLayout, type Layout } from './layout.ts';
import { memoryMeter } from './memory-meter.ts';
import { processorControl } from './processor-control.ts';
import { themeButton } from './theme.ts';

const catalogue = places.catalogue;

export class App {
  readonly element: HTMLElement;
  readonly #vmm: Coordinator;
  readonly #panes = new Map<string, Pane>();
  readonly #inventory: Inventory;
  readonly #meter;
  readonly #processors;
  readonly #home: HTMLElement;
  readonly #host: HostView;
  readonly #guests: GuestsView;
  readonly #catalogue: HTMLElement;
  readonly #grid = h('main', { class: 'grid', id: 'guests' }, h('h1', { class: 'sr-only' }, 'Guests'));
  readonly #layoutButton: HTMLButtonElement;
  /** What is in front: the id of a guest, or one of {@link places}. */
  #active: string = catalogue;
  #layout: Layout = readLayout();

  constructor(vmm: Coordinator) {
    this.#vmm = vmm;
    this.#meter = memoryMeter(vmm);
    this.#processors = processorControl(vmm);
    this.#inventory = inventory({
      select: (key, enter) => this.#show(key, enter ? 'content' : 'tab'),
      close: (id) => void this.#close(id),
      settings: (id) => {
        this.#show(id, 'none');
        this.#panes.get(id)?.showSettings();
      },
      menu: (id, at) => {
        this.#show(id, 'tab');
        const pane = this.#panes.get(id);
        if (pane !== undefined) openMenu(`Actions of ${pane.name}`, pane.actions(), at);
      },
    });
    this.#host = hostView(vmm, {
      open: (id) => this.#show(id, 'content'),
      switched: rememberProcessors,
    });
    this.#layoutButton = button('', 'tiles', () => this.#toggleLayout());
    this.#layoutButton.classList.add('quiet');
    this.#home = h('main', { class: 'home', id: 'catalogue', tabindex: '-1' });
    const skip = h('a', { class: 'skip-link', href: '#guests' }, 'Skip to the content');
    skip.addEventListener('click', (event) => {
      event.preventDefault();
      this.#show(this.#active, 'content');
    });
    this.element = h(
      'div',
      { class: 'app' },
      skip,
      h('header', { class: 'bar' }, this.#brand(), this.#tools()),
      this.#inventory.element,
      h('div', { class: 'content' }, this.#home, this.#host.element, this.#grid),
    );
    this.#guests = guestsView(vmm, this.#home, { open: (id) => void this.#open(id) });
    const actions = {
      bootEntry: (id: string) => void this.#boot({ kind: 'catalogue', id, overrides: {} }),
      bootBareMetal: (ids: readonly string[]) => void this.#bootBareMetal(ids),
      bootOwn: (source: GuestSource) => void this.#boot({ kind: 'own', source }),
    };
    this.#catalogue = catalogueView(vmm, actions, this.#guests.element);
    const { obstacle } = vmm;
    this.#home.append(obstacle === undefined ? this.#catalogue : obstacleView(obstacle));
    vmm.subscribe((event) => this.#onEvent(event));
    vmm.onSample(() => this.#tick());
    document.addEventListener('visibilitychange', () => this.#tick());
    addEventListener('beforeunload', (event) => {
      if (this.#alive > 0) event.preventDefault();
    });
    this.#arrange();
  }

  #brand(): HTMLElement {
    const logo = h('img', { src: './favicon.svg', alt: '', width: '22', height: '22' });
    const brand = h('a', { class: 'brand', href: './' }, logo, 'Tabvisor');
    brand.addEventListener('click', (event) => {
      // With guests on the page the catalogue is only another view of it.
      if (this.#panes.size === 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.#show(catalogue, 'none');
    });
    return brand;
  }

  #tools(): HTMLElement {
    const theme = themeButton(() => {
      for (const pane of this.#panes.values()) pane.paint();
      this.#inventory.paint();
      this.#host.paint();
    });
    return h('div', { class: 'tools' }, this.#processors.element, this.#meter.element, this.#layoutButton, theme);
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

  async #bootBareMetal(catalogueIds: readonly string[]): Promise<void> {
    try {
      rememberProcessors(await this.#vmm.processors({ mode: 'bare-metal' }));
    } catch (error) {
      this.#showFailure('Processors', messageOf(error));
      return;
    }
    await Promise.all(catalogueIds.map((id) => this.#boot({ kind: 'catalogue', id, overrides: {} })));
  }

  async #boot(request: GuestRequest): Promise<void> {
    const id = await this.#define(request);
    if (id === undefined) return;
    if (request.kind === 'catalogue') rememberGuest(request.id);
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
      this.#show(this.#active === catalogue ? id : this.#active, 'none');
      return id;
    } catch (error) {
      this.#showFailure(nameOf(request), messageOf(error));
      return undefined;
    }
  }

  async #start(id: string): Promise<void> {
    try {
      const start = this.#vmm.start(id);
      if (this.#active === catalogue && this.#panes.has(id)) this.#show(id, 'none');
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
    if (this.#active === catalogue) this.#show(id, 'none');
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
    this.#updateInventory();
    if (event.kind === 'log') return;
    this.#host.update();
    this.#logged();
  }

  #logged(): void {
    for (const pane of this.#panes.values()) pane.logged();
    this.#host.logged();
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
      onLeave: () => this.#inventory.focus(id),
      onClose: () => void this.#close(id),
      // The address need not name it any more.
      onKept: () => forgetGuests(this.#transient()),
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
    forgetGuests(this.#transient());
    if (this.#active === id) this.#show([...this.#panes.keys()].at(-1) ?? catalogue, 'none');
    else this.#arrange();
  }

  /** A pane in a tile got the keyboard. */
  #focused(id: string): void {
    if (this.#active === id) return;
    this.#active = id;
    this.#arrange();
  }

  /** `focus`: what gets the keyboard: what is shown, its place in the inventory, or nothing new. */
  #show(key: string, focus: 'content' | 'tab' | 'none'): void {
    const isGuest = this.#vmm.list().some(({ id }) => id === key);
    if (isGuest) this.#addPane(key);
    this.#active = key;
    this.#arrange();
    if (focus === 'tab') this.#inventory.focus(key);
    if (focus !== 'content') return;
    if (key === places.host) this.#host.focus();
    else if (key === catalogue) this.#home.focus();
    else this.#panes.get(key)?.focus();
  }

  #arrange(): void {
    this.element.dataset['layout'] = this.#layout;
    const guests = this.#panes.has(this.#active);
    this.#home.hidden = this.#active !== catalogue;
    this.#host.element.hidden = this.#active !== places.host;
    this.#host.shown(this.#active === places.host);
    this.#grid.hidden = !guests;
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
    for (const [id, pane] of this.#panes) {
      pane.layOut();
      if (this.#onScreen(id)) pane.tick();
    }
    this.#updateInventory();
  }

  #updateInventory(): void {
    this.#inventory.update(inventoryItems(this.#vmm, this.#panes), this.#active);
    const front = this.#panes.get(this.#active);
    const alive = this.#alive;
    const rest = alive > 0 ? `${alive} guest${alive === 1 ? '' : 's'} running` : 'boot a computer in this tab';
    const title =
      front === undefined ? `Tabvisor: ${rest}` : `${front.name} (${front.status()?.state ?? 'failed'}) – Tabvisor`;
    if (document.title !== title) document.title = title;
  }

  #toggleLayout(): void {
    this.#layout = this.#layout === 'tiles' ? 'tabs' : 'tiles';
    keepLayout(this.#layout);
    if (!this.#panes.has(this.#active)) this.#active = [...this.#panes.keys()][0] ?? catalogue;
    this.#arrange();
  }

  #tick(): void {
    if (document.hidden) return;
    for (const [id, pane] of this.#panes) if (this.#onScreen(id)) pane.tick();
    this.#inventory.sample((id) => inventoryFigures(this.#vmm, id));
    this.#host.update();
    this.#updateInventory();
    this.#logged();
  }

  #onScreen(id: string): boolean {
    return !this.#grid.hidden && (this.#layout === 'tiles' || id === this.#active);
  }
}

function nameOf(request: GuestRequest): string {
  if (request.kind === 'own') return request.source.name;
  return request.kind === 'catalogue' ? request.id : request.name;
}
