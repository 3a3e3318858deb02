/**
 * Exact SSE arithmetic at the speed of wasm's.
 *
 * The result of an x86 floating-point operation depends on MXCSR (rounding, denormals as zeros, flush to zero), and the
 * operation leaves sticky flags there or raises #XM. wasm rounds to nearest and says nothing about flags. But an
 * operation that would not *newly* set a flag, under round-to-nearest, is the wasm operation. That holds if
 *
 * - MXCSR has all exceptions masked, RC = nearest, DAZ = FTZ = 0, and PE set already (`isDefault`): what is inexact
 *   then changes nothing. After the first inexact result of a program that is always so, since the system saves MXCSR
 *   with the process;
 * - no operand is denormal (DE; DAZ would matter too);
 * - the result is finite (no IE, OE, ZE: NaN and infinite operands take the slow path as well), and
 * - it is not tiny where the operation can underflow. A sum in the denormal range is exact, so ADD and SUB cannot
 *   (SDM vol. 1 §4.9.1.5). A product or quotient must be above the smallest normal number; that number itself
 *   may stand for a value that was tiny before it was rounded, and 0 may be an underflow.
 *
 * A scalar operation asks this of a number's upper bits alone: whether it is *ordinary*, of an exponent neither among the
 * two lowest (zeros, denormals, the smallest normal number) nor the highest. The bound that the test compares with is 0
 * unless MXCSR is the default, so that one comparison tells both. An operand that was tested, or is the result of an
 * operation, is not tested again while the builder remembers it (`ScalarFloats`): one that is no ordinary number has then
 * set DE where it was denormal, or else (zero, infinity, NaN) spoils each result. A denormal result of the helper,
 * which has not set DE yet, makes the bound 0.
 *
 * All else calls the exact helper, which computes the result under MXCSR, sets the sticky flags and raises #XM (or
 * #UD, if CR4.OSXMMEXCPT = 0). MINPS, COMISS, CMPPS and exact conversions need less: no NaN, no denormal and DAZ = 0.
 */
import type { Builder, Value, Variable } from './builder.ts';

/** Format of a lane: its wasm names and the bit patterns that the tests need. */
export interface Format {
  readonly float: 'f32' | 'f64';
  readonly vector: 'f32x4' | 'f64x2';
  readonly integer: 'i32x4' | 'i64x2';
  readonly bytes: 4 | 8;
  readonly lanes: 4 | 2;
  readonly infinity: bigint;
  readonly smallestNormal: bigint;
  /** The exponent's lowest bit in the upper 32 bits of a number without its sign. */
  readonly exponentUnit: number;
}

export const single: Format = {
  float: 'f32',
  vector: 'f32x4',
  integer: 'i32x4',
  bytes: 4,
  lanes: 4,
  infinity: 0x7f80_0000n,
  smallestNormal: 0x0080_0000n,
  exponentUnit: 1 << 24,
};

export const double: Format = {
  float: 'f64',
  vector: 'f64x2',
  integer: 'i64x2',
  bytes: 8,
  lanes: 2,
  infinity: 0x7ff0_0000_0000_0000n,
  smallestNormal: 0x0010_0000_0000_0000n,
  exponentUnit: 1 << 21,
};

/** Bits of MXCSR. */
const DAZ = 6;
/** FTZ, RC, the masks, DAZ, PE. */
const MODE_AND_PE = 0xffe0;
const MASKED_NEAREST_PE = 0x1fa0;
/** Number of the operation for the helpers: the low digit of its opcode 0F 5x. */
export const operation = { sqrt: 1, add: 8, mul: 9, sub: 12, min: 13, div: 14, max: 15 } as const;
export type Operation = keyof typeof operation;

/** Round-to-nearest with everything masked, and PE set: inexact results leave no trace. */
export function isDefault(b: Builder): Value {
  const mode = b.and(b.getSystem('mxcsr'), b.int(4, MODE_AND_PE));
  return b.eq(mode, b.int(4, MASKED_NEAREST_PE));
}

/** PE is set and masked: for operations that truncate, whatever RC is. */
export function ignoresInexact(b: Builder): Value {
  const bits = b.and(b.getSystem('mxcsr'), b.int(4, 0x1020));
  return b.eq(bits, b.int(4, 0x1020));
}

/** Denormals are operands like any other. */
export function keepsDenormals(b: Builder): Value {
  return b.negate(b.bit(b.getSystem('mxcsr'), DAZ));
}

// Scalars: `bits` is the integer with the pattern of the number. ------------------------------------------------------

export function asFloat(b: Builder, f: Format, bits: Value): Value {
  return b.reinterpret(f.float, bits);
}

export function asBits(b: Builder, f: Format, x: Value): Value {
  return b.reinterpret(f.bytes === 4 ? 'i32' : 'i64', x);
}

/** Zero is not denormal: with the sign shifted out, 1 … 2 × smallest normal − 1. */
export function isDenormal(b: Builder, f: Format, bits: Value): Value {
  const magnitude = b.shl(bits, b.int(4, 1));
  return b.ltU(b.sub(magnitude, b.int(f.bytes, 1)), b.int(f.bytes, f.smallestNormal * 2n - 1n));
}

/** Finite and larger in magnitude than the smallest normal number. */
export function isSafe(b: Builder, f: Format, bits: Value): Value {
  const first = f.smallestNormal * 2n + 2n;
  const offset = b.sub(b.shl(bits, b.int(4, 1)), b.int(f.bytes, first));
  return b.ltU(offset, b.int(f.bytes, f.infinity * 2n - first));
}

export function isNaN(b: Builder, f: Format, bits: Value): Value {
  return b.ltU(b.int(f.bytes, f.infinity * 2n), b.shl(bits, b.int(4, 1)));
}

/** Neither NaN nor denormal. */
export function isPlain(b: Builder, f: Format, bits: Value): Value {
  return b.negate(b.either(isDenormal(b, f, bits), isNaN(b, f, bits)));
}

/** `fast` if the conditions hold; else what `slow` computes. */
export function choose(b: Builder, conditions: readonly Value[], fast: Value, slow: () => Value): Value {
  const result = b.variable(fast);
  b.unless(conditions, () => b.set(result, slow()));
  return b.get(result);
}

function slowScalar(b: Builder, f: Format, op: number, x: Value, y: Value): Value {
  return b.helper(f.bytes === 8 ? 'sseF64' : 'sseF32', b.int(4, op), x, y);
}

/** Exponent and the first bits of the significand, from the top of 4 bytes on. */
function upperBits(b: Builder, f: Format, bits: Value): Value {
  return f.bytes === 8 ? b.trunc(4, b.shr(bits, b.int(4, 31))) : b.shl(bits, b.int(4, 1));
}

/** What {@link isOrdinary} compares with. */
function ordinaryBound(b: Builder, f: Format): Variable {
  const all = 2 ** 32 - 3 * f.exponentUnit;
  return b.scalarFloats.bound(f.bytes, () => b.select(isDefault(b), b.int(4, all), b.int(4, 0)));
}

/** Finite and larger in magnitude than the smallest normal number by a factor of 2 at least, with MXCSR as it should be. */
function isOrdinary(b: Builder, f: Format, bits: Value, bound: Variable): Value {
  return b.ltU(b.sub(upperBits(b, f, bits), b.int(4, 2 * f.exponentUnit)), b.get(bound));
}

/** Neither infinite nor NaN. */
function isBelowInfinity(b: Builder, f: Format, bits: Value): Value {
  return b.ltU(upperBits(b, f, bits), b.int(4, 2 ** 32 - f.exponentUnit));
}

/** ADDSD, SUBSS and the like, on bit patterns: the result's bit pattern. */
export function scalar(b: Builder, f: Format, op: Operation, x: Value, y: Value): Value {
  if (op === 'min' || op === 'max') return scalarExtreme(b, f, op, x, y);
  const operands = op === 'sqrt' ? [y] : [x, y];
  const { scalarFloats: floats } = b;
  const bound = ordinaryBound(b, f);
  const result = b.variable(b.float(`${f.float}.${op}`, ...operands.map((v) => asFloat(b, f, v))));
  const fast = [isOrdinary(b, f, asBits(b, f, b.get(result)), bound)];
  for (const v of operands) {
    if (floats.knows(v)) continue;
    fast.push(isOrdinary(b, f, v, bound));
    floats.learn(v);
  }
  b.unless(fast, () => {
    const exact = slowScalar(b, f, operation[op], x, y);
    b.set(result, asFloat(b, f, exact));
    b.set(bound, b.select(isDenormal(b, f, exact), b.int(4, 0), b.get(bound)));
  });
  const bits = asBits(b, f, b.get(result));
  floats.learn(bits);
  return bits;
}

/**
 * No operand is NaN, and none is denormal (under DAZ = 0) that is not known to have set DE. Infinite ones that are known
 * do not count either.
 */
function areComparable(b: Builder, f: Format, x: Value, y: Value): readonly Value[] {
  const { scalarFloats: floats } = b;
  const known = [x, y].filter((v) => floats.knows(v));
  const others = [x, y].filter((v) => !floats.knows(v));
  const mode = known.length === 0 ? keepsDenormals(b) : b.negate(b.isZero(b.get(ordinaryBound(b, f))));
  const tests = [...known.map((v) => isBelowInfinity(b, f, v)), ...others.map((v) => isPlain(b, f, v))];
  for (const v of others) floats.learn(v);
  return [mode, ...tests];
}

/** The second operand unless the first is less (greater): so for equal zeros, and for NaNs (SDM vol. 2B, MINSD). */
function scalarExtreme(b: Builder, f: Format, op: 'min' | 'max', x: Value, y: Value): Value {
  const relation = op === 'min' ? 'lt' : 'gt';
  const first = b.float(`${f.float}.${relation}`, asFloat(b, f, x), asFloat(b, f, y));
  const fast = areComparable(b, f, x, y);
  return choose(b, fast, b.select(first, x, y), () => slowScalar(b, f, operation[op], x, y));
}

// Vectors. ------------------------------------------------------------------------------------------------------------

export function splatConstant(b: Builder, f: Format, bits: bigint): Value {
  const half = f.bytes === 8 ? bits : bits * 0x1_0000_0001n;
  return b.vectorConst(half, half);
}

function magnitudes(b: Builder, f: Format, v: Value): Value {
  return b.vector(`${f.vector}.abs`, v);
}

/** Lanes that are denormal, as a mask. */
export function denormalLanes(b: Builder, f: Format, v: Value): Value {
  const small = b.vector(`${f.vector}.lt`, magnitudes(b, f, v), splatConstant(b, f, f.smallestNormal));
  return b.vector('v128.and', small, b.vector(`${f.vector}.ne`, v, splatConstant(b, f, 0n)));
}

export function finiteLanes(b: Builder, f: Format, v: Value): Value {
  return b.vector(`${f.vector}.lt`, magnitudes(b, f, v), splatConstant(b, f, f.infinity));
}

function safeLanes(b: Builder, f: Format, v: Value): Value {
  const large = b.vector(`${f.vector}.gt`, magnitudes(b, f, v), splatConstant(b, f, f.smallestNormal));
  return b.vector('v128.and', large, finiteLanes(b, f, v));
}

/** Lanes that are NaN or denormal. */
export function awkwardLanes(b: Builder, f: Format, v: Value): Value {
  return b.vector('v128.or', b.vector(`${f.vector}.ne`, v, v), denormalLanes(b, f, v));
}

export function none(b: Builder, mask: Value): Value {
  return b.negate(b.vector('v128.any_true', mask));
}

/** `good` in all lanes and `bad` in none, and MXCSR as it should be. */
function allGood(b: Builder, good: Value, bad: Value): readonly Value[] {
  return [isDefault(b), none(b, b.vector('v128.or', b.vector('v128.not', good), bad))];
}

function slowPacked(b: Builder, f: Format, op: number, x: Value, y: Value): Value {
  const result = b.spill(x);
  b.helper(f.bytes === 8 ? 'ssePackedF64' : 'ssePackedF32', b.int(4, op), result, b.spill(y));
  return b.fill(result);
}

/** ADDPD, SQRTPS and the like. */
export function packed(b: Builder, f: Format, op: Operation, x: Value, y: Value): Value {
  if (op === 'min' || op === 'max') {
    const relation = b.vector(`${f.vector}.${op === 'min' ? 'lt' : 'gt'}`, x, y);
    const result = b.vector('v128.bitselect', x, y, relation);
    const awkward = b.vector('v128.or', awkwardLanes(b, f, x), awkwardLanes(b, f, y));
    const fast = [none(b, awkward), keepsDenormals(b)];
    return choose(b, fast, result, () => slowPacked(b, f, operation[op], x, y));
  }
  if (op === 'sqrt') {
    const result = b.vector(`${f.vector}.sqrt`, y);
    const fast = allGood(b, finiteLanes(b, f, result), denormalLanes(b, f, y));
    return choose(b, fast, result, () => slowPacked(b, f, operation.sqrt, y, y));
  }
  const result = b.vector(`${f.vector}.${op}`, x, y);
  const good = op === 'add' || op === 'sub' ? finiteLanes(b, f, result) : safeLanes(b, f, result);
  const denormal = b.vector('v128.or', denormalLanes(b, f, x), denormalLanes(b, f, y));
  return choose(b, allGood(b, good, denormal), result, () => slowPacked(b, f, operation[op], x, y));
}

/** What the helpers call pairings of lanes that are not one operation; the predicate is in the low bits of `compare`. */
export const pairing = { addSub: 0x10, compare: 0x20, comi: 0x30, ucomi: 0x31 } as const;

/** ADDSUBPS, ADDSUBPD: the even lanes are subtracted, the odd ones added. */
export function addSub(b: Builder, f: Format, x: Value, y: Value): Value {
  const sum = b.vector(`${f.vector}.add`, x, y);
  const difference = b.vector(`${f.vector}.sub`, x, y);
  const odd = f.bytes === 8 ? b.vectorConst(0n, ~0n & 0xffff_ffff_ffff_ffffn) : oddDwords(b);
  const result = b.vector('v128.bitselect', sum, difference, odd);
  const denormal = b.vector('v128.or', denormalLanes(b, f, x), denormalLanes(b, f, y));
  const fast = allGood(b, finiteLanes(b, f, result), denormal);
  return choose(b, fast, result, () => slowPacked(b, f, pairing.addSub, x, y));
}

function oddDwords(b: Builder): Value {
  return b.vectorConst(0xffff_ffff_0000_0000n, 0xffff_ffff_0000_0000n);
}

/**
 * CMPPS, CMPPD: masks by predicate 0…7 (EQ LT LE UNORD NEQ NLT NLE ORD), a dynamic immediate. Without NaNs, which the
 * slow path sorts out, 3 is never and 4…7 are the complements of 0…3.
 */
export function packedCompare(b: Builder, f: Format, predicate: Value, x: Value, y: Value): Value {
  const kind = b.and(predicate, b.int(4, 3));
  const equal = b.vector(`${f.vector}.eq`, x, y);
  const less = b.vector(`${f.vector}.lt`, x, y);
  const zero = b.vectorConst(0n, 0n);
  const hasEqual = b.negate(b.bit(kind, 0));
  const hasLess = b.differ(b.bit(kind, 0), b.bit(kind, 1));
  const held = b.vector('v128.or', b.select(hasEqual, equal, zero), b.select(hasLess, less, zero));
  const ones = b.vectorConst(0xffff_ffff_ffff_ffffn, 0xffff_ffff_ffff_ffffn);
  const result = b.vector('v128.xor', held, b.select(b.bit(predicate, 2), ones, zero));
  const awkward = b.vector('v128.or', awkwardLanes(b, f, x), awkwardLanes(b, f, y));
  const fast = [none(b, awkward), keepsDenormals(b)];
  return choose(b, fast, result, () => {
    const slow = b.spill(x);
    const op = b.or(b.and(predicate, b.int(4, 7)), b.int(4, pairing.compare));
    b.helper(f.bytes === 8 ? 'ssePackedF64' : 'ssePackedF32', op, slow, b.spill(y));
    return b.fill(slow);
  });
}

/** CMPSS, CMPSD on bit patterns: a mask of the lane. */
export function scalarCompare(b: Builder, f: Format, predicate: Value, x: Value, y: Value): Value {
  const equal = b.float(`${f.float}.eq`, asFloat(b, f, x), asFloat(b, f, y));
  const less = b.float(`${f.float}.lt`, asFloat(b, f, x), asFloat(b, f, y));
  const withEqual = b.both(equal, b.negate(b.bit(predicate, 0)));
  const withLess = b.both(less, b.differ(b.bit(predicate, 0), b.bit(predicate, 1)));
  const holds = b.differ(b.either(withEqual, withLess), b.bit(predicate, 2));
  return choose(b, areComparable(b, f, x, y), b.neg(b.boolToInt(f.bytes, holds)), () => {
    const op = b.or(b.and(predicate, b.int(4, 7)), b.int(4, pairing.compare));
    return b.helper(f.bytes === 8 ? 'sseF64' : 'sseF32', op, x, y);
  });
}

/** COMISS and UCOMISS: ZF PF CF at their places in EFLAGS: 0 greater, CF less, ZF equal, all three unordered. */
export function comparison(b: Builder, f: Format, quiet: boolean, x: Value, y: Value): Value {
  const equal = b.boolToInt(4, b.float(`${f.float}.eq`, asFloat(b, f, x), asFloat(b, f, y)));
  const less = b.boolToInt(4, b.float(`${f.float}.lt`, asFloat(b, f, x), asFloat(b, f, y)));
  const word = b.or(b.shl(equal, b.int(4, 6)), less);
  return choose(b, areComparable(b, f, x, y), word, () => {
    const slow = slowScalar(b, f, quiet ? pairing.ucomi : pairing.comi, x, y);
    return f.bytes === 8 ? b.trunc(4, slow) : slow;
  });
}
