/**
 * Events: what happens at an instruction boundary, in one place and in the manual's priority (SDM vol. 3 §6.9): a
 * fault of the instruction at RIP, debug traps of the one before, NMI, external interrupts.
 *
 * A fault is data until here: `raise` fills `Vcpu.exception*` and sets `trouble`; the instruction leaves without a
 * trace; `deliverEvents` turns it into a transfer. Delivery itself may fault; the classes of the two exceptions then
 * decide (SDM vol. 3 table 6-5): the second one instead, a double fault, or shutdown.
 */
import { Arena, DecodeTable, Entry, ExitReason, Record, RecordFlags, Status, Vcpu } from '../../../build/core/layout';
import { deliver } from './delivery';
import { getFlags } from './flags';
import { interruptAcknowledge, log, LOG_TRIPLE_FAULT } from './machine';
import {
  baseOf,
  code64,
  CS,
  DB,
  DOUBLE_FAULT,
  GP,
  IF,
  iopl,
  linearMask,
  NMI,
  nextRip,
  PAGE_FAULT,
  RF,
  TF,
  TS,
  virtual8086,
} from './registers';

/** Where an event comes from; decides DPL checks and the EXT bit of error codes. */
export const SOURCE_FAULT: u32 = 0;
/** INT n, INT3, INTO. */
export const SOURCE_SOFTWARE: u32 = 1;
/** Interrupts and NMI. */
export const SOURCE_EXTERNAL: u32 = 2;
/** #DB traps and INT1. */
export const SOURCE_TRAP: u32 = 3;

/** IA32_DEBUGCTL: last branch records (none are kept), single step on branches. */
const DEBUGCTL_LBR: u64 = 1;
const DEBUGCTL_BTF: u64 = 2;
/** DR6: single step. */
export const DR6_BS: u32 = 0x4000;
/** DR7.GD: access to debug registers faults. Cleared on entry to the #DB handler. */
const DR7_GD: u64 = 0x2000;
const TROUBLE_FAULT: u32 = 1;

function setException(cpu: usize, vector: u32, error: u32, hasError: u32): void {
  store<u32>(cpu, vector, Vcpu.exceptionVector);
  store<u32>(cpu, error, Vcpu.exceptionError);
  store<u32>(cpu, hasError, Vcpu.exceptionHasError);
  store<u32>(cpu, 1, Vcpu.exceptionPending);
  store<u32>(cpu, load<u32>(cpu, Vcpu.trouble) | TROUBLE_FAULT, Vcpu.trouble);
}

export function raise(cpu: usize, vector: u32, error: u32): void {
  setException(cpu, vector, error, 1);
}

export function raiseNoError(cpu: usize, vector: u32): void {
  setException(cpu, vector, 0, 0);
}

export function raisePageFault(cpu: usize, linear: u64, error: u32): void {
  store<u64>(cpu, linear, Vcpu.exceptionCr2);
  setException(cpu, PAGE_FAULT, error, 1);
}

function clearException(cpu: usize): void {
  store<u32>(cpu, 0, Vcpu.exceptionPending);
  store<u32>(cpu, 0, Vcpu.trouble);
}

/**
 * Takes all events that are due at this boundary; RIP is exact. 0: nothing more to do, go on at RIP (unless halted).
 * 1: shutdown (triple fault).
 */
export function deliverEvents(cpu: usize): u32 {
  if (
    !load<u32>(cpu, Vcpu.exceptionPending) &&
    !load<u32>(cpu, Vcpu.pendingDebug) &&
    !load<u32>(cpu, Vcpu.nmiRequest) &&
    !load<u32>(cpu, Vcpu.interruptRequest)
  ) {
    return load<u32>(cpu, Vcpu.shutdown);
  }
  // A stack or a table may lie on a device: let such accesses through, there is nothing to repeat here.
  const access = load<u32>(cpu, Vcpu.deviceAccess);
  store<u32>(cpu, 1, Vcpu.deviceAccess);
  const result = deliverAll(cpu);
  store<u32>(cpu, access, Vcpu.deviceAccess);
  return result;
}

function deliverAll(cpu: usize): u32 {
  while (!load<u32>(cpu, Vcpu.shutdown)) {
    if (load<u32>(cpu, Vcpu.exceptionPending)) {
      const vector = load<u32>(cpu, Vcpu.exceptionVector);
      const error = load<u32>(cpu, Vcpu.exceptionError);
      const hasError = load<u32>(cpu, Vcpu.exceptionHasError) != 0;
      clearException(cpu);
      deliverOrEscalate(cpu, vector, SOURCE_FAULT, error, hasError);
      continue;
    }
    store<u32>(cpu, 0, Vcpu.trouble);
    const shadow = load<u32>(cpu, Vcpu.shadow);
    const debug = load<u32>(cpu, Vcpu.pendingDebug);
    if (debug && shadow != 2) {
      store<u32>(cpu, 0, Vcpu.pendingDebug);
      setDebugStatus(cpu, debug);
      deliverOrEscalate(cpu, DB, SOURCE_TRAP, 0, false);
      continue;
    }
    if (shadow) return 0;
    if (load<u32>(cpu, Vcpu.nmiRequest) && !load<u32>(cpu, Vcpu.nmiBlocked)) {
      store<u32>(cpu, 0, Vcpu.nmiRequest);
      store<u32>(cpu, 1, Vcpu.nmiBlocked);
      deliverOrEscalate(cpu, NMI, SOURCE_EXTERNAL, 0, false);
      continue;
    }
    if (!load<u32>(cpu, Vcpu.interruptRequest) || !(load<u32>(cpu, Vcpu.eflags) & IF)) return 0;
    const vector = interruptAcknowledge();
    if (vector < 0) {
      store<u32>(cpu, 0, Vcpu.interruptRequest);
      return 0;
    }
    deliverOrEscalate(cpu, vector, SOURCE_EXTERNAL, 0, false);
  }
  return 1;
}

// @ts-ignore: decorator
@inline
function contributory(vector: u32): bool {
  return vector == 0 || (vector >= TS && vector <= GP);
}

/** Delivers an event at RIP; faults on the way are delivered instead, or become a double fault or the shutdown. */
function deliverOrEscalate(cpu: usize, first: u32, firstSource: u32, firstError: u32, firstHasError: bool): void {
  let vector = first;
  let source = firstSource;
  let error = firstError;
  let hasError = firstHasError;
  store<u32>(cpu, 0, Vcpu.halted);
  while (true) {
    // A task gate may have moved RIP to the new task before it faulted.
    const rip = load<u64>(cpu, Vcpu.rip);
    store<u32>(cpu, vector + 1, Vcpu.delivering);
    if (vector == PAGE_FAULT && source == SOURCE_FAULT) store<u64>(cpu, load<u64>(cpu, Vcpu.exceptionCr2), Vcpu.cr2);
    // Faults push RF = 1, so that a breakpoint on the instruction does not hit again (SDM vol. 3 §17.3.1.1).
    let flags = getFlags(cpu);
    if (source == SOURCE_FAULT && vector != DB) flags |= RF;
    if (deliver(cpu, vector, source, error, hasError, flags, rip)) {
      eventEntered(cpu, vector);
      return;
    }
    const second = load<u32>(cpu, Vcpu.exceptionVector);
    const secondError = load<u32>(cpu, Vcpu.exceptionError);
    const secondHasError = load<u32>(cpu, Vcpu.exceptionHasError) != 0;
    // A page fault shows in CR2 also where it becomes a double fault.
    if (second == PAGE_FAULT) store<u64>(cpu, load<u64>(cpu, Vcpu.exceptionCr2), Vcpu.cr2);
    clearException(cpu);
    if (source == SOURCE_FAULT) {
      if (vector == DOUBLE_FAULT) {
        store<u32>(cpu, 0, Vcpu.delivering);
        store<u32>(cpu, 1, Vcpu.shutdown);
        log(LOG_TRIPLE_FAULT, second, rip);
        return;
      }
      if (
        contributory(second) ? contributory(vector) || vector == PAGE_FAULT : second == PAGE_FAULT && vector == second
      ) {
        vector = DOUBLE_FAULT;
        error = 0;
        hasError = true;
        continue;
      }
    }
    vector = second;
    error = secondError;
    hasError = secondHasError;
    source = SOURCE_FAULT;
  }
}

/** What entering any handler changes besides registers. */
function eventEntered(cpu: usize, vector: u32): void {
  store<u32>(cpu, 0, Vcpu.delivering);
  store<u32>(cpu, 0, Vcpu.shadow);
  store<u32>(cpu, 0, Vcpu.pendingDebug);
  if (vector != DB) return;
  store<u64>(cpu + 56, load<u64>(cpu + 56, Vcpu.dr) & ~DR7_GD, Vcpu.dr);
  store<u64>(cpu, load<u64>(cpu, Vcpu.msrDebugControl) & ~(DEBUGCTL_LBR | DEBUGCTL_BTF), Vcpu.msrDebugControl);
}

/** kind: 0 INT n, 1 INT3, 2 INTO, 3 INT1. Delivery faults are raised at the instruction itself. */
export function softwareInterrupt(cpu: usize, vector: i32, kind: i32): i32 {
  if (kind == 0 && virtual8086(cpu) && iopl(cpu) < 3) {
    raise(cpu, GP, 0);
    return Status.fault;
  }
  const source = kind == 3 ? SOURCE_TRAP : SOURCE_SOFTWARE;
  if (!deliver(cpu, vector, source, 0, false, getFlags(cpu), nextRip(cpu))) return Status.fault;
  eventEntered(cpu, vector);
  return Status.jump;
}

// ---------------------------------------------------------------------------------------------------------------------
// Debug registers, SDM vol. 3 §17.2.

function setDebugStatus(cpu: usize, bits: u32): void {
  store<u64>(cpu + 48, load<u64>(cpu + 48, Vcpu.dr) | bits, Vcpu.dr);
}

/** Bits 0–3 for the enabled breakpoints of a kind that [linear, linear + size) touches. */
function matching(cpu: usize, linear: u64, size: u32, kinds: u32): u32 {
  const dr7 = <u32>load<u64>(cpu + 56, Vcpu.dr);
  let hits: u32 = 0;
  for (let n: u32 = 0; n < 4; n++) {
    if (!((dr7 >> (2 * n)) & 3)) continue;
    const control = dr7 >> (16 + 4 * n);
    if (!((kinds >> (control & 3)) & 1)) continue;
    const code = (control >> 2) & 3;
    const length: u64 = code == 2 ? 8 : <u64>code + 1;
    const address = load<u64>(cpu + ((<usize>n) << 3), Vcpu.dr) & ~(length - 1);
    if (address < linear + size && linear < address + length) hits |= 1 << n;
  }
  return hits;
}

/** Raises #DB before the instruction at RIP when an instruction breakpoint stands on it and RF is clear. */
export function instructionBreakpoint(cpu: usize): bool {
  if (load<u32>(cpu, Vcpu.eflags) & RF || !(load<u64>(cpu + 56, Vcpu.dr) & 0xff)) return false;
  const rip = load<u64>(cpu, Vcpu.rip);
  const linear = code64(cpu) ? rip : (baseOf(cpu, CS) + rip) & linearMask(cpu);
  const hits = matching(cpu, linear, 1, 1);
  if (!hits) return false;
  setDebugStatus(cpu, hits);
  raiseNoError(cpu, DB);
  return true;
}

/** Notes a data (or, with CR4.DE, port) breakpoint that an access met: a trap after the instruction. */
export function watchAccess(cpu: usize, address: u64, size: u32, write: bool, port: bool): void {
  const kinds: u32 = port ? 1 << 2 : write ? (1 << 1) | (1 << 3) : 1 << 3;
  const hits = matching(cpu, address, size, kinds);
  if (hits) store<u32>(cpu, load<u32>(cpu, Vcpu.pendingDebug) | hits, Vcpu.pendingDebug);
}

/** Whether an enabled data breakpoint lies in the page of a linear address: such a page never gets into the data TLBs. */
export function watchedPage(cpu: usize, linear: u64): bool {
  const dr7 = <u32>load<u64>(cpu + 56, Vcpu.dr);
  if (!(dr7 & 0xff)) return false;
  for (let n: u32 = 0; n < 4; n++) {
    // Kinds 1 (writes) and 3 (reads and writes); aligned as they are, breakpoints do not cross pages.
    if (!((dr7 >> (2 * n)) & 3) || !((dr7 >> (16 + 4 * n)) & 1)) continue;
    if ((load<u64>(cpu + ((<usize>n) << 3), Vcpu.dr) ^ linear) < 0x1000) return true;
  }
  return false;
}

/** Nothing is due at this instruction boundary: no event, interrupt shadow, single step or end of the slice. */
export function undisturbed(cpu: usize): bool {
  const due =
    load<u32>(cpu, Vcpu.exceptionPending) |
    load<u32>(cpu, Vcpu.trouble) |
    load<u32>(cpu, Vcpu.pendingDebug) |
    load<u32>(cpu, Vcpu.nmiRequest) |
    load<u32>(cpu, Vcpu.shadow) |
    load<u32>(cpu, Vcpu.halted) |
    load<u32>(cpu, Vcpu.shutdown);
  if (due || load<u32>(cpu, Vcpu.exitReason) > <u32>ExitReason.halt) return false;
  if (load<u32>(cpu, Vcpu.interruptRequest) && load<u32>(cpu, Vcpu.eflags) & IF) return false;
  return !stepping(cpu);
}

/**
 * How an instruction ends that may have changed the mode, the mapping of code or what is due; `codeKey` as it was before.
 */
export function settled(cpu: usize, codeKey: u32): i32 {
  return load<u32>(cpu, Vcpu.codeKey) == codeKey && undisturbed(cpu) ? Status.ok : Status.sync;
}

/** TF, RF or an enabled breakpoint: the run loop goes one instruction at a time. */
export function stepping(cpu: usize): bool {
  return (load<u32>(cpu, Vcpu.eflags) & (TF | RF)) != 0 || (load<u64>(cpu + 56, Vcpu.dr) & 0xff) != 0;
}

/** What `beginStep` tells `endStep`: 0, or the instruction's length with this bit if it may be repeated at its place. */
const STEP_REPEATS: u32 = 0x100;

/**
 * Before a single instruction (after instructionBreakpoint): RF covers only this one; TF asks for a trap after it.
 * The trap is noted now, so that an instruction that enters a handler (INT n) or faults takes it back.
 */
export function beginStep(cpu: usize, record: usize): u32 {
  const flags = load<u32>(cpu, Vcpu.eflags);
  if (flags & RF) store<u32>(cpu, flags & ~RF, Vcpu.eflags);
  if (!(flags & TF)) return 0;
  store<u32>(cpu, load<u32>(cpu, Vcpu.pendingDebug) | DR6_BS, Vcpu.pendingDebug);
  if (record == 0 || !(load<u64>(cpu, Vcpu.msrDebugControl) & DEBUGCTL_BTF)) return 0;
  // An entry of compiled code may stand for the record.
  if (load<u16>(record, Record.form) == <u16>DecodeTable.formCompiled) record = <usize>load<u32>(record, Entry.record);
  const length = <u32>load<u8>(record, Record.length);
  if (alwaysBranches(cpu, record)) return 0;
  return load<u8>(record, Record.flags) & (RecordFlags.rep | RecordFlags.repne) ? length | STEP_REPEATS : length;
}

function alwaysBranches(cpu: usize, record: usize): bool {
  const tables = <usize>load<u32>(cpu, Vcpu.arena) + Arena.tables;
  const kinds = tables + <usize>load<u32>(tables, 8);
  return load<u16>(kinds + ((<usize>load<u16>(record, Record.form)) << 1)) == <u16>DecodeTable.fusionTransfer;
}

/**
 * After the instruction at `start`: with DebugCtl.BTF only taken branches trap (SDM vol. 3 §17.4.3). A conditional branch
 * to the instruction behind it passes for one that was not taken.
 */
export function endStep(cpu: usize, start: u64, step: u32): void {
  if (step == 0) return;
  const rip = load<u64>(cpu, Vcpu.rip);
  const behind = start + <u64>(step & 0xff);
  const straight = rip == (code64(cpu) ? behind : behind & 0xffffffff);
  if (!straight && !(step & STEP_REPEATS && rip == start)) return;
  store<u32>(cpu, load<u32>(cpu, Vcpu.pendingDebug) & ~DR6_BS, Vcpu.pendingDebug);
}
