import { describe, expect, it } from 'vitest';
import { ManualClock, RecordedLine } from '../testing.ts';
import { AcpiPm } from './device.ts';

function make() {
  const clock = new ManualClock();
  const line = new RecordedLine();
  const off = { count: 0 };
  const pm = new AcpiPm(new SharedArrayBuffer(4096), 0, { clock, line, powerOff: () => off.count++ });
  pm.reset();
  return { clock, line, off, pm };
}

describe('acpi-pm', () => {
  it('counts 3.579545 MHz in 24 bits', () => {
    const { clock, pm } = make();
    clock.now = 1e9;
    expect(pm.readPort(8, 4)).toBe(3_579_545);
    clock.now = 5e9;
    expect(pm.readPort(8, 4)).toBe((5 * 3_579_545) % 2 ** 24);
  });

  it('powers off on S5 only', () => {
    const { off, pm } = make();
    expect(pm.readPort(4, 2)).toBe(1);
    pm.writePort(4, 2, 0x2000 | (1 << 10));
    expect(off.count).toBe(0);
    pm.writePort(4, 2, 0x2000 | (5 << 10));
    expect(off.count).toBe(1);
  });

  it('raises the SCI for the power button until its status is cleared', () => {
    const { line, pm } = make();
    pm.pressPowerButton();
    expect(line.level).toBe(0);
    pm.writePort(2, 2, 0x100);
    expect(line.level).toBe(1);
    pm.writePort(0, 2, 0x100);
    expect(line.level).toBe(0);
  });

  it('raises the SCI for a general-purpose event that is enabled, until its status is cleared', () => {
    const { line, pm } = make();
    pm.raiseGpe(5);
    expect([line.level, pm.readPort(12, 1)]).toEqual([0, 0x20]);
    pm.writePort(13, 1, 0x20);
    expect([line.level, pm.readPort(12, 2)]).toEqual([1, 0x2020]);
    // Bytes of their own: clearing a status leaves what is enabled.
    pm.writePort(12, 1, 0x20);
    expect([line.level, pm.readPort(12, 2)]).toEqual([0, 0x2000]);
    pm.reset();
    expect(pm.readPort(12, 2)).toBe(0);
  });

  it('raises the SCI when the timer’s top bit changes', () => {
    const { clock, line, pm } = make();
    pm.writePort(2, 2, 1);
    clock.now = pm.nextDeadlineNs();
    expect(clock.now / 1e9).toBeCloseTo(2 ** 23 / 3_579_545, 6);
    pm.onDeadline(clock.now);
    expect(line.level).toBe(1);
    expect(pm.nextDeadlineNs()).toBe(Infinity);
  });
});
