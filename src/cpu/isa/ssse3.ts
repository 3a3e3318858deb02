/** SSSE3 (SDM vol. 1 §12.6), in MMX and xmm registers; an MMX operand stands in the low half of a vector. */
import type { Builder, Semantics, Value } from './builder.ts';
import { operand } from './common.ts';
import type { Row } from './row.ts';
import { bytesFrom, mmxOp } from './sse-integer.ts';
import { atMost, immediate, join, low, mmx, shuffleLanes, sse, vectorOp, words32, writeMmx } from './vector.ts';
import type { VectorFunction } from './vector.ts';

/** The 16-byte and the 8-byte form of a function where they differ. */
interface Pair {
  readonly wide: VectorFunction;
  readonly narrow: VectorFunction;
}

/** Byte shuffle: a set top bit in the selector gives zero. Indices beyond the register do so in a swizzle. */
const PSHUFB: Pair = {
  wide: (b, x, y) => b.vector('i8x16.swizzle', x, b.vector('v128.and', y, words32(b, 0x8f8f8f8f))),
  narrow: (b, x, y) => b.vector('i8x16.swizzle', x, b.vector('v128.and', y, words32(b, 0x87878787))),
};

/** Even and odd lanes of both operands; of MMX operands, of the two in one vector. */
function neighbours(b: Builder, width: 2 | 4, x: Value, y: Value, odd: 0 | 1): Value {
  const lanes = [...Array(16 / width).keys()].map((n) => 2 * n + odd);
  return shuffleLanes(b, width, x, y, lanes);
}

function horizontal(width: 2 | 4, op: string): Pair {
  const wide: VectorFunction = (b, x, y) => b.vector(op, neighbours(b, width, x, y, 0), neighbours(b, width, x, y, 1));
  return { wide, narrow: (b, x, y) => wide(b, join(b, low(b, x), low(b, y)), b.vectorConst(0n, 0n)) };
}

/** Products of unsigned bytes (destination) and signed bytes (source), neighbours added with saturation. */
const multiplyAdd: VectorFunction = (b, x, y) => {
  const lowProducts = b.vector(
    'i16x8.mul',
    b.vector('i16x8.extend_low_i8x16_u', x),
    b.vector('i16x8.extend_low_i8x16_s', y),
  );
  const highProducts = b.vector(
    'i16x8.mul',
    b.vector('i16x8.extend_high_i8x16_u', x),
    b.vector('i16x8.extend_high_i8x16_s', y),
  );
  return b.vector(
    'i16x8.add_sat_s',
    neighbours(b, 2, lowProducts, highProducts, 0),
    neighbours(b, 2, lowProducts, highProducts, 1),
  );
};

/** x with the sign of y, or 0 where y is. */
function withSign(shape: 'i8x16' | 'i16x8' | 'i32x4', bits: number): VectorFunction {
  return (b, x, y) => {
    const negative = b.vector(`${shape}.shr_s`, y, b.int(4, bits - 1));
    // −x = (x XOR −1) − (−1).
    const signed = b.vector(`${shape}.sub`, b.vector('v128.xor', x, negative), negative);
    const isZero = b.vector(`${shape}.eq`, y, b.vectorConst(0n, 0n));
    return b.vector('v128.andnot', signed, isZero);
  };
}

/** (x × y + 2^14) >> 15. wasm's saturating version differs only for −2^15 × −2^15, which x86 lets wrap to −2^15. */
const multiplyRound: VectorFunction = (b, x, y) => {
  const result = b.vector('i16x8.q15mulr_sat_s', x, y);
  const smallest = b.vectorConst(0x8000_8000_8000_8000n, 0x8000_8000_8000_8000n);
  const both = b.vector('v128.and', b.vector('i16x8.eq', x, smallest), b.vector('i16x8.eq', y, smallest));
  // 7FFF becomes 8000.
  return b.vector('v128.xor', result, both);
};

function absolute(shape: string): VectorFunction {
  return (b, _x, y) => b.vector(`${shape}.abs`, y);
}

function both(f: VectorFunction): Pair {
  return { wide: f, narrow: f };
}

/** Bytes of destination:source from byte `imm` on. */
const PALIGNR: Semantics = (b, i) => {
  const x = b.read(operand(i, 0));
  const y = b.read(operand(i, 1));
  const n = atMost(b, immediate(b, i, 2), 32);
  const fromSource = bytesFrom(b, y, n);
  const fromDestination = bytesFrom(b, x, b.sub(n, b.int(4, 16)));
  b.write(operand(i, 0), b.vector('v128.or', fromSource, fromDestination));
};

/** Both MMX operands fit one vector, the source below. */
const PALIGNR_MMX: Semantics = (b, i) => {
  const x = b.read(operand(i, 0));
  const y = b.read(operand(i, 1));
  const n = atMost(b, immediate(b, i, 2), 16);
  writeMmx(b, operand(i, 0), low(b, bytesFrom(b, join(b, y, x), n)));
};

function rows(opcode: string, mnemonic: string, pair: Pair): readonly Row[] {
  const feature = { feature: 'ssse3' };
  return [
    mmx(`NP 0F 38 ${opcode} /r`, mnemonic, 'P,Q', mmxOp(pair.narrow), feature),
    sse(`66 0F 38 ${opcode} /r`, mnemonic, 'V,W', vectorOp(pair.wide), feature),
  ];
}

export const ssse3Rows: readonly Row[] = [
  ...rows('00', 'PSHUFB', PSHUFB),
  ...rows('01', 'PHADDW', horizontal(2, 'i16x8.add')),
  ...rows('02', 'PHADDD', horizontal(4, 'i32x4.add')),
  ...rows('03', 'PHADDSW', horizontal(2, 'i16x8.add_sat_s')),
  ...rows('04', 'PMADDUBSW', both(multiplyAdd)),
  ...rows('05', 'PHSUBW', horizontal(2, 'i16x8.sub')),
  ...rows('06', 'PHSUBD', horizontal(4, 'i32x4.sub')),
  ...rows('07', 'PHSUBSW', horizontal(2, 'i16x8.sub_sat_s')),
  ...rows('08', 'PSIGNB', both(withSign('i8x16', 8))),
  ...rows('09', 'PSIGNW', both(withSign('i16x8', 16))),
  ...rows('0A', 'PSIGND', both(withSign('i32x4', 32))),
  ...rows('0B', 'PMULHRSW', both(multiplyRound)),
  ...rows('1C', 'PABSB', both(absolute('i8x16'))),
  ...rows('1D', 'PABSW', both(absolute('i16x8'))),
  ...rows('1E', 'PABSD', both(absolute('i32x4'))),
  sse('66 0F 3A 0F /r', 'PALIGNR', 'V,W,Ib', PALIGNR, { feature: 'ssse3' }),
  mmx('NP 0F 3A 0F /r', 'PALIGNR', 'P,Q,Ib', PALIGNR_MMX, { feature: 'ssse3' }),
];
