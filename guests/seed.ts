/**
 * The disk that Debian is installed from (`guests/installer`): packages, and what the installation shall have of the
 * project's files. Packages are packed anew without compression, since the host decompresses them much faster than the
 * guest that installs them would.
 */
import { cpSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { run } from './command.ts';
import { arMember, arMagic } from './ar.ts';
import { capture } from './deb.ts';
import type { Architecture } from './schema.ts';

export interface SeedOptions {
  /** Folders of .deb files: what a system cannot be without, and the rest. */
  readonly essential: readonly string[];
  readonly others: readonly string[];
  /** A tree that the new system gets. */
  readonly files: string;
  /** Holds the script `configure`. */
  readonly installer: string;
  readonly hostname: string;
  /** Names of services that the system shall not start. */
  readonly disabledServices: readonly string[];
  readonly arch: Architecture;
}

/** Where the dynamic linker and libraries are besides /lib, as symbolic links into /usr (Debian's merged /usr). */
const libraryDirectories: Readonly<Record<Architecture, string>> = { amd64: 'lib64', i386: '' };
/** What ext4 takes beside the files: tables of inodes and the like. */
const overhead = 1.1;
const mib = 2 ** 20;

/** Makes the image `image` by way of the folder `work`. @throws Error */
export async function makeSeed(image: string, work: string, options: SeedOptions): Promise<void> {
  rmSync(work, { recursive: true, force: true });
  for (const [folder, debs] of [
    ['essential', options.essential],
    ['others', options.others],
  ] as const) {
    mkdirSync(path.join(work, folder), { recursive: true });
    for (const deb of debs) await repack(deb, path.join(work, folder, path.basename(deb)));
  }
  cpSync(options.files, path.join(work, 'files'), { recursive: true });
  cpSync(path.join(options.installer, 'configure'), path.join(work, 'configure'));
  writeFileSync(path.join(work, 'hostname'), `${options.hostname}\n`);
  writeFileSync(path.join(work, 'disabled-services'), `${options.disabledServices.join(' ')}\n`);
  writeFileSync(path.join(work, 'library-directories'), `${libraryDirectories[options.arch]}\n`);
  const sizeMiB = Math.ceil((sizeBelow(work) * overhead) / mib) + 16;
  await makeExt4(image, sizeMiB, ['-d', work]);
  rmSync(work, { recursive: true, force: true });
}

/** An ext4 file system in a sparse file. Its tables are written now, so that no guest has to. @throws Error */
export async function makeExt4(image: string, sizeMiB: number, more: readonly string[] = []): Promise<void> {
  rmSync(image, { force: true });
  const options = ['-q', '-t', 'ext4', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0'];
  const made = await run('mke2fs', [...options, ...more, image, `${sizeMiB}M`], sbinPath());
  if (made.code !== 0) throw new Error(`mke2fs failed: ${made.stderr.trim()}`);
}

/** Programs for file systems lie where the PATH of ordinary users does not lead. */
export function sbinPath(): { readonly PATH: string } {
  return { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };
}

async function repack(deb: string, target: string): Promise<void> {
  const control = await capture('dpkg-deb', ['--ctrl-tarfile', deb]);
  const data = await capture('dpkg-deb', ['--fsys-tarfile', deb]);
  const members = [
    arMember('debian-binary', Buffer.from('2.0\n')),
    arMember('control.tar', control),
    arMember('data.tar', data),
  ];
  writeFileSync(target, Buffer.concat([arMagic, ...members]));
}

function sizeBelow(folder: string): number {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(path.join(entry.parentPath, entry.name)).size + 4096, 0);
}
