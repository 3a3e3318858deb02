/**
 * Installs a Debian onto a disk image: packages come through the private apt, the image is made by `mke2fs`, and the
 * installation itself runs in a guest of Tabvisor's own headless machine. So it needs no root, no chroot and no processor
 * of the guest's kind, and is the same on every host (docs/adr/0025).
 *
 * The kernel and the initial RAM disk that the installation has made are taken out of the image: the machine has no
 * firmware that could boot from a disk.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { FetchedPackage } from './apt.ts';
import { run } from './command.ts';
import { packDisk } from './disk-pack.ts';
import type { DiskImage } from './manifest.ts';
import type { DiskRecipe, Recipe } from './schema.ts';
import { makeExt4, makeSeed, sbinPath } from './seed.ts';

export interface InstallOptions {
  /** The project's root folder. */
  readonly root: string;
  readonly recipe: Recipe;
  readonly disk: DiskRecipe;
  /** What the installing machine boots. */
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
  readonly essential: readonly FetchedPackage[];
  readonly others: readonly FetchedPackage[];
  /** Scratch. */
  readonly work: string;
  /** Where the disk's pieces go. */
  readonly target: string;
  readonly report: (line: string) => void;
}

export interface InstalledSystem {
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
  readonly disk: DiskImage;
}

const installedLine = 'tabvisor: installed';
/** Of the machine that installs: dpkg, and the cache of what it writes. */
const installMemory = '768M';
const limitSeconds = 3600;

/** @throws Error */
export async function installDisk(options: InstallOptions): Promise<InstalledSystem> {
  const { root, recipe, disk, work, report } = options;
  mkdirSync(work, { recursive: true });
  const image = path.join(work, 'disk.img');
  const seed = path.join(work, 'seed.img');
  report('repacking the packages');
  await makeSeed(seed, path.join(work, 'seed'), {
    essential: options.essential.map(({ file }) => file),
    others: options.others.map(({ file }) => file),
    files: path.join(root, disk.files),
    installer: path.join(root, recipe.skeleton),
    hostname: recipe.id,
    disabledServices: disk.disabledServices,
    arch: recipe.arch,
  });
  await makeExt4(image, disk.sizeMiB);
  report('installing in a guest; this is the long part');
  await install(options, image, seed);
  await check(image);
  const [kernel, initrd] = await bootFiles(image, work);
  report('packing the disk');
  return { kernel, initrd, disk: await packDisk(image, options.target) };
}

async function install(options: InstallOptions, image: string, seed: string): Promise<void> {
  const { root, work, report } = options;
  const [kernel, initrd] = [path.join(work, 'installer-kernel'), path.join(work, 'installer-initrd')];
  writeFileSync(kernel, options.kernel);
  writeFileSync(initrd, options.initrd);
  const args = ['-kernel', kernel, '-initrd', initrd, '-append', 'console=ttyS0 quiet cryptomgr.notests'];
  const disks = ['--disk', image, '--disk', `${seed},ro`];
  const limits = ['-m', installMemory, '-no-reboot', '--timeout', String(limitSeconds)];
  const log = path.join(work, 'install.log');
  const output = await runMachine(root, [...args, ...disks, ...limits], report);
  writeFileSync(log, output);
  if (output.includes(installedLine)) return;
  const last = output.trimEnd().split('\n').slice(-25).join('\n');
  throw new Error(`the installation failed; its last lines were:\n${last}`);
}

/** The headless machine to its end; what its console printed. Steps that the installer tells of are passed on. */
function runMachine(root: string, args: readonly string[], report: (line: string) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [path.join(root, 'tools/vm.mjs'), ...args], {
      cwd: root,
      env: { ...process.env, INIT_CWD: root },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    let line = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      const lines = (line + text).split(/\r?\n/);
      line = lines.pop() ?? '';
      for (const one of lines) if (one.startsWith('tabvisor: ')) report(`  ${one.slice('tabvisor: '.length)}`);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.on('error', reject);
    child.on('close', () => resolve(output));
  });
}

/** The file system is whole, and what it does not use is a hole. @throws Error */
async function check(image: string): Promise<void> {
  const checked = await run('e2fsck', ['-fy', '-E', 'discard', image], sbinPath());
  // e2fsck(8): 0 clean, 1 mended.
  if (checked.code > 1) throw new Error(`the installed file system is damaged:\n${checked.stdout}${checked.stderr}`);
}

/** The newest kernel in /boot, and its initial RAM disk. @throws Error */
async function bootFiles(image: string, work: string): Promise<[kernel: Uint8Array, initrd: Uint8Array]> {
  const listed = await debugfs(image, 'ls -p /boot');
  const version = [...listed.matchAll(/\/vmlinuz-([^/\s]+)\//g)]
    .map((match) => match[1] ?? '')
    .sort()
    .at(-1);
  if (version === undefined) throw new Error('the installed system has no kernel in /boot');
  const take = async (name: string): Promise<Uint8Array> => {
    const file = path.join(work, name);
    await debugfs(image, `dump /boot/${name} ${file}`);
    return readFileSync(file);
  };
  return [await take(`vmlinuz-${version}`), await take(`initrd.img-${version}`)];
}

async function debugfs(image: string, request: string): Promise<string> {
  const { code, stdout, stderr } = await run('debugfs', ['-R', request, image], sbinPath());
  if (code !== 0) throw new Error(`debugfs failed: ${stderr.trim()}`);
  return stdout;
}
