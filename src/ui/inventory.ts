/**
 * The inventory at the left: the host, the catalogue, and every guest with its state, its use of a processor and its memory
 * (WAI-ARIA tabs pattern, vertical): arrows, Home and End move, Enter goes into what is shown, Delete closes, F2 shows the
 * settings, and the menu key or a right click what can be done.
 */
import { h, icon, setAttribute, setText, type IconName } from './dom.ts';
import { sparkline, type Sparkline } from './monitor/sparkline.ts';

export interface InventoryItem {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  /** For the tooltip. */
  readonly title: string;
  /** In place of the curve; empty where the guest runs. */
  readonly note: string;
}

/** Of a guest that runs. */
export interface InventoryFigures {
  readonly cpu: string;
  readonly memory: string;
  /** Percent, oldest first. */
  readonly curve: Float64Array;
}

/** What is shown beside the guests: keys that no guest has as its id. */
export const places = { host: ':host', catalogue: ':catalogue' } as const;

export interface InventoryActions {
  /** `enter`: what is shown shall get the keyboard. */
  readonly select: (key: string, enter: boolean) => void;
  readonly close: (id: string) => void;
  readonly settings: (id: string) => void;
  readonly menu: (id: string, at: { readonly x: number; readonly y: number }) => void;
}

export interface Inventory {
  readonly element: HTMLElement;
  update(items: readonly InventoryItem[], active: string): void;
  /** `figures`: undefined for a guest that does not run. */
  sample(figures: (id: string) => InventoryFigures | undefined): void;
  focus(id: string): void;
  paint(): void;
}

interface Entry {
  readonly tab: HTMLButtonElement;
  readonly name: HTMLElement;
  readonly note: HTMLElement;
  readonly cpu: HTMLElement;
  readonly memory: HTMLElement;
  readonly curve: Sparkline;
}

const curveWidth = 92;
const curveHeight = 18;

export function inventory(actions: InventoryActions): Inventory {
  const list = h('div', {
    class: 'inventory-list',
    role: 'tablist',
    'aria-orientation': 'vertical',
    'aria-label': 'Host, catalogue and guests',
  });
  const hint = h('p', { class: 'hint' }, 'No guest yet: boot one of the catalogue.');
  const element = h('nav', { class: 'inventory', 'aria-label': 'Inventory' }, list, hint);
  const buttons = new Map<string, HTMLButtonElement>();
  const entries = new Map<string, Entry>();

  addTab(places.host, placeTab('Host', 'host'));
  addTab(places.catalogue, placeTab('Catalogue', 'add'));

  function addTab(key: string, tab: HTMLButtonElement): HTMLButtonElement {
    tab.addEventListener('click', () => actions.select(key, true));
    tab.addEventListener('keydown', (event) => onKey(event, key));
    buttons.set(key, tab);
    list.append(tab);
    return tab;
  }

  function addGuest(id: string): Entry {
    const name = h('span', { class: 'item-name' });
    const note = h('span', { class: 'item-note' });
    const cpu = h('span', { class: 'item-cpu' });
    const memory = h('span', { class: 'item-memory' });
    const curve = sparkline(curveWidth, curveHeight);
    const dot = h('span', { class: 'dot', 'aria-hidden': 'true' });
    const tab = h(
      'button',
      { type: 'button', role: 'tab', class: 'item guest' },
      dot,
      name,
      cpu,
      note,
      curve.element,
      memory,
    );
    tab.setAttribute('aria-controls', `pane-${id}`);
    tab.addEventListener('contextmenu', (event) => {
      event.preventDefault();
      const { left, bottom } = tab.getBoundingClientRect();
      // By the keyboard it comes without a place.
      const byPointer = event.clientX > 0 || event.clientY > 0;
      actions.menu(id, byPointer ? { x: event.clientX, y: event.clientY } : { x: left + 24, y: bottom });
    });
    const entry = { tab: addTab(id, tab), name, note, cpu, memory, curve };
    entries.set(id, entry);
    return entry;
  }

  function onKey(event: KeyboardEvent, key: string): void {
    const keys = [...buttons.keys()];
    const at = keys.indexOf(key);
    const last = keys.length - 1;
    const steps: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowRight: at + 1,
      ArrowUp: at - 1,
      ArrowLeft: at - 1,
      Home: 0,
      End: last,
    };
    const to = steps[event.key];
    const guest = entries.has(key);
    if (to !== undefined) {
      const next = keys[(to + keys.length) % keys.length] ?? key;
      actions.select(next, false);
      buttons.get(next)?.focus();
    } else if (event.key === 'Enter' || event.key === 'F6') actions.select(key, true);
    else if (event.key === 'Delete' && guest) actions.close(key);
    else if (event.key === 'F2' && guest) actions.settings(key);
    else return;
    event.preventDefault();
  }

  return {
    element,
    update: (items, active) => {
      hint.hidden = items.length > 0;
      for (const [id, { tab }] of entries) {
        if (items.some((item) => item.id === id)) continue;
        tab.remove();
        entries.delete(id);
        buttons.delete(id);
      }
      for (const { id, name, state, title, note } of items) {
        const entry = entries.get(id) ?? addGuest(id);
        setText(entry.name, name);
        setText(entry.note, note);
        entry.note.hidden = note === '';
        entry.curve.element.hidden = note !== '';
        setAttribute(entry.tab, 'data-state', state);
        setAttribute(entry.tab, 'title', title);
        setAttribute(entry.tab, 'aria-label', `${name}: ${state}`);
      }
      for (const [key, tab] of buttons) {
        setAttribute(tab, 'aria-selected', String(key === active));
        setAttribute(tab, 'tabindex', key === active ? '0' : '-1');
      }
    },
    sample: (figures) => {
      for (const [id, { cpu, memory, curve }] of entries) {
        const now = figures(id);
        setText(cpu, now?.cpu ?? '');
        setText(memory, now?.memory ?? '');
        if (now !== undefined) curve.draw(now.curve);
      }
    },
    focus: (id) => buttons.get(id)?.focus(),
    paint: () => {
      for (const { curve } of entries.values()) curve.paint();
    },
  };
}

function placeTab(text: string, iconName: IconName): HTMLButtonElement {
  return h('button', { type: 'button', role: 'tab', class: 'item place' }, icon(iconName), h('span', {}, text));
}
