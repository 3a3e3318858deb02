/** What a commit of a chunked disk has in it: chunks that are put whole, and sectors of others for the journal. */
import type { Chunk } from './chunk.ts';
import type { JournalWrite, StoredChunk } from './chunk-store.ts';

export interface CommitRules {
  readonly sequence: number;
  readonly chunkBytes: number;
  readonly goesWhole: (chunk: Chunk) => boolean;
  /** A chunk that is all zero need not be stored. */
  readonly absentIsZero: boolean;
}

export interface CommitPlan {
  readonly puts: ReadonlyMap<number, StoredChunk>;
  readonly deletes: ReadonlySet<number>;
  readonly writes: readonly JournalWrite[];
  /** Chunks of these that were discarded: if the commit fails, they are so still. */
  readonly replaced: ReadonlySet<number>;
}

/** Takes what is dirty of these chunks ({@link Chunk.beginCommit}). The plan's bytes are views of them. */
export function planCommit(chunks: readonly (readonly [number, Chunk])[], rules: CommitRules): CommitPlan {
  const { sequence, chunkBytes, goesWhole, absentIsZero } = rules;
  const puts = new Map<number, StoredChunk>();
  const deletes = new Set<number>();
  const writes: JournalWrite[] = [];
  const replaced = new Set<number>();
  for (const [index, chunk] of chunks) {
    if (!chunk.isDirty && !chunk.journalled) continue;
    const { data } = chunk;
    if (chunk.replaced) replaced.add(index);
    // One of which much was written just now, and which was not loaded, goes into the journal.
    if (chunk.unknown === undefined && goesWhole(chunk)) {
      if (data === undefined && absentIsZero) deletes.add(index);
      else puts.set(index, { sequence, bytes: data });
    } else if (data !== undefined) {
      for (const { from, to } of chunk.dirty?.ranges() ?? []) {
        writes.push({ offset: index * chunkBytes + from, bytes: data.subarray(from, to) });
      }
    }
    chunk.beginCommit();
  }
  return { puts, deletes, writes, replaced };
}
