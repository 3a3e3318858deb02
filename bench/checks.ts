/** What must hold for a result to be believed, and what the project has promised of it. */
import type { Table } from './report.ts';
import { integerWorkloads } from './rows.ts';
import { bySubject, promisedMiB } from './memory.ts';
import type { MemorySample, Sample } from './samples.ts';
import { figure, median } from './statistics.ts';

/** Checksums that differ from the expected ones, or from each other where none is expected; one line each. */
export function checksumProblems(
  samples: readonly Sample[],
  expected: Readonly<Record<string, string>> | undefined,
): string[] {
  const problems: string[] = [];
  const agreed = new Map<string, string>();
  for (const { arch, row, peer, round, checksum } of samples) {
    if (checksum === undefined) continue;
    const right = expected?.[row] ?? agreed.get(row) ?? checksum;
    agreed.set(row, right);
    if (checksum !== right) {
      problems.push(`${arch} ${row} on ${peer}, round ${round}: checksum ${checksum} instead of ${right}`);
    }
  }
  return problems;
}

/** Guest clocks that are more than this share off the host's. */
const clockTolerance = 0.05;
/** Below this many host seconds a call is too short to judge a clock by, as /proc/uptime has hundredths. */
const shortestSeconds = 1;

/** Guests whose clock does not follow real time, one line for each peer: their guest seconds mean nothing. */
export function clockProblems(samples: readonly Sample[]): string[] {
  const worst = new Map<string, Sample>();
  const off = ({ clockRate = 1 }: Sample): number => Math.abs(clockRate - 1);
  for (const sample of samples) {
    if (sample.hostSeconds < shortestSeconds || off(sample) <= clockTolerance) continue;
    const key = `${sample.peer} ${sample.arch}`;
    const before = worst.get(key);
    if (before === undefined || off(before) < off(sample)) worst.set(key, sample);
  }
  return [...worst].map(([key, { row, round, clockRate }]) => {
    return `${key}: the guest's clock ran at ${figure(clockRate)} of real time (worst: ${row}, round ${round})`;
  });
}

export interface SpeedPromise {
  readonly text: string;
  readonly measured: string;
  readonly holds: boolean;
}

/** Memory of a process beyond the guests' RAM. */
export function memoryPromises(samples: readonly MemorySample[]): SpeedPromise[] {
  return bySubject(samples).map((own) => {
    const beyond = median(own.map((sample) => sample.beyondRamMiB)) ?? 0;
    const text = `${own[0]?.row} on ${own[0]?.peer}: at most ${promisedMiB} MiB of the process beyond the guest's RAM`;
    return { text, measured: `${figure(beyond)} MiB`, holds: beyond <= promisedMiB };
  });
}

/** What the interpreter tier alone has promised, as far as the tables show it. */
export function promises(tables: readonly Table[]): SpeedPromise[] {
  return [...speedPromises(tables), ...peerPromises(tables)];
}

function speedPromises(tables: readonly Table[]): SpeedPromise[] {
  const found: SpeedPromise[] = [];
  const atLeast = (text: string, rows: readonly string[], least: number): void => {
    for (const table of tables) {
      for (const { row, cells } of table.rows) {
        const speed = cells['tabvisor']?.millionInstructionsPerSecond;
        if (!rows.includes(row) || speed === undefined) continue;
        found.push({ text: `${table.arch} ${row}: ${text}`, measured: `${figure(speed)} M/s`, holds: speed >= least });
      }
    }
  };
  const fast = ['sieve', 'crc32', 'qsort'];
  atLeast('at least 200 M instructions/s', fast, 200);
  atLeast(
    'at least 120 M instructions/s',
    integerWorkloads.filter((row) => !fast.includes(row)),
    120,
  );
  atLeast('at least 30 M instructions/s with its decoding', ['decode-10'], 30);
  return found;
}

function peerPromises(tables: readonly Table[]): SpeedPromise[] {
  const found: SpeedPromise[] = [];
  for (const table of tables) {
    const mean = table.means['v86-nojit'];
    if (table.section === 'workloads' && mean !== undefined) {
      const text = `${table.arch}: at least 3 times as fast as v86 without its JIT (geometric mean)`;
      found.push({ text, measured: figure(mean), holds: mean >= 3 });
    }
    for (const { row, cells } of table.rows) {
      const slow = cells['v86-nojit']?.ratio;
      if (table.section === 'workloads' && slow !== undefined && slow < 1) {
        found.push({
          text: `${table.arch} ${row}: not behind v86 without its JIT`,
          measured: figure(slow),
          holds: false,
        });
      }
      const v86 = cells['v86']?.ratio;
      if (table.section === 'boot' && v86 !== undefined) {
        found.push({ text: `${row}: no slower than v86 with its JIT`, measured: figure(v86), holds: v86 >= 1 });
      }
      const qemu = cells['qemu']?.ratio;
      if (table.section === 'boot' && table.arch === 'amd64' && qemu !== undefined) {
        const times = 1 / qemu;
        found.push({ text: `${row}: at most 5 times as long as QEMU`, measured: figure(times), holds: times <= 5 });
      }
    }
  }
  return found;
}
