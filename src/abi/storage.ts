/**
 * What the coordinator (main thread) and the storage worker say to each other by message: which disks there are, and which
 * guest's ring each of them serves. The bytes of a guest's requests are no messages (`disk-ring.ts`).
 *
 * Nothing throws across: what fails comes back as {@link StorageFailure}.
 */
import type { Port } from '../base/port.ts';

/** A disk in compressed chunks at an address (`storage/packed.ts`). */
export interface PackedDiskPlace {
  /** Of its index. */
  readonly url: string;
  /** Of the index, in hex. */
  readonly sha256: string;
}

/** A disk that is kept in the browser's storage. */
export interface StoredDiskPlace {
  readonly id: string;
  readonly sizeBytes: number;
  readonly chunkBytes: number;
  /** What is read where nothing was written. */
  readonly base?: PackedDiskPlace | undefined;
}

/** What of the browser's `Blob` is needed here. */
export interface ImageFile {
  readonly size: number;
  slice(start: number, end: number): ImageFile;
  arrayBuffer(): Promise<ArrayBuffer>;
}

/** What a disk is opened from. */
export type DiskPlace =
  | ({ readonly kind: 'stored' } & StoredDiskPlace)
  /** An image that is read by ranges; what is written is kept in memory, and gone with the guest. */
  | { readonly kind: 'url'; readonly url: string }
  /** A file of this computer, read in place; what is written is kept in memory. */
  | { readonly kind: 'file'; readonly file: ImageFile };

/** `message` is a whole sentence for people; `code` is one of `StorageErrorCode` (`storage/errors.ts`). */
export interface StorageFailure {
  readonly ok: false;
  readonly code: string;
  readonly message: string;
}

export type StorageResult<T> = ({ readonly ok: true } & T) | StorageFailure;

/** Whom a completion wakes besides the guest's doorbell: a processor of bare-metal mode, by its host page. */
export interface Bell {
  readonly page: SharedArrayBuffer;
  readonly vcpu: number;
}

export interface AttachOptions {
  readonly memory: WebAssembly.Memory;
  /** Of the disk's ring, in the guest's memory. */
  readonly address: number;
  readonly bell?: Bell | undefined;
}

/** What the worker tells by itself. */
export interface StorageEvent {
  /** A request failed; or there is no room, and requests wait for {@link StorageApi.retry}. */
  readonly kind: 'error' | 'stall';
  readonly handle: number;
  readonly message: string;
}

/** What the storage worker exposes through Comlink. A handle is a number that the coordinator has chosen. */
export interface StorageApi {
  /** Where events go. */
  listen(port: Port): Promise<void>;
  open(
    handle: number,
    place: DiskPlace,
    access: 'read' | 'write',
  ): Promise<StorageResult<{ readonly sizeBytes: number; readonly readOnly: boolean }>>;
  attach(handle: number, options: AttachOptions): Promise<void>;
  /** Completions ring another bell from now on. */
  route(handle: number, bell: Bell | undefined): Promise<void>;
  /** When this resolves, nothing of the guest's memory is read or written for the disk any more. */
  detach(handle: number): Promise<void>;
  /** What has stalled is tried again. */
  retry(handle: number): Promise<void>;
  /** Flushes and closes. */
  close(handle: number): Promise<StorageResult<object>>;
  /** Copies one disk to another; both are open. */
  copy(from: number, to: number): Promise<StorageResult<object>>;
  /** All of a disk as a raw image. */
  image(handle: number): Promise<StorageResult<{ readonly image: ImageFile }>>;
  /** What a disk takes of the browser's storage. */
  allocated(handle: number): Promise<number>;
  remove(id: string): Promise<StorageResult<object>>;
}
