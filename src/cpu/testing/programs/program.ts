/**
 * A random program as a tree: instructions in blocks, branches, loops, switches and calls, without addresses. The tree
 * is what the generator makes and what the shrinker cuts; `lower.ts` makes bytes of it, and each part of a tree may be
 * left out. A program ends alone: loops count, calls go downwards, or count.
 *
 * Flags that the manuals leave undefined are never read: an operation says what it reads, defines and leaves undefined,
 * and lowering puts a comparison before it where need be.
 */
import type { Bits, Draft } from '../oracle/draft.ts';
import { FLAG } from '../oracle/draft.ts';

/** The six status flags. */
export const ALL = FLAG.CF | FLAG.PF | FLAG.AF | FLAG.ZF | FLAG.SF | FLAG.OF;

/** A place in the code, known when it is lowered. */
export interface Label {
  readonly label: string;
}

/** A field of an instruction that holds an address or a distance. */
export interface Fixup {
  /** Offset in the instructions' bytes, and bytes of the field. */
  readonly at: number;
  readonly size: 1 | 4;
  readonly target: Label;
  /** Added to the target. */
  readonly addend?: number;
  /** `relative`: from the end of the instruction, `behind` bytes after the field. `length`: from another label. */
  readonly kind: 'absolute' | 'relative' | 'length';
  readonly behind?: number;
  readonly from?: Label;
}

/** One instruction, or a few that make sense together only. */
export interface Op {
  readonly kind: 'op';
  readonly text: string;
  readonly bytes: readonly number[];
  readonly reads?: number;
  readonly defines?: number;
  readonly undefines?: number;
  readonly fixups?: readonly Fixup[];
  /** Labels in it: offset of each. */
  readonly marks?: readonly { readonly label: Label; readonly at: number }[];
}

/** A body between two operations that belong together (PUSH and POP, STD and CLD). */
export interface Bracket {
  readonly kind: 'bracket';
  readonly before: Op;
  readonly body: readonly Node[];
  readonly after: Op;
}

/** Jumps over `body` (to `otherwise`, which may be empty) by a condition; always when that is undefined. */
export interface Branch {
  readonly kind: 'branch';
  readonly condition: number | undefined;
  readonly body: readonly Node[];
  readonly otherwise: readonly Node[];
  /** Other code writes its condition: it stands in this byte's low half. Any condition may be there. */
  readonly written?: Label;
}

export interface Loop {
  readonly kind: 'loop';
  readonly count: number;
  /** Sets the counter to `count`. */
  readonly start: Op;
  readonly body: readonly Node[];
  /** Counts; the loop goes on while its condition holds. LOOP and its like count and jump by themselves. */
  readonly step: Op;
  readonly condition: number | keyof typeof LOOP_OPCODE;
}

/** LOOP counts alone, the others look at ZF, too. */
export const LOOP_OPCODE = { loopne: 0xe0, loope: 0xe1, loop: 0xe2 } as const;

/** Leaves the loop or function so many scopes up. */
export interface Exit {
  readonly kind: 'exit';
  readonly condition: number;
  readonly levels: number;
}

/** An indirect jump to one of the cases, by a table. `select` puts the number of the case into a register. */
export interface Switch {
  readonly kind: 'switch';
  readonly select: Op;
  readonly register: number;
  readonly form: 'memory' | 'register' | 'return';
  readonly cases: readonly (readonly Node[])[];
}

export interface Call {
  readonly kind: 'call';
  readonly callee: number;
  readonly form: 'direct' | 'register' | 'memory' | 'pushed';
  readonly register: number;
}

/** Copies a function's bytes to a page for written code, and calls the copy. */
export interface CopyCall {
  readonly kind: 'copy';
  readonly callee: number;
  readonly to: number;
  readonly times: number;
}

/** An operation that may fault; the program goes on behind it, or behind `target` as the instruction pointer. */
export interface Fault {
  readonly kind: 'fault';
  readonly before?: Op;
  readonly op: Op;
  readonly after?: Op;
  /** Where the instruction pointer is at the fault: at the instruction, behind it (traps), or at a fixed address. */
  readonly at: 'start' | 'end' | number;
  /** Offset of the instruction that faults in `op`. */
  readonly offset: number;
}

export type Node = Op | Bracket | Branch | Loop | Exit | Switch | Call | CopyCall | Fault;

export interface Subroutine {
  readonly number: number;
  readonly body: readonly Node[];
  /** How it returns; `skip` more bytes of filler stand behind each call of it. */
  readonly form: 'return' | 'pop' | 'jump' | 'release';
  readonly skip: number;
  /** Address of a counter: it calls itself until that is 0, which each caller sets to `depth`. */
  readonly recursion?: { readonly counter: number; readonly depth: number };
  /** Filler bytes before it. */
  readonly gap: number;
}

export interface Program {
  readonly name: string;
  readonly bits: Bits;
  readonly body: readonly Node[];
  readonly functions: readonly Subroutine[];
  /** Start of the code. */
  readonly origin: number;
  /** The start state; lowering adds the code to a copy. */
  readonly start: Draft;
}

/** The place in the program of its functions; calls name them by number. */
export const functionLabel = (n: number): Label => ({ label: `function${n}` });
export const functionEnd = (n: number): Label => ({ label: `function${n}.end` });

/** Operations one after the other, as one. */
export function sequence(...ops: readonly Op[]): Op {
  const bytes: number[] = [];
  const fixups: Fixup[] = [];
  const marks: { label: Label; at: number }[] = [];
  let [reads, defines, undefines] = [0, 0, 0];
  for (const op of ops) {
    const read = op.reads ?? 0;
    if (read & undefines) throw new Error(`${op.text} reads undefined flags`);
    reads |= read & ~defines;
    fixups.push(...(op.fixups ?? []).map((f) => ({ ...f, at: f.at + bytes.length })));
    marks.push(...(op.marks ?? []).map((m) => ({ ...m, at: m.at + bytes.length })));
    const [d, u] = [op.defines ?? 0, op.undefines ?? 0];
    defines = (defines & ~u) | d;
    undefines = (undefines & ~d) | u;
    bytes.push(...op.bytes);
  }
  return { kind: 'op', text: ops.map((op) => op.text).join('; '), bytes, reads, defines, undefines, fixups, marks };
}
