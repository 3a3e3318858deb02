import { describe, expect, it } from 'vitest';
import { PicPair } from './device.ts';

function make() {
  const pic = new PicPair(new SharedArrayBuffer(4096), 0, () => {});
  pic.reset();
  const setUp = (port: PicPair['master'], base: number, cascade: number) => {
    port.writePort(0, 1, 0x11);
    port.writePort(1, 1, base);
    port.writePort(1, 1, cascade);
    port.writePort(1, 1, 1);
    port.writePort(1, 1, 0);
  };
  setUp(pic.master, 0x20, 4);
  setUp(pic.slave, 0x28, 2);
  return pic;
}

describe('pic-8259', () => {
  it('serves by priority, and holds lower ones until EOI', () => {
    const pic = make();
    pic.setLine(4, 1);
    pic.setLine(1, 1);
    expect(pic.acknowledge()).toBe(0x21);
    expect(pic.output).toBe(false);
    pic.setLine(0, 1);
    expect(pic.acknowledge()).toBe(0x20);
    pic.master.writePort(0, 1, 0x20);
    pic.master.writePort(0, 1, 0x20);
    expect(pic.acknowledge()).toBe(0x24);
  });

  it('cascades the slave at input 2', () => {
    const pic = make();
    pic.setLine(8, 1);
    pic.setLine(12, 1);
    expect(pic.acknowledge()).toBe(0x28);
    pic.slave.writePort(0, 1, 0x20);
    pic.master.writePort(0, 1, 0x20);
    expect(pic.acknowledge()).toBe(0x2c);
  });

  it('masks, and latches an edge meanwhile', () => {
    const pic = make();
    pic.master.writePort(1, 1, 0x10);
    pic.setLine(4, 1);
    expect(pic.output).toBe(false);
    pic.master.writePort(1, 1, 0);
    expect(pic.output).toBe(true);
  });

  it('gives vector 7 for a request that went away', () => {
    const pic = make();
    pic.setLine(3, 1);
    pic.setLine(3, 0);
    expect(pic.acknowledge()).toBe(0x27);
    expect(pic.master.readPort(0, 1)).toBe(0);
  });

  it('repeats level-triggered requests, not edges', () => {
    const pic = make();
    pic.elcr.writePort(1, 1, 0x02); // IRQ 9 level
    pic.setLine(9, 1);
    for (let i = 0; i < 2; i++) {
      expect(pic.acknowledge()).toBe(0x29);
      pic.slave.writePort(0, 1, 0x61);
      pic.master.writePort(0, 1, 0x62);
    }
    pic.setLine(9, 0);
    expect(pic.output).toBe(false);
    pic.setLine(4, 1);
    expect(pic.acknowledge()).toBe(0x24);
    pic.master.writePort(0, 1, 0x20);
    expect(pic.output).toBe(false);
  });

  it('reads IRR and ISR, polls, rotates, ends automatically', () => {
    const pic = make();
    pic.setLine(5, 1);
    pic.master.writePort(0, 1, 0x0a);
    expect(pic.master.readPort(0, 1)).toBe(0x20);
    pic.master.writePort(0, 1, 0x0c);
    expect(pic.master.readPort(0, 1)).toBe(0x85);
    pic.master.writePort(0, 1, 0x0b);
    expect(pic.master.readPort(0, 1)).toBe(0x20);
    pic.master.writePort(0, 1, 0xa0); // rotate on EOI: 6 is highest now
    pic.setLine(1, 1);
    pic.setLine(7, 1);
    expect(pic.acknowledge()).toBe(0x27);
  });
});
