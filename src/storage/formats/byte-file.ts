/** What an image format lies in: bytes at offsets, that grow. */
import { StorageError } from '../errors.ts';

export interface ByteFile {
  readonly writable: boolean;
  /** Where the file ends now. */
  readonly sizeBytes: number;
  /** What lies beyond the end reads as zero. */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Makes the file longer where needed. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  flush(): Promise<void>;
  close(): Promise<void>;
}

export function corrupt(what: string): StorageError {
  return new StorageError('corrupt', `The qcow2 image is damaged: ${what}. \`qemu-img check\` tells more.`);
}
