import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { ByteRing, initializeRing, ringBytes, RingHeader } from './ring.ts';

function make(capacity = 8) {
  const buffer = new SharedArrayBuffer(ringBytes(capacity));
  initializeRing(buffer, 0, capacity);
  return { buffer, ring: new ByteRing(buffer, 0) };
}

describe('ByteRing', () => {
  it('keeps order across its end, and takes only what fits', () => {
    const { ring } = make();
    expect(ring.write(Uint8Array.of(1, 2, 3, 4, 5, 6))).toBe(6);
    expect([...ring.read(4)]).toEqual([1, 2, 3, 4]);
    expect(ring.write(Uint8Array.of(7, 8, 9, 10, 11, 12, 13))).toBe(6);
    expect(ring.writable).toBe(0);
    expect([...ring.read()]).toEqual([5, 6, 7, 8, 9, 10, 11, 12]);
    expect(ring.readByte()).toBe(-1);
  });

  it('goes on where its counters wrap at 2^32', () => {
    const { buffer } = make();
    const header = RingHeader.at(buffer, 0);
    header.head = -3;
    header.tail = -3;
    const ring = new ByteRing(buffer, 0);
    expect(ring.write(Uint8Array.of(1, 2, 3, 4, 5))).toBe(5);
    expect(ring.readable).toBe(5);
    expect([...ring.read()]).toEqual([1, 2, 3, 4, 5]);
  });

  it('drops bytes only where nobody reads', () => {
    const { ring } = make();
    for (let i = 0; i < 10; i++) expect(ring.writeByte(i)).toBe(true);
    expect(ring.lost).toBe(2);
    ring.attachConsumer();
    expect(ring.writeByte(99)).toBe(false);
    expect(ring.readByte()).toBe(0);
    expect(ring.writeByte(99)).toBe(true);
    expect(ring.lost).toBe(2);
  });

  it('wakes a reader and a writer that wait', async () => {
    const { ring } = make();
    const got = ring.waitReadable();
    ring.writeByte(7);
    await got;
    ring.write(new Uint8Array(8));
    const room = ring.waitWritable();
    ring.read(1);
    await room;
    expect(ring.writable).toBe(1);
  });

  it('rings the peer for input', () => {
    const { buffer } = make();
    let rung = 0;
    const ring = new ByteRing(buffer, 0, () => rung++);
    ring.write(Uint8Array.of(1));
    expect(rung).toBe(1);
  });

  it('carries a long stream between two threads unharmed', async () => {
    const { buffer, ring } = make(64);
    ring.attachConsumer();
    const count = 20_000;
    const worker = new Worker(
      `const { workerData } = require('node:worker_threads');
       const words = new Int32Array(workerData.buffer, 0, 8);
       const bytes = new Uint8Array(workerData.buffer, workerData.header, 64);
       for (let i = 0; i < workerData.count; ) {
         const head = Atomics.load(words, 0);
         const tail = Atomics.load(words, 1);
         if (tail - head >= 64) { Atomics.store(words, 3, 1); Atomics.wait(words, 0, head, 50); continue; }
         bytes[tail & 63] = i & 0xff;
         Atomics.store(words, 1, tail + 1);
         Atomics.notify(words, 1);
         i++;
       }`,
      { eval: true, workerData: { buffer, header: RingHeader.size, count } },
    );
    let next = 0;
    while (next < count) {
      await ring.waitReadable(1000);
      for (const byte of ring.read()) {
        if (byte !== (next & 0xff)) throw new Error(`byte ${next} is ${byte}`);
        next++;
      }
    }
    await worker.terminate();
    expect(next).toBe(count);
  });
});
