/**
 * Short ways of x87 instructions: what they do with normal numbers when no exception but the inexact result can come of
 * it, under the usual control word (`RegisterStack.usual`). They are exact, with PE and C1; everything else is found by
 * the conditions and left to the general way (`x87-arithmetic.ts`, `x87-move.ts`).
 *
 * Nothing here branches on values: sums and products of mixed signs and sizes would be mispredicted as often as not.
 * What the operations give for other operands than those they are for is not used, but must not trap.
 */
import type { Builder, Extended, Instruction, Operand, RegisterStack, ShortWay, Value } from './builder.ts';
import { operand } from './common.ts';

/** Writes a short way's conditions and what it does; the instruction pointer is noted by who asks. */
export type Short = (b: Builder, i: Instruction, stack: RegisterStack) => ShortWay;

const SIGN = 0x8000;
const EXPONENT = 0x7fff;
const BIAS = 0x3fff;
const INTEGER_BIT = 0x8000_0000_0000_0000n;

/** A result, with the bits below its significand (`rest`: not 0 if inexact; its top bit is one half). */
interface Rounded {
  readonly value: Extended;
  readonly rest: Value;
  readonly roundedUp: Value;
  /** Whether it is that: operands and result are normal. */
  readonly valid: Value;
}

function all(b: Builder, ...conditions: readonly Value[]): Value {
  return conditions.reduce((x, y) => b.both(x, y));
}

function exponentOf(b: Builder, v: Extended): Value {
  return b.and(v.signExponent, b.int(4, EXPONENT));
}

/** Whether the sign bits of all these 8-byte integers are set. */
function haveTopBits(b: Builder, ...values: readonly Value[]): Value {
  return b.ltS(
    values.reduce((x, y) => b.and(x, y)),
    b.int(8, 0),
  );
}

/** from ≤ n < from + count, for 4-byte integers. */
function within(b: Builder, n: Value, from: number, count: number): Value {
  return b.ltU(b.sub(n, b.int(4, from)), b.int(4, count));
}

/** 1 (8 bytes) if the kept bits, of which `kept` has the lowest, are to be rounded up to nearest, ties to even. */
function roundsUp(b: Builder, kept: Value, rest: Value): Value {
  const beyondHalf = b.boolToInt(8, b.ne(b.shl(rest, b.int(4, 1)), b.int(8, 0)));
  return b.and(b.and(b.shr(rest, b.int(4, 63)), b.or(beyondHalf, kept)), b.int(8, 1));
}

// Arithmetic. ---------------------------------------------------------------------------------------------------------

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
  const valid = all(
    b,
    haveTopBits(b, x.significand, y.significand, significand),
    within(b, exponent, 64, EXPONENT - 128),
    b.ltU(distance, b.int(4, 64)),
  );
  return { value: { significand, signExponent: b.add(signExponent, moved) }, rest, roundedUp, valid };
}

/** Exponents within 4,096 of 0: products and quotients are normal then. */
function moderate(b: Builder, x: Value, y: Value): Value {
  const from = b.int(4, 0x3000);
  return b.ltU(b.or(b.sub(x, from), b.sub(y, from)), b.int(4, 0x2000));
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
  const roundedUp = roundsUp(b, kept, rest);
  const significand = b.add(kept, roundedUp);
  const exponent = b.sub(b.sub(b.add(ex, ey), b.int(4, BIAS - 1)), b.trunc(4, below2));
  const sign = b.and(b.xor(x.signExponent, y.signExponent), b.int(4, SIGN));
  return {
    value: { significand, signExponent: b.or(sign, exponent) },
    rest,
    roundedUp,
    valid: b.both(haveTopBits(b, x.significand, y.significand, significand), moderate(b, ex, ey)),
  };
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
  const second = all(b, first, b.isZero(b.shr(more, half)), tooLarge(closer, more));
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
  const roundedUp = roundsUp(b, kept, rest);
  const significand = b.add(kept, roundedUp);
  const exponent = b.add(b.add(b.sub(ex, ey), b.int(4, BIAS - 1)), b.trunc(4, atLeast1));
  const sign = b.and(b.xor(x.signExponent, y.signExponent), b.int(4, SIGN));
  return {
    value: { significand, signExponent: b.or(sign, exponent) },
    rest,
    roundedUp,
    valid: b.both(haveTopBits(b, x.significand, y.significand, significand), moderate(b, ex, ey)),
  };
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
    valid: all(b, haveTopBits(b, x.significand, kept, significand), within(b, x.signExponent, 1, EXPONENT - 1), fits),
  };
}

export const shortSquareRoot: Short = (b, _i, stack) =>
  shortResult(b, stack, 0, squareRoot(b, stack.get(0)), stack.inUse(0));

function difference(b: Builder, x: Extended, y: Extended): Rounded {
  return sum(b, x, { significand: y.significand, signExponent: b.xor(y.signExponent, b.int(4, SIGN)) });
}

const arithmetic = {
  FADD: sum,
  FMUL: product,
  FSUB: difference,
  FSUBR: (b: Builder, x: Extended, y: Extended) => difference(b, y, x),
  FDIV: quotient,
  FDIVR: (b: Builder, x: Extended, y: Extended) => quotient(b, y, x),
} as const;
type Arithmetic = keyof typeof arithmetic;

/** ST(0) = ST(0) op memory. */
export function shortWithMemory(op: Arithmetic, source: FloatSource): Short {
  return (b, i, stack) => {
    const y = widened(b, source, b.read(operand(i, 0)));
    return shortResult(b, stack, 0, arithmetic[op](b, stack.get(0), y.value), b.both(stack.inUse(0), y.isNormal));
  };
}

/** ST(0) = ST(0) op ST(i), or ST(i) = ST(i) op ST(0) with perhaps a pop. */
export function shortWithRegister(op: Arithmetic, target: 'top' | 'register', pops = false): Short {
  return (b, i, stack) => {
    const other = operand(i, target === 'top' ? 1 : 0);
    const [to, by]: readonly (number | Operand)[] = target === 'top' ? [0, other] : [other, 0];
    if (to === undefined || by === undefined) throw new Error(`${i.mnemonic}: no operands`);
    const filled = b.both(stack.inUse(0), stack.inUse(other));
    return shortResult(b, stack, to, arithmetic[op](b, stack.get(to), stack.get(by)), filled, pops);
  };
}

function shortResult(
  b: Builder,
  stack: RegisterStack,
  to: number | Operand,
  result: Rounded,
  filled: Value,
  pops = false,
): ShortWay {
  return {
    when: all(b, stack.usual(), filled, result.valid),
    commit: () => {
      stack.set(to, result.value);
      stack.rounded(result.rest, result.roundedUp);
      if (pops) stack.pop();
    },
  };
}

// Loads and stores. ---------------------------------------------------------------------------------------------------

export type FloatSource = 'f32' | 'f64';

/** A number of memory that is normal there. */
function widened(b: Builder, source: FloatSource, bits: Value): { readonly value: Extended; readonly isNormal: Value } {
  const wide = source === 'f64';
  const high = wide ? b.trunc(4, b.shr(bits, b.int(4, 32))) : bits;
  const exponent = b.and(b.shr(high, b.int(4, wide ? 20 : 23)), b.int(4, wide ? 0x7ff : 0xff));
  const sign = b.and(b.shr(high, b.int(4, 16)), b.int(4, SIGN));
  const fraction = b.shl(wide ? bits : b.zext(8, bits), b.int(4, wide ? 11 : 40));
  const rebias = b.int(4, wide ? BIAS - 1023 : BIAS - 127);
  return {
    value: {
      significand: b.or(fraction, b.int(8, INTEGER_BIT)),
      signExponent: b.or(sign, b.add(exponent, rebias)),
    },
    isNormal: within(b, exponent, 1, wide ? 0x7fe : 0xfe),
  };
}

function shortPush(b: Builder, stack: RegisterStack, value: Extended, when: Value): ShortWay {
  return {
    when: all(b, stack.usual(), stack.isEmpty(7), when),
    commit: () => {
      stack.push(value);
      stack.setCodes();
    },
  };
}

export function shortLoad(source: FloatSource): Short {
  return (b, i, stack) => {
    const { value, isNormal } = widened(b, source, b.read(operand(i, 0)));
    return shortPush(b, stack, value, isNormal);
  };
}

/** FILD; 0 is no normal number, but loaded as often as others. */
export const shortLoadInteger: Short = (b, i, stack) => {
  const bits = b.read(operand(i, 0));
  const n = bits.type === 'i64' ? bits : b.sext(8, bits);
  const mask = b.sar(n, b.int(4, 63));
  const magnitude = b.sub(b.xor(n, mask), mask);
  const zeros = b.clz(magnitude);
  const sign = b.and(b.trunc(4, mask), b.int(4, SIGN));
  const signExponent = b.or(sign, b.sub(b.int(4, BIAS + 63), b.trunc(4, zeros)));
  const value = {
    significand: b.shl(magnitude, b.and(zeros, b.int(8, 63))),
    signExponent: b.select(b.isZero(n), b.int(4, 0), signExponent),
  };
  return shortPush(b, stack, value, b.bool(true));
};

export const shortLoadRegister: Short = (b, i, stack) => {
  const source = operand(i, 0);
  return shortPush(b, stack, stack.get(source), stack.inUse(source));
};

/** FLD1 and FLDZ. */
export function shortConstant(significand: bigint, exponent: number): Short {
  return (b, _i, stack) => {
    const value = { significand: b.int(8, significand), signExponent: b.int(4, exponent) };
    return shortPush(b, stack, value, b.bool(true));
  };
}
export const shortOne = shortConstant(INTEGER_BIT, BIAS);
export const shortZero = shortConstant(0n, 0);

/** FST and FSTP m32, m64 of a number that is normal there, too, however it is rounded. */
export function shortStore(to: FloatSource, pops: boolean): Short {
  const wide = to === 'f64';
  const cut = wide ? 11 : 40;
  return (b, i, stack) => {
    const { significand, signExponent } = stack.get(0);
    const rebias = b.int(4, wide ? BIAS - 1023 : BIAS - 127);
    const exponent = b.sub(b.and(signExponent, b.int(4, EXPONENT)), rebias);
    const kept = b.shr(significand, b.int(4, cut));
    const rest = b.shl(significand, b.int(4, 64 - cut));
    const roundedUp = roundsUp(b, kept, rest);
    const below = b.shl(b.zext(8, b.sub(exponent, b.int(4, 1))), b.int(4, 63 - cut));
    const sign = b.shl(b.zext(8, b.and(signExponent, b.int(4, SIGN))), b.int(4, wide ? 48 : 16));
    const bits = b.or(sign, b.add(b.add(below, kept), roundedUp));
    const isNormal = b.both(haveTopBits(b, significand), within(b, exponent, 1, wide ? 0x7fd : 0xfd));
    return {
      when: all(b, stack.usual(), stack.inUse(0), isNormal),
      commit: () => {
        b.write(operand(i, 0), wide ? bits : b.trunc(4, bits));
        stack.rounded(rest, roundedUp);
        if (pops) stack.pop();
      },
    };
  };
}

/** FST and FSTP ST(i). */
export function shortStoreRegister(pops: boolean): Short {
  return (b, i, stack) => {
    const value = stack.get(0);
    return {
      when: b.both(stack.usual(), stack.inUse(0)),
      commit: () => {
        stack.set(operand(i, 0), value);
        stack.setCodes();
        if (pops) stack.pop();
      },
    };
  };
}

export const shortExchange: Short = (b, i, stack) => {
  const other = operand(i, 0);
  return {
    when: all(b, stack.usual(), stack.inUse(0), stack.inUse(other)),
    commit: () => {
      stack.exchange(other);
      stack.setCodes();
    },
  };
};

/** FCHS and FABS. */
export function shortSign(change: (b: Builder, signExponent: Value) => Value): Short {
  return (b, _i, stack) => {
    const { significand, signExponent } = stack.get(0);
    return {
      when: b.both(stack.usual(), stack.inUse(0)),
      commit: () => {
        stack.set(0, { significand, signExponent: change(b, signExponent) });
        stack.setCodes();
      },
    };
  };
}

// Comparisons. --------------------------------------------------------------------------------------------------------

/** Normal numbers and zeros. */
function isComparable(b: Builder, v: Extended): Value {
  const exponent = exponentOf(b, v);
  const isZero = b.isZero(b.or(v.significand, b.zext(8, exponent)));
  return b.either(b.both(haveTopBits(b, v.significand), within(b, exponent, 1, EXPONENT - 1)), isZero);
}

/** C0 and C3 of x compared with y. */
function relation(b: Builder, x: Extended, y: Extended): { readonly codes: Value; readonly valid: Value } {
  const ex = exponentOf(b, x);
  const ey = exponentOf(b, y);
  const smaller = b.either(b.ltU(ex, ey), b.both(b.eq(ex, ey), b.ltU(x.significand, y.significand)));
  const sameMagnitude = b.both(b.eq(ex, ey), b.eq(x.significand, y.significand));
  const negative = b.bit(x.signExponent, 15);
  const signsDiffer = b.bit(b.xor(x.signExponent, y.signExponent), 15);
  const zeros = b.isZero(b.or(x.significand, y.significand));
  const equal = b.either(b.both(sameMagnitude, b.negate(signsDiffer)), zeros);
  const less = b.both(b.select(signsDiffer, negative, b.differ(smaller, negative)), b.negate(equal));
  const codes = b.or(b.shl(b.boolToInt(4, less), b.int(4, 8)), b.shl(b.boolToInt(4, equal), b.int(4, 14)));
  return { codes, valid: b.both(isComparable(b, x), isComparable(b, y)) };
}

/** FCOM, FUCOM: what differs between them are NaNs. */
export function shortCompare(source: FloatSource | 'register', pops: number): Short {
  return (b, i, stack) => {
    const isMemory = source !== 'register';
    const y = isMemory ? widened(b, source, b.read(operand(i, 0))) : undefined;
    const { codes, valid } = relation(b, stack.get(0), y?.value ?? stack.get(operand(i, 0)));
    return {
      when: all(b, stack.usual(), stack.inUse(0), y?.isNormal ?? stack.inUse(operand(i, 0)), valid),
      commit: () => {
        stack.setCodes(codes);
        for (let n = 0; n < pops; n++) stack.pop();
      },
    };
  };
}

/** FCOMI, FUCOMI. */
export function shortCompareToFlags(pops: boolean): Short {
  return (b, i, stack) => {
    const other = operand(i, 1);
    const { codes, valid } = relation(b, stack.get(0), stack.get(other));
    return {
      when: all(b, stack.usual(), stack.inUse(0), stack.inUse(other), valid),
      commit: () => {
        // C0 and C3 lie above CF and ZF by 8 bits.
        b.loadArithmeticFlags(b.shr(codes, b.int(4, 8)));
        stack.setCodes();
        if (pops) stack.pop();
      },
    };
  };
}
