import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createCoreMachine } from '../core-machine.ts';
import { Checker } from './check.ts';
import { generateProgram } from './generate.ts';
import { lower } from './lower.ts';
import { ProgramMachine } from './machine.ts';
import type { Node, Program } from './program.ts';
import { decodeRecorded, encodeRecorded } from './recorded.ts';
import { shrink } from './shrink.ts';

const core = new URL('../../../../build/core/core.wasm', import.meta.url);
const lines = gunzipSync(readFileSync(new URL('recorded.jsonl.gz', import.meta.url)))
  .toString()
  .trim()
  .split('\n');

function count(nodes: readonly Node[], wanted: Node['kind']): number {
  return nodes.reduce((sum, node) => {
    const inner =
      node.kind === 'branch'
        ? [...node.body, ...node.otherwise]
        : node.kind === 'switch'
          ? node.cases.flat()
          : node.kind === 'loop' || node.kind === 'bracket'
            ? node.body
            : [];
    return sum + (node.kind === wanted ? 1 : 0) + count(inner, wanted);
  }, 0);
}

const inAll = (p: Program, wanted: Node['kind']): number =>
  count([...p.body, ...p.functions.flatMap((f) => f.body)], wanted);

describe('random programs', () => {
  it('are the same for the same seed', () => {
    for (let n = 0; n < 20; n++) {
      const [a, b] = [lower(generateProgram('same', n)), lower(generateProgram('same', n))];
      expect(a.lines).toEqual(b.lines);
      expect(a.draft.windows).toEqual(b.draft.windows);
    }
  });

  it('have of everything', () => {
    const programs = Array.from({ length: 200 }, (_, n) => generateProgram('kinds', n));
    for (const kind of ['bracket', 'branch', 'loop', 'exit', 'switch', 'call', 'copy', 'fault'] as const) {
      expect(programs.filter((p) => inAll(p, kind) > 0).length, kind).toBeGreaterThan(10);
    }
  });

  it('shrink to what matters', () => {
    const program = Array.from({ length: 50 }, (_, n) => generateProgram('shrink', n)).find(
      (p) => inAll(p, 'switch') > 1,
    );
    if (!program) throw new Error('no program has two switches');
    const small = shrink(program, (p) => lower(p).lines.length > 0 && inAll(p, 'switch') > 0);
    expect(inAll(small, 'switch')).toBe(1);
    expect(inAll(small, 'op')).toBe(0);
    expect(small.functions.length + small.body.length).toBeLessThanOrEqual(2);
  });

  it('are written and read again', () => {
    for (const line of lines.slice(0, 20)) {
      const { name, draft, stops } = decodeRecorded(line);
      expect(encodeRecorded(name, draft, stops)).toBe(line);
    }
  });

  it('that end differently from what was recorded are told', () => {
    const module = new WebAssembly.Module(readFileSync(core));
    const make = (): ProgramMachine => new ProgramMachine(createCoreMachine('jit', module, () => [0, 0, 0, 0]));
    const checker = new Checker(make(), make);
    const { draft, stops } = decodeRecorded(lines[0] ?? '');
    const asked = { mixed: false, thoroughly: false, evaluated: false };
    expect(checker.check(draft, stops, asked)).toBeUndefined();
    const wrong = stops.map((s, n) => (n === stops.length - 1 ? { ...s, memory: s.memory ^ 1 } : s));
    const finding = checker.check(draft, wrong, asked);
    expect(finding?.differences.map((d) => d.what)).toEqual(['at the end: hash of memory']);
  });
});
