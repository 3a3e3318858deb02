/**
 * Writes docs/isa-coverage.md: which instruction forms the CPU cases reach, which they miss, and the helpers that stand
 * outside of the definitions.
 *
 *     npm run isa-coverage [-- --check]
 *
 * Runs every vector on the evaluator tier and notes what it executes. Needs build/core/core.wasm.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { aluRows } from '../src/cpu/isa/alu.ts';
import { bcdRows } from '../src/cpu/isa/bcd.ts';
import { bitRows } from '../src/cpu/isa/bits.ts';
import { branchRows } from '../src/cpu/isa/branch.ts';
import { flagRows } from '../src/cpu/isa/flags.ts';
import { helpers } from '../src/cpu/isa/helpers.ts';
import { moveRows } from '../src/cpu/isa/move.ts';
import { mulDivRows } from '../src/cpu/isa/muldiv.ts';
import type { Row } from '../src/cpu/isa/row.ts';
import { shiftRows } from '../src/cpu/isa/shift.ts';
import { simdRows } from '../src/cpu/isa/simd.ts';
import { stackRows } from '../src/cpu/isa/stack.ts';
import { stringRows } from '../src/cpu/isa/string.ts';
import { systemRows } from '../src/cpu/isa/system.ts';
import { instructionTable } from '../src/cpu/isa/table.ts';
import { x87Rows } from '../src/cpu/isa/x87.ts';
import { Coverage } from '../src/cpu/testing/coverage.ts';
import type { GroupSummary, InstructionForm } from '../src/cpu/testing/coverage.ts';
import { Exclusions } from '../src/cpu/testing/exclusions.ts';
import { floatPrograms, runFloatCase } from '../src/cpu/testing/float-cases.ts';
import { readCases } from '../src/cpu/testing/load-node.ts';
import { runCase } from '../src/cpu/testing/runner.ts';
import { testFloatCases, testFloatFiles } from '../src/cpu/testing/testfloat.ts';
import { createCaseMachine } from '../src/cpu/testing/tiers.ts';
import { cpuid, cpuModel, defaultCpuModel } from '../src/machine/cpu-model.ts';

const place = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const VECTORS = place('../src/cpu/testing/vectors/');
const CORE = place('../build/core/core.wasm');
export const COVERAGE_PAGE = place('../docs/isa-coverage.md');

/** Rows by subject. SIMD rows go by the register file that they use. */
function groups(): Record<string, readonly Row[]> {
  const mmx = simdRows.filter((row) => row.unit === 'mmx');
  const base = {
    'arithmetic and logic': aluRows,
    'shifts and rotates': shiftRows,
    'multiplication and division': mulDivRows,
    'bits': bitRows,
    'moves': moveRows,
    'stack': stackRows,
    'branches': branchRows,
    'strings': stringRows,
    'decimal': bcdRows,
    'flags': flagRows,
    'system': systemRows,
    'MMX': mmx,
    'SSE': simdRows.filter((row) => row.unit !== 'mmx'),
    'x87 and state': x87Rows,
  }; // prettier-ignore
  return base;
}

/** Runs all vectors; one of each TestFloat program is enough to have executed it. */
async function measure(): Promise<readonly GroupSummary[]> {
  if (!existsSync(CORE)) throw new Error('there is no build/core/core.wasm: run `npm run build:core` first');
  const coverage = new Coverage(groups());
  const model = cpuModel(defaultCpuModel);
  const machine = createCaseMachine(
    'evaluator',
    await WebAssembly.compile(readFileSync(CORE)),
    (leaf, subleaf) => cpuid(model, leaf, subleaf),
    { observe: (bytes, mode) => coverage.observe(bytes, mode) },
  );
  const exclusions = new Exclusions();
  for (const name of readdirSync(VECTORS).filter((file) => file.endsWith('.jsonl.gz'))) {
    for await (const c of readCases(VECTORS + name)) {
      const effects = exclusions.apply(c);
      if (!effects.excludedBy) runCase(machine, c, effects);
    }
  }
  for (const { fn, text } of testFloatFiles(gunzipSync(readFileSync(`${VECTORS}testfloat.tgz`)))) {
    const [vector] = testFloatCases(text);
    if (vector) for (const program of floatPrograms(fn)) runFloatCase(machine, program, vector);
  }
  return coverage.summary();
}

const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`;

function missingLine(row: Row, forms: readonly InstructionForm[]): string {
  const texts = forms.map(({ shape, size }) => {
    const words = [row.operands.some((o) => /^[EWQ]/.test(o)) ? shape : '', size ? `${8 * size} bits` : ''];
    return words.filter((word) => word !== '').join(', ');
  });
  const list = texts.filter((text) => text !== '').join('; ');
  return (
    `- \`${row.encoding}\` ${row.mnemonic} ${row.operands.join(',')}`.trimEnd() + (list === '' ? '' : ` (${list})`)
  );
}

function missingSection({ group, missing }: GroupSummary): string[] {
  if (missing.length === 0) return [];
  const byRow = new Map<Row, InstructionForm[]>();
  for (const form of missing) byRow.set(form.row, [...(byRow.get(form.row) ?? []), form]);
  return [`### ${group}`, '', ...[...byRow].map(([row, forms]) => missingLine(row, forms)), ''];
}

function page(summary: readonly GroupSummary[]): string {
  const forms = summary.reduce((total, { forms: n }) => total + n, 0);
  const missing = summary.reduce((total, group) => total + group.missing.length, 0);
  const whole = Object.entries(helpers).filter(([, helper]) => 'whole' in helper && helper.whole);
  const rows = instructionTable.length;
  return [
    '# Instruction coverage',
    '',
    'Generated by `npm run isa-coverage` from the instruction table (`src/cpu/isa`) and the CPU cases',
    '(`src/cpu/testing/vectors`). Do not edit.',
    '',
    'A form is a row of the table with registers or with memory, at one operand size where the row has several.',
    'Covered means that a case executes it and compares what it leaves with an oracle: a real processor, QEMU for',
    'privileged behaviour, Berkeley TestFloat.',
    '',
    `**${rows} rows, ${forms} forms: ${forms - missing} covered (${percent(forms - missing, forms)}), ${missing} missing.**`,
    '',
    '| group | rows | forms | covered | missing |',
    '|---|---|---|---|---|',
    ...summary.map(
      (g) => `| ${g.group} | ${g.rows} | ${g.forms} | ${g.forms - g.missing.length} | ${g.missing.length} |`,
    ),
    '',
    '## Missing',
    '',
    'What x87 computes for FSIN, FYL2X and the like is compared with a real processor apart from the cases, in',
    '`src/cpu/core/fpu/host.test.ts`.',
    '',
    ...(missing === 0 ? ['None.', ''] : summary.flatMap(missingSection)),
    '## Helpers',
    '',
    'Core functions that definitions call. A *whole* helper is all of an instruction: its meaning stands outside of the',
    `definitions. At most 5 % of the rows may (now ${whole.length} helpers for ${rows} rows, ${percent(whole.length, rows)}).`,
    '',
    '| helper | whole | reason |',
    '|---|---|---|',
    ...Object.entries(helpers).map(
      ([name, helper]) => `| \`${name}\` | ${'whole' in helper && helper.whole ? 'yes' : ''} | ${helper.reason} |`,
    ),
    '',
  ].join('\n');
}

/** The page as it should be. */
export async function coveragePage(): Promise<string> {
  return page(await measure());
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = await coveragePage();
  if (!process.argv.includes('--check')) writeFileSync(COVERAGE_PAGE, text);
  else if (readFileSync(COVERAGE_PAGE, 'utf8') !== text) {
    process.stderr.write('docs/isa-coverage.md is out of date: run `npm run isa-coverage`\n');
    process.exitCode = 1;
  }
}
