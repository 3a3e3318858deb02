/**
 * Accesses to guest memory by linear addresses that may cross pages, reach devices, or be misaligned.
 *
 * An access that crosses pages or goes to a device is staged in `Vcpu.bounce`: a read fills it, a write is committed
 * from it (`commitWrite`), after both pages were found writable; so no fault leaves a trace.
 */
import { Record, Vcpu } from '../../../build/core/layout';
import { raise, watchAccess } from './events';
import { mmioRead, mmioWrite } from './machine';
import { invalidateCode } from './blocks';
import { ALIGNMENT } from './registers';
import { frameEntry, hostOfPhysical, SYSTEM, WRITE } from './paging';
import { translate } from './tlb';

/** Bits of Vcpu.trouble: an exception is pending; the access reached a device outside of a single step. */
// @ts-ignore: decorator
@inline export const TROUBLE_FAULT: u32 = 1;
// @ts-ignore: decorator
@inline export const TROUBLE_DEVICE: u32 = 2;

// ---------------------------------------------------------------------------------------------------------------------
// Alignment checks, SDM vol. 3 §6.15 (#AC) and table 6-7.

/** CR0.AM and EFLAGS.AC at CPL 3: no access hits in the TLB, so that all come to the slow paths (`updateTlbSet`). */
// @ts-ignore: decorator
@inline
export function alignmentChecked(cpu: usize): bool {
  return load<u32>(cpu, Vcpu.tlb) != load<u32>(cpu, Vcpu.tlbFill);
}

/**
 * Words, doublewords and quadwords must lie at multiples of their size; other sizes are not checked here: 16-byte
 * operands have rules of their own, and structures are accessed by their parts.
 */
// @ts-ignore: decorator
@inline
export function misaligned(linear: u64, size: u32): bool {
  return size <= 8 && (linear & (size - 1)) != 0;
}

/** #AC(0) if the access is checked and misaligned. Processors raise it before a page fault. */
// @ts-ignore: decorator
@inline
function alignmentFault(cpu: usize, linear: u64, size: u32, access: u32): bool {
  if (!alignmentChecked(cpu) || !misaligned(linear, size) || access & SYSTEM) return false;
  raise(cpu, ALIGNMENT, 0);
  return true;
}

// ---------------------------------------------------------------------------------------------------------------------
// Slow paths of accesses. The address of the bounce buffer as result means: staged.

function mask(cpu: usize, linear: u64): u64 {
  return load<u64>(cpu, Vcpu.efer) & 0x400 ? linear : linear & 0xffffffff;
}

/** A device may be touched only in a slice of one instruction; otherwise the run loop repeats the instruction so. */
function deviceAllowed(cpu: usize): bool {
  if (load<u32>(cpu, Vcpu.deviceAccess)) return true;
  store<u32>(cpu, load<u32>(cpu, Vcpu.trouble) | TROUBLE_DEVICE, Vcpu.trouble);
  return false;
}

// @ts-ignore: decorator
@inline
function watching(cpu: usize, access: u32): bool {
  return (load<u64>(cpu + 56, Vcpu.dr) & 0xff) != 0 && !(access & SYSTEM);
}

/** One byte-exact read into the bounce buffer from a page that may be a device. false: trouble. */
function readPiece(cpu: usize, to: usize, linear: u64, size: u32, access: u32): bool {
  const host = translate(cpu, linear, access);
  if (host != 0) {
    memory.copy(to, host, size);
    return true;
  }
  if (load<u32>(cpu, Vcpu.trouble)) return false;
  if (!deviceAllowed(cpu)) return false;
  const physical = load<u64>(cpu, Vcpu.bouncePhysical);
  for (let done: u32 = 0; done < size;) {
    // Naturally aligned pieces of at most four bytes, as a PC's bus would see them.
    const at = physical + done;
    let piece: u32 = size - done >= 4 && !(at & 3) ? 4 : size - done >= 2 && !(at & 1) ? 2 : 1;
    if (done == 0 && size == 4) piece = 4;
    const value = mmioRead(at, piece);
    if (piece == 4) store<u32>(to + done, value);
    else if (piece == 2) store<u16>(to + done, <u16>value);
    else store<u8>(to + done, <u8>value);
    done += piece;
  }
  return true;
}

/** Beside the size: the access is to the stack. */
// @ts-ignore: decorator
@inline const STACK_ACCESS: u32 = 0x100;

/**
 * #GP(0), or #SS(0) for the stack segment, when the access of a handler's fast path is not canonical (general paths
 * have checked before). SDM vol. 3 §6.15, #SS.
 */
function canonicalAccess(cpu: usize, address: u64, size: u32): bool {
  if (!(load<u64>(cpu, Vcpu.efer) & 0x400)) return true;
  const last = address + (size & 0xff) - 1;
  if ((<i64>(address << 16)) >> 16 == <i64>address && (<i64>(last << 16)) >> 16 == <i64>last) return true;
  const record = <usize>load<u32>(cpu, Vcpu.record);
  raise(cpu, size & STACK_ACCESS || load<u8>(record, Record.segment) == 2 ? 12 : 13, 0);
  return false;
}

/** Host address to read `size` bytes from, or 0 with trouble. Called when the TLB did not hit. */
export function slowRead(cpu: usize, address: u64, size: u32): usize {
  if (!canonicalAccess(cpu, address, size)) return 0;
  return slowReadAs(cpu, address, size & 0xff, 0);
}

function slowReadAs(cpu: usize, address: u64, size: u32, access: u32): usize {
  if (alignmentFault(cpu, address, size, access)) return 0;
  const host = readAt(cpu, address, size, access);
  if (host && watching(cpu, access)) watchAccess(cpu, mask(cpu, address), size, false, false);
  return host;
}

function readAt(cpu: usize, address: u64, size: u32, access: u32): usize {
  const linear = mask(cpu, address);
  const inPage: u32 = 0x1000 - <u32>(linear & 0xfff);
  if (size <= inPage) {
    const host = translate(cpu, linear, access);
    if (host != 0) return host;
    if (load<u32>(cpu, Vcpu.trouble)) return 0;
    return readPiece(cpu, cpu + Vcpu.bounce, linear, size, access) ? cpu + Vcpu.bounce : 0;
  }
  if (!readPiece(cpu, cpu + Vcpu.bounce, linear, inPage, access)) return 0;
  const second = mask(cpu, linear + inPage);
  if (!readPiece(cpu, cpu + Vcpu.bounce + inPage, second, size - inPage, access)) return 0;
  return cpu + Vcpu.bounce;
}

/**
 * Host address to write `size` bytes to, or 0 with trouble; for RAM in one page the place itself, else the bounce
 * buffer, which holds the present contents (for read-modify-write). `commitWrite` must follow the store.
 */
export function slowWrite(cpu: usize, address: u64, size: u32): usize {
  if (!canonicalAccess(cpu, address, size)) return 0;
  return slowWriteAs(cpu, address, size & 0xff, WRITE);
}

function slowWriteAs(cpu: usize, address: u64, size: u32, access: u32): usize {
  if (alignmentFault(cpu, address, size, access)) return 0;
  const host = writeAt(cpu, address, size, access);
  if (host && watching(cpu, access)) watchAccess(cpu, mask(cpu, address), size, true, false);
  return host;
}

function writeAt(cpu: usize, address: u64, size: u32, access: u32): usize {
  const linear = mask(cpu, address);
  const inPage: u32 = 0x1000 - <u32>(linear & 0xfff);
  store<u32>(cpu, 0, Vcpu.bounceSize);
  if (size <= inPage) {
    const host = translate(cpu, linear, access);
    if (host != 0) {
      invalidateCode(cpu, host, size);
      return host;
    }
    if (load<u32>(cpu, Vcpu.trouble)) return 0;
    if (!readForUpdate(cpu, cpu + Vcpu.bounce, size)) return 0;
  } else {
    const second = mask(cpu, linear + inPage);
    const first = translate(cpu, linear, access);
    if (load<u32>(cpu, Vcpu.trouble)) return 0;
    if (first) memory.copy(cpu + Vcpu.bounce, first, inPage);
    else if (!readForUpdate(cpu, cpu + Vcpu.bounce, inPage)) return 0;
    const last = translate(cpu, second, access);
    if (load<u32>(cpu, Vcpu.trouble)) return 0;
    if (last) memory.copy(cpu + Vcpu.bounce + inPage, last, size - inPage);
    else if (!readForUpdate(cpu, cpu + Vcpu.bounce + inPage, size - inPage)) return 0;
  }
  store<u64>(cpu, linear, Vcpu.bounceLinear);
  store<u32>(cpu, size | (access << 8), Vcpu.bounceSize);
  return cpu + Vcpu.bounce;
}

/** Present contents for a staged write to what is not RAM: read-only memory reads, devices are not read. */
function readForUpdate(cpu: usize, to: usize, size: u32): bool {
  const physical = load<u64>(cpu, Vcpu.bouncePhysical);
  const host = hostOfPhysical(cpu, physical);
  if (host) {
    memory.copy(to, host, size);
    return true;
  }
  if (!deviceAllowed(cpu)) return false;
  memory.fill(to, 0xff, size);
  return true;
}

/** Carries out a write that slowWrite staged; nothing to do when it went to RAM directly. */
export function commitWrite(cpu: usize): void {
  const staged = load<u32>(cpu, Vcpu.bounceSize);
  if (staged == 0) return;
  store<u32>(cpu, 0, Vcpu.bounceSize);
  const size = staged & 0xff;
  const access = staged >> 8;
  const linear = load<u64>(cpu, Vcpu.bounceLinear);
  const inPage: u32 = 0x1000 - <u32>(linear & 0xfff);
  if (size <= inPage) {
    writePiece(cpu, linear, cpu + Vcpu.bounce, size, access);
  } else {
    writePiece(cpu, linear, cpu + Vcpu.bounce, inPage, access);
    writePiece(cpu, mask(cpu, linear + inPage), cpu + Vcpu.bounce + inPage, size - inPage, access);
  }
}

function writePiece(cpu: usize, linear: u64, from: usize, size: u32, access: u32): void {
  const host = translate(cpu, linear, access);
  if (host != 0) {
    invalidateCode(cpu, host, size);
    memory.copy(host, from, size);
    return;
  }
  const physical = load<u64>(cpu, Vcpu.bouncePhysical);
  if (frameEntry(cpu, physical) != 0) return; // read-only memory
  for (let done: u32 = 0; done < size;) {
    const at = physical + done;
    let piece: u32 = size - done >= 4 && !(at & 3) ? 4 : size - done >= 2 && !(at & 1) ? 2 : 1;
    if (done == 0 && size == 4) piece = 4;
    const value =
      piece == 4 ? load<u32>(from + done) : piece == 2 ? <u32>load<u16>(from + done) : <u32>load<u8>(from + done);
    mmioWrite(at, piece, value);
    done += piece;
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Linear accesses for the rest of the core. Values are zero-extended; on trouble the result means nothing.

function readAddress(cpu: usize, linear: u64, size: u32, access: u32): usize {
  return slowReadAs(cpu, linear, size, access);
}

export function readLinear8(cpu: usize, linear: u64, access: u32): u32 {
  const host = readAddress(cpu, linear, 1, access);
  return host ? <u32>load<u8>(host) : 0;
}

export function readLinear16(cpu: usize, linear: u64, access: u32): u32 {
  const host = readAddress(cpu, linear, 2, access);
  return host ? <u32>load<u16>(host) : 0;
}

export function readLinear32(cpu: usize, linear: u64, access: u32): u32 {
  const host = readAddress(cpu, linear, 4, access);
  return host ? load<u32>(host) : 0;
}

export function readLinear64(cpu: usize, linear: u64, access: u32): u64 {
  const host = readAddress(cpu, linear, 8, access);
  return host ? load<u64>(host) : 0;
}

export function writeLinear8(cpu: usize, linear: u64, value: u32, access: u32): void {
  const host = slowWriteAs(cpu, linear, 1, access | WRITE);
  if (!host) return;
  store<u8>(host, <u8>value);
  commitWrite(cpu);
}

export function writeLinear16(cpu: usize, linear: u64, value: u32, access: u32): void {
  const host = slowWriteAs(cpu, linear, 2, access | WRITE);
  if (!host) return;
  store<u16>(host, <u16>value);
  commitWrite(cpu);
}

export function writeLinear32(cpu: usize, linear: u64, value: u32, access: u32): void {
  const host = slowWriteAs(cpu, linear, 4, access | WRITE);
  if (!host) return;
  store<u32>(host, value);
  commitWrite(cpu);
}

export function writeLinear64(cpu: usize, linear: u64, value: u64, access: u32): void {
  const host = slowWriteAs(cpu, linear, 8, access | WRITE);
  if (!host) return;
  store<u64>(host, value);
  commitWrite(cpu);
}

/** Faults as an access of `size` bytes (any size below 4096) would; touches nothing. true when it may go on. */
export function probeLinear(cpu: usize, linear: u64, size: u32, access: u32): bool {
  if (alignmentFault(cpu, linear, size, access)) return false;
  const start = mask(cpu, linear);
  if (translate(cpu, start, access) == 0) {
    if (load<u32>(cpu, Vcpu.trouble)) return false;
    if (frameEntry(cpu, load<u64>(cpu, Vcpu.bouncePhysical)) == 0 && !deviceAllowed(cpu)) return false;
  }
  if (<u32>(start & 0xfff) + size <= 0x1000) return true;
  // CR2 is then the first address of the second page.
  const last = mask(cpu, (start + 0x1000) & ~0xfff);
  if (translate(cpu, last, access) == 0) {
    if (load<u32>(cpu, Vcpu.trouble)) return false;
    if (frameEntry(cpu, load<u64>(cpu, Vcpu.bouncePhysical)) == 0 && !deviceAllowed(cpu)) return false;
  }
  return true;
}
