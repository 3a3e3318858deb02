import { describe, expect, it } from 'vitest';
import type { Flow } from './lay-out.ts';
import { entriesFromBeyond, partInstructions, partOf } from './partition.ts';

/** Instructions one byte long: each leads to the next one and, where the map says so, elsewhere. */
function flowsOf(count: number, taken: ReadonlyMap<number, number>, ends: ReadonlySet<number> = new Set()): Flow[] {
  return Array.from({ length: count }, (_, n) => ({
    next: n + 1 < count && !ends.has(n) ? n + 1 : undefined,
    taken: taken.get(n),
    ends: taken.has(n) || ends.has(n),
  }));
}

function partsOf(flows: readonly Flow[]): number[][] {
  const members = new Set(flows.keys());
  const parts = new Map<string, number[]>();
  for (const start of members) {
    const part = [...partOf(start, members, flows, [])].sort((a, b) => a - b);
    expect(part).toContain(start);
    parts.set(part.join(), part);
  }
  return [...parts.values()];
}

describe('the parts of a function', () => {
  it('are the whole of a short one', () => {
    expect(partsOf(flowsOf(partInstructions, new Map([[70, 3]])))).toHaveLength(1);
  });

  it('are disjoint, none too long, and have everything', () => {
    const flows = flowsOf(1000, new Map([...Array(100).keys()].map((n) => [n * 9 + 5, n * 9 + 60] as const)));
    const parts = partsOf(flows);
    expect(parts.flat().toSorted((a, b) => a - b)).toEqual([...flows.keys()]);
    for (const part of parts) expect(part.length).toBeLessThanOrEqual(partInstructions);
  });

  it('keep loops whole, also long ones', () => {
    const long = [100, 100 + 3 * partInstructions] as const;
    const parts = partsOf(
      flowsOf(
        600,
        new Map([
          [long[1], long[0]],
          [40, 10],
        ]),
      ),
    );
    const withHead = (head: number): number[] => parts.find((part) => part.includes(head)) ?? [];
    for (let n: number = long[0]; n <= long[1]; n++) expect(withHead(long[0])).toContain(n);
    for (let n = 10; n <= 40; n++) expect(withHead(10)).toContain(n);
  });

  it('are cut where few ways lead over the cut', () => {
    // Two pieces of two thirds of a part, each full of branches within itself.
    const piece = Math.floor((partInstructions * 2) / 3);
    const within = (base: number): (readonly [number, number])[] =>
      Array.from({ length: piece >> 2 }, (_, n) => [base + n * 2, base + (piece >> 1) + n] as const);
    const parts = partsOf(flowsOf(2 * piece, new Map([...within(0), ...within(piece)])));
    const ends = parts.map((part) => [part[0], part.at(-1)]);
    expect(ends).toEqual([
      [0, piece - 1],
      [piece, 2 * piece - 1],
    ]);
  });

  it('are entered where others lead to them', () => {
    const flows = flowsOf(300, new Map([[2, 250]]));
    const members = new Set(flows.keys());
    const part = partOf(250, members, flows, []);
    const first = Math.min(...part);
    expect(part).toContain(255);
    const entries = new Set(entriesFromBeyond(part, members, flows, [{ from: 3, to: 255 }]));
    expect(entries).toEqual(new Set([first, 250, 255]));
  });
});
