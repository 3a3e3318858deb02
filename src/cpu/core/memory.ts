/**
 * Guest memory as the processor sees it: page walks, TLBs, and accesses that may cross pages or reach devices.
 *
 * A TLB entry holds the linear page and an addend: host address = low 32 bits of the linear address + addend. A read
 * hits when the page of the access's *last* byte equals the tag at the index of its first byte: one comparison tells
 * hit, and that the access does not cross. Entries exist only for RAM; write entries only for pages without decoded
 * code, with the dirty bit set; neither for a page with a data breakpoint, so that its accesses come to the slow paths.
 *
 * An access that crosses pages or goes to a device is staged in `Vcpu.bounce`: a read fills it, a write is committed
 * from it (`commitWrite`), after both pages were found writable; so no fault leaves a trace.
 * Sources: SDM vol. 3, chapter 4 (paging), §4.6 (access rights), §4.7 (page-fault error codes), §4.10 (TLBs).
 */
import { Arena, ArenaHeader, CodeMap, ModeKey, Record, TlbEntry, Vcpu } from '../../../build/core/layout';
import { raise, raisePageFault, watchAccess, watchedPage } from './events';
import { mmioRead, mmioWrite } from './machine';
import { invalidateCode } from './blocks';
import { MODE_USER } from './mode';
import { ALIGNMENT } from './registers';

/** Access kinds, combined as bits. */
// @ts-ignore: decorator
@inline export const WRITE: u32 = 1;
// @ts-ignore: decorator
@inline export const FETCH: u32 = 2;
/** An implicit supervisor access: descriptor tables, TSS, IDT. */
// @ts-ignore: decorator
@inline export const SYSTEM: u32 = 4;

/** Bits of Vcpu.trouble: an exception is pending; the access reached a device outside of a single step. */
// @ts-ignore: decorator
@inline export const TROUBLE_FAULT: u32 = 1;
// @ts-ignore: decorator
@inline export const TROUBLE_DEVICE: u32 = 2;

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

// @ts-ignore: decorator
@inline
function arena(cpu: usize): usize {
  return <usize>load<u32>(cpu, Vcpu.arena);
}

// @ts-ignore: decorator
@inline
export function arenaHeader(cpu: usize): usize {
  return arena(cpu) + Arena.header;
}

/** Address of TLB set 0 (supervisor), 1 (user) or 2 (supervisor, EFLAGS.AC); 3 is empty, for alignment checks. */
export function tlbSet(cpu: usize, index: u32): u32 {
  return <u32>(arena(cpu) + Arena.tlb + <usize>index * Arena.tlbSetBytes);
}

// @ts-ignore: decorator
@inline
function entryOf(set: usize, kind: usize, linear: u64): usize {
  return set + kind * Arena.tlbArrayBytes + (((<usize>(linear >> 12)) & (Arena.tlbEntries - 1)) << 4);
}

// @ts-ignore: decorator
@inline
function paging(cpu: usize): bool {
  return (load<u64>(cpu, Vcpu.cr0) & 0x80000000) != 0;
}

/** Host address of a guest-physical address, 0 where there is no RAM. Bit 0 of the table says read-only. */
// @ts-ignore: decorator
@inline
function frameEntry(cpu: usize, physical: u64): u32 {
  const page = physical >> 12;
  if (page >= <u64>load<u32>(cpu, Vcpu.frameCount)) return 0;
  return load<u32>(<usize>load<u32>(cpu, Vcpu.frameTable) + ((<usize>page) << 2));
}

export function hostOfPhysical(cpu: usize, physical: u64): usize {
  const entry = frameEntry(cpu, physical);
  if (entry == 0) return 0;
  return <usize>(entry & ~0xfff) + <usize>(physical & 0xfff);
}

// ---------------------------------------------------------------------------------------------------------------------
// The page walk. Its result is the guest-physical address; the rights of the mapping go to the caller as bits.

// @ts-ignore: decorator
@inline const PTE_P: u64 = 1;
// @ts-ignore: decorator
@inline const PTE_W: u64 = 2;
// @ts-ignore: decorator
@inline const PTE_U: u64 = 4;
// @ts-ignore: decorator
@inline const PTE_A: u64 = 0x20;
// @ts-ignore: decorator
@inline const PTE_D: u64 = 0x40;
// @ts-ignore: decorator
@inline const PTE_PS: u64 = 0x80;
// @ts-ignore: decorator
@inline const PTE_G: u64 = 0x100;
// @ts-ignore: decorator
@inline const PTE_NX: u64 = 0x8000000000000000;

/** Result of a walk: guest-physical page in bits 12–51; these bits beside it. */
// @ts-ignore: decorator
@inline const WALK_WRITABLE: u64 = 1;
// @ts-ignore: decorator
@inline const WALK_GLOBAL: u64 = 2;
// @ts-ignore: decorator
@inline const WALK_LARGE: u64 = 4;
// @ts-ignore: decorator
@inline const WALK_HUGE: u64 = 8;
// @ts-ignore: decorator
@inline const WALK_FAULT: u64 = 0x8000000000000000;

/** Walk outcome that is a fault: WALK_FAULT | error code. */
// @ts-ignore: decorator
@inline
function walkFault(access: u32, user: bool, present: u64, reserved: u64, cpu: usize): u64 {
  let error = present | (reserved << 3);
  if (access & WRITE) error |= 2;
  if (user) error |= 4;
  // I/D is reported when NX is in use (or SMEP): SDM vol. 3 §4.7.
  if (access & FETCH && (nxEnabled(cpu) || (load<u64>(cpu, Vcpu.cr4) & 0x100000) != 0)) error |= 16;
  return WALK_FAULT | error;
}

// @ts-ignore: decorator
@inline
function nxEnabled(cpu: usize): bool {
  return (load<u64>(cpu, Vcpu.efer) & 0x800) != 0;
}

/** Sets accessed (and dirty) bits by compare-exchange; false if another vCPU changed the entry: walk again. */
function markUsed32(host: usize, entry: u32, bits: u32): bool {
  if ((entry & bits) == bits) return true;
  return atomic.cmpxchg<u32>(host, entry, entry | bits) == entry;
}

function markUsed64(host: usize, entry: u64, bits: u64): bool {
  if ((entry & bits) == bits) return true;
  return atomic.cmpxchg<u64>(host, entry, entry | bits) == entry;
}

/** Rights by the accumulated U and W bits, SDM vol. 3 §4.6.1; true when the access is allowed. */
function allowed(cpu: usize, access: u32, user: bool, userPage: bool, writablePage: bool, noExecute: bool): bool {
  if (user) {
    if (!userPage) return false;
    if (access & FETCH) return !noExecute;
    return !(access & WRITE) || writablePage;
  }
  const cr4 = load<u64>(cpu, Vcpu.cr4);
  if (access & FETCH) {
    if (noExecute) return false;
    return !(userPage && (cr4 & 0x100000) != 0);
  }
  // SMAP: explicit accesses pass with EFLAGS.AC, implicit ones never.
  if (userPage && (cr4 & 0x200000) != 0) {
    if (access & SYSTEM || !(load<u32>(cpu, Vcpu.eflags) & 0x40000)) return false;
  }
  return !(access & WRITE) || writablePage || (load<u64>(cpu, Vcpu.cr0) & 0x10000) == 0;
}

function walk(cpu: usize, linear: u64, access: u32, user: bool): u64 {
  if (!paging(cpu)) return (linear & 0xfffff000) | WALK_WRITABLE | WALK_GLOBAL;
  if ((load<u64>(cpu, Vcpu.cr4) & 0x20) == 0) return walk32(cpu, <u32>linear, access, user);
  return walk64(cpu, linear, access, user);
}

/** 32-bit paging, SDM vol. 3 §4.3. */
function walk32(cpu: usize, linear: u32, access: u32, user: bool): u64 {
  while (true) {
    const directory = hostOfPhysical(cpu, (load<u64>(cpu, Vcpu.cr3) & 0xfffff000) + ((linear >> 22) << 2));
    if (directory == 0) return walkFault(access, user, 0, 0, cpu);
    const pde = load<u32>(directory);
    if (!(pde & 1)) return walkFault(access, user, 0, 0, cpu);
    if (pde & 0x80 && (load<u64>(cpu, Vcpu.cr4) & 0x10) != 0) {
      if (pde & 0x200000) return walkFault(access, user, 1, 1, cpu);
      if (!allowed(cpu, access, user, (pde & 4) != 0, (pde & 2) != 0, false)) return walkFault(access, user, 1, 0, cpu);
      if (!markUsed32(directory, pde, access & WRITE ? 0x60 : 0x20)) continue;
      const base = (<u64>(pde & 0xffc00000)) | ((<u64>((pde >> 13) & 0xff)) << 32);
      const writable = (pde & 2) != 0 && (access & WRITE || pde & 0x40);
      return (
        base |
        (linear & 0x3ff000) |
        WALK_LARGE |
        (writable ? WALK_WRITABLE : 0) |
        (pde & 0x100 && load<u64>(cpu, Vcpu.cr4) & 0x80 ? WALK_GLOBAL : 0)
      );
    }
    const table = hostOfPhysical(cpu, <u64>(pde & 0xfffff000) + (((linear >> 12) & 0x3ff) << 2));
    if (table == 0) return walkFault(access, user, 0, 0, cpu);
    const pte = load<u32>(table);
    if (!(pte & 1)) return walkFault(access, user, 0, 0, cpu);
    const both = pde & pte;
    if (!allowed(cpu, access, user, (both & 4) != 0, (both & 2) != 0, false)) return walkFault(access, user, 1, 0, cpu);
    if (!markUsed32(directory, pde, 0x20)) continue;
    if (!markUsed32(table, pte, access & WRITE ? 0x60 : 0x20)) continue;
    const dirty = (access & WRITE) != 0 || (pte & 0x40) != 0;
    return (
      (<u64>(pte & 0xfffff000)) |
      ((both & 2) != 0 && dirty ? WALK_WRITABLE : 0) |
      (pte & 0x100 && load<u64>(cpu, Vcpu.cr4) & 0x80 ? WALK_GLOBAL : 0)
    );
  }
}

/** Bits of a PDPTE that must be 0 where it is present: 1–2, 5–8, and what lies above 40 address bits. */
const PDPTE_RESERVED: u64 = 0xffffff00000001e6;

/**
 * Loads the four page-directory-pointer entries of PAE paging from `cr3`, as MOV to CR0, CR3 and CR4 and task switches do
 * (SDM vol. 3 §4.4.1). false, and nothing is loaded, if one that is present has a reserved bit set. Entries where no RAM
 * is count as absent.
 */
export function loadDirectoryPointers(cpu: usize, cr3: u64): bool {
  const to = cpu + Vcpu.pdpte;
  // 32 bytes, aligned: one page holds them.
  const host = hostOfPhysical(cpu, cr3 & 0xffffffe0);
  if (host == 0) {
    memory.fill(to, 0, 32);
    return true;
  }
  for (let at: usize = 0; at < 32; at += 8) {
    const entry = load<u64>(host + at);
    if (entry & PTE_P && entry & PDPTE_RESERVED) return false;
  }
  memory.copy(to, host, 32);
  return true;
}

/** PAE and 4-level paging, SDM vol. 3 §4.4 and §4.5. */
function walk64(cpu: usize, linear: u64, access: u32, user: bool): u64 {
  const long = (load<u64>(cpu, Vcpu.efer) & 0x400) != 0;
  const reservedNx = nxEnabled(cpu) ? <u64>0 : PTE_NX;
  // Physical addresses have 40 bits (the CPU model says so); bits above are reserved.
  const reserved = reservedNx | 0x000fff0000000000;
  const pge = (load<u64>(cpu, Vcpu.cr4) & 0x80) != 0;
  while (true) {
    let rights: u64 = PTE_W | PTE_U;
    let noExecute: u64 = 0;
    let table = load<u64>(cpu, Vcpu.cr3) & 0x000ffffffffff000;
    let level = 4;
    let retry = false;
    if (!long) {
      const pointer = load<u64>(cpu + ((<usize>((linear >> 30) & 3)) << 3), Vcpu.pdpte);
      if (!(pointer & PTE_P)) return walkFault(access, user, 0, 0, cpu);
      table = pointer & 0x000ffffffffff000;
      level = 2;
    }
    while (true) {
      const shift = 12 + 9 * (level - 1);
      const index = (linear >> shift) & 0x1ff;
      const host = hostOfPhysical(cpu, table + (index << 3));
      if (host == 0) return walkFault(access, user, 0, 0, cpu);
      const entry = load<u64>(host);
      if (!(entry & PTE_P)) return walkFault(access, user, 0, 0, cpu);
      if (entry & reserved) return walkFault(access, user, 1, 1, cpu);
      rights &= entry;
      noExecute |= entry & PTE_NX;
      const large = level > 1 && (entry & PTE_PS) != 0;
      if (large && (level == 4 || entry & (((<u64>1) << shift) - 0x2000))) return walkFault(access, user, 1, 1, cpu);
      if (level > 1 && !large) {
        if (!markUsed64(host, entry, PTE_A)) {
          retry = true;
          break;
        }
        table = entry & 0x000ffffffffff000;
        level--;
        continue;
      }
      if (!allowed(cpu, access, user, (rights & PTE_U) != 0, (rights & PTE_W) != 0, noExecute != 0)) {
        return walkFault(access, user, 1, 0, cpu);
      }
      if (!markUsed64(host, entry, access & WRITE ? PTE_A | PTE_D : PTE_A)) {
        retry = true;
        break;
      }
      const dirty = (access & WRITE) != 0 || (entry & PTE_D) != 0;
      const mask = ((<u64>1) << shift) - 1;
      let result = (entry & 0x000ffffffffff000 & ~mask) | (linear & mask & ~0xfff);
      if (rights & PTE_W && dirty) result |= WALK_WRITABLE;
      if (pge && entry & PTE_G) result |= WALK_GLOBAL;
      if (level == 2) result |= WALK_LARGE;
      if (level == 3) result |= WALK_HUGE;
      return result;
    }
    if (!retry) unreachable();
  }
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

// @ts-ignore: decorator
@inline
function codeMapOf(cpu: usize, page: usize): usize {
  return arena(cpu) + Arena.codeMap + (((page - <usize>load<u32>(cpu, Vcpu.framesBase)) >> 12) << 4);
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
  if (access & WRITE && entry & 1) {
    // Read-only memory: the write goes nowhere. A device access by its address ends the same way.
    return 0;
  }
  const set = system ? <usize>tlbSet(cpu, 0) : <usize>load<u32>(cpu, Vcpu.tlbFill);
  // Without SMAP, an implicit access at CPL 3 must not leave user pages in the supervisor set under AC rules; the
  // walk has judged the access itself, and set 0 is what supervisor code sees anyway.
  const flags: u32 = walked & WALK_GLOBAL ? GLOBAL : 0;
  if (access & FETCH) {
    fill(cpu, set, 2, linear, page, flags);
  } else if (!watchedPage(cpu, linear)) {
    fill(cpu, set, 0, linear, page, walked & WALK_WRITABLE && !(entry & 1) ? flags | WRITES : flags);
    if (walked & WALK_WRITABLE && access & WRITE && load<u64>(codeMapOf(cpu, page), CodeMap.granules) == 0) {
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
  if (load<u64>(codeMapOf(cpu, page), CodeMap.granules) == 0) fill(cpu, set, 1, linear, page, flags & GLOBAL);
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

// ---------------------------------------------------------------------------------------------------------------------
// Alignment checks, SDM vol. 3 §6.15 (#AC) and table 6-7.

/** CR0.AM and EFLAGS.AC at CPL 3: no access hits in the TLB, so that all come to the slow paths (`updateTlbSet`). */
// @ts-ignore: decorator
@inline
export function alignmentChecked(cpu: usize): bool {
  return load<u32>(cpu, Vcpu.tlb) != load<u32>(cpu, Vcpu.tlbFill);
}

/**
 * Words, doublewords and quadwords must lie at multiples of their size; other sizes are not checked here: 16-byte
 * operands have rules of their own, and structures are accessed by their parts.
 */
// @ts-ignore: decorator
@inline
export function misaligned(linear: u64, size: u32): bool {
  return size <= 8 && (linear & (size - 1)) != 0;
}

/** #AC(0) if the access is checked and misaligned. Processors raise it before a page fault. */
// @ts-ignore: decorator
@inline
function alignmentFault(cpu: usize, linear: u64, size: u32, access: u32): bool {
  if (!alignmentChecked(cpu) || !misaligned(linear, size) || access & SYSTEM) return false;
  raise(cpu, ALIGNMENT, 0);
  return true;
}

// ---------------------------------------------------------------------------------------------------------------------
// Slow paths of accesses. The address of the bounce buffer as result means: staged.

function mask(cpu: usize, linear: u64): u64 {
  return load<u64>(cpu, Vcpu.efer) & 0x400 ? linear : linear & 0xffffffff;
}

/** A device may be touched only in a slice of one instruction; otherwise the run loop repeats the instruction so. */
function deviceAllowed(cpu: usize): bool {
  if (load<u32>(cpu, Vcpu.deviceAccess)) return true;
  store<u32>(cpu, load<u32>(cpu, Vcpu.trouble) | TROUBLE_DEVICE, Vcpu.trouble);
  return false;
}

// @ts-ignore: decorator
@inline
function watching(cpu: usize, access: u32): bool {
  return (load<u64>(cpu + 56, Vcpu.dr) & 0xff) != 0 && !(access & SYSTEM);
}

/** One byte-exact read into the bounce buffer from a page that may be a device. false: trouble. */
function readPiece(cpu: usize, to: usize, linear: u64, size: u32, access: u32): bool {
  const host = translate(cpu, linear, access);
  if (host != 0) {
    memory.copy(to, host, size);
    return true;
  }
  if (load<u32>(cpu, Vcpu.trouble)) return false;
  if (!deviceAllowed(cpu)) return false;
  const physical = load<u64>(cpu, Vcpu.bouncePhysical);
  for (let done: u32 = 0; done < size;) {
    // Naturally aligned pieces of at most four bytes, as a PC's bus would see them.
    const at = physical + done;
    let piece: u32 = size - done >= 4 && !(at & 3) ? 4 : size - done >= 2 && !(at & 1) ? 2 : 1;
    if (done == 0 && size == 4) piece = 4;
    const value = mmioRead(at, piece);
    if (piece == 4) store<u32>(to + done, value);
    else if (piece == 2) store<u16>(to + done, <u16>value);
    else store<u8>(to + done, <u8>value);
    done += piece;
  }
  return true;
}

/** Beside the size: the access is to the stack. */
// @ts-ignore: decorator
@inline const STACK_ACCESS: u32 = 0x100;

/**
 * #GP(0), or #SS(0) for the stack segment, when the access of a handler's fast path is not canonical (general paths
 * have checked before). SDM vol. 3 §6.15, #SS.
 */
function canonicalAccess(cpu: usize, address: u64, size: u32): bool {
  if (!(load<u64>(cpu, Vcpu.efer) & 0x400)) return true;
  const last = address + (size & 0xff) - 1;
  if ((<i64>(address << 16)) >> 16 == <i64>address && (<i64>(last << 16)) >> 16 == <i64>last) return true;
  const record = <usize>load<u32>(cpu, Vcpu.record);
  raise(cpu, size & STACK_ACCESS || load<u8>(record, Record.segment) == 2 ? 12 : 13, 0);
  return false;
}

/** Host address to read `size` bytes from, or 0 with trouble. Called when the TLB did not hit. */
export function slowRead(cpu: usize, address: u64, size: u32): usize {
  if (!canonicalAccess(cpu, address, size)) return 0;
  return slowReadAs(cpu, address, size & 0xff, 0);
}

function slowReadAs(cpu: usize, address: u64, size: u32, access: u32): usize {
  if (alignmentFault(cpu, address, size, access)) return 0;
  const host = readAt(cpu, address, size, access);
  if (host && watching(cpu, access)) watchAccess(cpu, mask(cpu, address), size, false, false);
  return host;
}

function readAt(cpu: usize, address: u64, size: u32, access: u32): usize {
  const linear = mask(cpu, address);
  const inPage: u32 = 0x1000 - <u32>(linear & 0xfff);
  if (size <= inPage) {
    const host = translate(cpu, linear, access);
    if (host != 0) return host;
    if (load<u32>(cpu, Vcpu.trouble)) return 0;
    return readPiece(cpu, cpu + Vcpu.bounce, linear, size, access) ? cpu + Vcpu.bounce : 0;
  }
  if (!readPiece(cpu, cpu + Vcpu.bounce, linear, inPage, access)) return 0;
  const second = mask(cpu, linear + inPage);
  if (!readPiece(cpu, cpu + Vcpu.bounce + inPage, second, size - inPage, access)) return 0;
  return cpu + Vcpu.bounce;
}

/**
 * Host address to write `size` bytes to, or 0 with trouble; for RAM in one page the place itself, else the bounce
 * buffer, which holds the present contents (for read-modify-write). `commitWrite` must follow the store.
 */
export function slowWrite(cpu: usize, address: u64, size: u32): usize {
  if (!canonicalAccess(cpu, address, size)) return 0;
  return slowWriteAs(cpu, address, size & 0xff, WRITE);
}

function slowWriteAs(cpu: usize, address: u64, size: u32, access: u32): usize {
  if (alignmentFault(cpu, address, size, access)) return 0;
  const host = writeAt(cpu, address, size, access);
  if (host && watching(cpu, access)) watchAccess(cpu, mask(cpu, address), size, true, false);
  return host;
}

function writeAt(cpu: usize, address: u64, size: u32, access: u32): usize {
  const linear = mask(cpu, address);
  const inPage: u32 = 0x1000 - <u32>(linear & 0xfff);
  store<u32>(cpu, 0, Vcpu.bounceSize);
  if (size <= inPage) {
    const host = translate(cpu, linear, access);
    if (host != 0) {
      invalidateCode(cpu, host, size);
      return host;
    }
    if (load<u32>(cpu, Vcpu.trouble)) return 0;
    if (!readForUpdate(cpu, cpu + Vcpu.bounce, size)) return 0;
  } else {
    const second = mask(cpu, linear + inPage);
    const first = translate(cpu, linear, access);
    if (load<u32>(cpu, Vcpu.trouble)) return 0;
    if (first) memory.copy(cpu + Vcpu.bounce, first, inPage);
    else if (!readForUpdate(cpu, cpu + Vcpu.bounce, inPage)) return 0;
    const last = translate(cpu, second, access);
    if (load<u32>(cpu, Vcpu.trouble)) return 0;
    if (last) memory.copy(cpu + Vcpu.bounce + inPage, last, size - inPage);
    else if (!readForUpdate(cpu, cpu + Vcpu.bounce + inPage, size - inPage)) return 0;
  }
  store<u64>(cpu, linear, Vcpu.bounceLinear);
  store<u32>(cpu, size | (access << 8), Vcpu.bounceSize);
  return cpu + Vcpu.bounce;
}

/** Present contents for a staged write to what is not RAM: read-only memory reads, devices are not read. */
function readForUpdate(cpu: usize, to: usize, size: u32): bool {
  const physical = load<u64>(cpu, Vcpu.bouncePhysical);
  const host = hostOfPhysical(cpu, physical);
  if (host) {
    memory.copy(to, host, size);
    return true;
  }
  if (!deviceAllowed(cpu)) return false;
  memory.fill(to, 0xff, size);
  return true;
}

/** Carries out a write that slowWrite staged; nothing to do when it went to RAM directly. */
export function commitWrite(cpu: usize): void {
  const staged = load<u32>(cpu, Vcpu.bounceSize);
  if (staged == 0) return;
  store<u32>(cpu, 0, Vcpu.bounceSize);
  const size = staged & 0xff;
  const access = staged >> 8;
  const linear = load<u64>(cpu, Vcpu.bounceLinear);
  const inPage: u32 = 0x1000 - <u32>(linear & 0xfff);
  if (size <= inPage) {
    writePiece(cpu, linear, cpu + Vcpu.bounce, size, access);
  } else {
    writePiece(cpu, linear, cpu + Vcpu.bounce, inPage, access);
    writePiece(cpu, mask(cpu, linear + inPage), cpu + Vcpu.bounce + inPage, size - inPage, access);
  }
}

function writePiece(cpu: usize, linear: u64, from: usize, size: u32, access: u32): void {
  const host = translate(cpu, linear, access);
  if (host != 0) {
    invalidateCode(cpu, host, size);
    memory.copy(host, from, size);
    return;
  }
  const physical = load<u64>(cpu, Vcpu.bouncePhysical);
  if (frameEntry(cpu, physical) != 0) return; // read-only memory
  for (let done: u32 = 0; done < size;) {
    const at = physical + done;
    let piece: u32 = size - done >= 4 && !(at & 3) ? 4 : size - done >= 2 && !(at & 1) ? 2 : 1;
    if (done == 0 && size == 4) piece = 4;
    const value =
      piece == 4 ? load<u32>(from + done) : piece == 2 ? <u32>load<u16>(from + done) : <u32>load<u8>(from + done);
    mmioWrite(at, piece, value);
    done += piece;
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Linear accesses for the rest of the core. Values are zero-extended; on trouble the result means nothing.

function readAddress(cpu: usize, linear: u64, size: u32, access: u32): usize {
  return slowReadAs(cpu, linear, size, access);
}

export function readLinear8(cpu: usize, linear: u64, access: u32): u32 {
  const host = readAddress(cpu, linear, 1, access);
  return host ? <u32>load<u8>(host) : 0;
}

export function readLinear16(cpu: usize, linear: u64, access: u32): u32 {
  const host = readAddress(cpu, linear, 2, access);
  return host ? <u32>load<u16>(host) : 0;
}

export function readLinear32(cpu: usize, linear: u64, access: u32): u32 {
  const host = readAddress(cpu, linear, 4, access);
  return host ? load<u32>(host) : 0;
}

export function readLinear64(cpu: usize, linear: u64, access: u32): u64 {
  const host = readAddress(cpu, linear, 8, access);
  return host ? load<u64>(host) : 0;
}

export function writeLinear8(cpu: usize, linear: u64, value: u32, access: u32): void {
  const host = slowWriteAs(cpu, linear, 1, access | WRITE);
  if (!host) return;
  store<u8>(host, <u8>value);
  commitWrite(cpu);
}

export function writeLinear16(cpu: usize, linear: u64, value: u32, access: u32): void {
  const host = slowWriteAs(cpu, linear, 2, access | WRITE);
  if (!host) return;
  store<u16>(host, <u16>value);
  commitWrite(cpu);
}

export function writeLinear32(cpu: usize, linear: u64, value: u32, access: u32): void {
  const host = slowWriteAs(cpu, linear, 4, access | WRITE);
  if (!host) return;
  store<u32>(host, value);
  commitWrite(cpu);
}

export function writeLinear64(cpu: usize, linear: u64, value: u64, access: u32): void {
  const host = slowWriteAs(cpu, linear, 8, access | WRITE);
  if (!host) return;
  store<u64>(host, value);
  commitWrite(cpu);
}

/** Faults as an access of `size` bytes (any size below 4096) would; touches nothing. true when it may go on. */
export function probeLinear(cpu: usize, linear: u64, size: u32, access: u32): bool {
  if (alignmentFault(cpu, linear, size, access)) return false;
  const start = mask(cpu, linear);
  if (translate(cpu, start, access) == 0) {
    if (load<u32>(cpu, Vcpu.trouble)) return false;
    if (frameEntry(cpu, load<u64>(cpu, Vcpu.bouncePhysical)) == 0 && !deviceAllowed(cpu)) return false;
  }
  if (<u32>(start & 0xfff) + size <= 0x1000) return true;
  // CR2 is then the first address of the second page.
  const last = mask(cpu, (start + 0x1000) & ~0xfff);
  if (translate(cpu, last, access) == 0) {
    if (load<u32>(cpu, Vcpu.trouble)) return false;
    if (frameEntry(cpu, load<u64>(cpu, Vcpu.bouncePhysical)) == 0 && !deviceAllowed(cpu)) return false;
  }
  return true;
}
