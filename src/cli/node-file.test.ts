import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { contract, contractBytes, pattern } from '../storage/testing/contract.ts';
import { NodeFileDisk } from './node-file.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'tabvisor-disk-'));
const file = path.join(folder, 'disk.img');

afterAll(() => {
  rmSync(folder, { recursive: true });
});

function blank(): Promise<NodeFileDisk> {
  writeFileSync(file, '');
  truncateSync(file, contractBytes);
  return NodeFileDisk.open(file, 'write');
}

describe('a file under Node', () => {
  it.each(contract.lasting)('$name', async ({ run }) => {
    await run({ name: 'file', open: blank, reopen: () => NodeFileDisk.open(file, 'write') });
  });

  it.each(contract.readOnly)('read-only: $name', async ({ run }) => {
    writeFileSync(file, pattern(0, contractBytes));
    await run({ name: 'file', open: () => NodeFileDisk.open(file, 'read') });
  });

  it('must have whole sectors, and be there', async () => {
    writeFileSync(file, 'x');
    await expect(NodeFileDisk.open(file, 'read')).rejects.toMatchObject({ code: 'badSize' });
    await expect(NodeFileDisk.open(path.join(folder, 'none'), 'read')).rejects.toMatchObject({ code: 'io' });
  });
});
