/** The server of a disk's ring, with a device's side written by hand. */
import { beforeEach, describe, expect, it } from 'vitest';
import { diskOperation, diskResult, DiskRing, diskRingBytes, slotState } from '../abi/disk-ring.ts';
import { type BlockLayer, readBytes } from './block.ts';
import { MemoryChunkStore } from './chunk-store.ts';
import { ChunkedDisk } from './chunked.ts';
import { StorageError } from './errors.ts';
import { FaultyDisk, type Faults } from './faults.ts';
import { MemoryDisk } from './memory.ts';
import { DiskServer } from './server.ts';
import { pattern } from './testing/contract.ts';

const dataAt = diskRingBytes;
let buffer: SharedArrayBuffer;
let device: DiskRing;
let data: Uint8Array;
let disk: MemoryDisk;
let wake: () => void;
let rings: Promise<void>;

beforeEach(() => {
  buffer = new SharedArrayBuffer(diskRingBytes + 0x4000);
  device = new DiskRing(buffer, 0);
  data = new Uint8Array(buffer, dataAt, 0x4000);
  disk = new MemoryDisk(1 << 20);
  rings = new Promise((resolve) => {
    wake = resolve;
  });
});

function serve(layer: BlockLayer = disk, onStall?: (error: StorageError) => void): DiskServer {
  const server = new DiskServer({ buffer, address: 0, layer, ring: () => wake(), ...(onStall && { onStall }) });
  void server.serve();
  return server;
}

function submit(operation: number, offset: number, length: number, throughCache = 0): number {
  const slot = device.freeSlot();
  const transfers = operation === diskOperation.read || operation === diskOperation.write;
  device.setPieces(slot, transfers ? [data.subarray(0, 100), data.subarray(100, length)] : []);
  Object.assign(device.slots[slot] ?? {}, { operation, offset, length, throughCache, serial: 0 });
  device.submit(slot);
  device.ring();
  return slot;
}

const resultOf = (slot: number): number | undefined =>
  device.state(slot) === slotState.done ? device.slots[slot]?.result : undefined;

/** A promise, and what resolves it. */
function gate(): { readonly passed: Promise<void>; readonly open: () => void } {
  let open = (): void => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open: () => open() };
}

describe('a disk server', () => {
  it('moves bytes both ways', async () => {
    const server = serve();
    data.set(pattern(0, 1024));
    const write = submit(diskOperation.write, 4096, 1024);
    await rings;
    expect([resultOf(write), Buffer.compare(await readBytes(disk, 4096, 1024), pattern(0, 1024))]).toEqual([0, 0]);
    device.reap(write);
    rings = new Promise((resolve) => {
      wake = resolve;
    });
    data.fill(0);
    submit(diskOperation.read, 4096, 1024);
    await rings;
    expect(Buffer.compare(data.subarray(0, 1024), pattern(0, 1024))).toBe(0);
    server.stop();
  });

  it('flushes what must last', async () => {
    const operations: string[] = [];
    const note: Faults = {
      delay: ({ operation }) => {
        operations.push(operation);
        return Promise.resolve();
      },
    };
    const server = serve(new FaultyDisk(disk, note));
    submit(diskOperation.write, 0, 512, 1);
    await rings;
    expect(operations).toEqual(['write', 'flush']);
    server.stop();
  });

  it('answers what fails with an error', async () => {
    const server = serve();
    const slot = submit(diskOperation.read, 1 << 20, 512);
    await rings;
    expect(resultOf(slot)).toBe(diskResult.error);
    server.stop();
  });

  it('touches nothing after it was stopped, whatever comes back', async () => {
    const { passed, open } = gate();
    const asked = gate();
    const held: Faults = {
      delay: () => {
        asked.open();
        return passed;
      },
    };
    await disk.write(0, [pattern(0, 1024)]);
    const server = serve(new FaultyDisk(disk, held));
    const slot = submit(diskOperation.read, 0, 1024);
    await asked.passed;
    server.stop();
    const before = buffer.slice(0);
    open();
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    expect(Buffer.compare(Buffer.from(buffer), Buffer.from(before))).toBe(0);
    expect(device.state(slot)).toBe(slotState.submitted);
  });

  it('goes on when there is room again for what the layer had taken', async () => {
    const store = new MemoryChunkStore();
    let full = true;
    const commit = store.commit.bind(store);
    store.commit = (...given) => (full ? Promise.reject(new StorageError('quota', 'full')) : commit(...given));
    const layer = await ChunkedDisk.open({ store, sizeBytes: 1 << 20, chunkBytes: 4096, cacheBytes: 3 * 4096 });
    let stalls = 0;
    const stalled = gate();
    const server = serve(layer, () => {
      stalls++;
      stalled.open();
    });
    const slots = [0, 1, 2, 3].map((n) => submit(diskOperation.write, n * 8192, 8192));
    await stalled.passed;
    full = false;
    server.retry();
    while (slots.some((slot) => resultOf(slot) === undefined)) {
      rings = new Promise((resolve) => {
        wake = resolve;
      });
      if (slots.every((slot) => resultOf(slot) !== undefined)) break;
      await rings;
      if (stalls > 4) break;
    }
    expect(slots.map(resultOf)).toEqual([0, 0, 0, 0]);
    server.stop();
    await layer.close();
  });

  it('waits for room, and tries again', async () => {
    let full = true;
    const stalled = gate();
    const quota: Faults = {
      fails: ({ operation }) => (full && operation === 'write' ? new StorageError('quota', 'full') : undefined),
    };
    const server = serve(new FaultyDisk(disk, quota), () => stalled.open());
    data.fill(5);
    const slot = submit(diskOperation.write, 512, 512);
    await stalled.passed;
    expect(device.state(slot)).toBe(slotState.taken);
    full = false;
    server.retry();
    await rings;
    expect([resultOf(slot), (await readBytes(disk, 512, 512))[0]]).toEqual([0, 5]);
    server.stop();
  });
});
