/**
 * Copies a guest from its memory to another one: what is the guest's (docs/architecture.md, "A guest is one memory"), and
 * of its RAM only pages that hold something. What executors derive is left out; whoever goes on with the copy makes it anew.
 *
 * The copy lies at the same addresses, and takes no host memory where the guest holds nothing: a page that no one has
 * touched is not there (docs/adr/0009, 0017).
 *
 * To keep the guest's pause short, most is copied ahead, while it runs: that makes the destination's pages real, which takes
 * longer than to fill them. What was copied then is copied again, as nobody knows which pages the guest has written since.
 */
import { ControlPage, requestBit } from '../abi/control.ts';
import type { GuestRings } from '../abi/executor.ts';
import { initializeRing, ringBytes } from '../abi/ring.ts';
import { frameBit } from '../base/frame-entry.ts';
import { isZero, pageWords } from './clear.ts';
import { VmmError } from './errors.ts';

const pageBytes = pageWords * 4;

export type CopyOptions =
  /** The same guest goes on in the copy. */
  | { readonly as: 'moved' }
  /** Another guest: its console is empty, and it gets an identity of its own before its first instruction. */
  | { readonly as: 'clone'; readonly rings: GuestRings };

export interface CopyResult {
  /** RAM that holds something. */
  readonly liveBytes: number;
  /** Time that the copy of a guest at rest took. */
  readonly milliseconds: number;
}

/** Memories as views of this thread. Both have the size that the guest needs; the destination is all zero at first. */
export class GuestCopy {
  readonly #source: ArrayBufferLike;
  readonly #destination: ArrayBufferLike;
  readonly #from: Int32Array;
  readonly #to: Int32Array;
  /** 1 for pages of the destination that were written. */
  readonly #written: Uint8Array;

  constructor(source: ArrayBufferLike, destination: ArrayBufferLike) {
    if (destination.byteLength < source.byteLength) {
      throw new VmmError('hostRefused', 'The copy of a guest needs a memory as large as its own.');
    }
    this.#source = source;
    this.#destination = destination;
    this.#from = new Int32Array(source);
    this.#to = new Int32Array(destination);
    this.#written = new Uint8Array(this.#table(source).length);
  }

  #table(buffer: ArrayBufferLike): Uint32Array {
    return new ControlPage(buffer).frameTable;
  }

  /** Copies pages of a guest that runs: they may be torn, and only {@link finish} makes the copy right. */
  ahead(): void {
    this.#copyPages(this.#table(this.#source));
  }

  /** Copies a guest at rest, which nobody changes meanwhile; a clone is counted in its source. */
  finish(options: CopyOptions): CopyResult {
    const start = performance.now();
    if (options.as === 'clone') new ControlPage(this.#source).fields.copies++;
    this.#copyState();
    const pages = this.#copyPages(this.#table(this.#source), this.#table(this.#destination));
    this.#settle(options);
    return { liveBytes: pages * pageBytes, milliseconds: performance.now() - start };
  }

  /** Everything up to the end of the frame table: vCPU, control page, devices, rings. */
  #copyState(): void {
    const { fields } = new ControlPage(this.#source);
    const words = fields.frameTable / 4 + fields.frameCount;
    this.#to.set(this.#from.subarray(0, words));
  }

  /**
   * Copies pages that hold something, and clears those that no longer do. Those that hold nothing but zeros are marked as
   * empty in `marked`. Returns how many hold something.
   */
  #copyPages(table: Uint32Array, marked?: Uint32Array): number {
    let pages = 0;
    // Frames that follow each other are copied at once.
    let runStart = 0;
    let runEnd = 0;
    const flush = (): void => {
      if (runEnd > runStart) this.#to.set(this.#from.subarray(runStart, runEnd), runStart);
    };
    for (let page = 0; page < table.length; page++) {
      const entry = table[page] as number;
      if (entry === 0) continue;
      const at = (entry >>> 12) * pageWords;
      const holdsNothing = (entry & frameBit.empty) !== 0 || isZero(this.#from, at, at + pageWords);
      if (holdsNothing) {
        this.#clear(page, at);
        if (marked !== undefined) marked[page] = entry | frameBit.empty;
        continue;
      }
      pages++;
      this.#written[page] = 1;
      if (at !== runEnd) {
        flush();
        runStart = at;
      }
      runEnd = at + pageWords;
    }
    flush();
    return pages;
  }

  #clear(page: number, at: number): void {
    if (this.#written[page] === 0) return;
    this.#to.fill(0, at, at + pageWords);
    this.#written[page] = 0;
  }

  #settle(options: CopyOptions): void {
    const control = new ControlPage(this.#destination);
    // A guest at rest, which no executor has yet, whatever one did for a moment while the page was copied.
    control.fields.tenure = 0;
    control.fields.sequence = 0;
    control.setState('parked');
    if (options.as === 'moved') return;
    control.fields.request = requestBit.renewIdentity;
    const { consoleOutput, consoleInput, log } = options.rings;
    for (const ring of [consoleOutput, consoleInput, log]) {
      new Uint8Array(this.#destination, ring, ringBytes()).fill(0);
      initializeRing(this.#destination, ring);
    }
  }
}
