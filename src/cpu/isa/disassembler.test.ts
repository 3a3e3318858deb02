import { describe, expect, it } from 'vitest';
import { createDisassembler } from './disassembler.ts';
import type { CodeMode } from './match.ts';
import { instructionTable } from './table.ts';

const disassemble = createDisassembler(instructionTable);

/** Texts as binutils' objdump gives them in Intel syntax, where it says as much as we do. */
const cases: readonly (readonly [CodeMode, string, string])[] = [
  [64, '48 01 18', 'add QWORD PTR [rax],rbx'],
  [64, '66 42 83 44 a5 10 f0', 'add WORD PTR [rbp+r12*4+0x10],0xfff0'],
  [64, '65 48 8b 04 25 28 00 00 00', 'mov rax,QWORD PTR gs:0x28'],
  [64, '8d 05 fc ff ff ff', 'lea eax,[rip-0x4]'],
  [64, 'c1 e0 05', 'shl eax,0x5'],
  [64, 'd1 e0', 'shl eax,1'],
  [64, '74 fe', 'je 0x1000'],
  [64, '0f 94 c4', 'sete ah'],
  [64, '41 5f', 'pop r15'],
  [64, 'f3 48 a5', 'rep movs QWORD PTR es:[rdi],QWORD PTR ds:[rsi]'],
  [64, '48 98', 'cdqe'],
  [64, '0f 22 d8', 'mov cr3,rax'],
  [32, 'f0 0f b1 11', 'lock cmpxchg DWORD PTR [ecx],edx'],
  [32, 'ff 75 08', 'push DWORD PTR [ebp+0x8]'],
  [32, '8e d8', 'mov ds,ax'],
  [32, '60', 'pushad'],
  [32, 'ea 00 00 10 00 08 00', 'jmp far 0x8:0x100000'],
  [16, '8a 40 05', 'mov al,BYTE PTR [bx+si+0x5]'],
  [16, 'e3 00', 'jcxz 0x1002'],
  [16, '26 a1 34 12', 'mov ax,WORD PTR es:0x1234'],
  [64, '06', '(bad)'],
];

describe('the disassembler', () => {
  it.each(cases)('%i-bit %s: %s', (mode, code, text) => {
    const bytes = code.split(' ').map((b) => parseInt(b, 16));
    const expected = text === '(bad)' ? 1 : bytes.length;
    expect(disassemble(bytes, mode, 0x1000n)).toEqual({ text, length: expected });
  });
});
