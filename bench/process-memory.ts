/** What of a Linux process lies in host memory: `smaps` of its folder in /proc, and `pagemap` page by page. */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { memoryMap } from '../src/machine/memory-map.ts';

/** A process by its id, or this one. */
export type Pid = number | 'self';

/** All in bytes that lie in host memory. */
export interface ProcessMemory {
  readonly rssBytes: number;
  /** The guests' WebAssembly memories. */
  readonly memoryBytes: number;
  /** Their frames alone: RAM that the guests have touched. */
  readonly ramBytes: number;
}

/**
 * What lies in memory of a process with `guests`, which have `guestRamBytes` each.
 * @throws Error where there is no /proc, or it has another number of guests
 */
export function processMemory(pid: Pid, guestRamBytes: number, guests: number): ProcessMemory {
  const { totalBytes, frames, frameBytes } = memoryMap(guestRamBytes);
  const all = mappings(pid);
  const memories = all.filter(({ bytes }) => bytes === totalBytes);
  if (memories.length !== guests) {
    throw new Error(`${memories.length} mappings have the size of a guest's memory, ${guests} expected`);
  }
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  return {
    rssBytes: sum(all.map((mapping) => mapping.residentBytes)),
    memoryBytes: sum(memories.map((mapping) => mapping.residentBytes)),
    ramBytes: sum(memories.map(({ start }) => residentBytes(pid, start + frames, frameBytes))),
  };
}

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
export function mappings(pid: Pid): Mapping[] {
  try {
    return parseSmaps(readFileSync(`/proc/${pid}/smaps`, 'utf8'));
  } catch (error) {
    throw new Error(`memory is measured by /proc/${pid}/smaps, which cannot be read: is this Linux?`, { cause: error });
  }
}

const pageBytes = 4096;
const entryBytes = 8;
/** Of an entry's highest byte: bit 63, present; bit 62, swapped. */
const inUse = 0xc0;

/** Bytes of a range that are in memory or swapped out. `start` and `bytes` are whole pages. */
function residentBytes(pid: Pid, start: number, bytes: number): number {
  const file = openSync(`/proc/${pid}/pagemap`, 'r');
  try {
    const entries = Buffer.alloc((bytes / pageBytes) * entryBytes);
    let length = 0;
    while (length < entries.length) {
      const read = readSync(file, entries, length, entries.length - length, (start / pageBytes) * entryBytes + length);
      if (read === 0) throw new Error('the pagemap ends early');
      length += read;
    }
    let pages = 0;
    for (let at = entryBytes - 1; at < entries.length; at += entryBytes) if ((entries[at] ?? 0) & inUse) pages++;
    return pages * pageBytes;
  } finally {
    closeSync(file);
  }
}
