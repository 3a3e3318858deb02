/**
 * x87 arithmetic as the definitions call it (`isa/helpers-fp.ts`, where the signatures stand): 80-bit values by address,
 * the control word from the vCPU, exception flags and condition codes returned in their status-word positions. What
 * becomes of the flags is in `isa/x87-common.ts`.
 */
import { Vcpu } from '../../../build/core/layout';
import {
  f80_2xm1,
  f80_add,
  f80_compare,
  f80_const,
  f80_cos,
  f80_div,
  f80_from_bcd,
  f80_from_f32,
  f80_from_f64,
  f80_from_i64,
  f80_mul,
  f80_patan,
  f80_ptan,
  f80_rem,
  f80_rndint,
  f80_scale,
  f80_sin,
  f80_sincos,
  f80_sqrt,
  f80_sub,
  f80_to_bcd,
  f80_to_f32,
  f80_to_f64,
  f80_to_i16,
  f80_to_i32,
  f80_to_i64,
  f80_tst,
  f80_xam,
  f80_xtract,
  f80_yl2x,
  f80_yl2xp1,
} from './fpu/index';
import { C0, C2, C3, DE, IE, TOP_BIT, ZE, isNaN80, put, putIndefinite, seAt, sigAt, stopsAtDenormal } from './fpu/f80';

// @ts-ignore: decorator
@inline
function controlWord(cpu: usize): u32 {
  return load<u16>(cpu, Vcpu.fpuControl);
}

/**
 * A binary32 operand of arithmetic, exact: denormals are normalized (DE), signalling NaNs stay signalling, so that the
 * operation itself decides between the NaNs of both operands.
 */
export function f80Unpack32(cpu: usize, dst: usize, bits: u32): u32 {
  const exp = (bits >> 23) & 0xff;
  if (exp == 0) return f80_from_f32(dst, bits);
  const sign = (bits >> 16) & 0x8000;
  put(dst, sign | (exp == 0xff ? 0x7fff : exp + 0x3f80), TOP_BIT | (((<u64>bits) & 0x7fffff) << 40));
  return 0;
}

/** A binary64 operand; see `f80Unpack32`. */
export function f80Unpack64(cpu: usize, dst: usize, bits: u64): u32 {
  const exp = (<u32>(bits >> 52)) & 0x7ff;
  if (exp == 0) return f80_from_f64(dst, bits);
  const sign = (<u32>(bits >> 48)) & 0x8000;
  put(dst, sign | (exp == 0x7ff ? 0x7fff : exp + 0x3c00), TOP_BIT | ((bits & 0x000fffffffffffff) << 11));
  return 0;
}

/** FLD m32: DE for a denormal, IE for a signalling NaN. */
export function f80Load32(cpu: usize, dst: usize, bits: u32): u32 {
  return f80_from_f32(dst, bits);
}

export function f80Load64(cpu: usize, dst: usize, bits: u64): u32 {
  return f80_from_f64(dst, bits);
}

export function f80FromInteger(cpu: usize, dst: usize, value: i64): void {
  f80_from_i64(dst, value);
}

export function f80FromBcd(cpu: usize, dst: usize, low: u64, high: u32): void {
  f80_from_bcd(dst, low, high);
}

/** `flags` of an operation, together with those of unpacking an operand: DE if that was a denormal in memory. */
// @ts-ignore: decorator
@inline
function withUnpacked(cpu: usize, flags: u32, dst: usize, unpacked: u32): u32 {
  return unpacked == 0 ? flags : mergeUnpacked(flags, dst, unpacked, controlWord(cpu));
}

function mergeUnpacked(flags: u32, dst: usize, unpacked: u32, cw: u32): u32 {
  // An invalid operation, a division by zero or a NaN operand come before a denormal operand (SDM vol. 1 §4.9.2).
  if (flags & (IE | ZE) || isNaN80(seAt(dst), sigAt(dst))) return flags;
  return stopsAtDenormal(unpacked, cw) ? unpacked : flags | unpacked;
}

/** dst = a + b. `unpacked`, here and below: DE if an operand was a denormal in memory. */
export function f80Add(cpu: usize, dst: usize, a: usize, b: usize, unpacked: u32): u32 {
  return withUnpacked(cpu, f80_add(dst, a, b, controlWord(cpu)), dst, unpacked);
}

export function f80Multiply(cpu: usize, dst: usize, a: usize, b: usize, unpacked: u32): u32 {
  return withUnpacked(cpu, f80_mul(dst, a, b, controlWord(cpu)), dst, unpacked);
}

export function f80Subtract(cpu: usize, dst: usize, a: usize, b: usize, unpacked: u32): u32 {
  return withUnpacked(cpu, f80_sub(dst, a, b, controlWord(cpu)), dst, unpacked);
}

export function f80Divide(cpu: usize, dst: usize, a: usize, b: usize, unpacked: u32): u32 {
  return withUnpacked(cpu, f80_div(dst, a, b, controlWord(cpu)), dst, unpacked);
}

/** `options`: DE if b was a denormal in memory; bit 8: quiet NaNs are no invalid operands (FUCOM). */
export function f80Compare(cpu: usize, a: usize, b: usize, options: u32): u32 {
  const codes = f80_compare(a, b, (options & 0x100) != 0);
  // NaNs come before denormals.
  return codes & C2 ? codes : codes | (options & DE);
}

/** Operations by the low six bits of the opcode's second byte (D9 E4 FTST … D9 FF FCOS). */
export function f80Unary(cpu: usize, op: u32, dst: usize, a: usize): u32 {
  const cw = controlWord(cpu);
  if (op == 0x3a) return f80_sqrt(dst, a, cw);
  if (op == 0x3c) return f80_rndint(dst, a, cw);
  if (op == 0x24) return f80_tst(a);
  if (op == 0x25) return f80_xam(a);
  if (op == 0x30) return f80_2xm1(dst, a, cw);
  const flags = op == 0x3e ? f80_sin(dst, a, cw) : f80_cos(dst, a, cw);
  // Out of range: the operand stays.
  if (flags & C2) put(dst, seAt(a), sigAt(a));
  return flags;
}

/** Without a quotient (a NaN comes out, or nothing) its bits in C0 and C3 stay as they were. */
function remainder(cpu: usize, dst: usize, a: usize, b: usize, cw: u32, nearest: bool): u32 {
  const flags = f80_rem(dst, a, b, cw, nearest);
  const quotient = !(flags & IE) && !stopsAtDenormal(flags, cw) && !isNaN80(seAt(dst), sigAt(dst));
  return quotient ? flags : flags | ((<u32>load<u16>(cpu, Vcpu.fpuStatus)) & (C0 | C3));
}

/** Operations of ST(0) and ST(1), by the low six bits of the opcode's second byte. */
export function f80Binary(cpu: usize, op: u32, dst: usize, st0: usize, st1: usize): u32 {
  const cw = controlWord(cpu);
  if (op == 0x38) return remainder(cpu, dst, st0, st1, cw, false);
  if (op == 0x35) return remainder(cpu, dst, st0, st1, cw, true);
  if (op == 0x3d) return f80_scale(dst, st0, st1, cw);
  if (op == 0x31) return f80_yl2x(dst, st1, st0, cw);
  if (op == 0x33) return f80_patan(dst, st1, st0, cw);
  return f80_yl2xp1(dst, st1, st0, cw);
}

/** FPTAN (tangent, 1), FXTRACT (exponent, significand), FSINCOS (sine, cosine): the second result is the one pushed. */
export function f80Split(cpu: usize, op: u32, first: usize, second: usize, a: usize): u32 {
  const cw = controlWord(cpu);
  if (op == 0x32) return f80_ptan(first, second, a, cw);
  if (op == 0x34) return f80_xtract(first, second, a, cw);
  return f80_sincos(first, second, a, cw);
}

/** Constants 0 (FLD1) to 6 (FLDZ), and 7: the indefinite NaN. */
export function f80Constant(cpu: usize, dst: usize, which: u32): void {
  if (which == 7) putIndefinite(dst);
  else f80_const(dst, which, controlWord(cpu));
}

/** Formats: 0 binary32, 1 binary64, 2 i16, 4 i32, 6 i64 (odd: truncated), 8 packed BCD. */
export function f80Store(cpu: usize, format: u32, out: usize, a: usize): u32 {
  const cw = controlWord(cpu);
  if (format == 1) return f80_to_f64(a, cw, out);
  if (format == 0) return f80_to_f32(a, cw, out);
  const truncate = (format & 1) != 0;
  if (format < 4) return f80_to_i16(a, cw, truncate, out);
  if (format < 6) return f80_to_i32(a, cw, truncate, out);
  if (format < 8) return f80_to_i64(a, cw, truncate, out);
  return f80_to_bcd(a, cw, out);
}

/** The tag word of FNSTENV: by physical register 0 valid, 1 zero, 2 special, 3 empty. */
export function f80TagWord(cpu: usize): u32 {
  const used = <u32>load<u16>(cpu, Vcpu.fpuTags);
  let word: u32 = 0;
  for (let n: u32 = 0; n < 8; n++) {
    const register = cpu + Vcpu.st + ((<usize>n) << 4);
    const exp = seAt(register) & 0x7fff;
    const sig = sigAt(register);
    let tag: u32 = 0;
    if (!((used >> n) & 1)) tag = 3;
    else if (exp == 0 && sig == 0) tag = 1;
    else if (exp == 0 || exp == 0x7fff || sig >> 63 == 0) tag = 2;
    word |= tag << (2 * n);
  }
  return word;
}
