import { readFileSync } from 'node:fs';
import { setImmediate as nextTask } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { requestBit } from '../abi/control.ts';
import { Bench } from './testing/processor-bench.ts';
import * as guest from './testing/tiny-guest.ts';

const module = new WebAssembly.Module(readFileSync(new URL('../../build/core/core.wasm', import.meta.url)));

describe('processor', () => {
  it('runs guests that share it to their ends', async () => {
    const bench = new Bench({ module, tier: 'interpreter', nextTask });
    const processor = await bench.processor();
    await bench.add(guest.printingGuest('hello\n', 3));
    await bench.add(guest.tickingGuest(20, 'halt'));
    await bench.add(guest.tickingGuest(20, 'spin'));
    await bench.add(guest.tickingGuest(500, 'halt'), 'virtual');
    bench.grant(1);
    await processor.run();
    expect(bench.output(0)).toBe('hello\n');
    expect(bench.events.map(({ vcpu }) => vcpu).sort()).toEqual([0, 1, 2, 3]);
    for (const event of bench.events) expect(event).toMatchObject({ result: { kind: 'ended', state: 'debugExit' } });
    expect(bench.guests[1]?.control.fields.idleNs).toBeGreaterThan(50e6);
    expect(bench.page.load(0, 'state')).toBe(0);
    const reasons = new Set(bench.trace().map(({ reason }) => reason));
    for (const reason of ['idle', 'halt', 'preempt', 'left'] as const) expect(reasons).toContain(reason);
  });

  it('shares the processor by weight, and charges what was run', async () => {
    const bench = new Bench({ module, tier: 'interpreter', nextTask });
    const processor = await bench.processor();
    await bench.add(guest.spinningGuest(), 'real', 300);
    await bench.add(guest.spinningGuest(), 'real', 100);
    bench.grant(1);
    bench.revokeAfter(2000);
    await processor.run();
    const [a = 0, b = 0] = bench.page.vcpus.map(({ runNs }) => runNs);
    expect(a / (a + b)).toBeGreaterThan(0.72);
    expect(a / (a + b)).toBeLessThan(0.78);
    expect(a + b).toBeGreaterThan(1.9e9);
    for (const [n, { control }] of bench.guests.entries()) {
      const { runNs = 0, stealNs = 0 } = bench.page.vcpus[n] ?? {};
      // The last slice may not have been entered.
      expect(runNs - control.fields.runNs).toBeLessThan(50e6);
      expect(stealNs - control.fields.stealNs).toBeLessThan(200e6);
      expect(control.fields.stealNs).toBeGreaterThan(0.3e9);
    }
    // Guest time is the host's, whoever ran.
    for (const { control } of bench.guests) expect(control.fields.uptimeNs).toBeGreaterThan(1.7e9);
  });

  it('takes guests over from another, whose time goes on meanwhile', async () => {
    const bench = new Bench({ module, tier: 'interpreter', nextTask });
    const processors = [await bench.processor(), await bench.processor()];
    const ticking = await bench.add(guest.tickingGuest(100, 'halt'));
    await bench.add(guest.tickingGuest(100, 'spin'));
    const start = performance.now();
    for (let turn = 0; bench.events.length < 2; turn++) {
      expect(turn).toBeLessThan(50);
      bench.grant(1 << (turn & 1));
      bench.revokeAfter(80);
      await processors[turn & 1]?.run();
    }
    const tookNs = (performance.now() - start) * 1e6;
    expect(bench.events).toHaveLength(2);
    for (const event of bench.events) expect(event).toMatchObject({ result: { state: 'debugExit' } });
    expect(bench.page.vcpus[ticking]?.moves).toBeGreaterThan(5);
    const { uptimeNs } = bench.guests[ticking]?.control.fields ?? { uptimeNs: 0 };
    expect(uptimeNs).toBeGreaterThan(tookNs * 0.7);
    expect(uptimeNs).toBeLessThan(tookNs);
  });

  it('obeys requests to a guest that waits for its turn', async () => {
    const bench = new Bench({ module, tier: 'interpreter', nextTask });
    const processor = await bench.processor();
    const busy = [await bench.add(guest.spinningGuest()), await bench.add(guest.spinningGuest())];
    bench.grant(1);
    let asked = 0;
    const begin = performance.now();
    bench.onClock = () => {
      const at = performance.now() - begin;
      if (at < 200 || asked > 0) return;
      asked = at;
      for (const n of busy) bench.guests[n]?.control.request(n === 0 ? requestBit.park : requestBit.stop);
    };
    await processor.run();
    expect(performance.now() - begin - asked).toBeLessThan(100);
    expect(bench.events).toContainEqual({ kind: 'result', vcpu: 0, result: { kind: 'parked' } });
    expect(bench.events).toContainEqual(
      expect.objectContaining({ vcpu: 1, result: { kind: 'ended', state: 'stopped', exitCode: 0 } }),
    );
  });
});
