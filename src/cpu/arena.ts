/**
 * The arena: what an executor derives from a guest's state to run it fast. It lies in the guest's memory, is never
 * saved, and can be thrown away at any time (`attach` in `core/run.ts` makes it anew).
 */
import { array, struct } from '../base/struct.ts';

/** Entries of each TLB array; a power of two. */
const tlbEntries = 4096;
const tlbEntryBytes = 16;
const tlbArrayBytes = tlbEntries * tlbEntryBytes;
const jumpEntries = 16384;
const hashBuckets = 16384;
const fillLogEntries = 8192;
const entryBuckets = 16384;
const knownCodeEntries = 16384;
const heatCounters = 4096;
const requestCount = 16;
const codePageEntries = 4096;
/** More than there are forms. */
const countedForms = 8192;
const codePlaceCount = 8192;

/** A TLB entry: the linear page it maps (all ones when empty), what to add to a linear address to get a host one. */
export const TlbEntry = struct('TlbEntry', 1, { tag: 'u64', addend: 'u32', flags: 'u32' });

/** An entry of the jump cache: where the code of a RIP was decoded. */
export const JumpEntry = struct('JumpEntry', 2, {
  rip: 'u64',
  key: 'u32',
  /** A record, or an entry of compiled code. */
  record: 'u32',
  /** Of an entry its `link` and `label`, so that a call reads one line of the cache; of a record {@link noCode} and itself. */
  slot: 'u32',
  label: 'u32',
  /** Computed jumps of compiled code in the same page that came here, and the record of the last of them. */
  jumps: 'u32',
  jumpedFrom: 'u32',
});
const jumpEntryBytes = 32;
/** The place in the table of compiled code whose function returns at once. */
export const noCode = 0;

/**
 * A place in the executors' table of compiled code: which region's function is there, 0: none. All executors that run the
 * guest in turns have the same one there, so that what leads to the place holds for all (`jit/code-places.ts`).
 */
export const CodePlace = struct('CodePlace', 1, {
  region: 'u32',
  /** The translated region that it was made from: `codeNumber`. */
  code: 'u32',
});

/**
 * What a look-up has found lately, by a hash of where the code lies and its mode: a record or an entry, in one line of the
 * processor's cache, where chains of blocks take several. It holds while that is not stale and no mere link.
 */
export const KnownCode = struct('KnownCode', 1, { host: 'u32', modeKey: 'u32', record: 'u32', none: 'u32' });

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

/**
 * What is decoded from a frame: a bit for each 64 bytes that code was decoded from, the list of its blocks, and that of
 * its compiled regions.
 */
export const CodeMap = struct('CodeMap', 1, { granules: 'u64', blocks: 'u32', regions: 'u32' });

/**
 * Code compiled from a frame: one function of the executor's table. It dies when one of its granules is written; its
 * entries then lead to the interpreter's records, and it is put on the list of the dead, for its slot to be freed.
 */
export const Region = struct('Region', 2, {
  /** Bits of the 64-byte granules that it was compiled from. */
  granules: 'u64',
  /** Host address of the frame. */
  page: 'u32',
  /** Next region of the frame, or of the dead. */
  next: 'u32',
  /** Index of its function in the table of compiled code. */
  slot: 'u32',
  /** Its entries follow it. */
  entryCount: 'u32',
  /** Entries that there is room for, and whether it can be entered. */
  entryRoom: 'u32',
  live: 'u32',
  /** 0, or the region of another frame that was compiled from these granules, too, and dies with them. */
  owner: 'u32',
  spare: 'u32',
});

/**
 * Where compiled code can be entered. It begins as a record of the pseudo-form `compiled` would, so that links and the
 * jump cache lead to it as to a record; when its region dies it becomes a `link` to the record that it stood for.
 */
export const Entry = struct('Entry', 1, {
  form: 'u16',
  offset: 'u16',
  /** What the region's function is called with. */
  label: 'u32',
  /** The decoded record that it stands for. */
  record: 'u32',
  /** Zero, where a record has its scale, length, segment and flags. */
  none: 'u32',
  region: 'u32',
  /** The function's index in the table of compiled code; when dead, `record`. */
  link: 'u32',
  /** Host address of the code. */
  host: 'u32',
  modeKey: 'u32',
  nextInBucket: 'u32',
  spare: array('u32', 3),
});

const jumpCache = 11 * tlbArrayBytes;
const hash = jumpCache + jumpEntries * jumpEntryBytes;
const entryHash = hash + hashBuckets * 4;
const knownCode = entryHash + entryBuckets * 4;
const heat = knownCode + knownCodeEntries * KnownCode.size;
const codePages = heat + heatCounters;
const fillLog = codePages + 2 * codePageEntries * 8;
const header = fillLog + fillLogEntries * 4;
const headerBytes = 2048;
const tables = header + headerBytes;
const tablesBytes = 256 * 1024;
const formCounts = tables + tablesBytes;
const formCountBytes = countedForms * 4;
const codePlaces = formCounts + 2 * formCountBytes;
const codePlacesBytes = codePlaceCount * CodePlace.size;

/** Places in the arena, in bytes from its start, and their sizes. */
export const Arena = {
  tlbEntries,
  tlbArrayBytes,
  /** A TLB set: read, write and fetch arrays in this order; three sets: supervisor, user, supervisor with AC. */
  tlbSetBytes: 3 * tlbArrayBytes,
  tlb: 0,
  tlbSets: 3,
  /** Behind the sets: read and write arrays that stay empty, for CPL 3 with alignment checks. */
  tlbBytes: jumpCache,
  jumpCache,
  jumpEntries,
  jumpEntryBytes,
  noCode,
  hash,
  hashBuckets,
  /** Buckets of entries of compiled code, by host address. */
  entryHash,
  entryBuckets,
  /** {@link KnownCode}. */
  knownCode,
  knownCodeEntries,
  /** A counter (u8) of samples for each piece of code, by a hash. */
  heat,
  heatCounters,
  /**
   * Pages that jump-cache entries lead to, by their low bits: a table for supervisor code, then one for user code. An
   * entry (u64) has the page << 28, its epoch << 4, and bit 0 where several pages of that epoch share it.
   */
  codePages,
  codePageEntries,
  fillLog,
  fillLogEntries,
  /** Header words, see `ArenaHeader`. */
  header,
  /** Decode tables of `isa/compile.ts`. */
  tables,
  tablesBytes,
  /** Places in `ArenaHeader.requests`. */
  requestCount,
  /**
   * Two tables of u32 by the number of a form, where they were asked for (`ArenaHeader.countForms`): instructions that
   * the interpreter began, and those that compiled code had done by their form's function.
   */
  formCounts,
  formCountBytes,
  /** {@link CodePlace} by index in the table of compiled code. */
  codePlaces,
  codePlacesBytes,
  codePlaceCount,
  /** The code map, 16 bytes per frame, then the records. */
  codeMap: codePlaces + codePlacesBytes,
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
  fetchBuffer: array('u8', 16),
  /** A bit for each 2 MiB range (hashed) that a large page maps. */
  largePages: array('u64', 16),
  /** A value of `tierCode`: set by the executor after `attach`. */
  tier: 'u32',
  /** 1: `Arena.formCounts` is kept, which makes the interpreter slow; set as `tier` is. */
  countForms: 'u32',
  /** Instructions that the interpreter runs before the next sample of the profile. */
  untilSample: 'u32',
  /** Jumps (`JumpEntry.jumps`) that make it worth compiling their target together with where they came from. */
  hotJumps: 'u32',
  /** Exits of compiled code to the interpreter, for the same. */
  exits: 'u32',
  /** Exits because of accesses (`missed`), since when the last of them are in view, and whether they are too many. */
  misses: 'u32',
  missesDense: 'u32',
  missesSince: 'u64',
  /** Code that waits to be compiled: host addresses of instructions, with their mode keys. */
  requested: 'u32',
  requests: array('u32', requestCount),
  requestModes: array('u32', requestCount),
  requestRecords: array('u32', requestCount),
  /** RIP of their pages' first bytes, where they ran. */
  requestRips: array('u64', requestCount),
  /** List of regions that died; their slots are for the executor to free. */
  dead: 'u32',
  regionsKilled: 'u32',
  /** Exits of compiled code back to the dispatch loop, by `compiledExit`; the last: after an instruction apart. */
  compiledExits: array('u32', 5),
  /** Instructions that compiled code retired. */
  compiledRetired: 'u64',
  /** What the compiler counts (`jit/compiler.ts`): regions and modules made, their instructions and bytes of code. */
  regions: 'u32',
  modules: 'u32',
  regionInstructions: 'u32',
  moduleBytes: 'u32',
  /** Modules that have a live region. */
  modulesAlive: 'u32',
  /** Regions that live, that could not be compiled, and that were given up for others. */
  regionsAlive: 'u32',
  compileFailures: 'u32',
  regionsEvicted: 'u32',
  /** Time of whoever translated, be it another thread; time that the guest stood still, and the longest piece of that. */
  translateMicroseconds: 'u32',
  compileMicroseconds: 'u32',
  longestCompileMicroseconds: 'u32',
  /** Such pieces of at least 1 ms, and those of more than 10 ms. */
  compileStalls: 'u32',
  longCompileStalls: 'u32',
  /** Counts the times that everything decoded was forgotten, since the memory is the guest's: `attach` leaves it. */
  generation: 'u32',
  /** Number of the last translated module that was installed, of this generation. */
  installed: 'u32',
});
