/**
 * The credit scheduler of bare-metal mode: which vCPU runs on which executor (docs/adr/0015). Time and events in,
 * decisions out; all its state is in the host page, and every executor has an object of this class on it. Whoever calls
 * it holds the page's lock.
 *
 *     wake(vcpu), wakeDue       somebody rang, a deadline has come: it is runnable, boosted, and finds an executor
 *     block(executor, deadline) the vCPU that runs there halts
 *     tick(executor)            between two stretches of instructions: go on, or put the vCPU back
 *     pick(executor)            who runs next
 *
 * Credit is what a vCPU was due less what it had. It is earned at the rate of the fair share while the vCPU is runnable,
 * and burnt while it runs; {@link Accounts.account} does both up to now, before anything changes.
 */
import {
  executorState,
  vcpuState,
  type HostExecutorAccess,
  type HostPage,
  type HostVcpuAccess,
  type ScheduleReason,
} from '../../abi/host-page.ts';
import { Accounts, capPeriodNs } from './accounts.ts';

/** Credit in time slices that a vCPU must be ahead of others to be moved. */
const moveSlices = 5;
/** The same for an executor that its soft affinity does not name. */
const softSlices = 5;
/** A deadline that comes within this time is due: waking up takes longer. */
const dueSlackNs = 20e3;
/** Without an executor a rate is 0. */
const leastRate = 1e-6;
/** Nobody is picked for less: the decision would take as long. */
const leastTurnNs = 100e3;

/** The vCPU that an executor runs from now on, at most until `untilNs`. */
export interface Pick {
  readonly vcpu: number;
  readonly untilNs: number;
}

export class CreditScheduler {
  readonly #page: HostPage;
  readonly #accounts: Accounts;
  #knownExecutors: readonly HostExecutorAccess[] = [];

  constructor(page: HostPage) {
    this.#page = page;
    this.#accounts = new Accounts(page);
  }

  #mayRun(vcpu: HostVcpuAccess, executor: number): boolean {
    return ((this.#accounts.maskOf(vcpu) >>> executor) & 1) !== 0;
  }

  #isGranted(executor: number): boolean {
    return executor >= 0 && ((this.#page.header.granted >>> executor) & 1) !== 0;
  }

  /** See {@link Accounts.account}. */
  account(nowNs: number): void {
    this.#accounts.account(nowNs);
  }

  // Waking. ---------------------------------------------------------------------------------------------------------

  /** Takes note of everybody who was woken and of every deadline that has come. */
  wakeAll(nowNs: number): void {
    this.#accounts.account(nowNs);
    for (const half of [0, 1] as const) {
      const pending = this.#page.takePending(half);
      if (pending === 0) continue;
      const urgent = this.#page.takeUrgent(half);
      for (let bits = pending; bits !== 0; bits &= bits - 1) {
        const bit = bits & -bits;
        this.#ring(32 * half + 31 - Math.clz32(bit), (urgent & bit) !== 0, nowNs);
      }
    }
    if (this.#page.header.nextEventNs > nowNs + dueSlackNs) return;
    for (let n = 0; n < this.#page.header.vcpuEnd; n++) {
      const vcpu = this.#vcpu(n);
      if (vcpu.state === vcpuState.blocked && vcpu.deadlineNs <= nowNs + dueSlackNs) this.#wake(n, nowNs);
      else if (vcpu.state === vcpuState.runnable && this.#accounts.takeBoost(vcpu)) this.#place(vcpu);
    }
    this.#findNextEvent();
  }

  /** Its doorbell rang. */
  #ring(n: number, urgent: boolean, nowNs: number): void {
    const vcpu = this.#vcpu(n);
    this.#wake(n, nowNs);
    if (!urgent || vcpu.state !== vcpuState.runnable) return;
    vcpu.boostLeftNs = this.#accounts.boostNs;
    vcpu.capLeftNs = Math.max(vcpu.capLeftNs, leastTurnNs);
    vcpu.throttled = 0;
    this.#place(vcpu);
  }

  #wake(n: number, nowNs: number): void {
    const vcpu = this.#vcpu(n);
    if (vcpu.state !== vcpuState.blocked) return;
    this.#accounts.payBack(vcpu, nowNs - vcpu.sinceNs);
    // While it was paused its time stood still.
    if (vcpu.clockKnown !== 0) vcpu.sleptNs += nowNs - vcpu.sinceNs;
    vcpu.boosts = 0;
    vcpu.boostLeftNs = 0;
    vcpu.boostDueNs = this.#accounts.boostNs;
    this.#accounts.takeBoost(vcpu);
    this.#become(vcpu, 'runnable', nowNs);
    this.#place(vcpu);
  }

  /** Finds an executor for one that became runnable: one that idles is rung, or one that runs is told to pick anew. */
  #place(vcpu: HostVcpuAccess): void {
    if (vcpu.throttled !== 0 || this.#homeIsNear(vcpu)) return;
    const idle = this.#bestExecutor(
      vcpu,
      (executor) => executor.state === executorState.idle,
      () => 0,
    );
    if (idle >= 0) {
      // Who was rung is not idle for the next one that is placed.
      this.#executor(idle).state = executorState.busy;
      this.#page.ring(idle);
      return;
    }
    if (vcpu.boostLeftNs <= 0) return;
    const victim = this.#bestExecutor(
      vcpu,
      ({ state, current, preempt }) =>
        state === executorState.busy && preempt === 0 && current >= 0 && this.#goesBefore(vcpu, this.#vcpu(current)),
      ({ current }) => this.#vcpu(current).creditNs,
    );
    if (victim < 0) return;
    this.#executor(victim).preempt = 1;
    this.#page.nudge();
  }

  /** A boosted one preempts who is not, and on its first boost who has outlasted that. */
  #goesBefore(boosted: HostVcpuAccess, running: HostVcpuAccess): boolean {
    return running.boostLeftNs <= 0 || (boosted.boosts === 0 && running.boosts > 0);
  }

  /** Its own executor is about to wake up, or runs somebody who was boosted and will be done in a moment. */
  #homeIsNear(vcpu: HostVcpuAccess): boolean {
    if (!this.#isGranted(vcpu.executor) || !this.#mayRun(vcpu, vcpu.executor)) return false;
    if (this.#accounts.waitsForHomeNs(vcpu) === 0) return false;
    const { state, current } = this.#executor(vcpu.executor);
    if (state !== executorState.busy) return false;
    return current < 0 || !this.#goesBefore(vcpu, this.#vcpu(current));
  }

  /** Of the executors that may run it and fulfil `suits`: the last one, one that it prefers, the one of least `cost`; or −1. */
  #bestExecutor(
    vcpu: HostVcpuAccess,
    suits: (executor: HostExecutorAccess) => boolean,
    cost: (executor: HostExecutorAccess) => number,
  ): number {
    let best = -1;
    let bestRank = Infinity;
    for (let n = 0; n < this.#page.header.executorEnd; n++) {
      const executor = this.#executor(n);
      if (!this.#mayRun(vcpu, n) || !suits(executor)) continue;
      const preferred = ((vcpu.softMask >>> n) & 1) !== 0;
      const rank = (n === vcpu.executor ? 0 : 1e12) + (preferred ? 0 : 2e12) + cost(executor);
      if (rank >= bestRank) continue;
      best = n;
      bestRank = rank;
    }
    return best;
  }

  // Running. --------------------------------------------------------------------------------------------------------

  /** The vCPU that `executor` runs halts, until `deadlineNs` at the latest. */
  block(executor: number, deadlineNs: number, nowNs: number): void {
    this.#accounts.account(nowNs);
    const vcpu = this.#currentOf(executor);
    if (vcpu === undefined) return;
    vcpu.deadlineNs = deadlineNs;
    this.#become(vcpu, 'blocked', nowNs);
  }

  /** It is over, or goes elsewhere: nobody runs it any more. */
  leave(executor: number, nowNs: number): void {
    this.#accounts.account(nowNs);
    const vcpu = this.#currentOf(executor);
    if (vcpu !== undefined) this.#become(vcpu, 'held', nowNs);
  }

  /** Why `executor` is to pick anew, if it is: its slice is over, or somebody preempts. To be called after {@link wakeAll}. */
  isOver(executor: number, nowNs: number): ScheduleReason | undefined {
    const own = this.#executor(executor);
    const vcpu = this.#currentOf(executor);
    if (vcpu === undefined) return 'left';
    if (!this.#mayRun(vcpu, executor)) return 'left';
    if (vcpu.throttled !== 0) return 'cap';
    if (own.preempt !== 0) return 'preempt';
    return nowNs >= own.sliceEndNs ? 'slice' : undefined;
  }

  /** The next vCPU for `executor`; undefined: none, and it idles. What it ran until now goes back if it is runnable. */
  pick(executor: number, reason: ScheduleReason, nowNs: number): Pick | undefined {
    this.#accounts.account(nowNs);
    const own = this.#executor(executor);
    const before = own.current;
    const running = this.#currentOf(executor);
    // Who goes on has not waited.
    if (running !== undefined) {
      running.state = vcpuState.runnable;
      this.#accounts.takeBoost(running);
    }
    own.preempt = 0;
    const next = this.#best(executor);
    if (running !== undefined && next !== before) this.#become(running, 'runnable', nowNs);
    if (next !== before) this.#note(executor, next, reason, nowNs);
    own.current = next;
    own.state = next < 0 ? executorState.idle : executorState.busy;
    if (next < 0) {
      this.#findNextEvent();
      return undefined;
    }
    const vcpu = this.#vcpu(next);
    if (next === before && running !== undefined) vcpu.state = vcpuState.running;
    else this.#start(vcpu, executor, nowNs);
    own.sliceEndNs = nowNs + this.#turnNs(vcpu);
    this.#ringIdle();
    this.#findNextEvent();
    return { vcpu: next, untilNs: own.sliceEndNs };
  }

  #start(vcpu: HostVcpuAccess, executor: number, nowNs: number): void {
    if (vcpu.executor !== executor) {
      if (vcpu.executor >= 0) vcpu.moves++;
      vcpu.executor = executor;
      vcpu.tenure = (vcpu.tenure + 1) | 0;
      vcpu.waitedNs = 0;
    }
    vcpu.switches++;
    // Who is picked without a boost has its turn as others have.
    vcpu.boostDueNs = 0;
    this.#become(vcpu, 'running', nowNs);
  }

  #turnNs(vcpu: HostVcpuAccess): number {
    const boosted = vcpu.boostLeftNs > 0 ? vcpu.boostLeftNs : Infinity;
    const capped = vcpu.capPercent === 0 ? Infinity : vcpu.capLeftNs / (1 - vcpu.capPercent / 100);
    return Math.max(Math.min(this.#accounts.sliceNs, boosted, capped), leastTurnNs);
  }

  #note(executor: number, vcpu: number, reason: ScheduleReason, nowNs: number): void {
    const own = this.#executor(executor);
    const from = vcpu < 0 ? -1 : this.#vcpu(vcpu).executor;
    const boosted = vcpu >= 0 && this.#vcpu(vcpu).boostLeftNs > 0;
    const ranNs = nowNs - own.sinceNs;
    this.#page.record({ atNs: nowNs, ranNs, executor, vcpu, before: own.current, from, reason, boosted });
    if (own.current >= 0) own.busyNs += ranNs;
    else own.idleNs += ranNs;
    own.sinceNs = nowNs;
    own.switches++;
  }

  /** Boosted ones first, of these who has just woken, then by credit; staying where one ran last is worth some. */
  #best(executor: number): number {
    let best = -1;
    let bestRank = -Infinity;
    for (let n = 0; n < this.#page.header.vcpuEnd; n++) {
      const vcpu = this.#vcpu(n);
      if (vcpu.state !== vcpuState.runnable || vcpu.throttled !== 0 || !this.#mayRun(vcpu, executor)) continue;
      if (vcpu.executor !== executor && this.#homeIsNear(vcpu)) continue;
      const rank = this.#rank(vcpu, executor);
      if (rank <= bestRank) continue;
      best = n;
      bestRank = rank;
    }
    return best;
  }

  #rank(vcpu: HostVcpuAccess, executor: number): number {
    let rank = vcpu.creditNs;
    if (vcpu.executor !== executor && this.#isGranted(vcpu.executor)) {
      // Its own executor has been told to take it, or will.
      if (vcpu.boostLeftNs > 0 && this.#executor(vcpu.executor).preempt !== 0) return -1e12;
      rank -= moveSlices * this.#accounts.sliceNs;
    }
    if (((vcpu.softMask >>> executor) & 1) === 0) rank -= softSlices * this.#accounts.sliceNs;
    if (vcpu.boostLeftNs <= 0) return rank;
    return rank + (vcpu.boosts === 0 ? 2e12 : 1e12);
  }

  /** Whoever still waits while an executor idles: that one looks. */
  #ringIdle(): void {
    if (!this.#executors.some(({ state }) => state === executorState.idle)) return;
    for (const vcpu of this.#accounts.vcpus) {
      if (vcpu.state === vcpuState.runnable) this.#place(vcpu);
    }
  }

  /** When something is due without anybody ringing. */
  #findNextEvent(): void {
    // When debts are worked off depends on rates.
    if (this.#page.header.sharesStale !== 0) this.#accounts.computeShares();
    let next = Infinity;
    for (const vcpu of this.#accounts.vcpus) next = Math.min(next, this.#eventOf(vcpu));
    this.#page.header.nextEventNs = next;
  }

  /**
   * Until when an idle executor sleeps: of the vCPUs that ran elsewhere, that executor takes care, if it is still there.
   */
  idleUntilNs(executor: number): number {
    let next = Infinity;
    for (const vcpu of this.#accounts.vcpus) {
      const elsewhere = vcpu.executor !== executor && this.#isGranted(vcpu.executor);
      if (elsewhere && vcpu.state === vcpuState.blocked) continue;
      next = Math.min(next, this.#eventOf(vcpu));
    }
    return next;
  }

  /** When a vCPU wants to be looked at though nobody rings. */
  #eventOf(vcpu: HostVcpuAccess): number {
    const nowNs = this.#page.header.accountedNs;
    if (vcpu.state === vcpuState.blocked) return vcpu.deadlineNs;
    if (vcpu.state !== vcpuState.runnable) return Infinity;
    if (vcpu.throttled === 0 || vcpu.capPercent === 0) {
      const leftNs = this.#accounts.waitsForHomeNs(vcpu);
      const debtNs =
        vcpu.boostDueNs > 0
          ? Math.max(-this.#accounts.debtLimitNs - vcpu.creditNs, 0) / Math.max(vcpu.rate, leastRate)
          : Infinity;
      return nowNs + Math.min(leftNs > 0 ? leftNs : Infinity, debtNs) + dueSlackNs;
    }
    const cap = vcpu.capPercent / 100;
    return nowNs + Math.max((cap * capPeriodNs) / 2 - vcpu.capLeftNs, 0) / cap + dueSlackNs;
  }

  #become(vcpu: HostVcpuAccess, state: 'runnable' | 'running' | 'blocked' | 'held', nowNs: number): void {
    const active = (value: number): boolean => value === vcpuState.runnable || value === vcpuState.running;
    if (active(vcpu.state) !== active(vcpuState[state])) this.#page.header.sharesStale = 1;
    vcpu.state = vcpuState[state];
    vcpu.sinceNs = nowNs;
  }

  #currentOf(executor: number): HostVcpuAccess | undefined {
    const { current } = this.#executor(executor);
    const vcpu = current < 0 ? undefined : this.#vcpu(current);
    return vcpu?.state === vcpuState.running && vcpu.executor === executor ? vcpu : undefined;
  }

  get #executors(): readonly HostExecutorAccess[] {
    const { executorEnd } = this.#page.header;
    if (this.#knownExecutors.length !== executorEnd) this.#knownExecutors = this.#page.executors.slice(0, executorEnd);
    return this.#knownExecutors;
  }

  #vcpu(n: number): HostVcpuAccess {
    return this.#page.vcpus[n] as HostVcpuAccess;
  }

  #executor(n: number): HostExecutorAccess {
    return this.#page.executors[n] as HostExecutorAccess;
  }
}
