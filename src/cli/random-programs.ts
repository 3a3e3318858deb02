/**
 * Random programs of a seed on this machine's processor, the interpreter and the compiler, which must agree on every
 * register, flag and byte of memory at each fault and at the end, and the two on the instructions that were retired:
 *
 *     npm run --silent random-programs -- [--seed TEXT] [--from N] [--count N] [--minutes N] [--bits 32|64]
 *     npm run --silent random-programs -- --recorded [--record]
 *
 * Needs what the oracle needs (`src/cpu/testing/oracle/README.md`). A program that differs is made smaller and printed.
 * `--recorded` takes the programs and answers of `src/cpu/testing/programs/recorded.jsonl.gz` instead of a processor;
 * `--record` writes that file anew first. `--bits` passes over the programs of the other mode: some hosts' kernels run no
 * 32-bit ones. Exits 0 only if nothing differs; the last line counts.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import { createCoreMachine } from '../cpu/testing/core-machine.ts';
import type { Draft } from '../cpu/testing/oracle/draft.ts';
import { NativeHarness } from '../cpu/testing/oracle/native.ts';
import { nativeStops } from '../cpu/testing/programs/compare.ts';
import { Checker } from '../cpu/testing/programs/check.ts';
import type { Finding } from '../cpu/testing/programs/check.ts';
import { generateProgram } from '../cpu/testing/programs/generate.ts';
import { lower } from '../cpu/testing/programs/lower.ts';
import type { Stop } from '../cpu/testing/programs/machine.ts';
import { ProgramMachine } from '../cpu/testing/programs/machine.ts';
import type { Program } from '../cpu/testing/programs/program.ts';
import { decodeRecorded, encodeRecorded } from '../cpu/testing/programs/recorded.ts';
import { report } from '../cpu/testing/programs/report.ts';
import { shrink } from '../cpu/testing/programs/shrink.ts';

const HARNESS = fileURLToPath(new URL('../cpu/testing/oracle/harness.c', import.meta.url));
const RECORDED = fileURLToPath(new URL('../cpu/testing/programs/recorded.jsonl.gz', import.meta.url));
const CORE = new URL('../../build/core/core.wasm', import.meta.url);
/** Programs that the processor is given at once. */
const BATCH = 200;
const RECORDED_SEED = 'recorded';
const RECORDED_COUNT = 400;
/** Programs after which a campaign says how far it is. */
const PROGRESS = 20_000;
/** Findings after which a campaign ends. */
const MOST_FINDINGS = 10;

interface Prepared {
  readonly program: Program;
  readonly draft: Draft;
}

function prepare(seed: string, from: number, count: number): Prepared[] {
  return Array.from({ length: count }, (_, n) => {
    const program = generateProgram(seed, from + n);
    return { program, draft: lower(program).draft };
  });
}

/** The processor's answers, in the order of the programs. */
function answers(harness: NativeHarness, drafts: readonly Draft[]): Stop[][] {
  const stops = new Map<Draft, Stop[]>();
  for (const bits of [32, 64] as const) {
    const mine = drafts.filter((draft) => draft.bits === bits);
    const results = harness.run(bits, mine);
    mine.forEach((draft, n) => {
      const result = results[n];
      if (result) stops.set(draft, nativeStops(draft, result));
    });
  }
  return drafts.map((draft) => stops.get(draft) ?? []);
}

function count(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new Error(`--${name} is a number, not ${text}`);
  return value;
}

function checker(): Checker {
  if (!existsSync(CORE)) throw new Error('there is no build/core/core.wasm: run `npm run build:core` first');
  const module = new WebAssembly.Module(readFileSync(CORE));
  const make = (tier: 'jit' | 'evaluator'): ProgramMachine =>
    new ProgramMachine(createCoreMachine(tier, module, () => [0, 0, 0, 0]));
  return new Checker(make('jit'), () => make('evaluator'));
}

interface Result {
  ran: number;
  differed: number;
}

/** Runs programs until the count or the time is up. */
function campaign(seed: string, from: number, most: number, minutes: number, bits: number | undefined): Result {
  const check = checker();
  const harness = new NativeHarness(HARNESS);
  const end = performance.now() + minutes * 60_000;
  const result: Result = { ran: 0, differed: 0 };
  let next = from;
  try {
    while (result.ran < most && result.differed < MOST_FINDINGS && performance.now() < end) {
      const made = prepare(seed, next, Math.min(BATCH, most - result.ran));
      next += made.length;
      const batch = made.filter(({ draft }) => bits === undefined || draft.bits === bits);
      const expected = answers(harness, batch.map(({ draft }) => draft)); // prettier-ignore
      for (const [n, { program, draft }] of batch.entries()) {
        const asked = { mixed: n % 8 < 2, thoroughly: n % 8 === 2, evaluated: n % 100 === 0 };
        const finding = check.check(draft, expected[n] ?? [], asked);
        result.ran++;
        if (!finding) continue;
        process.stdout.write(`${explain(harness, check, program, finding)}\n`);
        if (++result.differed >= MOST_FINDINGS) break;
      }
      if (result.ran % PROGRESS === 0) process.stdout.write(`${result.ran} programs, ${result.differed} differ\n`);
    }
  } finally {
    harness.dispose();
  }
  return result;
}

/** The program made smaller, and how it differs. */
function explain(harness: NativeHarness, check: Checker, program: Program, first: Finding): string {
  let finding = first;
  const small = shrink(program, (candidate) => {
    const { draft } = lower(candidate);
    const found = check.check(draft, answers(harness, [draft])[0] ?? [], first.asked);
    if (!found || found.way !== first.way) return false;
    finding = found;
    return true;
  });
  return report(small, lower(small), finding);
}

function record(): void {
  const harness = new NativeHarness(HARNESS);
  try {
    const batch = prepare(RECORDED_SEED, 0, RECORDED_COUNT);
    const expected = answers(harness, batch.map(({ draft }) => draft)); // prettier-ignore
    const lines = batch.map(({ program, draft }, n) => encodeRecorded(program.name, draft, expected[n] ?? []));
    writeFileSync(RECORDED, gzipSync(`${lines.join('\n')}\n`, { level: 9 }));
  } finally {
    harness.dispose();
  }
}

function recorded(): Result {
  const check = checker();
  let differed = 0;
  const lines = gunzipSync(readFileSync(RECORDED)).toString().trim().split('\n');
  lines.forEach((line, n) => {
    const { name, draft, stops } = decodeRecorded(line);
    const finding = check.check(draft, stops, { mixed: true, thoroughly: true, evaluated: n % 8 === 0 });
    if (!finding) return;
    differed++;
    const list = finding.differences.map((d) => `${d.what} is ${d.actual}, expected ${d.expected}`);
    process.stdout.write(`${name}, ${finding.way}: ${list.join('; ')}\n`);
  });
  return { ran: lines.length, differed };
}

function main(): number {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: 'campaign' },
      from: { type: 'string', default: '0' },
      count: { type: 'string', default: '2400' },
      minutes: { type: 'string', default: '600' },
      bits: { type: 'string' },
      recorded: { type: 'boolean', default: false },
      record: { type: 'boolean', default: false },
    },
  });
  if (values.record) record();
  const result =
    values.recorded || values.record
      ? recorded()
      : campaign(
          values.seed,
          count(values.from, 'from'),
          count(values.count, 'count'),
          count(values.minutes, 'minutes'),
          values.bits === undefined ? undefined : count(values.bits, 'bits'),
        );
  process.stdout.write(`${result.ran - result.differed} passed, ${result.differed} failed\n`);
  return result.differed === 0 ? 0 : 1;
}

try {
  process.exitCode = main();
} catch (error) {
  process.stderr.write(`random-programs: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exitCode = 2;
}
