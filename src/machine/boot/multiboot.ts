/**
 * Multiboot 1 (GNU Multiboot specification 0.6.96): a header in the first 8 KiB; the kernel is entered in flat
 * protected mode with EAX = 2BADB002h and EBX = the information structure: memory sizes, command line, memory map, and
 * the initrd as one module.
 */
import type { Dma } from '../dma.ts';
import { type MemoryMap, physical, physicalRanges } from '../memory-map.ts';
import { bootGdt, enterFlat32, type VcpuAccess } from '../vcpu-reset.ts';
import { isElf, loadSegments, parseElf, placeModule } from './elf.ts';
import { BootError, type ImageReader, type KernelBoot } from './image.ts';

const place = { gdt: 0x1000, info: 0x2000, memoryMap: 0x3000, modules: 0x4000, loaderName: 0x4100 } as const;
const commandLineAddress = 0x10000;

const headerMagic = 0x1badb002;
const loaderMagic = 0x2badb002;
const searchBytes = 8192;

/** Header flags (§3.1.2). */
const headerFlag = { pageAlign: 1, memoryInfo: 2, video: 4, addresses: 0x10000 } as const;
/** Bits 0–15 that a loader must understand or refuse. */
const understood = headerFlag.pageAlign | headerFlag.memoryInfo | headerFlag.video;
/** Information flags (§3.3). */
const infoFlag = { memory: 1, commandLine: 4, modules: 8, memoryMap: 0x40, loaderName: 0x200 } as const;
const infoBytes = 120;

export interface MultibootHeader {
  /** Offset of the header in the file. */
  readonly offset: number;
  readonly flags: number;
  readonly loadAddress: number;
  readonly loadEnd: number;
  readonly bssEnd: number;
  readonly entry: number;
  readonly headerAddress: number;
}

export function findMultibootHeader(reader: ImageReader): MultibootHeader | undefined {
  const end = Math.min(reader.length, searchBytes) - 12;
  for (let offset = 0; offset <= end; offset += 4) {
    if (reader.u32(offset) !== headerMagic) continue;
    const flags = reader.u32(offset + 4);
    if (((headerMagic + flags + reader.u32(offset + 8)) & 0xffffffff) !== 0) continue;
    const addresses = (flags & headerFlag.addresses) !== 0;
    const field = (n: number): number => (addresses ? reader.u32(offset + 12 + 4 * n) : 0);
    return {
      offset,
      flags,
      headerAddress: field(0),
      loadAddress: field(1),
      loadEnd: field(2),
      bssEnd: field(3),
      entry: field(4),
    };
  }
  return undefined;
}

export function isMultiboot(reader: ImageReader): boolean {
  return findMultibootHeader(reader) !== undefined;
}

export function bootMultiboot(reader: ImageReader, boot: KernelBoot, map: MemoryMap, dma: Dma, v: VcpuAccess): void {
  const header = findMultibootHeader(reader);
  if (header === undefined) throw new BootError('the kernel has no multiboot header');
  if ((header.flags & 0xffff & ~understood) !== 0) {
    throw new BootError(
      `the kernel's multiboot header demands features that are not supported (flags 0x${header.flags.toString(16)})`,
    );
  }
  const { entry, end } = loadImage(reader, header, map, dma);
  const info = storeInformation(boot, map, dma, end);
  dma.load(place.gdt, bootGdt(32));
  enterFlat32(v, place.gdt, entry);
  v.gpr.fill(0n);
  v.gpr[0] = BigInt(loaderMagic);
  v.gpr[3] = BigInt(info);
}

function loadImage(
  reader: ImageReader,
  header: MultibootHeader,
  map: MemoryMap,
  dma: Dma,
): { entry: number; end: number } {
  if ((header.flags & headerFlag.addresses) === 0) {
    if (!isElf(reader)) throw new BootError('the multiboot kernel has neither load addresses nor an ELF header');
    const image = parseElf(reader);
    if (image.bits !== 32)
      throw new BootError(
        'multiboot 1 kernels are entered in 32-bit mode; this ELF file is 64-bit and gives no load addresses',
      );
    return { entry: image.entry, end: loadSegments(reader, image, dma, map) };
  }
  const fileStart = header.offset - (header.headerAddress - header.loadAddress);
  const length = header.loadEnd === 0 ? reader.length - fileStart : header.loadEnd - header.loadAddress;
  if (fileStart < 0 || length <= 0)
    throw new BootError("the kernel's multiboot header gives impossible load addresses");
  const bss = Math.max(header.bssEnd - (header.loadAddress + length), 0);
  if (!dma.isRam(header.loadAddress, length + bss)) {
    throw new BootError(
      `the kernel wants memory at 0x${header.loadAddress.toString(16)}, which the guest does not have`,
    );
  }
  dma.load(header.loadAddress, reader.slice(fileStart, length));
  dma.load(header.loadAddress + length, new Uint8Array(bss));
  return { entry: header.entry, end: header.loadAddress + length + bss };
}

function text(value: string): Uint8Array {
  return Uint8Array.of(...new TextEncoder().encode(value), 0);
}

function storeInformation(boot: KernelBoot, map: MemoryMap, dma: Dma, kernelEnd: number): number {
  const info = new DataView(new ArrayBuffer(infoBytes));
  let flags = infoFlag.memory | infoFlag.commandLine | infoFlag.memoryMap | infoFlag.loaderName;
  info.setUint32(4, 640 - 1, true);
  info.setUint32(8, (map.lowRamBytes - physical.megabyte) / 1024, true);
  dma.load(commandLineAddress, text(boot.commandLine));
  info.setUint32(16, commandLineAddress, true);
  if (boot.initrd !== undefined && boot.initrd.length > 0) {
    const at = placeModule(boot.initrd.length, map, kernelEnd);
    dma.load(at, boot.initrd);
    const module = new DataView(new ArrayBuffer(16));
    module.setUint32(0, at, true);
    module.setUint32(4, at + boot.initrd.length, true);
    module.setUint32(8, commandLineAddress, true);
    dma.load(place.modules, new Uint8Array(module.buffer));
    info.setUint32(20, 1, true);
    info.setUint32(24, place.modules, true);
    flags |= infoFlag.modules;
  }
  const ranges = physicalRanges(map);
  const table = new DataView(new ArrayBuffer(ranges.length * 24));
  ranges.forEach((range, i) => {
    // The size field does not count itself.
    table.setUint32(i * 24, 20, true);
    table.setBigUint64(i * 24 + 4, BigInt(range.base), true);
    table.setBigUint64(i * 24 + 12, BigInt(range.length), true);
    table.setUint32(i * 24 + 20, range.type, true);
  });
  dma.load(place.memoryMap, new Uint8Array(table.buffer));
  info.setUint32(44, table.byteLength, true);
  info.setUint32(48, place.memoryMap, true);
  dma.load(place.loaderName, text('tabvisor'));
  info.setUint32(64, place.loaderName, true);
  info.setUint32(0, flags, true);
  dma.load(place.info, new Uint8Array(info.buffer));
  return place.info;
}
