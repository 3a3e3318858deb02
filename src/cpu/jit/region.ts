/**
 * What is compiled together: instructions of one frame and mode that direct jumps and fall-throughs connect, much as a
 * function of the guest's program. Read from the records that the core has decoded.
 */
import type { Form } from '../isa/compile.ts';
import { pseudoForm } from '../isa/compile.ts';
import { Arena, ArenaHeader, Block, CodeMap, JumpEntry } from '../arena.ts';
import { Record } from '../record.ts';
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
}

export interface BasicBlock {
  readonly number: number;
  readonly instructions: readonly Instruction[];
  /** Blocks that follow: of a conditional branch first the one where it is taken. Absent: control leaves the region. */
  readonly taken?: number;
  readonly next?: number;
  /** A block without instructions that leads to others by the offset in the page that a computed jump has found. */
  readonly targets?: readonly JumpTarget[];
  /** An entry without instructions: it stands for this one, and leads to it as a computed jump would. */
  readonly standsFor?: Instruction;
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
  const targets = block.targets?.map((t) => t.block) ?? [];
  return [block.taken, block.next, ...targets].filter((s) => s !== undefined);
}

/** The instruction that an entry of the region is entered at. */
export function entryInstruction(block: BasicBlock): Instruction | undefined {
  return block.standsFor ?? block.instructions[0];
}

export interface RegionPlan {
  /** Host address of the frame. */
  readonly page: number;
  readonly modeKey: number;
  readonly blocks: readonly BasicBlock[];
  readonly entries: readonly number[];
  /** Its instructions' offsets in the page, and which of them computed jumps choose. */
  readonly offsets: ReadonlySet<number>;
  readonly chosen: readonly number[];
  readonly count: number;
  /** 64-byte granules of the page that it is made from. */
  readonly granules: bigint;
  /** RIP of the page where the code ran that was asked for: for people. */
  readonly ripBase?: bigint;
}

export interface PlanLimits {
  readonly instructions: number;
}

/** Forms by their numbers in the core, and what they do. */
export interface FormTable {
  readonly forms: readonly (Form | undefined)[];
  readonly facts: FormFactsCache;
  /** Helpers that compiled code may call itself. */
  readonly direct: ReadonlySet<string>;
}

/** Instructions that stay decoded from one plan to the next, about: those of a few pages, some 300 bytes each. */
const keptInstructions = 4000;

/** A guest's decoded code in its memory. */
export class DecodedCode {
  private readonly view: DataView;
  private readonly cpu: number;
  private readonly table: FormTable;
  /** Records that have been read lately, by address, with the numbers of their forms. */
  private readonly read = new Map<number, { readonly number: number; readonly instruction: Instruction }>();

  constructor(buffer: ArrayBufferLike, cpu: number, table: FormTable) {
    this.view = new DataView(buffer);
    this.cpu = cpu;
    this.table = table;
  }

  private u32(address: number): number {
    return this.view.getUint32(address, true);
  }

  /** The record at a host address of code, or 0. */
  recordAt(host: number, modeKey: number): number {
    return this.recordsOf(host & ~0xfff, modeKey).get(host & 0xfff) ?? 0;
  }

  /** Decoded records of a frame, by offset. */
  private recordsOf(page: number, modeKey: number): Map<number, number> {
    const { view, cpu } = this;
    const found = new Map<number, number>();
    const frame = (page - this.u32(cpu + Vcpu.offsets.framesBase)) >>> 12;
    const map = this.u32(cpu + Vcpu.offsets.arena) + Arena.codeMap + frame * CodeMap.size;
    const b = Block.offsets;
    let block = this.u32(map + CodeMap.offsets.blocks);
    while (block !== 0) {
      const first = (this.u32(block + b.host) & ~0xfff) >>> 0 === page >>> 0;
      const usable = first && this.u32(block + b.modeKey) === modeKey && this.u32(block + b.secondPage) === 0;
      let left = usable ? this.u32(block + b.count) : 0;
      for (let record = block + Block.size; left > 0; left--, record += Record.size) {
        if (view.getUint16(record + Record.offsets.form, true) < pseudoForm.count) continue;
        found.set(view.getUint16(record + Record.offsets.offset, true), record);
      }
      block = this.u32(block + (first ? b.nextInPage : b.nextInSecondPage));
    }
    return found;
  }

  /** The core has thrown its records away. */
  forget(): void {
    this.read.clear();
  }

  /** What a record says; undefined for pseudo-records. */
  instruction(record: number): Instruction | undefined {
    const number = this.view.getUint16(record + Record.offsets.form, true);
    const known = this.read.get(record);
    if (known?.number === number) return known.instruction;
    const instruction = this.decode(record, number);
    if (instruction) this.read.set(record, { number, instruction });
    return instruction;
  }

  private decode(record: number, number: number): Instruction | undefined {
    const { view, table } = this;
    const o = Record.offsets;
    const form = table.forms[number];
    if (!form) return undefined;
    const facts = table.facts.of(form);
    const nearTransfer = facts.transfer !== 'none';
    const apart = facts.sync || facts.helpers.some((h) => !table.direct.has(h)) || (nearTransfer && form.size === 2);
    return {
      record,
      form,
      facts,
      apart,
      offset: view.getUint16(record + o.offset, true),
      length: view.getUint8(record + o.length),
      rm: view.getUint16(record + o.rm, true),
      reg: view.getUint16(record + o.reg, true),
      base: view.getUint16(record + o.base, true),
      index: view.getUint16(record + o.index, true),
      scale: view.getUint8(record + o.scale),
      segment: view.getUint8(record + o.segment),
      flags: view.getUint8(record + o.flags),
      displacement: view.getInt32(record + o.displacement, true),
      immediate: view.getBigInt64(record + o.immediate, true),
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
    const { decoded, flow } = this.decodedIn(page, modeKey);
    if (!decoded.has(start)) return undefined;
    const jumps = this.computedJumps(decoded, ripBase);
    const members = component(start, flow, limits.instructions, jumps);
    const chosen = jumps.flatMap(({ from, to }) => (members.has(from) && members.has(to) ? [to] : []));
    const entries = entriesOf(members, decoded, flow, chosen);
    if (extraEntry || entries.size === 0) entries.add(start);
    for (const offset of keptEntries) if (members.has(offset)) entries.add(offset);
    return layOut(page, modeKey, members, decoded, flow, entries, chosen);
  }

  /** The plan of a region that was made before, from the offsets of its instructions and entries in its page. */
  planAgain(
    page: number,
    modeKey: number,
    offsets: ReadonlySet<number>,
    entries: ReadonlySet<number>,
    chosen: readonly number[],
  ): RegionPlan | undefined {
    const { decoded, flow } = this.decodedIn(page, modeKey);
    for (const offset of offsets) if (!decoded.has(offset)) return undefined;
    return layOut(page, modeKey, offsets, decoded, flow, entries, chosen);
  }

  /** Decoded instructions of a frame, by offset. */
  instructionsIn(page: number, modeKey: number): Map<number, Instruction> {
    const decoded = new Map<number, Instruction>();
    for (const [offset, record] of this.recordsOf(page, modeKey)) {
      const instruction = this.instruction(record);
      if (instruction) decoded.set(offset, instruction);
    }
    return decoded;
  }

  private decodedIn(page: number, modeKey: number): { decoded: Map<number, Instruction>; flow: Map<number, Flow> } {
    const decoded = this.instructionsIn(page, modeKey);
    const flow = new Map<number, Flow>();
    for (const [offset, i] of decoded) flow.set(offset, flowOf(i, decoded));
    return { decoded, flow };
  }

  /** Where computed jumps of compiled code have led in their own page, which is at `ripBase`. */
  private computedJumps(decoded: ReadonlyMap<number, Instruction>, ripBase: bigint): readonly ComputedJump[] {
    const jumps: ComputedJump[] = [];
    const { offsets } = JumpEntry;
    const least = this.u32(this.u32(this.cpu + Vcpu.offsets.arena) + Arena.header + ArenaHeader.offsets.hotJumps) >> 4;
    const sites = new Map([...decoded.values()].filter(isComputedJump).map((i) => [i.record, i.offset]));
    if (sites.size === 0) return jumps;
    const low = Number(ripBase & 0xffffffffn);
    const page = Number((ripBase >> 12n) & 0xfffffn);
    for (const to of decoded.keys()) {
      const index = (low ^ to ^ page) & (Arena.jumpEntries - 1);
      const place = this.u32(this.cpu + Vcpu.offsets.arena) + Arena.jumpCache + index * JumpEntry.size;
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
  readonly next?: number;
  readonly taken?: number;
  readonly ends: boolean;
}

/** `decoded` has the offsets that are known. */
export function flowOf(i: Instruction, decoded: { has(offset: number): boolean }): Flow {
  const after = i.offset + i.length;
  const next = decoded.has(after) ? { next: after } : {};
  if (i.apart) return i.form.row.ends ? { ends: true } : { ...next, ends: i.facts.helpers.includes('repString') };
  switch (i.facts.transfer) {
    case 'none':
      return { ...next, ends: i.form.row.ends === true };
    case 'jump':
      return { ends: true };
    case 'call':
      return { ...next, ends: true };
    default: {
      const target = after + Number(i.immediate);
      const taken = decoded.has(target) ? { taken: target } : {};
      return i.facts.transfer === 'branch' ? { ...taken, ends: true } : { ...taken, ...next, ends: true };
    }
  }
}

/** Offsets that are connected with `start`, the nearest ones first, up to a limit. */
function component(
  start: number,
  flow: ReadonlyMap<number, Flow>,
  limit: number,
  jumps: readonly ComputedJump[],
): ReadonlySet<number> {
  const before = new Map<number, number[]>();
  const add = (map: Map<number, number[]>, key: number, value: number): void => {
    const list = map.get(key);
    if (list) list.push(value);
    else map.set(key, [value]);
  };
  for (const [offset, f] of flow) for (const to of [f.next, f.taken]) if (to !== undefined) add(before, to, offset);
  const computed = new Map<number, number[]>();
  for (const { from, to } of jumps) {
    add(computed, from, to);
    add(before, to, from);
  }
  const members = new Set<number>([start]);
  const queue = [start];
  for (let k = 0; k < queue.length && members.size < limit; k++) {
    const at = queue[k] ?? start;
    const f = flow.get(at);
    for (const n of [f?.next, f?.taken, ...(before.get(at) ?? []), ...(computed.get(at) ?? [])]) {
      if (n === undefined || members.has(n) || members.size >= limit) continue;
      members.add(n);
      queue.push(n);
    }
  }
  return members;
}

/**
 * Where the region is entered: at what nothing in it leads to, behind calls, and at the heads of loops. (What computed
 * jumps lead to is entered as they do, so that it is no head of a loop: `choiceOf`.)
 */
function entriesOf(
  members: ReadonlySet<number>,
  decoded: ReadonlyMap<number, Instruction>,
  flow: ReadonlyMap<number, Flow>,
  chosen: readonly number[],
): Set<number> {
  const reached = new Set<number>(chosen);
  const entries = new Set<number>();
  for (const offset of members) {
    const f = flow.get(offset);
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
    const stub = { instructions: [], standsFor: first, next: number, predecessors: [], isEntry: true };
    made.push({ ...stub, number: number + 1 + made.length });
  }
  return [{ number, instructions: [], targets, predecessors: [], isEntry: false }, ...made];
}

function layOut(
  page: number,
  modeKey: number,
  members: ReadonlySet<number>,
  decoded: ReadonlyMap<number, Instruction>,
  flow: ReadonlyMap<number, Flow>,
  entries: ReadonlySet<number>,
  chosen: readonly number[],
): RegionPlan {
  const offsets = [...members].sort((a, b) => a - b);
  const leaders = new Set<number>(entries);
  for (const offset of chosen) leaders.add(offset);
  for (const offset of offsets) {
    const f = flow.get(offset);
    if (f?.taken !== undefined) leaders.add(f.taken);
    if (f?.ends && f.next !== undefined) leaders.add(f.next);
  }
  const starts: number[] = [];
  const lists: number[][] = [];
  let previous: number | undefined;
  for (const offset of offsets) {
    if (leaders.has(offset) || previous === undefined || flow.get(previous)?.next !== offset) {
      starts.push(offset);
      lists.push([]);
    }
    lists.at(-1)?.push(offset);
    previous = offset;
  }
  const numberAt = new Map(starts.map((offset, k) => [offset, k]));
  let granules = 0n;
  const choice = lists.length;
  const drafts: Draft[] = lists.map((list, number) => {
    const instructions = list.map((offset) => decoded.get(offset)).filter((i) => i !== undefined);
    for (const i of instructions) {
      for (let g = i.offset >> 6; g <= (i.offset + i.length - 1) >> 6; g++) granules |= 1n << BigInt(g);
    }
    const last = flow.get(list.at(-1) ?? -1);
    const taken = numberAt.get(last?.taken ?? -1);
    const end = instructions.at(-1);
    const chooses = chosen.length > 0 && end !== undefined && isComputedJump(end);
    const next = chooses ? choice : numberAt.get(last?.next ?? -1);
    return {
      number,
      instructions,
      predecessors: [],
      isEntry: entries.has(list[0] ?? -1),
      ...(taken === undefined ? {} : { taken }),
      ...(next === undefined ? {} : { next }),
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
