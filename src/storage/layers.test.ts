import { describe, expect, it } from 'vitest';
import { type BlockLayer, readBytes } from './block.ts';
import { MemoryChunkStore } from './chunk-store.ts';
import { ChunkedDisk } from './chunked.ts';
import { StorageError } from './errors.ts';
import { badRange, FaultyDisk, latency } from './faults.ts';
import { FileDisk } from './file.ts';
import { HttpDisk, type Fetch } from './http.ts';
import { MemoryDisk } from './memory.ts';
import { PackedDisk } from './packed.ts';
import { packedFiles } from './testing/packed-files.ts';
import { contract, contractBytes, pattern, type ContractCheck, type Subject } from './testing/contract.ts';

const chunkBytes = 1 << 14;
const cacheBytes = 1 << 18;

function keptTwice(make: (store: MemoryChunkStore) => Promise<BlockLayer>): Pick<Subject, 'open' | 'reopen'> {
  let store = new MemoryChunkStore();
  return {
    open: () => {
      store = new MemoryChunkStore();
      return make(store);
    },
    reopen: () => make(store),
  };
}

function chunked(store: MemoryChunkStore, base?: BlockLayer, keepsBase = false): Promise<ChunkedDisk> {
  return ChunkedDisk.open({ store, sizeBytes: contractBytes, chunkBytes, cacheBytes, base, keepsBase });
}

/** A server of one file, as far as {@link HttpDisk} sees it. */
function server(bytes: () => Uint8Array<ArrayBuffer>, options: { tag?: () => string; ranges?: boolean } = {}): Fetch {
  return (_, { headers }) => {
    const [, from = '', to = ''] = /^bytes=(\d+)-(\d+)$/.exec(headers['Range'] ?? '') ?? [];
    const all = bytes();
    if (options.ranges === false) return Promise.resolve(new Response(all));
    const end = Math.min(Number(to) + 1, all.length);
    return Promise.resolve(
      new Response(all.slice(Number(from), end), {
        status: 206,
        headers: { 'Content-Range': `bytes ${from}-${end - 1}/${all.length}`, ETag: options.tag?.() ?? '"1"' },
      }),
    );
  };
}

const image = pattern(0, contractBytes);

async function openPacked(): Promise<PackedDisk> {
  const { place, fetch } = await packedFiles(image, chunkBytes);
  return PackedDisk.open(place, fetch);
}
const blank = new MemoryDisk(contractBytes - 512 * 100);

const subjects: readonly (readonly [Subject, readonly ContractCheck[]])[] = [
  [{ name: 'memory', open: async () => new MemoryDisk(contractBytes) }, contract.writable],
  [
    { name: 'faults that do not come', open: async () => new FaultyDisk(new MemoryDisk(contractBytes), {}) },
    contract.writable,
  ],
  [{ name: 'chunks', ...keptTwice((store) => chunked(store)) }, contract.lasting],
  [{ name: 'an overlay', ...keptTwice((store) => chunked(store, blank)) }, contract.lasting],
  [{ name: 'an overlay that keeps its base', ...keptTwice((store) => chunked(store, blank, true)) }, contract.lasting],
  [
    {
      name: 'an overlay on an overlay',
      ...keptTwice(async (store) => chunked(store, await chunked(new MemoryChunkStore(), blank))),
    },
    contract.lasting,
  ],
  [{ name: 'a file', open: async () => new FileDisk(new Blob([image])) }, contract.readOnly],
  [
    {
      name: 'an address',
      open: () =>
        HttpDisk.open(
          'https://a.example/',
          server(() => image),
        ),
    },
    contract.readOnly,
  ],
  [{ name: 'packed chunks', open: openPacked }, contract.readOnly],
  [
    {
      name: 'an overlay on packed chunks that is only read',
      open: async () =>
        ChunkedDisk.open({
          ...{ store: new MemoryChunkStore(), base: await openPacked(), sizeBytes: contractBytes },
          ...{ chunkBytes, cacheBytes, writable: false },
        }),
    },
    contract.readOnly,
  ],
  [
    {
      name: 'chunks of an address',
      open: async () =>
        ChunkedDisk.open({
          store: new MemoryChunkStore(),
          base: await HttpDisk.open(
            'https://a.example/',
            server(() => image),
          ),
          sizeBytes: contractBytes,
          chunkBytes,
          cacheBytes,
          writable: false,
          keepsBase: true,
        }),
    },
    contract.readOnly,
  ],
];

for (const [subject, checks] of subjects) {
  describe(subject.name, () => {
    it.each(checks)('$name', async ({ run }) => {
      await run(subject);
    });
  });
}

/** `toEqual` takes a minute for some megabytes. */
const equal = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

describe('an overlay', () => {
  const base = async (): Promise<MemoryDisk> => {
    const disk = new MemoryDisk(contractBytes);
    await disk.write(0, [image]);
    return disk;
  };

  it('leaves its base alone, and can be written into it', async () => {
    const below = await base();
    const overlay = await chunked(new MemoryChunkStore(), below);
    await overlay.write(1024, [new Uint8Array(512).fill(1)]);
    await overlay.discard(chunkBytes, chunkBytes);
    expect(equal(await readBytes(below, 0, contractBytes), image)).toBe(true);
    const seen = await readBytes(overlay, 0, contractBytes);
    await overlay.commitTo(below);
    expect(equal(await readBytes(below, 0, contractBytes), seen)).toBe(true);
    expect(seen[1024]).toBe(1);
    expect(seen.subarray(chunkBytes, 2 * chunkBytes).every((byte) => byte === 0)).toBe(true);
  });

  it('stays what it was on another base', async () => {
    const overlay = await chunked(new MemoryChunkStore(), await base());
    await overlay.write(2048, [new Uint8Array(512).fill(2)]);
    const seen = await readBytes(overlay, 0, contractBytes);
    const other = await base();
    await other.write(5 * chunkBytes, [new Uint8Array(chunkBytes).fill(5)]);
    await overlay.rebase(other);
    expect(equal(await readBytes(overlay, 0, contractBytes), seen)).toBe(true);
    // Its own chunks, and the one where the two differ.
    expect(overlay.ownChunks).toEqual([0, 5]);
    await overlay.rebase(undefined);
    expect(equal(await readBytes(overlay, 0, contractBytes), seen)).toBe(true);
  });
});

describe('faults', () => {
  it('are met by whoever touches them, and delays by everybody', async () => {
    let waited = 0;
    const disk = new FaultyDisk(new MemoryDisk(1 << 20), {
      fails: badRange(4096, 8192),
      delay: async (request) => {
        waited++;
        await latency(0)(request);
      },
    });
    await expect(disk.read(0, 8192)).rejects.toThrow(/damaged/);
    await expect(disk.write(7680, [new Uint8Array(512)])).rejects.toThrow(StorageError);
    await disk.write(8192, [new Uint8Array(512)]);
    expect(waited).toBe(3);
  });
});

describe('an address', () => {
  const open = (fetcher: Fetch): Promise<HttpDisk> => HttpDisk.open('https://a.example/disk.img', fetcher);

  it('must give ranges', async () => {
    await expect(open(server(() => image, { ranges: false }))).rejects.toMatchObject({
      code: 'noRanges',
      message: /download/,
    });
  });

  it('must be reachable, and permit it', async () => {
    const refused: Fetch = () => Promise.reject(new TypeError('Failed to fetch'));
    await expect(open(refused)).rejects.toMatchObject({ code: 'network', message: /Access-Control-Allow-Origin/ });
    const missing: Fetch = () => Promise.resolve(new Response('', { status: 404 }));
    await expect(open(missing)).rejects.toMatchObject({ code: 'notFound' });
  });

  it('may not change meanwhile', async () => {
    let tag = '"1"';
    const disk = await open(server(() => image, { tag: () => tag }));
    await disk.read(0, 512);
    tag = '"2"';
    await expect(disk.read(0, 512)).rejects.toMatchObject({ code: 'changed' });
  });

  it('is asked again where an answer is lost on the way', async () => {
    const whole = server(() => image);
    let calls = 0;
    const disk = await open((url, options) => {
      calls++;
      return calls === 2 ? Promise.reject(new TypeError('connection lost')) : whole(url, options);
    });
    expect(await readBytes(disk, 512, 1024)).toEqual(pattern(512, 1024));
    expect(calls).toBe(3);
  });
});
