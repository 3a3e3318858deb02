/**
 * Model-specific registers: the architectural ones live in the vCPU; what belongs to a device (x2APIC, TSC deadline,
 * KVM clock) or to the CPU model (ARCH_CAPABILITIES and the like) is asked of the machine. Unknown ones raise #GP and
 * are logged. Source: SDM vol. 4, chapter 2; vol. 3 §11.11 (MTRR), §11.12 (PAT), §17.17 (TSC).
 */
import { Status, Vcpu } from '../../../build/core/layout';
import { raise, settled } from './events';
import { log, LOG_UNKNOWN_MSR_READ, LOG_UNKNOWN_MSR_WRITE, msrRead, msrWrite } from './machine';
import { flushTlb } from './tlb';
import { updateMode } from './mode';
import {
  canonical,
  cplOf,
  CR0_PG,
  EFER_LMA,
  EFER_LME,
  EFER_NXE,
  EFER_SCE,
  FS,
  GP,
  gpr,
  GS,
  RAX,
  RCX,
  RDX,
  setGpr,
} from './registers';
import { timestamp } from './system';

const TSC: u32 = 0x10;
const APIC_BASE: u32 = 0x1b;
const FEATURE_CONTROL: u32 = 0x3a;
const TSC_ADJUST: u32 = 0x3b;
/** Write: microcode update trigger; read of 0x8B: the revision. */
const MICROCODE_TRIGGER: u32 = 0x79;
const MICROCODE_REVISION: u32 = 0x8b;
const MTRR_CAP: u32 = 0xfe;
const SYSENTER_CS: u32 = 0x174;
const SYSENTER_ESP: u32 = 0x175;
const SYSENTER_EIP: u32 = 0x176;
const MCG_CAP: u32 = 0x179;
const MCG_STATUS: u32 = 0x17a;
const MISC_ENABLE: u32 = 0x1a0;
const DEBUG_CONTROL: u32 = 0x1d9;
const MTRR_VARIABLE: u32 = 0x200;
const PAT: u32 = 0x277;
const MTRR_DEF_TYPE: u32 = 0x2ff;
const EFER: u32 = 0xc0000080;
const STAR: u32 = 0xc0000081;
const LSTAR: u32 = 0xc0000082;
const CSTAR: u32 = 0xc0000083;
const SFMASK: u32 = 0xc0000084;
const FS_BASE: u32 = 0xc0000100;
const GS_BASE: u32 = 0xc0000101;
const KERNEL_GS_BASE: u32 = 0xc0000102;
const TSC_AUX: u32 = 0xc0000103;

/** Eight variable ranges, fixed ranges, write-combining. */
const MTRR_CAP_VALUE: u64 = 0x508;

/** Index in Vcpu.msrMtrrFixed: 64 KiB ranges, two of 16 KiB, eight of 4 KiB; −1 for another register. */
function fixedRange(index: u32): i32 {
  if (index == 0x250) return 0;
  if (index == 0x258 || index == 0x259) return index - 0x257;
  if (index >= 0x268 && index <= 0x26f) return index - 0x265;
  return -1;
}

/** Address of the u64 that simply holds the register, or 0. */
function plainField(cpu: usize, index: u32): usize {
  if (index >= MTRR_VARIABLE && index < MTRR_VARIABLE + 16) {
    return cpu + Vcpu.msrMtrrVariable + ((<usize>(index - MTRR_VARIABLE)) << 3);
  }
  const fixed = fixedRange(index);
  if (fixed >= 0) return cpu + Vcpu.msrMtrrFixed + ((<usize>fixed) << 3);
  switch (index) {
    case APIC_BASE:
      return cpu + Vcpu.msrApicBase;
    case FEATURE_CONTROL:
      return cpu + Vcpu.msrFeatureControl;
    case TSC_ADJUST:
      return cpu + Vcpu.msrTscAdjust;
    case MICROCODE_REVISION:
      return cpu + Vcpu.msrMicrocode;
    case SYSENTER_CS:
      return cpu + Vcpu.msrSysenterCs;
    case SYSENTER_ESP:
      return cpu + Vcpu.msrSysenterEsp;
    case SYSENTER_EIP:
      return cpu + Vcpu.msrSysenterEip;
    case MISC_ENABLE:
      return cpu + Vcpu.msrMiscEnable;
    case DEBUG_CONTROL:
      return cpu + Vcpu.msrDebugControl;
    case PAT:
      return cpu + Vcpu.msrPat;
    case MTRR_DEF_TYPE:
      return cpu + Vcpu.msrMtrrDefType;
    case EFER:
      return cpu + Vcpu.efer;
    case STAR:
      return cpu + Vcpu.msrStar;
    case LSTAR:
      return cpu + Vcpu.msrLstar;
    case CSTAR:
      return cpu + Vcpu.msrCstar;
    case SFMASK:
      return cpu + Vcpu.msrSfmask;
    case FS_BASE:
      return cpu + Vcpu.segBase + ((<usize>FS) << 3);
    case GS_BASE:
      return cpu + Vcpu.segBase + ((<usize>GS) << 3);
    case KERNEL_GS_BASE:
      return cpu + Vcpu.msrKernelGsBase;
    case TSC_AUX:
      return cpu + Vcpu.msrTscAux;
    default:
      return 0;
  }
}

export function rdmsr(cpu: usize): i32 {
  if (cplOf(cpu) != 0) {
    raise(cpu, GP, 0);
    return Status.fault;
  }
  const index = <u32>gpr(cpu, RCX);
  const field = plainField(cpu, index);
  let value: u64 = 0;
  if (field) value = load<u64>(field);
  else if (index == TSC) value = timestamp(cpu);
  else if (index == MTRR_CAP) value = MTRR_CAP_VALUE;
  else if (index != MCG_CAP && index != MCG_STATUS) {
    if (!msrRead(index, cpu + Vcpu.scratch)) {
      log(LOG_UNKNOWN_MSR_READ, index, 0);
      raise(cpu, GP, 0);
      return Status.fault;
    }
    value = load<u64>(cpu, Vcpu.scratch);
  }
  setGpr(cpu, RAX, value & 0xffffffff);
  setGpr(cpu, RDX, value >> 32);
  return Status.ok;
}

export function wrmsr(cpu: usize): i32 {
  if (cplOf(cpu) != 0) {
    raise(cpu, GP, 0);
    return Status.fault;
  }
  const index = <u32>gpr(cpu, RCX);
  const value = (gpr(cpu, RAX) & 0xffffffff) | (gpr(cpu, RDX) << 32);
  const field = plainField(cpu, index);
  const codeKey = load<u32>(cpu, Vcpu.codeKey);
  if (field ? writeField(cpu, index, value, field) : writeOther(cpu, index, value)) {
    // Whatever changed: time, translation, an interrupt that a device now raises.
    return settled(cpu, codeKey);
  }
  raise(cpu, GP, 0);
  return Status.fault;
}

function writeOther(cpu: usize, index: u32, value: u64): bool {
  switch (index) {
    case TSC:
      moveTsc(cpu, value - timestamp(cpu));
      return true;
    case MICROCODE_TRIGGER:
      return true;
    case MCG_STATUS:
      return value == 0;
    case MTRR_CAP:
    case MCG_CAP:
      return false;
    default:
      if (msrWrite(index, value)) return true;
      log(LOG_UNKNOWN_MSR_WRITE, index, value);
      return false;
  }
}

/** TSC and TSC_ADJUST move together (SDM vol. 3 §17.17.3); the clock adds TSC_ADJUST when it resynchronizes. */
function moveTsc(cpu: usize, delta: u64): void {
  store<u64>(cpu, load<u64>(cpu, Vcpu.tscBase) + delta, Vcpu.tscBase);
  store<u64>(cpu, load<u64>(cpu, Vcpu.msrTscAdjust) + delta, Vcpu.msrTscAdjust);
}

/** MTRR types: UC, WC, WT, WP, WB. */
function memoryType(type: u32): bool {
  return type < 7 && type != 2 && type != 3;
}

/** Checks and stores a register that has a field; false: #GP. */
function writeField(cpu: usize, index: u32, value: u64, field: usize): bool {
  switch (index) {
    case EFER:
      return writeEfer(cpu, value);
    case TSC_ADJUST:
      moveTsc(cpu, value - load<u64>(field));
      return true;
    case MICROCODE_REVISION:
      // Writing 0 before CPUID is how software asks for the revision: it stays what it is.
      return true;
    case FS_BASE:
    case GS_BASE:
    case KERNEL_GS_BASE:
    case LSTAR:
    case CSTAR:
    case SYSENTER_ESP:
    case SYSENTER_EIP:
      if (!canonical(value)) return false;
      break;
    case SFMASK:
    case TSC_AUX:
      if (value >> 32) return false;
      break;
    case SYSENTER_CS:
      store<u64>(field, value & 0xffffffff);
      return true;
    case APIC_BASE:
      // BSP (bit 8) is read-only; x2APIC (10) needs the enable bit (11).
      if (value & 0xffffff00000002ff || (value & 0xc00) == 0x400) return false;
      store<u64>(field, (value & ~0x100) | (load<u64>(field) & 0x100));
      return true;
    case FEATURE_CONTROL:
      if (load<u64>(field) & 1) return false;
      break;
    case DEBUG_CONTROL:
      // LBR, BTF and the TR and BTS bits; BTF has an effect (`endStep`), nothing is recorded.
      if (value & ~0xffff) return false;
      break;
    case PAT:
      for (let n: u64 = 0; n < 64; n += 8) {
        const type = (<u32>(value >> n)) & 0xff;
        if (type > 7 || type == 2 || type == 3) return false;
      }
      break;
    case MTRR_DEF_TYPE:
      if (value & ~0xcff || !memoryType((<u32>value) & 0xff)) return false;
      break;
    default:
      if (fixedRange(index) >= 0) {
        for (let n: u64 = 0; n < 64; n += 8) if (!memoryType((<u32>(value >> n)) & 0xff)) return false;
      } else if (index >= MTRR_VARIABLE && index < MTRR_VARIABLE + 16) {
        // Addresses have 40 bits. Base: type in the low byte; mask: valid bit 11.
        if (value >> 40) return false;
        if (index & 1 ? value & 0x7ff : value & 0xf00 || !memoryType((<u32>value) & 0xff)) return false;
      }
  }
  store<u64>(field, value);
  return true;
}

/** SDM vol. 3 §2.2.1: LMA is read-only, LME cannot change while paging is on. */
function writeEfer(cpu: usize, value: u64): bool {
  if (value & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)) return false;
  const old = load<u64>(cpu, Vcpu.efer);
  if ((old ^ value) & EFER_LME && load<u64>(cpu, Vcpu.cr0) & CR0_PG) return false;
  store<u64>(cpu, (value & ~EFER_LMA) | (old & EFER_LMA), Vcpu.efer);
  if ((old ^ value) & EFER_NXE) flushTlb(cpu, false);
  updateMode(cpu);
  return true;
}
