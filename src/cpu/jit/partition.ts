/**
 * Which part of a long function is compiled at once. What engines need to optimize a function grows faster than the
 * function, and much of a long one is hardly run. Loops stay whole, whatever their length; other code is cut where the
 * fewest ways lead from one part to another.
 */
import type { ComputedJump, Flows } from './lay-out.ts';

/** Instructions that a part has at most, unless one loop alone has more. */
export const partInstructions = 64;
/** What a part costs, in ways that lead out of it. */
const partCost = 2;

/** The offsets that are compiled together with `start`. `members`: what is connected with it. */
export function partOf(
  start: number,
  members: ReadonlySet<number>,
  flows: Flows,
  jumps: readonly ComputedJump[],
): ReadonlySet<number> {
  if (members.size <= partInstructions) return members;
  const offsets = [...members].sort((a, b) => a - b);
  const numberOf = new Map(offsets.map((offset, n) => [offset, n]));
  const successors = offsets.map((offset): number[] => {
    const { next, taken } = flows[offset] ?? {};
    return [next, taken].flatMap((to) => (to === undefined ? [] : (numberOf.get(to) ?? [])));
  });
  for (const { from, to } of jumps) {
    const target = numberOf.get(to);
    if (target !== undefined) successors[numberOf.get(from) ?? -1]?.push(target);
  }
  const loops = inOrder(successors);
  const own = numberOf.get(start) ?? 0;
  const part = cut(loops, successors).find((list) => list.includes(own)) ?? [];
  return new Set(part.map((n) => offsets[n] ?? start));
}

/** Where a part is entered from the others. */
export function entriesFromBeyond(
  part: ReadonlySet<number>,
  members: ReadonlySet<number>,
  flows: Flows,
  jumps: readonly ComputedJump[],
): number[] {
  const beyond = [...members].filter((offset) => !part.has(offset));
  const reached = beyond.flatMap((offset) => [flows[offset]?.next, flows[offset]?.taken]);
  const computed = jumps.flatMap(({ from, to }) => (part.has(from) ? [] : [to]));
  return [...reached, ...computed].filter((to) => to !== undefined && part.has(to)) as number[];
}

/** The strongly connected components of a graph, in topological order (Tarjan 1972). */
function inOrder(successors: readonly (readonly number[])[]): readonly (readonly number[])[] {
  const nodes = successors.map((to) => ({ to, index: 0, low: 0, open: false, seen: 0 }));
  const found: number[][] = [];
  const stack: number[] = [];
  let count = 0;
  // From the last one on, so that of code that does not lead to other code the first comes first.
  for (let root = nodes.length - 1; root >= 0; root--) {
    if (nodes[root]?.index !== 0) continue;
    const path = [root];
    for (let n = path.at(-1) ?? 0, node = nodes[n]; node; n = path.at(-1) ?? -1, node = nodes[n]) {
      if (node.index === 0) {
        node.index = node.low = ++count;
        node.open = true;
        stack.push(n);
      }
      const to = node.to[node.seen++];
      const next = to === undefined ? undefined : nodes[to];
      if (to !== undefined && next) {
        if (next.index === 0) path.push(to);
        else if (next.open) node.low = Math.min(node.low, next.index);
        continue;
      }
      path.pop();
      const parent = nodes[path.at(-1) ?? -1];
      if (parent) parent.low = Math.min(parent.low, node.low);
      if (node.low !== node.index) continue;
      const component = stack.splice(stack.lastIndexOf(n));
      for (const m of component) Object.assign(nodes[m] ?? {}, { open: false });
      found.push(component);
    }
  }
  return found.reverse();
}

/** The nodes of a sequence of components in parts, with the fewest ways between them. */
function cut(sequence: readonly (readonly number[])[], successors: readonly (readonly number[])[]): number[][] {
  const placeOf = new Map(sequence.flatMap((nodes, place) => nodes.map((n) => [n, place] as const)));
  const place = (n: number): number => placeOf.get(n) ?? 0;
  /** For each place the ways that lead over it, from before it to it or beyond. */
  const over = new Int32Array(sequence.length + 1);
  const count = (at: number, n: number): void => {
    over[at] = (over[at] ?? 0) + n;
  };
  successors.forEach((list, n) => {
    for (const to of list) {
      if (place(to) === place(n)) continue;
      count(place(n) + 1, 1);
      count(place(to) + 1, -1);
    }
  });
  for (let at = 1; at <= sequence.length; at++) count(at, over[at - 1] ?? 0);
  /** The least cost of all that comes before each place, and where its last part begins. */
  const best = [{ cost: 0, begin: 0 }];
  for (let end = 1; end <= sequence.length; end++) {
    let least = { cost: Infinity, begin: 0 };
    let size = 0;
    for (let begin = end - 1; begin >= 0; begin--) {
      size += sequence[begin]?.length ?? 0;
      if (size > partInstructions && begin < end - 1) break;
      const cost = (best[begin]?.cost ?? 0) + (over[begin] ?? 0) + partCost;
      if (cost < least.cost) least = { cost, begin };
    }
    best.push(least);
  }
  const parts: number[][] = [];
  for (let end = sequence.length; end > 0; end = best[end]?.begin ?? 0) {
    parts.push(sequence.slice(best[end]?.begin, end).flat());
  }
  return parts;
}
