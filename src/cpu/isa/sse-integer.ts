/**
 * Packed integer arithmetic that MMX and SSE2 share (SDM vol. 1 §9.4, §10.4.4, §11.4.2): one function of two vectors
 * for each, from which both rows come. An MMX operand stands in the low half of a vector, the upper half is 0.
 */
import type { Builder, Semantics, Value } from './builder.ts';
import { operand } from './common.ts';
import type { Row, RowOptions } from './row.ts';
import {
  atMost,
  bytes,
  enterMmx,
  high,
  immediate,
  iota,
  join,
  low,
  lowVector,
  mmx,
  shuffleLanes,
  sse,
  vectorOp,
  writeMmx,
  zeroVector,
} from './vector.ts';
import type { VectorFunction } from './vector.ts';

/** Runs a function of vectors on MMX operands. */
export function mmxOp(f: VectorFunction): Semantics {
  return (b, i) => {
    const x = lowVector(b, b.read(operand(i, 0)));
    const y = lowVector(b, b.read(operand(i, 1)));
    writeMmx(b, operand(i, 0), low(b, f(b, x, y)));
  };
}

function wasm(op: string): VectorFunction {
  return (b, x, y) => b.vector(op, x, y);
}

/** The upper halves of the 16-bit products. */
function multiplyHigh(sign: 's' | 'u'): VectorFunction {
  return (b, x, y) => {
    const lowProducts = b.vector(`i32x4.extmul_low_i16x8_${sign}`, x, y);
    const highProducts = b.vector(`i32x4.extmul_high_i16x8_${sign}`, x, y);
    return shuffleLanes(b, 2, lowProducts, highProducts, [1, 3, 5, 7, 9, 11, 13, 15]);
  };
}

const multiplyEven: VectorFunction = (b, x, y) =>
  b.vector('i64x2.extmul_low_i32x4_u', shuffleLanes(b, 4, x, x, [0, 2, 0, 2]), shuffleLanes(b, 4, y, y, [0, 2, 0, 2]));

/** Sum of absolute differences of 8 bytes, in each half. */
const sumOfDifferences: VectorFunction = (b, x, y) => {
  const difference = b.vector('v128.or', b.vector('i8x16.sub_sat_u', x, y), b.vector('i8x16.sub_sat_u', y, x));
  const pairs = b.vector('i16x8.extadd_pairwise_i8x16_u', difference);
  const quads = b.vector('i32x4.extadd_pairwise_i16x8_u', pairs);
  const mask = b.vectorConst(0xffff_ffffn, 0xffff_ffffn);
  return b.vector('i64x2.add', b.vector('v128.and', quads, mask), b.vector('i64x2.shr_u', quads, b.int(4, 32)));
};

/** Lane numbers of an interleaving: half 0 is PUNPCKL, half 1 PUNPCKH. */
function interleaved(width: number, half: 0 | 1): readonly number[] {
  const lanes = 16 / width;
  const first = half * (lanes / 2);
  return [...Array(lanes / 2).keys()].flatMap((n) => [first + n, first + n + lanes]);
}

function unpack(width: number, half: 0 | 1): VectorFunction {
  return (b, x, y) => shuffleLanes(b, width, x, y, interleaved(width, half));
}

/** PUNPCKH of MMX: the interleaving of the 8 low bytes has in its upper half what is wanted. */
function mmxUnpackHigh(width: number): Semantics {
  return mmxOp((b, x, y) => lowVector(b, high(b, unpack(width, 0)(b, x, y))));
}

/** PACK of MMX: both operands together are one vector. */
function mmxPack(op: string): Semantics {
  return mmxOp((b, x, y) => {
    const both = join(b, low(b, x), low(b, y));
    return b.vector(op, both, both);
  });
}

interface Shared {
  readonly opcode: string;
  readonly mnemonic: string;
  readonly f: VectorFunction;
  readonly hot?: boolean;
}

function entry(opcode: string, mnemonic: string, f: VectorFunction | string, hot = false): Shared {
  return { opcode, mnemonic, f: typeof f === 'string' ? wasm(f) : f, hot };
}

const laneWise: readonly Shared[] = [
  entry('64', 'PCMPGTB', 'i8x16.gt_s'),
  entry('65', 'PCMPGTW', 'i16x8.gt_s'),
  entry('66', 'PCMPGTD', 'i32x4.gt_s'),
  entry('74', 'PCMPEQB', 'i8x16.eq', true),
  entry('75', 'PCMPEQW', 'i16x8.eq'),
  entry('76', 'PCMPEQD', 'i32x4.eq', true),
  entry('D4', 'PADDQ', 'i64x2.add', true),
  entry('D5', 'PMULLW', 'i16x8.mul'),
  entry('D8', 'PSUBUSB', 'i8x16.sub_sat_u'),
  entry('D9', 'PSUBUSW', 'i16x8.sub_sat_u'),
  entry('DA', 'PMINUB', 'i8x16.min_u', true),
  entry('DB', 'PAND', 'v128.and', true),
  entry('DC', 'PADDUSB', 'i8x16.add_sat_u'),
  entry('DD', 'PADDUSW', 'i16x8.add_sat_u'),
  entry('DE', 'PMAXUB', 'i8x16.max_u'),
  entry('DF', 'PANDN', (b, x, y) => b.vector('v128.andnot', y, x), true),
  entry('E0', 'PAVGB', 'i8x16.avgr_u'),
  entry('E3', 'PAVGW', 'i16x8.avgr_u'),
  entry('E4', 'PMULHUW', multiplyHigh('u')),
  entry('E5', 'PMULHW', multiplyHigh('s')),
  entry('E8', 'PSUBSB', 'i8x16.sub_sat_s'),
  entry('E9', 'PSUBSW', 'i16x8.sub_sat_s'),
  entry('EA', 'PMINSW', 'i16x8.min_s'),
  entry('EB', 'POR', 'v128.or', true),
  entry('EC', 'PADDSB', 'i8x16.add_sat_s'),
  entry('ED', 'PADDSW', 'i16x8.add_sat_s'),
  entry('EE', 'PMAXSW', 'i16x8.max_s'),
  entry('EF', 'PXOR', 'v128.xor', true),
  entry('F4', 'PMULUDQ', multiplyEven),
  entry('F5', 'PMADDWD', 'i32x4.dot_i16x8_s'),
  entry('F6', 'PSADBW', sumOfDifferences),
  entry('F8', 'PSUBB', 'i8x16.sub', true),
  entry('F9', 'PSUBW', 'i16x8.sub', true),
  entry('FA', 'PSUBD', 'i32x4.sub', true),
  entry('FB', 'PSUBQ', 'i64x2.sub', true),
  entry('FC', 'PADDB', 'i8x16.add', true),
  entry('FD', 'PADDW', 'i16x8.add', true),
  entry('FE', 'PADDD', 'i32x4.add', true),
];

function laneRows({ opcode, mnemonic, f, hot }: Shared): readonly Row[] {
  return [
    mmx(`NP 0F ${opcode} /r`, mnemonic, 'P,Q', mmxOp(f)),
    sse(`66 0F ${opcode} /r`, mnemonic, 'V,W', vectorOp(f), hot ? { hot } : {}),
  ];
}

function packRows(opcode: string, mnemonic: string, op: string): readonly Row[] {
  return [
    mmx(`NP 0F ${opcode} /r`, mnemonic, 'P,Q', mmxPack(op)),
    sse(`66 0F ${opcode} /r`, mnemonic, 'V,W', vectorOp(wasm(op))),
  ];
}

function unpackRows(width: number, lowOpcode: string, highOpcode: string, suffix: string): readonly Row[] {
  return [
    // The MMX form reads only 4 bytes of memory.
    mmx(`NP 0F ${lowOpcode} /r`, `PUNPCKL${suffix}`, 'P,Qd', mmxOp(unpack(width, 0))),
    mmx(`NP 0F ${highOpcode} /r`, `PUNPCKH${suffix}`, 'P,Q', mmxUnpackHigh(width)),
    sse(`66 0F ${lowOpcode} /r`, `PUNPCKL${suffix}`, 'V,W', vectorOp(unpack(width, 0)), { hot: true }),
    sse(`66 0F ${highOpcode} /r`, `PUNPCKH${suffix}`, 'V,W', vectorOp(unpack(width, 1)), { hot: true }),
  ];
}

// Shifts. -----------------------------------------------------------------------------------------------------------

/** A shift of lanes of `width` bytes; counts of the lane's width or more give zeros, or signs for PSRA. */
function shifted(b: Builder, op: string, width: number, v: Value, count: Value): Value {
  const bits = width * 8;
  const size = count.type === 'i64' ? 8 : 4;
  const inRange = b.ltU(count, b.int(size, bits));
  const small = size === 8 ? b.trunc(4, count) : count;
  if (op.endsWith('shr_s')) return b.vector(op, v, b.select(inRange, small, b.int(4, bits - 1)));
  return b.select(inRange, b.vector(op, v, small), zeroVector(b));
}

function shiftRows(
  opcode: string,
  immediateOpcode: string,
  mnemonic: string,
  op: string,
  width: number,
): readonly Row[] {
  const byRegister: Semantics = (b, i) => {
    const count = low(b, b.read(operand(i, 1)));
    b.write(operand(i, 0), shifted(b, op, width, b.read(operand(i, 0)), count));
  };
  const byImmediate: Semantics = (b, i) => {
    const v = b.read(operand(i, 0));
    b.write(operand(i, 0), shifted(b, op, width, v, immediate(b, i, 1)));
  };
  const mmxByRegister: Semantics = (b, i) => {
    const count = b.read(operand(i, 1));
    const v = lowVector(b, b.read(operand(i, 0)));
    writeMmx(b, operand(i, 0), low(b, shifted(b, op, width, v, count)));
  };
  const mmxByImmediate: Semantics = (b, i) => {
    const v = lowVector(b, b.read(operand(i, 0)));
    writeMmx(b, operand(i, 0), low(b, shifted(b, op, width, v, immediate(b, i, 1))));
  };
  return [
    mmx(`NP 0F ${opcode} /r`, mnemonic, 'P,Q', mmxByRegister),
    mmx(`NP 0F ${immediateOpcode} reg`, mnemonic, 'N,Ib', mmxByImmediate),
    sse(`66 0F ${opcode} /r`, mnemonic, 'V,W', byRegister),
    sse(`66 0F ${immediateOpcode} reg`, mnemonic, 'U,Ib', byImmediate, { hot: true }),
  ];
}

/** Bytes of `v` from byte `start` (a 4-byte integer, −16…16) on; zeros beyond its ends. */
export function bytesFrom(b: Builder, v: Value, start: Value): Value {
  // Indices outside of 0…15 select zeros in a swizzle.
  return b.vector('i8x16.swizzle', v, b.vector('i8x16.add', iota(b), b.splat(1, b.trunc(1, start))));
}

const PSRLDQ: Semantics = (b, i) => {
  const count = atMost(b, immediate(b, i, 1), 16);
  b.write(operand(i, 0), bytesFrom(b, b.read(operand(i, 0)), count));
};
const PSLLDQ: Semantics = (b, i) => {
  const count = atMost(b, immediate(b, i, 1), 16);
  b.write(operand(i, 0), bytesFrom(b, b.read(operand(i, 0)), b.neg(count)));
};

// Words by number. --------------------------------------------------------------------------------------------------

/** Lane `n` (an integer below 16 / width) of a vector, zero-extended to `width`, in the lowest lane of the result. */
export function dynamicLane(b: Builder, v: Value, width: 1 | 2 | 4 | 8, n: Value): Value {
  return b.extractLane(bytesFrom(b, v, b.mul(n, b.int(4, width))), width, 0);
}

/** The vector with lane `n` replaced by the integer `x`. */
export function withDynamicLane(b: Builder, v: Value, width: 1 | 2 | 4 | 8, n: Value, x: Value): Value {
  const lanes = 16 / width;
  const numbers = bytes(
    b,
    [...Array(16).keys()].map((k) => Math.floor(k / width)),
  );
  const chosen = b.vector('i8x16.eq', numbers, b.splat(1, b.trunc(1, b.and(n, b.int(4, lanes - 1)))));
  return b.vector('v128.bitselect', b.splat(width, x), v, chosen);
}

function extractWord(lanes: number): Semantics {
  return (b, i) => {
    const source = b.read(operand(i, 1));
    const v = source.type === 'v128' ? source : lowVector(b, source);
    const n = b.and(immediate(b, i, 2), b.int(4, lanes - 1));
    if (lanes === 4) enterMmx(b);
    b.write(operand(i, 0), b.zext(4, dynamicLane(b, v, 2, n)));
  };
}

const PINSRW: Semantics = (b, i) => {
  const x = b.trunc(2, b.read(operand(i, 1)));
  b.write(operand(i, 0), withDynamicLane(b, b.read(operand(i, 0)), 2, immediate(b, i, 2), x));
};
const PINSRW_MMX: Semantics = (b, i) => {
  const x = b.trunc(2, b.read(operand(i, 1)));
  const n = b.and(immediate(b, i, 2), b.int(4, 3));
  writeMmx(b, operand(i, 0), low(b, withDynamicLane(b, lowVector(b, b.read(operand(i, 0))), 2, n, x)));
};

const hot: RowOptions = { hot: true };

export const sseIntegerRows: readonly Row[] = [
  ...laneWise.flatMap(laneRows),
  ...packRows('63', 'PACKSSWB', 'i8x16.narrow_i16x8_s'),
  ...packRows('67', 'PACKUSWB', 'i8x16.narrow_i16x8_u'),
  ...packRows('6B', 'PACKSSDW', 'i16x8.narrow_i32x4_s'),
  ...unpackRows(1, '60', '68', 'BW'),
  ...unpackRows(2, '61', '69', 'WD'),
  ...unpackRows(4, '62', '6A', 'DQ'),
  sse('66 0F 6C /r', 'PUNPCKLQDQ', 'V,W', vectorOp(unpack(8, 0)), hot),
  sse('66 0F 6D /r', 'PUNPCKHQDQ', 'V,W', vectorOp(unpack(8, 1)), hot),
  ...shiftRows('D1', '71 /2', 'PSRLW', 'i16x8.shr_u', 2),
  ...shiftRows('D2', '72 /2', 'PSRLD', 'i32x4.shr_u', 4),
  ...shiftRows('D3', '73 /2', 'PSRLQ', 'i64x2.shr_u', 8),
  ...shiftRows('E1', '71 /4', 'PSRAW', 'i16x8.shr_s', 2),
  ...shiftRows('E2', '72 /4', 'PSRAD', 'i32x4.shr_s', 4),
  ...shiftRows('F1', '71 /6', 'PSLLW', 'i16x8.shl', 2),
  ...shiftRows('F2', '72 /6', 'PSLLD', 'i32x4.shl', 4),
  ...shiftRows('F3', '73 /6', 'PSLLQ', 'i64x2.shl', 8),
  sse('66 0F 73 /3 reg', 'PSRLDQ', 'U,Ib', PSRLDQ, hot),
  sse('66 0F 73 /7 reg', 'PSLLDQ', 'U,Ib', PSLLDQ, hot),
  sse('66 0F C5 /r reg', 'PEXTRW', 'Gd,U,Ib', extractWord(8)),
  mmx('NP 0F C5 /r reg', 'PEXTRW', 'Gd,N,Ib', extractWord(4)),
  sse('66 0F C4 /r mem', 'PINSRW', 'V,Mw,Ib', PINSRW),
  sse('66 0F C4 /r reg', 'PINSRW', 'V,Rd,Ib', PINSRW),
  mmx('NP 0F C4 /r mem', 'PINSRW', 'P,Mw,Ib', PINSRW_MMX),
  mmx('NP 0F C4 /r reg', 'PINSRW', 'P,Rd,Ib', PINSRW_MMX),
];
