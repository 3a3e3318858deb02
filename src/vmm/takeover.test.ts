/** Executors that die: what becomes of their guests. */
import { afterEach, describe, expect, it } from 'vitest';
import type { VmmEvent } from './coordinator.ts';
import { deathCause } from './guest-status.ts';
import { FakeExecutor } from './testing/fake-executor.ts';
import { endFixtures, fixture, running } from './testing/fixture.ts';

afterEach(endFixtures);

describe('the death of an executor', () => {
  it('is not noticed by a guest at its prompt, as another one goes on', async () => {
    const { vmm, handles } = fixture();
    const events: VmmEvent[] = [];
    vmm.subscribe((event) => void events.push(event));
    const id = await running(vmm);
    vmm.setShare(id, { weight: 7 });
    for (let n = 1; n <= 3; n++) {
      const from = vmm.consolePosition(id);
      if (n === 1) handles[0]?.die('Uncaught Error: gone');
      else await vmm.killExecutor(id);
      await vmm.type(id, 'uname -m\n');
      await vmm.waitForText(id, /^x86_64\r\n~ # $/m, { from });
      expect(handles).toHaveLength(n + 1);
    }
    expect(vmm.get(id).status).toEqual({ state: 'running' });
    expect(vmm.consoleText(id).match(/guest ready/g)).toHaveLength(1);
    // What it is due was set while it ran.
    expect(vmm.share(id).weight).toBe(7);
    const replaced = events.filter((event) => event.kind === 'executorReplaced');
    expect(replaced.map((event) => event.message)).toEqual(['Uncaught Error: gone', 'it was killed', 'it was killed']);
  });

  it('leaves a paused guest paused', async () => {
    const { vmm } = fixture();
    const id = await running(vmm);
    await vmm.type(id, 'spin\n');
    await vmm.waitForText(id, /# spin\r\n/);
    await vmm.pause(id);
    await vmm.killExecutor(id);
    expect(vmm.get(id).status).toEqual({ state: 'paused' });
    await vmm.resume(id);
    expect(vmm.get(id).status).toEqual({ state: 'running' });
    await vmm.powerOff(id);
    await vmm.waitForState(id, ['stopped']);
  });

  it('answers those who wait for the executor itself', async () => {
    const { vmm, handles } = fixture();
    const id = await running(vmm);
    Object.assign(handles[0]?.api ?? {}, { region: () => new Promise<never>(() => {}) });
    const region = vmm.region(id, 0x1000);
    await Promise.all([
      vmm.killExecutor(id),
      expect(region).rejects.toMatchObject({ message: expect.stringMatching(/Ask again/) as string }),
    ]);
    expect(await vmm.region(id, 0x1000)).toContain('region 1000');
  });

  it('does not lose a request that was made at that moment', async () => {
    const { vmm } = fixture();
    const id = await running(vmm);
    const death = vmm.killExecutor(id);
    await vmm.pause(id);
    await death;
    expect(vmm.get(id).status).toEqual({ state: 'paused' });
  });

  it('crashes a guest that computes, with the cause, and no other; it can be started again', async () => {
    const { vmm } = fixture();
    const [id, other] = [await running(vmm), await running(vmm, 'i386')];
    await vmm.type(id, 'spin\n');
    await vmm.waitForText(id, /# spin\r\n/);
    const waiting = vmm.waitForText(id, 'never');
    await Promise.all([
      vmm.killExecutor(id),
      expect(waiting).rejects.toMatchObject({
        code: 'wrongState',
        message: expect.stringMatching(/has ended/) as string,
      }),
    ]);
    expect(vmm.get(id).status).toEqual({
      state: 'crashed',
      cause: { kind: 'executorDied', message: 'it was killed' },
    });
    await expect(vmm.killExecutor(id)).rejects.toMatchObject({ code: 'wrongState' });
    const from = vmm.consolePosition(other);
    await vmm.type(other, 'uname -m\n');
    await vmm.waitForText(other, /i686/, { from });
    await vmm.start(id);
    await vmm.waitForText(id, /guest ready[^]*# $/);
  });

  it('never gives the memory of a guest that went on to another one', async () => {
    const { vmm } = fixture();
    const id = await running(vmm);
    await vmm.killExecutor(id);
    await vmm.kill(id);
    await expect.poll(() => vmm.memory.usedBytes).toBe(0);
    // The first worker may still sleep there.
    expect(vmm.memory).toMatchObject({ memories: 0, keptBytes: 0 });
  });

  it('is the end where no other executor can be had, or where one after the other dies at once', async () => {
    let made = 0;
    const { vmm } = fixture({
      createExecutor: () => {
        if (made++ > 0) throw new Error('no more workers');
        return { api: new FakeExecutor(), died: new Promise<string>(() => {}), terminate: () => {} };
      },
    });
    const id = await running(vmm);
    await vmm.killExecutor(id);
    expect(vmm.get(id).status).toMatchObject({
      state: 'crashed',
      cause: { message: 'it was killed; another one could not be made: no more workers' },
    });

    let deaths = 0;
    const doomed = fixture({
      createExecutor: () => {
        const api = new FakeExecutor();
        const run = () => Promise.reject(new RangeError(`Out of memory (${++deaths})`));
        const first = doomed.handles.length === 0 && deaths === 0 && made++ === 2;
        return {
          api: first ? api : Object.assign(api, { run }),
          died: new Promise<string>(() => {}),
          terminate: () => {},
        };
      },
    });
    const other = await running(doomed.vmm);
    await doomed.vmm.killExecutor(other);
    expect(await doomed.vmm.waitForState(other, ['crashed'])).toEqual({
      state: 'crashed',
      cause: { kind: 'executorOutOfMemory', message: 'RangeError: Out of memory (4)' },
    });
  });

  it('while it starts is a failure to start', async () => {
    const died = Promise.resolve('its script could not be loaded');
    const { vmm } = fixture({ createExecutor: () => ({ api: new FakeExecutor(), died, terminate: () => {} }) });
    const id = await vmm.create('amd64');
    await expect(vmm.start(id)).rejects.toMatchObject({ code: 'hostRefused' });
    expect(vmm.get(id).status).toMatchObject({ state: 'failed', message: expect.stringMatching(/script/) as string });
    await expect.poll(() => vmm.memory.usedBytes).toBe(0);
  });

  it('has a cause that says whether the core trapped, or memory ran out', () => {
    const kinds = (messages: readonly string[]) => messages.map((message) => deathCause(message).kind);
    expect(kinds(['RuntimeError: unreachable', 'Uncaught RuntimeError: memory access out of bounds'])).toEqual([
      'coreTrapped',
      'coreTrapped',
    ]);
    expect(
      kinds(['RangeError: Out of memory', 'Uncaught RangeError: Array buffer allocation failed', 'out of memory']),
    ).toEqual(['executorOutOfMemory', 'executorOutOfMemory', 'executorOutOfMemory']);
    expect(kinds(['it was killed', 'Uncaught TypeError: x is undefined'])).toEqual(['executorDied', 'executorDied']);
  });
});
