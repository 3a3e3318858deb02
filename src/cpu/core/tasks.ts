/**
 * Hardware task switching between task-state segments of 32 and 16 bits, SDM vol. 3 §7.3 and §7.6. Linux for i386 takes
 * its double faults through a task gate; hardly anything else uses it.
 *
 * Everything up to the commit may fault in the old task. What fails afterwards (segments of the new task) is raised
 * in the new one: the state is the new task's, and RIP is its first instruction.
 */
import { Vcpu } from '../../../build/core/layout';
import { raise } from './events';
import { setFlags } from './flags';
import {
  probeLinear,
  readLinear16,
  readLinear32,
  readLinear8,
  writeLinear16,
  writeLinear32,
  writeLinear8,
} from './memory';
import { loadDirectoryPointers, SYSTEM, WRITE } from './paging';
import { flushTlb } from './tlb';
import { updateMode } from './mode';
import {
  attributesOf,
  baseOf,
  CR0_PG,
  CR0_TS,
  CR4_PAE,
  CS,
  GP,
  gpr,
  LDTR,
  longMode,
  NP,
  NT,
  selectorOf,
  setGpr,
  SS,
  STACK_FAULT,
  TR,
  trouble,
  TS,
  VM,
} from './registers';
import {
  ATTR_CODE,
  ATTR_CONFORMING,
  ATTR_PRESENT,
  ATTR_RW,
  ATTR_S,
  descriptorAddress,
  descriptorAttributes,
  descriptorBase,
  descriptorLimit,
  dplOf,
  fetchDescriptor,
  isNull,
  markAccessed,
  setFromDescriptor,
  setNull,
  setParagraph,
  setSegment,
} from './segments';
import { pushTo } from './stack';

export const SWITCH_JUMP: u32 = 0;
export const SWITCH_CALL: u32 = 1;
/** An interrupt or exception through a task gate. */
export const SWITCH_GATE: u32 = 2;
export const SWITCH_RETURN: u32 = 3;

/** Results of switchTask: a fault in the old task, with nothing changed; done; a fault in the new task. */
export const SWITCH_REFUSED: u32 = 0;
export const SWITCH_DONE: u32 = 1;
export const SWITCH_BROKEN: u32 = 2;

/** Least limit, and bytes that a switch reads and writes, of a 32-bit and a 16-bit TSS. */
const TSS_BYTES: u32 = 0x68;
const TSS16_BYTES: u32 = 0x2c;
/** 32-bit TSS only: CR3 and the T flag, SDM vol. 3 figure 7-2. */
const TSS_CR3: u64 = 0x1c;
const TSS_TRAP: u64 = 0x64;

// Offsets of what both kinds have, SDM vol. 3 figures 7-2 and 7-10.

function atIp(wide: bool): u64 {
  return wide ? 0x20 : 0xe;
}

function atFlags(wide: bool): u64 {
  return wide ? 0x24 : 0x10;
}

function atGpr(wide: bool, n: i32): u64 {
  return wide ? 0x28 + 4 * n : 0x12 + 2 * n;
}

function atSegment(wide: bool, n: i32): u64 {
  return wide ? 0x48 + 4 * n : 0x22 + 2 * n;
}

function atLdt(wide: bool): u64 {
  return wide ? 0x60 : 0x2a;
}

/** A 16-bit TSS has no FS and GS. */
function segmentsOf(wide: bool): i32 {
  return wide ? 6 : 4;
}

function readTask(cpu: usize, address: u64, wide: bool): u32 {
  return wide ? readLinear32(cpu, address, SYSTEM) : readLinear16(cpu, address, SYSTEM);
}

function writeTask(cpu: usize, address: u64, value: u32, wide: bool): void {
  if (wide) writeLinear32(cpu, address, value, SYSTEM | WRITE);
  else writeLinear16(cpu, address, value, SYSTEM | WRITE);
}

function fail(cpu: usize, vector: u32, error: u32): bool {
  raise(cpu, vector, error);
  return false;
}

function refuse(cpu: usize, vector: u32, error: u32): u32 {
  raise(cpu, vector, error);
  return SWITCH_REFUSED;
}

/** Sets or clears the busy bit of a TSS descriptor in the GDT (found writable before). */
function setBusy(cpu: usize, selector: u32, busy: bool): void {
  const address = descriptorAddress(cpu, selector, 8) + 5;
  const access = readLinear8(cpu, address, SYSTEM);
  writeLinear8(cpu, address, busy ? access | 2 : access & ~2, SYSTEM | WRITE);
}

/**
 * Switches to the task of `selector`; `flags` and `rip` are what the old task resumes with.
 * Returns one of the results above.
 */
export function switchTask(
  cpu: usize,
  selector: u32,
  kind: u32,
  flags: u32,
  rip: u64,
  error: u32,
  hasError: bool,
  ext: u32,
): u32 {
  const selectorError = (selector & 0xfffc) | ext;
  const back = kind == SWITCH_RETURN;
  const vector = back ? TS : GP;
  if (longMode(cpu) || selector & 4 || isNull(selector)) return refuse(cpu, vector, selectorError);
  const descriptor = fetchDescriptor(cpu, selector, vector, selectorError);
  if (trouble(cpu)) return SWITCH_REFUSED;
  const attributes = descriptorAttributes(descriptor);
  // Available or busy, of 16 (1, 3) or 32 bits (9, 0Bh).
  if ((attributes & 0x17) != (back ? <u32>3 : <u32>1)) return refuse(cpu, vector, selectorError);
  const wide = (attributes & 8) != 0;
  const oldWide = (attributesOf(cpu, TR) & 8) != 0;
  if (!(attributes & ATTR_PRESENT)) return refuse(cpu, NP, selectorError);
  const bytes = wide ? TSS_BYTES : TSS16_BYTES;
  if (descriptorLimit(descriptor) < bytes - 1) return refuse(cpu, TS, selectorError);
  const oldSelector = selectorOf(cpu, TR);
  const old = baseOf(cpu, TR);
  const base = descriptorBase(descriptor);
  if (!probeLinear(cpu, old, oldWide ? TSS_BYTES : TSS16_BYTES, SYSTEM | WRITE)) return SWITCH_REFUSED;
  if (!probeLinear(cpu, base, bytes, SYSTEM | WRITE)) return SWITCH_REFUSED;
  if (!probeLinear(cpu, descriptorAddress(cpu, selector, 8), 8, SYSTEM | WRITE)) return SWITCH_REFUSED;
  if (!probeLinear(cpu, descriptorAddress(cpu, oldSelector, 8), 8, SYSTEM | WRITE)) return SWITCH_REFUSED;

  // Commit: save the old task, load the new one.
  if (kind == SWITCH_JUMP || back) setBusy(cpu, oldSelector, false);
  writeTask(cpu, old + atIp(oldWide), <u32>rip, oldWide);
  writeTask(cpu, old + atFlags(oldWide), back ? flags & ~NT : flags, oldWide);
  for (let n = 0; n < 8; n++) writeTask(cpu, old + atGpr(oldWide, n), <u32>gpr(cpu, n), oldWide);
  for (let n = 0; n < segmentsOf(oldWide); n++) {
    writeLinear16(cpu, old + atSegment(oldWide, n), selectorOf(cpu, n), SYSTEM | WRITE);
  }
  const nested = kind == SWITCH_CALL || kind == SWITCH_GATE;
  if (nested) writeLinear16(cpu, base, oldSelector, SYSTEM | WRITE);
  if (!back) setBusy(cpu, selector, true);
  setSegment(cpu, TR, selector, base, descriptorLimit(descriptor), attributes | 2);

  const newFlags = readTask(cpu, base + atFlags(wide), wide) | (nested ? NT : 0);
  store<u64>(cpu, readTask(cpu, base + atIp(wide), wide), Vcpu.rip);
  for (let n = 0; n < 8; n++) setGpr(cpu, n, readTask(cpu, base + atGpr(wide, n), wide));
  const ldt = readLinear16(cpu, base + atLdt(wide), SYSTEM);
  const trap = wide ? readLinear16(cpu, base + TSS_TRAP, SYSTEM) & 1 : 0;
  for (let n = 0; n < 6; n++) {
    setNull(cpu, n, n < segmentsOf(wide) ? readLinear16(cpu, base + atSegment(wide, n), SYSTEM) : 0);
  }
  // A 16-bit image has no upper half: it stays, but for VM (SDM vol. 3 §20.2.5).
  setFlags(cpu, newFlags, wide ? 0x3f7fd5 : 0x7fd5 | VM);
  store<u64>(cpu, load<u64>(cpu, Vcpu.cr0) | CR0_TS, Vcpu.cr0);
  if (wide && load<u64>(cpu, Vcpu.cr0) & CR0_PG) {
    if (!switchDirectory(cpu, readLinear32(cpu, base + TSS_CR3, SYSTEM))) raise(cpu, TS, ext);
  }
  store<u32>(cpu, newFlags & VM ? 3 : selectorOf(cpu, CS) & 3, Vcpu.cpl);
  updateMode(cpu);
  if (trap) store<u32>(cpu, load<u32>(cpu, Vcpu.pendingDebug) | 0x8000, Vcpu.pendingDebug);

  if (trouble(cpu)) return SWITCH_BROKEN;
  loadTaskSegments(cpu, ldt, ext);
  updateMode(cpu);
  if (trouble(cpu)) return SWITCH_BROKEN;
  if (hasError) {
    const limit = load<u32>(cpu + ((<usize>SS) << 2), Vcpu.segLimit);
    const sp = pushTo(cpu, baseOf(cpu, SS), limit, attributesOf(cpu, SS), gpr(cpu, 4), wide ? 4 : 2, error, WRITE, ext);
    if (trouble(cpu)) return SWITCH_BROKEN;
    setGpr(cpu, 4, sp);
  }
  return SWITCH_DONE;
}

/**
 * CR3 of the new task. false where a page-directory pointer of PAE paging is not valid: then none is present. The manual
 * leaves open what a processor raises (§4.4.1 speaks of MOV alone): #TS, as for the rest of the new task's state.
 */
function switchDirectory(cpu: usize, cr3: u32): bool {
  const pae = (load<u64>(cpu, Vcpu.cr4) & CR4_PAE) != 0 && !longMode(cpu);
  const valid = !pae || <u64>cr3 == load<u64>(cpu, Vcpu.cr3) || loadDirectoryPointers(cpu, cr3);
  if (!valid) memory.fill(cpu + Vcpu.pdpte, 0, 32);
  store<u64>(cpu, cr3, Vcpu.cr3);
  flushTlb(cpu, true);
  return valid;
}

/** LDTR and the six segments of the new task, checked with #TS (SDM vol. 3 table 7-1). */
function loadTaskSegments(cpu: usize, ldt: u32, ext: u32): void {
  setNull(cpu, LDTR, ldt);
  if (!isNull(ldt)) {
    const error = (ldt & 0xfffc) | ext;
    if (ldt & 4) {
      raise(cpu, TS, error);
      return;
    }
    const descriptor = fetchDescriptor(cpu, ldt, TS, error);
    if (trouble(cpu)) return;
    const attributes = descriptorAttributes(descriptor);
    if ((attributes & (0x1f | ATTR_PRESENT)) != (2 | ATTR_PRESENT)) {
      raise(cpu, TS, error);
      return;
    }
    setSegment(cpu, LDTR, ldt, descriptorBase(descriptor), descriptorLimit(descriptor), attributes);
  }
  if (load<u32>(cpu, Vcpu.eflags) & VM) {
    for (let n = 0; n < 6; n++) setParagraph(cpu, n, selectorOf(cpu, n));
    return;
  }
  if (!loadTaskSegment(cpu, CS, ext) || !loadTaskSegment(cpu, SS, ext)) return;
  for (let n = 0; n < 6; n++) {
    if (n != CS && n != SS && !loadTaskSegment(cpu, n, ext)) return;
  }
}

function loadTaskSegment(cpu: usize, segment: i32, ext: u32): bool {
  const selector = selectorOf(cpu, segment);
  const error = (selector & 0xfffc) | ext;
  const cpl = load<u32>(cpu, Vcpu.cpl);
  if (isNull(selector)) {
    if (segment == CS || segment == SS) return fail(cpu, TS, error);
    return true;
  }
  const descriptor = fetchDescriptor(cpu, selector, TS, error);
  if (trouble(cpu)) return false;
  const attributes = descriptorAttributes(descriptor);
  const dpl = dplOf(attributes);
  const code = (attributes & ATTR_CODE) != 0;
  const conforming = code && (attributes & ATTR_CONFORMING) != 0;
  const rpl = selector & 3;
  let good = (attributes & ATTR_S) != 0;
  if (segment == CS) good = good && code && (conforming ? dpl <= rpl : dpl == rpl);
  else if (segment == SS) good = good && !code && (attributes & ATTR_RW) != 0 && dpl == cpl && rpl == cpl;
  else good = good && (!code || (attributes & ATTR_RW) != 0) && (conforming || (rpl <= dpl && cpl <= dpl));
  if (!good) return fail(cpu, TS, error);
  if (!(attributes & ATTR_PRESENT)) return fail(cpu, segment == SS ? STACK_FAULT : NP, error);
  if (!markAccessed(cpu, selector, descriptor)) return false;
  setFromDescriptor(cpu, segment, selector, descriptor);
  return true;
}
