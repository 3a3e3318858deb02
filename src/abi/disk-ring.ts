/**
 * A disk's requests in the guest's memory: how its device (in the executor) and the storage worker speak without messages.
 * The device fills a *slot* and rings {@link DiskRing.submit}; the worker moves the bytes between the guest's frames and the
 * disk, and rings the guest's doorbell. Neither waits for the other, and all that is under way is in the slots.
 *
 * A slot's word is its generation × 8 and a state. Each change of hand is a compare-exchange of the whole word, so that a
 * request that was given up, and a slot that was filled anew, are never mistaken for each other.
 *
 *     free ──submit──► submitted ──claim──► copying ──finish──────────────► done ──reap──► free
 *                          │                   └──taken (writes)──► taken ────┘
 *                          └─abandon─► free                           └─abandon─► abandoned ──finish──► free
 *
 * - The worker touches the guest's frames in `copying` alone, which lasts no longer than one copy. What a read needs has come
 *   before that; what a write brings is on its way after.
 * - `abandon` (a reset of the device or the machine) is in effect when it returns: no byte of the guest is touched for these
 *   requests any more. It waits for a copy that is under way.
 * - Whoever serves a ring that another worker has served before calls {@link DiskRing.restart}: requests that are not done
 *   are served again, which does no harm, as the guest has not been told of them.
 */
import { array, struct, type Struct } from '../base/struct.ts';
import { waitAsync } from './control.ts';

/** Disks that a guest can have, requests of each that can be under way, and pieces of memory that one can have. */
export const maximumDisks = 4;
export const diskSlots = 64;
export const slotPieces = 512;

export const slotState = { free: 0, submitted: 1, copying: 2, taken: 3, done: 4, abandoned: 5 } as const;
const stateMask = 7;
const generation = 8;

export const diskOperation = { read: 0, write: 1, flush: 2, discard: 3, writeZeroes: 4 } as const;

/** How a request ended. */
export const diskResult = { ok: 0, error: 1, unsupported: 2 } as const;

export const DiskRingHeader = struct('DiskRing', 1, {
  /** Counted up and notified by the device when there is something in a slot. */
  bell: 'i32',
  /** 1: somebody serves the ring. */
  served: 'i32',
});

export const DiskSlot = struct('DiskSlot', 1, {
  word: 'i32',
  operation: 'u32',
  /** 1: what is written is to be on stable storage when the request is done. */
  throughCache: 'u32',
  pieces: 'u32',
  /** Bytes. */
  offset: 'f64',
  length: 'f64',
  result: 'u32',
  // The device's own: what it needs to give the request back.
  queue: 'u32',
  head: 'u32',
  /** Counts the requests of the disk; they are given back in any order. */
  serial: 'u32',
  statusGpa: 'f64',
  /** Bytes that the driver is told were written to its buffers, the status not counted. */
  written: 'f64',
  /** Guest time before which the request is not given back: under the virtual clock. */
  dueNs: 'f64',
});

const SlotPieces = struct('DiskSlotPieces', 1, { places: array('u32', 2 * slotPieces) });

const slotsAt = Math.ceil(DiskRingHeader.size / 64) * 64;
const slotStride = Math.ceil(DiskSlot.size / 64) * 64;
const piecesAt = slotsAt + diskSlots * slotStride;

/** Bytes of a disk's ring. */
export const diskRingBytes = Math.ceil((piecesAt + diskSlots * SlotPieces.size) / 4096) * 4096;

const wordIndex = DiskSlot.offsets.word >> 2;
const bellWord = DiskRingHeader.offsets.bell >> 2;
const servedWord = DiskRingHeader.offsets.served >> 2;

/** How long a copy may take that is waited for: the worker that makes it may have died, and never ends it. */
const copyLimitMs = 1000;

/** A request as the storage worker takes it. */
export interface DiskRequest {
  readonly slot: number;
  /** Of the slot when it was submitted. */
  readonly word: number;
  readonly operation: number;
  readonly throughCache: boolean;
  readonly offset: number;
  readonly length: number;
}

type Slot = Struct<typeof DiskSlot.fields>;

/** Either side's view of a ring; it has no state of its own. */
export class DiskRing {
  readonly #header: Int32Array;
  readonly #buffer: ArrayBufferLike;
  readonly #words: readonly Int32Array[];
  readonly #pieces: readonly Uint32Array[];
  /** The slots' fields, for the side that the slot's state gives them to. */
  readonly slots: readonly Slot[];

  constructor(buffer: ArrayBufferLike, address: number) {
    this.#buffer = buffer;
    this.#header = new Int32Array(buffer, address, DiskRingHeader.size >> 2);
    const all = Array.from({ length: diskSlots }, (_, i) => i);
    const at = (slot: number): number => address + slotsAt + slot * slotStride;
    this.#words = all.map((slot) => new Int32Array(buffer, at(slot), DiskSlot.size >> 2));
    this.slots = all.map((slot) => DiskSlot.at(buffer, at(slot)));
    this.#pieces = all.map(
      (slot) => new Uint32Array(buffer, address + piecesAt + slot * SlotPieces.size, 2 * slotPieces),
    );
  }

  #word(slot: number): number {
    return Atomics.load(this.#words[slot] as Int32Array, wordIndex);
  }

  state(slot: number): number {
    return this.#word(slot) & stateMask;
  }

  #change(slot: number, from: number, to: number): boolean {
    const words = this.#words[slot] as Int32Array;
    const next = (from & ~stateMask) | to;
    if (Atomics.compareExchange(words, wordIndex, from, next) !== from) return false;
    Atomics.notify(words, wordIndex);
    return true;
  }

  // Device's side.

  /** A slot without a request, or −1. */
  freeSlot(): number {
    return this.#words.findIndex((_, slot) => this.state(slot) === slotState.free);
  }

  /** Pieces of the guest's memory, by address and length; false: more than a slot has room for. */
  setPieces(slot: number, pieces: readonly Uint8Array[]): boolean {
    if (pieces.length > slotPieces) return false;
    const places = this.#pieces[slot];
    pieces.forEach(({ byteOffset, length }, i) => places?.set([byteOffset, length], 2 * i));
    (this.slots[slot] as Slot).pieces = pieces.length;
    return true;
  }

  /** The slot is filled: it is the worker's. {@link ring} tells it. */
  submit(slot: number): void {
    this.#change(slot, this.#word(slot), slotState.submitted);
  }

  ring(): void {
    Atomics.add(this.#header, bellWord, 1);
    Atomics.notify(this.#header, bellWord);
  }

  /** The request is given back: the slot has a new generation. */
  reap(slot: number): void {
    Atomics.store(this.#words[slot] as Int32Array, wordIndex, ((this.#word(slot) & ~stateMask) + generation) | 0);
  }

  /** Gives up all requests. The guest's memory is not touched for them when this returns. Blocks; not for the main thread. */
  abandon(): void {
    for (let slot = 0; slot < diskSlots; slot++) this.#abandonOne(slot);
  }

  #abandonOne(slot: number): void {
    for (;;) {
      const word = this.#word(slot);
      switch (word & stateMask) {
        case slotState.free:
        case slotState.abandoned:
          return;
        case slotState.done:
          this.reap(slot);
          return;
        case slotState.submitted:
          if (!this.#change(slot, word, slotState.free)) continue;
          this.reap(slot);
          return;
        case slotState.taken:
          if (this.#change(slot, word, slotState.abandoned)) return;
          continue;
        default:
          // A worker that died in a copy does not go on with it either.
          if (Atomics.wait(this.#words[slot] as Int32Array, wordIndex, word, copyLimitMs) !== 'timed-out') continue;
          if (!this.#change(slot, word, slotState.free)) continue;
          this.reap(slot);
          return;
      }
    }
  }

  /** A request is with the worker. */
  get busy(): boolean {
    return this.#words.some((_, slot) => {
      const state = this.state(slot);
      return state !== slotState.free && state !== slotState.abandoned;
    });
  }

  // Worker's side.

  /** A worker begins to serve a ring: what another one has left is to be done again. */
  restart(): void {
    for (let slot = 0; slot < diskSlots; slot++) {
      const word = this.#word(slot);
      const state = word & stateMask;
      if (state === slotState.copying || state === slotState.taken) this.#change(slot, word, slotState.submitted);
      else if (state === slotState.abandoned && this.#change(slot, word, slotState.free)) this.reap(slot);
    }
    Atomics.store(this.#header, servedWord, 1);
  }

  leave(): void {
    Atomics.store(this.#header, servedWord, 0);
    this.ring();
  }

  get served(): boolean {
    return Atomics.load(this.#header, servedWord) !== 0;
  }

  get bell(): number {
    return Atomics.load(this.#header, bellWord);
  }

  /** Resolves when the device rings, or has rung since `seen`. */
  rung(seen: number, timeoutMs = Infinity): Promise<void> {
    return waitAsync(this.#header, bellWord, seen, timeoutMs);
  }

  /** Requests that were submitted, the oldest first, but those that `known` has. */
  submitted(known: ReadonlySet<number>): DiskRequest[] {
    const found: (DiskRequest & { readonly serial: number })[] = [];
    for (let slot = 0; slot < diskSlots; slot++) {
      const word = this.#word(slot);
      if ((word & stateMask) !== slotState.submitted || known.has(word)) continue;
      const { operation, throughCache, offset, length, serial } = this.slots[slot] as Slot;
      found.push({ slot, word, operation, throughCache: throughCache !== 0, offset, length, serial });
    }
    return found.sort((a, b) => (a.serial - b.serial) | 0);
  }

  /**
   * Copies between the guest's memory and the worker's, at once, if the request still stands. `act` gets the guest's pieces.
   * A write that the disk did not take is copied again. False: it was given up, and nothing was touched.
   * @param then `taken`: the request is not done yet
   */
  copy(request: DiskRequest, then: 'taken' | 'done', act: (pieces: Uint8Array[]) => void): boolean {
    const { slot, word } = request;
    const again = (word & ~stateMask) | slotState.taken;
    if (!this.#change(slot, word, slotState.copying) && !this.#change(slot, again, slotState.copying)) return false;
    act(this.pieces(slot));
    if (then === 'done') (this.slots[slot] as Slot).result = diskResult.ok;
    return this.#change(slot, this.#word(slot), slotState[then]);
  }

  /** The pieces of the guest's memory that a request has. */
  pieces(slot: number): Uint8Array[] {
    const places = this.#pieces[slot] as Uint32Array;
    const count = Math.min((this.slots[slot] as Slot).pieces, slotPieces);
    return Array.from({ length: count }, (_, i) => {
      return new Uint8Array(this.#buffer, places[2 * i] ?? 0, places[2 * i + 1] ?? 0);
    });
  }

  /** The request is done. False: it was given up; the slot is free. */
  finish({ slot, word }: DiskRequest, result: number): boolean {
    for (;;) {
      const now = this.#word(slot);
      if ((now & ~stateMask) !== (word & ~stateMask)) return false;
      const state = now & stateMask;
      if (state === slotState.abandoned) {
        if (this.#change(slot, now, slotState.free)) this.reap(slot);
        return false;
      }
      if (state !== slotState.submitted && state !== slotState.taken) return false;
      // Only the worker reads it until the slot is done.
      (this.slots[slot] as Slot).result = result;
      if (this.#change(slot, now, slotState.done)) return true;
    }
  }
}
