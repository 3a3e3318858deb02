/**
 * Guest time. One clock feeds the TSC and every device; it never goes back, and stands still while the guest does not
 * run (paused, parked, saved).
 *
 * Between two synchronizations, time = base + instructions retired since × scale. The *real* clock synchronizes at
 * the start of each slice with the host's clock, and takes for the scale what an instruction needed in the last few
 * milliseconds; when interpolation ran ahead, time goes slowly until the host has caught up. The *virtual* clock has a fixed scale of 2^shift nanoseconds
 * and never looks at the host; while the guest halts, {@link Clock.skipTo} moves it to the next deadline.
 *
 * The TSC runs at 1 GHz: one tick is one nanosecond. What the guest wrote to it is an offset that stays.
 */
import { struct } from '../base/struct.ts';
import { Vcpu } from '../cpu/state.ts';
import type { TscClock } from '../devices/capabilities.ts';

export const tscHz = 1_000_000_000;

export const ClockState = struct('Clock', 1, {
  /** 0 real, 1 virtual. */
  virtual: 'u32',
  /** Virtual: an instruction takes 2^shift nanoseconds. */
  shift: 'u32',
  /** Guest time when `baseRetired` instructions had retired. */
  baseNs: 'f64',
  baseRetired: 'f64',
  /** Nanoseconds per instruction since then. */
  scaleNs: 'f64',
});

export type ClockMode = { readonly mode: 'real' } | { readonly mode: 'virtual'; readonly shift: number };

/** Default shift of the virtual clock: 4 ns per instruction, about what the interpreter needs. */
export const defaultShift = 2;

/**
 * Host time in which a slice's weight for the pace halves. A slice weighs as much as it lasted: code that runs for
 * microseconds between long slices, as the handler of each timer tick, says little about the next one's speed.
 */
const paceHalfLifeNs = 5e6;
/** Guest time goes a little slower than the pace, so that it seldom runs ahead. */
const caution = 0.95;
/** What it ran ahead is given back in about this host time, at a sixteenth of the pace at least. */
const givenBackInNs = 3e6;

export class Clock implements TscClock {
  readonly tscHz = tscHz;
  readonly #s: ReturnType<typeof ClockState.at>;
  readonly #vcpu: ReturnType<typeof Vcpu.at>;
  /** Low and high half of `Vcpu.retired`, which spares a bigint; and the slice that runs, with what is left of it. */
  readonly #retired: Uint32Array;
  readonly #slice: Uint32Array;
  readonly #budget: Uint32Array;
  readonly #hostNowNs: () => number;
  // Derived from the host's clock by this executor; another one begins anew, and guest time goes on where it stood.
  #hostOffsetNs: number;
  #sliceStartNs = 0;
  #sliceStartRetired = 0;
  /** Host time and instructions of recent slices, each with its weight. */
  #recentNs = 0;
  #recentCount = 0;

  /** @param hostNowNs monotonic host time in nanoseconds */
  constructor(buffer: ArrayBufferLike, address: number, vcpuAddress: number, hostNowNs: () => number) {
    this.#s = ClockState.at(buffer, address);
    this.#vcpu = Vcpu.at(buffer, vcpuAddress);
    this.#retired = new Uint32Array(buffer, vcpuAddress + Vcpu.offsets.retired, 2);
    this.#slice = new Uint32Array(buffer, vcpuAddress + Vcpu.offsets.slice, 1);
    this.#budget = new Uint32Array(buffer, vcpuAddress + Vcpu.offsets.budget, 1);
    this.#hostNowNs = hostNowNs;
    this.#hostOffsetNs = hostNowNs() - this.nowNs();
  }

  /** At power-on: guest time 0. */
  initialize(mode: ClockMode): void {
    const s = this.#s;
    s.virtual = mode.mode === 'virtual' ? 1 : 0;
    s.shift = mode.mode === 'virtual' ? mode.shift : 0;
    s.baseNs = 0;
    s.baseRetired = this.#retiredNow();
    this.#vcpu.tscBase = 0n;
    this.#vcpu.tscRetired = BigInt(s.baseRetired);
    this.#setScale(mode.mode === 'virtual' ? 2 ** mode.shift : 1);
    this.resume();
  }

  get isVirtual(): boolean {
    return this.#s.virtual !== 0;
  }

  /** Instructions retired so far, exact within a slice too (as the core's `retiredNow`). */
  #retiredNow(): number {
    const inSlice = (this.#slice[0] ?? 0) - (this.#budget[0] ?? 0);
    return (this.#retired[0] ?? 0) + (this.#retired[1] ?? 0) * 0x100000000 + inSlice;
  }

  #setScale(scaleNs: number): void {
    const fixed = Math.round(scaleNs * 0x100000000);
    this.#s.scaleNs = fixed / 0x100000000;
    this.#vcpu.tscScale = BigInt(fixed);
  }

  nowNs(): number {
    const s = this.#s;
    return s.baseNs + Math.floor((this.#retiredNow() - s.baseRetired) * s.scaleNs);
  }

  tscNow(): bigint {
    const v = this.#vcpu;
    return BigInt.asUintN(64, v.tscBase + (((BigInt(this.#retiredNow()) - v.tscRetired) * v.tscScale) >> 32n));
  }

  tscToNs(tsc: bigint): number {
    // What is far off counts as never within the range of safe integers.
    const ahead = Number(BigInt.asIntN(64, tsc - this.tscNow()));
    return Math.min(this.nowNs() + ahead, Number.MAX_SAFE_INTEGER);
  }

  /** Makes `ns` (not before now) the time at this instruction. */
  #rebase(ns: number): void {
    const s = this.#s;
    const v = this.#vcpu;
    const ahead = ns - this.nowNs();
    v.tscBase = BigInt.asUintN(64, this.tscNow() + BigInt(ahead));
    s.baseNs = ns;
    s.baseRetired = this.#retiredNow();
    v.tscRetired = BigInt(s.baseRetired);
  }

  /** The time that the guest would see after {@link synchronize}. */
  synchronizedNs(): number {
    return this.isVirtual ? this.nowNs() : this.#notBefore(this.#hostNowNs());
  }

  #notBefore(hostNs: number): number {
    return Math.max(Math.floor(hostNs - this.#hostOffsetNs), this.nowNs());
  }

  /** Start of a slice, and after every sleep: the real clock catches up with the host. */
  synchronize(): void {
    if (this.isVirtual) return;
    const host = this.#hostNowNs();
    this.#rebase(this.#notBefore(host));
    this.#sliceStartNs = host;
    this.#sliceStartRetired = this.#retiredNow();
  }

  /** End of a slice: learns how long an instruction takes. */
  endSlice(): void {
    if (this.isVirtual) return;
    const host = this.#hostNowNs();
    const now = this.nowNs();
    const tookNs = host - this.#sliceStartNs;
    const kept = 2 ** (-tookNs / paceHalfLifeNs);
    this.#recentNs = this.#recentNs * kept + tookNs;
    this.#recentCount = this.#recentCount * kept + this.#retiredNow() - this.#sliceStartRetired;
    if (this.#recentCount === 0) return;
    const pace = Math.min(this.#recentNs / this.#recentCount, 1000);
    // A bulk REP retires many instructions at once, and code may become faster in the middle of a slice.
    const aheadNs = Math.max(now - (host - this.#hostOffsetNs), 0);
    this.#rebase(now);
    this.#setScale(pace * Math.max(caution - aheadNs / givenBackInNs, 1 / 16));
  }

  /** The guest goes on after a pause that it must not notice: host time that passed meanwhile does not count. */
  resume(): void {
    this.#hostOffsetNs = this.#hostNowNs() - this.nowNs();
  }

  /** Host time less guest time. */
  get hostOffsetNs(): number {
    return this.#hostOffsetNs;
  }

  /** Goes on from another executor's clock, whose {@link hostOffsetNs} this was: time did not stand still between. */
  continueAt(hostOffsetNs: number): void {
    this.#hostOffsetNs = hostOffsetNs;
  }

  /** Virtual clock, vCPU halted: time moves to `ns`. */
  skipTo(ns: number): void {
    if (this.isVirtual && ns > this.nowNs()) this.#rebase(Math.ceil(ns));
  }

  /** Instructions after which guest time reaches `ns`: exact under the virtual clock, an estimate else. At least 1. */
  instructionsUntil(ns: number): number {
    return Math.max(Math.ceil((ns - this.nowNs()) / this.#s.scaleNs), 1);
  }
}
