/** Runs cases on a machine, compares, and adds up. Knows no tier and no file system. */
import { abridgeTags } from './cases.ts';
import type { CpuCase, MemoryRun } from './cases.ts';
import type { Rule, RuleEffects } from './exclusions.ts';
import type { CaseMachine, RunResult } from './machine.ts';
import { realInstruction } from './real-instruction.ts';
import { undefinedFlags } from './undefined-flags.ts';

/** The format's bound for a case. */
export const MAX_INSTRUCTIONS = 10_000_000;

/** One thing that isn't as expected. */
export interface Difference {
  /** `eax`, `xmm3`, `mem 0x1000`, `exception`, `end`. */
  readonly what: string;
  readonly expected: string;
  readonly actual: string;
}

const NO_EFFECTS: RuleEffects = { excludedBy: undefined, applied: [] };
const FLAG_NAMES: ReadonlySet<string> = new Set(['flags', 'eflags', 'rflags']);
const STATUS_FLAGS = 0x8d5;
const MEGABYTE = 0x10_0000;
/** Highest address that real-mode code reaches beyond 1 MiB. */
const HIGH_MEMORY_END = 0x10_ffef;

/** Loads, runs and compares one case. An empty list: it passed. */
export function runCase(
  machine: CaseMachine,
  c: CpuCase,
  effects: RuleEffects = NO_EFFECTS,
  maxInstructions = MAX_INSTRUCTIONS,
): Difference[] {
  const wraps = effects.applied.some((rule) => rule.action.kind === 'wrapAtMegabyte');
  machine.load(wraps ? withHighMemory(c) : c);
  const stopAtException = c.expect.exception !== undefined;
  const result = machine.run(c.end, { maxInstructions, stopAtException });
  const differences = compareEnd(c, result, maxInstructions);
  if (differences.length > 0 && result.kind !== 'exception' && result.kind !== 'ended') return differences;
  compareRegisters(machine, c, effects.applied, differences);
  compareVectors(machine, c, differences);
  compareMemory(machine, c, effects.applied, wraps, differences);
  return differences;
}

/** A line for people: the case, and what differs. */
export function describeFailure(c: CpuCase, differences: readonly Difference[]): string {
  const list = differences.map((d) => `${d.what} is ${d.actual}, expected ${d.expected}`).join('; ');
  return `${c.name}${c.asm ? ` (${c.asm})` : ''}: ${list}`;
}

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
const hexBytes = (bytes: Uint8Array): string => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');

function compareEnd(c: CpuCase, result: RunResult, maxInstructions: number): Difference[] {
  const wanted = c.expect.exception;
  const expected = wanted ? `exception ${wanted.vector}` : `the end (${endText(c)})`;
  switch (result.kind) {
    case 'ended':
      return wanted ? [{ what: 'end', expected, actual: `the end (${endText(c)})` }] : [];
    case 'limit':
      return [{ what: 'end', expected, actual: `more than ${maxInstructions} instructions` }];
    case 'failed':
      return [{ what: 'end', expected, actual: result.reason }];
    case 'exception': {
      const actual = `exception ${result.vector}`;
      if (!wanted || wanted.vector !== result.vector) return [{ what: 'end', expected, actual }];
      const differences: Difference[] = [];
      for (const key of ['error', 'cr2'] as const) {
        const [want, have] = [wanted[key], result[key]];
        if (want === undefined || (have !== undefined && BigInt(want) === BigInt(have))) continue;
        const text = have === undefined ? 'none' : hex(have);
        differences.push({ what: key === 'error' ? 'error code' : 'cr2', expected: hex(want), actual: text });
      }
      return differences;
    }
  }
}

function endText(c: CpuCase): string {
  if (c.end.kind === 'hlt') return 'HLT';
  return c.end.kind === 'steps' ? `${c.end.count} steps` : `address ${hex(c.end.address)}`;
}

function flagBits(rules: readonly Rule[]): number {
  return rules.reduce((bits, { action }) => (action.kind === 'ignoreFlags' ? bits | action.bits : bits), 0);
}

/** Status flags that the instruction of a published real-mode case leaves undefined, by the manuals. */
function undefinedIn(c: CpuCase): number {
  const instruction = realInstruction(c);
  if (!instruction) return 0;
  const cl = Number((c.regs.cx ?? 0n) & 0xffn);
  return undefinedFlags(instruction, cl);
}

function compareRegisters(machine: CaseMachine, c: CpuCase, rules: readonly Rule[], out: Difference[]): void {
  for (const name in c.expect.regs) {
    let expected = c.expect.regs[name] ?? 0n;
    let actual = machine.readReg(name);
    if (FLAG_NAMES.has(name)) {
      const published = rules.length > 0 ? undefinedIn(c) : 0;
      const mask = c.flagsMask & ~BigInt(flagBits(rules) | published);
      expected &= mask;
      actual &= mask;
    } else if (name === 'ftw' && c.tagForm === 'abridged') actual = BigInt(abridgeTags(Number(actual)));
    if (expected !== actual) out.push({ what: name, expected: hex(expected), actual: hex(actual) });
  }
}

function compareVectors(machine: CaseMachine, c: CpuCase, out: Difference[]): void {
  for (const name in c.expect.vec) {
    const expected = c.expect.vec[name] ?? new Uint8Array();
    const actual = machine.readVec(name);
    if (!sameBytes(expected, actual)) out.push({ what: name, expected: hexBytes(expected), actual: hexBytes(actual) });
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function compareMemory(
  machine: CaseMachine,
  c: CpuCase,
  rules: readonly Rule[],
  wraps: boolean,
  out: Difference[],
): void {
  const pushed = pushedFlags(c, rules);
  for (const run of c.expect.mem) {
    const actual = machine.readMem(run.address, run.bytes.length);
    if (sameBytes(run.bytes, actual)) continue;
    const alias =
      wraps && run.address + MEGABYTE <= HIGH_MEMORY_END
        ? machine.readMem(run.address + MEGABYTE, run.bytes.length)
        : actual;
    const differs = run.bytes.some((byte, i) => {
      const mask = pushed?.mask(run.address + i) ?? 0xff;
      return (byte & mask) !== ((actual[i] ?? 0) & mask) && (byte & mask) !== ((alias[i] ?? 0) & mask);
    });
    if (differs) out.push({ what: `mem ${hex(run.address)}`, expected: hexBytes(run.bytes), actual: hexBytes(actual) });
  }
}

/** Which bits count in the bytes of a flags word that the case pushed. */
function pushedFlags(c: CpuCase, rules: readonly Rule[]): { mask(address: number): number } | undefined {
  const rule = rules.find(({ action }) => action.kind === 'ignorePushedFlags');
  if (rule?.action.kind !== 'ignorePushedFlags') return undefined;
  const undefinedBits = (~Number(c.flagsMask & 0xffffn) | undefinedIn(c)) & STATUS_FLAGS;
  const bits = ~(rule.action.bits | undefinedBits) & 0xffff;
  const sp = Number(c.expect.regs.sp ?? 0n) + rule.action.offset;
  const base = Number(c.expect.regs.ss ?? 0n) * 16;
  const [low, high] = [base + (sp & 0xffff), base + ((sp + 1) & 0xffff)];
  const at = (address: number, wanted: number): boolean => address === wanted || address === wanted % MEGABYTE;
  return { mask: (address) => (at(address, low) ? bits & 0xff : at(address, high) ? bits >> 8 : 0xff) };
}

/** The case with its low memory repeated from 1 MiB on, where a processor with more address lines looks for it. */
function withHighMemory(c: CpuCase): CpuCase {
  const isLow = (run: MemoryRun): boolean => run.address + MEGABYTE <= HIGH_MEMORY_END;
  const repeated = c.mem.filter(isLow).map((run) => ({ address: run.address + MEGABYTE, bytes: run.bytes }));
  const written = c.expect.mem.filter(isLow).map((run) => [run.address + MEGABYTE, run.bytes.length] as const);
  return { ...c, mem: [...c.mem, ...repeated], zero: [...c.zero, ...written] };
}

/** What a run of many cases came to. */
export interface Tally {
  passed: number;
  failed: number;
  excluded: number;
}
