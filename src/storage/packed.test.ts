/** What is a packed disk's own; that it keeps to the contract shows `layers.test.ts`. */
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readBytes } from './block.ts';
import { StorageError } from './errors.ts';
import { PackedDisk } from './packed.ts';
import { packedFiles } from './testing/packed-files.ts';

const chunkBytes = 4096;
const bytes = new Uint8Array(5 * chunkBytes + 512);
bytes
  .fill(1, 0, chunkBytes)
  .fill(2, 3 * chunkBytes, 3 * chunkBytes + 7)
  .fill(3, 5 * chunkBytes);

async function failure(act: Promise<unknown>): Promise<string> {
  const error = await act.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return error instanceof StorageError ? error.code : String(error);
}

describe('a packed disk', () => {
  it('fetches what is read, once, and nothing for holes', async () => {
    const { files, place, fetched, fetch } = await packedFiles(bytes, chunkBytes);
    expect(files.size).toBe(1 + 3);
    const disk = await PackedDisk.open(place, fetch);
    fetched.length = 0;
    expect(await readBytes(disk, chunkBytes, 2 * chunkBytes)).toEqual(new Uint8Array(2 * chunkBytes));
    expect(fetched).toEqual([]);
    const [twice] = await Promise.all([readBytes(disk, 0, 512), readBytes(disk, 512, 512)]);
    expect(twice).toEqual(bytes.slice(0, 512));
    expect(fetched.length).toBe(1);
    expect(await readBytes(disk, 0, bytes.length)).toEqual(bytes);
  });

  it('refuses an index that is another one, or none', async () => {
    const { files, place, fetch } = await packedFiles(bytes, chunkBytes);
    expect(await failure(PackedDisk.open({ ...place, sha256: '0'.repeat(64) }, fetch))).toBe('corrupt');
    files.clear();
    expect(await failure(PackedDisk.open(place, fetch))).toBe('notFound');
  });

  it.each([
    ['sizeBytes', 511],
    ['chunkBytes', 5000],
    ['chunks', [[0, 'no hash']]],
    ['chunks', [[6, 'a'.repeat(64)]]],
    ['version', 2],
  ])('refuses an index whose %s is %s', async (field, value) => {
    const { place, fetch } = await packedFiles(bytes, chunkBytes, { [field]: value });
    expect(await failure(PackedDisk.open(place, fetch))).toBe('corrupt');
  });

  it('notices a chunk that is damaged, cut short, too long, or another one', async () => {
    const { files, place, fetch, chunkUrls } = await packedFiles(bytes, chunkBytes);
    const disk = await PackedDisk.open(place, fetch);
    const [first = '', second = '', third = ''] = chunkUrls;
    const whole = files.get(first) ?? new Uint8Array();
    for (const wrong of [
      whole.slice(0, whole.length - 5),
      new Uint8Array(50),
      gzipSync(new Uint8Array(1 << 22)),
      files.get(second) ?? whole,
    ]) {
      files.set(first, new Uint8Array(wrong));
      expect(await failure(readBytes(disk, 0, 512))).toBe('corrupt');
    }
    // Whoever asks again gets what is there by then.
    files.set(first, whole);
    expect(await readBytes(disk, 0, 512)).toEqual(bytes.slice(0, 512));
    files.delete(third);
    expect(await failure(readBytes(disk, 5 * chunkBytes, 512))).toBe('notFound');
  });

  it('asks again for what did not come', async () => {
    const { place, fetch } = await packedFiles(bytes, chunkBytes);
    let failures = 0;
    const disk = await PackedDisk.open(place, (url) => {
      if (!url.includes('chunks/') || failures === 2) return fetch(url);
      failures++;
      return Promise.reject(new StorageError('network', 'gone'));
    });
    expect(await readBytes(disk, 0, 512)).toEqual(bytes.slice(0, 512));
  });
});
