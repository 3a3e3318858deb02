/**
 * Which registers a region's function has to load and to store, and where.
 *
 * A register is *dirty* where its local may hold what the vCPU does not: written since the function was entered, or
 * since everything was stored for a call. Only dirty registers are stored where control leaves. A register is *needed*
 * where its local must hold its value: somebody may read it, or store it because it is dirty, before it is overwritten
 * whole. Only needed registers are loaded, at entries and behind calls. (Dirty is found forwards, needed backwards.)
 */
import { Vcpu } from '../state.ts';
import type { RegisterUse } from './facts.ts';
import type { BasicBlock, Instruction, RegionPlan } from './region.ts';
import { callOutOf, successorsOf } from './region.ts';

/** Registers as bits: general ones from bit 0, vector registers from bit 16. */
export type RegisterSet = number;

export interface InstructionRegisters {
  readonly reads: RegisterSet;
  readonly writes: RegisterSet;
  /** Before the instruction. */
  readonly dirty: RegisterSet;
  /** After it: behind a call, once the callee has returned. */
  readonly needed: RegisterSet;
}

type Draft = { -readonly [K in keyof InstructionRegisters]: InstructionRegisters[K] };

export interface RegisterFlow {
  /** For each block and instruction. */
  readonly instructions: readonly (readonly InstructionRegisters[])[];
  /** For each block, when it starts. */
  readonly dirtyAtStart: readonly RegisterSet[];
  readonly neededAtStart: readonly RegisterSet[];
}

const { gpr, xmm, zero, ripBase } = Vcpu.offsets;

/** What an instruction reads and writes that code of the region's own does. */
function registersOf(i: Instruction): Draft {
  const draft = { reads: 0, writes: 0, dirty: 0, needed: 0 };
  if (i.apart) return draft;
  const { general, vectors, addressed } = i.facts;
  add(draft, general, 1 << ((i.rm - gpr) >> 3), 1 << ((i.reg - gpr) >> 3), 0);
  add(draft, vectors, 1 << ((i.rm - xmm) >> 4), 1 << ((i.reg - xmm) >> 4), 16);
  if (!addressed) return draft;
  if (i.base !== zero && i.base !== ripBase) draft.reads |= 1 << ((i.base - gpr) >> 3);
  if (i.index !== zero && i.index !== ripBase) draft.reads |= 1 << ((i.index - gpr) >> 3);
  return draft;
}

/** `rm` and `reg`: the registers that the record's slots name. */
function add(draft: Draft, use: Readonly<RegisterUse>, rm: RegisterSet, reg: RegisterSet, shift: number): void {
  draft.reads |= (use.fixedRead | (use.rmRead ? rm : 0) | (use.regRead ? reg : 0)) << shift;
  draft.writes |= (use.fixedWritten | (use.rmWritten ? rm : 0) | (use.regWritten ? reg : 0)) << shift;
}

/** Whether all dirty registers are stored where the block ends: it may leave there, or calls. */
function storesAtEnd(block: BasicBlock): boolean {
  const { taken, next } = block;
  switch (block.instructions.at(-1)?.facts.transfer) {
    case 'conditional':
      return taken === undefined || next === undefined;
    case 'branch':
      return taken === undefined;
    case 'none':
      return next === undefined;
    case 'call':
      return taken === undefined || next !== undefined;
    default:
      return true;
  }
}

/** Calls `change` for the blocks, again and again, until nothing changes any more. */
function settle(blocks: readonly BasicBlock[], change: (block: BasicBlock) => boolean): void {
  for (let changed = true; changed;) {
    changed = false;
    for (const block of blocks) if (change(block)) changed = true;
  }
}

export function registerFlow({ blocks }: RegionPlan): RegisterFlow {
  const instructions = blocks.map((b) => b.instructions.map(registersOf));
  const { dirtyAtStart, dirtyAtEnd } = findDirty(blocks, instructions);
  return { instructions, dirtyAtStart, neededAtStart: findNeeded(blocks, instructions, dirtyAtStart, dirtyAtEnd) };
}

/** Fills in what is dirty before each instruction. */
function findDirty(
  blocks: readonly BasicBlock[],
  drafts: readonly (readonly Draft[])[],
): { readonly dirtyAtStart: RegisterSet[]; readonly dirtyAtEnd: RegisterSet[] } {
  // What a block adds, and what stays of what it began with: all or nothing.
  const kept = blocks.map((b) => (b.instructions.some((i) => i.apart) ? 0 : ~0));
  const run = (block: BasicBlock, start: RegisterSet): RegisterSet => {
    let set = start;
    drafts[block.number]?.forEach((draft, k) => {
      draft.dirty = set;
      set = block.instructions[k]?.apart === true ? 0 : set | draft.writes;
    });
    return set;
  };
  const added = blocks.map((b) => run(b, 0));
  const dirtyAtStart = blocks.map(() => 0);
  const dirtyAtEnd = [...added];
  settle(blocks, ({ number, predecessors }) => {
    let set = 0;
    for (const p of predecessors) set |= dirtyAfterBlock(blocks[p], dirtyAtEnd[p] ?? 0);
    dirtyAtStart[number] = set;
    const end = (set & (kept[number] ?? 0)) | (added[number] ?? 0);
    const changed = dirtyAtEnd[number] !== end;
    dirtyAtEnd[number] = end;
    return changed;
  });
  for (const block of blocks) run(block, dirtyAtStart[block.number] ?? 0);
  return { dirtyAtStart, dirtyAtEnd };
}

/** Fills in what is needed after each instruction; gives what is needed where blocks start. */
function findNeeded(
  blocks: readonly BasicBlock[],
  drafts: readonly (readonly Draft[])[],
  dirtyAtStart: readonly RegisterSet[],
  dirtyAtEnd: readonly RegisterSet[],
): RegisterSet[] {
  const run = (block: BasicBlock, end: RegisterSet): RegisterSet => {
    const { number, instructions } = block;
    let set = end;
    for (let k = instructions.length - 1; k >= 0; k--) {
      const i = instructions[k];
      const draft = drafts[number]?.[k];
      if (!i || !draft) continue;
      draft.needed = set;
      if (i.apart) {
        set = draft.dirty;
        continue;
      }
      if (k === instructions.length - 1) {
        if (callOutOf(block)) set = 0;
        if (storesAtEnd(block)) set |= dirtyAtEnd[number] ?? 0;
      }
      set = (set & ~draft.writes) | draft.reads | (i.facts.mayLeave ? draft.dirty : 0);
    }
    // It leaves before its first instruction when the budget does not reach.
    return block.isEntry ? set | (dirtyAtStart[number] ?? 0) : set;
  };
  // What a block needs itself, and what it lets through.
  const own = blocks.map((b) => run(b, 0));
  const through = blocks.map((b) => run(b, ~0));
  const neededAtStart = [...own];
  const atEnd = (block: BasicBlock): RegisterSet => {
    // A choice among the targets of jumps may leave, and what goes on elsewhere does.
    let set = block.targets || block.goesOn ? (dirtyAtStart[block.number] ?? 0) : 0;
    for (const to of successorsOf(block)) set |= neededAtStart[to] ?? 0;
    return set;
  };
  settle(blocks.toReversed(), (block) => {
    const { number } = block;
    const set = (own[number] ?? 0) | (atEnd(block) & (through[number] ?? 0));
    const changed = neededAtStart[number] !== set;
    neededAtStart[number] = set;
    return changed;
  });
  for (const block of blocks) run(block, atEnd(block));
  return neededAtStart;
}

/** A call has stored everything: what follows in the region starts clean. */
function dirtyAfterBlock(block: BasicBlock | undefined, dirtyAtEnd: RegisterSet): RegisterSet {
  return block && callOutOf(block) ? 0 : dirtyAtEnd;
}

/** All registers that the function touches. */
export function touchedRegisters({ instructions }: RegisterFlow): RegisterSet {
  let set = 0;
  for (const list of instructions) for (const { reads, writes } of list) set |= reads | writes;
  return set;
}
