import { describe, expect, it } from 'vitest';
import { checksumProblems, clockProblems, promises } from './checks.ts';
import { referencesOf, renderTable, tabulate, type Column } from './report.ts';
import type { Sample } from './samples.ts';

const columns: Column[] = [
  { id: 'tabvisor', runtime: 'node' },
  { id: 'v86-nojit', runtime: 'node' },
  { id: 'qemu', runtime: 'native' },
];

function sample(row: string, peer: string, round: number, rest: Partial<Sample>): Sample {
  return { section: 'workloads', arch: 'i386', row, peer, round, seconds: 1, hostSeconds: 2, load: 0, ...rest };
}

const samples = [
  // The second round was disturbed for both alike: their ratio was not.
  sample('sieve', 'tabvisor', 1, { seconds: 1, millionInstructionsPerSecond: 300 }),
  sample('sieve', 'tabvisor', 2, { seconds: 3, millionInstructionsPerSecond: 100 }),
  sample('sieve', 'tabvisor', 3, { seconds: 1.2, millionInstructionsPerSecond: 250 }),
  sample('sieve', 'v86-nojit', 1, { seconds: 4 }),
  sample('sieve', 'v86-nojit', 2, { seconds: 12 }),
  sample('sieve', 'v86-nojit', 3, { seconds: 4.8 }),
  sample('fork', 'tabvisor', 1, { seconds: 2 }),
  sample('fork', 'v86-nojit', 1, { seconds: 2 }),
];

describe('tabulate', () => {
  const [table] = tabulate(samples, columns);

  it('takes medians of seconds, of speeds and of the ratios of rounds', () => {
    const sieve = table?.rows.find(({ row }) => row === 'sieve');
    expect(sieve?.cells['tabvisor']).toEqual({ seconds: 1.2, rounds: 3, millionInstructionsPerSecond: 250 });
    expect(sieve?.cells['v86-nojit']).toEqual({ seconds: 4.8, rounds: 3, ratio: 4 });
    expect(table?.means['v86-nojit']).toBeCloseTo(2);
  });

  it('leaves out peers that were not measured', () => {
    expect(table?.columns.map(({ id }) => id)).toEqual(['tabvisor', 'v86-nojit']);
  });

  it('keeps sections and architectures apart', () => {
    const more = [...samples, sample('sieve', 'tabvisor', 1, { arch: 'amd64' })];
    const boot = sample('linux-i386, stock', 'qemu', 1, { section: 'boot' });
    expect(tabulate([...more, boot], columns).map(({ section, arch }) => `${section} ${arch}`)).toEqual([
      'workloads i386',
      'workloads amd64',
      'boot i386',
    ]);
  });

  it('has a line for each row and one for the means', () => {
    const lines = table === undefined ? [] : renderTable(table).trim().split('\n').slice(2);
    expect(lines.map((line) => line.replaceAll(/ +/g, ' '))).toEqual([
      '| row | tabvisor s | v86-nojit s | tabvisor M/s | v86-nojit ÷ tabvisor |',
      expect.stringMatching(/^\|-+\|/) as string,
      '| sieve | 1.20 | 4.80 | 250 | 4.00 |',
      '| fork | 2.00 | 2.00 | – | 1.00 |',
      '| geometric mean | | | | 2.00 |',
    ]);
  });
});

describe('referencesOf', () => {
  it('compares Node with Node, Chromium with Chromium and native with either', () => {
    const chromium: Column[] = [
      { id: 'tabvisor-chromium', runtime: 'chromium' },
      { id: 'v86-chromium', runtime: 'chromium' },
    ];
    expect(referencesOf([...columns, ...chromium])).toEqual({
      'v86-nojit': 'tabvisor',
      qemu: 'tabvisor',
      'v86-chromium': 'tabvisor-chromium',
    });
    expect(referencesOf([...chromium, { id: 'qemu', runtime: 'native' }])).toEqual({
      'v86-chromium': 'tabvisor-chromium',
      qemu: 'tabvisor-chromium',
    });
  });
});

describe('checksumProblems', () => {
  const right = sample('sieve', 'tabvisor', 1, { checksum: '1' });
  const wrong = sample('sieve', 'qemu', 1, { checksum: '2' });

  it('compares with what is expected', () => {
    expect(checksumProblems([right, wrong], { sieve: '1' })).toEqual([
      'i386 sieve on qemu, round 1: checksum 2 instead of 1',
    ]);
  });

  it('compares peers where nothing is expected', () => {
    expect(checksumProblems([right, wrong], undefined)).toHaveLength(1);
    expect(checksumProblems([right, { ...wrong, checksum: '1' }], undefined)).toEqual([]);
  });
});

describe('clockProblems', () => {
  it('names the worst row of a guest whose clock is wrong', () => {
    const slow = sample('sieve', 'v86', 1, { clockRate: 0.5, hostSeconds: 10 });
    const good = sample('sieve', 'qemu', 1, { clockRate: 1.01, hostSeconds: 10 });
    const brief = sample('sieve', 'qemu', 1, { clockRate: 1.2, hostSeconds: 0.05 });
    const problems = clockProblems([good, brief, { ...slow, row: 'fork', clockRate: 0.9 }, slow]);
    expect(problems).toEqual(["v86 i386: the guest's clock ran at 0.500 of real time (worst: sieve, round 1)"]);
  });
});

describe('promises', () => {
  it('judges speeds and peers', () => {
    const found = promises(tabulate(samples, columns));
    expect(found.map(({ holds, measured }) => ({ holds, measured }))).toEqual([
      { holds: true, measured: '250 M/s' },
      { holds: false, measured: '2.00' },
    ]);
  });
});
