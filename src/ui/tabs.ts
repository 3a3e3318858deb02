/** The tabs of the guests (WAI-ARIA tabs pattern): arrows move, Enter goes into the console, Delete closes. */
import { h, icon, setAttribute, setText } from './dom.ts';

export interface Tab {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  /** For the tooltip. */
  readonly title: string;
}

export interface TabActions {
  /** `focus`: the console shall get the keyboard. An undefined id is the catalogue. */
  readonly select: (id: string | undefined, focus: boolean) => void;
  readonly close: (id: string) => void;
}

export interface TabStrip {
  readonly element: HTMLElement;
  update(tabs: readonly Tab[], active: string | undefined): void;
  focus(id: string | undefined): void;
}

const homeKey = '';

export function tabStrip(actions: TabActions): TabStrip {
  const element = h('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Guests' });
  const buttons = new Map<string, HTMLButtonElement>();

  function make(key: string): HTMLButtonElement {
    const home = key === homeKey;
    const tab = h(
      'button',
      {
        type: 'button',
        class: home ? 'tab home-tab' : 'tab',
        role: 'tab',
        onclick: () => actions.select(home ? undefined : key, true),
      },
      home ? icon('add') : h('span', { class: 'dot', 'aria-hidden': 'true' }),
      h('span', { class: 'tab-name' }),
    );
    if (!home) tab.setAttribute('aria-controls', `pane-${key}`);
    tab.addEventListener('keydown', (event) => onKey(event, key));
    buttons.set(key, tab);
    // The catalogue stays the last.
    element.insertBefore(tab, home ? null : (buttons.get(homeKey) ?? null));
    return tab;
  }

  function onKey(event: KeyboardEvent, key: string): void {
    const keys = [...element.querySelectorAll<HTMLButtonElement>('.tab')];
    const at = keys.findIndex((tab) => tab === buttons.get(key));
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      const next = keys[(at + step + keys.length) % keys.length];
      const nextKey = [...buttons].find(([, tab]) => tab === next)?.[0] ?? homeKey;
      actions.select(nextKey === homeKey ? undefined : nextKey, false);
    } else if (event.key === 'Delete' && key !== homeKey) {
      event.preventDefault();
      actions.close(key);
    } else if (event.key === 'ArrowDown' || event.key === 'F6') {
      event.preventDefault();
      actions.select(key === homeKey ? undefined : key, true);
    }
  }

  return {
    element,
    update: (tabs, active) => {
      if (element.hidden !== (tabs.length === 0)) element.hidden = tabs.length === 0;
      const keys = new Set([homeKey, ...tabs.map((tab) => tab.id)]);
      for (const [key, tab] of buttons) {
        if (keys.has(key)) continue;
        tab.remove();
        buttons.delete(key);
      }
      const home = buttons.get(homeKey) ?? make(homeKey);
      setText(home.querySelector('.tab-name') ?? home, 'Catalogue');
      for (const { id, name, state, title } of tabs) {
        const tab = buttons.get(id) ?? make(id);
        setText(tab.querySelector('.tab-name') ?? tab, name);
        setAttribute(tab, 'data-state', state);
        setAttribute(tab, 'title', title);
        setAttribute(tab, 'aria-label', `${name}: ${state}`);
      }
      for (const [key, tab] of buttons) {
        const selected = key === (active ?? homeKey);
        setAttribute(tab, 'aria-selected', String(selected));
        setAttribute(tab, 'tabindex', selected ? '0' : '-1');
      }
    },
    focus: (id) => buttons.get(id ?? homeKey)?.focus(),
  };
}
