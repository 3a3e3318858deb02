/** How guests share the screen: tiled, or one at a time. Kept for the next visit where the browser stores anything. */
export type Layout = 'tiles' | 'tabs';

const layoutKey = 'tabvisor.layout';

export function readLayout(): Layout {
  try {
    return localStorage.getItem(layoutKey) === 'tabs' ? 'tabs' : 'tiles';
  } catch {
    return 'tiles';
  }
}

export function keepLayout(layout: Layout): void {
  try {
    localStorage.setItem(layoutKey, layout);
  } catch {
    // Without storage the choice holds for this visit.
  }
}
