/**
 * Conversions between the extended format and binary32, binary64, integers and packed BCD, and the built-in constants
 * (FLD, FST, FILD, FIST, FISTTP, FBLD, FBSTP, FLDL2T …; SDM vol. 2A).
 */
import {
  BIAS,
  DE,
  EXP_MASK,
  IE,
  OE,
  PE,
  QUIET_BIT,
  SIGN_BIT,
  TOP_BIT,
  UE,
  isDenormal,
  isNaN80,
  isUnsupported,
  isZero,
  normalExponent,
  normalSignificand,
  put,
  roundNarrow,
  roundingOf,
  roundsUp,
  seAt,
  sigAt,
} from './f80.ts';
import { fractionPart, putInteger, wholePart } from './sqrt-rem.ts';

/** Loads binary32 bits: DE for a denormal, IE for a signalling NaN (which becomes quiet). */
export function f80_from_f32(dst: usize, bits: u32): u32 {
  const sign = (bits >> 16) & SIGN_BIT;
  const exp = (bits >> 23) & 0xff;
  const sig = (<u64>bits) << 40;
  if (exp - 1 < 0xfe) {
    put(dst, sign | (exp + <u32>(BIAS - 127)), sig | TOP_BIT);
    return 0;
  }
  const fraction = sig << 1;
  return exp ? loadSpecial(dst, sign, fraction) : loadDenormal(dst, sign, fraction, BIAS - 127);
}

/** Loads binary64 bits: DE for a denormal, IE for a signalling NaN (which becomes quiet). */
export function f80_from_f64(dst: usize, bits: u64): u32 {
  const sign = (<u32>(bits >> 48)) & SIGN_BIT;
  const exp = (<u32>(bits >> 52)) & 0x7ff;
  const sig = bits << 11;
  if (exp - 1 < 0x7fe) {
    put(dst, sign | (exp + <u32>(BIAS - 1023)), sig | TOP_BIT);
    return 0;
  }
  const fraction = sig << 1;
  return exp ? loadSpecial(dst, sign, fraction) : loadDenormal(dst, sign, fraction, BIAS - 1023);
}

/** `fraction`: the fraction field at the top of the word, without integer bit. */
function loadSpecial(dst: usize, sign: u32, fraction: u64): u32 {
  const sig = TOP_BIT | (fraction >> 1);
  if (fraction == 0) {
    put(dst, sign | EXP_MASK, sig);
    return 0;
  }
  put(dst, sign | EXP_MASK, sig | QUIET_BIT);
  return sig & QUIET_BIT ? 0 : IE;
}

function loadDenormal(dst: usize, sign: u32, fraction: u64, rebias: i32): u32 {
  if (fraction == 0) {
    put(dst, sign, 0);
    return 0;
  }
  const shift = clz<u64>(fraction);
  put(dst, sign | (<u32>(rebias - <i32>shift)), fraction << shift);
  return DE;
}

/** FILD: exact. */
export function f80_from_i64(dst: usize, value: i64): void {
  putInteger(dst, value);
}

/**
 * FST m32: writes the bits (u32) to `out`. If the flags hold an unmasked exception (invalid, overflow, underflow), the
 * instruction doesn't store (SDM vol. 1 §8.5.4): what lies at `out` is not for the guest then.
 */
export function f80_to_f32(a: usize, cw: u32, out: usize): u32 {
  const bits = narrow(false, seAt(a), sigAt(a), cw, out);
  const flags = storeFlags(load<u32>(out), cw);
  store<u32>(out, <u32>bits);
  return flags;
}

/** FST m64: writes the bits (u64) to `out`; otherwise as `f80_to_f32`. */
export function f80_to_f64(a: usize, cw: u32, out: usize): u32 {
  const se = seAt(a);
  const sig = sigAt(a);
  // To nearest, the result normal and, even if rounding carries, finite: what nearly all stores are.
  const exp = (se & EXP_MASK) - <u32>(BIAS - 1023);
  if ((<i32>(exp - 1 < 0x7fd)) & (<i32>(sig >> 63)) & (<i32>(roundingOf(cw) == 0))) {
    const kept = sig >> 11;
    const rest = sig << 53;
    const up = (rest >> 63) & ((<u64>(rest << 1 != 0)) | (kept & 1));
    store<u64>(out, ((<u64>(se & SIGN_BIT)) << 48) | (((<u64>(exp - 1)) << 52) + kept + up));
    return rest != 0 ? PE | ((<u32>up) << 9) : 0;
  }
  const bits = narrow(true, se, sig, cw, out);
  const flags = storeFlags(load<u32>(out), cw);
  store<u64>(out, bits);
  return flags;
}

/** An unmasked overflow or underflow of a store is all that is reported: the instruction has not rounded anything. */
@inline
function storeFlags(flags: u32, cw: u32): u32 {
  const trapped = flags & ~cw & (OE | UE);
  return trapped ? trapped : flags;
}


@inline
function narrow(wide: bool, se: u32, sig: u64, cw: u32, flagsOut: usize): u64 {
  const exp = se & EXP_MASK;
  if (exp - 1 < 0x7ffe && sig >> 63 != 0) {
    return roundNarrow(wide, se & SIGN_BIT, exp, sig, 0, roundingOf(cw), cw, false, flagsOut);
  }
  return narrowSpecial(wide, se, sig, cw, flagsOut);
}

function narrowSpecial(wide: bool, se: u32, sig: u64, cw: u32, flagsOut: usize): u64 {
  const sign: u64 = se & SIGN_BIT ? (wide ? TOP_BIT : 0x80000000) : 0;
  store<u32>(flagsOut, 0);
  if (isUnsupported(se, sig)) {
    store<u32>(flagsOut, IE);
    return wide ? 0xfff8000000000000 : 0xffc00000;
  }
  if (isZero(se, sig)) return sign;
  if (isDenormal(se, sig)) {
    const exp = normalExponent(se, sig);
    const norm = normalSignificand(sig);
    return roundNarrow(wide, se & SIGN_BIT, exp, norm, 0, roundingOf(cw), cw, false, flagsOut);
  }
  const infinity: u64 = wide ? 0x7ff0000000000000 : 0x7f800000;
  if (!isNaN80(se, sig)) return sign | infinity;
  store<u32>(flagsOut, sig & QUIET_BIT ? 0 : IE);
  const payload = (sig | QUIET_BIT) << 1;
  return sign | infinity | (payload >> (wide ? 12 : 41));
}

/**
 * FIST/FISTP (and with `truncate` FISTTP) to an integer of `size` bits (16, 32, 64): sign-extended to i64 at `out`.
 * IE and the integer indefinite if it doesn't fit.
 */
@inline
function toInteger(a: usize, cw: u32, truncate: bool, size: i32, out: usize): u32 {
  const se = seAt(a);
  const sig = sigAt(a);
  const exp = <i32>(se & EXP_MASK);
  const sign = se & SIGN_BIT;
  const smallest: i64 = (<i64>TOP_BIT) >> (64 - size);
  if (exp > BIAS + 63 || isUnsupported(se, sig)) {
    store<i64>(out, smallest);
    return IE;
  }
  const ext = fractionPart(exp, sig);
  const whole = wholePart(exp, sig);
  const up = truncate ? 0 : roundsUp(roundingOf(cw), sign, whole, ext);
  const value = whole + up;
  const limit: u64 = ((<u64>1) << (size - 1)) - <u64>(sign == 0);
  if (value > limit) {
    store<i64>(out, smallest);
    return IE;
  }
  store<i64>(out, sign ? 0 - value : value);
  return ext != 0 ? PE | ((<u32>up) << 9) : 0;
}

/** Stores the result sign-extended as i64 at `out`; the caller takes the low 16 bits. */
export function f80_to_i16(a: usize, cw: u32, truncate: bool, out: usize): u32 {
  return toInteger(a, cw, truncate, 16, out);
}

/** Stores the result sign-extended as i64 at `out`; the caller takes the low 32 bits. */
export function f80_to_i32(a: usize, cw: u32, truncate: bool, out: usize): u32 {
  return toInteger(a, cw, truncate, 32, out);
}

export function f80_to_i64(a: usize, cw: u32, truncate: bool, out: usize): u32 {
  return toInteger(a, cw, truncate, 64, out);
}

/** FBLD: 18 packed decimal digits (u64 `low`: 16 digits, `high`: 2 digits and the sign at bit 15); exact. */
export function f80_from_bcd(dst: usize, low: u64, high: u32): void {
  let value: u64 = 0;
  value = ((high >> 4) & 15) * 10 + (high & 15);
  for (let shift: i32 = 60; shift >= 0; shift -= 4) value = value * 10 + ((low >> shift) & 15);
  putInteger(dst, value);
  if (high & 0x8000) store<u16>(dst, load<u16>(dst, 8) | (<u16>SIGN_BIT), 8);
}

/** FBSTP: rounds to an integer and writes ten bytes of packed BCD (u64, u16) to `out`. */
export function f80_to_bcd(a: usize, cw: u32, out: usize): u32 {
  const se = seAt(a);
  const flags = f80_to_i64(a, cw, false, out);
  let value = load<u64>(out);
  if (<i64>value < 0) value = 0 - value;
  if (flags & IE || value > 999999999999999999) {
    store<u64>(out, 0xc000000000000000);
    store<u16>(out, 0xffff, 8);
    return IE;
  }
  let low: u64 = 0;
  for (let shift: i32 = 0; shift < 64; shift += 4) {
    const tenth = value / 10;
    low |= (value - tenth * 10) << shift;
    value = tenth;
  }
  store<u64>(out, low);
  const high = <u32>value;
  const digits = ((high / 10) << 4) | (high % 10);
  store<u16>(out, <u16>((se & SIGN_BIT) | digits), 8);
  return flags;
}

/**
 * FLD1, FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2, FLDZ: `which` 0 to 6, the low three bits of the second opcode byte
 * (D9 E8 … D9 EE). The internal constants have more than 64 bits, so RC decides about the last one.
 */
export function f80_const(dst: usize, which: u32, cw: u32): void {
  const rc = roundingOf(cw);
  const up = <u64>(rc == 2);
  // Of the constants that round to nearest upwards, RC "down" and "toward zero" give one less.
  const down = <u64>((rc & 1) != 0);
  if (which == 0) put(dst, 0x3fff, TOP_BIT);
  else if (which == 1) put(dst, 0x4000, 0xd49a784bcd1b8afe + up);
  else if (which == 2) put(dst, 0x3fff, 0xb8aa3b295c17f0bc - down);
  else if (which == 3) put(dst, 0x4000, 0xc90fdaa22168c235 - down);
  else if (which == 4) put(dst, 0x3ffd, 0x9a209a84fbcff799 - down);
  else if (which == 5) put(dst, 0x3ffe, 0xb17217f7d1cf79ac - down);
  else put(dst, 0, 0);
}
