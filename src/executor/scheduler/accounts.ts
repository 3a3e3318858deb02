/**
 * What each vCPU is due and has had: credit, caps, boosts and debts, in the host page. {@link Accounts.account} brings them
 * up to now; `credit.ts` decides by them.
 */
import { executorState, vcpuState, type HostPage, type HostVcpuAccess } from '../../abi/host-page.ts';
import { fairShares, type Claimant } from './fair-shares.ts';

/** Of a time slice: how long a boost lasts. */
const boostSlices = 1 / 3;
/** Of a time slice: beyond this debt a boost is due only, and had once so much is worked off. */
const debtSlices = 1;
/** Boosts that who woke has one after the other, if it computes for so long and its debt allows. */
const boostsPerWake = 3;
/** Credit and debt are forgotten beyond. */
const creditLimitSlices = 10;
/** A cap is kept over this time; one that was used up is used again when half of it is there. */
export const capPeriodNs = 100e6;
/**
 * How long a vCPU waits for its own executor, when that is about to be free, before another one that idles takes it: a move
 * takes a millisecond or two, and cold code. Short waits add up; what is forgotten of them is a share of the time.
 */
const moveAfterNs = 4e6;
/**
 * How long it waits for its own executor to wake up, which has been rung and runs nobody. That takes what the host's scheduler
 * takes, a few milliseconds on a busy host, and says nothing of whether another executor would be a better home.
 */
const wakeLimitNs = 15e6;
const waitForgotten = 0.02;
/**
 * A stretch of instructions is over by then. Beyond, the host has kept the executor from running: for one that is boosted,
 * and does not compute for long, that is no debt.
 */
const graceNs = 5e6;
export class Accounts {
  readonly #page: HostPage;
  #knownVcpus: readonly HostVcpuAccess[] = [];

  constructor(page: HostPage) {
    this.#page = page;
  }

  get sliceNs(): number {
    return this.#page.header.timeSliceNs;
  }

  get boostNs(): number {
    return boostSlices * this.sliceNs;
  }

  get debtLimitNs(): number {
    return debtSlices * this.sliceNs;
  }

  /** Earns and burns credit up to now. */
  account(nowNs: number): void {
    const { header } = this.#page;
    const tookNs = nowNs - header.accountedNs;
    if (header.sharesStale !== 0) this.computeShares();
    if (tookNs <= 0) return;
    header.accountedNs = nowNs;
    for (const vcpu of this.vcpus) if (vcpu.state > vcpuState.held) this.#accountOne(vcpu, tookNs);
  }

  #accountOne(vcpu: HostVcpuAccess, tookNs: number): void {
    const cap = vcpu.capPercent / 100;
    const running = vcpu.state === vcpuState.running;
    if (running) {
      vcpu.runNs += tookNs;
      if (vcpu.boostLeftNs > 0) this.#spendBoost(vcpu, tookNs);
    }
    if (running || vcpu.state === vcpuState.runnable) {
      const limit = creditLimitSlices * this.sliceNs;
      const credit = vcpu.creditNs + tookNs * vcpu.rate - (running ? this.#chargeNs(vcpu, tookNs) : 0);
      vcpu.creditNs = Math.min(Math.max(credit, -limit), limit);
    }
    if (vcpu.state === vcpuState.runnable && vcpu.throttled === 0) {
      vcpu.stealNs += tookNs;
      if (!this.homeWakes(vcpu)) vcpu.waitedNs += tookNs;
    }
    vcpu.waitedNs = Math.min(Math.max(vcpu.waitedNs - waitForgotten * tookNs, 0), 2 * moveAfterNs);
    if (cap === 0) {
      vcpu.throttled = 0;
      return;
    }
    const most = cap * capPeriodNs;
    vcpu.capLeftNs = Math.min(vcpu.capLeftNs + tookNs * (cap - (running ? 1 : 0)), most);
    if (vcpu.capLeftNs <= 0) vcpu.throttled = 1;
    else if (vcpu.capLeftNs >= most / 2) vcpu.throttled = 0;
  }

  /** What one that runs is charged of the last `tookNs`. */
  #chargeNs(vcpu: HostVcpuAccess, tookNs: number): number {
    if (vcpu.boostLeftNs <= 0 && vcpu.boostDueNs <= 0) return tookNs;
    const startNs = this.#page.header.accountedNs - tookNs;
    return Math.min(tookNs, Math.max((this.#page.executors[vcpu.executor]?.sliceEndNs ?? 0) + graceNs - startNs, 0));
  }

  #spendBoost(vcpu: HostVcpuAccess, tookNs: number): void {
    vcpu.boostLeftNs = Math.max(vcpu.boostLeftNs - tookNs, 0);
    if (vcpu.boostLeftNs > 0 || ++vcpu.boosts >= boostsPerWake) return;
    vcpu.boostDueNs = this.boostNs;
  }

  /** A boost that is due is had as soon as the debt allows. True: it is boosted from now on. */
  takeBoost(vcpu: HostVcpuAccess): boolean {
    if (vcpu.boostDueNs === 0 || vcpu.creditNs <= -this.debtLimitNs) return false;
    vcpu.boostLeftNs = vcpu.boostDueNs;
    vcpu.boostDueNs = 0;
    return true;
  }

  /** Who is runnable has changed, or what it is due. */
  computeShares(): void {
    const { header } = this.#page;
    header.sharesStale = 0;
    const active = this.vcpus.filter(({ state }) => state === vcpuState.runnable || state === vcpuState.running);
    const claimants = active.map((vcpu): Claimant => {
      const limit = vcpu.capPercent === 0 ? 1 : vcpu.capPercent / 100;
      return { weight: Math.max(vcpu.weight, 1), limit, mask: this.maskOf(vcpu) };
    });
    const shares = fairShares(claimants, header.granted);
    for (const [n, vcpu] of active.entries()) vcpu.rate = shares[n] ?? 0;
  }

  /** Its own executor has been rung, and has not picked anybody yet. */
  homeWakes({ executor }: HostVcpuAccess): boolean {
    const home = this.#page.executors[executor];
    return home?.state === executorState.busy && home.current < 0;
  }

  /** How long it waits further before others than its own executor may run it; 0: they may. */
  waitsForHomeNs(vcpu: HostVcpuAccess): number {
    if (this.homeWakes(vcpu)) return Math.max(vcpu.sinceNs + wakeLimitNs - this.#page.header.accountedNs, 0);
    return Math.max(moveAfterNs - vcpu.waitedNs, 0) / (1 - waitForgotten);
  }

  /** Executors that may run it. */
  maskOf(vcpu: HostVcpuAccess): number {
    const { granted } = this.#page.header;
    return (vcpu.hardMask & granted) !== 0 ? vcpu.hardMask & granted : granted;
  }

  /** Who sleeps pays a debt back with the share that it does not use, and saves no more than a slice of credit. */
  payBack(vcpu: HostVcpuAccess, asleepNs: number): void {
    if (vcpu.creditNs >= 0) {
      vcpu.creditNs = Math.min(vcpu.creditNs, this.sliceNs);
      return;
    }
    const limit = vcpu.capPercent === 0 ? 1 : vcpu.capPercent / 100;
    const claimants: Claimant[] = [{ weight: vcpu.weight, limit, mask: this.maskOf(vcpu) }];
    for (const other of this.vcpus) {
      const active = other.state === vcpuState.runnable || other.state === vcpuState.running;
      if (active) claimants.push({ weight: other.weight, limit: 1, mask: this.maskOf(other) });
    }
    const [rate = 0] = fairShares(claimants, this.#page.header.granted);
    vcpu.creditNs = Math.min(vcpu.creditNs + rate * asleepNs, 0);
  }

  /** Places that have been in use. */
  get vcpus(): readonly HostVcpuAccess[] {
    const { vcpuEnd } = this.#page.header;
    if (this.#knownVcpus.length !== vcpuEnd) this.#knownVcpus = this.#page.vcpus.slice(0, vcpuEnd);
    return this.#knownVcpus;
  }
}
