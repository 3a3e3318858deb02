/** Takes files out of Debian packages without installing them. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';

/**
 * Extracts the members of a .deb that match any of the shell patterns (`*` also matches `/`) into a fresh folder.
 * Patterns that match nothing are no error: the caller looks for what it needs.
 * @param directory made anew; the members lie below it under their paths in the package.
 */
export async function extractDeb(deb: string, patterns: readonly string[], directory: string): Promise<void> {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const unpack = spawn('dpkg-deb', ['--fsys-tarfile', deb], { stdio: ['ignore', 'pipe', 'pipe'] });
  const options = ['-x', '-f', '-', '-C', directory, '--no-same-owner', '--wildcards', '--wildcards-match-slash'];
  const tar = spawn('tar', [...options, '--', ...patterns], { stdio: ['pipe', 'ignore', 'ignore'] });
  // tar may end before dpkg-deb has written everything; that is its business.
  tar.stdin.on('error', () => {});
  unpack.stdout.pipe(tar.stdin);
  let complaint = '';
  unpack.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
  const [unpacked] = await Promise.all([ended(unpack), ended(tar)]);
  if (unpacked !== 0) throw new Error(`${path.basename(deb)} cannot be unpacked: ${complaint.trim() || unpacked}`);
}

function ended(child: ReturnType<typeof spawn>): Promise<number | string> {
  return new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code) => resolve(code ?? 'ended by a signal'));
  });
}

/** The file at an absolute path of a package; with merged /usr it may lie below /usr instead. */
export function findInPackage(directory: string, guestPath: string): string | undefined {
  const merged = guestPath.startsWith('/usr/') ? guestPath.slice('/usr'.length) : `/usr${guestPath}`;
  const places = [guestPath, merged].map((place) => path.join(directory, place));
  return places.find((place) => existsSync(place) && statSync(place).isFile());
}

/** Every regular file below a folder, as sorted paths relative to it. */
export function filesBelow(directory: string): string[] {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(directory, path.join(entry.parentPath, entry.name)))
    .sort();
}

/** What a program writes to its standard output, as bytes. @throws Error with what it complained of */
export async function capture(program: string, args: readonly string[]): Promise<Uint8Array> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const pieces: Buffer[] = [];
  let complaint = '';
  child.stdout.on('data', (piece: Buffer) => pieces.push(piece));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
  const code = await ended(child);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} failed: ${complaint.trim() || code}`);
  return Buffer.concat(pieces);
}
