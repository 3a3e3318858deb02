/** Words and numbers for people. */
import type { CrashCause, GuestStats, GuestStatus } from '../vmm/index.ts';

/** What stands for the speed of a guest that does nothing. */
export const idleText = 'idle';

/** `0:07`, `12:34`, `1:02:03`. */
export function durationText(seconds: number): string {
  const whole = Math.floor(seconds);
  const two = (value: number) => String(value).padStart(2, '0');
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** Below this many million instructions a second a guest does its housekeeping, and nothing else. */
const idleMillions = 0.2;

/** Million instructions a second, with as many digits as mean something. */
export function speedText(millions: number): string {
  if (millions < idleMillions) return idleText;
  return `${millions < 10 ? millions.toFixed(1) : Math.round(millions)} M instr/s`;
}

/** What runs the guest's code: lately, and what has been compiled for it. */
export function tiersText({ compiledShare, compiler }: Pick<GuestStats, 'compiledShare' | 'compiler'>): string {
  if (compiler.regions === 0) return 'All of its code is interpreted.';
  const { regionsAlive, modulesAlive, milliseconds } = compiler;
  const plural = (n: number, what: string) => `${n} ${what}${n === 1 ? '' : 's'}`;
  return (
    `${Math.round(100 * compiledShare)} % by compiled code: ${plural(regionsAlive, 'region')} in ` +
    `${plural(modulesAlive, 'module')}; compiling took ${(milliseconds / 1000).toFixed(1)} s.`
  );
}

/**
 * What to call a guest: its name, and where another one has the same, the number at the end of its id or else the id. The
 * first of those that were numbered keeps its name alone.
 */
export function callName(guests: readonly { readonly id: string; readonly name: string }[], id: string): string {
  const name = guests.find((guest) => guest.id === id)?.name ?? id;
  const others = guests.filter((guest) => guest.id !== id && guest.name === name);
  if (others.length === 0) return name;
  const number = /-(\d+)$/.exec(id)?.[1];
  if (number !== undefined) return `${name} #${number}`;
  return others.every((other) => /-\d+$/.test(other.id)) ? name : `${name} · ${id}`;
}

/** One word for a badge. */
export function stateText(status: GuestStatus): string {
  switch (status.state) {
    case 'defined':
      return 'not started';
    case 'stopped':
      return status.cause.kind === 'poweredOff' ? 'powered off' : 'stopped';
    case 'failed':
      return 'not booted';
    default:
      return status.state;
  }
}

export interface Notice {
  readonly tone: 'neutral' | 'progress' | 'error';
  readonly title: string;
  readonly text: string;
}

/** What the page says above the console of a guest that does not simply run. */
export function noticeOf(status: GuestStatus): Notice | undefined {
  switch (status.state) {
    case 'running':
      return undefined;
    case 'paused':
      return { tone: 'neutral', title: 'Paused', text: 'Guest time stands still. Resume to go on.' };
    case 'defined':
      return { tone: 'neutral', title: 'Not started', text: 'Start boots it.' };
    case 'starting':
      return { tone: 'progress', title: 'Starting', text: `${status.step} …` };
    case 'failed':
      return { tone: 'error', title: 'It could not be started', text: status.message };
    case 'crashed':
      return { tone: 'error', title: 'The guest crashed', text: crashText(status.cause) };
    case 'stopped':
      return stoppedNotice(status.cause);
  }
}

function crashText({ kind, message }: CrashCause): string {
  const again = 'Start boots it again.';
  switch (kind) {
    case 'tripleFault':
      return message || 'A triple fault shut its processor down.';
    case 'coreTrapped':
      return `The processor core failed, which is a defect of Tabvisor: ${message}. ${again}`;
    case 'executorOutOfMemory':
      return `The browser had no memory left for the worker that ran it: ${message}. Close other guests and tabs. ${again}`;
    case 'executorDied':
      return `The worker that ran it died while it computed: ${message}. ${again}`;
  }
}

function stoppedNotice(cause: Extract<GuestStatus, { state: 'stopped' }>['cause']): Notice {
  const again = 'Start boots it again.';
  switch (cause.kind) {
    case 'poweredOff':
      return { tone: 'neutral', title: 'Powered off', text: `The guest shut itself down. ${again}` };
    case 'killed':
      return { tone: 'neutral', title: 'Stopped', text: `It was killed. ${again}` };
    case 'resetStopped':
      return { tone: 'neutral', title: 'Stopped', text: `It asked for a reset, and was not to reboot. ${again}` };
    case 'debugExit':
      return { tone: 'neutral', title: 'Stopped', text: `It ended with exit code ${cause.exitCode}. ${again}` };
  }
}
