/**
 * Fast system calls: SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS. They load fixed flat segments without looking at the
 * descriptor tables. Sources: SDM vol. 2, the instructions; vol. 3 §5.8.7, §5.8.8; AMD APM vol. 2 §6.1 (CSTAR).
 */
import { Status, Vcpu } from '../../../build/core/layout';
import { DR6_BS, raise, raiseNoError } from './events';
import { getFlags, setFlags } from './flags';
import { updateMode } from './mode';
import {
  canonical,
  code64,
  cplOf,
  CS,
  EFER_SCE,
  GP,
  gpr,
  GS,
  IF,
  longMode,
  nextRip,
  protectedMode,
  R11,
  RCX,
  RDX,
  RF,
  RSP,
  setGpr,
  SS,
  TF,
  UD,
  VM,
} from './registers';
import { setSegment } from './segments';

/** Attributes: accessed, present; G; D or L. Code is readable, data writable. */
const CODE64_KERNEL: u32 = 0xa9b;
const CODE64_USER: u32 = 0xafb;
const CODE32_KERNEL: u32 = 0xc9b;
const CODE32_USER: u32 = 0xcfb;
const DATA_KERNEL: u32 = 0xc93;
const DATA_USER: u32 = 0xcf3;

// @ts-ignore: decorator
@inline
function fault(cpu: usize, vector: u32, error: u32): i32 {
  raise(cpu, vector, error);
  return Status.fault;
}

function undefinedOpcode(cpu: usize): i32 {
  raiseNoError(cpu, UD);
  return Status.fault;
}

function flatSegment(cpu: usize, segment: i32, selector: u64, attributes: u32): void {
  setSegment(cpu, segment, (<u32>selector) & 0xffff, 0, 0xffffffff, attributes);
}

function enterAt(cpu: usize, cpl: u32, rip: u64): i32 {
  store<u32>(cpu, cpl, Vcpu.cpl);
  store<u64>(cpu, rip, Vcpu.rip);
  updateMode(cpu);
  return Status.jump;
}

/**
 * SYSCALL and SYSRET trap by TF as it is after them: a mask with TF keeps the handler from being stepped, and SYSRET
 * traps as if SYSCALL had just ended. (`beginStep` has noted the trap by TF as it was before.)
 */
function stepByNewFlags(cpu: usize): void {
  const pending = load<u32>(cpu, Vcpu.pendingDebug) & ~DR6_BS;
  store<u32>(cpu, load<u32>(cpu, Vcpu.eflags) & TF ? pending | DR6_BS : pending, Vcpu.pendingDebug);
}

/** In compatibility mode it goes to CSTAR, as on AMD processors; Intel's raise #UD there. */
export function syscall(cpu: usize): i32 {
  if (!(load<u64>(cpu, Vcpu.efer) & EFER_SCE) || !longMode(cpu)) return undefinedOpcode(cpu);
  const star = load<u64>(cpu, Vcpu.msrStar);
  const target = code64(cpu) ? load<u64>(cpu, Vcpu.msrLstar) : load<u64>(cpu, Vcpu.msrCstar);
  setGpr(cpu, RCX, nextRip(cpu));
  setGpr(cpu, R11, getFlags(cpu) & ~RF);
  const mask = <u32>load<u64>(cpu, Vcpu.msrSfmask);
  setFlags(cpu, getFlags(cpu) & ~(mask | RF), 0x3c7fd5 | RF);
  stepByNewFlags(cpu);
  const selector = (star >> 32) & 0xfffc;
  flatSegment(cpu, CS, selector, CODE64_KERNEL);
  flatSegment(cpu, SS, selector + 8, DATA_KERNEL);
  return enterAt(cpu, 0, target);
}

/** size 8 returns to 64-bit code, 4 to compatibility mode. */
export function sysret(cpu: usize, size: i32): i32 {
  if (!(load<u64>(cpu, Vcpu.efer) & EFER_SCE) || !code64(cpu)) return undefinedOpcode(cpu);
  if (cplOf(cpu) != 0) return fault(cpu, GP, 0);
  const star = load<u64>(cpu, Vcpu.msrStar) >> 48;
  const rip = gpr(cpu, RCX);
  if (size == 8) {
    if (!canonical(rip)) return fault(cpu, GP, 0);
    flatSegment(cpu, CS, (star + 16) | 3, CODE64_USER);
  } else flatSegment(cpu, CS, star | 3, CODE32_USER);
  flatSegment(cpu, SS, (star + 8) | 3, DATA_USER);
  setFlags(cpu, <u32>gpr(cpu, R11), 0x3c7fd5 | RF);
  store<u32>(cpu, load<u32>(cpu, Vcpu.eflags) & ~RF, Vcpu.eflags);
  stepByNewFlags(cpu);
  return enterAt(cpu, 3, size == 8 ? rip : rip & 0xffffffff);
}

export function sysenter(cpu: usize): i32 {
  const selector = load<u64>(cpu, Vcpu.msrSysenterCs) & 0xfffc;
  if (!protectedMode(cpu) || selector == 0) return fault(cpu, GP, 0);
  const long = longMode(cpu);
  const mask: u64 = long ? 0xffffffffffffffff : 0xffffffff;
  store<u32>(cpu, load<u32>(cpu, Vcpu.eflags) & ~(VM | IF | RF), Vcpu.eflags);
  setGpr(cpu, RSP, load<u64>(cpu, Vcpu.msrSysenterEsp) & mask);
  flatSegment(cpu, CS, selector, long ? CODE64_KERNEL : CODE32_KERNEL);
  flatSegment(cpu, SS, selector + 8, DATA_KERNEL);
  return enterAt(cpu, 0, load<u64>(cpu, Vcpu.msrSysenterEip) & mask);
}

/** size 8 returns to 64-bit code. */
export function sysexit(cpu: usize, size: i32): i32 {
  const selector = load<u64>(cpu, Vcpu.msrSysenterCs) & 0xfffc;
  if (!protectedMode(cpu) || selector == 0 || cplOf(cpu) != 0) return fault(cpu, GP, 0);
  const rip = gpr(cpu, RDX);
  const rsp = gpr(cpu, RCX);
  if (size == 8) {
    if (!canonical(rip) || !canonical(rsp)) return fault(cpu, GP, 0);
    flatSegment(cpu, CS, (selector + 32) | 3, CODE64_USER);
    flatSegment(cpu, SS, (selector + 40) | 3, DATA_USER);
    setGpr(cpu, RSP, rsp);
    return enterAt(cpu, 3, rip);
  }
  flatSegment(cpu, CS, (selector + 16) | 3, CODE32_USER);
  flatSegment(cpu, SS, (selector + 24) | 3, DATA_USER);
  setGpr(cpu, RSP, rsp & 0xffffffff);
  return enterAt(cpu, 3, rip & 0xffffffff);
}

/** 64-bit code only (the decoder sees to that). */
export function swapgs(cpu: usize): i32 {
  if (cplOf(cpu) != 0) return fault(cpu, GP, 0);
  const at = cpu + ((<usize>GS) << 3);
  const base = load<u64>(at, Vcpu.segBase);
  store<u64>(at, load<u64>(cpu, Vcpu.msrKernelGsBase), Vcpu.segBase);
  store<u64>(cpu, base, Vcpu.msrKernelGsBase);
  return Status.ok;
}
