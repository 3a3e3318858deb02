/**
 * A byte ring with one producer and one consumer, in a guest's memory. It carries console bytes between the page (or
 * the terminal of the headless machine) and the serial port.
 *
 * Head and tail count bytes and wrap at 2^32; the capacity is a power of two, so that position = count mod capacity.
 * Only the consumer writes `head`, only the producer `tail`. Nothing is lost: {@link ByteRing.write} accepts what
 * fits and says how much; the producer keeps the rest. Console input: the page waits for space (`waitWritable`).
 * Console output: the serial port's transmitter stays busy while the ring is full. Only a ring that nobody reads
 * (`consumerAttached` = 0, as in a machine without a console) drops what does not fit, and counts it in `lost`.
 *
 * Waking: a side that finds nothing to do sets its `…Waiting` word, looks again, and waits on the other's counter;
 * the other side notifies only when that word is set. An executor does not wait on rings but on the guest's doorbell:
 * give the page's ring the `wakePeer` callback `() => control.ring()`.
 *
 * @example page
 * const output = new ByteRing(buffer, address);
 * output.attachConsumer();
 * for (;;) { await output.waitReadable(); terminal.write(output.read()); }
 * const input = new ByteRing(buffer, inputAddress, () => control.ring());
 * let rest = bytes; while (rest.length > 0) { rest = rest.subarray(input.write(rest)); await input.waitWritable(); }
 */
import { struct } from '../base/struct.ts';
import { waitAsync } from './control.ts';

export const RingHeader = struct('RingHeader', 1, {
  /** Bytes taken so far, mod 2^32. */
  head: 'i32',
  /** Bytes put so far, mod 2^32. */
  tail: 'i32',
  consumerWaiting: 'i32',
  producerWaiting: 'i32',
  consumerAttached: 'i32',
  capacity: 'u32',
  /** Bytes dropped because nobody was reading. */
  lost: 'f64',
});

/** Default capacity in bytes. */
export const ringCapacity = 0x10000;

/** Bytes that a ring of this capacity takes in memory. */
export function ringBytes(capacity = ringCapacity): number {
  return RingHeader.size + capacity;
}

/** Makes an empty ring at `address` (16-byte aligned). */
export function initializeRing(buffer: ArrayBufferLike, address: number, capacity = ringCapacity): void {
  if ((capacity & (capacity - 1)) !== 0) throw new Error(`ring capacity ${capacity} is not a power of two`);
  new Uint8Array(buffer, address, RingHeader.size).fill(0);
  RingHeader.at(buffer, address).capacity = capacity;
}

const headWord = RingHeader.offsets.head >> 2;
const tailWord = RingHeader.offsets.tail >> 2;
const consumerWaitingWord = RingHeader.offsets.consumerWaiting >> 2;
const producerWaitingWord = RingHeader.offsets.producerWaiting >> 2;
const attachedWord = RingHeader.offsets.consumerAttached >> 2;

/** A view of a ring for either side. It has no state of its own. */
export class ByteRing {
  readonly capacity: number;
  readonly #words: Int32Array;
  readonly #lost: Float64Array;
  readonly #bytes: Uint8Array;
  readonly #wakePeer: (() => void) | undefined;

  constructor(buffer: ArrayBufferLike, address: number, wakePeer?: () => void) {
    this.capacity = RingHeader.at(buffer, address).capacity;
    if (this.capacity === 0) throw new Error(`no ring at ${address}: initializeRing must have run before`);
    this.#words = new Int32Array(buffer, address, RingHeader.size >> 2);
    this.#lost = new Float64Array(buffer, address + RingHeader.offsets.lost, 1);
    this.#bytes = new Uint8Array(buffer, address + RingHeader.size, this.capacity);
    this.#wakePeer = wakePeer;
  }

  /** Bytes that can be read. */
  get readable(): number {
    return (Atomics.load(this.#words, tailWord) - Atomics.load(this.#words, headWord)) | 0;
  }

  /** Bytes that can be written. */
  get writable(): number {
    return this.capacity - this.readable;
  }

  /** Bytes put so far, mod 2^32. */
  get written(): number {
    return Atomics.load(this.#words, tailWord) >>> 0;
  }

  get consumerAttached(): boolean {
    return Atomics.load(this.#words, attachedWord) !== 0;
  }

  /** Bytes dropped so far because nobody was reading. */
  get lost(): number {
    return this.#lost[0] ?? 0;
  }

  // Producer.

  /** Puts as much of `bytes` as fits; returns how much. */
  write(bytes: Uint8Array): number {
    const tail = Atomics.load(this.#words, tailWord);
    const count = Math.min(bytes.length, this.writable);
    const at = (tail >>> 0) & (this.capacity - 1);
    const first = Math.min(count, this.capacity - at);
    this.#bytes.set(bytes.subarray(0, first), at);
    this.#bytes.set(bytes.subarray(first, count), 0);
    if (count > 0) this.#advance(tailWord, tail + count, consumerWaitingWord);
    return count;
  }

  /** Puts one byte; false when the ring is full and somebody reads it. Without a reader, a byte too many is lost. */
  writeByte(byte: number): boolean {
    const tail = Atomics.load(this.#words, tailWord);
    if (((tail - Atomics.load(this.#words, headWord)) | 0) >= this.capacity) {
      if (this.consumerAttached) return false;
      this.#lost[0] = this.lost + 1;
      return true;
    }
    this.#bytes[(tail >>> 0) & (this.capacity - 1)] = byte;
    this.#advance(tailWord, tail + 1, consumerWaitingWord);
    return true;
  }

  /** Announces that the producer waits for space: the consumer's next read wakes it. */
  expectSpace(): void {
    Atomics.store(this.#words, producerWaitingWord, 1);
  }

  /** Resolves when a byte can be written. */
  async waitWritable(): Promise<void> {
    for (;;) {
      const head = Atomics.load(this.#words, headWord);
      this.expectSpace();
      if (this.writable > 0) return;
      await waitAsync(this.#words, headWord, head, Infinity);
    }
  }

  // Consumer.

  /** Declares that somebody reads: from now on nothing is dropped. */
  attachConsumer(): void {
    Atomics.store(this.#words, attachedWord, 1);
  }

  detachConsumer(): void {
    Atomics.store(this.#words, attachedWord, 0);
  }

  /** Takes up to `limit` bytes, as a copy in unshared memory (web APIs refuse shared views). */
  read(limit = this.capacity): Uint8Array<ArrayBuffer> {
    const head = Atomics.load(this.#words, headWord);
    const count = Math.min(limit, this.readable);
    const at = (head >>> 0) & (this.capacity - 1);
    const first = Math.min(count, this.capacity - at);
    const result = new Uint8Array(count);
    result.set(this.#bytes.subarray(at, at + first), 0);
    result.set(this.#bytes.subarray(0, count - first), first);
    if (count > 0) this.#advance(headWord, head + count, producerWaitingWord);
    return result;
  }

  /** Takes one byte, or −1. */
  readByte(): number {
    const head = Atomics.load(this.#words, headWord);
    if (Atomics.load(this.#words, tailWord) === head) return -1;
    const byte = this.#bytes[(head >>> 0) & (this.capacity - 1)] ?? 0;
    this.#advance(headWord, head + 1, producerWaitingWord);
    return byte;
  }

  /** Resolves when a byte can be read, or after `timeoutMs`. */
  async waitReadable(timeoutMs = Infinity): Promise<void> {
    const tail = Atomics.load(this.#words, tailWord);
    Atomics.store(this.#words, consumerWaitingWord, 1);
    if (this.readable === 0) await waitAsync(this.#words, tailWord, tail, timeoutMs);
  }

  #advance(word: number, value: number, peerWaiting: number): void {
    Atomics.store(this.#words, word, value | 0);
    if (Atomics.load(this.#words, peerWaiting) !== 0) {
      Atomics.store(this.#words, peerWaiting, 0);
      Atomics.notify(this.#words, word);
      this.#wakePeer?.();
    } else if (word === tailWord) {
      this.#wakePeer?.();
    }
  }
}
