/** The text of compiled code by its address: what a developer asks for with --dump-region. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { regionsAt } from '../jit/region-at.ts';
import { parseCase } from './cases.ts';
import { createCoreMachine } from './core-machine.ts';

const core = new URL('../../../build/core/core.wasm', import.meta.url);

describe('the compiled code of an address', () => {
  const machine = createCoreMachine('jit', new WebAssembly.Module(readFileSync(core)), () => [0, 0, 0, 0]);
  const at = (address: bigint): ReturnType<typeof regionsAt> => {
    if (!machine.compiler) throw new Error('the jit tier has a compiler');
    return regionsAt(machine.compiler, machine.buffer, address);
  };
  const load = (hex: string): void => {
    const mem = [[0x1000, hex.replaceAll(' ', '')]];
    const regs = { eip: 0x1000, esp: 0xff00 };
    machine.load(
      parseCase(JSON.stringify({ mode: 'protected32', regs, mem, zero: [[0, 0x10000]], end: 'hlt', expect: {} })),
    );
  };
  const run = (): unknown => machine.run({ kind: 'hlt' }, { maxInstructions: 1000, stopAtException: false });

  it('is told with the guest beside it', () => {
    // MOV ECX, 3; again: ADD EAX, 5; DEC ECX; JNZ again; HLT
    load('b9 03 00 00 00  83 c0 05  49  75 fa  f4');
    expect(at(0x1005n)).toEqual({
      ok: false,
      message: 'No compiled instruction begins at 1005. Nothing is compiled yet.',
    });
    run();
    const region = at(0x1005n);
    if (!region.ok) throw new Error(region.message);
    expect(region.text).toMatch(/^region 1000 to 100b: 32-bit code, supervisor, flat; /);
    for (const line of ['1000  mov ecx,0x3', '1005  add eax,0x5', '1009  jne 0x1005'])
      expect(region.text).toContain(line);
    expect(region.text).toContain('$eax = i32.add($eax, 5)');
  });

  it('is refused with the nearest regions, and when the code has changed', () => {
    load('83 c0 05  f4');
    run();
    const other = at(0x1002n);
    expect(other).toMatchObject({
      ok: false,
      message: expect.stringMatching(/begins at 1002\. The nearest of 1 region: 1000 to 1003 /),
    });
    expect(at(0x1000n).ok).toBe(true);
    machine.deviceWrite(0x1002, Uint8Array.of(6));
    expect(at(0x1000n)).toMatchObject({ ok: false, message: expect.stringMatching(/Nothing is compiled yet/) });
  });
});
