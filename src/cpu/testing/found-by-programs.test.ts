/** Defects that random programs found, one case each; what must come out is what a processor did. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parseCase } from './cases.ts';
import { createCoreMachine } from './core-machine.ts';
import { runCase } from './runner.ts';
import { AVAILABLE_TIERS, createCaseMachine } from './tiers.ts';

const core = new URL('../../../build/core/core.wasm', import.meta.url);

it('COMISD at a label: the flags of the code before it do not come back where the region is left', () => {
  const machine = createCoreMachine('jit', new WebAssembly.Module(readFileSync(core)), () => [0, 0, 0, 0]);
  const code: [number, string][] = [
    // TEST EAX, EAX; JNZ label; SUB ECX, 1; label: COMISD XMM0, XMM0; JMP 2000h
    [0x1000, '85c0 7503 83e901 660f2fc0 e9f00f0000'],
    // HLT
    [0x2000, 'f4'],
  ];
  const mem = code.map(([address, hex]) => [address, hex.replaceAll(' ', '')]);
  const line = {
    mode: 'protected32',
    regs: { eip: 0x1000, esp: 0xff00 },
    mem,
    zero: [[0, 0x10000]],
    end: 'hlt',
    expect: {},
  };
  machine.load(parseCase(JSON.stringify(line)));
  // Once to decode, so that the whole is compiled as one region.
  for (const compiled of [false, true]) {
    machine.restart();
    if (compiled) machine.compileBefore(100);
    expect(machine.run({ kind: 'hlt' }, { maxInstructions: 100, stopAtException: false })).toEqual({ kind: 'ended' });
    expect(machine.readReg('eip')).toBe(0x2001n);
    expect(machine.readReg('eflags')).toBe(0x42n);
  }
});

it.each(AVAILABLE_TIERS)('FLD of an empty register onto a full one is an underflow, with C1 clear: %s', (tier) => {
  const machine = createCaseMachine(tier, new WebAssembly.Module(readFileSync(core)), () => [0, 0, 0, 0]);
  // FLD ST(2): ST(2) is empty, ST(7) in use
  const line = {
    mode: 'protected32',
    regs: { eip: 0x1000, fcw: 0x37f, fsw: 0, ftw: 0x80 },
    mem: [[0x1000, 'd9c2']],
    end: { steps: 1 },
    expect: { regs: { fsw: 0x3841, ftw: 0x80 }, vec: { r7: '00000000000000c0ffff' } },
  };
  expect(runCase(machine, parseCase(JSON.stringify(line)))).toEqual([]);
});

it.each(AVAILABLE_TIERS)('CF is what DEC has kept, behind an access that might have left: %s', (tier) => {
  const machine = createCaseMachine(tier, new WebAssembly.Module(readFileSync(core)), () => [0, 0, 0, 0]);
  const line = {
    mode: 'protected32',
    regs: { eip: 0x1000, esi: 5, eflags: 0x3 },
    // DEC ESI; MOV EBX,[2000h]; DEC ESI; SBB EAX, EAX; DEC ESI; HLT
    mem: [[0x1000, '4e 8b1d00200000 4e 19c0 4e f4'.replaceAll(' ', '')]],
    zero: [[0, 0x10000]],
    end: 'hlt',
    expect: { regs: { esi: 2, eax: 0xffffffff, eflags: 0x3 } },
  };
  expect(runCase(machine, parseCase(JSON.stringify(line)))).toEqual([]);
});
