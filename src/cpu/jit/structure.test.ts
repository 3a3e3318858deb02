import { describe, expect, it } from 'vitest';
import type { FlowGraph, Shape } from './structure.ts';
import { structure } from './structure.ts';

/** A small generator (mulberry32), so that the graphs are the same each time. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function randomGraph(seed: number): FlowGraph {
  const next = random(seed);
  const n = 1 + Math.floor(next() * 30);
  const pick = (): number => Math.floor(next() * n);
  const successors = Array.from({ length: n }, (_, k) => {
    const list: number[] = [];
    if (next() < 0.6) list.push(pick());
    if (next() < 0.8 && k + 1 < n) list.push(k + 1);
    return [...new Set(list)];
  });
  const entries = [...new Set([0, ...Array.from({ length: Math.floor(next() * 4) }, pick)])];
  return { successors, entries };
}

function nodes(shapes: readonly Shape[]): number[] {
  return shapes.flatMap((s) => (s.kind === 'block' ? [s.node] : nodes(s.body)));
}

/** All jumps of the graph that the nesting cannot express. */
function inexpressible(graph: FlowGraph, shapes: readonly Shape[]): string[] {
  const problems: string[] = [];
  const visit = (list: readonly Shape[], reachable: ReadonlySet<number>): void => {
    list.forEach((shape, k) => {
      const later = list.slice(k + 1).flatMap((s) => (s.kind === 'block' ? [s.node] : s.heads));
      const around = new Set([...reachable, ...later]);
      if (shape.kind === 'loop') {
        visit(shape.body, new Set([...around, ...shape.heads.slice(0, 1)]));
        return;
      }
      for (const to of graph.successors[shape.node] ?? []) {
        if (!around.has(to)) problems.push(`${shape.node} → ${to}`);
      }
    });
  };
  visit(shapes, new Set());
  return problems;
}

describe('structure', () => {
  it('nests any graph so that each jump goes forward or to the natural head of a loop around it', () => {
    for (let seed = 0; seed < 3000; seed++) {
      const graph = randomGraph(seed);
      const shapes = structure(graph);
      expect(inexpressible(graph, shapes), `seed ${seed}`).toEqual([]);
      const found = nodes(shapes);
      expect(new Set(found).size, `seed ${seed}`).toBe(found.length);
    }
  });

  it('puts the head that the code comes to by itself first', () => {
    // 0 → 1 → 2 → 1, and 2 is where a call in the loop returns to.
    const [, loop] = structure({ successors: [[1], [2], [1]], entries: [0, 2] });
    expect(loop).toMatchObject({ kind: 'loop', heads: [1, 2] });
  });

  it('drops what no entry reaches', () => {
    expect(nodes(structure({ successors: [[], [0]], entries: [0] }))).toEqual([0]);
  });

  it('keeps straight code in its order', () => {
    expect(nodes(structure({ successors: [[1], [2], [3], []], entries: [0] }))).toEqual([0, 1, 2, 3]);
  });
});
