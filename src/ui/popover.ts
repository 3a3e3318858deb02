/** A `details` element that behaves as a popover: it closes when one clicks or tabs away, and by Escape. */
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
