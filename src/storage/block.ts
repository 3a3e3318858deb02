/**
 * The one interface of everything that holds a disk's blocks. Layers stand on one another: a browser's storage, a file, an
 * address; over them an overlay; over that, in tests, one that fails. `testing/contract.ts` is what each must keep to.
 *
 * Rules
 * - Offsets and lengths are multiples of {@link sectorBytes}, within the disk; anything else rejects with `outOfRange`.
 * - `read` resolves with pieces, one after the other, that together are what was asked for. They are views of the layer's
 *   own memory: to be copied at once, before anything else is awaited, and never to be written.
 * - `write` has taken the bytes when it *returns*; when its promise resolves, every later `read` sees them. The pieces may
 *   lie in shared memory. So whoever moves bytes between a guest and a layer copies them exactly once.
 * - `flush` resolves when all that was acknowledged before the call is on stable storage, as far as the layer has such.
 * - What was discarded reads as zero, and takes no room any more where the layer can help it.
 * - Requests may overlap in time; of two that touch the same sector, one of which writes, the result is that of some order.
 *
 * @example
 * const disk = memoryDisk(1 << 20);
 * await disk.write(512, [new Uint8Array(512).fill(1)]);
 * await disk.flush();
 */
import { StorageError } from './errors.ts';

export const sectorBytes = 512;

export interface BlockCapabilities {
  /** False: every write is refused with `readOnly`. */
  readonly writable: boolean;
  /** `discard` gives room back. */
  readonly discards: boolean;
  /** What was flushed outlasts the process. */
  readonly durable: boolean;
}

export interface BlockLayer {
  readonly sizeBytes: number;
  readonly capabilities: BlockCapabilities;
  read(offset: number, length: number): Promise<readonly Uint8Array[]>;
  write(offset: number, pieces: readonly Uint8Array[]): Promise<void>;
  flush(): Promise<void>;
  discard(offset: number, length: number): Promise<void>;
  writeZeroes(offset: number, length: number): Promise<void>;
  /** Flushes, and gives up what it holds; nothing may be asked of it afterwards. */
  close(): Promise<void>;
}

export function lengthOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}

/** @throws StorageError `outOfRange` */
export function checkRange(layer: Pick<BlockLayer, 'sizeBytes'>, offset: number, length: number): void {
  const whole = offset % sectorBytes === 0 && length % sectorBytes === 0;
  if (whole && offset >= 0 && length >= 0 && offset + length <= layer.sizeBytes) return;
  throw new StorageError(
    'outOfRange',
    `${length} bytes at ${offset} are not whole sectors within a disk of ${layer.sizeBytes} bytes.`,
  );
}

/** @throws StorageError `readOnly` */
export function checkWritable(layer: Pick<BlockLayer, 'capabilities'>): void {
  if (!layer.capabilities.writable) throw new StorageError('readOnly', 'The disk is read-only.');
}

/** @throws StorageError `badSize` */
export function checkSize(sizeBytes: number): void {
  if (Number.isSafeInteger(sizeBytes) && sizeBytes > 0 && sizeBytes % sectorBytes === 0) return;
  throw new StorageError('badSize', `A disk's size must be a multiple of ${sectorBytes} bytes, not ${sizeBytes}.`);
}

/** The same as one array, for those who are not in a hurry. */
export async function readBytes(layer: BlockLayer, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  return joined(await layer.read(offset, length));
}

export function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(lengthOf(pieces));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

const noBytes = new Uint8Array(1 << 16);

/** Pieces that are all zero. */
export function zeroPieces(length: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let left = length; left > 0; left -= noBytes.length) {
    pieces.push(left >= noBytes.length ? noBytes : noBytes.subarray(0, left));
  }
  return pieces;
}

/** Copies `length` bytes from `from` on in pieces to a place. */
export function copyOut(pieces: readonly Uint8Array[], from: number, target: Uint8Array): void {
  let skip = from;
  let done = 0;
  for (const piece of pieces) {
    if (done === target.length) return;
    if (skip >= piece.length) {
      skip -= piece.length;
      continue;
    }
    const part = piece.subarray(skip, skip + target.length - done);
    target.set(part, done);
    done += part.length;
    skip = 0;
  }
}
