/** What of a Linux process lies in host memory: /proc/self/smaps, and /proc/self/pagemap page by page. */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

export interface Mapping {
  readonly start: number;
  readonly bytes: number;
  readonly residentBytes: number;
}

/** The mappings of a process from the text of its `smaps` (proc(5)). Addresses beyond 2^53 (vsyscall) are left out. */
export function parseSmaps(text: string): Mapping[] {
  const mappings: Mapping[] = [];
  const entry = /^([\da-f]{1,13})-([\da-f]{1,13}) [^\n]*\n(?:[A-Z][^\n]*\n)*?Rss: +(\d+) kB$/gm;
  for (const [, start = '', end = '', resident = ''] of text.matchAll(entry)) {
    const from = Number.parseInt(start, 16);
    mappings.push({ start: from, bytes: Number.parseInt(end, 16) - from, residentBytes: Number(resident) * 1024 });
  }
  return mappings;
}

/** @throws Error where there is no /proc */
export function ownMappings(): Mapping[] {
  try {
    return parseSmaps(readFileSync('/proc/self/smaps', 'utf8'));
  } catch (error) {
    throw new Error('memory is measured by /proc/self/smaps: run this section on Linux', { cause: error });
  }
}

const pageBytes = 4096;
const entryBytes = 8;
/** Of an entry's highest byte: bit 63, present; bit 62, swapped. */
const inUse = 0xc0;

/** Bytes of a range of this process that are in memory or swapped out. `start` and `bytes` are whole pages. */
export function residentBytes(start: number, bytes: number): number {
  const file = openSync('/proc/self/pagemap', 'r');
  try {
    const entries = Buffer.alloc((bytes / pageBytes) * entryBytes);
    let length = 0;
    while (length < entries.length) {
      const read = readSync(file, entries, length, entries.length - length, (start / pageBytes) * entryBytes + length);
      if (read === 0) throw new Error('/proc/self/pagemap ends early');
      length += read;
    }
    let pages = 0;
    for (let at = entryBytes - 1; at < entries.length; at += entryBytes) if ((entries[at] ?? 0) & inUse) pages++;
    return pages * pageBytes;
  } finally {
    closeSync(file);
  }
}
