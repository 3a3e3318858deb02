/** Small functions that handlers call on their general paths. */
import { Record, Vcpu } from '../../../build/core/layout';
import { raiseNoError } from './events';
import { log, LOG_UNKNOWN_OPCODE } from './machine';
import { probeLinear } from './memory';
import { FETCH, WRITE } from './paging';
import { translate } from './tlb';
import { MODE_CODE_MASK } from './mode';

/** An offset wrapped at the address size of a record. */
export function wrapOffset(record: usize, offset: u64): u64 {
  const size = load<u8>(record, Record.flags) & 3;
  return size == 2 ? offset : size == 1 ? offset & 0xffffffff : offset & 0xffff;
}

/** Effective address of a record's memory operand. */
export function operandOffset(cpu: usize, record: usize): u64 {
  const base = load<u64>(cpu + load<u16>(record, Record.base));
  const index = load<u64>(cpu + load<u16>(record, Record.index)) << load<u8>(record, Record.scale);
  return wrapOffset(record, base + index + <i64>load<i32>(record, Record.displacement));
}

/** Linear address of an offset in a segment, unchecked. */
export function segmentBase(cpu: usize, segment: u32, offset: u64): u64 {
  if ((load<u32>(cpu, Vcpu.modeKey) & MODE_CODE_MASK) != 2) {
    return (load<u64>(cpu + ((<usize>segment) << 3), Vcpu.segBase) + offset) & 0xffffffff;
  }
  return segment >= 4 ? load<u64>(cpu + ((<usize>segment) << 3), Vcpu.segBase) + offset : offset;
}

/** Faults by `trouble` as a write of `size` bytes would. */
export function probeWrite(cpu: usize, linear: u64, size: u32): void {
  probeLinear(cpu, linear, size, WRITE);
}

/** Sets RIP to the address after an instruction, wrapped as the code size says. */
export function wrapIp(cpu: usize, rip: u64): void {
  const long = (load<u32>(cpu, Vcpu.modeKey) & MODE_CODE_MASK) == 2;
  store<u64>(cpu, long ? rip : rip & 0xffffffff, Vcpu.rip);
}

/** Up to eight bytes of code from `rip` on, the first in the lowest byte: those in its page, of which one was fetched. */
function codeBytes(cpu: usize, rip: u64): u64 {
  const linear = segmentBase(cpu, 1, rip);
  const host = translate(cpu, linear, FETCH);
  if (host == 0) return 0;
  const count = min<u32>(8, 0x1000 - ((<u32>linear) & 0xfff));
  let bytes: u64 = 0;
  for (let n: u32 = 0; n < count; n++) bytes |= (<u64>load<u8>(host + n)) << (8 * n);
  return bytes;
}

/** #UD, with a line in the log: the bytes of the code and its address. */
export function undefinedInstruction(cpu: usize, record: usize): void {
  const rip = load<u64>(cpu, Vcpu.ripBase) + load<u16>(record, Record.offset);
  log(LOG_UNKNOWN_OPCODE, codeBytes(cpu, rip), rip);
  raiseNoError(cpu, 6);
}
