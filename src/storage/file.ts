/**
 * A file of this computer (`File`, or any `Blob`) read in place: the browser loads what is asked for and no more. A size
 * that is no multiple of a sector is padded with zeros. A file that was changed meanwhile cannot be read any more.
 */
import type { ImageFile } from '../abi/storage.ts';
import { checkRange, sectorBytes } from './block.ts';
import { StorageError } from './errors.ts';
import { ReadOnlyLayer } from './read-only.ts';

export class FileDisk extends ReadOnlyLayer {
  readonly sizeBytes: number;
  readonly #file: ImageFile;

  /** @throws StorageError `badSize` for an empty file */
  constructor(file: ImageFile) {
    super();
    if (file.size === 0) throw new StorageError('badSize', 'The file is empty: there is no disk in it.');
    this.#file = file;
    this.sizeBytes = Math.ceil(file.size / sectorBytes) * sectorBytes;
  }

  async read(offset: number, length: number): Promise<readonly Uint8Array[]> {
    checkRange(this, offset, length);
    const end = Math.min(offset + length, this.#file.size);
    let bytes: Uint8Array;
    try {
      bytes = new Uint8Array(await this.#file.slice(offset, end).arrayBuffer());
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new StorageError('changed', `The file can no longer be read (${why}): choose it again.`);
    }
    const missing = length - bytes.length;
    return missing === 0 ? [bytes] : [bytes, new Uint8Array(missing)];
  }
}
