/** Copies of guests to other memories, with the executors that go on with them. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ControlPage } from '../abi/control.ts';
import type { StartOptions } from '../abi/executor.ts';
import { ByteRing } from '../abi/ring.ts';
import { countFrames, frameBit } from '../base/frame-entry.ts';
import { Vcpu } from '../cpu/state.ts';
import { memoryMap } from '../machine/memory-map.ts';
import { GuestCopy } from '../vmm/guest-copy.ts';
import { guestRings, Session } from '../executor/session.ts';
import * as guest from '../executor/testing/tiny-guest.ts';

const ramBytes = 16 * 2 ** 20;
const map = memoryMap(ramBytes);
const pages = map.totalBytes / 65536;
const module = new WebAssembly.Module(readFileSync(new URL('../../build/core/core.wasm', import.meta.url)));
const definition: StartOptions['definition'] = { name: 't', ramBytes, commandLine: '', clock: 'real', noReboot: true };
const rings = guestRings(definition);

const newMemory = () => new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });

async function executor(memory: WebAssembly.Memory, image: Uint8Array, fresh: boolean, seed = 1n): Promise<Session> {
  const kernel = new SharedArrayBuffer(image.length);
  new Uint8Array(kernel).set(image);
  const host = { nowNs: () => performance.now() * 1e6, calendarSeconds: () => 0, randomSeed: () => seed };
  const session = new Session(host);
  const options: StartOptions = { memory, module, definition, kernel, fresh };
  const result = await session.start(options, { debugExitPort: guest.debugExitPort });
  if (!result.ok) throw new Error(result.error.message);
  return session;
}

function output(memory: WebAssembly.Memory): string {
  return new TextDecoder().decode(new ByteRing(memory.buffer, map.consoleOut).read());
}

const random = (memory: WebAssembly.Memory) => [...Vcpu.at(memory.buffer, map.vcpu).randomState];

describe('a copy of a guest', () => {
  it('goes on in another memory, as the same guest', async () => {
    const image = guest.printingGuest('abcdef', 3);
    const source = newMemory();
    await (await executor(source, image, true)).runUntil({ parkAtRetired: 5 });
    const before = random(source);
    const moved = newMemory();
    const result = new GuestCopy(source.buffer, moved.buffer).finish({ as: 'moved' });
    expect(result.liveBytes).toBeLessThan(ramBytes / 8);
    const session = await executor(moved, image, false);
    expect(await session.runUntil({})).toMatchObject({ state: 'debugExit', exitCode: 7 });
    expect(output(moved)).toBe('abcdef');
    expect(random(moved)).toEqual(before);
  });

  it('goes on as another one: console empty, random numbers of its own; neither changes the other', async () => {
    const image = guest.printingGuest('abcdef', 3);
    const source = newMemory();
    const first = await executor(source, image, true);
    await first.runUntil({ parkAtRetired: 5 });
    const clones = [newMemory(), newMemory(), newMemory()];
    for (const clone of clones) new GuestCopy(source.buffer, clone.buffer).finish({ as: 'clone', rings });
    for (const [n, clone] of clones.entries()) {
      // The first two are drawn alike: what tells them apart is which copy they are.
      const session = await executor(clone, image, false, BigInt(n < 2 ? 7 : 8));
      expect(await session.runUntil({})).toMatchObject({ state: 'debugExit', exitCode: 7 });
      expect(output(clone)).toBe('cdef');
    }
    const states = [source, ...clones].map((memory) => random(memory).join());
    expect(new Set(states).size).toBe(4);
    expect(new ControlPage(source.buffer).state).toBe('parked');
    expect(await first.runUntil({})).toMatchObject({ state: 'debugExit', exitCode: 7 });
    expect(output(source)).toBe('abcdef');
  });

  it('has what was written after the copy ahead, and nothing of what was given up after it', async () => {
    const source = newMemory();
    await (await executor(source, guest.touchingGuest(ramBytes), true)).runUntil({ until: /zero\n/ });
    const clone = newMemory();
    const copy = new GuestCopy(source.buffer, clone.buffer);
    copy.ahead();
    const { frameTable } = new ControlPage(source.buffer);
    const place = (page: number) => ((frameTable[page] as number) >>> 12) * 4096;
    new Uint8Array(source.buffer).fill(7, place(0x400), place(0x400) + 4096);
    // Zeros written by the guest, and a page given up: both hold nothing.
    for (const page of [0x401, 0x402]) new Uint8Array(source.buffer).fill(0, place(page), place(page) + 4096);
    frameTable[0x402] = (frameTable[0x402] as number) | frameBit.empty | frameBit.reported;
    const resident = countFrames(frameTable).resident;
    const { liveBytes } = copy.finish({ as: 'clone', rings });
    const copied = new ControlPage(clone.buffer).frameTable;
    expect(countFrames(copied).resident).toBe(liveBytes / 4096);
    expect(liveBytes / 4096).toBeLessThan(resident);
    const words = (memory: WebAssembly.Memory) => new Uint32Array(memory.buffer, map.frames, map.frameBytes / 4);
    const [ours, theirs] = [words(source), words(clone)];
    expect(ours.findIndex((word, at) => word !== theirs[at])).toBe(-1);
    expect(copied[0x401]).toBe((frameTable[0x401] as number) | frameBit.empty);
    expect(copied[0x402]).toBe(frameTable[0x402]);
  });
});
