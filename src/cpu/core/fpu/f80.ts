/**
 * x87 double-extended values: representation, classification, rounding and packing.
 *
 * An 80-bit value in memory is 16 bytes, as FXSAVE lays it out: the significand with its explicit integer bit (u64) at
 * +0, sign and biased exponent (u16) at +8, zeros above. Every operation takes pointers to such values and the x87
 * control word, and returns the exception flags that it raised in their status-word positions; C1 means "rounded up in
 * magnitude". Nothing here keeps state: no globals, no static data.
 *
 * Rounding works on a pair (sig, ext): a significand with bit 63 set and 64 further bits below it, of which the lowest
 * is sticky. Overflow and underflow follow the mask bits of the control word (SDM vol. 1 §8.5): masked gives infinity
 * or a denormal, unmasked the rounded result with its exponent moved by 24576. Tininess is detected after rounding.
 */

/** Status-word bits: invalid, denormal operand, divide by zero, overflow, underflow, precision. */
export const IE: u32 = 0x01;
export const DE: u32 = 0x02;
export const ZE: u32 = 0x04;
export const OE: u32 = 0x08;
export const UE: u32 = 0x10;
export const PE: u32 = 0x20;
/** Condition codes in their status-word positions. */
export const C0: u32 = 0x100;
export const C1: u32 = 0x200;
export const C2: u32 = 0x400;
export const C3: u32 = 0x4000;

export const TOP_BIT: u64 = 0x8000000000000000;
export const QUIET_BIT: u64 = 0x4000000000000000;
export const EXP_MASK: u32 = 0x7fff;
export const SIGN_BIT: u32 = 0x8000;
/** Exponent bias of the extended format. */
export const BIAS: i32 = 0x3fff;
/** Precision control "64 bits": for the operations that ignore PC. */
export const FULL_PRECISION: u32 = 0x300;

/** Round-to-nearest with 64 bits: the RC and PC fields of the default control word. */
const DEFAULT_FIELDS: u32 = 0x300;
const CONTROL_FIELDS: u32 = 0xf00;
/** What an unmasked overflow or underflow adds to or takes from the exponent (SDM vol. 1 §8.5.4, §8.5.5). */
const WRAP: i32 = 24576;


@inline
export function put(dst: usize, se: u32, sig: u64): void {
  store<u64>(dst, sig);
  store<u64>(dst, se as u64, 8);
}


@inline
export function sigAt(p: usize): u64 {
  return load<u64>(p);
}

/** Sign and exponent word. */
@inline
export function seAt(p: usize): u32 {
  return load<u16>(p, 8);
}


@inline
export function roundingOf(cw: u32): u32 {
  return (cw >> 10) & 3;
}

/** A normal number: integer bit set, exponent neither 0 nor all ones. */
@inline
export function isNormal(se: u32, sig: u64): bool {
  return ((se & EXP_MASK) - 1 < 0x7ffe) & (sig >> 63 != 0);
}

/** Unnormal, pseudo-infinity or pseudo-NaN (SDM vol. 1 table 8-3): exponent not 0, integer bit clear. */
@inline
export function isUnsupported(se: u32, sig: u64): bool {
  return ((se & EXP_MASK) != 0) & (sig >> 63 == 0);
}


@inline
export function isNaN80(se: u32, sig: u64): bool {
  return ((se & EXP_MASK) == EXP_MASK) & (sig << 1 != 0);
}


@inline
export function isInfinity(se: u32, sig: u64): bool {
  return ((se & EXP_MASK) == EXP_MASK) & (sig == TOP_BIT);
}


@inline
export function isZero(se: u32, sig: u64): bool {
  return ((se & EXP_MASK) == 0) & (sig == 0);
}

/** Denormal or pseudo-denormal: what raises DE. */
@inline
export function isDenormal(se: u32, sig: u64): bool {
  return ((se & EXP_MASK) == 0) & (sig != 0);
}

/** True if the caller has left the denormal exception unmasked and it occurred: the operation then stops. */
@inline
export function stopsAtDenormal(flags: u32, cw: u32): bool {
  return (flags & ~cw & DE) != 0;
}

/** Biased exponent of a finite non-zero value after normalization (may be below 1). */
@inline
export function normalExponent(se: u32, sig: u64): i32 {
  const exp = <i32>(se & EXP_MASK);
  return exp != 0 ? exp : 1 - <i32>clz<u64>(sig);
}

/** Significand of a finite non-zero value with bit 63 set. */
@inline
export function normalSignificand(sig: u64): u64 {
  return sig << clz<u64>(sig);
}

/** Writes the real indefinite (the default NaN). */
export function putIndefinite(dst: usize): u32 {
  put(dst, 0xffff, 0xc000000000000000);
  return IE;
}

/**
 * Handles an operand that is unsupported or a NaN, for operations with one operand.
 * Returns the flags, or -1 when the operand is neither (nothing written then).
 */
export function oneSpecial(dst: usize, se: u32, sig: u64): i32 {
  if (isUnsupported(se, sig)) return putIndefinite(dst);
  if (!isNaN80(se, sig)) return -1;
  put(dst, se, sig | QUIET_BIT);
  return sig & QUIET_BIT ? 0 : IE;
}

/**
 * Handles NaNs and unsupported operands of an operation with two operands (SDM vol. 1 table 4-7, x87 rules).
 * Returns the flags, or -1 when there is neither (nothing written then).
 */
export function twoSpecial(dst: usize, seA: u32, sigA: u64, seB: u32, sigB: u64): i32 {
  if (isUnsupported(seA, sigA) || isUnsupported(seB, sigB)) return putIndefinite(dst);
  const nanA = isNaN80(seA, sigA);
  const nanB = isNaN80(seB, sigB);
  if (!(nanA | nanB)) return -1;
  const signalsA = nanA && !(sigA & QUIET_BIT);
  const signalsB = nanB && !(sigB & QUIET_BIT);
  let takeA: bool;
  if (!(nanA & nanB)) takeA = nanA;
  else if (signalsA != signalsB) takeA = signalsB;
  else {
    const a = sigA << 2;
    const b = sigB << 2;
    takeA = a != b ? a > b : seA < seB;
  }
  if (takeA) put(dst, seA, sigA | QUIET_BIT);
  else put(dst, seB, sigB | QUIET_BIT);
  return signalsA | signalsB ? IE : 0;
}

/** 1 if (…lsb, ext) has to be rounded up in magnitude. `sign` is non-zero for negative values. */
@inline
export function roundsUp(rc: u32, sign: u32, lsb: u64, ext: u64): u64 {
  if (rc == 0) return (ext >> 63) & ((<u64>(ext << 1 != 0)) | (lsb & 1));
  return <u64>((ext != 0) & (rc == (sign ? 1 : 2)));
}

/** `ext` word of a significand shifted right by `n` ≥ 1 from (sig, ext), jammed into the sticky bit. */
@inline
export function shiftedExt(sig: u64, ext: u64, n: u32): u64 {
  if (n < 64) return (sig << (64 - n)) | (ext >> n) | (<u64>(ext << (64 - n) != 0));
  if (n == 64) return sig | (<u64>(ext != 0));
  if (n < 128) return (sig >> (n - 64)) | (<u64>(((sig << (128 - n)) | ext) != 0));
  return <u64>((sig | ext) != 0);
}

/**
 * Rounds (sig, ext) × 2^(exp - 16383 - 63) as the control word says and writes it. `sign` is 0 or SIGN_BIT, `sig` has
 * bit 63 set, `exp` may lie outside the format's range.
 */
@inline
export function pack(dst: usize, sign: u32, exp: i32, sig: u64, ext: u64, cw: u32): u32 {
  if ((<i32>((cw & CONTROL_FIELDS) == DEFAULT_FIELDS)) & (<i32>(<u32>(exp - 1) < 0x7ffd))) {
    const up = (ext >> 63) & ((<u64>(ext << 1 != 0)) | (sig & 1));
    const rounded = sig + up;
    const carry = rounded < up;
    put(dst, sign | (<u32>(exp + <i32>carry)), rounded | ((<u64>carry) << 63));
    return ext != 0 ? PE | ((<u32>up) << 9) : 0;
  }
  return packSlow(dst, sign, exp, sig, ext, cw);
}

/** Bits of the significand that the precision control cuts off. */
@inline
function droppedBits(cw: u32): u32 {
  const pc = (cw >> 8) & 3;
  return pc == 2 ? 11 : pc == 0 ? 40 : 0;
}

function packSlow(dst: usize, sign: u32, exp: i32, sig: u64, ext: u64, cw: u32): u32 {
  const rc = roundingOf(cw);
  const cut = droppedBits(cw);
  let kept = sig >> cut;
  let rest = cut ? (sig << (64 - cut)) | (<u64>(ext != 0)) : ext;
  const up = roundsUp(rc, sign, kept, rest);
  let rounded = kept + up;
  let newExp = exp;
  // A carry out of the kept bits leaves 1.000…: one more exponent.
  if (cut ? rounded >> (64 - cut) != 0 : rounded < up) {
    rounded = TOP_BIT >> cut;
    newExp++;
  }
  const flags: u32 = rest != 0 ? PE | ((<u32>up) << 9) : 0;
  if (newExp > 0x7ffe) return packOverflow(dst, sign, newExp, rounded << cut, flags, cw);
  if (newExp >= 1) {
    put(dst, sign | (<u32>newExp), rounded << cut);
    return flags;
  }
  if (!(cw & UE)) {
    // Results too small even for the moved exponent (FSCALE only) become zero.
    if (newExp + WRAP < 1) {
      put(dst, sign, 0);
      return UE | PE;
    }
    put(dst, sign | (<u32>(newExp + WRAP)), rounded << cut);
    return flags | UE;
  }
  // Masked: shift to the smallest exponent first and round there once, from the unrounded value.
  const shift = <u32>(1 - exp);
  const shifted = shift < 64 ? sig >> shift : 0;
  const below = shift ? shiftedExt(sig, ext, shift) : ext;
  kept = shifted >> cut;
  rest = cut ? (shifted << (64 - cut)) | (<u64>(below != 0)) : below;
  const bump = roundsUp(rc, sign, kept, rest);
  rounded = (kept + bump) << cut;
  put(dst, sign | (<u32>(rounded >> 63)), rounded);
  return rest != 0 ? UE | PE | ((<u32>bump) << 9) : 0;
}

function packOverflow(dst: usize, sign: u32, exp: i32, sig: u64, flags: u32, cw: u32): u32 {
  if (!(cw & OE)) {
    if (exp - WRAP <= 0x7ffe) {
      put(dst, sign | (<u32>(exp - WRAP)), sig);
      return flags | OE;
    }
    // Too large even for the moved exponent (FSCALE only): infinity, whatever RC says.
    put(dst, sign | EXP_MASK, TOP_BIT);
    return OE | PE | C1;
  }
  const rc = roundingOf(cw);
  if (rc == 0 || rc == (sign ? 1 : 2)) {
    put(dst, sign | EXP_MASK, TOP_BIT);
    return OE | PE | C1;
  }
  const cut = droppedBits(cw);
  put(dst, sign | 0x7ffe, (0xffffffffffffffff >> cut) << cut);
  return OE | PE;
}

/**
 * Rounds (sig, ext) × 2^(exp - 16383 - 63) to binary64 (`wide`) or binary32 and returns the bits; the flags (with C1) go
 * to `flagsOut`. `masks` holds exception mask bits in status positions: an unmasked overflow or underflow reports PE only if the
 * significand itself was inexact, and an unmasked underflow also exact tiny results. `flush` is MXCSR's FTZ.
 */
export function roundNarrow(
  wide: bool,
  sign: u32,
  exp: i32,
  sig: u64,
  ext: u64,
  rc: u32,
  masks: u32,
  flush: bool,
  flagsOut: usize,
): u64 {
  const cut: u32 = wide ? 11 : 40;
  const maxExp: i32 = wide ? 0x7fe : 0xfe;
  const fraction = 63 - cut;
  const signBit: u64 = sign ? (wide ? TOP_BIT : 0x80000000) : 0;
  const target = exp - BIAS + (maxExp >> 1);
  let kept = sig >> cut;
  let rest = (sig << (64 - cut)) | (<u64>(ext != 0));
  const up = roundsUp(rc, sign, kept, rest);
  let rounded = kept + up;
  const carry = <i32>(rounded >> (64 - cut));
  const finalExp = target + carry;
  if (finalExp > maxExp) {
    if (!(masks & OE)) {
      store<u32>(flagsOut, rest != 0 ? OE | PE : OE);
      return 0;
    }
    const toInfinity = rc == 0 || rc == (sign ? 1 : 2);
    store<u32>(flagsOut, OE | PE | (toInfinity ? C1 : 0));
    return signBit | (((<u64>(maxExp + 1)) << fraction) - <u64>!toInfinity);
  }
  if (finalExp >= 1) {
    store<u32>(flagsOut, rest != 0 ? PE | ((<u32>up) << 9) : 0);
    rounded >>= carry;
    return signBit | (((<u64>(finalExp - 1)) << fraction) + rounded);
  }
  if (!(masks & UE)) {
    store<u32>(flagsOut, rest != 0 ? UE | PE : UE);
    return 0;
  }
  if (flush) {
    store<u32>(flagsOut, UE | PE);
    return signBit;
  }
  const shift = <u32>(1 - target);
  const shifted = shift < 64 ? sig >> shift : 0;
  const below = shift ? shiftedExt(sig, ext, shift) : ext;
  kept = shifted >> cut;
  rest = (shifted << (64 - cut)) | (<u64>(below != 0));
  const bump = roundsUp(rc, sign, kept, rest);
  store<u32>(flagsOut, rest != 0 ? UE | PE | ((<u32>bump) << 9) : 0);
  return signBit | (kept + bump);
}

/** High half of the 128-bit product. */
@inline
export function mulHi(a: u64, b: u64): u64 {
  const al = a & 0xffffffff;
  const ah = a >> 32;
  const bl = b & 0xffffffff;
  const bh = b >> 32;
  const middle = ah * bl + ((al * bl) >> 32);
  const other = al * bh + (middle & 0xffffffff);
  return ah * bh + (middle >> 32) + (other >> 32);
}

/**
 * (hi:lo) / d for hi < d and bit 63 of d set; the remainder is `lo - q * d` (mod 2^64).
 * Two digits of 32 bits, each corrected at most twice (Knuth, TAOCP vol. 2, 4.3.1 D).
 */
export function divide128(hi: u64, lo: u64, d: u64): u64 {
  const dh = d >> 32;
  const dl = d & 0xffffffff;
  let q1 = hi / dh;
  let r = hi - q1 * dh;
  while (q1 >> 32 != 0 || q1 * dl > ((r << 32) | (lo >> 32))) {
    q1--;
    r += dh;
    if (r >> 32 != 0) break;
  }
  const middle = ((hi << 32) | (lo >> 32)) - q1 * d;
  let q0 = middle / dh;
  r = middle - q0 * dh;
  while (q0 >> 32 != 0 || q0 * dl > ((r << 32) | (lo & 0xffffffff))) {
    q0--;
    r += dh;
    if (r >> 32 != 0) break;
  }
  return (q1 << 32) + q0;
}
