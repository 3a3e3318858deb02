/**
 * The slow path of SSE arithmetic (`isa/sse-exact.ts` says when it is taken): the exact result under MXCSR, the sticky
 * flags, and #XM where an exception is unmasked (#UD if CR4.OSXMMEXCPT = 0). Vectors are passed by address.
 */
import { Vcpu } from '../../../build/core/layout';
import { raiseNoError } from './events';
import {
  sse_f32_add,
  sse_f32_compare,
  sse_f32_div,
  sse_f32_max,
  sse_f32_min,
  sse_f32_mul,
  sse_f32_sqrt,
  sse_f32_sub,
  sse_f32_to_f64,
  sse_f32_to_i32,
  sse_f32_to_i64,
  sse_f64_add,
  sse_f64_compare,
  sse_f64_div,
  sse_f64_max,
  sse_f64_min,
  sse_f64_mul,
  sse_f64_sqrt,
  sse_f64_sub,
  sse_f64_to_f32,
  sse_f64_to_i32,
  sse_f64_to_i64,
  sse_i32_to_f32,
  sse_i64_to_f32,
  sse_i64_to_f64,
} from './fpu/index';
import { IE, PE } from './fpu/f80';

/** Exceptions found before an operation: an unmasked one hides what the other lanes would raise after it. */
const PRE_COMPUTATION: u32 = 7;
const DAZ: u32 = 0x40;
const OSXMMEXCPT: u64 = 0x400;
/** FTZ, RC, the masks, DAZ and PE, and their values of round-to-nearest with all masked, PE set. */
const MODE_AND_PE: u32 = 0xffe0;
const MASKED_NEAREST_PE: u32 = 0x1fa0;
/** Smallest normal number and infinity of binary64, shifted left by one. */
const SMALLEST_64: u64 = 0x0020000000000000;
const INFINITY_64: u64 = 0xffe0000000000000;

/** Where the arithmetic leaves the flags of a lane: the last of the vCPU's temporaries, which no builder uses. */
// @ts-ignore: decorator
@inline
function flagsAt(cpu: usize): usize {
  return cpu + Vcpu.scratch + 496;
}

// @ts-ignore: decorator
@inline
function mxcsrOf(cpu: usize): u32 {
  return load<u32>(cpu, Vcpu.mxcsr);
}

/** Makes the flags sticky and raises the exception if one of them is unmasked. */
function conclude(cpu: usize, flags: u32): void {
  const mxcsr = mxcsrOf(cpu);
  const unmasked = flags & ~(mxcsr >> 7) & 0x3f;
  if (unmasked & PRE_COMPUTATION) flags &= PRE_COMPUTATION;
  store<u32>(cpu, mxcsr | flags, Vcpu.mxcsr);
  if (unmasked) raiseNoError(cpu, load<u64>(cpu, Vcpu.cr4) & OSXMMEXCPT ? 19 : 6);
}

/** Quiet predicates (EQ, UNORD, NEQ, ORD) raise IE only for signalling NaNs. */
// @ts-ignore: decorator
@inline
function signals(predicate: u32): bool {
  return ((predicate + 1) & 2) != 0;
}

/** Whether a predicate 0…7 holds for a relation as COMISD gives it in EFLAGS. */
function holds(predicate: u32, relation: u32): bool {
  const kind = predicate & 3;
  let result: bool;
  if (kind == 0) result = relation == 0x40;
  else if (kind == 1) result = relation == 1;
  else if (kind == 2) result = relation == 1 || relation == 0x40;
  else result = relation == 0x45;
  return result != ((predicate & 4) != 0);
}

/** One lane: operations as in `isa/sse-exact.ts` (the low digit of 0F 5x; 0x20 + predicate; 0x30 COMI, 0x31 UCOMI). */
function lane64(op: u32, a: u64, b: u64, mxcsr: u32, flags: usize): u64 {
  if (op == 8) return sse_f64_add(a, b, mxcsr, flags);
  if (op == 9) return sse_f64_mul(a, b, mxcsr, flags);
  if (op == 12) return sse_f64_sub(a, b, mxcsr, flags);
  if (op == 14) return sse_f64_div(a, b, mxcsr, flags);
  if (op == 13) return sse_f64_min(a, b, mxcsr, flags);
  if (op == 15) return sse_f64_max(a, b, mxcsr, flags);
  if (op == 1) return sse_f64_sqrt(b, mxcsr, flags);
  if (op >= 0x30) return sse_f64_compare(a, b, op == 0x30, mxcsr, flags);
  return holds(op & 7, sse_f64_compare(a, b, signals(op), mxcsr, flags)) ? 0xffffffffffffffff : 0;
}

function lane32(op: u32, a: u32, b: u32, mxcsr: u32, flags: usize): u32 {
  if (op == 8) return sse_f32_add(a, b, mxcsr, flags);
  if (op == 9) return sse_f32_mul(a, b, mxcsr, flags);
  if (op == 12) return sse_f32_sub(a, b, mxcsr, flags);
  if (op == 14) return sse_f32_div(a, b, mxcsr, flags);
  if (op == 13) return sse_f32_min(a, b, mxcsr, flags);
  if (op == 15) return sse_f32_max(a, b, mxcsr, flags);
  if (op == 1) return sse_f32_sqrt(b, mxcsr, flags);
  if (op >= 0x30) return sse_f32_compare(a, b, op == 0x30, mxcsr, flags);
  return holds(op & 7, sse_f32_compare(a, b, signals(op), mxcsr, flags)) ? 0xffffffff : 0;
}

/**
 * Whether the host's result of an operation is that of round-to-nearest with all masked and leaves no new flag, for what
 * the builders' shorter test does not cover: zeros, and normal numbers of small exponents. `isDefault` and the rest are
 * as in `isa/sse-exact.ts`; magnitudes are shifted left by one, without the sign.
 */
function isQuiet64(op: u32, mxcsr: u32, a: u64, b: u64, result: u64): bool {
  if ((mxcsr & MODE_AND_PE) != MASKED_NEAREST_PE) return false;
  if ((a << 1) - 1 < SMALLEST_64 - 1 || (b << 1) - 1 < SMALLEST_64 - 1) return false;
  const magnitude = result << 1;
  if (magnitude >= INFINITY_64) return false;
  if (op == 8 || op == 12) return true;
  if (magnitude > SMALLEST_64) return true;
  return magnitude == 0 && (a << 1 == 0 || (op == 9 && b << 1 == 0));
}

function hostResult64(op: u32, a: u64, b: u64): u64 {
  const x = reinterpret<f64>(a);
  const y = reinterpret<f64>(b);
  if (op == 8) return reinterpret<u64>(x + y);
  if (op == 9) return reinterpret<u64>(x * y);
  if (op == 12) return reinterpret<u64>(x - y);
  return reinterpret<u64>(x / y);
}

function isArithmetic(op: u32): bool {
  return op == 8 || op == 9 || op == 12 || op == 14;
}

export function sseF64(cpu: usize, op: u32, a: u64, b: u64): u64 {
  if (isArithmetic(op)) {
    const host = hostResult64(op, a, b);
    if (isQuiet64(op, mxcsrOf(cpu), a, b, host)) return host;
  }
  const flags = flagsAt(cpu);
  const result = lane64(op, a, b, mxcsrOf(cpu), flags);
  conclude(cpu, load<u32>(flags));
  return result;
}

export function sseF32(cpu: usize, op: u32, a: u32, b: u32): u32 {
  const flags = flagsAt(cpu);
  const result = lane32(op, a, b, mxcsrOf(cpu), flags);
  conclude(cpu, load<u32>(flags));
  return result;
}

/** ADDSUB (0x10) subtracts in even lanes and adds in odd ones. */
// @ts-ignore: decorator
@inline
function laneOperation(op: u32, lane: u32): u32 {
  return op == 0x10 ? (lane & 1 ? 8 : 12) : op;
}

/** x = x op y, lane by lane. */
export function ssePackedF64(cpu: usize, op: u32, x: usize, y: usize): void {
  const mxcsr = mxcsrOf(cpu);
  const flags = flagsAt(cpu);
  let all: u32 = 0;
  for (let lane: u32 = 0; lane < 2; lane++) {
    const at = (<usize>lane) << 3;
    const result = lane64(laneOperation(op, lane), load<u64>(x + at), load<u64>(y + at), mxcsr, flags);
    store<u64>(x + at, result);
    all |= load<u32>(flags);
  }
  conclude(cpu, all);
}

export function ssePackedF32(cpu: usize, op: u32, x: usize, y: usize): void {
  const mxcsr = mxcsrOf(cpu);
  const flags = flagsAt(cpu);
  let all: u32 = 0;
  for (let lane: u32 = 0; lane < 4; lane++) {
    const at = (<usize>lane) << 2;
    const result = lane32(laneOperation(op, lane), load<u32>(x + at), load<u32>(y + at), mxcsr, flags);
    store<u32>(x + at, result);
    all |= load<u32>(flags);
  }
  conclude(cpu, all);
}

/** Operations as in `isa/sse-convert.ts`; odd ones from 4 on truncate. */
export function sseConvert(cpu: usize, op: u32, bits: u64): u64 {
  const mxcsr = mxcsrOf(cpu);
  const flags = flagsAt(cpu);
  const truncate = (op & 1) != 0;
  let result: u64;
  if (op == 0) result = sse_f32_to_f64(<u32>bits, mxcsr, flags);
  else if (op == 1) result = sse_f64_to_f32(bits, mxcsr, flags);
  else if (op == 2) result = sse_i64_to_f32(bits, mxcsr, flags);
  else if (op == 3) result = sse_i64_to_f64(bits, mxcsr, flags);
  else if (op < 6) result = <u32>sse_f32_to_i32(<u32>bits, truncate, mxcsr, flags);
  else if (op < 8) result = sse_f32_to_i64(<u32>bits, truncate, mxcsr, flags);
  else if (op < 10) result = <u32>sse_f64_to_i32(bits, truncate, mxcsr, flags);
  else result = sse_f64_to_i64(bits, truncate, mxcsr, flags);
  conclude(cpu, load<u32>(flags));
  return result;
}

/** In place: 0 CVTPS2PD, 1 CVTPD2PS, 2 CVTDQ2PS, 4 and 5 CVT(T)PS2DQ, 6 and 7 CVT(T)PD2DQ. */
export function ssePackedConvert(cpu: usize, op: u32, v: usize): void {
  const mxcsr = mxcsrOf(cpu);
  const flags = flagsAt(cpu);
  const truncate = (op & 1) != 0;
  let all: u32 = 0;
  if (op == 0) {
    const first = sse_f32_to_f64(load<u32>(v), mxcsr, flags);
    all = load<u32>(flags);
    store<u64>(v, sse_f32_to_f64(load<u32>(v, 4), mxcsr, flags), 8);
    all |= load<u32>(flags);
    store<u64>(v, first);
  } else if (op == 2 || op == 4 || op == 5) {
    for (let at: usize = v; at < v + 16; at += 4) {
      const bits = load<u32>(at);
      if (op == 2) store<u32>(at, sse_i32_to_f32(bits, mxcsr, flags));
      else store<i32>(at, sse_f32_to_i32(bits, truncate, mxcsr, flags));
      all |= load<u32>(flags);
    }
  } else {
    for (let lane: usize = 0; lane < 2; lane++) {
      const bits = load<u64>(v + (lane << 3));
      const result = op == 1 ? sse_f64_to_f32(bits, mxcsr, flags) : sse_f64_to_i32(bits, truncate, mxcsr, flags);
      store<u32>(v + (lane << 2), result);
      all |= load<u32>(flags);
    }
    store<u64>(v, 0, 8);
  }
  conclude(cpu, all);
}

/**
 * ROUNDPS … ROUNDSD in place, on the first `lanes` lanes of `width` bytes. The immediate: rounding mode in bits 0 and 1
 * unless bit 2 says MXCSR.RC; bit 3: inexact results raise nothing.
 */
export function sseRound(cpu: usize, width: u32, lanes: u32, immediate: u32, v: usize): void {
  const mxcsr = mxcsrOf(cpu);
  const mode = immediate & 4 ? (mxcsr >> 13) & 3 : immediate & 3;
  let all: u32 = 0;
  for (let lane: u32 = 0; lane < lanes; lane++) {
    const at = v + <usize>(lane * width);
    all |= width == 8 ? round64(at, mode, mxcsr) : round32(at, mode, mxcsr);
  }
  if (immediate & 8) all &= ~PE;
  conclude(cpu, all);
}

function round64(at: usize, mode: u32, mxcsr: u32): u32 {
  let bits = load<u64>(at);
  const magnitude = bits & 0x7fffffffffffffff;
  if (magnitude > 0x7ff0000000000000) {
    store<u64>(at, bits | 0x0008000000000000);
    return bits & 0x0008000000000000 ? 0 : IE;
  }
  if (mxcsr & DAZ && magnitude < 0x0010000000000000) bits &= 0x8000000000000000;
  const x = reinterpret<f64>(bits);
  let result: f64;
  if (mode == 0) result = nearest<f64>(x);
  else if (mode == 1) result = floor<f64>(x);
  else if (mode == 2) result = ceil<f64>(x);
  else result = trunc<f64>(x);
  store<f64>(at, result);
  return result != x ? PE : 0;
}

function round32(at: usize, mode: u32, mxcsr: u32): u32 {
  let bits = load<u32>(at);
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) {
    store<u32>(at, bits | 0x00400000);
    return bits & 0x00400000 ? 0 : IE;
  }
  if (mxcsr & DAZ && magnitude < 0x00800000) bits &= 0x80000000;
  const x = reinterpret<f32>(bits);
  let result: f32;
  if (mode == 0) result = nearest<f32>(x);
  else if (mode == 1) result = floor<f32>(x);
  else if (mode == 2) result = ceil<f32>(x);
  else result = trunc<f32>(x);
  store<f32>(at, result);
  return result != x ? PE : 0;
}

/**
 * DPPS (`width` 4) and DPPD (8): the sum of the products that bits 4 to 7 of the immediate select, into the lanes that
 * bits 0 to 3 select, zeros into the others. x is replaced. Neighbours are added first (SDM vol. 2A, DPPS).
 */
export function sseDotProduct(cpu: usize, width: u32, immediate: u32, x: usize, y: usize): void {
  const flags = flagsAt(cpu);
  const lanes: u32 = 16 / width;
  const mxcsr = mxcsrOf(cpu);
  let all: u32 = 0;
  for (let lane: u32 = 0; lane < lanes; lane++) {
    const at = x + <usize>(lane * width);
    const other = y + <usize>(lane * width);
    if (!((immediate >> (4 + lane)) & 1)) {
      if (width == 8) store<u64>(at, 0);
      else store<u32>(at, 0);
      continue;
    }
    if (width == 8) store<u64>(at, sse_f64_mul(load<u64>(at), load<u64>(other), mxcsr, flags));
    else store<u32>(at, sse_f32_mul(load<u32>(at), load<u32>(other), mxcsr, flags));
    all |= load<u32>(flags);
  }
  let sum: u64;
  if (width == 8) {
    sum = sse_f64_add(load<u64>(x), load<u64>(x, 8), mxcsr, flags);
    all |= load<u32>(flags);
  } else {
    const first = sse_f32_add(load<u32>(x), load<u32>(x, 4), mxcsr, flags);
    all |= load<u32>(flags);
    const second = sse_f32_add(load<u32>(x, 8), load<u32>(x, 12), mxcsr, flags);
    all |= load<u32>(flags);
    sum = sse_f32_add(first, second, mxcsr, flags);
    all |= load<u32>(flags);
  }
  for (let lane: u32 = 0; lane < lanes; lane++) {
    const value: u64 = (immediate >> lane) & 1 ? sum : 0;
    const at = x + <usize>(lane * width);
    if (width == 8) store<u64>(at, value);
    else store<u32>(at, <u32>value);
  }
  conclude(cpu, all);
}

/**
 * RCPSS (`op` 0) and RSQRTSS (1), within the 1.5 × 2^-12 of the manual: the binary32 result, cut to 12 bits so that
 * nobody relies on more. Denormals count as zeros whatever DAZ is, tiny results are zero, nothing is flagged.
 */
export function sseApproximate(cpu: usize, op: u32, bits: u32): u32 {
  const sign = bits & 0x80000000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return bits | 0x00400000;
  if (magnitude < 0x00800000) return sign | 0x7f800000;
  if (op == 0) {
    if (magnitude == 0x7f800000) return sign;
    const result = reinterpret<u32>(<f32>1 / reinterpret<f32>(bits));
    return (result & 0x7fffffff) < 0x00800000 ? sign : nearTo12(result);
  }
  if (sign) return 0xffc00000;
  if (magnitude == 0x7f800000) return 0;
  return nearTo12(reinterpret<u32>(<f32>(1 / sqrt<f64>(<f64>reinterpret<f32>(bits)))));
}

/** Rounds a normal binary32 to 12 bits of fraction. */
// @ts-ignore: decorator
@inline
function nearTo12(bits: u32): u32 {
  return (bits + 0x400) & 0xfffff800;
}

/** CRC32 (polynomial 11EDC6F41H, reflected) over the low `bytes` bytes of `data`. */
export function crc32(cpu: usize, crc: u32, data: u64, bytes: u32): u32 {
  let state = (<u64>crc) ^ data;
  for (let n: u32 = bytes << 3; n != 0; n--) state = (state >> 1) ^ ((0 - (state & 1)) & 0x82f63b78);
  return <u32>state;
}
