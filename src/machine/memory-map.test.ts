import { describe, expect, it } from 'vitest';
import { Vcpu } from '../cpu/state.ts';
import { Dma } from './dma.ts';
import { fillFrameTable, memoryMap, physical, physicalRanges } from './memory-map.ts';

describe('memoryMap', () => {
  it('places regions one after the other, and stays small beside the RAM', () => {
    const map = memoryMap(128 << 20);
    const order = [map.vcpu, map.control, map.devices, map.devicesEnd, map.consoleIn, map.consoleOut, map.log];
    order.push(map.frameTable, map.arena, map.arenaEnd, map.frames);
    expect([...order].sort((a, b) => a - b)).toEqual(order);
    expect(map.vcpu % 64).toBe(0);
    expect(map.vcpu + Vcpu.size).toBeLessThanOrEqual(map.control);
    expect(map.totalBytes % 65_536).toBe(0);
    expect(map.totalBytes - map.ramBytes).toBeLessThan(48 << 20);
  });

  it('keeps its overhead below 48 MiB, and the whole below 4 GiB, up to the largest guest', () => {
    const map = memoryMap(4048 * 2 ** 20);
    expect(map.totalBytes).toBeLessThanOrEqual(2 ** 32);
    expect(map.totalBytes - map.ramBytes).toBeLessThan(48 << 20);
    expect(map.lowRamBytes).toBe(3 * 2 ** 30);
  });

  it('refuses sizes that no guest can have', () => {
    expect(() => memoryMap(1 << 20)).toThrow('must be between 2 and 4048 MiB; 1 MiB');
    expect(() => memoryMap(2 ** 33)).toThrow('8192 MiB');
  });

  it('reports RAM without holes and tables', () => {
    const ranges = physicalRanges(memoryMap(64 << 20));
    expect(ranges.filter((r) => r.type === 1)).toEqual([
      { base: 0, length: 0x9fc00, type: 1 },
      { base: 0x100000, length: 63 << 20, type: 1 },
    ]);
  });
});

describe('frame table and DMA', () => {
  const map = memoryMap(4 << 20);
  const buffer = new SharedArrayBuffer(map.totalBytes);
  fillFrameTable(buffer, map);
  const dma = new Dma(buffer, map);

  it('leaves VGA’s place empty and firmware read-only', () => {
    dma.write(physical.vgaHole, Uint8Array.of(1));
    expect([...dma.read(physical.vgaHole, 1)]).toEqual([0xff]);
    dma.write(physical.firmware, Uint8Array.of(1));
    expect([...dma.read(physical.firmware, 1)]).toEqual([0]);
    dma.load(physical.firmware, Uint8Array.of(2));
    expect([...dma.read(physical.firmware, 1)]).toEqual([2]);
    expect(dma.isRam(0, 0xa0001)).toBe(false);
    expect(dma.isRam(0x100000, 0x300000)).toBe(true);
    expect(dma.isRam(0x100000, 0x300001)).toBe(false);
  });

  it('crosses pages, ends at the end of RAM, and invalidates what it writes page by page', () => {
    const invalidated: string[] = [];
    dma.connect((host, length) => invalidated.push(`${(host - map.frames).toString(16)}+${length}`));
    dma.write(0x1ffe, Uint8Array.of(1, 2, 3, 4));
    expect([...dma.read(0x1ffd, 6)]).toEqual([0, 1, 2, 3, 4, 0]);
    dma.write((4 << 20) - 1, Uint8Array.of(9, 9));
    expect([...dma.read((4 << 20) - 1, 2)]).toEqual([9, 0xff]);
    expect(invalidated).toEqual(['1ffe+2', '2000+2', '3fffff+1']);
  });

  it('maps RAM above 4 GiB behind the rest', () => {
    const large = memoryMap(3.25 * 2 ** 30);
    expect(large.frameCount).toBe((4.25 * 2 ** 30) / 4096);
    expect(physicalRanges(large).at(-1)).toEqual({ base: 2 ** 32, length: 2 ** 28, type: 1 });
  });
});
