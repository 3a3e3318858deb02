/**
 * Short ways of x87 instructions, under the usual control word (`RegisterStack.usual`), which masks all exceptions. What
 * they compute themselves is for normal numbers, where no exception but the inexact result can come of it
 * (`extended-arithmetic.ts`); for everything else they call the helpers that the general way calls
 * (`x87-arithmetic.ts`, `x87-move.ts`), on values that stay in their locals.
 */
import type { Builder, Extended, Instruction, Operand, RegisterStack, ShortWay, Value } from './builder.ts';
import { operand } from './common.ts';
import {
  BIAS,
  EXPONENT,
  INTEGER_BIT,
  SIGN,
  exponentOf,
  haveTopBits,
  product,
  quotient,
  roundsUp,
  squareRoot,
  sum,
  twice,
  within,
  type Rounded,
} from './extended-arithmetic.ts';
import { compute, numberFormat, unaryNumber, unpack, type Arithmetic, type Source } from './x87-helpers.ts';

/** Writes a short way's conditions and what it does; the instruction pointer is noted by who asks. */
export type Short = (b: Builder, i: Instruction, stack: RegisterStack) => ShortWay;

/** Has a helper leave its result at an address; gives the flags that it raises, with C1. */
type Compute = (result: Value) => Value;

/** C0, C2 and C3. */
const CODES = 0x4500;
/** Tells `f80Compare` that quiet NaNs are no invalid operands. */
const QUIET = 0x100;

function all(b: Builder, ...conditions: readonly Value[]): Value {
  return conditions.reduce((x, y) => b.both(x, y));
}

/** A value where a helper finds it. */
function inMemory(b: Builder, v: Extended): Value {
  return b.f80(v.significand, v.signExponent);
}

/** C1 of flags, as 0 or 1 of 8 bytes. */
function roundedUpOf(b: Builder, flags: Value): Value {
  return b.zext(8, b.and(b.shr(flags, b.int(4, 9)), b.int(4, 1)));
}

/** `short` where `valid` holds, else what the helper computes; `computed` gets its flags besides. */
function valueOf(
  b: Builder,
  stack: RegisterStack,
  short: Extended,
  valid: readonly Value[],
  helper: Compute,
  computed?: (flags: Value) => void,
): Extended {
  const significand = b.variable(short.significand);
  const signExponent = b.variable(short.signExponent);
  b.unless(valid, () => {
    const result = b.temporary();
    const flags = helper(result);
    b.set(significand, b.significand(result));
    b.set(signExponent, b.zext(4, b.signExponent(result)));
    stack.raise(flags);
    computed?.(flags);
  });
  return { significand: b.get(significand), signExponent: b.get(signExponent) };
}

// Arithmetic. ---------------------------------------------------------------------------------------------------------

/** ST(to) = the result. */
function shortResult(
  b: Builder,
  stack: RegisterStack,
  to: number | Operand,
  short: Rounded,
  helper: Compute,
  filled: Value,
  pops = false,
): ShortWay {
  return {
    when: b.both(stack.usual(), filled),
    commit: () => {
      const rest = b.variable(short.rest);
      const roundedUp = b.variable(short.roundedUp);
      const value = valueOf(b, stack, short.value, short.valid, helper, (flags) => {
        b.set(rest, b.int(8, 0));
        b.set(roundedUp, roundedUpOf(b, flags));
      });
      stack.set(to, value);
      stack.rounded(b.get(rest), b.get(roundedUp));
      if (pops) stack.pop();
    },
  };
}

function difference(b: Builder, x: Extended, y: Extended): Rounded {
  return sum(b, x, { significand: y.significand, signExponent: b.xor(y.signExponent, b.int(4, SIGN)) });
}

const arithmetic: Readonly<Record<Arithmetic, (b: Builder, x: Extended, y: Extended) => Rounded>> = {
  FADD: sum,
  FMUL: product,
  FSUB: difference,
  FSUBR: (b, x, y) => difference(b, y, x),
  FDIV: quotient,
  FDIVR: (b, x, y) => quotient(b, y, x),
};

/** ST(0) = ST(0) op memory. */
export function shortWithMemory(op: Arithmetic, source: Source): Short {
  return (b, i, stack) => {
    const bits = b.read(operand(i, 0));
    const x = stack.get(0);
    const y = widened(b, source, bits);
    const short = arithmetic[op](b, x, y.value);
    const helper = (result: Value): Value => {
      const { value, flags } = unpack(b, source, bits);
      return compute(b, op, result, inMemory(b, x), value, flags);
    };
    return shortResult(b, stack, 0, { ...short, valid: [...y.valid, ...short.valid] }, helper, stack.inUse(0));
  };
}

/** ST(0) = ST(0) op ST(i), or ST(i) = ST(i) op ST(0) with perhaps a pop. */
export function shortWithRegister(op: Arithmetic, target: 'top' | 'register', pops = false): Short {
  return (b, i, stack) => {
    const other = operand(i, target === 'top' ? 1 : 0);
    const [to, by]: readonly [number | Operand, number | Operand] = target === 'top' ? [0, other] : [other, 0];
    const filled = b.both(stack.inUse(0), stack.inUse(other));
    const [x, y] = [stack.get(to), stack.get(by)];
    const short = op === 'FADD' && stack.isTop(other) ? twice(b, x) : arithmetic[op](b, x, y);
    const helper = (result: Value): Value => compute(b, op, result, inMemory(b, x), inMemory(b, y), b.int(4, 0));
    return shortResult(b, stack, to, short, helper, filled, pops);
  };
}

export const shortSquareRoot: Short = (b, _i, stack) => {
  const x = stack.get(0);
  const helper = (result: Value): Value => b.helper('f80Unary', b.int(4, unaryNumber.FSQRT), result, inMemory(b, x));
  return shortResult(b, stack, 0, squareRoot(b, x), helper, stack.inUse(0));
};

// Loads and stores. ---------------------------------------------------------------------------------------------------

type FloatSource = 'f32' | 'f64';

/** A number of memory that arithmetic takes, where all conditions hold. */
interface Widened {
  readonly value: Extended;
  readonly valid: readonly Value[];
}

function widened(b: Builder, source: Source, bits: Value): Widened {
  if (source === 'i16' || source === 'i32') return { value: ofInteger(b, b.sext(8, bits)), valid: [] };
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
    valid: [within(b, exponent, 1, wide ? 0x7fe : 0xfe)],
  };
}

/** Of any integer of 8 bytes; 0 is 0. */
function ofInteger(b: Builder, n: Value): Extended {
  const mask = b.sar(n, b.int(4, 63));
  const magnitude = b.sub(b.xor(n, mask), mask);
  const zeros = b.clz(magnitude);
  const sign = b.and(b.trunc(4, mask), b.int(4, SIGN));
  const signExponent = b.or(sign, b.sub(b.int(4, BIAS + 63), b.trunc(4, zeros)));
  return {
    significand: b.shl(magnitude, b.and(zeros, b.int(8, 63))),
    signExponent: b.select(b.isZero(n), b.int(4, 0), signExponent),
  };
}

function shortPush(b: Builder, stack: RegisterStack, value: () => Extended, when?: Value): ShortWay {
  const empty = b.both(stack.usual(), stack.isEmpty(7));
  return {
    when: when ? b.both(empty, when) : empty,
    commit: () => {
      stack.push(value());
      stack.setCodes();
    },
  };
}

export function shortLoad(source: FloatSource): Short {
  return (b, i, stack) => {
    const bits = b.read(operand(i, 0));
    const { value, valid } = widened(b, source, bits);
    const helper = (result: Value): Value => b.helper(source === 'f64' ? 'f80Load64' : 'f80Load32', result, bits);
    return shortPush(b, stack, () => valueOf(b, stack, value, valid, helper));
  };
}

export const shortLoadInteger: Short = (b, i, stack) => {
  const bits = b.read(operand(i, 0));
  return shortPush(b, stack, () => ofInteger(b, bits.type === 'i64' ? bits : b.sext(8, bits)));
};

export const shortLoadRegister: Short = (b, i, stack) => {
  const source = operand(i, 0);
  const value = stack.get(source);
  return shortPush(b, stack, () => value, stack.inUse(source));
};

/** FLD1 and FLDZ. */
export function shortConstant(significand: bigint, exponent: number): Short {
  return (b, _i, stack) =>
    shortPush(b, stack, () => ({ significand: b.int(8, significand), signExponent: b.int(4, exponent) }));
}
export const shortOne = shortConstant(INTEGER_BIT, BIAS);
export const shortZero = shortConstant(0n, 0);

/** A number's bits in the format of memory, where `valid` holds: what is normal there, too, however it is rounded. */
function narrowed(b: Builder, to: FloatSource, v: Extended): Omit<Rounded, 'value'> & { readonly bits: Value } {
  const wide = to === 'f64';
  const cut = wide ? 11 : 40;
  const { significand, signExponent } = v;
  const exponent = b.sub(exponentOf(b, v), b.int(4, wide ? BIAS - 1023 : BIAS - 127));
  const kept = b.shr(significand, b.int(4, cut));
  const rest = b.shl(significand, b.int(4, 64 - cut));
  const roundedUp = roundsUp(b, kept, rest);
  const below = b.shl(b.zext(8, b.sub(exponent, b.int(4, 1))), b.int(4, 63 - cut));
  const sign = b.shl(b.zext(8, b.and(signExponent, b.int(4, SIGN))), b.int(4, wide ? 48 : 16));
  return {
    bits: b.or(sign, b.add(b.add(below, kept), roundedUp)),
    rest,
    roundedUp,
    valid: [haveTopBits(b, significand), within(b, exponent, 1, wide ? 0x7fd : 0xfd)],
  };
}

/** FST and FSTP m32, m64. */
export function shortStore(to: FloatSource, pops: boolean): Short {
  return (b, i, stack) => {
    const v = stack.get(0);
    const short = narrowed(b, to, v);
    return {
      when: b.both(stack.usual(), stack.inUse(0)),
      commit: () => {
        const bits = b.variable(short.bits);
        const rest = b.variable(short.rest);
        const roundedUp = b.variable(short.roundedUp);
        const raised = b.variable(b.int(4, 0));
        b.unless(short.valid, () => {
          const out = b.temporary();
          const flags = b.helper('f80Store', b.int(4, numberFormat[to]), out, inMemory(b, v));
          b.set(bits, b.significand(out));
          b.set(rest, b.int(8, 0));
          b.set(roundedUp, roundedUpOf(b, flags));
          b.set(raised, flags);
        });
        b.write(operand(i, 0), to === 'f64' ? b.get(bits) : b.trunc(4, b.get(bits)));
        stack.raise(b.get(raised));
        stack.rounded(b.get(rest), b.get(roundedUp));
        if (pops) stack.pop();
      },
    };
  };
}

/** FIST, FISTP and FISTTP. */
export function shortStoreInteger(to: 'i16' | 'i32' | 'i64', pops: boolean, truncate: boolean): Short {
  return (b, i, stack) => {
    const v = stack.get(0);
    return {
      when: b.both(stack.usual(), stack.inUse(0)),
      commit: () => {
        const target = operand(i, 0);
        const out = b.temporary();
        const flags = b.helper('f80Store', b.int(4, numberFormat[to] + (truncate ? 1 : 0)), out, inMemory(b, v));
        const bits = b.significand(out);
        b.write(target, to === 'i64' ? bits : b.trunc(to === 'i32' ? 4 : 2, bits));
        stack.raise(flags);
        stack.rounded(b.int(8, 0), roundedUpOf(b, flags));
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

/** Condition codes, where all conditions hold. */
interface Relation {
  readonly codes: Value;
  readonly valid: readonly Value[];
}

/** C0 and C3 of x compared with y. */
function relation(b: Builder, x: Extended, y: Extended): Relation {
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
  return { codes, valid: [isComparable(b, x), isComparable(b, y)] };
}

/** Condition codes: of the short way, or by the helper, with what that raises. */
function codesOf(b: Builder, stack: RegisterStack, short: Relation, helper: () => Value): Value {
  const codes = b.variable(short.codes);
  b.unless(short.valid, () => {
    const result = helper();
    b.set(codes, b.and(result, b.int(4, CODES)));
    stack.raise(result);
  });
  return b.get(codes);
}

/** FCOM, and FUCOM (`quiet`). */
export function shortCompare(source: FloatSource | 'register', pops: number, quiet = false): Short {
  return (b, i, stack) => {
    const x = stack.get(0);
    const bits = source === 'register' ? undefined : b.read(operand(i, 0));
    const y = bits && source !== 'register' ? widened(b, source, bits) : { value: stack.get(operand(i, 0)), valid: [] };
    const { codes, valid } = relation(b, x, y.value);
    const helper = (): Value => {
      const { value, flags } =
        bits && source !== 'register'
          ? unpack(b, source, bits)
          : { value: inMemory(b, y.value), flags: b.int(4, quiet ? QUIET : 0) };
      return b.helper('f80Compare', inMemory(b, x), value, flags);
    };
    const filled = bits ? stack.inUse(0) : b.both(stack.inUse(0), stack.inUse(operand(i, 0)));
    return {
      when: b.both(stack.usual(), filled),
      commit: () => {
        stack.setCodes(codesOf(b, stack, { codes, valid: [...y.valid, ...valid] }, helper));
        for (let n = 0; n < pops; n++) stack.pop();
      },
    };
  };
}

/** FCOMI, and FUCOMI (`quiet`). */
export function shortCompareToFlags(quiet: boolean, pops: boolean): Short {
  return (b, i, stack) => {
    const other = operand(i, 1);
    const [x, y] = [stack.get(0), stack.get(other)];
    const helper = (): Value => b.helper('f80Compare', inMemory(b, x), inMemory(b, y), b.int(4, quiet ? QUIET : 0));
    return {
      when: all(b, stack.usual(), stack.inUse(0), stack.inUse(other)),
      commit: () => {
        // C0, C2 and C3 lie above CF, PF and ZF by 8 bits.
        b.loadArithmeticFlags(b.shr(codesOf(b, stack, relation(b, x, y), helper), b.int(4, 8)));
        stack.setCodes();
        if (pops) stack.pop();
      },
    };
  };
}
