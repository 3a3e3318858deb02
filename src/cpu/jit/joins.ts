/**
 * Flags where several ways meet: who reads them there can only ask what kind of instruction set them. So a short block
 * that reads flags which it has not set gets a copy behind each block that leads to it; each copy knows its flags.
 */
import type { BasicBlock, RegionPlan } from './region.ts';
import { successorsOf } from './region.ts';

/** Longest block that is copied, and to how many places at most. */
const longestCopied = 4;
const mostCopies = 4;

/** A plan whose blocks have been copied, with its entries in the order that they had. */
export function splitJoins(plan: RegionPlan): RegionPlan {
  const splitter = new Splitter(plan);
  return splitter.split() ? splitter.plan() : plan;
}

/** A block whose followers may still change. */
interface Draft {
  readonly block: BasicBlock;
  taken: number | undefined;
  next: number | undefined;
}

function readsFlagsOfBefore({ instructions }: BasicBlock): boolean {
  for (const { apart, facts } of instructions) {
    if (apart || facts.mayLeave) return false;
    if (facts.flagsRead !== 0) return true;
    if (facts.flagsWritten !== 0) return false;
  }
  return false;
}

function mayBeCopied(block: BasicBlock): boolean {
  if (block.isEntry || block.targets || block.instructions.length > longestCopied) return false;
  return readsFlagsOfBefore(block);
}

class Splitter {
  private readonly source: RegionPlan;
  private readonly drafts: Draft[];
  /** Drafts that lead to each draft. */
  private readonly leading: number[][];
  /** Copies of each block, which are to stand behind the draft that leads to them. */
  private readonly behind = new Map<number, number[]>();

  constructor(plan: RegionPlan) {
    this.source = plan;
    this.drafts = plan.blocks.map((block) => ({ block, taken: block.taken, next: block.next }));
    this.leading = plan.blocks.map((block) => [...block.predecessors]);
  }

  /** Whether anything was copied. */
  split(): boolean {
    const before = this.drafts.length;
    for (const block of this.source.blocks) if (mayBeCopied(block)) this.splitBlock(block.number);
    return this.drafts.length > before;
  }

  private splitBlock(number: number): void {
    const leading = this.leading[number] ?? [];
    const [, ...others] = leading;
    if (others.length === 0 || others.length >= mostCopies || leading.includes(number)) return;
    if (leading.some((from) => this.drafts[from]?.block.targets)) return;
    for (const from of others) this.copy(number, from);
    leading.length = 1;
  }

  private copy(number: number, from: number): void {
    const original = this.drafts[number];
    const leader = this.drafts[from];
    if (!original || !leader) return;
    const copy = this.drafts.length;
    this.drafts.push({ ...original });
    this.leading.push([from]);
    if (leader.taken === number) leader.taken = copy;
    if (leader.next === number) leader.next = copy;
    const { block, taken, next } = original;
    for (const to of new Set(successorsOf({ ...block, taken, next }))) this.leading[to]?.push(copy);
    const list = this.behind.get(from) ?? [];
    list.push(copy);
    this.behind.set(from, list);
  }

  plan(): RegionPlan {
    const order: number[] = [];
    const place = (n: number): void => {
      order.push(n);
      for (const copy of this.behind.get(n) ?? []) place(copy);
    };
    for (const { number } of this.source.blocks) place(number);
    const numbers = new Map(order.map((n, at) => [n, at]));
    const renamed = (n: number | undefined): number | undefined => (n === undefined ? undefined : numbers.get(n));
    const blocks = order.flatMap((n, number): BasicBlock[] => {
      const draft = this.drafts[n];
      if (!draft) return [];
      const { block } = draft;
      const predecessors = (this.leading[n] ?? []).flatMap((p) => numbers.get(p) ?? []);
      const targets = block.targets?.map((t) => ({ ...t, block: numbers.get(t.block) ?? 0 }));
      const moved = { ...block, number, predecessors, taken: renamed(draft.taken), next: renamed(draft.next) };
      return [targets ? { ...moved, targets } : moved];
    });
    return { ...this.source, blocks, entries: this.source.entries.flatMap((n) => numbers.get(n) ?? []) };
  }
}
