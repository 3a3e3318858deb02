import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ControlPage, controlAddress, controlBytes, exitCounter } from '../../abi/control.ts';
import { guestCounter } from '../../abi/statistics.ts';
import { frameBit } from '../../base/frame-entry.ts';
import { endFixtures, fixture, running } from '../testing/fixture.ts';
import { Monitor, sampleIntervalMs, type MonitoredGuest } from './monitor.ts';

const frameTable = controlAddress + controlBytes;

function controlPage(): ControlPage {
  const control = new ControlPage(new SharedArrayBuffer(frameTable + 4096));
  control.initialize();
  control.fields.frameTable = frameTable;
  control.fields.frameCount = 8;
  control.frameTable.set([0x100000, 0x101000 | frameBit.empty, 0x102000 | frameBit.empty | frameBit.ballooned]);
  return control;
}

const usage = {
  limitBytes: 1000,
  usedBytes: 300,
  keptBytes: 100,
  memories: 1,
  maximumMemories: 64,
  cleaning: 0,
  holders: [],
};

/** A monitor of guests that a test changes at will. */
function bench(steal: () => number | undefined = () => undefined) {
  const guests = new Map<string, MonitoredGuest>();
  const monitor = new Monitor({
    guests: () => [...guests.values()],
    pool: () => usage,
    mode: () => (steal() === undefined ? 'hosted' : 'bare-metal'),
    stealSeconds: steal,
    now: () => performance.now(),
  });
  const put = (id: string, control: ControlPage | undefined, more: Partial<MonitoredGuest> = {}) => {
    const status = control === undefined ? ({ state: 'defined' } as const) : ({ state: 'running' } as const);
    guests.set(id, { id, name: id, status, control, ramBytes: 1 << 24, consoleOut: 0, consoleIn: 0, ...more });
    monitor.look();
  };
  return { monitor, guests, put };
}

describe('monitor', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('turns the counts of guest memories into rates, of each guest and of the host', () => {
    let steal = 1;
    const { monitor, put } = bench(() => steal);
    const [a, b] = [controlPage(), controlPage()];
    put('a', a, { consoleOut: 2 ** 32 - 10 });
    put('b', b);
    vi.advanceTimersByTime(sampleIntervalMs);
    for (const control of [a, b]) {
      control.fields.busyNs += 250e6;
      control.fields.retired += 50e6;
      control.fields.counters[guestCounter.interpreted] = 10e6;
      control.fields.counters[guestCounter.compiled] = 40e6;
      control.count(exitCounter.portWrite, 0);
      control.count(exitCounter.halt, 0);
      control.count(exitCounter.halt, 0);
    }
    steal += 0.125;
    put('a', a, { consoleOut: 90, consoleIn: 7 });
    vi.advanceTimersByTime(sampleIntervalMs);
    const { guests, host, atMs } = monitor.snapshot;
    expect(guests['a']).toMatchObject({
      name: 'a',
      state: 'running',
      cpuPercent: 25,
      stealPercent: 12.5,
      millionInstructionsPerSecond: { all: 50, interpreted: 10, compiled: 40 },
      memory: { reservedBytes: 1 << 24, residentBytes: 4096, balloonedBytes: 4096, reportedFreeBytes: 0 },
      consoleBytesPerSecond: { out: 100, in: 7 },
    });
    expect(guests['a']?.exitsPerSecond).toMatchObject({ all: 3, byReason: { halt: 2, portWrite: 1, cpuid: 0 } });
    expect(host).toMatchObject({
      cpuPercent: 50,
      mode: 'bare-metal',
      guestsAlive: 2,
      budgetBytes: 1000,
      keptBytes: 100,
    });
    // What the pool has charged, and not only what guests see of it.
    expect(host.memory).toMatchObject({ reservedBytes: 300, residentBytes: 8192 });
    expect(atMs).toBe(Date.now());
    expect(monitor.host.rows).toBe(3);
  });

  it('begins anew with each life, and shows no rate that spans two', () => {
    const { monitor, put } = bench();
    const first = controlPage();
    first.fields.retired = 1e9;
    put('a', first);
    vi.advanceTimersByTime(sampleIntervalMs);
    expect(monitor.snapshot.guests['a']?.millionInstructionsPerSecond.all).toBe(0);
    const second = controlPage();
    second.fields.retired = 5e9;
    put('a', second);
    vi.advanceTimersByTime(sampleIntervalMs);
    expect(monitor.snapshot.guests['a']?.millionInstructionsPerSecond.all).toBe(0);
    expect(monitor.snapshot.guests['a']?.stealPercent).toBeUndefined();
  });

  it('has one timer, while a guest holds a memory, and forgets guests that are gone', () => {
    const { monitor, put, guests } = bench();
    put('idle', undefined);
    expect(vi.getTimerCount()).toBe(0);
    expect(monitor.history('idle')).toBeUndefined();
    const told = vi.fn<() => void>();
    const unlisten = monitor.onSample(told);
    for (const id of ['a', 'b', 'c']) put(id, controlPage());
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(3 * sampleIntervalMs);
    expect(told).toHaveBeenCalledTimes(4);
    for (const id of ['a', 'b', 'c']) put(id, undefined);
    vi.advanceTimersByTime(2 * sampleIntervalMs);
    expect(vi.getTimerCount()).toBe(0);
    expect(told).toHaveBeenCalledTimes(5);
    expect(monitor.snapshot.guests['a']?.memory.residentBytes).toBe(0);
    unlisten();
    guests.clear();
    monitor.look();
    expect(monitor.history('a')).toBeUndefined();
  });

  it('tells when the balloon has become what it shall be', () => {
    const { monitor, put } = bench();
    const control = controlPage();
    control.fields.balloonTargetPages = 2;
    put('a', control);
    vi.advanceTimersByTime(sampleIntervalMs);
    expect(monitor.log.since().entries).toEqual([]);
    control.frameTable[3] = 0x103000 | frameBit.empty | frameBit.ballooned;
    control.fields.retired++;
    vi.advanceTimersByTime(2 * sampleIntervalMs);
    expect(monitor.log.since().entries.map(({ text }) => text)).toEqual(['It gave up 8 KiB.']);
  });
});

describe('monitor of a coordinator', () => {
  afterEach(endFixtures);

  it('gives figures and events as plain data', async () => {
    const { vmm } = fixture({}, 100);
    const id = await running(vmm);
    const [figures, events] = structuredClone([vmm.monitor(), vmm.events()] as const);
    expect(figures.guests[id]).toMatchObject({ state: 'running', memory: { reservedBytes: 16 * 2 ** 20 } });
    expect(figures.host).toMatchObject({ mode: 'hosted', guestsAlive: 1, budgetBytes: 100 * 2 ** 20 });
    expect(events.entries.map(({ kind }) => kind)).toEqual(['guestAdded', 'starting', 'running']);
    const second = await vmm.create('i386', { memoryMiB: 64 });
    await expect(vmm.start(second)).rejects.toMatchObject({ code: 'outOfMemory' });
    await vmm.setBalloon(id, 0);
    await vmm.setMemoryBudget(200);
    await vmm.killExecutor(id);
    await vmm.kill(id);
    await vmm.remove(second);
    const { entries } = vmm.events(events.next);
    expect(entries.map(({ kind }) => kind)).toEqual([
      'guestAdded',
      'starting',
      'admissionRefused',
      'balloonAsked',
      'memoryLimit',
      'executorReplaced',
      'stopped',
      'guestRemoved',
    ]);
    expect(entries.find(({ kind }) => kind === 'admissionRefused')?.text).toMatch(/only 36 MiB of the limit/);
    expect(vmm.history(id)?.rows).toBeGreaterThan(0);
    expect(vmm.history().rows).toBeGreaterThan(0);
  });
});
