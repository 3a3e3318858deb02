/** The memory of one guest: what it uses of what it has, and a slider for what it shall keep. */
import {
  messageOf,
  mostBalloonMiB,
  sizeText,
  type Coordinator,
  type GuestStats,
  type MemoryStatistics,
} from '../vmm/index.ts';
import { closeWhenLeft, h, setText } from './dom.ts';

const MiB = 2 ** 20;

const explanation =
  'What the guest gives up counts no longer as used, and is kept for this guest: as memory of a page never shrinks, the ' +
  'browser gets nothing back before the guest ends.';

export interface BalloonControl {
  readonly element: HTMLElement;
  /** Takes the present figures. */
  update(running: boolean, stats: GuestStats): void;
}

export function balloonControl(vmm: Coordinator, id: string, complain: (message: string) => void): BalloonControl {
  const name = `memory-kept-${id}`;
  const summary = h('summary', { title: 'Memory of this guest' });
  const slider = h('input', { type: 'range', id: name, step: '1', 'aria-describedby': `${name}-answer` });
  const wanted = h('output', { for: name });
  const answer = h('p', { class: 'hint', id: `${name}-answer`, role: 'status' });
  const figures = h('p', { class: 'hint' });
  const label = h('label', { for: name }, 'Memory that the guest keeps: ', wanted);
  const popover = h(
    'div',
    { class: 'popover above' },
    label,
    slider,
    answer,
    figures,
    h('p', { class: 'hint' }, explanation),
  );
  const element = h('details', { class: 'guest-memory' }, summary, popover);
  closeWhenLeft(element);

  const ramMiB = (): number => vmm.stats(id).ramBytes / MiB;
  slider.addEventListener('input', () => setText(wanted, `${slider.value} MiB`));
  slider.addEventListener('change', () => {
    vmm.setBalloon(id, ramMiB() - Number(slider.value)).catch((error: unknown) => complain(messageOf(error)));
  });
  element.addEventListener('toggle', () => update(!slider.disabled, vmm.stats(id)));

  function update(running: boolean, { ramBytes, memory }: GuestStats): void {
    slider.disabled = !running;
    setText(summary, `${sizeText(memory.residentBytes)} of ${sizeText(ramBytes)} used`);
    element.hidden = ramBytes === 0 || memory.balloonDriver === 'none';
    if (!element.open) return;
    // The guest's own figures are asked for while somebody looks.
    if (running) void vmm.askForMemoryStatistics(id).catch((error: unknown) => complain(messageOf(error)));
    slider.max = String(ramBytes / MiB);
    slider.min = String(ramBytes / MiB - mostBalloonMiB(ramBytes));
    if (document.activeElement !== slider) slider.value = String((ramBytes - memory.balloonTargetBytes) / MiB);
    setText(wanted, `${slider.value} MiB`);
    setText(answer, answerText(memory));
    setText(figures, figuresText(memory));
  }

  return { element, update };
}

/** What the guest makes of it. */
export function answerText({ balloonDriver, balloonedBytes, balloonTargetBytes }: MemoryStatistics): string {
  if (balloonDriver === 'failed') return 'The guest’s balloon driver broke the rules: it must be loaded again.';
  if (balloonDriver !== 'ready') return 'The guest has no balloon driver (virtio_balloon) loaded: it does not answer.';
  if (balloonedBytes === balloonTargetBytes) {
    return balloonedBytes === 0 ? 'It has all of it.' : `It gave up ${sizeText(balloonedBytes)}.`;
  }
  return `It gave up ${sizeText(balloonedBytes)} of ${sizeText(balloonTargetBytes)} so far.`;
}

function figuresText({ residentBytes, reportedFreeBytes, guest }: MemoryStatistics): string {
  const own =
    guest === undefined
      ? ''
      : ` The guest itself has ${sizeText(guest.freeBytes)} of ${sizeText(guest.totalBytes)} free.`;
  return `${sizeText(residentBytes)} hold something, ${sizeText(reportedFreeBytes)} it reported as free.${own}`;
}
