import { describe, expect, it } from 'vitest';
import { PciFunction } from '../pci-function/device.ts';
import { PciHost } from './device.ts';
import { hostBridge } from './registers.ts';

describe('pci-host', () => {
  it('reads configuration space by mechanism #1; absent functions float', () => {
    const buffer = new SharedArrayBuffer(4096);
    const host = new PciHost(buffer, 0);
    const bridge = new PciFunction(buffer, 64, { identity: hostBridge, chipRegisters: true });
    host.plug(0, 0, bridge);
    host.reset();
    bridge.reset();
    expect(host.readPort(4, 4)).toBe(-1);
    host.writePort(0, 4, 0x80000000);
    expect(host.readPort(0, 4)).toBe(0x80000000);
    expect(host.readPort(4, 4)).toBe(0x12378086);
    expect(host.readPort(6, 2)).toBe(0x1237);
    host.writePort(0, 4, 0x80000008);
    expect(host.readPort(7, 1)).toBe(6);
    host.writePort(0, 4, 0x80000800);
    expect(host.readPort(4, 4)).toBe(-1);
    expect(() => {
      host.plug(0, 0, bridge);
    }).toThrow('taken');
  });
});
