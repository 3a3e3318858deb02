/**
 * What happened in this page, with causes: the last so many entries. It hears the coordinator's events, and writes down
 * what differs from before.
 */
import { sizeText } from '../errors.ts';
import type { CrashCause, GuestStatus, StopCause } from '../guest-status.ts';
import type { ProcessorSettings } from '../processors/share.ts';

export type LogKind =
  | 'guestAdded'
  | 'guestRemoved'
  | 'starting'
  | 'running'
  | 'paused'
  | 'stopped'
  | 'crashed'
  | 'startFailed'
  /** The memory pool had no room for a guest. */
  | 'admissionRefused'
  /** A worker died while its guest was at rest, and another one goes on. */
  | 'executorReplaced'
  /** Mode, number of processors or time slice have changed. */
  | 'processors'
  /** The memory limit of all guests has changed. */
  | 'memoryLimit'
  /** A guest was asked to give up memory or to take it back; it has answered. */
  | 'balloonAsked'
  | 'balloonAnswered';

export type LogTone = 'neutral' | 'good' | 'warning' | 'error';

export interface LogEntry {
  /** Counts up from 0. */
  readonly number: number;
  /** Unix time, in milliseconds. */
  readonly atMs: number;
  readonly kind: LogKind;
  readonly tone: LogTone;
  /** The guest that it is about, and its name then; undefined: the host. */
  readonly guest: string | undefined;
  readonly name: string | undefined;
  /** A whole sentence for people. */
  readonly text: string;
  /** The cause for programs, where there is one: its kind, code or message. */
  readonly cause: Readonly<Record<string, string | number>> | undefined;
}

type NewEntry = Pick<LogEntry, 'kind' | 'tone' | 'text'> & Partial<Pick<LogEntry, 'guest' | 'name' | 'cause'>>;

/** A guest as the log looks at it. */
export interface LoggedGuest {
  readonly id: string;
  readonly name: string;
  readonly status: GuestStatus;
}

interface Known {
  name: string;
  status: GuestStatus;
}

const defaultCapacity = 1000;

export class EventLog {
  readonly #capacity: number;
  readonly #now: () => number;
  /** The entry of number n lies at n mod capacity. */
  readonly #entries: LogEntry[] = [];
  readonly #known = new Map<string, Known>();
  #count = 0;
  #settings: ProcessorSettings | undefined;
  #limitBytes: number | undefined;

  /** @param now Unix time in milliseconds */
  constructor(now: () => number = Date.now, capacity = defaultCapacity) {
    this.#now = now;
    this.#capacity = capacity;
  }

  /** Entries from number `from` on, as far as they are kept, and the number of the next. */
  since(from = 0): { readonly entries: readonly LogEntry[]; readonly next: number } {
    const entries: LogEntry[] = [];
    for (let n = Math.max(0, from, this.#count - this.#capacity); n < this.#count; n++) {
      const entry = this.#entries[n % this.#capacity];
      if (entry !== undefined) entries.push(entry);
    }
    return { entries, next: this.#count };
  }

  /** Guests have come or gone. */
  guests(present: readonly LoggedGuest[]): void {
    const ids = new Set(present.map(({ id }) => id));
    for (const [id, { name }] of this.#known) {
      if (ids.has(id)) continue;
      this.#known.delete(id);
      this.#add({ kind: 'guestRemoved', tone: 'neutral', guest: id, name, text: 'It was taken off the list.' });
    }
    for (const { id, name, status } of present) {
      const known = this.#known.get(id);
      if (known === undefined) {
        this.#known.set(id, { name, status });
        this.#add({ kind: 'guestAdded', tone: 'neutral', guest: id, name, text: 'It was added.' });
      } else {
        known.name = name;
      }
    }
  }

  /** A guest's status has changed, perhaps. */
  status({ id, name, status }: LoggedGuest): void {
    const before = this.#known.get(id)?.status;
    this.#known.set(id, { name, status });
    if (before?.state === status.state) return;
    this.#add({ guest: id, name, ...describeStatus(status, before?.state) });
  }

  executorReplaced(id: string, message: string): void {
    const text = `Its worker died (${message}) while the guest was at rest; another one goes on with it.`;
    this.#about(id, { kind: 'executorReplaced', tone: 'warning', text, cause: { message } });
  }

  processors({ mode, count, timeSliceMs }: ProcessorSettings): void {
    const before = this.#settings;
    this.#settings = { mode, count, timeSliceMs };
    // What it is at first is no change, unless that has been changed before any guest came.
    const unknown = before === undefined && mode === 'hosted';
    if (unknown || (before?.mode === mode && before.count === count && before.timeSliceMs === timeSliceMs)) return;
    if (mode === 'hosted' && before?.mode === mode) return;
    const text =
      mode === 'hosted'
        ? 'Hosted mode: browser and system schedule the guests.'
        : `Bare-metal mode: Tabvisor schedules the guests on ${count} processor${count === 1 ? '' : 's'}, ` +
          `in slices of ${timeSliceMs} ms.`;
    this.#add({ kind: 'processors', tone: 'neutral', text, cause: { mode, count, timeSliceMs } });
  }

  memoryLimit(bytes: number): void {
    const before = this.#limitBytes;
    this.#limitBytes = bytes;
    if (before === undefined || before === bytes) return;
    const text = `All guests together may take ${sizeText(bytes)} (before: ${sizeText(before)}).`;
    this.#add({ kind: 'memoryLimit', tone: 'neutral', text, cause: { bytes } });
  }

  balloonAsked(id: string, mib: number): void {
    const text = mib === 0 ? 'It may have all of its memory back.' : `It was asked to give up ${mib} MiB.`;
    this.#about(id, { kind: 'balloonAsked', tone: 'neutral', text, cause: { mib } });
  }

  balloonAnswered(id: string, bytes: number): void {
    const text = bytes === 0 ? 'It has all of its memory back.' : `It gave up ${sizeText(bytes)}.`;
    this.#about(id, { kind: 'balloonAnswered', tone: 'good', text, cause: { bytes } });
  }

  #about(id: string, entry: NewEntry): void {
    const name = this.#known.get(id)?.name;
    this.#add({ guest: id, ...(name === undefined ? {} : { name }), ...entry });
  }

  #add(entry: NewEntry): void {
    const number = this.#count++;
    const rest = { guest: entry.guest, name: entry.name, cause: entry.cause };
    this.#entries[number % this.#capacity] = { ...entry, ...rest, number, atMs: this.#now() };
  }
}

function describeStatus(status: GuestStatus, before: GuestStatus['state'] | undefined): NewEntry {
  switch (status.state) {
    case 'defined':
      return { kind: 'stopped', tone: 'neutral', text: 'It is not started.' };
    case 'starting':
      return { kind: 'starting', tone: 'neutral', text: 'It starts.' };
    case 'running':
      return { kind: 'running', tone: 'good', text: before === 'paused' ? 'It goes on.' : 'It runs.' };
    case 'paused':
      return { kind: 'paused', tone: 'neutral', text: 'It is paused.' };
    case 'stopped':
      return { kind: 'stopped', tone: 'neutral', text: stopText(status.cause), cause: status.cause };
    case 'crashed':
      return { kind: 'crashed', tone: 'error', text: crashText(status.cause), cause: status.cause };
    case 'failed': {
      const { code, message } = status;
      const kind = code === 'outOfMemory' ? 'admissionRefused' : 'startFailed';
      return { kind, tone: 'error', text: message, cause: { code, message } };
    }
  }
}

function stopText(cause: StopCause): string {
  switch (cause.kind) {
    case 'poweredOff':
      return 'It powered itself off.';
    case 'killed':
      return 'It was killed.';
    case 'debugExit':
      return `It ended with exit code ${cause.exitCode}.`;
    case 'resetStopped':
      return 'It asked for a reset and was not to reboot.';
  }
}

function crashText({ kind, message }: CrashCause): string {
  switch (kind) {
    case 'tripleFault':
      return message || 'A triple fault shut its processor down.';
    case 'executorDied':
      return `Its worker died while it computed: ${message}.`;
    case 'coreTrapped':
      return `The processor core trapped, a defect of Tabvisor: ${message}.`;
    case 'executorOutOfMemory':
      return `The browser had no memory left for its worker: ${message}.`;
  }
}
