import { describe, expect, it } from 'vitest';
import { FlatMemory, ManualClock } from '../testing.ts';
import { LocalApic } from './device.ts';
import { delivery } from './registers.ts';

function make(initialBase = 0x900) {
  const clock = new ManualClock();
  const memory = new FlatMemory();
  const ended: number[] = [];
  const state = { base: initialBase, nmis: 0 };
  const apic = new LocalApic(new SharedArrayBuffer(4096), 0, {
    clock,
    memory,
    baseFlags: () => state.base,
    changed: () => {},
    nmi: () => state.nmis++,
    init: () => {},
    endOfInterrupt: (vector) => ended.push(vector),
  });
  apic.reset();
  const write = (offset: number, value: number) => {
    apic.writeMmio(offset, 4, value);
  };
  const read = (offset: number) => apic.readMmio(offset, 4);
  write(0xf0, 0x1ff);
  return { apic, clock, memory, ended, state, read, write };
}

describe('local-apic', () => {
  it('takes the highest vector, by class of priority, until EOI', () => {
    const { apic, write } = make();
    apic.accept(delivery.fixed, 0x31, false);
    apic.accept(delivery.fixed, 0x52, false);
    expect(apic.acknowledge()).toBe(0x52);
    apic.accept(delivery.fixed, 0x58, false);
    expect(apic.acknowledge()).toBe(-1);
    write(0xb0, 0);
    expect(apic.acknowledge()).toBe(0x58);
    write(0xb0, 0);
    expect(apic.acknowledge()).toBe(0x31);
  });

  it('task priority holds back; CR8 is its upper half', () => {
    const { apic, read } = make();
    apic.accept(delivery.fixed, 0x41, false);
    apic.setTaskPriority(4);
    expect(apic.pendingVector()).toBe(-1);
    expect(read(0x80)).toBe(0x40);
    expect(read(0xa0)).toBe(0x40);
    apic.setTaskPriority(3);
    expect(apic.pendingVector()).toBe(0x41);
  });

  it('passes the EOI of level-triggered vectors on', () => {
    const { apic, ended, write } = make();
    apic.accept(delivery.fixed, 0x61, true);
    apic.acknowledge();
    write(0xb0, 0);
    apic.accept(delivery.fixed, 0x61, false);
    apic.acknowledge();
    write(0xb0, 0);
    expect(ended).toEqual([0x61]);
  });

  it('runs the timer one-shot and periodic, with the divider', () => {
    const { apic, clock, read, write } = make();
    write(0x3e0, 3); // divide by 16
    write(0x320, 0x20030); // periodic
    write(0x380, 1000);
    expect(apic.nextDeadlineNs()).toBe(16_000);
    clock.now = 4000;
    expect(read(0x390)).toBe(750);
    clock.now = 40_000;
    apic.onDeadline(clock.now);
    expect(apic.nextDeadlineNs()).toBe(48_000);
    expect(apic.acknowledge()).toBe(0x30);
    write(0x320, 0x30);
    write(0x380, 100);
    clock.now = 41_600;
    apic.onDeadline(clock.now);
    expect(apic.nextDeadlineNs()).toBe(Infinity);
    expect(read(0x390)).toBe(0);
  });

  it('runs the timer by TSC deadline, and disarms it by 0 or a change of mode', () => {
    const { apic, clock, write } = make();
    write(0x320, 0x40031);
    apic.writeMsr(0x6e0, 5000n);
    expect(apic.nextDeadlineNs()).toBe(5000);
    expect(apic.readMsr(0x6e0)).toBe(5000n);
    clock.now = 5000;
    apic.onDeadline(5000);
    expect(apic.readMsr(0x6e0)).toBe(0n);
    expect(apic.acknowledge()).toBe(0x31);
    apic.writeMsr(0x6e0, 9000n);
    apic.writeMsr(0x6e0, 0n);
    expect(apic.nextDeadlineNs()).toBe(Infinity);
    apic.writeMsr(0x6e0, 9000n);
    write(0x320, 0x31);
    expect(apic.nextDeadlineNs()).toBe(Infinity);
  });

  it('sends interrupts to itself', () => {
    const { apic, state, write } = make();
    write(0x310, 0);
    write(0x300, 0x4050);
    expect(apic.acknowledge()).toBe(0x50);
    write(0x300, 0x40060); // shorthand self
    expect(apic.acknowledge()).toBe(0x60);
    write(0x300, 0xc0070); // all but self: nobody
    expect(apic.acknowledge()).toBe(-1);
    write(0x300, 0x40400); // NMI
    expect(state.nmis).toBe(1);
  });

  it('matches logical destinations, flat and cluster', () => {
    const { apic, write } = make();
    write(0xd0, 0x01000000);
    expect([apic.matches(1, true), apic.matches(3, true), apic.matches(2, true)]).toEqual([true, true, false]);
    write(0xe0, 0x0fffffff);
    write(0xd0, 0x21000000);
    expect([apic.matches(0x21, true), apic.matches(0x11, true)]).toEqual([true, false]);
  });

  it('x2APIC: registers as MSRs, the ICR as one, #GP on what is reserved', () => {
    const { apic, state, read } = make();
    state.base = 0xd00;
    expect(read(0x20)).toBe(-1);
    expect(apic.readMsr(0x802)).toBe(0n);
    expect(apic.readMsr(0x80d)).toBe(1n);
    expect(apic.readMsr(0x80e)).toBeUndefined();
    expect(apic.writeMsr(0x830, 0x40052n)).toBe(true);
    expect(apic.acknowledge()).toBe(0x52);
    expect(apic.writeMsr(0x80b, 0n)).toBe(true);
    expect(apic.writeMsr(0x83f, 0x44n)).toBe(true);
    expect(apic.acknowledge()).toBe(0x44);
    expect(apic.writeMsr(0x802, 1n)).toBe(false);
    state.base = 0x900;
    expect(apic.writeMsr(0x80b, 0n)).toBe(false);
  });

  it('lets the 8259 through while software-disabled, or by LINT0 in ExtINT mode', () => {
    const { apic, write } = make();
    expect(apic.passesExternal).toBe(true);
    write(0x350, 0x10700);
    expect(apic.passesExternal).toBe(false);
    write(0xf0, 0xff);
    expect(apic.passesExternal).toBe(true);
  });

  it('paravirtual EOI: clearing the flag ends the interrupt, and a new request takes the flag back', () => {
    const { apic, memory, write } = make();
    apic.writeMsr(0x4b564d04, 0x101n);
    apic.accept(delivery.fixed, 0x41, false);
    apic.acknowledge();
    expect(memory.bytes[0x100]).toBe(1);
    memory.bytes[0x100] = 0;
    apic.accept(delivery.fixed, 0x42, false);
    expect(apic.acknowledge()).toBe(0x42);
    expect(memory.bytes[0x100]).toBe(1);
    apic.accept(delivery.fixed, 0x43, false);
    expect(memory.bytes[0x100]).toBe(0);
    expect(apic.acknowledge()).toBe(-1);
    write(0xb0, 0);
    expect(apic.acknowledge()).toBe(0x43);
  });
});
