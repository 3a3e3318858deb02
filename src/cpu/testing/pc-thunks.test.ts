/** `MOV r32,[ESP]; RET`, which position-independent code of 32 bits calls to learn its address, on each tier. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseCase } from './cases.ts';
import { createCoreMachine } from './core-machine.ts';
import { AVAILABLE_TIERS } from './tiers.ts';

const core = new URL('../../../build/core/core.wasm', import.meta.url);

describe.each(AVAILABLE_TIERS)('on the %s tier', (tier) => {
  const machine = createCoreMachine(tier, new WebAssembly.Module(readFileSync(core)), () => [0, 0, 0, 0]);
  const load = (code: readonly (readonly [number, string])[]): void => {
    const mem = code.map(([address, hex]) => [address, hex.replaceAll(' ', '')]);
    const line = {
      mode: 'protected32',
      regs: { eip: 0x1000, esp: 0xff00, ebx: 0, ecx: 0, edx: 0 },
      mem,
      zero: [[0, 0x10000]],
      end: 'hlt',
      expect: {},
    };
    machine.load(parseCase(JSON.stringify(line)));
  };
  const limits = { maxInstructions: 1000, stopAtException: false };
  const halt = (): void => {
    expect(machine.run({ kind: 'hlt' }, limits)).toEqual({ kind: 'ended' });
  };
  /** MOV EBX,[ESP]; RET */
  const thunk = [0x2000, '8b 1c 24 c3'] as const;
  /** MOV EDX, 2000h; CALL EDX: the thunk's code is known and compiled before its callers are. */
  const before = 'ba 00 20 00 00  ff d2';

  const calledTwice = [
    // XOR EBX, EBX; JMP 3000h
    [0x1000, `${before} 31 db e9 f2 1f 00 00`],
    // CALL 2000h; MOV ECX, EBX; CALL 2000h; HLT
    [0x3000, 'e8 fb ef ff ff  89 d9  e8 f4 ef ff ff  f4'],
    thunk,
  ] as const;

  it('the return address is in the register and below the stack', () => {
    load(calledTwice);
    halt();
    expect(machine.readReg('ecx')).toBe(0x3005n);
    expect(machine.readReg('ebx')).toBe(0x300cn);
    expect(machine.readReg('esp')).toBe(0xff00n);
    expect([...machine.readMem(0xfefc, 4)]).toEqual([0x0c, 0x30, 0, 0]);
  });

  it('each of its instructions counts', () => {
    // MOV, CALL, the thunk's two, XOR, JMP; then CALL …
    const places = [0x3000n, 0x2000n, 0x2003n, 0x3005n, 0x3007n, 0x2000n, 0x2003n, 0x300cn];
    for (const [k, eip] of places.entries()) {
      load(calledTwice);
      machine.run({ kind: 'steps', count: 6 + k }, limits);
      expect(machine.readReg('eip')).toBe(eip);
    }
  });

  it('its code changes', () => {
    load([
      [0x1000, `${before} 31 db e9 f2 1f 00 00`],
      // MOV EDI, 2; again: CALL 2000h; MOV BYTE [2001h], 0Ch (MOV ECX,[ESP]); DEC EDI; JNZ again; HLT
      [0x3000, 'bf 02 00 00 00  e8 f6 ef ff ff  c6 05 01 20 00 00 0c  4f  75 f1  f4'],
      thunk,
    ]);
    halt();
    expect(machine.readReg('ebx')).toBe(0x300an);
    expect(machine.readReg('ecx')).toBe(0x300an);
  });
});
