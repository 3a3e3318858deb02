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
  return new Structurer(graph).shapes();
}

class Structurer {
  private readonly graph: FlowGraph;
  /** Edges to these are not followed: heads of the loops around. */
  private readonly cut: boolean[];
  /** For each node the last sequence that it was part of, and its component there. */
  private readonly sequenceOf: number[];
  private readonly componentOf: number[];
  private sequences = 0;
  /** Tarjan's numbers; 0: not yet visited in this sequence. */
  private readonly index: number[];
  private readonly low: number[];
  private readonly onStack: boolean[];

  constructor(graph: FlowGraph) {
    this.graph = graph;
    this.cut = graph.successors.map(() => false);
    this.onStack = graph.successors.map(() => false);
    this.sequenceOf = graph.successors.map(() => 0);
    this.componentOf = graph.successors.map(() => 0);
    this.index = graph.successors.map(() => 0);
    this.low = graph.successors.map(() => 0);
  }

  shapes(): readonly Shape[] {
    const nodes = new Set<number>();
    const pending = [...this.graph.entries];
    for (let n = pending.pop(); n !== undefined; n = pending.pop()) {
      if (nodes.has(n)) continue;
      nodes.add(n);
      for (const s of this.successors(n)) pending.push(s);
    }
    return this.sequence([...nodes], this.graph.entries);
  }

  private successors(n: number): readonly number[] {
    return this.graph.successors[n] ?? [];
  }

  /** The edge from a node of a sequence to `s` stays in it. */
  private within(s: number, sequence: number): boolean {
    return this.sequenceOf[s] === sequence && this.cut[s] === false;
  }

  private sequence(nodes: readonly number[], entries: readonly number[]): readonly Shape[] {
    const id = ++this.sequences;
    for (const n of nodes) {
      this.sequenceOf[n] = id;
      this.index[n] = 0;
    }
    const components = this.connected(nodes, id);
    components.forEach((component, k) => {
      for (const n of component) this.componentOf[n] = k;
    });
    const edges = this.incoming(nodes, id);
    const ordered = this.order(components, id);
    // The sequences within take the nodes over: what is asked of this one comes before.
    const loops = ordered.map((component) => this.isLoop(component, id));
    return ordered.map((component, k) => {
      const [first = 0] = component;
      if (loops[k] !== true) return { kind: 'block', node: first };
      const heads = headsOf(component, edges, entries);
      const [natural = 0] = heads;
      const before = this.cut[natural] ?? false;
      this.cut[natural] = true;
      const body = this.sequence(component, heads);
      this.cut[natural] = before;
      return { kind: 'loop', heads, body };
    });
  }

  private isLoop(component: readonly number[], id: number): boolean {
    const [first = 0] = component;
    return component.length > 1 || (this.within(first, id) && this.successors(first).includes(first));
  }

  private incoming(nodes: readonly number[], id: number): Incoming {
    const back = new Map<number, number>();
    const fromOutside = new Set<number>();
    for (const n of nodes) {
      for (const s of this.successors(n)) {
        if (!this.within(s, id)) continue;
        if (this.componentOf[s] !== this.componentOf[n]) fromOutside.add(s);
        else if (s <= n) back.set(s, (back.get(s) ?? 0) + 1);
      }
    }
    return { back, fromOutside };
  }

  /** Strongly connected components (Tarjan 1972), without recursion. */
  private connected(nodes: readonly number[], id: number): readonly (readonly number[])[] {
    const { index, low, onStack } = this;
    const stack: number[] = [];
    const result: number[][] = [];
    // The way from the root to the node that is looked at, and which of its successors comes next.
    const way: number[] = [];
    const at: number[] = [];
    let visited = 0;
    for (const root of nodes) {
      if (index[root] !== 0) continue;
      way.push(root);
      at.push(0);
      for (let n = way.at(-1); n !== undefined; n = way.at(-1)) {
        const top = way.length - 1;
        const k = at[top] ?? 0;
        if (k === 0) {
          index[n] = low[n] = ++visited;
          stack.push(n);
          onStack[n] = true;
        }
        const next = this.successors(n)[k];
        if (next !== undefined) {
          at[top] = k + 1;
          if (!this.within(next, id)) continue;
          if (index[next] === 0) {
            way.push(next);
            at.push(0);
          } else if (onStack[next] === true) low[n] = Math.min(low[n] ?? 0, index[next] ?? 0);
          continue;
        }
        way.pop();
        at.pop();
        const mine = low[n] ?? 0;
        const parent = way.at(-1);
        if (parent !== undefined) low[parent] = Math.min(low[parent] ?? 0, mine);
        if (mine !== index[n]) continue;
        const component: number[] = [];
        for (let m = stack.pop(); m !== undefined; m = stack.pop()) {
          onStack[m] = false;
          component.push(m);
          if (m === n) break;
        }
        result.push(component.length === 1 ? component : component.sort((a, b) => a - b));
      }
    }
    return result;
  }

  /** Topological order that keeps to the order of the code where it can. */
  private order(components: readonly (readonly number[])[], id: number): readonly (readonly number[])[] {
    const { componentOf } = this;
    const waiting = components.map(() => 0);
    const targets = components.map((component, k) => {
      const to: number[] = [];
      for (const n of component) {
        for (const s of this.successors(n)) {
          const t = componentOf[s] ?? k;
          if (t !== k && this.within(s, id) && !to.includes(t)) to.push(t);
        }
      }
      for (const t of to) waiting[t] = (waiting[t] ?? 0) + 1;
      return to;
    });
    const first = (k: number): number => components[k]?.[0] ?? 0;
    // In the order of their first nodes.
    const ready: number[] = [];
    const makeReady = (k: number): void => {
      const place = ready.findIndex((other) => first(other) > first(k));
      ready.splice(place < 0 ? ready.length : place, 0, k);
    };
    waiting.forEach((n, k) => {
      if (n === 0) makeReady(k);
    });
    const result: (readonly number[])[] = [];
    let previous = -1;
    while (ready.length > 0) {
      // The one that the code comes to next, if it is ready; else the first one.
      const after = ready.findIndex((k) => first(k) > previous);
      const [k = 0] = ready.splice(Math.max(after, 0), 1);
      const component = components[k] ?? [];
      result.push(component);
      previous = component.at(-1) ?? previous;
      for (const t of targets[k] ?? []) if ((waiting[t] = (waiting[t] ?? 0) - 1) === 0) makeReady(t);
    }
    return result;
  }
}

/** How often a block is the target of a backward jump within its component, and which are entered from another one. */
interface Incoming {
  readonly back: ReadonlyMap<number, number>;
  readonly fromOutside: ReadonlySet<number>;
}

/** Blocks of a loop that are entered from outside of it, the natural head first. */
function headsOf(inside: readonly number[], edges: Incoming, entries: readonly number[]): readonly number[] {
  const { back, fromOutside } = edges;
  const rank = (n: number): number => (back.get(n) ?? 0) * 2 + (fromOutside.has(n) ? 1 : 0);
  const heads = inside.filter((n) => fromOutside.has(n) || entries.includes(n));
  return heads.length === 1 ? heads : heads.sort((a, b) => rank(b) - rank(a) || a - b);
}
