/**
 * Arithmetic on 80-bit numbers by integer operations: exact, with what is rounded off, for normal numbers whose result is
 * normal, rounded to nearest and to 64 bits. Conditions tell where it is that; elsewhere a helper computes (`x87-short.ts`).
 *
 * Nothing here branches on values: sums and products of mixed signs and sizes would be mispredicted as often as not.
 * What the operations give for other operands than those they are for is not used, but must not trap.
 */
import type { Builder, Extended, Value } from './builder.ts';

export const SIGN = 0x8000;
export const EXPONENT = 0x7fff;
export const BIAS = 0x3fff;
export const INTEGER_BIT = 0x8000_0000_0000_0000n;

/** A result, with the bits below its significand (`rest`: not 0 if inexact; its top bit is one half). */
export interface Rounded {
  readonly value: Extended;
  readonly rest: Value;
  readonly roundedUp: Value;
  /** It is that where all of these hold: operands and result are normal. */
  readonly valid: readonly Value[];
}

export function exponentOf(b: Builder, v: Extended): Value {
  return b.and(v.signExponent, b.int(4, EXPONENT));
}

/** Whether the sign bits of all these 8-byte integers are set. */
export function haveTopBits(b: Builder, ...values: readonly Value[]): Value {
  return b.ltS(
    values.reduce((x, y) => b.and(x, y)),
    b.int(8, 0),
  );
}

/** from ≤ n < from + count, for 4-byte integers. */
export function within(b: Builder, n: Value, from: number, count: number): Value {
  return b.ltU(b.sub(n, b.int(4, from)), b.int(4, count));
}

/**
 * 1 (8 bytes) if the kept bits, of which `kept` has the lowest, are to be rounded up to nearest, ties to even: where the
 * rest is more than one half, or that and the kept bits are odd, a little less than one half more gives a carry.
 */
export function roundsUp(b: Builder, kept: Value, rest: Value): Value {
  const half = b.add(b.and(kept, b.int(8, 1)), b.int(8, INTEGER_BIT - 1n));
  return b.boolToInt(8, b.ltU(b.add(rest, half), rest));
}

/** x + y. The larger one stays, the other is shifted to its exponent and, if signs differ, negated. */
export function sum(b: Builder, x: Extended, y: Extended): Rounded {
  const one = b.int(4, 1);
  const ex = exponentOf(b, x);
  const ey = exponentOf(b, y);
  const swap = b.either(b.ltU(ex, ey), b.both(b.eq(ex, ey), b.ltU(x.significand, y.significand)));
  const large = b.select(swap, y.significand, x.significand);
  const small = b.select(swap, x.significand, y.significand);
  const signExponent = b.select(swap, y.signExponent, x.signExponent);
  const exponent = b.select(swap, ey, ex);
  const distance = b.sub(exponent, b.select(swap, ex, ey));
  const negative = b.zext(8, b.shr(b.xor(x.signExponent, y.signExponent), b.int(4, 15)));
  const mask = b.neg(negative);
  // 128 bits: the smaller one, negated where signs differ.
  const far = b.and(distance, b.int(4, 63));
  const shifted = b.shr(small, far);
  const below = b.shl(b.shl(small, b.xor(far, b.int(4, 63))), one);
  const low = b.sub(b.xor(below, mask), mask);
  const high = b.add(b.xor(shifted, mask), b.and(negative, b.boolToInt(8, b.isZero(below))));
  const added = b.add(large, high);
  // A carry out of the sum: one to the right.
  const carry = b.and(b.boolToInt(8, b.ltU(added, large)), b.xor(negative, b.int(8, 1)));
  const right = b.or(b.shr(added, carry), b.shl(carry, b.int(4, 63)));
  const lost = b.or(b.and(low, carry), b.shl(b.and(added, carry), b.int(4, 63)));
  const rightLow = b.or(b.shr(low, carry), lost);
  // Leading bits that a difference has lost: to the left.
  const zeros = b.and(b.clz(right), b.int(8, 63));
  const kept = b.or(b.shl(right, zeros), b.shr(b.shr(rightLow, one), b.xor(zeros, b.int(8, 63))));
  const rest = b.shl(rightLow, zeros);
  const roundedUp = roundsUp(b, kept, rest);
  const significand = b.add(kept, roundedUp);
  const moved = b.trunc(4, b.sub(carry, zeros));
  // Of exponents from 64 on neither the other operand's nor the result's can leave the format.
  const valid = [
    haveTopBits(b, x.significand, y.significand, significand),
    within(b, exponent, 64, EXPONENT - 128),
    b.ltU(distance, b.int(4, 64)),
  ];
  return { value: { significand, signExponent: b.add(signExponent, moved) }, rest, roundedUp, valid };
}

/** x + x: exact. */
export function twice(b: Builder, x: Extended): Rounded {
  const none = b.int(8, 0);
  return {
    value: { significand: x.significand, signExponent: b.add(x.signExponent, b.int(4, 1)) },
    rest: none,
    roundedUp: none,
    valid: [haveTopBits(b, x.significand), within(b, exponentOf(b, x), 1, EXPONENT - 2)],
  };
}

interface Unrounded {
  readonly kept: Value;
  readonly rest: Value;
  readonly exponent: Value;
  /** Both operands' exponents, from {@link fromLeast}, in one. */
  readonly operands: Value;
}

/** With operands' exponents within 4,096 of 0 products and quotients are normal. */
function fromLeast(b: Builder, exponent: Value): Value {
  return b.sub(exponent, b.int(4, 0x3000));
}

/** A product or quotient, rounded. */
function scaled(b: Builder, x: Extended, y: Extended, { kept, rest, exponent, operands }: Unrounded): Rounded {
  const roundedUp = roundsUp(b, kept, rest);
  const significand = b.add(kept, roundedUp);
  const sign = b.and(b.xor(x.signExponent, y.signExponent), b.int(4, SIGN));
  return {
    value: { significand, signExponent: b.or(sign, exponent) },
    rest,
    roundedUp,
    valid: [haveTopBits(b, x.significand, y.significand, significand), b.ltU(operands, b.int(4, 0x2000))],
  };
}

export function product(b: Builder, x: Extended, y: Extended): Rounded {
  const ex = exponentOf(b, x);
  const ey = exponentOf(b, y);
  const high = b.mulHighU(x.significand, y.significand);
  const low = b.mul(x.significand, y.significand);
  // In [1, 4): below 2 one to the left.
  const below2 = b.xor(b.shr(high, b.int(4, 63)), b.int(8, 1));
  const kept = b.or(b.shl(high, below2), b.and(b.shr(low, b.int(4, 63)), below2));
  const rest = b.shl(low, below2);
  const exponent = b.sub(b.sub(b.add(ex, ey), b.int(4, BIAS - 1)), b.trunc(4, below2));
  return scaled(b, x, y, { kept, rest, exponent, operands: b.or(fromLeast(b, ex), fromLeast(b, ey)) });
}

/** One digit of 32 bits of (n, next) / divisor (Knuth, TAOCP vol. 2, 4.3.1 D): an estimate, corrected at most twice. */
function quotientDigit(b: Builder, n: Value, next: Value, high: Value, low: Value): Value {
  const half = b.int(4, 32);
  const none = b.int(8, 0);
  const estimate = b.divU(n, high);
  const rest = b.sub(n, b.mul(estimate, high));
  const tooLarge = (q: Value, r: Value): Value =>
    b.either(b.ne(b.shr(q, half), none), b.ltU(b.or(b.shl(r, half), next), b.mul(q, low)));
  const first = tooLarge(estimate, rest);
  const closer = b.sub(estimate, b.boolToInt(8, first));
  const more = b.add(rest, high);
  const second = b.both(b.both(first, b.isZero(b.shr(more, half))), tooLarge(closer, more));
  return b.sub(closer, b.boolToInt(8, second));
}

export function quotient(b: Builder, x: Extended, y: Extended): Rounded {
  const ex = exponentOf(b, x);
  const ey = exponentOf(b, y);
  const half = b.int(4, 32);
  const lowHalf = b.int(8, 0xffff_ffffn);
  const divisor = b.or(y.significand, b.int(8, INTEGER_BIT));
  // In (½, 2): from 1 on one to the right.
  const atLeast1 = b.boolToInt(8, b.leU(y.significand, x.significand));
  const high = b.shr(x.significand, atLeast1);
  const low = b.shl(b.and(x.significand, atLeast1), b.int(4, 63));
  const digit = (n: Value, next: Value): Value =>
    quotientDigit(b, n, next, b.shr(divisor, half), b.and(divisor, lowHalf));
  const upper = b.shr(low, half);
  const first = digit(high, upper);
  const middle = b.sub(b.or(b.shl(high, half), upper), b.mul(first, divisor));
  const kept = b.add(b.shl(first, half), digit(middle, b.and(low, lowHalf)));
  const remainder = b.sub(low, b.mul(kept, divisor));
  const other = b.sub(divisor, remainder);
  const beyond = b.or(b.int(8, INTEGER_BIT), b.boolToInt(8, b.ne(remainder, other)));
  const inexact = b.select(b.ltU(remainder, other), b.int(8, 1), beyond);
  const rest = b.select(b.isZero(remainder), b.int(8, 0), inexact);
  const exponent = b.add(b.add(b.sub(ex, ey), b.int(4, BIAS - 1)), b.trunc(4, atLeast1));
  return scaled(b, x, y, { kept, rest, exponent, operands: b.or(fromLeast(b, ex), fromLeast(b, ey)) });
}

const two = { 1: 0x4000_0000_0000_0000n, 32: 0x41f0_0000_0000_0000n, 64: 0x43f0_0000_0000_0000n } as const;

/**
 * √x: the root of the significand's 128 bits, estimated in binary64 to 2⁻⁵² and mended by one step of Newton's on the
 * exact residue. Where that is not the root rounded down, which hardly ever happens, the residue says so.
 */
export function squareRoot(b: Builder, x: Extended): Rounded {
  const power = (n: keyof typeof two): Value => b.floatConst('f64', two[n]);
  const odd = b.and(x.signExponent, b.int(4, 1));
  const high = b.shr(x.significand, odd);
  const low = b.shl(b.and(x.significand, b.zext(8, odd)), b.int(4, 63));
  /** high:low less the square of a root. */
  const residue = (root: Value): { readonly above: Value; readonly below: Value } => {
    const square = b.mul(root, root);
    const borrow = b.boolToInt(8, b.ltU(low, square));
    return { above: b.sub(b.sub(high, b.mulHighU(root, root)), borrow), below: b.sub(low, square) };
  };
  const estimated = b.float('f64.mul', b.float('f64.sqrt', b.float('f64.convert_i64_u', high)), power(32));
  const estimate = b.float('i64.trunc_sat_f64_u', estimated);
  const error = residue(estimate);
  const errorAbove = b.float('f64.mul', b.float('f64.convert_i64_s', error.above), power(64));
  const total = b.float('f64.add', errorAbove, b.float('f64.convert_i64_u', error.below));
  const step = b.float('f64.div', total, b.float('f64.mul', b.float('f64.convert_i64_u', estimate), power(1)));
  const kept = b.add(estimate, b.float('i64.trunc_sat_f64_s', b.float('f64.floor', step)));
  const { above, below } = residue(kept);
  const isExact = b.isZero(b.or(above, below));
  // (root + ½)² is root² + root + ¼.
  const beyondHalf = b.either(b.ne(above, b.int(8, 0)), b.ltU(kept, below));
  const inexact = b.select(beyondHalf, b.int(8, INTEGER_BIT + 1n), b.int(8, 1));
  const rest = b.select(isExact, b.int(8, 0), inexact);
  const roundedUp = roundsUp(b, kept, rest);
  const significand = b.add(kept, roundedUp);
  // At most 2 root, of 65 bits, remains below the next root's square.
  const fits = b.either(b.isZero(above), b.both(b.eq(above, b.int(8, 1)), b.leU(below, b.shl(kept, b.int(4, 1)))));
  return {
    value: { significand, signExponent: b.shr(b.add(x.signExponent, b.int(4, BIAS)), b.int(4, 1)) },
    rest,
    roundedUp,
    valid: [haveTopBits(b, x.significand, kept, significand), within(b, x.signExponent, 1, EXPONENT - 1), fits],
  };
}
