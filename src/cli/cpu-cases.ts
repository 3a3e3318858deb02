/**
 * Runs CPU cases:
 *
 *     npm run --silent cpu-cases -- [--tier interpreter|jit|evaluator|all] [--quick] [--report FILE.json] [FILE …]
 *
 * A file is JSON Lines of cases (`.jsonl`, `.jsonl.gz`), an archive of TestFloat's vectors (`.tgz`), or one of its
 * members (`f32_add.min.txt`, also by its name alone). Without files: all vectors of the project. `--quick` (for
 * `npm test`) means all vectors on all tiers, but one in five of TestFloat's, and on the compiler
 * a part of the large files.
 *
 * Prints a line for each failing case, then the exclusion rules with their counts, then `N passed, N failed`. Exits 0
 * only if nothing failed.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { Exclusions } from '../cpu/testing/exclusions.ts';
import { describeFloatCase, floatPrograms, runFloatCase } from '../cpu/testing/float-cases.ts';
import { readCases } from '../cpu/testing/load-node.ts';
import { TIERS } from '../cpu/testing/machine.ts';
import type { CaseMachine, Tier } from '../cpu/testing/machine.ts';
import { describeFailure, runCase } from '../cpu/testing/runner.ts';
import type { Difference, Tally } from '../cpu/testing/runner.ts';
import { AVAILABLE_TIERS, createCaseMachine } from '../cpu/testing/tiers.ts';
import { parseTestFloatName, testFloatCases, testFloatFiles } from '../cpu/testing/testfloat.ts';
import type { TestFloatFile } from '../cpu/testing/testfloat.ts';
import { cpuid, cpuModel, defaultCpuModel } from '../machine/cpu-model.ts';

const CORE = new URL('../../build/core/core.wasm', import.meta.url);
const VECTORS = fileURLToPath(new URL('../cpu/testing/vectors/', import.meta.url));
const ARCHIVE = 'testfloat.tgz';
/** `--quick` takes one in so many of TestFloat's vectors. */
const QUICK_STRIDE = 5;
const USAGE =
  'usage: cpu-cases [--tier interpreter|jit|evaluator|all] [--quick] [--report FILE.json] ' +
  '[FILE.jsonl[.gz] | testfloat.tgz | FUNCTION.ROUNDING.txt] …';

interface Failure {
  file: string;
  tier: Tier;
  name: string;
  asm: string;
  differences: Difference[];
}

interface FileReport extends Tally {
  file: string;
  tier: Tier;
  seconds: number;
}

function tiersOf(option: string): readonly Tier[] {
  if (option === 'all') return AVAILABLE_TIERS;
  const tier = TIERS.find((t) => t === option);
  if (!tier) throw new Error(`no tier '${option}'; ${USAGE}`);
  return [tier];
}

/** What a case is called, and how to run it. */
interface Work {
  readonly name: string;
  readonly asm: string;
  /** Not to be run, but counted. */
  readonly excluded?: boolean;
  run(machine: CaseMachine): Difference[];
  describe(differences: readonly Difference[]): string;
}

class CaseRun {
  readonly exclusions = new Exclusions();
  readonly failures: Failure[] = [];
  readonly files: FileReport[] = [];
  private readonly quick: boolean;
  private readonly machines: ReadonlyMap<Tier, CaseMachine>;

  constructor(machines: ReadonlyMap<Tier, CaseMachine>, quick: boolean) {
    this.machines = machines;
    this.quick = quick;
  }

  /** Compiling takes a while: with `--quick` the compiler runs one in this many of the large files' cases. */
  private compiledStride(file: string): number {
    if (!this.quick) return 1;
    return /singlestep|testfloat/.test(file) ? 64 : /programs/.test(file) ? 8 : 2;
  }

  /** Runs all cases of a file on every tier. */
  async run(file: string, cases: AsyncIterable<Work> | Iterable<Work>): Promise<void> {
    const reports = new Map<Tier, FileReport>();
    for (const tier of this.machines.keys()) {
      reports.set(tier, { file, tier, passed: 0, failed: 0, excluded: 0, seconds: 0 });
    }
    let number = 0;
    for await (const work of cases) {
      for (const [tier, machine] of this.machines) {
        if (tier === 'jit' && number % this.compiledStride(file) !== 0) continue;
        this.runOne(work, machine, reports.get(tier) as FileReport);
      }
      number++;
    }
    this.files.push(...reports.values());
  }

  private runOne(work: Work, machine: CaseMachine, report: FileReport): void {
    if (work.excluded) {
      report.excluded++;
      return;
    }
    const started = performance.now();
    const differences = work.run(machine);
    report.seconds += (performance.now() - started) / 1000;
    if (differences.length === 0) {
      report.passed++;
      return;
    }
    report.failed++;
    const { file, tier } = report;
    this.failures.push({ file, tier, name: work.name, asm: work.asm, differences });
    const prefix = this.machines.size > 1 ? `[${tier}] ` : '';
    process.stdout.write(`${prefix}${work.describe(differences)}\n`);
  }

  sum(key: keyof Tally): number {
    return this.files.reduce((total, report) => total + report[key], 0);
  }
}

async function* caseWork(file: string, exclusions: Exclusions): AsyncGenerator<Work> {
  for await (const c of readCases(file)) {
    const effects = exclusions.apply(c);
    yield {
      name: c.name,
      asm: c.asm,
      excluded: effects.excludedBy !== undefined,
      run: (machine) => runCase(machine, c, effects),
      describe: (differences) => describeFailure(c, differences),
    };
  }
}

function* floatWork(files: Iterable<TestFloatFile>, stride: number): Generator<Work> {
  let number = 0;
  for (const { fn, text } of files) {
    for (const program of floatPrograms(fn)) {
      for (const vector of testFloatCases(text)) {
        if (number++ % stride !== 0) continue;
        const name = describeFloatCase(program, vector);
        yield {
          name,
          asm: program.mnemonic,
          run: (machine) => runFloatCase(machine, program, vector),
          describe: (differences) => {
            const list = differences.map((d) => `${d.what} is ${d.actual}, expected ${d.expected}`).join('; ');
            return `${name} (${program.mnemonic}): ${list}`;
          },
        };
      }
    }
  }
}

/** The TestFloat files that an argument names; undefined if it names something else. */
function floatFiles(file: string): Iterable<TestFloatFile> | undefined {
  if (file.endsWith('.tgz')) return testFloatFiles(gunzipSync(readFileSync(file)));
  if (!file.endsWith('.txt')) return undefined;
  if (existsSync(file)) return [{ fn: parseTestFloatName(file), text: readFileSync(file, 'utf8') }];
  const wanted = parseTestFloatName(file);
  const all = [...testFloatFiles(gunzipSync(readFileSync(VECTORS + ARCHIVE)))];
  const found = all.filter(({ fn }) => fn.name === wanted.name && fn.rounding === wanted.rounding);
  if (found.length === 0) throw new Error(`${file}: neither a file nor a member of ${ARCHIVE}`);
  return found;
}

function ownVectors(): string[] {
  const names = readdirSync(VECTORS).filter((name) => name.endsWith('.jsonl.gz') || name === ARCHIVE);
  return names.sort().map((name) => VECTORS + name);
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { tier: { type: 'string' }, quick: { type: 'boolean', default: false }, report: { type: 'string' } },
  });
  if (!existsSync(CORE)) throw new Error('there is no build/core/core.wasm: run `npm run build:core` first');
  const core = await WebAssembly.compile(readFileSync(CORE));
  const model = cpuModel(defaultCpuModel);
  const machines = new Map<Tier, CaseMachine>();
  for (const tier of tiersOf(values.tier ?? (values.quick ? 'all' : 'interpreter'))) {
    machines.set(
      tier,
      createCaseMachine(tier, core, (leaf, subleaf) => cpuid(model, leaf, subleaf)),
    );
  }
  const run = new CaseRun(machines, values.quick);
  for (const file of positionals.length > 0 ? positionals : ownVectors()) {
    const floats = floatFiles(file);
    const work = floats ? floatWork(floats, values.quick ? QUICK_STRIDE : 1) : caseWork(file, run.exclusions);
    await run.run(positionals.length > 0 ? file : basename(file), work);
  }

  const problems = run.exclusions.problems();
  for (const line of [...run.exclusions.lines(), ...problems]) process.stdout.write(`${line}\n`);
  const [passed, failed] = [run.sum('passed'), run.sum('failed') + problems.length];
  if (values.report) {
    const { files, failures } = run;
    const report = { passed, failed, excluded: run.sum('excluded'), problems, files, failures };
    writeFileSync(values.report, `${JSON.stringify(report, undefined, 2)}\n`);
  }
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

main().then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    process.stderr.write(`cpu-cases: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 2;
  },
);
