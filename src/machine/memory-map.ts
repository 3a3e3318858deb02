/**
 * Where everything lies: in the guest's WebAssembly memory (addresses), and in the guest's physical address space.
 *
 * Guest-physical: RAM from 0, without A0000h–BFFFFh (VGA's place); F0000h–FFFFFh is read-only (firmware); RAM ends at
 * 3 GiB at most and goes on at 4 GiB; between lie the I/O APIC, the local APIC and PCI's memory.
 */
import { controlAddress, controlBytes } from '../abi/control.ts';
import { diskRingBytes, maximumDisks } from '../abi/disk-ring.ts';
import { ringBytes } from '../abi/ring.ts';
import { frameBit } from '../base/frame-entry.ts';
import { Arena } from '../cpu/arena.ts';

export const pageBytes = 0x1000;
const wasmPageBytes = 0x10000;

/** Guest-physical addresses. */
export const physical = {
  vgaHole: 0xa0000,
  vgaHoleEnd: 0xc0000,
  /** ACPI tables: RAM that the memory map reserves. */
  tables: 0xe0000,
  /** 16 bytes: the generation of the machine. Reserved as the tables are, and apart from them: a reset leaves it. */
  generationId: 0xef000,
  firmware: 0xf0000,
  megabyte: 0x100000,
  /** End of RAM below 4 GiB at most; PCI memory follows. */
  lowRamLimit: 0xc0000000,
  pciBase: 0x80000000,
  /** From here on the firmware gives addresses to the memory of PCI functions. */
  pciAssigned: 0xfd000000,
  pciEnd: 0xfec00000,
  ioApic: 0xfec00000,
  localApic: 0xfee00000,
  highRam: 0x100000000,
} as const;

/** Room for the structs of the devices, which `pc.ts` places one after the other. */
const devicesBytes = 0x8000;
/** Room for decoded records and blocks. */
const recordBytes = 20 * 1024 * 1024;

/** Smallest and largest RAM of a guest. */
export const minRamBytes = 0x200000;
export const maxRamBytes = 0x1_0000_0000 - 0x300_0000;

export interface MemoryMap {
  readonly ramBytes: number;
  /** RAM below and above 4 GiB. */
  readonly lowRamBytes: number;
  readonly highRamBytes: number;
  readonly vcpu: number;
  readonly control: number;
  readonly devices: number;
  readonly devicesEnd: number;
  readonly consoleIn: number;
  readonly consoleOut: number;
  readonly log: number;
  /** Rings of the disks, {@link diskRingBytes} each. */
  readonly disks: number;
  readonly frameTable: number;
  /** Entries of the frame table. */
  readonly frameCount: number;
  readonly arena: number;
  readonly arenaEnd: number;
  readonly frames: number;
  readonly frameBytes: number;
  /** Size of the memory, a multiple of 64 KiB. */
  readonly totalBytes: number;
}

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

/** The layout of a guest with this much RAM (rounded up to whole 64 KiB). */
export function memoryMap(requestedRamBytes: number): MemoryMap {
  const ramBytes = alignUp(requestedRamBytes, wasmPageBytes);
  if (ramBytes < minRamBytes || ramBytes > maxRamBytes) {
    throw new RangeError(
      `a guest's memory must be between ${minRamBytes / 2 ** 20} and ${maxRamBytes / 2 ** 20} MiB; ` +
        `${Math.round(requestedRamBytes / 2 ** 20)} MiB were asked for`,
    );
  }
  const lowRamBytes = Math.min(ramBytes, physical.lowRamLimit);
  const highRamBytes = ramBytes - lowRamBytes;
  // At 0, so that compiled code reaches its first fields with the shortest displacements.
  const vcpu = 0;
  const devices = controlAddress + controlBytes;
  const devicesEnd = devices + devicesBytes;
  const ring = alignUp(ringBytes(), 64);
  const consoleIn = devicesEnd;
  const consoleOut = consoleIn + ring;
  const log = consoleOut + ring;
  const disks = alignUp(log + ring, pageBytes);
  const frameTable = disks + maximumDisks * diskRingBytes;
  const frameCount = (highRamBytes > 0 ? physical.highRam + highRamBytes : lowRamBytes) / pageBytes;
  const arena = alignUp(frameTable + frameCount * 4, pageBytes);
  const codeMapBytes = (ramBytes / pageBytes) * 16;
  const arenaEnd = alignUp(arena + Arena.codeMap + codeMapBytes + recordBytes, wasmPageBytes);
  return {
    ramBytes,
    lowRamBytes,
    highRamBytes,
    vcpu,
    control: controlAddress,
    devices,
    devicesEnd,
    consoleIn,
    consoleOut,
    log,
    disks,
    frameTable,
    frameCount,
    arena,
    arenaEnd,
    frames: arenaEnd,
    frameBytes: ramBytes,
    totalBytes: arenaEnd + ramBytes,
  };
}

/**
 * Fills the frame table of a memory that is all zero: frame n of RAM backs page n below 4 GiB, the rest follows from
 * 4 GiB on.
 */
export function fillFrameTable(buffer: ArrayBufferLike, map: MemoryMap): void {
  const table = new Uint32Array(buffer, map.frameTable, map.frameCount);
  table.fill(0);
  const page = (gpa: number): number => gpa / pageBytes;
  for (let gpa = 0; gpa < map.lowRamBytes; gpa += pageBytes) {
    if (gpa >= physical.vgaHole && gpa < physical.vgaHoleEnd) continue;
    const readOnly = gpa >= physical.firmware && gpa < physical.megabyte ? frameBit.readOnly : 0;
    table[page(gpa)] = map.frames + gpa + frameBit.empty + readOnly;
  }
  for (let offset = 0; offset < map.highRamBytes; offset += pageBytes) {
    table[page(physical.highRam + offset)] = map.frames + map.lowRamBytes + offset + frameBit.empty;
  }
}

/** Where RAM lies, as {@link fillFrameTable} maps it. */
export function ramRanges(map: MemoryMap): { readonly base: number; readonly end: number }[] {
  return [
    { base: 0, end: Math.min(physical.vgaHole, map.lowRamBytes) },
    { base: physical.vgaHoleEnd, end: map.lowRamBytes },
    { base: physical.highRam, end: physical.highRam + map.highRamBytes },
  ];
}

/** PCI's memory below 4 GiB: what the host bridge passes on, and what the firmware's tables say. */
export function pciWindow(map: MemoryMap): { readonly base: number; readonly end: number } {
  return { base: Math.max(map.lowRamBytes, physical.pciBase), end: physical.pciEnd };
}

/** E820 types (ACPI 6.4 §15). */
export const rangeType = { usable: 1, reserved: 2, acpi: 3 } as const;

export interface PhysicalRange {
  readonly base: number;
  readonly length: number;
  readonly type: number;
}

/** The memory map that firmware reports to an operating system. */
export function physicalRanges(map: MemoryMap): PhysicalRange[] {
  const ranges: PhysicalRange[] = [
    // The last KiB of conventional memory is the extended BIOS data area's place.
    { base: 0, length: 0x9fc00, type: rangeType.usable },
    { base: 0x9fc00, length: 0x400, type: rangeType.reserved },
    { base: physical.tables, length: physical.megabyte - physical.tables, type: rangeType.reserved },
    { base: physical.megabyte, length: map.lowRamBytes - physical.megabyte, type: rangeType.usable },
  ];
  if (map.highRamBytes > 0) ranges.push({ base: physical.highRam, length: map.highRamBytes, type: rangeType.usable });
  return ranges;
}
