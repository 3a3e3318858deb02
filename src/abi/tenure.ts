/**
 * Who may touch a guest's machine state: one executor at a time, and none that was given up for dead.
 *
 * A browser ends a worker some time after it was told to: Chromium lets a script run on for up to two seconds, and one
 * that sleeps in `Atomics.wait` wakes up meanwhile if its time comes. So a guest cannot be handed to another executor by
 * terminating the first; it is handed over here.
 *
 * One word of the control page counts the changes of hand. It is odd while an executor is in the midst of the guest, and
 * even while the guest is *at rest*: between two instructions, with all of its state in the memory. An executor that
 * sleeps leaves the guest at rest, and takes it up again only if the word is what it left. The coordinator *claims* a
 * guest at rest by moving the word on: the executor that slept finds that out when it wakes, and touches nothing.
 *
 * Invariants
 * - Machine state (vCPU, devices, clock, frame table, RAM, arena) is written only by the executor that made the word odd.
 * - Whoever finds the word odd and knows that the executor is dead knows that the guest cannot go on.
 *
 * @example executor
 * if (!tenure.enter()) throw …;
 * …                        // run the guest
 * tenure.rest();
 * control.wait(doorbell, timeoutMs);
 * if (!tenure.wake()) return { kind: 'replaced' };
 *
 * @example coordinator, when an executor has died
 * if (tenure.claim()) …    // a new executor may go on with the guest
 */
import { Control, controlAddress } from './control.ts';

/** One side's view. An executor keeps its own for as long as it lives: it remembers how it left the word. */
export class Tenure {
  readonly #words: Int32Array;
  /** The word as {@link rest} or {@link claim} last left it. */
  #left = 0;

  constructor(buffer: ArrayBufferLike) {
    this.#words = new Int32Array(buffer, controlAddress + Control.offsets.tenure, 1);
  }

  /** As it is at the moment. */
  get value(): number {
    return Atomics.load(this.#words, 0);
  }

  get atRest(): boolean {
    return (this.value & 1) === 0;
  }

  // Either side's.

  /** As this side left it last: for {@link enter} of another executor. */
  get left(): number {
    return this.#left;
  }

  /**
   * Takes a guest at rest from whoever left it so; it stays at rest. False: an executor is, or was when it died, in its
   * midst.
   */
  claim(): boolean {
    const value = Atomics.load(this.#words, 0);
    if ((value & 1) !== 0 || !this.#replace(value, value + 2)) return false;
    this.#left = (value + 2) | 0;
    return true;
  }

  // Executor's side.

  /**
   * Takes a guest that somebody left at rest, with the word at `left`. False: another executor has it, or died with it; or it
   * was claimed meanwhile, and whoever told of `left` no longer counts.
   */
  enter(left: number): boolean {
    return (left & 1) === 0 && this.#replace(left, left + 1);
  }

  /** The guest is at rest: nothing of its machine is touched before {@link wake} has returned true. */
  rest(): void {
    this.#left = (Atomics.add(this.#words, 0, 1) + 1) | 0;
  }

  /** Takes up the guest again. False: it was claimed meanwhile, and this executor must not touch it any more. */
  wake(): boolean {
    return this.#replace(this.#left, this.#left + 1);
  }

  // Coordinator's side.

  /** An executor has taken up the guest since {@link claim}, or claimed it itself. */
  get enteredSinceClaim(): boolean {
    return Atomics.load(this.#words, 0) !== this.#left;
  }

  #replace(before: number, after: number): boolean {
    return Atomics.compareExchange(this.#words, 0, before, after | 0) === before;
  }
}
