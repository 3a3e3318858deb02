/** The contract, for the layers that live in browsers: what `e2e/storage.spec.ts` runs within a page. */
import { readBytes } from '../block.ts';
import { ChunkedDisk } from '../chunked.ts';
import { StorageError } from '../errors.ts';
import { FileDisk } from '../file.ts';
import { HttpDisk } from '../http.ts';
import { deleteDatabase, diskDatabase, IndexedDbChunks } from '../indexed-db.ts';
import { PackedDisk } from '../packed.ts';
import { packedFiles } from './packed-files.ts';
import { contract, contractBytes, pattern, type ContractCheck, type Subject } from './contract.ts';

const id = 'contract';
const chunkBytes = 1 << 16;

async function stored(): Promise<ChunkedDisk> {
  const store = await IndexedDbChunks.open(id, true);
  return ChunkedDisk.open({ store, sizeBytes: contractBytes, chunkBytes, cacheBytes: 1 << 20 });
}

async function fresh(): Promise<ChunkedDisk> {
  await deleteDatabase(id);
  return stored();
}

/** Overlay in IndexedDB over an address. */
async function overlay(url: string): Promise<ChunkedDisk> {
  await deleteDatabase(id);
  const store = await IndexedDbChunks.open(id, true);
  const base = await HttpDisk.open(url, (at, options) => fetch(at, options));
  return ChunkedDisk.open({ store, base, keepsBase: true, sizeBytes: base.sizeBytes, chunkBytes });
}

async function packed(): Promise<PackedDisk> {
  const { place, fetch } = await packedFiles(pattern(0, contractBytes), chunkBytes);
  return PackedDisk.open(place, fetch);
}

function subjects(url: string): readonly (readonly [Subject, readonly ContractCheck[]])[] {
  const http = (): Promise<HttpDisk> => HttpDisk.open(url, (at, options) => fetch(at, options));
  return [
    [{ name: 'IndexedDB', open: fresh, reopen: stored }, contract.lasting],
    [
      { name: 'a file', open: async () => new FileDisk(new File([pattern(0, contractBytes)], 'disk.img')) },
      contract.readOnly,
    ],
    [{ name: 'an address', open: http }, contract.readOnly],
    [{ name: 'packed chunks', open: packed }, contract.readOnly],
  ];
}

/** Runs all of it; what failed, as lines. `url`: where a server gives {@link pattern} by ranges. */
export async function runContract(url: string): Promise<{ readonly passed: number; readonly failures: string[] }> {
  let passed = 0;
  const failures: string[] = [];
  for (const [subject, checks] of subjects(url)) {
    for (const { name, run } of checks) {
      try {
        await run(subject);
        passed++;
      } catch (error) {
        failures.push(`${subject.name}: ${name}: ${String(error)}`);
      }
    }
  }
  return { passed, failures };
}

async function codeOf(act: () => Promise<unknown>): Promise<string> {
  try {
    await act();
    return 'none';
  } catch (error) {
    return error instanceof StorageError ? error.code : String(error);
  }
}

/** A page that was frozen and lost its lock: the codes of what it tries. */
export async function runFencing(): Promise<string[]> {
  const first = await fresh();
  await first.write(0, [new Uint8Array(512).fill(1)]);
  await first.flush();
  const second = await stored();
  await first.write(0, [new Uint8Array(512).fill(2)]);
  const codes = [await codeOf(() => first.flush())];
  codes.push(String((await readBytes(second, 0, 512))[0]));
  await second.write(0, [new Uint8Array(512).fill(3)]);
  codes.push(await codeOf(() => second.close()));
  return codes;
}

/** A chunk that was changed behind the disk's back. */
export async function runDamage(): Promise<string> {
  const disk = await fresh();
  await disk.write(0, [pattern(0, chunkBytes)]);
  await disk.close();
  const request = indexedDB.open(diskDatabase(id));
  const database = await new Promise<IDBDatabase>((resolve) => {
    request.addEventListener('success', () => resolve(request.result));
  });
  const transaction = database.transaction('chunks', 'readwrite');
  const store = transaction.objectStore('chunks');
  const get = store.get(0) as IDBRequest<{ bytes: Uint8Array }>;
  get.addEventListener('success', () => {
    const value = get.result;
    value.bytes[100] = (value.bytes[100] ?? 0) ^ 1;
    store.put(value, 0);
  });
  await new Promise((resolve) => {
    transaction.addEventListener('complete', resolve);
  });
  database.close();
  return codeOf(async () => (await stored()).read(0, 512));
}

/** An overlay over an address keeps what it read, and what was written to it. */
export async function runOverlay(url: string): Promise<boolean> {
  const disk = await overlay(url);
  await disk.read(0, disk.sizeBytes);
  await disk.write(512, [new Uint8Array(512).fill(9)]);
  await disk.close();
  // The base is gone: all of it is here.
  const store = await IndexedDbChunks.open(id, true);
  const alone = await ChunkedDisk.open({ store, sizeBytes: contractBytes, chunkBytes });
  const expected = pattern(0, contractBytes);
  expected.fill(9, 512, 1024);
  const bytes = await readBytes(alone, 0, contractBytes);
  await alone.close();
  return bytes.every((byte, i) => byte === expected[i]);
}

export interface Speed {
  readonly chunkKiB: number;
  readonly writeMBps: number;
  readonly readMBps: number;
  readonly flushesPerSecond: number;
}

/** How fast a disk of 64 MiB is with chunks of such a size: whole, and by flushed writes of 4 KiB. */
export async function measure(chunkKiB: number): Promise<Speed> {
  const mib = 64;
  const open = async (): Promise<ChunkedDisk> => {
    const store = await IndexedDbChunks.open('measure', true);
    return ChunkedDisk.open({ store, sizeBytes: mib << 20, chunkBytes: chunkKiB << 10, cacheBytes: 24 << 20 });
  };
  await deleteDatabase('measure');
  const block = pattern(0, 1 << 20);
  let disk = await open();
  const started = performance.now();
  for (let i = 0; i < mib; i++) await disk.write(i << 20, [block]);
  await disk.flush();
  const written = performance.now();
  await disk.close();
  disk = await open();
  const opened = performance.now();
  for (let i = 0; i < mib; i++) await disk.read(i << 20, 1 << 20);
  const read = performance.now();
  const flushes = 150;
  for (let i = 0; i < flushes; i++) {
    await disk.write(((i * 7919) % (mib << 8)) << 12, [block.subarray(0, 4096)]);
    await disk.flush();
  }
  const flushed = performance.now();
  await disk.close();
  await deleteDatabase('measure');
  const rate = (ms: number): number => Math.round((mib * 1.048576) / (ms / 1000));
  return {
    chunkKiB,
    writeMBps: rate(written - started),
    readMBps: rate(read - opened),
    flushesPerSecond: Math.round(flushes / ((flushed - read) / 1000)),
  };
}

const recordBytes = 4096;
const recordCount = 4000;

function crashDisk(): Promise<ChunkedDisk> {
  return IndexedDbChunks.open('crash', true).then((store) =>
    ChunkedDisk.open({ store, sizeBytes: 64 << 20, cacheBytes: 16 << 20 }),
  );
}

/** Where a record lies: spread over the disk, so that the journal is folded now and then. */
function placeOf(record: number): number {
  return ((record * 2039) % (1 << 14)) * recordBytes;
}

/** Writes numbered records, each flushed, and tells of each when that was acknowledged. */
export async function writeRecords(from: number): Promise<void> {
  const disk = await crashDisk();
  for (let record = from; record < from + recordCount; record++) {
    await disk.write(placeOf(record), [pattern(record, recordBytes)]);
    await disk.flush();
    console.log(`acknowledged ${record}`);
  }
}

/** The records below `count` that are not there. */
export async function missingRecords(count: number): Promise<number[]> {
  const disk = await crashDisk();
  const missing: number[] = [];
  for (let record = 0; record < count; record++) {
    const bytes = await readBytes(disk, placeOf(record), recordBytes);
    const expected = pattern(record, recordBytes);
    if (bytes.some((byte, i) => byte !== expected[i])) missing.push(record);
  }
  await disk.close();
  return missing;
}
