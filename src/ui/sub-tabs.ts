/** A row of tabs within a view (WAI-ARIA tabs pattern): arrows, Home and End move; each shows its panel. */
import { h, setAttribute } from './dom.ts';

export interface SubTab<Key extends string> {
  readonly key: Key;
  readonly label: string;
  readonly panel: HTMLElement;
}

export interface SubTabs<Key extends string> {
  readonly element: HTMLElement;
  readonly selected: Key;
  select(key: Key): void;
}

/** `prefix`: for ids, unique in the page. */
export function subTabs<Key extends string>(
  prefix: string,
  label: string,
  tabs: readonly [SubTab<Key>, ...SubTab<Key>[]],
  shown: (key: Key) => void,
): SubTabs<Key> {
  let selected = tabs[0].key;
  const buttons = tabs.map(({ key, label: text, panel }, n) => {
    const tab = h('button', { type: 'button', role: 'tab', class: 'sub-tab', id: `${prefix}-tab-${key}` }, text);
    panel.id = `${prefix}-panel-${key}`;
    panel.setAttribute('role', 'tabpanel');
    panel.setAttribute('aria-labelledby', tab.id);
    tab.setAttribute('aria-controls', panel.id);
    tab.addEventListener('click', () => select(key));
    tab.addEventListener('keydown', (event) => {
      const to = { ArrowRight: n + 1, ArrowLeft: n - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const at = (to + tabs.length) % tabs.length;
      buttons[at]?.focus();
      select(tabs[at]?.key ?? key);
    });
    return tab;
  });

  function arrange(): void {
    for (const [n, { key, panel }] of tabs.entries()) {
      const tab = buttons[n];
      if (tab === undefined) continue;
      setAttribute(tab, 'aria-selected', String(key === selected));
      setAttribute(tab, 'tabindex', key === selected ? '0' : '-1');
      panel.hidden = key !== selected;
    }
  }

  function select(key: Key): void {
    selected = key;
    arrange();
    shown(key);
  }

  arrange();
  return {
    element: h('div', { class: 'sub-tabs', role: 'tablist', 'aria-label': label }, ...buttons),
    get selected() {
      return selected;
    },
    select,
  };
}
