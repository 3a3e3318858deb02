/**
 * Fills a guest's memory with zeros without touching what is zero already. Pages that no guest has written exist only
 * in the page tables, and writing a zero would make them real: filling 1 GiB of which a guest used 100 MiB leaves 1 GiB
 * resident, this leaves 100 MiB, in less than half of the time.
 */

/** Bytes that are judged together: a page of the host's, on nearly every host. */
export const pageWords = 4096 / 4;

/** @param buffer a whole number of 4 KiB pages, which nobody else writes to. Returns the pages that were cleared. */
export function clearTouched(buffer: ArrayBufferLike): number {
  const words = new Int32Array(buffer);
  let cleared = 0;
  for (let page = 0; page < words.length; page += pageWords) {
    if (isZero(words, page, page + pageWords)) continue;
    words.fill(0, page, page + pageWords);
    cleared++;
  }
  return cleared;
}

/** Whether words from `from` up to `to` are all 0; their number is a multiple of 4. */
export function isZero(words: Int32Array, from: number, to: number): boolean {
  for (let i = from; i < to; i += 4) {
    // Four at a time: the loop is what takes the time.
    if (((words[i] as number) | (words[i + 1] as number) | (words[i + 2] as number) | (words[i + 3] as number)) !== 0) {
      return false;
    }
  }
  return true;
}
