/** Guests that move between processors all the time: what was compiled goes with them, and never outlives its code. */
import { readFileSync } from 'node:fs';
import { setImmediate as nextTask } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { guestCounter } from '../abi/statistics.ts';
import { Bench } from './testing/processor-bench.ts';
import { selfModified, selfModifyingGuest } from './testing/tiny-guest.ts';

const module = new WebAssembly.Module(readFileSync(new URL('../../build/core/core.wasm', import.meta.url)));

const outer = 24;
const inner = 600_000;

const turnMs = 4;
/** A processor comes after so many turns. */
const lateTurn = 60;

interface Outcome {
  readonly output: string;
  readonly retired: number;
  readonly moves: number;
  readonly counters: Float64Array;
}

/** Runs the guest to its end on so many processors, in turns of a few milliseconds. */
async function run(count: number, clock: 'real' | 'virtual', late = false): Promise<Outcome> {
  const bench = new Bench({ module, tier: 'auto', nextTask });
  const processors = [];
  for (let n = 0; n < count; n++) processors.push(await bench.processor());
  await bench.add(selfModifyingGuest(outer, inner), clock);
  for (let turn = 0; bench.events.length === 0; turn++) {
    if (late && turn === lateTurn) processors.push(await bench.lateProcessor());
    const n = turn % processors.length;
    bench.grant(1 << n);
    bench.revokeAfter(turnMs);
    await processors[n]?.run();
    // The service has its turn.
    for (let k = 0; k < 4; k++) await nextTask();
  }
  bench.close();
  expect(bench.events).toMatchObject([{ result: { kind: 'ended', state: 'debugExit' } }]);
  const { fields } = bench.guests[0]?.control ?? {};
  if (fields === undefined) throw new Error('no guest was added');
  return {
    output: bench.bytes(0).join(' '),
    retired: fields.retired,
    moves: bench.page.vcpus[0]?.moves ?? 0,
    counters: fields.counters,
  };
}

describe('a processor that comes late', () => {
  it('kills what it has no modules of, and the guest computes what it computes', async () => {
    const { output, moves, counters } = await run(1, 'virtual', true);
    expect(output).toBe(selfModified(outer, inner).join(' '));
    expect(moves).toBeGreaterThan(2);
    expect(counters[guestCounter.regionsKilled]).toBeGreaterThan(1);
  });
});

describe('a guest that writes its own code and moves after every turn', () => {
  const expected = selfModified(outer, inner).join(' ');

  it.each(['virtual', 'real'] as const)('computes what it computes on one processor, %s clock', async (clock) => {
    const one = await run(1, clock);
    const two = await run(2, clock);
    const three = await run(3, clock);
    for (const { output, retired } of [one, two, three]) {
      expect(output).toBe(expected);
      if (clock === 'virtual') expect(retired).toBe(one.retired);
    }
    expect(two.moves).toBeGreaterThan(5);
    expect(three.moves).toBeGreaterThan(5);
    for (const { counters } of [one, two, three]) expect(counters[guestCounter.modules]).toBeGreaterThan(2);
    // Nothing is compiled or decoded again because the guest has moved.
    expect(two.counters[guestCounter.arenaFlushes]).toBeLessThanOrEqual(
      (one.counters[guestCounter.arenaFlushes] ?? 0) + 1,
    );
    expect(three.counters[guestCounter.compiled]).toBeGreaterThan((one.counters[guestCounter.compiled] ?? 0) / 2);
  });
});
