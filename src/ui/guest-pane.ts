/**
 * The pane of one guest: its name and state, what one can do with it, a notice where there is something to say, and its
 * tabs: console, monitor, settings, events.
 */
import { messageOf, sizeText, type Coordinator, type GuestStatus } from '../vmm/index.ts';
import { balloonControl } from './balloon-control.ts';
import type { MenuItem } from './context-menu.ts';
import { button, h, iconButton, setAttribute, setText, type IconName } from './dom.ts';
import { durationText, idleText, noticeOf, speedText, stateText, tiersText, type Notice } from './format.ts';
import { eventList } from './monitor/event-list.ts';
import { guestMonitor } from './monitor/guest-monitor.ts';
import { settingsView } from './settings-view.ts';
import { subTabs } from './sub-tabs.ts';
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
  /** Takes the monitor's last sample. */
  tick(): void;
  /** An event has been logged. */
  logged(): void;
  /** What can be done with it now. */
  actions(): readonly MenuItem[];
  showSettings(): void;
  /** What state it is in, for its tooltip. */
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
  const keep = iconButton('Keep it for the next visit', 'keep', () =>
    act(vmm.definitions.keep(id).then(options.onKept)),
  );
  const title = h('h2', {}, name);
  const badge = h('span', { class: 'badge' });
  const facts = h('span', { class: 'facts' });
  const banner = noticeBanner();
  const balloon = balloonControl(vmm, id, complain);
  const monitor = guestMonitor(vmm, id);
  const settings = settingsView(vmm, id);
  const events = eventList(vmm, id);
  const panels = {
    console: h('div', { class: 'panel console-panel' }, terminal.element),
    monitor: h('div', { class: 'panel scroll' }, monitor.element),
    settings: h('div', { class: 'panel scroll' }, settings.element),
    events: h('div', { class: 'panel scroll' }, events.element),
  };
  const tabs = subTabs<keyof typeof panels>(
    `pane-${id}`,
    'Views of this guest',
    [
      { key: 'console', label: 'Console', panel: panels.console },
      { key: 'monitor', label: 'Monitor', panel: panels.monitor },
      { key: 'settings', label: 'Settings', panel: panels.settings },
      { key: 'events', label: 'Events', panel: panels.events },
    ],
    showPanel,
  );
  let shown: { speed: string | undefined; atMs: number } = { speed: undefined, atMs: 0 };
  const element = h(
    'section',
    { class: 'pane', 'aria-label': name, 'data-guest': id, id: `pane-${id}` },
    h(
      'header',
      { class: 'pane-head' },
      h('div', { class: 'pane-name' }, title, badge),
      tabs.element,
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
      ),
    ),
    banner.element,
    ...Object.values(panels),
    h('footer', { class: 'pane-foot' }, facts, balloon.element, h('span', { class: 'hint' }, 'F6 leaves the console')),
  );
  element.addEventListener('focusin', options.onFocus);
  const unlisten = vmm.onConsole(id, (bytes) => terminal.write(bytes));
  let before: GuestStatus['state'] = vmm.get(id).status.state;

  /** What needs a guest that is there: what comes of a clone shows by itself, as a guest of its own. */
  function memoryActions(): readonly MenuItem[] {
    return [
      { label: 'Clone', icon: 'copy', act: () => act(vmm.clone(id).then(() => undefined)) },
      { label: 'Compact its memory', icon: 'download', act: () => act(vmm.compact(id).then(() => undefined)) },
    ];
  }

  function showPanel(key: keyof typeof panels): void {
    if (key === 'console') terminal.fit();
    if (key === 'monitor') monitor.update();
    if (key === 'settings') settings.show();
    if (key === 'events') events.update();
  }

  /** A request that was refused; the state stays what it is, and its notice comes back with the next change. */
  function complain(message: string): void {
    if (vmm.get(id).status.state !== 'failed')
      banner.show({ tone: 'error', title: 'That did not work', text: message });
  }

  function showSettings(): void {
    tabs.select('settings');
    settings.focus();
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
    if (tabs.selected === 'settings') settings.show();
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
    if (tabs.selected === 'monitor') monitor.update();
    const stats = vmm.stats(id);
    const speed = status.state === 'running' ? speedText(stats.millionInstructionsPerSecond) : undefined;
    const now = performance.now();
    balloon.update(status.state === 'running', stats);
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
    logged: () => {
      if (tabs.selected === 'events') events.update();
    },
    actions: () => [
      ...[start, resume, pause, reset, powerOff, kill, keep, close].filter((one) => !one.hidden).map(menuItem),
      ...(['running', 'paused'].includes(vmm.get(id).status.state) ? memoryActions() : []),
      { label: 'Monitor', icon: 'host', act: () => tabs.select('monitor') },
      { label: 'Settings', icon: 'edit', act: showSettings },
    ],
    showSettings,
    summary: () => stateText(vmm.get(id).status),
    focus: () => {
      const { state } = vmm.get(id).status;
      if (tabs.selected !== 'console')
        panels[tabs.selected].querySelector<HTMLElement>('button, input, select')?.focus();
      else if (state === 'running' || state === 'paused') terminal.focus();
      else start.focus();
    },
    layOut: () => terminal.fit(),
    paint: () => {
      terminal.paint();
      monitor.paint();
    },
    dispose: () => {
      unlisten();
      monitor.dispose();
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
      h('div', { class: 'pane-name' }, h('h2', {}, name), h('span', { class: 'badge' }, 'not booted')),
      h('span'),
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
    logged: () => {},
    actions: () => [menuItem(remove)],
    showSettings: () => {},
    summary: () => 'not booted',
    focus: () => remove.focus(),
    layOut: () => {},
    paint: () => {},
    dispose: () => element.remove(),
  };
}

/** The same as a button does. */
function menuItem(control: HTMLButtonElement): MenuItem {
  const iconClass = control.querySelector('.icon')?.classList[1];
  return {
    label: control.textContent || control.title,
    icon: iconClass?.replace('icon-', '') as IconName | undefined,
    act: () => control.click(),
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
