/**
 * What a guest costs beyond its RAM: the memory of a process (Node, or the page's renderer) with one guest at its prompt
 * and with two, and what of it is RAM that the guests have touched. What the process needs anyhow (the engine, the core,
 * the images) is there with the first guest already; the difference is one guest: its own memory without RAM (registers,
 * decoded code), its worker with its heap, compiled code.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { TierName } from '../src/cpu/jit/compiler.ts';
import { allocatorEnvironment } from '../tools/allocator.mjs';
import { load } from './machine-info.ts';
import type { Machine } from './peers/peer.ts';
import type { ProcessMemory } from './process-memory.ts';
import type { MemorySample } from './samples.ts';
import { markdownTable, median } from './statistics.ts';

export interface MemoryOrder {
  readonly machine: Machine;
  readonly tier?: TierName;
}

export interface Measured {
  /** With no guest, one and two. */
  readonly withGuests: readonly [ProcessMemory, ProcessMemory, ProcessMemory];
  /** What an executor's worker adds that has loaded its program and has no guest; measured under Node only. */
  readonly workerBytes?: number;
}

export type MemoryAnswer =
  ({ readonly kind: 'measured' } & Measured) | { readonly kind: 'failed'; readonly message: string };

/** At most, by issue and SPECIFICATION.md. */
export const promisedMiB = 64;

const timeoutMs = 1_300_000;

/** The difference that one more guest makes, in MiB. */
export function memorySample(
  key: Pick<MemorySample, 'arch' | 'row' | 'peer' | 'round' | 'memoryMiB'>,
  { withGuests: [none, one, two], workerBytes }: Measured,
): MemorySample {
  const miB = (bytes: number): number => Math.round((bytes / 2 ** 20) * 10) / 10;
  const ram = two.ramBytes - one.ramBytes;
  const own = two.memoryBytes - one.memoryBytes - ram;
  return {
    section: 'memory',
    ...key,
    rssMiB: [miB(none.rssBytes), miB(one.rssBytes), miB(two.rssBytes)],
    touchedRamMiB: miB(ram),
    beyondRamMiB: miB(two.rssBytes - one.rssBytes - ram),
    ownMemoryMiB: miB(own),
    ...(workerBytes === undefined ? {} : { workerMiB: miB(workerBytes) }),
    load: load(),
  };
}

async function ask(child: ChildProcess, order: MemoryOrder): Promise<MemoryAnswer> {
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-2000);
  });
  const ended = once(child, 'close').then(([code, signal]): MemoryAnswer => {
    return { kind: 'failed', message: `the process ended (${signal ?? code}) ${complaint.trim()}` };
  });
  const answered = once(child, 'message').then(([answer]) => answer as MemoryAnswer);
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  child.send(order);
  try {
    return await Promise.race([answered, ended]);
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
  }
}

/** Boots the machine twice in a fresh Node process. @throws Error with what went wrong there */
export async function measureNodeMemory(root: string, order: MemoryOrder): Promise<Measured> {
  const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  const args = ['--expose-gc', '--import', loader, path.join(root, 'bench/memory-child.ts')];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...allocatorEnvironment, ...process.env },
  });
  const answer = await ask(child, order);
  if (answer.kind === 'failed') throw new Error(answer.message);
  return answer;
}

/** Medians over the rounds. */
export function renderMemory(samples: readonly MemorySample[]): string {
  const header = [
    'guest',
    'peer',
    'RAM MiB',
    'RAM touched',
    'beyond RAM',
    'of it guest memory',
    'of it bare worker',
    'process with 0, 1, 2 guests',
  ];
  const rows = bySubject(samples).map((own) => {
    const middle = (value: (sample: MemorySample) => number | undefined): string => {
      const values = own.map(value).filter((one) => one !== undefined);
      return values.length === 0 ? '' : (median(values) ?? 0).toFixed(1);
    };
    return [
      own[0]?.row ?? '',
      own[0]?.peer ?? '',
      String(own[0]?.memoryMiB ?? ''),
      middle((sample) => sample.touchedRamMiB),
      middle((sample) => sample.beyondRamMiB),
      middle((sample) => sample.ownMemoryMiB),
      middle((sample) => sample.workerMiB),
      [0, 1, 2].map((guests) => middle((sample) => sample.rssMiB[guests] ?? 0)).join(', '),
    ];
  });
  return `### memory of a process, MiB in host memory\n\n${markdownTable(header, rows)}\n`;
}

/** The samples of each guest on each peer. */
export function bySubject(samples: readonly MemorySample[]): MemorySample[][] {
  const groups = new Map<string, MemorySample[]>();
  for (const sample of samples) {
    const key = `${sample.row} ${sample.peer}`;
    groups.set(key, [...(groups.get(key) ?? []), sample]);
  }
  return [...groups.values()];
}
