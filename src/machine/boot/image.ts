/** Reading foreign bytes: bounds are checked at every access, and what is wrong is said in terms of the file. */

/** A boot image that cannot be used. The message is for the user. */
export class BootError extends Error {
  override readonly name = 'BootError';
}

/** A little-endian view of a file that refuses reads beyond its end. */
export class ImageReader {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;

  /** @param what the file in the user's words, for messages: "the kernel" */
  constructor(bytes: Uint8Array, what: string) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
  }

  get length(): number {
    return this.bytes.length;
  }

  #check(offset: number, size: number): void {
    if (offset < 0 || size < 0 || offset + size > this.length) {
      throw new BootError(`${this.#what} is truncated: ${offset + size} bytes are needed, the file has ${this.length}`);
    }
  }

  u8(offset: number): number {
    this.#check(offset, 1);
    return this.#view.getUint8(offset);
  }

  u16(offset: number): number {
    this.#check(offset, 2);
    return this.#view.getUint16(offset, true);
  }

  u32(offset: number): number {
    this.#check(offset, 4);
    return this.#view.getUint32(offset, true);
  }

  /** A 64-bit value as a number; what does not fit is refused. */
  u64(offset: number): number {
    this.#check(offset, 8);
    const value = this.#view.getBigUint64(offset, true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) return Number.MAX_SAFE_INTEGER;
    return Number(value);
  }

  slice(offset: number, length: number): Uint8Array {
    this.#check(offset, length);
    return this.bytes.subarray(offset, offset + length);
  }
}

/** What the user gives to boot. */
export interface KernelBoot {
  readonly kernel: Uint8Array;
  readonly initrd?: Uint8Array | undefined;
  readonly commandLine: string;
}
