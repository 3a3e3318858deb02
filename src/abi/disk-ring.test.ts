/** A device and a worker that act at random on one ring: no request is lost, done twice, or touched after it was given up. */
import { describe, expect, it } from 'vitest';
import {
  diskOperation,
  diskResult,
  DiskRing,
  diskRingBytes,
  diskSlots,
  slotState,
  type DiskRequest,
} from './disk-ring.ts';

function random(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

interface Life {
  readonly ring: DiskRing;
  readonly pieces: Uint8Array[];
  /** Serial numbers that the device waits for. */
  readonly waiting: Set<number>;
  readonly done: number[];
  held: DiskRequest[];
  next: number;
}

function submit(life: Life): void {
  const slot = life.ring.freeSlot();
  if (slot < 0) return;
  const serial = life.next++;
  life.ring.setPieces(slot, life.pieces);
  Object.assign(life.ring.slots[slot] ?? {}, { operation: diskOperation.read, offset: 0, length: 16, serial });
  life.ring.submit(slot);
  life.waiting.add(serial);
}

function reap({ ring, waiting, done }: Life): void {
  for (let slot = 0; slot < diskSlots; slot++) {
    if (ring.state(slot) !== slotState.done) continue;
    const serial = ring.slots[slot]?.serial ?? -1;
    expect(waiting.delete(serial)).toBe(true);
    done.push(serial);
    ring.reap(slot);
  }
}

function serve(life: Life, next: (limit: number) => number): void {
  const at = next(life.held.length);
  const request = life.held[at];
  if (request === undefined) return;
  const stands = life.waiting.has(serialOf(life, request)) && life.ring.state(request.slot) !== slotState.free;
  switch (next(3)) {
    case 0:
      life.ring.copy(request, 'taken', () => expect(stands).toBe(true));
      return;
    case 1:
      life.ring.copy(request, 'done', () => expect(stands).toBe(true));
      break;
    default:
      life.ring.finish(request, diskResult.error);
  }
  life.held.splice(at, 1);
}

const serialOf = ({ ring }: Life, { slot }: DiskRequest): number => ring.slots[slot]?.serial ?? -1;

describe('a disk’s ring', () => {
  it('loses nothing, whatever the order', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const next = random(seed);
      const buffer = new SharedArrayBuffer(diskRingBytes + 4096);
      const ring = new DiskRing(buffer, 0);
      const pieces = [new Uint8Array(buffer, diskRingBytes, 16)];
      const life: Life = { ring, pieces, waiting: new Set(), done: [], held: [], next: 0 };
      for (let round = 0; round < 1500; round++) {
        const act = next(100);
        if (act < 40) submit(life);
        else if (act < 50) life.held.push(...ring.submitted(new Set(life.held.map(({ word }) => word))));
        else if (act < 85) serve(life, next);
        else if (act < 98) reap(life);
        else if (act === 98) {
          ring.abandon();
          life.waiting.clear();
        } else {
          // Another worker: what the first one had is not known to it.
          life.held = [];
          ring.restart();
        }
      }
      life.held = ring.submitted(new Set());
      ring.restart();
      for (const request of ring.submitted(new Set())) ring.finish(request, diskResult.ok);
      reap(life);
      expect([...life.waiting]).toEqual([]);
      expect(ring.busy).toBe(false);
      expect(new Set(life.done).size).toBe(life.done.length);
    }
  });

  it('refuses more pieces than a slot has room for', () => {
    const buffer = new SharedArrayBuffer(diskRingBytes);
    const ring = new DiskRing(buffer, 0);
    expect(
      ring.setPieces(
        0,
        Array.from({ length: 513 }, () => new Uint8Array(buffer, 0, 1)),
      ),
    ).toBe(false);
  });
});
