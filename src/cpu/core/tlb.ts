/**
 * The TLB: from linear addresses to the host's, by entries that page walks fill.
 *
 * An entry holds the linear page and an addend: host address = low 32 bits of the linear address + addend. A read
 * hits when the page of the access's *last* byte equals the tag at the index of its first byte: one comparison tells
 * hit, and that the access does not cross. Entries exist only for RAM; write entries only for pages without decoded
 * code, with the dirty bit set; neither for a page with a data breakpoint, so that its accesses come to the slow paths.
 * Source: SDM vol. 3 §4.10 (TLBs).
 */
import { Arena, ArenaHeader, CodeMap, FrameBit, ModeKey, TlbEntry, Vcpu } from '../../../build/core/layout';
import { raisePageFault, watchedPage } from './events';
import { MODE_USER } from './mode';
import {
  arena,
  arenaHeader,
  codeMap,
  FETCH,
  frameEntry,
  SYSTEM,
  touchFrame,
  walk,
  WALK_FAULT,
  WALK_GLOBAL,
  WALK_HUGE,
  WALK_LARGE,
  WALK_WRITABLE,
  WRITE,
} from './paging';

/** Bits of TlbEntry.flags. */
// @ts-ignore: decorator
@inline const GLOBAL: u32 = 1;
/** On read entries: writes are allowed and the dirty bit is set; only code in the page keeps them off the fast path. */
// @ts-ignore: decorator
@inline const WRITES: u32 = 2;
/** The entry is not in the log of those that a write to CR3 empties; so of entries that were never filled (all ones). */
// @ts-ignore: decorator
@inline const UNLOGGED: u32 = 4;

// @ts-ignore: decorator
@inline const NO_PAGE: u64 = 0xffffffffffffffff;

/** Address of TLB set 0 (supervisor), 1 (user) or 2 (supervisor, EFLAGS.AC); 3 is empty, for alignment checks. */
export function tlbSet(cpu: usize, index: u32): u32 {
  return <u32>(arena(cpu) + Arena.tlb + <usize>index * Arena.tlbSetBytes);
}

// @ts-ignore: decorator
@inline
function entryOf(set: usize, kind: usize, linear: u64): usize {
  return set + kind * Arena.tlbArrayBytes + (((<usize>(linear >> 12)) & (Arena.tlbEntries - 1)) << 4);
}

// ---------------------------------------------------------------------------------------------------------------------
// TLB maintenance.

/** Notes an entry that is filled with a page that is not global. */
function logFill(cpu: usize, entry: usize): void {
  const header = arenaHeader(cpu);
  const count = load<u32>(header, ArenaHeader.fillCount);
  if (<usize>count < Arena.fillLogEntries) store<u32>(arena(cpu) + Arena.fillLog + ((<usize>count) << 2), <u32>entry);
  store<u32>(header, count + 1, ArenaHeader.fillCount);
}

function fill(cpu: usize, set: usize, kind: usize, linear: u64, page: usize, flags: u32): void {
  const entry = entryOf(set, kind, linear);
  let unlogged = load<u32>(entry, TlbEntry.flags) & UNLOGGED;
  if (unlogged && !(flags & GLOBAL)) {
    logFill(cpu, entry);
    unlogged = 0;
  }
  store<u64>(entry, linear & ~0xfff, TlbEntry.tag);
  store<u32>(entry, <u32>page - ((<u32>linear) & ~0xfff), TlbEntry.addend);
  store<u32>(entry, flags | unlogged, TlbEntry.flags);
}

/** Makes the jump-cache entries of supervisor or user code stale: its mapping may have changed. */
function bumpEpoch(cpu: usize, user: bool): void {
  const place = user ? Vcpu.userCodeEpoch : Vcpu.codeEpoch;
  let epoch = (load<u32>(cpu + place) + 1) & ((1 << (32 - ModeKey.bits)) - 1);
  if (epoch == 0) {
    memory.fill(arena(cpu) + Arena.jumpCache, 0, Arena.jumpEntries * Arena.jumpEntryBytes);
    epoch = 1;
  }
  store<u32>(cpu + place, epoch);
  // Code of the other privilege is not running, nor is any of its callers.
  if (user == ((load<u32>(cpu, Vcpu.modeKey) & MODE_USER) != 0)) store<u32>(cpu, 1, Vcpu.unwind);
  updateCodeKey(cpu);
}

/** codeKey from the epoch of the code that runs, and the mode. */
export function updateCodeKey(cpu: usize): void {
  const modeKey = load<u32>(cpu, Vcpu.modeKey);
  const epoch = modeKey & MODE_USER ? load<u32>(cpu, Vcpu.userCodeEpoch) : load<u32>(cpu, Vcpu.codeEpoch);
  store<u32>(cpu, (epoch << ModeKey.bits) | modeKey, Vcpu.codeKey);
}

/** Makes every jump-cache entry stale. */
export function bumpCodeEpoch(cpu: usize): void {
  store<u32>(arenaHeader(cpu), 0, ArenaHeader.localCode);
  bumpEpoch(cpu, false);
  bumpEpoch(cpu, true);
}

// @ts-ignore: decorator
@inline
function codePagePlace(cpu: usize, user: bool, linear: u64): usize {
  const index = ((<usize>(linear >> 12)) & (Arena.codePageEntries - 1)) + (user ? Arena.codePageEntries : 0);
  return arena(cpu) + Arena.codePages + (index << 3);
}

/** The entry of a page in the present epoch. */
// @ts-ignore: decorator
@inline
function codePageEntry(cpu: usize, user: bool, linear: u64): u64 {
  return ((linear >> 12) << 28) | ((<u64>load<u32>(cpu + (user ? Vcpu.userCodeEpoch : Vcpu.codeEpoch))) << 4);
}

/** Bits of an entry: its epoch; several pages share it. */
// @ts-ignore: decorator
@inline const CODE_PAGE_EPOCH: u64 = 0xffffff0;
// @ts-ignore: decorator
@inline const CODE_PAGE_SHARED: u64 = 1;

/** Jump-cache entries of this epoch may lead to the page of `linear`. */
function isCodePage(cpu: usize, user: bool, linear: u64): bool {
  const entry = load<u64>(codePagePlace(cpu, user, linear));
  const mine = codePageEntry(cpu, user, linear);
  return entry == mine || (((entry ^ mine) & CODE_PAGE_EPOCH) == 0 && (entry & CODE_PAGE_SHARED) != 0);
}

/** Notes that jump-cache entries lead to the page of `linear`, whose fetch was just translated. */
export function noteCodePage(cpu: usize, linear: u64): void {
  const header = arenaHeader(cpu);
  const user = (load<u32>(cpu, Vcpu.modeKey) & MODE_USER) != 0;
  const place = codePagePlace(cpu, user, linear);
  const known = load<u64>(place);
  const mine = codePageEntry(cpu, user, linear);
  if (known != mine) store<u64>(place, (known ^ mine) & CODE_PAGE_EPOCH ? mine : known | CODE_PAGE_SHARED);
  if (user) return;
  const entry = entryOf(<usize>load<u32>(cpu, Vcpu.tlbFill), 2, linear);
  if (!(load<u32>(entry, TlbEntry.flags) & GLOBAL)) store<u32>(header, 1, ArenaHeader.localCode);
}

// @ts-ignore: decorator
@inline
function emptyUnlessGlobal(entry: usize): void {
  const flags = load<u32>(entry, TlbEntry.flags);
  if (!(flags & GLOBAL)) store<u64>(entry, NO_PAGE, TlbEntry.tag);
  store<u32>(entry, flags | UNLOGGED, TlbEntry.flags);
}

/** Empties the entries of the log that are not global; all such entries when it has overflowed. */
function emptyLogged(cpu: usize, count: u32): void {
  if (<usize>count > Arena.fillLogEntries) {
    const end = arena(cpu) + Arena.tlb + Arena.tlbSets * Arena.tlbSetBytes;
    for (let entry = arena(cpu) + Arena.tlb; entry < end; entry += 16) emptyUnlessGlobal(entry);
    return;
  }
  let place = arena(cpu) + Arena.fillLog;
  for (const end = place + ((<usize>count) << 2); place < end; place += 4) emptyUnlessGlobal(<usize>load<u32>(place));
}

/** Empties the TLBs; with `keepGlobal`, as a write to CR3 does, but for global pages. */
export function flushTlb(cpu: usize, keepGlobal: bool): void {
  const header = arenaHeader(cpu);
  if (!keepGlobal) memory.fill(arena(cpu) + Arena.tlb, 0xff, Arena.tlbSets * Arena.tlbSetBytes);
  else emptyLogged(cpu, load<u32>(header, ArenaHeader.fillCount));
  store<u32>(header, 0, ArenaHeader.fillCount);
  store<u32>(header, load<u32>(header, ArenaHeader.tlbFlushes) + 1, ArenaHeader.tlbFlushes);
  if (!keepGlobal) {
    store<u32>(header, 0, ArenaHeader.hugePages);
    memory.fill(header + ArenaHeader.largePages, 0, 128);
  }
  if (keepGlobal && !load<u32>(header, ArenaHeader.localCode)) bumpEpoch(cpu, true);
  else bumpCodeEpoch(cpu);
}

/** Forgets the page of one linear address (INVLPG), global or not. */
export function flushPage(cpu: usize, linear: u64): void {
  const header = arenaHeader(cpu);
  const range = linear >> 21;
  const word = load<u64>(header + ArenaHeader.largePages + (((<usize>(range >> 6)) & 15) << 3));
  if (load<u32>(header, ArenaHeader.hugePages) || (word >> (range & 63)) & 1) {
    flushTlb(cpu, false);
    return;
  }
  for (let set: u32 = 0; set < Arena.tlbSets; set++) {
    for (let kind: usize = 0; kind < 3; kind++) {
      const entry = entryOf(<usize>tlbSet(cpu, set), kind, linear);
      // The entry stays in the fill log: an empty one there does no harm.
      if (load<u64>(entry, TlbEntry.tag) == (linear & ~0xfff)) store<u64>(entry, NO_PAGE, TlbEntry.tag);
    }
  }
  if (isCodePage(cpu, false, linear)) bumpEpoch(cpu, false);
  if (isCodePage(cpu, true, linear)) bumpEpoch(cpu, true);
}

/** Takes away the fast path for writes to a frame, because code is now decoded from it. */
export function protectFrame(cpu: usize, page: usize): void {
  for (let set: u32 = 0; set < Arena.tlbSets; set++) {
    let entry = <usize>tlbSet(cpu, set) + Arena.tlbArrayBytes;
    const end = entry + Arena.tlbArrayBytes;
    for (; entry < end; entry += 16) {
      const tag = load<u64>(entry, TlbEntry.tag);
      if (tag != NO_PAGE && <u32>tag + load<u32>(entry, TlbEntry.addend) == <u32>page) {
        store<u64>(entry, NO_PAGE, TlbEntry.tag);
      }
    }
  }
}

/** Empties all derived state that depends on addresses: after attaching, reset, or a change of frames. */
export function resetTlb(cpu: usize): void {
  memory.fill(arena(cpu) + Arena.tlb, 0xff, Arena.tlbBytes);
  store<u32>(arenaHeader(cpu), 0, ArenaHeader.fillCount);
  bumpCodeEpoch(cpu);
}

// ---------------------------------------------------------------------------------------------------------------------
// Translation.

function noteLargePage(cpu: usize, linear: u64, walked: u64): void {
  const header = arenaHeader(cpu);
  if (walked & WALK_HUGE) store<u32>(header, 1, ArenaHeader.hugePages);
  if (walked & WALK_LARGE) {
    // 4 MiB pages of 32-bit paging cover two ranges.
    const range = (linear >> 21) & ~1;
    const word = header + ArenaHeader.largePages + (((<usize>(range >> 6)) & 15) << 3);
    store<u64>(word, load<u64>(word) | ((<u64>3) << (range & 63)));
  }
}

/**
 * Host address of a linear address for an access that stays in its page; 0 when there is none: then either a page
 * fault is pending (`trouble` has TROUBLE_FAULT), or the page is not RAM (trouble is unchanged and `outPhysical`
 * holds the guest-physical address). Writes to pages with decoded code go through `invalidateCode` by the caller.
 */
function translateSlow(cpu: usize, linear: u64, access: u32): usize {
  const system = (access & SYSTEM) != 0;
  const user = !system && load<u32>(cpu, Vcpu.cpl) == 3;
  const header = arenaHeader(cpu);
  store<u32>(header, load<u32>(header, ArenaHeader.tlbMisses) + 1, ArenaHeader.tlbMisses);
  const walked = walk(cpu, linear, access, user);
  if (walked & WALK_FAULT) {
    raisePageFault(cpu, linear, (<u32>walked) & 0xff);
    return 0;
  }
  if (walked & (WALK_LARGE | WALK_HUGE)) noteLargePage(cpu, linear, walked);
  const physical = walked & 0x000ffffffffff000;
  store<u64>(cpu, physical | (linear & 0xfff), Vcpu.bouncePhysical);
  const entry = frameEntry(cpu, physical);
  if (entry == 0) return 0;
  const page = <usize>(entry & ~0xfff);
  if (access & WRITE && entry & FrameBit.readOnly) {
    // Read-only memory: the write goes nowhere. A device access by its address ends the same way.
    return 0;
  }
  if (entry & FrameBit.empty) touchFrame(cpu, physical);
  const set = system ? <usize>tlbSet(cpu, 0) : <usize>load<u32>(cpu, Vcpu.tlbFill);
  // Without SMAP, an implicit access at CPL 3 must not leave user pages in the supervisor set under AC rules; the
  // walk has judged the access itself, and set 0 is what supervisor code sees anyway.
  const flags: u32 = walked & WALK_GLOBAL ? GLOBAL : 0;
  if (access & FETCH) {
    fill(cpu, set, 2, linear, page, flags);
  } else if (!watchedPage(cpu, linear)) {
    fill(cpu, set, 0, linear, page, walked & WALK_WRITABLE && !(entry & FrameBit.readOnly) ? flags | WRITES : flags);
    if (walked & WALK_WRITABLE && access & WRITE && load<u64>(codeMap(cpu, page), CodeMap.granules) == 0) {
      fill(cpu, set, 1, linear, page, flags);
    }
  }
  return page + <usize>(linear & 0xfff);
}

/** Host address in a page that is in the TLB for reads, and known to be writable and dirty; else 0. */
// @ts-ignore: decorator
@inline
function writableHost(cpu: usize, set: usize, linear: u64): usize {
  const read = entryOf(set, 0, linear);
  const flags = load<u32>(read, TlbEntry.flags);
  if (load<u64>(read, TlbEntry.tag) != (linear & ~0xfff) || !(flags & WRITES)) return 0;
  const host = <usize>(<u32>linear + load<u32>(read, TlbEntry.addend));
  const page = host & ~0xfff;
  if (load<u64>(codeMap(cpu, page), CodeMap.granules) == 0) fill(cpu, set, 1, linear, page, flags & GLOBAL);
  return host;
}

/** As translateSlow, by the TLB first. The caller keeps within the page. */
export function translate(cpu: usize, linear: u64, access: u32): usize {
  const set = access & SYSTEM ? <usize>tlbSet(cpu, 0) : <usize>load<u32>(cpu, Vcpu.tlbFill);
  const kind: usize = access & FETCH ? 2 : access & WRITE ? 1 : 0;
  const entry = entryOf(set, kind, linear);
  if (load<u64>(entry, TlbEntry.tag) == (linear & ~0xfff))
    return <usize>(<u32>linear + load<u32>(entry, TlbEntry.addend));
  const host = kind == 1 ? writableHost(cpu, set, linear) : 0;
  return host != 0 ? host : translateSlow(cpu, linear, access);
}

/** Whether the TLB has an entry for all accesses of that kind to the page; the page has been read or written. */
export function holdsPage(cpu: usize, linear: u64, access: u32): bool {
  const set = <usize>load<u32>(cpu, Vcpu.tlbFill);
  const tag = linear & ~0xfff;
  if (!(access & WRITE)) return load<u64>(entryOf(set, 0, linear), TlbEntry.tag) == tag;
  const entry = entryOf(set, 1, linear);
  return (
    load<u64>(entry, TlbEntry.tag) == tag ||
    (writableHost(cpu, set, linear) != 0 && load<u64>(entry, TlbEntry.tag) == tag)
  );
}
