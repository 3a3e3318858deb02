import { describe, expect, it } from 'vitest';
import { FlatMemory, ManualClock } from '../testing.ts';
import { KvmClock, scaleOf } from './device.ts';

describe('kvm-clock', () => {
  it('tells how time follows from the TSC, stable', () => {
    const clock = new ManualClock();
    const memory = new FlatMemory();
    const device = new KvmClock(new SharedArrayBuffer(4096), 0, { clock, memory, calendarSeconds: () => 1000.5 });
    device.reset();
    clock.now = 500_000_000;
    device.writeMsr(0x4b564d01, 0x101n);
    const view = new DataView(memory.bytes.buffer);
    expect(view.getUint32(0x100, true) % 2).toBe(0);
    expect(view.getBigUint64(0x108, true)).toBe(500_000_000n);
    expect(view.getBigUint64(0x110, true)).toBe(500_000_000n);
    expect(view.getUint8(0x11d)).toBe(1);
    device.writeMsr(0x4b564d00, 0x200n);
    expect([view.getUint32(0x204, true), view.getUint32(0x208, true)]).toEqual([1000, 0]);
    expect(device.readMsr(0x4b564d01)).toBe(0x101n);
    expect(device.readMsr(0x4b564d02)).toBeUndefined();
  });

  it('scales any frequency to nanoseconds', () => {
    for (const hz of [1e9, 2.4e9, 0.5e9, 3.3e8]) {
      const { mul, shift } = scaleOf(hz);
      const oneSecond = (BigInt(hz) << BigInt(Math.max(shift, 0))) >> BigInt(Math.max(-shift, 0));
      const ns = Number((oneSecond * BigInt(mul)) >> 32n);
      expect(Math.abs(ns - 1e9)).toBeLessThan(10);
    }
  });
});
