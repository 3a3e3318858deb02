import { describe, expect, it } from 'vitest';
import { RecordedLine } from '../testing.ts';
import { I8042 } from './device.ts';

function make() {
  const keyboardLine = new RecordedLine();
  const auxLine = new RecordedLine();
  const resets = { count: 0 };
  const chip = new I8042(new SharedArrayBuffer(4096), 0, { keyboardLine, auxLine, resetMachine: () => resets.count++ });
  chip.reset();
  const command = (value: number) => {
    chip.command.writePort(0, 1, value);
  };
  const data = (value: number) => {
    chip.data.writePort(0, 1, value);
  };
  const read = () => chip.data.readPort(0, 1);
  const status = () => chip.command.readPort(0, 1);
  return { chip, keyboardLine, auxLine, resets, command, data, read, status };
}

describe('i8042', () => {
  it('passes its self-test and says when there is a byte', () => {
    const t = make();
    t.command(0xaa);
    expect(t.status() & 1).toBe(1);
    expect(t.read()).toBe(0x55);
    expect(t.status() & 1).toBe(0);
  });

  it('keeps its configuration', () => {
    const t = make();
    t.command(0x60);
    t.data(0x43);
    t.command(0x20);
    expect(t.read()).toBe(0x43);
  });

  it('has a keyboard that identifies itself, with an interrupt', () => {
    const t = make();
    t.data(0xf2);
    expect(t.keyboardLine.level).toBe(1);
    expect([t.read(), t.read(), t.read()]).toEqual([0xfa, 0xab, 0x41]);
    expect(t.keyboardLine.level).toBe(0);
  });

  it('loops the aux port back', () => {
    const t = make();
    t.command(0xd3);
    t.data(0x5a);
    expect(t.status() & 0x21).toBe(0x21);
    expect(t.read()).toBe(0x5a);
  });

  it('resets the machine, and keeps A20', () => {
    const t = make();
    t.command(0xfe);
    expect(t.resets.count).toBe(1);
    t.command(0xd1);
    t.data(0xdd);
    expect(t.chip.a20).toBe(false);
  });
});
