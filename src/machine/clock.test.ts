import { describe, expect, it } from 'vitest';
import { Vcpu } from '../cpu/state.ts';
import { Clock, type ClockMode } from './clock.ts';

function make(mode: ClockMode) {
  const buffer = new SharedArrayBuffer(65_536);
  const vcpu = Vcpu.at(buffer, 1024);
  const host = { now: 7e9 };
  const attach = () => new Clock(buffer, 0, 1024, () => host.now);
  const clock = attach();
  clock.initialize(mode);
  return { vcpu, host, clock, attach };
}

describe('virtual clock', () => {
  it('counts instructions and nothing else, within a slice too', () => {
    const { vcpu, host, clock } = make({ mode: 'virtual', shift: 3 });
    host.now += 1e9;
    clock.synchronize();
    vcpu.retired = 100n;
    expect(clock.nowNs()).toBe(800);
    expect(clock.tscNow()).toBe(800n);
    vcpu.slice = 50;
    vcpu.budget = 40;
    expect(clock.nowNs()).toBe(880);
    expect(clock.instructionsUntil(881)).toBe(1);
    expect(clock.instructionsUntil(960)).toBe(10);
    expect(clock.instructionsUntil(0)).toBe(1);
  });

  it('jumps while the vCPU is halted, with the TSC', () => {
    const { vcpu, clock } = make({ mode: 'virtual', shift: 0 });
    vcpu.retired = 10n;
    clock.skipTo(5000);
    expect([clock.nowNs(), clock.tscNow()]).toEqual([5000, 5000n]);
    clock.skipTo(4000);
    expect(clock.nowNs()).toBe(5000);
    vcpu.retired = 20n;
    expect(clock.nowNs()).toBe(5010);
  });

  it('keeps what the guest writes to the TSC', () => {
    const { vcpu, clock } = make({ mode: 'virtual', shift: 0 });
    vcpu.retired = 1000n;
    vcpu.tscBase += 500n;
    expect(clock.tscNow()).toBe(1500n);
    expect(clock.tscToNs(2500n)).toBe(2000);
    clock.skipTo(3000);
    expect(clock.tscNow()).toBe(3500n);
  });
});

describe('real clock', () => {
  it('follows the host, from zero, never back', () => {
    const { vcpu, host, clock } = make({ mode: 'real' });
    expect(clock.nowNs()).toBe(0);
    host.now += 1_000_000;
    clock.synchronize();
    expect(clock.nowNs()).toBe(1_000_000);
    expect(clock.tscNow()).toBe(1_000_000n);
    vcpu.retired += 10_000_000n;
    const ahead = clock.nowNs();
    expect(ahead).toBeGreaterThan(1_000_000);
    clock.synchronize();
    expect(clock.nowNs()).toBe(ahead);
    host.now += 50_000_000;
    clock.synchronize();
    expect(clock.nowNs()).toBe(51_000_000);
  });

  it('learns the pace of instructions', () => {
    const { vcpu, host, clock } = make({ mode: 'real' });
    for (let i = 0; i < 60; i++) {
      clock.synchronize();
      vcpu.retired += 100_000n;
      host.now += 500_000;
      clock.endSlice();
    }
    clock.synchronize();
    const start = clock.nowNs();
    vcpu.retired += 100_000n;
    const took = clock.nowNs() - start;
    expect(took).toBeGreaterThan(200_000);
    expect(took).toBeLessThanOrEqual(500_000);
    expect(Math.abs(start - 60 * 500_000)).toBeLessThan(100_000);
  });

  it('gives back at once what a burst of instructions ran ahead', () => {
    const { vcpu, host, clock } = make({ mode: 'real' });
    const slice = (instructions: bigint) => {
      clock.synchronize();
      vcpu.retired += instructions;
      host.now += 1_000_000;
      clock.endSlice();
    };
    for (let i = 0; i < 20; i++) slice(100_000n);
    slice(2_000_000n); // a bulk REP: 20 ms of guest time in 1 ms
    const ahead = () => clock.nowNs() - (host.now - 7e9);
    expect(ahead()).toBeGreaterThan(15_000_000);
    for (let i = 0; i < 25; i++) slice(100_000n);
    expect(Math.abs(ahead())).toBeLessThan(200_000);
  });

  it('is not misled by short slow slices between long fast ones', () => {
    const { vcpu, host, clock } = make({ mode: 'real' });
    const slice = (instructions: bigint, ns: number) => {
      clock.synchronize();
      vcpu.retired += instructions;
      host.now += ns;
      clock.endSlice();
    };
    // A hot loop at 0.2 ns an instruction, and the handler of a timer tick at 16.
    for (let i = 0; i < 1000; i++) {
      slice(5_000_000n, 1_000_000);
      slice(2_800n, 45_000);
      expect(clock.nowNs() - (host.now - 7e9)).toBeLessThan(5_000_000);
    }
    expect(Math.abs(clock.nowNs() - (host.now - 7e9))).toBeLessThan(500_000);
  });

  it('stands still over a pause, and while no executor is there', () => {
    const { host, clock, attach } = make({ mode: 'real' });
    host.now += 1e6;
    clock.synchronize();
    host.now += 3600e9;
    clock.resume();
    clock.synchronize();
    expect(clock.nowNs()).toBe(1e6);
    host.now += 3600e9;
    const other = attach();
    other.synchronize();
    expect(other.nowNs()).toBe(1e6);
  });
});
