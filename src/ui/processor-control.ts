/** The switch between the two kinds of hypervisor, and how many processors are granted in bare-metal mode. */
import { messageOf, type Coordinator, type ProcessorMode } from '../vmm/index.ts';
import { rememberProcessors } from './address.ts';
import { closeWhenLeft, h, setText } from './dom.ts';

const modes: readonly { readonly mode: ProcessorMode; readonly text: string }[] = [
  { mode: 'hosted', text: 'Hosted: browser and system schedule' },
  { mode: 'bare-metal', text: 'Bare-metal: Tabvisor schedules' },
];

export function processorControl(vmm: Coordinator): { element: HTMLElement; update: () => void } {
  const text = h('span', { class: 'meter-text' });
  const mode = h(
    'select',
    { id: 'processor-mode' },
    ...modes.map((entry) => h('option', { value: entry.mode }, entry.text)),
  );
  const count = h('input', { type: 'number', min: '1', step: '1', id: 'processor-count', inputmode: 'numeric' });
  const hint = h('p', { class: 'hint', role: 'status' });
  const form = h(
    'form',
    { class: 'popover' },
    h('label', { for: 'processor-mode' }, 'Kind of hypervisor'),
    mode,
    h('label', { for: 'processor-count' }, 'Processors granted in bare-metal mode'),
    h('div', { class: 'row' }, count, h('button', { type: 'submit', class: 'button primary' }, 'Set')),
    hint,
  );
  const details = h('details', { class: 'meter' }, h('summary', { title: 'Processors' }, text), form);
  closeWhenLeft(details);
  const about =
    'Hosted: each guest has a thread of its own. Bare-metal: the guests share as many threads as you grant processors, ' +
    'by weight and time slice. Guests run on while you switch. Both stand on your browser.';
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    setText(hint, 'Switching …');
    const change = { mode: mode.value as ProcessorMode, count: Number(count.value) };
    vmm.processors(change).then(
      () => {
        details.open = false;
        rememberProcessors(change);
        setText(hint, about);
      },
      (error: unknown) => setText(hint, messageOf(error)),
    );
  });
  const update = (): void => {
    const now = vmm.processorsNow;
    setText(text, now.mode === 'hosted' ? 'Hosted' : `Bare-metal, ${now.count} of ${now.available}`);
    count.max = String(now.available);
    if (details.open) return;
    mode.value = now.mode;
    count.value = String(now.count);
    setText(hint, about);
  };
  update();
  return { element: details, update };
}
