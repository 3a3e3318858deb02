/**
 * Stack accesses of far transfers: on a stack that may not be the loaded one, and at the loaded one.
 * SDM vol. 3 §5.3 (limits), vol. 1 §6.2.
 */
import { Vcpu } from '../../../build/core/layout';
import { raise } from './events';
import { readLinear16, readLinear32, readLinear64, writeLinear16, writeLinear32, writeLinear64 } from './memory';
import { gpr, RSP, SS, STACK_FAULT, trouble } from './registers';
import { ATTR_BIG, segmentLinear, withinLimit } from './segments';

/** Stores the low 2, 4 or 8 bytes at a linear address. false: trouble. */
export function writeSized(cpu: usize, linear: u64, value: u64, size: i32, access: u32): bool {
  if (size == 8) writeLinear64(cpu, linear, value, access);
  else if (size == 4) writeLinear32(cpu, linear, <u32>value, access);
  else writeLinear16(cpu, linear, (<u32>value) & 0xffff, access);
  return !trouble(cpu);
}

export function readSized(cpu: usize, linear: u64, size: i32, access: u32): u64 {
  if (size == 8) return readLinear64(cpu, linear, access);
  if (size == 4) return <u64>readLinear32(cpu, linear, access);
  return <u64>readLinear16(cpu, linear, access);
}

/**
 * Pushes on a legacy stack given by its parts and returns the new stack pointer (bits outside of the stack's width
 * kept). Does nothing when a fault is pending already, so that a frame can be checked once at its end.
 */
export function pushTo(
  cpu: usize,
  base: u64,
  limit: u32,
  attributes: u32,
  pointer: u64,
  size: i32,
  value: u64,
  access: u32,
  error: u32,
): u64 {
  if (trouble(cpu)) return pointer;
  const mask: u64 = attributes & ATTR_BIG ? 0xffffffff : 0xffff;
  const offset = (pointer - size) & mask;
  if (!withinLimit(limit, attributes, offset, size)) {
    raise(cpu, STACK_FAULT, error);
    return pointer;
  }
  writeSized(cpu, (base + offset) & 0xffffffff, value, size, access);
  return (pointer & ~mask) | offset;
}

/** Stores `value` at rSP + delta of the current stack. false: trouble. */
export function storeStack(cpu: usize, delta: i64, value: u64, size: i32): bool {
  const offset = (gpr(cpu, RSP) + delta) & load<u64>(cpu, Vcpu.stackMask);
  const linear = segmentLinear(cpu, SS, offset, size, true);
  return !trouble(cpu) && writeSized(cpu, linear, value, size, 1);
}

/** Loads from rSP + delta of the current stack; 0 when a fault is pending, also from before. */
export function loadStack(cpu: usize, delta: i64, size: i32): u64 {
  if (trouble(cpu)) return 0;
  const offset = (gpr(cpu, RSP) + delta) & load<u64>(cpu, Vcpu.stackMask);
  const linear = segmentLinear(cpu, SS, offset, size, false);
  if (trouble(cpu)) return 0;
  return readSized(cpu, linear, size, 0);
}
