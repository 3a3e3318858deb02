/**
 * Who uses which cluster of a qcow2 image: the refcount table and its blocks, of 16 bits a cluster. Changes are kept in
 * memory until {@link Refcounts.write}. A count that is too high only wastes room; one that is too low loses data. So counts
 * are raised on the medium before anything points to a cluster, and lowered after nothing does.
 * Source: QEMU, docs/interop/qcow2.txt, "Host cluster management".
 */
import { StorageError } from '../errors.ts';
import { type ByteFile, corrupt } from './byte-file.ts';
import { headerField, type Qcow2Header } from './qcow2-header.ts';

export class Refcounts {
  /** Clusters of tables: no data is ever written there, whatever the image says. */
  readonly metadata = new Set<number>();
  readonly #file: ByteFile;
  readonly #clusterBytes: number;
  readonly #blocks = new Map<number, DataView>();
  readonly #dirty = new Set<number>();
  #table: DataView;
  #tableOffset: number;
  #tableDirty = false;
  /** No cluster below is free. */
  #hint = 0;

  private constructor(file: ByteFile, header: Qcow2Header, table: DataView) {
    this.#file = file;
    this.#clusterBytes = 2 ** header.clusterBits;
    this.#table = table;
    this.#tableOffset = header.refcountTableOffset;
  }

  static async open(file: ByteFile, header: Qcow2Header): Promise<Refcounts> {
    const length = header.refcountTableClusters * 2 ** header.clusterBits;
    const { buffer } = await file.read(header.refcountTableOffset, length);
    const counts = new Refcounts(file, header, new DataView(buffer));
    counts.keep(0, 1);
    counts.keep(header.l1Offset, header.l1Entries * 8);
    counts.keep(header.refcountTableOffset, length);
    for (let i = 0; i < length / 8; i++) {
      const offset = counts.#blockOffset(i);
      if (offset !== 0) counts.keep(offset, 1);
    }
    return counts;
  }

  /**
   * Marks what a table takes as metadata.
   * @throws StorageError `corrupt` where another table lies; so the size of the file bounds what there is of them
   */
  keep(offset: number, length: number): void {
    const end = Math.ceil((offset + length) / this.#clusterBytes);
    for (let cluster = Math.floor(offset / this.#clusterBytes); cluster < end; cluster++) {
      if (this.metadata.has(cluster)) throw corrupt(`two tables share cluster ${cluster}`);
      this.metadata.add(cluster);
    }
  }

  /** A cluster that nobody used, counted once; its bytes are whatever they were. */
  async allocate(): Promise<number> {
    for (let cluster = this.#hint; ; cluster++) {
      const block = await this.#block(cluster, 'make');
      const at = (cluster % this.#perBlock) * 2;
      if (block.getUint16(at) !== 0) continue;
      if (this.metadata.has(cluster)) throw corrupt(`cluster ${cluster} is a table, and counted as free`);
      block.setUint16(at, 1);
      this.#dirty.add(Math.floor(cluster / this.#perBlock));
      this.#hint = cluster + 1;
      return cluster;
    }
  }

  /** Counts one user less. */
  async release(cluster: number): Promise<void> {
    const block = await this.#block(cluster, 'find');
    const at = (cluster % this.#perBlock) * 2;
    const count = block?.getUint16(at) ?? 0;
    if (block === undefined || count === 0) throw corrupt(`cluster ${cluster} is used, and counted as free`);
    block.setUint16(at, count - 1);
    this.#dirty.add(Math.floor(cluster / this.#perBlock));
    if (count > 1) return;
    this.metadata.delete(cluster);
    this.#hint = Math.min(this.#hint, cluster);
  }

  /** What changed goes to stable storage, blocks before the table that points to them. What fails is written again. */
  async write(): Promise<void> {
    if (this.#dirty.size > 0) {
      for (const index of this.#dirty) {
        const block = this.#blocks.get(index);
        if (block !== undefined) await this.#file.write(this.#blockOffset(index), new Uint8Array(block.buffer));
      }
      await this.#file.flush();
      this.#dirty.clear();
    }
    if (!this.#tableDirty) return;
    await this.#file.write(this.#tableOffset, new Uint8Array(this.#table.buffer));
    await this.#file.flush();
    this.#tableDirty = false;
  }

  get #perBlock(): number {
    return this.#clusterBytes / 2;
  }

  #blockOffset(index: number): number {
    const offset = index * 8 < this.#table.byteLength ? Number(this.#table.getBigUint64(index * 8)) : 0;
    if (offset % this.#clusterBytes === 0 && (offset === 0 || Number.isSafeInteger(offset))) return offset;
    throw corrupt(`refcount block ${index} lies at ${offset}`);
  }

  async #block(cluster: number, missing: 'make'): Promise<DataView>;
  async #block(cluster: number, missing: 'find'): Promise<DataView | undefined>;
  async #block(cluster: number, missing: 'make' | 'find'): Promise<DataView | undefined> {
    const index = Math.floor(cluster / this.#perBlock);
    const held = this.#blocks.get(index);
    if (held !== undefined) return held;
    const offset = this.#blockOffset(index);
    if (offset === 0) return missing === 'make' ? await this.#makeBlock(index) : undefined;
    if (offset + this.#clusterBytes > this.#file.sizeBytes)
      throw corrupt(`refcount block ${index} lies beyond its end`);
    const block = new DataView((await this.#file.read(offset, this.#clusterBytes)).buffer);
    this.#blocks.set(index, block);
    return block;
  }

  /** A block for clusters that none counts yet lies in the first of them, and counts itself. */
  async #makeBlock(index: number): Promise<DataView> {
    const first = index * this.#perBlock;
    if (this.metadata.has(first)) throw corrupt(`cluster ${first} is a table, and not counted`);
    const block = new DataView(new ArrayBuffer(this.#clusterBytes));
    block.setUint16(0, 1);
    this.#blocks.set(index, block);
    this.#dirty.add(index);
    this.metadata.add(first);
    const grows = index * 8 >= this.#table.byteLength;
    if (grows) await this.#growTable(index, block);
    this.#table.setBigUint64(index * 8, BigInt(first * this.#clusterBytes));
    this.#tableDirty = true;
    return block;
  }

  /** Moves the table behind its new block, twice as long. */
  async #growTable(index: number, block: DataView): Promise<void> {
    const old = { table: this.#table, offset: this.#tableOffset };
    const bytes = old.table.byteLength * 2;
    const clusters = bytes / this.#clusterBytes;
    if (clusters >= this.#perBlock) {
      throw new StorageError(
        'badSize',
        'The qcow2 image has grown too large for its clusters: convert it to larger ones.',
      );
    }
    for (let i = 1; i <= clusters; i++) block.setUint16(i * 2, 1);
    const first = index * this.#perBlock;
    const grown = new Uint8Array(bytes);
    grown.set(new Uint8Array(old.table.buffer));
    this.#table = new DataView(grown.buffer);
    this.#table.setBigUint64(index * 8, BigInt(first * this.#clusterBytes));
    this.#tableOffset = (first + 1) * this.#clusterBytes;
    this.keep(this.#tableOffset, bytes);
    this.#tableDirty = true;
    await this.write();
    const field = new DataView(new ArrayBuffer(12));
    field.setBigUint64(0, BigInt(this.#tableOffset));
    field.setUint32(8, clusters);
    await this.#file.write(headerField.refcountTable, new Uint8Array(field.buffer));
    await this.#file.flush();
    for (let i = 0; i < old.table.byteLength / this.#clusterBytes; i++) {
      await this.release(old.offset / this.#clusterBytes + i);
    }
  }
}
