/**
 * What a guest has done, counted since power-on: one reader for `--stats`, `window.tabvisor` and the page. The executor
 * publishes the counters of its derived state in the control page (`Control.counters`), because a reader must not know
 * the arena, and because they go on when another executor takes the guest over.
 */
import { countFrames } from '../base/frame-entry.ts';
import {
  balloonDriver,
  balloonStatistic,
  exitCounter,
  type BalloonDriverState,
  type ControlPage,
  type ExitCounter,
} from './control.ts';

/** Index into `Control.counters`. */
export const guestCounter = {
  /** Instructions by the tier that ran them. */
  interpreted: 0,
  compiled: 1,
  /** Instructions and blocks decoded; bytes that their records take now. */
  decoded: 2,
  blocks: 3,
  recordBytes: 4,
  /** Ways from RIP to decoded code that no link or jump cache knew. */
  lookups: 5,
  tlbMisses: 6,
  tlbFlushes: 7,
  /** Decoded blocks that were written over; times that the arena was full and everything was forgotten. */
  invalidations: 8,
  arenaFlushes: 9,
  /** Regions compiled, those that can be entered now, that died because their code changed, that made room. */
  regions: 10,
  regionsAlive: 11,
  regionsKilled: 12,
  regionsEvicted: 13,
  /** WebAssembly modules made, those that have a live region, their bytes and guest instructions. */
  modules: 14,
  modulesAlive: 15,
  moduleBytes: 16,
  regionInstructions: 17,
  compileFailures: 18,
  /** Time that the guest stood still for the compiler, and the longest piece of it. */
  compileMicroseconds: 19,
  longestCompileMicroseconds: 20,
  /** Returns of compiled code to the dispatch loop, in the order of `compiledExit` (`cpu/status.ts`). */
  goExits: 21,
  apartExits: 22,
  shortExits: 23,
  unwindExits: 24,
  statusExits: 25,
  /** Times that the guest stood still for the compiler for at least 1 ms, and for more than 10 ms. */
  compileStalls: 26,
  longCompileStalls: 27,
  /** Time that translating took, in whatever thread. */
  translateMicroseconds: 28,
} as const;

export type GuestCounter = keyof typeof guestCounter;

/** Counted since power-on, unless it says *now*. */
export interface Statistics {
  /** Instructions retired. */
  readonly instructions: number;
  /** Guest time in seconds; stands still while paused. */
  readonly uptimeSeconds: number;
  /** Host seconds spent running, and asleep in HLT. */
  readonly busySeconds: number;
  readonly idleSeconds: number;
  readonly resets: number;
  /** VM exits by reason, and the host's time for them (sampled; 0 where it is not measured). */
  readonly exits: Readonly<Record<ExitCounter, { readonly count: number; readonly milliseconds: number }>>;
  /** Instructions by the tier that ran them, as of the last publication (every 20 ms while the guest runs). */
  readonly tiers: { readonly interpreted: number; readonly compiled: number };
  readonly core: {
    readonly decoded: number;
    readonly blocks: number;
    /** Now. */
    readonly recordBytes: number;
    readonly lookups: number;
    readonly tlbMisses: number;
    readonly tlbFlushes: number;
    /** Decoded blocks whose code was written. */
    readonly invalidations: number;
    readonly arenaFlushes: number;
  };
  readonly compiler: {
    readonly regions: number;
    /** Now. */
    readonly regionsAlive: number;
    /** Their code changed. */
    readonly regionsKilled: number;
    readonly regionsEvicted: number;
    readonly modules: number;
    /** Now: modules with a live region. */
    readonly modulesAlive: number;
    /** Guest instructions compiled, and bytes of WebAssembly. */
    readonly instructions: number;
    readonly bytes: number;
    readonly failures: number;
    /** Time that translating took, in another thread where there is one. */
    readonly translationMilliseconds: number;
    /** Time that the guest stood still for the compiler. */
    readonly milliseconds: number;
    readonly longestMilliseconds: number;
    /** Times that it did so for at least 1 ms, and for more than 10 ms. */
    readonly stalls: number;
    readonly longStalls: number;
    /** Returns of compiled code to the dispatch loop, by kind (`compiledExit` in `cpu/status.ts`). */
    readonly exits: Readonly<Record<'go' | 'apart' | 'short' | 'unwind' | 'status', number>>;
  };
}

/** Undefined: the guest has not run, all is 0. */
export function readStatistics(control: ControlPage | undefined): Statistics {
  const fields = control?.fields;
  const counter = (name: GuestCounter): number => fields?.counters[guestCounter[name]] ?? 0;
  const exit = (at: number): { count: number; milliseconds: number } => ({
    count: fields?.exitCounts[at] ?? 0,
    milliseconds: (fields?.exitTimeNs[at] ?? 0) / 1e6,
  });
  const exits = Object.entries(exitCounter).map(([name, at]) => [name, exit(at)]);
  return {
    instructions: fields?.retired ?? 0,
    uptimeSeconds: (fields?.uptimeNs ?? 0) / 1e9,
    busySeconds: (fields?.busyNs ?? 0) / 1e9,
    idleSeconds: (fields?.idleNs ?? 0) / 1e9,
    resets: fields?.resets ?? 0,
    exits: Object.fromEntries(exits) as Statistics['exits'],
    tiers: { interpreted: counter('interpreted'), compiled: counter('compiled') },
    core: {
      decoded: counter('decoded'),
      blocks: counter('blocks'),
      recordBytes: counter('recordBytes'),
      lookups: counter('lookups'),
      tlbMisses: counter('tlbMisses'),
      tlbFlushes: counter('tlbFlushes'),
      invalidations: counter('invalidations'),
      arenaFlushes: counter('arenaFlushes'),
    },
    compiler: {
      regions: counter('regions'),
      regionsAlive: counter('regionsAlive'),
      regionsKilled: counter('regionsKilled'),
      regionsEvicted: counter('regionsEvicted'),
      modules: counter('modules'),
      modulesAlive: counter('modulesAlive'),
      instructions: counter('regionInstructions'),
      bytes: counter('moduleBytes'),
      failures: counter('compileFailures'),
      translationMilliseconds: counter('translateMicroseconds') / 1000,
      milliseconds: counter('compileMicroseconds') / 1000,
      longestMilliseconds: counter('longestCompileMicroseconds') / 1000,
      stalls: counter('compileStalls'),
      longStalls: counter('longCompileStalls'),
      exits: {
        go: counter('goExits'),
        apart: counter('apartExits'),
        short: counter('shortExits'),
        unwind: counter('unwindExits'),
        status: counter('statusExits'),
      },
    },
  };
}

const pageBytes = 4096;

/** A guest's memory now, in bytes. */
export interface MemoryStatistics {
  /** RAM that holds something: what the guest has touched and has not given up. */
  readonly residentBytes: number;
  /** Given up to the balloon, and free pages that the guest has reported and not used since. */
  readonly balloonedBytes: number;
  readonly reportedFreeBytes: number;
  /** `none`: the guest has no balloon. Only a driver that is `ready` answers. */
  readonly balloonDriver: BalloonDriverState;
  /** What the balloon shall have. */
  readonly balloonTargetBytes: number;
  /** What the guest's driver said last of the guest's memory; undefined if it never did. */
  readonly guest: GuestMemoryStatistics | undefined;
}

export interface GuestMemoryStatistics {
  /** Guest time at which it was said. */
  readonly uptimeSeconds: number;
  readonly totalBytes: number;
  readonly freeBytes: number;
  /** What programs could get without swapping. */
  readonly availableBytes: number;
  readonly cachesBytes: number;
  readonly majorFaults: number;
  readonly minorFaults: number;
}

const noMemory: MemoryStatistics = {
  residentBytes: 0,
  balloonedBytes: 0,
  reportedFreeBytes: 0,
  balloonDriver: 'none',
  balloonTargetBytes: 0,
  guest: undefined,
};

/**
 * Looks through the frame table: 70 µs for a guest of 256 MiB. Undefined: the guest has not run, all is 0.
 */
export function readMemoryStatistics(control: ControlPage | undefined): MemoryStatistics {
  if (control === undefined) return noMemory;
  const { fields } = control;
  const pages = countFrames(control.frameTable);
  return {
    residentBytes: pages.resident * pageBytes,
    balloonedBytes: pages.ballooned * pageBytes,
    reportedFreeBytes: pages.reported * pageBytes,
    balloonDriver: driverState(fields.balloonDriver),
    balloonTargetBytes: fields.balloonTargetPages * pageBytes,
    guest: fields.balloonStatisticsNs === 0 ? undefined : guestStatistics(control),
  };
}

function driverState(value: number): BalloonDriverState {
  const found = Object.entries(balloonDriver).find(([, number]) => number === value);
  return (found?.[0] ?? 'none') as BalloonDriverState;
}

function guestStatistics({ fields }: ControlPage): GuestMemoryStatistics {
  const value = (name: keyof typeof balloonStatistic): number => fields.balloonStatistics[balloonStatistic[name]] ?? 0;
  return {
    uptimeSeconds: fields.balloonStatisticsNs / 1e9,
    totalBytes: value('total'),
    freeBytes: value('free'),
    availableBytes: value('available'),
    cachesBytes: value('caches'),
    majorFaults: value('majorFaults'),
    minorFaults: value('minorFaults'),
  };
}
