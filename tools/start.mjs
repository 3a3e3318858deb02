/**
 * `npm start`: everything between a clean clone and an open page, and nothing twice.
 *
 *     npm start [-- VITE OPTIONS]
 *
 * Plain JavaScript without dependencies, as it is what installs them. A step that is done already takes a moment. Guest
 * images that cannot be built are reported and do not keep the page from starting: it can boot a kernel of one's own.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const LOCK_FILE = path.join(ROOT, 'package-lock.json');
const INSTALLED_FILE = path.join(ROOT, 'node_modules/.package-lock.json');
/** The oldest Node that the tools run on; package.json says the same under `engines`. */
const OLDEST_NODE = [20, 19];
const STEPS = 4;

/** Runs a program to its end on this terminal. Resolves to its exit code; 127 when it does not exist. */
function run(program, args) {
  return new Promise((resolve) => {
    // On Windows npm and npx are scripts that only a shell starts.
    const child = spawn(program, args, { cwd: ROOT, stdio: 'inherit', shell: process.platform === 'win32' });
    // Ctrl-C goes to the whole foreground group, a plain kill only here: hand it on, then end when the child has.
    const forward = (signal) => child.kill(signal);
    const ignore = () => {};
    process.on('SIGTERM', forward).on('SIGINT', ignore);
    const finish = (code) => {
      process.off('SIGTERM', forward).off('SIGINT', ignore);
      resolve(code);
    };
    child.on('error', () => finish(127));
    child.on('close', (code, signal) => {
      if (signal !== null || code === 130 || code === 143) interrupted = true;
      finish(code ?? 1);
    });
  });
}

let interrupted = false;

function announce(step, what) {
  console.log(`[${step}/${STEPS}] ${what}`);
}

function fail(message) {
  console.error(`npm start: ${message}`);
  process.exit(1);
}

function endIfInterrupted() {
  if (interrupted) process.exit(130);
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return;
  fail(
    `Node ${process.versions.node} is too old; install Node ${OLDEST_NODE.join('.')} or newer (https://nodejs.org).`,
  );
}

/** Whether npm's own record of what it installed agrees with package-lock.json; it writes that record last. */
function dependenciesAreInstalled() {
  if (!existsSync(INSTALLED_FILE) || !existsSync(LOCK_FILE)) return false;
  const wanted = JSON.parse(readFileSync(LOCK_FILE, 'utf8')).packages;
  const installed = JSON.parse(readFileSync(INSTALLED_FILE, 'utf8')).packages;
  return Object.entries(wanted).every(([name, entry]) => {
    if (name === '') return true;
    // Optional packages are those of other platforms, among others.
    if (!(name in installed)) return entry.optional || entry.devOptional || entry.peer;
    return installed[name].version === entry.version && installed[name].integrity === entry.integrity;
  });
}

async function installDependencies() {
  if (dependenciesAreInstalled()) {
    announce(1, 'dependencies: up to date');
    return;
  }
  announce(1, 'dependencies: npm ci');
  let code = existsSync(LOCK_FILE) ? await run('npm', ['ci']) : 1;
  endIfInterrupted();
  if (code !== 0) {
    // A registry that mirrors another may lack packages of other platforms, which only `npm ci` insists on.
    announce(1, 'dependencies: npm install');
    code = await run('npm', ['install', '--no-save']);
    endIfInterrupted();
  }
  if (code !== 0) {
    fail(`the dependencies could not be installed (exit code ${code}). This needs the npm registry: check the network
and npm's settings for a proxy or mirror (npm config get registry), then start again.`);
  }
}

async function buildCore() {
  announce(2, 'processor core: core.wasm, handlers.wasm');
  const code = await run('npm', ['run', '--silent', 'build:core']);
  endIfInterrupted();
  if (code !== 0) fail(`the processor core could not be built (npm run build:core, exit code ${code}); see above.`);
}

async function buildGuests() {
  announce(3, 'guest images');
  const code = await run('npm', ['run', '--silent', 'guests']);
  endIfInterrupted();
  if (code !== 0) console.error('npm start: not every guest could be built, see above; the page starts all the same.');
}

async function servePage() {
  announce(4, 'page (Ctrl-C ends it)');
  const code = await run('npx', ['vite', '--host', '127.0.0.1', ...process.argv.slice(2)]);
  process.exit(interrupted ? 0 : code);
}

checkNode();
await installDependencies();
await buildCore();
await buildGuests();
await servePage();
