/**
 * Conversions between integers and floating point, and between the two formats (SDM vol. 1 §11.4.1.6); fast paths by
 * the rule of `sse-exact.ts`. What does not fit an integer gives the indefinite (the smallest) and IE.
 */
import type { Builder, Semantics, Size, Value } from './builder.ts';
import { operand, resize } from './common.ts';
import type { Row } from './row.ts';
import {
  asBits,
  asFloat,
  awkwardLanes,
  choose,
  denormalLanes,
  double,
  finiteLanes,
  ignoresInexact,
  isDefault,
  isDenormal,
  isPlain,
  isSafe,
  none,
  single,
  splatConstant,
} from './sse-exact.ts';
import type { Format } from './sse-exact.ts';
import { enterMmx, high, join, low, lowVector, mmx, sse, writeMmx } from './vector.ts';

/** Operations of the helper `sseConvert`. The truncating one is the next number. */
export const conversion = {
  f32ToF64: 0,
  f64ToF32: 1,
  i64ToF32: 2,
  i64ToF64: 3,
  f32ToI32: 4,
  f32ToI64: 6,
  f64ToI32: 8,
  f64ToI64: 10,
} as const;

/** Operations of the helper `ssePackedConvert`, which works in place; the truncating one is the next number. */
export const packedConversion = { ps2pd: 0, pd2ps: 1, dq2ps: 2, ps2dq: 4, pd2dq: 6 } as const;

function slowScalar(b: Builder, op: number, bits: Value): Value {
  return b.helper('sseConvert', b.int(4, op), resize(b, 8, bits));
}

function slowPacked(b: Builder, op: number, v: Value): Value {
  const result = b.spill(v);
  b.helper('ssePackedConvert', b.int(4, op), result);
  return b.fill(result);
}

// To floating point. --------------------------------------------------------------------------------------------------

/** CVTSI2SS, CVTSI2SD: exact if the magnitude fits the significand, and always from 32 bits to binary64. */
function fromInteger(f: Format): Semantics {
  return (b, i) => {
    const n = b.read(operand(i, 1));
    const size: Size = n.type === 'i64' ? 8 : 4;
    const result = asBits(b, f, b.float(`${f.float}.convert_i${size * 8}_s`, n));
    // Zero or normal.
    b.scalarFloats.learn(result);
    if (f.bytes === 8 && size === 4) {
      b.write(operand(i, 0), result);
      return;
    }
    const limit = f.bytes === 8 ? 1n << 53n : 1n << 24n;
    const isExact = b.ltU(b.add(n, b.int(size, limit)), b.int(size, 2n * limit));
    const op = f.bytes === 8 ? conversion.i64ToF64 : conversion.i64ToF32;
    const slow = (): Value => resize(b, f.bytes, slowScalar(b, op, size === 8 ? n : b.sext(8, n)));
    b.write(operand(i, 0), choose(b, [b.either(isExact, isDefault(b))], result, slow));
  };
}

const CVTSS2SD: Semantics = (b, i) => {
  const x = b.read(operand(i, 1));
  const result = asBits(b, double, b.float('f64.promote_f32', asFloat(b, single, x)));
  b.write(
    operand(i, 0),
    choose(b, [isPlain(b, single, x)], result, () => slowScalar(b, conversion.f32ToF64, x)),
  );
};

const CVTSD2SS: Semantics = (b, i) => {
  const x = b.read(operand(i, 1));
  const result = asBits(b, single, b.float('f32.demote_f64', asFloat(b, double, x)));
  const isZero = b.isZero(b.shl(x, b.int(4, 1)));
  const good = b.either(b.both(isSafe(b, single, result), b.negate(isDenormal(b, double, x))), isZero);
  const slow = (): Value => b.trunc(4, slowScalar(b, conversion.f64ToF32, x));
  b.write(operand(i, 0), choose(b, [isDefault(b), good], result, slow));
};

// To integers. --------------------------------------------------------------------------------------------------------

function power(f: Format, exponent: bigint): bigint {
  return f.bytes === 8 ? (exponent + 1023n) << 52n : (exponent + 127n) << 23n;
}

/** CVTSS2SI … CVTTSD2SI: fast if in range, and exact or with an inexactness that changes nothing. */
function toInteger(f: Format, truncate: boolean): Semantics {
  return (b, i) => {
    const target = operand(i, 0);
    const size: Size = target.size === 8 ? 8 : 4;
    const bits = b.read(operand(i, 1));
    const x = asFloat(b, f, bits);
    const rounded = b.float(`${f.float}.${truncate ? 'trunc' : 'nearest'}`, x);
    const limit = b.floatConst(f.float, power(f, size === 8 ? 63n : 31n));
    const inRange = b.float(`${f.float}.lt`, b.float(`${f.float}.abs`, rounded), limit);
    const isExact = b.float(`${f.float}.eq`, rounded, x);
    const quiet = truncate ? ignoresInexact(b) : isDefault(b);
    const result = b.float(`i${size * 8}.trunc_sat_${f.float}_s`, rounded);
    const base = f.bytes === 8 ? conversion.f64ToI32 : conversion.f32ToI32;
    const op = base + (size === 8 ? 2 : 0) + (truncate ? 1 : 0);
    const fast = [inRange, b.either(isExact, quiet)];
    b.write(
      target,
      choose(b, fast, result, () => resize(b, size, slowScalar(b, op, bits))),
    );
  };
}

// Vectors. ------------------------------------------------------------------------------------------------------------

/** CVTDQ2PS on a vector. */
function dwordsToSingles(b: Builder, v: Value): Value {
  const result = b.vector('f32x4.convert_i32x4_s', v);
  const back = b.vector('i32x4.trunc_sat_f32x4_s', result);
  // 2^31 − 1 saturates back to itself from 2^31: results of that size don't count as exact.
  const small = b.vector('f32x4.lt', b.vector('f32x4.abs', result), splatConstant(b, single, power(single, 31n)));
  const same = b.vector('v128.and', b.vector('i32x4.eq', back, v), small);
  const isExact = b.vector('i32x4.all_true', same);
  return choose(b, [b.either(isExact, isDefault(b))], result, () => slowPacked(b, packedConversion.dq2ps, v));
}

/** CVTPS2DQ, CVTTPS2DQ on a vector. */
function singlesToDwords(b: Builder, v: Value, truncate: boolean): Value {
  const rounded = b.vector(truncate ? 'f32x4.trunc' : 'f32x4.nearest', v);
  const limit = splatConstant(b, single, power(single, 31n));
  const inRange = b.vector('i32x4.all_true', b.vector('f32x4.lt', b.vector('f32x4.abs', rounded), limit));
  const isExact = b.vector('i32x4.all_true', b.vector('f32x4.eq', rounded, v));
  const quiet = truncate ? ignoresInexact(b) : isDefault(b);
  const result = b.vector('i32x4.trunc_sat_f32x4_s', rounded);
  const op = packedConversion.ps2dq + (truncate ? 1 : 0);
  return choose(b, [inRange, b.either(isExact, quiet)], result, () => slowPacked(b, op, v));
}

/** CVTPD2DQ, CVTTPD2DQ on a vector: two integers in the low half, zeros above. */
function doublesToDwords(b: Builder, v: Value, truncate: boolean): Value {
  const rounded = b.vector(truncate ? 'f64x2.trunc' : 'f64x2.nearest', v);
  const limit = splatConstant(b, double, power(double, 31n));
  const inRange = b.vector('i64x2.all_true', b.vector('f64x2.lt', b.vector('f64x2.abs', rounded), limit));
  const isExact = b.vector('i64x2.all_true', b.vector('f64x2.eq', rounded, v));
  const quiet = truncate ? ignoresInexact(b) : isDefault(b);
  const result = b.vector('i32x4.trunc_sat_f64x2_s_zero', rounded);
  const op = packedConversion.pd2dq + (truncate ? 1 : 0);
  return choose(b, [inRange, b.either(isExact, quiet)], result, () => slowPacked(b, op, v));
}

/** CVTPS2PD: both numbers from the low half. */
const CVTPS2PD: Semantics = (b, i) => {
  // A zero in the upper lanes raises nothing.
  const v = lowVector(b, b.read(operand(i, 1)));
  const fast = [none(b, awkwardLanes(b, single, v))];
  const result = b.vector('f64x2.promote_low_f32x4', v);
  b.write(
    operand(i, 0),
    choose(b, fast, result, () => slowPacked(b, packedConversion.ps2pd, v)),
  );
};

const CVTPD2PS: Semantics = (b, i) => {
  const v = b.read(operand(i, 1));
  const result = b.vector('f32x4.demote_f64x2_zero', v);
  const large = b.vector('f32x4.gt', b.vector('f32x4.abs', result), splatConstant(b, single, single.smallestNormal));
  const good = b.vector('v128.and', large, finiteLanes(b, single, result));
  // The upper lanes, always 0, are not in question.
  const sound = b.vector('v128.or', good, b.vectorConst(0n, 0xffff_ffff_ffff_ffffn));
  const fine = b.both(b.vector('i32x4.all_true', sound), none(b, denormalLanes(b, double, v)));
  const fast = [isDefault(b), fine];
  b.write(
    operand(i, 0),
    choose(b, fast, result, () => slowPacked(b, packedConversion.pd2ps, v)),
  );
};

const CVTDQ2PS: Semantics = (b, i) => b.write(operand(i, 0), dwordsToSingles(b, b.read(operand(i, 1))));
const CVTDQ2PD: Semantics = (b, i) =>
  b.write(operand(i, 0), b.vector('f64x2.convert_low_i32x4_s', lowVector(b, b.read(operand(i, 1)))));

function toDwords(f: Format, truncate: boolean): Semantics {
  const convert = f.bytes === 8 ? doublesToDwords : singlesToDwords;
  return (b, i) => b.write(operand(i, 0), convert(b, b.read(operand(i, 1)), truncate));
}

// With MMX registers. -------------------------------------------------------------------------------------------------

/** CVTPS2PI, CVTPD2PI and the truncating ones: the source is 8 or 16 bytes. */
function toMmx(f: Format, truncate: boolean): Semantics {
  const convert = f.bytes === 8 ? doublesToDwords : singlesToDwords;
  return (b, i) => {
    const source = b.read(operand(i, 1));
    const v = source.type === 'v128' ? source : lowVector(b, source);
    writeMmx(b, operand(i, 0), low(b, convert(b, v, truncate)));
  };
}

/** CVTPI2PS replaces the low half. */
const CVTPI2PS: Semantics = (b, i) => {
  const converted = dwordsToSingles(b, lowVector(b, b.read(operand(i, 1))));
  const upper = high(b, b.read(operand(i, 0)));
  // The transition to MMX is part of CVTPI2PS also when the source is memory (SDM vol. 2A).
  b.write(operand(i, 0), join(b, low(b, converted), upper));
  enterMmx(b);
};

/** CVTPI2PD: with a memory operand this one is no MMX instruction (SDM vol. 2A). */
const CVTPI2PD: Semantics = (b, i) => {
  const source = operand(i, 1);
  b.write(operand(i, 0), b.vector('f64x2.convert_low_i32x4_s', lowVector(b, b.read(source))));
  if (source.kind === 'mmx') {
    enterMmx(b);
  }
};

/** MOVQ2DQ and MOVDQ2Q. */
const MOVQ2DQ: Semantics = (b, i) => {
  const x = b.read(operand(i, 1));
  enterMmx(b);
  b.write(operand(i, 0), lowVector(b, x));
};
const MOVDQ2Q: Semantics = (b, i) => writeMmx(b, operand(i, 0), b.read(operand(i, 1)));

const hot = { hot: true };

export const sseConvertRows: readonly Row[] = [
  sse('F3 0F 2A /r', 'CVTSI2SS', 'Vd,Ey', fromInteger(single)),
  sse('F2 0F 2A /r', 'CVTSI2SD', 'Vq,Ey', fromInteger(double), hot),
  sse('F3 0F 2C /r', 'CVTTSS2SI', 'Gy,Wd', toInteger(single, true)),
  sse('F2 0F 2C /r', 'CVTTSD2SI', 'Gy,Wq', toInteger(double, true), hot),
  sse('F3 0F 2D /r', 'CVTSS2SI', 'Gy,Wd', toInteger(single, false)),
  sse('F2 0F 2D /r', 'CVTSD2SI', 'Gy,Wq', toInteger(double, false)),
  sse('F3 0F 5A /r', 'CVTSS2SD', 'Vq,Wd', CVTSS2SD),
  sse('F2 0F 5A /r', 'CVTSD2SS', 'Vd,Wq', CVTSD2SS),
  sse('NP 0F 5A /r', 'CVTPS2PD', 'V,Wq', CVTPS2PD),
  sse('66 0F 5A /r', 'CVTPD2PS', 'V,W', CVTPD2PS),
  sse('NP 0F 5B /r', 'CVTDQ2PS', 'V,W', CVTDQ2PS),
  sse('66 0F 5B /r', 'CVTPS2DQ', 'V,W', toDwords(single, false)),
  sse('F3 0F 5B /r', 'CVTTPS2DQ', 'V,W', toDwords(single, true)),
  sse('F3 0F E6 /r', 'CVTDQ2PD', 'V,Wq', CVTDQ2PD),
  sse('F2 0F E6 /r', 'CVTPD2DQ', 'V,W', toDwords(double, false)),
  sse('66 0F E6 /r', 'CVTTPD2DQ', 'V,W', toDwords(double, true)),

  mmx('NP 0F 2A /r', 'CVTPI2PS', 'V,Q', CVTPI2PS),
  mmx('66 0F 2A /r reg', 'CVTPI2PD', 'V,N', CVTPI2PD),
  sse('66 0F 2A /r mem', 'CVTPI2PD', 'V,Mq', CVTPI2PD),
  mmx('NP 0F 2C /r', 'CVTTPS2PI', 'P,Wq', toMmx(single, true)),
  mmx('66 0F 2C /r', 'CVTTPD2PI', 'P,W', toMmx(double, true), { aligned: true }),
  mmx('NP 0F 2D /r', 'CVTPS2PI', 'P,Wq', toMmx(single, false)),
  mmx('66 0F 2D /r', 'CVTPD2PI', 'P,W', toMmx(double, false), { aligned: true }),
  mmx('F3 0F D6 /r reg', 'MOVQ2DQ', 'V,N', MOVQ2DQ),
  mmx('F2 0F D6 /r reg', 'MOVDQ2Q', 'P,Uq', MOVDQ2Q),
];
