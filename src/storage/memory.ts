/** A sparse disk in memory: pages that were never written, or are all gone, take none. */
import {
  type BlockCapabilities,
  type BlockLayer,
  checkRange,
  checkSize,
  copyOut,
  lengthOf,
  zeroPieces,
} from './block.ts';

const pageBytes = 1 << 16;

export class MemoryDisk implements BlockLayer {
  readonly capabilities: BlockCapabilities = { writable: true, discards: true, durable: false };
  readonly sizeBytes: number;
  readonly #pages = new Map<number, Uint8Array>();

  /** @throws StorageError `badSize` */
  constructor(sizeBytes: number) {
    checkSize(sizeBytes);
    this.sizeBytes = sizeBytes;
  }

  /** What it takes. */
  get allocatedBytes(): number {
    return this.#pages.size * pageBytes;
  }

  async read(offset: number, length: number): Promise<readonly Uint8Array[]> {
    checkRange(this, offset, length);
    const pieces: Uint8Array[] = [];
    for (const { page, from, count } of parts(offset, length)) {
      const bytes = this.#pages.get(page);
      if (bytes === undefined) pieces.push(...zeroPieces(count));
      else pieces.push(bytes.subarray(from, from + count));
    }
    return pieces;
  }

  async write(offset: number, pieces: readonly Uint8Array[]): Promise<void> {
    const length = lengthOf(pieces);
    checkRange(this, offset, length);
    let done = 0;
    for (const { page, from, count } of parts(offset, length)) {
      let bytes = this.#pages.get(page);
      if (bytes === undefined) this.#pages.set(page, (bytes = new Uint8Array(pageBytes)));
      copyOut(pieces, done, bytes.subarray(from, from + count));
      done += count;
    }
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  async discard(offset: number, length: number): Promise<void> {
    checkRange(this, offset, length);
    for (const { page, from, count } of parts(offset, length)) {
      if (count === pageBytes) this.#pages.delete(page);
      else this.#pages.get(page)?.fill(0, from, from + count);
    }
  }

  writeZeroes(offset: number, length: number): Promise<void> {
    return this.discard(offset, length);
  }

  close(): Promise<void> {
    this.#pages.clear();
    return Promise.resolve();
  }
}

function* parts(offset: number, length: number): Generator<{ page: number; from: number; count: number }> {
  for (let done = 0; done < length;) {
    const at = offset + done;
    const from = at % pageBytes;
    const count = Math.min(pageBytes - from, length - done);
    yield { page: Math.floor(at / pageBytes), from, count };
    done += count;
  }
}
