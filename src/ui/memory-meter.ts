/** The memory that guests take of what they may, and the setting of the limit. */
import { messageOf, parseMemoryMiB, sizeText, type Coordinator } from '../vmm/index.ts';
import { closeWhenLeft, h, setText } from './dom.ts';

const MiB = 2 ** 20;

export function memoryMeter(vmm: Coordinator): { element: HTMLElement; update: () => void } {
  const used = h('span', { class: 'meter-used' });
  const kept = h('span', { class: 'meter-kept' });
  const bar = h('span', { class: 'meter-bar', 'aria-hidden': 'true' }, used, kept);
  const text = h('span', { class: 'meter-text' });
  const input = h('input', { type: 'number', min: '16', step: '1', id: 'memory-limit', inputmode: 'numeric' });
  const detail = h('p', { class: 'hint' });
  const form = h(
    'form',
    { class: 'popover' },
    h('label', { for: 'memory-limit' }, 'Memory limit for all guests, in MiB'),
    h('div', { class: 'row' }, input, h('button', { type: 'submit', class: 'button primary' }, 'Set')),
    detail,
  );
  const details = h('details', { class: 'meter' }, h('summary', { title: 'Memory of all guests' }, bar, text), form);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const mib = parseMemoryMiB(input.value);
    if (mib === undefined) {
      input.setCustomValidity('At least 16 MiB');
      input.reportValidity();
      return;
    }
    vmm.setMemoryBudget(mib).then(
      () => (details.open = false),
      (error: unknown) => {
        input.setCustomValidity(messageOf(error));
        input.reportValidity();
      },
    );
  });
  input.addEventListener('input', () => input.setCustomValidity(''));
  closeWhenLeft(details);
  const update = () => {
    const usage = vmm.memory;
    const percent = (bytes: number) => `${Math.min(100, (100 * bytes) / Math.max(1, usage.limitBytes))}%`;
    used.style.width = percent(usage.usedBytes);
    kept.style.width = percent(Math.min(usage.keptBytes, Math.max(0, usage.limitBytes - usage.usedBytes)));
    details.classList.toggle('full', usage.usedBytes > usage.limitBytes * 0.9);
    setText(text, `${sizeText(usage.usedBytes)} of ${sizeText(usage.limitBytes)}`);
    const reserved = usage.holders.map(({ holder, bytes }) => `${sizeText(bytes)} by ${holder}`).join(', ');
    setText(
      detail,
      (reserved === '' ? '' : `Reserved: ${reserved}. `) +
        `${usage.memories} of at most ${usage.maximumMemories} memories; ${sizeText(usage.keptBytes)} kept for reuse. ` +
        'Guests that run keep what they have; the limit counts for the next.',
    );
    if (document.activeElement !== input) input.value = String(Math.round(usage.limitBytes / MiB));
  };
  update();
  return { element: details, update };
}
