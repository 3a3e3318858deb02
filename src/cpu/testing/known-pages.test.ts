/**
 * Accesses of a block that the compiler takes to lie in one page (`jit/known-pages.ts`), where they do not, or where the
 * page is no ordinary one, on each tier. What must come out follows from the instructions and the tables alone.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Arena, ArenaHeader } from '../arena.ts';
import { Vcpu } from '../state.ts';
import { parseCase } from './cases.ts';
import { createCoreMachine } from './core-machine.ts';
import { enablePaging, pageTable, runToHalt, words } from './paging-code.ts';
import { AVAILABLE_TIERS } from './tiers.ts';

const core = new URL('../../../build/core/core.wasm', import.meta.url);

describe.each(AVAILABLE_TIERS)('on the %s tier', (tier) => {
  const machine = createCoreMachine(tier, new WebAssembly.Module(readFileSync(core)), () => [0, 0, 0, 0]);
  const run = (memory: readonly (readonly [number, string])[], sliceInstructions?: number): void => {
    runToHalt(machine, memory, sliceInstructions);
  };
  /** Times that compiled code was left because the TLB did not know an access. */
  const misses = (): number => {
    const view = new DataView(machine.buffer);
    const arena = view.getUint32(machine.cpu + Vcpu.offsets.arena, true);
    return view.getUint32(arena + Arena.header + ArenaHeader.offsets.misses, true);
  };
  /** Pages A000h and B000h are the frames C000h and E000h. */
  const tables = [
    [0x4000, words(0x5003)],
    [0x5000, pageTable({ 0xa: 0xc000, 0xb: 0xe000 })],
  ] as const;
  const bytesAt = (address: number, bytes: number): string =>
    Buffer.from(machine.readMem(address, bytes)).toString('hex');
  const registers = (...names: readonly string[]): bigint[] => names.map((name) => machine.readReg(name));

  it('a stack that goes on in another frame', () => {
    // MOV ESP, 0B008h; MOV ECX, 20; again: PUSH 1; PUSH 2; PUSH 3; PUSH 4; POP EAX; POP EBX; POP EDX; POP ESI; ADD EDI,
    // EAX; ADD EDI, EBX; ADD EDI, EDX; ADD EDI, ESI; DEC ECX; JNZ again; HLT
    const setUp = `bc ${words(0xb008)}  b9 ${words(20)}`;
    const loop = '6a 01 6a 02 6a 03 6a 04  58 5b 5a 5e  01 c7 01 df 01 d7 01 f7  49  75 e9';
    run([[0x1000, `${enablePaging} ${setUp} ${loop} f4`], ...tables]);
    expect(registers('eax', 'ebx', 'edx', 'esi', 'edi', 'esp')).toEqual([4n, 3n, 2n, 1n, 200n, 0xb008n]);
    expect(bytesAt(0xe000, 8)).toBe('0200000001000000');
    expect(bytesAt(0xcff8, 8)).toBe('0400000003000000');
    expect(bytesAt(0xd000, 8)).toBe('0'.repeat(16));
  });

  it('an access that crosses the end of its page', () => {
    // MOV EBX, 0AFF0h; MOV ECX, 20; again: MOV EAX, [EBX]; MOV EDX, [EBX+0Eh]; MOV [EBX+0Eh], EDX; INC WORD [EBX+10h];
    // DEC ECX; JNZ again; HLT
    const setUp = `bb ${words(0xaff0)}  b9 ${words(20)}`;
    const loop = '8b 03  8b 53 0e  89 53 0e  66 ff 43 10  49  75 f1';
    run([
      [0x1000, `${enablePaging} ${setUp} ${loop} f4`],
      ...tables,
      [0xcff0, '77'],
      [0xcffe, '1122'],
      [0xe000, '3344'],
    ]);
    expect(registers('eax', 'edx')).toEqual([0x77n, 0x44462211n]);
    expect(bytesAt(0xcffe, 2) + bytesAt(0xe000, 2)).toBe('11224744');
  });

  it('two pages in turns that have one place in the TLB', () => {
    // MOV EBX, 0A000h; MOV EDI, 0100A000h; MOV EDX, 1; MOV ECX, 16000; again: ADD ESI, [EBX]; ADD EBP, [EDI+EDX*4-4];
    // DEC ECX; JNZ again; HLT
    const setUp = `bb ${words(0xa000)}  bf ${words(0x100a000)}  ba ${words(1)}  b9 ${words(16_000)}`;
    const paged = [...tables, [0x4010, words(0x6003)], [0x6000, pageTable({ 0xa: 0xe000 })]] as const;
    const data = [
      [0xc000, words(3)],
      [0xe000, words(5)],
    ] as const;
    run([[0x1000, `${enablePaging} ${setUp} 03 33  03 6c 97 fc  49  75 f7  f4`], ...paged, ...data], 4000);
    expect(registers('esi', 'ebp')).toEqual([48_000n, 80_000n]);
    // Compiled anew, the code asks the core, rather than that it is left each time.
    expect(misses()).toBeLessThan(10_000);
  });

  it('a page that has code in it', () => {
    // MOV EBX, 1100h; MOV ECX, 5; again: MOV [EBX], ECX; MOV [EBX-ECh], CL (the 0 behind); ADD EDX, 0; DEC ECX; JNZ again
    run([[0x1000, 'bb 00 11 00 00  b9 05 00 00 00  89 0b  88 8b 14 ff ff ff  83 c2 00  49  75 f2  f4']]);
    expect(registers('edx')).toEqual([15n]);
    expect(bytesAt(0x1100, 4)).toBe('01000000');
  });

  it('a page where alignment is checked', () => {
    // MOV ECX, 20; again: MOV AL, [EBX]; MOV EDX, [EBX+4]; DEC ECX; JNZ again; INC EBX; MOV CL, 1; JMP again
    const code = `b9 ${words(20)}  8a 03  8b 53 04  49  75 f8  43  b1 01  eb f3`;
    const line = {
      mode: 'protected32',
      cpl: 3,
      pages: [
        [0x10000, 0x1000, 'rwxu'],
        [0x20000, 0x1000, 'rwu'],
      ],
      // CR0.AM and EFLAGS.AC
      regs: { eip: 0x10000, ebx: 0x20000, cr0: 0x80040033, eflags: 0x40202 },
      mem: [[0x10000, code.replaceAll(' ', '')]],
      zero: [[0x20000, 0x100]],
      end: { rip: 0 },
      expect: {},
    };
    machine.load(parseCase(JSON.stringify(line)));
    // #AC at the first access that is not aligned, and there is no IDT.
    const result = machine.run({ kind: 'hlt' }, { maxInstructions: 1000, stopAtException: false });
    expect(result).toEqual({ kind: 'failed', reason: 'triple fault' });
    expect(registers('eip', 'ebx')).toEqual([0x10007n, 0x20001n]);
  });

  it.each([
    ['read and then written is dirty', 0xa100, [0x60, 0]],
    ['read alone is not, though what follows writes elsewhere', 0xaff4, [0x20, 0x60]],
  ])('a page that is %s', (_, address, expected) => {
    // MOV EBX, address; MOV ECX, 20; again: MOV EAX, [EBX]; MOV [EBX+10h], EAX; DEC ECX; JNZ again; HLT
    const setUp = `bb ${words(address)}  b9 ${words(20)}`;
    run([[0x1000, `${enablePaging} ${setUp}  8b 03  89 43 10  49  75 f8  f4`], ...tables]);
    // Accessed and dirty: bits 5 and 6 of the tables' entries (SDM vol. 3 §4.8).
    const flags = [0x5028, 0x502c].map((entry) => (machine.readMem(entry, 1)[0] ?? 0) & 0x60);
    expect(flags).toEqual(expected);
  });
});
