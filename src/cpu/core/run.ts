/**
 * The run loop: events at an instruction boundary, then a slice of instructions in the dispatch loop.
 */
import { Arena, ArenaHeader, ExitReason, Vcpu } from '../../../build/core/layout';
import { flushBlocks, lookup } from './blocks';
import { beginStep, deliverEvents, endStep, instructionBreakpoint, stepping, undisturbed } from './events';
import { dispatch, initTables, probe } from './handlers';
import { TROUBLE_DEVICE, TROUBLE_FAULT } from './memory';
import { arenaHeader } from './paging';
import { resetTlb } from './tlb';
import { updateMode } from './mode';

/**
 * Makes the arena anew for an executor that takes this vCPU over. `Vcpu.arena`, `arenaEnd`, `frameTable`,
 * `frameCount`, `framesBase` and `frameBytes` are set by the caller.
 */
export function attach(cpu: usize): void {
  const arena = <usize>load<u32>(cpu, Vcpu.arena);
  const header = arenaHeader(cpu);
  const generation = load<u32>(header, ArenaHeader.generation);
  memory.fill(header, 0, ArenaHeader.SIZE);
  store<u32>(header, generation, ArenaHeader.generation);
  memory.fill(arena + Arena.jumpCache, 0, Arena.jumpEntries * Arena.jumpEntryBytes);
  memory.fill(arena + Arena.codePages, 0, 2 * Arena.codePageEntries * 8);
  memory.fill(arena + Arena.formCounts, 0, 2 * Arena.formCountBytes);
  initTables(arena + Arena.tables);
  const frames = (<usize>load<u32>(cpu, Vcpu.frameBytes)) >> 12;
  store<u32>(header, <u32>((arena + Arena.codeMap + frames * 16 + 63) & ~63), ArenaHeader.recordsStart);
  store<u32>(cpu, 0, Vcpu.trouble);
  store<u32>(cpu, 0, Vcpu.deviceAccess);
  updateMode(cpu);
  flushBlocks(cpu);
  resetTlb(cpu);
}

/**
 * Runs at most `slice` instructions; returns why it stopped (`exitReason`). All state is in memory then, RIP and
 * `retired` are exact.
 */
export function run(cpu: usize, slice: u32): u32 {
  let left = slice;
  store<u32>(cpu, 0, Vcpu.exitReason);
  while (true) {
    store<u32>(cpu, 0, Vcpu.attention);
    if (deliverEvents(cpu)) return ExitReason.shutdown;
    const reason = load<u32>(cpu, Vcpu.exitReason);
    if (reason > ExitReason.halt) return reason;
    if (load<u32>(cpu, Vcpu.halted)) return ExitReason.halt;
    if (left == 0) return ExitReason.budget;
    const single = stepping(cpu);
    if (single && instructionBreakpoint(cpu)) continue;
    const shadow = load<u32>(cpu, Vcpu.shadow);
    const record = find(cpu);
    if (record == 0) {
      store<u32>(cpu, 0, Vcpu.trouble);
      continue;
    }
    const start = load<u64>(cpu, Vcpu.rip);
    const step = single ? beginStep(cpu, record) : 0;
    store<u32>(cpu, 0, Vcpu.shadowFresh);
    left -= enter(cpu, record, single || shadow ? 1 : left);
    endStep(cpu, start, step);
    // The shadow covers one instruction, unless that one cast it anew.
    if (shadow && !load<u32>(cpu, Vcpu.shadowFresh)) store<u32>(cpu, 0, Vcpu.shadow);
  }
}

/** The record or entry at Vcpu.rip; 0: an exception is pending. */
// @ts-ignore: decorator
@inline
function find(cpu: usize): usize {
  const known = probe(cpu);
  return known != 0 ? known : lookup(cpu);
}

/**
 * Where the dispatch loop goes on by itself after an instruction that transferred control or changed the mode: the record
 * or entry at Vcpu.rip. 0: the boundary is for the run loop.
 */
export function resume(cpu: usize): usize {
  return undisturbed(cpu) && load<u32>(cpu, Vcpu.budget) != 0 ? find(cpu) : 0;
}

/** One entry into the dispatch loop; instructions retired. */
function enter(cpu: usize, record: usize, count: u32): u32 {
  const retired = slice(cpu, record, count);
  const trouble = load<u32>(cpu, Vcpu.trouble);
  store<u32>(cpu, 0, Vcpu.trouble);
  if ((trouble & (TROUBLE_DEVICE | TROUBLE_FAULT)) != TROUBLE_DEVICE) return retired;
  // The instruction reached a device: once more, alone, so that the device sees the exact time.
  const again = lookup(cpu);
  if (again == 0) return retired;
  store<u32>(cpu, 1, Vcpu.deviceAccess);
  const more = slice(cpu, again, 1);
  store<u32>(cpu, 0, Vcpu.deviceAccess);
  store<u32>(cpu, 0, Vcpu.trouble);
  return retired + more;
}

function slice(cpu: usize, record: usize, count: u32): u32 {
  store<u32>(cpu, count, Vcpu.slice);
  store<u32>(cpu, count, Vcpu.budget);
  dispatch(cpu, record, count);
  const retired = count - load<u32>(cpu, Vcpu.budget);
  store<u64>(cpu, load<u64>(cpu, Vcpu.retired) + <u64>retired, Vcpu.retired);
  store<u32>(cpu, 0, Vcpu.slice);
  store<u32>(cpu, 0, Vcpu.budget);
  return retired;
}

/**
 * One instruction (one iteration, if it is repeated) at Vcpu.rip, and no event: for tests and debuggers. An exception
 * that it raises stays pending. Returns the instructions retired.
 */
export function stepOnce(cpu: usize): u32 {
  if (!beginOne(cpu)) return 0;
  const record = lookup(cpu);
  if (record == 0) {
    store<u32>(cpu, 0, Vcpu.trouble);
    return 0;
  }
  const retired = enter(cpu, record, 1);
  endOne(cpu);
  return retired;
}

/** What stands before and after an instruction that another tier runs by itself: 0 when a breakpoint forbids it. */
export function beginOne(cpu: usize): u32 {
  if (stepping(cpu)) {
    if (instructionBreakpoint(cpu)) return 0;
    // Single step on branches is the run loop's.
    beginStep(cpu, 0);
  }
  store<u32>(cpu, load<u32>(cpu, Vcpu.shadow) ? 2 : 0, Vcpu.shadowFresh);
  return 1;
}

/** Ends the interrupt shadow that stood before beginOne, unless the instruction cast one. */
export function endOne(cpu: usize): void {
  if (load<u32>(cpu, Vcpu.shadowFresh) == 2) store<u32>(cpu, 0, Vcpu.shadow);
}
