/** qcow2 images beside qemu-img, which makes them, checks them and says what is in them. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readBytes } from '../storage/block.ts';
import { contract, contractBytes, pattern } from '../storage/testing/contract.ts';
import { openImage } from './node-image.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'tabvisor-image-'));
const at = (name: string): string => path.join(folder, name);
const image = at('disk.qcow2');
const raw = at('disk.img');

afterAll(() => {
  rmSync(folder, { recursive: true });
});

const qemuImg = (...words: readonly string[]): string =>
  execFileSync('qemu-img', words, { encoding: 'utf8', cwd: folder });

/** Neither errors nor leaks: qemu-img leaves with 2 or 3 otherwise. */
const check = (): string => qemuImg('check', image);

function create(options: string): void {
  qemuImg('create', '-q', '-f', 'qcow2', '-o', options, image, String(contractBytes));
}

async function expectPattern(): Promise<void> {
  const disk = await openImage(image, 'read');
  expect(Buffer.compare(await readBytes(disk, 0, contractBytes), pattern(0, contractBytes))).toBe(0);
  await disk.close();
}

const kinds = ['compat=1.1', 'compat=0.10,cluster_size=16k', 'compat=1.1,cluster_size=2M'];

describe.each(kinds)('qcow2 with %s', (options) => {
  it.each(contract.lasting)('$name', async ({ run }) => {
    const open = () => {
      create(options);
      return openImage(image, 'write');
    };
    await run({ name: 'qcow2', open, reopen: () => openImage(image, 'write') });
    check();
  });

  it('is for qemu-img what was written', async () => {
    create(options);
    const disk = await openImage(image, 'write');
    await disk.write(0, [pattern(0, contractBytes)]);
    await disk.close();
    check();
    writeFileSync(raw, pattern(0, contractBytes));
    qemuImg('compare', raw, image);
  });
});

describe('qcow2 by qemu-img', () => {
  it.each(['-c', '-q'])('is read, and written over (convert %s)', async (how) => {
    // Half of it can be compressed.
    const bytes = pattern(0, contractBytes).fill(5, 0, contractBytes - (1 << 20));
    writeFileSync(raw, bytes);
    qemuImg('convert', how, '-O', 'qcow2', raw, image);
    const disk = await openImage(image, 'write');
    expect(Buffer.compare(await readBytes(disk, 0, contractBytes), bytes)).toBe(0);
    for (const offset of [512, 1 << 20, contractBytes - 512]) {
      await disk.write(offset, [new Uint8Array(512).fill(9)]);
      bytes.fill(9, offset, offset + 512);
    }
    await disk.close();
    check();
    writeFileSync(raw, bytes);
    qemuImg('compare', raw, image);
  });

  it('keeps its internal snapshots', async () => {
    writeFileSync(raw, pattern(0, contractBytes));
    qemuImg('convert', '-O', 'qcow2', raw, image);
    qemuImg('snapshot', '-c', 'before', image);
    const disk = await openImage(image, 'write');
    await disk.write(1 << 20, [new Uint8Array(1 << 20).fill(3)]);
    await disk.discard(0, 1 << 18);
    await disk.close();
    check();
    qemuImg('snapshot', '-a', 'before', image);
    check();
    qemuImg('compare', raw, image);
    await expectPattern();
  });

  it('stands on a shorter file, which stays what it was', async () => {
    const below = pattern(0, 1 << 20);
    writeFileSync(raw, below);
    qemuImg('create', '-q', '-f', 'qcow2', '-b', 'disk.img', '-F', 'raw', image, String(contractBytes));
    const disk = await openImage(image, 'write');
    const expected = new Uint8Array(contractBytes);
    expected.set(below);
    expect(Buffer.compare(await readBytes(disk, 0, contractBytes), expected)).toBe(0);
    await disk.write((1 << 20) - 512, [new Uint8Array(1024).fill(8)]);
    await disk.discard(0, 1 << 17);
    expected.fill(8, (1 << 20) - 512, (1 << 20) + 512).fill(0, 0, 1 << 17);
    await disk.close();
    check();
    expect(Buffer.compare(readFileSync(raw), below)).toBe(0);
    writeFileSync(at('expected.img'), expected);
    qemuImg('compare', at('expected.img'), image);
  });

  it('grows its refcount table', async () => {
    // A refcount table of one cluster counts 8 MiB of such clusters.
    const size = 9 << 20;
    qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=512', image, String(size));
    const disk = await openImage(image, 'write');
    for (let offset = 0; offset < size; offset += 1 << 20) await disk.write(offset, [pattern(offset, 1 << 20)]);
    await disk.close();
    check();
    writeFileSync(raw, pattern(0, size));
    qemuImg('compare', raw, image);
  });
});

describe('what is refused', () => {
  it('is a file that an image has no right to', async () => {
    qemuImg('create', '-q', '-f', 'qcow2', '-u', '-b', '/etc/hostname', '-F', 'raw', image, '1M');
    await expect(openImage(image, 'read')).rejects.toMatchObject({
      code: 'notFound',
      message: /outside of its folder/,
    });
    qemuImg('create', '-q', '-f', 'qcow2', '-u', '-b', 'disk.qcow2', '-F', 'qcow2', image, '1M');
    await expect(openImage(image, 'read')).rejects.toMatchObject({ code: 'notFound', message: /a chain of more than/ });
    qemuImg('create', '-q', '-f', 'qcow2', '-u', '-b', 'disk.qcow2', '-F', 'qcow2', raw, '1M');
    await expect(openImage(raw, 'read')).rejects.toMatchObject({ code: 'notFound', message: /rename it/ });
  });

  it('is an image that is damaged', async () => {
    create('compat=1.1');
    const good = readFileSync(image);
    const with32 = (offset: number, value: number): Promise<unknown> => {
      const bytes = Buffer.from(good);
      bytes.writeUInt32BE(value, offset);
      writeFileSync(image, bytes);
      return openImage(image, 'write');
    };
    await expect(with32(20, 40)).rejects.toMatchObject({ code: 'corrupt' });
    await expect(with32(36, 0x7fff_ffff)).rejects.toMatchObject({ code: 'corrupt' });
    await expect(with32(40, 0x7fff_ffff)).rejects.toMatchObject({ code: 'corrupt' });
    await expect(with32(56, 0x7fff_ffff)).rejects.toMatchObject({ code: 'corrupt' });
    await expect(with32(76, 1)).rejects.toMatchObject({ code: 'corrupt', message: /qemu-img check -r all/ });
    await expect(with32(32, 1)).rejects.toMatchObject({ code: 'io', message: /encrypted/ });
  });
});
