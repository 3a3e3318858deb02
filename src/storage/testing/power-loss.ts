/**
 * A random history of a chunked disk that ends in a loss of power: of the commits that were not strict, and came after the
 * last strict one, any may be missing. Afterwards each sector holds what it had at the last flush, or something that was
 * written since.
 */
import { readBytes, sectorBytes } from '../block.ts';
import { type ChunkCommit, type Durability, MemoryChunkStore } from '../chunk-store.ts';
import { ChunkedDisk } from '../chunked.ts';

const chunkBytes = 8 * sectorBytes;
const sectors = 8 * 12;

export interface PowerLossOptions {
  /** The mutant that a test of this must find: flushes are committed like everything else. */
  readonly relaxedFlush?: boolean;
}

/** Keeps what it was told, to lose some of it. */
class VolatileStore extends MemoryChunkStore {
  #safe: ChunkCommit[] = [];
  #unsafe: ChunkCommit[] = [];
  readonly #relaxedFlush: boolean;

  constructor(relaxedFlush: boolean) {
    super();
    this.#relaxedFlush = relaxedFlush;
  }

  override commit(commit: ChunkCommit, durability: Durability): Promise<void> {
    this.#unsafe.push(copyOf(commit));
    if (durability === 'strict' && !this.#relaxedFlush) this.#safe.push(...this.#unsafe.splice(0));
    return super.commit(commit, durability);
  }

  /** What is there when power comes back. */
  async afterLoss(keeps: () => boolean): Promise<MemoryChunkStore> {
    const store = new MemoryChunkStore();
    for (const commit of [...this.#safe, ...this.#unsafe.filter(keeps)]) await store.commit(commit, 'strict');
    return store;
  }
}

function copyOf(commit: ChunkCommit): ChunkCommit {
  return {
    ...commit,
    puts: new Map([...commit.puts].map(([index, chunk]) => [index, { ...chunk, bytes: chunk.bytes?.slice() }])),
    journal: commit.journal && {
      ...commit.journal,
      writes: commit.journal.writes.map(({ offset, bytes }) => ({ offset, bytes: bytes.slice() })),
    },
  };
}

/** @throws Error which names the sector that holds what it must not */
export async function survives(seed: number, { relaxedFlush = false }: PowerLossOptions = {}): Promise<void> {
  let state = seed >>> 0;
  const below = (limit: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  const store = new VolatileStore(relaxedFlush);
  const open = (on: MemoryChunkStore): Promise<ChunkedDisk> =>
    ChunkedDisk.open({ store: on, sizeBytes: sectors * sectorBytes, chunkBytes, cacheBytes: 6 * chunkBytes });
  let disk = await open(store);
  /** Values that a sector may hold after the loss; the last one is the present one. */
  const may = Array.from({ length: sectors }, () => [0]);
  const flushed = async (): Promise<void> => {
    const before = may.map((values) => values.length);
    await disk.flush();
    // What was written before the flush was asked for is the least that a sector holds now.
    may.forEach((values, sector) => values.splice(0, (before[sector] ?? 1) - 1));
  };
  const rounds = 3 + below(40);
  for (let round = 0; round < rounds; round++) {
    const from = below(sectors);
    const count = Math.min(1 + below(below(3) === 0 ? 24 : 3), sectors - from);
    const act = below(12);
    if (act < 8) {
      const value = 1 + below(255);
      for (let sector = from; sector < from + count; sector++) may[sector]?.push(value);
      await disk.write(from * sectorBytes, [new Uint8Array(count * sectorBytes).fill(value)]);
    } else if (act === 8) {
      for (let sector = from; sector < from + count; sector++) may[sector]?.push(0);
      await disk.discard(from * sectorBytes, count * sectorBytes);
    } else if (act === 9) {
      await disk.read(from * sectorBytes, count * sectorBytes);
    } else if (act === 10 || below(3) > 0) {
      await flushed();
    } else {
      await disk.close();
      may.forEach((values) => values.splice(0, values.length - 1));
      disk = await open(store);
    }
  }
  const after = await open(await store.afterLoss(() => below(2) === 0));
  const bytes = await readBytes(after, 0, sectors * sectorBytes);
  may.forEach((values, sector) => {
    const found = bytes[sector * sectorBytes] ?? -1;
    if (values.includes(found)) return;
    throw new Error(`seed ${seed}: sector ${sector} holds ${found}, not one of ${values.join(', ')}`);
  });
  await after.close();
  await disk.close();
}
