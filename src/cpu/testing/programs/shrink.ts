/** Makes a program smaller while something stays true of it. */
import { TooLongError } from './lower.ts';
import type { Node, Program } from './program.ts';

/** Asks for one change after the other until none helps any more. */
export function shrink(program: Program, stillFails: (smaller: Program) => boolean): Program {
  let best = program;
  const attempt = (candidate: Program): boolean => {
    try {
      if (!stillFails(candidate)) return false;
    } catch (error) {
      // What is too long, or cannot be put together, is no smaller program.
      if (error instanceof TooLongError) return false;
      throw error;
    }
    best = candidate;
    return true;
  };
  for (let changed = true; changed;) {
    changed = false;
    for (let n = best.functions.length - 1; n >= 0; n--) {
      if (attempt({ ...best, functions: best.functions.filter((_, k) => k !== n) })) changed = true;
    }
    for (let n = -1; n < best.functions.length; n++) {
      if (shrinkBody(() => bodyOf(best, n), (body) => attempt(withBody(best, n, body)))) changed = true; // prettier-ignore
    }
  }
  return best;
}

/** The body of a function by its place, of the program itself for −1. */
function bodyOf(program: Program, n: number): readonly Node[] {
  return n < 0 ? program.body : (program.functions[n]?.body ?? []);
}

function withBody(program: Program, n: number, body: readonly Node[]): Program {
  if (n < 0) return { ...program, body };
  return { ...program, functions: program.functions.map((f, k) => (k === n ? { ...f, body } : f)) };
}

/** Leaves out runs of nodes, ever shorter ones, then looks into those that are left. */
function shrinkBody(get: () => readonly Node[], set: (body: readonly Node[]) => boolean): boolean {
  let changed = false;
  for (let length = Math.max(get().length >> 1, 1); length >= 1; length >>= 1) {
    for (let from = 0; from < get().length;) {
      const body = get();
      if (set([...body.slice(0, from), ...body.slice(from + length)])) changed = true;
      else from += length;
    }
  }
  for (let n = 0; n < get().length; n++) {
    const replace = (nodes: readonly Node[]): boolean => set([...get().slice(0, n), ...nodes, ...get().slice(n + 1)]);
    const node = get()[n];
    if (node && simplerForms(node).some((nodes) => replace(nodes))) {
      changed = true;
      n--;
      continue;
    }
    for (let part = 0; ; part++) {
      const inner = get()[n];
      if (!inner || part >= parts(inner).length) break;
      const inside = (): readonly Node[] => {
        const now = get()[n];
        return (now && parts(now)[part]) ?? [];
      };
      const put = (body: readonly Node[]): boolean => {
        const now = get()[n];
        return now !== undefined && replace([withPart(now, part, body)]);
      };
      if (shrinkBody(inside, put)) changed = true;
    }
  }
  return changed;
}

function parts(node: Node): readonly (readonly Node[])[] {
  switch (node.kind) {
    case 'bracket':
    case 'loop':
      return [node.body];
    case 'branch':
      return [node.body, node.otherwise];
    case 'switch':
      return node.cases;
    default:
      return [];
  }
}

function withPart(node: Node, part: number, body: readonly Node[]): Node {
  switch (node.kind) {
    case 'bracket':
    case 'loop':
      return { ...node, body };
    case 'branch':
      return part === 0 ? { ...node, body } : { ...node, otherwise: body };
    case 'switch':
      return { ...node, cases: node.cases.map((old, k) => (k === part ? body : old)) };
    default:
      return node;
  }
}

/** What may stand for a node: the nodes in it. */
function simplerForms(node: Node): readonly (readonly Node[])[] {
  return parts(node).filter((body) => body.length > 0);
}
