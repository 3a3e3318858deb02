/**
 * What every block layer must keep to, as a list of checks that any test runner can run: vitest under Node, and the page
 * of `e2e/storage.spec.ts` in a browser. Checks throw an error that says what was expected.
 */
import { type BlockLayer, joined, readBytes, sectorBytes } from '../block.ts';
import { StorageError, type StorageErrorCode } from '../errors.ts';

/** A layer under test. */
export interface Subject {
  readonly name: string;
  /** A disk of {@link contractBytes} that is all zero; of a read-only layer, one that holds {@link pattern}. */
  readonly open: () => Promise<BlockLayer>;
  /** Opens what {@link open} had and `close` or `flush` left; absent: it does not last. */
  readonly reopen?: () => Promise<BlockLayer>;
}

export interface ContractCheck {
  readonly name: string;
  readonly run: (subject: Subject) => Promise<void>;
}

export const contractBytes = 3 * 2 ** 20 + sectorBytes;

/** What stands at each place of a disk that a read-only layer shows. */
export function pattern(offset: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = Math.imul(offset + i, 0x9e3779b1) >>> 24;
  return bytes;
}

function check(condition: boolean, message: string): void {
  if (!condition) throw new Error(message);
}

function same(actual: Uint8Array, expected: Uint8Array, what: string): void {
  check(actual.length === expected.length, `${what}: ${actual.length} bytes instead of ${expected.length}`);
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  check(at < 0, `${what}: byte ${at} is ${actual[at]} instead of ${expected[at]}`);
}

async function refuses(act: () => Promise<unknown>, code: StorageErrorCode): Promise<void> {
  const error = await act().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  check(error instanceof StorageError && error.code === code, `expected ${code}, got ${String(error)}`);
}

/** Small, repeatable. */
function random(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

const anywhere: readonly ContractCheck[] = [
  {
    name: 'refuses what is no whole sector, or lies outside',
    run: async ({ open }) => {
      const disk = await open();
      for (const [offset, length] of [
        [1, 512],
        [0, 511],
        [-512, 512],
        [disk.sizeBytes, 512],
        [0, disk.sizeBytes + 512],
        [2 ** 53, 512],
      ] as const) {
        await refuses(() => disk.read(offset, length), 'outOfRange');
      }
      same(await readBytes(disk, 512, 0), new Uint8Array(), 'nothing');
      await disk.close();
    },
  },
];

const readOnly: readonly ContractCheck[] = [
  {
    name: 'shows what is there, by any pieces',
    run: async ({ open }) => {
      const disk = await open();
      const next = random(7);
      for (let round = 0; round < 50; round++) {
        const from = next(disk.sizeBytes / sectorBytes);
        const count = Math.min(1 + next(700), disk.sizeBytes / sectorBytes - from);
        const bytes = await readBytes(disk, from * sectorBytes, count * sectorBytes);
        same(bytes, pattern(from * sectorBytes, count * sectorBytes), `${count} sectors at ${from}`);
      }
      await disk.close();
    },
  },
  {
    name: 'refuses writes',
    run: async ({ open }) => {
      const disk = await open();
      await refuses(() => disk.write(0, [new Uint8Array(512)]), 'readOnly');
      await refuses(() => disk.discard(0, 512), 'readOnly');
      await refuses(() => disk.writeZeroes(0, 512), 'readOnly');
      await disk.flush();
      await disk.close();
    },
  },
];

const writable: readonly ContractCheck[] = [
  {
    name: 'is all zero at first',
    run: async ({ open }) => {
      const disk = await open();
      same(await readBytes(disk, 0, disk.sizeBytes), new Uint8Array(disk.sizeBytes), 'a new disk');
      await disk.close();
    },
  },
  {
    name: 'takes the bytes of a write before it returns, from shared memory, too',
    run: async ({ open }) => {
      const disk = await open();
      const bytes = new Uint8Array(new SharedArrayBuffer(3 * 512));
      bytes.set(pattern(0, bytes.length));
      const written = disk.write(1024, [bytes.subarray(0, 700), bytes.subarray(700)]);
      bytes.fill(0xee);
      await written;
      same(await readBytes(disk, 1024, 1536), pattern(0, 1536), 'what was written');
      same(await readBytes(disk, 0, 1024), new Uint8Array(1024), 'what lies before');
      same(await readBytes(disk, 2560, 1024), new Uint8Array(1024), 'what lies behind');
      await disk.close();
    },
  },
  {
    name: 'does as a model says, whatever overlaps',
    run: async ({ open }) => {
      const disk = await open();
      const model = new Uint8Array(disk.sizeBytes);
      const next = random(11);
      const sectors = disk.sizeBytes / sectorBytes;
      for (let round = 0; round < 300; round++) {
        const from = next(sectors);
        const count = Math.min(1 + next(next(4) === 0 ? sectors : 40), sectors - from);
        const [offset, length] = [from * sectorBytes, count * sectorBytes];
        const act = next(10);
        if (act < 5) {
          const bytes = new Uint8Array(length).fill(1 + next(255));
          model.set(bytes, offset);
          const cut = next(length);
          await disk.write(offset, [bytes.subarray(0, cut), bytes.subarray(cut)]);
        } else if (act === 5) {
          model.fill(0, offset, offset + length);
          await (next(2) === 0 ? disk.discard(offset, length) : disk.writeZeroes(offset, length));
        } else if (act === 6) {
          await disk.flush();
        } else {
          same(await readBytes(disk, offset, length), model.subarray(offset, offset + length), `round ${round}`);
        }
      }
      same(await readBytes(disk, 0, disk.sizeBytes), model, 'in the end');
      await disk.close();
    },
  },
  {
    name: 'has what was written at once in many requests',
    run: async ({ open }) => {
      const disk = await open();
      const requests = Array.from({ length: 64 }, (_, i) => i * 40960);
      await Promise.all(requests.map((offset) => disk.write(offset, [pattern(offset, 40960)])));
      await Promise.all([disk.flush(), disk.flush()]);
      const read = await Promise.all(requests.map((offset) => disk.read(offset, 40960)));
      read.forEach((pieces, i) => same(joined(pieces), pattern(i * 40960, 40960), `request ${i}`));
      await disk.close();
    },
  },
  {
    name: 'refuses writes that do not fit',
    run: async ({ open }) => {
      const disk = await open();
      await refuses(() => disk.write(disk.sizeBytes - 512, [new Uint8Array(1024)]), 'outOfRange');
      await refuses(() => disk.write(3, [new Uint8Array(512)]), 'outOfRange');
      await refuses(() => disk.discard(0, disk.sizeBytes + 512), 'outOfRange');
      same(await readBytes(disk, 0, disk.sizeBytes), new Uint8Array(disk.sizeBytes), 'a disk that was left alone');
      await disk.close();
    },
  },
];

const lasting: readonly ContractCheck[] = [
  {
    name: 'has all that was written when it is opened again, and zeros where that was discarded',
    run: async ({ open, reopen }) => {
      const disk = await open();
      await disk.write(0, [pattern(0, 2 * 2 ** 20)]);
      await disk.flush();
      await disk.write(5 * 512, [new Uint8Array(512).fill(7)]);
      await disk.discard(2 ** 20, 2 ** 20);
      await disk.write(disk.sizeBytes - 512, [new Uint8Array(512).fill(9)]);
      await disk.close();
      if (reopen === undefined) return;
      const again = await reopen();
      const expected = new Uint8Array(disk.sizeBytes);
      expected.set(pattern(0, 2 ** 20));
      expected.fill(7, 5 * 512, 6 * 512);
      expected.fill(9, disk.sizeBytes - 512);
      same(await readBytes(again, 0, again.sizeBytes), expected, 'the disk');
      await again.close();
    },
  },
  {
    name: 'has what was flushed when it was never closed',
    run: async ({ open, reopen }) => {
      const disk = await open();
      await disk.write(4096, [pattern(4096, 8192)]);
      await disk.flush();
      await disk.write(8192, [new Uint8Array(512).fill(3)]);
      await disk.flush();
      const again = await reopen?.();
      if (again === undefined) return;
      const expected = pattern(4096, 8192);
      expected.fill(3, 4096, 4608);
      same(await readBytes(again, 4096, 8192), expected, 'the disk');
      await again.close();
      // It has been opened for writing since: some layers refuse the first one then.
      await disk.close().catch(() => undefined);
    },
  },
];

/** All that a layer must pass, by what it can. */
export const contract = {
  writable: [...anywhere, ...writable],
  lasting: [...anywhere, ...writable, ...lasting],
  readOnly: [...anywhere, ...readOnly],
} as const;
