/**
 * Looks for a text in what a guest prints, at the VM exit that prints it: so that a machine can be stopped at the same
 * instruction each time. It reads the console's ring without taking anything out of it.
 */
import { RingHeader } from '../abi/ring.ts';

/** Characters that a match can span. */
const windowCharacters = 2048;

export class OutputWatch {
  readonly #pattern: RegExp;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #tailWord = RingHeader.offsets.tail >> 2;
  #seen: number;
  #text = '';

  /** Looks at what is printed from now on. Text is matched as Latin-1. */
  constructor(buffer: ArrayBufferLike, ringAddress: number, pattern: RegExp) {
    // A global or sticky pattern would remember where it was.
    this.#pattern = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ''));
    this.#words = new Int32Array(buffer, ringAddress, RingHeader.size >> 2);
    const { capacity } = RingHeader.at(buffer, ringAddress);
    this.#bytes = new Uint8Array(buffer, ringAddress + RingHeader.size, capacity);
    this.#seen = this.#tail;
  }

  get #tail(): number {
    return Atomics.load(this.#words, this.#tailWord) >>> 0;
  }

  /** True once the pattern matches. Called after each exit that may have printed. */
  matches(): boolean {
    const tail = this.#tail;
    if (tail === this.#seen) return false;
    for (; this.#seen !== tail; this.#seen = (this.#seen + 1) >>> 0) {
      this.#text += String.fromCharCode(this.#bytes[this.#seen & (this.#bytes.length - 1)] ?? 0);
    }
    if (this.#text.length > 2 * windowCharacters) this.#text = this.#text.slice(-windowCharacters);
    return this.#pattern.test(this.#text);
  }
}
