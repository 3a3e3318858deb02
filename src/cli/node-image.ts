/**
 * A disk image of this computer, under Node: raw or qcow2, by what stands in it.
 *
 * A guest may write a qcow2 header into its raw disk. So a file under an image is opened only where the image's name says
 * `.qcow2`, and only from the image's own folder or below.
 */
import { type FileHandle, open, realpath } from 'node:fs/promises';
import path from 'node:path';
import type { BlockLayer } from '../storage/block.ts';
import { StorageError, storageError } from '../storage/errors.ts';
import type { ByteFile } from '../storage/formats/byte-file.ts';
import { isQcow2 } from '../storage/formats/qcow2-header.ts';
import { type OpenBacking, Qcow2Disk } from '../storage/formats/qcow2.ts';
import { NodeFileDisk } from './node-file.ts';

const longestChain = 16;

class NodeByteFile implements ByteFile {
  readonly writable: boolean;
  sizeBytes: number;
  readonly #file: FileHandle;

  constructor(file: FileHandle, sizeBytes: number, writable: boolean) {
    this.#file = file;
    this.sizeBytes = sizeBytes;
    this.writable = writable;
  }

  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const { bytesRead } = await this.#file.read(bytes, done, length - done, offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return bytes;
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      done += (await this.#file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
    }
    this.sizeBytes = Math.max(this.sizeBytes, offset + bytes.length);
  }

  flush(): Promise<void> {
    return this.writable ? this.#file.datasync() : Promise.resolve();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** @throws StorageError */
export function openImage(name: string, access: 'read' | 'write'): Promise<BlockLayer> {
  return openLink(name, access, 'by content', longestChain);
}

async function openLink(name: string, access: 'read' | 'write', format: string, links: number): Promise<BlockLayer> {
  let file: FileHandle | undefined;
  try {
    file = await open(name, access === 'read' ? 'r' : 'r+');
    const bytes = new NodeByteFile(file, (await file.stat()).size, access === 'write');
    if (format !== 'raw' && isQcow2(await bytes.read(0, 4))) {
      return await Qcow2Disk.open(bytes, backingOf(name, links));
    }
  } catch (error) {
    await file?.close();
    throw storageError(error);
  }
  await file.close();
  if (format === 'raw' || format === 'by content') return await NodeFileDisk.open(name, access);
  throw new StorageError('corrupt', `${name} is no image of the format ${format}, or of one that is not known here.`);
}

function backingOf(name: string, links: number): OpenBacking {
  return async (reference) => {
    const refuse = (why: string): StorageError =>
      new StorageError('notFound', `The image ${name} stands on "${reference.path}", which ${why}.`);
    if (!name.endsWith('.qcow2'))
      throw refuse('is opened only for an image whose name ends in .qcow2: rename it if you trust it');
    if (links === 0) throw refuse(`is the end of a chain of more than ${longestChain} files`);
    const folder = await realpath(path.dirname(name));
    const below = await realpath(path.resolve(folder, reference.path)).catch((error: unknown) => {
      throw refuse(`cannot be opened (${error instanceof Error ? error.message : String(error)})`);
    });
    if (!below.startsWith(folder + path.sep)) throw refuse(`lies outside of its folder: move both into one`);
    return openLink(below, 'read', reference.format ?? 'by content', links - 1);
  };
}
