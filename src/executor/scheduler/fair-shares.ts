/**
 * What each vCPU is due: max–min fair shares of executors' time by weight (progressive filling). A vCPU gets no more than
 * one executor or its cap, and the vCPUs that only some executors may run no more than those have. Exact where affinity
 * masks are nested or disjoint; else an upper bound, which credit's limits catch.
 */

export interface Claimant {
  readonly weight: number;
  /** Most that it may have, in executors: 0 … 1. */
  readonly limit: number;
  /** Executors that may run it, as bits. */
  readonly mask: number;
}

/** Executors' time that each claimant is due, in executors, with the executors of `granted` all running. */
export function fairShares(claimants: readonly Claimant[], granted: number): number[] {
  const shares = claimants.map(() => 0);
  const open = new Set(claimants.keys());
  const masks = [...new Set([granted, ...claimants.map(({ mask }) => mask)])];
  while (open.size > 0) {
    const tightest = tightestLimit(claimants, shares, open, masks);
    // The shares of those that are limited now are final; those of the others grow further.
    for (const n of tightest.closes) {
      shares[n] = Math.min((claimants[n]?.weight ?? 0) * tightest.level, claimants[n]?.limit ?? 0);
      open.delete(n);
    }
  }
  return shares;
}

interface Limit {
  /** Share per weight at which it is met. */
  readonly level: number;
  readonly closes: readonly number[];
}

function tightestLimit(
  claimants: readonly Claimant[],
  shares: readonly number[],
  open: ReadonlySet<number>,
  masks: readonly number[],
): Limit {
  let tightest: Limit = { level: Infinity, closes: [...open] };
  for (const n of open) {
    const { weight = 1, limit = 1 } = claimants[n] ?? {};
    if (limit / weight < tightest.level) tightest = { level: limit / weight, closes: [n] };
  }
  for (const mask of masks) {
    let room = bitCount(mask);
    let weights = 0;
    const inside: number[] = [];
    for (const [n, claimant] of claimants.entries()) {
      if ((claimant.mask & ~mask) !== 0) continue;
      if (open.has(n)) {
        inside.push(n);
        weights += claimant.weight;
      } else room -= shares[n] ?? 0;
    }
    const level = Math.max(room, 0) / weights;
    if (inside.length > 0 && level < tightest.level) tightest = { level, closes: inside };
  }
  return tightest;
}

export function bitCount(mask: number): number {
  let count = 0;
  for (let left = mask >>> 0; left !== 0; left &= left - 1) count++;
  return count;
}
