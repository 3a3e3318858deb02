/**
 * Flags of floating-point comparisons, which compiled code holds as a word until somebody asks, on each tier: by conditions,
 * by PUSHF, and behind a call. Values are those of SDM vol. 2, FCOMI and UCOMISD: ZF, PF, CF are 000 where the first
 * operand is greater, 001 less, 100 equal, 111 unordered; OF, SF and AF are 0.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createCoreMachine } from './core-machine.ts';
import { runToHalt, words } from './paging-code.ts';
import { AVAILABLE_TIERS } from './tiers.ts';

const core = new URL('../../../build/core/core.wasm', import.meta.url);
const data = 0x8000;
const arithmetic = 0x8d5;

const doubles = (...numbers: readonly number[]): string =>
  Buffer.from(new Float64Array(numbers).buffer).toString('hex');

/** FLD QWORD [EBX+8]; FLD QWORD [EBX]; FCOMIP ST, ST(1); FSTP ST(0) */
const byX87 = 'dd 43 08 dd 03 df f1 dd d8';
/** MOVSD XMM0, [EBX]; UCOMISD XMM0, [EBX+8] */
const bySse = 'f2 0f 10 03 66 0f 2e 43 08';
/** SETA AL; SETB AH; SETE DL; SETP DH; SETL CH */
const ask = '0f 97 c0 0f 92 c4 0f 94 c2 0f 9a c6 0f 9c c5';
/** PUSHF; POP ESI */
const word = '9c 5e';

describe.each(AVAILABLE_TIERS)('on the %s tier', (tier) => {
  const machine = createCoreMachine(tier, new WebAssembly.Module(readFileSync(core)), () => [0, 0, 0, 0]);
  const register = (name: string): number => Number(machine.readReg(name));

  /** FNINIT; MOV EBX, data; MOV EBP, 10; again: XOR ESI, ESI (flags of zero); the code; DEC EBP; JNZ again; HLT; and 2000h: the comparison, RET */
  function run(code: string, comparison: string, x: number, y: number): void {
    const body = `31 f6 ${code} 4d`;
    const back = 0x100 - (body.replaceAll(' ', '').length / 2 + 2);
    runToHalt(machine, [
      [0x1000, `db e3 bb ${words(data)} bd ${words(10)} ${body} 75 ${back.toString(16)} f4`],
      [0x2000, `${comparison} c3`],
      [data, doubles(x, y)],
    ]);
  }

  describe.each([
    ['FCOMIP', byX87],
    ['UCOMISD', bySse],
  ])('%s', (_, comparison) => {
    it.each([
      ['greater', 2, 1, 0],
      ['less', 1, 2, 1],
      ['equal', 3, 3, 0x40],
      ['equal zeros', 0, -0, 0x40],
      ['less than zero', -1, 0, 1],
      ['unordered', NaN, 1, 0x45],
    ] as const)('%s', (__, x, y, flags) => {
      run(`${comparison} ${ask}`, comparison, x, y);
      const asked = [register('eax') & 0xffff, register('edx') & 0xffff, (register('ecx') >> 8) & 0xff];
      const bits = [flags & 0x41 ? 0 : 1, flags & 1, flags & 0x40 ? 1 : 0, flags & 4 ? 1 : 0] as const;
      expect(asked).toEqual([bits[0] | (bits[1] << 8), bits[2] | (bits[3] << 8), 0]);
      run(`${comparison} ${word}`, comparison, x, y);
      expect(register('esi') & arithmetic).toBe(flags);
      // MOV EAX, 2000h; CALL EAX
      run(`b8 ${words(0x2000)} ff d0 ${word}`, comparison, x, y);
      expect(register('esi') & arithmetic).toBe(flags);
    });
  });
});
