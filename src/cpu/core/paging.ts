/**
 * Physical memory and the tables that lead to it: frames, and page walks with their rights and their marks.
 * Sources: SDM vol. 3, chapter 4 (paging), §4.6 (access rights), §4.7 (page-fault error codes).
 */
import { Arena, FrameBit, Vcpu } from '../../../build/core/layout';

/** Access kinds, combined as bits. */
// @ts-ignore: decorator
@inline export const WRITE: u32 = 1;
// @ts-ignore: decorator
@inline export const FETCH: u32 = 2;
/** An implicit supervisor access: descriptor tables, TSS, IDT. */
// @ts-ignore: decorator
@inline export const SYSTEM: u32 = 4;

// @ts-ignore: decorator
@inline
export function arena(cpu: usize): usize {
  return <usize>load<u32>(cpu, Vcpu.arena);
}

// @ts-ignore: decorator
@inline
export function arenaHeader(cpu: usize): usize {
  return arena(cpu) + Arena.header;
}

// @ts-ignore: decorator
@inline
function paging(cpu: usize): bool {
  return (load<u64>(cpu, Vcpu.cr0) & 0x80000000) != 0;
}

/** The frame table's entry of a guest-physical address (`base/frame-entry.ts`), 0 where there is no RAM. */
// @ts-ignore: decorator
@inline
export function frameEntry(cpu: usize, physical: u64): u32 {
  const page = physical >> 12;
  if (page >= <u64>load<u32>(cpu, Vcpu.frameCount)) return 0;
  return load<u32>(<usize>load<u32>(cpu, Vcpu.frameTable) + ((<usize>page) << 2));
}

/** An empty page is about to be used: it counts as resident again. */
export function touchFrame(cpu: usize, physical: u64): void {
  const place = <usize>load<u32>(cpu, Vcpu.frameTable) + ((<usize>(physical >> 12)) << 2);
  store<u32>(place, load<u32>(place) & ~(FrameBit.empty | FrameBit.reported));
}

export function hostOfPhysical(cpu: usize, physical: u64): usize {
  const entry = frameEntry(cpu, physical);
  if (entry == 0) return 0;
  return <usize>(entry & ~0xfff) + <usize>(physical & 0xfff);
}

/** Address of what the arena knows about the code of a frame, by a host address in it. */
// @ts-ignore: decorator
@inline
export function codeMap(cpu: usize, host: usize): usize {
  const index = (host - <usize>load<u32>(cpu, Vcpu.framesBase)) >> 12;
  return arena(cpu) + Arena.codeMap + (index << 4);
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
@inline export const WALK_WRITABLE: u64 = 1;
// @ts-ignore: decorator
@inline export const WALK_GLOBAL: u64 = 2;
// @ts-ignore: decorator
@inline export const WALK_LARGE: u64 = 4;
// @ts-ignore: decorator
@inline export const WALK_HUGE: u64 = 8;
// @ts-ignore: decorator
@inline export const WALK_FAULT: u64 = 0x8000000000000000;

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

export function walk(cpu: usize, linear: u64, access: u32, user: bool): u64 {
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
