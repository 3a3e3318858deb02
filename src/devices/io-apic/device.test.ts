import { describe, expect, it } from 'vitest';
import { IoApic, type Message } from './device.ts';

function make() {
  const messages: Message[] = [];
  const io = new IoApic(new SharedArrayBuffer(4096), 0, { deliver: (message) => messages.push(message) > 0 });
  io.reset();
  const write = (register: number, value: number) => {
    io.writeMmio(0, 4, register);
    io.writeMmio(0x10, 4, value);
  };
  const read = (register: number) => {
    io.writeMmio(0, 4, register);
    return io.readMmio(0x10, 4);
  };
  return { io, messages, read, write };
}

describe('io-apic', () => {
  it('has 24 masked entries', () => {
    const { read } = make();
    expect(read(1)).toBe(0x170011);
    expect(read(0x10)).toBe(0x10000);
  });

  it('sends one message per edge, none while masked', () => {
    const { io, messages, write } = make();
    io.setPin(4, 1);
    io.setPin(4, 0);
    write(0x18, 0x34);
    write(0x19, 0x02000000);
    io.setPin(4, 1);
    io.setPin(4, 1);
    io.setPin(4, 0);
    io.setPin(4, 1);
    expect(messages.length).toBe(2);
    expect(messages[0]).toEqual({ mode: 0, vector: 0x34, level: false, destination: 2, logical: false });
  });

  it('holds a level pin until EOI, and repeats it while asserted', () => {
    const { io, messages, read, write } = make();
    write(0x22, 0x8039);
    io.setPin(9, 1);
    io.setPin(9, 1);
    expect(messages.length).toBe(1);
    expect(read(0x22)).toBe(0xc039);
    io.endOfInterrupt(0x39);
    expect(messages.length).toBe(2);
    io.setPin(9, 0);
    io.endOfInterrupt(0x39);
    expect(messages.length).toBe(2);
    expect(read(0x22)).toBe(0x8039);
  });

  it('delivers a level pin that was asserted when it is unmasked', () => {
    const { io, messages, write } = make();
    write(0x22, 0x18039);
    io.setPin(9, 1);
    expect(messages.length).toBe(0);
    write(0x22, 0x8039);
    expect(messages.length).toBe(1);
  });
});
