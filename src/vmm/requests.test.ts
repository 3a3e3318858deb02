/** Requests to guests in the wrong order, and several at once. */
import { afterEach, describe, expect, it } from 'vitest';
import { FakeExecutor } from './testing/fake-executor.ts';
import { endFixtures, fixture, running } from './testing/fixture.ts';

afterEach(endFixtures);

const refused = (message: RegExp) => ({ code: 'wrongState', message: expect.stringMatching(message) as string });
const killed = { state: 'stopped', cause: { kind: 'killed' } };

/** A host whose core comes when one says so: a guest that starts stays where it is until then. */
function slowStart() {
  let go = (): void => {};
  const core = new Promise<WebAssembly.Module>((resolve) => {
    go = () => resolve(new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])));
  });
  return { ...fixture({ loadCore: () => core }), go };
}

describe('requests', () => {
  it('start while starting: both resolve when it runs, and it was booted once', async () => {
    const { vmm, go, handles } = slowStart();
    const id = await vmm.create('amd64');
    const both = Promise.all([vmm.start(id), vmm.start(id)]);
    expect(vmm.get(id).status.state).toBe('starting');
    go();
    await both;
    expect(vmm.get(id).status.state).toBe('running');
    await vmm.start(id);
    expect(handles).toHaveLength(1);
  });

  it('pause, resume, reset and power-off while starting are refused, and do not disturb it', async () => {
    const { vmm, go } = slowStart();
    const id = await vmm.create('amd64');
    const start = vmm.start(id);
    for (const request of ['pause', 'resume', 'reset', 'powerOff'] as const) {
      await expect(vmm[request](id)).rejects.toMatchObject(refused(/is starting: wait until it runs/));
    }
    go();
    await start;
    await vmm.waitForText(id, 'guest ready');
  });

  it('kill while starting ends it, tells who had started it, and leaves no memory behind', async () => {
    const { vmm, go } = slowStart();
    const id = await vmm.create('amd64');
    const start = vmm.start(id);
    const two = Promise.all([vmm.kill(id), vmm.kill(id)]);
    await expect(start).rejects.toMatchObject(refused(/stopped while it started/));
    await two;
    expect(vmm.get(id).status).toEqual(killed);
    go();
    expect(vmm.memory.usedBytes).toBe(0);
    await vmm.start(id);
    await vmm.waitForText(id, 'guest ready');
  });

  it('kill while the user is asked for consent: the answer no longer matters', async () => {
    let agree: (yes: boolean) => void = () => {};
    const { vmm, handles } = fixture({ confirmForeign: () => new Promise((resolve) => (agree = resolve)) });
    const source = { name: 'own', kernelUrl: 'https://elsewhere.example/k', commandLine: '', memoryMiB: 16 };
    const id = await vmm.create(source);
    const start = vmm.start(id);
    await vmm.kill(id);
    agree(true);
    await expect(start).rejects.toMatchObject({ code: 'wrongState' });
    expect(vmm.get(id).status).toEqual(killed);
    expect(handles).toHaveLength(0);
  });

  it('pause twice, at once and one after the other', async () => {
    const { vmm } = fixture();
    const id = await running(vmm);
    await Promise.all([vmm.pause(id), vmm.pause(id)]);
    await vmm.pause(id);
    expect(vmm.get(id).status).toEqual({ state: 'paused' });
    await Promise.all([vmm.resume(id), vmm.resume(id)]);
    await vmm.resume(id);
    expect(vmm.get(id).status).toEqual({ state: 'running' });
  });

  it('resume while pausing waits for the pause; the last request wins', async () => {
    const { vmm } = fixture();
    const id = await running(vmm);
    await Promise.all([vmm.pause(id), vmm.resume(id)]);
    expect(vmm.get(id).status).toEqual({ state: 'running' });
    await Promise.all([vmm.pause(id), vmm.resume(id), vmm.pause(id)]);
    await vmm.pause(id);
    await Promise.all([vmm.resume(id), vmm.pause(id)]);
    expect(vmm.get(id).status).toEqual({ state: 'paused' });
    await vmm.resume(id);
    await vmm.type(id, 'uname -m\n');
    await vmm.waitForText(id, /x86_64/);
  });

  it('refuses what a paused guest cannot do, with what to do instead', async () => {
    const { vmm } = fixture();
    const id = await running(vmm);
    await vmm.pause(id);
    await expect(vmm.start(id)).rejects.toMatchObject(refused(/is paused: resume it/));
    await expect(vmm.reset(id)).rejects.toMatchObject(refused(/is paused: resume it first/));
    await expect(vmm.powerOff(id)).rejects.toMatchObject(refused(/is paused: resume it first/));
  });

  it('kill while paused, and while pausing', async () => {
    const { vmm } = fixture();
    const id = await running(vmm);
    await vmm.pause(id);
    await vmm.kill(id);
    expect(vmm.get(id).status).toEqual(killed);
    const other = await running(vmm, 'i386');
    const pause = vmm.pause(other);
    await Promise.all([vmm.kill(other), expect(pause).rejects.toMatchObject(refused(/ended before it was paused/))]);
    expect(vmm.get(other).status).toEqual(killed);
  });

  it('start right after kill waits for the end, and boots again', async () => {
    const { vmm } = fixture();
    const id = await running(vmm);
    await Promise.all([vmm.kill(id), vmm.start(id)]);
    expect(vmm.get(id).status).toEqual({ state: 'running' });
    await vmm.waitForText(id, 'guest ready');
  });

  it('start after a crash, and after a failure', async () => {
    let broken = true;
    const { vmm } = fixture({
      allocate: (initial, maximum) => {
        if (broken) throw new RangeError('could not allocate memory');
        return new WebAssembly.Memory({ initial, maximum, shared: true });
      },
    });
    const id = await vmm.create('amd64');
    await expect(vmm.start(id)).rejects.toMatchObject({ code: 'hostRefused' });
    expect(vmm.get(id).status.state).toBe('failed');
    broken = false;
    await vmm.start(id);
    await vmm.waitForText(id, /# $/);
    await vmm.type(id, 'crash\n');
    await vmm.waitForState(id, ['crashed']);
    await vmm.kill(id);
    expect(vmm.get(id).status.state).toBe('crashed');
    await vmm.start(id);
    await vmm.waitForText(id, /guest ready[^]*# $/);
  });

  it('remove while running, twice at once, and while starting', async () => {
    const { vmm } = fixture();
    const id = await running(vmm);
    await Promise.all([vmm.remove(id), vmm.remove(id)]);
    expect(vmm.list()).toEqual([]);
    expect(() => vmm.get(id)).toThrow(/no guest/);
    await expect.poll(() => vmm.memory.usedBytes).toBe(0);
    const starting = await vmm.create('amd64');
    const start = vmm.start(starting);
    await Promise.all([vmm.remove(starting), expect(start).rejects.toMatchObject({ code: 'wrongState' })]);
    expect(vmm.list()).toEqual([]);
  });

  it('takes a pause back that the executor does not answer', async () => {
    const deaf = () => ({
      api: Object.assign(new FakeExecutor(), { run: () => new Promise<never>(() => {}) }),
      died: new Promise<string>(() => {}),
      terminate: () => {},
    });
    const { vmm } = fixture({ createExecutor: deaf });
    const id = await vmm.create('amd64');
    await vmm.start(id);
    const pauses = [vmm.pause(id), vmm.pause(id)];
    for (const pause of pauses) await expect(pause).rejects.toMatchObject({ code: 'timeout' });
    expect(vmm.get(id).status).toEqual({ state: 'running' });
    await vmm.kill(id);
    expect(vmm.get(id).status).toEqual(killed);
  });
});
