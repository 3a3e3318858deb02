/**
 * 128-bit unsigned fixed-point words for the transcendental functions. A word travels in a v128 (lane 0 low), so that
 * functions can return it without memory. Two readings: `Q0` is value / 2^128 in [0, 1), `Q1` is value / 2^127 in
 * [0, 2). A floating value is a Q0 significand with the top bit set and a separate binary exponent: m / 2^128 × 2^e.
 */
import { BIAS, FULL_PRECISION, TOP_BIT, divide128, mulHi, pack } from './f80.ts';


@inline
export function u128(hi: u64, lo: u64): v128 {
  return i64x2.replace_lane(i64x2.splat(lo), 1, hi);
}


@inline
export function high(v: v128): u64 {
  return i64x2.extract_lane(v, 1);
}


@inline
export function low(v: v128): u64 {
  return i64x2.extract_lane(v, 0);
}

/** 1.0 as Q1. */
@inline
export function one(): v128 {
  return u128(TOP_BIT, 0);
}


@inline
export function isZero128(v: v128): bool {
  return (high(v) | low(v)) == 0;
}

export function add128(a: v128, b: v128): v128 {
  const lo = low(a) + low(b);
  return u128(high(a) + high(b) + <u64>(lo < low(b)), lo);
}

export function sub128(a: v128, b: v128): v128 {
  return u128(high(a) - high(b) - <u64>(low(a) < low(b)), low(a) - low(b));
}

export function less128(a: v128, b: v128): bool {
  return high(a) < high(b) || (high(a) == high(b) && low(a) < low(b));
}

/** Shift left by 0 to 127. */
export function shl128(v: v128, n: i32): v128 {
  if (n == 0) return v;
  if (n >= 64) return u128(low(v) << (n - 64), 0);
  return u128((high(v) << n) | (low(v) >> (64 - n)), low(v) << n);
}

/** Shift right; 0 from 128 on. */
export function shr128(v: v128, n: i32): v128 {
  if (n == 0) return v;
  if (n >= 128) return u128(0, 0);
  if (n >= 64) return u128(0, high(v) >> (n - 64));
  return u128(high(v) >> n, (low(v) >> n) | (high(v) << (64 - n)));
}

export function clz128(v: v128): i32 {
  return high(v) ? <i32>clz<u64>(high(v)) : 64 + <i32>clz<u64>(low(v));
}

/** Upper half of the 256-bit product, up to 3 units low: Q0 × Q0 → Q0, Q0 × Q1 → Q1. */
export function mul128(a: v128, b: v128): v128 {
  const ah = high(a);
  const al = low(a);
  const bh = high(b);
  const bl = low(b);
  let lo = ah * bh;
  let hi = mulHi(ah, bh);
  const cross1 = mulHi(ah, bl);
  const cross2 = mulHi(al, bh);
  lo += cross1;
  hi += <u64>(lo < cross1);
  lo += cross2;
  hi += <u64>(lo < cross2);
  const low1 = ah * bl;
  const carries = <u64>(low1 + al * bh < low1);
  lo += carries;
  hi += <u64>(lo < carries);
  return u128(hi, lo);
}

/** Divides by an integer below 2^32. */
export function divSmall(v: v128, d: u64): v128 {
  const hi = high(v) / d;
  let rest = high(v) - hi * d;
  const lo = low(v);
  const upper = (rest << 32) | (lo >> 32);
  const q1 = upper / d;
  rest = upper - q1 * d;
  const q0 = ((rest << 32) | (lo & 0xffffffff)) / d;
  return u128(hi, (q1 << 32) | q0);
}

/** floor(a × 2^128 / b) for a < b, top bit of b set: two digits of 64 bits, each corrected downwards. */
export function div128(a: v128, b: v128): v128 {
  const bh = high(b);
  const bl = low(b);
  let hi = high(a);
  let lo = low(a);
  let quotientHigh: u64 = 0;
  let quotientLow: u64 = 0;
  for (let digit = 0; digit < 2; digit++) {
    let q: u64 = hi >= bh ? 0xffffffffffffffff : divide128(hi, lo, bh);
    // (hi:lo:0) - q × b as three words.
    const p0 = q * bl;
    const t = mulHi(q, bl);
    const p1 = q * bh + t;
    const p2 = mulHi(q, bh) + <u64>(p1 < t);
    let r0 = 0 - p0;
    const b0 = <u64>(p0 != 0);
    let r1 = lo - p1;
    let r2 = hi - p2 - <u64>(lo < p1);
    r2 -= <u64>(r1 < b0);
    r1 -= b0;
    while (<i64>r2 < 0) {
      q--;
      r0 += bl;
      const c0 = <u64>(r0 < bl);
      r1 += c0;
      r2 += <u64>(r1 < c0);
      r1 += bh;
      r2 += <u64>(r1 < bh);
    }
    quotientHigh = quotientLow;
    quotientLow = q;
    hi = r1;
    lo = r0;
  }
  return u128(quotientHigh, quotientLow);
}

/**
 * Rounds m / 2^128 × 2^e to the extended format (PC has no say in transcendental results). `m` need not be normalized.
 * An inexact value always leaves a sticky bit, so that the directed roundings and PE come out right.
 */
export function pack128(dst: usize, sign: u32, e: i32, m: v128, exact: bool, cw: u32): u32 {
  const shift = clz128(m);
  const norm = shl128(m, shift);
  return pack(dst, sign, e - shift - 1 + BIAS, high(norm), low(norm) | (<u64>!exact), cw | FULL_PRECISION);
}

/** The floating value m / 2^128 × 2^e below 1 as Q0. */
@inline
export function fixed128(m: v128, e: i32): v128 {
  return shr128(m, -e);
}

/** Terms of a power series in t that reach 2^-130, if its coefficients don't grow. */
@inline
export function seriesTerms(t: v128): i32 {
  return 130 / max<i32>(clz128(t), 2) + 1;
}
