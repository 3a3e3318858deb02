import { describe, expect, it } from 'vitest';
import { Bytes, ManualClock, RecordedLine } from '../testing.ts';
import { SerialPort } from './device.ts';

function make() {
  const buffer = new SharedArrayBuffer(4096);
  const wires = { clock: new ManualClock(), line: new RecordedLine(), input: new Bytes(), output: new Bytes() };
  const attach = () => new SerialPort(buffer, 0, wires);
  const port = attach();
  port.reset();
  const read = (offset: number) => port.readPort(offset, 1);
  const write = (offset: number, value: number) => {
    port.writePort(offset, 1, value);
  };
  return { ...wires, port, attach, read, write };
}

describe('serial-16550', () => {
  it('sends bytes in order and reports an empty transmitter', () => {
    const t = make();
    expect(t.read(5)).toBe(0x60);
    t.write(0, 0x41);
    t.write(0, 0x42);
    expect(t.output.taken).toEqual([0x41, 0x42]);
    expect(t.read(5)).toBe(0x60);
  });

  it('raises the transmitter interrupt when it is enabled, and IIR clears it', () => {
    const t = make();
    t.write(4, 8);
    t.write(1, 2);
    expect(t.line.level).toBe(1);
    expect(t.read(2)).toBe(2);
    expect(t.line.level).toBe(0);
    expect(t.read(2)).toBe(1);
    t.write(0, 0x41);
    expect(t.line.level).toBe(1);
  });

  it('gates the interrupt by OUT2', () => {
    const t = make();
    t.write(1, 2);
    expect(t.line.level).toBe(0);
    t.write(4, 8);
    expect(t.line.level).toBe(1);
  });

  it('stays busy while the console has no room, loses nothing, and goes on in a new executor', () => {
    const t = make();
    t.write(2, 1);
    t.write(4, 8);
    t.write(1, 2);
    t.output.full = true;
    t.write(0, 1);
    t.write(0, 2);
    expect(t.read(5) & 0x60).toBe(0);
    expect(t.line.level).toBe(0);
    const again = t.attach();
    expect(again.outputWaiting).toBe(true);
    const due = again.nextDeadlineNs();
    again.onDeadline(due);
    expect(again.nextDeadlineNs()).toBeGreaterThan(due);
    t.output.full = false;
    again.poll();
    expect(t.output.taken).toEqual([1, 2]);
    expect(t.line.level).toBe(1);
    expect(again.nextDeadlineNs()).toBe(Infinity);
  });

  it('receives at the FIFO trigger level, and below it by time-out', () => {
    const t = make();
    t.write(2, 0x41); // FIFOs on, trigger at 4
    t.write(4, 8);
    t.write(1, 1);
    t.input.queue = [1, 2, 3];
    t.port.poll();
    expect(t.line.level).toBe(0);
    t.clock.now = t.port.nextDeadlineNs();
    t.port.onDeadline(t.clock.now);
    expect(t.line.level).toBe(1);
    expect(t.read(2)).toBe(0xcc);
    t.input.queue.push(4);
    t.port.poll();
    expect(t.read(2)).toBe(0xc4);
    expect([t.read(0), t.read(0), t.read(0), t.read(0)]).toEqual([1, 2, 3, 4]);
    expect(t.line.level).toBe(0);
    expect(t.read(5) & 1).toBe(0);
  });

  it('leaves what does not fit the FIFO in the console ring: no overrun', () => {
    const t = make();
    t.write(2, 1);
    t.write(1, 1);
    t.input.queue = Array.from({ length: 40 }, (_, i) => i);
    t.port.poll();
    expect(t.input.queue.length).toBe(24);
    for (let i = 0; i < 40; i++) {
      expect(t.read(5)).toBe(0x61);
      expect(t.read(0)).toBe(i);
    }
  });

  it('keeps what was typed before the driver was there (the start-up of Linux’s 8250 driver)', () => {
    const t = make();
    t.input.queue = Array.from({ length: 40 }, (_, i) => i + 1);
    t.port.poll();
    for (const value of [1, 7, 0]) t.write(2, value);
    for (const offset of [5, 0, 2, 6]) t.read(offset);
    t.write(4, 8);
    for (const offset of [5, 0, 2, 6]) t.read(offset);
    t.write(2, 0x81);
    t.write(1, 5);
    expect(t.line.level).toBe(1);
    const got = [];
    while ((t.read(5) & 1) !== 0) got.push(t.read(0));
    expect(got).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
  });

  it('gives a guest that polls without interrupts its bytes', () => {
    const t = make();
    t.input.queue = [65, 66];
    const getByte = () => {
      for (let i = 0; i < 20; i++) if ((t.read(5) & 1) !== 0) return t.read(0);
      return -1;
    };
    expect([getByte(), getByte(), getByte()]).toEqual([65, 66, -1]);
  });

  it('loops back data and modem lines, with overrun', () => {
    const t = make();
    t.write(4, 0x1a); // loop, RTS, OUT2
    expect(t.read(6) & 0xf0).toBe(0x90);
    t.write(0, 0x5a);
    expect(t.read(5) & 1).toBe(1);
    t.write(0, 0x5b);
    expect(t.read(5) & 2).toBe(2);
    expect(t.read(0)).toBe(0x5b);
    expect(t.output.taken).toEqual([]);
  });

  it('keeps the divisor behind DLAB, and a scratch register', () => {
    const t = make();
    t.write(3, 0x83);
    t.write(0, 1);
    t.write(1, 0);
    expect([t.read(0), t.read(1)]).toEqual([1, 0]);
    t.write(3, 3);
    t.write(7, 0xa5);
    expect([t.read(7), t.read(1), t.read(3)]).toEqual([0xa5, 0, 3]);
  });
});
