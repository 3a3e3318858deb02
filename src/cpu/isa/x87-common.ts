/**
 * The x87 machine model (SDM vol. 1 §8): stack, tags, and what becomes of exceptions.
 *
 * Every instruction that is not a control instruction goes the same way:
 * 1. a pending exception (ES) is delivered (`waiting`);
 * 2. operands are looked up; an empty source or a full destination is a stack fault (IE and SF, C1 = direction) whose
 *    result is the indefinite NaN;
 * 3. arithmetic gives a result and its exception flags (helpers, `core/fpu-glue.ts`);
 * 4. `conclude`: flags become sticky in the status word. An unmasked IE, DE or ZE (for stores also OE, UE) leaves
 *    registers and memory as they are; unmasked exceptions set ES and B, to be delivered by the next waiting
 *    instruction.
 *
 * 5. FIP becomes the instruction's own; FOP, and FDP where there is a memory operand, only if it had an unmasked
 *    exception (`notePointers`).
 *
 * What is usual has a short way beside it (`x87-short.ts`).
 *
 * The status word is kept without TOP. ES and B are set if and only if an exception is set and unmasked.
 */
import type { Builder, Instruction, Operand, Semantics, ShortWay, Value } from './builder.ts';
import { resize } from './common.ts';
import { row } from './row.ts';
import type { Row, RowOptions } from './row.ts';
import { deliverPending } from './vector.ts';
import type { Short } from './x87-short.ts';

/** Bits of the status word. */
export const fsw = {
  ie: 1,
  de: 2,
  ze: 4,
  oe: 8,
  ue: 0x10,
  pe: 0x20,
  sf: 0x40,
  es: 0x80,
  c1: 0x200,
  busy: 0x8000,
} as const;
/** C3 C2 C0, and C1. */
export const CONDITION_CODES = 0x4700;
export const STACK_UNDERFLOW = fsw.ie | fsw.sf;
export const STACK_OVERFLOW = fsw.ie | fsw.sf | fsw.c1;

/** Exceptions that, unmasked, prevent the result: of arithmetic, and of a store to memory. */
export const preventing = { arithmetic: 0x07, store: 0x1f } as const;

export const INDEFINITE = { significand: 0xc000_0000_0000_0000n, signExponent: 0xffff } as const;

/** A row of an instruction that first delivers a pending exception, perhaps with a short way. */
export function x87(
  encoding: string,
  mnemonic: string,
  operands: string,
  semantics: Semantics,
  options: RowOptions & { readonly short?: Short } = {},
): Row {
  const { short, ...rest } = options;
  const rowOptions = short ? { ...rest, hot: true } : rest;
  return control(encoding, mnemonic, operands, waiting(semantics, short), rowOptions);
}

/** A row of an instruction that does not wait (FNINIT, FNSTSW …). */
export function control(
  encoding: string,
  mnemonic: string,
  operands: string,
  semantics: Semantics,
  options: RowOptions = {},
): Row {
  return row(encoding, mnemonic, operands, semantics, { unit: 'x87', ...options });
}

/** What all instructions do that are no control instructions. */
function waiting(semantics: Semantics, short?: Short): Semantics {
  return (b, i) => {
    const general = (): void => {
      deliverPending(b);
      semantics(b, i);
      notePointers(b, i);
    };
    if (!short) {
      general();
      return;
    }
    const attempt = (): ShortWay => {
      const { when, commit } = short(b, i, b.registerStack);
      return {
        when,
        commit: () => {
          commit();
          b.registerStack.notePointer();
        },
      };
    };
    b.shortWay(attempt, general);
  };
}

/**
 * FIP, FDP and FOP as SDM vol. 1 §8.1.8 has them on processors with CPUID.(7,0):EBX[6] (FDP for unmasked exceptions
 * only) and IA32_MISC_ENABLE[2] = 0 (FOP likewise). ES was clear before the instruction, so that it is its own here.
 * EBX[13] says that there are no FCS and FDS: they are saved as 0.
 */
function notePointers(b: Builder, i: Instruction): void {
  b.setSystem('fpuIp', b.currentIp());
  b.if(b.bit(b.getSystem('fpuStatus'), 7), () => {
    b.setSystem('fpuOpcode', b.zext(4, b.x87Opcode()));
    const memory = i.operands.find((o) => o.kind === 'memory');
    if (memory) b.setSystem('fpuDp', resize(b, 8, b.address(memory)));
  });
}

export function top(b: Builder): Value {
  return b.getSystem('fpuTop');
}

/** Physical number of ST(n). */
export function physical(b: Builder, n: number | Operand): Value {
  if (n === 0) return top(b);
  const offset = typeof n === 'number' ? b.int(4, n) : b.stackIndex(n);
  return b.and(b.add(top(b), offset), b.int(4, 7));
}

/** Whether ST(n) holds a value. */
export function inUse(b: Builder, n: number | Operand): Value {
  return b.bit(b.shr(b.getSystem('fpuTags'), physical(b, n)), 0);
}

/** Marks ST(n) as in use. */
export function occupy(b: Builder, n: number | Operand): void {
  const mask = b.shl(b.int(4, 1), physical(b, n));
  b.setSystem('fpuTags', b.or(b.getSystem('fpuTags'), mask));
}

export function free(b: Builder, n: number | Operand): void {
  const mask = b.shl(b.int(4, 1), physical(b, n));
  b.setSystem('fpuTags', b.and(b.getSystem('fpuTags'), b.not(mask)));
}

export function moveTop(b: Builder, delta: number): void {
  b.setSystem('fpuTop', b.and(b.add(top(b), b.int(4, delta & 7)), b.int(4, 7)));
}

/** Drops ST(0). */
export function pop(b: Builder): void {
  free(b, 0);
  moveTop(b, 1);
}

/** A temporary with the indefinite NaN. */
export function indefinite(b: Builder): Value {
  return b.f80(b.int(8, INDEFINITE.significand), b.int(2, INDEFINITE.signExponent));
}

/**
 * Ends an instruction: `commit` writes the results unless an exception prevents them, then the flags (with C1, and the
 * other condition codes where `codes` says that the instruction sets them) go into the status word. `commit` may store
 * to memory first; `prevented` runs in its place, for a store that faults although its exception prevents it.
 */
export function conclude(
  b: Builder,
  flags: Value,
  commit: () => void,
  options: { readonly prevents?: number; readonly codes?: number; readonly prevented?: () => void } = {},
): void {
  const prevents = options.prevents ?? preventing.arithmetic;
  const unmasked = b.and(b.and(flags, b.not(b.getSystem('fpuControl'))), b.int(4, 0x3f));
  b.if(b.isZero(b.and(unmasked, b.int(4, prevents))), commit, options.prevented);
  finishStatus(b, flags, unmasked, options.codes ?? fsw.c1);
}

/** Flags and condition codes into the status word; ES and B if something is unmasked. */
export function finishStatus(b: Builder, flags: Value, unmasked: Value, codes: number): void {
  const kept = b.and(b.getSystem('fpuStatus'), b.int(4, 0xffff & ~codes));
  const summary = b.select(b.isZero(unmasked), b.int(4, 0), b.int(4, fsw.es | fsw.busy));
  b.setSystem('fpuStatus', b.or(b.or(kept, flags), summary));
}

/** Only C1 = 0: instructions that cannot raise anything but stack faults. */
export function clearC1(b: Builder): void {
  b.setSystem('fpuStatus', b.and(b.getSystem('fpuStatus'), b.int(4, 0xffff & ~fsw.c1)));
}

/**
 * Computes into `result` if the registers are in use; else the result is the indefinite NaN and the flags are those of a
 * stack underflow. Gives the flags.
 */
export function guarded(b: Builder, filled: Value, result: Value, compute: () => Value): Value {
  const flags = b.variable(b.int(4, STACK_UNDERFLOW));
  b.if(
    filled,
    () => b.set(flags, compute()),
    () => copyIndefinite(b, result),
  );
  return b.get(flags);
}

/** Writes the indefinite NaN to a temporary: FLD1's constants and this one come from the same helper. */
function copyIndefinite(b: Builder, result: Value): void {
  b.helper('f80Constant', result, b.int(4, 7));
}

/**
 * Pushes `value` (a temporary, not a register): the end of all loads. `flags` are those of its conversion. An underflow
 * (of FLD ST(i)) goes before the overflow, as processors have it.
 */
export function push(b: Builder, value: Value, flags: Value): void {
  const full = inUse(b, 7);
  const overflows = b.both(full, b.isZero(b.and(flags, b.int(4, fsw.sf))));
  const all = b.select(overflows, b.int(4, STACK_OVERFLOW), flags);
  conclude(b, all, () => {
    b.if(full, () => copyIndefinite(b, value));
    moveTop(b, -1);
    occupy(b, 0);
    b.setSt(0, value);
  });
}
