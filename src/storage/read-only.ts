/** What layers that are only read have in common. */
import { type BlockCapabilities, type BlockLayer, checkWritable } from './block.ts';

export abstract class ReadOnlyLayer implements BlockLayer {
  readonly capabilities: BlockCapabilities = { writable: false, discards: false, durable: true };
  abstract readonly sizeBytes: number;

  abstract read(offset: number, length: number): Promise<readonly Uint8Array[]>;

  async write(): Promise<void> {
    checkWritable(this);
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  async discard(): Promise<void> {
    checkWritable(this);
  }

  async writeZeroes(): Promise<void> {
    checkWritable(this);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
