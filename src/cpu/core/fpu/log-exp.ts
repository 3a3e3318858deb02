/**
 * F2XM1, FYL2X, FYL2XP1 (SDM vol. 2A) in 128-bit fixed point.
 *
 * 2^x - 1 = y·E(y) with y = x·ln 2 and E(y) = (e^y - 1)/y by Horner's rule. log2 x = k + 2·atanh(z)·log2 e with
 * z = (m - 1)/(m + 1), x = m·2^k and m in [√½, √2); for log2(1 + x) with small x, z = x/(2 + x). All keep the relative
 * precision where the result goes to zero.
 */
import {
  BIAS,
  DE,
  EXP_MASK,
  PE,
  SIGN_BIT,
  TOP_BIT,
  UE,
  ZE,
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
  twoSpecial,
} from './f80.ts';
import {
  add128,
  clz128,
  div128,
  divSmall,
  fixed128,
  high,
  isZero128,
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

/** F2XM1: dst = 2^a - 1 for |a| ≤ 1; outside the manual leaves the result undefined: dst = a. */
export function f80_2xm1(dst: usize, a: usize, cw: u32): u32 {
  const se = seAt(a);
  const sig = sigAt(a);
  const special = oneSpecial(dst, se, sig);
  if (special >= 0) return special;
  const negative = se >= SIGN_BIT;
  if (isInfinity(se, sig) && negative) {
    put(dst, SIGN_BIT | (<u32>BIAS), TOP_BIT);
    return 0;
  }
  if (<i32>(se & EXP_MASK) >= BIAS) {
    if (negative && sig == TOP_BIT && (se & EXP_MASK) == BIAS) put(dst, SIGN_BIT | (<u32>(BIAS - 1)), TOP_BIT);
    else put(dst, se, sig);
    return isInfinity(se, sig) ? 0 : PE;
  }
  if (isZero(se, sig)) {
    put(dst, se, 0);
    return 0;
  }
  const flags = isDenormal(se, sig) ? DE : 0;
  if (stopsAtDenormal(flags, cw)) return flags;
  const product = mul128(u128(normalSignificand(sig), 0), u128(0xb17217f7d1cf79ab, 0xc9e3b39803f2f6af));
  const shift = clz128(product);
  const m = shl128(product, shift);
  const e = normalExponent(se, sig) - BIAS + 1 - shift;
  const y = fixed128(m, e);
  let acc = one();
  for (let n: u64 = expTerms(y); n > 1; n--) {
    const term = divSmall(mul128(acc, y), n);
    acc = negative ? sub128(one(), term) : add128(one(), term);
  }
  return flags | pack128(dst, se & SIGN_BIT, e + 1, mul128(m, acc), false, cw);
}

/** n with y^(n-1) / n! below 2^-128. */
function expTerms(y: v128): u64 {
  const zeros = clz128(y);
  return zeros >= 64 ? 3 : zeros >= 32 ? 5 : zeros >= 10 ? 12 : zeros >= 4 ? 20 : 33;
}

/** atanh(z)/z as Q1, from t = z² (Q0). */
function atanhSeries(t: v128): v128 {
  let n = <u64>seriesTerms(t);
  let acc = divSmall(one(), 2 * n + 1);
  while (n > 0) {
    n--;
    acc = add128(divSmall(one(), 2 * n + 1), mul128(acc, t));
  }
  return acc;
}

/** Writes y × (k ± 2·atanh(z)·log2 e), z = top / 2^128 × 2^topExp ÷ (bottom / 2^128), both normalized, or zero. */
function putLog(
  dst: usize,
  seY: u32,
  sigY: u64,
  k: i32,
  negativeZ: bool,
  top: v128,
  topExp: i32,
  bottom: v128,
  cw: u32,
): u32 {
  const signY = seY & SIGN_BIT;
  const expY = normalExponent(seY, sigY) - BIAS + 1;
  const factor = u128(normalSignificand(sigY), 0);
  const size = k < 0 ? -k : k;
  const whole = shl128(u128(0, <u64>size), 111);
  const signK = k < 0 ? SIGN_BIT : 0;
  if (isZero128(top)) {
    if (k == 0) {
      put(dst, signY, 0);
      return 0;
    }
    const shift = clz128(whole);
    const product = mul128(shl128(whole, shift), factor);
    const raised = pack128(dst, signY ^ signK, expY + 17 - shift, product, true, cw);
    // Exact or not, the CPUs report the precision exception, and so underflow for any tiny result.
    return raised | (seAt(dst) & EXP_MASK ? PE : PE | UE);
  }
  const fits = less128(top, bottom);
  const quotient = div128(fits ? top : shr128(top, 1), bottom);
  let shift = clz128(quotient);
  let m = shl128(quotient, shift);
  let e = topExp + <i32>!fits - shift;
  const z = fixed128(m, e);
  m = mul128(m, atanhSeries(mul128(z, z)));
  shift = clz128(m);
  m = shl128(m, shift);
  e = e + 1 - shift;
  // Twice, and log2 e as Q1: two more powers of two.
  m = mul128(m, u128(0xb8aa3b295c17f0bb, 0xbe87fed0691d3e88));
  e += 2;
  shift = clz128(m);
  m = shl128(m, shift);
  e -= shift;
  let sign = negativeZ ? SIGN_BIT : 0;
  if (k) {
    // |log2 m| ≤ ½: k decides the sign. `whole` is k / 2^17 as Q0.
    const part = shr128(m, 17 - e);
    m = sign == signK ? add128(whole, part) : sub128(whole, part);
    sign = signK;
    shift = clz128(m);
    m = shl128(m, shift);
    e = 17 - shift;
  }
  return pack128(dst, signY ^ sign, expY + e, mul128(m, factor), false, cw);
}

/** y × log2(m / 2^127 × 2^k) for m with the top bit set. */
function putLog2(dst: usize, seY: u32, sigY: u64, m: v128, k: i32, cw: u32): u32 {
  // √2 × 2^63; where exactly the ranges meet doesn't matter.
  const upper = high(m) > 0xb504f333f9de6484;
  // Halved, so that m + 1 fits: m in units of 2^-127 for [1, √2), of 2^-128 for [√½, 1).
  const unit = upper ? u128(0, 0) : one();
  const distance = upper ? sub128(unit, m) : sub128(m, unit);
  const bottom = add128(shr128(m, 1), upper ? one() : u128(QUARTER, 0));
  if (isZero128(distance)) return putLog(dst, seY, sigY, k, false, distance, 0, bottom, cw);
  const shift = clz128(distance);
  return putLog(dst, seY, sigY, k + <i32>upper, upper, shl128(distance, shift), -1 - shift, bottom, cw);
}

const QUARTER: u64 = 0x4000000000000000;

/** FYL2X: dst = y × log2(x), y in ST(1) and x in ST(0). */
export function f80_yl2x(dst: usize, y: usize, x: usize, cw: u32): u32 {
  const seY = seAt(y);
  const seX = seAt(x);
  const sigY = sigAt(y);
  const sigX = sigAt(x);
  const special = twoSpecial(dst, seY, sigY, seX, sigX);
  if (special >= 0) return special;
  const signY = seY & SIGN_BIT;
  const zeroX = isZero(seX, sigX);
  const zeroY = isZero(seY, sigY);
  const infiniteY = isInfinity(seY, sigY);
  if (seX >= SIGN_BIT && !zeroX) return putIndefinite(dst);
  const flags = <bool>(isDenormal(seX, sigX) | isDenormal(seY, sigY)) ? DE : 0;
  if (zeroX) {
    if (zeroY) return putIndefinite(dst);
    put(dst, (signY ^ SIGN_BIT) | EXP_MASK, TOP_BIT);
    return infiniteY ? 0 : ZE;
  }
  const isOne = seX == BIAS && sigX == TOP_BIT;
  const below1 = <i32>seX < BIAS;
  const infiniteX = isInfinity(seX, sigX);
  if ((infiniteY && isOne) || (infiniteX && zeroY)) return putIndefinite(dst);
  if (stopsAtDenormal(flags, cw)) return flags;
  const sign = signY ^ (below1 ? SIGN_BIT : 0);
  if (infiniteX | infiniteY) {
    put(dst, sign | EXP_MASK, TOP_BIT);
    return flags;
  }
  if (zeroY) {
    put(dst, sign, 0);
    return flags;
  }
  return flags | putLog2(dst, seY, sigY, u128(normalSignificand(sigX), 0), normalExponent(seX, sigX) - BIAS, cw);
}

/** FYL2XP1: dst = y × log2(x + 1), y in ST(1) and x in ST(0); the manual defines it for |x| ≤ 1 - √½. */
export function f80_yl2xp1(dst: usize, y: usize, x: usize, cw: u32): u32 {
  const seY = seAt(y);
  const seX = seAt(x);
  const sigY = sigAt(y);
  const sigX = sigAt(x);
  const special = twoSpecial(dst, seY, sigY, seX, sigX);
  if (special >= 0) return special;
  const flags = <bool>(isDenormal(seX, sigX) | isDenormal(seY, sigY)) ? DE : 0;
  const sign = (seX ^ seY) & SIGN_BIT;
  const zeroX = isZero(seX, sigX);
  const negativeX = seX >= SIGN_BIT;
  const exp = <i32>(seX & EXP_MASK);
  if (negativeX && isInfinity(seX, sigX)) return putIndefinite(dst);
  if (isInfinity(seY, sigY)) {
    if (zeroX) return putIndefinite(dst);
    if (stopsAtDenormal(flags, cw)) return flags;
    put(dst, sign | EXP_MASK, TOP_BIT);
    return flags;
  }
  const zeroY = isZero(seY, sigY);
  if (isInfinity(seX, sigX)) {
    if (zeroY) return putIndefinite(dst);
    if (stopsAtDenormal(flags, cw)) return flags;
    put(dst, sign | EXP_MASK, TOP_BIT);
    return flags;
  }
  if (stopsAtDenormal(flags, cw)) return flags;
  if (zeroX || zeroY) {
    put(dst, sign, 0);
    return flags;
  }
  // x ≤ -1 has no logarithm and no defined result; as AMD's.
  if (negativeX && exp >= BIAS) {
    put(dst, seX, sigX);
    return flags | PE;
  }
  const m = u128(normalSignificand(sigX), 0);
  const e = normalExponent(seX, sigX) - BIAS;
  if (e < -1) {
    // 2 ± |x| over 4 as Q0.
    const quarter = shr128(m, 1 - e);
    const sum = negativeX ? sub128(one(), quarter) : add128(one(), quarter);
    const shift = clz128(sum);
    return flags | putLog(dst, seY, sigY, 0, negativeX, m, e + 1 - 2 + shift, shl128(sum, shift), cw);
  }
  if (negativeX) {
    // 1 - |x| for |x| in [½, 1), in units of 2^-64.
    const rest = 0 - (e == -1 ? sigX : 0);
    const shift = <i32>clz<u64>(rest);
    return flags | putLog2(dst, seY, sigY, u128(rest << shift, 0), -1 - shift, cw);
  }
  if (e > 100) return flags | putLog2(dst, seY, sigY, m, e, cw);
  // 1 + x, in units of 2^-126 of the larger exponent.
  const top = e < 0 ? 0 : e;
  const sum = add128(shr128(m, top - e + 1), shr128(one(), top + 1));
  const shift = clz128(sum);
  return flags | putLog2(dst, seY, sigY, shl128(sum, shift), top + 1 - shift, cw);
}
