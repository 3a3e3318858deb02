/**
 * Pages that a block has translated already. What follows relative to the same registers mostly lies in the same page:
 * then comparing its address with the page does for a look at the TLB. It is compared each time, so what the registers
 * hold by then is of no account for what is right; but an access that strays from the page is left to the interpreter,
 * which takes its time. So only accesses that are likely to stay near are compared: with registers that nothing but
 * small steps has changed since, and displacements that are not far apart. One that has strayed says so in its record
 * (`Record.link`): when the block is compiled again, each access relative to the same registers looks at the TLB.
 *
 * A translation holds until other code runs: compiled code itself changes no mapping, and a page that it may write
 * cannot come to hold decoded code meanwhile. So some pages are kept over the rounds of loops (`loop-pages.ts`), in
 * locals that say themselves whether they hold a page.
 */
import { Vcpu } from '../state.ts';
import type { FunctionBuilder } from '../../wasm/encoder.ts';
import type { BasicBlock, Instruction } from './region.ts';
import type { InstructionRegisters, RegisterSet } from './register-flow.ts';

/** Most bytes of an access that may go by a known page. */
export const widestAccess = 16;
/** Offsets in a page below which no access crosses its end. */
export const pageReach = 4096 - (widestAccess - 1);

/** Locals of a page: its linear address, and what leads from linear to host addresses. */
export interface PageLocals {
  readonly page: number;
  readonly addend: number;
}

/** Those of a page that is kept over the rounds of a loop: `reach` is `pageReach`, or 0: it is not known. */
export interface KeptPage extends PageLocals {
  readonly reach: number;
}

/** For each block, by its number, the bases whose pages are kept over the rounds of a loop (`loop-pages.ts`). */
export type LoopPages = ReadonlyMap<number, ReadonlySet<number>>;

const { gpr, zero } = Vcpu.offsets;

function basesOf(base: number, index: number): number {
  return base * 0x10000 + index;
}

/** What the stack is relative to. */
export const stackBases = basesOf(gpr + 8 * 4, zero);

/** What an instruction's memory operand is relative to: its base and index registers, as one number. */
export function operandBases(i: Instruction): number | undefined {
  return i.facts.addressed ? basesOf(i.base, i.index) : undefined;
}

/** Accesses of a block that are likely to lie in one page. */
interface Group {
  /** Of the first of them. */
  readonly displacement: number;
  read: PageLocals | undefined;
  write: PageLocals | undefined;
  /** Instructions of it that are still to come, and those of them that write. */
  left: number;
  writesLeft: number;
}

/** What an instruction has to do with a group. */
interface Member {
  readonly group: Group;
  readonly writes: boolean;
}

/** Where to keep a page, and whether it is to be one that may be written. */
export interface Remembered {
  readonly page: PageLocals;
  readonly writable: boolean;
}

/** Displacements of a group lie at most so far from the first one, and steps of its registers are at most so long. */
const farthest = 512;

/** Locals of the pages that are read and written relative to the same registers, over the rounds of a loop. */
interface Kept {
  readonly read: KeptPage;
  readonly write: KeptPage;
}

function bitOf(slot: number): RegisterSet {
  return slot >= gpr && slot < gpr + 8 * 16 ? 1 << ((slot - gpr) >> 3) : 0;
}

function registersOf(bases: number): RegisterSet {
  return bitOf(Math.trunc(bases / 0x10000)) | bitOf(bases % 0x10000);
}

/** General registers that the instruction changes by a small step, if it changes them. */
function stepped({ form, facts, rm, reg, base, index, displacement, immediate }: Instruction): RegisterSet {
  const stack = facts.stack ? bitOf(gpr + 8 * 4) : 0;
  const short = (n: number): boolean => Math.abs(n) <= farthest;
  switch (form.mnemonic) {
    case 'INC':
    case 'DEC':
      return stack | bitOf(rm);
    case 'ADD':
    case 'SUB':
      return form.operands[1]?.kind === 'immediate' && short(Number(immediate)) ? stack | bitOf(rm) : stack;
    case 'LEA':
      return base === reg && index === zero && short(displacement) ? stack | bitOf(reg) : stack;
    default:
      return stack;
  }
}

function newGroup(displacement: number): Group {
  return { displacement, read: undefined, write: undefined, left: 0, writesLeft: 0 };
}

export class KnownPages {
  private readonly f: FunctionBuilder;
  private readonly long: boolean;
  private readonly loops: LoopPages;
  /** By bases; the locals begin as 0, which is no page. */
  private readonly kept = new Map<number, Kept>();
  private keptHere: ReadonlySet<number> | undefined;
  /** For each of the block's instructions, by bases. */
  private members: readonly ReadonlyMap<number, Member>[] = [];
  private at = -1;
  private readonly locals: PageLocals[] = [];
  private used = 0;

  constructor(f: FunctionBuilder, long: boolean, loops: LoopPages) {
    this.f = f;
    this.long = long;
    this.loops = loops;
    for (const set of loops.values()) {
      for (const bases of set)
        if (!this.kept.has(bases)) this.kept.set(bases, { read: this.makeKept(), write: this.makeKept() });
    }
  }

  startBlock({ number, instructions }: BasicBlock, registers: readonly InstructionRegisters[]): void {
    this.used = 0;
    this.at = -1;
    this.keptHere = this.loops.get(number);
    // Where one access strays the others are about to.
    const strayed = new Set<number>();
    for (const i of instructions) if (i.strays) this.eachBases(i, (bases) => strayed.add(bases));
    const open = new Map<number, Group>();
    this.members = instructions.map((i, k) => {
      const joined = new Map<number, Member>();
      this.eachBases(i, (bases, writes, displacement) => {
        const group = open.get(bases) ?? newGroup(displacement);
        if (strayed.has(bases) || Math.abs(displacement - group.displacement) > farthest) return;
        open.set(bases, group);
        joined.set(bases, { group, writes });
        group.left++;
        if (writes) group.writesLeft++;
      });
      const changed = (registers[k]?.writes ?? 0) & ~stepped(i);
      for (const bases of open.keys()) if (registersOf(bases) & changed) open.delete(bases);
      return joined;
    });
  }

  /** The next one of the block. */
  startInstruction(): void {
    this.at++;
    this.members[this.at]?.forEach(({ group, writes }) => {
      group.left--;
      if (writes) group.writesLeft--;
    });
  }

  /** Other code ran. */
  forget(): void {
    for (const joined of this.members) for (const { group } of joined.values()) group.read = group.write = undefined;
    const { code } = this.f;
    for (const { read, write } of this.kept.values()) {
      for (const { reach } of [read, write]) (this.long ? code.i64(0) : code.i32(0)).set(reach);
    }
  }

  /** Where the page of an access is kept over the rounds of a loop. */
  keptOver(bases: number, write: boolean): KeptPage | undefined {
    return this.keptHere?.has(bases) === true ? this.kept.get(bases)?.[write ? 'write' : 'read'] : undefined;
  }

  /** The page of an access before. One that may be written may be read. */
  find(bases: number, write: boolean): PageLocals | undefined {
    const group = this.members[this.at]?.get(bases)?.group;
    return group?.write ?? (write ? undefined : group?.read);
  }

  /** Where to keep the page of an access, if more are to come. Where some of them write, one look does for all. */
  remember(bases: number, write: boolean): Remembered | undefined {
    const group = this.members[this.at]?.get(bases)?.group;
    if (!group || group.left === 0) return undefined;
    const page = (this.locals[this.used] ??= this.make());
    this.used++;
    const writable = write || group.writesLeft > 0;
    group[writable ? 'write' : 'read'] = page;
    return { page, writable };
  }

  private make(): PageLocals {
    return { page: this.f.local(this.long ? 'i64' : 'i32'), addend: this.f.local('i32') };
  }

  private makeKept(): KeptPage {
    return { ...this.make(), reach: this.f.local(this.long ? 'i64' : 'i32') };
  }

  /** What the instruction's accesses are relative to, whether they write, and their displacement. */
  private eachBases(i: Instruction, visit: (bases: number, writes: boolean, displacement: number) => void): void {
    if (i.apart) return;
    const { stack, writesStack, writesMemory, mayLeave } = i.facts;
    const bases = mayLeave ? operandBases(i) : undefined;
    const both = stack && bases === stackBases;
    if (stack) visit(stackBases, writesStack || (both && writesMemory), both ? i.displacement : 0);
    if (bases !== undefined && !both) visit(bases, writesMemory, i.displacement);
  }
}
