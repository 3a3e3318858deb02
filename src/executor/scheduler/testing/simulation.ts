/**
 * Simulated executors that run simulated guests by the scheduler that real ones have: time goes from event to event, and
 * a stretch of instructions lasts 3 ms, as a real executor's does.
 *
 * @example
 * const host = new Simulation(2);
 * const busy = host.add({ weight: 512 });
 * const idle = host.add({ sleepMs: 10, workMs: 0.1 });
 * host.run(10_000);
 * host.share(busy);
 */
import { allExecutors, defaultWeight, executorState, HostPage, vcpuState } from '../../../abi/host-page.ts';
import { CreditScheduler } from '../credit.ts';

export interface SimulatedGuest {
  readonly weight?: number;
  readonly capPercent?: number;
  readonly hardMask?: number;
  readonly softMask?: number;
  /** It computes for so long, and sleeps then; absent: it computes for ever. */
  readonly workMs?: number;
  /** Absent: it sleeps until {@link Simulation.ring}. */
  readonly sleepMs?: number;
}

interface State {
  readonly what: SimulatedGuest;
  workLeftNs: number;
  wokenNs: number;
  /** From each wake-up to the moment at which it ran. */
  readonly latenciesMs: number[];
}

const stretchNs = 3e6;

export class Simulation {
  readonly page: HostPage;
  readonly scheduler: CreditScheduler;
  nowNs = 0;
  readonly #guests: State[] = [];
  /** How long a thread takes to wake up. */
  readonly #wakeUpNs: number;
  /** When each executor comes out of its stretch, or wakes. */
  readonly #nextNs: number[];
  readonly #rings: { readonly atNs: number; readonly guest: number }[] = [];

  constructor(executors: number, { timeSliceMs = 30, wakeUpMs = 0 } = {}) {
    this.#wakeUpNs = wakeUpMs * 1e6;
    this.page = HostPage.create(timeSliceMs);
    this.scheduler = new CreditScheduler(this.page);
    this.page.header.granted = 2 ** executors - 1;
    this.#nextNs = Array.from({ length: executors }, () => 0);
    for (let n = 0; n < executors; n++) {
      this.page.use('executor', n);
      this.page.setExecutorState(n, 'busy');
    }
  }

  add(what: SimulatedGuest = {}): number {
    const n = this.#guests.length;
    this.page.use('vcpu', n);
    const vcpu = this.vcpu(n);
    vcpu.weight = what.weight ?? defaultWeight;
    vcpu.capPercent = what.capPercent ?? 0;
    vcpu.hardMask = what.hardMask ?? allExecutors;
    vcpu.softMask = what.softMask ?? allExecutors;
    this.#guests.push({ what, workLeftNs: (what.workMs ?? Infinity) * 1e6, wokenNs: -1, latenciesMs: [] });
    this.page.admit(n, 0, this.nowNs);
    this.page.wake(n);
    this.#wakeIdle();
    return n;
  }

  vcpu(n: number): HostPage['vcpus'][number] {
    const vcpu = this.page.vcpus[n];
    if (vcpu === undefined) throw new Error(`no vCPU ${n}`);
    return vcpu;
  }

  /** Somebody rings the doorbell of a guest, so many milliseconds from now. */
  ring(guest: number, inMs: number): void {
    this.#rings.push({ atNs: this.nowNs + inMs * 1e6, guest });
    this.#rings.sort((a, b) => a.atNs - b.atNs);
  }

  /** The host keeps an executor from running for so long. */
  stall(executor: number, milliseconds: number): void {
    this.#nextNs[executor] = this.nowNs + milliseconds * 1e6;
  }

  latenciesMs(guest: number): readonly number[] {
    return this.#guests[guest]?.latenciesMs ?? [];
  }

  /** Runs for so long; returns each guest's share of one executor's time, in percent. */
  run(milliseconds: number): number[] {
    const end = this.nowNs + milliseconds * 1e6;
    this.scheduler.account(this.nowNs);
    const before = this.#guests.map((_, n) => this.vcpu(n).runNs);
    for (;;) {
      const ring = this.#rings[0]?.atNs ?? Infinity;
      const executor = this.#nextNs.indexOf(Math.min(...this.#nextNs));
      const next = Math.min(ring, this.#nextNs[executor] ?? Infinity);
      if (next > end) break;
      this.#advance(next);
      if (ring <= next) this.#deliver();
      else this.#step(executor);
      this.#wakeRung();
    }
    this.#advance(end);
    this.scheduler.account(end);
    return this.#guests.map((_, n) => ((this.vcpu(n).runNs - (before[n] ?? 0)) / (milliseconds * 1e6)) * 100);
  }

  #advance(toNs: number): void {
    const took = toNs - this.nowNs;
    for (const { current } of this.page.executors.slice(0, this.#nextNs.length)) {
      const guest = this.#guests[current];
      if (guest !== undefined && this.vcpu(current).state === vcpuState.running) guest.workLeftNs -= took;
    }
    this.nowNs = toNs;
  }

  #deliver(): void {
    const ring = this.#rings.shift();
    if (ring === undefined) return;
    const guest = this.#guests[ring.guest];
    if (guest !== undefined) guest.wokenNs = this.nowNs;
    this.page.wake(ring.guest);
    this.#wakeIdle();
  }

  /** Whoever idles hears a ring; else the first to come out of its stretch does. */
  #wakeIdle(): void {
    for (const [n, { state }] of this.page.executors.slice(0, this.#nextNs.length).entries()) {
      if (state === executorState.idle) this.#nextNs[n] = this.nowNs;
    }
  }

  /** Executors that the scheduler has rung wake up. */
  #wakeRung(): void {
    for (const [n, { state, current }] of this.page.executors.slice(0, this.#nextNs.length).entries()) {
      if (state !== executorState.busy || current >= 0) continue;
      this.#nextNs[n] = Math.min(this.#nextNs[n] ?? Infinity, this.nowNs + this.#wakeUpNs);
    }
  }

  /** What an executor does between two stretches. */
  #step(executor: number): void {
    const { nowNs, scheduler } = this;
    const own = this.page.executors[executor];
    if (own === undefined) return;
    const guest = this.#guests[own.current];
    let reason: Parameters<CreditScheduler['pick']>[1] | undefined = 'idle';
    if (guest !== undefined && guest.workLeftNs <= 0) {
      const sleepNs = (guest.what.sleepMs ?? Infinity) * 1e6;
      scheduler.block(executor, nowNs + sleepNs, nowNs);
      guest.workLeftNs = (guest.what.workMs ?? Infinity) * 1e6;
      if (sleepNs < Infinity) guest.wokenNs = nowNs + sleepNs;
      scheduler.wakeAll(nowNs);
      reason = 'halt';
    } else {
      scheduler.wakeAll(nowNs);
      if (guest !== undefined) reason = scheduler.isOver(executor, nowNs);
    }
    if (reason !== undefined) this.#started(scheduler.pick(executor, reason, nowNs)?.vcpu);
    this.#nextNs[executor] = this.#untilNs(executor);
  }

  #started(n: number | undefined): void {
    const guest = n === undefined ? undefined : this.#guests[n];
    if (guest === undefined || guest.wokenNs < 0) return;
    guest.latenciesMs.push((this.nowNs - guest.wokenNs) / 1e6);
    guest.wokenNs = -1;
  }

  #untilNs(executor: number): number {
    const own = this.page.executors[executor];
    const guest = this.#guests[own?.current ?? -1];
    if (own === undefined || guest === undefined) return this.scheduler.idleUntilNs(executor);
    const { nextEventNs } = this.page.header;
    const eventNs = nextEventNs > this.nowNs ? nextEventNs : Infinity;
    return Math.min(this.nowNs + Math.min(stretchNs, Math.max(guest.workLeftNs, 1)), own.sliceEndNs, eventNs);
  }
}
