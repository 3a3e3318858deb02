import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { readCases } from './load-node.ts';

const folder = mkdtempSync(join(tmpdir(), 'cases-'));
afterAll(() => rmSync(folder, { recursive: true }));

const line = (name: string) => JSON.stringify({ name, mode: 'real', end: 'hlt', expect: {} });

async function names(file: string): Promise<string[]> {
  const result: string[] = [];
  for await (const c of readCases(file)) result.push(c.name);
  return result;
}

describe('readCases', () => {
  it('reads plain and gzipped lines, and skips empty ones', async () => {
    const text = `${line('a')}\n\n${line('b')}`;
    writeFileSync(join(folder, 'a.jsonl'), text);
    writeFileSync(join(folder, 'a.jsonl.gz'), gzipSync(`${text}\n`));
    expect(await names(join(folder, 'a.jsonl'))).toEqual(['a', 'b']);
    expect(await names(join(folder, 'a.jsonl.gz'))).toEqual(['a', 'b']);
  });

  it('reads more than one block', async () => {
    writeFileSync(join(folder, 'long.jsonl'), `${line('é'.repeat(500))}\n`.repeat(500));
    expect(await names(join(folder, 'long.jsonl'))).toHaveLength(500);
  });

  it('names the file and the line of an error', async () => {
    writeFileSync(join(folder, 'bad.jsonl'), `${line('a')}\n{"mode":1}\n`);
    writeFileSync(join(folder, 'bad.jsonl.gz'), 'this is not gzip');
    await expect(names(join(folder, 'bad.jsonl'))).rejects.toThrow(/bad\.jsonl:2: /);
    await expect(names(join(folder, 'bad.jsonl.gz'))).rejects.toThrow(/bad\.jsonl\.gz: /);
    await expect(names(join(folder, 'none.jsonl'))).rejects.toThrow(/ENOENT/);
  });
});
