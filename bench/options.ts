/** The command line of the benchmark. */
import { parseArgs } from 'node:util';
import type { Architecture } from '../guests/schema.ts';
import type { TierName } from '../src/cpu/jit/compiler.ts';
import { tierCode } from '../src/cpu/status.ts';
import { decodeRows, quickWorkloads, workloads } from './rows.ts';
import type { Section } from './samples.ts';

export const usage = `usage: npm run bench -- [options]

  --rounds N        rounds, of which medians are taken (default 3)
  --what SECTIONS   workloads, boot, decode, memory (default all)
  --boot            the same as --what boot
  --only ROWS       these workloads and decode rows only
  --peers LIST      peers (default tabvisor,v86,v86-nojit,qemu; see below)
  --browser         in Chromium: peers tabvisor-chromium,v86-chromium,qemu unless --peers says otherwise
  --arch ARCH       i386 or amd64 (default both)
  --scale S         amount of work (default 1)
  --quick           one round, a tenth of the work, a row of each kind, without v86-nojit and stock boots
  --turns UNIT      row (default): peers take turns row by row; round: one machine at a time does all rows
  --tier TIER       of Tabvisor under Node: interpreter, jit or auto, as in npm run vm
  --out FILE.json   where the result goes (default bench/results/DATE.json; .cache/bench/results for --quick)

  Lists are separated by commas.
  Peers: tabvisor, v86, v86-nojit (Node); tabvisor-chromium, v86-chromium, v86-nojit-chromium (Chromium);
         qemu, host (native)
  Workloads: ${workloads.join(' ')}
  Decode rows: ${Object.keys(decodeRows).join(' ')}`;

export const peerIds = [
  'tabvisor',
  'v86',
  'v86-nojit',
  'tabvisor-chromium',
  'v86-chromium',
  'v86-nojit-chromium',
  'qemu',
  'host',
] as const;
export type PeerId = (typeof peerIds)[number];

export interface BenchOptions {
  readonly rounds: number;
  readonly sections: readonly Section[];
  readonly workloads: readonly string[];
  readonly decodeRows: readonly string[];
  readonly peers: readonly PeerId[];
  readonly architectures: readonly Architecture[];
  /** As it was written: it names a set of expected checksums. */
  readonly scale: string;
  readonly quick: boolean;
  /** After what the next peer has its turn. */
  readonly turns: 'row' | 'round';
  /** Of the peer tabvisor; undefined: its default. */
  readonly tier: TierName | undefined;
  readonly out: string | undefined;
}

/** The command line is wrong; the message says how to mend it. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

function listOf<Name extends string>(option: string, text: string, known: readonly Name[]): Name[] {
  return text.split(',').map((part) => {
    const name = known.find((one) => one === part.trim());
    if (name === undefined)
      throw new UsageError(`--${option}: there is no ${part.trim()}; there are ${known.join(', ')}`);
    return name;
  });
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new UsageError(`--${option} ${text}: a positive number is needed`);
  return value;
}

/** @throws UsageError */
export function parseBenchOptions(args: readonly string[]): BenchOptions {
  const { values } = parse(args);
  const quick = values.quick;
  const names = [...workloads, ...Object.keys(decodeRows)];
  const only = values.only === undefined ? undefined : listOf('only', values.only, names);
  const chosen = (all: readonly string[]): readonly string[] =>
    only === undefined ? all : all.filter((name) => only.includes(name));
  const rounds = positive('rounds', values.rounds ?? (quick ? '1' : '3'));
  if (!Number.isInteger(rounds)) throw new UsageError(`--rounds ${values.rounds}: a whole number is needed`);
  const scale = values.scale ?? (quick ? '0.1' : '1');
  positive('scale', scale);
  const peers = listOf('peers', values.peers ?? defaultPeers(values.browser, quick), peerIds);
  return {
    rounds,
    sections: sectionsOf(values, only !== undefined),
    workloads: chosen(quick && only === undefined ? quickWorkloads : workloads),
    decodeRows: chosen(Object.keys(decodeRows)).filter(
      (row) => !quick || only !== undefined || row !== 'decode-10-large',
    ),
    peers,
    architectures: values.arch === undefined ? ['i386', 'amd64'] : listOf('arch', values.arch, ['i386', 'amd64']),
    scale: String(Number(scale)),
    quick,
    turns: listOf('turns', values.turns, ['row', 'round'])[0] ?? 'row',
    tier: tierOf(values.tier, peers),
    out: values.out,
  };
}

const tierNames = Object.keys(tierCode) as TierName[];

function tierOf(text: string | undefined, peers: readonly PeerId[]): TierName | undefined {
  if (text === undefined) return undefined;
  if (!peers.includes('tabvisor')) throw new UsageError(`--tier ${text}: only the peer tabvisor has it; name it too`);
  return listOf('tier', text, tierNames)[0];
}

function defaultPeers(browser: boolean, quick: boolean): string {
  if (browser) return 'tabvisor-chromium,v86-chromium,qemu';
  return quick ? 'tabvisor,v86,qemu' : 'tabvisor,v86,v86-nojit,qemu';
}

function sectionsOf(values: { what?: string | undefined; boot: boolean }, rowsChosen: boolean): Section[] {
  if (values.what !== undefined) return listOf('what', values.what, ['workloads', 'boot', 'decode', 'memory']);
  if (values.boot) return ['boot'];
  // Who names rows does not ask for boots.
  return rowsChosen ? ['workloads', 'decode'] : ['workloads', 'boot', 'decode', 'memory'];
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        rounds: { type: 'string' },
        what: { type: 'string' },
        boot: { type: 'boolean', default: false },
        only: { type: 'string' },
        peers: { type: 'string' },
        browser: { type: 'boolean', default: false },
        arch: { type: 'string' },
        scale: { type: 'string' },
        quick: { type: 'boolean', default: false },
        turns: { type: 'string', default: 'row' },
        tier: { type: 'string' },
        out: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
