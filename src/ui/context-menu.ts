/** A menu at the pointer, or under what has the keyboard (WAI-ARIA menu pattern): arrows move, Escape leaves. */
import { h, icon, type IconName } from './dom.ts';

export interface MenuItem {
  readonly label: string;
  readonly icon: IconName | undefined;
  readonly act: () => void;
}

/** `at`: viewport coordinates. The menu is gone when something was chosen or the keyboard has left it. */
export function openMenu(
  label: string,
  items: readonly MenuItem[],
  at: { readonly x: number; readonly y: number },
): void {
  if (items.length === 0) return;
  const before = document.activeElement;
  const buttons = items.map(({ label: text, icon: name, act }) =>
    h(
      'button',
      { type: 'button', role: 'menuitem', class: 'menu-item', tabindex: '-1', onclick: () => (close(), act()) },
      name === undefined ? undefined : icon(name),
      h('span', {}, text),
    ),
  );
  const menu = h('div', { class: 'menu', role: 'menu', 'aria-label': label }, ...buttons);

  function close(): void {
    if (!menu.isConnected) return;
    menu.remove();
    removeEventListener('pointerdown', onPointer, true);
    if (before instanceof HTMLElement && before.isConnected) before.focus();
  }

  function onPointer(event: PointerEvent): void {
    if (event.target instanceof Node && !menu.contains(event.target)) close();
  }

  menu.addEventListener('keydown', (event) => {
    const focused = buttons.findIndex((one) => one === document.activeElement);
    const to = { ArrowDown: focused + 1, ArrowUp: focused - 1, Home: 0, End: items.length - 1 }[event.key];
    if (to !== undefined) buttons[(to + items.length) % items.length]?.focus();
    else if (event.key === 'Escape' || event.key === 'Tab') close();
    else return;
    event.preventDefault();
  });
  document.body.append(menu);
  const { width, height } = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(0, Math.min(at.x, innerWidth - width - 8))}px`;
  menu.style.top = `${Math.max(0, Math.min(at.y, innerHeight - height - 8))}px`;
  buttons[0]?.focus();
  addEventListener('pointerdown', onPointer, true);
}
