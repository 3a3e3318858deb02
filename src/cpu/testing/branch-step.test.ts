/** DebugCtl.BTF: with it TF traps after taken branches (SDM vol. 3 §17.4.3). */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Vcpu } from '../state.ts';
import { parseCase } from './cases.ts';
import { createCoreMachine } from './core-machine.ts';

const core = new URL('../../../build/core/core.wasm', import.meta.url);
const btf = 2;
const lbr = 1;
const gateAt = 0x5000;
const handlerAt = 0x4000;
const tableAt = 0x7000;

/** EIPs that #DB saves while code (hex) at 1000h runs with TF, and DebugCtl as the last handler saw it and at the end. */
function traps(code: string, debugControl: number, again: boolean): { readonly at: number[]; readonly left: bigint } {
  const machine = createCoreMachine('interpreter', new WebAssembly.Module(readFileSync(core)), () => [0, 0, 0, 0]);
  // The handler: POP EAX; MOV [EDI], EAX; ADD EDI, 4; PUSH EAX; then, `again`, MOV ECX, 1D9h; MOV EAX, 2; XOR EDX, EDX;
  // WRMSR; IRETD
  const set = again ? 'b9 d9 01 00 00  b8 02 00 00 00  31 d2  0f 30' : '';
  const handler = `58  89 07  83 c7 04  50  ${set}  cf`;
  const gate = [handlerAt & 0xff, handlerAt >> 8, 8, 0, 0, 0x8e, 0, 0];
  const hex = (text: string): string => text.replaceAll(' ', '');
  const line = {
    mode: 'protected32',
    regs: { eip: 0x1000, esp: 0xff00, edi: 0x6000, eflags: 0x102, ebx: 2 },
    mem: [
      [0x1000, hex(code)],
      [handlerAt, hex(handler)],
      // Selector 8: flat code.
      [tableAt + 8, 'ffff0000009bcf00'],
      [gateAt + 8, gate.map((n) => n.toString(16).padStart(2, '0')).join('')],
    ],
    zero: [[0, 0x10000]],
    end: 'hlt',
    expect: {},
  };
  machine.load(parseCase(JSON.stringify(line)));
  const vcpu = Vcpu.at(machine.buffer, machine.cpu);
  vcpu.idtBase = BigInt(gateAt);
  vcpu.idtLimit = 0x7ff;
  vcpu.gdtBase = BigInt(tableAt);
  vcpu.gdtLimit = 15;
  vcpu.segSelector[1] = 8;
  vcpu.msrDebugControl = BigInt(debugControl);
  Number(machine.call('run', machine.cpu, 200));
  const count = (Number(machine.readReg('edi')) - 0x6000) / 4;
  const bytes = machine.readMem(0x6000, 4 * count);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return { at: Array.from({ length: count }, (_, n) => view.getUint32(4 * n, true)), left: vcpu.msrDebugControl };
}

// NOP; JMP 1005h; two bytes; again: DEC EBX; JNZ again; CALL behind; behind: MOV ECX, 3; REP LODSB; NOP; HLT
const code = '90  eb 02  90 90  4b  75 fd  e8 00 00 00 00  b9 03 00 00 00  f3 ac  90  f4';

describe('single step on branches', () => {
  it('traps after taken branches only', () => {
    expect(traps(code, btf, true).at).toEqual([0x1005, 0x1005, 0x100d]);
  });

  it('is over with the first trap, if the handler does not set BTF again', () => {
    const { at, left } = traps(code, btf | lbr, false);
    expect(at.slice(0, 3)).toEqual([0x1005, 0x1006, 0x1005]);
    expect(left).toBe(0n);
  });

  it('is not there without BTF', () => {
    expect(traps(code, 0, false).at.slice(0, 2)).toEqual([0x1001, 0x1005]);
  });
});
