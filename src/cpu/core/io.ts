/**
 * IN and OUT: permission by IOPL and the TSS's bitmap, then the machine.
 *
 * Like MMIO, a port is only touched in a slice of one instruction, so that the device sees the exact time and its
 * interrupt is taken at once: elsewhere the access sets TROUBLE_DEVICE, and the run loop repeats the instruction so.
 * Source: SDM vol. 1 §18.5 (protection), vol. 3 §7.2.1 (bitmap).
 */
import { Status, Vcpu } from '../../../build/core/layout';
import { raise, watchAccess } from './events';
import { portRead, portWrite } from './machine';
import { readLinear16, TROUBLE_DEVICE } from './memory';
import { SYSTEM } from './paging';
import {
  attributesOf,
  baseOf,
  cplOf,
  CR4_DE,
  GP,
  iopl,
  limitOf,
  linearMask,
  protectedMode,
  TR,
  trouble,
  virtual8086,
} from './registers';

/** #GP(0) unless the program may use the ports [port, port + size). Then: whether a device may be touched now. */
export function portAllowed(cpu: usize, port: u32, size: u32): bool {
  if (protectedMode(cpu) && (cplOf(cpu) > iopl(cpu) || virtual8086(cpu)) && !bitmapAllows(cpu, port, size)) {
    if (!trouble(cpu)) raise(cpu, GP, 0);
    return false;
  }
  if (load<u32>(cpu, Vcpu.deviceAccess)) return true;
  store<u32>(cpu, load<u32>(cpu, Vcpu.trouble) | TROUBLE_DEVICE, Vcpu.trouble);
  return false;
}

function bitmapAllows(cpu: usize, port: u32, size: u32): bool {
  const limit = limitOf(cpu, TR);
  // A 32- or 64-bit TSS that is long enough to have a bitmap's address.
  if (!(attributesOf(cpu, TR) & 8) || limit < 0x67) return false;
  const base = baseOf(cpu, TR);
  const mask = linearMask(cpu);
  const bitmap = readLinear16(cpu, (base + 0x66) & mask, SYSTEM);
  if (trouble(cpu)) return false;
  const at = bitmap + (port >> 3);
  // Two bytes are always read, so the last byte of a bitmap is followed by one of ones.
  if (at + 1 > limit) return false;
  const bits = readLinear16(cpu, (base + at) & mask, SYSTEM);
  return !trouble(cpu) && ((bits >> (port & 7)) & ((1 << size) - 1)) == 0;
}

// @ts-ignore: decorator
@inline
function watchPort(cpu: usize, port: u32, size: u32): void {
  if (load<u64>(cpu + 56, Vcpu.dr) & 0xff && load<u64>(cpu, Vcpu.cr4) & CR4_DE) {
    watchAccess(cpu, port, size, true, true);
  }
}

export function portIn(cpu: usize, port: i32, size: i32): i32 {
  const number = (<u32>port) & 0xffff;
  if (!portAllowed(cpu, number, size)) return 0;
  watchPort(cpu, number, size);
  const value = portRead(number, size);
  return size == 4 ? value : value & ((1 << (8 * size)) - 1);
}

export function portOut(cpu: usize, port: i32, size: i32, value: i32): i32 {
  const number = (<u32>port) & 0xffff;
  if (!portAllowed(cpu, number, size)) return Status.fault;
  watchPort(cpu, number, size);
  portWrite(number, size, size == 4 ? value : value & ((1 << (8 * size)) - 1));
  return Status.sync;
}
