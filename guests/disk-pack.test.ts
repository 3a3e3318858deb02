/** That a packed disk is what the page reads: `src/storage/packed.ts`, by the command line's way of fetching. */
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPacked, unpackInto } from '../src/cli/catalogue.ts';
import { readBytes } from '../src/storage/block.ts';
import { arMagic, arMember } from './ar.ts';
import { run } from './command.ts';
import { packDisk } from './disk-pack.ts';

const mib = 2 ** 20;
const sizeBytes = 3 * mib + 512;
let folder = '';
let image = '';

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'tabvisor-pack-'));
  image = path.join(folder, 'disk.img');
  const file = openSync(image, 'w');
  ftruncateSync(file, sizeBytes);
  writeSync(file, Buffer.alloc(700_000, 'content '), 0, 700_000, 0);
  writeSync(file, Buffer.from('the end'), 0, 7, sizeBytes - 7);
  closeSync(file);
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('packing a disk', () => {
  it('leaves holes out, and is read as it was', async () => {
    const target = path.join(folder, 'box');
    const { index, sizeBytes: packedSize } = await packDisk(image, target);
    expect(packedSize).toBe(sizeBytes);
    // Three that have the content, two of them the same, and the last.
    expect(readdirSync(path.join(target, 'disk/chunks')).length).toBe(3);
    const place = { url: pathToFileURL(path.join(folder, index.file)).href, sha256: index.sha256 };
    const disk = await openPacked(place);
    expect(Buffer.compare(await readBytes(disk, 0, sizeBytes), readFileSync(image))).toBe(0);

    const raw = path.join(folder, 'kept/raw.img');
    await unpackInto(raw, place);
    expect(Buffer.compare(readFileSync(raw), readFileSync(image))).toBe(0);
    // The second time it is the guest's, and stays as it is.
    const changed = openSync(raw, 'r+');
    writeSync(changed, 'written', 0);
    closeSync(changed);
    await unpackInto(raw, place);
    expect(readFileSync(raw).subarray(0, 7).toString()).toBe('written');
  });

  it('keeps what an older index names', async () => {
    const target = path.join(folder, 'box');
    const before = readdirSync(path.join(target, 'disk/chunks'));
    const file = openSync(image, 'r+');
    writeSync(file, 'something else', 0);
    closeSync(file);
    const { index } = await packDisk(image, target);
    expect(readdirSync(path.join(target, 'disk/chunks'))).toEqual(expect.arrayContaining(before));
    expect(readdirSync(path.join(target, 'disk')).filter((name) => name.endsWith('.json')).length).toBe(2);
    expect(existsSync(path.join(folder, index.file))).toBe(true);
  });
});

describe('a .deb that is packed anew', () => {
  it('is one for ar', async () => {
    const deb = path.join(folder, 'x.deb');
    const file = openSync(deb, 'w');
    for (const bytes of [
      arMagic,
      arMember('debian-binary', Buffer.from('2.0\n')),
      arMember('data.tar', Buffer.from('odd')),
    ]) {
      writeSync(file, bytes);
    }
    closeSync(file);
    const listed = await run('ar', ['t', deb]);
    // binutils is what the benchmark's compiler needs; without it dpkg-deb would be the next to ask.
    if (listed.code !== 127) expect(listed.stdout.split('\n').filter(Boolean)).toEqual(['debian-binary', 'data.tar']);
    expect(readFileSync(deb).length % 2).toBe(0);
  });
});
