/**
 * `npm run --silent vm -- OPTIONS`: starts the headless machine (src/cli/vm.ts), building the core first if it is not
 * there. Plain JavaScript: it replaces itself by a Node process that loads TypeScript.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { createRequire } from 'node:module';
import { allocatorEnvironment } from './allocator.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

function loader() {
  try {
    return pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  } catch {
    console.error('vm: the dependencies are not installed; run npm ci first.');
    process.exit(2);
  }
}

if (!existsSync(path.join(ROOT, 'build/core/core.wasm'))) {
  // On standard error, as standard output is the guest's.
  const { status } = spawnSync('npm', ['run', '--silent', 'build:core'], {
    cwd: ROOT,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  });
  if (status !== 0) {
    console.error('vm: the processor core could not be built, see above.');
    process.exit(2);
  }
}

// npm changes to the project's folder; file names are meant from where the user is.
const cwd = process.env.INIT_CWD ?? process.cwd();
const child = spawn(
  process.execPath,
  ['--import', loader(), path.join(ROOT, 'src/cli/vm.ts'), ...process.argv.slice(2)],
  { cwd, stdio: 'inherit', env: { ...allocatorEnvironment, ...process.env } },
);
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
// Ctrl-C goes to the whole foreground group.
process.on('SIGINT', () => {});
child.on('error', (error) => {
  console.error(`vm: ${error.message}`);
  process.exit(2);
});
child.on('close', (code) => process.exit(code ?? 1));
