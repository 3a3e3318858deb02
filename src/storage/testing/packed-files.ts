/** A packed disk in memory, for tests: its files by address, and who fetches them. */
import type { PackedDiskPlace } from '../../abi/storage.ts';
import { StorageError } from '../errors.ts';
import type { FetchWhole } from '../packed.ts';

export interface PackedFiles {
  readonly files: Map<string, Uint8Array<ArrayBuffer>>;
  readonly place: PackedDiskPlace;
  readonly fetch: FetchWhole;
  /** Addresses in the order in which they were asked for. */
  readonly fetched: string[];
  /** Of the chunks, in the order of the disk. */
  readonly chunkUrls: readonly string[];
}

const root = 'https://packed.example/disk/';

/** @param wrong fields of the index that are to be something else */
export async function packedFiles(
  bytes: Uint8Array<ArrayBuffer>,
  chunkBytes: number,
  wrong: Readonly<Record<string, unknown>> = {},
): Promise<PackedFiles> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const chunks: [number, string][] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const chunk = bytes.slice(at, at + chunkBytes);
    if (chunk.every((byte) => byte === 0)) continue;
    const hash = await sha256(chunk);
    chunks.push([at / chunkBytes, hash]);
    files.set(`${root}chunks/${hash}`, await gzip(chunk));
  }
  const index = { format: 'tabvisor-disk', version: 1, sizeBytes: bytes.length, chunkBytes, chunks, ...wrong };
  const text = new TextEncoder().encode(JSON.stringify(index));
  const url = `${root}index.json`;
  files.set(url, text);
  const fetched: string[] = [];
  const fetch: FetchWhole = (wanted) => {
    fetched.push(wanted);
    const file = files.get(wanted);
    if (file === undefined) return Promise.reject(new StorageError('notFound', `${wanted} is not there.`));
    return Promise.resolve(file.slice());
  };
  const chunkUrls = chunks.map(([, hash]) => `${root}chunks/${hash}`);
  return { files, place: { url, sha256: await sha256(text) }, fetch, fetched, chunkUrls };
}

async function gzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
