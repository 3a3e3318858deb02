/** Which arithmetic flags are needed where: backwards over the blocks of a region. */
import { allFlags } from './facts.ts';
import type { BasicBlock, Instruction, RegionPlan } from './region.ts';
import { successorsOf } from './region.ts';

export interface FlagLiveness {
  /** For each block and instruction: flags that somebody may want after it. */
  readonly after: readonly (readonly number[])[];
  /** For each block: flags that are wanted when it starts. */
  readonly atStart: readonly number[];
}

/** Flags wanted before an instruction, by those wanted after it. */
function before(i: Instruction, after: number): number {
  // What may leave shows all flags to whoever goes on there, as they are before it.
  if (i.apart || i.facts.mayLeave) return allFlags;
  return (after & ~i.facts.flagsWritten) | i.facts.flagsRead;
}

function leavesRegion(block: BasicBlock): boolean {
  const last = block.instructions.at(-1);
  if (!last || last.apart) return true;
  if (last.facts.transfer === 'conditional') return block.taken === undefined || block.next === undefined;
  if (last.facts.transfer === 'branch') return block.taken === undefined;
  if (last.facts.transfer === 'call' && block.taken !== undefined) return block.next !== undefined;
  return last.facts.transfer !== 'none' || block.next === undefined;
}

/** Flags wanted before a block: `read`, and those of `kept` that are wanted behind it. */
function summary(block: BasicBlock): { readonly read: number; readonly kept: number } {
  // It may leave for want of budget before its first instruction.
  if (block.isEntry) return { read: allFlags, kept: 0 };
  let read = 0;
  let all = allFlags;
  for (let n = block.instructions.length - 1; n >= 0; n--) {
    const i = block.instructions[n];
    if (!i) continue;
    read = before(i, read);
    all = before(i, all);
  }
  return { read, kept: all & ~read };
}

export function flagLiveness(plan: RegionPlan): FlagLiveness {
  const { blocks } = plan;
  const summaries = blocks.map(summary);
  const outside = blocks.map((b) => (leavesRegion(b) ? allFlags : 0));
  const atStart: number[] = summaries.map((s) => s.read);
  const behind = (k: number, block: BasicBlock): number =>
    successorsOf(block).reduce((live, to) => live | (atStart[to] ?? 0), outside[k] ?? 0);
  for (let changed = true; changed;) {
    changed = false;
    for (let k = blocks.length - 1; k >= 0; k--) {
      const block = blocks[k];
      const s = summaries[k];
      if (!block || !s || s.kept === 0) continue;
      const live = s.read | (s.kept & behind(k, block));
      if (live === atStart[k]) continue;
      atStart[k] = live;
      changed = true;
    }
  }
  const after = blocks.map((block, k) => {
    let live = behind(k, block);
    const list: number[] = block.instructions.map(() => 0);
    for (let n = block.instructions.length - 1; n >= 0; n--) {
      const i = block.instructions[n];
      if (!i) continue;
      list[n] = live;
      live = before(i, live);
    }
    return list;
  });
  return { after, atStart };
}
