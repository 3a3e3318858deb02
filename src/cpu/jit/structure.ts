/**
 * Turns a control-flow graph, with several entries and perhaps irreducible, into nested sequences that can be written as
 * blocks and loops of WebAssembly.
 *
 * The strongly connected components of the graph, in topological order, are the sequence: a single block, or a loop. A
 * loop's heads are its blocks that are entered from outside; one of them is the natural head, where its rounds begin.
 * Without the edges to that one, the loop is structured again. So every jump leads to a later shape of the same or of an
 * enclosing sequence, or to the natural head of an enclosing loop.
 */

/** Blocks 0…n−1, numbered in the order of their code. */
export interface FlowGraph {
  readonly successors: readonly (readonly number[])[];
  readonly entries: readonly number[];
}

export type Shape =
  | { readonly kind: 'block'; readonly node: number }
  | {
      readonly kind: 'loop';
      /** The natural head first: the one that the code comes to by itself. */
      readonly heads: readonly number[];
      readonly body: readonly Shape[];
    };

export function structure(graph: FlowGraph): readonly Shape[] {
  const nodes = new Set<number>();
  const pending = [...graph.entries];
  for (let n = pending.pop(); n !== undefined; n = pending.pop()) {
    if (nodes.has(n)) continue;
    nodes.add(n);
    pending.push(...(graph.successors[n] ?? []));
  }
  return sequence(graph, nodes, new Set(), graph.entries);
}

/** The shapes of `nodes`, without the edges to `cut`. */
function sequence(
  graph: FlowGraph,
  nodes: ReadonlySet<number>,
  cut: ReadonlySet<number>,
  entries: readonly number[],
): readonly Shape[] {
  const follow = (n: number): number[] => (graph.successors[n] ?? []).filter((s) => nodes.has(s) && !cut.has(s));
  const components = connected(nodes, follow);
  const componentOf = new Map<number, number>();
  components.forEach((c, k) => {
    for (const n of c) componentOf.set(n, k);
  });
  const edges = incoming(nodes, componentOf, follow);
  const entered = new Set(entries);
  return order(components, componentOf, follow).map((component) => {
    const [first] = component;
    if (component.length === 1 && first !== undefined && !follow(first).includes(first)) {
      return { kind: 'block', node: first };
    }
    const heads = headsOf(component, edges, entered);
    const [natural = 0] = heads;
    return { kind: 'loop', heads, body: sequence(graph, new Set(component), new Set([...cut, natural]), heads) };
  });
}

/** How often a block is the target of a backward jump within its component, and which are entered from another one. */
interface Incoming {
  readonly back: ReadonlyMap<number, number>;
  readonly fromOutside: ReadonlySet<number>;
}

function incoming(
  nodes: ReadonlySet<number>,
  componentOf: ReadonlyMap<number, number>,
  follow: (n: number) => number[],
): Incoming {
  const back = new Map<number, number>();
  const fromOutside = new Set<number>();
  for (const n of nodes) {
    for (const s of follow(n)) {
      if (componentOf.get(s) !== componentOf.get(n)) fromOutside.add(s);
      else if (s <= n) back.set(s, (back.get(s) ?? 0) + 1);
    }
  }
  return { back, fromOutside };
}

/** Blocks of a loop that are entered from outside of it, the natural head first. */
function headsOf(inside: readonly number[], edges: Incoming, entries: ReadonlySet<number>): number[] {
  const { back, fromOutside } = edges;
  const rank = (n: number): number => (back.get(n) ?? 0) * 2 + (fromOutside.has(n) ? 1 : 0);
  return inside.filter((n) => fromOutside.has(n) || entries.has(n)).sort((a, b) => rank(b) - rank(a) || a - b);
}

/** Strongly connected components (Tarjan 1972), without recursion. */
function connected(nodes: ReadonlySet<number>, follow: (n: number) => number[]): number[][] {
  const index = new Map<number, number>();
  const low = new Map<number, number>();
  const stack: number[] = [];
  const onStack = new Set<number>();
  const result: number[][] = [];
  for (const root of nodes) {
    if (index.has(root)) continue;
    const work: { n: number; successors: number[]; at: number }[] = [];
    const enter = (n: number): void => {
      index.set(n, index.size);
      low.set(n, index.size - 1);
      stack.push(n);
      onStack.add(n);
      work.push({ n, successors: follow(n), at: 0 });
    };
    enter(root);
    for (let top = work.at(-1); top; top = work.at(-1)) {
      const next = top.successors[top.at++];
      if (next !== undefined) {
        if (!index.has(next)) enter(next);
        else if (onStack.has(next)) low.set(top.n, Math.min(low.get(top.n) ?? 0, index.get(next) ?? 0));
        continue;
      }
      work.pop();
      const mine = low.get(top.n) ?? 0;
      const parent = work.at(-1);
      if (parent) low.set(parent.n, Math.min(low.get(parent.n) ?? 0, mine));
      if (mine !== index.get(top.n)) continue;
      const component: number[] = [];
      for (let n = stack.pop(); n !== undefined; n = stack.pop()) {
        onStack.delete(n);
        component.push(n);
        if (n === top.n) break;
      }
      result.push(component.sort((a, b) => a - b));
    }
  }
  return result;
}

/** Topological order that keeps to the order of the code where it can. */
function order(
  components: readonly number[][],
  componentOf: ReadonlyMap<number, number>,
  follow: (n: number) => number[],
): readonly number[][] {
  const waiting = components.map(() => 0);
  const targets = components.map((c, k) => {
    const to = new Set(c.flatMap((n) => follow(n).map((s) => componentOf.get(s) ?? k)));
    to.delete(k);
    for (const t of to) waiting[t] = (waiting[t] ?? 0) + 1;
    return to;
  });
  const ready = components.map((_, k) => k).filter((k) => waiting[k] === 0);
  const first = (k: number): number => components[k]?.[0] ?? 0;
  const result: number[][] = [];
  let previous = -1;
  while (ready.length > 0) {
    // The one that the code comes to next, if it is ready; else the first one.
    ready.sort((a, b) => first(a) - first(b));
    const after = ready.findIndex((k) => first(k) > previous);
    const [k = 0] = ready.splice(Math.max(after, 0), 1);
    const component = components[k] ?? [];
    result.push(component);
    previous = component.at(-1) ?? previous;
    for (const t of targets[k] ?? []) {
      waiting[t] = (waiting[t] ?? 0) - 1;
      if (waiting[t] === 0) ready.push(t);
    }
  }
  return result;
}
