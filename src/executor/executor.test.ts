import { readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { ControlPage, requestBit } from '../abi/control.ts';
import type { StartOptions } from '../abi/executor.ts';
import { ByteRing } from '../abi/ring.ts';
import { readStatistics } from '../abi/statistics.ts';
import { Tenure } from '../abi/tenure.ts';
import { countFrames } from '../base/frame-entry.ts';
import { FrameTablePages } from '../machine/given-pages.ts';
import { memoryMap } from '../machine/memory-map.ts';
import { Session } from './session.ts';
import * as guest from './testing/tiny-guest.ts';

const ramBytes = 16 * 2 ** 20;
const map = memoryMap(ramBytes);
const coreModule = new WebAssembly.Module(readFileSync(new URL('../../build/core/core.wasm', import.meta.url)));

function shared(bytes: Uint8Array): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(bytes.length);
  new Uint8Array(buffer).set(bytes);
  return buffer;
}

interface Options {
  readonly clock?: 'real' | 'virtual';
  readonly noReboot?: boolean;
}

/** A guest in its memory, with as many executors, one after the other, as one likes. */
class Machine {
  readonly memory: WebAssembly.Memory;
  readonly control: ControlPage;
  readonly #options: Omit<StartOptions, 'fresh'>;

  constructor(kernel: Uint8Array, { clock = 'real', noReboot = true }: Options = {}) {
    const pages = map.totalBytes / 65536;
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.control = new ControlPage(this.memory.buffer);
    this.#options = {
      memory: this.memory,
      module: coreModule,
      definition: { name: 'test', ramBytes, commandLine: '', clock, noReboot },
      kernel: shared(kernel),
    };
  }

  async executor(fresh = true): Promise<Session> {
    const session = new Session({
      nowNs: () => performance.now() * 1e6,
      calendarSeconds: () => 0,
      randomSeed: () => 1n,
    });
    const result = await session.start({ ...this.#options, fresh }, { debugExitPort: guest.debugExitPort });
    if (!result.ok) throw new Error(result.error.message);
    return session;
  }

  get output(): string {
    return new TextDecoder().decode(new ByteRing(this.memory.buffer, map.consoleOut).read());
  }
}

describe('executor', () => {
  it('runs a guest to its debug exit', async () => {
    const machine = new Machine(guest.printingGuest('hello\n', 3));
    const session = await machine.executor();
    expect(await session.runUntil({})).toEqual({ kind: 'ended', state: 'debugExit', exitCode: 7 });
    expect(machine.output).toBe('hello\n');
    expect(machine.control.state).toBe('debugExit');
    expect(machine.control.fields.exitCounts[5]).toBeGreaterThan(0);
  });

  it('marks pages that the guest touches; what it gives up reads as zero and counts no more', async () => {
    const page = 0x400;
    for (const givenUp of [false, true]) {
      const machine = new Machine(guest.rememberingGuest(page * 4096));
      const session = await machine.executor();
      const { frameTable } = machine.control;
      const untouched = countFrames(frameTable).resident;
      expect(await session.runUntil({ parkAtRetired: 500 })).toEqual({ kind: 'parked' });
      // Its code, which the loader had touched, and what it has stored to.
      expect(countFrames(frameTable).resident).toBe(untouched + 1);
      const pages = new FrameTablePages(machine.memory.buffer, map);
      if (givenUp) {
        expect(pages.giveUp(page, 'reported')).toBe(true);
        expect(countFrames(frameTable)).toEqual({ resident: untouched, ballooned: 0, reported: 1 });
      }
      const next = await machine.executor(false);
      const exitCode = givenUp ? 1 : 3;
      expect(await next.runUntil({})).toEqual({ kind: 'ended', state: 'debugExit', exitCode });
      expect(countFrames(frameTable)).toEqual({ resident: untouched + 1, ballooned: 0, reported: 0 });
    }
  });

  it('returns at the instruction that prints what is waited for', async () => {
    const machine = new Machine(guest.printingGuest('one two three', 0));
    const session = await machine.executor();
    expect(await session.runUntil({ until: /o.*w/ })).toEqual({ kind: 'matched' });
    expect(machine.output).toBe('one tw');
    // MOV EDX, then MOV AL and OUT for each of six characters.
    expect(machine.control.fields.retired).toBe(13);
  });

  it('parks at an exact instruction, and another executor goes on', async () => {
    const machine = new Machine(guest.printingGuest('abcdef', 0));
    const first = await machine.executor();
    expect(await first.runUntil({ parkAtRetired: 5 })).toEqual({ kind: 'parked' });
    expect(machine.control.fields.retired).toBe(5);
    expect(machine.control.state).toBe('parked');
    const second = await machine.executor(false);
    expect(await second.runUntil({})).toMatchObject({ state: 'debugExit', exitCode: 1 });
    expect(machine.output).toBe('abcdef');
  });

  it('wakes a halted guest at its timer', async () => {
    const machine = new Machine(guest.tickingGuest(3, 'halt'));
    const session = await machine.executor();
    const start = performance.now();
    expect(await session.runUntil({})).toMatchObject({ state: 'debugExit', exitCode: 11 });
    expect(performance.now() - start).toBeGreaterThan(28);
    expect(machine.control.fields.idleNs).toBeGreaterThan(10e6);
  });

  it('lets the event loop run while its guest is quiet or paused', async () => {
    const machine = new Machine(guest.tickingGuest(200, 'halt'));
    const session = await machine.executor();
    const start = performance.now();
    const run = session.runUntil({});
    // Its first second was spent in Atomics.wait.
    expect(machine.control.fields.uptimeNs).toBeGreaterThan(0.9e9);
    expect(machine.control.state).toBe('halted');
    const paused = machine.control.request(requestBit.pause);
    while (!machine.control.acknowledged(paused)) await new Promise((resolve) => setTimeout(resolve, 1));
    expect(machine.control.state).toBe('paused');
    await new Promise((resolve) => setTimeout(resolve, 200));
    machine.control.release(requestBit.pause);
    expect(await run).toMatchObject({ state: 'debugExit', exitCode: 11 });
    // The pause is not guest time.
    expect(machine.control.fields.uptimeNs / 1e6).toBeLessThan(performance.now() - start - 190);
  });

  it('compiles what a quiet guest begins to compute, though it does not halt again', async () => {
    const work = 30_000_000;
    const machine = new Machine(guest.tickingGuest(150, 'halt', work));
    const session = await machine.executor();
    expect(await session.runUntil({})).toMatchObject({ state: 'debugExit', exitCode: 11 });
    expect(readStatistics(machine.control).tiers.compiled).toBeGreaterThan(work);
  });

  it('skips idle time under the virtual clock', async () => {
    const machine = new Machine(guest.tickingGuest(1000, 'halt'), { clock: 'virtual' });
    const session = await machine.executor();
    const start = performance.now();
    expect(await session.runUntil({})).toMatchObject({ state: 'debugExit' });
    expect(performance.now() - start).toBeLessThan(5000);
    expect(machine.control.fields.uptimeNs).toBeGreaterThan(9.9e9);
  });

  it('delivers interrupts at the same instruction, wherever slices end', async () => {
    const image = guest.tickingGuest(3, 'spin');
    const counts: number[] = [];
    for (const step of [Infinity, 300_007, 277_777]) {
      const machine = new Machine(image, { clock: 'virtual' });
      let session = await machine.executor();
      for (let at = step; ; at += step) {
        const result = await session.runUntil({ parkAtRetired: at });
        if (result.kind !== 'parked') break;
        session = await machine.executor(false);
      }
      expect(machine.control.state).toBe('debugExit');
      counts.push(machine.control.fields.retired);
    }
    expect(counts[0]).toBeGreaterThan(3 * 2e6);
    expect(counts).toEqual([counts[0], counts[0], counts[0]]);
  });

  it('stops at a triple fault with a register dump', async () => {
    const machine = new Machine(guest.tripleFaultingGuest());
    const result = await (await machine.executor()).runUntil({});
    expect(result).toMatchObject({ kind: 'ended', state: 'crashed', exitCode: 1 });
    expect(result).toHaveProperty('message', expect.stringMatching(/RIP=0000000000100021/));
  });

  it('resets and boots again where that is wanted', async () => {
    for (const kernel of [guest.tripleFaultingGuest(), guest.resettingGuest()]) {
      const machine = new Machine(kernel, { noReboot: false });
      const session = await machine.executor();
      machine.control.request(requestBit.mail);
      expect(await session.runUntil({})).toEqual({ kind: 'mail' });
      expect(await session.runUntil({ parkAtRetired: 20 })).toEqual({ kind: 'parked' });
      expect(machine.control.fields.resets).toBeGreaterThan(3);
    }
  });

  it('stops at a reset under no-reboot', async () => {
    const machine = new Machine(guest.resettingGuest());
    expect(await (await machine.executor()).runUntil({})).toMatchObject({ state: 'resetStopped', exitCode: 0 });
  });

  it('obeys what was asked before it ran, and acknowledges it', async () => {
    const machine = new Machine(guest.spinningGuest());
    const session = await machine.executor();
    const serial = machine.control.request(requestBit.park);
    expect(await session.runUntil({})).toEqual({ kind: 'parked' });
    expect(machine.control.acknowledged(serial)).toBe(true);
    machine.control.release(requestBit.park);
    machine.control.request(requestBit.stop);
    expect(await session.runUntil({})).toMatchObject({ state: 'stopped' });
  });

  it('leaves a guest that was claimed while it slept to the next executor', async () => {
    const machine = new Machine(guest.tickingGuest(3, 'spin'), { clock: 'virtual' });
    machine.control.request(requestBit.pause);
    const first = (await machine.executor()).runUntil({});
    expect(machine.control.state).toBe('paused');
    expect(new Tenure(machine.memory.buffer).claim()).toBe(true);
    const second = (await machine.executor(false)).runUntil({});
    machine.control.release(requestBit.pause);
    expect(await first).toEqual({ kind: 'replaced' });
    expect(await second).toMatchObject({ state: 'debugExit', exitCode: 11 });
  });

  it('leaves a guest that it finds paused at rest until there is something to do', async () => {
    const machine = new Machine(guest.tickingGuest(3, 'spin'), { clock: 'virtual' });
    machine.control.request(requestBit.pause);
    const first = (await machine.executor()).runUntil({});
    expect(new Tenure(machine.memory.buffer).claim()).toBe(true);
    const wakes = vi.spyOn(Tenure.prototype, 'wake');
    const next = (await machine.executor(false)).runUntil({});
    expect(wakes).not.toHaveBeenCalled();
    wakes.mockRestore();
    // The next one dies, too.
    expect(new Tenure(machine.memory.buffer).claim()).toBe(true);
    const last = (await machine.executor(false)).runUntil({});
    machine.control.release(requestBit.pause);
    expect(await first).toEqual({ kind: 'replaced' });
    expect(await next).toEqual({ kind: 'replaced' });
    expect(await last).toMatchObject({ state: 'debugExit', exitCode: 11 });
  });

  it('goes on in time after the executor of a quiet guest was replaced', async () => {
    const machine = new Machine(guest.tickingGuest(150, 'halt'));
    const first = (await machine.executor()).runUntil({});
    // It has been quiet for a second, and sleeps in its event loop.
    expect(machine.control.state).toBe('halted');
    expect(new Tenure(machine.memory.buffer).claim()).toBe(true);
    expect(await (await machine.executor(false)).runUntil({})).toMatchObject({ state: 'debugExit', exitCode: 11 });
    expect(await first).toEqual({ kind: 'replaced' });
    expect(machine.control.fields.uptimeNs).toBeGreaterThan(1.49e9);
    expect(machine.control.fields.uptimeNs).toBeLessThan(2.5e9);
  });

  it('does not go on with a guest whose executor died in the midst of it', async () => {
    const machine = new Machine(guest.spinningGuest());
    await (await machine.executor()).runUntil({ parkAtRetired: 10 });
    const other = new Tenure(machine.memory.buffer);
    expect(other.enter(other.value)).toBe(true);
    await expect(machine.executor(false)).rejects.toThrow(/died in the midst of it/);
  });

  it('tells what is wrong with a kernel', async () => {
    const machine = new Machine(new Uint8Array(64));
    await expect(machine.executor()).rejects.toThrow();
  });
});
