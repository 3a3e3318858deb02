/**
 * The control page: how the coordinator (main thread) and the executor (worker) of a guest speak without messages.
 * It lies in the guest's memory; one side writes each word, the other reads it.
 *
 * Who writes what
 * - the coordinator: `request`, `requestSerial`, `doorbell`, `balloonTargetPages`, `balloonStatisticsRequest`;
 * - the executor: everything else. (Anybody may ring the doorbell; the executor clears pulse bits of `request`.)
 *
 * Requests. The coordinator changes bits of `request`, adds 1 to `requestSerial` and rings; the executor acts at the
 * next VM exit and copies the serial that it has seen to `acknowledgeSerial`, and notifies there. *Level* bits (pause,
 * stop, park) hold as long as they are set, and the coordinator clears them; *pulse* bits (mail, reset, power button,
 * NMI, new identity) are cleared by the executor when it has acted.
 *
 * Waiting. The executor sleeps in `Atomics.wait(doorbell)`, or, where that is likely to take long, in its event loop; the
 * coordinator uses `Atomics.waitAsync` on `acknowledgeSerial` and `state` (see {@link ControlPage.changed}) or looks at
 * them in each animation frame.
 *
 * @example coordinator
 * const control = new ControlPage(memory.buffer);
 * control.request(requestBit.pause);             // and control.release(requestBit.pause) to go on
 * await control.changed('acknowledgeSerial', before);
 *
 * @example executor
 * const seen = control.doorbellValue();          // before looking for work
 * if (nothingToDo) control.wait(seen, timeoutMs);
 */
import { array, struct, type Struct } from '../base/struct.ts';
import type { Bell } from './storage.ts';

export const controlMagic = 0x52565354; // 'TSVR'

/** Layout version of the whole guest memory; a saved state of another version is refused. */
export const controlVersion = 4;

/** Where the control page lies, and its size in bytes. */
export const controlAddress = 0x10000;
export const controlBytes = 0x10000;

/** Bits of `Control.request` and, while in effect, of `Control.acknowledge`. */
export const requestBit = {
  /** Level: do not run the vCPU. Guest time stands still. */
  pause: 1,
  /** Level: leave for good; the executor stores state `stopped` and returns from its loop. */
  stop: 2,
  /** Level: park at an exit with everything in memory, for a snapshot or a move to another executor. */
  park: 4,
  /** Pulse: return to the event loop once, where messages wait. */
  mail: 8,
  /** Pulse: hardware reset of the machine. */
  reset: 16,
  /** Pulse: the power button (ACPI): the guest is asked to shut down. */
  powerButton: 32,
  /** Pulse: a non-maskable interrupt. */
  nmi: 64,
  /** Pulse: the machine is a copy of another one; what should be its own is made anew before it runs. */
  renewIdentity: 128,
} as const;

/** Values of `Control.state`. */
export const guestState = {
  /** The memory is laid out, no executor has run it yet. */
  created: 0,
  running: 1,
  /** Waiting for an interrupt (HLT); uses no host CPU. */
  halted: 2,
  paused: 3,
  /** At an exit with all state in memory; no executor is needed. */
  parked: 4,
  /** The coordinator stopped it. */
  stopped: 5,
  /** The guest powered itself off. */
  poweredOff: 6,
  /** The guest ended through isa-debug-exit; `exitCode` holds `(value << 1) | 1`. */
  debugExit: 7,
  /** Triple fault where no reset was wanted, or the executor died. `exitCode` tells no more. */
  crashed: 8,
  /** The guest reset itself where the machine was started without reboot. */
  resetStopped: 9,
} as const;

export type GuestState = keyof typeof guestState;

/** Values of `Control.powerRequest`: what a device asks of the executor, which acts at the exit and clears it. */
export const powerRequest = { none: 0, powerOff: 1, reset: 2, debugExit: 3 } as const;

/** Index into `Control.exitCounts` and `Control.exitTimeNs`: the reasons of VM exits. */
export const exitCounter = {
  budget: 0,
  halt: 1,
  shutdown: 2,
  request: 3,
  portRead: 4,
  portWrite: 5,
  mmioRead: 6,
  mmioWrite: 7,
  msrRead: 8,
  msrWrite: 9,
  cpuid: 10,
  interrupt: 11,
  taskPriority: 12,
  deadline: 13,
  log: 14,
  compile: 15,
} as const;

export type ExitCounter = keyof typeof exitCounter;

/** Values of `Control.balloonDriver`: the guest has no balloon; its driver is not there, is ready, or broke the rules. */
export const balloonDriver = { none: 0, absent: 1, ready: 2, failed: 3 } as const;

export type BalloonDriverState = keyof typeof balloonDriver;

/** Index into `Control.balloonStatistics`, and tag of the device (virtio 1.2 §5.5.6.4). Bytes, where it is memory. */
export const balloonStatistic = {
  swappedIn: 0,
  swappedOut: 1,
  majorFaults: 2,
  minorFaults: 3,
  free: 4,
  total: 5,
  available: 6,
  caches: 7,
} as const;

/**
 * Counts are f64 and not u64: they count to 2^53 exactly and need no bigint. Each has one writer; a reader in another
 * thread sees an old or a new value.
 */
export const Control = struct('Control', 1, {
  magic: 'u32',
  version: 'u32',
  /** Incremented and notified whenever there may be something for the executor: requests, input, space in a ring. */
  doorbell: 'i32',
  request: 'i32',
  requestSerial: 'i32',
  acknowledge: 'i32',
  acknowledgeSerial: 'i32',
  /** See {@link guestState}; notified on each change. */
  state: 'i32',
  powerRequest: 'i32',
  exitCode: 'i32',
  /** 1: a reset asked for by the guest stops the machine (`-no-reboot`). */
  noReboot: 'i32',
  /** Number of resets since power-on. */
  resets: 'i32',

  /** Even when the published fields below are stable, odd while they are written (seqlock). */
  sequence: 'i32',
  publishedCpl: 'u32',
  publishedGpr: array('u64', 16),
  publishedRip: 'u64',
  publishedEflags: 'u64',
  publishedCr0: 'u64',
  publishedCr2: 'u64',
  publishedCr3: 'u64',
  publishedCr4: 'u64',
  publishedEfer: 'u64',
  publishedSelectors: array('u16', 8),
  /** Instructions retired since power-on, at the last exit that published. */
  retired: 'f64',
  /** Guest time since power-on (nanoseconds). Stands still while paused. */
  uptimeNs: 'f64',
  /** Host time spent running guest instructions, and asleep in HLT (nanoseconds). */
  busyNs: 'f64',
  idleNs: 'f64',

  exitCounts: array('f64', 32),
  exitTimeNs: array('f64', 32),
  /** What the executor's derived state counts, by `guestCounter` (`statistics.ts`); published with the registers. */
  counters: array('f64', 32),

  /** Counts the changes of hand of the guest's machine state; odd while an executor is in its midst (`tenure.ts`). */
  tenure: 'i32',
  /** The coordinator's: pages of 4 KiB that are wanted in the balloon. It rings after a change. */
  balloonTargetPages: 'u32',
  /** The coordinator's: counted up to ask for {@link balloonStatistic | statistics}; it rings after that. */
  balloonStatisticsRequest: 'u32',
  /** See {@link balloonDriver}. */
  balloonDriver: 'u32',
  /** Pages that the driver says are in the balloon; notified on each change. */
  balloonActualPages: 'i32',
  /** Counts statistics that have come; notified on each. */
  balloonStatisticsCount: 'i32',
  /** Where the frame table lies (`base/frame-entry.ts`), and its entries. */
  frameTable: 'u32',
  frameCount: 'u32',
  /** What the guest said last of its memory, by {@link balloonStatistic}; and the guest time of that, 0: never. */
  balloonStatistics: array('f64', 16),
  balloonStatisticsNs: 'f64',
  /** Bare-metal mode: host time in which processors ran the guest, and in which it was ready to run and waited for one. */
  runNs: 'f64',
  stealNs: 'f64',
  /** Clones that were made of the guest, and of what it is a clone of until then. Written while it is at rest. */
  copies: 'u32',
});

type WaitableField =
  | 'doorbell'
  | 'request'
  | 'requestSerial'
  | 'acknowledge'
  | 'acknowledgeSerial'
  | 'state'
  | 'balloonActualPages'
  | 'balloonStatisticsCount';

/** What `Control` publishes at exits, read consistently. */
export interface PublishedRegisters {
  readonly gpr: readonly bigint[];
  readonly rip: bigint;
  readonly eflags: bigint;
  readonly cr0: bigint;
  readonly cr2: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly efer: bigint;
  readonly selectors: readonly number[];
  readonly cpl: number;
  readonly retired: number;
}

/** Both sides' view of the control page. It holds no state of the guest: make as many as you like. */
export class ControlPage {
  /**
   * Called with each ring through this object: rings a bell that the executor shares with other guests (`host-page.ts`).
   * `urgent`: a request.
   */
  alsoRings: ((urgent: boolean) => void) | undefined;
  /** The same bell for those who ring from another thread; and who wants to know of another one. */
  bell: Bell | undefined;
  bellChanged: ((bell: Bell | undefined) => void) | undefined;
  /** Plain access to every field; words that the other side writes are read with {@link load}. */
  readonly fields: Struct<typeof Control.fields>;
  readonly #words: Int32Array;
  readonly #buffer: ArrayBufferLike;

  constructor(buffer: ArrayBufferLike) {
    this.#buffer = buffer;
    this.fields = Control.at(buffer, controlAddress);
    this.#words = new Int32Array(buffer, controlAddress, Control.size / 4);
  }

  /** Writes magic, version and initial values; the page must be zero (a fresh or recycled memory). */
  initialize(): void {
    this.fields.magic = controlMagic;
    this.fields.version = controlVersion;
  }

  get valid(): boolean {
    return this.fields.magic === controlMagic && this.fields.version === controlVersion;
  }

  /** The guest's frame table (`base/frame-entry.ts`); empty before the guest is laid out. */
  get frameTable(): Uint32Array {
    return new Uint32Array(this.#buffer, this.fields.frameTable, this.fields.frameCount);
  }

  load(field: WaitableField): number {
    return Atomics.load(this.#words, index(field));
  }

  // Coordinator's side.

  /** Sets bits of {@link requestBit}. Returns the serial that `acknowledgeSerial` will reach. */
  request(bits: number): number {
    Atomics.or(this.#words, index('request'), bits);
    return this.#announce();
  }

  /** Clears level bits. Returns the serial that `acknowledgeSerial` will reach. */
  release(bits: number): number {
    Atomics.and(this.#words, index('request'), ~bits);
    return this.#announce();
  }

  #announce(): number {
    const serial = (Atomics.add(this.#words, index('requestSerial'), 1) + 1) | 0;
    this.ring(true);
    return serial;
  }

  /** True when the executor has acted on the request that returned `serial`. */
  acknowledged(serial: number): boolean {
    return ((this.load('acknowledgeSerial') - serial) | 0) >= 0;
  }

  /** Resolves once the word differs from `seen`, or after `timeoutMs`. */
  async changed(field: WaitableField, seen: number, timeoutMs = Infinity): Promise<void> {
    await waitAsync(this.#words, index(field), seen, timeoutMs);
  }

  /** Wants so many pages of 4 KiB in the balloon. */
  setBalloonTarget(pages: number): void {
    this.fields.balloonTargetPages = pages;
    this.ring();
  }

  /** Asks the guest's driver what memory the guest has and uses. */
  askForBalloonStatistics(): void {
    this.fields.balloonStatisticsRequest++;
    this.ring();
  }

  get state(): GuestState {
    return stateName(this.load('state'));
  }

  /** The registers of the last exit that published, or undefined if the writer was busy at every attempt. */
  readRegisters(): PublishedRegisters | undefined {
    const f = this.fields;
    for (let attempt = 0; attempt < 100; attempt++) {
      const before = Atomics.load(this.#words, index('sequence'));
      if ((before & 1) !== 0) continue;
      const copy: PublishedRegisters = {
        gpr: Array.from(f.publishedGpr),
        rip: f.publishedRip,
        eflags: f.publishedEflags,
        cr0: f.publishedCr0,
        cr2: f.publishedCr2,
        cr3: f.publishedCr3,
        cr4: f.publishedCr4,
        efer: f.publishedEfer,
        selectors: Array.from(f.publishedSelectors),
        cpl: f.publishedCpl,
        retired: f.retired,
      };
      if (Atomics.load(this.#words, index('sequence')) === before) return copy;
    }
    return undefined;
  }

  // Either side.

  /** Wakes the executor if it sleeps, and makes it look at requests and rings if it is about to. */
  ring(urgent = false): void {
    Atomics.add(this.#words, index('doorbell'), 1);
    Atomics.notify(this.#words, index('doorbell'));
    this.alsoRings?.(urgent);
  }

  // Executor's side.

  doorbellValue(): number {
    return Atomics.load(this.#words, index('doorbell'));
  }

  /** Sleeps until the doorbell differs from `seen`, at most `timeoutMs`. Not for the main thread. */
  wait(seen: number, timeoutMs: number): void {
    Atomics.wait(this.#words, index('doorbell'), seen, timeoutMs);
  }

  /** The same in the event loop, so that the engine's own tasks run; blocks where the host cannot do that. */
  async waitInEventLoop(seen: number, timeoutMs: number): Promise<void> {
    if (nativeWaitAsync() === undefined) this.wait(seen, timeoutMs);
    else await this.changed('doorbell', seen, timeoutMs);
  }

  /** Takes pulse bits: returns those of `bits` that were set, and clears them. */
  take(bits: number): number {
    return Atomics.and(this.#words, index('request'), ~bits) & bits;
  }

  /** Tells the coordinator that `bits` are in effect, and which serial had been read before acting. */
  acknowledge(bits: number, serial: number): void {
    Atomics.store(this.#words, index('acknowledge'), bits);
    Atomics.store(this.#words, index('acknowledgeSerial'), serial);
    Atomics.notify(this.#words, index('acknowledgeSerial'));
  }

  setState(state: GuestState): void {
    if (Atomics.exchange(this.#words, index('state'), guestState[state]) !== guestState[state]) {
      Atomics.notify(this.#words, index('state'));
    }
  }

  /** The balloon's driver has said how many pages it holds. */
  setBalloonActual(pages: number): void {
    Atomics.store(this.#words, index('balloonActualPages'), pages);
    Atomics.notify(this.#words, index('balloonActualPages'));
  }

  /** The balloon's driver has sent statistics: [tag, value] each. `uptimeNs`: guest time. */
  setBalloonStatistics(values: readonly (readonly [tag: number, value: number])[], uptimeNs: number): void {
    for (const [tag, value] of values) this.fields.balloonStatistics[tag] = value;
    this.fields.balloonStatisticsNs = uptimeNs;
    Atomics.add(this.#words, index('balloonStatisticsCount'), 1);
    Atomics.notify(this.#words, index('balloonStatisticsCount'));
  }

  /** Runs `write` (which fills the published fields) under the seqlock. */
  publish(write: (fields: Struct<typeof Control.fields>) => void): void {
    Atomics.add(this.#words, index('sequence'), 1);
    write(this.fields);
    Atomics.add(this.#words, index('sequence'), 1);
  }

  /** Counts one VM exit; `timeNs` is the host time that its handling took (0 where it is not measured). */
  count(reason: number, timeNs: number): void {
    const { exitCounts, exitTimeNs } = this.fields;
    exitCounts[reason] = (exitCounts[reason] ?? 0) + 1;
    exitTimeNs[reason] = (exitTimeNs[reason] ?? 0) + timeNs;
  }
}

function index(field: keyof typeof Control.offsets): number {
  return Control.offsets[field] >> 2;
}

function stateName(value: number): GuestState {
  for (const [name, number] of Object.entries(guestState)) {
    if (number === value) return name as GuestState;
  }
  return 'crashed';
}

type AsyncWait = (
  view: Int32Array,
  at: number,
  value: number,
  timeout?: number,
) => { async: false } | { async: true; value: Promise<string> };

function nativeWaitAsync(): AsyncWait | undefined {
  return (Atomics as unknown as { waitAsync?: AsyncWait }).waitAsync;
}

/** `Atomics.waitAsync`, or looking every 4 ms where the browser has none. */
export async function waitAsync(view: Int32Array, at: number, seen: number, timeoutMs: number): Promise<void> {
  const native = nativeWaitAsync();
  if (native !== undefined) {
    const result = native(view, at, seen, timeoutMs);
    if (result.async) await result.value;
    return;
  }
  const until = Date.now() + timeoutMs;
  while (Atomics.load(view, at) === seen && Date.now() < until) {
    await new Promise<void>((resolve) => {
      later(resolve, 4);
    });
  }
}

/** `setTimeout`, which both hosts have though neither DOM nor Node types are visible here. */
function later(callback: () => void, delayMs: number): void {
  (globalThis as unknown as { setTimeout: (callback: () => void, delayMs: number) => void }).setTimeout(
    callback,
    delayMs,
  );
}
