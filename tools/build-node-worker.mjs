/**
 * Bundles the headless machine's executor worker into `build/worker/node-worker.mjs`. A worker that loaded TypeScript file
 * by file would keep a loader and all sources in its heap, 7 to 11 MiB for each guest. `src/cli/worker-program.ts` runs it
 * where the bundle is older than its sources, which `inputs.json` lists.
 */
import { mkdirSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const OUT = path.join(ROOT, 'build/worker');

/** Another process may read the file, or write it, too. */
function replace(name, text, time) {
  const file = path.join(OUT, name);
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, text);
  utimesSync(temporary, time, time);
  renameSync(temporary, file);
}

const started = new Date();
const { output } = await build({
  root: ROOT,
  configFile: false,
  logLevel: 'error',
  ssr: { noExternal: true },
  build: { ssr: path.join(ROOT, 'src/cli/node-worker.ts'), write: false, target: 'node20' },
});
const [bundle] = output;
mkdirSync(OUT, { recursive: true });
// What is edited from now on is newer than the bundle.
const sources = bundle.moduleIds.filter((id) => path.isAbsolute(id)).map((id) => path.relative(ROOT, id));
replace('inputs.json', JSON.stringify(sources), started);
replace('node-worker.mjs', bundle.code, started);
