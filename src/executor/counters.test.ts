import { describe, expect, it } from 'vitest';
import { ControlPage, controlBytes } from '../abi/control.ts';
import { readStatistics } from '../abi/statistics.ts';
import { Arena, ArenaHeader } from '../cpu/arena.ts';
import { Vcpu } from '../cpu/state.ts';
import { memoryMap } from '../machine/memory-map.ts';
import { CounterPublisher } from './counters.ts';

describe('published counters', () => {
  const map = memoryMap(16 << 20);
  const buffer = new SharedArrayBuffer(map.totalBytes);
  const control = new ControlPage(buffer);
  const header = ArenaHeader.at(buffer, map.arena + Arena.header);
  const vcpu = Vcpu.at(buffer, map.vcpu);
  const statistics = (): ReturnType<typeof readStatistics> => readStatistics(control);

  it('are 0 before a guest has run', () => {
    expect(readStatistics(undefined)).toEqual(statistics());
    expect(readStatistics(undefined).exits.portRead).toEqual({ count: 0, milliseconds: 0 });
    expect(map.control + controlBytes).toBeLessThanOrEqual(map.devices);
  });

  it("go on over resets, other executors and the width of the arena's", () => {
    const publisher = new CounterPublisher(buffer, map, control);
    vcpu.retired = 1000n;
    header.compiledRetired = 600n;
    header.tlbMisses = 0xfffffff0;
    header.regions = 7;
    header.regionsAlive = 5;
    header.modulesAlive = 2;
    header.compileMicroseconds = 1500;
    header.longestCompileMicroseconds = 900;
    header.compileStalls = 12;
    header.longCompileStalls = 1;
    header.compiledExits.set([1, 2, 3, 4, 5]);
    publisher.publish();
    expect(statistics()).toMatchObject({
      tiers: { interpreted: 400, compiled: 600 },
      core: { tlbMisses: 0xfffffff0 },
      compiler: {
        regions: 7,
        regionsAlive: 5,
        modulesAlive: 2,
        milliseconds: 1.5,
        longestMilliseconds: 0.9,
        stalls: 12,
        longStalls: 1,
        exits: { go: 1, apart: 2, short: 3, unwind: 4, status: 5 },
      },
    });
    header.tlbMisses = 0x10;
    publisher.publish();
    expect(statistics().core.tlbMisses).toBe(0x100000010);
    // A new executor: the arena begins anew.
    header.compiledRetired = 0n;
    header.tlbMisses = 0;
    header.regions = 0;
    header.regionsAlive = 0;
    header.longestCompileMicroseconds = 0;
    const next = new CounterPublisher(buffer, map, control);
    vcpu.retired = 1100n;
    header.compiledRetired = 10n;
    header.regions = 1;
    next.publish();
    expect(statistics()).toMatchObject({
      tiers: { interpreted: 490, compiled: 610 },
      compiler: { regions: 8, regionsAlive: 0, longestMilliseconds: 0.9 },
    });
  });
});
