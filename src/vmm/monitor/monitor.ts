/**
 * The monitor: one sampler for all guests and the host, on one timer, which runs while a guest holds a memory. What it
 * reads stands in the guests' own memory and in the host page; guests notice nothing of it.
 *
 * Each sample is a row of each guest's history, and of the host's. Whoever draws asks to be told ({@link onSample}).
 */
import type { ControlPage } from '../../abi/control.ts';
import type { GuestStatus } from '../guest-status.ts';
import type { MemoryPoolUsage } from '../memory-pool.ts';
import type { ProcessorMode } from '../processors/share.ts';
import { EventLog } from './event-log.ts';
import {
  guestColumns,
  hostColumns,
  sharedFigures,
  type GuestFigures,
  type GuestHistory,
  type HostHistory,
  type MonitorSnapshot,
} from './figures.ts';
import { History } from './history.ts';
import { Probe } from './probe.ts';

/** A guest as the monitor looks at it. */
export interface MonitoredGuest {
  readonly id: string;
  readonly name: string;
  readonly status: GuestStatus;
  /** Of its present life; undefined: it holds no memory. */
  readonly control: ControlPage | undefined;
  readonly ramBytes: number;
  /** Bytes through its console since power-on, mod 2^32. */
  readonly consoleOut: number;
  readonly consoleIn: number;
}

/** What the monitor sees of the coordinator. */
export interface MonitorSurroundings {
  readonly guests: () => readonly MonitoredGuest[];
  readonly pool: () => MemoryPoolUsage;
  readonly mode: () => ProcessorMode;
  /** Seconds that a guest has waited for a processor; undefined in hosted mode. */
  readonly stealSeconds: (id: string) => number | undefined;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

/** How often, and how many samples are kept. */
export const sampleIntervalMs = 1000;
export const sampleCount = 300;

interface Watched {
  readonly history: GuestHistory;
  probe: Probe | undefined;
  /** The balloon's size that was told last. */
  balloonPages: number;
}

/** A timer that comes late (a busy page, a tab in the background) is no reason to take two samples at once. */
const leastIntervalMs = sampleIntervalMs / 2;

export class Monitor {
  readonly log: EventLog;
  readonly host: HostHistory = new History(hostColumns, sampleCount);
  readonly #around: MonitorSurroundings;
  readonly #watched = new Map<string, Watched>();
  readonly #listeners = new Set<() => void>();
  readonly #row = new Float64Array(guestColumns.length);
  readonly #hostRow = new Float64Array(hostColumns.length);
  #timer: ReturnType<typeof setInterval> | undefined;
  #sampledMs = -Infinity;

  constructor(around: MonitorSurroundings, log = new EventLog()) {
    this.#around = around;
    this.log = log;
  }

  /** Something has changed: begins to sample where a guest holds a memory, and forgets guests that are gone. */
  look(): void {
    const guests = this.#around.guests();
    for (const id of this.#watched.keys()) {
      if (!guests.some((guest) => guest.id === id)) this.#watched.delete(id);
    }
    if (this.#timer !== undefined || !guests.some(({ control }) => control !== undefined)) return;
    this.#timer = setInterval(() => this.#tick(), sampleIntervalMs);
    this.sample();
  }

  /** The samples of a guest; undefined before the first. */
  history(id: string): GuestHistory | undefined {
    return this.#watched.get(id)?.history;
  }

  /** Tells after each sample; returns a function that ends it. */
  onSample(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tick(): void {
    if (this.#around.now() - this.#sampledMs < leastIntervalMs) return;
    this.sample();
    // The last one has shown that nothing runs any more.
    if (this.#around.guests().some(({ control }) => control !== undefined)) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Takes a sample of all guests now. */
  sample(): void {
    const startMs = this.#around.now();
    this.#sampledMs = startMs;
    const timeSeconds = Date.now() / 1000;
    const host = this.#hostRow.fill(0);
    for (const guest of this.#around.guests()) this.#sampleGuest(guest, startMs, timeSeconds);
    host[0] = timeSeconds;
    const { usedBytes, limitBytes, keptBytes } = this.#around.pool();
    host[hostColumns.indexOf('reserved')] = usedBytes;
    host[hostColumns.indexOf('budget')] = limitBytes;
    host[hostColumns.indexOf('kept')] = keptBytes;
    host[hostColumns.indexOf('sampling')] = this.#around.now() - startMs;
    this.host.push(host);
    for (const listener of this.#listeners) listener();
  }

  #sampleGuest(guest: MonitoredGuest, nowMs: number, timeSeconds: number): void {
    const watched = this.#watch(guest);
    if (watched === undefined) return;
    const row = this.#row;
    if (watched.probe === undefined) {
      row.fill(0);
      row[0] = timeSeconds;
    } else {
      const { ramBytes, consoleOut, consoleIn } = guest;
      const stealSeconds = this.#around.stealSeconds(guest.id);
      watched.probe.read(row, nowMs, timeSeconds, { ramBytes, consoleOut, consoleIn, stealSeconds });
      this.#lookAtBalloon(guest.id, watched, watched.probe);
    }
    watched.history.push(row);
    for (let n = 1; n < row.length; n++) this.#hostRow[n] = (this.#hostRow[n] ?? 0) + (row[n] ?? 0);
  }

  /** Undefined: it has never run. */
  #watch({ id, control }: MonitoredGuest): Watched | undefined {
    let watched = this.#watched.get(id);
    if (watched === undefined) {
      if (control === undefined) return undefined;
      watched = { history: new History(guestColumns, sampleCount), probe: undefined, balloonPages: 0 };
      this.#watched.set(id, watched);
    }
    if (watched.probe?.control !== control) {
      watched.probe = control === undefined ? undefined : new Probe(control);
      watched.balloonPages = 0;
    }
    return watched;
  }

  #lookAtBalloon(id: string, watched: Watched, { balloonPages, balloonTargetPages }: Probe): void {
    if (balloonPages !== balloonTargetPages || balloonPages === watched.balloonPages) return;
    watched.balloonPages = balloonPages;
    this.log.balloonAnswered(id, balloonPages * 4096);
  }

  get snapshot(): MonitorSnapshot {
    const mode = this.#around.mode();
    const { limitBytes, keptBytes } = this.#around.pool();
    const guests: Record<string, GuestFigures> = {};
    let guestsAlive = 0;
    for (const { id, name, status, control } of this.#around.guests()) {
      if (control !== undefined) guestsAlive++;
      const history = this.history(id) ?? noHistory;
      guests[id] = { name, state: status.state, ...sharedFigures(history, mode) };
    }
    return {
      atMs: Math.round(this.host.last('time') * 1000),
      host: {
        ...sharedFigures(this.host, mode),
        mode,
        guestsAlive,
        budgetBytes: limitBytes,
        keptBytes,
        samplingMilliseconds: this.host.last('sampling'),
      },
      guests,
    };
  }
}

const noHistory: GuestHistory = new History(guestColumns, 1);
