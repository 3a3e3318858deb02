/** The two kinds of hypervisor: what each means, the layers that it stands on, and the switch between them. */
import { messageOf, type Coordinator, type ProcessorMode, type ProcessorSettings } from '../../vmm/index.ts';
import { h, setText } from '../dom.ts';

interface Layer {
  readonly text: string;
  /** `ours`: Tabvisor's; `below`: what it stands on. */
  readonly whose: 'guest' | 'ours' | 'below';
  /** Several boxes side by side. */
  readonly parts?: readonly string[];
}

interface Kind {
  readonly mode: ProcessorMode;
  readonly title: string;
  readonly text: string;
  readonly layers: readonly Layer[];
}

const below: readonly Layer[] = [
  { text: 'Browser', whose: 'below' },
  { text: 'Operating system', whose: 'below' },
  { text: 'Hardware', whose: 'below' },
];

const kinds: readonly [Kind, Kind] = [
  {
    mode: 'hosted',
    title: 'Hosted (type 2)',
    text:
      'Each guest has an executor of its own, a thread of the browser. Browser and operating system decide who runs when, ' +
      'as they do for any other program.',
    layers: [
      { text: 'Guests', whose: 'guest', parts: ['Guest', 'Guest', 'Guest'] },
      { text: 'Executors', whose: 'ours', parts: ['Executor', 'Executor', 'Executor'] },
      ...below,
    ],
  },
  {
    mode: 'bare-metal',
    title: 'Bare-metal (type 1)',
    text:
      'The guests share as many executors as you grant processors. Tabvisor’s own credit scheduler decides who runs when, ' +
      'by weight, cap and time slice, as Xen does on a bare machine.',
    layers: [
      { text: 'Guests', whose: 'guest', parts: ['Guest', 'Guest', 'Guest'] },
      { text: 'Tabvisor’s credit scheduler', whose: 'ours' },
      { text: 'Processors', whose: 'ours', parts: ['Processor', 'Processor'] },
      ...below,
    ],
  },
];

const honest =
  'Tabvisor itself always stands on a browser, an operating system and hardware: bare-metal is a model of a type 1 ' +
  'hypervisor, whose processors are threads that the operating system may take away for a while.';

export interface ModeSwitch {
  readonly element: HTMLElement;
  update(): void;
}

/** `switched`: the settings are in effect. */
export function modeSwitch(vmm: Coordinator, switched: (settings: ProcessorSettings) => void): ModeSwitch {
  const radios = kinds.map(({ mode }) =>
    h('input', { type: 'radio', name: 'host-mode', value: mode, id: `host-mode-${mode}` }),
  );
  const cards = kinds.map((kind, n) => kindCard(kind, radios[n]));
  const count = h('input', { type: 'number', min: '1', step: '1', id: 'host-processors', inputmode: 'numeric' });
  const slice = h('input', {
    type: 'number',
    min: '1',
    max: '1000',
    step: '1',
    id: 'host-slice',
    inputmode: 'numeric',
  });
  const message = h('p', { class: 'hint', role: 'status' });
  const apply = h('button', { type: 'submit', class: 'button primary' }, 'Apply');
  const form = h(
    'form',
    { class: 'mode-form', novalidate: true },
    h('fieldset', { class: 'kinds' }, h('legend', {}, 'Kind of hypervisor'), ...cards),
    h(
      'div',
      { class: 'mode-settings' },
      h('label', { for: 'host-processors' }, 'Processors'),
      count,
      h('label', { for: 'host-slice' }, 'Time slice, ms'),
      slice,
      apply,
      message,
    ),
    h('p', { class: 'hint' }, honest),
  );
  const chosen = (): ProcessorMode => (radios[1]?.checked === true ? 'bare-metal' : 'hosted');
  /** What the fields say, as far as it can be; else what is wrong with it. */
  const problem = (): string => {
    const { available } = vmm.processorsNow;
    const whole = (input: HTMLInputElement, most: number): boolean =>
      /^\d+$/.test(input.value) && Number(input.value) >= 1 && Number(input.value) <= most;
    if (!whole(count, available))
      return `Processors: this host has ${available}, so a whole number from 1 to ${available}.`;
    return whole(slice, 1000) ? '' : 'Time slice: a whole number of milliseconds from 1 to 1000.';
  };

  function look(): void {
    const bare = chosen() === 'bare-metal';
    for (const input of [count, slice]) input.disabled = !bare;
    const wrong = bare ? problem() : '';
    setText(message, wrong);
    message.classList.toggle('wrong', wrong !== '');
    apply.disabled = wrong !== '';
    for (const [n, card] of cards.entries()) card.classList.toggle('chosen', radios[n]?.checked === true);
  }

  form.addEventListener('input', () => {
    dirty = true;
    look();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    setText(message, 'Switching …');
    const change = { mode: chosen(), count: Number(count.value), timeSliceMs: Number(slice.value) };
    vmm.processors(change).then(
      (settings) => {
        dirty = false;
        switched(settings);
        update();
        setText(message, 'In effect. Guests ran on meanwhile.');
      },
      (error: unknown) => setText(message, messageOf(error)),
    );
  });
  let dirty = false;
  let current: string | undefined;

  function update(): void {
    const { mode, count: granted, timeSliceMs, available } = vmm.processorsNow;
    for (const [n, card] of cards.entries()) card.classList.toggle('current', kinds[n]?.mode === mode);
    const key = `${mode} ${granted} ${timeSliceMs}`;
    if (dirty || key === current) return;
    current = key;
    for (const [n, { mode: of }] of kinds.entries()) {
      const radio = radios[n];
      if (radio !== undefined) radio.checked = of === mode;
    }
    count.max = String(available);
    count.value = String(granted);
    slice.value = String(timeSliceMs);
    look();
  }

  update();
  return { element: form, update };
}

function kindCard({ mode, title, text, layers }: Kind, radio: HTMLInputElement | undefined): HTMLElement {
  return h(
    'div',
    { class: 'kind' },
    h(
      'label',
      { for: `host-mode-${mode}`, class: 'kind-title' },
      radio,
      h('span', {}, title),
      h('span', { class: 'badge kind-badge' }, 'in effect'),
    ),
    h('p', {}, text),
    stack(layers),
  );
}

function stack(layers: readonly Layer[]): HTMLElement {
  return h(
    'ol',
    { class: 'stack', 'aria-label': 'Layers, from the top' },
    ...layers.map(({ text, whose, parts }) =>
      h(
        'li',
        { class: `layer ${whose}`, 'aria-label': text },
        ...(parts ?? [text]).map((part) => h('span', { 'aria-hidden': 'true' }, part)),
      ),
    ),
  );
}
