/**
 * The driver of bare-metal mode: one thread that runs whichever guest the scheduler gives it (docs/adr/0015).
 *
 *     messages of the coordinator → the scheduler picks → turns of that guest → its slice ends, it halts, is preempted …
 *
 * A guest's executor object stays when another thread takes the guest over, with its core instance; the record of the vCPU
 * has another *tenure* then. The arena moves with the guest: decoded code, TLBs, and compiled code, of which each thread has
 * the functions at the same places (`cpu/jit/code-places.ts`), as the service that compiles sends them to all.
 */
import { HostPage, switchSamples, type ScheduleReason } from '../abi/host-page.ts';
import type { RegionResult, StartOptions, StartResult } from '../abi/executor.ts';
import type { JoinOptions, ProcessorApi, ProcessorEvent } from '../abi/processor.ts';
import { CreditScheduler } from './scheduler/credit.ts';
import { goOn, type Executor, type ExecutorResult, type RunLimits, type Sleep } from './executor.ts';
import { guestRings, Session, type MachineExtras, type SessionHost } from './session.ts';

/** A sleep that is likely to last longer is spent in the event loop, where the engine has time for tasks of its own. */
const longSleepNs = 20e6;

export interface ProcessorHost extends Omit<SessionHost, 'nowNs'> {
  /** The thread's `performance`. */
  readonly performance: { readonly timeOrigin: number; now(): number };
  /** Resolves in a later task of the event loop. */
  nextTask(): Promise<void>;
}

/** Of a guest that others run: translations that may wait in the event loop. */
const mostBacklog = 32;

/** A guest as this thread knows it. */
interface Resident {
  readonly options: StartOptions;
  session: Session | undefined;
  /** Of the vCPU when this thread last attached to it. */
  tenure: number;
}

/** The guest that has its turn, and how whoever ran it last has left it (`HostVcpu.restedAt`). */
interface Turned {
  readonly vcpu: number;
  readonly restedAt: number;
}

/** Nobody's turn: until somebody rings, or this. */
interface Idle {
  readonly idleUntilNs: number;
}

type Decision = Turned | Idle;

/** What {@link Processor.join} sets up. */
interface Place {
  readonly page: HostPage;
  readonly executor: number;
  /** See `HostExecutor.incarnation`. */
  readonly incarnation: number;
  readonly scheduler: CreditScheduler;
  readonly nowNs: () => number;
  readonly limits: RunLimits;
  readonly tell: (event: ProcessorEvent) => void;
}

export class Processor implements ProcessorApi {
  readonly #host: ProcessorHost;
  readonly #extras: MachineExtras;
  readonly #residents = new Map<number, Resident>();
  #place: Place | undefined;
  /** Messages that have come, of those that `HostExecutor.mail` counts. */
  #received = 0;
  #serialSeen = 0;
  /** The guest that ran last, and when its last turn ended. */
  #lastVcpu = -1;
  #stoppedNs = 0;

  constructor(host: ProcessorHost, extras: MachineExtras = {}) {
    this.#host = host;
    this.#extras = extras;
  }

  join({ page: buffer, executor, originMs, events }: JoinOptions): Promise<void> {
    const page = new HostPage(buffer);
    const nowNs = HostPage.clock(originMs, this.#host.performance);
    const limits: RunLimits = { interruption: { words: page.words, at: page.wakeSerialWord } };
    const tell = (event: ProcessorEvent): void => {
      events.postMessage(event);
    };
    this.#received = page.load(executor, 'mail');
    const incarnation = page.load(executor, 'incarnation');
    this.#place = { page, executor, incarnation, scheduler: new CreditScheduler(page), nowNs, limits, tell };
    return Promise.resolve();
  }

  get #at(): Place {
    if (this.#place === undefined) throw new Error('join must come first');
    return this.#place;
  }

  async add(vcpu: number, options: StartOptions): Promise<StartResult> {
    this.#received++;
    const resident: Resident = { options: { ...options, fresh: false }, session: undefined, tenure: -1 };
    if (options.fresh) {
      const session = this.#newSession();
      const result = await session.start(options, this.#extras);
      if (!result.ok) return result;
      resident.session = session;
      this.#residents.set(vcpu, resident);
      return result;
    }
    this.#residents.set(vcpu, resident);
    return { ok: true, rings: guestRings(options.definition) };
  }

  remove(vcpu: number): Promise<void> {
    this.#received++;
    this.#residents.get(vcpu)?.session?.executor.close();
    this.#residents.delete(vcpu);
    return Promise.resolve();
  }

  async region(vcpu: number, address: bigint): Promise<RegionResult> {
    this.#received++;
    const { page, executor } = this.#at;
    const session = this.#residents.get(vcpu)?.session;
    const here = (): boolean => page.vcpus[vcpu]?.tenure === this.#residents.get(vcpu)?.tenure;
    if (session !== undefined && here() && page.executors[executor]?.current === vcpu) return session.region(address);
    // One that is blocked stays so for the time that this takes.
    const claimed = session !== undefined && this.#locked(() => here() && page.hold(vcpu, executor));
    if (!claimed) return { ok: false, message: 'Another guest runs on this processor at the moment: ask again.' };
    const result = await session.region(address);
    this.#locked(() => {
      page.release(vcpu);
    });
    page.wake(vcpu);
    return result;
  }

  #newSession(): Session {
    const { nowNs } = this.#at;
    const { collectGarbage } = this.#host;
    return new Session({
      nowNs,
      calendarSeconds: () => this.#host.calendarSeconds(),
      randomSeed: () => this.#host.randomSeed(),
      ...(collectGarbage === undefined ? {} : { collectGarbage: () => collectGarbage() }),
    });
  }

  async run(): Promise<void> {
    const { page, executor } = this.#at;
    let reason: ScheduleReason = 'idle';
    this.#stoppedNs = this.#at.nowNs();
    while (this.#granted) {
      if (this.#hasMail) await this.#receiveMail();
      const bell = page.load(executor, 'bell');
      const decision = this.#decide(reason);
      if ('idleUntilNs' in decision) {
        await this.#sleep(bell, decision.idleUntilNs);
        this.#stoppedNs = this.#at.nowNs();
        reason = 'idle';
      } else {
        reason = await this.#serve(decision);
      }
    }
    this.#decide('left');
    page.setExecutorState(executor, 'absent');
  }

  get #granted(): boolean {
    const { page, executor, incarnation } = this.#at;
    return page.load(executor, 'incarnation') === incarnation && ((page.header.granted >>> executor) & 1) !== 0;
  }

  get #hasMail(): boolean {
    const { page, executor } = this.#at;
    return page.load(executor, 'mail') !== this.#received;
  }

  async #receiveMail(): Promise<void> {
    while (this.#hasMail) await this.#host.nextTask();
  }

  /** Runs something under the host page's lock. */
  #locked<T>(act: (nowNs: number) => T): T {
    const { page, executor, incarnation, nowNs } = this.#at;
    if (!page.lock(executor, incarnation)) throw new Error('this processor was given up for dead while it still ran');
    try {
      return act(nowNs());
    } finally {
      page.unlock(executor, incarnation);
    }
  }

  #decide(reason: ScheduleReason): Decision {
    const { page, executor, scheduler } = this.#at;
    return this.#locked((nowNs) => {
      this.#serialSeen = page.wakeSerial;
      scheduler.wakeAll(nowNs);
      const pick = scheduler.pick(executor, reason, nowNs);
      if (pick === undefined) return { idleUntilNs: scheduler.idleUntilNs(executor) };
      return { vcpu: pick.vcpu, restedAt: page.vcpus[pick.vcpu]?.restedAt ?? 1 };
    });
  }

  /** Nobody is to be run: until something rings, or is due. */
  async #sleep(bell: number, untilNs: number): Promise<void> {
    const { page, executor, nowNs } = this.#at;
    // This executor is idle by now for all who ring; whoever rang before has left a bit.
    if (page.hasPending || this.#hasMail || !this.#granted) return;
    const leftNs = untilNs - nowNs();
    if (leftNs <= 0) return;
    if (leftNs > longSleepNs) {
      // Not before each short one: it takes as long as a switch.
      this.#forgetStale();
      await page.sleepInEventLoop(executor, bell, leftNs / 1e6);
    } else page.sleep(executor, bell, leftNs / 1e6);
  }

  /** Gives up what was compiled for guests that others have taken over. */
  #forgetStale(): void {
    const { page } = this.#at;
    for (const [vcpu, { session, tenure }] of this.#residents) {
      if (session !== undefined && page.vcpus[vcpu]?.tenure !== tenure) session.executor.abandon();
    }
  }

  /** Runs the picked vCPU until it is somebody else's turn; why. */
  async #serve({ vcpu, restedAt }: Turned): Promise<ScheduleReason> {
    const stale = this.#residents.get(vcpu)?.tenure !== this.#at.page.vcpus[vcpu]?.tenure;
    const executor = await this.#switchTo(vcpu, restedAt);
    if (executor === undefined) return 'left';
    this.#noteSwitch(vcpu, stale);
    for (;;) {
      const turn = executor.turn(this.#untilNs());
      this.#stoppedNs = this.#at.nowNs();
      if (turn !== goOn && turn.kind !== 'sleep' && turn.kind !== 'mail') return this.#finish(vcpu, turn);
      if (turn !== goOn && turn.kind === 'sleep' && this.#block(vcpu, executor, turn)) return 'halt';
      if (turn !== goOn && !executor.wake()) return this.#lose(vcpu);
      if (turn !== goOn && turn.kind === 'sleep') continue;
      const delivery = executor.delivery();
      if (delivery) await delivery;
      if (this.#hasMail) await this.#receiveMail();
      const reason = this.#look();
      if (reason === undefined) continue;
      this.#enterTimes(vcpu, executor);
      executor.yieldGuest();
      executor.rest();
      this.#locked(() => this.#noteRest(vcpu, executor));
      await this.#receiveCode();
      return reason;
    }
  }

  /** Takes in what was compiled for guests that others run, before much of it has gathered. */
  async #receiveCode(): Promise<void> {
    for (const { session } of this.#residents.values()) {
      if (session !== undefined && session.executor.backlog > mostBacklog) await allDelivered(session.executor);
    }
  }

  /** A guest is about to run: how long it took to come to it. */
  #noteSwitch(vcpu: number, stale: boolean): void {
    const { page, executor, nowNs } = this.#at;
    const own = page.executors[executor];
    if (own === undefined || (vcpu === this.#lastVcpu && !stale)) return;
    this.#lastVcpu = vcpu;
    const tookNs = nowNs() - this.#stoppedNs;
    if (stale) {
      own.takeOvers++;
      own.takeOverNs += tookNs;
    } else {
      own.switchSamples[own.knownSwitches % switchSamples] = tookNs;
      own.knownSwitches++;
      own.knownSwitchNs += tookNs;
    }
  }

  /** When the scheduler is to be asked again. */
  #untilNs(): number {
    const { page, executor } = this.#at;
    return Math.min(page.executors[executor]?.sliceEndNs ?? 0, page.header.nextEventNs);
  }

  /** Why the vCPU's turn is over, if it is. Cheap when nothing has happened. */
  #look(): ScheduleReason | undefined {
    const { page, executor, scheduler, nowNs } = this.#at;
    if (page.wakeSerial === this.#serialSeen && nowNs() < this.#untilNs()) return undefined;
    return this.#locked((now) => {
      this.#serialSeen = page.wakeSerial;
      scheduler.wakeAll(now);
      return scheduler.isOver(executor, now);
    });
  }

  /** The vCPU sleeps, unless its doorbell rang since the turn began that found nothing to do. */
  #block(vcpu: number, guest: Executor, sleep: Sleep): boolean {
    const { executor, scheduler, page } = this.#at;
    // Nothing of the guest's memory is touched once others may run it.
    this.#enterTimes(vcpu, guest);
    guest.yieldGuest();
    return this.#locked((nowNs) => {
      if (guest.control.doorbellValue() !== sleep.doorbell) return false;
      this.#noteRest(vcpu, guest);
      const record = page.vcpus[vcpu];
      if (sleep.while === 'paused' && record !== undefined) record.clockKnown = 0;
      scheduler.block(executor, nowNs + sleep.timeoutMs * 1e6, nowNs);
      return true;
    });
  }

  #finish(vcpu: number, result: ExecutorResult): ScheduleReason {
    const { executor, scheduler, tell } = this.#at;
    this.#locked((nowNs) => {
      // First: who dies between the two has told, and the guest is at rest.
      if (result.kind !== 'matched') tell({ kind: 'result', vcpu, result });
      scheduler.leave(executor, nowNs);
    });
    return 'left';
  }

  /** The guest's executor, attached to it; undefined if it cannot be. */
  async #switchTo(vcpu: number, restedAt: number): Promise<Executor | undefined> {
    const { page } = this.#at;
    const record = page.vcpus[vcpu];
    const resident = this.#residents.get(vcpu);
    if (record === undefined || resident === undefined)
      return this.#fail(vcpu, 'this processor does not know the guest');
    const stale = resident.tenure !== record.tenure;
    if (resident.session === undefined) {
      const session = this.#newSession();
      const result = await session.start(resident.options, { ...this.#extras, keepArena: true });
      if (!result.ok) return this.#fail(vcpu, result.error.message);
      resident.session = session;
    }
    const { executor } = resident.session;
    if (stale) await allDelivered(executor);
    if (!executor.enter(restedAt)) {
      return this.#fail(vcpu, 'another executor is in the midst of it, or it was given to another one');
    }
    if (stale) {
      executor.begin(this.#at.limits);
      executor.takeOver(record.arenaKnown !== 0);
      record.arenaKnown = 1;
    }
    if (record.clockKnown === 0) executor.resumeClock();
    else if (stale) executor.continueClock(record.clockOffsetNs);
    record.clockOffsetNs = executor.clockOffsetNs;
    record.clockKnown = 1;
    resident.tenure = record.tenure;
    executor.control.fields.idleNs += record.sleptNs;
    record.sleptNs = 0;
    this.#enterTimes(vcpu, executor);
    return executor;
  }

  /** Whoever takes the guest up next has to find it as it was left. Under the lock. */
  #noteRest(vcpu: number, { left }: Executor): void {
    const record = this.#at.page.vcpus[vcpu];
    if (record !== undefined) record.restedAt = left;
  }

  /** What the guest had, and waited for, goes to its control page, as far as it has been accounted for. */
  #enterTimes(vcpu: number, { control: { fields } }: Executor): void {
    const record = this.#at.page.vcpus[vcpu];
    if (record === undefined) return;
    fields.runNs += record.runNs - record.runEnteredNs;
    fields.stealNs += record.stealNs - record.stealEnteredNs;
    record.runEnteredNs = record.runNs;
    record.stealEnteredNs = record.stealNs;
  }

  /** It was claimed while it was at rest here. */
  #lose(vcpu: number): ScheduleReason {
    this.#fail(vcpu, 'it was taken from this processor');
    return 'left';
  }

  #fail(vcpu: number, message: string): undefined {
    const { executor, scheduler, tell } = this.#at;
    this.#locked((nowNs) => {
      tell({ kind: 'failed', vcpu, message });
      scheduler.leave(executor, nowNs);
    });
  }
}

/** Resolves when the executor has all compiled code that was sent to it. */
async function allDelivered(executor: Executor): Promise<void> {
  for (let next = executor.delivery(); next !== undefined; next = executor.delivery()) await next;
}
