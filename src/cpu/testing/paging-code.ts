/** Pieces of protected-mode code with 32-bit paging, in hex, for tests that change mappings. */

/** 32-bit little-endian words. */
export function words(...values: readonly number[]): string {
  const bytes = new Uint8Array(new Uint32Array(values).buffer);
  return [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');
}

/** Page-table entries of the first 64 KiB, each at its own address but for those named. */
export function pageTable(others: Readonly<Record<number, number>> = {}): string {
  return words(...Array.from({ length: 16 }, (_, page) => (others[page] ?? page << 12) | 3));
}

/** MOV EAX, 4000h; MOV CR3, EAX; MOV EAX, CR0; OR EAX, 80000000h; MOV CR0, EAX */
export const enablePaging = 'b8 00 40 00 00  0f 22 d8  0f 20 c0  0d 00 00 00 80  0f 22 c0';
