/**
 * ELF kernels, 32- and 64-bit. A 64-bit file with a Xen PVH note (XEN_ELFNOTE_PHYS32_ENTRY) is entered at that 32-bit
 * entry with a start-info structure in EBX, as its authors mean it (Xen docs/misc/pvh). Any other file is entered at
 * `e_entry`, in flat protected mode (32-bit) or long mode with 4 GiB mapped to themselves (64-bit): the convention of
 * bare-metal test kernels. Segments go to their physical addresses.
 */
import type { Dma } from '../dma.ts';
import { type MemoryMap, pageBytes, physical, physicalRanges } from '../memory-map.ts';
import { bootGdt, enterFlat32, enterLong, type VcpuAccess } from '../vcpu-reset.ts';
import { BootError, type ImageReader, type KernelBoot } from './image.ts';
import { storeIdentityTables } from './identity-tables.ts';

const place = { gdt: 0x1000, startInfo: 0x2000, memoryMap: 0x3000, modules: 0x4000, pageTables: 0x8000 } as const;
const commandLineAddress = 0x10000;

const elfMagic = 0x464c457f;
const programType = { load: 1, note: 4 } as const;
const machine = { i386: 3, x86_64: 62 } as const;
const noteXenPhys32Entry = 18;
const startInfoMagic = 0x336ec578;

export interface ElfSegment {
  readonly type: number;
  readonly offset: number;
  readonly physicalAddress: number;
  readonly fileBytes: number;
  readonly memoryBytes: number;
}

export interface ElfImage {
  readonly bits: 32 | 64;
  readonly entry: number;
  readonly segments: readonly ElfSegment[];
  /** 32-bit physical entry of the PVH protocol, if the file has the note. */
  readonly pvhEntry: number | undefined;
}

export function isElf(reader: ImageReader): boolean {
  return reader.length >= 52 && reader.u32(0) === elfMagic;
}

/** Parses the ELF header, program headers and notes (System V ABI, chapter 4–5). */
export function parseElf(reader: ImageReader): ElfImage {
  const bits = reader.u8(4) === 2 ? 64 : 32;
  if (reader.u8(5) !== 1) throw new BootError('the ELF file is big-endian');
  const kind = reader.u16(18);
  if (kind !== machine.i386 && kind !== machine.x86_64) {
    throw new BootError(`the ELF file is for another processor (machine ${kind}); i386 or x86-64 is needed`);
  }
  const wide = bits === 64;
  const table = wide ? reader.u64(32) : reader.u32(28);
  const entrySize = reader.u16(wide ? 54 : 42);
  const count = reader.u16(wide ? 56 : 44);
  const segments: ElfSegment[] = [];
  for (let i = 0; i < count; i++) {
    const at = table + i * entrySize;
    segments.push(
      wide
        ? {
            type: reader.u32(at),
            offset: reader.u64(at + 8),
            physicalAddress: reader.u64(at + 24),
            fileBytes: reader.u64(at + 32),
            memoryBytes: reader.u64(at + 40),
          }
        : {
            type: reader.u32(at),
            offset: reader.u32(at + 4),
            physicalAddress: reader.u32(at + 12),
            fileBytes: reader.u32(at + 16),
            memoryBytes: reader.u32(at + 20),
          },
    );
  }
  if (!segments.some((segment) => segment.type === programType.load)) {
    throw new BootError('the ELF file has nothing to load: it is no executable');
  }
  return { bits, entry: wide ? reader.u64(24) : reader.u32(24), segments, pvhEntry: findPvhEntry(reader, segments) };
}

function findPvhEntry(reader: ImageReader, segments: readonly ElfSegment[]): number | undefined {
  for (const segment of segments) {
    if (segment.type !== programType.note) continue;
    const end = segment.offset + segment.fileBytes;
    for (let at = segment.offset; at + 12 <= end;) {
      const nameBytes = reader.u32(at);
      const valueBytes = reader.u32(at + 4);
      const isXen = nameBytes === 4 && reader.u32(at + 12) === 0x006e6558;
      const value = at + 12 + align4(nameBytes);
      if (isXen && reader.u32(at + 8) === noteXenPhys32Entry) return reader.u32(value);
      at = value + align4(valueBytes);
    }
  }
  return undefined;
}

function align4(value: number): number {
  return (value + 3) & ~3;
}

/** Copies the segments to RAM; returns the end of the highest one. */
export function loadSegments(reader: ImageReader, image: ElfImage, dma: Dma, map: MemoryMap): number {
  let end = 0;
  for (const segment of image.segments) {
    if (segment.type !== programType.load || segment.memoryBytes === 0) continue;
    if (segment.fileBytes > segment.memoryBytes) {
      throw new BootError('the ELF file is damaged: a segment has more bytes in the file than in memory');
    }
    if (!dma.isRam(segment.physicalAddress, segment.memoryBytes)) {
      throw new BootError(
        `the kernel wants memory at 0x${segment.physicalAddress.toString(16)} (${segment.memoryBytes} bytes), which the ` +
          `guest with ${map.ramBytes / 2 ** 20} MiB does not have`,
      );
    }
    dma.load(segment.physicalAddress, reader.slice(segment.offset, segment.fileBytes));
    // What is beyond the file's bytes is zero (.bss); after a reset RAM holds old bytes there.
    dma.load(segment.physicalAddress + segment.fileBytes, new Uint8Array(segment.memoryBytes - segment.fileBytes));
    end = Math.max(end, segment.physicalAddress + segment.memoryBytes);
  }
  return end;
}

/** Loads an ELF kernel and leaves the vCPU at its entry; tells the width it starts in. */
export function bootElf(reader: ImageReader, boot: KernelBoot, map: MemoryMap, dma: Dma, v: VcpuAccess): 32 | 64 {
  const image = parseElf(reader);
  const end = loadSegments(reader, image, dma, map);
  if (image.pvhEntry !== undefined) {
    dma.load(place.gdt, bootGdt(32));
    enterFlat32(v, place.gdt, image.pvhEntry);
    v.gpr.fill(0n);
    v.gpr[3] = BigInt(storeStartInfo(boot, map, dma, end));
    return image.bits;
  }
  dma.load(place.gdt, bootGdt(image.bits));
  if (image.bits === 64) {
    storeIdentityTables(dma, place.pageTables);
    enterLong(v, place.gdt, image.entry, place.pageTables);
  } else {
    enterFlat32(v, place.gdt, image.entry);
  }
  v.gpr.fill(0n);
  v.gpr[4] = BigInt(place.pageTables);
  return image.bits;
}

/** struct hvm_start_info, version 1, with its memory map and the initrd as module 0; its address. */
function storeStartInfo(boot: KernelBoot, map: MemoryMap, dma: Dma, kernelEnd: number): number {
  const line = new TextEncoder().encode(boot.commandLine);
  dma.load(commandLineAddress, Uint8Array.of(...line, 0));
  const info = new DataView(new ArrayBuffer(56));
  const ranges = physicalRanges(map);
  info.setUint32(0, startInfoMagic, true);
  info.setUint32(4, 1, true);
  info.setBigUint64(24, BigInt(commandLineAddress), true);
  info.setBigUint64(32, BigInt(physical.tables), true);
  info.setBigUint64(40, BigInt(place.memoryMap), true);
  info.setUint32(48, ranges.length, true);
  const table = new DataView(new ArrayBuffer(ranges.length * 24));
  ranges.forEach((range, i) => {
    table.setBigUint64(i * 24, BigInt(range.base), true);
    table.setBigUint64(i * 24 + 8, BigInt(range.length), true);
    table.setUint32(i * 24 + 16, range.type, true);
  });
  dma.load(place.memoryMap, new Uint8Array(table.buffer));
  if (boot.initrd !== undefined && boot.initrd.length > 0) {
    const at = placeModule(boot.initrd.length, map, kernelEnd);
    dma.load(at, boot.initrd);
    const module = new DataView(new ArrayBuffer(32));
    module.setBigUint64(0, BigInt(at), true);
    module.setBigUint64(8, BigInt(boot.initrd.length), true);
    dma.load(place.modules, new Uint8Array(module.buffer));
    info.setUint32(12, 1, true);
    info.setBigUint64(16, BigInt(place.modules), true);
  }
  dma.load(place.startInfo, new Uint8Array(info.buffer));
  return place.startInfo;
}

/** A page-aligned place for an initrd or module at the top of RAM below 4 GiB. */
export function placeModule(bytes: number, map: MemoryMap, kernelEnd: number): number {
  const at = Math.floor((map.lowRamBytes - bytes) / pageBytes) * pageBytes;
  if (at < kernelEnd) {
    throw new BootError(
      `the initrd (${(bytes / 2 ** 20).toFixed(1)} MiB) does not fit above the kernel in ${map.ramBytes / 2 ** 20} MiB of memory`,
    );
  }
  return at;
}
