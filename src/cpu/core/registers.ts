/**
 * Small accessors of the vCPU's fields that every file of the core needs, and the names of bits.
 * Sources: SDM vol. 3 §2.3 (EFLAGS), §2.5 (control registers), §2.2.1 (EFER).
 */
import { Record, Vcpu } from '../../../build/core/layout';

/** Segment registers by number. */
export const ES: i32 = 0;
export const CS: i32 = 1;
export const SS: i32 = 2;
export const DS: i32 = 3;
export const FS: i32 = 4;
export const GS: i32 = 5;
export const LDTR: i32 = 6;
export const TR: i32 = 7;

/** General registers by number. */
export const RAX: i32 = 0;
export const RCX: i32 = 1;
export const RDX: i32 = 2;
export const RBX: i32 = 3;
export const RSP: i32 = 4;
export const RBP: i32 = 5;
export const RSI: i32 = 6;
export const RDI: i32 = 7;
export const R11: i32 = 11;

/** EFLAGS. */
export const CF: u32 = 0x1;
export const PF: u32 = 0x4;
export const AF: u32 = 0x10;
export const ZF: u32 = 0x40;
export const SF: u32 = 0x80;
export const TF: u32 = 0x100;
export const IF: u32 = 0x200;
export const DF: u32 = 0x400;
export const OF: u32 = 0x800;
export const IOPL: u32 = 0x3000;
export const NT: u32 = 0x4000;
export const RF: u32 = 0x10000;
export const VM: u32 = 0x20000;
export const AC: u32 = 0x40000;
export const VIF: u32 = 0x80000;
export const VIP: u32 = 0x100000;
export const ID: u32 = 0x200000;
/** The six flags that the lazy words hold. */
export const ARITHMETIC: u32 = 0x8d5;
/** Everything that POPF and IRET at CPL 0 may change in a 32-bit image, RF, VM, VIF and VIP apart. */
export const WRITABLE: u32 = 0x247fd5;

export const CR0_PE: u64 = 0x1;
export const CR0_MP: u64 = 0x2;
export const CR0_EM: u64 = 0x4;
export const CR0_TS: u64 = 0x8;
export const CR0_ET: u64 = 0x10;
export const CR0_WP: u64 = 0x10000;
export const CR0_AM: u64 = 0x40000;
export const CR0_NW: u64 = 0x20000000;
export const CR0_CD: u64 = 0x40000000;
export const CR0_PG: u64 = 0x80000000;

export const CR4_TSD: u64 = 0x4;
export const CR4_DE: u64 = 0x8;
export const CR4_PSE: u64 = 0x10;
export const CR4_PAE: u64 = 0x20;
export const CR4_PGE: u64 = 0x80;
export const CR4_PCE: u64 = 0x100;
export const CR4_OSFXSR: u64 = 0x200;
export const CR4_UMIP: u64 = 0x800;
export const CR4_OSXSAVE: u64 = 0x40000;
export const CR4_SMEP: u64 = 0x100000;
export const CR4_SMAP: u64 = 0x200000;

export const EFER_SCE: u64 = 0x1;
export const EFER_LME: u64 = 0x100;
export const EFER_LMA: u64 = 0x400;
export const EFER_NXE: u64 = 0x800;

/** Exception vectors, SDM vol. 3 table 6-1. */
export const DB: u32 = 1;
export const NMI: u32 = 2;
export const BP: u32 = 3;
export const UD: u32 = 6;
export const NM: u32 = 7;
export const DOUBLE_FAULT: u32 = 8;
export const TS: u32 = 10;
export const NP: u32 = 11;
export const STACK_FAULT: u32 = 12;
export const GP: u32 = 13;
export const PAGE_FAULT: u32 = 14;
export const ALIGNMENT: u32 = 17;

// @ts-ignore: decorator
@inline
export function gpr(cpu: usize, n: i32): u64 {
  return load<u64>(cpu + ((<usize>n) << 3), Vcpu.gpr);
}

// @ts-ignore: decorator
@inline
export function setGpr(cpu: usize, n: i32, value: u64): void {
  store<u64>(cpu + ((<usize>n) << 3), value, Vcpu.gpr);
}

/** Writes the low `size` bytes of a general register as an instruction does: 4 clears the upper half, 1 and 2 keep it. */
export function setGprSized(cpu: usize, n: i32, size: i32, value: u64): void {
  const at = cpu + ((<usize>n) << 3);
  if (size == 8) store<u64>(at, value, Vcpu.gpr);
  else if (size == 4) store<u64>(at, value & 0xffffffff, Vcpu.gpr);
  else if (size == 2) store<u16>(at, <u16>value, Vcpu.gpr);
  else store<u8>(at, <u8>value, Vcpu.gpr);
}

// @ts-ignore: decorator
@inline
export function selectorOf(cpu: usize, segment: i32): u32 {
  return <u32>load<u16>(cpu + ((<usize>segment) << 1), Vcpu.segSelector);
}

// @ts-ignore: decorator
@inline
export function baseOf(cpu: usize, segment: i32): u64 {
  return load<u64>(cpu + ((<usize>segment) << 3), Vcpu.segBase);
}

// @ts-ignore: decorator
@inline
export function limitOf(cpu: usize, segment: i32): u32 {
  return load<u32>(cpu + ((<usize>segment) << 2), Vcpu.segLimit);
}

// @ts-ignore: decorator
@inline
export function attributesOf(cpu: usize, segment: i32): u32 {
  return load<u32>(cpu + ((<usize>segment) << 2), Vcpu.segAttributes);
}

// @ts-ignore: decorator
@inline
export function cplOf(cpu: usize): u32 {
  return load<u32>(cpu, Vcpu.cpl);
}

// @ts-ignore: decorator
@inline
export function protectedMode(cpu: usize): bool {
  return (load<u64>(cpu, Vcpu.cr0) & CR0_PE) != 0;
}

/** Virtual-8086 mode. */
// @ts-ignore: decorator
@inline
export function virtual8086(cpu: usize): bool {
  return (load<u32>(cpu, Vcpu.eflags) & VM) != 0;
}

/** Real or virtual-8086 mode: selectors are paragraphs. */
// @ts-ignore: decorator
@inline
export function paragraphs(cpu: usize): bool {
  return !protectedMode(cpu) || virtual8086(cpu);
}

/** IA-32e mode is active: 64-bit or compatibility mode. */
// @ts-ignore: decorator
@inline
export function longMode(cpu: usize): bool {
  return (load<u64>(cpu, Vcpu.efer) & EFER_LMA) != 0;
}

/** The running code is 64-bit (LMA and CS.L). */
// @ts-ignore: decorator
@inline
export function code64(cpu: usize): bool {
  return (load<u32>(cpu, Vcpu.modeKey) & 3) == 2;
}

// @ts-ignore: decorator
@inline
export function iopl(cpu: usize): u32 {
  return (load<u32>(cpu, Vcpu.eflags) >> 12) & 3;
}

/** A fault is pending, or an access to a device that must be repeated: the caller leaves. */
// @ts-ignore: decorator
@inline
export function trouble(cpu: usize): bool {
  return load<u32>(cpu, Vcpu.trouble) != 0;
}

/** 48-bit canonical addresses, SDM vol. 1 §3.3.7.1. */
// @ts-ignore: decorator
@inline
export function canonical(address: u64): bool {
  return <u64>((<i64>(address << 16)) >> 16) == address;
}

/** A linear address of tables and segments: 32 bits outside of IA-32e mode. */
// @ts-ignore: decorator
@inline
export function linearMask(cpu: usize): u64 {
  return longMode(cpu) ? 0xffffffffffffffff : 0xffffffff;
}

/** RIP of the current instruction (helpers only: Vcpu.record names it). */
export function currentRip(cpu: usize): u64 {
  const record = <usize>load<u32>(cpu, Vcpu.record);
  const rip = load<u64>(cpu, Vcpu.ripBase) + load<u16>(record, Record.offset);
  return code64(cpu) ? rip : rip & 0xffffffff;
}

/** RIP of the instruction after the current one. */
export function nextRip(cpu: usize): u64 {
  const record = <usize>load<u32>(cpu, Vcpu.record);
  const rip = load<u64>(cpu, Vcpu.ripBase) + load<u16>(record, Record.offset) + load<u8>(record, Record.length);
  return code64(cpu) ? rip : rip & 0xffffffff;
}

/** Moves the stack pointer; the bits outside of the stack's width stay, but a 32-bit one clears the upper half. */
export function setStackPointer(cpu: usize, value: u64): void {
  const mask = load<u64>(cpu, Vcpu.stackMask);
  if (mask == 0xffff) store<u16>(cpu + ((<usize>RSP) << 3), <u16>value, Vcpu.gpr);
  else setGpr(cpu, RSP, value & mask);
}

/** Opens an interrupt shadow over the next instruction: 1 by STI, 2 by a load of SS (which holds back #DB traps too). */
export function castShadow(cpu: usize, kind: u32): void {
  store<u32>(cpu, kind, Vcpu.shadow);
  store<u32>(cpu, 1, Vcpu.shadowFresh);
}
