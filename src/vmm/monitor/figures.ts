/** What the monitor measures: the columns of its histories, and the same as a snapshot for programs. */
import { exitCounter, type ExitCounter } from '../../abi/control.ts';
import type { GuestStatus } from '../guest-status.ts';
import type { ProcessorMode } from '../processors/share.ts';
import type { History } from './history.ts';

/** Reasons of VM exits, in the order of their counters. */
export const exitReasons = Object.keys(exitCounter) as readonly ExitCounter[];

export type ExitColumn = `exit.${ExitCounter}`;

/** A guest and the host have these in common. Rates are means over the time since the row before. */
const sharedColumns = [
  /** Unix time, in seconds. */
  'time',
  /** Share of one processor, in percent: spent in guest instructions, and ready but waiting (bare-metal mode only). */
  'cpu',
  'steal',
  /** Million instructions a second: all, and by the tier that ran them. */
  'instructions',
  'interpreted',
  'compiled',
  /** A second. */
  'exits',
  'tlbMisses',
  /** Bytes. Of a guest: its RAM; of the host: what the pool has charged. */
  'reserved',
  'resident',
  'ballooned',
  'reportedFree',
  /** Bytes a second that guests printed and were given. What other devices carry gets such a pair, too. */
  'consoleOut',
  'consoleIn',
] as const;

export const guestColumns = [...sharedColumns, ...exitReasons.map((reason): ExitColumn => `exit.${reason}`)] as const;

export const hostColumns = [
  ...guestColumns,
  /** Bytes that the pool may charge, and keeps for reuse. */
  'budget',
  'kept',
  /** Milliseconds that taking this row and the guests' took of the main thread. */
  'sampling',
] as const;

export type GuestColumn = (typeof guestColumns)[number];
export type HostColumn = (typeof hostColumns)[number];
export type GuestHistory = History<GuestColumn>;
export type HostHistory = History<HostColumn>;

/** Means over the last interval; bytes and states as they were at its end. */
export interface SharedFigures {
  /** Of one processor: a host whose guests use two in full has 200. */
  readonly cpuPercent: number;
  /** Ready to run, and waiting for a processor. Undefined in hosted mode, where only the operating system knows. */
  readonly stealPercent: number | undefined;
  readonly millionInstructionsPerSecond: {
    readonly all: number;
    readonly interpreted: number;
    readonly compiled: number;
  };
  readonly exitsPerSecond: { readonly all: number; readonly byReason: Readonly<Record<ExitCounter, number>> };
  readonly tlbMissesPerSecond: number;
  readonly memory: {
    readonly reservedBytes: number;
    readonly residentBytes: number;
    readonly balloonedBytes: number;
    readonly reportedFreeBytes: number;
  };
  readonly consoleBytesPerSecond: { readonly out: number; readonly in: number };
}

export interface GuestFigures extends SharedFigures {
  readonly name: string;
  readonly state: GuestStatus['state'];
}

export interface HostFigures extends SharedFigures {
  readonly mode: ProcessorMode;
  /** Guests that hold a memory. */
  readonly guestsAlive: number;
  readonly budgetBytes: number;
  readonly keptBytes: number;
  /** What the last sample of all guests took of the main thread. */
  readonly samplingMilliseconds: number;
}

/** What {@link Coordinator.monitor} returns: plain data. */
export interface MonitorSnapshot {
  /** Unix time of the sample, in milliseconds; 0: none has been taken, as no guest has run. */
  readonly atMs: number;
  readonly host: HostFigures;
  /** By id: every guest of the page. */
  readonly guests: Readonly<Record<string, GuestFigures>>;
}

/** Of the youngest row of a guest's history, or of the host's. */
export function sharedFigures(history: { last(column: GuestColumn): number }, mode: ProcessorMode): SharedFigures {
  const byReason = Object.fromEntries(exitReasons.map((reason) => [reason, history.last(`exit.${reason}`)]));
  return {
    cpuPercent: history.last('cpu'),
    stealPercent: mode === 'hosted' ? undefined : history.last('steal'),
    millionInstructionsPerSecond: {
      all: history.last('instructions'),
      interpreted: history.last('interpreted'),
      compiled: history.last('compiled'),
    },
    exitsPerSecond: { all: history.last('exits'), byReason: byReason as Record<ExitCounter, number> },
    tlbMissesPerSecond: history.last('tlbMisses'),
    memory: {
      reservedBytes: history.last('reserved'),
      residentBytes: history.last('resident'),
      balloonedBytes: history.last('ballooned'),
      reportedFreeBytes: history.last('reportedFree'),
    },
    consoleBytesPerSecond: { out: history.last('consoleOut'), in: history.last('consoleIn') },
  };
}
