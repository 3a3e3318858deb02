/** A layer that is slow or fails on purpose, over another one: for tests and lessons. */
import type { BlockCapabilities, BlockLayer } from './block.ts';
import { StorageError } from './errors.ts';

export type Operation = 'read' | 'write' | 'flush' | 'discard' | 'writeZeroes';

export interface Request {
  readonly operation: Operation;
  readonly offset: number;
  readonly length: number;
}

export interface Faults {
  /** What is to be waited for before a request is done; absent: nothing. */
  readonly delay?: (request: Request) => Promise<void>;
  /** The error that a request ends with, if any. */
  readonly fails?: (request: Request) => StorageError | undefined;
}

export class FaultyDisk implements BlockLayer {
  readonly sizeBytes: number;
  readonly capabilities: BlockCapabilities;
  readonly #below: BlockLayer;
  readonly #faults: Faults;

  constructor(below: BlockLayer, faults: Faults) {
    this.#below = below;
    this.#faults = faults;
    this.sizeBytes = below.sizeBytes;
    this.capabilities = below.capabilities;
  }

  async #meet(request: Request): Promise<void> {
    const error = this.#faults.fails?.(request);
    await this.#faults.delay?.(request);
    if (error !== undefined) throw error;
  }

  async read(offset: number, length: number): Promise<readonly Uint8Array[]> {
    await this.#meet({ operation: 'read', offset, length });
    return this.#below.read(offset, length);
  }

  async write(offset: number, pieces: readonly Uint8Array[]): Promise<void> {
    // The bytes must be taken before this returns.
    const taken = pieces.map((piece) => piece.slice());
    await this.#meet({ operation: 'write', offset, length: taken.reduce((sum, piece) => sum + piece.length, 0) });
    return this.#below.write(offset, taken);
  }

  async flush(): Promise<void> {
    await this.#meet({ operation: 'flush', offset: 0, length: 0 });
    return this.#below.flush();
  }

  async discard(offset: number, length: number): Promise<void> {
    await this.#meet({ operation: 'discard', offset, length });
    return this.#below.discard(offset, length);
  }

  async writeZeroes(offset: number, length: number): Promise<void> {
    await this.#meet({ operation: 'writeZeroes', offset, length });
    return this.#below.writeZeroes(offset, length);
  }

  close(): Promise<void> {
    return this.#below.close();
  }
}

/** Delays each request by so many milliseconds. */
export function latency(milliseconds: number): NonNullable<Faults['delay']> {
  return () =>
    new Promise((resolve) => {
      setTimeout(resolve, milliseconds);
    });
}

/** Fails whatever touches a range of bytes. */
export function badRange(from: number, to: number): NonNullable<Faults['fails']> {
  return ({ operation, offset, length }) =>
    operation !== 'flush' && offset < to && offset + length > from
      ? new StorageError('io', `The medium is damaged between ${from} and ${to}.`)
      : undefined;
}
