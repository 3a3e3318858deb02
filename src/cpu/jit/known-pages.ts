/**
 * Pages that a block has translated already. What follows relative to the same registers mostly lies in the same page:
 * then comparing its address with the page does for a look at the TLB. It is compared each time, so what the registers
 * hold by then is of no account.
 *
 * A translation holds until other code runs: compiled code itself changes no mapping, and a page that it may write
 * cannot come to hold decoded code meanwhile. So some pages are kept over the rounds of loops (`loop-pages.ts`), in
 * locals that say themselves whether they hold a page.
 */
import { Vcpu } from '../state.ts';
import type { FunctionBuilder } from '../../wasm/encoder.ts';
import type { BasicBlock, Instruction } from './region.ts';

/** Most bytes of an access that may go by a known page. */
export const widestAccess = 16;
/** Offsets in a page below which no access crosses its end. */
export const pageReach = 4096 - (widestAccess - 1);

/** Locals of a page: its linear address, what leads from linear to host addresses, and `pageReach`, or 0: not known. */
export interface PageLocals {
  readonly page: number;
  readonly addend: number;
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

interface Known {
  read: PageLocals | undefined;
  write: PageLocals | undefined;
  /** Instructions of the block with these bases that are still to come. */
  left: number;
}

/** Locals of the pages that are read and written relative to the same registers, over the rounds of a loop. */
interface Kept {
  readonly read: PageLocals;
  readonly write: PageLocals;
}

export class KnownPages {
  private readonly f: FunctionBuilder;
  private readonly long: boolean;
  private readonly loops: LoopPages;
  /** By bases; the locals begin as 0, which is no page. */
  private readonly kept = new Map<number, Kept>();
  private keptHere: ReadonlySet<number> | undefined;
  /** Of the block, by bases. */
  private readonly known = new Map<number, Known>();
  private readonly locals: PageLocals[] = [];
  private used = 0;

  constructor(f: FunctionBuilder, long: boolean, loops: LoopPages) {
    this.f = f;
    this.long = long;
    this.loops = loops;
    for (const set of loops.values()) {
      for (const bases of set)
        if (!this.kept.has(bases)) this.kept.set(bases, { read: this.make(), write: this.make() });
    }
  }

  startBlock({ number, instructions }: BasicBlock): void {
    this.known.clear();
    this.used = 0;
    this.keptHere = this.loops.get(number);
    for (const i of instructions) this.eachBases(i, (bases) => this.of(bases).left++);
  }

  startInstruction(instruction: Instruction): void {
    this.eachBases(instruction, (bases) => this.of(bases).left--);
  }

  /** Other code ran. */
  forget(): void {
    for (const k of this.known.values()) k.read = k.write = undefined;
    const { code } = this.f;
    for (const { read, write } of this.kept.values()) {
      for (const { reach } of [read, write]) (this.long ? code.i64(0) : code.i32(0)).set(reach);
    }
  }

  /** Where the page of an access is kept over the rounds of a loop. */
  keptOver(bases: number, write: boolean): PageLocals | undefined {
    return this.keptHere?.has(bases) === true ? this.kept.get(bases)?.[write ? 'write' : 'read'] : undefined;
  }

  /** The page of an access before. One that may be written may be read. */
  find(bases: number, write: boolean): PageLocals | undefined {
    const k = this.known.get(bases);
    return k?.write ?? (write ? undefined : k?.read);
  }

  /** Where to keep the page of an access, if more are to come. */
  remember(bases: number, write: boolean): PageLocals | undefined {
    const k = this.known.get(bases);
    if (!k || k.left === 0) return undefined;
    const locals = (this.locals[this.used] ??= this.make());
    this.used++;
    k[write ? 'write' : 'read'] = locals;
    return locals;
  }

  private make(): PageLocals {
    const width = this.long ? 'i64' : 'i32';
    return { page: this.f.local(width), addend: this.f.local('i32'), reach: this.f.local(width) };
  }

  private of(bases: number): Known {
    const k = this.known.get(bases) ?? { read: undefined, write: undefined, left: 0 };
    this.known.set(bases, k);
    return k;
  }

  private eachBases(i: Instruction, visit: (bases: number) => void): void {
    if (i.apart) return;
    if (i.facts.stack) visit(stackBases);
    const bases = i.facts.mayLeave ? operandBases(i) : undefined;
    if (bases !== undefined && !(i.facts.stack && bases === stackBases)) visit(bases);
  }
}
