/**
 * PCI host: configuration mechanism #1 at ports CF8h–CFFh, one bus of functions that plug in at wiring time, and the
 * window of guest-physical memory in which the functions' memory answers.
 */
import { floating, type IoResult, type Mmio, type PortIo, type Resettable } from '../capabilities.ts';
import type { PciTarget } from '../pci-function/device.ts';
import { addressBit, port } from './registers.ts';
import { PciHostState } from './state.ts';

export class PciHost implements PortIo, Resettable {
  readonly #s: ReturnType<typeof PciHostState.at>;
  readonly #functions = new Map<number, PciTarget>();

  constructor(buffer: ArrayBufferLike, address: number) {
    this.#s = PciHostState.at(buffer, address);
  }

  reset(): void {
    this.#s.address = 0;
  }

  /** Plugs a function in. Two at one place are a mistake in the wiring. */
  plug(device: number, functionNumber: number, pciFunction: PciTarget): void {
    const key = device * 8 + functionNumber;
    if (this.#functions.has(key)) throw new Error(`PCI 00:${device.toString(16)}.${functionNumber} is taken`);
    this.#functions.set(key, pciFunction);
  }

  readPort(offset: number, size: number): IoResult {
    if (offset < port.data) return offset === port.address && size === 4 ? this.#s.address : floating;
    const target = this.#target();
    return target === undefined ? floating : target.readConfig(this.#register(offset), size);
  }

  writePort(offset: number, size: number, value: number): void {
    if (offset < port.data) {
      // Narrower writes are no configuration accesses (CF9h is the reset port).
      if (offset === port.address && size === 4) this.#s.address = value & 0x80fffffc;
      return;
    }
    this.#target()?.writeConfig(this.#register(offset), size, value);
  }

  #target(): PciTarget | undefined {
    const { address } = this.#s;
    if ((address & addressBit.enable) === 0 || ((address >>> 16) & 0xff) !== 0) return undefined;
    return this.#functions.get((address >>> 8) & 0xff);
  }

  #register(offset: number): number {
    return (this.#s.address & 0xfc) + (offset & 3);
  }

  /**
   * The memory of all functions, as a device of the memory bus that begins at guest-physical `base`. Functions answer
   * where their BARs say; of two at one place, which only a driver can bring about, the first plugged in does.
   */
  memoryFrom(base: number): Mmio {
    return {
      readMmio: (offset, size) => {
        const place = this.#memoryAt(base + offset);
        return place === undefined ? floating : place.device.readMmio(place.offset, size);
      },
      writeMmio: (offset, size, value) => {
        const place = this.#memoryAt(base + offset);
        place?.device.writeMmio(place.offset, size, value);
      },
    };
  }

  #memoryAt(gpa: number): { readonly device: Mmio; readonly offset: number } | undefined {
    for (const target of this.#functions.values()) {
      for (let index = 0; index < target.memories.length; index++) {
        const offset = target.offsetOf(index, gpa);
        const device = target.memories[index]?.device;
        if (offset >= 0 && device !== undefined) return { device, offset };
      }
    }
    return undefined;
  }
}
