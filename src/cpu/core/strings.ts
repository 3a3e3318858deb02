/**
 * String instructions under REP, in bulk: page by page with host pointers where both pages are RAM, element by element
 * elsewhere. INS and OUTS come here also without REP.
 *
 * Every iteration counts as one retired instruction. On entry Vcpu.budget is what is left after this instruction; the
 * dispatch loop has counted one for it, and takes that back when it ends with a fault. So after n iterations the
 * engine takes n − 1 from the budget (n with a fault), and stops when the budget is used up: then RIP
 * stays at the instruction (`jump` to itself), RCX, RSI and RDI say what is left, and the instruction goes on later as
 * if nothing had happened. RF is set meanwhile, as the manual wants of interrupts within a repetition.
 *
 * Sources: SDM vol. 2, REP, MOVS, STOS, LODS, CMPS, SCAS, INS, OUTS; vol. 1 §7.3.9; vol. 3 §17.3.1.1 (RF).
 */
import { Arena, Status, TlbEntry, Vcpu } from '../../../build/core/layout';
import { invalidateCode } from './blocks';
import { watchedPage } from './events';
import { setCompareFlags } from './flags';
import { portAllowed } from './io';
import { portRead, portWrite } from './machine';
import {
  alignmentChecked,
  misaligned,
  probeLinear,
  readLinear16,
  readLinear32,
  readLinear64,
  readLinear8,
  writeLinear16,
  writeLinear32,
  writeLinear64,
  writeLinear8,
} from './memory';
import { WRITE } from './paging';
import { translate } from './tlb';
import { MODE_CODE64, MODE_CODE_MASK, MODE_DATA_FLAT } from './mode';
import {
  attributesOf,
  code64,
  CS,
  currentRip,
  DF,
  ES,
  FS,
  gpr,
  limitOf,
  RAX,
  RCX,
  RDI,
  RDX,
  RF,
  RSI,
  setGpr,
  setGprSized,
  SS,
  trouble,
} from './registers';
import { ATTR_CODE, ATTR_CONFORMING, segmentLinear } from './segments';

/** Operations. */
export const STRING_MOVS: i32 = 0;
export const STRING_STOS: i32 = 1;
export const STRING_LODS: i32 = 2;
export const STRING_SCAS: i32 = 3;
export const STRING_CMPS: i32 = 4;
export const STRING_INS: i32 = 5;
export const STRING_OUTS: i32 = 6;

/** Repetition: once (INS and OUTS without a prefix), REP or REPE, REPNE. */
export const REPEAT_NONE: i32 = 0;
export const REPEAT_EQUAL: i32 = 1;
export const REPEAT_NOT_EQUAL: i32 = 2;

// @ts-ignore: decorator
@inline
function readsSource(op: i32): bool {
  return op == STRING_MOVS || op == STRING_LODS || op == STRING_CMPS || op == STRING_OUTS;
}

// @ts-ignore: decorator
@inline
function usesDestination(op: i32): bool {
  return op != STRING_LODS && op != STRING_OUTS;
}

// @ts-ignore: decorator
@inline
function writesDestination(op: i32): bool {
  return op == STRING_MOVS || op == STRING_STOS || op == STRING_INS;
}

// @ts-ignore: decorator
@inline
function compares(op: i32): bool {
  return op == STRING_CMPS || op == STRING_SCAS;
}

function loadElement(host: usize, size: i32): u64 {
  if (size == 1) return load<u8>(host);
  if (size == 2) return load<u16>(host);
  if (size == 4) return load<u32>(host);
  return load<u64>(host);
}

function storeElement(host: usize, value: u64, size: i32): void {
  if (size == 1) store<u8>(host, <u8>value);
  else if (size == 2) store<u16>(host, <u16>value);
  else if (size == 4) store<u32>(host, <u32>value);
  else store<u64>(host, value);
}

function readElement(cpu: usize, linear: u64, size: i32): u64 {
  if (size == 1) return readLinear8(cpu, linear, 0);
  if (size == 2) return readLinear16(cpu, linear, 0);
  if (size == 4) return readLinear32(cpu, linear, 0);
  return readLinear64(cpu, linear, 0);
}

function writeElement(cpu: usize, linear: u64, value: u64, size: i32): void {
  if (size == 1) writeLinear8(cpu, linear, (<u32>value) & 0xff, WRITE);
  else if (size == 2) writeLinear16(cpu, linear, (<u32>value) & 0xffff, WRITE);
  else if (size == 4) writeLinear32(cpu, linear, <u32>value, WRITE);
  else writeLinear64(cpu, linear, value, WRITE);
}

/** Whole elements from `offset` in the direction of travel that stay in the page of `linear` and in the segment. */
function elementsAhead(cpu: usize, segment: i32, offset: u64, linear: u64, size: i32, down: bool): u64 {
  const place = (<u32>linear) & 0xfff;
  if (place + size > 0x1000) return 0;
  let room: u64 = down ? place / size + 1 : (0x1000 - place) / size;
  if (code64(cpu)) return room;
  // Downward an expand-up segment ends at offset 0, upward at its limit.
  const attributes = attributesOf(cpu, segment);
  if ((attributes & (ATTR_CODE | ATTR_CONFORMING)) == ATTR_CONFORMING) return 1;
  const left = down ? offset / size + 1 : (<u64>limitOf(cpu, segment) + 1 - offset) / size;
  if (left < room) room = left;
  return room;
}

/** Elements until an offset of 16 or 32 bits wraps. */
// @ts-ignore: decorator
@inline
function elementsToWrap(offset: u64, mask: u64, size: i32, down: bool): u64 {
  if (mask == 0xffffffffffffffff) return mask;
  return down ? offset / size + 1 : (mask - offset) / size + 1;
}

/** MOVS over `count` elements in host memory. A forward copy onto itself repeats the pattern, as the processor does. */
function copyElements(to: usize, from: usize, count: u32, size: i32, down: bool): void {
  const bytes = count * size;
  if (!down) {
    if (to <= from || to >= from + bytes) {
      memory.copy(to, from, bytes);
      return;
    }
    for (let n: u32 = 0; n < bytes; n += size) storeElement(to + n, loadElement(from + n, size), size);
    return;
  }
  const lowTo = to + size - bytes;
  const lowFrom = from + size - bytes;
  if (lowTo >= lowFrom || lowTo + bytes <= lowFrom) {
    memory.copy(lowTo, lowFrom, bytes);
    return;
  }
  for (let n: u32 = 0; n < bytes; n += size) storeElement(to - n, loadElement(from - n, size), size);
}

function fillElements(to: usize, value: u64, count: u32, size: i32, down: bool): void {
  const bytes = count * size;
  const start = down ? to + size - bytes : to;
  let pattern = value;
  if (size == 1) pattern = (value & 0xff) * 0x0101010101010101;
  else if (size == 2) pattern = (value & 0xffff) * 0x0001000100010001;
  else if (size == 4) pattern = (value & 0xffffffff) * 0x0000000100000001;
  if (pattern == (pattern & 0xff) * 0x0101010101010101) {
    memory.fill(start, <u8>pattern, bytes);
    return;
  }
  let n: u32 = 0;
  for (; n + 8 <= bytes; n += 8) store<u64>(start + n, pattern);
  for (; n < bytes; n += size) storeElement(start + n, value, size);
}

/** Compares until the loop ends, at most `count` elements; how many were compared. Flags are of the last. */
function compareElements(
  cpu: usize,
  left: usize,
  right: usize,
  count: u32,
  size: i32,
  down: bool,
  repeat: i32,
  accumulator: u64,
): u32 {
  const step = down ? -size : size;
  const untilEqual = repeat == REPEAT_NOT_EQUAL;
  let n: u32 = 0;
  let x = accumulator;
  let y: u64 = 0;
  let a = left;
  let b = right;
  while (true) {
    if (left) x = loadElement(a, size);
    y = loadElement(b, size);
    n++;
    if ((x == y) == untilEqual || n == count) break;
    a += step;
    b += step;
  }
  setCompareFlags(cpu, x, y, size);
  return n;
}

/** Moves RSI, RDI and RCX over `count` elements that are done. */
function advance(cpu: usize, op: i32, count: u64, size: i32, down: bool, addressSize: i32, repeat: i32): void {
  const distance = down ? 0 - count * size : count * size;
  if (readsSource(op)) setGprSized(cpu, RSI, addressSize, gpr(cpu, RSI) + distance);
  if (usesDestination(op)) setGprSized(cpu, RDI, addressSize, gpr(cpu, RDI) + distance);
  if (repeat != REPEAT_NONE) setGprSized(cpu, RCX, addressSize, gpr(cpu, RCX) - count);
}

/** One element by linear addresses: what crosses pages or reaches a device. false: trouble, nothing done. */
function singleElement(cpu: usize, op: i32, source: u64, destination: u64, size: i32): bool {
  const accumulator = gpr(cpu, RAX) & (0xffffffffffffffff >> (64 - 8 * size));
  const port = (<u32>gpr(cpu, RDX)) & 0xffff;
  switch (op) {
    case STRING_MOVS: {
      const value = readElement(cpu, source, size);
      if (trouble(cpu)) return false;
      writeElement(cpu, destination, value, size);
      break;
    }
    case STRING_STOS:
      writeElement(cpu, destination, accumulator, size);
      break;
    case STRING_LODS: {
      const value = readElement(cpu, source, size);
      if (!trouble(cpu)) setGprSized(cpu, RAX, size, value);
      break;
    }
    case STRING_CMPS: {
      const x = readElement(cpu, source, size);
      if (trouble(cpu)) return false;
      const y = readElement(cpu, destination, size);
      if (!trouble(cpu)) setCompareFlags(cpu, x, y, size);
      break;
    }
    case STRING_SCAS: {
      const y = readElement(cpu, destination, size);
      if (!trouble(cpu)) setCompareFlags(cpu, accumulator, y, size);
      break;
    }
    case STRING_INS: {
      // The port is read only when the write is sure to succeed.
      if (!portAllowed(cpu, port, size) || !probeLinear(cpu, destination, size, WRITE)) return false;
      writeElement(cpu, destination, <u64>(<u32>portRead(port, size)), size);
      break;
    }
    default: {
      if (!portAllowed(cpu, port, size)) return false;
      const value = readElement(cpu, source, size);
      if (!trouble(cpu)) portWrite(port, size, <i32>value);
    }
  }
  return !trouble(cpu);
}

/** After a comparison: whether REPE or REPNE goes on. ZF is flagResult == 0. */
// @ts-ignore: decorator
@inline
function comparisonEnds(cpu: usize, repeat: i32): bool {
  return (load<i64>(cpu, Vcpu.flagResult) == 0) == (repeat == REPEAT_NOT_EQUAL);
}

/** Bytes up to which a copy goes by elements: a call of the engine for the whole would take longer. */
const SHORT_COPY: u32 = 64;

/** A forward copy, which repeats the pattern where it overlaps itself. */
function copyForward(to: usize, from: usize, count: u32, size: i32): void {
  const bytes = count * size;
  if (bytes > SHORT_COPY) {
    copyElements(to, from, count, size, false);
    return;
  }
  const end = from + bytes;
  if (size == 4) {
    for (; from < end; from += 4, to += 4) store<u32>(to, load<u32>(from));
  } else if (size == 8) {
    for (; from < end; from += 8, to += 8) store<u64>(to, load<u64>(from));
  } else {
    for (; from < end; from += size, to += size) storeElement(to, loadElement(from, size), size);
  }
}

/** Host address of bytes within one page that the TLB of the running code knows; 0: look closer. */
// @ts-ignore: decorator
@inline
function hostByTlb(cpu: usize, linear: u64, bytes: u64, kind: usize): usize {
  const array = <usize>load<u32>(cpu, Vcpu.tlb) + kind * Arena.tlbArrayBytes;
  const entry = array + (((<usize>(linear >> 12)) & (Arena.tlbEntries - 1)) << 4);
  if (load<u64>(entry, TlbEntry.tag) != (linear & ~0xfff) || (linear & 0xfff) + bytes > 0x1000) return 0;
  return <usize>(<u32>linear + load<u32>(entry, TlbEntry.addend));
}

/** Whether addresses of source and destination are linear as they are, and go upwards. */
function isPlain(cpu: usize, segment: i32, addressSize: i32, flags: u32): bool {
  const mode = load<u32>(cpu, Vcpu.modeKey);
  const long = (mode & MODE_CODE_MASK) == MODE_CODE64;
  if (flags & DF || segment >= FS || addressSize != (long ? 8 : 4)) return false;
  return long || ((mode & MODE_DATA_FLAT) != 0 && segment != CS && segment != SS);
}

/**
 * REP MOVS and REP STOS where all is plain, within pages that the TLB knows and within the budget. Whether it did them; if
 * not, nothing has been done.
 */
function plainString(cpu: usize, op: i32, size: i32, mask: u64): bool {
  const count = gpr(cpu, RCX) & mask;
  const budget = load<u32>(cpu, Vcpu.budget);
  if (count == 0 || count > 0x1000 || count > <u64>budget + 1) return false;
  const bytes = count * size;
  const to = gpr(cpu, RDI) & mask;
  const hostTo = hostByTlb(cpu, to, bytes, 1);
  if (!hostTo) return false;
  if (op == STRING_MOVS) {
    const from = gpr(cpu, RSI) & mask;
    const hostFrom = hostByTlb(cpu, from, bytes, 0);
    if (!hostFrom) return false;
    copyForward(hostTo, hostFrom, <u32>count, size);
    setGpr(cpu, RSI, (from + bytes) & mask);
  } else fillElements(hostTo, gpr(cpu, RAX) & (0xffffffffffffffff >> (64 - 8 * size)), <u32>count, size, false);
  setGpr(cpu, RDI, (to + bytes) & mask);
  setGpr(cpu, RCX, 0);
  store<u32>(cpu, budget - <u32>(count - 1), Vcpu.budget);
  return true;
}

/** Bytes from a linear address on whose pages the TLB knows and that follow one another in host memory; at most `most`. */
function bytesInRow(cpu: usize, linear: u64, most: u64, kind: usize): u64 {
  const array = <usize>load<u32>(cpu, Vcpu.tlb) + kind * Arena.tlbArrayBytes;
  let page = linear & ~0xfff;
  let entry = array + (((<usize>(page >> 12)) & (Arena.tlbEntries - 1)) << 4);
  if (load<u64>(entry, TlbEntry.tag) != page) return 0;
  const addend = load<u32>(entry, TlbEntry.addend);
  let known = 0x1000 - (linear & 0xfff);
  while (known < most) {
    page += 0x1000;
    entry = array + (((<usize>(page >> 12)) & (Arena.tlbEntries - 1)) << 4);
    if (load<u64>(entry, TlbEntry.tag) != page || load<u32>(entry, TlbEntry.addend) != addend) break;
    known += 0x1000;
  }
  return min(known, most);
}

/** Most bytes of a run, so that events do not wait for long. */
const LONGEST_RUN: u64 = 0x40000;

/** The next elements of a plain REP MOVS or REP STOS over pages in a row; how many. */
function plainRun(cpu: usize, op: i32, size: i32, addressSize: i32, mask: u64, most: u64): u64 {
  const to = gpr(cpu, RDI) & mask;
  const from = gpr(cpu, RSI) & mask;
  let bytes = bytesInRow(cpu, to, min(most * size, LONGEST_RUN), 1);
  if (op == STRING_MOVS && bytes != 0) bytes = bytesInRow(cpu, from, bytes, 0);
  const count = <u32>bytes / size;
  if (count == 0) return 0;
  const hostTo = hostByTlb(cpu, to, 1, 1);
  if (op == STRING_MOVS) copyElements(hostTo, hostByTlb(cpu, from, 1, 0), count, size, false);
  else fillElements(hostTo, gpr(cpu, RAX) & (0xffffffffffffffff >> (64 - 8 * size)), count, size, false);
  advance(cpu, op, count, size, false, addressSize, REPEAT_EQUAL);
  return count;
}

/**
 * Runs a repeated string instruction until it ends, faults or has used up the budget. `size` is the element's, 1, 2, 4
 * or 8 bytes, `addressSize` 2, 4 or 8 bytes, `segment` that of the source.
 */
export function repString(cpu: usize, op: i32, size: i32, segment: i32, addressSize: i32, repeat: i32): i32 {
  const mask: u64 = addressSize == 8 ? 0xffffffffffffffff : addressSize == 4 ? 0xffffffff : 0xffff;
  const flags = load<u32>(cpu, Vcpu.eflags) & ~RF;
  store<u32>(cpu, flags, Vcpu.eflags);
  const plain = op <= STRING_STOS && repeat != REPEAT_NONE && isPlain(cpu, segment, addressSize, flags);
  if (plain && plainString(cpu, op, size, mask)) return Status.ok;
  const down = (flags & DF) != 0;
  const budget = <u64>load<u32>(cpu, Vcpu.budget);
  const most = budget + 1;
  let left = repeat == REPEAT_NONE ? 1 : gpr(cpu, RCX) & mask;
  let done: u64 = 0;
  let ended = left == 0;
  while (!ended && done < most) {
    const next = min<u64>(left, most - done);
    let count = plain ? plainRun(cpu, op, size, addressSize, mask, next) : 0;
    if (count == 0) count = piece(cpu, op, size, segment, addressSize, repeat, mask, down, next);
    if (count == 0) break;
    done += count;
    left -= count;
    ended = left == 0 || (compares(op) && comparisonEnds(cpu, repeat));
    // A write that hit this very instruction's bytes takes effect at the next iteration; ports ask for events.
    if (op >= STRING_INS) break;
  }
  const failed = trouble(cpu);
  const spent = failed || done == 0 ? done : done - 1;
  store<u32>(cpu, <u32>(budget - spent), Vcpu.budget);
  if (failed) return Status.fault;
  if (ended) return op >= STRING_INS ? Status.sync : Status.ok;
  store<u64>(cpu, currentRip(cpu), Vcpu.rip);
  // RF keeps a breakpoint on this instruction from hitting at each resumption; it only exists where one is enabled.
  if (load<u64>(cpu + 56, Vcpu.dr) & 0xff) store<u32>(cpu, flags | RF, Vcpu.eflags);
  return Status.jump;
}

/** Does the next elements, at most `most` and at least one; returns how many, 0 with trouble. Registers follow. */
function piece(
  cpu: usize,
  op: i32,
  size: i32,
  segment: i32,
  addressSize: i32,
  repeat: i32,
  mask: u64,
  down: bool,
  most: u64,
): u64 {
  let count = most;
  let source: u64 = 0;
  let destination: u64 = 0;
  let hostSource: usize = 0;
  let hostDestination: usize = 0;
  // Ports, and what crosses a page, go one by one.
  let bulk = op < STRING_INS;
  if (readsSource(op)) {
    const offset = gpr(cpu, RSI) & mask;
    source = segmentLinear(cpu, segment, offset, size, false);
    if (trouble(cpu)) return 0;
    count = min(count, elementsToWrap(offset, mask, size, down));
    count = min(count, elementsAhead(cpu, segment, offset, source, size, down));
  }
  if (usesDestination(op)) {
    const offset = gpr(cpu, RDI) & mask;
    destination = segmentLinear(cpu, ES, offset, size, writesDestination(op));
    if (trouble(cpu)) return 0;
    count = min(count, elementsToWrap(offset, mask, size, down));
    count = min(count, elementsAhead(cpu, ES, offset, destination, size, down));
  }
  if (count == 0) bulk = false;
  if (readsSource(op) && watchedPage(cpu, source)) bulk = false;
  if (usesDestination(op) && watchedPage(cpu, destination)) bulk = false;
  if (alignmentChecked(cpu)) {
    if (readsSource(op) && misaligned(source, size)) bulk = false;
    if (usesDestination(op) && misaligned(destination, size)) bulk = false;
  }
  if (bulk && readsSource(op)) {
    hostSource = translate(cpu, source, 0);
    if (trouble(cpu)) return 0;
    if (!hostSource) bulk = false;
  }
  if (bulk && usesDestination(op)) {
    hostDestination = translate(cpu, destination, writesDestination(op) ? WRITE : 0);
    if (trouble(cpu)) return 0;
    if (!hostDestination) bulk = false;
  }
  if (!bulk) {
    if (!singleElement(cpu, op, source, destination, size)) return 0;
    advance(cpu, op, 1, size, down, addressSize, repeat);
    return 1;
  }
  const elements = <u32>count;
  const bytes = elements * size;
  if (writesDestination(op)) invalidateCode(cpu, down ? hostDestination + size - bytes : hostDestination, bytes);
  const accumulator = gpr(cpu, RAX) & (0xffffffffffffffff >> (64 - 8 * size));
  let finished = elements;
  switch (op) {
    case STRING_MOVS:
      copyElements(hostDestination, hostSource, elements, size, down);
      break;
    case STRING_STOS:
      fillElements(hostDestination, accumulator, elements, size, down);
      break;
    case STRING_LODS: {
      const last = down ? hostSource + size - bytes : hostSource + bytes - size;
      setGprSized(cpu, RAX, size, loadElement(last, size));
      break;
    }
    default:
      finished = compareElements(cpu, hostSource, hostDestination, elements, size, down, repeat, accumulator);
  }
  advance(cpu, op, finished, size, down, addressSize, repeat);
  return finished;
}
