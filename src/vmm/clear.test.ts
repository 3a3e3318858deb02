import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { clearTouched } from './clear.ts';

const MiB = 2 ** 20;

/** Resident memory of this process in bytes (proc(5)). */
function residentBytes(): number {
  return Number(/VmRSS:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
}

/** Whether reading a page that nobody has touched takes no memory. */
function readsForNothing(): boolean {
  const bytes = new Uint8Array(new SharedArrayBuffer(64 * MiB));
  const before = residentBytes();
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 4096) sum += bytes[at] ?? 0;
  return sum === 0 && residentBytes() - before < 16 * MiB;
}

describe('clearTouched', () => {
  it('leaves no byte, wherever it lies in a page', () => {
    const buffer = new SharedArrayBuffer(64 * 4096);
    const bytes = new Uint8Array(buffer);
    for (let page = 0; page < 32; page++) bytes[page * 4096 + ((page * 1237 + 4095) % 4096)] = page + 1;
    bytes[bytes.length - 1] = 1;
    expect(clearTouched(buffer)).toBe(33);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    expect(clearTouched(buffer)).toBe(0);
  });

  // What docs/adr/0009 stands on. Some hosts have no page of zeros that all untouched ones share: there reading is enough.
  it.runIf(process.platform === 'linux' && readsForNothing())('makes no page real that nobody has touched', () => {
    const memory = new WebAssembly.Memory({ initial: 0, maximum: 8192, shared: true });
    const before = residentBytes();
    memory.grow(8192);
    const bytes = new Uint8Array(memory.buffer);
    for (let at = 0; at < 32 * MiB; at += 4096) bytes[at] = 1;
    expect(clearTouched(memory.buffer)).toBe(8192);
    expect(residentBytes() - before).toBeLessThan(128 * MiB);
  });
});
