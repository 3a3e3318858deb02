/**
 * Compiled code as the core sees it: regions and their entries, the profile that asks for them, and what compiled code
 * calls where its own fast path ends. The compiler itself is `cpu/jit`.
 */
import {
  AccessNotes,
  Arena,
  ArenaHeader,
  Block,
  CodeMap,
  CompiledAccess,
  DecodeTable,
  Entry,
  ExitReason,
  FlagKind,
  JumpEntry,
  KnownCode,
  Record,
  RecordFlags,
  Region,
  TierCode,
  Vcpu,
} from '../../../build/core/layout';
import { granules, setJumpTarget } from './blocks';
import { setArithmeticFlags } from './flags';
import { alignmentChecked, misaligned } from './memory';
import { arenaHeader, codeMap, FETCH, WRITE } from './paging';
import { holdsPage, translate } from './tlb';
import { MODE_CODE_FLAT, MODE_CODE_MASK } from './mode';
import { segmentBase } from './operands';
import { retiredNow } from './system';

/** Of one instruction, of all in view, and instructions for each of those that are no matter: powers of two. */
// @ts-ignore: decorator
@inline const MISSES_OF_ONE: u32 = 16;
// @ts-ignore: decorator
@inline const MISSES_IN_VIEW: u32 = 4096;
// @ts-ignore: decorator
@inline const RARE: u32 = 8192;
/** Samples that make code worth compiling. */
// @ts-ignore: decorator
@inline const HOT: u32 = 160;

// @ts-ignore: decorator
@inline
function entryBucket(cpu: usize, host: usize): usize {
  const hash = ((<u32>host) ^ ((<u32>host) >> 12)) & (<u32>(Arena.entryBuckets - 1));
  return <usize>load<u32>(cpu, Vcpu.arena) + Arena.entryHash + ((<usize>hash) << 2);
}

/** Where what is known of the code at a host address stands ({@link KnownCode}), of this or of another. */
// @ts-ignore: decorator
@inline
export function knownCode(cpu: usize, host: usize, modeKey: u32): usize {
  const hash = ((<u32>host) ^ ((<u32>host) >> 12) ^ (modeKey << 7)) & (<u32>(Arena.knownCodeEntries - 1));
  return <usize>load<u32>(cpu, Vcpu.arena) + Arena.knownCode + <usize>hash * KnownCode.SIZE;
}

/** The entry of compiled code at a host address, or 0. */
export function findEntry(cpu: usize, host: usize, modeKey: u32): usize {
  let entry = <usize>load<u32>(entryBucket(cpu, host));
  while (entry != 0) {
    if (<usize>load<u32>(entry, Entry.host) == host && load<u32>(entry, Entry.modeKey) == modeKey) return entry;
    entry = <usize>load<u32>(entry, Entry.nextInBucket);
  }
  return 0;
}

export function forgetEntries(cpu: usize): void {
  memory.fill(<usize>load<u32>(cpu, Vcpu.arena) + Arena.entryHash, 0, Arena.entryBuckets * 4);
  memory.fill(<usize>load<u32>(cpu, Vcpu.arena) + Arena.knownCode, 0, Arena.knownCodeEntries * KnownCode.SIZE);
  memory.fill(<usize>load<u32>(cpu, Vcpu.arena) + Arena.heat, 0, Arena.heatCounters);
  const header = arenaHeader(cpu);
  memory.fill(<usize>load<u32>(cpu, Vcpu.arena) + Arena.codePlaces, 0, Arena.codePlacesBytes);
  store<u32>(header, 0, ArenaHeader.dead);
  store<u32>(header, 0, ArenaHeader.requested);
}

// ---------------------------------------------------------------------------------------------------------------------
// Regions.

/**
 * A new region of the frame at `page`, without entries yet; 0 when the arena is full. `low` and `high` are the halves of
 * its granules.
 */
export function addRegion(cpu: usize, page: usize, slot: u32, low: u32, high: u32, entryRoom: u32): usize {
  const header = arenaHeader(cpu);
  const region = <usize>load<u32>(header, ArenaHeader.next);
  const bytes = Region.SIZE + <usize>entryRoom * Entry.SIZE;
  if (<u32>(region + bytes) > load<u32>(cpu, Vcpu.arenaEnd)) return 0;
  store<u32>(header, <u32>(region + bytes), ArenaHeader.next);
  store<u32>(region, low, Region.granules);
  store<u32>(region, high, Region.granules + 4);
  store<u32>(region, <u32>page, Region.page);
  store<u32>(region, slot, Region.slot);
  store<u32>(region, 0, Region.entryCount);
  store<u32>(region, entryRoom, Region.entryRoom);
  store<u32>(region, 1, Region.live);
  store<u32>(region, 0, Region.owner);
  const map = codeMap(cpu, page);
  store<u32>(region, load<u32>(map, CodeMap.regions), Region.next);
  store<u32>(map, <u32>region, CodeMap.regions);
  return region;
}

/** `region` dies, too, when one of these granules of another frame is written. 0 when the arena is full. */
export function addWatch(cpu: usize, page: usize, low: u32, high: u32, region: usize): usize {
  const watch = addRegion(cpu, page, 0, low, high, 0);
  if (watch != 0) store<u32>(watch, <u32>region, Region.owner);
  return watch;
}

/**
 * Lets the interpreter come from `record`, a decoded one in the region's frame, into its function; `publish` makes it
 * known to what leads there already.
 */
export function addEntry(cpu: usize, region: usize, record: usize, modeKey: u32, label: u32): void {
  const count = load<u32>(region, Region.entryCount);
  const page = <usize>load<u32>(region, Region.page);
  const offset = load<u16>(record, Record.offset);
  const host = page + <usize>offset;
  // Who comes first keeps the place.
  if (findEntry(cpu, host, modeKey) != 0) return;
  const entry = region + Region.SIZE + <usize>count * Entry.SIZE;
  store<u32>(region, count + 1, Region.entryCount);
  store<u16>(entry, <u16>DecodeTable.formCompiled, Entry.form);
  store<u16>(entry, offset, Entry.offset);
  store<u32>(entry, label, Entry.label);
  store<u32>(entry, <u32>record, Entry.record);
  store<u32>(entry, 0, Entry.none);
  store<u32>(entry, <u32>region, Entry.region);
  store<u32>(entry, load<u32>(region, Region.slot), Entry.link);
  store<u32>(entry, <u32>host, Entry.host);
  store<u32>(entry, modeKey, Entry.modeKey);
  const place = entryBucket(cpu, host);
  store<u32>(entry, load<u32>(place), Entry.nextInBucket);
  store<u32>(place, <u32>entry);
  const known = knownCode(cpu, host, modeKey);
  if (<usize>load<u32>(known, KnownCode.host) == host) store<u32>(known, 0, KnownCode.host);
  store<u8>(record, load<u8>(record, Record.flags) | (<u8>RecordFlags.entered), Record.flags);
}

/** The entry of a region that stands for a record, or 0. */
function entryOf(region: usize, record: usize): usize {
  let entry = region + Region.SIZE;
  for (let left = load<u32>(region, Region.entryCount); left != 0; left--, entry += Entry.SIZE) {
    if (<usize>load<u32>(entry, Entry.record) == record) return entry;
  }
  return 0;
}

/** What a link or a place in the jump cache should hold instead of `to`; 0: that. */
// @ts-ignore: decorator
@inline
function redirected(cpu: usize, region: usize, end: usize, to: usize, publish: bool): usize {
  // 0, 1, or where an indirect call has led.
  if (to < <usize>load<u32>(cpu, Vcpu.arena) || to >= <usize>load<u32>(cpu, Vcpu.arenaEnd)) return 0;
  if (publish) {
    if (!((<u32>load<u8>(to, Record.flags)) & RecordFlags.entered)) return 0;
    return entryOf(region, to);
  }
  return to >= region && to < end ? <usize>load<u32>(to, Entry.record) : 0;
}

/** Links of the region's frame and the jump cache: from records to entries, or back again. */
function redirect(cpu: usize, region: usize, publish: bool): void {
  const page = <usize>load<u32>(region, Region.page);
  const end = region + Region.SIZE + <usize>load<u32>(region, Region.entryRoom) * Entry.SIZE;
  let block = <usize>load<u32>(codeMap(cpu, page), CodeMap.blocks);
  while (block != 0) {
    const first = ((<usize>load<u32>(block, Block.host)) & ~0xfff) == page;
    let at = block + Block.SIZE;
    for (let left = load<u32>(block, Block.count); left != 0; left--, at += Record.SIZE) {
      const to = redirected(cpu, region, end, <usize>load<u32>(at, Record.link), publish);
      if (to != 0) store<u32>(at, <u32>to, Record.link);
    }
    block = <usize>load<u32>(block + (first ? Block.nextInPage : Block.nextInSecondPage));
  }
  const granules = load<u64>(region, Region.granules);
  let jump = <usize>load<u32>(cpu, Vcpu.arena) + Arena.jumpCache;
  for (let left: usize = Arena.jumpEntries; left != 0; left--, jump += JumpEntry.SIZE) {
    if (!((granules >> ((load<u64>(jump, JumpEntry.rip) >> 6) & 63)) & 1)) continue;
    const to = redirected(cpu, region, end, <usize>load<u32>(jump, JumpEntry.record), publish);
    if (to != 0) setJumpTarget(jump, to);
  }
}

/** What led to records of the region's entries leads to the entries from now on. */
export function publish(cpu: usize, region: usize): void {
  redirect(cpu, region, true);
}

/** From now on the entry only leads to its record. */
function retire(cpu: usize, entry: usize): void {
  const record = <usize>load<u32>(entry, Entry.record);
  store<u8>(record, load<u8>(record, Record.flags) & ~(<u8>RecordFlags.entered), Record.flags);
  store<u16>(entry, <u16>DecodeTable.formLink, Entry.form);
  store<u32>(entry, <u32>record, Entry.link);
  let place = entryBucket(cpu, <usize>load<u32>(entry, Entry.host));
  while (true) {
    const at = <usize>load<u32>(place);
    if (at == 0) return;
    if (at == entry) {
      store<u32>(place, load<u32>(entry, Entry.nextInBucket));
      return;
    }
    place = at + Entry.nextInBucket;
  }
}

function kill(cpu: usize, region: usize): void {
  const header = arenaHeader(cpu);
  const owner = <usize>load<u32>(region, Region.owner);
  if (owner != 0) {
    // Its memory is not used again before all of the arena is.
    if (load<u32>(owner, Region.live)) removeRegion(cpu, owner);
    return;
  }
  store<u32>(region, 0, Region.live);
  let entry = region + Region.SIZE;
  for (let left = load<u32>(region, Region.entryCount); left != 0; left--, entry += Entry.SIZE) {
    retire(cpu, entry);
  }
  redirect(cpu, region, false);
  store<u32>(region, load<u32>(header, ArenaHeader.dead), Region.next);
  store<u32>(header, <u32>region, ArenaHeader.dead);
  store<u32>(header, load<u32>(header, ArenaHeader.regionsKilled) + 1, ArenaHeader.regionsKilled);
  store<u32>(cpu, 1, Vcpu.unwind);
}

/** Kills the regions of a frame that were compiled from any of these granules. */
export function killRegions(cpu: usize, page: usize, bits: u64): void {
  let place = codeMap(cpu, page) + CodeMap.regions;
  while (true) {
    const region = <usize>load<u32>(place);
    if (region == 0) return;
    if (load<u64>(region, Region.granules) & bits) {
      store<u32>(place, load<u32>(region, Region.next));
      kill(cpu, region);
    } else place = region + Region.next;
  }
}

/** Kills the regions that may have the instruction which begins at `host` and goes on in another page. */
export function killCrossing(cpu: usize, host: usize): void {
  killRegions(cpu, host & ~0xfff, (<u64>1) << 63);
}

/** Kills one region: a better one takes its place, or its module is given up. */
export function removeRegion(cpu: usize, region: usize): void {
  let place = codeMap(cpu, <usize>load<u32>(region, Region.page)) + CodeMap.regions;
  while (true) {
    const at = <usize>load<u32>(place);
    if (at == 0) return;
    if (at == region) {
      store<u32>(place, load<u32>(region, Region.next));
      kill(cpu, region);
      return;
    }
    place = at + Region.next;
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// The profile.

/** Asks for the code of a record of the page that runs to be compiled. 0 when it is not in RAM or the list is full. */
export function request(cpu: usize, record: usize): u32 {
  const host = hostOf(cpu, record);
  if (host == 0) return 0;
  const header = arenaHeader(cpu);
  const count = load<u32>(header, ArenaHeader.requested);
  if (<usize>count >= Arena.requestCount) return 0;
  const place = header + ((<usize>count) << 2);
  store<u32>(place, <u32>host, ArenaHeader.requests);
  store<u32>(place, load<u32>(cpu, Vcpu.modeKey), ArenaHeader.requestModes);
  store<u32>(place, <u32>record, ArenaHeader.requestRecords);
  store<u64>(place + ((<usize>count) << 2), load<u64>(cpu, Vcpu.ripBase), ArenaHeader.requestRips);
  store<u32>(header, count + 1, ArenaHeader.requested);
  return count + 1;
}

function hostOf(cpu: usize, record: usize): usize {
  const rip = load<u64>(cpu, Vcpu.ripBase) + load<u16>(record, Record.offset);
  const linear = segmentBase(cpu, 1, rip);
  const host = translate(cpu, linear, FETCH);
  if (host == 0) {
    store<u32>(cpu, 0, Vcpu.trouble);
    store<u32>(cpu, 0, Vcpu.exceptionPending);
  }
  return host;
}

/** The interpreter is at `record`, by chance. 1: the list of requests is full, leave. */
export function sample(cpu: usize, record: usize): u32 {
  const header = arenaHeader(cpu);
  if (load<u32>(header, ArenaHeader.tier) != TierCode.auto) return 0;
  if (!(load<u32>(cpu, Vcpu.modeKey) & MODE_CODE_FLAT)) return 0;
  if (<u32>load<u16>(record, Record.form) < DecodeTable.formCount) return 0;
  if ((<u32>load<u8>(record, Record.flags)) & RecordFlags.declined) return 0;
  const host = hostOf(cpu, record);
  if (host == 0) return 0;
  const hash = (<u32>(host >> 7)) & (<u32>(Arena.heatCounters - 1));
  const counter = <usize>load<u32>(cpu, Vcpu.arena) + Arena.heat + <usize>hash;
  const heat = <u32>load<u8>(counter) + 1;
  if (heat < HOT) {
    store<u8>(counter, <u8>heat);
    return 0;
  }
  store<u8>(counter, 0);
  if (<usize>request(cpu, record) < Arena.requestCount) return 0;
  store<u32>(cpu, ExitReason.compile, Vcpu.exitReason);
  return 1;
}

/**
 * Compiled code leaves by the computed jump of `record` (0: it has been noted) to `rip`: one that often leads to its own
 * page is worth a region with all of its targets.
 */
export function noteJump(cpu: usize, record: usize, rip: u64): void {
  if (record == 0 || (rip & ~0xfff) != load<u64>(cpu, Vcpu.ripBase)) return;
  const index = <usize>((rip ^ (rip >> 12)) & (Arena.jumpEntries - 1));
  const jump = <usize>load<u32>(cpu, Vcpu.arena) + Arena.jumpCache + index * Arena.jumpEntryBytes;
  if (load<u64>(jump, JumpEntry.rip) != rip) return;
  const jumps = load<u32>(jump, JumpEntry.jumps) + 1;
  store<u32>(jump, jumps, JumpEntry.jumps);
  store<u32>(jump, <u32>record, JumpEntry.jumpedFrom);
  // Again when there were twice as many: it may have been declined.
  if (!(jumps & (jumps - 1)) && jumps >= load<u32>(arenaHeader(cpu), ArenaHeader.hotJumps)) request(cpu, record);
}

// ---------------------------------------------------------------------------------------------------------------------
// Slow paths of compiled code. 0: the interpreter has to do the whole instruction.

function linearOf(cpu: usize, address: u64): u64 {
  return (load<u32>(cpu, Vcpu.modeKey) & MODE_CODE_MASK) == 2 ? address : address & 0xffffffff;
}

function canonical(cpu: usize, address: u64, size: u32): bool {
  if ((load<u32>(cpu, Vcpu.modeKey) & MODE_CODE_MASK) != 2) return true;
  const last = address + size - 1;
  return (<i64>(address << 16)) >> 16 == <i64>address && (<i64>(last << 16)) >> 16 == <i64>last;
}

/** Data breakpoints, addresses that are not canonical and alignment faults are for the interpreter. */
function notCompiled(cpu: usize, address: u64, size: u32): bool {
  if (load<u64>(cpu + 56, Vcpu.dr) & 0xff || !canonical(cpu, address, size)) return true;
  return alignmentChecked(cpu) && misaligned(address, size);
}

/** An access of the instruction of `record`. `access`: as `compiledAccess` says. Returns the size. */
// @ts-ignore: decorator
@inline
function begin(cpu: usize, access: u32, record: u32): u32 {
  store<u32>(cpu, record, Vcpu.record);
  return access & CompiledAccess.size;
}

// @ts-ignore: decorator
@inline
function noteAccess(record: usize, bit: u32): void {
  store<u8>(record, (<u32>load<u8>(record, Record.scale)) | bit, Record.scale);
}

/**
 * Compiled code has left because of an access of the instruction of Vcpu.record, which is interpreted next. Where that
 * happens too often, and again and again with this instruction, it is worth a region that asks the core instead.
 */
export function missed(cpu: usize): void {
  const header = arenaHeader(cpu);
  const record = <usize>load<u32>(cpu, Vcpu.record);
  const counters = <usize>load<u32>(cpu, Vcpu.arena) + Arena.missCounters;
  const misses = load<u32>(header, ArenaHeader.misses) + 1;
  store<u32>(header, misses, ArenaHeader.misses);
  if ((misses & (MISSES_IN_VIEW - 1)) == 0) {
    const now = retiredNow(cpu);
    const dense = now - load<u64>(header, ArenaHeader.missesSince) < <u64>MISSES_IN_VIEW * RARE;
    store<u32>(header, dense ? 1 : 0, ArenaHeader.missesDense);
    store<u64>(header, now, ArenaHeader.missesSince);
    memory.fill(counters, 0, Arena.missCounterCount);
  }
  const counter = counters + ((record >> 5) & (Arena.missCounterCount - 1));
  const count = <u32>load<u8>(counter) + 1;
  store<u8>(counter, <u8>count);
  if (count & (MISSES_OF_ONE - 1) || load<u32>(header, ArenaHeader.missesDense) == 0) return;
  noteAccess(record, AccessNotes.missesOften);
  request(cpu, record);
}

/** Compiled code has left because of an access of Vcpu.record: compiled again, the instruction looks at the TLB. */
export function strayed(cpu: usize): void {
  noteAccess(<usize>load<u32>(cpu, Vcpu.record), AccessNotes.strayed);
}

/** The page is not as what follows would have it: the instruction is interpreted, and compiled otherwise the next time. */
// @ts-ignore: decorator
@inline
function strays(access: u32, record: u32): usize {
  if (access & CompiledAccess.wholePage) noteAccess(<usize>record, AccessNotes.strayed);
  return 0;
}

/** `host`, if the page suits what follows. */
// @ts-ignore: decorator
@inline
function suited(cpu: usize, linear: u64, access: u32, record: u32, host: usize): usize {
  if (host == 0 || !(access & CompiledAccess.wholePage)) return host;
  const writable = (access & CompiledAccess.writablePage) == CompiledAccess.writablePage;
  return holdsPage(cpu, linear, writable ? WRITE : 0) ? host : strays(access, record);
}

/** Host address to read from, maybe across pages. */
export function compiledRead(cpu: usize, address: u64, access: u32, record: u32): usize {
  const size = begin(cpu, access, record);
  if (notCompiled(cpu, address, size)) return 0;
  const linear = linearOf(cpu, address);
  const inPage: u32 = 0x1000 - <u32>(linear & 0xfff);
  if (size <= inPage) return suited(cpu, linear, access, record, translate(cpu, linear, 0));
  if (access & CompiledAccess.wholePage) return strays(access, record);
  const first = translate(cpu, linear, 0);
  if (first == 0) return 0;
  const second = translate(cpu, linearOf(cpu, linear + inPage), 0);
  if (second == 0) return 0;
  memory.copy(cpu + Vcpu.bounce, first, inPage);
  memory.copy(cpu + Vcpu.bounce + inPage, second, size - inPage);
  return cpu + Vcpu.bounce;
}

/** Host address to write to: within one page, and not over decoded code. */
export function compiledWrite(cpu: usize, address: u64, access: u32, record: u32): usize {
  const size = begin(cpu, access, record);
  if (notCompiled(cpu, address, size)) return 0;
  const linear = linearOf(cpu, address);
  if (size > 0x1000 - <u32>(linear & 0xfff)) return strays(access, record);
  const host = translate(cpu, linear, WRITE);
  if (host == 0) return 0;
  const have = load<u64>(codeMap(cpu, host), CodeMap.granules);
  if (have != 0 && have & granules(<u32>(host & 0xfff), size)) return strays(access, record);
  return suited(cpu, linear, access, record, host);
}

/**
 * The instruction of `record` crosses into the next page: whether it is mapped there to the frame from which the rest of
 * the instruction was decoded. Otherwise the regions that have it are killed, and the look-up decides what stands there.
 */
export function secondPageHolds(cpu: usize, record: usize): u32 {
  const block = record - Block.SIZE;
  const host = translate(cpu, linearOf(cpu, load<u64>(cpu, Vcpu.ripBase) + 0x1000), FETCH);
  if (host != 0 && <u32>host == load<u32>(block, Block.secondPage)) return 1;
  store<u32>(cpu, 0, Vcpu.trouble);
  store<u32>(cpu, 0, Vcpu.exceptionPending);
  killCrossing(cpu, <usize>load<u32>(block, Block.host));
  return 0;
}

/** Whether code at the linear address, the first of its page, is fetched from the frame at `host`. */
export function fetchesFrom(cpu: usize, address: u64, host: u32): u32 {
  const found = translate(cpu, linearOf(cpu, address), FETCH);
  if (found == 0) {
    store<u32>(cpu, 0, Vcpu.trouble);
    store<u32>(cpu, 0, Vcpu.exceptionPending);
  }
  return <u32>found == host ? 1 : 0;
}

// ---------------------------------------------------------------------------------------------------------------------
// Flags.

/** CF of flags that compiled code holds in locals; of the kind 0 they are in the vCPU. */
export function heldCarry(cpu: usize, kind: u32, a: u64, b: u64, c: u32): u32 {
  if (kind == FlagKind.none) {
    settleFlags(cpu);
    return load<u32>(cpu, Vcpu.flagCarry);
  }
  const rule = kind & ~3;
  if (rule == FlagKind.logic) return 0;
  if (rule == FlagKind.inc || rule == FlagKind.dec) return c;
  if (rule == FlagKind.parts) return c & 1;
  if (rule == FlagKind.word) return (<u32>a) & 1;
  const shift = <u64>(64 - (8 << (kind & 3)));
  const x = a << shift;
  const y = b << shift;
  if (rule == FlagKind.sub) return x < y ? 1 : 0;
  if (rule == FlagKind.sbb) return x < y || (c != 0 && x == y) ? 1 : 0;
  const r = x + y + (rule == FlagKind.adc ? (<u64>c) << shift : 0);
  return r < x || (rule == FlagKind.adc && c != 0 && r == x) ? 1 : 0;
}

/** The lazy words from the flags that compiled code holds in the vCPU (`emit/flag-kind.ts`). */
export function settleFlags(cpu: usize): void {
  const kind = load<u32>(cpu, Vcpu.heldKind);
  if (kind == FlagKind.none) return;
  store<u32>(cpu, FlagKind.none, Vcpu.heldKind);
  const a = load<u64>(cpu, Vcpu.heldA);
  const b = load<u64>(cpu, Vcpu.heldB);
  const c = load<u32>(cpu, Vcpu.heldC);
  const shift = <u64>(64 - (8 << (kind & 3)));
  const rule = kind & ~3;
  let x = a << shift;
  let y = b << shift;
  if (rule == FlagKind.parts) {
    store<i64>(cpu, (<i64>x) >> shift, Vcpu.flagResult);
    store<i64>(cpu, (<i64>y) >> shift, Vcpu.flagOverflow);
    store<u32>(cpu, c & 1, Vcpu.flagCarry);
    store<u32>(cpu, c & 0x10, Vcpu.flagAux);
    return;
  }
  if (rule == FlagKind.word) {
    setArithmeticFlags(cpu, <u32>a);
    return;
  }
  if (rule == FlagKind.logic) {
    store<i64>(cpu, (<i64>x) >> shift, Vcpu.flagResult);
    store<i64>(cpu, 0, Vcpu.flagOverflow);
    store<u64>(cpu, 0, Vcpu.flagCarry);
    return;
  }
  const one = (<u64>1) << shift;
  let r: u64;
  let overflow: u64;
  if (rule == FlagKind.inc) {
    r = x;
    x = r - one;
    y = one;
    overflow = (x ^ r) & (y ^ r);
  } else if (rule == FlagKind.dec) {
    r = x;
    x = r + one;
    y = one;
    overflow = (x ^ y) & (x ^ r);
  } else if (rule == FlagKind.add || rule == FlagKind.adc) {
    const carryIn = rule == FlagKind.adc ? (<u64>c) << shift : 0;
    r = x + y + carryIn;
    overflow = (x ^ r) & (y ^ r);
  } else {
    const borrow = rule == FlagKind.sbb ? (<u64>c) << shift : 0;
    r = x - y - borrow;
    overflow = (x ^ y) & (x ^ r);
  }
  store<i64>(cpu, (<i64>r) >> shift, Vcpu.flagResult);
  store<i64>(cpu, (<i64>overflow) >> shift, Vcpu.flagOverflow);
  store<u32>(cpu, heldCarry(cpu, kind, a, b, c), Vcpu.flagCarry);
  store<u32>(cpu, (<u32>((x ^ y ^ r) >> shift)) & 0x10, Vcpu.flagAux);
}
