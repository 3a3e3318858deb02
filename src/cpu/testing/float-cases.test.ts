import { describe, expect, it } from 'vitest';
import { instructionTable } from '../isa/table.ts';
import { createMatcher } from '../isa/match.ts';
import { describeFloatCase, floatPrograms, runFloatCase } from './float-cases.ts';
import type { CaseMachine } from './machine.ts';
import { parseTestFloatName } from './testfloat.ts';

const formats = ['f32', 'f64', 'extF80', 'i32', 'i64'];
const operations = ['add', 'sub', 'mul', 'div', 'sqrt'];
const names = [
  ...['f32', 'f64', 'extF80'].flatMap((format) => operations.map((operation) => `${format}_${operation}`)),
  ...['f32', 'f64'].flatMap((format) => ['eq', 'lt', 'lt_quiet'].map((operation) => `${format}_${operation}`)),
  ...['extF80_rem', 'extF80_roundToInt'],
  ...formats.flatMap((from) =>
    formats.filter((to) => to !== from && !(from[0] === 'i' && to[0] === 'i')).map((to) => `${from}_to_${to}`),
  ),
];

/** A machine that has given one result and one set of flags to everything. */
function finished(result: bigint, flags: bigint): CaseMachine {
  const bytes = Uint8Array.from({ length: 16 }, (_, i) => Number((result >> BigInt(8 * (i % 4))) & 0xffn));
  return {
    load: () => {},
    run: () => ({ kind: 'ended' }),
    readReg: (name) => (name === 'mxcsr' ? flags : result),
    readVec: () => bytes,
    readMem: () => bytes,
  };
}

describe('programs of TestFloat functions', () => {
  const match = createMatcher(instructionTable);

  it.each(names)('%s is what the instruction table calls it', (name) => {
    for (const rounding of ['near_even', 'minMag']) {
      for (const program of floatPrograms(parseTestFloatName(`${name}.${rounding}.txt`))) {
        const decoded = match(program.code, program.mode === 'long64' ? 64 : 32);
        if (typeof decoded === 'string') throw new Error(`${program.mnemonic} is ${decoded}`);
        expect(decoded.row.mnemonic).toBe(program.mnemonic.split(' ')[0]);
        if (program.steps !== undefined) expect(decoded.length).toBe(program.code.length);
      }
    }
  });

  it('adds the truncating instructions where the rounding is theirs', () => {
    const mnemonics = (file: string) => floatPrograms(parseTestFloatName(file)).map((program) => program.mnemonic);
    expect(mnemonics('f32_to_i64.min.txt')).toEqual(['CVTSS2SI']);
    expect(mnemonics('f32_to_i64.minMag.txt')).toEqual(['CVTSS2SI', 'CVTTSS2SI']);
    expect(mnemonics('extF80_to_i32.minMag.txt')).toEqual(['FIST m32', 'FISTP m32', 'FISTTP m32']);
  });

  it('compares result and flags', () => {
    const [, packed] = floatPrograms(parseTestFloatName('f32_add.min.txt'));
    if (!packed) throw new Error('no packed program');
    const vector = { operands: [1n, 2n], result: 3n, flags: 0x20 };
    expect(runFloatCase(finished(3n, 0x1fa2n), packed, vector)).toEqual([]);
    expect(runFloatCase(finished(4n, 0x1fa0n), packed, vector).map((d) => d.what)).toEqual(['result']);
    expect(runFloatCase(finished(3n, 0x1f80n), packed, vector).map((d) => d.what)).toEqual(['flags']);
    expect(describeFloatCase(packed, vector)).toBe('f32_add.min 1 2');
  });
});
