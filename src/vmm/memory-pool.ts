/**
 * The memories of guests. They are scarce and never shrink (DESIGN §1: about 124 to a renderer process, and a dropped
 * one comes back seconds later), so the pool recycles them by size class, cleaned off the main thread, under a limit
 * that the user sets and a cap on their number.
 *
 * Invariants
 * - A memory is given out only when all of it is zero: fresh from the host, or scrubbed after its former guest.
 * - A memory whose executor may still be running (it was terminated without an answer) is never given out again.
 * - What is lent, what is being cleaned and what is kept for reuse stays within the limit together; what is kept is dropped
 *   when in the way, and what is being cleaned is waited for.
 *
 * @example
 * const lease = await pool.lend(256 << 20, 'Linux'); // rejects with a VmmError that says what to do
 * …
 * await lease.release({ quiet: true });
 */
import {
  guestMemoryLimitBytes,
  guestOverheadBytes,
  guestRamLimitBytes,
  guestRamMinimumBytes,
} from '../abi/executor.ts';
import { sizeText, VmmError } from './errors.ts';

const pageBytes = 65536;

export interface MemoryPoolOptions {
  /** Bytes that guests may take together, overhead included. */
  readonly limitBytes: number;
  /** Fills a memory with zeros, away from the main thread; rejects if that failed. */
  readonly scrub: (memory: WebAssembly.Memory) => Promise<void>;
  /** A memory was dropped, for the garbage collector to take. */
  readonly dropped?: () => void;
  /** Memories that may live at a time, in use or kept. */
  readonly maximumMemories?: number;
  /** Makes a memory; throws a RangeError where the host refuses. For tests. */
  readonly allocate?: (initialPages: number, maximumPages: number) => WebAssembly.Memory;
}

export interface MemoryLease {
  readonly memory: WebAssembly.Memory;
  /** RAM that the guest may have: what was asked for. */
  readonly ramBytes: number;
  /** Bytes that count against the limit: reserved for the guest, whatever it touches. */
  readonly chargedBytes: number;
  /**
   * Gives the memory back. `quiet`: no executor runs on it any more, so it can be cleaned and lent again. Resolves when
   * it is clean or dropped; the charge against the limit ends at once.
   */
  release(how: { readonly quiet: boolean }): Promise<void>;
  /** The guest has moved here out of another memory: takes that one's charge over, and drops it for the host to have back. */
  takeOver(from: MemoryLease): void;
}

/** What is reserved for whom. */
export interface MemoryHolder {
  readonly holder: string;
  readonly bytes: number;
}

export interface MemoryPoolUsage {
  readonly limitBytes: number;
  /** Charged to guests. */
  readonly usedBytes: number;
  /** Kept for reuse; given up when a guest needs the room. */
  readonly keptBytes: number;
  /** Memories that live, in use, being cleaned or kept, and how many may. */
  readonly memories: number;
  readonly maximumMemories: number;
  /** Memories of `memories` that are being cleaned: not yet to be had again. */
  readonly cleaning: number;
  /** Reservations, in the order of their making. */
  readonly holders: readonly MemoryHolder[];
}

interface Kept {
  readonly memory: WebAssembly.Memory;
  /** RAM for which its maximum has room. */
  readonly classBytes: number;
}

/** RAM of the size class that serves `ramBytes`: the next power of two, or all that a wasm32 memory can hold. */
export function sizeClass(ramBytes: number): number {
  let size = guestRamMinimumBytes;
  while (size < ramBytes) size *= 2;
  return Math.min(size, guestRamLimitBytes);
}

export class MemoryPool {
  readonly #scrub: (memory: WebAssembly.Memory) => Promise<void>;
  readonly #allocate: (initialPages: number, maximumPages: number) => WebAssembly.Memory;
  readonly #dropped: () => void;
  readonly #maximumMemories: number;
  readonly #changed: () => void;
  #limitBytes: number;
  readonly #loans = new Set<Loan>();
  readonly #cleanings = new Set<Promise<void>>();
  #cleaningBytes = 0;
  /** Least recently returned first. */
  #kept: Kept[] = [];

  /** @param changed called whenever {@link usage} changes. */
  constructor(options: MemoryPoolOptions, changed: () => void = () => {}) {
    this.#limitBytes = options.limitBytes;
    this.#scrub = options.scrub;
    this.#dropped = options.dropped ?? (() => {});
    this.#maximumMemories = options.maximumMemories ?? 64;
    this.#allocate =
      options.allocate ?? ((initial, maximum) => new WebAssembly.Memory({ initial, maximum, shared: true }));
    this.#changed = changed;
  }

  get usage(): MemoryPoolUsage {
    return {
      limitBytes: this.#limitBytes,
      usedBytes: this.#usedBytes,
      holders: this.#holders,
      keptBytes: this.#kept.reduce((sum, kept) => sum + kept.memory.buffer.byteLength, this.#cleaningBytes),
      memories: this.#loans.size + this.#cleanings.size + this.#kept.length,
      maximumMemories: this.#maximumMemories,
      cleaning: this.#cleanings.size,
    };
  }

  get #usedBytes(): number {
    let sum = 0;
    for (const { chargedBytes } of this.#loans) sum += chargedBytes;
    return sum;
  }

  get #holders(): MemoryHolder[] {
    return [...this.#loans].flatMap(({ holder, chargedBytes: bytes }) => (bytes > 0 ? [{ holder, bytes }] : []));
  }

  /** Guests that run keep what they have, even above a lower limit; it counts for the next. */
  setLimit(limitBytes: number): void {
    if (!Number.isFinite(limitBytes) || limitBytes < 0) {
      throw new VmmError('badArgument', `The memory limit must be a number of bytes, not ${limitBytes}.`);
    }
    this.#limitBytes = Math.floor(limitBytes);
    this.#dropAbove(this.#limitBytes - this.#usedBytes);
    this.#changed();
  }

  /**
   * Lends a memory to a guest; waits for those that are being cleaned where there is no room beside them.
   * @param holder the guest, for those who are refused because of it
   * @throws VmmError `badArgument`, `outOfMemory` or `hostRefused`, with what to do.
   */
  async lend(ramBytes: number, holder: string): Promise<MemoryLease> {
    const needed = ramBytes + guestOverheadBytes;
    const fits = () =>
      this.#usedBytes + this.#cleaningBytes + needed <= this.#limitBytes &&
      this.#loans.size + this.#cleanings.size < this.#maximumMemories;
    this.#admit(ramBytes);
    while (this.#cleanings.size > 0 && !fits()) await Promise.race(this.#cleanings);
    return this.acquire(ramBytes, holder);
  }

  /**
   * A memory that nobody has used yet, for the guest of `lease` to move into ({@link MemoryLease.takeOver}). It counts
   * against the limit only then: the limit is for what guests may come to use, and nobody uses both.
   * @throws VmmError `outOfMemory`, `hostRefused`
   */
  acquireUnused(lease: MemoryLease, holder: string): MemoryLease {
    this.#admitOneMore();
    return this.#lend(this.#allocateFor(lease.ramBytes), lease.ramBytes, holder, 0);
  }

  /** {@link lend} without waiting. */
  acquire(ramBytes: number, holder: string): MemoryLease {
    this.#admit(ramBytes);
    const classBytes = sizeClass(ramBytes);
    // Searched from the youngest: its pages are the likeliest to be warm.
    const at = this.#kept.findLastIndex((kept) => kept.classBytes >= ramBytes && kept.classBytes <= classBytes);
    const recycled = at < 0 ? undefined : this.#kept.splice(at, 1)[0];
    // What is kept shares the limit with what is lent, and makes room.
    this.#dropAbove(this.#limitBytes - this.#usedBytes - (ramBytes + guestOverheadBytes));
    while (this.#kept.length > 0 && this.usage.memories >= this.#maximumMemories) this.#kept.shift();
    return this.#lend(recycled ?? this.#allocateFor(ramBytes), ramBytes, holder, ramBytes + guestOverheadBytes);
  }

  #admit(ramBytes: number): void {
    if (!Number.isInteger(ramBytes) || ramBytes < guestRamMinimumBytes || ramBytes > guestRamLimitBytes) {
      throw new VmmError(
        'badArgument',
        `A guest can have between ${sizeText(guestRamMinimumBytes)} and ${sizeText(guestRamLimitBytes)} of memory, ` +
          `not ${Number.isFinite(ramBytes) ? sizeText(ramBytes) : String(ramBytes)}.`,
      );
    }
    const needed = ramBytes + guestOverheadBytes;
    const free = Math.max(0, this.#limitBytes - this.#usedBytes);
    if (needed > free) {
      throw new VmmError(
        'outOfMemory',
        `This guest needs ${sizeText(needed)} (${sizeText(ramBytes)} of RAM and ${sizeText(guestOverheadBytes)} around ` +
          `it), but only ${sizeText(free)} of the limit of ${sizeText(this.#limitBytes)} are free` +
          `${holdersText(this.#holders)}. Stop a guest, give this one less memory, or raise the limit.`,
      );
    }
    if (this.#loans.size >= this.#maximumMemories) this.#admitOneMore();
  }

  #admitOneMore(): void {
    const taken = this.#loans.size + this.#cleanings.size;
    if (taken < this.#maximumMemories) return;
    throw new VmmError(
      'outOfMemory',
      `${taken} guests hold a memory, and a page can have no more than ${this.#maximumMemories}. Stop one first.`,
    );
  }

  /**
   * Reserves addresses for a size class, or for this guest alone where the browser refuses so many. A guest never gets
   * less RAM than was asked for without a word. What is reserved costs nothing before it is touched: docs/adr/0009.
   */
  #allocateFor(ramBytes: number): Kept {
    const initialPages = guestOverheadBytes / pageBytes;
    let refusal: unknown;
    for (const classBytes of [sizeClass(ramBytes), ramBytes]) {
      const maximumBytes = Math.min(classBytes + guestOverheadBytes, guestMemoryLimitBytes);
      try {
        return { memory: this.#allocate(initialPages, Math.ceil(maximumBytes / pageBytes)), classBytes };
      } catch (error) {
        refusal = error;
      }
    }
    // What is kept for reuse holds addresses as well: with luck the garbage collector has them back at the next try.
    this.#kept = [];
    this.#changed();
    throw new VmmError(
      'hostRefused',
      `The browser refused ${sizeText(ramBytes + guestOverheadBytes)} of shared memory (${String(refusal)}). ` +
        'Give this guest less memory, or close other guests and tabs, and try again in a few seconds.',
    );
  }

  #lend(kept: Kept, ramBytes: number, holder: string, chargedBytes: number): MemoryLease {
    const loan = new Loan(kept, ramBytes, holder, chargedBytes, {
      end: async (ended, { quiet }) => {
        if (!this.#loans.delete(ended)) return;
        if (quiet) await this.#clean(kept);
        else this.#dropped();
        this.#changed();
      },
      changed: () => this.#changed(),
    });
    this.#loans.add(loan);
    this.#changed();
    return loan;
  }

  async #clean(kept: Kept): Promise<void> {
    const bytes = kept.memory.buffer.byteLength;
    const cleaning = this.#scrub(kept.memory).then(
      () => void this.#kept.push(kept),
      // It could not be cleaned, so nobody may have it: the garbage collector takes it.
      () => this.#dropped(),
    );
    this.#cleanings.add(cleaning);
    this.#cleaningBytes += bytes;
    this.#changed();
    await cleaning;
    this.#cleanings.delete(cleaning);
    this.#cleaningBytes -= bytes;
    this.#dropAbove(this.#limitBytes - this.#usedBytes);
  }

  /** Drops kept memories, the oldest first, until they take at most `room` bytes. */
  #dropAbove(room: number): void {
    let total = this.#kept.reduce((sum, kept) => sum + kept.memory.buffer.byteLength, 0);
    while (total > Math.max(0, room)) {
      const dropped = this.#kept.shift();
      if (dropped === undefined) return;
      total -= dropped.memory.buffer.byteLength;
      this.#dropped();
    }
  }
}

interface LoanOwner {
  readonly end: (loan: Loan, how: { readonly quiet: boolean }) => Promise<void>;
  readonly changed: () => void;
}

/** A memory that a guest has. */
class Loan implements MemoryLease {
  readonly memory: WebAssembly.Memory;
  readonly ramBytes: number;
  readonly holder: string;
  #chargedBytes: number;
  readonly #owner: LoanOwner;

  constructor({ memory }: Kept, ramBytes: number, holder: string, chargedBytes: number, owner: LoanOwner) {
    this.memory = memory;
    this.ramBytes = ramBytes;
    this.holder = holder;
    this.#chargedBytes = chargedBytes;
    this.#owner = owner;
  }

  get chargedBytes(): number {
    return this.#chargedBytes;
  }

  release(how: { readonly quiet: boolean }): Promise<void> {
    return this.#owner.end(this, how);
  }

  takeOver(from: MemoryLease): void {
    this.#chargedBytes = from.chargedBytes;
    void from.release({ quiet: false });
    this.#owner.changed();
  }
}

/** Who has how much; the largest first. */
function holdersText(holders: readonly MemoryHolder[]): string {
  if (holders.length === 0) return '';
  const shown = holders.toSorted((a, b) => b.bytes - a.bytes).slice(0, 5);
  const rest = holders.length - shown.length;
  const parts = shown.map(({ holder, bytes }) => `${sizeText(bytes)} by ${holder}`);
  return `: reserved are ${parts.join(', ')}${rest > 0 ? ` and more by ${rest} others` : ''}`;
}
