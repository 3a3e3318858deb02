/** A request to a block device, taken apart: the driver may cut it into descriptors as it likes (virtio 1.2 §5.2.6, §2.7.4). */
import type { GuestMemory } from '../capabilities.ts';
import type { Chain, Piece } from '../virtio/queue.ts';
import { headerBytes } from './registers.ts';

export interface BlockRequest {
  readonly type: number;
  readonly sector: number;
  /** What the driver sends behind the header, and where it wants data. */
  readonly sent: readonly Piece[];
  readonly wanted: readonly Piece[];
  readonly statusGpa: number;
}

/** Undefined: there is no header, or no byte for the status. */
export function parseRequest(memory: GuestMemory, chain: Chain): BlockRequest | undefined {
  const wantedBytes = lengthOf(chain.writable) - 1;
  const [status] = slice(chain.writable, wantedBytes, 1);
  if (lengthOf(chain.readable) < headerBytes || status === undefined) return undefined;
  const header = view(memory, slice(chain.readable, 0, headerBytes), headerBytes);
  return {
    type: header.getUint32(0, true),
    sector: header.getUint32(8, true) + header.getUint32(12, true) * 2 ** 32,
    sent: slice(chain.readable, headerBytes, Infinity),
    wanted: slice(chain.writable, 0, wantedBytes),
    statusGpa: status.gpa,
  };
}

export function lengthOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

/** So many bytes of pieces, from `from` on. */
export function slice(pieces: readonly Piece[], from: number, count: number): Piece[] {
  const result: Piece[] = [];
  let skip = from;
  let left = count;
  for (const { gpa, length } of pieces) {
    const start = Math.min(skip, length);
    skip -= start;
    const taken = Math.min(length - start, left);
    if (taken > 0) result.push({ gpa: gpa + start, length: taken });
    left -= taken;
  }
  return result;
}

/** A copy of a few bytes. */
export function view(memory: GuestMemory, pieces: readonly Piece[], limit: number): DataView {
  const bytes = new Uint8Array(limit);
  let at = 0;
  for (const { gpa, length } of slice(pieces, 0, limit)) {
    bytes.set(memory.read(gpa, length), at);
    at += length;
  }
  return new DataView(bytes.buffer);
}
