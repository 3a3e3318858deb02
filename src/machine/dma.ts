/**
 * The way of devices and loaders to guest RAM: through the frame table, page by page. Every write tells the core that
 * code may have changed. Addresses without RAM read as ones and drop writes.
 */
import type { GuestMemory } from '../devices/capabilities.ts';
import { type MemoryMap, pageBytes } from './memory-map.ts';

/** The core's `invalidateHost`: bytes at `host` (in the guest's memory, within one frame) are about to change. */
export type InvalidateCode = (host: number, length: number) => void;

export class Dma implements GuestMemory {
  readonly #bytes: Uint8Array;
  readonly #table: Uint32Array;
  #invalidate: InvalidateCode | undefined;

  constructor(buffer: ArrayBufferLike, map: MemoryMap) {
    this.#bytes = new Uint8Array(buffer, 0, map.totalBytes);
    this.#table = new Uint32Array(buffer, map.frameTable, map.frameCount);
  }

  /** To be called by the executor when it has a core on this memory. */
  connect(invalidate: InvalidateCode): void {
    this.#invalidate = invalidate;
  }

  /** The pieces of RAM that make up a guest-physical range, in order; undefined where there is no RAM. */
  *segments(gpa: number, length: number): Generator<Uint8Array | undefined> {
    for (let done = 0; done < length;) {
      const at = gpa + done;
      const inPage = at % pageBytes;
      const count = Math.min(pageBytes - inPage, length - done);
      const entry = this.#table[Math.floor(at / pageBytes)] ?? 0;
      const host = entry - (entry % pageBytes) + inPage;
      yield entry === 0 ? undefined : this.#bytes.subarray(host, host + count);
      done += count;
    }
  }

  read(gpa: number, length: number): Uint8Array<ArrayBuffer> {
    const result = new Uint8Array(length).fill(0xff);
    let done = 0;
    for (const segment of this.segments(gpa, length)) {
      if (segment !== undefined) result.set(segment, done);
      done += segment?.length ?? pageBytes - ((gpa + done) % pageBytes);
    }
    return result;
  }

  /** A device's write: read-only memory is left alone. */
  write(gpa: number, bytes: Uint8Array): void {
    this.#store(gpa, bytes, false);
  }

  readByte(gpa: number): number {
    const entry = this.#table[Math.floor(gpa / pageBytes)] ?? 0;
    return entry === 0 ? 0xff : (this.#bytes[entry - (entry % pageBytes) + (gpa % pageBytes)] ?? 0xff);
  }

  writeByte(gpa: number, value: number): void {
    const entry = this.#table[Math.floor(gpa / pageBytes)] ?? 0;
    if (entry === 0 || entry % 2 !== 0) return;
    const host = entry - (entry % pageBytes) + (gpa % pageBytes);
    this.#invalidate?.(host, 1);
    this.#bytes[host] = value;
  }

  /** A loader's write, which also fills read-only memory. */
  load(gpa: number, bytes: Uint8Array): void {
    this.#store(gpa, bytes, true);
  }

  #store(gpa: number, bytes: Uint8Array, readOnlyToo: boolean): void {
    for (let done = 0; done < bytes.length;) {
      const at = gpa + done;
      const inPage = at % pageBytes;
      const count = Math.min(pageBytes - inPage, bytes.length - done);
      const entry = this.#table[Math.floor(at / pageBytes)] ?? 0;
      if (entry !== 0 && (readOnlyToo || entry % 2 === 0)) {
        const host = entry - (entry % pageBytes) + inPage;
        this.#invalidate?.(host, count);
        this.#bytes.set(bytes.subarray(done, done + count), host);
      }
      done += count;
    }
  }

  /** True when all of the range is RAM. */
  isRam(gpa: number, length: number): boolean {
    for (let page = Math.floor(gpa / pageBytes); page * pageBytes < gpa + length; page++) {
      if ((this.#table[page] ?? 0) === 0) return false;
    }
    return true;
  }
}
