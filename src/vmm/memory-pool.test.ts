import { describe, expect, it } from 'vitest';
import { guestOverheadBytes } from '../abi/executor.ts';
import { VmmError } from './errors.ts';
import { MemoryPool, sizeClass } from './memory-pool.ts';

const MiB = 2 ** 20;

/** A memory that takes no room: tests count, they do not touch. */
function fakeAllocator(refuseAbovePages = Infinity) {
  const made: number[] = [];
  return {
    made,
    allocate: (initial: number, maximum: number) => {
      if (maximum > refuseAbovePages) throw new RangeError('could not allocate memory');
      made.push(maximum);
      return { buffer: { byteLength: initial * 65536 } } as unknown as WebAssembly.Memory;
    },
  };
}

function pool(options: { limitMiB?: number; maximumMemories?: number; refuseAbovePages?: number } = {}) {
  const { made, allocate } = fakeAllocator(options.refuseAbovePages);
  const scrubbed: WebAssembly.Memory[] = [];
  const memoryPool = new MemoryPool({
    limitBytes: (options.limitMiB ?? 2048) * MiB,
    maximumMemories: options.maximumMemories ?? 64,
    allocate,
    scrub: (memory) => {
      scrubbed.push(memory);
      return Promise.resolve();
    },
  });
  return { pool: memoryPool, made, scrubbed };
}

describe('memory pool', () => {
  it('rounds RAM up to classes', () => {
    expect([1, 16, 17, 200, 256, 300].map((mib) => sizeClass(mib * MiB) / MiB)).toEqual([16, 16, 32, 256, 256, 512]);
    expect(sizeClass(4000 * MiB)).toBeLessThan(4096 * MiB);
  });

  it('recycles a memory of the same class after it was scrubbed', async () => {
    const { pool: p, made, scrubbed } = pool();
    const first = p.acquire(256 * MiB, 'a guest');
    await first.release({ quiet: true });
    expect(scrubbed).toEqual([first.memory]);
    const second = p.acquire(200 * MiB, 'a guest');
    expect(second.memory).toBe(first.memory);
    expect(second.ramBytes).toBe(200 * MiB);
    expect(made).toHaveLength(1);
  });

  it('never lends again what an executor may still write to', async () => {
    const { pool: p, scrubbed } = pool();
    const first = p.acquire(64 * MiB, 'a guest');
    await first.release({ quiet: false });
    expect(scrubbed).toEqual([]);
    expect(p.acquire(64 * MiB, 'a guest').memory).not.toBe(first.memory);
  });

  it('lends a memory only once it is clean', async () => {
    let finish = () => {};
    const p = new MemoryPool({
      limitBytes: 2048 * MiB,
      allocate: fakeAllocator().allocate,
      scrub: () => new Promise((resolve) => (finish = resolve)),
    });
    const first = p.acquire(64 * MiB, 'a guest');
    const released = first.release({ quiet: true });
    const second = p.acquire(64 * MiB, 'a guest');
    expect(second.memory).not.toBe(first.memory);
    finish();
    await released;
    expect(p.acquire(64 * MiB, 'a guest').memory).toBe(first.memory);
  });

  it('refuses what does not fit, and says so', () => {
    const { pool: p } = pool({ limitMiB: 512 });
    p.acquire(256 * MiB, 'a guest');
    expect(() => p.acquire(256 * MiB, 'a guest')).toThrow(
      /needs 304 MiB \(256 MiB of RAM and 48 MiB around it\), but only 208 MiB of the limit of 512 MiB are free/,
    );
    p.setLimit(1024 * MiB);
    expect(p.acquire(256 * MiB, 'a guest').chargedBytes).toBe(256 * MiB + guestOverheadBytes);
  });

  it('gives up kept memories for the limit and for the cap', async () => {
    const { pool: p } = pool({ limitMiB: 200, maximumMemories: 2 });
    const small = p.acquire(16 * MiB, 'a guest');
    await small.release({ quiet: true });
    expect(p.usage.keptBytes).toBe(guestOverheadBytes);
    p.acquire(120 * MiB, 'a guest');
    expect(p.usage.keptBytes).toBe(0);
    p.setLimit(4096 * MiB);
    p.acquire(16 * MiB, 'a guest');
    expect(() => p.acquire(16 * MiB, 'a guest')).toThrow(/no more than 2/);
  });

  it('reserves no more than a guest needs where the browser refuses a whole size class', async () => {
    const { pool: p, made } = pool({ limitMiB: 4096, refuseAbovePages: (600 * MiB) / 65536 });
    const lease = p.acquire(520 * MiB, 'a guest');
    expect(lease.ramBytes).toBe(520 * MiB);
    expect(made).toEqual([(568 * MiB) / 65536]);
    await lease.release({ quiet: true });
    // It serves again, for a guest that fits in it.
    expect(p.acquire(515 * MiB, 'a guest').memory).toBe(lease.memory);
  });

  it('refuses, and never gives less than was asked for, where the browser has no room', async () => {
    const { pool: p, made } = pool({ limitMiB: 4096, refuseAbovePages: (600 * MiB) / 65536 });
    await p.acquire(64 * MiB, 'a guest').release({ quiet: true });
    expect(() => p.acquire(1024 * MiB, 'a guest')).toThrow(
      /The browser refused 1 GiB of shared memory \(RangeError: .*\)\. Give this guest less memory/,
    );
    expect(made).toHaveLength(1);
    expect(p.usage).toMatchObject({ usedBytes: 0, keptBytes: 0, memories: 0 });
    const none = pool({ refuseAbovePages: 0 });
    expect(() => none.pool.acquire(64 * MiB, 'a guest')).toThrow(VmmError);
  });

  it('counts a release once', async () => {
    const { pool: p } = pool();
    const lease = p.acquire(64 * MiB, 'a guest');
    await lease.release({ quiet: false });
    await lease.release({ quiet: true });
    expect(p.usage).toMatchObject({ usedBytes: 0, memories: 0 });
  });

  it('waits for a memory that is being cleaned where there is no room beside it', async () => {
    let finish = () => {};
    const p = new MemoryPool({
      limitBytes: 200 * MiB,
      allocate: fakeAllocator().allocate,
      scrub: () => new Promise((resolve) => (finish = resolve)),
    });
    const first = await p.lend(120 * MiB, 'first');
    const released = first.release({ quiet: true });
    const second = p.lend(120 * MiB, 'second');
    await Promise.resolve();
    expect(p.usage).toMatchObject({ cleaning: 1, memories: 1 });
    finish();
    await released;
    expect((await second).memory).toBe(first.memory);
    expect(p.usage.holders).toEqual([{ holder: 'second', bytes: 168 * MiB }]);
  });

  it('says for whom memory is reserved when it refuses', async () => {
    const { pool: p } = pool({ limitMiB: 512 });
    p.acquire(64 * MiB, 'Small');
    p.acquire(256 * MiB, 'Large');
    await expect(p.lend(256 * MiB, 'Third')).rejects.toThrow(
      /96 MiB of the limit of 512 MiB are free: reserved are 304 MiB by Large, 112 MiB by Small\. Stop a guest/,
    );
  });

  it('charges a guest once that moves, and drops what it had', async () => {
    let dropped = 0;
    const p = new MemoryPool({
      limitBytes: 350 * MiB,
      allocate: fakeAllocator().allocate,
      scrub: () => Promise.resolve(),
      dropped: () => void dropped++,
    });
    const first = p.acquire(256 * MiB, 'Linux');
    const next = p.acquireUnused(first, 'Linux');
    expect(next.memory).not.toBe(first.memory);
    expect(p.usage).toMatchObject({ usedBytes: 304 * MiB, memories: 2 });
    next.takeOver(first);
    expect(p.usage).toMatchObject({ usedBytes: 304 * MiB, memories: 1, keptBytes: 0 });
    expect(dropped).toBe(1);
    await first.release({ quiet: true });
    expect(p.usage.usedBytes).toBe(304 * MiB);
    await next.release({ quiet: true });
    expect(p.usage).toMatchObject({ usedBytes: 0, memories: 1 });
  });
});
