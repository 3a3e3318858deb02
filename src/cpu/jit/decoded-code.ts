/** A guest's code as the core has decoded it, and the regions that are made of it. */
import { pseudoForm } from '../isa/compile.ts';
import { Arena, ArenaHeader, Block, CodeMap, Entry, JumpEntry, TlbEntry } from '../arena.ts';
import { Record, accessNotes } from '../record.ts';
import { isLong, modeKey } from '../mode-key.ts';
import { Vcpu } from '../state.ts';
import { inlineCalls, isDirectCall } from './inline.ts';
import type { FunctionSource } from './inline.ts';
import { component, entriesOf, flowOf, layOut } from './lay-out.ts';
import type { ComputedJump, Flow } from './lay-out.ts';
import { isComputedJump } from './region.ts';
import type { CodeLocation, Decoded, Extent, FormTable, Instruction, PlanLimits, RegionPlan, Role } from './region.ts';
import { entriesFromBeyond, partOf } from './partition.ts';
import { tlbOf } from './tlb-set.ts';

/** Instructions that stay decoded from one plan to the next, about: those of a few pages, some 300 bytes each. */
const keptInstructions = 4000;
const pageBytes = 0x1000;
/** More than a page has. */
const mostBlocks = 65536;
const o = Record.offsets;

/** A guest's decoded code in its memory. */
export class DecodedCode {
  private readonly bytes: Uint8Array;
  private readonly words: Uint16Array;
  private readonly doubles: Int32Array;
  private readonly quads: BigInt64Array;
  private readonly cpu: number;
  private readonly table: FormTable;
  private readonly roles: (Role | undefined)[] = [];
  /** Records that have been read lately, by address, with the numbers of their forms. */
  private readonly read = new Map<number, { readonly number: number; readonly instruction: Instruction }>();
  /** The page that was looked at last: offsets of its instructions, and by offset their records and flows. */
  private readonly offsets: number[] = [];
  private readonly records = new Uint32Array(pageBytes);
  readonly flows: (Flow | undefined)[] = Array.from({ length: pageBytes }, () => undefined);
  readonly decoded: Decoded = {
    has: (offset) => (this.records[offset] ?? 0) !== 0,
    get: (offset) => {
      const record = this.records[offset] ?? 0;
      return record === 0 ? undefined : this.instruction(record);
    },
  };

  constructor(buffer: ArrayBufferLike, cpu: number, table: FormTable) {
    this.bytes = new Uint8Array(buffer);
    this.words = new Uint16Array(buffer);
    this.doubles = new Int32Array(buffer);
    this.quads = new BigInt64Array(buffer);
    this.cpu = cpu;
    this.table = table;
  }

  private u8(address: number): number {
    return this.bytes[address] ?? 0;
  }

  private u16(address: number): number {
    return this.words[address >>> 1] ?? 0;
  }

  private i32(address: number): number {
    return this.doubles[address >>> 2] ?? 0;
  }

  private u32(address: number): number {
    return this.i32(address) >>> 0;
  }

  /** Looks at the decoded records of a frame, of blocks below `end`. */
  private look(page: number, modeKey: number, end = Infinity): void {
    for (const offset of this.offsets) {
      this.records[offset] = 0;
      this.flows[offset] = undefined;
    }
    this.offsets.length = 0;
    const frame = (page - this.u32(this.cpu + Vcpu.offsets.framesBase)) >>> 12;
    const map = this.u32(this.cpu + Vcpu.offsets.arena) + Arena.codeMap + frame * CodeMap.size;
    const b = Block.offsets;
    let block = this.u32(map + CodeMap.offsets.blocks);
    // Another thread may change the list meanwhile: what it leads to is looked at, but never for ever.
    for (let left = mostBlocks; block !== 0 && left > 0; left--) {
      const first = (this.u32(block + b.host) & ~0xfff) >>> 0 === page >>> 0;
      const usable = first && block < end && this.u32(block + b.modeKey) === modeKey;
      const crossing = this.u32(block + b.secondPage) !== 0;
      let left = usable ? this.u32(block + b.count) : 0;
      for (let record = block + Block.size; left > 0; left--, record += Record.size) {
        const form = this.u16(record + o.form);
        if (form < pseudoForm.count || (crossing && !this.mayCross(form, modeKey))) continue;
        const offset = this.u16(record + o.offset);
        if (this.records[offset] === 0) this.offsets.push(offset);
        // The list has the newest block first: where an instruction ended in several frames, the last one counts.
        else if (crossing) continue;
        this.records[offset] = record;
      }
      block = this.u32(block + (first ? b.nextInPage : b.nextInSecondPage));
    }
  }

  /** The core has thrown its records away. */
  forget(): void {
    this.read.clear();
  }

  private role(number: number): Role | undefined {
    const known = this.roles[number];
    if (known) return known;
    const form = this.table.forms[number];
    if (!form) return undefined;
    const facts = this.table.facts.of(form);
    const nearTransfer = facts.transfer !== 'none';
    const foreign = facts.helpers.some((h) => !this.table.direct.has(h));
    return (this.roles[number] = { form, facts, apart: facts.sync || foreign || (nearTransfer && form.size === 2) });
  }

  /** Whether code can be made of an instruction that crosses into the next page. */
  private mayCross(form: number, mode: number): boolean {
    return (mode & modeKey.codeFlat) !== 0 && this.role(form)?.apart === false;
  }

  /** What a record says; undefined for pseudo-records. */
  instruction(record: number): Instruction | undefined {
    const number = this.u16(record + o.form);
    const known = this.read.get(record);
    if (known?.number === number) {
      const { strays, missesOften } = known.instruction;
      const now = this.notes(record);
      if (now.strays === strays && now.missesOften === missesOften) return known.instruction;
    }
    const role = this.role(number);
    if (!role) return undefined;
    const instruction = this.decode(record, role);
    this.read.set(record, { number, instruction });
    return instruction;
  }

  private notes(record: number): Pick<Instruction, 'strays' | 'missesOften'> {
    const notes = this.u8(record + o.scale);
    return { strays: (notes & accessNotes.strayed) !== 0, missesOften: (notes & accessNotes.missesOften) !== 0 };
  }

  private decode(record: number, role: Role): Instruction {
    const offset = this.u16(record + o.offset);
    const length = this.u8(record + o.length);
    const crosses = offset + length > pageBytes;
    const immediate = this.quads[(record + o.immediate) >>> 3] ?? 0n;
    const facts = role.apart ? role.facts : this.table.facts.with(role.form, immediate);
    return {
      record,
      form: role.form,
      // It leaves where the next page is not the one that it was decoded from.
      facts: crosses ? { ...facts, mayLeave: true } : facts,
      apart: role.apart,
      offset,
      length,
      // A block of its own.
      secondPage: crosses ? this.u32(record - Block.size + Block.offsets.secondPage) : 0,
      ...this.notes(record),
      rm: this.u16(record + o.rm),
      reg: this.u16(record + o.reg),
      base: this.u16(record + o.base),
      index: this.u16(record + o.index),
      scale: this.u8(record + o.scale) & accessNotes.scale,
      segment: this.u8(record + o.segment),
      flags: this.u8(record + o.flags),
      displacement: this.i32(record + o.displacement),
      immediate,
    };
  }

  /** The region around an instruction; undefined when nothing is decoded there. `keptEntries`: offsets. */
  plan(
    host: number,
    modeKey: number,
    limits: PlanLimits,
    ripBase: bigint,
    extraEntry: boolean,
    keptEntries: Iterable<number> = [],
  ): RegionPlan | undefined {
    if (this.read.size > keptInstructions) this.read.clear();
    const page = (host & ~0xfff) >>> 0;
    const start = host & 0xfff;
    const { decoded, flows } = this;
    this.lookWithFlow(page, modeKey, limits.recordsEnd);
    if (!decoded.has(start)) return undefined;
    const jumps = this.computedJumps(ripBase);
    const connected = component(start, this.offsets, flows, limits.instructions, jumps);
    const members = partOf(start, connected, flows, jumps);
    const chosen = jumps.flatMap(({ from, to }) => {
      // The choice does not look at another page.
      return members.has(from) && members.has(to) && decoded.get(to)?.secondPage === 0 ? [to] : [];
    });
    const entries = entriesOf(members, decoded, flows, chosen);
    for (const offset of entriesFromBeyond(members, connected, flows, jumps)) entries.add(offset);
    if (extraEntry || entries.size === 0) entries.add(start);
    for (const offset of keptEntries) if (members.has(offset)) entries.add(offset);
    const extent = { page, modeKey, ripBase, members, entries, chosen };
    return this.layOut(extent, (call) => this.calleeOf(call, extent), limits.recordsEnd);
  }

  /** The plan of a region that was made before. */
  planAgain(extent: Extent): RegionPlan | undefined {
    this.lookWithFlow(extent.page, extent.modeKey);
    for (const offset of extent.members) if (!this.decoded.has(offset)) return undefined;
    return this.layOut(extent, (call) => extent.inlined.get(call.record));
  }

  private layOut(
    extent: Omit<Extent, 'inlined'>,
    calleeOf: FunctionSource['calleeOf'],
    recordsEnd?: number,
  ): RegionPlan {
    const { page, modeKey: mode, members, chosen } = extent;
    const laid = layOut(extent, this.decoded, this.flows);
    const copied = inlineCalls(laid.blocks, {
      calleeOf,
      codeOf: (foreign) => {
        this.lookWithFlow(foreign?.page ?? page, mode, recordsEnd);
        return this;
      },
    });
    return {
      cpu: this.cpu,
      arena: this.u32(this.cpu + Vcpu.offsets.arena),
      page,
      modeKey: mode,
      blocks: copied.blocks,
      entries: laid.entries,
      offsets: members,
      chosen,
      count: laid.count + copied.count,
      granules: [laid.granules[0] | copied.granules[0], laid.granules[1] | copied.granules[1]],
      foreign: copied.foreign,
      inlined: copied.calls,
    };
  }

  /** What a call in a page leads to, if that is known: of an indirect one what it led to when it was last interpreted. */
  private calleeOf(
    call: Instruction,
    { page, modeKey: mode, ripBase }: Pick<Extent, 'page' | 'modeKey' | 'ripBase'>,
  ): CodeLocation | undefined {
    const narrow = isLong(mode) ? 64 : 32;
    let rip: bigint | undefined;
    if (isDirectCall(call)) {
      rip = BigInt.asUintN(narrow, ripBase + BigInt(call.offset + call.length) + call.immediate);
    } else {
      // The link has the lower half.
      const low = this.u32(call.record + o.link);
      const place = this.jumpPlace(low);
      if (low !== 0 && this.u32(place + JumpEntry.offsets.rip) === low) {
        rip = BigInt.asUintN(64, this.quads[(place + JumpEntry.offsets.rip) >>> 3] ?? 0n);
      }
    }
    // Elsewhere a page of RIP is no page of the code.
    if (rip === undefined || (mode & modeKey.codeFlat) === 0) return undefined;
    const offset = Number(rip & 0xfffn);
    const distance = BigInt.asIntN(narrow, rip - BigInt(offset) - ripBase);
    if (distance === 0n) return { offset, page: undefined };
    const frame = this.frameOf(rip, mode);
    return frame === undefined || frame === page ? undefined : { offset, page: { page: frame, distance } };
  }

  /** Host address of the frame from which code at that RIP is fetched, as far as the TLB or the jump cache knows. */
  private frameOf(rip: bigint, mode: number): number | undefined {
    const arena = this.u32(this.cpu + Vcpu.offsets.arena);
    const low = Number(rip & 0xffffffffn);
    const set = tlbOf({ modeKey: mode, arena }) + 2 * Arena.tlbArrayBytes;
    const entry = set + ((low >>> 12) & (Arena.tlbEntries - 1)) * TlbEntry.size;
    if (BigInt.asUintN(64, this.quads[(entry + TlbEntry.offsets.tag) >>> 3] ?? 0n) === (rip & ~0xfffn)) {
      return ((low & ~0xfff) + this.i32(entry + TlbEntry.offsets.addend)) >>> 0;
    }
    const place = this.jumpPlace(low);
    if (BigInt.asUintN(64, this.quads[(place + JumpEntry.offsets.rip) >>> 3] ?? 0n) !== rip) return undefined;
    const record = this.u32(place + JumpEntry.offsets.record);
    if (this.u16(record + o.form) !== pseudoForm.compiled) return undefined;
    return (this.u32(record + Entry.offsets.host) & ~0xfff) >>> 0;
  }

  /** The place of a RIP in the jump cache, by its low half. */
  private jumpPlace(rip: number): number {
    const index = (rip ^ (rip >>> 12)) & (Arena.jumpEntries - 1);
    return this.u32(this.cpu + Vcpu.offsets.arena) + Arena.jumpCache + index * JumpEntry.size;
  }

  /** Decoded instructions of a frame, by offset. */
  instructionsIn(page: number, modeKey: number): Map<number, Instruction> {
    this.look(page, modeKey);
    const found = new Map<number, Instruction>();
    for (const offset of this.offsets) {
      const instruction = this.decoded.get(offset);
      if (instruction) found.set(offset, instruction);
    }
    return found;
  }

  private lookWithFlow(page: number, modeKey: number, end?: number): void {
    this.look(page, modeKey, end);
    for (const offset of this.offsets) {
      const record = this.records[offset] ?? 0;
      const role = this.role(this.u16(record + o.form));
      if (!role) continue;
      const displacement = this.i32(record + o.immediate);
      this.flows[offset] = flowOf(role, offset, offset + this.u8(record + o.length), displacement, this.decoded);
    }
  }

  /** Where computed jumps of compiled code have led in their own page, which is at `ripBase`. */
  private computedJumps(ripBase: bigint): readonly ComputedJump[] {
    const jumps: ComputedJump[] = [];
    const { offsets } = JumpEntry;
    const arena = this.u32(this.cpu + Vcpu.offsets.arena);
    const least = this.u32(arena + Arena.header + ArenaHeader.offsets.hotJumps) >> 4;
    const sites = new Map<number, number>();
    for (const offset of this.offsets) {
      const record = this.records[offset] ?? 0;
      if (this.role(this.u16(record + o.form))?.facts.transfer !== 'jump') continue;
      const i = this.instruction(record);
      if (i && isComputedJump(i)) sites.set(record, offset);
    }
    if (sites.size === 0) return jumps;
    const low = Number(ripBase & 0xffffffffn);
    for (const to of this.offsets) {
      const place = this.jumpPlace(low + to);
      if (this.u32(place + offsets.rip) !== low + to || this.u32(place + offsets.jumps) < least) continue;
      const from = sites.get(this.u32(place + offsets.jumpedFrom));
      if (from !== undefined) jumps.push({ from, to });
    }
    return jumps;
  }
}
