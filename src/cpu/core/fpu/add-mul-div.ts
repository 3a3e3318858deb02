/**
 * FADD, FSUB, FMUL, FDIV (SDM vol. 2A). Two normal operands take the short path; everything else (zeros, denormals,
 * infinities, NaNs, unsupported encodings) is sorted out in the `*Slow` functions.
 */
import {
  BIAS,
  DE,
  EXP_MASK,
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
  pack,
  put,
  putIndefinite,
  roundingOf,
  seAt,
  shiftedExt,
  sigAt,
  stopsAtDenormal,
  twoSpecial,
} from './f80.ts';

/** dst = a + b */
export function f80_add(dst: usize, a: usize, b: usize, cw: u32): u32 {
  const seA = seAt(a);
  const seB = seAt(b);
  const sigA = sigAt(a);
  const sigB = sigAt(b);
  if (isNormal(seA, sigA) & isNormal(seB, sigB)) return addFinite(dst, seA, sigA, seB, sigB, cw);
  return addSlow(dst, seA, sigA, seB, sigB, 0, cw);
}

/** dst = a - b */
export function f80_sub(dst: usize, a: usize, b: usize, cw: u32): u32 {
  const seA = seAt(a);
  const seB = seAt(b);
  const sigA = sigAt(a);
  const sigB = sigAt(b);
  if (isNormal(seA, sigA) & isNormal(seB, sigB)) return addFinite(dst, seA, sigA, seB ^ SIGN_BIT, sigB, cw);
  return addSlow(dst, seA, sigA, seB, sigB, SIGN_BIT, cw);
}


@inline
function addFinite(dst: usize, seA: u32, sigA: u64, seB: u32, sigB: u64, cw: u32): u32 {
  return addNormalized(dst, seA & SIGN_BIT, seA & EXP_MASK, sigA, seB & SIGN_BIT, seB & EXP_MASK, sigB, cw);
}

/** Sum of two normalized values; the exponents may be below 1 (denormal operands). */
@inline
function addNormalized(dst: usize, signA: u32, expA: i32, sigA: u64, signB: u32, expB: i32, sigB: u64, cw: u32): u32 {
  let sign = signA;
  let exp = expA;
  let larger = sigA;
  let smaller = sigB;
  let distance = <u32>(expA - expB);
  if (expA < expB || (expA == expB && sigA < sigB)) {
    sign = signB;
    exp = expB;
    larger = sigB;
    smaller = sigA;
    distance = <u32>(expB - expA);
  }
  let ext: u64;
  if (distance < 64) {
    ext = (smaller << (63 - distance)) << 1;
    smaller >>= distance;
  } else {
    ext = shiftedExt(smaller, 0, distance);
    smaller = 0;
  }
  if (signA == signB) {
    const sum = larger + smaller;
    if (sum >= larger) return pack(dst, sign, exp, sum, ext, cw);
    return pack(dst, sign, exp + 1, (sum >> 1) | TOP_BIT, (ext >> 1) | (ext & 1) | (sum << 63), cw);
  }
  let difference = larger - smaller - <u64>(ext != 0);
  ext = 0 - ext;
  if (!(difference >> 63)) {
    if (difference == 0) {
      if (ext == 0) {
        put(dst, roundingOf(cw) == 1 ? SIGN_BIT : 0, 0);
        return 0;
      }
      // Only with distance 1 can the whole upper word cancel: one bit is left below it.
      difference = ext;
      ext = 0;
      exp -= 64;
    }
    const shift = clz<u64>(difference);
    if (shift) {
      difference = (difference << shift) | (ext >> (64 - shift));
      ext <<= shift;
      exp -= <i32>shift;
    }
  }
  return pack(dst, sign, exp, difference, ext, cw);
}

function addSlow(dst: usize, seA: u32, sigA: u64, seB: u32, sigB: u64, flip: u32, cw: u32): u32 {
  const special = twoSpecial(dst, seA, sigA, seB, sigB);
  if (special >= 0) return special;
  seB ^= flip;
  const flags = <bool>(isDenormal(seA, sigA) | isDenormal(seB, sigB)) ? DE : 0;
  const infiniteA = isInfinity(seA, sigA);
  const infiniteB = isInfinity(seB, sigB);
  if (infiniteA & infiniteB && seA != seB) return putIndefinite(dst);
  if (stopsAtDenormal(flags, cw)) return flags;
  if (infiniteA) {
    put(dst, seA, sigA);
    return flags;
  }
  if (infiniteB) {
    put(dst, seB, sigB);
    return flags;
  }
  const zeroA = isZero(seA, sigA);
  const zeroB = isZero(seB, sigB);
  const signA = seA & SIGN_BIT;
  const signB = seB & SIGN_BIT;
  if (zeroA & zeroB) {
    put(dst, signA == signB ? signA : roundingOf(cw) == 1 ? SIGN_BIT : 0, 0);
    return flags;
  }
  if (zeroA) return flags | pack(dst, signB, normalExponent(seB, sigB), normalSignificand(sigB), 0, cw);
  if (zeroB) return flags | pack(dst, signA, normalExponent(seA, sigA), normalSignificand(sigA), 0, cw);
  return (
    flags |
    addNormalized(
      dst,
      signA,
      normalExponent(seA, sigA),
      normalSignificand(sigA),
      signB,
      normalExponent(seB, sigB),
      normalSignificand(sigB),
      cw,
    )
  );
}

/** dst = a × b */
export function f80_mul(dst: usize, a: usize, b: usize, cw: u32): u32 {
  const seA = seAt(a);
  const seB = seAt(b);
  const sigA = sigAt(a);
  const sigB = sigAt(b);
  if (isNormal(seA, sigA) & isNormal(seB, sigB)) {
    return mulNormalized(
      dst,
      (seA ^ seB) & SIGN_BIT,
      <i32>(seA & EXP_MASK) + <i32>(seB & EXP_MASK) - BIAS,
      sigA,
      sigB,
      cw,
    );
  }
  return mulSlow(dst, seA, sigA, seB, sigB, cw);
}


@inline
function mulNormalized(dst: usize, sign: u32, exp: i32, sigA: u64, sigB: u64, cw: u32): u32 {
  const hi = mulHi(sigA, sigB);
  const lo = sigA * sigB;
  // The product of two values in [1, 2) is in [1, 4).
  const below2 = 1 - (hi >> 63);
  return pack(dst, sign, exp + 1 - <i32>below2, (hi << below2) | ((lo >> 63) & below2), lo << below2, cw);
}

function mulSlow(dst: usize, seA: u32, sigA: u64, seB: u32, sigB: u64, cw: u32): u32 {
  const special = twoSpecial(dst, seA, sigA, seB, sigB);
  if (special >= 0) return special;
  const sign = (seA ^ seB) & SIGN_BIT;
  const flags = <bool>(isDenormal(seA, sigA) | isDenormal(seB, sigB)) ? DE : 0;
  const infinite = isInfinity(seA, sigA) | isInfinity(seB, sigB);
  const zero = isZero(seA, sigA) | isZero(seB, sigB);
  if (infinite & zero) return putIndefinite(dst);
  if (stopsAtDenormal(flags, cw)) return flags;
  if (infinite) {
    put(dst, sign | EXP_MASK, TOP_BIT);
    return flags;
  }
  if (zero) {
    put(dst, sign, 0);
    return flags;
  }
  const exp = normalExponent(seA, sigA) + normalExponent(seB, sigB) - BIAS;
  return flags | mulNormalized(dst, sign, exp, normalSignificand(sigA), normalSignificand(sigB), cw);
}

/** dst = a ÷ b */
export function f80_div(dst: usize, a: usize, b: usize, cw: u32): u32 {
  const seA = seAt(a);
  const seB = seAt(b);
  const sigA = sigAt(a);
  const sigB = sigAt(b);
  if (isNormal(seA, sigA) & isNormal(seB, sigB)) {
    return divNormalized(
      dst,
      (seA ^ seB) & SIGN_BIT,
      <i32>(seA & EXP_MASK) - <i32>(seB & EXP_MASK) + BIAS,
      sigA,
      sigB,
      cw,
    );
  }
  return divSlow(dst, seA, sigA, seB, sigB, cw);
}

/** Position of the remainder within the divisor as an `ext` word: exact, below, at or above one half. */
@inline
export function remainderExt(remainder: u64, divisor: u64): u64 {
  if (remainder == 0) return 0;
  const rest = divisor - remainder;
  return remainder < rest ? 1 : TOP_BIT | (<u64>(remainder != rest));
}


@inline
function divNormalized(dst: usize, sign: u32, exp: i32, sigA: u64, sigB: u64, cw: u32): u32 {
  const atLeast1 = <u64>(sigA >= sigB);
  const hi = sigA >> atLeast1;
  const lo = (sigA & atLeast1) << 63;
  const quotient = divide128(hi, lo, sigB);
  const ext = remainderExt(lo - quotient * sigB, sigB);
  return pack(dst, sign, exp - 1 + <i32>atLeast1, quotient, ext, cw);
}

function divSlow(dst: usize, seA: u32, sigA: u64, seB: u32, sigB: u64, cw: u32): u32 {
  const special = twoSpecial(dst, seA, sigA, seB, sigB);
  if (special >= 0) return special;
  const sign = (seA ^ seB) & SIGN_BIT;
  const flags = <bool>(isDenormal(seA, sigA) | isDenormal(seB, sigB)) ? DE : 0;
  const infiniteA = isInfinity(seA, sigA);
  const infiniteB = isInfinity(seB, sigB);
  const zeroA = isZero(seA, sigA);
  const zeroB = isZero(seB, sigB);
  if ((infiniteA & infiniteB) | (zeroA & zeroB)) return putIndefinite(dst);
  if (zeroB && !infiniteA) {
    put(dst, sign | EXP_MASK, TOP_BIT);
    return ZE;
  }
  if (stopsAtDenormal(flags, cw)) return flags;
  if (infiniteA) {
    put(dst, sign | EXP_MASK, TOP_BIT);
    return flags;
  }
  if (infiniteB | zeroA) {
    put(dst, sign, 0);
    return flags;
  }
  const exp = normalExponent(seA, sigA) - normalExponent(seB, sigB) + BIAS;
  return flags | divNormalized(dst, sign, exp, normalSignificand(sigA), normalSignificand(sigB), cw);
}
