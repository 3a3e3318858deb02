/**
 * KVM's paravirtual clock: the guest names a structure in its memory, the machine writes there how guest time follows
 * from the TSC. TSC and guest time run in step always (both stand still while the guest is paused), so that the
 * structure is written once and stays true: "TSC stable".
 */
import type { GuestMemory, Msrs, Resettable, TscClock } from '../capabilities.ts';
import { flags, msr, timeInfo, wallClock } from './registers.ts';
import { KvmClockState } from './state.ts';

export interface KvmClockWires {
  readonly clock: TscClock;
  readonly memory: GuestMemory;
  /** The calendar now, in seconds since 1970 with their fraction. */
  calendarSeconds(): number;
}

export class KvmClock implements Msrs, Resettable {
  readonly #s: ReturnType<typeof KvmClockState.at>;
  readonly #wires: KvmClockWires;

  constructor(buffer: ArrayBufferLike, address: number, wires: KvmClockWires) {
    this.#s = KvmClockState.at(buffer, address);
    this.#wires = wires;
  }

  reset(): void {
    const s = this.#s;
    s.systemTime = 0n;
    s.wallClock = 0n;
    s.version = 0;
    s.wallVersion = 0;
  }

  readMsr(index: number): bigint | undefined {
    if (index === msr.systemTime || index === msr.systemTimeOld) return this.#s.systemTime;
    if (index === msr.wallClock || index === msr.wallClockOld) return this.#s.wallClock;
    return undefined;
  }

  writeMsr(index: number, value: bigint): boolean | undefined {
    if (index === msr.systemTime || index === msr.systemTimeOld) {
      this.#s.systemTime = BigInt.asUintN(64, value);
      if ((value & 1n) !== 0n) this.refresh();
      return true;
    }
    if (index === msr.wallClock || index === msr.wallClockOld) {
      this.#s.wallClock = BigInt.asUintN(64, value);
      this.#writeWallClock(Number(value));
      return true;
    }
    return undefined;
  }

  /** Writes the time structure anew: after the guest changed its TSC. */
  refresh(): void {
    const s = this.#s;
    if ((s.systemTime & 1n) === 0n) return;
    const { clock, memory } = this.#wires;
    s.version = (s.version + 2) >>> 0;
    const view = new DataView(new ArrayBuffer(timeInfo.size));
    const { mul, shift } = scaleOf(clock.tscHz);
    view.setUint32(timeInfo.version, s.version, true);
    view.setBigUint64(timeInfo.tsc, clock.tscNow(), true);
    view.setBigUint64(timeInfo.systemTime, BigInt(clock.nowNs()), true);
    view.setUint32(timeInfo.mul, mul, true);
    view.setInt8(timeInfo.shift, shift);
    view.setUint8(timeInfo.flags, flags.tscStable);
    memory.write(Number(s.systemTime - 1n), new Uint8Array(view.buffer));
  }

  /** The calendar's time at guest time 0. */
  #writeWallClock(gpa: number): void {
    const s = this.#s;
    const boot = this.#wires.calendarSeconds() - this.#wires.clock.nowNs() / 1e9;
    const seconds = Math.floor(boot);
    s.wallVersion = (s.wallVersion + 2) >>> 0;
    const view = new DataView(new ArrayBuffer(wallClock.size));
    view.setUint32(wallClock.version, s.wallVersion, true);
    view.setUint32(wallClock.seconds, seconds, true);
    view.setUint32(wallClock.nanoseconds, Math.floor((boot - seconds) * 1e9), true);
    this.#wires.memory.write(gpa, new Uint8Array(view.buffer));
  }
}

/** nanoseconds = ((ticks << shift) × mul) >> 32, with mul in the upper half of its range. */
export function scaleOf(tscHz: number): { mul: number; shift: number } {
  let scale = 1e9 / tscHz;
  let shift = 0;
  while (scale >= 1) {
    scale /= 2;
    shift++;
  }
  while (scale < 0.5) {
    scale *= 2;
    shift--;
  }
  return { mul: Math.floor(scale * 2 ** 32), shift };
}
