/**
 * REP MOVS and REP STOS over several pages that the TLB knows, which go in one run where the pages follow one another in
 * memory (`core/strings.ts`), on each tier. What must come out follows from the instructions and the tables alone.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseCase } from './cases.ts';
import { createCoreMachine } from './core-machine.ts';
import { enablePaging, pageTable, runToHalt, words } from './paging-code.ts';
import { AVAILABLE_TIERS } from './tiers.ts';

const core = new URL('../../../build/core/core.wasm', import.meta.url);
const source = Uint8Array.from({ length: 0x2000 }, (_, n) => (n * 167 + (n >> 8)) & 0xff);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe.each(AVAILABLE_TIERS)('on the %s tier', (tier) => {
  const machine = createCoreMachine(tier, new WebAssembly.Module(readFileSync(core)), () => [0, 0, 0, 0]);
  /** Runs `body` three times with pages A000h and B000h at these frames, and the source at 6000h. */
  const run = (body: string, frames: readonly [number, number]): void => {
    const count = body.replaceAll(' ', '').length / 2;
    runToHalt(machine, [
      [0x1000, `${enablePaging} bd ${words(3)} ${body} 4d 75 ${(0x100 - count - 3).toString(16)} f4`],
      [0x4000, words(0x5003)],
      [0x5000, pageTable({ 0xa: frames[0], 0xb: frames[1] })],
      [0x6000, hex(source)],
    ]);
  };
  const registers = (...names: readonly string[]): bigint[] => names.map((name) => machine.readReg(name));
  /** What lies at linear A000h … BFFFh. */
  const destination = ([first, second]: readonly [number, number]): Uint8Array =>
    Uint8Array.from([...machine.readMem(first, 0x1000), ...machine.readMem(second, 0x1000)]);

  const places: readonly (readonly [string, readonly [number, number]])[] = [
    ['in a row', [0xc000, 0xd000]],
    ['not in a row', [0xd000, 0xc000]],
  ];

  it.each(places)('a copy whose elements cross pages that are %s', (_, frames) => {
    // MOV ESI, 6001h; MOV EDI, A003h; MOV ECX, 4F0h; REP MOVSD
    run(`be ${words(0x6001)} bf ${words(0xa003)} b9 ${words(0x4f0)} f3 a5`, frames);
    const bytes = 4 * 0x4f0;
    expect(registers('esi', 'edi', 'ecx')).toEqual([BigInt(0x6001 + bytes), BigInt(0xa003 + bytes), 0n]);
    const all = destination(frames);
    expect(hex(all.slice(3, 3 + bytes))).toBe(hex(source.slice(1, 1 + bytes)));
    expect([...all.slice(0, 3), ...all.slice(3 + bytes)].every((b) => b === 0)).toBe(true);
  });

  it.each(places)('a copy onto itself, a byte further, over pages that are %s', (_, frames) => {
    // MOV BYTE [A000h], 5Ah; MOV ESI, A000h; MOV EDI, A001h; MOV ECX, 1F00h; REP MOVSB
    run(`c6 05 ${words(0xa000)} 5a be ${words(0xa000)} bf ${words(0xa001)} b9 ${words(0x1f00)} f3 a4`, frames);
    const all = destination(frames);
    expect(all.slice(0, 0x1f01).every((b) => b === 0x5a)).toBe(true);
    expect(all[0x1f01]).toBe(0);
  });

  it.each(places)('words that are filled over pages that are %s', (_, frames) => {
    // MOV EAX, 1234h; MOV EDI, A001h; MOV ECX, F80h; REP STOSW
    run(`b8 ${words(0x1234)} bf ${words(0xa001)} b9 ${words(0xf80)} 66 f3 ab`, frames);
    const all = destination(frames);
    expect(hex(all.slice(0, 0x1f03))).toBe(`00${'3412'.repeat(0xf80)}0000`);
  });

  it('a copy that ends at a page that is not there', () => {
    const pages = [
      [0x10000, 0x1000, 'rwxu'],
      [0x20000, 0x3000, 'rwu'],
      [0x30000, 0x2000, 'rwu'],
    ];
    // MOV EBP, 3; again: MOV ESI, 20000h; MOV EDI, 30001h; MOV ECX, 7FFh; REP MOVSD; DEC EBP; JNZ again; then the same
    // with ECX = 1000h.
    const copy = (count: number): string => `be ${words(0x20000)} bf ${words(0x30001)} b9 ${words(count)} f3 a5`;
    const code = `bd ${words(3)} ${copy(0x7ff)} 4d 75 ec ${copy(0x1000)}`;
    const line = {
      mode: 'protected32',
      cpl: 3,
      pages,
      regs: { eip: 0x10000, cr0: 0x80000033 },
      mem: [[0x10000, code.replaceAll(' ', '')]],
      zero: [
        [0x20000, 0x3000],
        [0x30000, 0x2000],
      ],
      end: { rip: 0 },
      expect: {},
    };
    machine.load(parseCase(JSON.stringify(line)));
    // #PF at the element that would cross into 32000h, and there is no IDT.
    const result = machine.run({ kind: 'hlt' }, { maxInstructions: 100_000, stopAtException: false });
    expect(result).toEqual({ kind: 'failed', reason: 'triple fault' });
    expect(registers('ecx', 'esi', 'edi')).toEqual([0x1000n - 0x7ffn, 0x21ffcn, 0x31ffdn]);
  });
});
