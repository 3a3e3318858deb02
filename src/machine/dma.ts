/**
 * The way of devices and loaders to guest RAM: through the frame table, page by page. Every write tells the core that
 * code may have changed, and makes an empty page a resident one. Addresses without RAM read as ones and drop writes.
 */
import { frameBit } from '../base/frame-entry.ts';
import type { SharedGuestMemory } from '../devices/capabilities.ts';
import { type MemoryMap, pageBytes, ramRanges } from './memory-map.ts';

/** The core's `invalidateHost`: bytes at `host` (in the guest's memory, within one frame) are about to change. */
export type InvalidateCode = (host: number, length: number) => void;

export class Dma implements SharedGuestMemory {
  readonly #bytes: Uint8Array;
  readonly #table: Uint32Array;
  readonly #ranges: readonly { readonly base: number; readonly end: number }[];
  #invalidate: InvalidateCode | undefined;

  constructor(buffer: ArrayBufferLike, map: MemoryMap) {
    this.#bytes = new Uint8Array(buffer, 0, map.totalBytes);
    this.#table = new Uint32Array(buffer, map.frameTable, map.frameCount);
    this.#ranges = ramRanges(map);
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
    const host = this.#writable(gpa, 1, false);
    if (host >= 0) this.#bytes[host] = value;
  }

  /** A loader's write, which also fills read-only memory. */
  load(gpa: number, bytes: Uint8Array): void {
    this.#store(gpa, bytes, true);
  }

  #store(gpa: number, bytes: Uint8Array, readOnlyToo: boolean): void {
    for (let done = 0; done < bytes.length;) {
      const at = gpa + done;
      const count = Math.min(pageBytes - (at % pageBytes), bytes.length - done);
      const host = this.#writable(at, count, readOnlyToo);
      if (host >= 0) this.#bytes.set(bytes.subarray(done, done + count), host);
      done += count;
    }
  }

  /** Where `count` bytes within a page are to be written; −1 where writes go nowhere. */
  #writable(gpa: number, count: number, readOnlyToo: boolean): number {
    const page = Math.floor(gpa / pageBytes);
    const entry = this.#table[page] ?? 0;
    if (entry === 0 || ((entry & frameBit.readOnly) !== 0 && !readOnlyToo)) return -1;
    if ((entry & frameBit.empty) !== 0) this.#table[page] = entry & ~(frameBit.empty | frameBit.reported);
    const host = entry - (entry % pageBytes) + (gpa % pageBytes);
    this.#invalidate?.(host, count);
    return host;
  }

  place(gpa: number, length: number, access: 'read' | 'write'): Uint8Array[] | undefined {
    if (!this.isRam(gpa, length)) return undefined;
    const pieces: Uint8Array[] = [];
    let last: { host: number; count: number } | undefined;
    for (let done = 0; done < length;) {
      const at = gpa + done;
      const count = Math.min(pageBytes - (at % pageBytes), length - done);
      const host = this.#placeInPage(at, count, access);
      if (host < 0) return undefined;
      if (last?.host !== undefined && last.host + last.count === host) {
        last.count += count;
        pieces[pieces.length - 1] = this.#bytes.subarray(last.host, last.host + last.count);
      } else {
        last = { host, count };
        pieces.push(this.#bytes.subarray(host, host + count));
      }
      done += count;
    }
    return pieces;
  }

  #placeInPage(gpa: number, count: number, access: 'read' | 'write'): number {
    if (access === 'write') return this.#writable(gpa, count, false);
    const entry = this.#table[Math.floor(gpa / pageBytes)] ?? 0;
    return entry === 0 ? -1 : entry - (entry % pageBytes) + (gpa % pageBytes);
  }

  /** What was decoded of them before, or while they were written, does not hold. */
  written(pieces: readonly Uint8Array[]): void {
    for (const { byteOffset, length } of pieces) {
      for (let done = 0; done < length;) {
        const host = byteOffset + done;
        const count = Math.min(pageBytes - (host % pageBytes), length - done);
        this.#invalidate?.(host, count);
        done += count;
      }
    }
  }

  /** True when all of the range is RAM. Its cost does not depend on the length. */
  isRam(gpa: number, length: number): boolean {
    return this.#ranges.some(({ base, end }) => gpa >= base && gpa + length <= end);
  }
}
