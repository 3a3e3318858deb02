/**
 * What is compiled together: instructions of one frame and mode that direct jumps and fall-throughs connect, much as a
 * function of the guest's program. Read from the records that the core has decoded.
 */
import type { Form } from '../isa/compile.ts';
import { pseudoForm } from '../isa/compile.ts';
import { Arena, ArenaHeader, Block, CodeMap, Entry, JumpEntry } from '../arena.ts';
import { Record, strayed } from '../record.ts';
import { modeKey } from '../mode-key.ts';
import { Vcpu } from '../state.ts';
import type { FormFacts, FormFactsCache } from './facts.ts';

export interface Instruction {
  /** Address of its record. */
  readonly record: number;
  readonly form: Form;
  readonly facts: FormFacts;
  /** In the page. */
  readonly offset: number;
  readonly length: number;
  readonly rm: number;
  readonly reg: number;
  readonly base: number;
  readonly index: number;
  readonly scale: number;
  readonly segment: number;
  readonly flags: number;
  readonly displacement: number;
  readonly immediate: bigint;
  /** Done by its form's function, not by code of its own. */
  readonly apart: boolean;
  /** Host address of the frame in which it ends, if that is not the one where it begins; else 0. */
  readonly secondPage: number;
  /** One of its accesses has strayed from a known page. */
  readonly strays: boolean;
}

export interface BasicBlock {
  readonly number: number;
  readonly instructions: readonly Instruction[];
  /** Blocks that follow: of a conditional branch first the one where it is taken. Absent: control leaves the region. */
  readonly taken: number | undefined;
  readonly next: number | undefined;
  /** A block without instructions that leads to others by the offset in the page that a computed jump has found. */
  readonly targets?: readonly JumpTarget[];
  /** An entry without instructions: it stands for this one, and leads to it as a computed jump would. */
  readonly standsFor?: Instruction;
  /** The call at its end is of a PC thunk for this general register (`DecodedCode.thunkAt`). */
  readonly thunk?: number;
  /** Blocks of the region that come here. */
  readonly predecessors: readonly number[];
  readonly isEntry: boolean;
}

export interface JumpTarget {
  /** In the page. */
  readonly offset: number;
  readonly block: number;
}

/** Blocks that may follow a block. */
export function successorsOf(block: BasicBlock): number[] {
  if (block.targets) return block.targets.map((t) => t.block);
  const { taken, next } = block;
  if (taken === undefined) return next === undefined ? [] : [next];
  return next === undefined ? [taken] : [taken, next];
}

/** The instruction that an entry of the region is entered at. */
export function entryInstruction(block: BasicBlock): Instruction | undefined {
  return block.standsFor ?? block.instructions[0];
}

export interface RegionPlan {
  /** Addresses of the vCPU and of its arena, which compiled code is made for. */
  readonly cpu: number;
  readonly arena: number;
  /** Host address of the frame. */
  readonly page: number;
  readonly modeKey: number;
  readonly blocks: readonly BasicBlock[];
  readonly entries: readonly number[];
  /** Its instructions' offsets in the page, and which of them computed jumps choose. */
  readonly offsets: ReadonlySet<number>;
  readonly chosen: readonly number[];
  readonly count: number;
  /** 64-byte granules of the page that it is made from: bits of two words, the lower one first. */
  readonly granules: readonly [number, number];
}

/** What a region is made of: offsets in its page. */
export interface Extent {
  readonly page: number;
  readonly modeKey: number;
  readonly ripBase: bigint;
  readonly members: ReadonlySet<number>;
  readonly entries: ReadonlySet<number>;
  readonly chosen: readonly number[];
}

export interface PlanLimits {
  readonly instructions: number;
  /** Blocks from this address on are not looked at: another thread may be writing them. */
  readonly recordsEnd?: number;
}

/** Forms by their numbers in the core, and what they do. */
export interface FormTable {
  readonly forms: readonly (Form | undefined)[];
  readonly facts: FormFactsCache;
  /** Helpers that compiled code may call itself. */
  readonly direct: ReadonlySet<string>;
}

/** Helpers that the regions' own code calls. */
export function helpersOf(plans: readonly RegionPlan[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (const plan of plans) {
    for (const block of plan.blocks) {
      for (const i of block.instructions) if (!i.apart) for (const name of i.facts.helpers) names.add(name);
    }
  }
  return names;
}

/** Instructions that stay decoded from one plan to the next, about: those of a few pages, some 300 bytes each. */
const keptInstructions = 4000;
const pageBytes = 0x1000;
/** More than a page has. */
const mostBlocks = 65536;
const o = Record.offsets;
const stackPointer = Vcpu.offsets.gpr + 4 * 8;

/** What every instruction of a form has. */
export interface Role {
  readonly form: Form;
  readonly facts: FormFacts;
  readonly apart: boolean;
}

/** Decoded instructions of a frame, by offset. */
export interface Decoded {
  has(offset: number): boolean;
  get(offset: number): Instruction | undefined;
}

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
  private readonly flows: (Flow | undefined)[] = Array.from({ length: pageBytes }, () => undefined);
  private readonly decoded: Decoded = {
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
    if (known?.number === number && known.instruction.strays === this.strays(record, known.instruction.facts)) {
      return known.instruction;
    }
    const role = this.role(number);
    if (!role) return undefined;
    const instruction = this.decode(record, role);
    this.read.set(record, { number, instruction });
    return instruction;
  }

  private strays(record: number, { transfer }: FormFacts): boolean {
    return transfer === 'none' && this.u32(record + o.link) === strayed;
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
      strays: this.strays(record, facts),
      rm: this.u16(record + o.rm),
      reg: this.u16(record + o.reg),
      base: this.u16(record + o.base),
      index: this.u16(record + o.index),
      scale: this.u8(record + o.scale),
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
    const members = component(start, this.offsets, flows, limits.instructions, jumps);
    const chosen = jumps.flatMap(({ from, to }) => {
      // The choice does not look at another page.
      return members.has(from) && members.has(to) && decoded.get(to)?.secondPage === 0 ? [to] : [];
    });
    const entries = entriesOf(members, decoded, flows, chosen);
    if (extraEntry || entries.size === 0) entries.add(start);
    for (const offset of keptEntries) if (members.has(offset)) entries.add(offset);
    return this.layOut({ page, modeKey, ripBase, members, entries, chosen });
  }

  /** The plan of a region that was made before. */
  planAgain(extent: Extent): RegionPlan | undefined {
    this.lookWithFlow(extent.page, extent.modeKey);
    for (const offset of extent.members) if (!this.decoded.has(offset)) return undefined;
    return this.layOut(extent);
  }

  private layOut(extent: Extent): RegionPlan {
    const { modeKey: mode, ripBase } = extent;
    const short = (mode & modeKey.code) === modeKey.code32;
    const base = Number(ripBase & 0xffffffffn);
    const thunkOf = ({ facts, form, offset, length, immediate }: Instruction): number | undefined => {
      if (!short || facts.transfer !== 'call' || form.operands[0]?.kind !== 'immediate') return undefined;
      return this.thunkAt((base + offset + length + Number(immediate)) >>> 0);
    };
    const arena = this.u32(this.cpu + Vcpu.offsets.arena);
    return { cpu: this.cpu, arena, ...layOut(extent, this.decoded, this.flows, thunkOf) };
  }

  /**
   * The general register that gets the return address where `MOV r32,[ESP]; RET` is called: how position-independent
   * code of 32 bits finds out where it is. Undefined if other code stands at that RIP, or none that is known.
   */
  private thunkAt(rip: number): number | undefined {
    const place = this.jumpPlace(rip);
    const { offsets } = JumpEntry;
    if (this.u32(place + offsets.rip) !== rip) return undefined;
    let record = this.u32(place + offsets.record);
    if (this.u16(record + o.form) === pseudoForm.compiled) record = this.u32(record + Entry.offsets.record);
    const load = this.instruction(record);
    const ret = this.instruction(record + Record.size);
    if (load?.form.mnemonic !== 'MOV' || load.form.size !== 4 || ret?.form.mnemonic !== 'RET') return undefined;
    // In the encoding that `RegionBuilder.putThunkStands` compares.
    if (load.length !== 3 || ret.length !== 1 || ret.offset !== load.offset + 3) return undefined;
    const [to, from] = load.form.operands;
    if (to?.slot !== 'reg' || from?.kind !== 'memory' || load.displacement !== 0) return undefined;
    if (load.base !== stackPointer || load.index !== Vcpu.offsets.zero || load.reg === stackPointer) return undefined;
    return (load.reg - Vcpu.offsets.gpr) >> 3;
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

/** A jump through a register or a table. One through a plain cell, as linkers make, leads elsewhere. */
export function isComputedJump(i: Instruction): boolean {
  if (i.apart || i.facts.transfer !== 'jump' || i.form.mnemonic !== 'JMP') return false;
  return !i.facts.addressed || i.index !== Vcpu.offsets.zero;
}

/** Offsets of a computed jump, and of what it has led to. */
interface ComputedJump {
  readonly from: number;
  readonly to: number;
}

/** Where control goes after an instruction, within its page and the decoded code. */
interface Flow {
  readonly next: number | undefined;
  readonly taken: number | undefined;
  readonly ends: boolean;
}

/** Of an instruction from `offset` to `after` with that branch displacement; `decoded` has the offsets that are known. */
export function flowOf(
  role: Role,
  offset: number,
  after: number,
  displacement: number,
  decoded: { has(offset: number): boolean },
): Flow {
  const { form, facts, apart } = role;
  const next = decoded.has(after) ? after : undefined;
  if (apart) {
    if (form.row.ends) return { next: undefined, taken: undefined, ends: true };
    return { next, taken: undefined, ends: facts.helpers.includes('repString') };
  }
  switch (facts.transfer) {
    case 'none':
      return { next, taken: undefined, ends: form.row.ends === true };
    case 'jump':
      return { next: undefined, taken: undefined, ends: true };
    case 'call':
      return { next, taken: undefined, ends: true };
    default: {
      const taken = decoded.has(after + displacement) ? after + displacement : undefined;
      return { next: facts.transfer === 'branch' ? undefined : next, taken, ends: true };
    }
  }
}

type Flows = readonly (Flow | undefined)[];

/** Offsets that are connected with `start`, the nearest ones first, up to a limit. `offsets`: all of the page. */
function component(
  start: number,
  offsets: readonly number[],
  flows: Flows,
  limit: number,
  jumps: readonly ComputedJump[],
): ReadonlySet<number> {
  // Lists of what comes before an instruction: where the last edge to it stands, and at each edge the one before.
  const last = new Int32Array(pageBytes).fill(-1);
  const from: number[] = [];
  const previous: number[] = [];
  const edge = (offset: number, to: number): void => {
    from.push(offset);
    previous.push(last[to] ?? -1);
    last[to] = from.length - 1;
  };
  for (const offset of offsets) {
    const f = flows[offset];
    if (f?.next !== undefined) edge(offset, f.next);
    if (f?.taken !== undefined) edge(offset, f.taken);
  }
  const computed = new Map<number, number[]>();
  for (const { from: site, to } of jumps) {
    edge(site, to);
    const list = computed.get(site);
    if (list) list.push(to);
    else computed.set(site, [to]);
  }
  const members = new Set<number>([start]);
  const queue = [start];
  const visit = (n: number): void => {
    if (members.has(n) || members.size >= limit) return;
    members.add(n);
    queue.push(n);
  };
  for (let k = 0; k < queue.length && members.size < limit; k++) {
    const at = queue[k] ?? start;
    const f = flows[at];
    if (f?.next !== undefined) visit(f.next);
    if (f?.taken !== undefined) visit(f.taken);
    for (let e = last[at] ?? -1; e >= 0; e = previous[e] ?? -1) visit(from[e] ?? start);
    computed.get(at)?.forEach(visit);
  }
  return members;
}

/**
 * Where the region is entered: at what nothing in it leads to, behind calls, and at the heads of loops. (What computed
 * jumps lead to is entered as they do, so that it is no head of a loop: `choiceOf`.)
 */
function entriesOf(
  members: ReadonlySet<number>,
  decoded: Decoded,
  flows: Flows,
  chosen: readonly number[],
): Set<number> {
  const reached = new Set<number>(chosen);
  const entries = new Set<number>();
  for (const offset of members) {
    const f = flows[offset];
    const i = decoded.get(offset);
    if (!f || !i) continue;
    if (f.next !== undefined && members.has(f.next)) {
      // Behind a call, and behind what uses up more of the budget than its one instruction.
      if (i.facts.transfer === 'call' || (i.apart && f.ends)) entries.add(f.next);
      reached.add(f.next);
    }
    if (f.taken !== undefined && members.has(f.taken)) {
      if (f.taken <= offset) entries.add(f.taken);
      reached.add(f.taken);
    }
  }
  for (const offset of members) if (!reached.has(offset)) entries.add(offset);
  return entries;
}

type Draft = BasicBlock & { readonly predecessors: number[] };

/** The block where computed jumps choose, and entries that lead to it. */
function choiceOf(number: number, chosen: readonly number[], drafts: readonly Draft[]): Draft[] {
  const made: Draft[] = [];
  const targets: JumpTarget[] = [];
  for (const { number: block, instructions, isEntry } of drafts) {
    const [first] = instructions;
    if (!first || !chosen.includes(first.offset)) continue;
    targets.push({ offset: first.offset, block });
    if (isEntry) continue;
    const stub = {
      instructions: [],
      standsFor: first,
      taken: undefined,
      next: number,
      predecessors: [],
      isEntry: true,
    };
    made.push({ ...stub, number: number + 1 + made.length });
  }
  const choice = { number, instructions: [], targets, taken: undefined, next: undefined };
  return [{ ...choice, predecessors: [], isEntry: false }, ...made];
}

/** Of those of its page. */
function lastGranule({ offset, length }: Instruction): number {
  return Math.min(offset + length - 1, pageBytes - 1) >> 6;
}

function layOut(
  { page, modeKey, members, entries, chosen }: Extent,
  decoded: Decoded,
  flows: Flows,
  thunkOf: (call: Instruction) => number | undefined,
): Omit<RegionPlan, 'cpu' | 'arena'> {
  const offsets = [...members].sort((a, b) => a - b);
  const leaders = new Set<number>(entries);
  for (const offset of chosen) leaders.add(offset);
  for (const offset of offsets) {
    const f = flows[offset];
    if (f?.taken !== undefined) leaders.add(f.taken);
    if (f?.ends && f.next !== undefined) leaders.add(f.next);
  }
  const starts: number[] = [];
  const lists: number[][] = [];
  let previous: number | undefined;
  for (const offset of offsets) {
    if (leaders.has(offset) || previous === undefined || flows[previous]?.next !== offset) {
      starts.push(offset);
      lists.push([]);
    }
    lists.at(-1)?.push(offset);
    previous = offset;
  }
  const numberAt = new Map(starts.map((offset, k) => [offset, k]));
  const granules: [number, number] = [0, 0];
  const choice = lists.length;
  const drafts: Draft[] = lists.map((list, number) => {
    const instructions = list.map((offset) => decoded.get(offset)).filter((i) => i !== undefined);
    for (const i of instructions) {
      for (let g = i.offset >> 6; g <= lastGranule(i); g++) granules[g >> 5 ? 1 : 0] |= 1 << (g & 31);
    }
    const last = flows[list.at(-1) ?? -1];
    const end = instructions.at(-1);
    const chooses = chosen.length > 0 && end !== undefined && isComputedJump(end);
    const taken = last?.taken === undefined ? undefined : numberAt.get(last.taken);
    const next = chooses ? choice : last?.next === undefined ? undefined : numberAt.get(last.next);
    const thunk = end && thunkOf(end);
    return {
      ...(thunk === undefined ? {} : { thunk }),
      number,
      instructions,
      predecessors: [],
      isEntry: entries.has(list[0] ?? -1),
      taken,
      next,
    };
  });
  if (chosen.length > 0) drafts.push(...choiceOf(choice, chosen, drafts));
  for (const d of drafts) for (const to of new Set(successorsOf(d))) drafts[to]?.predecessors.push(d.number);
  return {
    page,
    modeKey,
    blocks: drafts,
    entries: drafts.filter((d) => d.isEntry).map((d) => d.number),
    offsets: members,
    chosen,
    count: offsets.length,
    granules,
  };
}
