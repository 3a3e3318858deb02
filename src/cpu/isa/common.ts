/** Small things that the semantics files share. */
import type { Builder, Instruction, Operand, Size, Value } from './builder.ts';

/** Arithmetic flags as bits of EFLAGS. */
export const eflags = { cf: 1, pf: 4, af: 0x10, zf: 0x40, sf: 0x80, of: 0x800 } as const;

/** Bit numbers of EFLAGS outside of the arithmetic flags. */
export const eflagsBit = { if: 9, df: 10, iopl: 12, nt: 14, rf: 16, vm: 17, ac: 18 } as const;

/** Exception vectors that semantics raise themselves. */
export const vector = { divideError: 0, boundRange: 5, invalidOpcode: 6, generalProtection: 13 } as const;

/** General registers by number. */
export const gpr = { ax: 0, cx: 1, dx: 2, bx: 3, sp: 4, bp: 5, si: 6, di: 7 } as const;

/** Operand `n`, which the row's notation promises. */
export function operand(i: Instruction, n: number): Operand {
  const o = i.operands[n];
  if (o === undefined) throw new Error(`${i.mnemonic}: its row has no operand ${n}; compare semantics and notation`);
  return o;
}

/** Width in bits of an operand size. */
export function bits(size: Size): number {
  return size * 8;
}

/** Bytes of an integer type. */
export function sizeOf(v: Value): Size {
  switch (v.type) {
    case 'i8':
      return 1;
    case 'i16':
      return 2;
    case 'i32':
      return 4;
    case 'i64':
      return 8;
    default:
      throw new Error(`expected an integer value, got ${v.type}`);
  }
}

/** The operand's size, which must be an integer's. */
export function integerSize(o: Operand): Size {
  if (o.size !== 1 && o.size !== 2 && o.size !== 4 && o.size !== 8) throw new Error(`operand of ${o.size} bytes`);
  return o.size;
}

/** Zero-extended or truncated to `size`. */
export function resize(b: Builder, size: Size, v: Value): Value {
  const have = sizeOf(v);
  if (have === size) return v;
  return have < size ? b.zext(size, v) : b.trunc(size, v);
}

/** Sign-extended or truncated to `size`. */
export function resizeSigned(b: Builder, size: Size, v: Value): Value {
  const have = sizeOf(v);
  if (have === size) return v;
  return have < size ? b.sext(size, v) : b.trunc(size, v);
}

/** An i32 constant: arguments of helpers. */
export function word(b: Builder, n: number): Value {
  return b.int(4, n);
}

/** #GP(0) if `c`. */
export function protectIf(b: Builder, c: Value): void {
  b.raiseIf(c, vector.generalProtection, b.int(4, 0));
}
