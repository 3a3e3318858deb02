/**
 * Values of the vCPU's registers after reset (SDM vol. 3 §9.1, table 9-1), and the flat modes in which boot protocols
 * enter a kernel.
 */
import type { Vcpu } from '../cpu/state.ts';
import { physical } from './memory-map.ts';

export type VcpuAccess = ReturnType<typeof Vcpu.at>;

/** Segment numbers of `Vcpu.segBase` and its siblings. */
const segment = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5, ldtr: 6, tr: 7 } as const;

/** Descriptor attributes as `Vcpu.segAttributes` has them: access byte, then AVL, L, D/B, G from bit 8. */
const attributes = {
  realCode: 0x9b,
  realData: 0x93,
  code32: 0xc9b,
  code64: 0xa9b,
  data32: 0xc93,
  ldt: 0x82,
  tss: 0x8b,
  unusable: 0x10000,
} as const;

const cr0 = {
  protection: 1,
  extensionType: 0x10,
  numericError: 0x20,
  notWriteThrough: 0x20000000,
  cacheDisable: 0x40000000,
};
const pagingBit = 0x80000000;
const cr4Pae = 0x20n;
const efer = { longEnable: 0x100n, longActive: 0x400n };

/** Write-back by default, fixed and variable ranges enabled; PCI's memory uncached, as PC firmware sets it up. */
const mtrrDefault = 0xc06n;
const uncachedBase = BigInt(physical.lowRamLimit);
const uncachedMask = 0xff_c000_0800n;
const patReset = 0x0007_0406_0007_0406n;
/** Fast strings on; branch trace storage and precise sampling unavailable. */
const miscEnable = 0x1801n;

/** The state after a hardware reset: real mode at FFFFFFF0h. Instruction count and clock go on. */
export function resetVcpu(v: VcpuAccess, signature: number): void {
  for (const registers of [v.gpr, v.segBase, v.xmm, v.ymmHigh, v.st, v.dr]) registers.fill(0n);
  v.gpr[2] = BigInt(signature);
  v.zero = 0n;
  setFlags(v);
  v.cpl = 0;
  v.rip = 0xfff0n;
  v.segSelector.fill(0);
  v.segLimit.fill(0xffff);
  v.segAttributes.fill(attributes.realData);
  v.segSelector[segment.cs] = 0xf000;
  v.segBase[segment.cs] = 0xffff0000n;
  v.segAttributes[segment.cs] = attributes.realCode;
  v.segAttributes[segment.ldtr] = attributes.ldt;
  v.segAttributes[segment.tr] = attributes.tss;
  v.gdtBase = 0n;
  v.idtBase = 0n;
  v.gdtLimit = 0xffff;
  v.idtLimit = 0xffff;
  v.cr0 = BigInt(cr0.extensionType + cr0.notWriteThrough + cr0.cacheDisable);
  v.cr2 = 0n;
  v.cr3 = 0n;
  v.cr4 = 0n;
  v.cr8 = 0n;
  v.pdpte.fill(0n);
  v.efer = 0n;
  v.xcr0 = 1n;
  v.dr[6] = 0xffff0ff0n;
  v.dr[7] = 0x400n;
  resetFpu(v);
  resetMsrs(v);
  clearEvents(v);
}

/** Clears the arithmetic flags in their lazy form (see `cpu/state.ts`), and EFLAGS but for the fixed bit. */
function setFlags(v: VcpuAccess): void {
  // A result of 1 gives ZF = 0, SF = 0, and odd parity.
  v.flagResult = 1n;
  v.flagOverflow = 0n;
  v.flagCarry = 0;
  v.flagAux = 0;
  v.eflags = 2;
}

function resetFpu(v: VcpuAccess): void {
  v.fpuControl = 0x40;
  v.fpuStatus = 0;
  v.fpuTags = 0xff;
  v.fpuOpcode = 0;
  v.fpuTop = 0;
  v.mxcsr = 0x1f80;
  v.fpuIp = 0n;
  v.fpuDp = 0n;
}

function resetMsrs(v: VcpuAccess): void {
  v.msrStar = 0n;
  v.msrLstar = 0n;
  v.msrCstar = 0n;
  v.msrSfmask = 0n;
  v.msrKernelGsBase = 0n;
  v.msrSysenterCs = 0n;
  v.msrSysenterEsp = 0n;
  v.msrSysenterEip = 0n;
  v.msrPat = patReset;
  v.msrApicBase = BigInt(physical.localApic + 0x900);
  v.msrTscAdjust = 0n;
  v.msrTscAux = 0n;
  v.msrTscDeadline = 0n;
  v.msrMiscEnable = miscEnable;
  v.msrFeatureControl = 1n;
  v.msrMicrocode = 0n;
  v.msrDebugControl = 0n;
  v.msrMtrrDefType = mtrrDefault;
  // Conventional memory write-back, VGA's place uncached, firmware write-protected.
  v.msrMtrrFixed.fill(0x0606060606060606n);
  v.msrMtrrFixed[2] = 0n;
  for (let i = 3; i < 11; i++) v.msrMtrrFixed[i] = 0x0505050505050505n;
  v.msrMtrrVariable.fill(0n);
  v.msrMtrrVariable[0] = uncachedBase;
  v.msrMtrrVariable[1] = uncachedMask;
  v.msrKvmWallClock = 0n;
  v.msrKvmSystemTime = 0n;
  v.msrKvmPvEoi = 0n;
  v.msrSpare.fill(0n);
}

function clearEvents(v: VcpuAccess): void {
  v.shadow = 0;
  v.halted = 0;
  v.interruptRequest = 0;
  v.nmiRequest = 0;
  v.nmiBlocked = 0;
  v.shutdown = 0;
  v.pendingDebug = 0;
  v.delivering = 0;
  v.exceptionPending = 0;
  v.exceptionHasError = 0;
  v.attention = 0;
}

/** Selectors of the boot GDT, as Linux's boot protocol names them (`__BOOT_CS`, `__BOOT_DS`). */
export const bootSelector = { code: 0x10, data: 0x18, task: 0x20 } as const;

/** The boot GDT: null, unused, code, data, task state. */
export function bootGdt(bits: 32 | 64): Uint8Array {
  const view = new DataView(new ArrayBuffer(48));
  const code = bits === 64 ? 0x00af9b000000ffffn : 0x00cf9b000000ffffn;
  view.setBigUint64(bootSelector.code, code, true);
  view.setBigUint64(bootSelector.data, 0x00cf93000000ffffn, true);
  view.setBigUint64(bootSelector.task, 0x00008b0000000067n, true);
  return new Uint8Array(view.buffer);
}

/** Protected mode with flat segments, interrupts off, paging off. */
export function enterFlat32(v: VcpuAccess, gdtBase: number, rip: number): void {
  setFlat(v, gdtBase, rip, attributes.code32);
  v.cr0 = BigInt(cr0.protection + cr0.extensionType);
}

/** Long mode with flat segments and the page tables at `cr3`. */
export function enterLong(v: VcpuAccess, gdtBase: number, rip: number, cr3: number): void {
  setFlat(v, gdtBase, rip, attributes.code64);
  v.cr3 = BigInt(cr3);
  v.cr4 = cr4Pae;
  v.efer = efer.longEnable | efer.longActive;
  v.cr0 = BigInt(cr0.protection + cr0.extensionType + cr0.numericError + pagingBit);
}

function setFlat(v: VcpuAccess, gdtBase: number, rip: number, codeAttributes: number): void {
  setFlags(v);
  v.cpl = 0;
  v.rip = BigInt(rip);
  v.gdtBase = BigInt(gdtBase);
  v.gdtLimit = 47;
  v.idtBase = 0n;
  v.idtLimit = 0;
  v.segBase.fill(0n);
  v.segLimit.fill(0xffffffff);
  v.segSelector.fill(bootSelector.data);
  v.segAttributes.fill(attributes.data32);
  v.segSelector[segment.cs] = bootSelector.code;
  v.segAttributes[segment.cs] = codeAttributes;
  v.segSelector[segment.ldtr] = 0;
  v.segAttributes[segment.ldtr] = attributes.ldt | attributes.unusable;
  v.segSelector[segment.tr] = bootSelector.task;
  v.segLimit[segment.tr] = 0x67;
  v.segAttributes[segment.tr] = attributes.tss;
}
