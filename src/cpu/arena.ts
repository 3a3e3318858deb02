/**
 * The arena: what an executor derives from a guest's state to run it fast. It lies in the guest's memory, is never
 * saved, and can be thrown away at any time (`attach` in `core/memory.ts` makes it anew).
 */
import { struct } from '../base/struct.ts';

/** Entries of each TLB array; a power of two. */
const tlbEntries = 4096;
const tlbEntryBytes = 16;
const tlbArrayBytes = tlbEntries * tlbEntryBytes;
const jumpEntries = 4096;
const hashBuckets = 16384;
const fillLogEntries = 8192;

/** A TLB entry: the linear page it maps (all ones when empty), what to add to a linear address to get a host one. */
export const TlbEntry = struct('TlbEntry', 1, { tag: 'u64', addend: 'u32', flags: 'u32' });

/** An entry of the jump cache: where the code of a RIP was decoded. */
export const JumpEntry = struct('JumpEntry', 1, { rip: 'u64', key: 'u32', record: 'u32' });

/** Head of a decoded block; its records follow. */
export const Block = struct('Block', 1, {
  /** Address of the first instruction byte in the guest's frames, and of the page that a crossing instruction ends in. */
  host: 'u32',
  secondPage: 'u32',
  modeKey: 'u32',
  /** Next block of the same hash bucket, of the first page, of the second page. */
  nextInBucket: 'u32',
  nextInPage: 'u32',
  nextInSecondPage: 'u32',
  /** Bytes of guest code. */
  length: 'u32',
  /** Records, pseudo-records included. */
  count: 'u32',
});

/** What is decoded from a frame: a bit for each 64 bytes that code was decoded from, and the list of its blocks. */
export const CodeMap = struct('CodeMap', 1, { granules: 'u64', blocks: 'u32', spare: 'u32' });

/** Places in the arena, in bytes from its start, and their sizes. */
export const Arena = {
  tlbEntries,
  tlbArrayBytes,
  /** A TLB set: read, write and fetch arrays in this order; three sets: supervisor, user, supervisor with AC. */
  tlbSetBytes: 3 * tlbArrayBytes,
  tlb: 0,
  jumpCache: 9 * tlbArrayBytes,
  jumpEntries,
  hash: 9 * tlbArrayBytes + jumpEntries * 16,
  hashBuckets,
  fillLog: 9 * tlbArrayBytes + jumpEntries * 16 + hashBuckets * 4,
  fillLogEntries,
  /** Header words, see `ArenaHeader`. */
  header: 9 * tlbArrayBytes + jumpEntries * 16 + hashBuckets * 4 + fillLogEntries * 4,
  /** Decode tables of `isa/compile.ts`. */
  tables: 9 * tlbArrayBytes + jumpEntries * 16 + hashBuckets * 4 + fillLogEntries * 4 + 2048,
  tablesBytes: 256 * 1024,
  /** The code map, 16 bytes per frame, then the records. */
  codeMap: 9 * tlbArrayBytes + jumpEntries * 16 + hashBuckets * 4 + fillLogEntries * 4 + 2048 + 256 * 1024,
} as const;

export const ArenaHeader = struct('ArenaHeader', 1, {
  fillCount: 'u32',
  /** Next free byte of the record space, and its start. */
  next: 'u32',
  recordsStart: 'u32',
  flushes: 'u32',
  /** Counters for statistics: decoded instructions and blocks, TLB misses, invalidations, look-ups. */
  decoded: 'u32',
  blocks: 'u32',
  tlbMisses: 'u32',
  invalidations: 'u32',
  lookups: 'u32',
  tlbFlushes: 'u32',
  arenaFlushes: 'u32',
  /** 1 when a page larger than 1 GiB-granular bookkeeping was mapped: INVLPG then flushes all. */
  hugePages: 'u32',
  /** 1 when supervisor code ran from a page that is not global: a write to CR3 makes it stale, too. */
  localCode: 'u32',
  /** 1 when the last look-up led to an instruction that crosses pages. */
  crossing: 'u32',
  /** Bytes of an instruction that crosses a page. */
  fetchBuffer: array16(),
  /** A bit for each 2 MiB range (hashed) that a large page maps. */
  largePages: { array: 'u64', length: 16 },
  /** A bit for each page (hashed) that jump-cache entries lead to: supervisor code, user code. */
  codePages: { array: 'u64', length: 64 },
  userCodePages: { array: 'u64', length: 64 },
});

function array16(): { readonly array: 'u8'; readonly length: 16 } {
  return { array: 'u8', length: 16 };
}
