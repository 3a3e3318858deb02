/**
 * Where a {@link ChunkedDisk} keeps its chunks: something that can put several of them, and a record of a journal, in one
 * step that happens wholly or not at all.
 */

/** What is stored of a chunk. Absent bytes: it is all zero, whatever lies below. */
export interface StoredChunk {
  /** The commit that wrote it: journal records up to it are older than the chunk. */
  readonly sequence: number;
  readonly bytes: Uint8Array | undefined;
}

export interface JournalWrite {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface JournalRecord {
  readonly sequence: number;
  readonly writes: readonly JournalWrite[];
}

/** One transaction. Bytes are views of memory that goes on changing: a store takes them at once when it puts them. */
export interface ChunkCommit {
  readonly puts: ReadonlyMap<number, StoredChunk>;
  readonly deletes: readonly number[];
  readonly journal?: JournalRecord | undefined;
  /** Records up to this sequence are folded in. */
  readonly forgetJournalTo?: number | undefined;
  /** The commit's own number: what {@link ChunkStore.open} tells afterwards. */
  readonly sequence: number;
}

/** What a store holds. */
export interface StoredDisk {
  /** Numbers of the chunks that are stored. */
  readonly chunks: readonly number[];
  /** All records, the oldest first. */
  readonly journal: readonly JournalRecord[];
  /** Of the last commit; 0: there was none. */
  readonly sequence: number;
}

/** `strict`: resolves when it is on stable storage. */
export type Durability = 'strict' | 'relaxed';

export interface ChunkStore {
  readonly durable: boolean;
  open(): Promise<StoredDisk>;
  load(chunks: readonly number[]): Promise<readonly (StoredChunk | undefined)[]>;
  commit(commit: ChunkCommit, durability: Durability): Promise<void>;
  close(): Promise<void>;
}

/** Keeps chunks in memory, for throw-away guests and for tests. */
export class MemoryChunkStore implements ChunkStore {
  readonly durable = false;
  #chunks = new Map<number, StoredChunk>();
  #journal: JournalRecord[] = [];
  #sequence = 0;

  open(): Promise<StoredDisk> {
    return Promise.resolve({
      chunks: [...this.#chunks.keys()],
      journal: [...this.#journal],
      sequence: this.#sequence,
    });
  }

  load(chunks: readonly number[]): Promise<readonly (StoredChunk | undefined)[]> {
    return Promise.resolve(
      chunks.map((chunk) => {
        const stored = this.#chunks.get(chunk);
        return stored && { ...stored, bytes: stored.bytes?.slice() };
      }),
    );
  }

  commit(commit: ChunkCommit, _durability: Durability): Promise<void> {
    for (const [chunk, { sequence, bytes }] of commit.puts) {
      this.#chunks.set(chunk, { sequence, bytes: bytes?.slice() });
    }
    for (const chunk of commit.deletes) this.#chunks.delete(chunk);
    const { journal, forgetJournalTo = -1 } = commit;
    this.#sequence = commit.sequence;
    this.#journal = this.#journal.filter(({ sequence }) => sequence > forgetJournalTo);
    if (journal !== undefined) {
      const writes = journal.writes.map(({ offset, bytes }) => ({ offset, bytes: bytes.slice() }));
      this.#journal.push({ sequence: journal.sequence, writes });
    }
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
