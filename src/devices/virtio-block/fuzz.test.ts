/** Random descriptor tables, rings, requests and register writes: nothing hangs, throws, or reaches outside of RAM. */
import { describe, expect, it } from 'vitest';
import { diskResult, DiskRing, diskRingBytes, type DiskRequest } from '../../abi/disk-ring.ts';
import { FlatMemory, RecordedLine } from '../testing.ts';
import { region } from '../virtio/registers.ts';
import { TestDriver } from '../virtio/testing.ts';
import { blockState, VirtioBlock } from './device.ts';
import * as r from './registers.ts';

const ramBytes = 0x40000;
const queuesAt = 0x10000;
const headersAt = 0x8000;
const ringAt = ramBytes;
const stateAt = ringAt + diskRingBytes;

/** Numerical Recipes' generator. */
function random(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

type Random = ReturnType<typeof random>;

const of = <T>(next: Random, ...values: readonly T[]): T => values[next(values.length)] as T;

class GuardedMemory extends FlatMemory {
  override write(gpa: number, bytes: Uint8Array): void {
    if (!(gpa >= 0 && gpa + bytes.length <= this.bytes.length)) throw new Error(`a write at ${gpa}`);
    super.write(gpa, bytes);
  }

  override writeByte(gpa: number, value: number): void {
    if (!(gpa >= 0 && gpa < this.bytes.length)) throw new Error(`a write at ${gpa}`);
    super.writeByte(gpa, value);
  }

  override read(gpa: number, length: number): Uint8Array {
    if (!(gpa >= 0 && gpa + length <= this.bytes.length)) throw new Error(`a read at ${gpa}`);
    return super.read(gpa, length);
  }
}

/** How many requests a worker saw. */
function lifeOf(seed: number): number {
  const next = random(seed);
  const buffer = new SharedArrayBuffer(stateAt + blockState.size);
  const memory = new GuardedMemory(ramBytes, buffer);
  const clock = { isVirtual: seed % 2 === 0, now: 0, nowNs: () => clock.now };
  const ring = new DiskRing(buffer, ringAt);
  const sizeBytes = 512 * of(next, 1, 100, 2 ** 40);
  const options = { sizeBytes, readOnly: next(4) === 0, id: 'fuzz' };
  const wires = { memory, ring: new DiskRing(buffer, ringAt), interrupt: new RecordedLine(), clock, log: () => {} };
  const block = new VirtioBlock(buffer, stateAt, options, wires);
  block.reset();
  block.assign(0xfd000000, 10);
  const driver = new TestDriver(block.target, memory, queuesAt);
  const held: DiskRequest[] = [];
  let seen = 0;
  for (let round = 0; round < 40; round++) {
    if (round % 8 === 0) {
      driver.negotiate(of(next, [32], [32, 28], [32, 28, 29, r.feature.flush], [32, r.feature.configurableCache]));
      new TestDriver(block.target, memory, queuesAt).queue(0, of(next, 8, 128));
      driver.ready();
    }
    fill(next, driver);
    for (let i = 0; i < 6; i++) act(next, driver);
    for (const request of ring.submitted(new Set(held.map(({ word }) => word)))) {
      // What reaches a worker lies within the disk and within RAM.
      expect(request.offset >= 0 && request.offset + request.length <= sizeBytes).toBe(true);
      held.push(request);
      seen++;
    }
    for (let i = 0; i < 8; i++) serve(next, ring, held);
    clock.now += 50_000;
    block.poll();
    block.onDeadline();
  }
  return seen;
}

function serve(next: Random, ring: DiskRing, held: DiskRequest[]): void {
  const at = next(held.length);
  const request = held[at];
  if (request === undefined) return;
  const how = of(next, 'taken', 'done', 'fail');
  if (how === 'fail') ring.finish(request, of(next, ...Object.values(diskResult)));
  else {
    ring.copy(request, how, (pieces) => {
      for (const piece of pieces) {
        if (piece.byteOffset + piece.length > ramBytes) throw new Error(`a copy at ${piece.byteOffset}`);
        piece.fill(next(256));
      }
    });
  }
  if (how !== 'taken') held.splice(at, 1);
}

/** Headers, descriptors and ring, mostly plausible ones. */
function fill(next: Random, driver: TestDriver): void {
  for (let i = 0; i < 16; i++) {
    driver.view.setUint32(headersAt + 16 * i, of(next, 0, 1, 4, 8, 11, 13, next(2 ** 32)), true);
    driver.view.setBigUint64(headersAt + 16 * i + 8, BigInt(of(next, 0, next(100), 2 ** 40, 2 ** 53)), true);
  }
  // Most chains are a header, data and a status.
  for (let i = 0; i < 128; i++) {
    const part = i % 3;
    const plain = next(12) > 0;
    driver.describe(queuesAt, i, {
      gpa: plain ? (part === 0 ? headersAt + 16 * next(16) : next(0x8000)) : of(next, queuesAt, ramBytes - 2, 2 ** 40),
      length: plain
        ? of(next, ...([[16], [512, 4096, 16, 512 * next(64)], [1]][part] ?? []))
        : of(next, 0, next(0x10000), ramBytes, 0xffffffff),
      flags: plain ? ([1, of(next, 1, 3), 2][part] ?? 0) : next(8),
      next: plain ? i + 1 : of(next, next(8), next(128), next(0x10000)),
    });
  }
  const ring = queuesAt + 0x1000;
  const index = driver.view.getUint16(ring + 2, true);
  driver.view.setUint16(ring + 2, index + of(next, 0, 1, 2, 8, next(30) > 0 ? 1 : next(0x10000)), true);
  for (let i = 0; i < 128; i++)
    driver.view.setUint16(
      ring + 4 + 2 * i,
      of(next, 3 * next(2), 0, 3, 6 * next(20), next(40) > 0 ? 3 : next(0x10000)),
      true,
    );
}

function act(next: Random, driver: TestDriver): void {
  const size = of(next, 1, 2, 4);
  const offset = of(next, next(64), region.device + next(60), next(region.end), 20);
  const at = offset - (offset % size);
  switch (next(5)) {
    case 0:
      driver.bar.writeMmio(at, size, of(next, 0, 1, 0xf, 0xff, next(2 ** 32)));
      return;
    case 1:
      expect(driver.bar.readMmio(at, size)).toBeGreaterThanOrEqual(0);
      return;
    default:
      driver.notify(next(2));
  }
}

describe('a hostile driver of a block device', () => {
  it('cannot hang the machine, make it throw, or have anything reach outside of disk and RAM', () => {
    let seen = 0;
    for (let seed = 1; seed <= 150; seed++) seen += lifeOf(seed);
    expect(seen).toBeGreaterThan(200);
  });
});
