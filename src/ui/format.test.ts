import { describe, expect, it } from 'vitest';
import type { GuestStats } from '../vmm/index.ts';
import { callName, durationText, noticeOf, speedText, stateText, tiersText } from './format.ts';

describe('format', () => {
  it('writes durations', () => {
    expect([0, 7.9, 754, 3723].map(durationText)).toEqual(['0:00', '0:07', '12:34', '1:02:03']);
  });

  it('writes speeds', () => {
    expect([0, 0.19, 0.3, 9.96, 231.4].map(speedText)).toEqual([
      'idle',
      'idle',
      '0.3 M instr/s',
      '10.0 M instr/s',
      '231 M instr/s',
    ]);
  });

  it('writes what runs the code', () => {
    const compiler = { regions: 0, regionsAlive: 0, modulesAlive: 0, milliseconds: 0 } as GuestStats['compiler'];
    expect(tiersText({ compiledShare: 0, compiler })).toBe('All of its code is interpreted.');
    const some = { ...compiler, regions: 30, regionsAlive: 20, modulesAlive: 1, milliseconds: 1234 };
    expect(tiersText({ compiledShare: 0.934, compiler: some })).toBe(
      '93 % by compiled code: 20 regions in 1 module; compiling took 1.2 s.',
    );
  });

  it('calls guests by their names, and tells those of one name apart', () => {
    const guests = [
      { id: 'a', name: 'A' },
      { id: 'b', name: 'B' },
      { id: 'b-2', name: 'B' },
      { id: 'x', name: 'C' },
      { id: 'y', name: 'C' },
    ];
    const names = ['a', 'b', 'b-2', 'x', 'y', 'gone'].map((id) => callName(guests, id));
    expect(names).toEqual(['A', 'B', 'B #2', 'C · x', 'C · y', 'gone']);
  });

  it('has a notice for everything but a running guest', () => {
    expect(noticeOf({ state: 'running' })).toBeUndefined();
    expect(noticeOf({ state: 'crashed', cause: { kind: 'executorDied', message: 'x' } })?.tone).toBe('error');
    expect(noticeOf({ state: 'stopped', cause: { kind: 'debugExit', exitCode: 3 } })?.text).toContain('3');
    expect(stateText({ state: 'stopped', cause: { kind: 'poweredOff' } })).toBe('powered off');
  });
});
