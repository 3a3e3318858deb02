/**
 * Control and debug registers, descriptor-table registers, and the system instructions that go with them.
 *
 * All check first and change then; a change of what decoding or translation depends on ends in `sync`.
 * Sources: SDM vol. 3 chapter 2 (control registers), §17.2 (debug registers); vol. 2, the instructions.
 */
import { ExitReason, Status, Vcpu } from '../../../build/core/layout';
import { raise, raiseNoError, settled } from './events';
import { setFlags } from './flags';
import { cpuidLeaf, setTaskPriority } from './machine';
import { probeLinear } from './memory';
import { loadDirectoryPointers, WRITE } from './paging';
import { flushPage, flushTlb } from './tlb';
import { updateMode, updateTlbSet } from './mode';
import {
  AC,
  ARITHMETIC,
  attributesOf,
  canonical,
  castShadow,
  code64,
  cplOf,
  CR0_CD,
  CR0_ET,
  CR0_NW,
  CR0_PE,
  CR0_PG,
  CR0_TS,
  CR0_WP,
  CR4_DE,
  CR4_OSXSAVE,
  CR4_PAE,
  CR4_PCE,
  CR4_PGE,
  CR4_PSE,
  CR4_SMAP,
  CR4_SMEP,
  CR4_TSD,
  CS,
  DB,
  EFER_LMA,
  EFER_LME,
  GP,
  gpr,
  IF,
  IOPL,
  longMode,
  protectedMode,
  RAX,
  RBP,
  RBX,
  RCX,
  RDX,
  RF,
  RSP,
  setGpr,
  setGprSized,
  SS,
  setStackPointer,
  TF,
  TR,
  trouble,
  UD,
  WRITABLE,
} from './registers';
import { ATTR_LONG, ATTR_UNUSABLE, segmentLinear } from './segments';
import { loadStack, storeStack } from './stack';

// @ts-ignore: decorator
@inline
function fault(cpu: usize, vector: u32, error: u32): i32 {
  raise(cpu, vector, error);
  return Status.fault;
}

/** #GP(0) unless CPL is 0 (virtual-8086 mode has CPL 3). */
function privileged(cpu: usize): bool {
  if (cplOf(cpu) == 0) return true;
  raise(cpu, GP, 0);
  return false;
}

// ---------------------------------------------------------------------------------------------------------------------
// Control registers.

export function readControl(cpu: usize, n: i32): u64 {
  if (!privileged(cpu)) return 0;
  switch (n) {
    case 0:
      return load<u64>(cpu, Vcpu.cr0);
    case 2:
      return load<u64>(cpu, Vcpu.cr2);
    case 3:
      return load<u64>(cpu, Vcpu.cr3);
    case 4:
      return load<u64>(cpu, Vcpu.cr4);
    case 8:
      return load<u64>(cpu, Vcpu.cr8);
    default:
      raiseNoError(cpu, UD);
      return 0;
  }
}

export function writeControl(cpu: usize, n: i32, operand: u64): i32 {
  if (n != 0 && n != 2 && n != 3 && n != 4 && n != 8) {
    raiseNoError(cpu, UD);
    return Status.fault;
  }
  if (!privileged(cpu)) return Status.fault;
  const value = code64(cpu) ? operand : operand & 0xffffffff;
  switch (n) {
    case 0:
      return writeCr0(cpu, value);
    case 2:
      store<u64>(cpu, value, Vcpu.cr2);
      return Status.ok;
    case 3:
      return writeCr3(cpu, value);
    case 4:
      return writeCr4(cpu, value);
    default:
      if (value > 15) return fault(cpu, GP, 0);
      store<u64>(cpu, value, Vcpu.cr8);
      setTaskPriority(<u32>value);
      return settled(cpu, load<u32>(cpu, Vcpu.codeKey));
  }
}

/** SDM vol. 3 §2.5, §4.1.2 (mode transitions) and §9.8.5 (IA-32e activation). */
function writeCr0(cpu: usize, operand: u64): i32 {
  if (operand >> 32) return fault(cpu, GP, 0);
  const old = load<u64>(cpu, Vcpu.cr0);
  const value = (operand & 0xe005003f) | CR0_ET;
  const pg = (value & CR0_PG) != 0;
  if (pg && !(value & CR0_PE)) return fault(cpu, GP, 0);
  if (value & CR0_NW && !(value & CR0_CD)) return fault(cpu, GP, 0);
  const efer = load<u64>(cpu, Vcpu.efer);
  if (pg != ((old & CR0_PG) != 0)) {
    if (pg && efer & EFER_LME) {
      if (!(load<u64>(cpu, Vcpu.cr4) & CR4_PAE)) return fault(cpu, GP, 0);
      // Neither 64-bit code nor a 16-bit TSS may be in use when IA-32e mode starts.
      if (attributesOf(cpu, CS) & ATTR_LONG) return fault(cpu, GP, 0);
      if (!(attributesOf(cpu, TR) & (ATTR_UNUSABLE | 8))) return fault(cpu, GP, 0);
      store<u64>(cpu, efer | EFER_LMA, Vcpu.efer);
    } else if (!pg) {
      if (code64(cpu)) return fault(cpu, GP, 0);
      store<u64>(cpu, efer & ~EFER_LMA, Vcpu.efer);
    }
  }
  const changed = old ^ value;
  const long = (load<u64>(cpu, Vcpu.efer) & EFER_LMA) != 0;
  if (pg && !long && load<u64>(cpu, Vcpu.cr4) & CR4_PAE && changed & (CR0_PG | CR0_CD | CR0_NW)) {
    if (!loadDirectoryPointers(cpu, load<u64>(cpu, Vcpu.cr3))) return fault(cpu, GP, 0);
  }
  store<u64>(cpu, value, Vcpu.cr0);
  if (changed & (CR0_PG | CR0_WP | CR0_PE)) flushTlb(cpu, false);
  updateMode(cpu);
  // TS alone changes with every use of the FPU in a kernel: nothing that was decoded depends on it.
  return changed & ~CR0_TS ? Status.sync : Status.ok;
}

function paging(cpu: usize): bool {
  return (load<u64>(cpu, Vcpu.cr0) & CR0_PG) != 0;
}

function writeCr3(cpu: usize, value: u64): i32 {
  // Bits above the physical address width (40 in the CPU model) are reserved; bit 63 belongs to PCIDs.
  if (longMode(cpu)) {
    if (value >> 40) return fault(cpu, GP, 0);
  } else if (paging(cpu) && load<u64>(cpu, Vcpu.cr4) & CR4_PAE && !loadDirectoryPointers(cpu, value)) {
    return fault(cpu, GP, 0);
  }
  store<u64>(cpu, value, Vcpu.cr3);
  const codeKey = load<u32>(cpu, Vcpu.codeKey);
  flushTlb(cpu, true);
  return settled(cpu, codeKey);
}

/** The bits of CR4 for which the CPU model advertises the feature, by SDM vol. 3 §2.5. */
function allowedCr4(cpu: usize): u64 {
  const at = cpu + Vcpu.scratch;
  cpuidLeaf(1, 0, at);
  const edx = load<u32>(at, 12);
  const ecx = load<u32>(at, 8);
  let bits: u64 = 0;
  if (edx & 0x10) bits |= CR4_TSD;
  if (edx & 0x4) bits |= CR4_DE;
  if (edx & 0x8) bits |= CR4_PSE;
  if (edx & 0x40) bits |= CR4_PAE;
  if (edx & 0x80) bits |= 0x40; // MCE
  if (edx & 0x2000) bits |= CR4_PGE;
  if (edx & 0x1000000) bits |= 0x200; // FXSAVE: OSFXSR
  if (edx & 0x2000000) bits |= 0x400; // SSE: OSXMMEXCPT
  if (ecx & 0x4000000) bits |= CR4_OSXSAVE;
  bits |= CR4_PCE;
  cpuidLeaf(7, 0, at);
  const ebx7 = load<u32>(at, 4);
  const ecx7 = load<u32>(at, 8);
  if (ebx7 & 0x1) bits |= 0x10000; // FSGSBASE
  if (ebx7 & 0x80) bits |= CR4_SMEP;
  if (ebx7 & 0x100000) bits |= CR4_SMAP;
  if (ecx7 & 0x4) bits |= 0x800; // UMIP
  return bits;
}

function writeCr4(cpu: usize, value: u64): i32 {
  if (value & ~allowedCr4(cpu)) return fault(cpu, GP, 0);
  if (longMode(cpu) && !(value & CR4_PAE)) return fault(cpu, GP, 0);
  const changed = load<u64>(cpu, Vcpu.cr4) ^ value;
  if (paging(cpu) && !longMode(cpu) && value & CR4_PAE && changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)) {
    if (!loadDirectoryPointers(cpu, load<u64>(cpu, Vcpu.cr3))) return fault(cpu, GP, 0);
  }
  store<u64>(cpu, value, Vcpu.cr4);
  if (changed & (CR4_PAE | CR4_PSE | CR4_PGE | CR4_SMEP | CR4_SMAP)) flushTlb(cpu, false);
  updateMode(cpu);
  return Status.sync;
}

export function invlpg(cpu: usize, linear: u64): i32 {
  if (!privileged(cpu)) return Status.fault;
  const codeKey = load<u32>(cpu, Vcpu.codeKey);
  // A non-canonical address is no error: nothing is mapped there.
  if (canonical(linear)) flushPage(cpu, linear);
  return settled(cpu, codeKey);
}

// ---------------------------------------------------------------------------------------------------------------------
// Debug registers.

/** DR4 and DR5 are DR6 and DR7 unless CR4.DE; GD makes any access fault. The register's number, or −1 with a fault. */
function debugRegister(cpu: usize, operand: i32): i32 {
  let n = operand;
  if (n > 7 || ((n == 4 || n == 5) && load<u64>(cpu, Vcpu.cr4) & CR4_DE)) {
    raiseNoError(cpu, UD);
    return -1;
  }
  if (n == 4 || n == 5) n += 2;
  if (!privileged(cpu)) return -1;
  if (load<u64>(cpu + 56, Vcpu.dr) & 0x2000) {
    store<u64>(cpu + 48, load<u64>(cpu + 48, Vcpu.dr) | 0x2000, Vcpu.dr);
    raiseNoError(cpu, DB);
    return -1;
  }
  return n;
}

export function readDebug(cpu: usize, operand: i32): u64 {
  const n = debugRegister(cpu, operand);
  if (n < 0) return 0;
  const value = load<u64>(cpu + ((<usize>n) << 3), Vcpu.dr);
  if (n == 6) return value | 0xffff0ff0;
  if (n == 7) return value | 0x400;
  return value;
}

export function writeDebug(cpu: usize, operand: i32, wide: u64): i32 {
  const n = debugRegister(cpu, operand);
  if (n < 0) return Status.fault;
  let value = code64(cpu) ? wide : wide & 0xffffffff;
  if (n >= 6 && value >> 32) return fault(cpu, GP, 0);
  if (n == 6) value = (value & 0xe00f) | 0xffff0ff0;
  if (n == 7) value = (value & 0xffff23ff) | 0x400;
  const enabled = load<u64>(cpu + 56, Vcpu.dr) & 0xff;
  store<u64>(cpu + ((<usize>n) << 3), value, Vcpu.dr);
  // The data TLBs leave out pages with data breakpoints.
  if (n != 6 && (enabled | load<u64>(cpu + 56, Vcpu.dr)) & 0xff) flushTlb(cpu, false);
  return Status.sync;
}

// ---------------------------------------------------------------------------------------------------------------------
// Descriptor-table registers. LLDT and LTR are in segments.ts.

export function loadGdt(cpu: usize, base: u64, limit: i32): i32 {
  if (!privileged(cpu)) return Status.fault;
  if (code64(cpu) && !canonical(base)) return fault(cpu, GP, 0);
  store<u64>(cpu, base, Vcpu.gdtBase);
  store<u32>(cpu, limit & 0xffff, Vcpu.gdtLimit);
  return Status.ok;
}

export function loadIdt(cpu: usize, base: u64, limit: i32): i32 {
  if (!privileged(cpu)) return Status.fault;
  if (code64(cpu) && !canonical(base)) return fault(cpu, GP, 0);
  store<u64>(cpu, base, Vcpu.idtBase);
  store<u32>(cpu, limit & 0xffff, Vcpu.idtLimit);
  return Status.ok;
}

// ---------------------------------------------------------------------------------------------------------------------
// Flags.

/** CLI and STI, without VME and PVI: IOPL decides. STI opens a shadow over the next instruction when IF was 0. */
export function setInterruptFlag(cpu: usize, value: i32): i32 {
  const flags = load<u32>(cpu, Vcpu.eflags);
  if (protectedMode(cpu) && cplOf(cpu) > ((flags >> 12) & 3)) return fault(cpu, GP, 0);
  if (!value) {
    store<u32>(cpu, flags & ~IF, Vcpu.eflags);
    return Status.ok;
  }
  if (flags & IF) return Status.ok;
  store<u32>(cpu, flags | IF, Vcpu.eflags);
  // Nothing waits, and the next instruction belongs to this slice: the shadow would end unseen.
  if (!eventsWait(cpu) && load<u32>(cpu, Vcpu.budget) != 0) return Status.ok;
  castShadow(cpu, 1);
  return Status.sync;
}

/** An interrupt or NMI waits for the vCPU to let it in. */
function eventsWait(cpu: usize): bool {
  return (load<u32>(cpu, Vcpu.interruptRequest) | load<u32>(cpu, Vcpu.nmiRequest)) != 0;
}

/** STAC and CLAC: CPL 0 only. */
export function setAlignmentCheck(cpu: usize, value: i32): i32 {
  if (cplOf(cpu) != 0) {
    raiseNoError(cpu, UD);
    return Status.fault;
  }
  const flags = load<u32>(cpu, Vcpu.eflags);
  store<u32>(cpu, value ? flags | AC : flags & ~AC, Vcpu.eflags);
  updateTlbSet(cpu);
  return Status.ok;
}

/** Loads EFLAGS as POPF does (the row has judged IOPL in virtual-8086 mode), SDM vol. 2 table 4-16: VM, VIF and VIP stay, RF is cleared by a 32-bit image. */
export function popFlags(cpu: usize, value: u64, size: i32): i32 {
  const old = load<u32>(cpu, Vcpu.eflags);
  const cpl = cplOf(cpu);
  let mask = WRITABLE & ~(IF | IOPL);
  if (cpl == 0) mask |= IOPL;
  if (cpl <= ((old >> 12) & 3)) mask |= IF;
  if (size == 2) mask &= 0xffff;
  else mask |= RF;
  setFlags(cpu, (<u32>value) & ~RF, mask | ARITHMETIC);
  const changed = old ^ load<u32>(cpu, Vcpu.eflags);
  const key = load<u32>(cpu, Vcpu.modeKey);
  if (changed & AC) updateMode(cpu);
  if (load<u32>(cpu, Vcpu.modeKey) != key) return Status.sync;
  // Newly enabled interrupts and single steps need the run loop.
  const on = changed & load<u32>(cpu, Vcpu.eflags);
  return on & TF || (on & IF && eventsWait(cpu)) ? Status.sync : Status.ok;
}

// ---------------------------------------------------------------------------------------------------------------------
// The rest.

/** ENTER, SDM vol. 2: the nesting display is read and written before any register changes. */
export function enter(cpu: usize, size: i32, allocation: i32, level: i32): i32 {
  const depth = level & 31;
  const mask = load<u64>(cpu, Vcpu.stackMask);
  const frame = gpr(cpu, RSP) - size;
  const end = frame - (depth ? <u64>depth * size : 0) - <u64>((<u32>allocation) & 0xffff);
  // The new top of the stack must be writable.
  const top = segmentLinear(cpu, SS, end & mask, size, true);
  if (trouble(cpu) || !probeLinear(cpu, top, size, WRITE)) return Status.fault;
  if (!storeStack(cpu, -size, gpr(cpu, RBP), size)) return Status.fault;
  if (depth) {
    for (let n = 1; n < depth; n++) {
      // The display of the caller lies below its frame pointer: the delta is taken from there.
      const value = loadStack(cpu, <i64>(gpr(cpu, RBP) - gpr(cpu, RSP)) - n * size, size);
      if (trouble(cpu) || !storeStack(cpu, -size - n * size, value, size)) return Status.fault;
    }
    if (!storeStack(cpu, -size - depth * size, frame, size)) return Status.fault;
  }
  setGprSized(cpu, RBP, size, mask == 0xffff && size > 2 ? frame & 0xffff : frame);
  setStackPointer(cpu, end);
  return Status.ok;
}

/** CPUID: the CPU model is the machine's. */
export function cpuid(cpu: usize): i32 {
  const at = cpu + Vcpu.scratch;
  cpuidLeaf(<u32>gpr(cpu, RAX), <u32>gpr(cpu, RCX), at);
  setGpr(cpu, RAX, load<u32>(at));
  setGpr(cpu, RBX, load<u32>(at, 4));
  setGpr(cpu, RCX, load<u32>(at, 8));
  setGpr(cpu, RDX, load<u32>(at, 12));
  return Status.ok;
}

/** Instructions retired so far, exact inside helpers. */
export function retiredNow(cpu: usize): u64 {
  return load<u64>(cpu, Vcpu.retired) + load<u32>(cpu, Vcpu.slice) - load<u32>(cpu, Vcpu.budget);
}

/** TSC = tscBase + (retired − tscRetired) × tscScale / 2^32. */
export function timestamp(cpu: usize): u64 {
  const delta = retiredNow(cpu) - load<u64>(cpu, Vcpu.tscRetired);
  const scale = load<u64>(cpu, Vcpu.tscScale);
  const low = delta & 0xffffffff;
  const scaled = (delta >> 32) * scale + low * (scale >> 32) + ((low * (scale & 0xffffffff)) >> 32);
  return load<u64>(cpu, Vcpu.tscBase) + scaled;
}

export function rdtsc(cpu: usize): u64 {
  if (load<u64>(cpu, Vcpu.cr4) & CR4_TSD && cplOf(cpu) != 0) {
    raise(cpu, GP, 0);
    return 0;
  }
  return timestamp(cpu);
}

/** There are no performance counters: the index is always invalid. */
export function rdpmc(cpu: usize): u64 {
  raise(cpu, GP, 0);
  return 0;
}

/** RDRAND and RDSEED: xorshift128+ over the guest's own state, so that a replay gives the same numbers. */
export function random(cpu: usize): u64 {
  let x = load<u64>(cpu, Vcpu.randomState);
  const y = load<u64>(cpu + 8, Vcpu.randomState);
  // All zero is the generator's fixed point.
  if (x == 0 && y == 0) x = 0x9e3779b97f4a7c15;
  store<u64>(cpu, y, Vcpu.randomState);
  x ^= x << 23;
  x = x ^ y ^ (x >> 17) ^ (y >> 26);
  store<u64>(cpu + 8, x, Vcpu.randomState);
  return x + y;
}

export function halt(cpu: usize): i32 {
  if (!privileged(cpu)) return Status.fault;
  store<u32>(cpu, 1, Vcpu.halted);
  store<u32>(cpu, ExitReason.halt, Vcpu.exitReason);
  return Status.exit;
}

/** XCR0 exists only with CR4.OSXSAVE, which the CPU model must allow first. */
export function xgetbv(cpu: usize): i32 {
  if (!(load<u64>(cpu, Vcpu.cr4) & CR4_OSXSAVE)) {
    raiseNoError(cpu, UD);
    return Status.fault;
  }
  if (<u32>gpr(cpu, RCX) != 0) return fault(cpu, GP, 0);
  setGpr(cpu, RAX, load<u64>(cpu, Vcpu.xcr0) & 0xffffffff);
  setGpr(cpu, RDX, load<u64>(cpu, Vcpu.xcr0) >> 32);
  return Status.ok;
}

/** x87 must be set; only x87 and SSE state exist. */
export function xsetbv(cpu: usize): i32 {
  if (!(load<u64>(cpu, Vcpu.cr4) & CR4_OSXSAVE)) {
    raiseNoError(cpu, UD);
    return Status.fault;
  }
  if (!privileged(cpu)) return Status.fault;
  const value = (gpr(cpu, RAX) & 0xffffffff) | (gpr(cpu, RDX) << 32);
  if (<u32>gpr(cpu, RCX) != 0 || !(value & 1) || value & ~3) return fault(cpu, GP, 0);
  store<u64>(cpu, value, Vcpu.xcr0);
  return Status.sync;
}
