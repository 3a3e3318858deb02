/**
 * A disk image as the page fetches it: chunks, each gzipped, in files named by the SHA-256 of what is in them, and an index
 * that says which chunk is where (`src/storage/packed.ts` reads it and has its schema). Chunks that are all zero are not
 * there. What an older index names stays: disks that guests have written to stand on it.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { replaceFile } from './files.ts';
import type { DiskImage } from './manifest.ts';

/** As an overlay's chunks: what one of them lacks is one fetch. */
const chunkBytes = 256 * 1024;
const atOnce = 4;
const nothing = Buffer.alloc(chunkBytes);
const compress = promisify(gzip);

/** @param folder of the images of a guest; the disk's files go into `disk/` in it */
export async function packDisk(image: string, folder: string): Promise<DiskImage> {
  const directory = path.join(folder, 'disk');
  mkdirSync(path.join(directory, 'chunks'), { recursive: true });
  const file = await open(image, 'r');
  try {
    const { size } = await file.stat();
    const chunks: [number, string][] = [];
    let packedBytes = 0;
    let next = 0;
    const work = async (): Promise<void> => {
      while (next * chunkBytes < size) {
        const index = next++;
        const { buffer, bytesRead } = await file.read(Buffer.alloc(chunkBytes), 0, chunkBytes, index * chunkBytes);
        if (buffer.equals(nothing)) continue;
        const bytes = buffer.subarray(0, bytesRead);
        const hash = createHash('sha256').update(bytes).digest('hex');
        const target = path.join(directory, 'chunks', hash);
        // What an older image has in common with this one is there.
        if (!existsSync(target)) replaceFile(target, await compress(bytes, { level: 7 }));
        packedBytes += statSync(target).size;
        chunks.push([index, hash]);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, work));
    chunks.sort(([a], [b]) => a - b);
    const index = Buffer.from(
      `${JSON.stringify({ format: 'tabvisor-disk', version: 1, sizeBytes: size, chunkBytes, chunks })}\n`,
    );
    const sha256 = createHash('sha256').update(index).digest('hex');
    replaceFile(path.join(directory, `${sha256.slice(0, 16)}.json`), index);
    const name = `${path.basename(folder)}/disk/${sha256.slice(0, 16)}.json`;
    return { index: { file: name, sizeBytes: index.length, sha256 }, sizeBytes: size, packedBytes };
  } finally {
    await file.close();
  }
}
