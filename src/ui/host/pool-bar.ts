/** The memory pool as a bar: the budget, what guests have reserved of it, and what of that holds something. */
import { messageOf, parseMemoryMiB, type Coordinator, type MonitorSnapshot } from '../../vmm/index.ts';
import { h, setText } from '../dom.ts';
import { bytesText } from '../monitor/numbers.ts';

const mib = 2 ** 20;

export interface PoolBar {
  readonly element: HTMLElement;
  update(snapshot: MonitorSnapshot): void;
}

export function poolBar(vmm: Coordinator): PoolBar {
  const parts = [
    { name: 'Resident', hint: 'of guests’ RAM, in use' },
    { name: 'Reserved', hint: 'by guests that run' },
    { name: 'Kept', hint: 'for the next guest' },
    { name: 'Budget', hint: 'for all guests' },
  ].map(({ name, hint }) => {
    const value = h('dd', { class: 'figure' });
    const swatch = h('span', { class: `swatch pool-${name.toLowerCase()}` });
    const element = h(
      'div',
      { class: 'tile' },
      h('dt', {}, swatch, name),
      value,
      h('dd', { class: 'figure-note' }, hint),
    );
    return { element, value };
  });
  const [resident, reserved, kept] = ['resident', 'reserved', 'kept'].map((name) =>
    h('span', { class: `pool-part pool-${name}` }),
  );
  const bar = h('div', { class: 'pool-bar', role: 'img' }, resident, reserved, kept);
  const input = h('input', {
    type: 'text',
    id: 'host-budget',
    inputmode: 'numeric',
    'aria-describedby': 'host-budget-note',
  });
  const note = h('p', { class: 'hint', id: 'host-budget-note', role: 'status' });
  const apply = h('button', { type: 'submit', class: 'button' }, 'Change');
  const form = h(
    'form',
    { class: 'budget-form', novalidate: true },
    h('label', { for: 'host-budget' }, 'Budget'),
    input,
    apply,
    note,
  );
  const wanted = (): number | undefined => parseMemoryMiB(input.value);
  input.addEventListener('input', () => {
    const wrong = wanted() === undefined;
    input.setAttribute('aria-invalid', String(wrong));
    apply.disabled = wrong;
    setText(note, wrong ? 'A size such as 512M or 2G, at least 16M.' : '');
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const size = wanted();
    if (size === undefined) return;
    vmm.setMemoryBudget(size).then(
      () => setText(note, 'Guests that run keep what they have; it counts for the next.'),
      (error: unknown) => setText(note, messageOf(error)),
    );
  });
  return {
    element: h(
      'div',
      { class: 'pool' },
      bar,
      h('dl', { class: 'tiles' }, ...parts.map(({ element }) => element)),
      form,
    ),
    update: ({ host }) => {
      const { usedBytes, keptBytes, limitBytes } = vmm.memory;
      // Of guests that have just ended the last sample still tells.
      const residentBytes = Math.min(host.memory.residentBytes, usedBytes);
      const most = Math.max(limitBytes, usedBytes + keptBytes, 1);
      const percent = (bytes: number): string => `${((100 * bytes) / most).toFixed(2)}%`;
      if (resident !== undefined) resident.style.width = percent(residentBytes);
      if (reserved !== undefined) reserved.style.width = percent(usedBytes - residentBytes);
      if (kept !== undefined) kept.style.width = percent(keptBytes);
      const figures = [residentBytes, usedBytes, keptBytes, limitBytes].map(bytesText);
      for (const [n, { value }] of parts.entries()) setText(value, figures[n] ?? '');
      const label = `Memory: ${figures[0]} resident, ${figures[1]} reserved, ${figures[2]} kept, of ${figures[3]}`;
      if (bar.getAttribute('aria-label') !== label) bar.setAttribute('aria-label', label);
      if (
        input !== document.activeElement &&
        wanted() !== limitBytes / mib &&
        input.getAttribute('aria-invalid') !== 'true'
      ) {
        input.value = `${Math.round(limitBytes / mib)}M`;
      }
    },
  };
}
