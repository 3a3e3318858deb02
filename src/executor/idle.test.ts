import { describe, expect, it } from 'vitest';
import { IdleSleep, type Activity } from './idle.ts';

const ms = 1e6;
const second = 1e9;

/** A kernel that ticks each 4 ms and retires 4,000 instructions at each, from `fromNs` on. */
class Ticking {
  readonly sleep = new IdleSleep();
  nowNs: number;
  doorbell = 0;
  retired = 0;

  constructor(fromNs = 0) {
    this.nowNs = fromNs;
  }

  /** One halt: how long it sleeps for a deadline `deadlineMs` away, in ms. */
  halt(deadlineMs = 4, { userRan = false, instructions = 4000 } = {}): number {
    this.retired += instructions;
    const activity: Activity = { userRan, doorbell: this.doorbell, retired: this.retired };
    const until = this.sleep.until(this.nowNs + deadlineMs * ms, this.nowNs, activity);
    const slept = (until - this.nowNs) / ms;
    this.nowNs = until;
    return slept;
  }

  idle(seconds: number): void {
    for (const end = this.nowNs + seconds * second; this.nowNs < end;) this.halt();
  }
}

describe('sleep of a halted vCPU', () => {
  it('ends at each timer while the guest has been quiet for less than a second', () => {
    const guest = new Ticking(5 * second);
    guest.halt(4, { userRan: true });
    for (let n = 0; n < 249; n++) expect(guest.halt()).toBe(4);
    expect(guest.sleep.quiet).toBe(false);
  });

  it('then lasts at least 1/256 of the quiet time, and 100 ms at most', () => {
    const guest = new Ticking();
    guest.idle(1.01);
    expect(guest.sleep.quiet).toBe(true);
    expect(guest.halt(1)).toBeCloseTo(1014 / 256, 0);
    guest.idle(9);
    expect(guest.halt()).toBeGreaterThan(10_000 / 256);
    expect(guest.halt()).toBeLessThan(10_200 / 256);
    guest.idle(60);
    expect(guest.halt()).toBe(100);
  });

  it('ends at each whole second of the quiet time, for programs that sleep so long', () => {
    const guest = new Ticking();
    guest.halt(0, { userRan: true });
    guest.idle(5);
    const wakes = new Set<number>();
    while (guest.nowNs < 20 * second) {
      guest.halt(0.5);
      wakes.add(Math.round(guest.nowNs / ms));
    }
    for (let n = 7; n < 20; n++) expect(wakes.has(n * 1000 + 1), `${n} s`).toBe(true);
    expect(wakes.size).toBeLessThan(256 * Math.log(20 / 5) + 16);
  });

  it('is over as soon as the guest computes, without a halt', () => {
    const guest = new Ticking();
    guest.idle(10);
    guest.sleep.ran(guest.retired + 4000);
    expect(guest.sleep.quiet).toBe(true);
    guest.sleep.ran(guest.retired + 300_000);
    expect(guest.sleep.quiet).toBe(false);
  });

  it('is exact for a timer that is further away', () => {
    const guest = new Ticking();
    guest.idle(60);
    expect(guest.halt(101)).toBe(101);
    expect(guest.halt(500)).toBe(500);
    expect(guest.halt(Infinity)).toBe(Infinity);
  });

  it.each([
    ['user code', (guest: Ticking) => guest.halt(4, { userRan: true })],
    ['a stretch longer than housekeeping', (guest: Ticking) => guest.halt(4, { instructions: 300_000 })],
    [
      'the doorbell',
      (guest: Ticking) => {
        guest.doorbell++;
        return guest.halt();
      },
    ],
  ])('%s ends the quiet', (_, act) => {
    const guest = new Ticking();
    guest.idle(60);
    expect(act(guest)).toBe(4);
    expect(guest.halt()).toBe(4);
    guest.idle(0.9);
    expect(guest.sleep.quiet).toBe(false);
    guest.idle(0.2);
    expect(guest.sleep.quiet).toBe(true);
  });

  it('begins anew with another executor', () => {
    const guest = new Ticking(3600 * second);
    expect(guest.halt()).toBe(4);
  });
});
