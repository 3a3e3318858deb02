/**
 * FPATAN (SDM vol. 2A): atan2 of ST(1) and ST(0).
 *
 * u = min/max of the magnitudes is reduced by the nearest k/8: atan u = atan(k/8) + atan((u - k/8) / (1 + u·k/8)), which
 * leaves |w| ≤ 1/16 for the Taylor series in 128-bit fixed point.
 */
import {
  DE,
  SIGN_BIT,
  isDenormal,
  isInfinity,
  isZero,
  normalExponent,
  normalSignificand,
  put,
  seAt,
  sigAt,
  stopsAtDenormal,
  twoSpecial,
} from './f80.ts';
import {
  add128,
  clz128,
  div128,
  divSmall,
  fixed128,
  high,
  less128,
  mul128,
  one,
  pack128,
  seriesTerms,
  shl128,
  shr128,
  sub128,
  u128,
} from './u128.ts';

/** π/4 as Q0. */
@inline
function quarterPi(): v128 {
  return u128(0xc90fdaa22168c234, 0xc4c6628b80dc1cd1);
}

/** atan(k/8) as Q0. */
function atanEighths(k: u32): v128 {
  switch (k) {
    case 1:
      return u128(0x1fd5ba9aac2f6dc6, 0x5912f313e7d111de);
    case 2:
      return u128(0x3eb6ebf25901bac5, 0x5b71e7bd7de885f9);
    case 3:
      return u128(0x5bd86507937bc239, 0xc55190916e7f2241);
    case 4:
      return u128(0x76b19c1586ed3da2, 0xb7f222f65e1d4681);
    case 5:
      return u128(0x8f005d5ef7f59f9b, 0x5c835e1665c43747);
    case 6:
      return u128(0xa4bc7d1934f70924, 0x19a87f2a457dac9e);
    case 7:
      return u128(0xb8053e2bc2319e73, 0xcb2da55210a4443d);
    default:
      return quarterPi();
  }
}

/** atan(w)/w as Q1, from t = w² (Q0); strictly below 1. */
function atanSeries(t: v128): v128 {
  let n = <u64>seriesTerms(t);
  let acc = divSmall(one(), 2 * n + 1);
  while (n > 0) {
    n--;
    acc = sub128(divSmall(one(), 2 * n + 1), mul128(acc, t));
  }
  return high(acc) >> 63 ? sub128(one(), u128(0, 1)) : acc;
}

/** dst = the angle of the point (x = ST(0), y = ST(1)), in (-π, π], with the sign of y. */
export function f80_patan(dst: usize, y: usize, x: usize, cw: u32): u32 {
  const seY = seAt(y);
  const seX = seAt(x);
  const sigY = sigAt(y);
  const sigX = sigAt(x);
  const special = twoSpecial(dst, seY, sigY, seX, sigX);
  if (special >= 0) return special;
  const flags = <bool>(isDenormal(seX, sigX) | isDenormal(seY, sigY)) ? DE : 0;
  if (stopsAtDenormal(flags, cw)) return flags;
  const sign = seY & SIGN_BIT;
  const negativeX = seX >= SIGN_BIT;
  const infiniteX = isInfinity(seX, sigX);
  const infiniteY = isInfinity(seY, sigY);
  if (infiniteX & infiniteY) return putEighths(dst, sign, negativeX ? 6 : 2, cw);
  if (infiniteY || (isZero(seX, sigX) && !isZero(seY, sigY))) return flags | putEighths(dst, sign, 4, cw);
  if (infiniteX || isZero(seY, sigY)) {
    if (negativeX) return flags | putEighths(dst, sign, 8, cw);
    put(dst, sign, 0);
    return flags;
  }
  const expY = normalExponent(seY, sigY);
  const expX = normalExponent(seX, sigX);
  const normY = normalSignificand(sigY);
  const normX = normalSignificand(sigX);
  const steep = expY > expX || (expY == expX && normY > normX);
  if (expX == expY && normX == normY) return flags | putEighths(dst, sign, negativeX ? 6 : 2, cw);
  if (steep) return flags | putAngle(dst, sign, normX, expX, normY, expY, true, negativeX, cw);
  return flags | putAngle(dst, sign, normY, expY, normX, expX, false, negativeX, cw);
}

/** ± n·π/8 for even n. */
function putEighths(dst: usize, sign: u32, n: u64, cw: u32): u32 {
  // n·π/8 / 4 as Q0: π/8·n/4 = π/4 · n/8.
  const part = n == 8 ? quarterPi() : n == 4 ? shr128(quarterPi(), 1) : shr128(quarterPi(), 2);
  return pack128(dst, sign, 2, n == 6 ? add128(part, shr128(quarterPi(), 1)) : part, false, cw);
}

/** The angle with tangent ±(small/large) and its supplement or complement as the octant asks. */
function putAngle(
  dst: usize,
  sign: u32,
  sigSmall: u64,
  expSmall: i32,
  sigLarge: u64,
  expLarge: i32,
  steep: bool,
  negativeX: bool,
  cw: u32,
): u32 {
  const fits = sigSmall < sigLarge;
  const ratio = div128(fits ? u128(sigSmall, 0) : u128(sigSmall >> 1, sigSmall << 63), u128(sigLarge, 0));
  const shift = clz128(ratio);
  const m = shl128(ratio, shift);
  const e = expSmall - expLarge + <i32>!fits - shift;
  const u = fixed128(m, e);
  const k = <u32>(((high(u) >> 60) + 1) >> 1);
  let angle: v128;
  if (k == 0) {
    const product = mul128(m, atanSeries(mul128(u, u)));
    if (!steep && !negativeX) return pack128(dst, sign, e + 1, product, false, cw);
    angle = shr128(product, -e - 1);
  } else {
    const c = k == 8 ? u128(0, 0) : u128((<u64>k) << 61, 0);
    const scaled = k == 8 ? u : mul128(u, c);
    const below = k == 8 || less128(u, c);
    // k = 8: c is 1.0, which Q0 can't hold; u - 1 is the two's complement.
    const difference = below ? sub128(c, u) : sub128(u, c);
    const w = shr128(div128(difference, add128(one(), shr128(scaled, 1))), 1);
    const part = shl128(mul128(w, atanSeries(mul128(w, w))), 1);
    angle = below ? sub128(atanEighths(k), part) : add128(atanEighths(k), part);
  }
  if (!steep && !negativeX) return pack128(dst, sign, 0, angle, false, cw);
  const quarter = shr128(angle, 2);
  const straight = quarterPi();
  const right = shr128(quarterPi(), 1);
  const result = !steep ? sub128(straight, quarter) : negativeX ? add128(right, quarter) : sub128(right, quarter);
  return pack128(dst, sign, 2, result, false, cw);
}
