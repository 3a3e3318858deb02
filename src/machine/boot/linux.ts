/**
 * The Linux x86 boot protocol (Linux Documentation/arch/x86/boot.rst and zero-page.rst): a bzImage is entered in
 * protected mode with flat segments at its 32-bit entry, or, where it says so (XLF_KERNEL_64), in long mode with
 * identity page tables at its 64-bit entry. Real-mode setup code does not run; the loader does its work. The kernel
 * decompresses itself.
 *
 * Low memory while the kernel starts (it copies or reserves what it needs):
 *   1000h GDT · 2000h boot_params · 8000h page tables · 10000h command line · 20000h setup_data
 */
import type { Dma } from '../dma.ts';
import { type MemoryMap, pageBytes, physical, physicalRanges } from '../memory-map.ts';
import { bootGdt, enterFlat32, enterLong, type VcpuAccess } from '../vcpu-reset.ts';
import { storeIdentityTables } from './identity-tables.ts';
import { BootError, type ImageReader } from './image.ts';

const place = {
  gdt: 0x1000,
  bootParams: 0x2000,
  pageTables: 0x8000,
  commandLine: 0x10000,
  setupData: 0x20000,
} as const;

/** Offsets in the setup header, which are the same in the file and in boot_params. */
const header = {
  setupSectors: 0x1f1,
  bootFlag: 0x1fe,
  jump: 0x200,
  magic: 0x202,
  version: 0x206,
  loaderType: 0x210,
  loadFlags: 0x211,
  code32Start: 0x214,
  ramdiskImage: 0x218,
  ramdiskSize: 0x21c,
  heapEnd: 0x224,
  commandLine: 0x228,
  initrdMax: 0x22c,
  alignment: 0x230,
  relocatable: 0x234,
  xloadFlags: 0x236,
  commandLineSize: 0x238,
  setupData: 0x250,
  preferredAddress: 0x258,
  initSize: 0x260,
} as const;

/** Offsets in boot_params beside the header. */
const params = { acpiRsdp: 0x70, e820Entries: 0x1e8, sentinel: 0x1ef, e820Table: 0x2d0, size: 0x1000 } as const;
const maxE820 = 128;

const magicHdrS = 0x53726448;
const xloadKernel64 = 1;
const loadedHigh = 1;
const setupRngSeed = 9;

export interface LinuxImage {
  readonly reader: ImageReader;
  readonly version: number;
  readonly setupBytes: number;
  readonly bits: 32 | 64;
  readonly relocatable: boolean;
  readonly alignment: number;
  readonly preferredAddress: number;
  readonly initSize: number;
  readonly initrdMax: number;
  readonly commandLineMax: number;
  readonly kernelVersion: string;
}

export interface LinuxBoot {
  readonly initrd?: Uint8Array | undefined;
  readonly commandLine: string;
  /** Guest-physical address of the RSDP; 0 = none. */
  readonly rsdp: number;
  /** Random bytes for the kernel's generator. */
  readonly seed: Uint8Array;
}

export function isLinux(reader: ImageReader): boolean {
  return (
    reader.length > header.magic + 4 && reader.u16(header.bootFlag) === 0xaa55 && reader.u32(header.magic) === magicHdrS
  );
}

/** Parses the setup header of a bzImage. */
export function parseLinux(reader: ImageReader): LinuxImage {
  const version = reader.u16(header.version);
  if (version < 0x0206) {
    throw new BootError(
      `the kernel uses boot protocol ${version >> 8}.${version & 0xff}; 2.06 (Linux 2.6.22) is the oldest supported`,
    );
  }
  if ((reader.u8(header.loadFlags) & loadedHigh) === 0) {
    throw new BootError('the kernel is a zImage, which loads into low memory; a bzImage is needed');
  }
  const sectors = reader.u8(header.setupSectors);
  const setupBytes = ((sectors === 0 ? 4 : sectors) + 1) * 512;
  const flags = version >= 0x020c ? reader.u16(header.xloadFlags) : 0;
  const modern = version >= 0x020a;
  const image: LinuxImage = {
    reader,
    version,
    setupBytes,
    bits: (flags & xloadKernel64) !== 0 ? 64 : 32,
    relocatable: reader.u8(header.relocatable) !== 0,
    alignment: reader.u32(header.alignment),
    preferredAddress: modern ? reader.u64(header.preferredAddress) : physical.megabyte,
    initSize: modern ? reader.u32(header.initSize) : (reader.length - setupBytes) * 4,
    initrdMax: reader.u32(header.initrdMax),
    commandLineMax: reader.u32(header.commandLineSize),
    kernelVersion: versionText(reader),
  };
  checkSize(image);
  return image;
}

/** The header tells the size of the protected-mode code in 16-byte units: a file that is shorter was cut off. */
function checkSize(image: LinuxImage): void {
  const declared = image.reader.u32(0x1f4) * 16;
  const have = image.reader.length - image.setupBytes;
  if (have < declared - 16 || have <= 0) {
    throw new BootError(
      `the kernel is truncated: its header announces ${image.setupBytes + declared} bytes, the file has ${image.reader.length}`,
    );
  }
}

function versionText(reader: ImageReader): string {
  const at = reader.u16(0x20e);
  if (at === 0) return '';
  let text = '';
  for (let i = at + 0x200; i < reader.length && text.length < 128; i++) {
    const byte = reader.u8(i);
    if (byte === 0) break;
    text += String.fromCharCode(byte);
  }
  return text;
}

/** Where the protected-mode code goes, and up to where the kernel needs memory while it starts. */
function kernelPlace(image: LinuxImage, map: MemoryMap): { address: number; end: number } {
  const preferred = image.preferredAddress;
  const codeBytes = image.reader.length - image.setupBytes;
  const need = Math.max(image.initSize, codeBytes);
  if (preferred >= physical.megabyte && preferred + need <= map.lowRamBytes) {
    return { address: image.relocatable ? preferred : physical.megabyte, end: preferred + need };
  }
  const alignment = Math.max(image.alignment, pageBytes);
  const address = Math.ceil(physical.megabyte / alignment) * alignment;
  if (image.relocatable && address + need <= map.lowRamBytes) return { address, end: address + need };
  throw new BootError(
    `the kernel needs ${Math.ceil((preferred + need) / 2 ** 20)} MiB of memory to start, the guest has ${map.ramBytes / 2 ** 20}`,
  );
}

function initrdPlace(image: LinuxImage, map: MemoryMap, kernelEnd: number, size: number): number {
  const top = Math.min(map.lowRamBytes, image.initrdMax + 1);
  const address = Math.floor((top - size) / pageBytes) * pageBytes;
  if (address < kernelEnd) {
    throw new BootError(
      `the initrd (${(size / 2 ** 20).toFixed(1)} MiB) does not fit above the kernel in ${map.ramBytes / 2 ** 20} MiB of ` +
        `memory; give the guest at least ${Math.ceil((kernelEnd + size) / 2 ** 20) + 1} MiB`,
    );
  }
  return address;
}

/** Puts the kernel into RAM and the vCPU at its entry. */
export function bootLinux(image: LinuxImage, boot: LinuxBoot, map: MemoryMap, dma: Dma, vcpu: VcpuAccess): void {
  const kernel = kernelPlace(image, map);
  dma.load(kernel.address, image.reader.bytes.subarray(image.setupBytes));
  const bootParams = new DataView(new ArrayBuffer(params.size));
  const bytes = new Uint8Array(bootParams.buffer);
  // The header: from 1F1h up to where the jump at 200h leads.
  const headerEnd = header.magic + image.reader.u8(header.jump + 1);
  bytes.set(image.reader.slice(header.setupSectors, headerEnd - header.setupSectors), header.setupSectors);
  bytes[header.loaderType] = 0xff;
  bootParams.setUint32(header.code32Start, kernel.address, true);
  // Serial console only: no video mode was set, and screen_info stays zero (no VGA).
  bootParams.setUint16(0x1fa, 0xffff, true);
  if (boot.initrd !== undefined && boot.initrd.length > 0) {
    const at = initrdPlace(image, map, kernel.end, boot.initrd.length);
    dma.load(at, boot.initrd);
    bootParams.setUint32(header.ramdiskImage, at, true);
    bootParams.setUint32(header.ramdiskSize, boot.initrd.length, true);
  }
  storeCommandLine(image, boot.commandLine, dma);
  bootParams.setUint32(header.commandLine, place.commandLine, true);
  storeE820(bootParams, map);
  if (image.version >= 0x020e || image.bits === 64) bootParams.setBigUint64(params.acpiRsdp, BigInt(boot.rsdp), true);
  bootParams.setBigUint64(header.setupData, BigInt(storeSeed(boot.seed, dma)), true);
  dma.load(place.bootParams, bytes);
  dma.load(place.gdt, bootGdt(image.bits));
  if (image.bits === 64) {
    storeIdentityTables(dma, place.pageTables);
    enterLong(vcpu, place.gdt, kernel.address + 0x200, place.pageTables);
  } else {
    enterFlat32(vcpu, place.gdt, kernel.address);
  }
  vcpu.gpr.fill(0n);
  // RSI (ESI) = boot_params; RBP, RDI and RBX zero.
  vcpu.gpr[6] = BigInt(place.bootParams);
  vcpu.gpr[4] = BigInt(place.pageTables);
}

function storeCommandLine(image: LinuxImage, text: string, dma: Dma): void {
  const line = new TextEncoder().encode(text);
  if (line.length > image.commandLineMax) {
    throw new BootError(`the command line has ${line.length} bytes; this kernel takes ${image.commandLineMax}`);
  }
  dma.load(place.commandLine, Uint8Array.of(...line, 0));
}

function storeE820(bootParams: DataView, map: MemoryMap): void {
  const ranges = physicalRanges(map).slice(0, maxE820);
  bootParams.setUint8(params.e820Entries, ranges.length);
  ranges.forEach((range, i) => {
    const at = params.e820Table + i * 20;
    bootParams.setBigUint64(at, BigInt(range.base), true);
    bootParams.setBigUint64(at + 8, BigInt(range.length), true);
    bootParams.setUint32(at + 16, range.type, true);
  });
}

/** struct setup_data with the random seed; its address. */
function storeSeed(seed: Uint8Array, dma: Dma): number {
  if (seed.length === 0) return 0;
  const view = new DataView(new ArrayBuffer(16 + seed.length));
  view.setUint32(8, setupRngSeed, true);
  view.setUint32(12, seed.length, true);
  new Uint8Array(view.buffer).set(seed, 16);
  dma.load(place.setupData, new Uint8Array(view.buffer));
  return place.setupData;
}
