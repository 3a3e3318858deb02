/**
 * `npm run test:debian [-- ID]`: the end-to-end test of a guest on a disk, which `npm test` leaves out: its image is built on
 * request (`npm run guests debian-amd64`). Fails where it was not built.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { findBrowser, HOW_TO_GET_A_BROWSER } from './browser.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const guest = process.argv[2] ?? 'debian-amd64';

function fail(message) {
  console.error(`test:debian: ${message}`);
  process.exit(1);
}

function run(...args) {
  const { status } = spawnSync('npx', ['--no-install', ...args], {
    cwd: ROOT,
    stdio: 'inherit',
    shell: process.platform === 'win32',
    env: { ...process.env, TABVISOR_DEBIAN: guest },
  });
  if (status !== 0) process.exit(status ?? 1);
}

if (!existsSync(path.join(ROOT, '.cache/guests/images', guest, 'image.json'))) {
  fail(`the image of ${guest} was not built: run "npm run guests ${guest}" first.`);
}
if (findBrowser() === undefined) fail(HOW_TO_GET_A_BROWSER);
run('vite', 'build', '--logLevel', 'warn');
run('playwright', 'test', 'e2e/debian.spec.ts');
