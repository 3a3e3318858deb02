/**
 * Far transfers: JMP, CALL and RET between segments, call gates, IRET.
 *
 * Each checks everything and reads or writes memory first; registers change only when nothing can fault any more.
 * Sources: SDM vol. 2 (CALL, JMP, RET, IRET pseudocode), vol. 3 §5.8 (privilege checks), §5.8.5 (stack switch).
 */
import { Status, Vcpu } from '../../../build/core/layout';
import { innerStack, innerStackSegment, longStack } from './delivery';
import { raise } from './events';
import { getFlags, setFlags } from './flags';
import { readLinear16 } from './memory';
import { SYSTEM, WRITE } from './paging';
import { updateMode } from './mode';
import {
  ARITHMETIC,
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
  IOPL,
  iopl,
  limitOf,
  longMode,
  NP,
  nextRip,
  NT,
  paragraphs,
  RF,
  RSP,
  selectorOf,
  setGpr,
  setStackPointer,
  SS,
  STACK_FAULT,
  TR,
  trouble,
  TS,
  VIF,
  VIP,
  virtual8086,
  VM,
  WRITABLE,
} from './registers';
import {
  ATTR_BIG,
  ATTR_CODE,
  ATTR_CONFORMING,
  ATTR_LONG,
  ATTR_PRESENT,
  ATTR_RW,
  ATTR_S,
  ATTR_UNUSABLE,
  descriptorAttributes,
  descriptorBase,
  descriptorLimit,
  dplOf,
  fetchDescriptor,
  fetchUpperHalf,
  isNull,
  markAccessed,
  setCode,
  setFromDescriptor,
  setNull,
  setParagraph,
} from './segments';
import { loadStack, pushTo, storeStack, writeSized } from './stack';
import { SWITCH_CALL, SWITCH_JUMP, SWITCH_REFUSED, SWITCH_RETURN, switchTask } from './tasks';

// @ts-ignore: decorator
@inline
function fault(cpu: usize, vector: u32, error: u32): i32 {
  raise(cpu, vector, error);
  return Status.fault;
}

// @ts-ignore: decorator
@inline
function truncate(value: u64, size: i32): u64 {
  return size == 8 ? value : size == 4 ? value & 0xffffffff : value & 0xffff;
}

/** 64-bit code in IA-32e mode, by a descriptor's attributes. */
// @ts-ignore: decorator
@inline
function targets64(cpu: usize, attributes: u32): bool {
  return longMode(cpu) && (attributes & ATTR_LONG) != 0;
}

/** #GP(0) when `offset` is no instruction address of the code segment `descriptor`. */
function checkOffset(cpu: usize, descriptor: u64, offset: u64): bool {
  const inside = targets64(cpu, descriptorAttributes(descriptor))
    ? canonical(offset)
    : offset <= descriptorLimit(descriptor);
  if (!inside) raise(cpu, GP, 0);
  return inside;
}

/** Checks that JMP, CALL and RET share: present code whose L and D bits make sense. `attributes` of the descriptor. */
function checkCode(cpu: usize, selector: u32, attributes: u32): bool {
  const error = selector & 0xfffc;
  if (longMode(cpu) && (attributes & (ATTR_LONG | ATTR_BIG)) == (ATTR_LONG | ATTR_BIG)) raise(cpu, GP, error);
  else if (!(attributes & ATTR_PRESENT)) raise(cpu, NP, error);
  return !trouble(cpu);
}

/** A direct far transfer to code: privilege stays, so a nonconforming segment must have DPL = CPL. */
function checkDirect(cpu: usize, selector: u32, attributes: u32): bool {
  const cpl = cplOf(cpu);
  const dpl = dplOf(attributes);
  const good = attributes & ATTR_CONFORMING ? dpl <= cpl : dpl == cpl && (selector & 3) <= cpl;
  if (!good) {
    raise(cpu, GP, selector & 0xfffc);
    return false;
  }
  return checkCode(cpu, selector, attributes);
}

function enterCode(cpu: usize, selector: u32, descriptor: u64, cpl: u32, offset: u64): i32 {
  setCode(cpu, selector, descriptor, cpl);
  store<u64>(cpu, offset, Vcpu.rip);
  updateMode(cpu);
  return Status.jump;
}

/** Real and virtual-8086 mode. */
function enterParagraph(cpu: usize, selector: u32, offset: u64): i32 {
  setParagraph(cpu, CS, selector);
  store<u64>(cpu, offset, Vcpu.rip);
  updateMode(cpu);
  return Status.jump;
}

/** TSS and task gates: `kind` is a SWITCH_ constant. */
function toTask(cpu: usize, selector: u32, descriptor: u64, kind: u32): i32 {
  const attributes = descriptorAttributes(descriptor);
  const dpl = dplOf(attributes);
  const error = selector & 0xfffc;
  if (dpl < cplOf(cpu) || dpl < (selector & 3)) return fault(cpu, GP, error);
  let target = selector;
  if ((attributes & 0x1f) == 5) {
    if (!(attributes & ATTR_PRESENT)) return fault(cpu, NP, error);
    target = (<u32>(descriptor >> 16)) & 0xffff;
  }
  return endOfSwitch(switchTask(cpu, target, kind, getFlags(cpu), nextRip(cpu), 0, false, 0));
}

/** A fault after the switch belongs to the new task: RIP is already there, and the run loop delivers it there. */
function endOfSwitch(result: u32): i32 {
  return result == SWITCH_REFUSED ? Status.fault : Status.jump;
}

export function farJump(cpu: usize, selectorOperand: i32, offsetOperand: u64, size: i32): i32 {
  const selector = (<u32>selectorOperand) & 0xffff;
  const offset = truncate(offsetOperand, size);
  if (paragraphs(cpu)) {
    if (offset > limitOf(cpu, CS)) return fault(cpu, GP, 0);
    return enterParagraph(cpu, selector, offset);
  }
  if (isNull(selector)) return fault(cpu, GP, 0);
  const descriptor = fetchDescriptor(cpu, selector, GP, selector & 0xfffc);
  if (trouble(cpu)) return Status.fault;
  const attributes = descriptorAttributes(descriptor);
  if ((attributes & (ATTR_S | ATTR_CODE)) == (ATTR_S | ATTR_CODE)) {
    if (!checkDirect(cpu, selector, attributes) || !checkOffset(cpu, descriptor, offset)) return Status.fault;
    if (!markAccessed(cpu, selector, descriptor)) return Status.fault;
    return enterCode(cpu, selector, descriptor, cplOf(cpu), offset);
  }
  const type = attributes & 0x1f;
  if (type == 12 || (type == 4 && !longMode(cpu))) return throughGate(cpu, selector, descriptor, false);
  if (!longMode(cpu) && (type == 5 || type == 9 || type == 1)) return toTask(cpu, selector, descriptor, SWITCH_JUMP);
  return fault(cpu, GP, selector & 0xfffc);
}

/** `next` is the return address. */
export function farCall(cpu: usize, selectorOperand: i32, offsetOperand: u64, size: i32, next: u64): i32 {
  const selector = (<u32>selectorOperand) & 0xffff;
  const offset = truncate(offsetOperand, size);
  if (paragraphs(cpu)) {
    if (offset > limitOf(cpu, CS)) return fault(cpu, GP, 0);
    if (!pushReturn(cpu, size, next)) return Status.fault;
    return enterParagraph(cpu, selector, offset);
  }
  if (isNull(selector)) return fault(cpu, GP, 0);
  const descriptor = fetchDescriptor(cpu, selector, GP, selector & 0xfffc);
  if (trouble(cpu)) return Status.fault;
  const attributes = descriptorAttributes(descriptor);
  if ((attributes & (ATTR_S | ATTR_CODE)) == (ATTR_S | ATTR_CODE)) {
    if (!checkDirect(cpu, selector, attributes) || !checkOffset(cpu, descriptor, offset)) return Status.fault;
    if (!markAccessed(cpu, selector, descriptor) || !pushReturn(cpu, size, next)) return Status.fault;
    return enterCode(cpu, selector, descriptor, cplOf(cpu), offset);
  }
  const type = attributes & 0x1f;
  if (type == 12 || (type == 4 && !longMode(cpu))) return throughGate(cpu, selector, descriptor, true);
  if (!longMode(cpu) && (type == 5 || type == 9 || type == 1)) return toTask(cpu, selector, descriptor, SWITCH_CALL);
  return fault(cpu, GP, selector & 0xfffc);
}

/** Pushes CS and the return address on the current stack, and moves rSP when both could be written. */
function pushReturn(cpu: usize, size: i32, next: u64): bool {
  if (!storeStack(cpu, -2 * size, next, size)) return false;
  if (!storeStack(cpu, -size, selectorOf(cpu, CS), size)) return false;
  setStackPointer(cpu, gpr(cpu, RSP) - 2 * size);
  return true;
}

/** JMP or CALL through a 16-, 32- or 64-bit call gate, SDM vol. 3 §5.8.3–§5.8.5. */
function throughGate(cpu: usize, gateSelector: u32, gate: u64, call: bool): i32 {
  const access = descriptorAttributes(gate);
  const cpl = cplOf(cpu);
  const gateError = gateSelector & 0xfffc;
  if (dplOf(access) < cpl || dplOf(access) < (gateSelector & 3)) return fault(cpu, GP, gateError);
  if (!(access & ATTR_PRESENT)) return fault(cpu, NP, gateError);
  const long = longMode(cpu);
  const size = long ? 8 : access & 8 ? 4 : 2;
  let offset = gate & 0xffff;
  if (size > 2) offset |= (gate >> 32) & 0xffff0000;
  if (long) {
    offset |= fetchUpperHalf(cpu, gateSelector, GP, gateError) << 32;
    if (trouble(cpu)) return Status.fault;
  }
  const selector = (<u32>(gate >> 16)) & 0xffff;
  const error = selector & 0xfffc;
  if (isNull(selector)) return fault(cpu, GP, 0);
  const descriptor = fetchDescriptor(cpu, selector, GP, error);
  if (trouble(cpu)) return Status.fault;
  const attributes = descriptorAttributes(descriptor);
  const dpl = dplOf(attributes);
  if ((attributes & (ATTR_S | ATTR_CODE)) != (ATTR_S | ATTR_CODE) || dpl > cpl) return fault(cpu, GP, error);
  if (long && (attributes & (ATTR_LONG | ATTR_BIG)) != ATTR_LONG) return fault(cpu, GP, error);
  const conforming = (attributes & ATTR_CONFORMING) != 0;
  if (!call && !conforming && dpl != cpl) return fault(cpu, GP, error);
  if (!checkCode(cpu, selector, attributes)) return Status.fault;
  if (call && !conforming && dpl < cpl) {
    if (!checkOffset(cpu, descriptor, offset)) return Status.fault;
    if (!markAccessed(cpu, selector, descriptor)) return Status.fault;
    const entered = long ? pushInnerLong(cpu, dpl) : pushInner(cpu, dpl, size, (<u32>(gate >> 32)) & 31);
    if (!entered) return Status.fault;
    return enterCode(cpu, selector, descriptor, dpl, offset);
  }
  if (!checkOffset(cpu, descriptor, offset) || !markAccessed(cpu, selector, descriptor)) return Status.fault;
  if (call && !pushReturn(cpu, size, nextRip(cpu))) return Status.fault;
  return enterCode(cpu, selector, descriptor, cpl, offset);
}

/** The stack of a more privileged level with old SS:ESP, `count` parameters, CS and EIP; loads SS and ESP. */
function pushInner(cpu: usize, level: u32, size: i32, count: i32): bool {
  const pointer = innerStack(cpu, level, 0);
  if (trouble(cpu)) return false;
  const selector = <u32>(pointer >> 32);
  const descriptor = innerStackSegment(cpu, selector, level, 0);
  if (trouble(cpu)) return false;
  const base = descriptorBase(descriptor);
  const limit = descriptorLimit(descriptor);
  const attributes = descriptorAttributes(descriptor);
  const error = selector & 0xfffc;
  const kind = WRITE | SYSTEM;
  let sp = pointer & 0xffffffff;
  sp = pushTo(cpu, base, limit, attributes, sp, size, selectorOf(cpu, SS), kind, error);
  sp = pushTo(cpu, base, limit, attributes, sp, size, gpr(cpu, RSP), kind, error);
  for (let n = count - 1; n >= 0; n--) {
    sp = pushTo(cpu, base, limit, attributes, sp, size, loadStack(cpu, n * size, size), kind, error);
  }
  sp = pushTo(cpu, base, limit, attributes, sp, size, selectorOf(cpu, CS), kind, error);
  sp = pushTo(cpu, base, limit, attributes, sp, size, nextRip(cpu), kind, error);
  if (trouble(cpu) || !markAccessed(cpu, selector, descriptor)) return false;
  setFromDescriptor(cpu, SS, selector, descriptor);
  setGpr(cpu, RSP, sp);
  return true;
}

function pushInnerLong(cpu: usize, level: u32): bool {
  const sp = longStack(cpu, level, 0);
  if (trouble(cpu)) return false;
  const kind = WRITE | SYSTEM;
  if (!writeSized(cpu, sp - 32, nextRip(cpu), 8, kind)) return false;
  if (!writeSized(cpu, sp - 24, selectorOf(cpu, CS), 8, kind)) return false;
  if (!writeSized(cpu, sp - 16, gpr(cpu, RSP), 8, kind)) return false;
  if (!writeSized(cpu, sp - 8, selectorOf(cpu, SS), 8, kind)) return false;
  setNull(cpu, SS, level);
  setGpr(cpu, RSP, sp - 32);
  return true;
}

/**
 * Checks of the code segment that RET and IRET return to; its descriptor. The selector's RPL is the new CPL, never more
 * privileged than now.
 */
function returnTarget(cpu: usize, selector: u32): u64 {
  const error = selector & 0xfffc;
  const rpl = selector & 3;
  if (isNull(selector)) {
    raise(cpu, GP, 0);
    return 0;
  }
  const descriptor = fetchDescriptor(cpu, selector, GP, error);
  if (trouble(cpu)) return 0;
  const attributes = descriptorAttributes(descriptor);
  const dpl = dplOf(attributes);
  const code = (attributes & (ATTR_S | ATTR_CODE)) == (ATTR_S | ATTR_CODE);
  if (!code || rpl < cplOf(cpu) || (attributes & ATTR_CONFORMING ? dpl > rpl : dpl != rpl)) raise(cpu, GP, error);
  else checkCode(cpu, selector, attributes);
  return descriptor;
}

/** Checks of the stack segment that RET and IRET return to at `level`; 0 for a null one that 64-bit code may have. */
function returnStack(cpu: usize, selector: u32, level: u32, to64: bool): u64 {
  const error = selector & 0xfffc;
  if (isNull(selector)) {
    if (!to64 || level == 3 || (selector & 3) != level) raise(cpu, GP, 0);
    return 0;
  }
  const descriptor = fetchDescriptor(cpu, selector, GP, error);
  if (trouble(cpu)) return 0;
  const attributes = descriptorAttributes(descriptor);
  const writableData = (attributes & (ATTR_S | ATTR_CODE | ATTR_RW)) == (ATTR_S | ATTR_RW);
  if ((selector & 3) != level || dplOf(attributes) != level || !writableData) raise(cpu, GP, error);
  else if (!(attributes & ATTR_PRESENT)) raise(cpu, STACK_FAULT, error);
  else markAccessed(cpu, selector, descriptor);
  return descriptor;
}

/** Data segments that the outer level may not see become null, SDM vol. 3 §5.8.6. */
function hideSegments(cpu: usize, level: u32): void {
  for (let n = ES; n <= GS; n++) {
    if (n == CS || n == SS) continue;
    const attributes = attributesOf(cpu, n);
    if (attributes & ATTR_UNUSABLE) continue;
    const conforming = (attributes & (ATTR_CODE | ATTR_CONFORMING)) == (ATTR_CODE | ATTR_CONFORMING);
    if (!conforming && dplOf(attributes) < level) setNull(cpu, n, 0);
  }
}

/** Loads SS and rSP of the level that is returned to; the new CS is loaded. `pointer` is what was popped. */
function leaveStack(cpu: usize, selector: u32, descriptor: u64, pointer: u64, size: i32): void {
  if (isNull(selector)) setNull(cpu, SS, selector);
  else setFromDescriptor(cpu, SS, selector, descriptor);
  updateMode(cpu);
  if (size == 2 && load<u64>(cpu, Vcpu.stackMask) == 0xffff) setStackPointer(cpu, pointer);
  else setGpr(cpu, RSP, pointer);
}

export function farReturn(cpu: usize, size: i32, popBytes: i32): i32 {
  const offset = loadStack(cpu, 0, size);
  const selector = (<u32>loadStack(cpu, size, size)) & 0xffff;
  if (trouble(cpu)) return Status.fault;
  if (paragraphs(cpu)) {
    if (offset > limitOf(cpu, CS)) return fault(cpu, GP, 0);
    setStackPointer(cpu, gpr(cpu, RSP) + 2 * size + popBytes);
    return enterParagraph(cpu, selector, offset);
  }
  const descriptor = returnTarget(cpu, selector);
  if (trouble(cpu) || !checkOffset(cpu, descriptor, offset)) return Status.fault;
  const level = selector & 3;
  if (level == cplOf(cpu)) {
    if (!markAccessed(cpu, selector, descriptor)) return Status.fault;
    setStackPointer(cpu, gpr(cpu, RSP) + 2 * size + popBytes);
    return enterCode(cpu, selector, descriptor, level, offset);
  }
  const pointer = loadStack(cpu, 2 * size + popBytes, size);
  const stackSelector = (<u32>loadStack(cpu, 3 * size + popBytes, size)) & 0xffff;
  if (trouble(cpu)) return Status.fault;
  const stack = returnStack(cpu, stackSelector, level, targets64(cpu, descriptorAttributes(descriptor)));
  if (trouble(cpu) || !markAccessed(cpu, selector, descriptor)) return Status.fault;
  setCode(cpu, selector, descriptor, level);
  store<u64>(cpu, offset, Vcpu.rip);
  leaveStack(cpu, stackSelector, stack, pointer, size);
  setStackPointer(cpu, gpr(cpu, RSP) + popBytes);
  hideSegments(cpu, level);
  updateMode(cpu);
  return Status.jump;
}

/**
 * Bits of EFLAGS that IRET takes from its image at the present CPL. RF acts for one instruction and only on instruction
 * breakpoints: without an enabled one it is dropped, so that nobody needs to step over that instruction to clear it.
 */
function returnFlags(cpu: usize, size: i32): u32 {
  const cpl = cplOf(cpu);
  let mask = WRITABLE & ~(IF | IOPL);
  if (load<u64>(cpu + 56, Vcpu.dr) & 0xff) mask |= RF;
  if (cpl <= iopl(cpu)) mask |= IF;
  if (cpl == 0) mask |= IOPL | VIF | VIP;
  return size == 2 ? mask & 0xffff : mask;
}

export function interruptReturn(cpu: usize, size: i32): i32 {
  if (virtual8086(cpu) && iopl(cpu) < 3) return fault(cpu, GP, 0);
  if (!paragraphs(cpu)) {
    if (longMode(cpu)) {
      if (load<u32>(cpu, Vcpu.eflags) & NT) return fault(cpu, GP, 0);
    } else if (load<u32>(cpu, Vcpu.eflags) & NT) return returnToTask(cpu);
  }
  const offset = loadStack(cpu, 0, size);
  const selector = (<u32>loadStack(cpu, size, size)) & 0xffff;
  const flags = <u32>loadStack(cpu, 2 * size, size);
  if (trouble(cpu)) return Status.fault;
  if (paragraphs(cpu)) {
    if (offset > limitOf(cpu, CS)) return fault(cpu, GP, 0);
    setStackPointer(cpu, gpr(cpu, RSP) + 3 * size);
    // Virtual-8086 mode leaves IOPL alone; real mode loads all of the image.
    let mask = returnFlags(cpu, size) & ~(VIF | VIP);
    if (virtual8086(cpu)) mask &= ~IOPL;
    setFlags(cpu, flags, mask | ARITHMETIC);
    store<u32>(cpu, 0, Vcpu.nmiBlocked);
    return enterParagraph(cpu, selector, offset);
  }
  if (!longMode(cpu) && size == 4 && flags & VM && cplOf(cpu) == 0)
    return returnToVirtual8086(cpu, offset, selector, flags);

  const descriptor = returnTarget(cpu, selector);
  if (trouble(cpu) || !checkOffset(cpu, descriptor, offset)) return Status.fault;
  const level = selector & 3;
  const outer = level != cplOf(cpu);
  const mask = returnFlags(cpu, size) | ARITHMETIC;
  // 64-bit code pops SS:RSP always.
  if (!outer && !code64(cpu)) {
    if (!markAccessed(cpu, selector, descriptor)) return Status.fault;
    setStackPointer(cpu, gpr(cpu, RSP) + 3 * size);
  } else {
    const pointer = loadStack(cpu, 3 * size, size);
    const stackSelector = (<u32>loadStack(cpu, 4 * size, size)) & 0xffff;
    if (trouble(cpu)) return Status.fault;
    const stack = returnStack(cpu, stackSelector, level, targets64(cpu, descriptorAttributes(descriptor)));
    if (trouble(cpu) || !markAccessed(cpu, selector, descriptor)) return Status.fault;
    setCode(cpu, selector, descriptor, level);
    leaveStack(cpu, stackSelector, stack, pointer, size);
    if (outer) hideSegments(cpu, level);
  }
  setFlags(cpu, flags, mask);
  store<u32>(cpu, 0, Vcpu.nmiBlocked);
  return enterCode(cpu, selector, descriptor, level, offset);
}

/** IRET at CPL 0 with VM set in the image, SDM vol. 3 §20.2.4. */
function returnToVirtual8086(cpu: usize, offset: u64, selector: u32, flags: u32): i32 {
  const pointer = loadStack(cpu, 12, 4);
  const ss = <u32>loadStack(cpu, 16, 4);
  const es = <u32>loadStack(cpu, 20, 4);
  const ds = <u32>loadStack(cpu, 24, 4);
  const fs = <u32>loadStack(cpu, 28, 4);
  const gs = <u32>loadStack(cpu, 32, 4);
  if (trouble(cpu)) return Status.fault;
  if (offset > 0xffff) return fault(cpu, GP, 0);
  setFlags(cpu, flags, returnFlags(cpu, 4) | ARITHMETIC | VM);
  store<u32>(cpu, 3, Vcpu.cpl);
  setGpr(cpu, RSP, pointer);
  setParagraph(cpu, SS, ss);
  setParagraph(cpu, ES, es);
  setParagraph(cpu, DS, ds);
  setParagraph(cpu, FS, fs);
  setParagraph(cpu, GS, gs);
  store<u32>(cpu, 0, Vcpu.nmiBlocked);
  return enterParagraph(cpu, selector, offset);
}

/** IRET with NT: back to the task that the TSS links to. */
function returnToTask(cpu: usize): i32 {
  const link = readLinear16(cpu, baseOf(cpu, TR), SYSTEM);
  if (trouble(cpu)) return Status.fault;
  if (link & 4) return fault(cpu, TS, link & 0xfffc);
  store<u32>(cpu, 0, Vcpu.nmiBlocked);
  return endOfSwitch(switchTask(cpu, link, SWITCH_RETURN, getFlags(cpu), nextRip(cpu), 0, false, 0));
}
