import { describe, expect, it } from 'vitest';
import type { FormFacts } from './facts.ts';
import { allFlags, flagBits } from './facts.ts';
import { flagLiveness } from './liveness.ts';
import type { BasicBlock, Instruction, RegionPlan } from './region.ts';
import { planOf } from './testing.ts';

/** What liveness looks at in an instruction. */
interface Use {
  readonly reads?: number;
  readonly writes?: number;
  readonly mayWrite?: number;
  readonly leaves?: boolean;
  readonly apart?: boolean;
  readonly transfer?: FormFacts['transfer'];
}
interface Draft {
  readonly uses: readonly Use[];
  readonly taken?: number;
  readonly next?: number;
  readonly entry?: boolean;
}

const { cf, zf } = flagBits;

function instruction(use: Use): Instruction {
  const { reads = 0, writes = 0, mayWrite = writes, leaves = false, apart = false, transfer = 'none' } = use;
  const facts: Partial<FormFacts> = {
    flagsRead: reads,
    flagsWritten: writes,
    flagsMayWrite: mayWrite,
    mayLeave: leaves,
    transfer,
  };
  // The rest of an instruction says where its operands are, which is nothing to liveness.
  return { facts, apart } as Partial<Instruction> as Instruction;
}

function plan(drafts: readonly Draft[]): RegionPlan {
  const blocks = drafts.map(({ uses, taken, next, entry = false }, number): BasicBlock => {
    const predecessors = drafts.flatMap((d, k) => (d.taken === number || d.next === number ? [k] : []));
    return { number, instructions: uses.map(instruction), predecessors, isEntry: entry, taken, next };
  });
  return planOf(blocks);
}

/** A small generator (mulberry32), so that the regions are the same each time. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function randomDrafts(seed: number): readonly Draft[] {
  const random01 = random(seed);
  const below = (n: number): number => Math.floor(random01() * n);
  const count = 1 + below(7);
  const maybe = (k: number): number | undefined => (random01() < 0.85 ? k % count : undefined);
  /** Few flags at a time, so that paths on which one stays unwritten are long. */
  const some = (): number => (random01() < 0.5 ? 0 : below(64) & below(64));
  return Array.from({ length: count }, (_, k) => {
    const transfer = (['none', 'none', 'conditional', 'conditional', 'branch', 'jump', 'call'] as const)[below(7)];
    const uses = Array.from({ length: 1 + below(3) }, (): Use => {
      const writes = random01() < 0.25 ? allFlags : some();
      const rare = random01();
      return { reads: some(), writes, mayWrite: writes | some(), leaves: rare < 0.06, apart: rare > 0.97 };
    });
    uses[uses.length - 1] = { ...uses.at(-1), ...(transfer ? { transfer } : {}) };
    const taken = transfer === 'conditional' || transfer === 'branch' ? maybe(below(count)) : undefined;
    const next = transfer === 'branch' || transfer === 'jump' ? undefined : maybe(k + 1);
    return {
      uses,
      entry: k === 0 || random01() < 0.15,
      ...(taken === undefined ? {} : { taken }),
      ...(next === undefined ? {} : { next }),
    };
  });
}

/**
 * Does somebody see the flag as it is before instruction `at` of a block? By its meaning: walks all ways forward until
 * the flag is read, shown to the world outside, or overwritten.
 */
function seen(drafts: readonly Draft[], block: number, at: number, flag: number): boolean {
  const visited = new Set<number>();
  const pending: { block: number; at: number }[] = [{ block, at }];
  for (let p = pending.pop(); p; p = pending.pop()) {
    const { uses = [], taken, next, entry } = drafts[p.block] ?? {};
    if (p.at === 0) {
      if (visited.has(p.block)) continue;
      visited.add(p.block);
      // Without budget an entry leaves before its first instruction.
      if (entry) return true;
    }
    const use = uses[p.at];
    if (use) {
      if (use.apart || use.leaves || (use.reads ?? 0) & flag) return true;
      if (!((use.writes ?? 0) & flag)) pending.push({ block: p.block, at: p.at + 1 });
      continue;
    }
    const last = uses.at(-1);
    const ways = last?.transfer === 'conditional' ? [taken, next] : last?.transfer === 'branch' ? [taken] : [next];
    // A callee sees the flags, and so does whoever runs behind a computed jump or an instruction done apart.
    if (last?.transfer === 'jump' || last?.transfer === 'call' || last?.apart) return true;
    for (const to of ways) {
      if (to === undefined) return true;
      pending.push({ block: to, at: 0 });
    }
  }
  return false;
}

function seenFlags(drafts: readonly Draft[], block: number, at: number): number {
  return Object.values(flagBits).reduce((set, flag) => set | (seen(drafts, block, at, flag) ? flag : 0), 0);
}

describe('flagLiveness', () => {
  it('finds just the flags that some way forward shows, in any region', () => {
    for (let seed = 0; seed < 3000; seed++) {
      const drafts = randomDrafts(seed);
      const live = flagLiveness(plan(drafts));
      expect(live.after, `seed ${seed}`).toEqual(
        drafts.map((d, k) => d.uses.map((_, n) => seenFlags(drafts, k, n + 1))),
      );
      expect(live.atStart, `seed ${seed}`).toEqual(drafts.map((_, k) => seenFlags(drafts, k, 0)));
    }
  });

  it('drops flags that the next instruction overwrites', () => {
    const { after } = flagLiveness(plan([{ entry: true, uses: [{ writes: allFlags }, { writes: allFlags }] }]));
    expect(after).toEqual([[0, allFlags]]);
  });

  it('keeps CF before what writes all but CF', () => {
    const inc = { writes: allFlags & ~cf };
    const { after } = flagLiveness(plan([{ entry: true, uses: [{ writes: allFlags }, inc] }]));
    expect(after[0]?.[0]).toBe(cf);
  });

  it('keeps all flags before what may write them', () => {
    const shiftByCl = { writes: 0, mayWrite: allFlags };
    const { after } = flagLiveness(plan([{ entry: true, uses: [{ writes: allFlags }, shiftByCl] }]));
    expect(after[0]?.[0]).toBe(allFlags);
  });

  it('keeps all flags before what may leave, though it overwrites them', () => {
    const fault = { writes: allFlags, leaves: true };
    const { after } = flagLiveness(plan([{ entry: true, uses: [{ writes: allFlags }, fault] }]));
    expect(after[0]?.[0]).toBe(allFlags);
  });

  it('carries a flag around a loop to a reader before its writer', () => {
    // Block 1 goes back to itself, and reads ZF before it sets it anew.
    const compare: Use = { writes: allFlags, transfer: 'branch' };
    const { after, atStart } = flagLiveness(
      plan([
        { entry: true, uses: [{ writes: allFlags }], next: 1 },
        { uses: [{ reads: zf }, compare], taken: 1 },
      ]),
    );
    expect(after).toEqual([[zf], [0, zf]]);
    expect(atStart).toEqual([allFlags, zf]);
  });
});
