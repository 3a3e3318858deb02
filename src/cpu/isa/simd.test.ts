import { describe, expect, it } from 'vitest';
import { compileTable, parseEncoding, parseOperand } from './compile.ts';
import { fpHelpers } from './helpers-fp.ts';
import { helpers } from './helpers.ts';
import { simdRows } from './simd.ts';
import { instructionTable } from './table.ts';
import { x87Rows } from './x87.ts';

const rows = [...simdRows, ...x87Rows];

describe('the SIMD and x87 rows', () => {
  it('are in the notation of row.ts', () => {
    for (const { encoding, operands } of rows) {
      parseEncoding(encoding);
      operands.forEach(parseOperand);
    }
    expect(compileTable(rows).forms.length).toBeGreaterThan(rows.length);
  });

  it('have one mnemonic for each encoding, in all of the table', () => {
    const seen = new Map<string, string>();
    for (const { encoding, mnemonic, modes, sizes } of instructionTable) {
      const key = `${encoding} ${modes ?? ''} ${sizes?.join() ?? ''}`;
      expect(seen.get(key), `${key}: ${mnemonic}`).toBeUndefined();
      seen.set(key, mnemonic);
    }
  });

  it('ask for alignment exactly where SSE does', () => {
    const unaligned = simdRows.filter((r) => r.operands.some((o) => o === 'W' || o === 'Mo') && !r.aligned);
    const names = new Set(unaligned.map((r) => r.mnemonic));
    expect([...names].sort()).toEqual([
      'LDDQU',
      'MOVDQU',
      'MOVUPD',
      'MOVUPS',
      'PCMPESTRI',
      'PCMPESTRM',
      'PCMPISTRI',
      'PCMPISTRM',
    ]);
  });

  it('have their helpers in the list', () => {
    expect(Object.keys(helpers)).toEqual(expect.arrayContaining(Object.keys(fpHelpers)));
  });
});
