import { describe, expect, it } from 'vitest';
import { allExecutors, HostPage, vcpuState } from '../../abi/host-page.ts';
import { CreditScheduler } from './credit.ts';
import { Simulation, type SimulatedGuest } from './testing/simulation.ts';
import { fairShares } from './fair-shares.ts';

/** Shares in percent of one executor over 10 s, after a second in which things settle. */
function sharesOf(executors: number, guests: readonly SimulatedGuest[]): number[] {
  const host = new Simulation(executors);
  for (const guest of guests) host.add(guest);
  host.run(1000);
  return host.run(10_000);
}

const weights = (...all: number[]): SimulatedGuest[] => all.map((weight) => ({ weight }));
const both = 3;
const claim = (weight: number, limit = 1, mask = both): Parameters<typeof fairShares>[0][number] => ({
  weight,
  limit,
  mask,
});

describe('fair shares', () => {
  it('follow weights, up to one executor each', () => {
    expect(fairShares([claim(1), claim(3)], 1)).toEqual([1, 1]);
    const one = (weight: number) => claim(weight, 1, 1);
    expect(fairShares([one(1), one(3)], 1)).toEqual([0.25, 0.75]);
    const shares = fairShares([claim(10), claim(1), claim(1)], both);
    expect(shares).toEqual([1, 0.5, 0.5]);
  });

  it('leave to others what a cap leaves', () => {
    expect(fairShares([claim(1, 0.25, 1), claim(1, 1, 1)], 1)).toEqual([0.25, 0.75]);
  });

  it('know how much the executors have that may run somebody', () => {
    expect(fairShares([claim(1, 1, 1), claim(3, 1, 1), claim(1)], both)).toEqual([0.25, 0.75, 1]);
  });
});

describe('credit scheduler: shares follow weights within 2 points over 10 s', () => {
  it.each([
    ['2 guests, 1 executor', 1, weights(256, 256), [50, 50]],
    ['2 guests 1:3, 1 executor', 1, weights(256, 768), [25, 75]],
    ['4 guests, 1 executor', 1, weights(256, 256, 512, 1024), [12.5, 12.5, 25, 50]],
    [
      '8 guests, 1 executor',
      1,
      weights(1, 2, 3, 4, 5, 6, 7, 8).map(({ weight = 1 }) => ({ weight: weight * 100 })),
      [1, 2, 3, 4, 5, 6, 7, 8].map((n) => (n * 100) / 36),
    ],
    ['2 guests 1:3, 2 executors', 2, weights(256, 768), [100, 100]],
    ['3 guests, 2 executors', 2, weights(256, 256, 256), [200 / 3, 200 / 3, 200 / 3]],
    ['4 guests 4:3:2:1, 2 executors', 2, weights(400, 300, 200, 100), [80, 60, 40, 20]],
    ['4 guests 10:1:1:1, 2 executors', 2, weights(1000, 100, 100, 100), [100, 100 / 3, 100 / 3, 100 / 3]],
    [
      '8 guests, 2 executors',
      2,
      weights(1, 1, 2, 2, 3, 3, 4, 4).map(({ weight = 1 }) => ({ weight: weight * 64 })),
      [1, 1, 2, 2, 3, 3, 4, 4].map((n) => n * 10),
    ],
  ] as const)('%s', (_, executors, guests, expected) => {
    const shares = sharesOf(executors, guests);
    for (const [n, share] of expected.entries()) {
      expect(
        Math.abs((shares[n] ?? 0) - share),
        `guest ${n}: ${shares.map((s) => s.toFixed(1)).join(' ')}`,
      ).toBeLessThan(2);
    }
  });

  it('with guests that sleep beside those that compute', () => {
    const [a = 0, b = 0, c = 0] = sharesOf(1, [{}, {}, { workMs: 1, sleepMs: 9 }]);
    expect(c).toBeGreaterThan(9);
    expect(Math.abs(a - b)).toBeLessThan(1);
  });
});

describe('cap', () => {
  it('holds 25 % within 3 points, alone and beside others', () => {
    expect(Math.abs((sharesOf(1, [{ capPercent: 25 }])[0] ?? 0) - 25)).toBeLessThan(3);
    const [capped = 0, other = 0] = sharesOf(1, [{ capPercent: 25 }, {}]);
    expect(Math.abs(capped - 25)).toBeLessThan(3);
    expect(other).toBeGreaterThan(72);
    const [onTwo = 0] = sharesOf(2, [{ capPercent: 25 }, {}, {}, {}]);
    expect(Math.abs(onTwo - 25)).toBeLessThan(3);
  });
});

describe('affinity', () => {
  it('hard: nobody runs where he may not', () => {
    const host = new Simulation(2);
    const left = host.add({ hardMask: 1 });
    for (let n = 0; n < 3; n++) host.add({ hardMask: 2 });
    const shares = host.run(3000);
    expect(shares[left]).toBeGreaterThan(99);
    for (const { executor, vcpu } of host.page.trace().records) {
      if (vcpu >= 0) expect(executor).toBe(vcpu === left ? 0 : 1);
    }
  });

  it('hard: who shares executor 0 shares it by weight, whatever executor 1 does', () => {
    const shares = sharesOf(2, [{ hardMask: 1, weight: 256 }, { hardMask: 1, weight: 768 }, { hardMask: 2 }]);
    expect(shares.map((share) => Math.round(share / 5) * 5)).toEqual([25, 75, 100]);
  });

  it('hard: counts for executors that are granted only', () => {
    expect(sharesOf(1, [{ hardMask: 8 }])[0]).toBeGreaterThan(99);
  });

  it('soft: a preference, and no executor idles for it', () => {
    const host = new Simulation(2);
    const guests = [1, 1, 2, 2].map((softMask) => host.add({ softMask }));
    host.run(1000);
    const { next } = host.page.trace();
    host.run(5000);
    for (const { executor, vcpu } of host.page.trace(next).records) expect(executor).toBe(guests.indexOf(vcpu) >> 1);
    const alone = new Simulation(2);
    alone.add({ softMask: 1 });
    alone.add({ softMask: 1 });
    expect(Math.min(...alone.run(1000))).toBeGreaterThan(95);
  });

  it('who can stay does: four equal guests on two executors do not move', () => {
    const host = new Simulation(2);
    for (let n = 0; n < 4; n++) host.add();
    host.run(2000);
    const before = host.page.vcpus.map(({ moves }) => moves);
    host.run(10_000);
    expect(host.page.vcpus.map(({ moves }) => moves)).toEqual(before);
  });

  it('who sleeps often stays: another executor waits for one that wakes up, unless that takes long', () => {
    const page = HostPage.create();
    for (const n of [0, 1]) page.use('executor', n);
    page.use('vcpu', 0);
    page.header.granted = both;
    const [vcpu] = page.vcpus;
    if (vcpu === undefined) throw new Error('no vCPU');
    Object.assign(vcpu, { weight: 256, hardMask: allExecutors, softMask: allExecutors });
    const scheduler = new CreditScheduler(page);
    page.admit(0, 0, 0);
    let now = 0;
    const wake = (): void => {
      page.wake(0);
      scheduler.wakeAll(now);
    };
    wake();
    // It computes for a moment and sleeps, a hundred times. Its executor takes 5 ms to wake up, the other one looks at once.
    for (let n = 0; n < 100; n++) {
      expect(scheduler.pick(0, 'idle', now)?.vcpu).toBe(0);
      now += 1e6;
      scheduler.block(0, Infinity, now);
      for (const executor of [0, 1]) expect(scheduler.pick(executor, 'halt', now)).toBeUndefined();
      now += 1e6;
      wake();
      for (let k = 0; k < 5; k++) {
        expect(scheduler.pick(1, 'idle', now)).toBeUndefined();
        now += 1e6;
      }
    }
    expect(vcpu.moves).toBe(0);
    now += 11e6;
    expect(scheduler.pick(1, 'idle', now)?.vcpu).toBe(0);
    expect(vcpu.moves).toBe(1);
  });

  it('guests that compute in short bursts do not share an executor while another idles', () => {
    const host = new Simulation(2, { wakeUpMs: 0.1 });
    const both = [host.add({ workMs: 1, sleepMs: 0.2 }), host.add({ workMs: 1, sleepMs: 0.2 })];
    host.run(1000);
    const shares = host.run(5000);
    for (const n of both) expect(shares[n]).toBeGreaterThan(75);
  });

  it.each([2, 3, 5, 8])('%i guests that only tick find places and stay there', (count) => {
    const host = new Simulation(2, { wakeUpMs: 0.1 });
    for (let n = 0; n < count; n++) host.add({ workMs: 0.1, sleepMs: 4 });
    host.run(1000);
    const moves = (): number => host.page.vcpus.reduce((sum, vcpu) => sum + vcpu.moves, 0);
    const before = moves();
    host.run(5000);
    expect(moves() - before).toBeLessThan(3);
  });

  it('who must move does so seldom, and the executors are even', () => {
    const host = new Simulation(2);
    for (let n = 0; n < 3; n++) host.add();
    host.run(10_000);
    const moves = host.page.vcpus.slice(0, 3).map((vcpu) => vcpu.moves);
    expect(moves.filter((n) => n > 0).length).toBeGreaterThan(1);
    expect(moves.reduce((sum, n) => sum + n, 0)).toBeLessThan(60);
  });
});

describe('boost', () => {
  it('who is woken beside busy guests runs after one stretch of instructions', () => {
    for (const executors of [1, 2]) {
      const host = new Simulation(executors);
      const idle = host.add({ workMs: 0.2 });
      for (let n = 0; n < 4; n++) host.add();
      for (let n = 1; n < 100; n++) host.ring(idle, 500 + n * 97);
      host.run(12_000);
      expect(host.latenciesMs(idle).length).toBeGreaterThan(98);
      expect(Math.max(...host.latenciesMs(idle).slice(1))).toBeLessThan(7);
    }
  });

  it('and so do timers', () => {
    const host = new Simulation(1);
    const ticking = host.add({ workMs: 0.1, sleepMs: 4 });
    for (let n = 0; n < 4; n++) host.add();
    host.run(5000);
    expect(Math.max(...host.latenciesMs(ticking).slice(1))).toBeLessThan(3.1);
  });

  it.each([2, 4])('a guest in debt waits for its debt alone, not for slices of %i others', (others) => {
    const host = new Simulation(1);
    // Somebody leans on a key: each echo takes a while, and together they take more than the guest is due.
    const typing = host.add({ workMs: 0.6, sleepMs: 0.3 });
    for (let n = 0; n < others; n++) host.add();
    host.run(1000);
    const settled = host.latenciesMs(typing).length;
    const shares = host.run(10_000);
    expect(Math.max(...host.latenciesMs(typing).slice(settled))).toBeLessThan(12);
    expect(Math.abs((shares[typing] ?? 0) - 100 / (others + 1))).toBeLessThan(2);
  });

  it('outlasts the first: what is done within a slice of computing does not wait for slices of others', () => {
    const host = new Simulation(1);
    const woken = host.add({ workMs: 14 });
    for (let n = 0; n < 4; n++) host.add();
    host.run(400);
    host.ring(woken, 100);
    host.run(118);
    expect(host.vcpu(woken).state).toBe(vcpuState.blocked);
  });

  it('a stall of the host is no debt of the guest that it hit', () => {
    const host = new Simulation(1);
    const woken = host.add({ workMs: 5 });
    for (let n = 0; n < 4; n++) host.add();
    host.run(400);
    host.ring(woken, 100);
    host.run(104);
    expect(host.vcpu(woken).state).toBe(vcpuState.running);
    host.stall(0, 100);
    host.ring(woken, 120);
    host.run(200);
    expect(host.latenciesMs(woken)).toHaveLength(2);
    expect(host.latenciesMs(woken)[1]).toBeLessThan(7);
  });

  it('is not to be lived on: who computes in bursts gets his share', () => {
    const [bursts = 0] = sharesOf(1, [{ workMs: 9, sleepMs: 1 }, {}, {}, {}]);
    expect(bursts).toBeLessThan(27);
    expect(bursts).toBeGreaterThan(20);
  });
});

describe('fairness', () => {
  it('nobody starves: the longest wait is bounded by what the others may have', () => {
    const host = new Simulation(1);
    const light = host.add({ weight: 1 });
    for (let n = 0; n < 4; n++) host.add({ weight: 1000 });
    host.add({ workMs: 2, sleepMs: 2 });
    const before = host.run(30_000);
    expect(before[light]).toBeGreaterThan(0);
    expect(host.vcpu(light).stealNs).toBeGreaterThan(20e9);
  });

  it('follows a change of weights at once', () => {
    const host = new Simulation(1);
    const a = host.add({ weight: 1000 });
    const b = host.add({ weight: 100 });
    host.run(5000);
    host.vcpu(a).weight = 100;
    host.vcpu(b).weight = 300;
    host.page.sharesChanged();
    host.run(500);
    const shares = host.run(10_000);
    expect(Math.abs((shares[b] ?? 0) - 75)).toBeLessThan(2);
  });

  it('charges what was run and what was waited for', () => {
    const host = new Simulation(1);
    const guests = [host.add(), host.add()];
    host.run(1000);
    for (const n of guests) {
      const { runNs, stealNs } = host.vcpu(n);
      expect(Math.abs(runNs + stealNs - 1e9)).toBeLessThan(1e3);
    }
  });

  it('an executor that is taken away leaves its guests to the others', () => {
    const host = new Simulation(2);
    const guests = [host.add(), host.add(), host.add()];
    host.run(1000);
    host.page.header.granted = 1;
    host.page.sharesChanged();
    host.run(1000);
    const shares = host.run(5000);
    for (const n of guests) expect(Math.abs((shares[n] ?? 0) - 100 / 3)).toBeLessThan(2);
  });
});

describe('trace', () => {
  it('tells who ran where, and why, without a gap', () => {
    const host = new Simulation(1);
    host.add();
    host.add({ workMs: 1, sleepMs: 20 });
    host.run(1000);
    const { records } = host.page.trace();
    expect(new Set(records.map(({ reason }) => reason))).toEqual(new Set(['idle', 'slice', 'halt', 'preempt']));
    for (const [n, record] of records.entries()) if (n > 0) expect(record.before).toBe(records[n - 1]?.vcpu);
    expect(records.some(({ boosted }) => boosted)).toBe(true);
  });

  it('keeps the last records, and tells from where to go on', () => {
    const host = new Simulation(1, { timeSliceMs: 1 });
    host.add();
    host.add();
    host.run(10_000);
    const { records, next } = host.page.trace();
    expect(records.length).toBeGreaterThan(4000);
    expect(next).toBeGreaterThan(records.length);
    expect(host.page.trace(next).records).toEqual([]);
  });
});
