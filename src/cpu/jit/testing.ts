/** Plans of regions for tests of what looks at blocks alone. */
import type { BasicBlock, RegionPlan } from './region.ts';

/** Of nowhere: what a plan says of its place is empty. */
export function planOf(blocks: readonly BasicBlock[]): RegionPlan {
  return {
    cpu: 0,
    arena: 0,
    page: 0,
    modeKey: 0,
    blocks,
    entries: blocks.filter((b) => b.isEntry).map((b) => b.number),
    offsets: new Set(),
    chosen: [],
    count: blocks.reduce((sum, b) => sum + b.instructions.length, 0),
    granules: [0, 0],
    foreign: new Map(),
    inlined: new Map(),
  };
}
