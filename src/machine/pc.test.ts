import { describe, expect, it } from 'vitest';
import { exitCounter, powerRequest } from '../abi/control.ts';
import { ByteRing } from '../abi/ring.ts';
import { physical } from './memory-map.ts';
import { testMachine } from './testing.ts';

const ioApic = 0xfec00000n;
const localApic = 0xfee00000n;

describe('Pc', () => {
  it('starts at the reset vector with interrupts off', () => {
    const { pc } = testMachine();
    expect([pc.vcpu.rip, pc.vcpu.segBase[1], pc.vcpu.gpr[2]]).toEqual([0xfff0n, 0xffff0000n, 0x106can]);
    expect([pc.vcpu.interruptRequest, pc.control.fields.powerRequest]).toEqual([0, 0]);
  });

  it('delivers IRQ 0 through the 8259 while the APIC is off', () => {
    const { pc } = testMachine();
    for (const [port, value] of [
      [0x20, 0x11],
      [0x21, 0x30],
      [0x21, 4],
      [0x21, 1],
      [0x21, 0xfe],
      [0x43, 0x34],
      [0x40, 0x9c],
      [0x40, 0x2e],
    ] as const) {
      pc.portWrite(port, 1, value);
    }
    expect(pc.vcpu.interruptRequest).toBe(0);
    pc.clock.skipTo(pc.nextDeadlineNs());
    pc.runDeadlines();
    expect([pc.vcpu.interruptRequest, pc.vcpu.attention]).toEqual([1, 1]);
    expect(pc.interruptAcknowledge()).toBe(0x30);
    expect(pc.vcpu.interruptRequest).toBe(0);
  });

  it('delivers the serial port through the I/O APIC, and IRQ 0 at its pin 2', () => {
    const { pc } = testMachine();
    pc.mmioWrite(localApic + 0xf0n, 4, 0x1ff);
    pc.mmioWrite(localApic + 0x350n, 4, 0x10000);
    const redirect = (pin: number, value: number) => {
      pc.mmioWrite(ioApic, 4, 0x10 + 2 * pin);
      pc.mmioWrite(ioApic + 0x10n, 4, value);
    };
    redirect(4, 0x44);
    redirect(2, 0x42);
    pc.portWrite(0x3fc, 1, 8);
    pc.portWrite(0x3f9, 1, 2);
    expect(pc.vcpu.interruptRequest).toBe(1);
    expect(pc.interruptAcknowledge()).toBe(0x44);
    pc.mmioWrite(localApic + 0xb0n, 4, 0);
    pc.portWrite(0x43, 1, 0x30);
    pc.portWrite(0x40, 1, 10);
    pc.portWrite(0x40, 1, 0);
    pc.clock.skipTo(pc.nextDeadlineNs());
    pc.runDeadlines();
    expect(pc.interruptAcknowledge()).toBe(0x42);
    expect(pc.interruptAcknowledge()).toBe(-1);
  });

  it('turns x2APIC on through the vCPU’s APIC base, and keeps CR8 in step', () => {
    const { pc } = testMachine();
    expect(pc.msrRead(0x802, 0x11000)).toBe(0);
    pc.vcpu.msrApicBase = 0xfee00d00n;
    expect(pc.msrRead(0x803, 0x12000)).toBe(1);
    expect(pc.mmioRead(localApic + 0x30n, 4)).toBe(-1);
    expect(pc.msrWrite(0x808, 0x50n)).toBe(1);
    expect(pc.vcpu.cr8).toBe(5n);
    pc.setTaskPriority(2);
    expect(pc.localApic.taskPriority).toBe(0x20);
    expect(pc.msrWrite(0x12345678, 0n)).toBe(0);
    expect(pc.msrRead(0x8b, 0x12000)).toBe(1);
  });

  it('counts virtual time to the instruction, however slices are cut', () => {
    const { pc } = testMachine();
    pc.mmioWrite(localApic + 0xf0n, 4, 0x1ff);
    pc.mmioWrite(localApic + 0x320n, 4, 0x40040);
    pc.vcpu.slice = 1000;
    pc.vcpu.budget = 400; // 600 instructions into a slice
    pc.msrWrite(0x6e0, 10_000n);
    pc.vcpu.retired = 600n;
    pc.vcpu.slice = 0;
    pc.vcpu.budget = 0;
    expect(pc.clock.instructionsUntil(pc.nextDeadlineNs())).toBe(2500 - 600);
  });

  it('asks for power-off, reset and debug exit', () => {
    const { pc } = testMachine();
    pc.portWrite(0x604, 2, 0x2000 | (5 << 10));
    expect([pc.control.fields.powerRequest, pc.vcpu.exitReason]).toEqual([powerRequest.powerOff, 3]);
    pc.reset();
    expect(pc.control.fields.powerRequest).toBe(powerRequest.none);
    for (const [port, value] of [
      [0xcf9, 6],
      [0x64, 0xfe],
      [0x92, 1],
    ] as const) {
      pc.reset();
      pc.portWrite(port, 1, value);
      expect(pc.control.fields.powerRequest).toBe(powerRequest.reset);
    }
    pc.portWrite(0xf4, 4, 5);
    expect([pc.control.fields.powerRequest, pc.control.fields.exitCode]).toEqual([powerRequest.debugExit, 11]);
  });

  it('is of another generation as it becomes a copy, and an event says so; a reset leaves it', () => {
    const { buffer, pc } = testMachine();
    const generation = (): string => Buffer.from(buffer, pc.map.frames + physical.generationId, 16).toString('hex');
    const first = generation();
    pc.reset();
    expect([generation(), pc.portRead(0x60c, 1)]).toEqual([first, 0]);
    pc.renewIdentity();
    expect([generation() === first, pc.portRead(0x60c, 1)]).toEqual([false, 0x20]);
  });

  it('is another one than a second copy of the same machine, under the virtual clock, too', () => {
    const identities = [1, 2].map((copies) => {
      const { buffer, pc } = testMachine();
      pc.control.fields.copies = copies;
      pc.renewIdentity();
      return [Buffer.from(buffer, pc.map.frames + physical.generationId, 16).toString('hex'), ...pc.vcpu.randomState];
    });
    for (const n of [0, 1, 2]) expect(identities[0]?.[n]).not.toEqual(identities[1]?.[n]);
  });

  it('has a PCI host bridge, and floats where isapnp probes', () => {
    const { pc } = testMachine();
    pc.portWrite(0xcf8, 4, 0x80000000 | 0);
    expect(pc.portRead(0xcfc, 4)).toBe(0x12378086);
    expect(pc.portRead(0x203, 1)).toBe(0xff);
    expect(pc.portRead(0xa79, 2)).toBe(0xffff);
  });

  it('goes on in another executor: half-filled FIFO, pending timer, interrupt in service', () => {
    const { buffer, pc, attach } = testMachine();
    const input = new ByteRing(buffer, pc.map.consoleIn);
    pc.mmioWrite(localApic + 0xf0n, 4, 0x1ff);
    pc.mmioWrite(localApic + 0x320n, 4, 0x20040);
    pc.mmioWrite(localApic + 0x380n, 4, 5000);
    pc.portWrite(0x3fa, 1, 0xc1);
    pc.portWrite(0x3f9, 1, 1);
    input.write(Uint8Array.of(10, 20, 30));
    pc.poll();
    pc.clock.skipTo(pc.nextDeadlineNs());
    pc.runDeadlines();
    expect(pc.interruptAcknowledge()).toBe(0x40);
    const deadline = pc.nextDeadlineNs();
    const other = attach();
    expect(other.nextDeadlineNs()).toBe(deadline);
    expect(other.clock.nowNs()).toBe(pc.clock.nowNs());
    expect(other.interruptAcknowledge()).toBe(-1);
    expect([0, 1, 2].map(() => other.portRead(0x3f8, 1))).toEqual([10, 20, 30]);
  });

  it('stops a virtual-time guest while the console is full, and loses nothing', () => {
    const { buffer, pc } = testMachine();
    const output = new ByteRing(buffer, pc.map.consoleOut);
    output.attachConsumer();
    for (let i = 0; i < output.capacity; i++) pc.portWrite(0x3f8, 1, i & 255);
    expect(pc.waitsForConsole).toBe(false);
    pc.portWrite(0x3f8, 1, 77);
    expect(pc.waitsForConsole).toBe(true);
    expect(output.read(10).length).toBe(10);
    pc.poll();
    expect(pc.waitsForConsole).toBe(false);
    expect(output.read().at(-1)).toBe(77);
  });

  it('counts exits', () => {
    const { pc } = testMachine();
    pc.portRead(0x61, 1);
    pc.cpuid(0, 0, 0x12000);
    const { exitCounts } = pc.control.fields;
    expect([exitCounts[exitCounter.portRead], exitCounts[exitCounter.cpuid]]).toEqual([1, 1]);
  });
});
