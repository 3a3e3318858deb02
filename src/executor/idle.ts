/**
 * How long a halted vCPU sleeps under the real clock (docs/adr/0011).
 *
 * Each wake-up of an executor costs the host 300 to 900 µs, most of it cold caches, and a kernel that is built without
 * tickless idle asks for 250 of them a second though nothing happens. So the timers of a *quiet* guest are served
 * together: it sleeps for at least 1/256 of the time for which it has been quiet, up to 100 ms, and what falls due
 * within is late by less than that. Guest time stays the host's: the kernel sees how much has passed, and catches up.
 *
 * Programs mostly sleep for whole seconds, and the guest becomes quiet when the last of them goes to sleep: it is awake
 * at each whole second of its quiet time, and serves such a program to the millisecond.
 *
 * Quiet means that for a second no user code ran, nobody rang the doorbell (a request, console input: all that
 * interrupts a guest and is no timer of its own), and no stretch between two halts was longer than housekeeping. So a
 * program that sleeps for less than a second is served to the point, and one that sleeps longer oversleeps by less than
 * 0.4 %. The doorbell ends any sleep at once.
 */

/** What a vCPU did up to a halt. */
export interface Activity {
  /** Code at CPL 3 ran since the halt before. */
  readonly userRan: boolean;
  /** The doorbell's value when the round began that led to this halt. */
  readonly doorbell: number;
  /** Instructions retired since power-on. */
  readonly retired: number;
}

const quietAfterNs = 1e9;
/** How late a timer of a quiet guest may be: a share of the time for which it has been quiet, up to a limit. */
const latenessShare = 1 / 256;
const longestLatenessNs = 100e6;
const secondNs = 1e9;
/** The last program goes to sleep a moment before the vCPU halts, or the kernel's timer is a moment late. */
const secondSlackNs = 1e6;
/** Instructions between two halts that are more than housekeeping: a tick of an idle Linux has some 4,000. */
const busyInstructions = 200_000;

export class IdleSleep {
  /** Guest time of the last halt that followed activity; undefined before the first halt. */
  #activeNs: number | undefined;
  #last: Activity = { userRan: true, doorbell: 0, retired: 0 };
  #quiet = false;

  /** True if the guest was quiet when it last halted, and has done no more than housekeeping since. */
  get quiet(): boolean {
    return this.#quiet;
  }

  /** To be told while the vCPU runs: a guest that computes may not halt for long. `retired`: as in {@link Activity}. */
  ran(retired: number): void {
    if (retired - this.#last.retired > busyInstructions) this.#quiet = false;
  }

  /**
   * Until when the vCPU sleeps that halts now. To be called at each halt.
   * @param deadlineNs guest time of the next timer
   */
  until(deadlineNs: number, nowNs: number, activity: Activity): number {
    const last = this.#last;
    this.#last = activity;
    const active =
      activity.userRan || activity.doorbell !== last.doorbell || activity.retired - last.retired > busyInstructions;
    if (active || this.#activeNs === undefined) this.#activeNs = nowNs;
    const quietNs = nowNs - this.#activeNs;
    this.#quiet = quietNs >= quietAfterNs;
    if (!this.#quiet) return deadlineNs;
    const second = Math.floor((quietNs - secondSlackNs) / secondNs) + 1;
    const toSecondNs = second * secondNs + secondSlackNs - quietNs;
    return Math.max(deadlineNs, nowNs + Math.min(quietNs * latenessShare, longestLatenessNs, toSecondNs));
  }
}
