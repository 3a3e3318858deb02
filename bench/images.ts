/** The images that are booted: the catalogue's for boots, the benchmark guests' for workloads, generated ones. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { GuestImage, ImageManifest } from '../guests/manifest.ts';
import type { Architecture } from '../guests/schema.ts';
import { decodeImage } from './decode-once.ts';
import type { Machine } from './peers/peer.ts';
import { decodeRows } from './rows.ts';

export type CommandLine = 'trimmed' | 'stock';

/** Builds the guests if they are not up to date. @throws Error when one cannot be had */
export function buildGuests(root: string, ids: readonly string[]): ReadonlyMap<string, GuestImage> {
  const builder = ['--import', 'tsx', path.join(root, 'guests/build.ts'), ...ids.flatMap((id) => ['--only', id])];
  // Standard output is the report's.
  const { status } = spawnSync(process.execPath, builder, { cwd: root, stdio: ['ignore', 2, 2] });
  const manifest = path.join(root, '.cache/guests/images/manifest.json');
  const { guests } = JSON.parse(readFileSync(manifest, 'utf8')) as ImageManifest;
  const missing = ids.filter((id) => !guests.some((guest) => guest.id === id));
  if (missing.length > 0)
    throw new Error(`there is no image of ${missing.join(', ')} (guest builder: exit code ${status})`);
  return new Map(guests.map((guest) => [guest.id, guest]));
}

export function guestMachine(root: string, guest: GuestImage, commandLine: CommandLine): Machine {
  const images = path.join(root, '.cache/guests/images');
  return {
    arch: guest.arch,
    kernel: path.join(images, guest.kernel.file),
    multiboot: false,
    initrd: path.join(images, guest.initrd.file),
    commandLine: commandLine === 'stock' ? guest.stockCommandLine : guest.commandLine,
    memoryMiB: guest.memoryMiB,
  };
}

/** A machine for a row of decode-once.ts, and the number of its instructions. */
export function decodeMachine(root: string, row: string): { machine: Machine; instructions: number } {
  const shape = decodeRows[row];
  if (shape === undefined) throw new Error(`there is no decode row ${row}`);
  const { bytes, instructions } = decodeImage(shape.codeBytes, shape.passes);
  const directory = path.join(root, '.cache/bench/decode');
  const kernel = path.join(directory, `${row}.img`);
  mkdirSync(directory, { recursive: true });
  writeFileSync(kernel, bytes);
  const arch: Architecture = 'i386';
  return {
    machine: { arch, kernel, multiboot: true, initrd: undefined, commandLine: '', memoryMiB: 64 },
    instructions,
  };
}
