/**
 * A PCI function: configuration space with a header of type 0, base address registers for memory, capabilities, and an
 * INTx pin. What a register lets a driver change is a mask of bits, so that accesses of any size, the sizing of a BAR
 * and its relocation need no code of their own: a BAR's range is whatever its register says when an access comes.
 *
 * Not there: ranges of ports, 64-bit BARs, expansion ROMs (their registers read as 0, as PCI asks of what is absent).
 *
 * @example
 * const f = new PciFunction(buffer, at.config, { identity, memories: [{ sizeBytes: 0x4000, device }], interrupt: line });
 * f.assign(0, 0xfd000000); // the firmware; or the driver writes the BAR itself
 */
import type { InterruptLine, Mmio, Resettable } from '../capabilities.ts';
import { bar, command, commandWritable, configBytes, multifunctionBit, status } from './registers.ts';
import { PciConfig } from './state.ts';

export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  readonly revision: number;
  /** Base class, subclass and programming interface, 24 bits. */
  readonly classCode: number;
  readonly subsystemVendor?: number;
  readonly subsystem?: number;
  readonly multifunction?: boolean;
}

/** Memory behind BAR n, for the n-th of them. */
export interface PciMemory {
  /** A power of two, at least 16. */
  readonly sizeBytes: number;
  readonly device: Mmio;
}

/** A capability (§6.7): its bytes, in which the pointer to the next is filled in, and the bits that may be written. */
export interface PciCapability {
  readonly bytes: readonly number[];
  readonly writable?: readonly number[];
}

export interface PciFunctionOptions {
  readonly identity: PciIdentity;
  readonly memories?: readonly PciMemory[];
  readonly capabilities?: readonly PciCapability[];
  /** Where INTA# leads; absent: the function has no interrupt. */
  readonly interrupt?: InterruptLine;
  /** A chip's own registers from 40h on keep what is written. */
  readonly chipRegisters?: boolean;
}

/** What the host needs of a function: configuration space by offset, 1, 2 or 4 bytes, not crossing 4; and its memory. */
export interface PciTarget {
  readConfig(offset: number, size: number): number;
  writeConfig(offset: number, size: number, value: number): void;
  /** Offset in {@link PciMemory} `index` that answers at `gpa` now; −1 if it does not. */
  offsetOf(index: number, gpa: number): number;
  readonly memories: readonly PciMemory[];
}

const firstCapability = 0x40;

export class PciFunction implements PciTarget, Resettable {
  readonly memories: readonly PciMemory[];
  readonly #s: ReturnType<typeof PciConfig.at>;
  readonly #bytes: Uint8Array;
  readonly #options: PciFunctionOptions;
  /** Bits that a driver may change, by offset. */
  readonly #writable = new Uint8Array(configBytes);
  /** Offsets of the capabilities, in their order. */
  readonly capabilityOffsets: readonly number[];

  constructor(buffer: ArrayBufferLike, address: number, options: PciFunctionOptions) {
    this.#s = PciConfig.at(buffer, address);
    this.#bytes = new Uint8Array(buffer, address, configBytes);
    this.#options = options;
    this.memories = options.memories ?? [];
    this.capabilityOffsets = placeCapabilities(options.capabilities ?? []);
    this.#fillMasks();
  }

  #fillMasks(): void {
    const { offsets } = PciConfig;
    const { capabilities = [], chipRegisters = false, interrupt } = this.#options;
    const mask = (offset: number, size: number, bits: number): void => {
      for (let i = 0; i < size; i++) this.#writable[offset + i] = (bits >>> (8 * i)) & 0xff;
    };
    mask(offsets.command, 2, this.memories.length > 0 || interrupt !== undefined ? commandWritable : 0);
    mask(offsets.cacheLineSize, 1, 0xff);
    mask(offsets.interruptLine, 1, 0xff);
    this.memories.forEach(({ sizeBytes }, index) => {
      if (sizeBytes < 16 || (sizeBytes & (sizeBytes - 1)) !== 0)
        throw new Error(`a BAR cannot have ${sizeBytes} bytes`);
      mask(offsets.bars + 4 * index, 4, ~(sizeBytes - 1));
    });
    if (chipRegisters) this.#writable.fill(0xff, offsets.deviceSpecific);
    capabilities.forEach(({ writable = [] }, i) => {
      this.#writable.set(writable, this.capabilityOffsets[i]);
    });
  }

  reset(): void {
    const { identity, capabilities = [], interrupt } = this.#options;
    const s = this.#s;
    this.#bytes.fill(0);
    s.vendor = identity.vendor;
    s.device = identity.device;
    // Bridges without registers for it pass everything on.
    s.command = this.memories.length > 0 ? 0 : command.ports | command.memory | command.busMaster;
    s.status = capabilities.length > 0 ? status.capabilities : status.mediumTiming;
    s.revision = identity.revision;
    s.programmingInterface = identity.classCode & 0xff;
    s.subclass = (identity.classCode >> 8) & 0xff;
    s.baseClass = identity.classCode >> 16;
    s.headerType = identity.multifunction ? multifunctionBit : 0;
    s.subsystemVendor = identity.subsystemVendor ?? 0;
    s.subsystem = identity.subsystem ?? 0;
    s.interruptPin = interrupt === undefined ? 0 : 1;
    capabilities.forEach(({ bytes }, i) => {
      const at = this.capabilityOffsets[i] ?? 0;
      this.#bytes.set(bytes, at);
      this.#bytes[at + 1] = this.capabilityOffsets[i + 1] ?? 0;
    });
    s.capabilities = this.capabilityOffsets[0] ?? 0;
    interrupt?.set(0);
  }

  /** What firmware does: gives a memory its address, and says which line the interrupt pin leads to. */
  assign(index: number, gpa: number): void {
    this.#s.bars[index] = gpa;
    this.#s.command |= command.memory | command.busMaster;
  }

  setInterruptLine(line: number): void {
    this.#s.interruptLine = line;
  }

  /** The function may read and write RAM. */
  get busMaster(): boolean {
    return (this.#s.command & command.busMaster) !== 0;
  }

  /** Asserts or releases INTA#, if the driver has not disabled it. */
  setInterrupt(asserted: boolean): void {
    if (asserted) this.#s.status |= status.interrupt;
    else this.#s.status &= ~status.interrupt;
    this.#driveLine();
  }

  #driveLine(): void {
    const { command: enabled, status: state } = this.#s;
    const drives = (state & status.interrupt) !== 0 && (enabled & command.interruptDisable) === 0;
    this.#options.interrupt?.set(drives ? 1 : 0);
  }

  readConfig(offset: number, size: number): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + (this.#bytes[offset + i] ?? 0);
    return value;
  }

  writeConfig(offset: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) {
      const mask = this.#writable[offset + i] ?? 0;
      const kept = (this.#bytes[offset + i] ?? 0) & ~mask;
      this.#bytes[offset + i] = kept | ((value >>> (8 * i)) & mask);
    }
    const { command: at } = PciConfig.offsets;
    if (offset < at + 2 && offset + size > at) this.#driveLine();
  }

  offsetOf(index: number, gpa: number): number {
    const memory = this.memories[index];
    if (memory === undefined || (this.#s.command & command.memory) === 0) return -1;
    const base = ((this.#s.bars[index] ?? 0) & bar.addressMask) >>> 0;
    return gpa >= base && gpa < base + memory.sizeBytes ? gpa - base : -1;
  }
}

/** One behind the other from 40h on, at multiples of four (§6.7). */
function placeCapabilities(capabilities: readonly PciCapability[]): number[] {
  let next = firstCapability;
  return capabilities.map(({ bytes }) => {
    const at = next;
    next = (at + bytes.length + 3) & ~3;
    if (next > configBytes) throw new Error('the capabilities do not fit the configuration space');
    return at;
  });
}
