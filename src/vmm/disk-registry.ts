/** Which disks are kept in this browser: a line for each. What is in them lies in data bases of their own (`src/storage`). */
import type { PackedDiskPlace } from '../abi/storage.ts';
import { createStore, del, entries, set, type UseStore } from 'idb-keyval';

export interface DiskRecord {
  readonly id: string;
  /** For people. */
  readonly name: string;
  readonly sizeBytes: number;
  readonly chunkBytes: number;
  /** Milliseconds since 1970. */
  readonly created: number;
  /** The image of the catalogue that it stands on; absent: it was empty at first. */
  readonly base?: PackedDiskPlace | undefined;
  /** The guest that it was made for, by the guest's start. */
  readonly madeFor?: string | undefined;
}

export interface DiskRegistry {
  all(): Promise<readonly DiskRecord[]>;
  save(record: DiskRecord): Promise<void>;
  forget(id: string): Promise<void>;
}

export function indexedDbDisks(): DiskRegistry {
  let opened: UseStore | undefined;
  const store = () => (opened ??= createStore('tabvisor-disks', 'disks'));
  return {
    all: async () => (await entries<string, DiskRecord>(store())).map(([, record]) => record),
    save: (record) => set(record.id, record, store()),
    forget: (id) => del(id, store()),
  };
}
