import { describe, expect, it } from 'vitest';
import type { CodeMode, Match, OperandMatch } from './match.ts';
import { createMatcher } from './match.ts';
import { instructionTable } from './table.ts';

const match = createMatcher(instructionTable);

function bytes(text: string): number[] {
  return text.split(' ').map((b) => parseInt(b, 16));
}
function found(text: string, mode: CodeMode): Match {
  const m = match(bytes(text), mode);
  if (typeof m === 'string') throw new Error(`${text}: ${m}`);
  return m;
}
function memory(o: OperandMatch | undefined): Extract<OperandMatch, { kind: 'memory' }> {
  if (o?.kind !== 'memory') throw new Error(`expected a memory operand, got ${o?.kind}`);
  return o;
}

describe('matching bytes with rows', () => {
  it('takes the operand size from mode, 66 and REX.W', () => {
    expect(found('01 d8', 16).size).toBe(2);
    expect(found('66 01 d8', 16).size).toBe(4);
    expect(found('01 d8', 32).size).toBe(4);
    expect(found('66 01 d8', 64).size).toBe(2);
    expect(found('66 48 01 d8', 64).size).toBe(8);
    expect(found('50', 64).size).toBe(8);
    expect(found('00 d8', 64).size).toBe(1);
  });

  it('ignores a REX prefix that a legacy prefix follows', () => {
    const m = found('48 66 01 d8', 64);
    expect(m.size).toBe(2);
    expect(m.length).toBe(4);
  });

  it('names byte registers by the presence of REX', () => {
    expect(found('88 e0', 64).operands[1]).toMatchObject({ number: 0, highByte: true });
    expect(found('40 88 e0', 64).operands[1]).toMatchObject({ number: 4, highByte: false });
    expect(found('44 88 e0', 64).operands[1]).toMatchObject({ number: 12, highByte: false });
  });

  it('reads addresses of 16, 32 and 64 bits', () => {
    expect(memory(found('8b 42 fe', 16).operands[1])).toMatchObject({
      base: 5,
      index: 6,
      displacement: -2n,
      segment: 2,
    });
    expect(memory(found('8b 06 34 12', 16).operands[1])).toMatchObject({ base: undefined, displacement: 0x1234n });
    expect(memory(found('8b 44 8d 10', 32).operands[1])).toMatchObject({ base: 5, index: 1, scale: 2, segment: 2 });
    expect(memory(found('8b 04 25 00 10 00 00', 64).operands[1])).toMatchObject({ base: undefined, index: undefined });
    expect(memory(found('8b 05 00 10 00 00', 64).operands[1])).toMatchObject({ base: 'rip', displacement: 0x1000n });
    expect(memory(found('42 8b 04 20', 64).operands[1])).toMatchObject({ base: 0, index: 12 });
    expect(memory(found('41 8b 44 24 08', 64).operands[1])).toMatchObject({ base: 12, index: undefined, segment: 3 });
  });

  it('drops overrides of flat segments in 64-bit code only', () => {
    expect(memory(found('2e 8b 00', 32).operands[1]).segment).toBe(1);
    expect(memory(found('2e 8b 00', 64).operands[1]).segment).toBe(3);
    expect(memory(found('65 2e 8b 00', 64).operands[1]).segment).toBe(5);
  });

  it('tells NOP from the exchange with R8, and PAUSE by its prefix', () => {
    expect(found('90', 64).mnemonic).toBe('NOP');
    expect(found('49 90', 64).mnemonic).toBe('XCHG');
    expect(found('f3 90', 64).mnemonic).toBe('PAUSE');
    expect(found('91', 64).mnemonic).toBe('XCHG');
  });

  it('separates rows by mode, mod, prefix and operand size', () => {
    expect(found('63 c8', 32).mnemonic).toBe('ARPL');
    expect(found('63 c8', 64).mnemonic).toBe('MOVSXD');
    expect(match(bytes('c4 c0'), 32)).toBe('undefined');
    expect(found('c4 00', 32).mnemonic).toBe('LES');
    expect(found('f3 0f b8 c1', 64).mnemonic).toBe('POPCNT');
    expect(match(bytes('0f b8 c1'), 64)).toBe('undefined');
    expect(found('f3 0f bc c1', 64).mnemonic).toBe('BSF');
    expect(found('0f c7 08', 64).mnemonic).toBe('CMPXCHG8B');
    expect(found('48 0f c7 08', 64).mnemonic).toBe('CMPXCHG16B');
    expect(found('0f 01 f8', 64).mnemonic).toBe('SWAPGS');
    expect(found('0f 01 38', 64).mnemonic).toBe('INVLPG');
  });

  it('allows LOCK with memory destinations only', () => {
    expect(found('f0 01 18', 32).lock).toBe(true);
    expect(match(bytes('f0 01 d8'), 32)).toBe('undefined');
    expect(match(bytes('f0 03 18'), 32)).toBe('undefined');
    expect(match(bytes('f0 39 18'), 32)).toBe('undefined');
  });

  it('reads moves of control registers as register forms whatever mod says', () => {
    expect(found('0f 20 00', 32)).toMatchObject({ length: 3, operands: [{ kind: 'register' }, { kind: 'control' }] });
    expect(found('44 0f 20 c0', 64).operands[1]).toMatchObject({ number: 8, size: 8 });
  });

  it('extends immediates as the notation says', () => {
    expect(found('83 c0 ff', 32).operands[1]).toMatchObject({ size: 4, value: 0xffffffffn });
    expect(found('48 81 c0 00 00 00 80', 64).operands[1]).toMatchObject({ value: 0xffffffff80000000n });
    expect(found('48 b8 01 02 03 04 05 06 07 08', 64).operands[1]).toMatchObject({ value: 0x0807060504030201n });
    expect(found('ea 78 56 34 12 08 00', 32).operands[0]).toMatchObject({ size: 6, value: 0x0008_12345678n });
    expect(found('eb fe', 64).operands[0]).toMatchObject({ relative: true, value: -2n });
  });

  it('says when bytes are missing, too many or meaningless', () => {
    expect(match(bytes('48 81'), 64)).toBe('truncated');
    expect(match([...Array<number>(15).fill(0x66), 0x90], 32)).toBe('too long');
    expect(match([...Array<number>(14).fill(0x66), 0x90], 32)).toMatchObject({ length: 15 });
    expect(match(bytes('06'), 64)).toBe('undefined');
  });
});
