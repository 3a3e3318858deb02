/** The scheduler's decisions as stretches of time on each processor. Pure: `timeline-view.ts` draws it. */
import type { ScheduleEntry, ScheduleReason } from '../../vmm/index.ts';

/** A stretch in which a processor ran one guest; nanoseconds since the page's time origin. */
export interface Stretch {
  readonly startNs: number;
  /** Infinity: it is under way. */
  endNs: number;
  readonly guest: string;
  readonly boosted: boolean;
  /** Why it began: what had become of the one before. */
  readonly reason: ScheduleReason;
  /** The processor that ran the guest before, where that is another one. */
  readonly from: number | undefined;
}

export class Timeline {
  readonly #keptNs: number;
  /** Of each processor, oldest first. */
  readonly #lanes: Stretch[][] = [];

  /** @param keptNs what ended longer ago than this before the youngest decision is forgotten */
  constructor(keptNs: number) {
    this.#keptNs = keptNs;
  }

  get processors(): number {
    return this.#lanes.length;
  }

  /** Takes decisions that have come since. */
  take(entries: readonly ScheduleEntry[]): void {
    for (const { processor, atNs, guest, boosted, reason, from } of entries) {
      const lane = this.#lane(processor);
      const last = lane.at(-1);
      if (last !== undefined && last.endNs === Infinity) last.endNs = atNs;
      if (guest === undefined) continue;
      lane.push({
        startNs: atNs,
        endNs: Infinity,
        guest,
        boosted,
        reason,
        from: from === processor ? undefined : from,
      });
    }
    const { atNs } = entries.at(-1) ?? { atNs: 0 };
    for (const lane of this.#lanes) {
      const first = lane.findIndex(({ endNs }) => endNs > atNs - this.#keptNs);
      lane.splice(0, first < 0 ? lane.length : first);
    }
  }

  /** The processors' guests have left them. */
  clear(): void {
    this.#lanes.length = 0;
  }

  /** What a processor ran between two times. */
  between(processor: number, fromNs: number, toNs: number): Stretch[] {
    return (this.#lanes[processor] ?? []).filter(({ startNs, endNs }) => startNs < toNs && endNs > fromNs);
  }

  /** What a processor ran at a time; undefined: nothing. */
  at(processor: number, ns: number): Stretch | undefined {
    return this.#lanes[processor]?.find(({ startNs, endNs }) => startNs <= ns && ns < endNs);
  }

  #lane(processor: number): Stretch[] {
    while (this.#lanes.length <= processor) this.#lanes.push([]);
    return this.#lanes[processor] ?? [];
  }
}
