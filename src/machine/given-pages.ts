/**
 * Pages that the guest gives up (ballooning, free-page reporting). They are emptied: their code is forgotten, their frame
 * is filled with zeros, and the frame table says that they hold nothing. The frame stays the guest's own: a WebAssembly
 * memory never shrinks, so that what is given up can come back to this guest at any time, and to no other.
 */
import { frameBit } from '../base/frame-entry.ts';
import type { GivenPages } from '../devices/capabilities.ts';
import type { InvalidateCode } from './dma.ts';
import { type MemoryMap, pageBytes } from './memory-map.ts';

/** What an executor's core must be told. */
export interface FrameWatch {
  readonly invalidate: InvalidateCode;
  /** Frames have changed: translations that lead to them must be made again. */
  readonly framesChanged: () => void;
}

export class FrameTablePages implements GivenPages {
  readonly #bytes: Uint8Array;
  readonly #table: Uint32Array;
  #watch: FrameWatch | undefined;
  /** Pages were emptied since {@link settle}; within one request of a device. */
  #unsettled = false;

  constructor(buffer: ArrayBufferLike, map: MemoryMap) {
    this.#bytes = new Uint8Array(buffer, 0, map.totalBytes);
    this.#table = new Uint32Array(buffer, map.frameTable, map.frameCount);
  }

  /** To be called by the executor when it has a core on this memory. */
  connect(watch: FrameWatch): void {
    this.#watch = watch;
  }

  get ramPages(): number {
    return this.#table.length;
  }

  giveUp(page: number, how: 'ballooned' | 'reported'): boolean {
    const entry = this.#table[page] ?? 0;
    if (entry === 0 || (entry & frameBit.readOnly) !== 0) return false;
    if ((entry & frameBit.empty) === 0) {
      const host = entry - (entry % pageBytes);
      this.#watch?.invalidate(host, pageBytes);
      this.#bytes.fill(0, host, host + pageBytes);
      this.#unsettled = true;
    }
    this.#table[page] = entry | frameBit.empty | frameBit[how];
    return (entry & frameBit[how]) === 0;
  }

  takeBack(page: number): boolean {
    const entry = this.#table[page] ?? 0;
    if ((entry & frameBit.ballooned) === 0) return false;
    this.#table[page] = entry & ~frameBit.ballooned;
    return true;
  }

  takeBackAll(): void {
    const table = this.#table;
    for (let page = 0; page < table.length; page++) table[page] = (table[page] ?? 0) & ~frameBit.ballooned;
  }

  settle(): void {
    if (this.#unsettled) this.#watch?.framesChanged();
    this.#unsettled = false;
  }
}
