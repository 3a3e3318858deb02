/**
 * A disk in compressed chunks, as `npm run guests` makes them: an index, and a file for each chunk that is not all zero. It
 * is read-only; put a {@link ChunkedDisk} over it for a guest that writes.
 *
 * A chunk's file is named by the SHA-256 of what is in it and lies in `chunks/` beside the index, which is known by its own.
 * So whatever comes is checked, files never change and may be kept by every cache on the way for ever, and a disk that
 * stands on an index stays what it was when a newer one is made.
 *
 * @example
 * const disk = await PackedDisk.open({ url, sha256 }, fetchPacked);
 */
import type { PackedDiskPlace } from '../abi/storage.ts';
import { checkRange, checkSize } from './block.ts';
import { StorageError } from './errors.ts';
import { ReadOnlyLayer } from './read-only.ts';

/** All of a file at an address. @throws StorageError `network`, `notFound` */
export type FetchWhole = (url: string) => Promise<Uint8Array<ArrayBuffer>>;

interface PackedIndex {
  readonly format: 'tabvisor-disk';
  readonly version: 1;
  /** As the guest sees it. */
  readonly sizeBytes: number;
  readonly chunkBytes: number;
  /** Number and SHA-256 in hex, of what is in it, of each chunk that is not all zero. */
  readonly chunks: readonly (readonly [number, string])[];
}

/** Unpacked chunks that are kept: for those who read little at a time and have no cache above. */
const keptChunks = 8;
/** How often a chunk is asked for that did not come, or not as it should be. */
const attempts = 3;

export class PackedDisk extends ReadOnlyLayer {
  readonly sizeBytes: number;
  readonly #chunkBytes: number;
  readonly #chunks: ReadonlyMap<number, string>;
  readonly #url: string;
  readonly #fetch: FetchWhole;
  /** In the order of their last use. */
  readonly #kept = new Map<number, Promise<Uint8Array>>();

  private constructor(url: string, index: PackedIndex, fetcher: FetchWhole) {
    super();
    this.#url = url;
    this.#fetch = fetcher;
    this.sizeBytes = index.sizeBytes;
    this.#chunkBytes = index.chunkBytes;
    this.#chunks = new Map(index.chunks);
  }

  /** @throws StorageError `notFound`, `network`, `corrupt` */
  static async open({ url, sha256 }: PackedDiskPlace, fetcher: FetchWhole): Promise<PackedDisk> {
    const bytes = await fetcher(url);
    if ((await hashOf(bytes)) !== sha256) {
      throw new StorageError(
        'corrupt',
        `The disk index ${url} is not the one that was asked for: build the guest again.`,
      );
    }
    return new PackedDisk(url, parseIndex(url, bytes), fetcher);
  }

  async read(offset: number, length: number): Promise<readonly Uint8Array[]> {
    checkRange(this, offset, length);
    const parts: { readonly index: number; readonly from: number; readonly count: number }[] = [];
    for (let done = 0; done < length;) {
      const index = Math.floor((offset + done) / this.#chunkBytes);
      const from = offset + done - index * this.#chunkBytes;
      const count = Math.min(this.#chunkBytes - from, length - done);
      parts.push({ index, from, count });
      done += count;
    }
    return Promise.all(
      parts.map(async ({ index, from, count }) => {
        const chunk = await this.#chunk(index);
        return chunk === undefined ? new Uint8Array(count) : chunk.subarray(from, from + count);
      }),
    );
  }

  /** Undefined: it is all zero. */
  #chunk(index: number): Promise<Uint8Array> | undefined {
    const sha256 = this.#chunks.get(index);
    if (sha256 === undefined) return undefined;
    const kept = this.#kept.get(index) ?? this.#load(index, sha256);
    this.#kept.delete(index);
    this.#kept.set(index, kept);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= keptChunks) break;
      this.#kept.delete(oldest);
    }
    return kept;
  }

  #load(index: number, sha256: string): Promise<Uint8Array> {
    const loading = this.#fetchChunk(index, sha256);
    // Whoever asks next tries anew.
    loading.catch(() => {
      if (this.#kept.get(index) === loading) this.#kept.delete(index);
    });
    return loading;
  }

  async #fetchChunk(index: number, sha256: string): Promise<Uint8Array> {
    const length = Math.min(this.#chunkBytes, this.sizeBytes - index * this.#chunkBytes);
    const url = new URL(`chunks/${sha256}`, this.#url).href;
    let failure: unknown;
    for (let attempt = 0; attempt < attempts; attempt++) {
      try {
        const bytes = await gunzip(await this.#fetch(url), length);
        if (bytes !== undefined && (await hashOf(bytes)) === sha256) return bytes;
        failure = new StorageError('corrupt', `${url} is damaged: what is in it is not what the disk's index says.`);
      } catch (error) {
        if (error instanceof StorageError && error.code === 'notFound') throw error;
        failure = error;
      }
    }
    throw failure;
  }
}

/** Undefined where that is no gzip stream, or not of `length` bytes. */
async function gunzip(packed: Uint8Array<ArrayBuffer>, length: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const bytes = new Uint8Array(length);
  let at = 0;
  try {
    const reader = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip')).getReader();
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      if (at + piece.value.length > length) {
        // A bomb, or another chunk: no more of it is unpacked.
        await reader.cancel();
        return undefined;
      }
      bytes.set(piece.value, at);
      at += piece.value.length;
    }
  } catch {
    // What decompressors throw says nothing that "damaged" does not.
    return undefined;
  }
  return at === length ? bytes : undefined;
}

async function hashOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function parseIndex(url: string, bytes: Uint8Array): PackedIndex {
  let index: unknown;
  try {
    index = JSON.parse(new TextDecoder().decode(bytes));
    checkIndex(index);
    return index;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StorageError('corrupt', `${url} is no index of a disk: ${why}.`);
  }
}

function checkIndex(value: unknown): asserts value is PackedIndex {
  const { format, version, sizeBytes, chunkBytes, chunks } = (value ?? {}) as Partial<
    Record<keyof PackedIndex, unknown>
  >;
  if (format !== 'tabvisor-disk' || version !== 1) throw new Error('its format is not "tabvisor-disk", version 1');
  checkSize(Number(sizeBytes));
  const power = Number(chunkBytes);
  if (!Number.isInteger(Math.log2(power)) || power < 4096 || power > 2 ** 24) {
    throw new Error('its chunks are not of a power of two from 4 KiB to 16 MiB');
  }
  const whole = (entry: unknown): boolean =>
    Array.isArray(entry) &&
    Number.isInteger(entry[0]) &&
    entry[0] >= 0 &&
    entry[0] * power < Number(sizeBytes) &&
    /^[0-9a-f]{64}$/.test(String(entry[1]));
  if (!Array.isArray(chunks) || !chunks.every(whole)) throw new Error('its list of chunks is wrong');
}

/**
 * Fetches as browsers do. What was fetched once is not asked for again, while the browser has it: the names of files change
 * with what is in them.
 */
export async function fetchPacked(url: string): Promise<Uint8Array<ArrayBuffer>> {
  let response: Response;
  try {
    response = await fetch(url, { cache: 'force-cache' });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StorageError('network', `${url} cannot be fetched (${why}): the disk needs its server to be reachable.`);
  }
  if (response.ok) return new Uint8Array(await response.arrayBuffer());
  await response.body?.cancel();
  if (response.status === 404) {
    throw new StorageError(
      'notFound',
      `${url} is not there (HTTP 404): the image that this disk stands on was removed. Build it: npm run guests ID.`,
    );
  }
  throw new StorageError('network', `The server answers with HTTP ${response.status} for ${url}.`);
}
