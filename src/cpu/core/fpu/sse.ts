/**
 * SSE/SSE2 scalar arithmetic with all MXCSR modes and flags: the exact slow path behind the native wasm operations.
 * binary64 values travel as u64 bits, binary32 as u32. `mxcsr` supplies RC, DAZ, FTZ and the mask bits; the raised flags
 * (MXCSR bits 0 to 5) are stored, not ORed, as a u32 at `flags`. A result whose exception is unmasked is not for the
 * guest. As the manual has it (SDM vol. 1 §11.5.2), an unmasked IE, DE or ZE hides the post-computation flags.
 */
import { BIAS, DE, IE, PE, SIGN_BIT, TOP_BIT, ZE, divide128, mulHi, roundNarrow, roundsUp } from './f80.ts';
import { remainderExt } from './add-mul-div.ts';
import { fractionPart, sqrt128, wholePart } from './sqrt-rem.ts';

const DAZ: u32 = 0x40;
const FTZ: u32 = 0x8000;

// Format parameters. `wide` is binary64.

@inline
function infinityOf(wide: bool): u64 {
  return wide ? 0x7ff0000000000000 : 0x7f800000;
}


@inline
function signOf(wide: bool): u64 {
  return wide ? TOP_BIT : 0x80000000;
}


@inline
function quietOf(wide: bool): u64 {
  return wide ? 0x0008000000000000 : 0x00400000;
}

/** The default NaN, negative and quiet. */
@inline
function defaultNaN(wide: bool): u64 {
  return wide ? 0xfff8000000000000 : 0xffc00000;
}


@inline
function magnitude(wide: bool, v: u64): u64 {
  return v & (signOf(wide) - 1);
}


@inline
function isNaN_(wide: bool, v: u64): bool {
  return magnitude(wide, v) > infinityOf(wide);
}


@inline
function isSignaling(wide: bool, v: u64): bool {
  return isNaN_(wide, v) && !(v & quietOf(wide));
}


@inline
function isTiny(wide: bool, v: u64): bool {
  return magnitude(wide, v) - 1 < (wide ? 0x000fffffffffffff : 0x007fffff);
}

/** Sign in x87 position. */
@inline
function sign80(wide: bool, v: u64): u32 {
  return v & signOf(wide) ? SIGN_BIT : 0;
}

/** Fraction with the integer bit position at bit 63 (the bit itself still clear). */
@inline
function fractionAtTop(wide: bool, v: u64): u64 {
  return (wide ? v << 11 : v << 40) & (TOP_BIT - 1);
}

/** Exponent in the x87 bias of a finite non-zero value, normalized. */
function exponent80(wide: bool, v: u64): i32 {
  const exp = <i32>(wide ? (v >> 52) & 0x7ff : (v >> 23) & 0xff);
  const rebias = wide ? BIAS - 1023 : BIAS - 127;
  return rebias + (exp != 0 ? exp : 1 - <i32>clz<u64>(fractionAtTop(wide, v)));
}

/** Significand with bit 63 set of a finite non-zero value. */
function significand80(wide: bool, v: u64): u64 {
  const fraction = fractionAtTop(wide, v);
  return v & infinityOf(wide) ? fraction | TOP_BIT : fraction << clz<u64>(fraction);
}

/** The operand after denormals-are-zeros. */
@inline
function daz(wide: bool, v: u64, mxcsr: u32): u64 {
  return mxcsr & DAZ && isTiny(wide, v) ? v & signOf(wide) : v;
}


@inline
function unmaskedDenormal(denormal: u32, mxcsr: u32): bool {
  return (denormal & ~(mxcsr >> 7)) != 0;
}


@inline
function nanOf(wide: bool, a: u64, b: u64, flags: usize): u64 {
  store<u32>(flags, isSignaling(wide, a) || isSignaling(wide, b) ? IE : 0);
  return (isNaN_(wide, a) ? a : b) | quietOf(wide);
}


@inline
function invalid(wide: bool, flags: usize): u64 {
  store<u32>(flags, IE);
  return defaultNaN(wide);
}

/** Rounds and adds the flags of the operands; C1 is no SSE flag. */
function finish(wide: bool, sign: u32, exp: i32, sig: u64, ext: u64, operandFlags: u32, mxcsr: u32, flags: usize): u64 {
  const bits = roundNarrow(wide, sign, exp, sig, ext, (mxcsr >> 13) & 3, mxcsr >> 7, (mxcsr & FTZ) != 0, flags);
  store<u32>(flags, (load<u32>(flags) & 0x3f) | operandFlags);
  return bits;
}

function add(wide: bool, a: u64, b: u64, negateB: bool, mxcsr: u32, flags: usize): u64 {
  if (isNaN_(wide, a) || isNaN_(wide, b)) return nanOf(wide, a, b, flags);
  a = daz(wide, a, mxcsr);
  b = daz(wide, b, mxcsr);
  const denormal = isTiny(wide, a) || isTiny(wide, b) ? DE : 0;
  if (negateB) b ^= signOf(wide);
  const infinity = infinityOf(wide);
  const magA = magnitude(wide, a);
  const magB = magnitude(wide, b);
  if (magA == infinity && magB == infinity && a != b) return invalid(wide, flags);
  store<u32>(flags, denormal);
  if (magA == infinity) return a;
  if (magB == infinity) return b;
  const zeroSign: u64 = ((mxcsr >> 13) & 3) == 1 ? signOf(wide) : 0;
  if (magA == 0 && magB == 0) return a == b ? a : zeroSign;
  if (unmaskedDenormal(denormal, mxcsr)) return 0;
  let sign = sign80(wide, a);
  const subtract = sign != sign80(wide, b);
  if (magA == 0 || magB == 0) {
    const v = magA == 0 ? b : a;
    return finish(wide, sign80(wide, v), exponent80(wide, v), significand80(wide, v), 0, denormal, mxcsr, flags);
  }
  if (magA < magB) {
    const t = a;
    a = b;
    b = t;
    sign = sign80(wide, a);
  }
  // At most 53 of 64 bits are in use: with one bit of headroom the sum fits, and ten guard bits are left for the jam.
  let exp = exponent80(wide, a) + 1;
  const distance = exp - 1 - exponent80(wide, b);
  const sigA = significand80(wide, a) >> 1;
  let sigB = significand80(wide, b) >> 1;
  if (distance) sigB = distance < 63 ? (sigB >> distance) | (<u64>(sigB << (64 - distance) != 0)) : 1;
  const sum = subtract ? sigA - sigB : sigA + sigB;
  if (sum == 0) return zeroSign;
  const shift = clz<u64>(sum);
  exp -= <i32>shift;
  return finish(wide, sign, exp, sum << shift, 0, denormal, mxcsr, flags);
}

function multiply(wide: bool, a: u64, b: u64, mxcsr: u32, flags: usize): u64 {
  if (isNaN_(wide, a) || isNaN_(wide, b)) return nanOf(wide, a, b, flags);
  a = daz(wide, a, mxcsr);
  b = daz(wide, b, mxcsr);
  const denormal = isTiny(wide, a) || isTiny(wide, b) ? DE : 0;
  const infinity = infinityOf(wide);
  const magA = magnitude(wide, a);
  const magB = magnitude(wide, b);
  const signBits = (a ^ b) & signOf(wide);
  const infinite = magA == infinity || magB == infinity;
  const zero = magA == 0 || magB == 0;
  if (infinite && zero) return invalid(wide, flags);
  store<u32>(flags, denormal);
  if (infinite) return signBits | infinity;
  if (zero) return signBits;
  if (unmaskedDenormal(denormal, mxcsr)) return 0;
  const sigA = significand80(wide, a);
  const sigB = significand80(wide, b);
  let hi = mulHi(sigA, sigB);
  let ext = sigA * sigB;
  let exp = exponent80(wide, a) + exponent80(wide, b) - BIAS + 1;
  if (!(hi >> 63)) {
    hi = (hi << 1) | (ext >> 63);
    ext <<= 1;
    exp--;
  }
  return finish(wide, signBits ? SIGN_BIT : 0, exp, hi, ext, denormal, mxcsr, flags);
}

function divide(wide: bool, a: u64, b: u64, mxcsr: u32, flags: usize): u64 {
  if (isNaN_(wide, a) || isNaN_(wide, b)) return nanOf(wide, a, b, flags);
  a = daz(wide, a, mxcsr);
  b = daz(wide, b, mxcsr);
  const denormal = isTiny(wide, a) || isTiny(wide, b) ? DE : 0;
  const infinity = infinityOf(wide);
  const magA = magnitude(wide, a);
  const magB = magnitude(wide, b);
  const signBits = (a ^ b) & signOf(wide);
  if ((magA == infinity && magB == infinity) || (magA == 0 && magB == 0)) return invalid(wide, flags);
  store<u32>(flags, denormal);
  if (magA == infinity) return signBits | infinity;
  if (magB == 0) {
    store<u32>(flags, ZE);
    return signBits | infinity;
  }
  if (magB == infinity || magA == 0) return signBits;
  if (unmaskedDenormal(denormal, mxcsr)) return 0;
  const sigA = significand80(wide, a);
  const sigB = significand80(wide, b);
  const atLeast1 = <u64>(sigA >= sigB);
  const lo = (sigA & atLeast1) << 63;
  const quotient = divide128(sigA >> atLeast1, lo, sigB);
  const ext = remainderExt(lo - quotient * sigB, sigB);
  const exp = exponent80(wide, a) - exponent80(wide, b) + BIAS - 1 + <i32>atLeast1;
  return finish(wide, signBits ? SIGN_BIT : 0, exp, quotient, ext, denormal, mxcsr, flags);
}

function squareRoot(wide: bool, a: u64, mxcsr: u32, flags: usize): u64 {
  if (isNaN_(wide, a)) return nanOf(wide, a, a, flags);
  a = daz(wide, a, mxcsr);
  store<u32>(flags, 0);
  if (magnitude(wide, a) == 0 || a == infinityOf(wide)) return a;
  if (a & signOf(wide)) return invalid(wide, flags);
  const denormal = isTiny(wide, a) ? DE : 0;
  store<u32>(flags, denormal);
  if (unmaskedDenormal(denormal, mxcsr)) return 0;
  const e = exponent80(wide, a) - BIAS;
  const sig = significand80(wide, a);
  const hi = e & 1 ? sig : sig >> 1;
  const lo = e & 1 ? 0 : sig << 63;
  const root = sqrt128(hi, lo);
  // Ties are impossible and the root has more bits than any format: a sticky bit is enough.
  const inexact = root * root != lo || mulHi(root, root) != hi;
  return finish(wide, 0, (e >> 1) + BIAS, root, <u64>inexact, denormal, mxcsr, flags);
}

/** EFLAGS as COMISD sets them: 0 greater, 1 (CF) less, 0x40 (ZF) equal, 0x45 unordered. */
function compare(wide: bool, a: u64, b: u64, signaling: bool, mxcsr: u32, flags: usize): u32 {
  if (isNaN_(wide, a) || isNaN_(wide, b)) {
    store<u32>(flags, signaling || isSignaling(wide, a) || isSignaling(wide, b) ? IE : 0);
    return 0x45;
  }
  a = daz(wide, a, mxcsr);
  b = daz(wide, b, mxcsr);
  store<u32>(flags, isTiny(wide, a) || isTiny(wide, b) ? DE : 0);
  if (a == b || magnitude(wide, a | b) == 0) return 0x40;
  const negativeA = (a & signOf(wide)) != 0;
  const negativeB = (b & signOf(wide)) != 0;
  if (negativeA != negativeB) return <u32>negativeA;
  return <u32>(a < b != negativeA);
}

/** MINSD/MAXSD: the second operand if either is a NaN (IE, quiet ones too) or both are zeros (SDM vol. 2B). */
function extreme(wide: bool, a: u64, b: u64, wantMax: bool, mxcsr: u32, flags: usize): u64 {
  const relation = compare(wide, a, b, true, mxcsr, flags);
  const first = wantMax ? relation == 0 : relation == 1;
  const chosen = first ? a : b;
  return daz(wide, chosen, mxcsr);
}

/** To a signed integer of `size` bits (32, 64), sign-extended; the integer indefinite and IE if it doesn't fit. */
function toInteger(wide: bool, a: u64, size: i32, truncate: bool, mxcsr: u32, flags: usize): i64 {
  const smallest: i64 = (<i64>TOP_BIT) >> (64 - size);
  a = daz(wide, a, mxcsr);
  store<u32>(flags, 0);
  if (magnitude(wide, a) == 0) return 0;
  store<u32>(flags, IE);
  if (magnitude(wide, a) >= infinityOf(wide)) return smallest;
  const exp = exponent80(wide, a);
  if (exp > BIAS + 63) return smallest;
  const sig = significand80(wide, a);
  const sign = sign80(wide, a);
  const whole = wholePart(exp, sig);
  const ext = fractionPart(exp, sig);
  const value = whole + (truncate ? 0 : roundsUp((mxcsr >> 13) & 3, sign, whole, ext));
  const limit: u64 = ((<u64>1) << (size - 1)) - <u64>(sign == 0);
  if (value > limit) return smallest;
  store<u32>(flags, ext != 0 ? PE : 0);
  return sign ? 0 - value : value;
}

function fromInteger(wide: bool, value: i64, mxcsr: u32, flags: usize): u64 {
  store<u32>(flags, 0);
  if (value == 0) return 0;
  const size: u64 = value < 0 ? 0 - <u64>value : value;
  const shift = clz<u64>(size);
  return finish(wide, value < 0 ? SIGN_BIT : 0, BIAS + 63 - <i32>shift, size << shift, 0, 0, mxcsr, flags);
}

export function sse_f64_add(a: u64, b: u64, mxcsr: u32, flags: usize): u64 {
  return add(true, a, b, false, mxcsr, flags);
}
export function sse_f64_sub(a: u64, b: u64, mxcsr: u32, flags: usize): u64 {
  return add(true, a, b, true, mxcsr, flags);
}
export function sse_f64_mul(a: u64, b: u64, mxcsr: u32, flags: usize): u64 {
  return multiply(true, a, b, mxcsr, flags);
}
export function sse_f64_div(a: u64, b: u64, mxcsr: u32, flags: usize): u64 {
  return divide(true, a, b, mxcsr, flags);
}
export function sse_f64_sqrt(a: u64, mxcsr: u32, flags: usize): u64 {
  return squareRoot(true, a, mxcsr, flags);
}
export function sse_f64_min(a: u64, b: u64, mxcsr: u32, flags: usize): u64 {
  return extreme(true, a, b, false, mxcsr, flags);
}
export function sse_f64_max(a: u64, b: u64, mxcsr: u32, flags: usize): u64 {
  return extreme(true, a, b, true, mxcsr, flags);
}
/** Returns the EFLAGS bits of (U)COMISD; `signaling`: quiet NaNs raise IE too (COMISD, CMPLTSD, CMPLESD …). */
export function sse_f64_compare(a: u64, b: u64, signaling: bool, mxcsr: u32, flags: usize): u32 {
  return compare(true, a, b, signaling, mxcsr, flags);
}

export function sse_f32_add(a: u32, b: u32, mxcsr: u32, flags: usize): u32 {
  return <u32>add(false, a, b, false, mxcsr, flags);
}
export function sse_f32_sub(a: u32, b: u32, mxcsr: u32, flags: usize): u32 {
  return <u32>add(false, a, b, true, mxcsr, flags);
}
export function sse_f32_mul(a: u32, b: u32, mxcsr: u32, flags: usize): u32 {
  return <u32>multiply(false, a, b, mxcsr, flags);
}
export function sse_f32_div(a: u32, b: u32, mxcsr: u32, flags: usize): u32 {
  return <u32>divide(false, a, b, mxcsr, flags);
}
export function sse_f32_sqrt(a: u32, mxcsr: u32, flags: usize): u32 {
  return <u32>squareRoot(false, a, mxcsr, flags);
}
export function sse_f32_min(a: u32, b: u32, mxcsr: u32, flags: usize): u32 {
  return <u32>extreme(false, a, b, false, mxcsr, flags);
}
export function sse_f32_max(a: u32, b: u32, mxcsr: u32, flags: usize): u32 {
  return <u32>extreme(false, a, b, true, mxcsr, flags);
}
/** Returns the EFLAGS bits of (U)COMISS; see `sse_f64_compare`. */
export function sse_f32_compare(a: u32, b: u32, signaling: bool, mxcsr: u32, flags: usize): u32 {
  return compare(false, a, b, signaling, mxcsr, flags);
}

/** CVTSS2SD */
export function sse_f32_to_f64(a: u32, mxcsr: u32, flags: usize): u64 {
  const sign: u64 = (<u64>(a >> 31)) << 63;
  if (isNaN_(false, a)) {
    store<u32>(flags, isSignaling(false, a) ? IE : 0);
    return sign | 0x7ff8000000000000 | (((<u64>a) & 0x007fffff) << 29);
  }
  a = <u32>daz(false, a, mxcsr);
  const denormal = isTiny(false, a) ? DE : 0;
  store<u32>(flags, denormal);
  if (magnitude(false, a) == 0) return sign;
  if (magnitude(false, a) == infinityOf(false)) return sign | infinityOf(true);
  return finish(true, sign80(false, a), exponent80(false, a), significand80(false, a), 0, denormal, mxcsr, flags);
}

/** CVTSD2SS */
export function sse_f64_to_f32(a: u64, mxcsr: u32, flags: usize): u32 {
  const sign = (<u32>(a >> 63)) << 31;
  if (isNaN_(true, a)) {
    store<u32>(flags, isSignaling(true, a) ? IE : 0);
    return sign | 0x7fc00000 | (<u32>((a >> 29) & 0x007fffff));
  }
  a = daz(true, a, mxcsr);
  const denormal = isTiny(true, a) ? DE : 0;
  store<u32>(flags, denormal);
  if (magnitude(true, a) == 0) return sign;
  if (magnitude(true, a) == infinityOf(true)) return sign | (<u32>infinityOf(false));
  if (unmaskedDenormal(denormal, mxcsr)) return 0;
  const sig = significand80(true, a);
  return <u32>finish(false, sign80(true, a), exponent80(true, a), sig, 0, denormal, mxcsr, flags);
}

/** CVTSI2SD with a 64-bit source; a 32-bit source is always exact. */
export function sse_i64_to_f64(a: i64, mxcsr: u32, flags: usize): u64 {
  return fromInteger(true, a, mxcsr, flags);
}
export function sse_i64_to_f32(a: i64, mxcsr: u32, flags: usize): u32 {
  return <u32>fromInteger(false, a, mxcsr, flags);
}
export function sse_i32_to_f64(a: i32, mxcsr: u32, flags: usize): u64 {
  return fromInteger(true, a, mxcsr, flags);
}
export function sse_i32_to_f32(a: i32, mxcsr: u32, flags: usize): u32 {
  return <u32>fromInteger(false, a, mxcsr, flags);
}

/** CVT(T)SD2SI; `truncate` for the T forms. */
export function sse_f64_to_i32(a: u64, truncate: bool, mxcsr: u32, flags: usize): i32 {
  return <i32>toInteger(true, a, 32, truncate, mxcsr, flags);
}
export function sse_f64_to_i64(a: u64, truncate: bool, mxcsr: u32, flags: usize): i64 {
  return toInteger(true, a, 64, truncate, mxcsr, flags);
}
export function sse_f32_to_i32(a: u32, truncate: bool, mxcsr: u32, flags: usize): i32 {
  return <i32>toInteger(false, a, 32, truncate, mxcsr, flags);
}
export function sse_f32_to_i64(a: u32, truncate: bool, mxcsr: u32, flags: usize): i64 {
  return toInteger(false, a, 64, truncate, mxcsr, flags);
}
