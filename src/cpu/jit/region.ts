/**
 * What is compiled together: instructions of one frame and mode that direct jumps and fall-throughs connect, much as a
 * function of the guest's program, and copies of short functions that they call.
 */
import type { Form } from '../isa/compile.ts';
import { Vcpu } from '../state.ts';
import type { FormFacts, FormFactsCache } from './facts.ts';

export interface Instruction {
  /** Address of its record. */
  readonly record: number;
  readonly form: Form;
  readonly facts: FormFacts;
  /** In the page. */
  readonly offset: number;
  readonly length: number;
  readonly rm: number;
  readonly reg: number;
  readonly base: number;
  readonly index: number;
  readonly scale: number;
  readonly segment: number;
  readonly flags: number;
  readonly displacement: number;
  readonly immediate: bigint;
  /** Done by its form's function, not by code of its own. */
  readonly apart: boolean;
  /** Host address of the frame in which it ends, if that is not the one where it begins; else 0. */
  readonly secondPage: number;
  /** One of its accesses has strayed from a known page. */
  readonly strays: boolean;
  /** The TLB often does not know its accesses. */
  readonly missesOften: boolean;
}

/** Whether the code is left where the TLB does not know an access. A branch's link is its target: it could not say so. */
export function leavesAtMiss({ facts, missesOften }: Instruction): boolean {
  return facts.transfer === 'none' && !missesOften;
}

/** A page of the code, other than the region's own. */
export interface ForeignPage {
  /** Host address of the frame. */
  readonly page: number;
  /** Its RIP less that of the region's own page. */
  readonly distance: bigint;
}

/** A place of the code. */
export interface CodeLocation {
  readonly offset: number;
  /** Absent: the region's own page. */
  readonly page: ForeignPage | undefined;
}

export interface BasicBlock {
  readonly number: number;
  readonly instructions: readonly Instruction[];
  /**
   * Blocks that follow: of a conditional branch first the one where it is taken, of a call the copy of what is called
   * (`inline.ts`), and behind that where the call must leave if it is not what was expected. Absent: control leaves the
   * region.
   */
  readonly taken: number | undefined;
  readonly next: number | undefined;
  /** Where its instructions lie; absent: in the region's own page. */
  readonly page?: ForeignPage | undefined;
  /** It ends with the RET of a copy, which is expected to lead to this offset in the region's page, and to `next`. */
  readonly returnsTo?: number;
  /** A block without instructions: the function that was copied goes on at `offset` outside of the region, and returns. */
  readonly goesOn?: { readonly offset: number; readonly returnsTo: number };
  /** A block without instructions that leads to others by the offset in the page that a computed jump has found. */
  readonly targets?: readonly JumpTarget[];
  /** An entry without instructions: it stands for this one, and leads to it as a computed jump would. */
  readonly standsFor?: Instruction;
  /** Blocks of the region that come here. */
  readonly predecessors: readonly number[];
  readonly isEntry: boolean;
}

export interface JumpTarget {
  /** In the page. */
  readonly offset: number;
  readonly block: number;
}

/** Blocks that may follow a block. */
export function successorsOf(block: BasicBlock): number[] {
  if (block.targets) return block.targets.map((t) => t.block);
  const { taken, next } = block;
  if (taken === undefined) return next === undefined ? [] : [next];
  return next === undefined ? [taken] : [taken, next];
}

/** The call at the end of a block, if it is one that always leaves the region. */
export function callOutOf({ instructions, taken }: BasicBlock): Instruction | undefined {
  const last = instructions.at(-1);
  return last && !last.apart && last.facts.transfer === 'call' && taken === undefined ? last : undefined;
}

/** The instruction that an entry of the region is entered at. */
export function entryInstruction(block: BasicBlock): Instruction | undefined {
  return block.standsFor ?? block.instructions[0];
}

export interface RegionPlan {
  /** Addresses of the vCPU and of its arena, which compiled code is made for. */
  readonly cpu: number;
  readonly arena: number;
  /** Host address of the frame. */
  readonly page: number;
  readonly modeKey: number;
  readonly blocks: readonly BasicBlock[];
  readonly entries: readonly number[];
  /** Its instructions' offsets in the page, and which of them computed jumps choose. */
  readonly offsets: ReadonlySet<number>;
  readonly chosen: readonly number[];
  readonly count: number;
  /** What of its page it is made from. */
  readonly granules: Granules;
  /** Those of other pages that have been copied. */
  readonly foreign: ReadonlyMap<number, Granules>;
  /** Functions that were copied for the calls with these records. */
  readonly inlined: ReadonlyMap<number, CodeLocation>;
}

/** Which 64-byte granules of a page: bits of two words, the lower one first. */
export type Granules = readonly [number, number];

/** What is laid out: offsets in a page. */
export interface Members {
  readonly members: ReadonlySet<number>;
  readonly entries: ReadonlySet<number>;
  readonly chosen: readonly number[];
}

/** What a region is made of. */
export interface Extent extends Members {
  readonly page: number;
  readonly modeKey: number;
  readonly ripBase: bigint;
  /** See {@link RegionPlan.inlined}. */
  readonly inlined: ReadonlyMap<number, CodeLocation>;
}

export interface PlanLimits {
  readonly instructions: number;
  /** Blocks from this address on are not looked at: another thread may be writing them. */
  readonly recordsEnd?: number;
}

/** Forms by their numbers in the core, and what they do. */
export interface FormTable {
  readonly forms: readonly (Form | undefined)[];
  readonly facts: FormFactsCache;
  /** Helpers that compiled code may call itself. */
  readonly direct: ReadonlySet<string>;
}

/** Helpers that the regions' own code calls. */
export function helpersOf(plans: readonly RegionPlan[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (const plan of plans) {
    for (const block of plan.blocks) {
      for (const i of block.instructions) if (!i.apart) for (const name of i.facts.helpers) names.add(name);
    }
  }
  return names;
}

/** A jump through a register or a table. One through a plain cell, as linkers make, leads elsewhere. */
export function isComputedJump(i: Instruction): boolean {
  if (i.apart || i.facts.transfer !== 'jump' || i.form.mnemonic !== 'JMP') return false;
  return !i.facts.addressed || i.index !== Vcpu.offsets.zero;
}

/** What every instruction of a form has. */
export interface Role {
  readonly form: Form;
  readonly facts: FormFacts;
  readonly apart: boolean;
}

/** Decoded instructions of a frame, by offset. */
export interface Decoded {
  has(offset: number): boolean;
  get(offset: number): Instruction | undefined;
}
