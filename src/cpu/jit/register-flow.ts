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
import { successorsOf } from './region.ts';

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

export interface RegisterFlow {
  /** For each block and instruction. */
  readonly instructions: readonly (readonly InstructionRegisters[])[];
  /** For each block, when it starts. */
  readonly dirtyAtStart: readonly RegisterSet[];
  readonly neededAtStart: readonly RegisterSet[];
}

/** What an instruction reads and writes that code of the region's own does. */
function registersOf(i: Instruction): { readonly reads: RegisterSet; readonly writes: RegisterSet } {
  if (i.apart) return { reads: 0, writes: 0 };
  const { gpr, xmm, zero, ripBase } = Vcpu.offsets;
  const { general, vectors, addressed } = i.facts;
  const of = (use: Readonly<RegisterUse>, first: number, shift: number): { reads: number; writes: number } => {
    const rm = 1 << ((i.rm - first) >> shift);
    const reg = 1 << ((i.reg - first) >> shift);
    return {
      reads: use.fixedRead | (use.rmRead ? rm : 0) | (use.regRead ? reg : 0),
      writes: use.fixedWritten | (use.rmWritten ? rm : 0) | (use.regWritten ? reg : 0),
    };
  };
  const g = of(general, gpr, 3);
  const v = of(vectors, xmm, 4);
  let address = 0;
  if (addressed) {
    for (const slot of [i.base, i.index]) if (slot !== zero && slot !== ripBase) address |= 1 << ((slot - gpr) >> 3);
  }
  return { reads: g.reads | address | (v.reads << 16), writes: g.writes | (v.writes << 16) };
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
    default:
      return true;
  }
}

function isCall(i: Instruction): boolean {
  return !i.apart && i.facts.transfer === 'call';
}

/** Calls `change` for the blocks, again and again, until nothing changes any more. */
function settle(blocks: readonly BasicBlock[], change: (block: BasicBlock) => boolean): void {
  for (let changed = true; changed;) {
    changed = false;
    for (const block of blocks) if (change(block)) changed = true;
  }
}

export function registerFlow({ blocks }: RegionPlan): RegisterFlow {
  const uses = blocks.map((b) => b.instructions.map(registersOf));
  const dirtyAtStart = blocks.map(() => 0);
  const dirtyAtEnd = blocks.map(() => 0);
  const dirty = blocks.map((b) => b.instructions.map(() => 0));
  settle(blocks, ({ number, instructions, predecessors }) => {
    let set = 0;
    for (const p of predecessors) set |= dirtyAfterBlock(blocks[p], dirtyAtEnd[p] ?? 0);
    dirtyAtStart[number] = set;
    instructions.forEach((i, k) => {
      const list = dirty[number];
      if (list) list[k] = set;
      set = i.apart ? 0 : set | (uses[number]?.[k]?.writes ?? 0);
    });
    const changed = dirtyAtEnd[number] !== set;
    dirtyAtEnd[number] = set;
    return changed;
  });
  const neededAtStart = blocks.map(() => 0);
  const needed = blocks.map((b) => b.instructions.map(() => 0));
  settle(blocks.toReversed(), (block) => {
    const { number, instructions, isEntry } = block;
    // A choice among the targets of jumps may leave.
    let set = block.targets ? (dirtyAtStart[number] ?? 0) : 0;
    for (const to of successorsOf(block)) set |= neededAtStart[to] ?? 0;
    for (let k = instructions.length - 1; k >= 0; k--) {
      const i = instructions[k];
      const list = needed[number];
      if (!i || !list) continue;
      list[k] = set;
      const before = dirty[number]?.[k] ?? 0;
      if (i.apart) {
        set = before;
        continue;
      }
      const last = k === instructions.length - 1;
      if (last && isCall(i)) set = 0;
      if (last && storesAtEnd(block)) set |= dirtyAtEnd[number] ?? 0;
      const { reads = 0, writes = 0 } = uses[number]?.[k] ?? {};
      set = (set & ~writes) | reads | (i.facts.mayLeave ? before : 0);
    }
    // An entry leaves before its first instruction when the budget does not reach.
    if (isEntry) set |= dirtyAtStart[number] ?? 0;
    const changed = neededAtStart[number] !== set;
    neededAtStart[number] = set;
    return changed;
  });
  return {
    instructions: uses.map((list, b) =>
      list.map((use, k) => ({ ...use, dirty: dirty[b]?.[k] ?? 0, needed: needed[b]?.[k] ?? 0 })),
    ),
    dirtyAtStart,
    neededAtStart,
  };
}

/** A call has stored everything: what follows in the region starts clean. */
function dirtyAfterBlock(block: BasicBlock | undefined, dirtyAtEnd: RegisterSet): RegisterSet {
  const last = block?.instructions.at(-1);
  return last && isCall(last) ? 0 : dirtyAtEnd;
}

/** All registers that the function touches. */
export function touchedRegisters({ instructions }: RegisterFlow): RegisterSet {
  let set = 0;
  for (const list of instructions) for (const { reads, writes } of list) set |= reads | writes;
  return set;
}
