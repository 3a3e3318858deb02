/** A file as a raw disk, under Node. Holes stay holes where zeros are written over them. */
import { type FileHandle, open } from 'node:fs/promises';
import {
  type BlockCapabilities,
  type BlockLayer,
  checkRange,
  checkSize,
  checkWritable,
  joined,
} from '../storage/block.ts';
import { storageError } from '../storage/errors.ts';

const zerosAtOnce = 1 << 20;

export class NodeFileDisk implements BlockLayer {
  readonly sizeBytes: number;
  readonly capabilities: BlockCapabilities;
  readonly #file: FileHandle;

  private constructor(file: FileHandle, sizeBytes: number, writable: boolean) {
    this.#file = file;
    this.sizeBytes = sizeBytes;
    this.capabilities = { writable, discards: false, durable: true };
  }

  /** @throws StorageError `badSize`, `io` */
  static async open(path: string, access: 'read' | 'write'): Promise<NodeFileDisk> {
    let file: FileHandle | undefined;
    try {
      file = await open(path, access === 'read' ? 'r' : 'r+');
      const { size } = await file.stat();
      checkSize(size);
      return new NodeFileDisk(file, size, access === 'write');
    } catch (error) {
      await file?.close();
      throw storageError(error);
    }
  }

  async read(offset: number, length: number): Promise<readonly Uint8Array[]> {
    checkRange(this, offset, length);
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const { bytesRead } = await this.#file.read(bytes, done, length - done, offset + done);
      if (bytesRead === 0) throw storageError(new Error('the file has become shorter'));
      done += bytesRead;
    }
    return [bytes];
  }

  async write(offset: number, pieces: readonly Uint8Array[]): Promise<void> {
    checkWritable(this);
    const bytes = joined(pieces);
    checkRange(this, offset, bytes.length);
    for (let done = 0; done < bytes.length;) {
      done += (await this.#file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
    }
  }

  flush(): Promise<void> {
    return this.capabilities.writable ? this.#file.datasync() : Promise.resolve();
  }

  async discard(offset: number, length: number): Promise<void> {
    checkWritable(this);
    checkRange(this, offset, length);
    for (let done = 0; done < length; done += zerosAtOnce) {
      const count = Math.min(zerosAtOnce, length - done);
      const [bytes] = await this.read(offset + done, count);
      if (bytes?.some((byte) => byte !== 0)) await this.write(offset + done, [new Uint8Array(count)]);
    }
  }

  writeZeroes(offset: number, length: number): Promise<void> {
    return this.discard(offset, length);
  }

  async close(): Promise<void> {
    await this.flush();
    await this.#file.close();
  }
}
