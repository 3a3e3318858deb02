/** SSE…SSE3 data movement between xmm registers, memory and general registers (SDM vol. 1 §10.4.1, §11.4.1, §12.3). */
import type { Builder, Semantics, Value } from './builder.ts';
import { operand } from './common.ts';
import type { Row } from './row.ts';
import { high, immediate, low, lowVector, shuffleLanes, sse, vectorMap, vectorOp, words32 } from './vector.ts';
import type { VectorFunction } from './vector.ts';

/** MOVAPS, MOVDQU, MOVSS between registers, stores: source to destination, as wide as the operands. */
const MOVE: Semantics = (b, i) => b.write(operand(i, 0), b.read(operand(i, 1)));
/** MOVSS, MOVSD, MOVQ, MOVD loads: the rest of the register becomes 0. */
const MOVE_ZERO: Semantics = (b, i) => b.write(operand(i, 0), b.readExtended(operand(i, 1)));
/** MOVHPS, MOVLHPS: 8 bytes into the upper half. */
const MOVE_TO_HIGH: Semantics = (b, i) => {
  const source = b.read(operand(i, 1));
  b.write(operand(i, 0), b.replaceLane(b.read(operand(i, 0)), 1, source));
};
/** MOVHPS to memory, MOVHLPS: the upper half of a register. */
const MOVE_FROM_HIGH: Semantics = (b, i) => b.write(operand(i, 0), high(b, b.read(operand(i, 1))));

/** MOVMSKPS, MOVMSKPD, PMOVMSKB: the sign bits of the lanes. */
function signs(op: string): Semantics {
  return (b, i) => b.write(operand(i, 0), b.vector(op, b.read(operand(i, 1))));
}

const MOVDDUP: Semantics = (b, i) => b.write(operand(i, 0), b.splat(8, b.read(operand(i, 1))));

function duplicate(lanes: readonly number[]): Semantics {
  return vectorMap((b, x) => shuffleLanes(b, 4, x, x, lanes));
}

function interleave(width: number, lanes: readonly number[]): Semantics {
  return vectorOp((b, x, y) => shuffleLanes(b, width, x, y, lanes));
}

/**
 * The byte indices that select 4-byte lanes by four 2-bit fields of an immediate (PSHUFD, SHUFPS): field n moves to a
 * common place by a multiplication of lane n.
 */
export function dwordSelector(b: Builder, imm: Value): Value {
  const factors = b.vectorConst(0x10_0000_0040n, 0x1_0000_0004n);
  const fields = b.vector('i32x4.shr_u', b.vector('i32x4.mul', b.splat(4, imm), factors), b.int(4, 6));
  const lanes = b.vector('v128.and', fields, words32(b, 3));
  return b.vector('i32x4.add', b.vector('i32x4.mul', lanes, words32(b, 0x04040404)), words32(b, 0x03020100));
}

const PSHUFD: Semantics = (b, i) => {
  const source = b.read(operand(i, 1));
  b.write(operand(i, 0), b.vector('i8x16.swizzle', source, dwordSelector(b, immediate(b, i, 2))));
};

/** The low two lanes come from the destination, the high two from the source. */
const SHUFPS: Semantics = (b, i) => {
  const x = b.read(operand(i, 0));
  const y = b.read(operand(i, 1));
  const selector = dwordSelector(b, immediate(b, i, 2));
  const fromX = b.vector('i8x16.swizzle', x, selector);
  const fromY = b.vector('i8x16.swizzle', y, selector);
  b.write(operand(i, 0), shuffleLanes(b, 8, fromX, fromY, [0, 3]));
};

const SHUFPD: Semantics = (b, i) => {
  const x = b.read(operand(i, 0));
  const y = b.read(operand(i, 1));
  const imm = immediate(b, i, 2);
  const lowHalf = b.select(b.bit(imm, 0), high(b, x), low(b, x));
  const highHalf = b.select(b.bit(imm, 1), high(b, y), low(b, y));
  b.write(operand(i, 0), b.replaceLane(lowVector(b, lowHalf), 1, highHalf));
};

/**
 * PSHUFLW, PSHUFHW: four 2-bit fields select 2-byte lanes within the low or high half; the other half is kept. As
 * `dwordSelector` in 8 lanes; the offset of the half and of the kept lanes is in the constants.
 */
function wordSelector(b: Builder, imm: Value, upper: boolean): Value {
  // Products of 16 bits: field n of the immediate times 4^(3 − n) stays below 2^14.
  const factors = 0x0001_0004_0010_0040n;
  const fields = b.vector(
    'i16x8.shr_u',
    b.vector('i16x8.mul', b.splat(2, b.trunc(2, imm)), upper ? b.vectorConst(0n, factors) : b.vectorConst(factors, 0n)),
    b.int(4, 6),
  );
  const mask = 0x0003_0003_0003_0003n;
  const lanes = b.vector('v128.and', fields, b.vectorConst(mask, mask));
  const step = 0x0202_0202_0202_0202n;
  // Half that is shuffled: 0x0100 + start of the half, in each lane. Half that is kept: its own byte numbers.
  const kept = upper ? 0x0706_0504_0302_0100n : 0x0f0e_0d0c_0b0a_0908n;
  const moved = upper ? 0x0908_0908_0908_0908n : 0x0100_0100_0100_0100n;
  const offsets = upper ? b.vectorConst(kept, moved) : b.vectorConst(moved, kept);
  return b.vector('i8x16.add', b.vector('i16x8.mul', lanes, b.vectorConst(step, step)), offsets);
}

export function shuffleWords(b: Builder, x: Value, imm: Value, upper: boolean): Value {
  return b.vector('i8x16.swizzle', x, wordSelector(b, imm, upper));
}

function wordShuffle(upper: boolean): Semantics {
  return (b, i) => {
    const source = b.read(operand(i, 1));
    b.write(operand(i, 0), shuffleWords(b, source, immediate(b, i, 2), upper));
  };
}

const and: VectorFunction = (b, x, y) => b.vector('v128.and', x, y);
const andNot: VectorFunction = (b, x, y) => b.vector('v128.andnot', y, x);
const or: VectorFunction = (b, x, y) => b.vector('v128.or', x, y);
const xor: VectorFunction = (b, x, y) => b.vector('v128.xor', x, y);

/**
 * MASKMOVDQU: bytes whose mask byte has its sign set go to DS:rDI. A byte that is not selected is not touched, and the
 * whole area is probed first, byte by byte, so that a fault leaves no part of it written.
 */
export const maskedStore = (b: Builder, source: readonly Value[], mask: readonly Value[]): void => {
  const start = b.read(b.addressRegister(7));
  const size = start.type === 'i64' ? 8 : start.type === 'i32' ? 4 : 2;
  const at = (n: number): Value => b.add(start, b.int(size, n));
  // A selected byte is first written with its old value: what faults does so before anything has changed.
  const selected = (n: number): Value => b.sign(mask[n] as Value);
  source.forEach((_, n) => b.if(selected(n), () => b.store('ds', at(n), b.load('ds', at(n), 1))));
  source.forEach((byte, n) => b.if(selected(n), () => b.store('ds', at(n), byte)));
};

const MASKMOVDQU: Semantics = (b, i) => {
  const source = b.read(operand(i, 0));
  const mask = b.read(operand(i, 1));
  const lanes = [...Array(16).keys()];
  maskedStore(
    b,
    lanes.map((n) => b.extractLane(source, 1, n)),
    lanes.map((n) => b.extractLane(mask, 1, n)),
  );
};

const hot = { hot: true };
const unaligned = { aligned: false, hot: true };
const sse3 = { feature: 'sse3' };

export const sseMoveRows: readonly Row[] = [
  sse('NP 0F 10 /r', 'MOVUPS', 'V,W', MOVE, unaligned),
  sse('NP 0F 11 /r', 'MOVUPS', 'W,V', MOVE, unaligned),
  sse('66 0F 10 /r', 'MOVUPD', 'V,W', MOVE, { aligned: false }),
  sse('66 0F 11 /r', 'MOVUPD', 'W,V', MOVE, { aligned: false }),
  sse('F3 0F 10 /r mem', 'MOVSS', 'V,Md', MOVE_ZERO, hot),
  sse('F3 0F 10 /r reg', 'MOVSS', 'Vd,Ud', MOVE),
  sse('F3 0F 11 /r', 'MOVSS', 'Wd,Vd', MOVE, hot),
  sse('F2 0F 10 /r mem', 'MOVSD', 'V,Mq', MOVE_ZERO, hot),
  sse('F2 0F 10 /r reg', 'MOVSD', 'Vq,Uq', MOVE),
  sse('F2 0F 11 /r', 'MOVSD', 'Wq,Vq', MOVE, hot),
  sse('NP 0F 28 /r', 'MOVAPS', 'V,W', MOVE, hot),
  sse('NP 0F 29 /r', 'MOVAPS', 'W,V', MOVE, hot),
  sse('66 0F 28 /r', 'MOVAPD', 'V,W', MOVE, hot),
  sse('66 0F 29 /r', 'MOVAPD', 'W,V', MOVE),
  sse('66 0F 6F /r', 'MOVDQA', 'V,W', MOVE, hot),
  sse('66 0F 7F /r', 'MOVDQA', 'W,V', MOVE, hot),
  sse('F3 0F 6F /r', 'MOVDQU', 'V,W', MOVE, unaligned),
  sse('F3 0F 7F /r', 'MOVDQU', 'W,V', MOVE, unaligned),

  sse('NP 0F 12 /r mem', 'MOVLPS', 'Vq,Mq', MOVE),
  sse('NP 0F 12 /r reg', 'MOVHLPS', 'Vq,U', MOVE_FROM_HIGH),
  sse('NP 0F 13 /r mem', 'MOVLPS', 'Mq,Vq', MOVE),
  sse('66 0F 12 /r mem', 'MOVLPD', 'Vq,Mq', MOVE),
  sse('66 0F 13 /r mem', 'MOVLPD', 'Mq,Vq', MOVE),
  sse('NP 0F 16 /r mem', 'MOVHPS', 'V,Mq', MOVE_TO_HIGH, hot),
  sse('NP 0F 16 /r reg', 'MOVLHPS', 'V,Uq', MOVE_TO_HIGH),
  sse('NP 0F 17 /r mem', 'MOVHPS', 'Mq,V', MOVE_FROM_HIGH, hot),
  sse('66 0F 16 /r mem', 'MOVHPD', 'V,Mq', MOVE_TO_HIGH),
  sse('66 0F 17 /r mem', 'MOVHPD', 'Mq,V', MOVE_FROM_HIGH),

  sse('66 0F 6E /r', 'MOVD', 'V,Ey', MOVE_ZERO, hot),
  sse('66 0F 7E /r', 'MOVD', 'Ey,Vy', MOVE, hot),
  sse('F3 0F 7E /r', 'MOVQ', 'V,Wq', MOVE_ZERO, hot),
  sse('66 0F D6 /r mem', 'MOVQ', 'Mq,Vq', MOVE, hot),
  sse('66 0F D6 /r reg', 'MOVQ', 'U,Vq', MOVE_ZERO),

  sse('NP 0F 2B /r mem', 'MOVNTPS', 'Mo,V', MOVE),
  sse('66 0F 2B /r mem', 'MOVNTPD', 'Mo,V', MOVE),
  sse('66 0F E7 /r mem', 'MOVNTDQ', 'Mo,V', MOVE),
  sse('66 0F 38 2A /r mem', 'MOVNTDQA', 'V,Mo', MOVE, { feature: 'sse4_1' }),
  // Not an SSE instruction as far as CR0 and CR4 are concerned.
  sse('F2 0F F0 /r mem', 'LDDQU', 'V,Mo', MOVE, { aligned: false, ...sse3 }),
  sse('66 0F F7 /r reg', 'MASKMOVDQU', 'V,U', MASKMOVDQU),

  sse('NP 0F 50 /r reg', 'MOVMSKPS', 'Gd,U', signs('i32x4.bitmask')),
  sse('66 0F 50 /r reg', 'MOVMSKPD', 'Gd,U', signs('i64x2.bitmask')),
  sse('66 0F D7 /r reg', 'PMOVMSKB', 'Gd,U', signs('i8x16.bitmask'), hot),

  sse('F2 0F 12 /r', 'MOVDDUP', 'V,Wq', MOVDDUP, sse3),
  sse('F3 0F 12 /r', 'MOVSLDUP', 'V,W', duplicate([0, 0, 2, 2]), sse3),
  sse('F3 0F 16 /r', 'MOVSHDUP', 'V,W', duplicate([1, 1, 3, 3]), sse3),

  sse('NP 0F 14 /r', 'UNPCKLPS', 'V,W', interleave(4, [0, 4, 1, 5])),
  sse('66 0F 14 /r', 'UNPCKLPD', 'V,W', interleave(8, [0, 2])),
  sse('NP 0F 15 /r', 'UNPCKHPS', 'V,W', interleave(4, [2, 6, 3, 7])),
  sse('66 0F 15 /r', 'UNPCKHPD', 'V,W', interleave(8, [1, 3])),
  sse('NP 0F C6 /r', 'SHUFPS', 'V,W,Ib', SHUFPS),
  sse('66 0F C6 /r', 'SHUFPD', 'V,W,Ib', SHUFPD),
  sse('66 0F 70 /r', 'PSHUFD', 'V,W,Ib', PSHUFD, hot),
  sse('F3 0F 70 /r', 'PSHUFHW', 'V,W,Ib', wordShuffle(true)),
  sse('F2 0F 70 /r', 'PSHUFLW', 'V,W,Ib', wordShuffle(false)),

  sse('NP 0F 54 /r', 'ANDPS', 'V,W', vectorOp(and)),
  sse('66 0F 54 /r', 'ANDPD', 'V,W', vectorOp(and)),
  sse('NP 0F 55 /r', 'ANDNPS', 'V,W', vectorOp(andNot)),
  sse('66 0F 55 /r', 'ANDNPD', 'V,W', vectorOp(andNot)),
  sse('NP 0F 56 /r', 'ORPS', 'V,W', vectorOp(or)),
  sse('66 0F 56 /r', 'ORPD', 'V,W', vectorOp(or)),
  sse('NP 0F 57 /r', 'XORPS', 'V,W', vectorOp(xor), hot),
  sse('66 0F 57 /r', 'XORPD', 'V,W', vectorOp(xor), hot),
];
