/**
 * Chunks in IndexedDB, a data base for each disk, so that a disk is deleted by deleting its data base. All records lie in
 * one object store, so that one transaction covers them:
 *
 * | key | value |
 * |---|---|
 * | number of a chunk | {@link ChunkValue} |
 * | `['journal', sequence]` | {@link JournalValue} |
 * | `'state'` | {@link StateValue} |
 *
 * Fencing: who opens a disk for writing adds 1 to the *epoch*, and each commit looks in its own transaction whether the
 * epoch is still its own. A page that was frozen, and lost its lock meanwhile, writes nothing any more.
 */
import { getMany, keys, promisifyRequest, type UseStore } from 'idb-keyval';
import { checksum } from './checksum.ts';
import type { ChunkCommit, ChunkStore, Durability, JournalRecord, StoredChunk, StoredDisk } from './chunk-store.ts';
import { StorageError, storageError } from './errors.ts';

interface ChunkValue {
  readonly sequence: number;
  readonly checksum: number;
  readonly bytes?: Uint8Array<ArrayBuffer>;
}

interface JournalValue {
  readonly checksum: number;
  readonly offsets: readonly number[];
  readonly lengths: readonly number[];
  /** What was written, one after the other. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

interface StateValue {
  readonly epoch: number;
  readonly sequence: number;
}

const storeName = 'chunks';
const stateKey = 'state';
const noState: StateValue = { epoch: 0, sequence: 0 };

/** The data base of a disk. */
export function diskDatabase(id: string): string {
  return `tabvisor-disk-${id}`;
}

export async function openDatabase(name: string): Promise<IDBDatabase> {
  const request = indexedDB.open(name);
  request.addEventListener('upgradeneeded', () => request.result.createObjectStore(storeName));
  const database = await promisifyRequest<IDBDatabase>(request);
  // Another page deletes the disk: this one must not stand in the way.
  database.addEventListener('versionchange', () => database.close());
  return database;
}

/** Deletes a disk and all that is in it. */
export async function deleteDatabase(id: string): Promise<void> {
  await promisifyRequest(indexedDB.deleteDatabase(diskDatabase(id)));
}

export class IndexedDbChunks implements ChunkStore {
  readonly durable = true;
  readonly #database: IDBDatabase;
  readonly #epoch: number;

  private constructor(database: IDBDatabase, epoch: number) {
    this.#database = database;
    this.#epoch = epoch;
  }

  /** @param writable takes the disk from whoever had it so */
  static async open(id: string, writable: boolean): Promise<IndexedDbChunks> {
    try {
      const database = await openDatabase(diskDatabase(id));
      return new IndexedDbChunks(database, writable ? await takeOver(database) : -1);
    } catch (error) {
      throw storageError(error);
    }
  }

  /** For idb-keyval, whose functions take it as their store. */
  readonly #relaxed: UseStore = (mode, callback) =>
    Promise.resolve(callback(this.#database.transaction(storeName, mode).objectStore(storeName)));

  async open(): Promise<StoredDisk> {
    try {
      const [all, [state = noState]] = await Promise.all([
        keys<IDBValidKey>(this.#relaxed),
        getMany<StateValue>([stateKey], this.#relaxed),
      ]);
      const records = all.some((key) => Array.isArray(key)) ? await this.#journal() : [];
      return {
        chunks: all.filter((key) => typeof key === 'number'),
        journal: records,
        sequence: state.sequence,
      };
    } catch (error) {
      throw storageError(error);
    }
  }

  async #journal(): Promise<JournalRecord[]> {
    const store = this.#database.transaction(storeName, 'readonly').objectStore(storeName);
    const range = IDBKeyRange.bound(['journal', 0], ['journal', Infinity]);
    const [all, values] = await Promise.all([
      promisifyRequest(store.getAllKeys(range)),
      promisifyRequest<JournalValue[]>(store.getAll(range)),
    ]);
    return values.map((value, i) => {
      const sequence = (all[i] as [string, number])[1];
      if (checksum(value.bytes) !== value.checksum) throw corrupt(`record ${sequence} of its journal`);
      let at = 0;
      const writes = value.offsets.map((offset, n) => {
        const start = at;
        at += value.lengths[n] ?? 0;
        return { offset, bytes: value.bytes.subarray(start, at) };
      });
      return { sequence, writes };
    });
  }

  async load(chunks: readonly number[]): Promise<readonly (StoredChunk | undefined)[]> {
    try {
      const values = await getMany<ChunkValue>([...chunks], this.#relaxed);
      return values.map((value, i) => {
        if (value === undefined) return undefined;
        const { sequence, bytes } = value;
        if (bytes !== undefined && checksum(bytes) !== value.checksum) throw corrupt(`chunk ${chunks[i]}`);
        return { sequence, bytes };
      });
    } catch (error) {
      throw storageError(error);
    }
  }

  async commit(commit: ChunkCommit, durability: Durability): Promise<void> {
    try {
      const transaction = this.#database.transaction(storeName, 'readwrite', { durability });
      const store = transaction.objectStore(storeName);
      let fenced = false;
      const state = store.get(stateKey) as IDBRequest<StateValue | undefined>;
      state.addEventListener('success', () => {
        fenced = (state.result ?? noState).epoch !== this.#epoch;
        if (fenced) transaction.abort();
      });
      put(store, commit, this.#epoch);
      try {
        await promisifyRequest(transaction);
      } catch (error) {
        throw fenced ? fencedError() : (transaction.error ?? error);
      }
    } catch (error) {
      throw storageError(error);
    }
  }

  close(): Promise<void> {
    this.#database.close();
    return Promise.resolve();
  }
}

function put(store: IDBObjectStore, commit: ChunkCommit, epoch: number): void {
  const { puts, deletes, journal, forgetJournalTo, sequence } = commit;
  for (const [chunk, { sequence: written, bytes }] of puts) {
    const value: ChunkValue =
      bytes === undefined
        ? { sequence: written, checksum: 0 }
        : { sequence: written, checksum: checksum(bytes), bytes: bytes as Uint8Array<ArrayBuffer> };
    store.put(value, chunk);
  }
  for (const chunk of deletes) store.delete(chunk);
  if (forgetJournalTo !== undefined) {
    store.delete(IDBKeyRange.bound(['journal', 0], ['journal', forgetJournalTo]));
  }
  if (journal !== undefined) store.put(journalValue(journal), ['journal', journal.sequence]);
  store.put({ epoch, sequence } satisfies StateValue, stateKey);
}

function journalValue({ writes }: JournalRecord): JournalValue {
  const bytes = new Uint8Array(writes.reduce((sum, write) => sum + write.bytes.length, 0));
  let at = 0;
  for (const write of writes) {
    bytes.set(write.bytes, at);
    at += write.bytes.length;
  }
  return {
    checksum: checksum(bytes),
    offsets: writes.map(({ offset }) => offset),
    lengths: writes.map((write) => write.bytes.length),
    bytes,
  };
}

/** The next epoch, on stable storage. */
async function takeOver(database: IDBDatabase): Promise<number> {
  const transaction = database.transaction(storeName, 'readwrite', { durability: 'strict' });
  const store = transaction.objectStore(storeName);
  const before = (await promisifyRequest<StateValue | undefined>(store.get(stateKey))) ?? noState;
  const epoch = before.epoch + 1;
  store.put({ ...before, epoch } satisfies StateValue, stateKey);
  await promisifyRequest(transaction);
  return epoch;
}

function corrupt(what: string): StorageError {
  return new StorageError('corrupt', `The disk is damaged: the checksum of ${what} does not match.`);
}

function fencedError(): StorageError {
  return new StorageError(
    'fenced',
    'Another page has opened this disk for writing since: this one may not write to it any more. Stop the guest here.',
  );
}
