/**
 * Bundles the programs of the headless machine's workers into `build/worker/`. A worker that loaded TypeScript file by file
 * would keep a loader and all sources in its heap, 7 to 11 MiB for each guest. `src/cli/worker-program.ts` runs it where a
 * bundle is older than its sources, which `inputs.json` lists.
 */
import { mkdirSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const OUT = path.join(ROOT, 'build/worker');
const programs = ['node-worker', 'node-translator'];

/** Another process may read the file, or write it, too. */
function replace(name, text, time) {
  const file = path.join(OUT, name);
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, text);
  utimesSync(temporary, time, time);
  renameSync(temporary, file);
}

const started = new Date();
mkdirSync(OUT, { recursive: true });
const sources = new Set();
for (const program of programs) {
  const { output } = await build({
    root: ROOT,
    configFile: false,
    logLevel: 'error',
    ssr: { noExternal: true },
    build: { ssr: path.join(ROOT, `src/cli/${program}.ts`), write: false, target: 'node20' },
  });
  const [bundle] = output;
  for (const id of bundle.moduleIds) if (path.isAbsolute(id)) sources.add(path.relative(ROOT, id));
  // What is edited from now on is newer than the bundle.
  replace(`${program}.mjs`, bundle.code, started);
}
replace('inputs.json', JSON.stringify([...sources]), started);
