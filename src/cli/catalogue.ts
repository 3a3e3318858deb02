/** The guests that `npm run guests` has built, for the headless command: `--guest ID`. */
import { mkdir, open, readFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PackedDiskPlace } from '../abi/storage.ts';
import { StorageError } from '../storage/errors.ts';
import { PackedDisk } from '../storage/packed.ts';
import { type CatalogueEntry, parseManifest } from '../vmm/catalogue.ts';
import { catalogueEntry } from '../vmm/sources.ts';

const manifest = new URL('../../.cache/guests/images/manifest.json', import.meta.url);
const copiedAtOnce = 1 << 20;

/** A guest of the catalogue: its addresses are those of files. @throws Error that says what to do */
export function builtGuest(id: string): CatalogueEntry {
  let text: string;
  try {
    text = readFileSync(manifest, 'utf8');
  } catch {
    throw new Error(`No guest image has been built: run "npm run guests ${id}".`);
  }
  return catalogueEntry(parseManifest(JSON.parse(text), manifest.href), id);
}

export function openPacked(place: PackedDiskPlace): Promise<PackedDisk> {
  return PackedDisk.open(place, async (url) => {
    try {
      return new Uint8Array(await readFile(fileURLToPath(url)));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new StorageError('notFound', `${fileURLToPath(url)} cannot be read (${why}): build the guest again.`);
    }
  });
}

/** Makes a raw image of the disk, with holes where it has nothing, unless the file is there already. */
export async function unpackInto(target: string, place: PackedDiskPlace): Promise<void> {
  await mkdir(path.dirname(path.resolve(target)), { recursive: true });
  let file;
  try {
    file = await open(target, 'wx');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return;
    throw error;
  }
  try {
    const disk = await openPacked(place);
    await file.truncate(disk.sizeBytes);
    for (let at = 0; at < disk.sizeBytes; at += copiedAtOnce) {
      const pieces = await disk.read(at, Math.min(copiedAtOnce, disk.sizeBytes - at));
      let offset = at;
      for (const piece of pieces) {
        if (piece.some((byte) => byte !== 0)) await file.write(piece, 0, piece.length, offset);
        offset += piece.length;
      }
    }
    await file.datasync();
  } finally {
    await file.close();
  }
}
