/**
 * A worker that handles the memories of guests off the main thread: fills them with zeros before another guest gets them
 * (no byte of a former guest is ever visible), and copies guests from one to another. 256 MiB take about 50 ms.
 */
import { expose } from 'comlink';
import { provokeGarbageCollection } from '../base/collect-garbage.ts';
import { clearTouched } from './clear.ts';
import { GuestCopy, type CopyOptions, type CopyResult } from './guest-copy.ts';

export interface MemoryWorkerApi {
  scrub(memory: WebAssembly.Memory): Promise<void>;
  /** Begins copy `id`. */
  beginCopy(id: number, source: WebAssembly.Memory, destination: WebAssembly.Memory): Promise<void>;
  /** See {@link GuestCopy.ahead}. */
  copyAhead(id: number): Promise<void>;
  /** See {@link GuestCopy.finish}. */
  finishCopy(id: number, options: CopyOptions): Promise<CopyResult>;
  /** Forgets a copy, and with it both memories. */
  endCopy(id: number): Promise<void>;
  /** Collects the garbage of this thread. */
  collectGarbage(): Promise<void>;
}

const copies = new Map<number, GuestCopy>();

function copyOf(id: number): GuestCopy {
  const copy = copies.get(id);
  if (copy === undefined) throw new Error(`there is no copy ${id}`);
  return copy;
}

const api: MemoryWorkerApi = {
  scrub: (memory) => {
    clearTouched(memory.buffer);
    return Promise.resolve();
  },
  beginCopy: (id, source, destination) => {
    copies.set(id, new GuestCopy(source.buffer, destination.buffer));
    return Promise.resolve();
  },
  copyAhead: (id) => {
    copyOf(id).ahead();
    return Promise.resolve();
  },
  finishCopy: (id, options) => Promise.resolve(copyOf(id).finish(options)),
  endCopy: (id) => {
    copies.delete(id);
    return Promise.resolve();
  },
  collectGarbage: () => {
    provokeGarbageCollection();
    return Promise.resolve();
  },
};

expose(api);
