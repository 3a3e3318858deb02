/** Boots a kernel image: finds out by its magic what it is, and leaves the machine at its entry. */
import { physical } from '../memory-map.ts';
import type { Pc } from '../pc.ts';
import { bootElf, isElf } from './elf.ts';
import { BootError, ImageReader, type KernelBoot } from './image.ts';
import { bootLinux, isLinux, parseLinux } from './linux.ts';
import { bootMultiboot, isMultiboot } from './multiboot.ts';

export { BootError, type KernelBoot } from './image.ts';

/** What was booted, for the log. */
export interface BootReport {
  readonly kind: 'linux' | 'multiboot' | 'elf';
  readonly bits: 32 | 64;
  /** The kernel's own version text, where it has one. */
  readonly version: string;
}

/**
 * Loads the image into RAM and sets the vCPU to its entry. The machine must have been reset (`powerOn` or `reset`).
 * @throws BootError with a message for the user
 */
export function bootKernel(pc: Pc, boot: KernelBoot): BootReport {
  const reader = new ImageReader(boot.kernel, 'the kernel');
  if (reader.length === 0) throw new BootError('the kernel file is empty');
  if (isLinux(reader)) {
    const image = parseLinux(reader);
    const { initrd, commandLine } = boot;
    bootLinux(image, { initrd, commandLine, rsdp: physical.tables, seed: seedBytes(pc) }, pc.map, pc.dma, pc.vcpu);
    return { kind: 'linux', bits: image.bits, version: image.kernelVersion };
  }
  if (isMultiboot(reader)) {
    bootMultiboot(reader, boot, pc.map, pc.dma, pc.vcpu);
    return { kind: 'multiboot', bits: 32, version: '' };
  }
  if (isElf(reader)) {
    const bits = bootElf(reader, boot, pc.map, pc.dma, pc.vcpu);
    return { kind: 'elf', bits, version: '' };
  }
  throw new BootError(
    `this is no kernel: a Linux bzImage, a multiboot 1 image or a 32- or 64-bit ELF file is needed (the file begins with ${firstBytes(boot.kernel)})`,
  );
}

function firstBytes(bytes: Uint8Array): string {
  return Array.from(bytes.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}

/** 32 bytes from the machine's seed (splitmix64): the same for the same seed. */
function seedBytes(pc: Pc): Uint8Array {
  const view = new DataView(new ArrayBuffer(32));
  let state = BigInt.asUintN(64, pc.definition.seed);
  for (let i = 0; i < 4; i++) {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    let z = state;
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    view.setBigUint64(i * 8, z ^ (z >> 31n), true);
  }
  return new Uint8Array(view.buffer);
}
