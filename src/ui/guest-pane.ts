/** The pane of one guest: its name and state, what one can do with it, a notice where there is something to say, and
 * its console. */
import { messageOf, sizeText, type Coordinator, type GuestStatus } from '../vmm/index.ts';
import { balloonControl } from './balloon-control.ts';
import { button, h, iconButton, setAttribute, setText } from './dom.ts';
import { durationText, idleText, noticeOf, speedText, stateText, tiersText, type Notice } from './format.ts';
import { editGuest } from './guests-view.ts';
import { GuestTerminal } from './terminal.ts';

export interface PaneOptions {
  readonly onFocus: () => void;
  readonly onLeave: () => void;
  /** The user wants the pane gone. */
  readonly onClose: () => void;
  /** The guest lasts from now on. */
  readonly onKept: () => void;
}

export interface Pane {
  readonly id: string;
  readonly name: string;
  readonly element: HTMLElement;
  /** False for something that never became a guest. */
  readonly guest: boolean;
  /** State, for the tab; undefined for something that never became a guest. */
  status(): GuestStatus | undefined;
  /** Takes the guest's present state. */
  update(): void;
  /** Takes the counters; cheap, called twice a second. */
  tick(): void;
  /** A line for the tab's tooltip and the page's title. */
  summary(): string;
  focus(): void;
  layOut(): void;
  paint(): void;
  dispose(): void;
}

/** The facts of a guest that idles stand for so long: for each change the browser lays out, paints and composites. */
const idleFactsMs = 10_000;

export function guestPane(vmm: Coordinator, id: string, options: PaneOptions): Pane {
  const { name } = vmm.get(id);
  const terminal = new GuestTerminal({
    label: `Console of ${name}. F6 leaves it.`,
    onInput: (text) => void vmm.type(id, text).catch(() => undefined),
    onLeave: options.onLeave,
  });
  const act = (what: Promise<void>) => void what.catch((error: unknown) => complain(messageOf(error)));
  const start = button('Start', 'start', () => act(vmm.start(id).then(() => terminal.focus())), 'Boot the guest');
  start.classList.add('primary');
  const pause = button('Pause', 'pause', () => act(vmm.pause(id)), 'Stop its processor; guest time stands still');
  const resume = button('Resume', 'start', () => act(vmm.resume(id).then(() => terminal.focus())), 'Go on');
  const reset = button('Reset', 'reset', () => act(vmm.reset(id)), 'Press the reset button');
  const powerOff = button('Power off', 'power', () => act(vmm.powerOff(id)), 'Press the power button: it shuts down');
  const kill = button('Kill', 'kill', () => act(vmm.kill(id)), 'End it at once, whatever it does');
  const close = button('Close', 'kill', options.onClose, 'Take it off the screen');
  const edit = iconButton('Edit', 'edit', () => act(editGuest(vmm, id)));
  const keep = iconButton('Keep it for the next visit', 'keep', () =>
    act(vmm.definitions.keep(id).then(options.onKept)),
  );
  const title = h('h2', {}, name);
  const badge = h('span', { class: 'badge' });
  const facts = h('span', { class: 'facts' });
  const banner = noticeBanner();
  const balloon = balloonControl(vmm, id, complain);
  let shown: { speed: string | undefined; atMs: number } = { speed: undefined, atMs: 0 };
  const element = h(
    'section',
    { class: 'pane', 'aria-label': name, 'data-guest': id, id: `pane-${id}` },
    h(
      'header',
      { class: 'pane-head' },
      title,
      badge,
      h(
        'div',
        { class: 'toolbar', role: 'toolbar', 'aria-label': `Control of ${name}` },
        start,
        resume,
        pause,
        reset,
        powerOff,
        kill,
        close,
        keep,
        edit,
      ),
    ),
    banner.element,
    terminal.element,
    h('footer', { class: 'pane-foot' }, facts, balloon.element, h('span', { class: 'hint' }, 'F6 leaves the console')),
  );
  element.addEventListener('focusin', options.onFocus);
  const unlisten = vmm.onConsole(id, (bytes) => terminal.write(bytes));
  let before: GuestStatus['state'] = vmm.get(id).status.state;

  /** A request that was refused; the state stays what it is, and its notice comes back with the next change. */
  function complain(message: string): void {
    if (vmm.get(id).status.state !== 'failed')
      banner.show({ tone: 'error', title: 'That did not work', text: message });
  }

  function update(): void {
    const { status, kept, name: called } = vmm.get(id);
    const { state } = status;
    setText(title, called);
    setAttribute(element, 'aria-label', called);
    // A new life starts with an empty screen; that of the last stays to be read until then.
    if (state === 'starting' && before !== 'starting') terminal.clear();
    before = state;
    const alive = state === 'running' || state === 'paused';
    const visible = new Map<HTMLButtonElement, boolean>([
      [start, !alive && state !== 'starting'],
      [pause, state === 'running'],
      [resume, state === 'paused'],
      [reset, state === 'running'],
      [powerOff, state === 'running'],
      [kill, alive || state === 'starting'],
      [close, !alive && state !== 'starting'],
      [keep, !kept],
    ]);
    const hadFocus = document.activeElement;
    for (const [control, shown] of visible) control.hidden = !shown;
    // A button that goes away under the keyboard hands the focus to its successor.
    if (hadFocus instanceof HTMLButtonElement && visible.get(hadFocus) === false) {
      [...visible].find(([, shown]) => shown)?.[0].focus();
    }
    element.dataset['state'] = state;
    setText(badge, stateText(status));
    banner.show(noticeOf(status));
    tick();
  }

  function tick(): void {
    const { status } = vmm.get(id);
    const stats = vmm.stats(id);
    const speed = status.state === 'running' ? speedText(stats.millionInstructionsPerSecond) : undefined;
    const now = performance.now();
    balloon.update(status.state === 'running');
    if (speed === idleText && shown.speed === idleText && now - shown.atMs < idleFactsMs) return;
    shown = { speed, atMs: now };
    const parts = speed === undefined ? [] : [speed];
    if (stats.instructions > 0) parts.push(`up ${durationText(stats.uptimeSeconds)}`);
    parts.push(sizeText(stats.ramBytes || vmm.get(id).definition.memoryMiB * 2 ** 20));
    setText(facts, parts.join(' · '));
    const tiers = status.state === 'running' ? tiersText(stats) : '';
    if (facts.title !== tiers) facts.title = tiers;
  }

  update();
  return {
    id,
    get name() {
      return vmm.get(id).name;
    },
    element,
    guest: true,
    status: () => vmm.get(id).status,
    update,
    tick,
    summary: () => `${stateText(vmm.get(id).status)} · ${facts.textContent ?? ''}`,
    focus: () => (['running', 'paused'].includes(vmm.get(id).status.state) ? terminal.focus() : start.focus()),
    layOut: () => terminal.fit(),
    paint: () => terminal.paint(),
    dispose: () => {
      unlisten();
      terminal.dispose();
      element.remove();
    },
  };
}

/** A pane for what was asked for and never became a guest: it says why. */
export function failedPane(id: string, name: string, message: string, close: () => void): Pane {
  const banner = noticeBanner();
  banner.show({ tone: 'error', title: 'It could not be booted', text: message });
  const remove = button('Close', 'kill', close, 'Take it off the screen');
  const element = h(
    'section',
    { class: 'pane', 'aria-label': name, 'data-guest': id, 'data-state': 'failed', id: `pane-${id}` },
    h(
      'header',
      { class: 'pane-head' },
      h('h2', {}, name),
      h('span', { class: 'badge' }, 'not booted'),
      h('div', { class: 'toolbar' }, remove),
    ),
    banner.element,
    h('div', { class: 'console' }),
  );
  return {
    id,
    name,
    element,
    guest: false,
    status: () => undefined,
    update: () => {},
    tick: () => {},
    summary: () => 'not booted',
    focus: () => remove.focus(),
    layOut: () => {},
    paint: () => {},
    dispose: () => element.remove(),
  };
}

function noticeBanner(): { element: HTMLElement; show: (notice: Notice | undefined) => void } {
  const title = h('strong');
  const text = h('span', { class: 'notice-text' });
  const element = h('div', { class: 'notice', hidden: true }, title, text);
  return {
    element,
    show: (notice) => {
      element.hidden = notice === undefined;
      if (notice === undefined) return;
      element.dataset['tone'] = notice.tone;
      element.setAttribute('role', notice.tone === 'error' ? 'alert' : 'status');
      setText(title, notice.title);
      setText(text, notice.text);
    },
  };
}
