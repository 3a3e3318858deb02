/** The rows of the benchmark and how a guest is asked for them. */

/** Names of the workloads, as bench/workloads/bench.sh knows them. */
export const workloads = [
  'sieve',
  'crc32',
  'sha256',
  'memcpy',
  'chase',
  'nbody-x87',
  'nbody-sse2',
  'mandel-x87',
  'mandel-sse2',
  'interp',
  'qsort',
  'getpid',
  'fork',
  'forkexec',
  'pagefault',
  'pipe',
  'gen',
  'gzip16',
  'gunzip16',
  'md5-16',
  'sort',
  'unxz4',
  'shloop',
  'awk',
] as const;

/** What a row takes from the rows before it in one call of `bench`, which forgets its files at the end. */
const needs: Readonly<Record<string, readonly string[]>> = {
  gen: [],
  gzip16: ['gen'],
  gunzip16: ['gen', 'gzip16'],
  'md5-16': ['gen'],
  sort: ['gen'],
};

/** Rows of a quick run: one of each kind. */
export const quickWorkloads: readonly string[] = [
  'sieve',
  'crc32',
  'qsort',
  'nbody-sse2',
  'getpid',
  'fork',
  'pagefault',
  'pipe',
  'awk',
];

/** Rows that compute with integers in user mode, without the kernel. */
export const integerWorkloads: readonly string[] = [
  'sieve',
  'crc32',
  'sha256',
  'memcpy',
  'chase',
  'interp',
  'qsort',
  'gzip16',
  'gunzip16',
  'md5-16',
  'sort',
  'unxz4',
];

/** Rows of decode-once.ts: how many bytes of code there are, and how often each instruction runs. */
export const decodeRows: Readonly<Record<string, { readonly codeBytes: number; readonly passes: number }>> = {
  'decode-1': { codeBytes: 2 ** 20, passes: 1 },
  'decode-10': { codeBytes: 2 ** 20, passes: 10 },
  // More than caches of decoded or compiled code may hold.
  'decode-10-large': { codeBytes: 4 * 2 ** 20, passes: 10 },
};

/**
 * Splits rows into calls of `bench`, one for each row but those that share files. A call may hold more rows than were
 * asked for, so that making a row's files is never counted as its work.
 */
export function callsFor(rows: readonly string[]): string[][] {
  const withFiles = new Set<string>();
  for (const row of rows) {
    if (row in needs) for (const name of [...(needs[row] ?? []), row]) withFiles.add(name);
  }
  const calls: string[][] = [];
  for (const row of workloads) {
    if (row === 'gen' && withFiles.size > 0) calls.push(workloads.filter((name) => withFiles.has(name)));
    else if (!(row in needs) && rows.includes(row)) calls.push([row]);
  }
  return calls;
}
