import { describe, expect, it } from 'vitest';
import { Control, controlAddress, controlBytes, ControlPage, exitCounter, requestBit } from './control.ts';

function make() {
  const control = new ControlPage(new SharedArrayBuffer(controlAddress + controlBytes));
  control.initialize();
  return control;
}

describe('ControlPage', () => {
  it('fits its page and knows itself', () => {
    expect(Control.size).toBeLessThanOrEqual(controlBytes);
    expect(make().valid).toBe(true);
    expect(new ControlPage(new SharedArrayBuffer(controlAddress + controlBytes)).valid).toBe(false);
  });

  it('acknowledges requests by serial', async () => {
    const control = make();
    const serial = control.request(requestBit.pause | requestBit.nmi);
    expect(control.acknowledged(serial)).toBe(false);
    expect(control.take(requestBit.nmi)).toBe(requestBit.nmi);
    expect(control.take(requestBit.nmi)).toBe(0);
    const seen = control.load('acknowledgeSerial');
    const changed = control.changed('acknowledgeSerial', seen);
    control.acknowledge(requestBit.pause, control.load('requestSerial'));
    await changed;
    expect(control.acknowledged(serial)).toBe(true);
    control.release(requestBit.pause);
    expect(control.load('request')).toBe(0);
  });

  it('names states', () => {
    const control = make();
    expect(control.state).toBe('created');
    control.setState('halted');
    expect(control.state).toBe('halted');
  });

  it('does not sleep when the doorbell rang since', () => {
    const control = make();
    const seen = control.doorbellValue();
    control.ring();
    const start = performance.now();
    control.wait(seen, 1000);
    expect(performance.now() - start).toBeLessThan(500);
  });

  it('reads registers consistently, and not while they are written', () => {
    const control = make();
    control.publish((f) => {
      f.publishedRip = 0x1234n;
      f.publishedGpr[0] = 5n;
      f.retired = 42;
    });
    expect(control.readRegisters()).toMatchObject({ rip: 0x1234n, retired: 42 });
    control.publish(() => {
      expect(control.readRegisters()).toBeUndefined();
    });
  });

  it('counts exits by reason', () => {
    const control = make();
    control.count(exitCounter.portRead, 10);
    control.count(exitCounter.portRead, 5);
    expect(control.fields.exitCounts[exitCounter.portRead]).toBe(2);
    expect(control.fields.exitTimeNs[exitCounter.portRead]).toBe(15);
  });
});
