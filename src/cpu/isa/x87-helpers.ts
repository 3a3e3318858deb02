/** How the definitions of x87 instructions call the helpers for 80-bit numbers (`helpers-fp.ts`). */
import type { Builder, Value } from './builder.ts';

/** The operations of D8 /n; the reversed ones have their operands exchanged. */
export const arithmeticNumber = { FADD: 0, FMUL: 1, FSUB: 4, FSUBR: 5, FDIV: 6, FDIVR: 7 } as const;
export type Arithmetic = keyof typeof arithmeticNumber;

/** The helper of an operation, and whether it takes the operands the other way round. */
const operations: Readonly<Record<Arithmetic, readonly [helper: string, reversed: boolean]>> = {
  FADD: ['f80Add', false],
  FMUL: ['f80Multiply', false],
  FSUB: ['f80Subtract', false],
  FSUBR: ['f80Subtract', true],
  FDIV: ['f80Divide', false],
  FDIVR: ['f80Divide', true],
};

/** Number formats in memory. */
export type Source = 'f32' | 'f64' | 'i16' | 'i32';

export interface Unpacked {
  readonly value: Value;
  /** DE for a denormal: which holds only if neither operand is a NaN, as the helper decides. */
  readonly flags: Value;
}

/** A memory operand as f80, not rounded, signalling NaNs as they are. */
export function unpack(b: Builder, source: Source, bits: Value): Unpacked {
  const value = b.temporary();
  switch (source) {
    case 'f32':
      return { value, flags: b.helper('f80Unpack32', value, bits) };
    case 'f64':
      return { value, flags: b.helper('f80Unpack64', value, bits) };
    default:
      b.helper('f80FromInteger', value, b.sext(8, bits));
      return { value, flags: b.int(4, 0) };
  }
}

/** Flags of `x op y`, which is left at `result`; `flags`: of unpacking an operand. */
export function compute(b: Builder, op: Arithmetic, result: Value, x: Value, y: Value, flags: Value): Value {
  const [helper, reversed] = operations[op];
  return reversed ? b.helper(helper, result, y, x, flags) : b.helper(helper, result, x, y, flags);
}

/** Numbers for the helper `f80Unary`: the low bits of the second opcode byte. */
export const unaryNumber = {
  FTST: 0x24,
  FXAM: 0x25,
  F2XM1: 0x30,
  FSQRT: 0x3a,
  FRNDINT: 0x3c,
  FSIN: 0x3e,
  FCOS: 0x3f,
} as const;

/** Formats for the helper `f80Store`; the truncating one of an integer is the next number. */
export const numberFormat = { f32: 0, f64: 1, i16: 2, i32: 4, i64: 6, bcd: 8 } as const;
