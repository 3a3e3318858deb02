/**
 * The lock of the host page (`host-page.ts`), which executors hold for microseconds, and which outlives those that die with it.
 *
 * A thread that was ended may run on for a while, and die at any moment: with the lock, or just after it has taken it. So the
 * lock's word names its holder by number and *incarnation*, which counts the threads that have had the number. A thread of an
 * earlier incarnation does nothing under the lock, and whoever waits for it takes the lock from it.
 */
import { waitAsync } from './control.ts';

/** Holder of the lock when it is the coordinator. */
const coordinatorLocks = -1;
/** How long an executor that died may still be in the midst of what it did under the lock. */
const lockGraceMs = 50;

export interface HostLockWords {
  readonly words: Int32Array;
  /** Of the lock: 0, or its holder. */
  readonly lock: number;
  /** Of an executor's incarnation. */
  readonly incarnation: (executor: number) => number;
}

export class HostLock {
  readonly #words: Int32Array;
  readonly #at: number;
  readonly #incarnationAt: HostLockWords['incarnation'];

  constructor({ words, lock, incarnation }: HostLockWords) {
    this.#words = words;
    this.#at = lock;
    this.#incarnationAt = incarnation;
  }

  #incarnation(executor: number): number {
    return Atomics.load(this.#words, this.#incarnationAt(executor));
  }

  /**
   * Blocks until this executor holds the lock. Not for the main thread. False: the executor was given up for dead, and holds
   * nothing.
   */
  take(executor: number, incarnation: number): boolean {
    const key = keyOf(executor, incarnation);
    const patience = new Patience();
    for (;;) {
      const holder = Atomics.compareExchange(this.#words, this.#at, 0, key);
      if (holder === 0) break;
      if (!this.#freed(holder, patience)) Atomics.wait(this.#words, this.#at, holder, 1);
    }
    if (this.#incarnation(executor) === incarnation) return true;
    this.#release(key);
    return false;
  }

  release(executor: number, incarnation: number): void {
    this.#release(keyOf(executor, incarnation));
  }

  /** One whose lock was taken from it releases nothing. */
  #release(key: number): void {
    if (Atomics.compareExchange(this.#words, this.#at, key, 0) === key) Atomics.notify(this.#words, this.#at, 1);
  }

  /** The main thread's way: resolves with what `act` returns under the lock. */
  async whenHeld<T>(act: () => T): Promise<T> {
    const patience = new Patience();
    for (;;) {
      const holder = Atomics.compareExchange(this.#words, this.#at, 0, coordinatorLocks);
      if (holder === 0) break;
      if (!this.#freed(holder, patience)) await waitAsync(this.#words, this.#at, holder, 1);
    }
    try {
      return act();
    } finally {
      this.#release(coordinatorLocks);
    }
  }

  /** An executor died: its number's next incarnation begins. */
  fence(executor: number): void {
    Atomics.add(this.#words, this.#incarnationAt(executor), 1);
  }

  /** Frees the lock if its holder was given up for dead and has had the time to come to its end. True: it may be free now. */
  #freed(holder: number, patience: Patience): boolean {
    if (holder === coordinatorLocks) return false;
    const executor = executorOf(holder);
    const dead = keyOf(executor, this.#incarnation(executor)) !== holder;
    if (!dead || !patience.exhausted(holder)) return false;
    this.#release(holder);
    return true;
  }
}

/** Holder of the lock when it is an executor: not 0, and another one for each incarnation. */
function keyOf(executor: number, incarnation: number): number {
  return ((incarnation & 0xffffff) << 6) | (executor + 1);
}

function executorOf(key: number): number {
  return (key & 63) - 1;
}

/** How long somebody has waited for one holder of the lock. */
class Patience {
  #holder = 0;
  #sinceMs = 0;

  exhausted(holder: number): boolean {
    if (holder !== this.#holder) {
      this.#holder = holder;
      this.#sinceMs = performance.now();
    }
    return performance.now() - this.#sinceMs >= lockGraceMs;
  }
}
