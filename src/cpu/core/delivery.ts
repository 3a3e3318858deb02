/**
 * Entering a handler through the interrupt table: real mode (IVT), protected mode (16- and 32-bit gates, inner stack,
 * from virtual-8086 mode, task gates) and IA-32e mode (16-byte gates, IST).
 *
 * Each function checks everything, writes the frame below the stack pointer, and only then changes registers; on a
 * fault it returns false with the exception raised, and registers are as before.
 * Sources: SDM vol. 3 chapter 6 (§6.10–§6.14), §20.1.4 (real mode), §20.3 (virtual-8086); vol. 2, INT n (pseudocode).
 */
import { Vcpu } from '../../../build/core/layout';
import { raise, SOURCE_SOFTWARE } from './events';
import { readLinear16, readLinear32, readLinear64 } from './memory';
import { SYSTEM, WRITE } from './paging';
import { updateMode } from './mode';
import {
  AC,
  attributesOf,
  baseOf,
  canonical,
  code64,
  cplOf,
  CS,
  DS,
  ES,
  FS,
  GP,
  gpr,
  GS,
  IF,
  limitOf,
  longMode,
  NP,
  NT,
  protectedMode,
  RF,
  RSP,
  selectorOf,
  setGpr,
  setStackPointer,
  SS,
  STACK_FAULT,
  TF,
  TR,
  trouble,
  TS,
  VM,
} from './registers';
import {
  ATTR_BIG,
  ATTR_CODE,
  ATTR_CONFORMING,
  ATTR_LONG,
  ATTR_PRESENT,
  ATTR_RW,
  ATTR_S,
  descriptorAttributes,
  descriptorBase,
  descriptorLimit,
  dplOf,
  fetchDescriptor,
  isNull,
  markAccessed,
  setCode,
  setFromDescriptor,
  setNull,
  setParagraph,
} from './segments';
import { pushTo, writeSized } from './stack';
import { SWITCH_DONE, SWITCH_GATE, switchTask } from './tasks';

/** Enters the handler of `vector`; `flags` is the image to push, `rip` the return address. false: a fault is raised. */
export function deliver(cpu: usize, vector: u32, source: u32, error: u32, hasError: bool, flags: u32, rip: u64): bool {
  if (!protectedMode(cpu)) return deliverReal(cpu, vector, flags, rip);
  if (longMode(cpu)) return deliverLong(cpu, vector, source, error, hasError, flags, rip);
  return deliverProtected(cpu, vector, source, error, hasError, flags, rip);
}

// @ts-ignore: decorator
@inline
function fail(cpu: usize, vector: u32, error: u32): bool {
  raise(cpu, vector, error);
  return false;
}

// @ts-ignore: decorator
@inline
function leaveFlags(cpu: usize, cleared: u32): void {
  store<u32>(cpu, load<u32>(cpu, Vcpu.eflags) & ~cleared, Vcpu.eflags);
}

function deliverReal(cpu: usize, vector: u32, flags: u32, rip: u64): bool {
  const offset = vector * 4;
  if (offset + 3 > load<u32>(cpu, Vcpu.idtLimit)) return fail(cpu, GP, offset + 2);
  const entry = readLinear32(cpu, (load<u64>(cpu, Vcpu.idtBase) + offset) & 0xffffffff, SYSTEM);
  if (trouble(cpu)) return false;
  const base = baseOf(cpu, SS);
  const limit = limitOf(cpu, SS);
  const attributes = attributesOf(cpu, SS);
  let sp = gpr(cpu, RSP);
  sp = pushTo(cpu, base, limit, attributes, sp, 2, flags, WRITE, 0);
  sp = pushTo(cpu, base, limit, attributes, sp, 2, selectorOf(cpu, CS), WRITE, 0);
  sp = pushTo(cpu, base, limit, attributes, sp, 2, rip, WRITE, 0);
  if (trouble(cpu)) return false;
  setStackPointer(cpu, sp);
  setParagraph(cpu, CS, entry >> 16);
  leaveFlags(cpu, IF | TF | AC | RF);
  store<u64>(cpu, entry & 0xffff, Vcpu.rip);
  updateMode(cpu);
  return true;
}

/**
 * Checks of a gate's code segment that all modes share; returns its descriptor. `ext` is the EXT bit of error codes.
 * SDM vol. 2, INT n: the target must be code no less privileged than the program that is interrupted.
 */
function gateTarget(cpu: usize, selector: u32, ext: u32): u64 {
  if (isNull(selector)) {
    raise(cpu, GP, ext);
    return 0;
  }
  const selectorError = (selector & 0xfffc) | ext;
  const descriptor = fetchDescriptor(cpu, selector, GP, selectorError);
  if (trouble(cpu)) return 0;
  const attributes = descriptorAttributes(descriptor);
  if ((attributes & (ATTR_S | ATTR_CODE)) != (ATTR_S | ATTR_CODE) || dplOf(attributes) > cplOf(cpu)) {
    raise(cpu, GP, selectorError);
  } else if (!(attributes & ATTR_PRESENT)) raise(cpu, NP, selectorError);
  return descriptor;
}

function deliverProtected(
  cpu: usize,
  vector: u32,
  source: u32,
  error: u32,
  hasError: bool,
  flags: u32,
  rip: u64,
): bool {
  const ext: u32 = source == SOURCE_SOFTWARE ? 0 : 1;
  const offset = vector * 8;
  const gateError = (offset + 2) | ext;
  const cpl = cplOf(cpu);
  if (offset + 7 > load<u32>(cpu, Vcpu.idtLimit)) return fail(cpu, GP, gateError);
  const gate = readLinear64(cpu, (load<u64>(cpu, Vcpu.idtBase) + offset) & 0xffffffff, SYSTEM);
  if (trouble(cpu)) return false;
  const access = (<u32>(gate >> 40)) & 0xff;
  const type = access & 0x1f;
  // Task gate, 16-bit interrupt and trap gate, 32-bit ones.
  if (type != 5 && (type & 0x16) != 6) return fail(cpu, GP, gateError);
  if (source == SOURCE_SOFTWARE && dplOf(access) < cpl) return fail(cpu, GP, gateError);
  if (!(access & ATTR_PRESENT)) return fail(cpu, NP, gateError);
  const selector = (<u32>(gate >> 16)) & 0xffff;
  if (type == 5) return switchTask(cpu, selector, SWITCH_GATE, flags, rip, error, hasError, ext) == SWITCH_DONE;
  const size = type & 8 ? 4 : 2;
  const target = size == 4 ? (gate & 0xffff) | ((gate >> 32) & 0xffff0000) : gate & 0xffff;

  const descriptor = gateTarget(cpu, selector, ext);
  if (trouble(cpu)) return false;
  const attributes = descriptorAttributes(descriptor);
  const inner = !(attributes & ATTR_CONFORMING) && dplOf(attributes) < cpl;
  const newCpl = inner ? dplOf(attributes) : cpl;
  const fromV86 = (flags & VM) != 0;
  if (fromV86 && (!inner || newCpl != 0)) return fail(cpu, GP, (selector & 0xfffc) | ext);
  if (target > descriptorLimit(descriptor)) return fail(cpu, GP, ext);

  let base = baseOf(cpu, SS);
  let limit = limitOf(cpu, SS);
  let stackAttributes = attributesOf(cpu, SS);
  let sp = gpr(cpu, RSP);
  let stackError = ext;
  let stackDescriptor: u64 = 0;
  let stackSelector: u32 = 0;
  const kind = newCpl == 3 ? WRITE : WRITE | SYSTEM;
  if (inner) {
    const pointer = innerStack(cpu, newCpl, ext);
    if (trouble(cpu)) return false;
    stackSelector = <u32>(pointer >> 32);
    stackDescriptor = innerStackSegment(cpu, stackSelector, newCpl, ext);
    if (trouble(cpu)) return false;
    base = descriptorBase(stackDescriptor);
    limit = descriptorLimit(stackDescriptor);
    stackAttributes = descriptorAttributes(stackDescriptor);
    sp = pointer & 0xffffffff;
    stackError = (stackSelector & 0xfffc) | ext;
    if (fromV86) {
      sp = pushTo(cpu, base, limit, stackAttributes, sp, size, selectorOf(cpu, GS), kind, stackError);
      sp = pushTo(cpu, base, limit, stackAttributes, sp, size, selectorOf(cpu, FS), kind, stackError);
      sp = pushTo(cpu, base, limit, stackAttributes, sp, size, selectorOf(cpu, DS), kind, stackError);
      sp = pushTo(cpu, base, limit, stackAttributes, sp, size, selectorOf(cpu, ES), kind, stackError);
    }
    sp = pushTo(cpu, base, limit, stackAttributes, sp, size, selectorOf(cpu, SS), kind, stackError);
    sp = pushTo(cpu, base, limit, stackAttributes, sp, size, gpr(cpu, RSP), kind, stackError);
  }
  sp = pushTo(cpu, base, limit, stackAttributes, sp, size, flags, kind, stackError);
  sp = pushTo(cpu, base, limit, stackAttributes, sp, size, selectorOf(cpu, CS), kind, stackError);
  sp = pushTo(cpu, base, limit, stackAttributes, sp, size, rip, kind, stackError);
  if (hasError) sp = pushTo(cpu, base, limit, stackAttributes, sp, size, error, kind, stackError);
  if (trouble(cpu) || !markAccessed(cpu, selector, descriptor)) return false;
  if (inner && !markAccessed(cpu, stackSelector, stackDescriptor)) return false;

  if (inner) {
    setFromDescriptor(cpu, SS, stackSelector, stackDescriptor);
    setGpr(cpu, RSP, sp);
  } else setStackPointer(cpu, sp);
  leaveFlags(cpu, (type & 1 ? 0 : IF) | TF | NT | RF | VM);
  if (fromV86) {
    setNull(cpu, GS, 0);
    setNull(cpu, FS, 0);
    setNull(cpu, DS, 0);
    setNull(cpu, ES, 0);
  }
  setCode(cpu, selector, descriptor, newCpl);
  store<u64>(cpu, target, Vcpu.rip);
  updateMode(cpu);
  return true;
}

/** SS:ESP for a privilege level from the 16- or 32-bit TSS: selector << 32 | pointer. SDM vol. 3 §7.2.1. */
export function innerStack(cpu: usize, level: u32, ext: u32): u64 {
  const error = (selectorOf(cpu, TR) & 0xfffc) | ext;
  const wide = (attributesOf(cpu, TR) & 8) != 0;
  const at: u32 = wide ? 4 + level * 8 : 2 + level * 4;
  const last: u32 = at + (wide ? 5 : 3);
  if (last > limitOf(cpu, TR)) {
    raise(cpu, TS, error);
    return 0;
  }
  const base = (baseOf(cpu, TR) + at) & 0xffffffff;
  const pointer = wide ? readLinear32(cpu, base, SYSTEM) : readLinear16(cpu, base, SYSTEM);
  if (trouble(cpu)) return 0;
  const selector = readLinear16(cpu, (base + (wide ? 4 : 2)) & 0xffffffff, SYSTEM);
  return ((<u64>selector) << 32) | pointer;
}

/** Checks the stack segment that a TSS names for `level`; its descriptor. */
export function innerStackSegment(cpu: usize, selector: u32, level: u32, ext: u32): u64 {
  const error = (selector & 0xfffc) | ext;
  if (isNull(selector)) {
    raise(cpu, TS, ext);
    return 0;
  }
  const descriptor = fetchDescriptor(cpu, selector, TS, error);
  if (trouble(cpu)) return 0;
  const attributes = descriptorAttributes(descriptor);
  const writableData = (attributes & (ATTR_S | ATTR_CODE | ATTR_RW)) == (ATTR_S | ATTR_RW);
  if ((selector & 3) != level || dplOf(attributes) != level || !writableData) raise(cpu, TS, error);
  else if (!(attributes & ATTR_PRESENT)) raise(cpu, STACK_FAULT, error);
  return descriptor;
}

/** RSP0…RSP2 (index 0…2) or IST1…IST7 (index 4…10) from the 64-bit TSS, SDM vol. 3 §7.7. */
export function longStack(cpu: usize, index: u32, ext: u32): u64 {
  const at: u32 = 4 + index * 8;
  if (at + 7 > limitOf(cpu, TR)) {
    raise(cpu, TS, (selectorOf(cpu, TR) & 0xfffc) | ext);
    return 0;
  }
  const pointer = readLinear64(cpu, baseOf(cpu, TR) + at, SYSTEM);
  if (!trouble(cpu) && !canonical(pointer)) raise(cpu, STACK_FAULT, ext);
  return pointer;
}

function deliverLong(cpu: usize, vector: u32, source: u32, error: u32, hasError: bool, flags: u32, rip: u64): bool {
  const ext: u32 = source == SOURCE_SOFTWARE ? 0 : 1;
  const offset = vector * 16;
  const gateError = vector * 8 + 2 + ext;
  const cpl = cplOf(cpu);
  if (offset + 15 > load<u32>(cpu, Vcpu.idtLimit)) return fail(cpu, GP, gateError);
  const address = load<u64>(cpu, Vcpu.idtBase) + offset;
  const gate = readLinear64(cpu, address, SYSTEM);
  if (trouble(cpu)) return false;
  const upper = readLinear64(cpu, address + 8, SYSTEM);
  if (trouble(cpu)) return false;
  const access = (<u32>(gate >> 40)) & 0xff;
  const type = access & 0x1f;
  if ((type & 0x1e) != 0xe) return fail(cpu, GP, gateError);
  if (source == SOURCE_SOFTWARE && dplOf(access) < cpl) return fail(cpu, GP, gateError);
  if (!(access & ATTR_PRESENT)) return fail(cpu, NP, gateError);
  const selector = (<u32>(gate >> 16)) & 0xffff;
  const target = (gate & 0xffff) | ((gate >> 32) & 0xffff0000) | (upper << 32);

  const descriptor = gateTarget(cpu, selector, ext);
  if (trouble(cpu)) return false;
  const attributes = descriptorAttributes(descriptor);
  // Handlers are 64-bit code.
  if ((attributes & (ATTR_LONG | ATTR_BIG)) != ATTR_LONG) return fail(cpu, GP, (selector & 0xfffc) | ext);
  const inner = !(attributes & ATTR_CONFORMING) && dplOf(attributes) < cpl;
  const newCpl = inner ? dplOf(attributes) : cpl;
  if (!canonical(target)) return fail(cpu, GP, ext);
  const ist = (<u32>(gate >> 32)) & 7;
  let sp = gpr(cpu, RSP);
  if (ist) sp = longStack(cpu, 3 + ist, ext);
  else if (inner) sp = longStack(cpu, newCpl, ext);
  else if (!code64(cpu)) sp &= load<u64>(cpu, Vcpu.stackMask);
  if (trouble(cpu)) return false;

  const kind = newCpl == 3 ? WRITE : WRITE | SYSTEM;
  sp &= ~15;
  const frame = sp - (hasError ? 48 : 40);
  if (!canonical(frame) || !canonical(sp - 1)) return fail(cpu, STACK_FAULT, ext);
  if (!writeSized(cpu, sp - 8, selectorOf(cpu, SS), 8, kind)) return false;
  if (!writeSized(cpu, sp - 16, gpr(cpu, RSP), 8, kind)) return false;
  if (!writeSized(cpu, sp - 24, flags, 8, kind)) return false;
  if (!writeSized(cpu, sp - 32, selectorOf(cpu, CS), 8, kind)) return false;
  if (!writeSized(cpu, sp - 40, rip, 8, kind)) return false;
  if (hasError && !writeSized(cpu, frame, error, 8, kind)) return false;
  if (!markAccessed(cpu, selector, descriptor)) return false;

  setGpr(cpu, RSP, frame);
  if (inner) setNull(cpu, SS, newCpl);
  leaveFlags(cpu, (type & 1 ? 0 : IF) | TF | NT | RF);
  setCode(cpu, selector, descriptor, newCpl);
  store<u64>(cpu, target, Vcpu.rip);
  updateMode(cpu);
  return true;
}
