/**
 * How compiled code comes from a linear address to the host's: by the TLB, or by a page that the block or the round of a
 * loop before has left in locals (`known-pages.ts`). The host address is the low half of the linear one and an addend.
 */
import { Arena, TlbEntry } from '../arena.ts';
import { compiledAccess } from '../status.ts';
import type { Code } from '../../wasm/encoder.ts';
import type { OpcodeName } from '../../wasm/opcodes.ts';
import type { Expressions, Node } from './expressions.ts';
import type { RegionFrame } from './frame.ts';
import type { KeptPage, KnownPages, PageLocals, Remembered } from './known-pages.ts';
import { pageReach, widestAccess } from './known-pages.ts';

/** Operations on linear addresses, as they are held in code of 64 and of 32 bits. */
const longAddress = {
  add: 'i64.add',
  sub: 'i64.sub',
  and: 'i64.and',
  shr: 'i64.shr_u',
  eq: 'i64.eq',
  below: 'i64.lt_u',
  load: 'i64.load',
} as const satisfies Record<string, OpcodeName>;
const shortAddress = {
  add: 'i32.add',
  sub: 'i32.sub',
  and: 'i32.and',
  shr: 'i32.shr_u',
  eq: 'i32.eq',
  below: 'i32.lt_u',
  load: 'i32.load',
} as const satisfies Record<string, OpcodeName>;

export interface Access {
  /** Locals of the linear address, and of the host address that is to be found. */
  readonly address: number;
  readonly host: number;
  /** In bytes. */
  readonly size: number;
  readonly write: boolean;
}

/** What the code relies on that follows an access: nothing, or as `compiledAccess` says. */
export type PageNeeds = 0 | (typeof compiledAccess)['wholePage' | 'writablePage'];

/** How an access goes on that the code does not do itself. */
export interface Misses {
  /** The TLB misses: false: the code is left; else the host address is in its local behind it. */
  tlb(access: Access, needs: PageNeeds): boolean;
  /** It strays from the page that the block knows: false, or does not go on. */
  page(): boolean;
}

export class Accesses {
  readonly ops: typeof longAddress | typeof shortAddress;
  private readonly frame: RegionFrame;
  private readonly nodes: Expressions;
  private readonly code: Code;
  private readonly pages: KnownPages;
  private readonly misses: Misses;

  constructor(frame: RegionFrame, nodes: Expressions, pages: KnownPages, misses: Misses) {
    this.frame = frame;
    this.nodes = nodes;
    this.code = frame.f.code;
    this.pages = pages;
    this.misses = misses;
    this.ops = frame.long ? longAddress : shortAddress;
  }

  /**
   * The host address of an access. `bases`: what it is relative to, where that is known. `keeps`: what follows may use its
   * page, since the code is sure to come by, and the page is all that matters.
   */
  host(access: Access, bases: number | undefined, keeps: boolean): Node {
    const { address, host, size, write } = access;
    const narrow = size > widestAccess ? undefined : bases;
    const kept = narrow === undefined ? undefined : this.pages.keptOver(narrow, write);
    const known = narrow === undefined ? undefined : this.pages.find(narrow, write);
    if (kept) this.byKept(access, kept);
    else if (known) this.byPage(access, known);
    else this.byTlb(access, narrow === undefined || !keeps ? undefined : this.pages.remember(narrow, write));
    // An addition at the end, rather than in each of the ways, lets the engine see that the upper half is 0.
    this.lowHalf(address).op('i32.add').set(host);
    return this.nodes.inLocal('i32', host);
  }

  /** Pushes the offset of a linear address's entry in the arrays of the TLB. */
  putTlbOffset(address: number): void {
    const { code, frame, ops } = this;
    code.get(address);
    this.constant(8).op(ops.shr);
    if (frame.long) code.op('i32.wrap_i64');
    code.i32((Arena.tlbEntries - 1) << 4).op('i32.and');
  }

  private lowHalf(address: number): Code {
    const code = this.code.get(address);
    return this.frame.long ? code.op('i32.wrap_i64') : code;
  }

  private constant(n: number): Code {
    return this.frame.long ? this.code.i64(n) : this.code.i32(n);
  }

  // These push the addend. ------------------------------------------------------------------------------------------

  /** By the TLB, or by the core where it misses; the page is kept for what follows. */
  private byTlb(access: Access, kept: Remembered | undefined): void {
    const { code } = this;
    const array = this.arrayOf(kept?.writable ?? access.write);
    const entry = this.lookUp(access, array, kept?.page);
    code.if('i32', true);
    this.addendOf(entry, array);
    code.else();
    this.byCore(access, !kept ? 0 : kept.writable ? compiledAccess.writablePage : compiledAccess.wholePage);
    code.end();
    if (kept) code.tee(kept.page.addend);
  }

  /** By the page of the block, which it hardly ever strays from. */
  private byPage(access: Access, { page, addend }: PageLocals): void {
    const { code, ops } = this;
    code.get(access.address).get(page).op(ops.sub);
    this.constant(4096 - (access.size - 1))
      .op(ops.below)
      .if('i32', true);
    code.get(addend).else();
    if (!this.misses.page()) this.byCore(access, 0);
    code.end();
  }

  /** By the page of the rounds of the loop before, or by the TLB, and then it is kept. */
  private byKept(access: Access, kept: KeptPage): void {
    const { code, ops } = this;
    code.get(access.address).get(kept.page).op(ops.sub).get(kept.reach).op(ops.below).if('i32', true);
    code.get(kept.addend).else();
    const array = this.arrayOf(access.write);
    const entry = this.lookUp(access, array, kept);
    code.if('i32', true);
    this.constant(pageReach).set(kept.reach);
    this.addendOf(entry, array);
    code.tee(kept.addend).else();
    this.constant(0).set(kept.reach);
    this.byCore(access, 0);
    code.end().end();
  }

  /** Pushes whether the TLB hits; gives the local of the entry's offset. */
  private lookUp({ address, size }: Access, array: number, page: PageLocals | undefined): number {
    const { code, ops } = this;
    const entry = this.nodes.allocate('i32');
    this.putTlbOffset(address);
    // An empty entry has a tag of all ones, which is no page in its low half either.
    code.tee(entry).memory(ops.load, array + TlbEntry.offsets.tag);
    code.get(address);
    if (size > 1) this.constant(size - 1).op(ops.add);
    this.constant(-4096).op(ops.and);
    if (page) code.tee(page.page);
    code.op(ops.eq);
    return entry;
  }

  private addendOf(entry: number, array: number): void {
    this.code.get(entry).memory('i32.load', array + TlbEntry.offsets.addend);
  }

  private arrayOf(write: boolean): number {
    return this.frame.tlb + (write ? Arena.tlbArrayBytes : 0);
  }

  private byCore(access: Access, needs: PageNeeds): void {
    if (!this.misses.tlb(access, needs)) return;
    this.code.get(access.host);
    this.lowHalf(access.address).op('i32.sub');
  }
}
