/**
 * Carries what the core and the compiler count, in the arena, over to the control page, where everybody can read it. The
 * arena's counters are u32 and begin anew with each `attach`; those of the control page go on since power-on.
 */
import type { ControlPage } from '../abi/control.ts';
import { guestCounter, type GuestCounter } from '../abi/statistics.ts';
import { Arena, ArenaHeader } from '../cpu/arena.ts';
import { Vcpu } from '../cpu/state.ts';
import type { MemoryMap } from '../machine/memory-map.ts';

const { offsets } = ArenaHeader;
const exit = (n: number): number => offsets.compiledExits + 4 * n;

/** Places in the arena's header. Of `compiled` the low word is enough: publications are not 2^32 instructions apart. */
const sums: Partial<Record<GuestCounter, number>> = {
  compiled: offsets.compiledRetired,
  decoded: offsets.decoded,
  blocks: offsets.blocks,
  lookups: offsets.lookups,
  tlbMisses: offsets.tlbMisses,
  tlbFlushes: offsets.tlbFlushes,
  invalidations: offsets.invalidations,
  arenaFlushes: offsets.arenaFlushes,
  regions: offsets.regions,
  regionsKilled: offsets.regionsKilled,
  regionsEvicted: offsets.regionsEvicted,
  modules: offsets.modules,
  moduleBytes: offsets.moduleBytes,
  regionInstructions: offsets.regionInstructions,
  compileFailures: offsets.compileFailures,
  translateMicroseconds: offsets.translateMicroseconds,
  compileMicroseconds: offsets.compileMicroseconds,
  compileStalls: offsets.compileStalls,
  longCompileStalls: offsets.longCompileStalls,
  goExits: exit(0),
  apartExits: exit(1),
  shortExits: exit(2),
  unwindExits: exit(3),
  statusExits: exit(4),
};

export class CounterPublisher {
  readonly #control: ControlPage;
  readonly #header: Uint32Array;
  readonly #retired: Uint32Array;
  readonly #sums: { readonly to: number; readonly from: number; last: number }[];
  #lastRetired: number;

  constructor(buffer: ArrayBufferLike, map: MemoryMap, control: ControlPage) {
    this.#control = control;
    this.#header = new Uint32Array(buffer, map.arena + Arena.header, ArenaHeader.size >> 2);
    this.#retired = new Uint32Array(buffer, map.vcpu + Vcpu.offsets.retired, 1);
    this.#lastRetired = this.#retired[0] ?? 0;
    this.#sums = Object.entries(sums).map(([name, offset]) => ({
      to: guestCounter[name as GuestCounter],
      from: offset >> 2,
      last: 0,
    }));
  }

  /** After the core's `attach`, which has set the arena's counters to 0. {@link publish} comes before. */
  restart(): void {
    for (const sum of this.#sums) sum.last = 0;
    this.#lastRetired = this.#retired[0] ?? 0;
  }

  /** Another executor has run the guest and has published what it counted; the arena goes on. */
  takeOver(): void {
    for (const sum of this.#sums) sum.last = this.#header[sum.from] ?? 0;
    this.#lastRetired = this.#retired[0] ?? 0;
  }

  publish(): void {
    const { counters } = this.#control.fields;
    const now = (offset: number): number => this.#header[offset >> 2] ?? 0;
    const before = counters[guestCounter.compiled] ?? 0;
    for (const sum of this.#sums) {
      const value = this.#header[sum.from] ?? 0;
      counters[sum.to] = (counters[sum.to] ?? 0) + ((value - sum.last) >>> 0);
      sum.last = value;
    }
    const retired = this.#retired[0] ?? 0;
    const compiled = (counters[guestCounter.compiled] ?? 0) - before;
    const ran = (retired - this.#lastRetired) >>> 0;
    counters[guestCounter.interpreted] = (counters[guestCounter.interpreted] ?? 0) + Math.max(ran - compiled, 0);
    this.#lastRetired = retired;
    counters[guestCounter.recordBytes] = now(offsets.next) - now(offsets.recordsStart);
    counters[guestCounter.regionsAlive] = now(offsets.regionsAlive);
    counters[guestCounter.modulesAlive] = now(offsets.modulesAlive);
    const longest = counters[guestCounter.longestCompileMicroseconds] ?? 0;
    counters[guestCounter.longestCompileMicroseconds] = Math.max(longest, now(offsets.longestCompileMicroseconds));
  }
}
