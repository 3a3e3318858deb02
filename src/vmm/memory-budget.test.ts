import { afterEach, describe, expect, it } from 'vitest';
import type { Settings } from './host.ts';
import { initialBudget } from './memory-budget.ts';
import { endFixtures, fixture, running } from './testing/fixture.ts';

afterEach(endFixtures);

function settingsOf(entries: Record<string, string> = {}): Settings & { readonly entries: Record<string, string> } {
  return {
    entries,
    read: (key) => entries[key],
    write: (key, value) => void (entries[key] = value),
  };
}

describe('memory budget', () => {
  it('is half of what the device has, from 1 to 4 GiB, or what the user has set', () => {
    expect(initialBudget(undefined, 8)).toEqual({ mib: 4096, from: 'device' });
    expect(initialBudget(settingsOf(), 4)).toEqual({ mib: 2048, from: 'device' });
    expect(initialBudget(settingsOf(), 0.25)).toEqual({ mib: 1024, from: 'device' });
    expect(initialBudget(settingsOf(), 32)).toEqual({ mib: 4096, from: 'device' });
    expect(initialBudget(settingsOf(), undefined)).toEqual({ mib: 2048, from: 'default' });
    expect(initialBudget(settingsOf({ 'tabvisor.memoryLimitMiB': '300' }), 8)).toEqual({ mib: 300, from: 'user' });
    expect(initialBudget(settingsOf({ 'tabvisor.memoryLimitMiB': 'much' }), 8)).toEqual({ mib: 4096, from: 'device' });
  });

  it('is set, kept for the next visit, and told with what is reserved for whom', async () => {
    const settings = settingsOf();
    const { vmm } = fixture({ settings });
    const id = await running(vmm);
    const state = await vmm.setMemoryBudget(100);
    expect(state).toMatchObject({ budget: { mib: 100, from: 'user' }, limitBytes: 100 * 2 ** 20 });
    expect(state.guests).toEqual([
      { id, name: 'Linux (64-bit)', reservedBytes: 64 * 2 ** 20, residentBytes: expect.any(Number) as number },
    ]);
    expect(initialBudget(settings, 8).mib).toBe(100);
    const other = await vmm.create('i386');
    await expect(vmm.start(other)).rejects.toThrow(/36 MiB of the limit of 100 MiB are free: reserved are 64 MiB by/);
    for (const wrong of [0, 1.5, Number.NaN, 2 ** 21]) {
      await expect(vmm.setMemoryBudget(wrong)).rejects.toMatchObject({ code: 'badArgument' });
    }
    await vmm.setMemoryBudget(128);
    await vmm.start(other);
    await vmm.kill(id);
    expect(vmm.memoryPool().guests).toHaveLength(1);
  });
});
