/**
 * `npm run bench`: Tabvisor beside its peers, on the same images, in alternating rounds. README.md says what is
 * measured and how; options.ts what can be asked for.
 *
 * Tables go to standard output, progress to standard error, everything into a JSON file.
 * Exit codes: 0 measured, 1 a row failed or printed a wrong checksum, 2 wrong usage or nothing to measure with.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { format } from 'prettier';
import { Benchmark } from './benchmark.ts';
import { checksumProblems, clockProblems, memoryPromises, promises } from './checks.ts';
import { describeHost, load } from './machine-info.ts';
import { parseBenchOptions, usage, UsageError, type BenchOptions } from './options.ts';
import { renderMemory } from './memory.ts';
import { preparePeers } from './peers/index.ts';
import { renderTable, tabulate } from './report.ts';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

function report(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}

function expectedChecksums(scale: string): Record<string, string> | undefined {
  const file = path.join(root, 'bench/workloads/checksums.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as Record<string, Record<string, string>>)[scale];
}

function outputFile(options: BenchOptions, date: string): string {
  if (options.out !== undefined) return path.resolve(process.env['INIT_CWD'] ?? '.', options.out);
  const directory = path.join(root, options.quick ? '.cache/bench/results' : 'bench/results');
  return path.join(directory, `${date.slice(0, 16).replaceAll(':', '')}.json`);
}

function heading(host: ReturnType<typeof describeHost>, versions: Readonly<Record<string, string>>): string {
  const peers = Object.entries(versions).map(([id, version]) => `${id} ${version}`);
  return `${host.cpu}, ${host.cores} cores; Node ${host.node}; ${peers.join('; ')}\n`;
}

async function main(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  const options = parseBenchOptions(args);
  const date = new Date().toISOString();
  const host = describeHost();
  const { peers, versions, close } = await preparePeers({ root, ids: options.peers, tier: options.tier, report });
  if (peers.length === 0) {
    report('no peer can run here');
    return 2;
  }
  const benchmark = new Benchmark({ root, options, peers, report });
  const stop = (): void => void benchmark.cancel();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
  const loadBefore = load();
  const started = performance.now();
  try {
    await benchmark.run();
  } finally {
    await close();
  }
  const minutes = (performance.now() - started) / 60_000;

  const { samples, memory, failures, guests, images } = benchmark;
  const tables = tabulate(
    samples,
    peers.map(({ id, runtime }) => ({ id, runtime })),
  );
  const wrong = checksumProblems(samples, expectedChecksums(options.scale));
  const clocks = clockProblems(samples);
  const kept = [...promises(tables), ...memoryPromises(memory)];
  const loads = [loadBefore, ...[...samples, ...memory].map((sample) => sample.load)];
  const loadRange = { before: loadBefore, least: Math.min(...loads), most: Math.max(...loads) };

  process.stdout.write(`${heading(host, versions)}\n`);
  process.stdout.write(
    `${options.rounds} round(s), scale ${options.scale}, ${minutes.toFixed(1)} min; load average ${loadBefore.toFixed(1)} ` +
      `before, ${loadRange.least.toFixed(1)} to ${loadRange.most.toFixed(1)} while measuring\n\n`,
  );
  for (const { peer, arch, cpu, bugs, clockSource } of guests) {
    process.stdout.write(`- ${peer} ${arch}: "${cpu}", bugs: ${bugs || 'none'}; clock source ${clockSource}\n`);
  }
  process.stdout.write(`\n${tables.map((table) => `${renderTable(table)}\n`).join('')}`);
  if (memory.length > 0) process.stdout.write(`${renderMemory(memory)}\n`);
  for (const { text, measured, holds } of kept) {
    process.stdout.write(`- ${holds ? 'holds' : '**does not hold**'}: ${text}: ${measured}\n`);
  }
  for (const problem of [...wrong, ...clocks]) process.stdout.write(`- **warning**: ${problem}\n`);
  for (const { arch, row, peer, round, message } of failures) {
    process.stdout.write(`- **failed**: ${arch} ${row} on ${peer}, round ${round}: ${message}\n`);
  }

  const file = outputFile(options, date);
  mkdirSync(path.dirname(file), { recursive: true });
  // Where the file lies says nothing about what was measured.
  const { out: _, ...asked } = options;
  const result = { format: 1, date, minutes, host, load: loadRange, options: asked, versions, guests, images, tables };
  const json = JSON.stringify({
    ...result,
    promises: kept,
    problems: [...wrong, ...clocks],
    failures,
    samples,
    memory,
  });
  writeFileSync(file, await format(json, { parser: 'json', printWidth: 120 }));
  report(`written to ${path.relative(process.cwd(), file)}`);
  return failures.length > 0 || wrong.length > 0 ? 1 : 0;
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(error instanceof UsageError ? `bench: ${error.message}\n${usage}\n` : `bench: ${text}\n`);
    process.exit(2);
  },
);
