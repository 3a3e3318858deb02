/**
 * A disk image at an address, read by ranges (RFC 9110 §14). Put a {@link ChunkedDisk} over it to cache what was read.
 *
 * It is one file from beginning to end: where the server tells an entity tag or a date, each answer's must be that of the
 * first, and so must the size. What a page may read of another origin decides that server (CORS).
 */
import { checkRange, sectorBytes } from './block.ts';
import { StorageError } from './errors.ts';
import { ReadOnlyLayer } from './read-only.ts';

export type Fetch = (url: string, options: { headers: Record<string, string> }) => Promise<Response>;

interface Version {
  readonly tag: string | undefined;
  readonly totalBytes: number;
}

/** How often a piece is asked for that did not come. */
const attempts = 3;

export class HttpDisk extends ReadOnlyLayer {
  readonly sizeBytes: number;
  /** Names this version of the file: what was cached under another one is stale. Undefined: the server tells none. */
  readonly tag: string | undefined;
  readonly #url: string;
  readonly #fetch: Fetch;
  readonly #version: Version;

  private constructor(url: string, fetcher: Fetch, version: Version) {
    super();
    this.#url = url;
    this.#fetch = fetcher;
    this.#version = version;
    this.tag = version.tag;
    this.sizeBytes = Math.ceil(version.totalBytes / sectorBytes) * sectorBytes;
  }

  /** @throws StorageError `network`, `noRanges`, `notFound`, `badSize` */
  static async open(url: string, fetcher: Fetch): Promise<HttpDisk> {
    const response = await request(url, fetcher, 0, 1);
    await response.body?.cancel();
    const version = versionOf(url, response);
    if (version.totalBytes === 0) throw new StorageError('badSize', `${url} is empty: there is no disk in it.`);
    return new HttpDisk(url, fetcher, version);
  }

  async read(offset: number, length: number): Promise<readonly Uint8Array[]> {
    checkRange(this, offset, length);
    if (length === 0) return [];
    const end = Math.min(offset + length, this.#version.totalBytes);
    let failure: unknown;
    for (let attempt = 0; attempt < attempts; attempt++) {
      try {
        const bytes = await this.#piece(offset, end);
        return [bytes, new Uint8Array(length - bytes.length)];
      } catch (error) {
        if (error instanceof StorageError && error.code !== 'network') throw error;
        failure = error;
      }
    }
    throw failure;
  }

  async #piece(offset: number, end: number): Promise<Uint8Array> {
    const response = await request(this.#url, this.#fetch, offset, end);
    const { tag, totalBytes } = versionOf(this.#url, response);
    if (tag !== this.#version.tag || totalBytes !== this.#version.totalBytes) {
      await response.body?.cancel();
      throw new StorageError('changed', `${this.#url} has changed since it was opened: start the guest anew.`);
    }
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (bytes.length === end - offset) return bytes;
    throw new StorageError('network', `${this.#url} gave ${bytes.length} bytes where ${end - offset} were asked for.`);
  }
}

async function request(url: string, fetcher: Fetch, offset: number, end: number): Promise<Response> {
  let response: Response;
  try {
    response = await fetcher(url, { headers: { Range: `bytes=${offset}-${end - 1}` } });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StorageError(
      'network',
      `${url} cannot be read (${why}). Either it cannot be reached, or its server does not let this page read it: it must ` +
        'answer with "Access-Control-Allow-Origin", and "Cross-Origin-Resource-Policy: cross-origin".',
    );
  }
  if (response.status === 206) return response;
  await response.body?.cancel();
  if (response.status === 200 || response.status === 416) {
    throw new StorageError(
      'noRanges',
      `The server of ${url} does not give parts of a file (HTTP ranges). Use another server, or download the file and ` +
        'choose it as a file of this computer.',
    );
  }
  if (response.status === 404 || response.status === 410) {
    throw new StorageError('notFound', `There is nothing at ${url} (HTTP ${response.status}).`);
  }
  throw new StorageError('network', `The server of ${url} answers with HTTP ${response.status}.`);
}

function versionOf(url: string, response: Response): Version {
  const total = /^bytes \d+-\d+\/(\d+)$/.exec(response.headers.get('Content-Range') ?? '')?.[1];
  if (total === undefined) {
    throw new StorageError(
      'noRanges',
      `The server of ${url} does not tell how large the file is: it must send "Content-Range", and from another origin ` +
        '"Access-Control-Expose-Headers: Content-Range, ETag".',
    );
  }
  const tag = response.headers.get('ETag') ?? response.headers.get('Last-Modified') ?? undefined;
  return { tag, totalBytes: Number(total) };
}
