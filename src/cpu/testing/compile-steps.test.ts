/** Compiling in steps between which the guest runs. */
import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { parseCase } from './cases.ts';
import { createCoreMachine } from './core-machine.ts';

const core = new URL('../../../build/core/core.wasm', import.meta.url);

describe('a compilation in steps', () => {
  let now = 0;
  // Each look at the clock is a second later: every step takes too long to go on after it.
  const nowMs = (): number => (now += 1000);
  const module = new WebAssembly.Module(readFileSync(core));
  const machine = createCoreMachine('jit', module, () => [0, 0, 0, 0], { nowMs });
  const { compiler, cpu } = machine;
  if (!compiler) throw new Error('the jit tier has a compiler');
  const alive = (): number => [...compiler.liveRegions()].length;
  const serve = (times: number): void => {
    for (let k = 0; k < times; k++) compiler.serve();
  };

  beforeEach(() => {
    // MOV ECX, 3; again: ADD EAX, 5; DEC ECX; JNZ again; HLT
    const mem = [[0x1000, 'b90300000083c0054975faf4']];
    const regs = { eip: 0x1000, esp: 0xff00 };
    const line = { mode: 'protected32', regs, mem, zero: [[0, 0x10000]], end: 'hlt', expect: {} };
    machine.load(parseCase(JSON.stringify(line)));
    compiler.reset('auto');
    const record = machine.call('lookup', cpu) ?? 0;
    machine.call('request', cpu, record);
    // A single request waits for others for a while.
    serve(8);
  });

  it('goes on where it was, and ends with a region', () => {
    expect(alive()).toBe(0);
    serve(20);
    expect(alive()).toBe(1);
  });

  it('leaves out what has been written over meanwhile', () => {
    machine.deviceWrite(0x1005, Uint8Array.of(0x83));
    serve(20);
    expect(alive()).toBe(0);
  });

  it('ends when everything decoded is forgotten', () => {
    machine.call('flushBlocks', cpu);
    serve(20);
    expect(alive()).toBe(0);
  });
});
