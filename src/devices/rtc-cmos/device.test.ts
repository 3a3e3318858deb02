import { describe, expect, it } from 'vitest';
import { ManualClock, RecordedLine } from '../testing.ts';
import { Rtc } from './device.ts';

function make() {
  const clock = new ManualClock();
  const line = new RecordedLine();
  const rtc = new Rtc(new SharedArrayBuffer(4096), 0, { clock, line, lowMemoryBytes: 256 << 20 });
  rtc.setEpoch(Date.UTC(2026, 1, 28, 23, 59, 58) / 1000);
  rtc.reset();
  const read = (index: number) => {
    rtc.writePort(0, 1, index);
    return rtc.readPort(1, 1);
  };
  const write = (index: number, value: number) => {
    rtc.writePort(0, 1, index);
    rtc.writePort(1, 1, value);
  };
  const time = () => [0x32, 9, 8, 7, 4, 2, 0].map((index) => read(index).toString(16).padStart(2, '0')).join(' ');
  return { clock, line, rtc, read, write, time };
}

describe('rtc-cmos', () => {
  it('tells the time in BCD and rolls over', () => {
    const t = make();
    expect(t.time()).toBe('20 26 02 28 23 59 58');
    t.clock.now = 2e9;
    expect(t.time()).toBe('20 26 03 01 00 00 00');
    expect(t.read(6)).toBe(1);
  });

  it('knows binary and twelve-hour modes', () => {
    const t = make();
    t.write(0xb, 4);
    expect(t.read(4)).toBe(0x80 | 11);
    expect(t.read(0)).toBe(58);
  });

  it('shows the update flag in the last 244 µs of a second', () => {
    const t = make();
    t.clock.now = 0.5e9;
    expect(t.read(0xa) & 0x80).toBe(0);
    t.clock.now = 1e9 - 100_000;
    expect(t.read(0xa) & 0x80).toBe(0x80);
  });

  it('can be set, with SET holding the clock', () => {
    const t = make();
    t.write(0xb, 0x82);
    t.clock.now = 5e9;
    t.write(4, 0x12);
    t.write(2, 0x34);
    t.write(0, 0x56);
    t.write(0xb, 0x02);
    t.clock.now = 6e9;
    expect(t.time()).toBe('20 26 02 28 12 34 57');
  });

  it('interrupts periodically until register C is read', () => {
    const t = make();
    t.write(0xa, 0x26); // 1024 Hz
    t.write(0xb, 0x42);
    expect(t.rtc.nextDeadlineNs()).toBe(976_563);
    t.clock.now = 976_563;
    t.rtc.onDeadline(t.clock.now);
    expect(t.line.level).toBe(1);
    expect(t.read(0xc)).toBe(0xc0);
    expect(t.line.level).toBe(0);
  });

  it('interrupts on update and on alarm with wildcards', () => {
    const t = make();
    t.write(1, 0x00);
    t.write(3, 0xff);
    t.write(5, 0xff);
    t.write(0xb, 0x32);
    for (const flags of [0x90, 0xb0]) {
      t.clock.now = t.rtc.nextDeadlineNs();
      t.rtc.onDeadline(t.clock.now);
      expect(t.read(0xc)).toBe(flags);
    }
  });

  it('has the memory sizes', () => {
    const t = make();
    expect(t.read(0x34) | (t.read(0x35) << 8)).toBe((240 << 20) / 65_536);
  });
});
