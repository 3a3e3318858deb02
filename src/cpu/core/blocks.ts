/**
 * Decoded blocks: straight-line runs of records, kept in the arena and found by where their bytes lie (host address of
 * the frame) and by the mode they were decoded for, never by linear address.
 *
 * A block ends after an unconditional transfer, at the end of its page, or when it is full; it is closed by a `link`
 * pseudo-record. Branches within the page point at records directly: the page that runs
 * is mapped, so its other code is too. Everything that leaves the page goes through the jump cache, whose entries
 * carry the epoch (bumped by every TLB flush) and the mode. An instruction that crosses into another page is a block
 * of its own, reached only through the jump cache or the look-up that checks its second page.
 *
 * Invalidation overwrites the form of each record of a block with `stale`: whoever gets there, by link, by the jump
 * cache, or because it is running that very block, looks the code up anew.
 */
import {
  Arena,
  ArenaHeader,
  Block,
  CodeMap,
  DecodeTable,
  Entry,
  JumpEntry,
  KnownCode,
  Record,
  Vcpu,
} from '../../../build/core/layout';
import { arena, arenaHeader, codeMap, FETCH } from './paging';
import { bumpCodeEpoch, noteCodePage, protectFrame, translate } from './tlb';
import { findEntry, forgetEntries, killCrossing, killRegions, knownCode } from './compiled';
import { decode, DECODE_MORE, DECODE_TOO_LONG, ENDS } from './decode';
import { raise, raiseNoError } from './events';
import { MODE_CODE_FLAT, MODE_CODE_MASK } from './mode';

// @ts-ignore: decorator
@inline const MAX_RECORDS: u32 = 48;
/** Blocks of a page that a look-up searches for an instruction in the middle of one. */
// @ts-ignore: decorator
@inline const MOST_BLOCKS: i32 = 64;

// @ts-ignore: decorator
@inline
function bucket(cpu: usize, host: usize, modeKey: u32): usize {
  const hash = ((<u32>host) ^ ((<u32>host) >> 12) ^ (modeKey << 7)) & (<u32>(Arena.hashBuckets - 1));
  return arena(cpu) + Arena.hash + ((<usize>hash) << 2);
}

/** Forgets everything decoded. */
export function flushBlocks(cpu: usize): void {
  const header = arenaHeader(cpu);
  memory.fill(arena(cpu) + Arena.hash, 0, Arena.hashBuckets * 4);
  forgetEntries(cpu);
  const start = <usize>load<u32>(header, ArenaHeader.recordsStart);
  memory.fill(arena(cpu) + Arena.codeMap, 0, start - (arena(cpu) + Arena.codeMap));
  store<u32>(header, <u32>start, ArenaHeader.next);
  store<u32>(header, load<u32>(header, ArenaHeader.arenaFlushes) + 1, ArenaHeader.arenaFlushes);
  store<u32>(header, load<u32>(header, ArenaHeader.generation) + 1, ArenaHeader.generation);
  bumpCodeEpoch(cpu);
}

/** Bits of the 64-byte granules that [start, start + length) of a page touches. */
export function granules(start: u32, length: u32): u64 {
  const first = start >> 6;
  const last = min<u32>(start + length - 1, 0xfff) >> 6;
  const count = last - first + 1;
  return (count >= 64 ? ~(<u64>0) : ((<u64>1) << count) - 1) << first;
}

function makeStale(block: usize): void {
  const count = load<u32>(block, Block.count);
  let record = block + Block.SIZE;
  for (let i: u32 = 0; i < count; i++) {
    store<u16>(record, <u16>DecodeTable.formStale, Record.form);
    record += Record.SIZE;
  }
}

function removeFromBucket(cpu: usize, block: usize): void {
  let place = bucket(cpu, <usize>load<u32>(block, Block.host), load<u32>(block, Block.modeKey));
  while (true) {
    const at = <usize>load<u32>(place);
    if (at == 0) return;
    if (at == block) {
      store<u32>(place, load<u32>(block, Block.nextInBucket));
      return;
    }
    place = at + Block.nextInBucket;
  }
}

/**
 * Guest memory at `host` (in one frame) is about to be written: code decoded from those bytes is forgotten. Cheap when
 * the frame holds no code; does nothing when the write only lies near code.
 */
export function invalidateCode(cpu: usize, host: usize, length: u32): void {
  const map = codeMap(cpu, host);
  const have = load<u64>(map, CodeMap.granules);
  if (have == 0) return;
  const start = <u32>(host & 0xfff);
  if ((have & granules(start, length)) == 0) return;
  invalidateRange(cpu, map, host & ~0xfff, start, length);
}

function invalidateRange(cpu: usize, map: usize, page: usize, start: u32, length: u32): void {
  const header = arenaHeader(cpu);
  let left: u64 = 0;
  // Granules that lose code: the written ones, and all of each block that goes.
  let lost = granules(start, length);
  let place = map + CodeMap.blocks;
  while (true) {
    const block = <usize>load<u32>(place);
    if (block == 0) break;
    const first = ((<usize>load<u32>(block, Block.host)) & ~0xfff) == page;
    const link = block + (first ? Block.nextInPage : Block.nextInSecondPage);
    const from: u32 = first ? load<u32>(block, Block.host) & 0xfff : 0;
    const bytes = load<u32>(block, Block.length);
    const size = first ? bytes : (load<u32>(block, Block.host) & 0xfff) + bytes - 0x1000;
    if (load<u32>(block, Block.count) == 0 || (from < start + length && from + size > start)) {
      if (load<u32>(block, Block.count) != 0) {
        makeStale(block);
        lost |= granules(from, size);
        removeFromBucket(cpu, block);
        if (!first) killCrossing(cpu, <usize>load<u32>(block, Block.host));
        // A crossing block stays in its other page's list as an empty one, which any later walk drops.
        store<u32>(block, 0, Block.count);
        store<u32>(header, load<u32>(header, ArenaHeader.invalidations) + 1, ArenaHeader.invalidations);
      }
      store<u32>(place, load<u32>(link));
      continue;
    }
    left |= granules(from, size);
    place = link;
  }
  store<u64>(map, left, CodeMap.granules);
  // A region stands on records: it goes with any block that it may have been made from.
  if (load<u32>(map, CodeMap.regions)) killRegions(cpu, page, lost);
}

/** As invalidateCode, for a device that writes guest-physical RAM (one frame at a time; `host` from the frame table). */
export function invalidateHost(cpu: usize, host: u32, length: u32): void {
  invalidateCode(cpu, <usize>host, length);
}

function register(cpu: usize, page: usize, block: usize, link: usize, start: u32, length: u32): void {
  const map = codeMap(cpu, page);
  const have = load<u64>(map, CodeMap.granules);
  if (have == 0) protectFrame(cpu, page);
  store<u64>(map, have | granules(start, length), CodeMap.granules);
  store<u32>(block + link, load<u32>(map, CodeMap.blocks));
  store<u32>(map, <u32>block, CodeMap.blocks);
}

// @ts-ignore: decorator
@inline
function codeLinear(cpu: usize, rip: u64, modeKey: u32): u64 {
  if ((modeKey & MODE_CODE_MASK) == 2) return rip;
  return (load<u64>(cpu + Vcpu.segBase, 8) + rip) & 0xffffffff;
}

/** #GP when RIP is not a place in the code segment. */
function fetchAllowed(cpu: usize, rip: u64, modeKey: u32): bool {
  if ((modeKey & MODE_CODE_MASK) == 2) {
    if ((<i64>rip) >> 47 == 0 || (<i64>rip) >> 47 == -1) return true;
  } else if (rip <= <u64>load<u32>(cpu + Vcpu.segLimit, 4)) return true;
  raise(cpu, 13, 0);
  return false;
}

/**
 * The record to run at Vcpu.rip, decoded if need be; ripBase is set. 0: an exception is pending (the fetch faulted).
 * `rip` must be exact, `modeKey` up to date.
 */
export function lookup(cpu: usize): usize {
  const header = arenaHeader(cpu);
  store<u32>(header, load<u32>(header, ArenaHeader.lookups) + 1, ArenaHeader.lookups);
  const rip = load<u64>(cpu, Vcpu.rip);
  const modeKey = load<u32>(cpu, Vcpu.modeKey);
  if (!fetchAllowed(cpu, rip, modeKey)) return 0;
  const linear = codeLinear(cpu, rip, modeKey);
  const host = translate(cpu, linear, FETCH);
  if (host == 0) {
    // No RAM there: the bus floats, and all ones are no instruction.
    if (!load<u32>(cpu, Vcpu.trouble)) raiseNoError(cpu, 6);
    return 0;
  }
  const known = knownCode(cpu, host, modeKey);
  if (<usize>load<u32>(known, KnownCode.host) == host && load<u32>(known, KnownCode.modeKey) == modeKey) {
    const record = <usize>load<u32>(known, KnownCode.record);
    const form = <u32>load<u16>(record, Record.form);
    if (form != DecodeTable.formStale && form != DecodeTable.formLink) {
      store<u32>(header, 0, ArenaHeader.crossing);
      found(cpu, rip, linear, modeKey, record, <u32>(host & 0xfff), false);
      return record;
    }
  }
  const entry = findEntry(cpu, host, modeKey);
  if (entry != 0) {
    const second = secondPageOf(<usize>load<u32>(entry, Entry.record));
    if (second == 0) know(known, host, modeKey, entry);
    if (second == 0 || <usize>second == translate(cpu, (linear & ~0xfff) + 0x1000, FETCH)) {
      store<u32>(header, second ? 1 : 0, ArenaHeader.crossing);
      found(cpu, rip, linear, modeKey, entry, <u32>(host & 0xfff), second != 0);
      return entry;
    }
    // Compiled from another page than the one that follows now.
    if (load<u32>(cpu, Vcpu.trouble)) return 0;
  }
  let block = <usize>load<u32>(bucket(cpu, host, modeKey));
  while (block != 0) {
    if (<usize>load<u32>(block, Block.host) == host && load<u32>(block, Block.modeKey) == modeKey) {
      const second = load<u32>(block, Block.secondPage);
      if (second == 0) break;
      const host2 = translate(cpu, (linear & ~0xfff) + 0x1000, FETCH);
      if (host2 == 0) {
        if (!load<u32>(cpu, Vcpu.trouble)) raiseNoError(cpu, 6);
        return 0;
      }
      if (<u32>host2 == second) break;
    }
    block = <usize>load<u32>(block, Block.nextInBucket);
  }
  let record: usize = 0;
  if (block != 0) record = block + Block.SIZE;
  else {
    record = withinBlock(cpu, host, modeKey);
    if (record == 0) {
      block = decodeBlock(cpu, host, linear, rip, modeKey);
      if (block == 0) return 0;
      record = block + Block.SIZE;
    }
  }
  const crossing = block != 0 && load<u32>(block, Block.secondPage) != 0;
  if (!crossing) know(knownCode(cpu, host, modeKey), host, modeKey, record);
  store<u32>(header, crossing ? 1 : 0, ArenaHeader.crossing);
  found(cpu, rip, linear, modeKey, record, <u32>(host & 0xfff), crossing);
  return record;
}

// @ts-ignore: decorator
@inline
function know(known: usize, host: usize, modeKey: u32, record: usize): void {
  store<u32>(known, <u32>host, KnownCode.host);
  store<u32>(known, modeKey, KnownCode.modeKey);
  store<u32>(known, <u32>record, KnownCode.record);
}

/** Host address of the page in which the instruction of a record ends, which is a block of its own then; else 0. */
// @ts-ignore: decorator
@inline
function secondPageOf(record: usize): u32 {
  if (<u32>load<u16>(record, Record.offset) + <u32>load<u8>(record, Record.length) <= 0x1000) return 0;
  return load<u32>(record - Block.SIZE, Block.secondPage);
}

/** A place of the jump cache leads to a record or to an entry of compiled code. */
export function setJumpTarget(jump: usize, to: usize): void {
  const compiled = <u32>load<u16>(to, Record.form) == DecodeTable.formCompiled;
  store<u32>(jump, <u32>to, JumpEntry.record);
  store<u32>(jump, compiled ? load<u32>(to, Entry.link) : <u32>Arena.noCode, JumpEntry.slot);
  store<u32>(jump, compiled ? load<u32>(to, Entry.label) : <u32>to, JumpEntry.label);
}

/** What is at RIP is known: the page that runs is set, and the jump cache learns it. */
function found(cpu: usize, rip: u64, linear: u64, modeKey: u32, record: usize, offset: u32, crossing: bool): void {
  store<u64>(cpu, rip - offset, Vcpu.ripBase);
  if (!(modeKey & MODE_CODE_FLAT)) return;
  const index = <usize>((rip ^ (rip >> 12)) & (Arena.jumpEntries - 1));
  const jump = arena(cpu) + Arena.jumpCache + index * Arena.jumpEntryBytes;
  if (load<u64>(jump, JumpEntry.rip) != rip) store<u64>(jump, 0, JumpEntry.jumps);
  store<u64>(jump, rip, JumpEntry.rip);
  store<u32>(jump, load<u32>(cpu, Vcpu.codeKey), JumpEntry.key);
  setJumpTarget(jump, record);
  noteCodePage(cpu, linear);
  if (crossing) noteCodePage(cpu, linear + 0x1000);
}

/** The record of an instruction that is decoded in the middle of a block of its page, or 0. */
function withinBlock(cpu: usize, host: usize, modeKey: u32): usize {
  if (!(modeKey & MODE_CODE_FLAT)) return 0;
  const map = codeMap(cpu, host);
  // Cheap where nothing near was decoded.
  if (!((load<u64>(map, CodeMap.granules) >> ((host & 0xfff) >> 6)) & 1)) return 0;
  let block = <usize>load<u32>(map, CodeMap.blocks);
  const page = host & ~0xfff;
  for (let looks = 0; block != 0 && looks < MOST_BLOCKS; looks++) {
    const start = <usize>load<u32>(block, Block.host);
    const first = (start & ~0xfff) == page;
    if (
      first &&
      start < host &&
      host < start + <usize>load<u32>(block, Block.length) &&
      load<u32>(block, Block.modeKey) == modeKey &&
      load<u32>(block, Block.secondPage) == 0
    ) {
      // By halves: the records stand in the order of their offsets; the last one closes the block.
      let low = block + Block.SIZE;
      let high = low + <usize>(load<u32>(block, Block.count) - 1) * Record.SIZE;
      const offset = <u32>(host & 0xfff);
      while (low < high) {
        const middle = low + <usize>((<u32>(high - low) / <u32>Record.SIZE) >> 1) * Record.SIZE;
        if (<u32>load<u16>(middle, Record.offset) < offset) low = middle + Record.SIZE;
        else high = middle;
      }
      if (<u32>load<u16>(low, Record.offset) == offset) return low;
    }
    block = <usize>load<u32>(block + (first ? Block.nextInPage : Block.nextInSecondPage));
  }
  return 0;
}

/** Joins the instruction before `record` with it, and with what it was joined to, where there is a form for that. */
function fuse(cpu: usize, record: usize): bool {
  const tables = arena(cpu) + Arena.tables;
  const fusion = tables + <usize>load<u32>(tables, 8);
  const before = record - Record.SIZE;
  const form = (<usize>load<u16>(record, Record.form)) << 1;
  const formBefore = (<usize>load<u16>(before, Record.form)) << 1;
  const branch = <u32>load<u16>(fusion + form);
  let fused: u16 = 0;
  if (branch & DecodeTable.fusionBranch) {
    const group = <u32>load<u16>(fusion + formBefore);
    if (group == 0 || group >= DecodeTable.fusionTransfer) return false;
    const groups = tables + <usize>load<u32>(tables, 12);
    fused = load<u16>(groups + ((<usize>(((group - 1) << 4) | (branch & 15))) << 1));
  } else {
    const places = tables + <usize>load<u32>(tables, 16);
    const row = <u32>load<u8>(places + formBefore);
    const column = <u32>load<u8>(places + form, 1);
    if (row == 0 || column == 0) return false;
    const rows = tables + <usize>load<u32>(tables, 20);
    fused = load<u16>(rows + ((<usize>((row - 1) * DecodeTable.pairColumns + column - 1)) << 1));
  }
  if (fused == 0) return false;
  store<u16>(before, fused, Record.form);
  return true;
}

/** A block starts there. */
// @ts-ignore: decorator
@inline
function known(cpu: usize, host: usize, modeKey: u32): bool {
  let block = <usize>load<u32>(bucket(cpu, host, modeKey));
  while (block != 0) {
    if (<usize>load<u32>(block, Block.host) == host && load<u32>(block, Block.modeKey) == modeKey) return true;
    block = <usize>load<u32>(block, Block.nextInBucket);
  }
  return false;
}

function decodeBlock(cpu: usize, host: usize, linear: u64, rip: u64, modeKey: u32): usize {
  const header = arenaHeader(cpu);
  if (
    load<u32>(header, ArenaHeader.next) + <u32>(Block.SIZE + <usize>(MAX_RECORDS + 2) * Record.SIZE) >
    load<u32>(cpu, Vcpu.arenaEnd)
  ) {
    flushBlocks(cpu);
  }
  const block = <usize>load<u32>(header, ArenaHeader.next);
  let record = block + Block.SIZE;
  let offset = <u32>(host & 0xfff);
  const start = offset;
  const page = host & ~0xfff;
  let count: u32 = 0;
  let second: usize = 0;
  // Outside of a flat code segment the limit counts: one instruction a block, checked at each look-up.
  const most: u32 = modeKey & MODE_CODE_FLAT ? MAX_RECORDS : 1;
  while (count < most && offset < 0x1000) {
    // What is decoded already is not decoded again.
    if (count > 0 && known(cpu, page + offset, modeKey)) break;
    const result = decode(cpu, page + offset, 0x1000 - offset, record, offset, modeKey);
    if (result == DECODE_MORE) {
      if (count > 0) break;
      // The instruction goes on in the next page: fetch both parts into a buffer.
      const inPage: u32 = 0x1000 - offset;
      const next = (linear & ~0xfff) + 0x1000;
      second = translate(cpu, (modeKey & MODE_CODE_MASK) == 2 ? next : next & 0xffffffff, FETCH);
      if (second == 0) {
        if (!load<u32>(cpu, Vcpu.trouble)) raiseNoError(cpu, 6);
        return 0;
      }
      const buffer = header + ArenaHeader.fetchBuffer;
      const beyond = min<u32>(16 - inPage, 16);
      memory.copy(buffer, page + offset, inPage);
      memory.copy(buffer + inPage, second, beyond);
      const length = decode(cpu, buffer, 16, record, offset, modeKey);
      if (length == DECODE_TOO_LONG || length == DECODE_MORE) {
        raise(cpu, 13, 0);
        return 0;
      }
      store<u16>(record, <u16>offset, Record.offset);
      offset += <u32>(length & 0xff);
      record += Record.SIZE;
      count++;
      break;
    }
    if (result == DECODE_TOO_LONG) {
      if (count > 0) break;
      raise(cpu, 13, 0);
      return 0;
    }
    store<u16>(record, <u16>offset, Record.offset);
    if (count > 0 && fuse(cpu, record) && count > 1) fuse(cpu, record - Record.SIZE);
    offset += <u32>(result & 0xff);
    record += Record.SIZE;
    count++;
    if (result & ENDS) break;
  }
  const length = offset - start;
  if (!(modeKey & MODE_CODE_FLAT) && (modeKey & MODE_CODE_MASK) != 2) {
    // The whole instruction must lie within the limit.
    if (rip + length - 1 > <u64>load<u32>(cpu + Vcpu.segLimit, 4)) {
      raise(cpu, 13, 0);
      return 0;
    }
  }
  store<u32>(header, load<u32>(header, ArenaHeader.decoded) + count, ArenaHeader.decoded);
  store<u32>(header, load<u32>(header, ArenaHeader.blocks) + 1, ArenaHeader.blocks);
  // An instruction that ends the block may go on behind it all the same (POPF that changes nothing): always close it.
  store<u16>(record, <u16>DecodeTable.formLink, Record.form);
  store<u16>(record, <u16>offset, Record.offset);
  store<u8>(record, 0, Record.length);
  store<u64>(record, 0, Record.immediate);
  store<u32>(record, offset >= 0x1000 || !(modeKey & MODE_CODE_FLAT) ? 1 : 0, Record.link);
  record += Record.SIZE;
  count++;
  store<u32>(block, <u32>host, Block.host);
  store<u32>(block, <u32>second, Block.secondPage);
  store<u32>(block, modeKey, Block.modeKey);
  store<u32>(block, length, Block.length);
  store<u32>(block, count, Block.count);
  const place = bucket(cpu, host, modeKey);
  store<u32>(block, load<u32>(place), Block.nextInBucket);
  store<u32>(place, <u32>block);
  register(cpu, page, block, Block.nextInPage, start, length);
  if (second) register(cpu, second & ~0xfff, block, Block.nextInSecondPage, 0, start + length - 0x1000);
  store<u32>(header, <u32>record, ArenaHeader.next);
  return block;
}

/**
 * The record that a relative branch or a link in `record` leads to, whose target RIP (same page) is in Vcpu.rip; the
 * branch is linked to it for the next time. 0: look-up failed, an exception is pending at the target.
 */
export function linkTo(cpu: usize, record: usize): usize {
  const flushes = load<u32>(arenaHeader(cpu), ArenaHeader.arenaFlushes);
  const target = lookup(cpu);
  if (target == 0) return 0;
  const crossing = load<u32>(arenaHeader(cpu), ArenaHeader.crossing) != 0;
  if (flushes == load<u32>(arenaHeader(cpu), ArenaHeader.arenaFlushes)) {
    store<u32>(record, crossing ? 1 : <u32>target, Record.link);
  }
  return target;
}

/**
 * The record that replaces a stale one, whose RIP is in Vcpu.rip; the stale one leads there from now on, for the links
 * that still end in it. 0 as in linkTo.
 */
export function relink(cpu: usize, record: usize): usize {
  const target = linkTo(cpu, record);
  if (target != 0 && <usize>load<u32>(record, Record.link) == target) {
    store<u16>(record, <u16>DecodeTable.formLink, Record.form);
  }
  return target;
}
