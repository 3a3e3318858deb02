/** The nesting of a function's code: which instruction opens what, which constructs are branched to, and what they do. */
import { effects } from './decoder.ts';
import type { Instruction } from './decoder.ts';

export interface Block {
  readonly kind: 'block' | 'loop' | 'if';
  /** `$block3`; only if something branches to it. */
  label: string | undefined;
  /** What running it may do, conditions and inner constructs included. */
  reads: boolean;
  writes: boolean;
  readonly locals: Set<number>;
  /** It may end elsewhere than at its end. */
  leaves: boolean;
}

/** The constructs of a function, by the index of the instruction that opens them. */
export function blockStructure(code: readonly Instruction[]): ReadonlyMap<number, Block> {
  const blocks = new Map<number, Block>();
  const open: Block[] = [];
  const targets = new Set<Block>();
  for (const [index, { name, immediates }] of code.entries()) {
    const inner = open.at(-1);
    if (immediates.kind === 'block') {
      const kind = name === 'loop' || name === 'if' ? name : 'block';
      const block: Block = { kind, label: undefined, reads: false, writes: false, locals: new Set(), leaves: false };
      blocks.set(index, block);
      open.push(block);
    } else if (name === 'end') {
      open.pop();
      const outer = open.at(-1);
      if (inner && outer) merge(outer, inner);
    } else if (immediates.kind === 'labels') {
      for (const depth of immediates.depths) {
        const target = open.at(-1 - depth);
        if (target) targets.add(target);
      }
      if (inner) inner.leaves = true;
    } else if (inner) {
      note(inner, name, immediates);
    }
  }
  let number = 0;
  for (const block of blocks.values()) if (targets.has(block)) block.label = `$${block.kind}${++number}`;
  return blocks;
}

function merge(outer: Block, inner: Block): void {
  outer.reads ||= inner.reads;
  outer.writes ||= inner.writes;
  outer.leaves ||= inner.leaves;
  for (const local of inner.locals) outer.locals.add(local);
}

function note(block: Block, name: string, immediates: Instruction['immediates']): void {
  const { reads, writes } = effects(name);
  block.reads ||= reads;
  block.writes ||= writes;
  block.leaves ||= name === 'return' || name === 'unreachable' || name.startsWith('return_call');
  if ((name === 'local.set' || name === 'local.tee') && immediates.kind === 'indices') {
    for (const local of immediates.indices) block.locals.add(local);
  }
}
