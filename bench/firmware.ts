/**
 * The BIOS and VGA BIOS that v86 needs: those of Debian's package `seabios`, fetched through the guest builder's
 * private apt and extracted into `.cache/bench/seabios`, not installed.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync, copyFileSync } from 'node:fs';
import path from 'node:path';
import { Apt } from '../guests/apt.ts';
import { extractDeb, findInPackage } from '../guests/deb.ts';
import { PeerMissing } from './peers/peer.ts';

export interface Firmware {
  readonly bios: string;
  readonly vgaBios: string;
  /** Version of the package. */
  readonly version: string;
}

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
const files = { 'bios.bin': '/usr/share/seabios/bios.bin', 'vgabios.bin': '/usr/share/seabios/vgabios-stdvga.bin' };

/** @throws PeerMissing */
export async function getFirmware(root: string, report: (line: string) => void): Promise<Firmware> {
  const directory = path.join(root, '.cache/bench/seabios');
  const versionFile = path.join(directory, 'version');
  if (!existsSync(versionFile)) {
    try {
      await fetchFirmware(root, directory, report);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new PeerMissing(`v86 needs the files of Debian's package seabios: ${reason}`);
    }
  }
  return {
    bios: path.join(directory, 'bios.bin'),
    vgaBios: path.join(directory, 'vgabios.bin'),
    version: readFileSync(versionFile, 'utf8'),
  };
}

async function fetchFirmware(root: string, directory: string, report: (line: string) => void): Promise<void> {
  const mirror = {
    mirror: process.env['DEBIAN_MIRROR'] || undefined,
    osRelease: existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '',
    keyring: existsSync(keyring) ? keyring : undefined,
  };
  const apt = new Apt('amd64', path.join(root, '.cache/guests/apt/amd64'), mirror, report);
  if ((await apt.versions('seabios')).length === 0) await apt.update();
  const fetched = await apt.fetch('seabios');
  const unpacked = path.join(directory, 'package');
  await extractDeb(
    fetched.file,
    Object.values(files).map((name) => `*${name}`),
    unpacked,
  );
  mkdirSync(directory, { recursive: true });
  for (const [name, source] of Object.entries(files)) {
    const found = findInPackage(unpacked, source);
    if (found === undefined) throw new Error(`${path.basename(fetched.file)} has no ${source}`);
    copyFileSync(found, path.join(directory, name));
  }
  rmSync(unpacked, { recursive: true, force: true });
  writeFileSync(path.join(directory, 'version'), fetched.version);
}
