/**
 * What is compiled together: instructions of one frame and mode that direct jumps and fall-throughs connect, much as a
 * function of the guest's program. Read from the records that the core has decoded.
 */
import type { Form } from '../isa/compile.ts';
import { pseudoForm } from '../isa/compile.ts';
import { Arena, Block, CodeMap } from '../arena.ts';
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
  /** Blocks of the region that come here. */
  readonly predecessors: readonly number[];
  readonly isEntry: boolean;
}

export interface RegionPlan {
  /** Host address of the frame. */
  readonly page: number;
  readonly modeKey: number;
  readonly blocks: readonly BasicBlock[];
  readonly entries: readonly number[];
  /** Its instructions' offsets in the page. */
  readonly offsets: ReadonlySet<number>;
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
    extraEntry: boolean,
    keptEntries: Iterable<number> = [],
  ): RegionPlan | undefined {
    if (this.read.size > keptInstructions) this.read.clear();
    const page = (host & ~0xfff) >>> 0;
    const start = host & 0xfff;
    const { decoded, flow } = this.decodedIn(page, modeKey);
    if (!decoded.has(start)) return undefined;
    const members = component(start, flow, limits.instructions);
    const entries = entriesOf(members, decoded, flow);
    if (extraEntry || entries.size === 0) entries.add(start);
    for (const offset of keptEntries) if (members.has(offset)) entries.add(offset);
    return layOut(page, modeKey, members, decoded, flow, entries);
  }

  /** The plan of a region that was made before, from the offsets of its instructions and entries in its page. */
  planAgain(
    page: number,
    modeKey: number,
    offsets: ReadonlySet<number>,
    entries: ReadonlySet<number>,
  ): RegionPlan | undefined {
    const { decoded, flow } = this.decodedIn(page, modeKey);
    for (const offset of offsets) if (!decoded.has(offset)) return undefined;
    return layOut(page, modeKey, offsets, decoded, flow, entries);
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
function component(start: number, flow: ReadonlyMap<number, Flow>, limit: number): ReadonlySet<number> {
  const before = new Map<number, number[]>();
  for (const [offset, f] of flow) {
    for (const to of [f.next, f.taken]) {
      if (to === undefined) continue;
      const list = before.get(to);
      if (list) list.push(offset);
      else before.set(to, [offset]);
    }
  }
  const members = new Set<number>([start]);
  const queue = [start];
  for (let k = 0; k < queue.length && members.size < limit; k++) {
    const at = queue[k] ?? start;
    const f = flow.get(at);
    for (const n of [f?.next, f?.taken, ...(before.get(at) ?? [])]) {
      if (n === undefined || members.has(n) || members.size >= limit) continue;
      members.add(n);
      queue.push(n);
    }
  }
  return members;
}

/** Where the region is entered: at what nothing in it leads to, behind calls, and at the heads of loops. */
function entriesOf(
  members: ReadonlySet<number>,
  decoded: ReadonlyMap<number, Instruction>,
  flow: ReadonlyMap<number, Flow>,
): Set<number> {
  const reached = new Set<number>();
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

function layOut(
  page: number,
  modeKey: number,
  members: ReadonlySet<number>,
  decoded: ReadonlyMap<number, Instruction>,
  flow: ReadonlyMap<number, Flow>,
  entries: ReadonlySet<number>,
): RegionPlan {
  const offsets = [...members].sort((a, b) => a - b);
  const leaders = new Set<number>(entries);
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
  const drafts = lists.map((list, number) => {
    const instructions = list.map((offset) => decoded.get(offset)).filter((i) => i !== undefined);
    for (const i of instructions) {
      for (let g = i.offset >> 6; g <= (i.offset + i.length - 1) >> 6; g++) granules |= 1n << BigInt(g);
    }
    const last = flow.get(list.at(-1) ?? -1);
    const taken = numberAt.get(last?.taken ?? -1);
    const next = numberAt.get(last?.next ?? -1);
    return {
      number,
      instructions,
      predecessors: [] as number[],
      isEntry: entries.has(list[0] ?? -1),
      ...(taken === undefined ? {} : { taken }),
      ...(next === undefined ? {} : { next }),
    };
  });
  for (const d of drafts) {
    for (const to of new Set([d.taken, d.next])) if (to !== undefined) drafts[to]?.predecessors.push(d.number);
  }
  return {
    page,
    modeKey,
    blocks: drafts,
    entries: drafts.filter((d) => d.isEntry).map((d) => d.number),
    offsets: members,
    count: offsets.length,
    granules,
  };
}
