import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ControlPage, requestBit } from '../abi/control.ts';
import { allExecutors, defaultWeight, HostPage, vcpuState, type TraceEntry } from '../abi/host-page.ts';
import type { ProcessorEvent } from '../abi/processor.ts';
import { ByteRing } from '../abi/ring.ts';
import { memoryMap } from '../machine/memory-map.ts';
import { Processor } from './processor.ts';
import * as guest from './testing/tiny-guest.ts';

const ramBytes = 16 * 2 ** 20;
const map = memoryMap(ramBytes);
const coreModule = new WebAssembly.Module(readFileSync(new URL('../../build/core/core.wasm', import.meta.url)));
const originMs = performance.timeOrigin;

interface Added {
  readonly memory: WebAssembly.Memory;
  readonly control: ControlPage;
}

/** A host page with processors in this thread: one of them runs at a time, until it has nothing to do for long. */
class Bench {
  readonly page = HostPage.create();
  readonly events: ProcessorEvent[] = [];
  readonly guests: Added[] = [];
  readonly #processors: Processor[] = [];
  /** Called whenever a processor looks at the clock, which it does all the time. */
  onClock: () => void = () => undefined;

  async processor(): Promise<Processor> {
    const executor = this.#processors.length;
    const processor = new Processor(
      {
        performance: {
          timeOrigin: originMs,
          now: () => {
            this.onClock();
            return performance.now();
          },
        },
        calendarSeconds: () => 0,
        randomSeed: () => 1n,
        nextTask: () => new Promise((resolve) => setImmediate(resolve)),
      },
      // The compiler would be in this thread, and take most of its time at first.
      { debugExitPort: guest.debugExitPort, tier: 'interpreter' },
    );
    const events = {
      postMessage: (event: unknown) => {
        this.events.push(event as ProcessorEvent);
        if (this.events.length === this.guests.length) this.revoke();
      },
      addEventListener: () => undefined,
      start: () => undefined,
    };
    this.page.use('executor', executor);
    await processor.join({ page: this.page.buffer, executor, originMs, events });
    this.#processors.push(processor);
    return processor;
  }

  async add(kernel: Uint8Array, clock: 'real' | 'virtual' = 'real', weight = defaultWeight): Promise<number> {
    const pages = map.totalBytes / 65536;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const bytes = new SharedArrayBuffer(kernel.length);
    new Uint8Array(bytes).set(kernel);
    const definition = { name: 'test', ramBytes, commandLine: '', clock, noReboot: true };
    const options = { memory, module: coreModule, definition, kernel: bytes };
    const n = this.guests.length;
    this.page.use('vcpu', n);
    const vcpu = this.page.vcpus[n];
    if (vcpu === undefined) throw new Error('no room');
    Object.assign(vcpu, {
      weight,
      capPercent: 0,
      hardMask: allExecutors,
      softMask: allExecutors,
      state: vcpuState.held,
    });
    for (const [k, processor] of this.#processors.entries()) {
      this.page.announceMail(k);
      expect(await processor.add(n, { ...options, fresh: k === 0 })).toMatchObject({ ok: true });
    }
    const control = new ControlPage(memory.buffer);
    control.alsoRings = (urgent) => {
      this.page.wake(n, urgent);
    };
    this.guests.push({ memory, control });
    this.page.admit(n, performance.now() * 1e6);
    this.page.wake(n);
    return n;
  }

  grant(executors: number): void {
    this.page.header.granted = executors;
    this.page.sharesChanged();
  }

  revoke(): void {
    this.grant(0);
    for (const [n] of this.#processors.entries()) this.page.ring(n);
  }

  revokeAfter(milliseconds: number): void {
    const end = performance.now() + milliseconds;
    this.onClock = () => {
      if (performance.now() > end && this.page.header.granted !== 0) this.revoke();
    };
  }

  output(n: number): string {
    const { memory } = this.guests[n] as Added;
    return new TextDecoder().decode(new ByteRing(memory.buffer, map.consoleOut).read());
  }

  trace(): TraceEntry[] {
    return this.page.trace().records;
  }
}

describe('processor', () => {
  it('runs guests that share it to their ends', async () => {
    const bench = new Bench();
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
    const bench = new Bench();
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
    // Guest time is the host's, whoever ran.
    for (const { control } of bench.guests) expect(control.fields.uptimeNs).toBeGreaterThan(1.7e9);
  });

  it('takes guests over from another, whose time goes on meanwhile', async () => {
    const bench = new Bench();
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
    const bench = new Bench();
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
