/** Which instructions a region has, and how they make its blocks. */
import { isComputedJump, successorsOf } from './region.ts';
import type { BasicBlock, Decoded, Instruction, JumpTarget, Members, RegionPlan, Role } from './region.ts';

const pageBytes = 0x1000;

/** Offsets of a computed jump, and of what it has led to. */
export interface ComputedJump {
  readonly from: number;
  readonly to: number;
}

/** Where control goes after an instruction, within its page and the decoded code. */
export interface Flow {
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

export type Flows = readonly (Flow | undefined)[];

/** Offsets that are connected with `start`, the nearest ones first, up to a limit. `offsets`: all of the page. */
export function component(
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
export function entriesOf(
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

/** The blocks of these instructions. */
export function layOut(
  { members, entries, chosen }: Members,
  decoded: Decoded,
  flows: Flows,
): Pick<RegionPlan, 'blocks' | 'entries' | 'count' | 'granules'> {
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
    return {
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
    blocks: drafts,
    entries: drafts.filter((d) => d.isEntry).map((d) => d.number),
    count: offsets.length,
    granules,
  };
}
