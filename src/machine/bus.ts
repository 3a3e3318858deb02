/**
 * Port and MMIO buses. They own address ranges: devices see offsets. Two devices on one range are an error when the
 * machine is wired. Where no device answers, the bus floats: all ones.
 */
import { floating, type IoResult, type Mmio, type PortIo } from '../devices/capabilities.ts';

const ports = 0x10000;

interface PortRange {
  readonly name: string;
  readonly base: number;
  readonly device: PortIo;
  /** Data lines of the device in bytes; the bus splits wider accesses. */
  readonly width: number;
}

export interface PortRangeOptions {
  readonly name: string;
  readonly base: number;
  readonly length: number;
  /** 1 (default) for the old eight-bit chips, 4 for those that take any size. */
  readonly width?: 1 | 2 | 4;
}

function onesOf(size: number): number {
  return size === 4 ? 0xffffffff : (1 << (8 * size)) - 1;
}

export class PortBus {
  readonly #ranges: PortRange[] = [];
  /** Index of the range + 1 for each port; 0 = nothing there. */
  readonly #byPort = new Uint8Array(ports);

  add(device: PortIo, { name, base, length, width = 1 }: PortRangeOptions): void {
    for (let port = base; port < base + length; port++) {
      const taken = this.#byPort[port] ?? 0;
      if (taken !== 0) {
        throw new Error(`ports of ${name} overlap those of ${this.#ranges[taken - 1]?.name} at 0x${port.toString(16)}`);
      }
    }
    this.#ranges.push({ name, base, device, width });
    this.#byPort.fill(this.#ranges.length, base, base + length);
  }

  /** What an IN of `size` bytes gets, as an unsigned number. */
  read(port: number, size: number): number {
    const range = this.#ranges[(this.#byPort[port] ?? 0) - 1];
    if (range === undefined) return onesOf(size);
    if (size <= range.width) {
      const result: IoResult = range.device.readPort(port - range.base, size);
      return result < 0 ? onesOf(size) : result;
    }
    const half = size / 2;
    return this.read(port, half) + this.read((port + half) & 0xffff, half) * 2 ** (8 * half);
  }

  write(port: number, size: number, value: number): void {
    const range = this.#ranges[(this.#byPort[port] ?? 0) - 1];
    if (range === undefined) return;
    if (size <= range.width) {
      range.device.writePort(port - range.base, size, value >>> 0);
      return;
    }
    const half = size / 2;
    this.write(port, half, value & onesOf(half));
    this.write((port + half) & 0xffff, half, value >>> (8 * half));
  }
}

interface MmioRange {
  readonly name: string;
  readonly base: number;
  readonly end: number;
  readonly device: Mmio;
}

export interface MmioRangeOptions {
  readonly name: string;
  readonly base: number;
  readonly length: number;
}

export class MmioBus {
  readonly #ranges: MmioRange[] = [];

  add(device: Mmio, { name, base, length }: MmioRangeOptions): void {
    const end = base + length;
    for (const other of this.#ranges) {
      if (base < other.end && other.base < end)
        throw new Error(`memory range of ${name} overlaps that of ${other.name}`);
    }
    this.#ranges.push({ name, base, end, device });
  }

  read(gpa: number, size: number): number {
    const range = this.#find(gpa);
    const result = range === undefined ? floating : range.device.readMmio(gpa - range.base, size);
    return result < 0 ? onesOf(size) : result;
  }

  write(gpa: number, size: number, value: number): void {
    const range = this.#find(gpa);
    range?.device.writeMmio(gpa - range.base, size, value >>> 0);
  }

  #find(gpa: number): MmioRange | undefined {
    for (const range of this.#ranges) {
      if (gpa >= range.base && gpa < range.end) return range;
    }
    return undefined;
  }
}
