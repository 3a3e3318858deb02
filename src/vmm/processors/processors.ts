/**
 * The processors of a page: which kind of hypervisor runs its guests, and what each guest is due.
 *
 * In hosted mode a guest has a worker of its own. In bare-metal mode guests share the processors that the user grants.
 * Both are switched at run time: guests are parked, and go on in the other kind.
 */
import { defaultTimeSliceMs, maximumExecutors, vcpuState } from '../../abi/host-page.ts';
import { VmmError } from '../errors.ts';
import type { ExecutorHandle, Host } from '../host.ts';
import { BareGuest, BareMetal } from './bare-metal.ts';
import { Seat, type Place } from './seat.ts';
import {
  changedSettings,
  changedShare,
  defaultShare,
  enterShare,
  type ProcessorSettings,
  type ProcessorsState,
  type ProcessorTime,
  type ScheduleEntry,
  type Share,
} from './share.ts';

interface Entry {
  seat: Seat | undefined;
  share: Share;
}

export class Processors {
  readonly #host: Host;
  readonly #changed: () => void;
  readonly #entries = new Map<string, Entry>();
  #settings: ProcessorSettings;
  #bareMetal: BareMetal | undefined;
  #lastChange: Promise<unknown> = Promise.resolve();

  constructor(host: Host, changed: () => void) {
    this.#host = host;
    this.#changed = changed;
    this.#settings = { mode: 'hosted', count: this.available, timeSliceMs: defaultTimeSliceMs };
  }

  get available(): number {
    return Math.min(Math.max(this.#host.hardwareConcurrency ?? 1, 1), maximumExecutors);
  }

  /** An executor for a guest that starts; what its definition says of its share replaces what was set before. */
  seatFor(id: string, defined: Partial<Share> = {}): ExecutorHandle {
    const entry = this.#entry(id);
    entry.share = changedShare(entry.share, defined);
    const seat = new Seat(this.#placeFor(id));
    entry.seat = seat;
    return seat;
  }

  /** The guest is no more. */
  forget(id: string): void {
    this.#entries.delete(id);
  }

  #entry(id: string): Entry {
    const known = this.#entries.get(id);
    if (known !== undefined) return known;
    const made: Entry = { seat: undefined, share: defaultShare };
    this.#entries.set(id, made);
    return made;
  }

  #placeFor(id: string): Place {
    const bareMetal = this.#bareMetal;
    if (this.#settings.mode === 'hosted' || bareMetal === undefined) return this.#host.createExecutor(`guest ${id}`);
    return bareMetal.enter(this.#entry(id).share);
  }

  // Settings.

  /** Changes what is named; resolves when it is in effect for all guests. @throws VmmError `badArgument`, `hostRefused` */
  async set(change: Partial<ProcessorSettings>): Promise<ProcessorsState> {
    const settings = changedSettings(this.#settings, change, this.available);
    const done = this.#lastChange.then(() => this.#apply(settings));
    this.#lastChange = done.catch(() => undefined);
    await done;
    return this.state;
  }

  async #apply(settings: ProcessorSettings): Promise<void> {
    const before = this.#settings;
    if (settings.mode === 'bare-metal') {
      this.#bareMetal ??= this.#makeBareMetal(settings);
      this.#bareMetal.setTimeSlice(settings.timeSliceMs);
      await this.#bareMetal.setCount(settings.count);
    }
    this.#settings = settings;
    if (settings.mode !== before.mode) await this.#moveAll();
    if (settings.mode === 'hosted') await this.#bareMetal?.setCount(0);
    this.#changed();
  }

  #makeBareMetal({ timeSliceMs }: ProcessorSettings): BareMetal {
    const { createProcessor } = this.#host;
    if (createProcessor === undefined) {
      throw new VmmError('hostRefused', 'Here guests can be run in hosted mode only.');
    }
    return new BareMetal({ createProcessor, timeSliceMs });
  }

  async #moveAll(): Promise<void> {
    const seats = [...this.#entries].flatMap(([id, { seat }]) =>
      seat === undefined || seat.over ? [] : [{ id, seat }],
    );
    await Promise.all(seats.map(({ id, seat }) => seat.moveTo(() => this.#placeFor(id))));
  }

  // Shares.

  share(id: string): Share {
    return this.#entries.get(id)?.share ?? defaultShare;
  }

  /** Counts at once in bare-metal mode, and is kept for it in hosted mode. @throws VmmError `badArgument` */
  setShare(id: string, change: Partial<Share>): Share {
    const entry = this.#entry(id);
    entry.share = changedShare(entry.share, change);
    const vcpu = vcpuOf(entry.seat);
    const record = vcpu === undefined ? undefined : this.#bareMetal?.page.vcpus[vcpu];
    if (record !== undefined) {
      enterShare(record, entry.share);
      this.#bareMetal?.page.sharesChanged();
    }
    this.#changed();
    return entry.share;
  }

  // What happens.

  get state(): ProcessorsState {
    const bare = this.#settings.mode === 'bare-metal' ? this.#bareMetal : undefined;
    const processors = (bare?.page.executors ?? []).slice(0, this.#settings.count).map((executor) => {
      const { busyNs, idleNs, switches, current, sinceNs } = executor;
      // The stretch that is under way.
      const now = Math.max((bare?.nowNs() ?? 0) - sinceNs, 0);
      return {
        busySeconds: (busyNs + (current >= 0 ? now : 0)) / 1e9,
        idleSeconds: (idleNs + (current >= 0 ? 0 : now)) / 1e9,
        switches,
        knownSwitches: executor.knownSwitches,
        knownSwitchSeconds: executor.knownSwitchNs / 1e9,
        knownSwitchMicroseconds: [...executor.switchSamples.subarray(0, executor.knownSwitches)].map((ns) => ns / 1000),
        takeOvers: executor.takeOvers,
        takeOverSeconds: executor.takeOverNs / 1e9,
        guest: this.#guestAt(current),
      };
    });
    return { ...this.#settings, available: this.available, processors, guests: this.#times() };
  }

  #times(): Record<string, ProcessorTime> {
    const times: Record<string, ProcessorTime> = {};
    for (const [id, { seat }] of this.#entries) {
      const record = this.#bareMetal?.page.vcpus[vcpuOf(seat) ?? -1];
      if (record === undefined || record.state === vcpuState.absent) continue;
      times[id] = {
        runSeconds: record.runNs / 1e9,
        stealSeconds: record.stealNs / 1e9,
        switches: record.switches,
        moves: record.moves,
        processor: record.executor < 0 ? undefined : record.executor,
      };
    }
    return times;
  }

  get settings(): ProcessorSettings {
    return this.#settings;
  }

  /** Seconds that a guest was ready to run and waited, since it came into bare-metal mode; undefined in hosted mode. */
  stealSeconds(id: string): number | undefined {
    if (this.#settings.mode === 'hosted') return undefined;
    const record = this.#bareMetal?.page.vcpus[vcpuOf(this.#entries.get(id)?.seat) ?? -1];
    return record === undefined || record.state === vcpuState.absent ? 0 : record.stealNs / 1e9;
  }

  /** Decisions from number `from` on, and the number of the next one. */
  schedule(from = 0): { readonly entries: readonly ScheduleEntry[]; readonly next: number } {
    if (this.#bareMetal === undefined) return { entries: [], next: 0 };
    const { records, next } = this.#bareMetal.trace(from);
    const entries = records.map(({ executor, vcpu, before, from: source, ...rest }) => ({
      ...rest,
      processor: executor,
      guest: this.#guestAt(vcpu),
      before: this.#guestAt(before),
      from: source < 0 ? undefined : source,
    }));
    return { entries, next };
  }

  /** The guest that has a place on the host page; of one that is gone only the number is known. */
  #guestAt(vcpu: number): string | undefined {
    if (vcpu < 0) return undefined;
    for (const [id, { seat }] of this.#entries) if (vcpuOf(seat) === vcpu) return id;
    return `vCPU ${vcpu}`;
  }
}

function vcpuOf(seat: Seat | undefined): number | undefined {
  return seat !== undefined && !seat.over && seat.place instanceof BareGuest ? seat.place.vcpu : undefined;
}
