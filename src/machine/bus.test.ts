import { describe, expect, it } from 'vitest';
import { deferred, floating, type PortIo } from '../devices/capabilities.ts';
import { MmioBus, PortBus } from './bus.ts';

function recorder() {
  const accesses: string[] = [];
  const device: PortIo = {
    readPort: (offset, size) => {
      accesses.push(`r${offset}/${size}`);
      return 0x10 + offset;
    },
    writePort: (offset, size, value) => accesses.push(`w${offset}/${size}=${value.toString(16)}`),
  };
  return { accesses, device };
}

describe('PortBus', () => {
  it('gives devices offsets, and floats elsewhere', () => {
    const bus = new PortBus();
    const { accesses, device } = recorder();
    bus.add(device, { name: 'a', base: 0x3f8, length: 8 });
    expect(bus.read(0x3fd, 1)).toBe(0x15);
    expect([bus.read(0x279, 1), bus.read(0x279, 2), bus.read(0x279, 4)]).toEqual([0xff, 0xffff, 0xffffffff]);
    bus.write(0x279, 1, 1);
    expect(accesses).toEqual(['r5/1']);
  });

  it('splits wide accesses to narrow devices', () => {
    const bus = new PortBus();
    const { accesses, device } = recorder();
    bus.add(device, { name: 'a', base: 0x20, length: 2 });
    expect(bus.read(0x20, 2)).toBe(0x1110);
    bus.write(0x20, 4, 0x44332211);
    expect(accesses).toEqual(['r0/1', 'r1/1', 'w0/1=11', 'w1/1=22']);
    expect(bus.read(0x21, 2)).toBe(0xff11);
  });

  it('refuses overlaps when wired', () => {
    const bus = new PortBus();
    const { device } = recorder();
    bus.add(device, { name: 'one', base: 0x60, length: 5 });
    expect(() => bus.add(device, { name: 'two', base: 0x64, length: 1 })).toThrow('ports of two overlap those of one');
  });

  it('turns what no device drives into ones', () => {
    const bus = new PortBus();
    const result = { value: floating };
    bus.add({ readPort: () => result.value, writePort: () => {} }, { name: 'x', base: 0, length: 1 });
    expect(bus.read(0, 1)).toBe(0xff);
    result.value = deferred;
    expect(bus.read(0, 1)).toBe(0xff);
  });
});

describe('MmioBus', () => {
  it('finds ranges and refuses overlaps', () => {
    const bus = new MmioBus();
    const device = { readMmio: (offset: number) => offset, writeMmio: () => {} };
    bus.add(device, { name: 'apic', base: 0xfee00000, length: 0x1000 });
    expect(bus.read(0xfee00030, 4)).toBe(0x30);
    expect(bus.read(0xfed00000, 4)).toBe(0xffffffff);
    expect(() => bus.add(device, { name: 'other', base: 0xfee00fff, length: 1 })).toThrow('overlaps');
  });
});
