/**
 * Which registers a region's function has to load and to store, and where.
 *
 * A register is *dirty* where its local may hold what the vCPU does not: written since the function was entered, or
 * since everything was stored for a call. Only dirty registers are stored where control leaves. A register is *needed*
 * where its local must hold its value: somebody may read it, or store it because it is dirty, before it is overwritten
 * whole. Only needed registers are loaded, at entries and behind calls. (Dirty is found forwards, needed backwards.)
 */
import { Vcpu } from '../state.ts';
import type { BasicBlock, Instruction, RegionPlan } from './region.ts';

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

/** The registers that slots of the record and fixed numbers name, as bits from 0 on. */
function bitsOf(rm: boolean, reg: boolean, fixed: number, i: Instruction, first: number, shift: number): number {
  return fixed | (rm ? 1 << ((i.rm - first) >> shift) : 0) | (reg ? 1 << ((i.reg - first) >> shift) : 0);
}

function readsOf(i: Instruction): RegisterSet {
  const { gpr, xmm, zero, ripBase } = Vcpu.offsets;
  const { general: g, vectors: v, addressed } = i.facts;
  let set = bitsOf(g.rmRead, g.regRead, g.fixedRead, i, gpr, 3);
  if (addressed) {
    if (i.base !== zero && i.base !== ripBase) set |= 1 << ((i.base - gpr) >> 3);
    if (i.index !== zero && i.index !== ripBase) set |= 1 << ((i.index - gpr) >> 3);
  }
  return set | (bitsOf(v.rmRead, v.regRead, v.fixedRead, i, xmm, 4) << 16);
}

function writesOf(i: Instruction): RegisterSet {
  const { general: g, vectors: v } = i.facts;
  const { gpr, xmm } = Vcpu.offsets;
  const general = bitsOf(g.rmWritten, g.regWritten, g.fixedWritten, i, gpr, 3);
  return general | (bitsOf(v.rmWritten, v.regWritten, v.fixedWritten, i, xmm, 4) << 16);
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

/** An instruction's registers, while they are being found. */
interface Draft {
  readonly instruction: Instruction;
  readonly reads: RegisterSet;
  readonly writes: RegisterSet;
  dirty: RegisterSet;
  needed: RegisterSet;
}

/** One block in the analysis. What a block does to a set is (set & passes) | adds. */
class BlockFlow {
  readonly block: BasicBlock;
  readonly drafts: readonly Draft[];
  readonly calls: boolean;
  readonly stores: boolean;
  passes = -1;
  adds = 0;
  dirtyAtStart: RegisterSet = 0;
  /** Behind its last instruction, before a call there has stored them; and where the next block starts. */
  dirtyAtEnd: RegisterSet = 0;
  dirtyBeyond: RegisterSet = 0;
  neededAtStart: RegisterSet = 0;

  constructor(block: BasicBlock) {
    this.block = block;
    // What is done by the form's function finds all in the vCPU.
    this.drafts = block.instructions.map((instruction) => ({
      instruction,
      reads: instruction.apart ? 0 : readsOf(instruction),
      writes: instruction.apart ? 0 : writesOf(instruction),
      dirty: 0,
      needed: 0,
    }));
    const last = block.instructions.at(-1);
    this.calls = last !== undefined && isCall(last);
    this.stores = storesAtEnd(block);
    for (const d of this.drafts) {
      if (d.instruction.apart) this.passes = this.adds = 0;
      else this.adds |= d.writes;
    }
  }

  /** True when more is dirty behind the block than was known. */
  spreadDirty(blocks: readonly BlockFlow[]): boolean {
    let set = 0;
    for (const p of this.block.predecessors) set |= blocks[p]?.dirtyBeyond ?? 0;
    this.dirtyAtStart = set;
    this.dirtyAtEnd = (set & this.passes) | this.adds;
    const before = this.dirtyBeyond;
    // A call has stored everything.
    this.dirtyBeyond = this.calls ? 0 : this.dirtyAtEnd;
    return this.dirtyBeyond !== before;
  }

  /** Dirty is known: fills it in, and finds what the block does to what is needed behind it. */
  fillDirty(): void {
    let set = this.dirtyAtStart;
    for (const d of this.drafts) {
      d.dirty = set;
      set = d.instruction.apart ? 0 : set | d.writes;
    }
    this.passes = this.calls ? 0 : -1;
    this.adds = this.stores ? this.dirtyAtEnd : 0;
    for (let k = this.drafts.length - 1; k >= 0; k--) {
      const d = this.drafts[k];
      if (!d) continue;
      this.passes = d.instruction.apart ? 0 : this.passes & ~d.writes;
      this.adds = before(d, this.adds);
    }
    // An entry leaves before its first instruction when the budget does not reach.
    if (this.block.isEntry) this.adds |= this.dirtyAtStart;
  }

  private neededAtEnd(blocks: readonly BlockFlow[]): RegisterSet {
    const { taken, next } = this.block;
    const start = (to: number | undefined): RegisterSet => (to === undefined ? 0 : (blocks[to]?.neededAtStart ?? 0));
    return start(taken) | start(next);
  }

  /** True when more is needed where the block starts than was known. */
  spreadNeeded(blocks: readonly BlockFlow[]): boolean {
    const known = this.neededAtStart;
    this.neededAtStart = (this.neededAtEnd(blocks) & this.passes) | this.adds;
    return this.neededAtStart !== known;
  }

  fillNeeded(blocks: readonly BlockFlow[]): void {
    let set = this.neededAtEnd(blocks);
    for (let k = this.drafts.length - 1; k >= 0; k--) {
      const d = this.drafts[k];
      if (!d) continue;
      d.needed = set;
      if (k === this.drafts.length - 1) set = (this.calls ? 0 : set) | (this.stores ? this.dirtyAtEnd : 0);
      set = before(d, set);
    }
  }
}

/** What is needed before an instruction, by what is needed after it (of a call: by its callee). */
function before({ instruction, reads, writes, dirty }: Draft, after: RegisterSet): RegisterSet {
  if (instruction.apart) return dirty;
  return (after & ~writes) | reads | (instruction.facts.mayLeave ? dirty : 0);
}

export function registerFlow({ blocks }: RegionPlan): RegisterFlow {
  const flows = blocks.map((block) => new BlockFlow(block));
  for (let changed = true; changed;) {
    changed = false;
    for (const flow of flows) if (flow.spreadDirty(flows)) changed = true;
  }
  for (const flow of flows) flow.fillDirty();
  const backwards = flows.toReversed();
  for (let changed = true; changed;) {
    changed = false;
    for (const flow of backwards) if (flow.spreadNeeded(flows)) changed = true;
  }
  for (const flow of flows) flow.fillNeeded(flows);
  return {
    instructions: flows.map((flow) => flow.drafts),
    dirtyAtStart: flows.map((flow) => flow.dirtyAtStart),
    neededAtStart: flows.map((flow) => flow.neededAtStart),
  };
}

/** All registers that the function touches. */
export function touchedRegisters({ instructions }: RegisterFlow): RegisterSet {
  let set = 0;
  for (const list of instructions) for (const { reads, writes } of list) set |= reads | writes;
  return set;
}
