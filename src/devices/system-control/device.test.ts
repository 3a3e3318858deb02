import { describe, expect, it } from 'vitest';
import { debugExit, SystemControl } from './device.ts';

describe('system-control', () => {
  it('resets through 92h and CF9h', () => {
    const calls: string[] = [];
    const chip = new SystemControl(new SharedArrayBuffer(4096), 0, {
      resetMachine: () => calls.push('reset'),
      setA20: (enabled) => calls.push(`a20 ${enabled}`),
    });
    chip.reset();
    chip.port92.writePort(0, 1, 2);
    chip.port92.writePort(0, 1, 3);
    chip.resetControl.writePort(0, 1, 2);
    chip.resetControl.writePort(0, 1, 6);
    expect(calls).toEqual(['a20 true', 'a20 true', 'reset', 'reset']);
  });

  it('ends with (value << 1) | 1', () => {
    let code = -1;
    debugExit((value) => (code = value)).writePort(0, 4, 0x10);
    expect(code).toBe(0x21);
  });
});
