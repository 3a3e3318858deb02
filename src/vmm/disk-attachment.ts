/** A disk that is open for a guest: from before the guest starts to after its end. */
import { type ControlPage } from '../abi/control.ts';
import { diskResult, DiskRing } from '../abi/disk-ring.ts';
import type { GuestDisk } from '../abi/executor.ts';
import type { Bell, StorageEvent } from '../abi/storage.ts';
import type { StorageHandle } from './host.ts';

export interface AttachedDiskOptions {
  readonly storage: StorageHandle;
  readonly handle: number;
  /** As the guest sees it. */
  readonly definition: GuestDisk;
  readonly bell: Bell | undefined;
  /** It is closed. */
  readonly released: () => void;
}

/** How long the storage worker may take to leave a guest's memory before that memory is given up. */
const detachLimitMs = 5000;

export class AttachedDisk {
  readonly definition: GuestDisk;
  /** A request failed, or waits for room in the browser's storage. */
  onTrouble: ((event: Pick<StorageEvent, 'kind' | 'message'>) => void) | undefined;
  readonly #options: AttachedDiskOptions;
  #bell: Bell | undefined;
  #attached:
    { readonly memory: WebAssembly.Memory; readonly address: number; readonly control: ControlPage } | undefined;
  #failed = false;
  #over = false;

  constructor(options: AttachedDiskOptions) {
    this.#options = options;
    this.definition = options.definition;
    this.#bell = options.bell;
  }

  /** The worker serves the ring at `address` from now on. */
  async attach(memory: WebAssembly.Memory, address: number, control: ControlPage): Promise<void> {
    this.#attached = { memory, address, control };
    if (this.#failed) void this.#serveErrors();
    else await this.#options.storage.api.attach(this.#options.handle, { memory, address, bell: this.#bell });
  }

  /** The guest runs elsewhere: completions ring there. */
  route(bell: Bell | undefined): void {
    this.#bell = bell;
    if (this.#attached === undefined || this.#failed) return;
    this.#options.storage.api.route(this.#options.handle, bell).catch((error: unknown) => console.error(String(error)));
  }

  /** There may be room again. */
  retry(): void {
    if (this.#failed || this.#over) return;
    this.#options.storage.api.retry(this.#options.handle).catch((error: unknown) => console.error(String(error)));
  }

  onEvent(event: StorageEvent): void {
    this.onTrouble?.(event);
  }

  /** The storage worker is gone, and what it had not written: the guest's requests fail from now on. */
  fail(message: string): void {
    this.#failed = true;
    this.onTrouble?.({
      kind: 'error',
      message: `The storage worker has ended (${message}): the disk fails from now on.`,
    });
    if (this.#attached !== undefined) void this.#serveErrors();
  }

  async #serveErrors(): Promise<void> {
    if (this.#attached === undefined) return;
    const { memory, address, control } = this.#attached;
    const ring = new DiskRing(memory.buffer, address);
    ring.restart();
    while (!this.#over) {
      const seen = ring.bell;
      for (const request of ring.submitted(new Set())) ring.finish(request, diskResult.error);
      control.ring();
      await ring.rung(seen);
    }
  }

  /** False: nobody knows whether the guest's memory is still being read or written. */
  async release(): Promise<boolean> {
    if (this.#over) return !this.#failed;
    this.#over = true;
    const { storage, handle, released } = this.#options;
    const { api } = storage;
    if (this.#failed) {
      released();
      return false;
    }
    const detached = await Promise.race([
      api.detach(handle).then(
        () => true,
        () => false,
      ),
      storage.died.then(() => false),
      new Promise<false>((resolve) => {
        setTimeout(() => resolve(false), detachLimitMs);
      }),
    ]);
    // The lock is given up when all is written.
    const closed = api.close(handle).then((result) => {
      if (!result.ok) this.onTrouble?.({ kind: 'error', message: result.message });
    });
    void Promise.race([closed, storage.died]).then(released, released);
    return detached;
  }
}
