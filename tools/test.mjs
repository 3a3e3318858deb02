/**
 * `npm test`: everything that CI runs, step by step, with one count at the end.
 *
 *     npm test [-- --quick] [--only STEP[,STEP…]] [--skip STEP[,STEP…]]
 *
 * A step that is a check (types, lint …) counts as one; steps that run tests count each of them. The last line is
 * `N passed, N failed`; the exit code is 0 only if nothing failed. `--quick` (`npm run check`) is what needs neither
 * guests nor a browser.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const REPORTS = path.join(ROOT, 'build/test-reports');

/** Runs a program on this terminal, and keeps what it prints. */
function run(program, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: process.platform === 'win32',
      env: { ...process.env, NO_COLOR: '1', ...options.env },
    });
    let output = '';
    const keep = (chunk) => {
      output += chunk;
      process.stdout.write(chunk);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => resolve({ code: 127, output: String(error) }));
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

const npm = (script, ...args) => run('npm', ['run', '--silent', script, ...(args.length > 0 ? ['--', ...args] : [])]);
const npx = (...args) => run('npx', ['--no-install', ...args]);

const passed = (count = 1) => ({ passed: count, failed: 0 });
const failed = (why) => {
  if (why !== undefined) console.log(why);
  return { passed: 0, failed: 1 };
};

/** A check that counts as one test. */
async function check(promise) {
  const { code } = await promise;
  return code === 0 ? passed() : failed();
}

/** The last `N passed, N failed` line of a program's output, or one failure if it printed none. */
function countsOf({ code, output }) {
  const lines = [...output.matchAll(/^(\d+) passed, (\d+) failed$/gm)];
  const last = lines.at(-1);
  if (last === undefined) return failed(`no line "N passed, N failed" (exit code ${code})`);
  const counts = { passed: Number(last[1]), failed: Number(last[2]) };
  // A program that ends badly although it counted no failure has failed all the same.
  return code !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

function report(name) {
  const file = path.join(REPORTS, name);
  return { file, read: () => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined) };
}

async function boundaries() {
  const { code, output } = await npm('boundaries');
  if (code !== 0) return failed();
  // dependency-cruiser ignores files that it has no parser for, and finds them faultless.
  const cruised = Number(/\((\d+) modules/.exec(output)?.[1] ?? 0);
  return cruised > 0 ? passed() : failed('dependency-cruiser read no module: its TypeScript parser (swc) is missing');
}

async function unit() {
  const { file, read } = report('vitest.json');
  const { code } = await npx('vitest', 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${file}`);
  const result = read();
  if (result === undefined) return failed('vitest left no report');
  // A file that could not even be loaded has no tests that failed.
  const broken = result.testResults.filter((suite) => suite.status === 'failed' && suite.assertionResults.length === 0);
  const counts = { passed: result.numPassedTests, failed: result.numFailedTests + broken.length };
  return code !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

async function endToEnd() {
  const { findBrowser, HOW_TO_GET_A_BROWSER } = await import('./browser.mjs');
  if (findBrowser() === undefined) return failed(HOW_TO_GET_A_BROWSER);
  const build = await npx('vite', 'build', '--logLevel', 'warn');
  if (build.code !== 0) return failed('the page could not be built');
  const { file, read } = report('playwright.json');
  const { code } = await run('npx', ['--no-install', 'playwright', 'test', '--reporter=list,json'], {
    env: { PLAYWRIGHT_JSON_OUTPUT_NAME: file, PLAYWRIGHT_JSON_OUTPUT_FILE: file },
  });
  const stats = read()?.stats;
  if (stats === undefined) return failed('Playwright left no report');
  const counts = { passed: stats.expected + stats.flaky, failed: stats.unexpected };
  return code !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

/** Boots of real kernels under Node. */
async function boots() {
  return countsOf(await run('npx', ['--no-install', 'tsx', 'src/cli/boot-tests.ts']));
}

/** What a guest costs beyond its RAM: each promise that the benchmark prints counts as one test. */
async function memory() {
  const { output } = await npm(
    'bench',
    ...['--what', 'memory', '--peers', 'tabvisor,tabvisor-chromium', '--arch', 'amd64', '--rounds', '1'],
    ...['--out', path.join(REPORTS, 'memory.json')],
  );
  const held = output.match(/^- holds: /gm)?.length ?? 0;
  const broken = output.match(/^- \*\*(does not hold|failed)\*\*: /gm)?.length ?? 0;
  return held + broken === 2 ? { passed: held, failed: broken } : failed('two promises should have been measured');
}

const STEPS = [
  { name: 'core', title: 'processor core', run: () => check(npm('build:core')) },
  { name: 'guests', title: 'guest images', quick: false, run: () => check(npm('guests')) },
  { name: 'types', title: 'types', run: () => check(npx('tsc', '--build')) },
  { name: 'format', title: 'format', run: () => check(npx('prettier', '--check', '--log-level', 'warn', '.')) },
  { name: 'lint', title: 'lint', run: () => check(npx('oxlint')) },
  { name: 'boundaries', title: 'import boundaries', run: boundaries },
  { name: 'unit', title: 'unit tests', run: unit },
  {
    name: 'cases',
    title: 'CPU cases',
    quick: false,
    run: async () => countsOf(await npm('cpu-cases', '--quick')),
  },
  {
    name: 'programs',
    title: 'random programs',
    quick: false,
    run: async () => countsOf(await npm('random-programs', '--recorded')),
  },
  { name: 'boots', title: 'boots under Node', quick: false, run: boots },
  { name: 'e2e', title: 'boots in Chromium', quick: false, run: endToEnd },
  { name: 'memory', title: 'memory of a guest', quick: false, run: memory },
];

function listOption(name) {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : (process.argv[at + 1] ?? '').split(',');
}

function chooseSteps() {
  const only = listOption('--only');
  const skip = listOption('--skip') ?? [];
  const unknown = [...(only ?? []), ...skip].filter((name) => !STEPS.some((step) => step.name === name));
  if (unknown.length > 0) {
    console.error(`no step ${unknown.join(', ')}; there are ${STEPS.map((step) => step.name).join(', ')}`);
    process.exit(2);
  }
  const quick = process.argv.includes('--quick');
  return STEPS.filter(
    (step) => (only?.includes(step.name) ?? !(quick && step.quick === false)) && !skip.includes(step.name),
  );
}

rmSync(REPORTS, { recursive: true, force: true });
mkdirSync(REPORTS, { recursive: true });
const steps = chooseSteps();
const total = { passed: 0, failed: 0 };
const summary = [];
for (const [index, step] of steps.entries()) {
  console.log(`\n[${index + 1}/${steps.length}] ${step.title}`);
  const start = Date.now();
  const counts = await step.run();
  total.passed += counts.passed;
  total.failed += counts.failed;
  const seconds = ((Date.now() - start) / 1000).toFixed(1);
  summary.push(
    `${counts.failed === 0 ? 'ok  ' : 'FAIL'} ${step.title}: ${counts.passed} passed, ${counts.failed} failed, ${seconds} s`,
  );
  console.log(summary.at(-1));
}
console.log(`\n${summary.join('\n')}\n${total.passed} passed, ${total.failed} failed`);
process.exit(total.failed === 0 ? 0 : 1);
