/**
 * Code whose mapping changes, on each tier: what runs behind INVLPG and a write to CR3 comes from the new page (SDM
 * vol. 3 §4.10.4).
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createCoreMachine } from './core-machine.ts';
import { enablePaging, pageTable, runToHalt, words } from './paging-code.ts';
import { AVAILABLE_TIERS } from './tiers.ts';

const core = new URL('../../../build/core/core.wasm', import.meta.url);

/** MOV ECX, address; CALL ECX */
const call = (address: number): string => `b9 ${words(address)} ff d1`;
/** MOV AL, value; RET */
const give = (value: string): string => `b0 ${value} c3`;

describe.each(AVAILABLE_TIERS)('on the %s tier', (tier) => {
  const machine = createCoreMachine(tier, new WebAssembly.Module(readFileSync(core)), () => [0, 0, 0, 0]);
  const run = (memory: readonly (readonly [number, string])[]): void => {
    runToHalt(machine, memory);
  };

  /** Two pages whose numbers have their low 12 bits in common: 8000h and 1008000h, of the frames 8000h and 9000h. */
  const first = 0x8000;
  const second = 0x1008000;
  const pages = [
    [0x4000, words(0x5003, 0, 0, 0, 0x6003)],
    [0x5000, pageTable()],
    [0x6000, words(0, 0, 0, 0, 0, 0, 0, 0, 0x9003)],
    [0x8000, give('11')],
    [0x9000, give('42')],
    [0xa000, give('77')],
  ] as const;

  it.each([
    ['the first page', first, 0x5020],
    ['the second page', second, 0x6020],
  ])('code of two pages that share a place of the table: INVLPG of %s', (_, page, entry) => {
    // MOV BL, AL; MOV BH, AL; MOV DWORD [entry], 0A003h; INVLPG [page]; …; HLT
    const before = `${call(first)} 88 c3 ${call(second)} 88 c7 ${call(first)} ${call(second)}`;
    const change = `c7 05 ${words(entry)} ${words(0xa003)} 0f 01 3d ${words(page)}`;
    run([[0x1000, `${enablePaging} ${before} ${change} ${call(page)} f4`], ...pages]);
    expect(machine.readReg('ebx') & 0xffffn).toBe(0x4211n);
    expect(machine.readReg('eax') & 0xffn).toBe(0x77n);
  });

  // MOV EBX, EAX after the first call; INVLPG [9000h]
  const crossing = (change: string): void => {
    const middle = `${call(0x8ffd)} 89 c3 ${change} 0f 01 3d ${words(0x9000)} ${call(0x8ffd)}`;
    run([
      [0x1000, `${enablePaging} ${call(0x8ffd)} ${middle} f4`],
      [0x4000, words(0x5003)],
      [0x5000, pageTable()],
      // MOV EAX, 44332211h; RET, and in the page that takes the place of the second one MOV EAX, 88772211h; RET
      [0x8ffd, 'b8 11 22 33 44 c3'],
      [0xa000, '77 88 c3'],
    ]);
    expect(machine.readReg('ebx')).toBe(0x44332211n);
  };

  it('an instruction that goes on in a page whose mapping changes', () => {
    // MOV DWORD [5024h], 0A003h
    crossing(`c7 05 ${words(0x5024, 0xa003)}`);
    expect(machine.readReg('eax')).toBe(0x88772211n);
  });

  it('an instruction that goes on in a page that the TLB has forgotten', () => {
    crossing('');
    expect(machine.readReg('eax')).toBe(0x44332211n);
  });

  it('the instruction behind a write to CR3, in a page that is not global', () => {
    run([
      // MOV EAX, 6000h; JMP 0B000h
      [0x1000, `${enablePaging} b8 00 60 00 00  b9 00 b0 00 00  ff e1`],
      [0x4000, words(0x5003)],
      [0x5000, pageTable()],
      [0x6000, words(0x7003)],
      [0x7000, pageTable({ 0xb: 0xc000 })],
      // MOV CR3, EAX; MOV AL, 11h; HLT, and in the page that takes its place three NOPs; MOV AL, 42h; HLT
      [0xb000, '0f 22 d8  b0 11  f4'],
      [0xc000, '90 90 90  b0 42  f4'],
    ]);
    expect(machine.readReg('eax') & 0xffn).toBe(0x42n);
  });
});
