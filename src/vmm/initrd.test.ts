import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { initrdProblem } from './initrd.ts';

const exact = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer;

/** A `newc` archive of one file, and its trailer. */
function archive(): Uint8Array {
  const entry = (name: string, data: string) => {
    const fields = Array.from({ length: 13 }, () => 0);
    fields[6] = data.length;
    fields[11] = name.length + 1;
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
    const pad = (text: string) => text + '\0'.repeat(-text.length & 3);
    return pad(`${header}${name}\0`) + pad(data);
  };
  return new TextEncoder().encode(entry('init', '#!/bin/sh\necho hello\n') + entry('TRAILER!!!', ''));
}

describe('initrd check', () => {
  it('accepts whole archives, plain and compressed', async () => {
    expect(await initrdProblem(exact(archive()))).toBeUndefined();
    expect(await initrdProblem(exact(gzipSync(archive())))).toBeUndefined();
    expect(await initrdProblem(exact(new Uint8Array([0x28, 0xb5, 0x2f, 0xfd, 0])))).toBeUndefined();
  });

  it('tells what is truncated or damaged', async () => {
    expect(await initrdProblem(exact(archive().subarray(0, 130)))).toMatch(/truncated/);
    expect(await initrdProblem(exact(gzipSync(archive()).subarray(0, 60)))).toMatch(/truncated/);
    const damaged = archive();
    damaged.fill(0, 140, 200);
    expect(await initrdProblem(exact(damaged))).toMatch(/damaged/);
  });
});
