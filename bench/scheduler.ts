/**
 * The processors of bare-metal mode, measured in Chromium with Linux guests: shares, caps, echoes, switches, throughput.
 * One JSON object with all samples goes to `bench/results/scheduler-DATE.json`, a table to standard output.
 *
 *     npm run bench:scheduler [-- --seconds 10] [--only shares,cap,echo,throughput] [--guest linux-i386]
 *         throughput: [--guests 2,3,8] [--work "shell loop,much code"] [--rounds 3] [--warm SECONDS]
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium, type Page } from 'playwright';
import { build, preview } from 'vite';
import type { Coordinator, ProcessorSettings, ProcessorsState } from '../src/vmm/index.ts';
import { workerSeconds } from './worker-time.ts';
import { BROWSER_ARGUMENTS, findBrowser, HOW_TO_GET_A_BROWSER } from '../tools/browser.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    only: { type: 'string', default: 'shares,cap,echo,throughput' },
    guest: { type: 'string', default: 'linux-i386' },
    guests: { type: 'string', default: '2,3,8' },
    work: { type: 'string', default: 'shell loop,much code' },
    rounds: { type: 'string', default: '3' },
    warm: { type: 'string', default: '20' },
  },
});
const milliseconds = Number(options.seconds) * 1000;
const memoryMiB = 96;

/** Computes without end, in the shell. */
const busyLoop = 'while :; do :; done';
/** Runs a lot of different code: programs start and end, files are read, text is sorted and packed. */
const muchCode = 'while :; do find / -xdev -type f 2>/dev/null | sort | gzip | md5sum >/dev/null; done';
const flood = 'while :; do echo 0123456789012345678901234567890123456789; done';

interface Use {
  readonly percent: number;
  readonly instructions: number;
}

class Bench {
  readonly page: Page;
  readonly guests: string[] = [];

  constructor(page: Page) {
    this.page = page;
  }

  /** As many guests at their prompts as are asked for. */
  async populate(count: number): Promise<void> {
    while (this.guests.length < count) {
      const id = await this.page.evaluate(
        async ([guest, size]) => {
          const { tabvisor } = globalThis as unknown as { tabvisor: Coordinator };
          await tabvisor.setMemoryBudget(8192);
          const made = await tabvisor.create(guest, { memoryMiB: size });
          await tabvisor.start(made);
          await tabvisor.waitForText(made, /guest ready[\s\S]*[#$] /, { timeoutMs: 600_000 });
          return made;
        },
        [options.guest, memoryMiB] as const,
      );
      this.guests.push(id);
    }
  }

  processors(change: Partial<ProcessorSettings> = {}): Promise<ProcessorsState> {
    return this.page.evaluate(
      (wanted) => (globalThis as unknown as { tabvisor: Coordinator }).tabvisor.processors(wanted),
      change,
    );
  }

  async share(id: string, weight: number, cap = 0): Promise<void> {
    await this.page.evaluate(
      ([guest, share]) => void (globalThis as unknown as { tabvisor: Coordinator }).tabvisor.setShare(guest, share),
      [id, { weight, cap }] as const,
    );
  }

  async type(id: string, text: string): Promise<void> {
    await this.page.evaluate(
      ([guest, what]) => (globalThis as unknown as { tabvisor: Coordinator }).tabvisor.type(guest, what),
      [id, text] as const,
    );
  }

  /** Has these guests run a command while `act` measures; interrupts them afterwards. */
  async during<T>(guests: readonly string[], command: string, act: () => Promise<T>): Promise<T> {
    for (const id of guests) await this.type(id, `${command}\n`);
    await this.page.waitForTimeout(3000);
    const result = await act();
    for (const id of guests) await this.type(id, '\u0003');
    await this.page.waitForTimeout(1000);
    return result;
  }

  /** What each guest had over the time: percent of a processor, and instructions. */
  use(): Promise<Record<string, Use>> {
    return this.page.evaluate(async (wait) => {
      const { tabvisor } = globalThis as unknown as { tabvisor: Coordinator };
      const look = () =>
        tabvisor.list().map(({ id }) => ({
          id,
          run: tabvisor.processorsNow.guests[id]?.runSeconds ?? tabvisor.stats(id).busySeconds,
          instructions: tabvisor.stats(id).instructions,
        }));
      const before = look();
      const start = performance.now();
      await new Promise((resolve) => setTimeout(resolve, wait));
      const took = (performance.now() - start) / 1000;
      return Object.fromEntries(
        look().map(({ id, run, instructions }, n) => [
          id,
          {
            percent: ((run - (before[n]?.run ?? 0)) / took) * 100,
            instructions: (instructions - (before[n]?.instructions ?? 0)) / took,
          },
        ]),
      );
    }, milliseconds);
  }

  /** Milliseconds from a key to its echo, ascending. */
  echoes(id: string, count: number): Promise<number[]> {
    return this.page.evaluate(
      async ([guest, times]) => {
        const { tabvisor } = globalThis as unknown as { tabvisor: Coordinator };
        const echoes: number[] = [];
        for (let n = 0; n < times; n++) {
          // As one types who is fast: 80 to 230 ms.
          await new Promise((resolve) => setTimeout(resolve, 80 + 25 * (n % 7)));
          const from = tabvisor.consolePosition(guest);
          const start = performance.now();
          await tabvisor.type(guest, 'x');
          await tabvisor.waitForText(guest, 'x', { from });
          echoes.push(performance.now() - start);
        }
        return echoes.sort((a, b) => a - b);
      },
      [id, count] as const,
    );
  }
}

/** Max–min shares in percent of one processor: nobody has more than one. */
function due(weights: readonly number[], processors: number): number[] {
  const open = new Set(weights.keys());
  const shares = weights.map(() => 0);
  for (let left = processors; open.size > 0;) {
    const total = [...open].reduce((sum, n) => sum + (weights[n] ?? 0), 0);
    const full = [...open].filter((n) => ((weights[n] ?? 0) / total) * left >= 1);
    for (const n of full.length > 0 ? full : open) {
      shares[n] = full.length > 0 ? 100 : ((weights[n] ?? 0) / total) * left * 100;
      open.delete(n);
    }
    left -= full.length;
  }
  return shares;
}

const rows: { readonly what: string; readonly figure: string; readonly promised: string }[] = [];
const samples: Record<string, unknown> = {};

function report(what: string, figure: string, promised: string, sample: unknown): void {
  rows.push({ what, figure, promised });
  samples[what] = sample;
  console.log(`| ${what} | ${figure} | ${promised} |`);
}

async function measureShares(bench: Bench): Promise<void> {
  for (const processors of [1, 2]) {
    for (const count of [2, 4, 8]) {
      await bench.populate(count);
      await bench.processors({ mode: 'bare-metal', count: processors });
      const guests = bench.guests.slice(0, count);
      const weights = guests.map((_, n) => 128 * (1 + (n % 4)));
      for (const [n, id] of guests.entries()) await bench.share(id, weights[n] ?? 256);
      const use = await bench.during(guests, busyLoop, () => bench.use());
      const expected = due(weights, processors);
      const shares = guests.map((id) => use[id]?.percent ?? 0);
      // Of what was given out: a busy host gives less than all of its processors.
      const given = shares.reduce((sum, share) => sum + share, 0) / expected.reduce((sum, share) => sum + share, 0);
      const error = Math.max(...shares.map((share, n) => Math.abs(share / given - (expected[n] ?? 0))));
      const state = await bench.processors();
      const figure = `off by at most ${error.toFixed(2)} points`;
      report(`shares of ${count} busy guests, ${processors} processors`, figure, '2 points', {
        shares,
        expected,
        state,
      });
    }
  }
}

async function measureCap(bench: Bench): Promise<void> {
  await bench.populate(2);
  await bench.processors({ mode: 'bare-metal', count: 1 });
  const guests = bench.guests.slice(0, 2);
  for (const [n, id] of guests.entries()) await bench.share(id, 256, n === 0 ? 25 : 0);
  const use = await bench.during(guests, busyLoop, () => bench.use());
  report('a cap of 25 % beside a busy guest', `${use[guests[0] ?? '']?.percent.toFixed(1)} %`, '22 to 28 %', use);
  for (const id of guests) await bench.share(id, 256);
}

async function measureEchoes(bench: Bench): Promise<void> {
  await bench.populate(5);
  const [idle = '', ...busy] = bench.guests;
  for (const [mode, count] of [
    ['hosted', 1],
    ['bare-metal', 2],
    ['bare-metal', 1],
  ] as const) {
    await bench.processors({ mode, count });
    const echoes = await bench.during(busy.slice(0, 4), flood, () => bench.echoes(idle, 200));
    const at = (share: number): string => (echoes[Math.floor(echoes.length * share)] ?? 0).toFixed(1);
    const where = mode === 'hosted' ? mode : `${mode}, ${count} processors`;
    report(`echo beside 4 that flood, ${where}`, `median ${at(0.5)}, 99th percentile ${at(0.99)} ms`, '20 ms', echoes);
  }
}

/** Work of guests over a time. */
interface Work {
  /** Millions of instructions: a second of wall time, and of the workers' processor time. */
  readonly perSecond: number;
  readonly perWorkerSecond: number | undefined;
  /** Of the instructions, those that compiled code ran. */
  readonly compiledPercent: number;
}

/** What guests do that are busy, and have been for so long that most of their code is compiled. */
async function workOf(bench: Bench, guests: readonly string[]): Promise<Work> {
  const count = () =>
    bench.page.evaluate((ids) => {
      const { tabvisor } = globalThis as unknown as { tabvisor: Coordinator };
      const all = ids.map((id) => tabvisor.stats(id));
      return {
        atMs: performance.now(),
        instructions: all.reduce((sum, { instructions }) => sum + instructions, 0),
        compiled: all.reduce((sum, { tiers }) => sum + tiers.compiled, 0),
      };
    }, guests);
  const [before, used] = [await count(), await workerSeconds(bench.page)];
  await bench.page.waitForTimeout(milliseconds);
  const [after, usedThen] = [await count(), await workerSeconds(bench.page)];
  const ran = (after.instructions - before.instructions) / 1e6;
  return {
    perSecond: ran / ((after.atMs - before.atMs) / 1000),
    perWorkerSecond: used === undefined || usedThen === undefined ? undefined : ran / (usedThen - used),
    compiledPercent: (100 * (after.compiled - before.compiled)) / 1e6 / ran,
  };
}

/**
 * Pairs: two guests in hosted mode, so many in bare-metal mode on two processors. A change of mode forgets what was compiled,
 * so that each begins cold, and warms up for the same time.
 */
async function measureThroughput(bench: Bench): Promise<void> {
  const counts = options.guests.split(',').map(Number);
  for (const [what, command] of [
    ['shell loop', busyLoop],
    ['much code', muchCode],
  ] as const) {
    if (!options.work.split(',').includes(what)) continue;
    for (const count of counts) {
      await bench.populate(Math.max(count, 2));
      for (const id of bench.guests) await bench.share(id, 256);
      const pairs: { readonly hosted: Work; readonly bare: Work }[] = [];
      let switches = '';
      for (let round = 0; round < Number(options.rounds); round++) {
        const of = async (mode: 'hosted' | 'bare-metal', guests: readonly string[]): Promise<Work> => {
          await bench.processors({ mode, count: 2 });
          return bench.during(guests, command, async () => {
            await bench.page.waitForTimeout(Number(options.warm) * 1000);
            const before = await bench.processors();
            const work = await workOf(bench, guests);
            if (mode === 'bare-metal') switches = switching(before, await bench.processors());
            return work;
          });
        };
        const hosted = () => of('hosted', bench.guests.slice(0, 2));
        const bare = () => of('bare-metal', bench.guests.slice(0, count));
        // In turns, so that what grows while the page stands does not favour one of them.
        const first = round % 2 === 0 ? await hosted() : await bare();
        const second = round % 2 === 0 ? await bare() : await hosted();
        pairs.push(round % 2 === 0 ? { hosted: first, bare: second } : { hosted: second, bare: first });
      }
      const ratio = (of: (work: Work) => number | undefined): string =>
        pairs.map(({ hosted, bare }) => (((of(bare) ?? NaN) / (of(hosted) ?? NaN)) * 100).toFixed(0)).join(', ');
      const figure =
        `${ratio(({ perSecond }) => perSecond)} % of two hosted guests; by the workers' processor time ` +
        `${ratio(({ perWorkerSecond }) => perWorkerSecond)} %; ${switches}`;
      report(`${what}: ${count} guests on 2 processors`, figure, '95 %, 90 % for 8', { pairs });
    }
  }
}

/** Mean cost of switches and takeovers between two looks. */
function switching(before: ProcessorsState, after: ProcessorsState): string {
  const sum = (
    state: ProcessorsState,
    field: 'knownSwitches' | 'knownSwitchSeconds' | 'takeOvers' | 'takeOverSeconds',
  ): number => state.processors.reduce((total, processor) => total + processor[field], 0);
  const grown = (field: Parameters<typeof sum>[1]): number => Math.max(sum(after, field) - sum(before, field), 0);
  const mean = (seconds: number, count: number): string => ((seconds / Math.max(count, 1)) * 1e6).toFixed(0);
  const known = grown('knownSwitches');
  const taken = grown('takeOvers');
  const samples = after.processors.flatMap((processor) => processor.knownSwitchMicroseconds).sort((a, b) => a - b);
  const at = (share: number): string => (samples[Math.floor(samples.length * share)] ?? 0).toFixed(0);
  return (
    `switches: median ${at(0.5)}, 90th percentile ${at(0.9)} µs; ${known} switches of ${mean(grown('knownSwitchSeconds'), known)} µs, ` +
    `${taken} takeovers of ${mean(grown('takeOverSeconds'), taken)} µs`
  );
}

const executablePath = findBrowser();
if (executablePath === undefined) throw new Error(HOW_TO_GET_A_BROWSER);
const output = { outDir: path.join(root, '.cache/bench/scheduler-page'), emptyOutDir: true };
await build({ root, logLevel: 'error', build: output });
const server = await preview({ root, logLevel: 'error', build: output, preview: { host: '127.0.0.1', port: 0 } });
const browser = await chromium.launch({ args: BROWSER_ARGUMENTS, executablePath });
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(900_000);
  // The TypeScript loader wraps named functions so; those that are sent to a page meet the wrapper there.
  await page.addInitScript('globalThis.__name = (value) => value;');
  await page.goto(server.resolvedUrls?.local[0] ?? '');
  const bench = new Bench(page);
  const only = options.only.split(',');
  console.log(`${cpus().length} processors, load ${loadavg()[0]?.toFixed(1)}, ${options.guest}\n`);
  console.log('| what | measured | promised |\n|---|---|---|');
  if (only.includes('shares')) await measureShares(bench);
  if (only.includes('cap')) await measureCap(bench);
  if (only.includes('echo')) await measureEchoes(bench);
  if (only.includes('throughput')) await measureThroughput(bench);
  const date = new Date().toISOString().slice(0, 19).replaceAll(':', '-');
  mkdirSync(path.join(root, 'bench/results'), { recursive: true });
  writeFileSync(
    path.join(root, `bench/results/scheduler-${date}.json`),
    JSON.stringify({ date, load: loadavg(), seconds: options.seconds, guest: options.guest, rows, samples }, null, 1),
  );
} finally {
  await browser.close();
  await server.close();
}
