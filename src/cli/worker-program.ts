/**
 * The program of the headless executor worker: one bundled file, whoever started the process (tsx, vitest). It is made
 * when it is first needed, and anew when a source of it has changed.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const bundle = new URL('../../build/worker/node-worker.mjs', import.meta.url);
/** Its sources as the bundler has found them, relative to the project. */
const inputs = new URL('../../build/worker/inputs.json', import.meta.url);
const project = new URL('../../', import.meta.url);
const builder = new URL('../../tools/build-node-worker.mjs', import.meta.url);

/** Where the program is. */
export function workerProgram(): URL {
  // In a process of its own: a bundler takes tens of MiB.
  if (!upToDate()) execFileSync(process.execPath, [fileURLToPath(builder)], { stdio: ['ignore', 'ignore', 'inherit'] });
  return bundle;
}

function upToDate(): boolean {
  if (!existsSync(bundle) || !existsSync(inputs)) return false;
  const { mtimeMs } = statSync(bundle);
  const sources = JSON.parse(readFileSync(inputs, 'utf8')) as string[];
  return [builder, ...sources.map((file) => new URL(file, project))].every((file) => {
    const stat = statSync(file, { throwIfNoEntry: false });
    return stat !== undefined && stat.mtimeMs < mtimeMs;
  });
}
