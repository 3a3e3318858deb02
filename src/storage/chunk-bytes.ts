/** Bytes of a chunk, wherever they come from. */
import { type BlockLayer, joined } from './block.ts';

/** Of another layer; undefined where it has none. */
export async function chunkOf(
  layer: BlockLayer | undefined,
  index: number,
  bytes: number,
): Promise<Uint8Array | undefined> {
  const length = Math.min(bytes, (layer?.sizeBytes ?? 0) - index * bytes);
  return layer === undefined || length <= 0 ? undefined : joined(await layer.read(index * bytes, length));
}

export function padded(bytes: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(length);
  result.set(bytes.subarray(0, length));
  return result;
}

export function sameBytes(a: Uint8Array = new Uint8Array(), b: Uint8Array = new Uint8Array()): boolean {
  for (let i = 0; i < Math.max(a.length, b.length); i++) if ((a[i] ?? 0) !== (b[i] ?? 0)) return false;
  return true;
}
