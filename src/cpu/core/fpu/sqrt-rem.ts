/** FSQRT, FPREM, FPREM1, FRNDINT, FSCALE, FXTRACT (SDM vol. 2A). */
import {
  BIAS,
  C0,
  C1,
  C2,
  C3,
  DE,
  EXP_MASK,
  FULL_PRECISION,
  SIGN_BIT,
  TOP_BIT,
  ZE,
  divide128,
  isDenormal,
  isInfinity,
  isNormal,
  isZero,
  mulHi,
  normalExponent,
  normalSignificand,
  oneSpecial,
  pack,
  put,
  putIndefinite,
  roundingOf,
  roundsUp,
  seAt,
  sigAt,
  stopsAtDenormal,
  twoSpecial,
} from './f80.ts';

/** dst = √a */
export function f80_sqrt(dst: usize, a: usize, cw: u32): u32 {
  const se = seAt(a);
  const sig = sigAt(a);
  if (isNormal(se, sig) & (se < SIGN_BIT)) return sqrtNormalized(dst, se, sig, cw);
  const special = oneSpecial(dst, se, sig);
  if (special >= 0) return special;
  if (isZero(se, sig)) {
    put(dst, se, 0);
    return 0;
  }
  if (se >= SIGN_BIT) return putIndefinite(dst);
  if (se == EXP_MASK) {
    put(dst, se, sig);
    return 0;
  }
  if (stopsAtDenormal(DE, cw)) return DE;
  return DE | sqrtNormalized(dst, normalExponent(se, sig), normalSignificand(sig), cw);
}

/** Square root of the radicand hi:lo (hi at least 2^62) rounded down. */
export function sqrt128(hi: u64, lo: u64): u64 {
  // The f64 estimate is good to 2^-52; one Newton step in f64 on the exact residue leaves an error of at most 1.
  let root = <u64>(sqrt<f64>(<f64>hi) * 4294967296.0);
  const square = root * root;
  const below = <i64>(lo - square);
  const above = <i64>(hi - mulHi(root, root) - <u64>(lo < square));
  const residue = <f64>above * 18446744073709551616.0 + <f64>(<u64>below);
  const correction = <i64>(residue / (2.0 * <f64>root));
  const next = root + correction;
  // Near 2^64 the sum may leave the word in either direction; the root itself never does.
  if (correction > 0 && next < root) root = 0xffffffffffffffff;
  else root = next;
  while (exceeds(root, hi, lo)) root--;
  while (root != 0xffffffffffffffff && !exceeds(root + 1, hi, lo)) root++;
  return root;
}


@inline
function exceeds(root: u64, hi: u64, lo: u64): bool {
  const high = mulHi(root, root);
  return high > hi || (high == hi && root * root > lo);
}

function sqrtNormalized(dst: usize, exp: i32, sig: u64, cw: u32): u32 {
  const e = exp - BIAS;
  const odd = e & 1;
  const hi = odd ? sig : sig >> 1;
  const lo = odd ? 0 : sig << 63;
  const root = sqrt128(hi, lo);
  const square = root * root;
  const borrow = <u64>(lo < square);
  const above = hi - mulHi(root, root) - borrow;
  const remainder = lo - square;
  // (root + ½)² = root² + root + ¼: never hit exactly by an integer.
  const ext: u64 = (above | remainder) == 0 ? 0 : above != 0 || remainder > root ? TOP_BIT | 1 : 1;
  return pack(dst, 0, (e >> 1) + BIAS, root, ext, cw);
}

/** Condition codes for the three low quotient bits (SDM vol. 2A, FPREM): C0 = Q2, C3 = Q1, C1 = Q0. */
@inline
function quotientBits(q: u64): u32 {
  return (q & 4 ? C0 : 0) | (q & 2 ? C3 : 0) | (q & 1 ? C1 : 0);
}

/**
 * FPREM (`nearest` false: quotient chopped) and FPREM1 (`nearest`: IEEE remainder). C2 in the result: the reduction is
 * incomplete (exponents 64 or more apart) and is to be continued.
 */
export function f80_rem(dst: usize, a: usize, b: usize, cw: u32, nearest: bool): u32 {
  const seA = seAt(a);
  const seB = seAt(b);
  const sigA = sigAt(a);
  const sigB = sigAt(b);
  const special = twoSpecial(dst, seA, sigA, seB, sigB);
  if (special >= 0) return special;
  if (isInfinity(seA, sigA) || isZero(seB, sigB)) return putIndefinite(dst);
  const flags = <bool>(isDenormal(seA, sigA) | isDenormal(seB, sigB)) ? DE : 0;
  if (stopsAtDenormal(flags, cw)) return flags;
  if (isZero(seA, sigA)) {
    put(dst, seA, 0);
    return flags;
  }
  const signA = seA & SIGN_BIT;
  const expA = normalExponent(seA, sigA);
  const normA = normalSignificand(sigA);
  if (isInfinity(seB, sigB)) return flags | pack(dst, signA, expA, normA, 0, cw | FULL_PRECISION);
  return (
    flags | remNormalized(dst, signA, expA, normA, normalExponent(seB, sigB), normalSignificand(sigB), cw, nearest)
  );
}

function remNormalized(dst: usize, sign: u32, expA: i32, sigA: u64, expB: i32, sigB: u64, cw: u32, nearest: bool): u32 {
  const distance = expA - expB;
  let quotient: u64 = 0;
  let rest = sigA;
  let exp = expB;
  let codes: u32 = 0;
  if (distance < 0) {
    // |a| < |b|; only FPREM1 with |a| in (|b|/2, |b|) has something to do.
    const roundsTo1 = nearest && distance == -1 && sigA > sigB;
    if (!roundsTo1) return pack(dst, sign, expA, sigA, 0, cw | FULL_PRECISION);
    // |b| - |a| in units of a's last place: 2·sigB - sigA, which is below sigB.
    rest = sigB + (sigB - sigA);
    exp = expA;
    sign ^= SIGN_BIT;
    quotient = 1;
  } else {
    if (rest >= sigB) {
      rest -= sigB;
      quotient = 1;
    }
    // As Intel's: 32 to 63 bits at a time while the exponents are too far apart.
    const step = distance < 64 ? distance : (distance & 31) | 32;
    if (step) {
      const lo = rest << step;
      const digits = divide128(rest >> (64 - step), lo, sigB);
      rest = lo - digits * sigB;
      quotient = step < 64 ? (quotient << step) + digits : digits;
    }
    exp = expB + distance - step;
    if (distance >= 64) {
      codes = C2;
      quotient = 0;
    } else if (nearest) {
      const other = sigB - rest;
      if (rest > other || (rest == other && quotient & 1)) {
        rest = other;
        sign ^= SIGN_BIT;
        quotient++;
      }
    }
  }
  codes |= quotientBits(quotient);
  if (rest == 0) {
    put(dst, sign, 0);
    return codes;
  }
  return codes | pack(dst, sign, exp - <i32>clz<u64>(rest), normalSignificand(rest), 0, cw | FULL_PRECISION);
}

/** FRNDINT: dst = a rounded to an integral value as RC says. */
export function f80_rndint(dst: usize, a: usize, cw: u32): u32 {
  const se = seAt(a);
  const sig = sigAt(a);
  const special = oneSpecial(dst, se, sig);
  if (special >= 0) return special;
  const exp = <i32>(se & EXP_MASK);
  if (exp >= BIAS + 63 || isZero(se, sig)) {
    put(dst, se, sig);
    return 0;
  }
  const flags = isDenormal(se, sig) ? DE : 0;
  if (stopsAtDenormal(flags, cw)) return flags;
  const sign = se & SIGN_BIT;
  const whole = wholePart(exp, sig);
  const ext = fractionPart(exp, sig);
  const up = roundsUp(roundingOf(cw), sign, whole, ext);
  const value = whole + up;
  if (value == 0) put(dst, sign, 0);
  else {
    const shift = clz<u64>(value);
    put(dst, sign | (<u32>(BIAS + 63 - <i32>shift)), value << shift);
  }
  return flags | (ext != 0 ? 0x20 | ((<u32>up) << 9) : 0);
}

/** Integer part of a value below 2^64 in magnitude. */
@inline
export function wholePart(exp: i32, sig: u64): u64 {
  return exp < BIAS ? 0 : sig >> (BIAS + 63 - exp);
}

/** Fraction below the integer part as an `ext` word (top bit = ½, sticky at the bottom). */
@inline
export function fractionPart(exp: i32, sig: u64): u64 {
  const shift = BIAS + 63 - exp;
  if (shift <= 0) return 0;
  if (shift < 64) return sig << (64 - shift);
  if (shift == 64) return sig;
  return <u64>(sig != 0);
}

/** FSCALE: dst = a × 2^trunc(b). */
export function f80_scale(dst: usize, a: usize, b: usize, cw: u32): u32 {
  const seA = seAt(a);
  const seB = seAt(b);
  const sigA = sigAt(a);
  const sigB = sigAt(b);
  const special = twoSpecial(dst, seA, sigA, seB, sigB);
  if (special >= 0) return special;
  const signA = seA & SIGN_BIT;
  const flags = <bool>(isDenormal(seA, sigA) | isDenormal(seB, sigB)) ? DE : 0;
  if (isInfinity(seB, sigB)) {
    if (seB >= SIGN_BIT) {
      if (isInfinity(seA, sigA)) return putIndefinite(dst);
      if (stopsAtDenormal(flags, cw)) return flags;
      put(dst, signA, 0);
    } else {
      if (isZero(seA, sigA)) return putIndefinite(dst);
      if (stopsAtDenormal(flags, cw)) return flags;
      put(dst, signA | EXP_MASK, TOP_BIT);
    }
    return flags;
  }
  if (stopsAtDenormal(flags, cw)) return flags;
  if (isInfinity(seA, sigA) || isZero(seA, sigA)) {
    put(dst, seA, sigA);
    return flags;
  }
  const expB = <i32>(seB & EXP_MASK);
  let scale: i32 = expB > BIAS + 16 ? 0x20000 : <i32>wholePart(expB, sigB);
  if (seB >= SIGN_BIT) scale = -scale;
  return flags | pack(dst, signA, normalExponent(seA, sigA) + scale, normalSignificand(sigA), 0, cw | FULL_PRECISION);
}

/** FXTRACT: dstExp = the unbiased exponent of a as a number, dstSig = a with exponent 0. */
export function f80_xtract(dstExp: usize, dstSig: usize, a: usize, cw: u32): u32 {
  const se = seAt(a);
  const sig = sigAt(a);
  const special = oneSpecial(dstSig, se, sig);
  if (special >= 0) {
    put(dstExp, seAt(dstSig), sigAt(dstSig));
    return special;
  }
  if (isInfinity(se, sig)) {
    put(dstExp, EXP_MASK, TOP_BIT);
    put(dstSig, se, sig);
    return 0;
  }
  if (isZero(se, sig)) {
    put(dstExp, SIGN_BIT | EXP_MASK, TOP_BIT);
    put(dstSig, se, 0);
    return ZE;
  }
  const flags = isDenormal(se, sig) ? DE : 0;
  if (stopsAtDenormal(flags, cw)) return flags;
  putInteger(dstExp, normalExponent(se, sig) - BIAS);
  put(dstSig, (se & SIGN_BIT) | (<u32>BIAS), normalSignificand(sig));
  return flags;
}

/** Writes an integer; always exact. */
@inline
export function putInteger(dst: usize, value: i64): void {
  if (value == 0) {
    put(dst, 0, 0);
    return;
  }
  const sign = value < 0 ? SIGN_BIT : 0;
  const magnitude: u64 = value < 0 ? 0 - <u64>value : value;
  const shift = clz<u64>(magnitude);
  put(dst, sign | (<u32>(BIAS + 63 - <i32>shift)), magnitude << shift);
}
