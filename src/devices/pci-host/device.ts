/**
 * PCI host: configuration mechanism #1 at ports CF8h–CFFh, one bus of functions that plug in at wiring time.
 * Functions that are no more than a configuration header are {@link HeaderFunction}s.
 */
import { floating, type IoResult, type PortIo, type Resettable } from '../capabilities.ts';
import { addressBit, header, port } from './registers.ts';
import { PciFunctionState, PciHostState } from './state.ts';

/** What a PCI device gives the host: configuration space by offset (0…255), 1, 2 or 4 bytes, not crossing 4. */
export interface PciFunction {
  readConfig(offset: number, size: number): number;
  writeConfig(offset: number, size: number, value: number): void;
}

export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  readonly revision: number;
  readonly classCode: number;
  readonly multifunction?: boolean;
}

export class PciHost implements PortIo, Resettable {
  readonly #s: ReturnType<typeof PciHostState.at>;
  readonly #functions = new Map<number, PciFunction>();

  constructor(buffer: ArrayBufferLike, address: number) {
    this.#s = PciHostState.at(buffer, address);
  }

  reset(): void {
    this.#s.address = 0;
  }

  /** Plugs a function in. Two at one place are a mistake in the wiring. */
  plug(device: number, functionNumber: number, pciFunction: PciFunction): void {
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

  #target(): PciFunction | undefined {
    const { address } = this.#s;
    if ((address & addressBit.enable) === 0 || ((address >>> 16) & 0xff) !== 0) return undefined;
    return this.#functions.get((address >>> 8) & 0xff);
  }

  #register(offset: number): number {
    return (this.#s.address & 0xfc) + (offset & 3);
  }
}

/** A function with a plain type-0 header and no resources: the host bridge, the ISA bridge. */
export class HeaderFunction implements PciFunction, Resettable {
  readonly #config: Uint8Array;
  readonly #identity: PciIdentity;

  constructor(buffer: ArrayBufferLike, address: number, identity: PciIdentity) {
    this.#config = PciFunctionState.at(buffer, address).config;
    this.#identity = identity;
  }

  reset(): void {
    const { vendor, device, revision, classCode, multifunction } = this.#identity;
    this.#config.fill(0);
    this.#store(header.vendor, 2, vendor);
    this.#store(header.device, 2, device);
    this.#store(header.command, 2, 0x0007);
    // Medium DEVSEL timing.
    this.#store(header.status, 2, 0x0200);
    this.#store(header.revision, 1, revision);
    this.#store(header.classCode, 3, classCode);
    this.#store(header.headerType, 1, multifunction ? 0x80 : 0);
  }

  #store(offset: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) this.#config[offset + i] = (value >>> (8 * i)) & 0xff;
  }

  readConfig(offset: number, size: number): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + (this.#config[offset + i] ?? 0);
    return value;
  }

  writeConfig(offset: number, size: number, value: number): void {
    // The header's identity is read-only; the device-specific part keeps what is written.
    if (offset >= 0x40) this.#store(offset, size, value);
    else if (offset === header.interruptLine) this.#store(offset, 1, value & 0xff);
  }
}
