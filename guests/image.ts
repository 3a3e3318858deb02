/** Packs the initramfs of a guest out of its recipe's parts. Pure: everything it needs was read before. */
import { gzipSync } from 'node:zlib';
import { appletNames } from './busybox.ts';
import { CpioWriter } from './cpio.ts';
import type { KernelModule } from './modules.ts';

/** A file with the path and the permissions that it has in the guest. */
export interface GuestFile {
  readonly path: string;
  readonly mode: number;
  readonly data: Uint8Array;
}

/** What goes into an initramfs. */
export interface InitramfsParts {
  readonly hostname: string;
  readonly skeleton: readonly GuestFile[];
  readonly packageFiles: readonly GuestFile[];
  readonly extraFiles: readonly GuestFile[];
  /** Kernel modules in loading order, and those that are loaded behind the ready line. */
  readonly modules: readonly KernelModule[];
  readonly lateModules: readonly KernelModule[];
  /** Those that are loaded where there is a disk. They lie compressed: who has none does not pay for unpacking them. */
  readonly diskModules: readonly KernelModule[];
}

/** Nodes that serve until devtmpfs is mounted, and instead of it (devices.txt): path, permissions, major, minor. */
const DEVICES = [
  ['dev/console', 0o600, 5, 1],
  ['dev/null', 0o666, 1, 3],
  ['dev/zero', 0o666, 1, 5],
  ['dev/urandom', 0o666, 1, 9],
  ['dev/tty', 0o666, 5, 0],
  ['dev/ttyS0', 0o600, 4, 64],
] as const;

/** The initramfs as a gzip stream of a newc archive; the same parts give the same bytes. */
export function packInitramfs(parts: InitramfsParts): Uint8Array {
  const archive = new CpioWriter();
  for (const directory of ['bin', 'dev', 'etc', 'lib', 'proc', 'root', 'run', 'sys', 'tmp', 'usr', 'var']) {
    archive.directory(directory, directory === 'tmp' ? 0o1777 : directory === 'root' ? 0o700 : 0o755);
  }
  for (const link of ['sbin', 'usr/bin', 'usr/sbin']) archive.symlink(link, link.includes('/') ? '../bin' : 'bin');
  for (const [path, permissions, major, minor] of DEVICES) archive.characterDevice(path, permissions, major, minor);
  archive.file('etc/hostname', 0o644, Buffer.from(`${parts.hostname}\n`));
  for (const file of [...parts.skeleton, ...parts.packageFiles, ...parts.extraFiles]) {
    archive.file(file.path, file.mode, file.data);
  }
  addModules(archive, parts);
  const busybox = parts.packageFiles.find((file) => file.path === '/bin/busybox');
  for (const applet of busybox ? appletNames(busybox.data) : []) {
    // A skeleton's own program of that name comes before the applet.
    if (!archive.has(`bin/${applet}`)) archive.symlink(`bin/${applet}`, 'busybox');
  }
  if (!archive.has('init')) throw new Error('the skeleton has no /init');
  return gzipSync(archive.finish(), { level: 9 });
}

function addModules(archive: CpioWriter, { modules, lateModules, diskModules }: InitramfsParts): void {
  const plain = new Set([...modules, ...lateModules].map(({ name }) => name));
  for (const [list, of] of [
    ['etc/modules', modules],
    ['etc/modules-late', lateModules],
    ['etc/modules-disk', diskModules],
  ] as const) {
    if (of.length > 0) archive.file(list, 0o644, Buffer.from(of.map(({ name }) => `${name}\n`).join('')));
    for (const { name, data } of of) {
      const file = `lib/modules/${name}.ko`;
      if (archive.has(file)) continue;
      if (plain.has(name)) archive.file(file, 0o644, data);
      else archive.file(`${file}.gz`, 0o644, gzipSync(data, { level: 9 }));
    }
  }
}
