/**
 * Serves the ring of a guest's disk (`abi/disk-ring.ts`) from a block layer: what the storage worker does for each disk of
 * each guest. Bytes are copied once, between the guest's frames and the layer's memory.
 *
 * Where the browser has no room left a request *stalls*: it is neither failed nor lost, the surroundings are told, and it is
 * tried again when they say so ({@link DiskServer.retry}). Every other failure is the guest's I/O error.
 */
import { diskOperation, diskResult, DiskRing, type DiskRequest } from '../abi/disk-ring.ts';
import { type BlockLayer, copyOut } from './block.ts';
import { StorageError, storageError } from './errors.ts';

export interface ServerOptions {
  readonly buffer: ArrayBufferLike;
  /** Of the ring, in the guest's memory. */
  readonly address: number;
  readonly layer: BlockLayer;
  /** Rings the guest's doorbell. */
  readonly ring: () => void;
  /** A request failed, for the developer and for people. */
  readonly onError?: (error: StorageError) => void;
  /** There is no room: requests wait for {@link DiskServer.retry}. Absent: they fail. */
  readonly onStall?: (error: StorageError) => void;
}

export class DiskServer {
  readonly #options: ServerOptions;
  readonly #ring: DiskRing;
  /** Words of the requests that are being served. */
  readonly #known = new Set<number>();
  #stopped = false;
  #retry: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#ring = new DiskRing(options.buffer, options.address);
  }

  /** Serves until {@link stop}. */
  async serve(): Promise<void> {
    this.#ring.restart();
    while (!this.#stopped) {
      const seen = this.#ring.bell;
      for (const request of this.#ring.submitted(this.#known)) this.#begin(request);
      await this.#ring.rung(seen);
    }
  }

  /**
   * Leaves the guest's memory for good: when this returns nothing of it is read or written any more, whatever is under way.
   * What the layer has taken of a write is written.
   */
  stop(): void {
    this.#stopped = true;
    this.retry();
    this.#ring.leave();
  }

  /** Room was made, or nobody waits for it any more: what has stalled is tried again. */
  retry(): void {
    this.#retry?.resolve();
    this.#retry = undefined;
  }

  #room(): Promise<void> {
    if (this.#retry === undefined) {
      let resolve = (): void => {};
      const promise = new Promise<void>((done) => {
        resolve = done;
      });
      this.#retry = { promise, resolve };
    }
    return this.#retry.promise;
  }

  #begin(request: DiskRequest): void {
    this.#known.add(request.word);
    void this.#serveOne(request).then(() => this.#known.delete(request.word));
  }

  async #serveOne(request: DiskRequest): Promise<void> {
    let result: number = diskResult.ok;
    try {
      await this.#untilThereIsRoom(() => this.#perform(request));
    } catch (error) {
      result = diskResult.error;
      this.#options.onError?.(storageError(error));
    }
    if (this.#stopped) return;
    this.#ring.finish(request, result);
    this.#options.ring();
  }

  async #untilThereIsRoom(act: () => Promise<void>): Promise<void> {
    for (let stalled = false; ; stalled = true) {
      try {
        // What the layer had taken before, and could not write, comes first.
        if (stalled && this.#options.layer.capabilities.writable) await this.#options.layer.flush();
        return await act();
      } catch (error) {
        const { onStall } = this.#options;
        const failure = storageError(error);
        if (failure.code !== 'quota' || onStall === undefined || this.#stopped) throw failure;
        const room = this.#room();
        onStall(failure);
        await room;
      }
    }
  }

  async #perform(request: DiskRequest): Promise<void> {
    const { layer } = this.#options;
    const { operation, offset, length, throughCache } = request;
    switch (operation) {
      case diskOperation.read: {
        const pieces = await layer.read(offset, length);
        this.#copy(request, 'done', (guest) => scatter(pieces, guest));
        return;
      }
      case diskOperation.write:
        await this.#write(request);
        break;
      case diskOperation.flush:
        return layer.flush();
      case diskOperation.discard:
        return layer.discard(offset, length);
      case diskOperation.writeZeroes:
        await layer.writeZeroes(offset, length);
        break;
      default:
        throw new StorageError('io', `There is no disk operation ${operation}.`);
    }
    if (throughCache) await layer.flush();
  }

  async #write(request: DiskRequest): Promise<void> {
    let written: Promise<void> | undefined;
    // The layer takes the bytes before it returns.
    this.#copy(request, 'taken', (guest) => {
      written = this.#options.layer.write(request.offset, guest);
    });
    await written;
  }

  #copy(request: DiskRequest, then: 'taken' | 'done', act: (guest: Uint8Array[]) => void): void {
    if (!this.#stopped) this.#ring.copy(request, then, act);
  }
}

function scatter(pieces: readonly Uint8Array[], guest: readonly Uint8Array[]): void {
  let at = 0;
  for (const target of guest) {
    copyOut(pieces, at, target);
    at += target.length;
  }
}
