import { describe, expect, it } from 'vitest';
import { HostHeader, HostPage, traceLength, vcpuState } from './host-page.ts';

describe('host page', () => {
  it('gives the lock to one at a time, and frees that of one who died', async () => {
    const page = HostPage.create();
    expect(page.lock(3, 0)).toBe(true);
    const waited = page.whenLocked(() => 'coordinator');
    page.fence(2);
    expect(page.header.lock).not.toBe(0);
    page.fence(3);
    expect(await waited).toBe('coordinator');
    expect(page.header.lock).toBe(0);
  });

  it('keeps a thread out that was given up for dead, and that still runs', async () => {
    const page = HostPage.create();
    expect(page.lock(1, 0)).toBe(true);
    page.fence(1);
    // It comes to its end in time.
    page.unlock(1, 0);
    expect(page.lock(1, 0)).toBe(false);
    expect(page.header.lock).toBe(0);
    expect(page.lock(1, 1)).toBe(true);
    // Whoever let go too late does not unlock its successor's lock.
    page.unlock(1, 0);
    expect(page.header.lock).not.toBe(0);
    page.unlock(1, 1);
    expect(page.header.lock).toBe(0);
  });

  it('takes the lock from a thread that died with it after it was given up, for executors and the coordinator', async () => {
    const page = HostPage.create();
    page.fence(0);
    // It took the lock, and got no further: `lock` would have given it back.
    const take = (): void => void Atomics.store(page.words, HostHeader.offsets.lock >> 2, 1);
    take();
    expect(page.lock(1, 0)).toBe(true);
    page.unlock(1, 0);
    take();
    expect(await page.whenLocked(() => 'coordinator')).toBe('coordinator');
    expect(page.header.lock).toBe(0);
  });

  it('rings who ran the vCPU last if it idles, else another that idles', () => {
    const page = HostPage.create();
    for (const n of [0, 1]) {
      page.use('executor', n);
      page.setExecutorState(n, 'idle');
    }
    page.use('vcpu', 40);
    const [vcpu] = page.vcpus.slice(40);
    const home = page.executors[1];
    if (vcpu === undefined || home === undefined) throw new Error('no such place');
    vcpu.executor = 1;
    page.wake(40);
    expect([page.load(0, 'bell'), page.load(1, 'bell')]).toEqual([0, 1]);
    page.setExecutorState(1, 'busy');
    // It has been rung for somebody else, and looks when it wakes up.
    page.wake(40, true);
    expect([page.load(0, 'bell'), page.load(1, 'bell')]).toEqual([0, 1]);
    home.current = 3;
    page.wake(40, true);
    expect([page.load(0, 'bell'), page.load(1, 'bell')]).toEqual([1, 1]);
    expect(page.hasPending).toBe(true);
    expect(page.takePending(0)).toBe(0);
    expect(page.takePending(1)).toBe(1 << 8);
    expect(page.takeUrgent(1)).toBe(1 << 8);
    expect(page.hasPending).toBe(false);
  });

  it('holds a blocked vCPU only', () => {
    const page = HostPage.create();
    const [vcpu] = page.vcpus;
    if (vcpu === undefined) throw new Error('no vCPU');
    expect(page.hold(0, 1)).toBe(false);
    page.admit(0, 8, 5);
    expect(vcpu.restedAt).toBe(8);
    expect(page.hold(0, 1)).toBe(true);
    expect(page.hold(0, 0)).toBe(false);
    page.release(0);
    expect(vcpu.state).toBe(vcpuState.blocked);
  });

  it('leaves out of the trace what was overwritten', () => {
    const page = HostPage.create();
    const record = { ranNs: 0, executor: 0, vcpu: 0, before: -1, from: -1, reason: 'idle', boosted: false } as const;
    for (let n = 0; n < traceLength + 10; n++) page.record({ ...record, atNs: n });
    const { records, next } = page.trace();
    expect(next).toBe(traceLength + 10);
    expect(records.length).toBeGreaterThan(traceLength - 2);
    expect(records.at(-1)).toEqual({ ...record, atNs: traceLength + 9 });
  });
});
