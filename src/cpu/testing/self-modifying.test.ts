/**
 * Code that changes while it runs, and NMI, on each tier. What must come out follows from the instructions alone (SDM
 * vol. 3 §12.6: a processor honours writes to its own instruction stream).
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseCase } from './cases.ts';
import type { CoreMachine } from './core-machine.ts';
import { createCoreMachine } from './core-machine.ts';
import { AVAILABLE_TIERS } from './tiers.ts';

const core = new URL('../../../build/core/core.wasm', import.meta.url);
const limits = { maxInstructions: 1000, stopAtException: false };

/** A machine with code (hex) at addresses, at the first of them. */
function loaded(
  machine: CoreMachine,
  mode: 'real' | 'protected32',
  code: readonly (readonly [number, string])[],
): void {
  const [entry] = code[0] ?? [0];
  const mem = code.map(([address, hex]) => [address, hex.replaceAll(' ', '')]);
  const regs = mode === 'real' ? { ip: entry, sp: 0xff00 } : { eip: entry, esp: 0xff00 };
  const line = { mode, regs, mem, zero: [[0, 0x10000]], end: 'hlt', expect: {} };
  machine.load(parseCase(JSON.stringify(line)));
}

describe.each(AVAILABLE_TIERS)('on the %s tier', (tier) => {
  const machine = createCoreMachine(tier, new WebAssembly.Module(readFileSync(core)), () => [0, 0, 0, 0]);
  const halted = (): bigint => {
    expect(machine.run({ kind: 'hlt' }, limits)).toEqual({ kind: 'ended' });
    return machine.readReg('eax');
  };

  it('a write to the next instruction takes effect at once', () => {
    // MOV BYTE [1008h], 42h; MOV AL, 11h; HLT
    loaded(machine, 'protected32', [[0x1000, 'c6 05 08 10 00 00 42  b0 11  f4']]);
    expect(halted()).toBe(0x42n);
  });

  it('a write to the block that is running', () => {
    // MOV ECX, 3; again: ADD EAX, 1; MOV BYTE [the 1], 5; DEC ECX; JNZ again; HLT
    loaded(machine, 'protected32', [[0x1000, 'b9 03 00 00 00  83 c0 01  c6 05 07 10 00 00 05  49  75 f3  f4']]);
    expect(halted()).toBe(11n);
  });

  it('a write to the second page of an instruction that crosses', () => {
    loaded(machine, 'protected32', [
      // MOV ECX, 2; JMP 1FFEh
      [0x1f00, 'b9 02 00 00 00  e9 f4 00 00 00'],
      // MOV EAX, 44332211h; DEC ECX; JZ end; MOV BYTE [2001h], 99h; JMP 1FFEh; end: HLT
      [0x1ffe, 'b8 11 22 33 44  49  74 0c  c6 05 01 20 00 00 99  e9 ec ff ff ff  f4'],
    ]);
    expect(halted()).toBe(0x44992211n);
  });

  it('REP STOSB over the instructions behind it', () => {
    // MOV EDI, 300Eh; MOV ECX, 2; MOV AL, 40h (INC EAX); REP STOSB; NOP; NOP; HLT
    loaded(machine, 'protected32', [[0x3000, 'bf 0e 30 00 00  b9 02 00 00 00  b0 40  f3 aa  90 90  f4']]);
    expect(halted()).toBe(0x42n);
  });

  it('a device that writes over code', () => {
    // again: MOV AL, 11h; JMP again
    loaded(machine, 'protected32', [[0x1000, 'b0 11  eb fc']]);
    machine.run({ kind: 'steps', count: 4 }, limits);
    expect(machine.readReg('eax')).toBe(0x11n);
    machine.deviceWrite(0x1001, Uint8Array.of(0x42));
    machine.run({ kind: 'steps', count: 2 }, limits);
    expect(machine.readReg('eax')).toBe(0x42n);
  });

  it('a write to what was decoded together with code that ran, then to that code', () => {
    // MOV ECX, 2; again: MOV AL, 1; 8 NOPs of 8 bytes; MOV BYTE [1056h], 7; MOV BYTE [1006h], 2; MOV DH, 3 (at 1055h,
    // in another granule than MOV AL, but decoded with it); DEC ECX; JNZ again; HLT
    const nops = '0f 1f 84 00 00 00 00 00 '.repeat(8);
    const code = `b9 02 00 00 00  b0 01  ${nops} c6 05 56 10 00 00 07  c6 05 06 10 00 00 02  b6 03  49  75 ab  f4`;
    loaded(machine, 'protected32', [[0x1000, code]]);
    // One instruction after the other, so that each may be compiled by itself.
    machine.run({ kind: 'steps', count: 1 + 2 * 14 }, limits);
    expect(machine.readReg('eip')).toBe(0x105an);
    expect(machine.readReg('eax')).toBe(2n);
    expect(machine.readReg('edx')).toBe(0x700n);
  });

  it('data beside code in a page changes, and the code stays', () => {
    // MOV ECX, 40; again: INC DWORD [1040h]; ADD EAX, 2; DEC ECX; JNZ again; HLT
    loaded(machine, 'protected32', [[0x1000, 'b9 28 00 00 00  ff 05 40 10 00 00  83 c0 02  49  75 f4  f4']]);
    expect(halted()).toBe(80n);
    expect([...machine.readMem(0x1040, 4)]).toEqual([40, 0, 0, 0]);
  });

  it('NMI enters its handler through vector 2, once, and comes back', () => {
    loaded(machine, 'real', [
      // NOP; NOP; HLT
      [0x1000, '90 90 f4'],
      [0x8, '00 20 00 00'],
      // INC AX; IRET
      [0x2000, '40 cf'],
    ]);
    machine.raiseNmi();
    expect(halted()).toBe(1n);
    expect(machine.readReg('ip')).toBe(0x1003n);
  });
});
