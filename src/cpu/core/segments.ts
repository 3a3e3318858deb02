/**
 * Segments: descriptors, their checks, loading a segment register, and the address check of every access outside of
 * flat modes.
 *
 * Attributes are the descriptor's: bits 0–7 the access byte, 8–11 AVL, L, D/B, G; bit 16 marks an unusable (null)
 * segment. Sources: SDM vol. 3 §3.4 (descriptors), §5.2–§5.6 (checks), §3.4.4 (64-bit mode); vol. 2, MOV.
 */
import { Status, Vcpu } from '../../../build/core/layout';
import { raise, raiseNoError, settled } from './events';
import { readLinear64, writeLinear8 } from './memory';
import { SYSTEM, WRITE } from './paging';
import { updateMode } from './mode';
import {
  attributesOf,
  baseOf,
  canonical,
  castShadow,
  code64,
  cplOf,
  CS,
  FS,
  GP,
  LDTR,
  limitOf,
  linearMask,
  longMode,
  NP,
  paragraphs,
  setStackPointer,
  SS,
  STACK_FAULT,
  TR,
  trouble,
  UD,
  virtual8086,
} from './registers';

export const ATTR_ACCESSED: u32 = 0x1;
/** Writable (data) or readable (code). */
export const ATTR_RW: u32 = 0x2;
/** Expand-down (data) or conforming (code). */
export const ATTR_CONFORMING: u32 = 0x4;
export const ATTR_CODE: u32 = 0x8;
/** Code or data; clear in system descriptors and gates. */
export const ATTR_S: u32 = 0x10;
export const ATTR_PRESENT: u32 = 0x80;
export const ATTR_LONG: u32 = 0x200;
export const ATTR_BIG: u32 = 0x400;
export const ATTR_GRANULAR: u32 = 0x800;
export const ATTR_UNUSABLE: u32 = 0x10000;

/** What descriptorAddress gives for a selector outside of its table. */
export const NO_DESCRIPTOR: u64 = 0xffffffffffffffff;
const ACCESSED_BIT: u64 = 0x10000000000;

// @ts-ignore: decorator
@inline
export function dplOf(attributes: u32): u32 {
  return (attributes >> 5) & 3;
}

// @ts-ignore: decorator
@inline
export function isNull(selector: u32): bool {
  return (selector & 0xfffc) == 0;
}

// @ts-ignore: decorator
@inline
export function descriptorAttributes(descriptor: u64): u32 {
  return ((<u32>(descriptor >> 40)) & 0xff) | ((<u32>(descriptor >> 44)) & 0xf00);
}

export function descriptorLimit(descriptor: u64): u32 {
  const limit = ((<u32>descriptor) & 0xffff) | ((<u32>(descriptor >> 32)) & 0xf0000);
  return descriptor & 0x80000000000000 ? (limit << 12) | 0xfff : limit;
}

// @ts-ignore: decorator
@inline
export function descriptorBase(descriptor: u64): u64 {
  return ((descriptor >> 16) & 0xffffff) | ((descriptor >> 32) & 0xff000000);
}

/** Linear address of a selector's descriptor of `bytes` (8 or 16), or NO_DESCRIPTOR outside of the table. */
export function descriptorAddress(cpu: usize, selector: u32, bytes: u32): u64 {
  const offset = selector & 0xfff8;
  if (selector & 4) {
    if (attributesOf(cpu, LDTR) & ATTR_UNUSABLE) return NO_DESCRIPTOR;
    if (<u64>offset + bytes - 1 > limitOf(cpu, LDTR)) return NO_DESCRIPTOR;
    return (baseOf(cpu, LDTR) + offset) & linearMask(cpu);
  }
  if (<u64>offset + bytes - 1 > load<u32>(cpu, Vcpu.gdtLimit)) return NO_DESCRIPTOR;
  return (load<u64>(cpu, Vcpu.gdtBase) + offset) & linearMask(cpu);
}

/** The descriptor of a non-null selector; raises `vector(error)` if it lies outside of its table. */
export function fetchDescriptor(cpu: usize, selector: u32, vector: u32, error: u32): u64 {
  const address = descriptorAddress(cpu, selector, 8);
  if (address == NO_DESCRIPTOR) {
    raise(cpu, vector, error);
    return 0;
  }
  return readLinear64(cpu, address, SYSTEM);
}

/** Upper half of a 16-byte system descriptor of IA-32e mode; its type bits must be 0 (else `vector(error)`). */
export function fetchUpperHalf(cpu: usize, selector: u32, vector: u32, error: u32): u64 {
  const address = descriptorAddress(cpu, selector, 16);
  if (address == NO_DESCRIPTOR) {
    raise(cpu, vector, error);
    return 0;
  }
  const upper = readLinear64(cpu, address + 8, SYSTEM);
  if (!trouble(cpu) && upper & 0x1f0000000000) raise(cpu, vector, error);
  return upper;
}

/** Sets the accessed bit in memory, as loading a code or data segment does. false: trouble. */
export function markAccessed(cpu: usize, selector: u32, descriptor: u64): bool {
  if (descriptor & ACCESSED_BIT) return true;
  const address = descriptorAddress(cpu, selector, 8) + 5;
  writeLinear8(cpu, address, ((<u32>(descriptor >> 40)) & 0xff) | 1, SYSTEM | WRITE);
  return !trouble(cpu);
}

export function setSegment(cpu: usize, segment: i32, selector: u32, base: u64, limit: u32, attributes: u32): void {
  store<u16>(cpu + ((<usize>segment) << 1), <u16>selector, Vcpu.segSelector);
  store<u64>(cpu + ((<usize>segment) << 3), base, Vcpu.segBase);
  store<u32>(cpu + ((<usize>segment) << 2), limit, Vcpu.segLimit);
  store<u32>(cpu + ((<usize>segment) << 2), attributes, Vcpu.segAttributes);
}

export function setFromDescriptor(cpu: usize, segment: i32, selector: u32, descriptor: u64): void {
  const attributes = descriptorAttributes(descriptor) | ATTR_ACCESSED;
  setSegment(cpu, segment, selector, descriptorBase(descriptor), descriptorLimit(descriptor), attributes);
}

/** Loads CS (all checks done) for code at `cpl`. 64-bit code has base 0, whatever the descriptor says. */
export function setCode(cpu: usize, selector: u32, descriptor: u64, cpl: u32): void {
  setFromDescriptor(cpu, CS, (selector & 0xfffc) | cpl, descriptor);
  if (longMode(cpu) && attributesOf(cpu, CS) & ATTR_LONG) {
    store<u64>(cpu + ((<usize>CS) << 3), 0, Vcpu.segBase);
    store<u32>(cpu + ((<usize>CS) << 2), 0xffffffff, Vcpu.segLimit);
  }
  store<u32>(cpu, cpl, Vcpu.cpl);
}

export function setNull(cpu: usize, segment: i32, selector: u32): void {
  setSegment(cpu, segment, selector, 0, 0, ATTR_UNUSABLE);
}

/**
 * Real and virtual-8086 mode: the selector is the paragraph. In real mode limit and attributes stay as they were
 * ("unreal" mode lives of it), unless the segment was null.
 */
export function setParagraph(cpu: usize, segment: i32, selector: u32): void {
  let limit = limitOf(cpu, segment);
  let attributes = attributesOf(cpu, segment);
  if (virtual8086(cpu)) {
    limit = 0xffff;
    attributes = 0xf3;
  } else if (attributes & ATTR_UNUSABLE) {
    limit = 0xffff;
    attributes = 0x93;
  }
  setSegment(cpu, segment, selector & 0xffff, (<u64>(selector & 0xffff)) << 4, limit, attributes);
}

/** Checks and loads SS in protected mode, for code at `cpl`; null only in 64-bit mode below CPL 3. false: fault. */
function loadStackSegment(cpu: usize, selector: u32): bool {
  const cpl = cplOf(cpu);
  const error = selector & 0xfffc;
  if (isNull(selector)) {
    if (!code64(cpu) || cpl == 3 || (selector & 3) != cpl) {
      raise(cpu, GP, 0);
      return false;
    }
    setNull(cpu, SS, selector);
    return true;
  }
  const descriptor = fetchDescriptor(cpu, selector, GP, error);
  if (trouble(cpu)) return false;
  const attributes = descriptorAttributes(descriptor);
  const writableData = (attributes & (ATTR_S | ATTR_CODE | ATTR_RW)) == (ATTR_S | ATTR_RW);
  if ((selector & 3) != cpl || !writableData || dplOf(attributes) != cpl) {
    raise(cpu, GP, error);
    return false;
  }
  if (!(attributes & ATTR_PRESENT)) {
    raise(cpu, STACK_FAULT, error);
    return false;
  }
  if (!markAccessed(cpu, selector, descriptor)) return false;
  setFromDescriptor(cpu, SS, selector, descriptor);
  return true;
}

/** Checks and loads DS, ES, FS or GS in protected mode. false: fault. */
function loadDataSegment(cpu: usize, segment: i32, selector: u32): bool {
  if (isNull(selector)) {
    setNull(cpu, segment, selector);
    return true;
  }
  const error = selector & 0xfffc;
  const descriptor = fetchDescriptor(cpu, selector, GP, error);
  if (trouble(cpu)) return false;
  const attributes = descriptorAttributes(descriptor);
  // Data or readable code.
  let good = (attributes & ATTR_S) != 0 && (attributes & (ATTR_CODE | ATTR_RW)) != ATTR_CODE;
  if ((attributes & (ATTR_CODE | ATTR_CONFORMING)) != (ATTR_CODE | ATTR_CONFORMING)) {
    const dpl = dplOf(attributes);
    if ((selector & 3) > dpl || cplOf(cpu) > dpl) good = false;
  }
  if (!good) {
    raise(cpu, GP, error);
    return false;
  }
  if (!(attributes & ATTR_PRESENT)) {
    raise(cpu, NP, error);
    return false;
  }
  if (!markAccessed(cpu, selector, descriptor)) return false;
  setFromDescriptor(cpu, segment, selector, descriptor);
  return true;
}

/**
 * LDS and friends: checks, loads, recomputes the mode. Returns 1 when loaded, 0 with the fault pending. The instruction
 * must end with `sync`, since flatness may have changed.
 */
export function loadSegmentChecked(cpu: usize, segment: i32, selector: i32): i32 {
  const value = (<u32>selector) & 0xffff;
  if (segment == CS || segment > 5) {
    raiseNoError(cpu, UD);
    return 0;
  }
  const base = baseOf(cpu, segment);
  const limit = limitOf(cpu, segment);
  const attributes = attributesOf(cpu, segment);
  if (paragraphs(cpu)) setParagraph(cpu, segment, value);
  else if (segment == SS) {
    if (!loadStackSegment(cpu, value)) return 0;
  } else if (!loadDataSegment(cpu, segment, value)) return 0;
  // FS and GS are in no mode key.
  const same =
    segment >= FS ||
    (base == baseOf(cpu, segment) && limit == limitOf(cpu, segment) && attributes == attributesOf(cpu, segment));
  if (!same) updateMode(cpu);
  return 1;
}

/** MOV Sreg: SS opens an interrupt shadow that also holds back debug traps. */
export function loadSegment(cpu: usize, segment: i32, selector: i32): i32 {
  const codeKey = load<u32>(cpu, Vcpu.codeKey);
  if (!loadSegmentChecked(cpu, segment, selector)) return Status.fault;
  if (segment == SS) castShadow(cpu, 2);
  return settled(cpu, codeKey);
}

/** POP Sreg: the stack pointer moves when the segment has been loaded. SS opens an interrupt shadow. */
export function popSegment(cpu: usize, segment: i32, selector: i32, stackPointer: u64): i32 {
  const codeKey = load<u32>(cpu, Vcpu.codeKey);
  if (!loadSegmentChecked(cpu, segment, selector)) return Status.fault;
  setStackPointer(cpu, stackPointer);
  if (segment == SS) castShadow(cpu, 1);
  return settled(cpu, codeKey);
}

/** true when `size` bytes at `offset` lie within the segment (SDM vol. 3 §5.3). */
export function withinLimit(limit: u32, attributes: u32, offset: u64, size: u32): bool {
  const end = offset + size - 1;
  // Expand-down data: what lies above the limit.
  if ((attributes & (ATTR_CODE | ATTR_CONFORMING)) == ATTR_CONFORMING) {
    return offset > limit && end <= (attributes & ATTR_BIG ? 0xffffffff : 0xffff);
  }
  return end <= limit;
}

/**
 * Linear address of an access of `size` bytes at `offset` of a segment, after all checks; with trouble set where one
 * failed: #SS(0) for the stack segment, #GP(0) for the others.
 */
export function segmentLinear(cpu: usize, segment: i32, offset: u64, size: u32, write: bool): u64 {
  const attributes = attributesOf(cpu, segment);
  if (!code64(cpu)) {
    // Usable, writable, expand-up data: nearly everything.
    if ((attributes & (ATTR_UNUSABLE | 0xe)) == 2 && offset + size - 1 <= limitOf(cpu, segment)) {
      return (baseOf(cpu, segment) + offset) & 0xffffffff;
    }
    return segmentLinearSlow(cpu, segment, attributes, offset, size, write);
  }
  const linear = segment >= FS ? baseOf(cpu, segment) + offset : offset;
  if (canonical(linear) && canonical(linear + size - 1)) return linear;
  raise(cpu, segment == SS ? STACK_FAULT : GP, 0);
  return 0;
}

function segmentLinearSlow(cpu: usize, segment: i32, attributes: u32, offset: u64, size: u32, write: bool): u64 {
  let good = withinLimit(limitOf(cpu, segment), attributes, offset, size);
  // Real and virtual-8086 mode look at the limit only.
  if (!paragraphs(cpu)) {
    if (attributes & ATTR_UNUSABLE) good = false;
    else if (write) good = good && (attributes & (ATTR_CODE | ATTR_RW)) == ATTR_RW;
    else good = good && (attributes & (ATTR_CODE | ATTR_RW)) != ATTR_CODE;
  }
  if (good) return (baseOf(cpu, segment) + offset) & 0xffffffff;
  raise(cpu, segment == SS ? STACK_FAULT : GP, 0);
  return 0;
}

/**
 * LAR (kind 0), LSL (1), VERR (2), VERW (3), SDM vol. 2: bit 63 is set when the selector is valid and visible, the low
 * 32 bits are the value of LAR and LSL. Page faults on the descriptor are raised.
 */
export function loadAccessRights(cpu: usize, selector: i32, kind: i32): u64 {
  const valid: u64 = 0x8000000000000000;
  const value = (<u32>selector) & 0xffff;
  if (isNull(value)) return 0;
  const address = descriptorAddress(cpu, value, 8);
  if (address == NO_DESCRIPTOR) return 0;
  const descriptor = readLinear64(cpu, address, SYSTEM);
  if (trouble(cpu)) return 0;
  const attributes = descriptorAttributes(descriptor);
  const conforming = (attributes & (ATTR_S | ATTR_CODE | ATTR_CONFORMING)) == (ATTR_S | ATTR_CODE | ATTR_CONFORMING);
  const dpl = dplOf(attributes);
  if (!conforming && (cplOf(cpu) > dpl || (value & 3) > dpl)) return 0;
  if (!(attributes & ATTR_S)) {
    if (kind >= 2) return 0;
    // Types by bit: LAR takes TSS, LDT, call and task gates; LSL TSS and LDT. IA-32e mode has no 16-bit ones.
    const types: u32 = longMode(cpu) ? (kind == 0 ? 0x1a04 : 0x0a04) : kind == 0 ? 0x1a3e : 0x0a0e;
    if (!((types >> (attributes & 15)) & 1)) return 0;
    if (longMode(cpu) && descriptorAddress(cpu, value, 16) == NO_DESCRIPTOR) return 0;
  }
  if (kind == 0) return valid | ((descriptor >> 32) & 0x00f0ff00);
  if (kind == 1) return valid | descriptorLimit(descriptor);
  const type = attributes & (ATTR_CODE | ATTR_RW);
  if (kind == 2) return type != ATTR_CODE ? valid : 0;
  return type == ATTR_RW ? valid : 0;
}

/** LLDT. A null selector makes the LDT unusable. */
export function loadLdt(cpu: usize, selector: i32): i32 {
  const value = (<u32>selector) & 0xffff;
  if (isNull(value)) {
    if (!systemAllowed(cpu)) return Status.fault;
    setNull(cpu, LDTR, value);
    return Status.ok;
  }
  return loadSystemSegment(cpu, LDTR, value, 1 << 2);
}

/** LTR: an available TSS, which becomes busy. */
export function loadTask(cpu: usize, selector: i32): i32 {
  const value = (<u32>selector) & 0xffff;
  if (isNull(value)) {
    if (systemAllowed(cpu)) raise(cpu, GP, 0);
    return Status.fault;
  }
  return loadSystemSegment(cpu, TR, value, longMode(cpu) ? 1 << 9 : (1 << 9) | (1 << 1));
}

/** LLDT and LTR exist in protected mode, for CPL 0. */
function systemAllowed(cpu: usize): bool {
  if (paragraphs(cpu)) raiseNoError(cpu, UD);
  else if (cplOf(cpu) != 0) raise(cpu, GP, 0);
  return !trouble(cpu);
}

function loadSystemSegment(cpu: usize, segment: i32, selector: u32, types: u32): i32 {
  const error = selector & 0xfffc;
  if (!systemAllowed(cpu)) return Status.fault;
  if (selector & 4) {
    raise(cpu, GP, error);
    return Status.fault;
  }
  const descriptor = fetchDescriptor(cpu, selector, GP, error);
  if (trouble(cpu)) return Status.fault;
  let attributes = descriptorAttributes(descriptor);
  if (attributes & ATTR_S || !((types >> (attributes & 15)) & 1)) {
    raise(cpu, GP, error);
    return Status.fault;
  }
  if (!(attributes & ATTR_PRESENT)) {
    raise(cpu, NP, error);
    return Status.fault;
  }
  let base = descriptorBase(descriptor);
  if (longMode(cpu)) {
    base |= fetchUpperHalf(cpu, selector, GP, error) << 32;
    if (!trouble(cpu) && !canonical(base)) raise(cpu, GP, error);
    if (trouble(cpu)) return Status.fault;
  }
  if (segment != LDTR) {
    attributes |= 2; // busy
    writeLinear8(cpu, descriptorAddress(cpu, selector, 8) + 5, attributes & 0xff, SYSTEM | WRITE);
    if (trouble(cpu)) return Status.fault;
  }
  setSegment(cpu, segment, selector, base, descriptorLimit(descriptor), attributes);
  return Status.ok;
}
