import { describe, expect, it } from 'vitest';
import { Vcpu } from '../state.ts';
import type { FormFacts } from './facts.ts';
import type { BasicBlock, Instruction, RegionPlan } from './region.ts';
import { planOf } from './testing.ts';
import { registerFlow } from './register-flow.ts';

/** A small generator (mulberry32), so that the regions are the same each time. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const registers = [0, 1, 2, 3, 16, 17];

function instruction(below: (n: number) => number, transfer: FormFacts['transfer']): Instruction {
  const set = (): number => below(16) & below(16);
  const use = (fixedRead: number, fixedWritten: number): FormFacts['general'] => ({
    rmRead: false,
    rmWritten: false,
    regRead: false,
    regWritten: false,
    fixedRead,
    fixedWritten,
  });
  const facts: Partial<FormFacts> = {
    general: use(set(), set()),
    vectors: use(set() & 3, set() & 3),
    addressed: false,
    mayLeave: below(4) === 0,
    transfer,
  };
  const { gpr } = Vcpu.offsets;
  const apart = transfer === 'none' && below(12) === 0;
  return { facts, apart, rm: gpr, reg: gpr, base: gpr, index: gpr } as Partial<Instruction> as Instruction;
}

function randomPlan(seed: number): RegionPlan {
  const below = random(seed);
  const count = 1 + below(7);
  const drafts = Array.from({ length: count }, (_, k) => {
    const transfer = (['none', 'none', 'conditional', 'conditional', 'branch', 'jump', 'call'] as const)[below(7)];
    const instructions = Array.from({ length: below(4) }, () => instruction(below, 'none'));
    instructions.push(instruction(below, transfer ?? 'none'));
    const taken = transfer === 'conditional' || transfer === 'branch' ? below(count + 1) : count;
    const next = transfer === 'branch' || transfer === 'jump' ? count : k + 1;
    return {
      instructions,
      isEntry: k === 0 || below(5) === 0,
      taken: taken < count ? taken : undefined,
      next: next < count ? next : undefined,
    };
  });
  const blocks = drafts.map((d, number): BasicBlock => {
    const predecessors = drafts.flatMap((p, k) => (p.taken === number || p.next === number ? [k] : []));
    return { ...d, number, predecessors };
  });
  return planOf(blocks);
}

/**
 * Runs a region on registers that have the number of their last writer as value, with locals and the vCPU beside them,
 * and tells where a local or the vCPU is not what it should be. A local that has not been loaded is −1.
 */
function violations(plan: RegionPlan, entry: number, seed: number): string[] {
  const below = random(seed);
  const flow = registerFlow(plan);
  const problems: string[] = [];
  const right = new Map(registers.map((r) => [r, 0]));
  const vcpu = new Map(right);
  let locals = new Map(registers.map((r) => [r, -1]));
  let writer = 0;
  const has = (set: number, r: number): boolean => ((set >> r) & 1) === 1;
  const load = (set: number): void => {
    locals = new Map(registers.map((r) => [r, has(set, r) ? (vcpu.get(r) ?? -1) : -1]));
  };
  const shown = (at: string, dirty: number): Map<number, number> => {
    const stored = new Map(registers.map((r) => [r, (has(dirty, r) ? locals : vcpu).get(r) ?? -1]));
    for (const r of registers) if (stored.get(r) !== right.get(r)) problems.push(`${at}: ${r} is stored wrong`);
    return stored;
  };
  /** Somebody else runs, and may change any register. */
  const others = (at: string, dirty: number, needed: number): void => {
    shown(at, dirty);
    for (const r of registers) {
      if (below(2) === 0) right.set(r, ++writer);
      vcpu.set(r, right.get(r) ?? 0);
    }
    load(needed);
  };
  load(flow.neededAtStart[entry] ?? 0);
  let number: number | undefined = entry;
  for (let steps = 0; steps < 20 && number !== undefined; steps++) {
    const block: BasicBlock | undefined = plan.blocks[number];
    if (!block) break;
    if (block.isEntry) shown(`block ${number}`, flow.dirtyAtStart[number] ?? 0);
    let dirtyAtEnd = 0;
    for (const [k, i] of block.instructions.entries()) {
      const use = flow.instructions[number]?.[k];
      if (!use) continue;
      const at = `block ${number}, instruction ${k}`;
      if (i.apart) {
        others(at, use.dirty, use.needed);
        dirtyAtEnd = 0;
        continue;
      }
      if (i.facts.mayLeave) shown(at, use.dirty);
      for (const r of registers) {
        if (has(use.reads, r) && locals.get(r) !== right.get(r)) problems.push(`${at}: ${r} is read wrong`);
      }
      for (const r of registers) {
        if (!has(use.writes, r)) continue;
        right.set(r, ++writer);
        locals.set(r, writer);
      }
      dirtyAtEnd = use.dirty | use.writes;
      if (i.facts.transfer === 'call') others(at, dirtyAtEnd, use.needed);
    }
    const last: Instruction | undefined = block.instructions.at(-1);
    const transfer: FormFacts['transfer'] | undefined = last?.apart ? 'none' : last?.facts.transfer;
    const ways: readonly (number | undefined)[] =
      transfer === 'conditional' ? [block.taken, block.next] : transfer === 'branch' ? [block.taken] : [block.next];
    const to: number | undefined = transfer === 'jump' ? undefined : ways[below(ways.length)];
    if (to === undefined && transfer !== 'call') shown(`end of block ${number}`, dirtyAtEnd);
    number = to;
  }
  return problems;
}

describe('registerFlow', () => {
  it('has in locals what is read, and stores what has changed, on every way through any region', () => {
    for (let seed = 0; seed < 2000; seed++) {
      const plan = randomPlan(seed);
      const found = plan.entries.flatMap((entry) => [0, 1, 2, 3].flatMap((walk) => violations(plan, entry, walk)));
      expect(found, `seed ${seed}`).toEqual([]);
    }
  });

  it('needs nothing that is overwritten first, and stores nothing that is only read', () => {
    const below = (): number => 0;
    const [write, read] = [instruction(below, 'none'), instruction(below, 'jump')];
    Object.assign(write.facts, { general: { ...write.facts.general, fixedWritten: 1 }, mayLeave: false });
    Object.assign(read.facts, { general: { ...read.facts.general, fixedRead: 3 }, mayLeave: false });
    const apart = { apart: false };
    const instructions = [
      { ...write, ...apart },
      { ...read, ...apart },
    ];
    const block: BasicBlock = {
      number: 0,
      instructions,
      taken: undefined,
      next: undefined,
      predecessors: [],
      isEntry: true,
    };
    const flow = registerFlow(planOf([block]));
    expect(flow.neededAtStart).toEqual([2]);
    expect(flow.instructions[0]?.map((i) => i.dirty)).toEqual([0, 1]);
  });
});
