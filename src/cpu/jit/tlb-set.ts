import { Arena } from '../arena.ts';
import { modeKey } from '../mode-key.ts';
import type { RegionPlan } from './region.ts';

/**
 * The TLB set that a region's accesses look at, as `updateTlbSet` of the core chooses it by the mode key. While EFLAGS.AC lets
 * the supervisor at user pages it has a set of its own, which has these, too; here they are left to the core.
 */
export function tlbOf({ modeKey: key, arena }: Pick<RegionPlan, 'modeKey' | 'arena'>): number {
  const set = key & modeKey.alignmentCheck ? Arena.tlbSets : key & modeKey.user ? 1 : 0;
  return arena + Arena.tlb + set * Arena.tlbSetBytes;
}
