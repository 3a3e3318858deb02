/**
 * `npm start` on a machine that has no apt and no network: on a copy of the project without guest images, with a PATH
 * of Node's programs alone. And the guest builder with apt, but with a mirror out of reach.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
/** The discard service: nobody listens there. */
const unreachable = 'http://127.0.0.1:9/debian';
const limitMs = 120_000;
const hasApt = onPath('apt-get') !== undefined;
const hasCore = existsSync(path.join(root, 'build/core/core.wasm'));

function onPath(name: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter);
  return folders.map((folder) => path.join(folder, name)).find((file) => existsSync(file));
}

/** A copy of what git knows, with the dependencies and the core of this checkout, without guest images. */
function copyProject(to: string): void {
  const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root });
  for (const file of files.toString().split('\0')) {
    if (file !== '' && file !== 'node_modules' && existsSync(path.join(root, file)))
      cpSync(path.join(root, file), path.join(to, file));
  }
  // Entry by entry, so that the copy's vite keeps its own cache.
  mkdirSync(path.join(to, 'node_modules'));
  for (const entry of readdirSync(path.join(root, 'node_modules'))) {
    if (entry !== '.vite') symlinkSync(path.join(root, 'node_modules', entry), path.join(to, 'node_modules', entry));
  }
  cpSync(path.join(root, 'build/core'), path.join(to, 'build/core'), { recursive: true, preserveTimestamps: true });
}

/** A folder of programs with Node, npm and a shell, and nothing else. */
function barePath(folder: string): string {
  mkdirSync(folder);
  for (const name of ['node', 'npm', 'npx', 'sh', 'env']) {
    const file = name === 'node' ? process.execPath : onPath(name);
    if (file !== undefined) symlinkSync(file, path.join(folder, name));
  }
  return folder;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Collects what a program prints; resolves when it has printed `pattern` or ended. */
function output(child: ChildProcess, pattern: RegExp): Promise<string> {
  let text = '';
  return new Promise((resolve) => {
    const take = (chunk: Buffer): void => {
      text += chunk.toString();
      if (pattern.test(text)) resolve(text);
    };
    child.stdout?.on('data', take);
    child.stderr?.on('data', take);
    child.on('close', () => {
      resolve(text);
    });
  });
}

describe.runIf(process.platform !== 'win32')('npm start without apt and network', () => {
  let folder = '';
  let copy = '';
  beforeAll(() => {
    if (!hasCore) throw new Error('there is no build/core: run npm run build:core first');
    folder = mkdtempSync(path.join(tmpdir(), 'tabvisor-start-'));
    copy = path.join(folder, 'project');
    mkdirSync(copy);
    copyProject(copy);
  }, limitMs);
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it(
    'says what is missing and what to do, and starts the page',
    async () => {
      const port = await freePort();
      const child = spawn(process.execPath, ['tools/start.mjs', '--port', String(port), '--strictPort'], {
        cwd: copy,
        env: { HOME: folder, PATH: barePath(path.join(folder, 'bin')), DEBIAN_MIRROR: unreachable, NO_COLOR: '1' },
        stdio: ['ignore', 'pipe', 'pipe'],
        // A group of its own: npm's helpers do not all hand a signal on.
        detached: true,
      });
      try {
        const text = await output(child, /http:\/\/127\.0\.0\.1:\d+\//);
        expect(text).toMatch(/\[1\/4\] dependencies: up to date/);
        expect(text).toMatch(/linux-amd64 could not be built: this machine lacks apt-get, apt-cache, dpkg-deb, tar/);
        expect(text).toMatch(/linux-i386 could not be built: this machine lacks apt-get/);
        expect(text).toMatch(/What to do, one of:/);
        expect(text).toMatch(/set DEBIAN_MIRROR to the URL of a Debian mirror/);
        expect(text).toMatch(/bring your own kernel: open the page with \?kernel=URL/);
        expect(text).toMatch(/the page starts all the same/);
        expect(text).toMatch(new RegExp(`http://127\\.0\\.0\\.1:${port}/`));
        const page = await fetch(`http://127.0.0.1:${port}/`);
        expect(page.status).toBe(200);
        expect(page.headers.get('cross-origin-opener-policy')).toBe('same-origin');
        expect(await page.text()).toContain('src/ui/main.ts');
        const catalogue = await fetch(`http://127.0.0.1:${port}/guests/manifest.json`);
        expect(await catalogue.json()).toEqual({ format: 1, guests: [] });
      } finally {
        if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGTERM');
      }
    },
    limitMs,
  );

  it.runIf(hasApt)(
    'names the mirror that is out of reach',
    async () => {
      const child = spawn(process.execPath, ['--import', 'tsx', 'guests/build.ts', '--only', 'linux-amd64'], {
        cwd: copy,
        env: { ...process.env, DEBIAN_MIRROR: unreachable },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      const text = await output(child, /^$(?!.)/);
      expect(text).toMatch(/warning: Failed to fetch http:\/\/127\.0\.0\.1:9\/debian/);
      expect(text).toMatch(/no package index for amd64 could be fetched/);
      expect(text).toMatch(/set DEBIAN_MIRROR/);
      expect(child.exitCode).toBe(3);
    },
    limitMs,
  );
});
