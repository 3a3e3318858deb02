/** The memory that guests take of what they may, and the setting of the limit. */
import { parseMemoryMiB, sizeText, type Coordinator } from '../vmm/index.ts';
import { closeWhenLeft, h, setText } from './dom.ts';

const storageKey = 'tabvisor.memoryLimitMiB';
const MiB = 2 ** 20;

/** The limit of the last visit, or half of what the device says that it has, at most 4 GiB. */
export function initialMemoryLimitBytes(): number {
  const stored = parseMemoryMiB(readStored() ?? '');
  if (stored !== undefined) return stored * MiB;
  const deviceGiB = (navigator as { deviceMemory?: number }).deviceMemory ?? 4;
  return Math.min(4, Math.max(1, deviceGiB / 2)) * 1024 * MiB;
}

function readStored(): string | null {
  try {
    return localStorage.getItem(storageKey);
  } catch {
    return null;
  }
}

/** Sets the limit, and keeps it for the next visit. */
export function setMemoryLimit(vmm: Coordinator, bytes: number): void {
  vmm.setMemoryLimit(bytes);
  try {
    localStorage.setItem(storageKey, String(Math.round(bytes / MiB)));
  } catch {
    // Without storage the limit holds for this visit.
  }
}

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
    setMemoryLimit(vmm, mib * MiB);
    details.open = false;
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
    setText(
      detail,
      `${usage.memories} of at most ${usage.maximumMemories} memories; ${sizeText(usage.keptBytes)} kept for reuse. ` +
        'Guests that run keep what they have; the limit counts for the next.',
    );
    if (document.activeElement !== input) input.value = String(Math.round(usage.limitBytes / MiB));
  };
  update();
  return { element: details, update };
}
