/**
 * What follows from control registers, segments and flags, computed once when one of them changes.
 *
 * The mode key is what decoded code depends on besides its bytes. Code decoded under one key never runs under another.
 */
import { Arena, ModeKey, Vcpu } from '../../../build/core/layout';
import { tlbSet, updateCodeKey } from './tlb';
import {
  AC,
  attributesOf,
  baseOf,
  CR0_AM,
  CR0_EM,
  CR0_TS,
  CR4_OSFXSR,
  CR4_SMAP,
  CS,
  DS,
  ES,
  limitOf,
  longMode,
  paragraphs,
  SS,
} from './registers';
import { ATTR_BIG, ATTR_LONG, ATTR_UNUSABLE } from './segments';

/** Its bits (`cpu/mode-key.ts`). */
export const MODE_CODE_MASK: u32 = ModeKey.code;
export const MODE_CODE32: u32 = ModeKey.code32;
export const MODE_CODE64: u32 = ModeKey.code64;
export const MODE_USER: u32 = ModeKey.user;
export const MODE_STACK_FLAT: u32 = ModeKey.stackFlat;
export const MODE_DATA_FLAT: u32 = ModeKey.dataFlat;
export const MODE_CODE_FLAT: u32 = ModeKey.codeFlat;
export const MODE_PROTECTED: u32 = ModeKey.protectedMode;
export const MODE_ALIGNMENT: u32 = ModeKey.alignmentCheck;

export const FPU_X87_NM: u32 = 1;
export const FPU_SSE_NM: u32 = 2;
export const FPU_SSE_UD: u32 = 4;

/** Usable, expand-up, writable data over all 4 GiB. */
function flatData(cpu: usize, segment: i32): bool {
  return (
    (attributesOf(cpu, segment) & (ATTR_UNUSABLE | 0xe)) == 2 &&
    baseOf(cpu, segment) == 0 &&
    limitOf(cpu, segment) == 0xffffffff
  );
}

/** Recomputes all derived fields. Call after any change of CS, SS, DS, ES, CPL, CR0, CR4, EFER, EFLAGS.VM or AC. */
export function updateMode(cpu: usize): void {
  const code = attributesOf(cpu, CS);
  const user = load<u32>(cpu, Vcpu.cpl) == 3;
  if (user) store<u32>(cpu, 1, Vcpu.userRan);
  let key: u32 = user ? MODE_USER : 0;
  if (!paragraphs(cpu)) key |= MODE_PROTECTED;
  if (longMode(cpu) && code & ATTR_LONG) {
    key |= MODE_CODE64 | MODE_STACK_FLAT | MODE_DATA_FLAT | MODE_CODE_FLAT;
    store<u64>(cpu, 0xffffffffffffffff, Vcpu.addressMask);
    store<u64>(cpu, 0xffffffffffffffff, Vcpu.stackMask);
  } else {
    if (code & ATTR_BIG) key |= MODE_CODE32;
    store<u64>(cpu, code & ATTR_BIG ? 0xffffffff : 0xffff, Vcpu.addressMask);
    const big = (attributesOf(cpu, SS) & ATTR_BIG) != 0;
    store<u64>(cpu, big ? 0xffffffff : 0xffff, Vcpu.stackMask);
    if (big && flatData(cpu, SS)) key |= MODE_STACK_FLAT;
    if (flatData(cpu, DS) && flatData(cpu, ES)) key |= MODE_DATA_FLAT;
    if (baseOf(cpu, CS) == 0 && limitOf(cpu, CS) == 0xffffffff) key |= MODE_CODE_FLAT;
  }
  if (user && load<u32>(cpu, Vcpu.eflags) & AC && load<u64>(cpu, Vcpu.cr0) & CR0_AM) key |= MODE_ALIGNMENT;
  store<u32>(cpu, key, Vcpu.modeKey);
  updateCodeKey(cpu);
  updateTlbSet(cpu);
  updateFpuTrap(cpu);
}

/** Chooses the TLB sets by the mode key and, for the supervisor, CR4.SMAP and EFLAGS.AC. */
export function updateTlbSet(cpu: usize): void {
  const key = load<u32>(cpu, Vcpu.modeKey);
  const ac = (load<u32>(cpu, Vcpu.eflags) & AC) != 0;
  const fill: u32 = key & MODE_USER ? 1 : ac && load<u64>(cpu, Vcpu.cr4) & CR4_SMAP ? 2 : 0;
  store<u32>(cpu, tlbSet(cpu, fill), Vcpu.tlbFill);
  store<u32>(cpu, tlbSet(cpu, key & MODE_ALIGNMENT ? Arena.tlbSets : fill), Vcpu.tlb);
}

/** SDM vol. 3 table 2-2 and §13.1: what x87 and SSE instructions meet. */
export function updateFpuTrap(cpu: usize): void {
  const cr0 = load<u64>(cpu, Vcpu.cr0);
  let trap: u32 = 0;
  if (cr0 & (CR0_EM | CR0_TS)) trap |= FPU_X87_NM;
  if (cr0 & CR0_TS) trap |= FPU_SSE_NM;
  if (cr0 & CR0_EM || !(load<u64>(cpu, Vcpu.cr4) & CR4_OSFXSR)) trap |= FPU_SSE_UD;
  store<u32>(cpu, trap, Vcpu.fpuTrap);
}
