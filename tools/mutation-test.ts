/**
 * Shows that the CPU cases notice wrong definitions: mutates rows of the instruction table on purpose
 * (`src/cpu/testing/mutation.ts`), builds a core of them, and runs the cases of these instructions on every tier.
 *
 *     npm run mutation-test [-- --count N | --all]
 *
 * A mutant is caught when one of its cases fails. All mutants are in one build: a case of one instruction executes
 * nothing else. Needs build/core/core-as.wasm (`npm run build:core`). Prints the mutants that survive, and ends with
 * `N passed, N failed`: a mutant on a tier counts as one.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { formSectionOf } from './form-section.ts';
import { generateInterpreter } from '../src/cpu/interpreter/generate.ts';
import { compileTable } from '../src/cpu/isa/compile.ts';
import { helpers } from '../src/cpu/isa/helpers.ts';
import { createMatcher } from '../src/cpu/isa/match.ts';
import type { Row } from '../src/cpu/isa/row.ts';
import { instructionTable } from '../src/cpu/isa/table.ts';
import type { CpuCase } from '../src/cpu/testing/cases.ts';
import { readCases } from '../src/cpu/testing/load-node.ts';
import type { CaseMachine, Tier } from '../src/cpu/testing/machine.ts';
import { mutate } from '../src/cpu/testing/mutation.ts';
import type { Mutant, MutationKind } from '../src/cpu/testing/mutation.ts';
import { runCase } from '../src/cpu/testing/runner.ts';
import { AVAILABLE_TIERS, createCaseMachine } from '../src/cpu/testing/tiers.ts';
import { cpuid, cpuModel, defaultCpuModel } from '../src/machine/cpu-model.ts';
import { wasmFeatures } from './wasm-features.ts';

const place = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const VECTORS = place('../src/cpu/testing/vectors/');
const CORE = place('../build/core/core-as.wasm');
const MERGE = place('../node_modules/.bin/wasm-merge');
/** Enough for a case of one instruction; a mutant may run away. */
const MAX_INSTRUCTIONS = 1000;
/** One in so many cases of the rows that are as they should be, to see that these still pass. */
const CONTROL_STRIDE = 20;
/** Files whose cases are single instructions. */
const PROGRAM_FILES = /^(singlestep-|programs|privileged)/;

export interface MutationReport {
  readonly mutants: number;
  /** `tier: row: what was changed`. */
  readonly survivors: readonly string[];
  /** Cases of rows that were not mutated, run in the same builds, and those of them that failed. */
  readonly controls: number;
  readonly brokenControls: readonly string[];
}

/** The cases of each row: those that run one instruction of it, to its end. */
async function casesByRow(): Promise<Map<Row, CpuCase[]>> {
  const match = createMatcher(instructionTable);
  const found = new Map<Row, CpuCase[]>();
  const files = readdirSync(VECTORS).filter((file) => file.endsWith('.jsonl.gz') && !PROGRAM_FILES.test(file));
  for (const file of files) {
    for await (const c of readCases(VECTORS + file)) {
      if (c.end.kind === 'hlt' || c.mode === 'real' || c.expect.exception) continue;
      const rip = Number(c.regs.rip ?? c.regs.eip ?? 0n);
      const run = c.mem.find(({ address, bytes }) => address <= rip && rip < address + bytes.length);
      const decoded = match(run?.bytes.subarray(rip - run.address) ?? [], c.mode === 'long64' ? 64 : 32);
      if (typeof decoded === 'string') continue;
      const list = found.get(decoded.row);
      if (list) list.push(c);
      else found.set(decoded.row, [c]);
    }
  }
  return found;
}

/** The rows where a mutation of this kind changes anything. */
function changeable(rows: ReadonlySet<Row>, kind: MutationKind): ReadonlySet<Row> {
  const mutants = new Map([...rows].map((row) => [row, mutate(row, kind)]));
  generateInterpreter(compileTable(instructionTable.map((row) => mutants.get(row)?.row ?? row)), helpers);
  return new Set([...mutants].filter(([, mutant]) => mutant.change() !== undefined).map(([row]) => row));
}

/** Every (length / count)-th. */
function sample<T>(all: readonly T[], count: number): readonly T[] {
  if (count >= all.length) return all;
  return Array.from({ length: count }, (_, k) => all[Math.floor(((k + 0.5) * all.length) / count)] as T);
}

/** Links the handlers of a table with the core, without the optimizer. */
function link(table: readonly Row[]): Promise<WebAssembly.Module> {
  if (!existsSync(CORE)) throw new Error('there is no build/core/core-as.wasm: run `npm run build:core` first');
  const folder = mkdtempSync(join(tmpdir(), 'mutants-'));
  try {
    const [handlers, out] = [join(folder, 'handlers.wasm'), join(folder, 'core.wasm')];
    const generated = generateInterpreter(compileTable(table), helpers);
    writeFileSync(handlers, generated.wasm);
    const result = spawnSync(MERGE, [CORE, 'core', handlers, 'handlers', '-o', out, ...wasmFeatures], {
      encoding: 'utf8',
    });
    if (result.status !== 0) throw new Error(`wasm-merge failed: ${result.error?.message ?? result.stderr}`);
    return WebAssembly.compile(Buffer.concat([readFileSync(out), formSectionOf(generated.forms)]));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Whether a case fails; a core that traps has failed, too. */
function fails(machine: CaseMachine, c: CpuCase): boolean {
  try {
    return runCase(machine, c, undefined, MAX_INSTRUCTIONS).length > 0;
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) return true;
    throw error;
  }
}

function title(mutant: Mutant): string {
  const { encoding, mnemonic, operands } = mutant.row;
  return `${encoding} ${mnemonic} ${operands.join(',')}: ${mutant.change() ?? 'nothing changed'}`;
}

/** `count` rows, alternately with a wrong effect and with wrong flags where they have any. */
export async function runMutationTest(count: number): Promise<MutationReport> {
  const cases = await casesByRow();
  const rows = new Set(instructionTable.filter((row) => cases.has(row)));
  const withFlags = changeable(rows, 'flags');
  const chosen = sample([...changeable(rows, 'effect')], count);
  const mutants = new Map(
    chosen.map((row, k) => [row, mutate(row, k % 2 === 1 && withFlags.has(row) ? 'flags' : 'effect')]),
  );
  const table = instructionTable.map((row) => mutants.get(row)?.row ?? row);
  const module = await link(table);
  const controls = [...cases].filter(([row]) => !mutants.has(row)).flatMap(([, list]) => list);
  const survivors: string[] = [];
  const brokenControls: string[] = [];
  let controlled = 0;
  const model = cpuModel(defaultCpuModel);
  const run = (tier: Tier): void => {
    const machine = createCaseMachine(tier, module, (leaf, subleaf) => cpuid(model, leaf, subleaf), { table });
    for (const [row, mutant] of mutants) {
      if (!cases.get(row)?.some((c) => fails(machine, c))) survivors.push(`${tier}: ${title(mutant)}`);
    }
    for (let k = 0; k < controls.length; k += CONTROL_STRIDE) {
      const c = controls[k];
      controlled++;
      if (c && fails(machine, c)) brokenControls.push(`${tier}: ${c.name}`);
    }
  };
  for (const tier of AVAILABLE_TIERS) run(tier);
  return { mutants: mutants.size, survivors, controls: controlled, brokenControls };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: { count: { type: 'string', default: '50' }, all: { type: 'boolean', default: false } },
  });
  const report = await runMutationTest(values.all ? Number.POSITIVE_INFINITY : Number(values.count));
  for (const line of report.survivors) process.stdout.write(`not noticed: ${line}\n`);
  for (const line of report.brokenControls) process.stdout.write(`fails without a mutation: ${line}\n`);
  const failed = report.survivors.length + report.brokenControls.length;
  const passed = report.mutants * AVAILABLE_TIERS.length + report.controls - failed;
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  process.exitCode = failed === 0 ? 0 : 1;
}
