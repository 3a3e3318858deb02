import { describe, expect, it } from 'vitest';
import { memoryPromises } from './checks.ts';
import { memorySample, renderMemory } from './memory.ts';
import { parseSmaps, type ProcessMemory } from './process-memory.ts';

const miB = 2 ** 20;
const state = (rss: number, memory: number, ram: number): ProcessMemory => ({
  rssBytes: rss * miB,
  memoryBytes: memory * miB,
  ramBytes: ram * miB,
});

describe('memorySample', () => {
  const measured = {
    withGuests: [state(80, 0, 0), state(240, 120, 100), state(390, 241, 205)],
    workerBytes: 40 * miB,
  } as const;
  const sample = memorySample(
    { arch: 'i386', row: 'linux-i386', peer: 'tabvisor', round: 1, memoryMiB: 256 },
    measured,
  );

  it('is what the second guest adds, without the RAM that was touched meanwhile', () => {
    expect(sample).toMatchObject({ rssMiB: [80, 240, 390], touchedRamMiB: 105, beyondRamMiB: 45, ownMemoryMiB: 16 });
  });

  it('is held to the promise, and shown', () => {
    expect(memoryPromises([sample])).toMatchObject([{ measured: '45.0 MiB', holds: true }]);
    expect(memoryPromises([{ ...sample, beyondRamMiB: 64.1 }])).toMatchObject([{ holds: false }]);
    expect(renderMemory([sample])).toContain('80.0, 240.0, 390.0');
  });
});

describe('parseSmaps', () => {
  it('reads mappings with what is resident of them', () => {
    const text = [
      '7f0000000000-7f0000400000 rw-p 00000000 00:00 0 ',
      'Size:               4096 kB',
      'KernelPageSize:        4 kB',
      'Rss:                 120 kB',
      'VmFlags: rd wr mr mw me ac sd',
      '7f0000400000-7f0000500000 ---p 00000000 00:00 0                          [stack]',
      'Size:               1024 kB',
      'Rss:                   0 kB',
      'ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]',
      'Rss:                   0 kB',
      '',
    ].join('\n');
    expect(parseSmaps(text)).toEqual([
      { start: 0x7f0000000000, bytes: 0x400000, residentBytes: 120 * 1024 },
      { start: 0x7f0000400000, bytes: 0x100000, residentBytes: 0 },
    ]);
  });
});
