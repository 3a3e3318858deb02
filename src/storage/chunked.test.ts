/** What the cache, the journal and the write-back of a chunked disk promise beyond the contract of every layer. */
import { describe, expect, it } from 'vitest';
import { readBytes } from './block.ts';
import { checksum } from './checksum.ts';
import { type ChunkCommit, type Durability, MemoryChunkStore } from './chunk-store.ts';
import { ChunkedDisk, type ChunkedOptions } from './chunked.ts';
import { StorageError } from './errors.ts';
import { pattern } from './testing/contract.ts';
import { survives } from './testing/power-loss.ts';

interface Call {
  readonly durability: Durability;
  readonly commit: ChunkCommit;
}

/** Remembers what it was asked for. */
class SpiedStore extends MemoryChunkStore {
  readonly calls: Call[] = [];
  readonly loads: number[][] = [];
  refuse: StorageError | undefined;

  override commit(commit: ChunkCommit, durability: Durability): Promise<void> {
    if (this.refuse !== undefined) return Promise.reject(this.refuse);
    this.calls.push({ commit, durability });
    return super.commit(commit, durability);
  }

  override load(chunks: readonly number[]): ReturnType<MemoryChunkStore['load']> {
    this.loads.push([...chunks]);
    return super.load(chunks);
  }
}

const chunkBytes = 1 << 14;
const sizeBytes = 64 * chunkBytes;

function open(store: MemoryChunkStore, more: Partial<ChunkedOptions> = {}): Promise<ChunkedDisk> {
  return ChunkedDisk.open({ store, sizeBytes, chunkBytes, cacheBytes: 16 * chunkBytes, ...more });
}

const sector = (value: number): Uint8Array => new Uint8Array(512).fill(value);

describe('a chunked disk', () => {
  it('commits nothing when nothing was written, and strictly what a flush covers', async () => {
    const store = new SpiedStore();
    const disk = await open(store);
    await disk.flush();
    expect(store.calls).toEqual([]);
    await disk.write(0, [sector(1)]);
    await disk.flush();
    expect(store.calls.map(({ durability }) => durability)).toEqual(['strict']);
    await disk.flush();
    expect(store.calls.length).toBe(1);
  });

  it('ends a flush in a strict commit also where all was written back before', async () => {
    const store = new SpiedStore();
    const disk = await open(store);
    for (let i = 0; i < 12; i++) await disk.write(i * chunkBytes, [new Uint8Array(chunkBytes)]);
    await disk.flush();
    expect(store.calls.length).toBeGreaterThan(1);
    expect(store.calls.at(-1)?.durability).toBe('strict');
  });

  it('keeps little writes in a journal, and folds it', async () => {
    const store = new SpiedStore();
    const disk = await open(store);
    await disk.write(0, [pattern(0, chunkBytes)]);
    await disk.flush();
    await disk.write(512, [sector(1)]);
    await disk.flush();
    const { commit } = store.calls[1] as Call;
    expect([commit.puts.size, commit.journal?.writes.map(({ offset }) => offset)]).toEqual([0, [512]]);
    const again = await open(store);
    expect((await readBytes(again, 512, 512))[0]).toBe(1);
    await again.close();
    const { journal } = await store.open();
    expect(journal).toEqual([]);
    expect((await readBytes(await open(store), 0, chunkBytes)).subarray(1024)).toEqual(
      pattern(0, chunkBytes).subarray(1024),
    );
  });

  it('lets flushes that wait share a commit', async () => {
    const store = new SpiedStore();
    const disk = await open(store);
    const flushes = Array.from({ length: 20 }, async (_, i) => {
      await disk.write(i * 512, [sector(i)]);
      await disk.flush();
    });
    await Promise.all(flushes);
    expect(store.calls.length).toBeLessThan(4);
  });

  it('reads ahead of whoever reads on, and not of others', async () => {
    const store = new SpiedStore();
    const disk = await open(store);
    await disk.write(0, [pattern(0, sizeBytes)]);
    await disk.close();
    const again = await open(store);
    store.loads.length = 0;
    await again.read(0, chunkBytes);
    await again.read(10 * chunkBytes, 512);
    expect(store.loads).toEqual([[0], [10]]);
    await again.read(10 * chunkBytes + 512, 512);
    expect(store.loads[2]).toEqual([11]);
    await again.read(10 * chunkBytes + 1024, 512);
    expect(store.loads[3]).toEqual([12]);
  });

  it('stays within its budget', async () => {
    const store = new SpiedStore();
    const disk = await open(store);
    await disk.write(0, [pattern(0, sizeBytes)]);
    await disk.flush();
    await disk.read(0, 512);
    store.loads.length = 0;
    for (let i = 0; i < 64; i += 2) await disk.read(i * chunkBytes, 512);
    expect(store.loads.flat().length).toBeGreaterThan(16);
  });

  it('says what failed, keeps what it could not commit, and goes on when there is room again', async () => {
    const store = new SpiedStore();
    const disk = await open(store);
    await disk.write(0, [sector(1)]);
    store.refuse = new StorageError('quota', 'full');
    await expect(disk.flush()).rejects.toMatchObject({ code: 'quota' });
    // More than may wait is not taken.
    const fill = async (): Promise<void> => {
      for (let i = 0; i < 64; i++) await disk.write(i * chunkBytes, [pattern(0, chunkBytes)]);
    };
    await expect(fill()).rejects.toMatchObject({ code: 'quota' });
    store.refuse = undefined;
    await disk.flush();
    await fill();
    await disk.close();
    expect(await readBytes(await open(store), 63 * chunkBytes, chunkBytes)).toEqual(pattern(0, chunkBytes));
  });

  it('never shows again what was discarded while the journal had it', async () => {
    const store = new MemoryChunkStore();
    const disk = await open(store);
    await disk.write(512, [sector(1)]);
    await disk.flush();
    await disk.discard(0, chunkBytes);
    await disk.flush();
    expect((await readBytes(await open(store), 512, 512))[0]).toBe(0);
  });
});

describe('power loss', () => {
  it('loses nothing that was flushed, whatever else is lost', async () => {
    for (let seed = 1; seed <= 400; seed++) await survives(seed);
  });

  it('is noticed where a flush is committed relaxed', async () => {
    const careless = async (): Promise<void> => {
      for (let seed = 1; seed <= 400; seed++) await survives(seed, { relaxedFlush: true });
    };
    await expect(careless()).rejects.toThrow(/sector/);
  });
});

describe('the checksum', () => {
  it('is xxHash32', () => {
    const text = (value: string): Uint8Array => new TextEncoder().encode(value);
    expect(checksum(text(''))).toBe(0x02cc5d05);
    expect(checksum(text('a'))).toBe(0x550d7456);
    expect(checksum(text('abc'))).toBe(0x32d153ff);
    expect(checksum(text('Nobody inspects the spammish repetition'))).toBe(0xe2293b2f);
  });
});
