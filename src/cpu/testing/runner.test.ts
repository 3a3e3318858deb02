import { describe, expect, it } from 'vitest';
import { parseCase } from './cases.ts';
import type { CpuCase } from './cases.ts';
import { Exclusions } from './exclusions.ts';
import type { CaseMachine, RunResult } from './machine.ts';
import { describeFailure, runCase } from './runner.ts';

/** A machine that does nothing but hold what it was given: registers and memory as the test says. */
class StillMachine implements CaseMachine {
  loaded: CpuCase | undefined;
  private readonly regs: Record<string, bigint>;
  private readonly memory: Map<number, number>;
  private readonly result: RunResult;

  constructor(regs: Record<string, bigint>, memory: [number, number][] = [], result: RunResult = { kind: 'ended' }) {
    this.regs = regs;
    this.memory = new Map(memory);
    this.result = result;
  }

  load(c: CpuCase): void {
    this.loaded = c;
  }

  run(): RunResult {
    return this.result;
  }

  readReg(name: string): bigint {
    return this.regs[name] ?? 0n;
  }

  readVec(): Uint8Array {
    return new Uint8Array(16);
  }

  readMem(address: number, length: number): Uint8Array {
    return Uint8Array.from({ length }, (_, i) => this.memory.get(address + i) ?? 0);
  }
}

const parse = (more: object) => parseCase(JSON.stringify({ name: 'x', mode: 'real', end: 'hlt', expect: {}, ...more }));

describe('runCase', () => {
  it('compares only what is named, and flags under the mask', () => {
    const c = parse({ expect: { regs: { ax: 1, flags: 0x813 } }, flags_mask: 0xff });
    expect(runCase(new StillMachine({ ax: 1n, bx: 9n, flags: 0x13n }), c)).toEqual([]);
    expect(runCase(new StillMachine({ ax: 2n, flags: 0x12n }), c)).toEqual([
      { what: 'ax', expected: '0x1', actual: '0x2' },
      { what: 'flags', expected: '0x13', actual: '0x12' },
    ]);
  });

  it('compares vectors and memory, and describes what differs', () => {
    const c = parse({ asm: 'nop', expect: { vec: { xmm0: `01${'00'.repeat(15)}` }, mem: [[4096, '0203']] } });
    const text = describeFailure(c, runCase(new StillMachine({}, [[4096, 2]]), c));
    expect(text).toBe(
      `x (nop): xmm0 is ${'00'.repeat(16)}, expected 01${'00'.repeat(15)}; mem 0x1000 is 0200, expected 0203`,
    );
  });

  it('compares exceptions by what is named', () => {
    const c = parse({ expect: { exception: { vector: 14, error: 6 } } });
    const fault: RunResult = { kind: 'exception', vector: 14, error: 6, cr2: 5n };
    expect(runCase(new StillMachine({}, [], fault), c)).toEqual([]);
    expect(runCase(new StillMachine({}, [], { ...fault, error: 4 }), c)).toEqual([
      { what: 'error code', expected: '0x6', actual: '0x4' },
    ]);
    expect(runCase(new StillMachine({}), c)).toEqual([
      { what: 'end', expected: 'exception 14', actual: 'the end (HLT)' },
    ]);
  });

  it('reports a run that did not end without comparing further', () => {
    const c = parse({ expect: { regs: { ax: 1 } } });
    expect(runCase(new StillMachine({}, [], { kind: 'failed', reason: 'triple fault' }), c)).toEqual([
      { what: 'end', expected: 'the end (HLT)', actual: 'triple fault' },
    ]);
  });

  it('abridges the tag word where the case does', () => {
    const c = parse({ regs: { ftw: 0 }, expect: { regs: { ftw: 0x80 } } });
    expect(runCase(new StillMachine({ ftw: 0x3fffn }), c)).toEqual([]);
  });

  it('masks bits 12–15 and undefined flags of a flags word that the case pushed', () => {
    const c = parse({
      name: '80286/F6.6/0',
      regs: { cs: 0x100, ss: 0x300, sp: 0x100, flags: 2 },
      mem: [[0x1000, 'f6f1']],
      expect: { regs: { ss: 0x300, sp: 0xfa }, mem: [[0x30fe, 'd70f']] },
      exception: 0,
    });
    const effects = new Exclusions().apply(c);
    expect(runCase(new StillMachine({ ss: 0x300n, sp: 0xfan }, [[0x30fe, 2], [0x30ff, 0x77]]), c, effects)).toEqual([]); // prettier-ignore
    expect(runCase(new StillMachine({ ss: 0x300n, sp: 0xfan }, [[0x30fe, 2], [0x30ff, 0x75]]), c, effects)).toHaveLength(1); // prettier-ignore
  });

  it('finds memory of a 20-bit address space above 1 MiB too', () => {
    const c = parse({
      name: '8086/88/0',
      regs: { cs: 0x100 },
      mem: [[0x1000, '8807'], [5, 1]], // prettier-ignore
      expect: { mem: [[5, 9]] },
    });
    const effects = new Exclusions().apply(c);
    const machine = new StillMachine({}, [[5, 1], [0x100005, 9]]); // prettier-ignore
    expect(runCase(machine, c, effects)).toEqual([]);
    expect(machine.loaded?.mem.map((run) => run.address)).toEqual([0x1000, 5, 0x101000, 0x100005]);
    expect(runCase(new StillMachine({}, [[5, 1]]), c, effects)).toHaveLength(1);
  });
});
