import { describe, expect, it } from 'vitest';
import { countFrames } from '../base/frame-entry.ts';
import { Dma } from './dma.ts';
import { FrameTablePages } from './given-pages.ts';
import { fillFrameTable, memoryMap, physical } from './memory-map.ts';

function make() {
  const map = memoryMap(4 << 20);
  const buffer = new SharedArrayBuffer(map.totalBytes);
  fillFrameTable(buffer, map);
  const told: string[] = [];
  const pages = new FrameTablePages(buffer, map);
  pages.connect({
    invalidate: (host, length) => told.push(`${((host - map.frames) / 4096).toString(16)}+${length}`),
    framesChanged: () => told.push('changed'),
  });
  const table = new Uint32Array(buffer, map.frameTable, map.frameCount);
  return { dma: new Dma(buffer, map), pages, told, count: () => countFrames(table) };
}

describe('pages that a guest gives up', () => {
  it('are empty at power-on, and resident once a device wrote to them', () => {
    const { dma, count } = make();
    expect(count()).toEqual({ resident: 0, ballooned: 0, reported: 0 });
    dma.write(0x1ffe, Uint8Array.of(1, 2, 3, 4));
    dma.writeByte(0x5000, 1);
    dma.read(0x9000, 100);
    dma.load(physical.firmware, Uint8Array.of(1));
    expect(count().resident).toBe(4);
  });

  it('read as zero, count no more, and come back with the next write', () => {
    const { dma, pages, told, count } = make();
    dma.write(0x5000, Uint8Array.of(1, 2, 3));
    expect(pages.giveUp(5, 'ballooned')).toBe(true);
    expect(pages.giveUp(5, 'ballooned')).toBe(false);
    expect(pages.giveUp(6, 'reported')).toBe(true);
    pages.settle();
    pages.settle();
    // Page 6 had held nothing: there is nothing to forget.
    expect(told).toEqual(['5+4096', 'changed']);
    expect([...dma.read(0x5000, 3)]).toEqual([0, 0, 0]);
    expect(count()).toEqual({ resident: 0, ballooned: 1, reported: 1 });
    expect([pages.takeBack(5), pages.takeBack(5), pages.takeBack(6)]).toEqual([true, false, false]);
    dma.write(0x6000, Uint8Array.of(9));
    expect(count()).toEqual({ resident: 1, ballooned: 0, reported: 0 });
  });

  it('are RAM of the guest’s own, which it can have back all at once', () => {
    const { pages, count } = make();
    for (const page of [0xa0, 0xf0, 1024, 2 ** 31]) expect(pages.giveUp(page, 'ballooned')).toBe(false);
    for (let page = 0x100; page < 0x120; page++) pages.giveUp(page, 'ballooned');
    expect(count().ballooned).toBe(32);
    pages.takeBackAll();
    expect(count().ballooned).toBe(0);
  });
});
