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
  return last.facts.transfer !== 'none' || block.next === undefined;
}

export function flagLiveness(plan: RegionPlan): FlagLiveness {
  const { blocks } = plan;
  // A head of a loop or an entry may leave for want of budget before its first instruction.
  const atStart: number[] = blocks.map((b) => (b.isEntry ? allFlags : 0));
  const after = blocks.map((b) => b.instructions.map(() => 0));
  for (let changed = true; changed;) {
    changed = false;
    for (let k = blocks.length - 1; k >= 0; k--) {
      const block = blocks[k];
      const list = after[k];
      if (!block || !list) continue;
      let live = leavesRegion(block) ? allFlags : 0;
      for (const to of successorsOf(block)) live |= atStart[to] ?? 0;
      for (let n = block.instructions.length - 1; n >= 0; n--) {
        const i = block.instructions[n];
        if (!i) continue;
        list[n] = live;
        live = before(i, live);
      }
      if (block.isEntry) live = allFlags;
      if (live !== atStart[k]) {
        atStart[k] = live;
        changed = true;
      }
    }
  }
  return { after, atStart };
}
