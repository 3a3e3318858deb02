import { afterEach, describe, expect, it } from 'vitest';
import type { Coordinator } from './coordinator.ts';
import { FakeExecutor } from './testing/fake-executor.ts';
import { endFixtures, fixture, running } from './testing/fixture.ts';

afterEach(endFixtures);

describe('coordinator', () => {
  it('boots two guests side by side and talks to each', async () => {
    const { vmm } = fixture();
    const [a, b] = [await running(vmm, 'amd64'), await running(vmm, 'i386')];
    for (const [id, machine] of [
      [a, 'x86_64'],
      [b, 'i686'],
    ] as const) {
      const from = vmm.consolePosition(id);
      await vmm.type(id, 'uname -m\n');
      const match = await vmm.waitForText(id, /^(\w+)\r\n~ # /m, { from });
      expect(match.groups[0]).toBe(machine);
    }
    expect(vmm.list().map((guest) => guest.status.state)).toEqual(['running', 'running']);
    expect(vmm.stats(a).instructions).toBeGreaterThan(0);
  });

  it('pauses within 50 ms while the guest computes, and resumes', async () => {
    const { vmm } = fixture();
    const id = await running(vmm);
    await vmm.type(id, 'spin\n');
    await new Promise((resolve) => setTimeout(resolve, 30));
    const start = performance.now();
    await vmm.pause(id);
    expect(performance.now() - start).toBeLessThan(50);
    expect(vmm.get(id).status).toEqual({ state: 'paused' });
    const before = vmm.stats(id).instructions;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(vmm.stats(id).instructions).toBe(before);
    await vmm.resume(id);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(vmm.stats(id).instructions).toBeGreaterThan(before);
  });

  it('gives the compiled code of an address while the guest runs, or says what there is', async () => {
    const { vmm } = fixture();
    const id = await vmm.create('amd64');
    await expect(vmm.region(id, 0x1000)).rejects.toMatchObject({ code: 'wrongState' });
    await vmm.start(id);
    for (const address of [0x1000, 0x1000n, '1000', '0x1000']) {
      expect(await vmm.region(id, address)).toBe('region 1000 to 1004\n');
    }
    await vmm.pause(id);
    await expect(vmm.region(id, 0x2000)).rejects.toMatchObject({
      code: 'noRegion',
      message: expect.stringMatching(/begins at 2000/),
    });
    await expect(vmm.region(id, 'main')).rejects.toMatchObject({ code: 'badArgument' });
    await vmm.kill(id);
    await expect(vmm.region(id, 0x1000)).rejects.toMatchObject({ code: 'wrongState' });
  });

  it('resets, powers off and starts again in a recycled memory', async () => {
    const { vmm } = fixture();
    const id = await running(vmm);
    const from = vmm.consolePosition(id);
    await vmm.reset(id);
    await vmm.waitForText(id, 'guest ready', { from });
    await vmm.powerOff(id);
    expect(await vmm.waitForState(id, ['stopped'])).toEqual({ state: 'stopped', cause: { kind: 'poweredOff' } });
    expect(vmm.consoleText(id)).toContain('Power down');
    await expect(vmm.type(id, 'x')).rejects.toMatchObject({ code: 'wrongState' });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(vmm.memory).toMatchObject({ usedBytes: 0, memories: 1 });
    await vmm.start(id);
    expect(vmm.memory.memories).toBe(1);
    await vmm.waitForText(id, 'guest ready');
  });

  it('kills a guest, also one that does not answer', async () => {
    const { vmm } = fixture();
    const id = await running(vmm);
    await vmm.kill(id);
    expect(vmm.get(id).status).toEqual({ state: 'stopped', cause: { kind: 'killed' } });
    const deaf = fixture({
      createExecutor: () => ({
        api: Object.assign(new FakeExecutor(), { run: () => new Promise<never>(() => {}) }),
        died: new Promise<string>(() => {}),
        terminate: () => {},
      }),
    });
    const other = await deaf.vmm.create('amd64');
    await deaf.vmm.start(other);
    await deaf.vmm.kill(other);
    expect(deaf.vmm.get(other).status.state).toBe('stopped');
    expect(deaf.vmm.memory).toMatchObject({ usedBytes: 0, memories: 0 });
  });

  it('tells a crash and its cause, and the other guest goes on', async () => {
    const { vmm, handles } = fixture();
    const [a, b, c] = [await running(vmm), await running(vmm, 'i386'), await running(vmm, 'i386')];
    expect(c).toBe('i386-2');
    await vmm.type(a, 'crash\n');
    expect(await vmm.waitForState(a, ['crashed'])).toMatchObject({
      cause: { kind: 'tripleFault', message: expect.stringContaining('RIP') as string },
    });
    await vmm.type(c, 'spin\n');
    await vmm.waitForText(c, /# spin\r\n/);
    handles[2]?.die('Uncaught RangeError');
    expect(await vmm.waitForState(c, ['crashed'])).toEqual({
      state: 'crashed',
      cause: { kind: 'executorDied', message: 'Uncaught RangeError' },
    });
    await vmm.type(b, 'echo still here\n');
    await vmm.waitForText(b, 'still here\r\n~ #');
    await vmm.type(b, 'die\n');
    expect(await vmm.waitForState(b, ['crashed'])).toMatchObject({ cause: { kind: 'executorDied' } });
  });

  it('refuses what cannot be started, with a message', async () => {
    const { vmm, asked } = fixture({}, 100);
    await expect(vmm.create('nonesuch')).rejects.toMatchObject({
      code: 'unknownCatalogueId',
      message: expect.stringContaining('It has amd64, i386') as string,
    });
    const failing = async (what: Parameters<Coordinator['create']>[0], code: string, message: RegExp) => {
      const id = await vmm.create(what);
      await expect(vmm.start(id)).rejects.toMatchObject({ code });
      expect(vmm.get(id).status).toMatchObject({ state: 'failed', code });
      const { status } = vmm.get(id);
      expect(status.state === 'failed' ? status.message : '').toMatch(message);
    };
    await failing('noKernel', 'badGuest', /no kernel/);
    await failing('missing', 'fetchFailed', /missing does not exist \(HTTP 404\)/);
    await failing('short', 'fetchFailed', /2000 bytes where the catalogue promises 3000/);
    const own = { name: 'own', kernelUrl: '/vmlinuz', commandLine: '', memoryMiB: 64 };
    await failing(own, 'outOfMemory', /needs 112 MiB .* only 100 MiB of the limit of 100 MiB are free/);
    await failing({ ...own, memoryMiB: 16, kernelUrl: 'https://elsewhere.example/k' }, 'notAllowed', /agree/);
    expect(asked).toEqual([['https://elsewhere.example/k']]);
    expect(vmm.memory.usedBytes).toBe(0);
    expect(() => vmm.stats('nobody')).toThrow(/no guest "nobody"/);
  });

  it('loads the core once, before the first guest if told so, and again after a failure', async () => {
    const core = new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));
    const answers = [() => Promise.reject(new Error('HTTP 503')), () => Promise.resolve(core)];
    const loads: number[] = [];
    const loadCore = (): Promise<WebAssembly.Module> => {
      const answer = answers[Math.min(loads.length, 1)];
      loads.push(loads.length);
      return answer?.() ?? Promise.resolve(core);
    };
    const { vmm } = fixture({ loadCore });
    vmm.prepare();
    await new Promise((resolve) => setTimeout(resolve));
    expect(loads).toHaveLength(1);
    await running(vmm, 'amd64');
    vmm.prepare();
    await running(vmm, 'i386');
    expect(loads).toHaveLength(2);
  });

  it('says what is missing where guests cannot run', async () => {
    const { vmm } = fixture({ obstacle: 'No isolation.' });
    const id = await vmm.create('amd64');
    await expect(vmm.start(id)).rejects.toMatchObject({ code: 'notIsolated', message: 'No isolation.' });
  });

  it('loses nothing of a guest that prints without end, and leaves the loop responsive', async () => {
    const { vmm } = fixture();
    const id = await running(vmm);
    let bytes = 0;
    const stop = vmm.onConsole(id, (chunk) => void (bytes += chunk.length));
    const before = vmm.stats(id).instructions;
    await vmm.type(id, 'yes the quick brown fox\n');
    let worst = 0;
    for (let n = 0; n < 20; n++) {
      const start = performance.now();
      await new Promise((resolve) => setTimeout(resolve, 10));
      worst = Math.max(worst, performance.now() - start);
    }
    expect(worst).toBeLessThan(100);
    expect(bytes).toBeGreaterThan(100_000);
    expect(vmm.stats(id).consoleLostBytes).toBe(0);
    stop();
    await vmm.type(id, '\x03');
    await vmm.waitForText(id, /\^C\r\n~ # $/);
    expect(vmm.stats(id).instructions).toBeGreaterThan(before);
  });

  it('waits for text with a limit that tells what was printed last', async () => {
    const { vmm } = fixture();
    const id = await running(vmm);
    await expect(vmm.waitForText(id, /never/, { timeoutMs: 20 })).rejects.toThrow(/not printed within 20 ms.*~ #/);
    const waiting = vmm.waitForText(id, /never/);
    await vmm.kill(id);
    await expect(waiting).rejects.toMatchObject({ code: 'wrongState' });
  });
});
