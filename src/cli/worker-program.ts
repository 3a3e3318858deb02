/**
 * The programs of the headless machine's workers: a bundled file each, whoever started the process (tsx, vitest). They are
 * made when one is first needed, and anew when a source has changed.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const folder = new URL('../../build/worker/', import.meta.url);
/** Their sources as the bundler has found them, relative to the project. */
const inputs = new URL('inputs.json', folder);
const project = new URL('../../', import.meta.url);
const builder = new URL('../../tools/build-node-worker.mjs', import.meta.url);

/** The executor's program, or the translator's. */
export type WorkerProgram = 'node-worker' | 'node-translator';

/** Where a program is. */
export function workerProgram(name: WorkerProgram): URL {
  // In a process of its own: a bundler takes tens of MiB.
  if (!upToDate()) execFileSync(process.execPath, [fileURLToPath(builder)], { stdio: ['ignore', 'ignore', 'inherit'] });
  return new URL(`${name}.mjs`, folder);
}

function upToDate(): boolean {
  if (!existsSync(inputs)) return false;
  // Written last.
  const { mtimeMs } = statSync(inputs);
  const sources = JSON.parse(readFileSync(inputs, 'utf8')) as string[];
  return [builder, ...sources.map((file) => new URL(file, project))].every((file) => {
    const stat = statSync(file, { throwIfNoEntry: false });
    return stat !== undefined && stat.mtimeMs < mtimeMs;
  });
}
