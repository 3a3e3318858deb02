/** Sets of offsets in a page, as bits: the instructions of a region, which are kept and sent for each. */

const pageBytes = 0x1000;

/** 128 words; bit n of word k is offset 32 k + n. */
export type OffsetSet = Uint32Array<ArrayBuffer>;

export function offsetSet(offsets: Iterable<number>): OffsetSet {
  const set = new Uint32Array(pageBytes >> 5);
  for (const offset of offsets) set[offset >> 5] = (set[offset >> 5] ?? 0) | (1 << (offset & 31));
  return set;
}

export function hasOffset(set: OffsetSet, offset: number): boolean {
  return (((set[offset >> 5] ?? 0) >>> (offset & 31)) & 1) !== 0;
}

/** In rising order. */
export function offsetsOf(set: OffsetSet): number[] {
  return Array.from({ length: pageBytes }, (_, offset) => offset).filter((offset) => hasOffset(set, offset));
}

export function isSubset(inner: OffsetSet, outer: OffsetSet): boolean {
  return inner.every((word, k) => (word & ~(outer[k] ?? 0)) === 0);
}
