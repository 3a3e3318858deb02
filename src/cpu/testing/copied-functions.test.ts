/**
 * Functions that are copied to where they are called (`jit/inline.ts`): what runs is what is called, at each instruction,
 * wherever the guest returns to and whatever becomes of the function's code and of its page.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Vcpu } from '../state.ts';
import { parseCase } from './cases.ts';
import { createCoreMachine } from './core-machine.ts';
import { enablePaging, pageTable, words } from './paging-code.ts';

const core = new WebAssembly.Module(readFileSync(new URL('../../../build/core/core.wasm', import.meta.url)));
const limits = { maxInstructions: 100_000, stopAtException: false };
const general = ['eax', 'ebx', 'ecx', 'edx', 'esi', 'edi', 'esp', 'eip', 'eflags'] as const;

type Memory = readonly (readonly [number, string])[];

function caseOf(memory: Memory, registers: Readonly<Record<string, number>> = {}): string {
  const mem = memory.map(([address, hex]) => [address, hex.replaceAll(' ', '')]);
  const regs = { eip: 0x1000, esp: 0xff00, eax: 0, ebx: 0, ecx: 0, edx: 0, esi: 0, edi: 0, ...registers };
  return JSON.stringify({ mode: 'protected32', regs, mem, zero: [[0, 0x10000]], end: 'hlt', expect: {} });
}

describe('a copied function', () => {
  const machine = createCoreMachine('jit', core, () => [0, 0, 0, 0], { debugCompiled: true });
  const reference = createCoreMachine('interpreter', core, () => [0, 0, 0, 0]);
  const all = (m: typeof machine): readonly bigint[] => general.map((r) => m.readReg(r));
  const set = (register: 'eax' | 'edx', value: number): void => {
    const at = machine.cpu + Vcpu.offsets.gpr + (register === 'eax' ? 0 : 2 * 8);
    new DataView(machine.buffer).setBigUint64(at, BigInt(value), true);
  };
  /** As far as after so many instructions, without stepping. */
  const run = (m: typeof machine, count: number): void => {
    m.run({ kind: 'hlt' }, { ...limits, maxInstructions: count });
  };
  const toHalt = (m: typeof machine): void => {
    expect(m.run({ kind: 'hlt' }, limits)).toEqual({ kind: 'ended' });
  };
  const copies = (): number =>
    [...(machine.compiler?.liveRegions() ?? [])].reduce((sum, region) => sum + region.inlined.size, 0);

  /** Runs it once without compiling, and compiles then what is at `at`, which comes after `steps` instructions. */
  const prepare = (memory: Memory, steps: number, registers?: Readonly<Record<string, number>>): void => {
    const line = caseOf(memory, registers);
    reference.load(parseCase(line));
    machine.load(parseCase(line));
    machine.restart();
    toHalt(machine);
    machine.restart();
    run(machine, steps);
    machine.askHere();
    machine.compileAsked();
    machine.restart();
  };
  /** Runs as far as after each number of instructions, compiled and interpreted. */
  const sameAtEachStep = (): void => {
    toHalt(reference);
    const total = reference.retired;
    for (let count = 1; count < total; count++) {
      machine.restart();
      reference.restart();
      run(machine, count);
      run(reference, count);
      expect(all(machine), `after ${count} instructions`).toEqual(all(reference));
    }
  };

  const loop = [
    // MOV ECX, 3; again: CALL f; CALL g; DEC ECX; JNZ again; HLT
    [0x1000, 'b9 03 00 00 00  e8 f6 00 00 00  e8 f1 0f 00 00  49  75 f3  f4'],
    // f: ADD EAX, 5; CMP EAX, 20h; JAE 1; RET; 1: ADD EBX, 1; RET
    [0x1100, '83 c0 05  83 f8 20  73 01  c3  83 c3 01  c3'],
    // g: PUSH EDX; MOV EDX, 4; ADD ESI, EDX; POP EDX; RET
    [0x2000, '52  ba 04 00 00 00  01 d6  5a  c3'],
  ] as const;

  it('of the same page and one of another count each of their instructions', () => {
    prepare(loop, 12);
    expect(copies()).toBe(2);
    sameAtEachStep();
  });

  it('goes on in code that had not run when it was copied', () => {
    prepare(loop, 12);
    reference.load(parseCase(caseOf(loop, { eax: 0x1e })));
    toHalt(reference);
    run(machine, 1);
    set('eax', 0x1e);
    toHalt(machine);
    expect(all(machine)).toEqual(all(reference));
    expect(machine.readReg('ebx')).toBe(3n);
  });

  it('goes on in such code with its x87 stack, and comes back with the one that is there then', () => {
    const code = [
      // MOV ECX, 3; again: CALL f; FLD DWORD [5008h]; FSTP DWORD [5004h]; DEC ECX; JNZ again; HLT
      [0x1000, 'b9 03 00 00 00  e8 f6 00 00 00  d9 05 08 50 00 00  d9 1d 04 50 00 00  49  75 ec  f4'],
      // f: FLD DWORD [5008h]; ADD EAX, 5; CMP EAX, 20h; JAE 1; FSTP ST(0); RET; 1: FADD ST(0), ST(0); FSTP DWORD [5000h]; RET
      [0x1100, 'd9 05 08 50 00 00  83 c0 05  83 f8 20  73 03  dd d8  c3  d8 c0  d9 1d 00 50 00 00  c3'],
      [0x5008, '00 00 c0 3f'],
    ] as const;
    prepare(code, 8);
    expect(copies()).toBe(1);
    reference.load(parseCase(caseOf(code, { eax: 0x1e })));
    toHalt(reference);
    set('eax', 0x1e);
    toHalt(machine);
    expect(all(machine)).toEqual(all(reference));
    expect(machine.readMem(0x5000, 8)).toEqual(reference.readMem(0x5000, 8));
    for (const m of [machine, reference]) {
      const { fpuTop, fpuTags } = Vcpu.at(m.buffer, m.cpu);
      expect([fpuTop, fpuTags]).toEqual([0, 0]);
    }
  });

  it('returns to where the guest would have it', () => {
    prepare(
      [
        // CALL f; MOV EBX, 1; HLT; MOV EBX, 2; HLT
        [0x1000, 'e8 fb 00 00 00  bb 01 00 00 00  f4  bb 02 00 00 00  f4'],
        // f: MOV EDX, [ESP]; ADD EDX, EAX; MOV [ESP], EDX; RET
        [0x1100, '8b 14 24  01 c2  89 14 24  c3'],
      ],
      0,
    );
    expect(copies()).toBe(1);
    toHalt(machine);
    expect(machine.readReg('ebx')).toBe(1n);
    machine.restart();
    set('eax', 6);
    toHalt(machine);
    expect(machine.readReg('ebx')).toBe(2n);
  });

  describe('of an indirect call', () => {
    const memory = [
      // MOV EBP, 2; again: CALL EAX; XCHG EAX, EDX; DEC EBP; JNZ again; HLT
      [0x1000, 'bd 02 00 00 00  ff d0  92  4d  75 fa  f4'],
      // INC EBX; RET
      [0x2000, '43  c3'],
      // ADD EBX, 10h; RET
      [0x3000, '83 c3 10  c3'],
    ] as const;

    it.each([
      ['as it was', 0x2000, 0x2000, 2n],
      ['another one', 0x3000, 0x3000, 0x20n],
      ['one after the other', 0x2000, 0x3000, 0x11n],
    ])('which leads to %s', (_, first, second, sum) => {
      prepare(memory, 4, { eax: 0x2000, edx: 0x2000 });
      expect(copies()).toBe(1);
      set('eax', first);
      set('edx', second);
      toHalt(machine);
      expect(machine.readReg('ebx')).toBe(sum);
    });

    it('counts each of its instructions', () => {
      prepare(memory, 4, { eax: 0x2000, edx: 0x2000 });
      sameAtEachStep();
    });
  });

  describe('changes', () => {
    // MOV EBP, 3; again: CALL g; MOV BYTE [2002h], 20h; DEC EBP; JNZ again; HLT
    const caller = [0x1000, 'bd 03 00 00 00  e8 f6 0f 00 00  c6 05 02 20 00 00 20  4d  75 f1  f4'] as const;

    it('with its code, which the caller writes', () => {
      // g: ADD EBX, 10h; RET
      prepare([caller, [0x2000, '83 c3 10  c3']], 4);
      expect(copies()).toBe(1);
      toHalt(machine);
      expect(machine.readReg('ebx')).toBe(0x50n);
    });

    it('with its code, which it writes itself', () => {
      prepare(
        [
          // MOV EBP, 3; again: CALL g; DEC EBP; JNZ again; HLT
          [0x1000, 'bd 03 00 00 00  e8 f6 0f 00 00  4d  75 f8  f4'],
          // g: ADD BYTE [200Ch], 10h; MOV CL, CL; ADD EBX, 10h; RET
          [0x2000, '80 05 0c 20 00 00 10  88 c9  90  83 c3 10  c3'],
        ],
        7,
      );
      toHalt(machine);
      expect(machine.readReg('ebx')).toBe(0x20n + 0x30n + 0x40n);
    });

    it('with its code, which a device writes', () => {
      prepare(
        [
          [0x1000, 'e8 fb 0f 00 00  f4'],
          [0x2000, '83 c3 10  c3'],
        ],
        3,
      );
      expect(copies()).toBe(1);
      machine.deviceWrite(0x2002, Uint8Array.of(0x22));
      expect(copies()).toBe(0);
      toHalt(machine);
      expect(machine.readReg('ebx')).toBe(0x22n);
    });
  });

  describe('whose page is mapped elsewhere', () => {
    const entry = 0x5020;
    const tables = [
      [0x4000, words(0x5003)],
      [0x5000, pageTable()],
      // ADD EBX, 10h; RET, and what comes in its place: ADD EBX, 22h; RET
      [0x8000, '83 c3 10  c3'],
      [0xa000, '83 c3 22  c3'],
    ] as const;
    const steps = 9;

    it('while its caller runs', () => {
      // MOV EBP, 2; again: CALL 8000h; MOV DWORD [entry], 0A003h; INVLPG [8000h]; DEC EBP; JNZ again; HLT
      const start = 0x1000 + enablePaging.replaceAll(' ', '').length / 2;
      const rel = words(0x8000 - (start + 10));
      const code = `${enablePaging} bd 02 00 00 00  e8 ${rel} c7 05 ${words(entry, 0xa003)} 0f 01 3d ${words(0x8000)} 4d 75 e7 f4`;
      prepare([[0x1000, code], ...tables], steps);
      machine.restart();
      toHalt(machine);
      expect(machine.readReg('ebx')).toBe(0x32n);
    });

    it('while it calls another one', () => {
      // MOV EBP, 2; again: CALL 8100h; DEC EBP; JNZ again; HLT
      const start = 0x1000 + enablePaging.replaceAll(' ', '').length / 2;
      const code = `${enablePaging} bd 02 00 00 00  e8 ${words(0x8100 - (start + 10))} 4d 75 f8 f4`;
      // 8100h: CALL 9000h; ADD EBX, 10h; RET, and in the other page ADD EBX, 22h; RET
      const other = `c7 05 ${words(entry, 0xa003)} 0f 01 3d ${words(0x8000)} c3`;
      prepare(
        [
          [0x1000, code],
          ...tables,
          [0x8100, 'e8 fb 0e 00 00  83 c3 10  c3'],
          [0x9000, other],
          [0xa100, 'e8 fb 0e 00 00  83 c3 22  c3'],
        ],
        steps,
      );
      machine.restart();
      toHalt(machine);
      expect(machine.readReg('ebx')).toBe(0x44n);
    });
  });
});
