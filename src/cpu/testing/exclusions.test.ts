import { describe, expect, it } from 'vitest';
import { parseCase } from './cases.ts';
import { Exclusions, RULES, SUITES } from './exclusions.ts';
import type { Rule } from './exclusions.ts';
import { realInstruction } from './real-instruction.ts';
import { undefinedFlags } from './undefined-flags.ts';

/** A real-mode case whose code is the given hex at 0100:0000. */
function realCase(name: string, code: string, more: object = {}) {
  const regs = { cs: 0x100, ss: 0x300, ...('regs' in more ? (more.regs as object) : {}) };
  return parseCase(
    JSON.stringify({ name, mode: 'real', end: 'hlt', expect: {}, mem: [[0x1000, code]], ...more, regs }),
  );
}

const excludedBy = (name: string, code: string, more?: object) =>
  new Exclusions().apply(realCase(name, code, more)).excludedBy?.id;

describe('exclusion rules', () => {
  it('have distinct names and a reason each', () => {
    expect(new Set(RULES.map((rule) => rule.id)).size).toBe(RULES.length);
    expect(RULES.every((rule) => rule.reason.length > 20)).toBe(true);
  });

  it('leave other cases alone', () => {
    expect(new Exclusions().apply(realCase('mine/00/0', 'f090f4'))).toEqual({ excludedBy: undefined, applied: [] });
  });

  it.each([
    ['80286/90/0', 'f090f4', '80286-lock'],
    ['80286/00/0', 'f00007f4', undefined],
    ['80286/00/0', 'f000c0f4', '80286-lock'],
    ['80286/38/0', 'f03807f4', '80286-lock'],
    ['80286/8E/0', '26f08e2f', '80286-lock'],
    ['80286/8E/0', '8eef', '80286-segment-registers'],
    ['80286/8E/0', '8ed8', undefined],
    ['8086/54/0', '54', '8086-push-sp'],
    ['8086/50/0', '50', undefined],
    ['8086/FF.6/0', 'fff4', '8086-push-sp'],
    ['8086/FF.6/0', 'ff34', undefined],
    ['8086/6F/0', '6f00', '8086-aliases'],
    ['8086/D0.6/0', 'd0f0', '8086-setmo'],
    ['8086/C6.3/0', 'c6180012', '8086-ignored-modrm'],
    ['8086/DF/0', 'dfe0', '8086-coprocessor'],
    ['8086/F6.7/0', 'f3f6f8', '8086-repeated-divide'],
  ])('%s %s: %s', (name, code, rule) => {
    expect(excludedBy(name, code)).toBe(rule);
  });

  it('look at registers and flags', () => {
    expect(excludedBy('8086/D2.0/0', 'd2c0', { regs: { cx: 0x1f } })).toBeUndefined();
    expect(excludedBy('8086/D2.0/0', 'd2c0', { regs: { cx: 0x20 } })).toBe('8086-shift-count');
    expect(excludedBy('8086/2F/0', '2f', { regs: { ax: 0x9e, flags: 0x10 } })).toBe('8086-decimal-adjust');
    expect(excludedBy('8086/2F/0', '2f', { regs: { ax: 0x9e, flags: 0x11 } })).toBeUndefined();
  });

  it('tell stack faults from others', () => {
    const takes = { exception: 13 };
    expect(excludedBy('80286/1F/0', '1ff4', takes)).toBe('80286-stack-fault');
    expect(excludedBy('80286/8B/0', '8b4600f4', takes)).toBe('80286-stack-fault');
    expect(excludedBy('80286/8B/0', '3e8b4600f4', takes)).toBeUndefined();
    expect(excludedBy('80286/8B/0', '8b07f4', takes)).toBeUndefined();
    expect(excludedBy('80286/A5/0', 'a5f4', takes)).toBe('80286-string-fault');
  });

  it('see accesses that wrap in the bytes that the recording names', () => {
    const mem = [[0x1000, 'a10000'], [0x11fff, 1], [0x2000, 2]]; // prettier-ignore
    expect(excludedBy('8086/A1/0', 'a1', { mem, regs: { ds: 0x200 } })).toBe('8086-wrap-at-ffff');
    expect(excludedBy('8086/A1/0', 'a1', { mem, regs: { ds: 0x201 } })).toBeUndefined();
  });

  it('are counted, and a rule that drops nothing or a share too large is a problem', () => {
    const rules: Rule[] = [
      { id: 'all', suite: '8086', action: { kind: 'exclude' }, reason: 'x' },
      { id: 'none', suite: '8086', action: { kind: 'exclude' }, when: [{ opcodes: '00' }], reason: 'x' },
    ];
    const exclusions = new Exclusions(rules);
    const c = realCase('8086/90/0', '90');
    exclusions.apply(c);
    expect(exclusions.problems()).toEqual([]); // a part of the suite says nothing about the rules
    const { caseCount } = SUITES.find((suite) => suite.id === '8086') ?? { caseCount: 0 };
    for (let i = 1; i < caseCount; i++) exclusions.apply(c);
    expect(exclusions.lines()[0]).toContain(`rule all: ${caseCount} cases excluded`);
    expect(exclusions.problems()).toEqual([
      'rule none matches no case: remove it',
      `suite 8086: ${caseCount} cases are excluded, and at most ${Math.floor(caseCount * 0.14)} may be`,
    ]);
  });

  it('must belong to a suite', () => {
    expect(() => new Exclusions([{ id: 'x', suite: 'y', action: { kind: 'exclude' }, reason: '' }])).toThrow(
      'no suite',
    );
  });
});

describe('undefined flags', () => {
  const flagsOf = (code: string, cl = 0): number => {
    const instruction = realInstruction(realCase('x', code));
    return instruction ? undefinedFlags(instruction, cl) : -1;
  };

  it.each([
    ['2207', 0, 0x10, 'AND'],
    ['0207', 0, 0, 'ADD'],
    ['801f05', 0, 0, 'SBB Eb,Ib'],
    ['802705', 0, 0x10, 'AND Eb,Ib'],
    ['f7e1', 0, 0xd4, 'MUL'],
    ['f7f1', 0, 0x8d5, 'DIV'],
    ['d1e0', 0, 0x10, 'SHL by 1'],
    ['d3e0', 0, 0, 'SHL by 0'],
    ['d3e0', 4, 0x810, 'SHL by 4'],
    ['d3e0', 16, 0x811, 'SHL by the operand size'],
    ['d3f8', 17, 0x810, 'SAR keeps CF'],
    ['d3c0', 33, 0, 'ROL by 33 is by 1'],
    ['c1471002', 0, 0x800, 'ROL Ev,Ib with displacement: the count is not the displacement'],
    ['c1670205', 0, 0x810, 'SHL Ev,Ib'],
  ])('%s, CL %i: %i (%s)', (code, cl, flags) => {
    expect(flagsOf(code, cl)).toBe(flags);
  });
});
