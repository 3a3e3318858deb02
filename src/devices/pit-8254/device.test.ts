import { describe, expect, it } from 'vitest';
import { ManualClock, RecordedLine } from '../testing.ts';
import { Pit } from './device.ts';
import { frequencyHz } from './registers.ts';

const ns = (ticks: number) => Math.ceil((ticks * 1e9) / frequencyHz);

function make() {
  const clock = new ManualClock();
  const line = new RecordedLine();
  const pit = new Pit(new SharedArrayBuffer(4096), 0, { clock, line });
  pit.reset();
  const write = (offset: number, value: number) => {
    pit.writePort(offset, 1, value);
  };
  const load = (counter: number, mode: number, count: number) => {
    write(3, (counter << 6) | 0x30 | (mode << 1));
    write(counter, count & 0xff);
    write(counter, count >> 8);
  };
  const latched = (counter: number) => {
    write(3, counter << 6);
    return pit.readPort(counter, 1) | (pit.readPort(counter, 1) << 8);
  };
  const run = (until: number) => {
    while (pit.nextDeadlineNs() <= until) {
      clock.now = pit.nextDeadlineNs();
      pit.onDeadline(clock.now);
    }
    clock.now = until;
  };
  return { clock, line, pit, write, load, latched, run };
}

describe('pit-8254', () => {
  it('mode 2 divides: HZ interrupts a second', () => {
    const t = make();
    t.load(0, 2, 11_932);
    t.run(1e9);
    expect(t.line.edges).toBe(Math.floor(frequencyHz / 11_932));
    expect(t.latched(0)).toBe(11_932 - (Math.floor(frequencyHz) % 11_932));
  });

  it('merges the periods that were missed', () => {
    const t = make();
    t.load(0, 3, 1000);
    t.clock.now = ns(10_500);
    t.pit.onDeadline(t.clock.now);
    expect(t.line.edges).toBe(1);
    expect(t.pit.nextDeadlineNs()).toBe(ns(11_000));
  });

  it('mode 0 interrupts once and counts on through 0', () => {
    const t = make();
    t.load(0, 0, 100);
    expect(t.latched(0)).toBe(100);
    t.run(ns(130));
    expect(t.line.edges).toBe(1);
    expect(t.latched(0)).toBe(0x10000 - 30);
    expect(t.pit.nextDeadlineNs()).toBe(Infinity);
  });

  it('a new count in mode 2 takes effect after the period', () => {
    const t = make();
    t.load(0, 2, 1000);
    t.clock.now = ns(400);
    t.write(0, 200);
    t.write(0, 0);
    expect(t.latched(0)).toBe(600);
    t.run(ns(1000));
    expect(t.line.edges).toBe(1);
    expect(t.pit.nextDeadlineNs()).toBeGreaterThanOrEqual(ns(1200) - 1);
    expect(t.pit.nextDeadlineNs()).toBeLessThanOrEqual(ns(1201));
  });

  it('counter 2 is gated by port 61h and seen through it (the calibration loop of Linux)', () => {
    const t = make();
    t.pit.portB.writePort(0, 1, 1);
    t.load(2, 0, 5000);
    expect(t.pit.portB.readPort(0, 1) & 0x20).toBe(0);
    t.clock.now = ns(5000);
    expect(t.pit.portB.readPort(0, 1) & 0x20).toBe(0x20);
  });

  it('a closed gate stops the count', () => {
    const t = make();
    t.pit.portB.writePort(0, 1, 1);
    t.load(2, 0, 1000);
    t.clock.now = ns(100);
    t.pit.portB.writePort(0, 1, 0);
    t.clock.now = ns(500);
    expect(t.latched(2)).toBe(900);
    t.pit.portB.writePort(0, 1, 1);
    t.clock.now += ns(100);
    expect(Math.abs(t.latched(2) - 800)).toBeLessThanOrEqual(1);
  });

  it('read-back latches status and count', () => {
    const t = make();
    t.load(0, 2, 1000);
    t.write(3, 0xc2);
    expect(t.pit.readPort(0, 1)).toBe(0x80 | 0x30 | 4);
    expect(t.pit.readPort(0, 1) | (t.pit.readPort(0, 1) << 8)).toBe(1000);
  });

  it('counts BCD, and 0 as the largest count', () => {
    const t = make();
    t.write(3, 0x31);
    t.write(0, 0x00);
    t.write(0, 0x10);
    t.clock.now = ns(1);
    expect(t.latched(0)).toBe(0x0999);
    t.load(0, 2, 0);
    expect(t.latched(0)).toBe(0);
    t.clock.now += ns(1);
    expect(t.latched(0)).toBe(0xffff);
  });
});
