/**
 * A qcow2 image (versions 2 and 3) as a disk, read and written in place. Clusters that are shared with an internal snapshot,
 * compressed, or still those of the backing file are copied when they are written; snapshots stay as they are.
 *
 * Data is written at once, into clusters that nothing points to or into the disk's own; tables are kept in memory until a
 * flush, which writes counts, then L2 tables, then the L1 table, each on stable storage before the next. After a crash the
 * image is what it was at the last flush, but for data written over in place; at worst clusters are counted and not used.
 * One request at a time.
 * Source: QEMU, docs/interop/qcow2.txt.
 */
import { inflateSync } from 'fflate';
import {
  type BlockCapabilities,
  type BlockLayer,
  checkRange,
  checkWritable,
  copyOut,
  joined,
  zeroPieces,
} from '../block.ts';
import { StorageError } from '../errors.ts';
import { type ByteFile, corrupt } from './byte-file.ts';
import { type BackingReference, headerField, type Qcow2Header, readHeader } from './qcow2-header.ts';
import { Refcounts } from './qcow2-refcounts.ts';

export type OpenBacking = (reference: BackingReference) => Promise<BlockLayer>;

const copied = 1n << 63n;
const compressedFlag = 1n << 62n;
const zeroFlag = 1n;
const offsetMask = 0x00ff_ffff_ffff_fe00n;
/** L2 tables that are held; when all of them have changed, they are written. */
const heldTableBytes = 4 << 20;

interface L2Table {
  readonly offset: number;
  readonly entries: DataView;
  dirty: boolean;
}

/** Where the bytes of a cluster come from. */
type Cluster =
  | { readonly kind: 'backing' }
  | { readonly kind: 'zero' }
  | { readonly kind: 'plain'; readonly offset: number }
  | { readonly kind: 'compressed'; readonly offset: number; readonly length: number };

interface Part {
  readonly cluster: number;
  /** Within the cluster. */
  readonly from: number;
  readonly count: number;
}

export class Qcow2Disk implements BlockLayer {
  readonly sizeBytes: number;
  readonly capabilities: BlockCapabilities;
  readonly #file: ByteFile;
  readonly #header: Qcow2Header;
  readonly #clusterBytes: number;
  readonly #l1: DataView;
  readonly #refcounts: Refcounts | undefined;
  readonly #backing: BlockLayer | undefined;
  /** By index in L1; the least recently used first. */
  readonly #tables = new Map<number, L2Table>();
  #l1Dirty = false;
  /** Clusters that nothing points to any more once the tables are written. */
  #unused: number[] = [];
  #queue: Promise<unknown> = Promise.resolve();

  private constructor(
    file: ByteFile,
    header: Qcow2Header,
    l1: DataView,
    refcounts: Refcounts | undefined,
    backing: BlockLayer | undefined,
  ) {
    this.#file = file;
    this.#header = header;
    this.#clusterBytes = 2 ** header.clusterBits;
    this.#l1 = l1;
    this.#refcounts = refcounts;
    this.#backing = backing;
    this.sizeBytes = header.sizeBytes;
    this.capabilities = { writable: file.writable, discards: true, durable: true };
  }

  /**
   * @param openBacking opens the file that the image names as the one under it, and decides whether it may
   * @throws StorageError `corrupt`, `badSize`; `io` for what is not supported; `notFound` for a backing file that cannot be
   */
  static async open(file: ByteFile, openBacking?: OpenBacking): Promise<Qcow2Disk> {
    const header = await readHeader(file);
    const l1 = new DataView((await file.read(header.l1Offset, header.l1Entries * 8)).buffer);
    const refcounts = file.writable ? await Refcounts.open(file, header) : undefined;
    if (refcounts !== undefined) {
      for (let i = 0; i < header.l1Entries; i++) {
        const offset = Number(l1.getBigUint64(i * 8) & offsetMask);
        if (offset !== 0) refcounts.keep(offset, 1);
      }
      // Extensions that we do not keep up to date (bitmaps) are void from now on.
      if (header.version === 3) await file.write(headerField.autoclear, new Uint8Array(8));
    }
    let backing: BlockLayer | undefined;
    if (header.backing !== undefined) {
      if (openBacking === undefined) {
        throw new StorageError(
          'notFound',
          `The image stands on another, "${header.backing.path}", which cannot be opened here: merge them with \`qemu-img convert\`.`,
        );
      }
      backing = await openBacking(header.backing);
    }
    return new Qcow2Disk(file, header, l1, refcounts, backing);
  }

  async read(offset: number, length: number): Promise<readonly Uint8Array[]> {
    checkRange(this, offset, length);
    return this.#inTurn(async () => {
      const pieces: Uint8Array[] = [];
      for (const part of this.#parts(offset, length)) pieces.push(...(await this.#readPart(part)));
      return pieces;
    });
  }

  async write(offset: number, pieces: readonly Uint8Array[]): Promise<void> {
    checkWritable(this);
    const bytes = joined(pieces);
    checkRange(this, offset, bytes.length);
    await this.#inTurn(async () => {
      let done = 0;
      for (const part of this.#parts(offset, bytes.length)) {
        await this.#writePart(part, bytes.subarray(done, done + part.count));
        done += part.count;
      }
    });
  }

  async flush(): Promise<void> {
    if (this.capabilities.writable) await this.#inTurn(() => this.#writeTables());
  }

  async discard(offset: number, length: number): Promise<void> {
    checkWritable(this);
    checkRange(this, offset, length);
    await this.#inTurn(async () => {
      for (const part of this.#parts(offset, length)) await this.#clear(part);
    });
  }

  writeZeroes(offset: number, length: number): Promise<void> {
    return this.discard(offset, length);
  }

  async close(): Promise<void> {
    await this.flush();
    await this.#inTurn(async () => {
      await this.#file.close();
      await this.#backing?.close();
    });
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(act);
    // Whoever asked is told of the failure; the next request does not depend on it.
    this.#queue = result.catch(() => undefined);
    return result;
  }

  *#parts(offset: number, length: number): Generator<Part> {
    for (let done = 0; done < length;) {
      const from = (offset + done) % this.#clusterBytes;
      const count = Math.min(this.#clusterBytes - from, length - done);
      yield { cluster: Math.floor((offset + done) / this.#clusterBytes), from, count };
      done += count;
    }
  }

  get #entriesOfTable(): number {
    return this.#clusterBytes / 8;
  }

  async #entry(cluster: number): Promise<bigint> {
    const table = await this.#table(Math.floor(cluster / this.#entriesOfTable));
    return table?.entries.getBigUint64((cluster % this.#entriesOfTable) * 8) ?? 0n;
  }

  #decode(entry: bigint): Cluster {
    if ((entry & compressedFlag) !== 0n) {
      const offsetBits = BigInt(62 - (this.#header.clusterBits - 8));
      const offset = Number(entry & ((1n << offsetBits) - 1n));
      const sectors = Number((entry & (compressedFlag - 1n)) >> offsetBits) + 1;
      return { kind: 'compressed', offset, length: sectors * 512 - (offset % 512) };
    }
    if (this.#header.version === 3 && (entry & zeroFlag) !== 0n) return { kind: 'zero' };
    const offset = Number(entry & offsetMask);
    if (offset === 0) return { kind: this.#backing === undefined ? 'zero' : 'backing' };
    return { kind: 'plain', offset: this.#checked(offset, 'a cluster') };
  }

  #checked(offset: number, what: string): number {
    if (offset % this.#clusterBytes === 0 && offset < this.#file.sizeBytes) return offset;
    throw corrupt(`${what} lies at ${offset}`);
  }

  async #readPart({ cluster, from, count }: Part): Promise<readonly Uint8Array[]> {
    const found = this.#decode(await this.#entry(cluster));
    switch (found.kind) {
      case 'zero':
        return zeroPieces(count);
      case 'plain':
        return [await this.#file.read(found.offset + from, count)];
      case 'compressed':
        return [(await this.#inflate(found.offset, found.length)).subarray(from, from + count)];
      case 'backing':
        return [await this.#readBacking(cluster * this.#clusterBytes + from, count)];
    }
  }

  /** The backing file may be shorter. */
  async #readBacking(offset: number, count: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(count);
    const there = Math.min(count, (this.#backing?.sizeBytes ?? 0) - offset);
    if (this.#backing !== undefined && there > 0) {
      copyOut(await this.#backing.read(offset, there), 0, bytes.subarray(0, there));
    }
    return bytes;
  }

  async #inflate(offset: number, length: number): Promise<Uint8Array> {
    if (offset >= this.#file.sizeBytes) throw corrupt(`a compressed cluster lies at ${offset}`);
    const bytes = await this.#file.read(offset, length);
    const out = new Uint8Array(this.#clusterBytes);
    let inflated: Uint8Array;
    try {
      inflated = inflateSync(bytes, { out });
    } catch (error) {
      throw corrupt(`the compressed cluster at ${offset}: ${error instanceof Error ? error.message : String(error)}`);
    }
    if (inflated.length !== out.length) throw corrupt(`the compressed cluster at ${offset} is too short`);
    return inflated;
  }

  async #writePart(part: Part, bytes: Uint8Array): Promise<void> {
    const entry = await this.#entry(part.cluster);
    const found = this.#decode(entry);
    const refcounts = this.#writing();
    if (found.kind === 'plain' && (entry & copied) !== 0n) {
      if (refcounts.metadata.has(found.offset / this.#clusterBytes)) {
        throw corrupt(`the cluster at ${found.offset} holds data and a table`);
      }
      await this.#file.write(found.offset + part.from, bytes);
      return;
    }
    const whole = new Uint8Array(this.#clusterBytes);
    if (part.count < this.#clusterBytes) {
      const count = Math.min(this.#clusterBytes, this.sizeBytes - part.cluster * this.#clusterBytes);
      copyOut(await this.#readPart({ cluster: part.cluster, from: 0, count }), 0, whole.subarray(0, count));
    }
    whole.set(bytes, part.from);
    const offset = (await refcounts.allocate()) * this.#clusterBytes;
    await this.#file.write(offset, whole);
    await this.#setEntry(part.cluster, BigInt(offset) | copied);
    this.#drop(entry);
  }

  async #clear(part: Part): Promise<void> {
    const entry = await this.#entry(part.cluster);
    if (this.#decode(entry).kind === 'zero') return;
    const end = Math.min(this.#clusterBytes, this.sizeBytes - part.cluster * this.#clusterBytes);
    const whole = part.from === 0 && part.count === end;
    const unallocated = this.#backing === undefined;
    if (!whole || (!unallocated && this.#header.version === 2)) {
      await this.#writePart(part, new Uint8Array(part.count));
      return;
    }
    await this.#setEntry(part.cluster, unallocated ? 0n : zeroFlag);
    this.#drop(entry);
  }

  /** What an entry pointed to has one user less. */
  #drop(entry: bigint): void {
    const offset = Number(entry & offsetMask);
    if ((entry & compressedFlag) !== 0n) {
      const found = this.#decode(entry);
      if (found.kind !== 'compressed') return;
      const last = Math.floor((found.offset + found.length - 1) / this.#clusterBytes);
      for (let cluster = Math.floor(found.offset / this.#clusterBytes); cluster <= last; cluster++) {
        this.#unused.push(cluster);
      }
    } else if (offset !== 0) {
      this.#unused.push(offset / this.#clusterBytes);
    }
  }

  #writing(): Refcounts {
    if (this.#refcounts === undefined) throw new StorageError('readOnly', 'The disk is read-only.');
    return this.#refcounts;
  }

  async #table(index: number): Promise<L2Table | undefined> {
    const held = this.#tables.get(index);
    if (held !== undefined) {
      this.#tables.delete(index);
      this.#tables.set(index, held);
      return held;
    }
    const offset = Number(this.#l1.getBigUint64(index * 8) & offsetMask);
    if (offset === 0) return undefined;
    this.#checked(offset, 'an L2 table');
    return this.#hold(index, { offset, entries: await this.#readTable(offset), dirty: false });
  }

  async #readTable(offset: number): Promise<DataView> {
    return new DataView((await this.#file.read(offset, this.#clusterBytes)).buffer);
  }

  async #hold(index: number, table: L2Table): Promise<L2Table> {
    if (this.#tables.size >= Math.max(2, heldTableBytes / this.#clusterBytes)) {
      let clean = [...this.#tables].find(([, { dirty }]) => !dirty);
      if (clean === undefined) {
        await this.#writeTables();
        [clean] = this.#tables;
      }
      if (clean !== undefined) this.#tables.delete(clean[0]);
    }
    this.#tables.set(index, table);
    return table;
  }

  async #setEntry(cluster: number, entry: bigint): Promise<void> {
    const table = await this.#ownTable(Math.floor(cluster / this.#entriesOfTable));
    table.entries.setBigUint64((cluster % this.#entriesOfTable) * 8, entry);
    table.dirty = true;
  }

  /** The table at an index of L1, made where there is none, copied where a snapshot has it, too. */
  async #ownTable(index: number): Promise<L2Table> {
    const found = await this.#table(index);
    const l1Entry = this.#l1.getBigUint64(index * 8);
    if (found !== undefined && (l1Entry & copied) !== 0n) return found;
    const refcounts = this.#writing();
    const cluster = await refcounts.allocate();
    refcounts.metadata.add(cluster);
    const offset = cluster * this.#clusterBytes;
    const entries = found?.entries ?? new DataView(new ArrayBuffer(this.#clusterBytes));
    this.#tables.delete(index);
    if (found !== undefined) this.#unused.push(found.offset / this.#clusterBytes);
    this.#l1.setBigUint64(index * 8, BigInt(offset) | copied);
    this.#l1Dirty = true;
    const table: L2Table = { offset, entries, dirty: true };
    // Held before anything is awaited: the L1 table points to it already.
    this.#tables.set(index, table);
    return table;
  }

  async #writeTables(): Promise<void> {
    const refcounts = this.#writing();
    await refcounts.write();
    await this.#file.flush();
    const dirty = [...this.#tables.values()].filter((table) => table.dirty);
    for (const table of dirty) await this.#file.write(table.offset, new Uint8Array(table.entries.buffer));
    if (dirty.length > 0) await this.#file.flush();
    // Not before: a flush that fails may have lost what was written.
    for (const table of dirty) table.dirty = false;
    if (this.#l1Dirty) {
      await this.#file.write(this.#header.l1Offset, new Uint8Array(this.#l1.buffer));
      await this.#file.flush();
      this.#l1Dirty = false;
    }
    const unused = this.#unused;
    this.#unused = [];
    for (const cluster of unused) await refcounts.release(cluster);
    if (unused.length > 0) await refcounts.write();
  }
}
