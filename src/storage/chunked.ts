/**
 * A disk that is kept in chunks: the cache, journal and write-back of every disk that lives in a browser's storage, and,
 * with a base, a copy-on-write overlay, or the local cache of a disk at an address.
 *
 * - A chunk that is not stored is the base's, or zero. Nothing is allocated before it is written.
 * - Writes are acknowledged from the cache. They are committed relaxed when there are many, or after a second; `flush`
 *   commits strictly, and several flushes that wait share one commit.
 * - A commit is one transaction. Chunks of which little was written go into the *journal*, as sectors; the others are put
 *   whole. When the journal has grown, its chunks are put whole and it is emptied, in one transaction as well. A stored
 *   chunk has the number of its commit, and the journal's records are valid for chunks of earlier ones.
 * - The cache has a budget. What was flushed, and is not only in the journal, makes room, the least recently used first.
 * - Who reads on where the last read ended has the next chunks loaded before they are asked for.
 */
import {
  type BlockCapabilities,
  type BlockLayer,
  checkRange,
  checkSize,
  checkWritable,
  copyOut,
  joined,
  lengthOf,
  sectorBytes,
  zeroPieces,
} from './block.ts';
import { Chunk } from './chunk.ts';
import type { ChunkStore, Durability, JournalRecord, StoredChunk } from './chunk-store.ts';
import { planCommit } from './commit-plan.ts';
import { chunkOf, padded, sameBytes } from './chunk-bytes.ts';
import { storageError, type StorageError } from './errors.ts';

export interface ChunkedOptions {
  readonly store: ChunkStore;
  readonly sizeBytes: number;
  readonly chunkBytes?: number;
  /** What is read where no chunk is stored. May be smaller than the disk. */
  readonly base?: BlockLayer | undefined;
  readonly writable?: boolean;
  /** Chunks that were read from the base are stored, too. */
  readonly keepsBase?: boolean;
  readonly cacheBytes?: number;
}

/** Chosen by measurement in Chromium: docs/adr/0019. */
export const defaultChunkBytes = 1 << 18;
const defaultCacheBytes = 64 << 20;
/** Share of the cache that may wait to be written. */
const dirtyShare = 1 / 3;
/** A chunk goes into the journal if less than this share of it was written. */
const journalShare = 1 / 4;
/** The journal is folded in when it has so many bytes, or concerns so many bytes of chunks. */
const journalLimitBytes = 4 << 20;
const journalledChunkBytes = 16 << 20;
const writeBackMs = 1000;
const longestReadAhead = 8;

export class ChunkedDisk implements BlockLayer {
  readonly sizeBytes: number;
  readonly chunkBytes: number;
  readonly capabilities: BlockCapabilities;
  readonly #store: ChunkStore;
  readonly #cacheBytes: number;
  readonly #keepsBase: boolean;
  #base: BlockLayer | undefined;
  /** In the order of their last use. */
  readonly #chunks = new Map<number, Chunk>();
  readonly #dirty = new Set<number>();
  readonly #journalled = new Set<number>();
  readonly #stored: Set<number>;
  #sequence: number;
  #journalBytes = 0;
  #relaxedSinceStrict = false;
  #lastCommit: Promise<unknown> = Promise.resolve();
  #nextFlush: Promise<void> | undefined;
  #writeBack: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failure: StorageError | undefined;
  #sequentialAt = -1;
  #readAhead = 0;

  private constructor(options: ChunkedOptions, stored: readonly number[], sequence: number) {
    this.#store = options.store;
    this.sizeBytes = options.sizeBytes;
    this.chunkBytes = options.chunkBytes ?? defaultChunkBytes;
    this.#cacheBytes = options.cacheBytes ?? defaultCacheBytes;
    this.#keepsBase = options.keepsBase ?? false;
    this.#base = options.base;
    this.capabilities = { writable: options.writable ?? true, discards: true, durable: options.store.durable };
    this.#stored = new Set(stored);
    this.#sequence = sequence;
  }

  /** @throws StorageError `badSize`, `corrupt`, `io` */
  static async open(options: ChunkedOptions): Promise<ChunkedDisk> {
    checkSize(options.sizeBytes);
    const { chunks, journal, sequence } = await options.store.open();
    const disk = new ChunkedDisk(options, chunks, sequence);
    await disk.#replay(journal);
    return disk;
  }

  /** Chunks that differ from what lies below, or may. */
  get ownChunks(): readonly number[] {
    return [...new Set([...this.#stored, ...this.#dirty, ...this.#journalled])].sort((a, b) => a - b);
  }

  get allocatedBytes(): number {
    return this.#stored.size * this.chunkBytes;
  }

  async #replay(journal: readonly JournalRecord[]): Promise<void> {
    const indices = new Set(journal.flatMap(({ writes }) => writes.map(({ offset }) => this.#indexOf(offset))));
    const list = [...indices];
    const stored = await this.#store.load(list);
    const since = new Map(list.map((index, i) => [index, stored[i]?.sequence ?? -1]));
    for (const { sequence, writes } of journal) {
      for (const { offset, bytes } of writes) {
        const index = this.#indexOf(offset);
        if (sequence <= (since.get(index) ?? -1)) continue;
        const from = offset - index * this.chunkBytes;
        const chunk = this.#chunkFor(index, false);
        chunk.written(from, from + bytes.length).set(bytes);
        chunk.dirty = undefined;
        chunk.journalled = true;
        this.#journalled.add(index);
        this.#journalBytes += bytes.length;
      }
    }
  }

  #indexOf(offset: number): number {
    return Math.floor(offset / this.chunkBytes);
  }

  /** Bytes of a chunk that belong to the disk. */
  #bytesOf(index: number): number {
    return Math.min(this.chunkBytes, this.sizeBytes - index * this.chunkBytes);
  }

  *#parts(offset: number, length: number): Generator<{ index: number; from: number; count: number }> {
    for (let done = 0; done < length;) {
      const index = this.#indexOf(offset + done);
      const from = offset + done - index * this.chunkBytes;
      const count = Math.min(this.chunkBytes - from, length - done);
      yield { index, from, count };
      done += count;
    }
  }

  /** The chunk in the cache; a new one is about to be overwritten wholly, or not. */
  #chunkFor(index: number, overwritten: boolean): Chunk {
    const found = this.#chunks.get(index);
    this.#chunks.delete(index);
    const known = overwritten || !this.#isBelow(index);
    const chunk = found ?? new Chunk(this.chunkBytes, known);
    this.#chunks.set(index, chunk);
    return chunk;
  }

  /** Something is stored for the chunk, or the base has it. */
  #isBelow(index: number): boolean {
    return this.#stored.has(index) || (this.#base !== undefined && index * this.chunkBytes < this.#base.sizeBytes);
  }

  // Reading.

  async read(offset: number, length: number): Promise<readonly Uint8Array[]> {
    checkRange(this, offset, length);
    const parts = [...this.#parts(offset, length)];
    const chunks = parts.map(({ index }) => this.#chunkFor(index, false));
    await this.#load(parts.map(({ index }, i) => [index, chunks[i] as Chunk] as const));
    this.#noteSequence(offset, length);
    this.#makeRoom();
    return parts.flatMap(({ from, count }, i) => {
      const data = chunks[i]?.data;
      return data === undefined ? zeroPieces(count) : [data.subarray(from, from + count)];
    });
  }

  /** Makes all of these known. */
  async #load(wanted: readonly (readonly [number, Chunk])[]): Promise<void> {
    const missing = wanted.filter(([, { unknown, loading }]) => unknown !== undefined && loading === undefined);
    if (missing.length > 0) {
      const stored = this.#loadStored(missing.map(([index]) => index).filter((index) => this.#stored.has(index)));
      for (const [index, chunk] of missing) chunk.loading = this.#loadOne(index, chunk, stored);
    }
    await Promise.all(wanted.map(([, { loading }]) => loading));
  }

  async #loadStored(indices: readonly number[]): Promise<ReadonlyMap<number, StoredChunk>> {
    if (indices.length === 0) return new Map();
    const loaded = await this.#store.load(indices);
    return new Map(indices.flatMap((index, i) => (loaded[i] === undefined ? [] : [[index, loaded[i]]])));
  }

  async #loadOne(index: number, chunk: Chunk, stored: Promise<ReadonlyMap<number, StoredChunk>>): Promise<void> {
    try {
      const found = (await stored).get(index);
      const bytes = found === undefined ? await this.#fromBase(index) : found.bytes;
      const whole = bytes === undefined || bytes.length === this.chunkBytes ? bytes : padded(bytes, this.chunkBytes);
      chunk.loaded(whole as Uint8Array<ArrayBuffer> | undefined);
      if (found === undefined && this.#keepsBase && whole !== undefined) this.#keep(index, chunk);
    } catch (error) {
      // Whoever needs it tries again; what was written to it stays.
      if (!chunk.isDirty && !chunk.journalled && chunk.committing === undefined) this.#chunks.delete(index);
      throw storageError(error);
    } finally {
      chunk.loading = undefined;
    }
  }

  async #fromBase(index: number): Promise<Uint8Array | undefined> {
    const base = this.#base;
    const offset = index * this.chunkBytes;
    const length = Math.min(this.chunkBytes, (base?.sizeBytes ?? 0) - offset);
    return base === undefined || length <= 0 ? undefined : joined(await base.read(offset, length));
  }

  /** A local copy of what came from far away. Where there is no room for it, it is fetched again. */
  #keep(index: number, chunk: Chunk): void {
    const keep = async (): Promise<void> => {
      // Otherwise a commit has the chunk, or will.
      if (!chunk.isClean || chunk.data === undefined || this.#stored.has(index)) return;
      const sequence = this.#sequence;
      await this.#store.commit(
        { puts: new Map([[index, { sequence, bytes: chunk.data }]]), deletes: [], sequence },
        'relaxed',
      );
      this.#stored.add(index);
    };
    this.#inOrder(keep).catch((error: unknown) => console.warn(storageError(error).message));
  }

  #noteSequence(offset: number, length: number): void {
    this.#readAhead = offset === this.#sequentialAt ? Math.min(Math.max(1, 2 * this.#readAhead), longestReadAhead) : 0;
    this.#sequentialAt = offset + length;
    const next = this.#indexOf(offset + length - 1) + 1;
    const ahead: [number, Chunk][] = [];
    for (let index = next; index < next + this.#readAhead && index * this.chunkBytes < this.sizeBytes; index++) {
      if (!this.#chunks.has(index) && this.#isBelow(index)) ahead.push([index, this.#chunkFor(index, false)]);
    }
    // Whoever reads on meets the failure, if it lasts.
    if (ahead.length > 0) this.#load(ahead).catch(() => undefined);
  }

  #makeRoom(): void {
    let excess = this.#chunks.size * this.chunkBytes - this.#cacheBytes;
    if (excess <= 0) return;
    for (const [index, chunk] of this.#chunks) {
      if (excess <= 0) return;
      if (!chunk.isClean) continue;
      this.#chunks.delete(index);
      excess -= this.chunkBytes;
    }
  }

  // Writing.

  async write(offset: number, pieces: readonly Uint8Array[]): Promise<void> {
    const length = lengthOf(pieces);
    checkWritable(this);
    checkRange(this, offset, length);
    // What cannot be written out piles up; at some point nothing more is taken.
    if (this.#failure !== undefined && this.#dirtyBytes > this.#dirtyLimit) return this.#retry();
    let done = 0;
    for (const { index, from, count } of this.#parts(offset, length)) {
      const target = this.#chunkFor(index, count === this.#bytesOf(index)).written(from, from + count);
      copyOut(pieces, done, target);
      this.#dirty.add(index);
      done += count;
    }
    await this.#relieve();
  }

  get #dirtyBytes(): number {
    return this.#dirty.size * this.chunkBytes;
  }

  get #dirtyLimit(): number {
    return this.#cacheBytes * dirtyShare;
  }

  /** Nothing was taken of a write: an error, also where there is room again by now. */
  async #retry(): Promise<never> {
    const failure = this.#failure;
    await this.#startWriteBack();
    throw failure ?? storageError(new Error('it failed before'));
  }

  /** Has what was written be committed, now or soon; waits where too much has piled up. */
  async #relieve(): Promise<void> {
    this.#makeRoom();
    if (this.#dirtyBytes <= this.#dirtyLimit / 2) {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        // What fails stays dirty, and fails the next flush.
        this.#startWriteBack().catch(() => undefined);
      }, writeBackMs);
      return;
    }
    const writeBack = this.#startWriteBack();
    if (this.#dirtyBytes > this.#dirtyLimit) await writeBack;
    else writeBack.catch(() => undefined);
  }

  #startWriteBack(): Promise<void> {
    this.#writeBack ??= this.#inOrder(() => this.#commit('relaxed')).finally(() => {
      this.#writeBack = undefined;
    });
    return this.#writeBack;
  }

  async discard(offset: number, length: number): Promise<void> {
    checkWritable(this);
    checkRange(this, offset, length);
    for (const { index, from, count } of this.#parts(offset, length)) {
      if (!this.#chunks.has(index) && !this.#isBelow(index)) continue;
      const whole = count === this.#bytesOf(index);
      const chunk = this.#chunkFor(index, whole);
      if (whole) chunk.clear();
      else chunk.written(from, from + count).fill(0);
      this.#dirty.add(index);
    }
    await this.#relieve();
  }

  writeZeroes(offset: number, length: number): Promise<void> {
    return this.discard(offset, length);
  }

  flush(): Promise<void> {
    if (!this.capabilities.writable) return Promise.resolve();
    this.#nextFlush ??= this.#inOrder(() => {
      this.#nextFlush = undefined;
      return this.#commit('strict');
    });
    return this.#nextFlush;
  }

  // Committing.

  /** Commits follow one another. */
  #inOrder<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#lastCommit.then(act);
    this.#lastCommit = done.catch(() => undefined);
    return done;
  }

  async #commit(durability: Durability, fold = false): Promise<void> {
    const indices = new Set(fold ? [...this.#dirty, ...this.#journalled] : this.#dirty);
    const chunks = [...indices].map((index) => [index, this.#chunks.get(index) as Chunk] as const);
    const whole = chunks.filter(([, chunk]) => fold || this.#goesWhole(chunk));
    await this.#load(whole);
    // From here to the store's transaction nothing else runs.
    const sequence = this.#sequence + 1;
    const { puts, deletes, writes, replaced } = planCommit(chunks, {
      ...{ sequence, chunkBytes: this.chunkBytes },
      goesWhole: (chunk) => fold || this.#goesWhole(chunk),
      // While there is a journal, an absent chunk would be one that its records are valid for.
      absentIsZero: this.#base === undefined && (fold || this.#journalBytes === 0),
    });
    for (const [index] of chunks) this.#dirty.delete(index);
    const committed = chunks.filter(([, { committing }]) => committing !== undefined);
    const strictlyNothing = committed.length === 0 && (durability === 'relaxed' || !this.#relaxedSinceStrict);
    if (strictlyNothing && !fold) return;
    this.#sequence = sequence;
    try {
      await this.#store.commit(
        {
          ...{ puts, deletes: [...deletes], sequence },
          journal: writes.length === 0 ? undefined : { sequence, writes },
          forgetJournalTo: fold ? sequence : undefined,
        },
        durability,
      );
    } catch (error) {
      for (const [index, chunk] of committed) {
        chunk.failCommit(replaced.has(index));
        if (chunk.isDirty) this.#dirty.add(index);
      }
      this.#failure = storageError(error);
      throw this.#failure;
    }
    this.#failure = undefined;
    this.#relaxedSinceStrict = durability === 'relaxed';
    for (const [index, chunk] of committed) this.#settle(index, chunk, puts, deletes.has(index));
    const logged = writes.reduce((sum, { bytes }) => sum + bytes.length, 0);
    this.#journalBytes = (fold ? 0 : this.#journalBytes) + logged;
    this.#foldLater();
  }

  #goesWhole(chunk: Chunk): boolean {
    return chunk.replaced || (chunk.dirty?.count ?? 0) * sectorBytes >= this.chunkBytes * journalShare;
  }

  #settle(index: number, chunk: Chunk, puts: ReadonlyMap<number, StoredChunk>, deleted: boolean): void {
    const whole = puts.has(index) || deleted;
    chunk.endCommit(whole ? 'put' : 'journalled');
    if (whole) this.#journalled.delete(index);
    else this.#journalled.add(index);
    if (puts.has(index)) this.#stored.add(index);
    if (deleted) this.#stored.delete(index);
  }

  #foldLater(): void {
    const chunks = this.#journalled.size * this.chunkBytes;
    if (this.#journalBytes <= journalLimitBytes && chunks <= journalledChunkBytes) return;
    // What fails is tried again after the next commit: the journal still has it.
    this.#inOrder(() => this.#foldIfLarge()).catch(() => undefined);
  }

  async #foldIfLarge(): Promise<void> {
    const chunks = this.#journalled.size * this.chunkBytes;
    if (this.#journalBytes > journalLimitBytes || chunks > journalledChunkBytes) await this.#commit('relaxed', true);
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      if (this.capabilities.writable) {
        await this.flush();
        if (this.#journalBytes > 0) await this.#inOrder(() => this.#commit('strict', true));
      }
      await this.#lastCommit;
    } finally {
      this.#chunks.clear();
      await this.#store.close();
    }
  }

  // Chains.

  /**
   * Puts another base under the disk, whose content stays what it was: where the two differ, chunks become the disk's own.
   */
  async rebase(base: BlockLayer | undefined): Promise<void> {
    const own = new Set(this.ownChunks);
    for (let index = 0; index * this.chunkBytes < this.sizeBytes; index++) {
      if (own.has(index)) continue;
      const [before, after] = [await this.#fromBase(index), await chunkOf(base, index, this.chunkBytes)];
      if (!sameBytes(before, after)) {
        await this.write(index * this.chunkBytes, [padded(before ?? new Uint8Array(), this.#bytesOf(index))]);
      }
    }
    await this.flush();
    this.#base = base;
  }

  /** Writes all that is the disk's own into its base, or another disk. The disk itself stays as it is. */
  async commitTo(target: BlockLayer): Promise<void> {
    for (const index of this.ownChunks) {
      const offset = index * this.chunkBytes;
      await target.write(offset, await this.read(offset, this.#bytesOf(index)));
    }
    await target.flush();
  }
}
