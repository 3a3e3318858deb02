/**
 * Runs CPU cases:
 *
 *     npm run --silent cpu-cases -- [--tier interpreter|jit|evaluator|all] [--report FILE.json] FILE.jsonl[.gz] …
 *
 * Prints a line for each failing case, then the exclusion rules with their counts, then `N passed, N failed`. Exits 0
 * only if nothing failed.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Exclusions } from '../cpu/testing/exclusions.ts';
import { readCases } from '../cpu/testing/load-node.ts';
import { TIERS } from '../cpu/testing/machine.ts';
import type { CaseMachine, Tier } from '../cpu/testing/machine.ts';
import { describeFailure, runCase } from '../cpu/testing/runner.ts';
import type { Tally } from '../cpu/testing/runner.ts';
import { AVAILABLE_TIERS, createCaseMachine } from '../cpu/testing/tiers.ts';
import { cpuid, cpuModel, defaultCpuModel } from '../machine/cpu-model.ts';

const CORE = new URL('../../build/core/core.wasm', import.meta.url);
const USAGE = 'usage: cpu-cases [--tier interpreter|jit|evaluator|all] [--report FILE.json] FILE.jsonl[.gz] …';

interface Failure {
  file: string;
  tier: Tier;
  name: string;
  asm: string;
  differences: { what: string; expected: string; actual: string }[];
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

async function runFile(
  file: string,
  machines: ReadonlyMap<Tier, CaseMachine>,
  exclusions: Exclusions,
  failures: Failure[],
): Promise<FileReport[]> {
  const reports = new Map<Tier, FileReport>();
  for (const tier of machines.keys()) reports.set(tier, { file, tier, passed: 0, failed: 0, excluded: 0, seconds: 0 });
  for await (const c of readCases(file)) {
    const effects = exclusions.apply(c);
    for (const [tier, machine] of machines) {
      const report = reports.get(tier) as FileReport;
      if (effects.excludedBy) {
        report.excluded++;
        continue;
      }
      const started = performance.now();
      const differences = runCase(machine, c, effects);
      report.seconds += (performance.now() - started) / 1000;
      if (differences.length === 0) {
        report.passed++;
        continue;
      }
      report.failed++;
      failures.push({ file, tier, name: c.name, asm: c.asm, differences });
      const prefix = machines.size > 1 ? `[${tier}] ` : '';
      process.stdout.write(`${prefix}${describeFailure(c, differences)}\n`);
    }
  }
  return [...reports.values()];
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { tier: { type: 'string', default: 'interpreter' }, report: { type: 'string' } },
  });
  if (positionals.length === 0) throw new Error(USAGE);
  const core = await WebAssembly.compile(readFileSync(CORE));
  const model = cpuModel(defaultCpuModel);
  const machines = new Map<Tier, CaseMachine>();
  for (const tier of tiersOf(values.tier))
    machines.set(
      tier,
      createCaseMachine(tier, core, (leaf, subleaf) => cpuid(model, leaf, subleaf)),
    );
  const exclusions = new Exclusions();
  const failures: Failure[] = [];
  const files: FileReport[] = [];
  for (const file of positionals) files.push(...(await runFile(file, machines, exclusions, failures)));

  const problems = exclusions.problems();
  for (const line of [...exclusions.lines(), ...problems]) process.stdout.write(`${line}\n`);
  const sum = (key: keyof Tally): number => files.reduce((total, report) => total + report[key], 0);
  const failed = sum('failed') + problems.length;
  if (values.report) {
    const report = { passed: sum('passed'), failed, excluded: sum('excluded'), problems, files, failures };
    writeFileSync(values.report, `${JSON.stringify(report, undefined, 2)}\n`);
  }
  process.stdout.write(`${sum('passed')} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

main().then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    process.stderr.write(`cpu-cases: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 2;
  },
);
