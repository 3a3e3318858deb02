/** Clones and moves to another memory, with pretended executors: what each does beside the other, and what goes wrong. */
import { afterEach, describe, expect, it } from 'vitest';
import type { CopyJob } from './host.ts';
import { GuestCopy } from './guest-copy.ts';
import { fakeFrames } from './testing/fake-executor.ts';
import { endFixtures, fixture, running } from './testing/fixture.ts';

afterEach(endFixtures);

/** A copier whose last step waits for {@link go}. */
function slowCopies() {
  const memories: { source: WebAssembly.Memory; destination: WebAssembly.Memory }[] = [];
  let go = () => {};
  let reached = () => {};
  const gate = new Promise<void>((resolve) => (go = resolve));
  const waiting = new Promise<void>((resolve) => (reached = resolve));
  const beginCopy = (source: WebAssembly.Memory, destination: WebAssembly.Memory): CopyJob => {
    memories.push({ source, destination });
    const copy = new GuestCopy(source.buffer, destination.buffer);
    return {
      ahead: () => Promise.resolve(copy.ahead()),
      finish: async (options) => {
        reached();
        await gate;
        return copy.finish(options);
      },
      end: () => {},
    };
  };
  return { memories, beginCopy, waiting, go };
}

const refusing = (): CopyJob => ({
  ahead: () => Promise.resolve(),
  finish: () => Promise.reject(new Error('the copier died')),
  end: () => {},
});

describe('clone', () => {
  it('makes another guest, which runs, with an empty console and a name of its own', async () => {
    const { vmm } = fixture();
    const id = await running(vmm);
    const report = await vmm.clone(id);
    expect(report).toMatchObject({ id: 'amd64-clone', liveBytes: 0 });
    expect(vmm.get(report.id)).toMatchObject({ name: 'Clone of Linux (64-bit)', status: { state: 'running' } });
    expect(vmm.consoleText(report.id)).toBe('');
    await vmm.type(report.id, 'uname -m\n');
    await vmm.waitForText(report.id, 'x86_64');
    expect(vmm.consoleText(id)).not.toContain('x86_64');
    expect((await vmm.clone(id)).id).toBe('amd64-clone-2');
    expect(vmm.list().map(({ name }) => name)).toContain('Clone of Linux (64-bit) 2');
    await vmm.kill(id);
    expect(vmm.get(report.id).status.state).toBe('running');
  });

  it('leaves a guest that is paused so, and the clone runs', async () => {
    const { vmm } = fixture();
    const id = await running(vmm);
    await vmm.pause(id);
    const report = await vmm.clone(id, { name: 'Twin' });
    expect(report.pausedMilliseconds).toBe(0);
    expect(vmm.get(id).status.state).toBe('paused');
    expect(vmm.get(report.id)).toMatchObject({ name: 'Twin', status: { state: 'running' } });
  });

  it('is refused, and leaves nothing behind, where there is nothing to copy or no room', async () => {
    const { vmm } = fixture({}, 100);
    const id = await vmm.create('amd64');
    await expect(vmm.clone(id)).rejects.toThrow(/only a guest that runs can be cloned/);
    await vmm.start(id);
    await expect(vmm.clone(id)).rejects.toMatchObject({
      code: 'outOfMemory',
      message: expect.stringMatching(/reserved are 64 MiB by Linux \(64-bit\)\. Stop a guest/) as string,
    });
    expect(vmm.list()).toHaveLength(1);
    expect(vmm.get(id).status.state).toBe('running');
  });

  it('fails without harm where the copy fails, and where its source is killed meanwhile', async () => {
    const broken = fixture({ beginCopy: refusing });
    const id = await running(broken.vmm);
    await expect(broken.vmm.clone(id)).rejects.toThrow(/the copier died/);
    expect(broken.vmm.get(id).status.state).toBe('running');
    expect(broken.vmm.list()).toHaveLength(1);

    const slow = slowCopies();
    const { vmm } = fixture({ beginCopy: slow.beginCopy });
    const source = await running(vmm);
    const cloned = vmm.clone(source);
    await slow.waiting;
    const killed = vmm.kill(source);
    const outcome = expect(cloned).rejects.toMatchObject({ code: 'wrongState' });
    await expect.poll(() => vmm.get(source).status.state).toBe('stopped');
    slow.go();
    await Promise.all([outcome, killed]);
    await expect.poll(() => vmm.memory.usedBytes).toBe(0);
  });

  it('copies what the guest holds, and marks what holds only zeros as empty', async () => {
    const slow = slowCopies();
    const { vmm } = fixture({ beginCopy: slow.beginCopy });
    const id = await running(vmm);
    const cloned = vmm.clone(id);
    await slow.waiting;
    const [copy] = slow.memories;
    if (copy === undefined) throw new Error('nothing was copied');
    // Written after the copy ahead: only the last step can have it.
    new Uint8Array(copy.source.buffer).set([1, 2, 3], fakeFrames.base + 4096);
    slow.go();
    expect((await cloned).liveBytes).toBe(4096);
    expect([...new Uint8Array(copy.destination.buffer, fakeFrames.base + 4096, 4)]).toEqual([1, 2, 3, 0]);
    new Uint8Array(copy.source.buffer)[fakeFrames.base + 4096] = 9;
    expect(new Uint8Array(copy.destination.buffer)[fakeFrames.base + 4096]).toBe(1);
  });
});

describe('compact', () => {
  it('moves a guest that runs, or is paused, and drops its memory', async () => {
    const slow = slowCopies();
    slow.go();
    const collected: number[] = [];
    const { vmm, handles } = fixture({ beginCopy: slow.beginCopy, collectGarbage: () => void collected.push(1) });
    const id = await running(vmm);
    await vmm.compact(id);
    await vmm.pause(id);
    await vmm.compact(id);
    expect(vmm.get(id).status.state).toBe('paused');
    await vmm.resume(id);
    await vmm.type(id, 'uname -m\n');
    await vmm.waitForText(id, 'x86_64');
    expect(vmm.consoleText(id).match(/guest ready/g)).toHaveLength(1);
    expect(handles).toHaveLength(3);
    expect(slow.memories[1]?.source).toBe(slow.memories[0]?.destination);
    expect(vmm.memory).toMatchObject({ memories: 1, keptBytes: 0, usedBytes: 64 * 2 ** 20 });
    await expect.poll(() => collected.length, { timeout: 10_000 }).toBe(1);
    await vmm.kill(id);
    await expect.poll(() => vmm.memory.usedBytes).toBe(0);
  });

  it('loses nothing that is typed or asked for meanwhile', async () => {
    const slow = slowCopies();
    const { vmm } = fixture({ beginCopy: slow.beginCopy });
    const id = await running(vmm);
    const compacted = vmm.compact(id);
    await slow.waiting;
    const typed = vmm.type(id, 'echo typed meanwhile\n');
    const paused = vmm.pause(id);
    slow.go();
    await Promise.all([compacted, typed, paused]);
    expect(vmm.get(id).status.state).toBe('paused');
    await vmm.resume(id);
    await vmm.waitForText(id, /^typed meanwhile\r$/m);
  });

  it('leaves the guest where it was if the copy fails, and ends with a guest that is killed', async () => {
    const broken = fixture({ beginCopy: refusing });
    const id = await running(broken.vmm);
    await expect(broken.vmm.compact(id)).rejects.toThrow(/the copier died/);
    await broken.vmm.type(id, 'uname -m\n');
    await broken.vmm.waitForText(id, 'x86_64');
    expect(broken.vmm.memory.memories).toBe(1);

    const slow = slowCopies();
    const { vmm } = fixture({ beginCopy: slow.beginCopy });
    const other = await running(vmm);
    const compacted = vmm.compact(other);
    await slow.waiting;
    const killed = vmm.kill(other);
    const outcome = expect(compacted).rejects.toMatchObject({ code: 'wrongState' });
    await expect.poll(() => vmm.get(other).status.state).toBe('stopped');
    slow.go();
    await Promise.all([killed, outcome]);
    await expect.poll(() => vmm.memory.usedBytes).toBe(0);
  });

  it('is refused for a guest that does not run', async () => {
    const { vmm } = fixture();
    const id = await vmm.create('amd64');
    await expect(vmm.compact(id)).rejects.toThrow(/only a guest that runs can be compacted/);
  });
});
