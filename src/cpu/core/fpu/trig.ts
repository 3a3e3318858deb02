/**
 * FSIN, FCOS, FSINCOS, FPTAN (SDM vol. 2A).
 *
 * The argument is reduced exactly by the 66-bit π of the x87 (SDM vol. 1 §8.3.8) to r in [0, π/4], which then has at most
 * 66 significant bits and no error. sin r = r·S(r²) and cos r = C(r²) are Taylor series in 128-bit fixed point, whose
 * coefficients come from dividing by (2n)(2n+1) on the way (Horner), so that there are no tables.
 */
import {
  BIAS,
  C1,
  C2,
  DE,
  EXP_MASK,
  SIGN_BIT,
  TOP_BIT,
  isDenormal,
  isInfinity,
  isZero,
  normalExponent,
  normalSignificand,
  oneSpecial,
  put,
  putIndefinite,
  seAt,
  sigAt,
  stopsAtDenormal,
} from './f80.ts';
import {
  clz128,
  div128,
  divSmall,
  fixed128,
  high,
  less128,
  low,
  mul128,
  one,
  pack128,
  shl128,
  shr128,
  sub128,
  u128,
} from './u128.ts';

/** π/2 in units of 2^-65: the 66-bit integer that the reduction divides by. */
@inline
function halfPi(): v128 {
  return u128(3, 0x243f6a8885a308d3);
}

/** Below ½ there is nothing to reduce. */
@inline
function needsReduction(exp: i32): bool {
  return exp >= BIAS - 1;
}

/**
 * x mod π/2 for x = sig × 2^(exp - BIAS - 63) ≥ ½, in units of 2^-65 (66 bits). Bits 124 to 127 of the result hold the
 * quotient modulo 4.
 */
function reduce(exp: i32, sig: u64): v128 {
  const ph = high(halfPi());
  const pl = low(halfPi());
  let hi: u64 = 0;
  let lo = sig;
  let quotient: u64 = 0;
  for (let n = exp - BIAS + 2; n > 0; n--) {
    hi = (hi << 1) | (lo >> 63);
    lo <<= 1;
    quotient <<= 1;
    if (hi > ph || (hi == ph && lo >= pl)) {
      hi = hi - ph - <u64>(lo < pl);
      lo -= pl;
      quotient |= 1;
    }
  }
  return u128(hi | (quotient << 60), lo);
}

/** sin(r)/r as Q1 from t = r² (Q0) ≤ (π/4)²; strictly below 1, as it is in truth. */
function sineSeries(t: v128): v128 {
  let acc = one();
  for (let n: u64 = termsFor(t); n > 0; n--) acc = sub128(one(), divSmall(mul128(acc, t), 2 * n * (2 * n + 1)));
  return high(acc) == TOP_BIT ? sub128(acc, u128(0, 1)) : acc;
}

/** cos(r) as Q1 from t = r² (Q0). */
function cosineSeries(t: v128): v128 {
  let acc = one();
  for (let n: u64 = termsFor(t); n > 0; n--) acc = sub128(one(), divSmall(mul128(acc, t), 2 * n * (2 * n - 1)));
  return high(acc) == TOP_BIT ? sub128(acc, u128(0, 1)) : acc;
}

/** n with t^n / (2n)! below 2^-124. */
function termsFor(t: v128): u64 {
  const zeros = clz128(t);
  return zeros >= 40 ? 4 : zeros >= 16 ? 7 : zeros >= 6 ? 11 : 17;
}

/** Writes sin (or, `cosine`, cos) of the reduced r = m / 2^128 × 2^e. */
function putSeries(dst: usize, cosine: bool, sign: u32, m: v128, e: i32, cw: u32): u32 {
  const r = fixed128(m, e);
  const t = mul128(r, r);
  if (cosine) return pack128(dst, sign, 1, cosineSeries(t), false, cw);
  return pack128(dst, sign, e + 1, mul128(m, sineSeries(t)), false, cw);
}

/** Writes tan (or, `cotangent`, 1 / tan) of the reduced r. */
function putTangent(dst: usize, cotangent: bool, sign: u32, m: v128, e: i32, cw: u32): u32 {
  // Up to here tan r and r differ by less than the 128th bit.
  if (e < -62 && !cotangent) return pack128(dst, sign, e, m, false, cw);
  const r = fixed128(m, e);
  const t = mul128(r, r);
  const sine = mul128(m, sineSeries(t));
  const shift = clz128(sine);
  const s = shl128(sine, shift);
  const sineExp = e + 1 - shift;
  // cos r ≥ ½: normalized with exponent 0 once it is doubled, or 1.0 as it stands.
  const cosine = cosineSeries(t);
  const cosineShift = clz128(cosine);
  const c = shl128(cosine, cosineShift);
  const cosineExp = 1 - cosineShift;
  const top = cotangent ? c : s;
  const bottom = cotangent ? s : c;
  const exp = cotangent ? cosineExp - sineExp : sineExp - cosineExp;
  const fits = less128(top, bottom);
  const quotient = div128(fits ? top : shr128(top, 1), bottom);
  return pack128(dst, sign, fits ? exp : exp + 1, quotient, false, cw);
}

/** The four instructions. Results that aren't wanted are skipped with pointer 0. */
function trigonometric(dstSin: usize, dstCos: usize, dstTan: usize, a: usize, cw: u32): u32 {
  const se = seAt(a);
  const sig = sigAt(a);
  const sign = se & SIGN_BIT;
  const exp = normalExponent(se, sig);
  let flags: u32 = isDenormal(se, sig) ? DE : 0;
  if (stopsAtDenormal(flags, cw)) return flags;
  let m: v128;
  let e: i32;
  let quadrant: u32 = 0;
  let flipped: u32 = 0;
  if (needsReduction(exp)) {
    const packed = reduce(exp, sig);
    quadrant = <u32>(high(packed) >> 60);
    let r = u128(high(packed) & 0x0fffffffffffffff, low(packed));
    if (less128(halfPi(), shl128(r, 1))) {
      r = sub128(halfPi(), r);
      flipped = 1;
    }
    const shift = clz128(r);
    m = shl128(r, shift);
    e = 63 - shift;
  } else {
    m = u128(normalSignificand(sig), 0);
    e = exp - BIAS + 1;
  }
  const swapped = ((quadrant ^ flipped) & 1) != 0;
  const signSin = sign ^ ((quadrant & 2) << 14);
  const signCos = ((quadrant + 1) & 2) << 14;
  if (dstSin) flags |= putSeries(dstSin, swapped, signSin, m, e, cw);
  // With two results C1 speaks of the last one.
  if (dstCos) flags = (flags & ~C1) | putSeries(dstCos, !swapped, signCos, m, e, cw);
  if (dstTan) flags |= putTangent(dstTan, swapped, signSin ^ signCos, m, e, cw);
  return flags;
}

/** Common special cases; -1 if there is none. C2: |a| ≥ 2^63, dst = a and the instruction changes nothing. */
function trigSpecial(dst: usize, a: usize): i32 {
  const se = seAt(a);
  const sig = sigAt(a);
  const special = oneSpecial(dst, se, sig);
  if (special >= 0) return special;
  if (isInfinity(se, sig)) return putIndefinite(dst);
  if (<i32>(se & EXP_MASK) >= BIAS + 63) {
    put(dst, se, sig);
    return C2;
  }
  return -1;
}

/** dst = sin a */
export function f80_sin(dst: usize, a: usize, cw: u32): u32 {
  const special = trigSpecial(dst, a);
  if (special >= 0) return special;
  if (isZero(seAt(a), sigAt(a))) {
    put(dst, seAt(a), 0);
    return 0;
  }
  return trigonometric(dst, 0, 0, a, cw);
}

/** dst = cos a */
export function f80_cos(dst: usize, a: usize, cw: u32): u32 {
  const special = trigSpecial(dst, a);
  if (special >= 0) return special;
  if (isZero(seAt(a), sigAt(a))) {
    put(dst, BIAS, TOP_BIT);
    return 0;
  }
  return trigonometric(0, dst, 0, a, cw);
}

/** FSINCOS: ST(0) becomes dstSin, then dstCos is pushed (not with C2). A NaN goes to both. */
export function f80_sincos(dstSin: usize, dstCos: usize, a: usize, cw: u32): u32 {
  const special = trigSpecial(dstSin, a);
  if (special >= 0) {
    put(dstCos, seAt(dstSin), sigAt(dstSin));
    return special;
  }
  if (isZero(seAt(a), sigAt(a))) {
    put(dstSin, seAt(a), 0);
    put(dstCos, BIAS, TOP_BIT);
    return 0;
  }
  return trigonometric(dstSin, dstCos, 0, a, cw);
}

/** FPTAN: ST(0) becomes dstTan, then dstOne (1.0, or the NaN again) is pushed (not with C2). */
export function f80_ptan(dstTan: usize, dstOne: usize, a: usize, cw: u32): u32 {
  const special = trigSpecial(dstTan, a);
  if (special >= 0) {
    put(dstOne, seAt(dstTan), sigAt(dstTan));
    return special;
  }
  put(dstOne, BIAS, TOP_BIT);
  if (isZero(seAt(a), sigAt(a))) {
    put(dstTan, seAt(a), 0);
    return 0;
  }
  return trigonometric(0, 0, dstTan, a, cw);
}
