/**
 * The host page: what the executors of bare-metal mode share, and how the coordinator speaks to them without messages
 * (docs/adr/0015). A SharedArrayBuffer of its own, outside of every guest's memory.
 *
 * Who writes what
 * - single words, by whoever is named at the field, with Atomics;
 * - everything else under {@link HostPage.lock}, which executors hold for microseconds. The main thread must not block: it
 *   takes the lock by {@link HostPage.whenLocked}.
 *
 * Waking. {@link HostPage.wake} sets a vCPU's bit in `pending` and rings an executor that sleeps. An executor says that it
 * is idle *before* it looks at `pending` for the last time and sleeps, so one of the two sees the other.
 *
 * Times are host time: nanoseconds since `performance.timeOrigin` of the coordinator's thread (see {@link HostPage.clock}).
 */
import { array, struct, structRows, type Struct } from '../base/struct.ts';
import { waitAsync } from './control.ts';
import { HostLock } from './host-lock.ts';

export const hostMagic = 0x54565350; // 'PSVT'
export const hostVersion = 3;

/** vCPUs that a host page holds; an affinity mask has a bit for each executor. */
export const maximumVcpus = 64;
export const maximumExecutors = 32;
export const allExecutors = 0xffffffff;

export const defaultWeight = 256;
export const maximumWeight = 65535;
export const defaultTimeSliceMs = 30;

export const HostHeader = struct('HostHeader', 1, {
  magic: 'u32',
  version: 'u32',
  /** 0: free; else who holds it (`host-lock.ts`). */
  lock: 'i32',
  /** Counts wake-ups: an executor that computes compares it at each VM exit. */
  wakeSerial: 'i32',
  /** Whoever rings: a bit for each vCPU that may have something to do. */
  pending: array('i32', 2),
  /** Of these, those that are to run at once, whatever they owe: requests of the coordinator. */
  urgent: array('i32', 2),
  /** Bit mask of the executors that are granted. */
  granted: 'i32',
  /** Something that fair shares follow from has changed. Anybody sets it. */
  sharesStale: 'i32',
  /** Numbers of vCPUs and executors that have been in use are below: what the scheduler looks at. */
  vcpuEnd: 'i32',
  executorEnd: 'i32',
  timeSliceNs: 'f64',
  /** Up to when credit has been earned and burnt. */
  accountedNs: 'f64',
  /** When a halted vCPU is due next, or a cap is refilled. */
  nextEventNs: 'f64',
  /** Decisions recorded since the page was made; the last {@link traceLength} are kept. */
  traceCount: 'i32',
});

/** Values of `HostVcpu.state`. */
export const vcpuState = {
  /** No vCPU here. */
  absent: 0,
  /** It is not to be run: being added, moved to another mode, or over. */
  held: 1,
  runnable: 2,
  running: 3,
  /** Halted or paused: until its deadline, or somebody rings. */
  blocked: 4,
} as const;

export const HostVcpu = struct('HostVcpu', 1, {
  state: 'i32',
  /** Coordinator: 1 … {@link maximumWeight}. */
  weight: 'i32',
  /** Coordinator: percent of an executor's time, 1 … 100; 0: no cap. */
  capPercent: 'i32',
  /** Coordinator: executors that may run it; where none of them is granted, all may. */
  hardMask: 'u32',
  /** Coordinator: executors that should. */
  softMask: 'u32',
  /** The executor that runs it or ran it last; −1: none has. */
  executor: 'i32',
  /** Counts the times that another executor took it over: derived state of an older tenure is stale. */
  tenure: 'i32',
  throttled: 'i32',
  /** Held: by the executor that looks at it for a moment; −1: by the coordinator. */
  heldBy: 'i32',
  /** The word of its tenure (`tenure.ts`) as whoever ran it last left it: who takes it up must find that. */
  restedAt: 'i32',
  /** Nanoseconds that it was due and did not have. */
  creditNs: 'f64',
  /** Executors' time that it is due, 0 … 1, while it is runnable. */
  rate: 'f64',
  /** What is left of the cap. */
  capLeftNs: 'f64',
  /** What is left of its boost. */
  boostLeftNs: 'f64',
  /** A boost that it has once its debt is worked off (`scheduler/credit.ts`). */
  boostDueNs: 'f64',
  /** Boosts that it has had since it woke up. */
  boosts: 'i32',
  /** Blocked: until when, Infinity for ever. */
  deadlineNs: 'f64',
  /** When it got into the state that it is in. */
  sinceNs: 'f64',
  /** Time asleep in HLT that has not been entered in the guest's control page yet. */
  sleptNs: 'f64',
  /** Host time less guest time, while `clockKnown` (a guest whose time stands still has none). */
  clockOffsetNs: 'f64',
  clockKnown: 'i32',
  /** The arena in its memory is one that executors of this page made: who takes it over goes on with it. */
  arenaKnown: 'i32',
  /** Time in which executors ran it, and in which it was ready to run and waited. */
  runNs: 'f64',
  stealNs: 'f64',
  /** Of these, what has been entered in the guest's control page. */
  runEnteredNs: 'f64',
  stealEnteredNs: 'f64',
  /** Time that it has waited lately: a leaky bucket (`scheduler/credit.ts`). */
  waitedNs: 'f64',
  /** Times that it was picked, and that it was picked by another executor than before. */
  switches: 'f64',
  moves: 'f64',
});

/** Values of `HostExecutor.state`. */
export const executorState = { absent: 0, idle: 1, busy: 2 } as const;

/** Switches whose duration an executor keeps. */
export const switchSamples = 64;

export const HostExecutor = struct('HostExecutor', 1, {
  state: 'i32',
  /**
   * Counts the threads that have had this number. A browser may let one run on for a while after it was ended: one that finds
   * another incarnation than its own has nothing to do here any more.
   */
  incarnation: 'i32',
  /** Notified to wake it; it sleeps on this word. */
  bell: 'i32',
  /** Messages that the coordinator has posted: the executor returns to its event loop until it has had them all. */
  mail: 'i32',
  /** 1: it shall put its vCPU back and pick anew. */
  preempt: 'i32',
  /** The vCPU that it runs; −1: none. */
  current: 'i32',
  sliceEndNs: 'f64',
  sinceNs: 'f64',
  busyNs: 'f64',
  idleNs: 'f64',
  switches: 'f64',
  /** Of switches to guests that it had run last: how many, and host time from one guest's last instruction to the next's. */
  knownSwitches: 'f64',
  knownSwitchNs: 'f64',
  /** Nanoseconds of the last ones, in a ring. */
  switchSamples: array('f64', switchSamples),
  /** The same of guests that it took over. */
  takeOvers: 'f64',
  takeOverNs: 'f64',
});

/** Why an executor went over to another vCPU, or to none. */
export const scheduleReason = {
  /** The time slice of the one before was over. */
  slice: 0,
  /** The one before halted. */
  halt: 1,
  /** Somebody who was woken preempted the one before. */
  preempt: 2,
  /** The one before had used up its cap. */
  cap: 3,
  /** The one before ended, was paused or left. */
  left: 4,
  /** The executor was idle. */
  idle: 5,
} as const;

export type ScheduleReason = keyof typeof scheduleReason;

export const TraceRecord = struct('TraceRecord', 1, {
  atNs: 'f64',
  /** How long the one before had run, or the executor had idled. */
  ranNs: 'f64',
  executor: 'i32',
  /** The vCPU that runs from now on; −1: none. */
  vcpu: 'i32',
  /** The vCPU that ran before; −1: none. */
  before: 'i32',
  /** The executor that ran `vcpu` last; −1: none had. */
  from: 'i32',
  reason: 'i32',
  /** 1: `vcpu` runs because it was boosted. */
  boosted: 'i32',
});

export const traceLength = 4096;

const vcpusAt = HostHeader.size;
const executorsAt = vcpusAt + maximumVcpus * HostVcpu.size;
const traceAt = executorsAt + maximumExecutors * HostExecutor.size;
export const hostPageBytes = traceAt + traceLength * TraceRecord.size;

type ExecutorWord = 'state' | 'incarnation' | 'bell' | 'mail' | 'preempt' | 'current';

export type HostVcpuAccess = Struct<typeof HostVcpu.fields>;
export type HostExecutorAccess = Struct<typeof HostExecutor.fields>;

/** One decision of the scheduler; see {@link TraceRecord}. */
export interface TraceEntry {
  readonly atNs: number;
  readonly ranNs: number;
  readonly executor: number;
  readonly vcpu: number;
  readonly before: number;
  readonly from: number;
  readonly reason: ScheduleReason;
  readonly boosted: boolean;
}

const word = (offset: number): number => offset >> 2;
const pendingWord = word(HostHeader.offsets.pending);
const urgentWord = word(HostHeader.offsets.urgent);
const lockWord = word(HostHeader.offsets.lock);
const serialWord = word(HostHeader.offsets.wakeSerial);

/** Everybody's view of the host page. It holds no state of its own. */
export class HostPage {
  readonly buffer: SharedArrayBuffer;
  readonly header: Struct<typeof HostHeader.fields>;
  readonly vcpus: readonly HostVcpuAccess[];
  readonly executors: readonly HostExecutorAccess[];
  readonly words: Int32Array;
  readonly #floats: Float64Array;
  readonly #lock: HostLock;
  /** For `words`: what a running executor compares at VM exits. */
  readonly wakeSerialWord = serialWord;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.header = HostHeader.at(buffer, 0);
    this.words = new Int32Array(buffer);
    this.#floats = new Float64Array(buffer);
    this.#lock = new HostLock({
      words: this.words,
      lock: lockWord,
      incarnation: (executor) => this.#word(executor, 'incarnation'),
    });
    this.vcpus = structRows(HostVcpu, buffer, vcpusAt, maximumVcpus);
    this.executors = structRows(HostExecutor, buffer, executorsAt, maximumExecutors);
  }

  /** A new page, without vCPUs and executors. */
  static create(timeSliceMs = defaultTimeSliceMs): HostPage {
    const page = new HostPage(new SharedArrayBuffer(hostPageBytes));
    page.header.magic = hostMagic;
    page.header.version = hostVersion;
    page.header.timeSliceNs = timeSliceMs * 1e6;
    page.header.nextEventNs = Infinity;
    for (const vcpu of page.vcpus) Object.assign(vcpu, { executor: -1, heldBy: -1 });
    for (const executor of page.executors) executor.current = -1;
    return page;
  }

  /**
   * Host time as every thread of the page has it. `originMs` is the `performance.timeOrigin` of the coordinator's thread;
   * threads differ in theirs.
   */
  static clock(originMs: number, performance: { readonly timeOrigin: number; now(): number }): () => number {
    const aheadMs = performance.timeOrigin - originMs;
    return () => (aheadMs + performance.now()) * 1e6;
  }

  // The lock.

  /** See {@link HostLock.take}. */
  lock(executor: number, incarnation: number): boolean {
    return this.#lock.take(executor, incarnation);
  }

  unlock(executor: number, incarnation: number): void {
    this.#lock.release(executor, incarnation);
  }

  /** See {@link HostLock.whenHeld}. */
  whenLocked<T>(act: () => T): Promise<T> {
    return this.#lock.whenHeld(act);
  }

  /** An executor died; see {@link HostLock.fence}. */
  fence(executor: number): void {
    this.#lock.fence(executor);
  }

  // Adding. Under the lock, or before anybody else knows of it.

  /** A vCPU's or an executor's place is in use from now on. */
  use(what: 'vcpu' | 'executor', n: number): void {
    const field = what === 'vcpu' ? 'vcpuEnd' : 'executorEnd';
    this.header[field] = Math.max(this.header[field], n + 1);
  }

  // Words of executors.

  #word(executor: number, field: ExecutorWord): number {
    return word(executorsAt + executor * HostExecutor.size + HostExecutor.offsets[field]);
  }

  load(executor: number, field: ExecutorWord): number {
    return Atomics.load(this.words, this.#word(executor, field));
  }

  setExecutorState(executor: number, state: keyof typeof executorState): void {
    Atomics.store(this.words, this.#word(executor, 'state'), executorState[state]);
  }

  /** Wakes an executor that sleeps, and makes one that is about to look again. */
  ring(executor: number): void {
    Atomics.add(this.words, this.#word(executor, 'bell'), 1);
    Atomics.notify(this.words, this.#word(executor, 'bell'));
  }

  /** Blocks until the bell differs from `seen`, or for `timeoutMs`. */
  sleep(executor: number, seen: number, timeoutMs: number): void {
    Atomics.wait(this.words, this.#word(executor, 'bell'), seen, timeoutMs);
  }

  /** The same in the event loop, where messages are received and the engine has time for tasks of its own. */
  sleepInEventLoop(executor: number, seen: number, timeoutMs: number): Promise<void> {
    return waitAsync(this.words, this.#word(executor, 'bell'), seen, timeoutMs);
  }

  /** A message is on its way to this executor: it returns to its event loop until it has had it. */
  announceMail(executor: number): void {
    Atomics.add(this.words, this.#word(executor, 'mail'), 1);
    Atomics.add(this.words, serialWord, 1);
    this.ring(executor);
  }

  // Waking vCPUs.

  /**
   * A vCPU that is held may be run from now on: it is blocked, and whoever rings it ({@link wake}) sets it going. Under the
   * lock.
   * @param restedAt its guest's tenure, which is at rest
   */
  admit(n: number, restedAt: number, nowNs: number): void {
    const vcpu = this.vcpus[n];
    if (vcpu === undefined) throw new RangeError(`the host page has no vCPU ${n}`);
    Object.assign(vcpu, {
      restedAt,
      creditNs: 0,
      capLeftNs: 0,
      boostLeftNs: 0,
      boostDueNs: 0,
      sleptNs: 0,
      clockKnown: 0,
      arenaKnown: 0,
    });
    vcpu.deadlineNs = Infinity;
    vcpu.sinceNs = nowNs;
    vcpu.state = vcpuState.blocked;
  }

  /** Nobody runs a blocked vCPU until `executor` releases it and rings; false if it is not blocked. Under the lock. */
  hold(n: number, executor: number): boolean {
    const vcpu = this.vcpus[n];
    if (vcpu?.state !== vcpuState.blocked) return false;
    vcpu.state = vcpuState.held;
    vcpu.heldBy = executor;
    return true;
  }

  release(n: number): void {
    const vcpu = this.vcpus[n];
    if (vcpu?.state !== vcpuState.held || vcpu.heldBy < 0) return;
    vcpu.state = vcpuState.blocked;
    vcpu.heldBy = -1;
  }

  /** Something may have come for a vCPU: its doorbell rang; `urgent`: a request. From any thread. */
  wake(vcpu: number, urgent = false): void {
    if (urgent) Atomics.or(this.words, urgentWord + (vcpu >> 5), 1 << (vcpu & 31));
    Atomics.or(this.words, pendingWord + (vcpu >> 5), 1 << (vcpu & 31));
    Atomics.add(this.words, serialWord, 1);
    const home = this.vcpus[vcpu]?.executor ?? -1;
    const state = home < 0 ? executorState.absent : this.load(home, 'state');
    if (state === executorState.idle) {
      this.ring(home);
      return;
    }
    // It has been rung, and will look.
    if (state === executorState.busy && this.load(home, 'current') < 0) return;
    for (let n = 0; n < this.header.executorEnd; n++) {
      if (this.load(n, 'state') !== executorState.idle) continue;
      this.ring(n);
      return;
    }
  }

  /** Something may be for one of the 32 vCPUs of word 0 or 1. */
  get hasPending(): boolean {
    return Atomics.load(this.words, pendingWord) !== 0 || Atomics.load(this.words, pendingWord + 1) !== 0;
  }

  /** Takes the bits of word 0 or 1. Under the lock. */
  takePending(half: 0 | 1): number {
    return Atomics.exchange(this.words, pendingWord + half, 0);
  }

  /** Takes the urgent ones of word 0 or 1. Under the lock, after {@link takePending}. */
  takeUrgent(half: 0 | 1): number {
    return Atomics.exchange(this.words, urgentWord + half, 0);
  }

  get wakeSerial(): number {
    return Atomics.load(this.words, serialWord);
  }

  /** Running executors look at the page at once. */
  nudge(): void {
    Atomics.add(this.words, serialWord, 1);
  }

  /** Shares have to be computed anew, and running executors look at once. */
  sharesChanged(): void {
    Atomics.store(this.words, word(HostHeader.offsets.sharesStale), 1);
    Atomics.add(this.words, serialWord, 1);
  }

  // The trace.

  /** Under the lock. */
  record(record: TraceEntry): void {
    const count = this.header.traceCount;
    const place = traceAt + ((count >>> 0) % traceLength) * TraceRecord.size;
    const { offsets } = TraceRecord;
    // Stores by offset: an accessor made for each record would take longer than the decision.
    this.#floats[(place + offsets.atNs) >> 3] = record.atNs;
    this.#floats[(place + offsets.ranNs) >> 3] = record.ranNs;
    this.words[(place + offsets.executor) >> 2] = record.executor;
    this.words[(place + offsets.vcpu) >> 2] = record.vcpu;
    this.words[(place + offsets.before) >> 2] = record.before;
    this.words[(place + offsets.from) >> 2] = record.from;
    this.words[(place + offsets.reason) >> 2] = scheduleReason[record.reason];
    this.words[(place + offsets.boosted) >> 2] = record.boosted ? 1 : 0;
    Atomics.store(this.words, word(HostHeader.offsets.traceCount), (count + 1) | 0);
  }

  /** The last decisions from number `from` on, and the number of the next. What was overwritten is left out. */
  trace(from = 0): { readonly records: TraceEntry[]; readonly next: number } {
    const load = (): number => Atomics.load(this.words, word(HostHeader.offsets.traceCount)) >>> 0;
    const next = load();
    const first = Math.max(from, next - traceLength);
    const records: TraceEntry[] = [];
    for (let n = first; n < next; n++) records.push(this.#recordAt(n));
    // Those that the writer came to meanwhile may be half of one and half of another.
    const overwritten = Math.max(0, load() + 1 - traceLength - first);
    return { records: records.slice(overwritten), next };
  }

  #recordAt(n: number): TraceEntry {
    const place = traceAt + (n % traceLength) * TraceRecord.size;
    const { offsets } = TraceRecord;
    // By offset, as in `record`: the page reads hundreds a second while somebody looks at the timeline.
    const float = (offset: number): number => this.#floats[(place + offset) >> 3] ?? 0;
    const whole = (offset: number): number => this.words[(place + offset) >> 2] ?? 0;
    return {
      atNs: float(offsets.atNs),
      ranNs: float(offsets.ranNs),
      executor: whole(offsets.executor),
      vcpu: whole(offsets.vcpu),
      before: whole(offsets.before),
      from: whole(offsets.from),
      reason: reasonName(whole(offsets.reason)),
      boosted: whole(offsets.boosted) !== 0,
    };
  }
}

/** By number. */
const reasonNames = Object.keys(scheduleReason) as ScheduleReason[];

function reasonName(value: number): ScheduleReason {
  return reasonNames[value] ?? 'idle';
}
