/** Makes DOM trees without a framework. */

export type Child = Node | string | undefined;

export interface Attributes {
  readonly class?: string;
  readonly onclick?: (event: MouseEvent) => void;
  readonly [attribute: string]: string | boolean | ((event: MouseEvent) => void) | undefined;
}

/** An element with attributes (`true` is present, `false` and undefined are not) and children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener('click', value as EventListener);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/** Sets text only where it changes, so that screen readers and selections are left in peace. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets an attribute only where it changes: any write makes the browser draw a frame. */
export function setAttribute(element: Element, name: string, value: string): void {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** Paths on a 16 × 16 grid, drawn with the text's colour. */
const iconPaths = {
  start: 'M5 3.200v9.600L12.5 8z',
  pause: 'M4.5 3h2.500v10H4.500zM9 3h2.500v10H9z',
  reset: 'M12.9 8a4.9 4.9 0 1 1-1.5-3.500M12.9 2.200v2.900H10',
  power: 'M8 2v5.500M4.7 4.200a5 5 0 1 0 6.6 0',
  kill: 'M4 4l8 8M12 4l-8 8',
  add: 'M8 3.200v9.600M3.2 8h9.6',
  tiles: 'M2.5 3.500h5v9h-5zM8.5 3.500h5v9h-5z',
  tabs: 'M2.5 5.500h11v7.500h-11zM2.5 5.500v-2.500h4.500v2.5',
  edit: 'M3 13l.7-3.200L10.7 3.200l2.100 2.100L5.800 12.300z',
  copy: 'M5.500 5.500h7.500v7.500h-7.500zM3 10.500v-7.500h7.500',
  keep: 'M4 2.500h8v11L8 10.500l-4 3z',
  download: 'M8 2.500v7.500M4.700 7L8 10.300 11.300 7M3 13h10',
  upload: 'M8 10.500v-7.500M4.700 6L8 2.700 11.300 6M3 13h10',
  trash: 'M3 4.500h10M6 4.500v-2h4v2M4.500 4.500l.6 9h5.800l.6-9',
  host: 'M4.5 4.500h7v7h-7zM6.5 2v2.500M9.5 2v2.500M6.5 11.500v2.500M9.5 11.500v2.500M2 6.500h2.500M2 9.500h2.500M11.5 6.500h2.500M11.5 9.500h2.500',
  theme: 'M8 2.500a5.5 5.5 0 1 0 0 11zM8 2.500a5.5 5.5 0 0 1 0 11',
} as const;

export type IconName = keyof typeof iconPaths;

export function icon(name: IconName): SVGSVGElement {
  const namespace = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(namespace, 'svg');
  const path = document.createElementNS(namespace, 'path');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('class', `icon icon-${name}`);
  svg.setAttribute('aria-hidden', 'true');
  path.setAttribute('d', iconPaths[name]);
  svg.append(path);
  return svg;
}

/** A button with an icon alone; `label` is for those who cannot see it, and the tooltip. */
export function iconButton(label: string, iconName: IconName, act: () => void): HTMLButtonElement {
  const element = h('button', {
    type: 'button',
    class: 'button quiet',
    title: label,
    'aria-label': label,
    onclick: act,
  });
  element.append(icon(iconName));
  return element;
}

/** A button with an icon and a label. */
export function button(
  label: string,
  iconName: IconName | undefined,
  act: () => void,
  title?: string,
): HTMLButtonElement {
  return h(
    'button',
    { type: 'button', class: 'button', title, onclick: act },
    iconName === undefined ? undefined : icon(iconName),
    h('span', { class: 'label' }, label),
  );
}

/** Closes a popover when the pointer or the keyboard goes elsewhere, or by Escape. */
export function closeWhenLeft(details: HTMLDetailsElement): void {
  const close = (event: Event) => {
    if (details.open && event.target instanceof Node && !details.contains(event.target)) details.open = false;
  };
  document.addEventListener('pointerdown', close);
  document.addEventListener('focusin', close);
  details.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return;
    details.open = false;
    details.querySelector('summary')?.focus();
  });
}
