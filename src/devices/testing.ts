/** What the devices' unit tests share: a memory, a clock that is set by hand, lines that remember. */
import type { ByteSink, ByteSource, InterruptLine, SharedGuestMemory, TscClock } from './capabilities.ts';

export class ManualClock implements TscClock {
  readonly tscHz = 1e9;
  now = 0;

  nowNs(): number {
    return this.now;
  }

  tscNow(): bigint {
    return BigInt(this.now);
  }

  tscToNs(tsc: bigint): number {
    return Number(tsc);
  }
}

export class RecordedLine implements InterruptLine {
  level = 0;
  /** Rising edges so far. */
  edges = 0;

  set(level: number): void {
    if (level !== 0 && this.level === 0) this.edges++;
    this.level = level;
  }
}

export class Bytes implements ByteSource, ByteSink {
  readonly taken: number[] = [];
  queue: number[] = [];
  full = false;

  get readable(): number {
    return this.queue.length;
  }

  readByte(): number {
    return this.queue.shift() ?? -1;
  }

  writeByte(byte: number): boolean {
    if (this.full) return false;
    this.taken.push(byte);
    return true;
  }
}

export class FlatMemory implements SharedGuestMemory {
  readonly bytes: Uint8Array;
  /** What {@link written} was told. */
  readonly told: Uint8Array[] = [];

  /** @param buffer where it lies, from 0 on; absent: in memory of its own */
  constructor(sizeBytes = 0x1000, buffer: ArrayBufferLike = new ArrayBuffer(sizeBytes)) {
    this.bytes = new Uint8Array(buffer, 0, sizeBytes);
  }

  place(gpa: number, length: number): Uint8Array[] | undefined {
    return this.isRam(gpa, length) ? [this.bytes.subarray(gpa, gpa + length)] : undefined;
  }

  written(pieces: readonly Uint8Array[]): void {
    this.told.push(...pieces);
  }

  isRam(gpa: number, length: number): boolean {
    return gpa + length <= this.bytes.length;
  }

  read(gpa: number, length: number): Uint8Array {
    return this.bytes.slice(gpa, gpa + length);
  }

  write(gpa: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, gpa);
  }

  readByte(gpa: number): number {
    return this.bytes[gpa] ?? 0xff;
  }

  writeByte(gpa: number, value: number): void {
    this.bytes[gpa] = value;
  }
}
