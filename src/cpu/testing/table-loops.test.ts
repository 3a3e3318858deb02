/** Look-ups in tables within loops, whose pages compiled code keeps from round to round (`jit/loop-pages.ts`), on each tier. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseCase } from './cases.ts';
import { createCoreMachine } from './core-machine.ts';
import { enablePaging, pageTable, words } from './paging-code.ts';
import { AVAILABLE_TIERS } from './tiers.ts';

const core = new URL('../../../build/core/core.wasm', import.meta.url);

describe.each(AVAILABLE_TIERS)('on the %s tier', (tier) => {
  const machine = createCoreMachine(tier, new WebAssembly.Module(readFileSync(core)), () => [0, 0, 0, 0]);

  /** Adds the four words behind the first one of the table, twice, with a call between. */
  const sum = (tableAt: number, called: string, data: readonly (readonly [number, string])[]): bigint => {
    // XOR EAX, EAX; MOV EBX, 2000h; MOV EDI, 2
    const start = `${enablePaging} 31 c0 bb 00 20 00 00 bf 02 00 00 00`;
    // MOV ECX, 4; again: MOVZX EDX, CL; ADD EAX, [EDX*4+table]; DEC ECX; JNZ again
    const inner = `b9 04 00 00 00  0f b6 d1  03 04 95 ${words(tableAt)}  49  75 f3`;
    const code = [
      // CALL EBX; DEC EDI; JNZ to the MOV ECX; HLT
      [0x1000, `${start} ${inner} ff d3 4f 75 e9 f4`],
      [0x2000, called],
      [0x4000, words(0x5003)],
      [0x5000, pageTable()],
      ...data,
    ] as const;
    const mem = code.map(([address, hex]) => [address, hex.replaceAll(' ', '')]);
    const regs = { eip: 0x1000, esp: 0xff00 };
    const line = { mode: 'protected32', regs, mem, zero: [[0, 0x10000]], end: 'hlt', expect: {} };
    machine.load(parseCase(JSON.stringify(line)));
    expect(machine.run({ kind: 'hlt' }, { maxInstructions: 1000, stopAtException: false })).toEqual({ kind: 'ended' });
    return machine.readReg('eax');
  };

  it('the page is another one in the next round of the loop around it', () => {
    // MOV DWORD [5020h], 9003h; INVLPG [8000h]; RET
    const remap = `c7 05 ${words(0x5020, 0x9003)} 0f 01 3d ${words(0x8000)} c3`;
    const data = [
      [0x8004, words(1, 2, 3, 4)],
      [0x9004, words(10, 20, 30, 40)],
    ] as const;
    expect(sum(0x8000, remap, data)).toBe(110n);
  });

  it('the table goes on in the next page', () => {
    expect(sum(0x8ff6, 'c3', [[0x8ffa, words(1, 2, 3, 4)]])).toBe(20n);
  });

  it('the table is written meanwhile', () => {
    // INC DWORD [8004h]; RET
    expect(sum(0x8000, `ff 05 ${words(0x8004)} c3`, [[0x8004, words(1, 2, 3, 4)]])).toBe(21n);
  });
});
