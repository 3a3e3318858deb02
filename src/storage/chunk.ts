/** A chunk of a {@link ChunkedDisk} in memory: its bytes, and what is known of each of its sectors. */
import { sectorBytes } from './block.ts';

/** A set of sectors of a chunk. */
export class SectorSet {
  readonly #has: Uint8Array;
  #count = 0;

  constructor(sectors: number, full = false) {
    this.#has = new Uint8Array(sectors).fill(full ? 1 : 0);
    if (full) this.#count = sectors;
  }

  get count(): number {
    return this.#count;
  }

  /** Of bytes from `from` up to `to`. */
  set(from: number, to: number, value: 0 | 1): void {
    for (let sector = from / sectorBytes; sector < to / sectorBytes; sector++) {
      this.#count += value - (this.#has[sector] ?? 0);
      this.#has[sector] = value;
    }
  }

  add(other: SectorSet): void {
    for (const { from, to } of other.ranges()) this.set(from, to, 1);
  }

  /** Runs of sectors in it, as bytes. */
  *ranges(): Generator<{ readonly from: number; readonly to: number }> {
    for (let start = this.#has.indexOf(1); start >= 0;) {
      const end = this.#has.indexOf(0, start);
      yield { from: start * sectorBytes, to: (end < 0 ? this.#has.length : end) * sectorBytes };
      start = end < 0 ? -1 : this.#has.indexOf(1, end);
    }
  }
}

export class Chunk {
  /** Undefined: all that is known of it is zero. */
  data: Uint8Array<ArrayBuffer> | undefined;
  /** Sectors that lie in the store or the base and were not loaded; undefined: none. */
  unknown: SectorSet | undefined;
  /** Sectors that were written and are in no commit; those of the commit that is under way. */
  dirty: SectorSet | undefined;
  committing: SectorSet | undefined;
  /** The chunk as it is stored is all wrong (it was discarded): it cannot be mended by single sectors. */
  replaced = false;
  /** The journal has newer sectors of it than the store. */
  journalled = false;
  loading: Promise<void> | undefined;
  readonly #bytes: number;

  constructor(bytes: number, known: boolean) {
    this.#bytes = bytes;
    if (!known) this.unknown = new SectorSet(bytes / sectorBytes, true);
  }

  get isDirty(): boolean {
    return this.dirty !== undefined || this.replaced;
  }

  /** It can be forgotten: the store, or what lies below, has the same. */
  get isClean(): boolean {
    return !this.isDirty && !this.journalled && this.committing === undefined && this.loading === undefined;
  }

  /** Where bytes of a write belong, which are to be copied there at once. */
  written(from: number, to: number): Uint8Array {
    this.data ??= new Uint8Array(this.#bytes);
    this.#known(from, to);
    this.dirty ??= new SectorSet(this.#bytes / sectorBytes);
    this.dirty.set(from, to, 1);
    return this.data.subarray(from, to);
  }

  #known(from: number, to: number): void {
    this.unknown?.set(from, to, 0);
    if (this.unknown?.count === 0) this.unknown = undefined;
  }

  /** The bytes that were stored have come: they are valid where nothing was written since. */
  loaded(bytes: Uint8Array<ArrayBuffer> | undefined): void {
    const { unknown } = this;
    this.unknown = undefined;
    if (unknown === undefined || bytes === undefined) return;
    if (this.data === undefined) {
      if (unknown.count * sectorBytes === this.#bytes) {
        this.data = bytes;
        return;
      }
      this.data = new Uint8Array(this.#bytes);
    }
    for (const { from, to } of unknown.ranges()) this.data.set(bytes.subarray(from, to), from);
  }

  /** It is all zero from now on. */
  clear(): void {
    this.data = undefined;
    this.unknown = undefined;
    this.dirty = undefined;
    this.replaced = true;
  }

  /** A commit takes what is dirty. */
  beginCommit(): void {
    this.committing = this.dirty ?? new SectorSet(this.#bytes / sectorBytes);
    this.dirty = undefined;
    this.replaced = false;
  }

  /** It failed: what it was to write is dirty again. */
  failCommit(replaced: boolean): void {
    const { committing } = this;
    this.committing = undefined;
    if (replaced) this.replaced = true;
    if (committing === undefined || committing.count === 0) return;
    if (this.dirty === undefined) this.dirty = committing;
    else this.dirty.add(committing);
  }

  endCommit(how: 'put' | 'journalled'): void {
    this.committing = undefined;
    this.journalled = how === 'journalled';
  }
}
