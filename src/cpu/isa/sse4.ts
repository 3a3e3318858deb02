/** SSE4.1 and SSE4.2 (SDM vol. 1 §12.10, §12.12), POPCNT excepted. */
import type { Builder, Semantics, Size, Value } from './builder.ts';
import { operand, resize } from './common.ts';
import { row } from './row.ts';
import type { Row } from './row.ts';
import { bytesFrom, dynamicLane, withDynamicLane } from './sse-integer.ts';
import { bytes, immediate, lowVector, shuffleLanes, sse, vectorOp } from './vector.ts';
import type { VectorFunction } from './vector.ts';

const sse41 = { feature: 'sse4_1' };
const sse42 = { feature: 'sse4_2' };

function wasm(op: string): Semantics {
  return vectorOp((b, x, y) => b.vector(op, x, y));
}

// Extensions. ---------------------------------------------------------------------------------------------------------

/** PMOVSX, PMOVZX: the operand is the part of the source that is extended, an integer. */
function extend(...ops: readonly string[]): Semantics {
  return (b, i) => {
    const source = b.read(operand(i, 1));
    const v = lowVector(b, source);
    b.write(
      operand(i, 0),
      ops.reduce((value, op) => b.vector(op, value), v),
    );
  };
}

function extensionRows(sign: 's' | 'u'): readonly Row[] {
  const base = sign === 's' ? 0x20 : 0x30;
  const name = sign === 's' ? 'PMOVSX' : 'PMOVZX';
  const toWords = `i16x8.extend_low_i8x16_${sign}`;
  const toDwords = `i32x4.extend_low_i16x8_${sign}`;
  const toQwords = `i64x2.extend_low_i32x4_${sign}`;
  const make = (n: number, suffix: string, source: string, ...ops: readonly string[]): Row =>
    sse(`66 0F 38 ${(base + n).toString(16)} /r`, `${name}${suffix}`, `V,${source}`, extend(...ops), sse41);
  return [
    make(0, 'BW', 'Wq', toWords),
    make(1, 'BD', 'Wd', toWords, toDwords),
    make(2, 'BQ', 'Ww', toWords, toDwords, toQwords),
    make(3, 'WD', 'Wq', toDwords),
    make(4, 'WQ', 'Wd', toDwords, toQwords),
    make(5, 'DQ', 'Wq', toQwords),
  ];
}

// Blends. -------------------------------------------------------------------------------------------------------------

/** Lanes whose mask lane has its sign set come from y. */
function blend(b: Builder, shape: string, x: Value, y: Value, mask: Value): Value {
  const bits = shape === 'i8x16' ? 7 : shape === 'i32x4' ? 31 : 63;
  return b.vector('v128.bitselect', y, x, b.vector(`${shape}.shr_s`, mask, b.int(4, bits)));
}

/** BLENDVPS, BLENDVPD, PBLENDVB: the mask is xmm0. */
function blendVariable(shape: string): Semantics {
  return (b, i) => {
    const x = b.read(operand(i, 0));
    const y = b.read(operand(i, 1));
    b.write(operand(i, 0), blend(b, shape, x, y, b.read(operand(i, 2))));
  };
}

/** BLENDPS, BLENDPD, PBLENDW: bit n of the immediate selects lane n. */
function blendImmediate(width: 2 | 4 | 8): Semantics {
  const lanes = 16 / width;
  return (b, i) => {
    const x = b.read(operand(i, 0));
    const y = b.read(operand(i, 1));
    const chosen = laneMask(b, width, b.and(immediate(b, i, 2), b.int(4, (1 << lanes) - 1)));
    b.write(operand(i, 0), b.vector('v128.bitselect', y, x, chosen));
  };
}

/** All ones in the lanes whose bit of `bits` (4 bytes, below 256) is set. */
function laneMask(b: Builder, width: 2 | 4 | 8, bits: Value): Value {
  const selectors = bytes(
    b,
    [...Array(16).keys()].map((n) => 1 << Math.floor(n / width)),
  );
  return b.vector('i8x16.eq', b.vector('v128.and', b.splat(1, b.trunc(1, bits)), selectors), selectors);
}

// Elements. -----------------------------------------------------------------------------------------------------------

/** PEXTRB, PEXTRW, PEXTRD/Q, EXTRACTPS: to memory or zero-extended to a general register. */
function extract(width?: 1 | 2 | 4): Semantics {
  return (b, i) => {
    const target = operand(i, 0);
    const bytesWide = width ?? (target.size === 8 ? 8 : 4);
    const n = b.and(immediate(b, i, 2), b.int(4, 16 / bytesWide - 1));
    const x = dynamicLane(b, b.read(operand(i, 1)), bytesWide, n);
    b.write(target, resize(b, target.size as Size, x));
  };
}

/** PINSRB, PINSRD/Q. */
function insert(width?: 1): Semantics {
  return (b, i) => {
    const source = operand(i, 1);
    const bytesWide = width ?? (source.size === 8 ? 8 : 4);
    const x = resize(b, bytesWide, b.read(source));
    b.write(operand(i, 0), withDynamicLane(b, b.read(operand(i, 0)), bytesWide, immediate(b, i, 2), x));
  };
}

/** INSERTPS: immediate bits 7–6 source lane (0 for memory), 5–4 destination lane, 3–0 lanes to clear. */
const INSERTPS: Semantics = (b, i) => {
  const source = b.read(operand(i, 1));
  const imm = immediate(b, i, 2);
  const x = source.type === 'v128' ? dynamicLane(b, source, 4, b.shr(imm, b.int(4, 6))) : source;
  const lane = b.and(b.shr(imm, b.int(4, 4)), b.int(4, 3));
  const inserted = withDynamicLane(b, b.read(operand(i, 0)), 4, lane, x);
  const cleared = laneMask(b, 4, b.and(imm, b.int(4, 15)));
  b.write(operand(i, 0), b.vector('v128.andnot', inserted, cleared));
};

// Arithmetic. ---------------------------------------------------------------------------------------------------------

const multiplyEvenSigned: VectorFunction = (b, x, y) =>
  b.vector('i64x2.extmul_low_i32x4_s', shuffleLanes(b, 4, x, x, [0, 2, 0, 2]), shuffleLanes(b, 4, y, y, [0, 2, 0, 2]));

/** The smallest unsigned word and, above it, its first position. */
const PHMINPOSUW: Semantics = (b, i) => {
  const v = b.read(operand(i, 1));
  let smallest = b.zext(4, b.extractLane(v, 2, 0));
  let position = b.int(4, 0);
  for (let lane = 1; lane < 8; lane++) {
    const x = b.zext(4, b.extractLane(v, 2, lane));
    const less = b.ltU(x, smallest);
    smallest = b.select(less, x, smallest);
    position = b.select(less, b.int(4, lane), position);
  }
  b.write(operand(i, 0), lowVector(b, b.or(smallest, b.shl(position, b.int(4, 16)))));
};

/**
 * MPSADBW: eight sums of absolute differences of 4 bytes of the source (at 4 × imm[1:0]) with 4 bytes of the destination
 * at 4 × imm[2] + n.
 */
const MPSADBW: Semantics = (b, i) => {
  const x = b.read(operand(i, 0));
  const y = b.read(operand(i, 1));
  const imm = immediate(b, i, 2);
  const window = bytesFrom(b, x, b.and(imm, b.int(4, 4)));
  const block = b.splat(4, dynamicLane(b, y, 4, b.and(imm, b.int(4, 3))));
  // Windows 0…3 and 4…7, 4 bytes of each.
  const windows = (first: number): Value =>
    b.vector(
      'i8x16.swizzle',
      window,
      bytes(
        b,
        [...Array(16).keys()].map((n) => first + (n >> 2) + (n & 3)),
      ),
    );
  const sums = (first: number): Value => {
    const w = windows(first);
    const difference = b.vector(
      'v128.or',
      b.vector('i8x16.sub_sat_u', w, block),
      b.vector('i8x16.sub_sat_u', block, w),
    );
    return b.vector('i32x4.extadd_pairwise_i16x8_u', b.vector('i16x8.extadd_pairwise_i8x16_u', difference));
  };
  b.write(operand(i, 0), b.vector('i16x8.narrow_i32x4_u', sums(0), sums(4)));
};

/** PTEST: ZF = no common bits, CF = no bits of the source outside of the destination. */
const PTEST: Semantics = (b, i) => {
  const x = b.read(operand(i, 0));
  const y = b.read(operand(i, 1));
  const zf = b.negate(b.vector('v128.any_true', b.vector('v128.and', x, y)));
  const cf = b.negate(b.vector('v128.any_true', b.vector('v128.andnot', y, x)));
  b.loadArithmeticFlags(b.or(b.shl(b.boolToInt(4, zf), b.int(4, 6)), b.boolToInt(4, cf)));
};

// Floating point. -----------------------------------------------------------------------------------------------------

function roundPacked(width: 4 | 8): Semantics {
  return (b, i) => {
    const v = b.spill(b.read(operand(i, 1)));
    b.helper('sseRound', b.int(4, width), b.int(4, 16 / width), immediate(b, i, 2), v);
    b.write(operand(i, 0), b.fill(v));
  };
}

function roundScalar(width: 4 | 8): Semantics {
  return (b, i) => {
    const v = b.spill(lowVector(b, b.read(operand(i, 1))));
    b.helper('sseRound', b.int(4, width), b.int(4, 1), immediate(b, i, 2), v);
    b.write(operand(i, 0), b.extractLane(b.fill(v), width, 0));
  };
}

function dotProduct(width: 4 | 8): Semantics {
  return (b, i) => {
    const x = b.spill(b.read(operand(i, 0)));
    const y = b.spill(b.read(operand(i, 1)));
    b.helper('sseDotProduct', b.int(4, width), immediate(b, i, 2), x, y);
    b.write(operand(i, 0), b.fill(x));
  };
}

// Strings. ------------------------------------------------------------------------------------------------------------

/** IntRes2 and both ends (see `sseStringCompare`); `explicit`: the lengths are in eAX and eDX. */
function compareStrings(b: Builder, i: Parameters<Semantics>[1], explicit: boolean): Value {
  const x = b.spill(b.read(operand(i, 0)));
  const y = b.spill(b.read(operand(i, 1)));
  const imm = immediate(b, i, 2);
  if (!explicit) {
    return b.helper('sseStringCompare', b.or(imm, b.int(4, 0x100)), x, y, b.int(8, 0), b.int(8, 0));
  }
  const length = (n: number): Value => b.sext(8, b.read(b.register(n, 4)));
  return b.helper('sseStringCompare', imm, x, y, length(0), length(2));
}

/** CF: any bit; ZF, SF: the second, the first operand has an end; OF: bit 0; AF = PF = 0. */
function stringFlags(b: Builder, result: Value): void {
  const cf = b.boolToInt(4, b.ne(b.and(result, b.int(4, 0xffff)), b.int(4, 0)));
  const ends = b.and(b.shr(result, b.int(4, 10)), b.int(4, 0xc0));
  const of = b.shl(b.and(result, b.int(4, 1)), b.int(4, 11));
  b.loadArithmeticFlags(b.or(b.or(cf, ends), of));
}

/** PCMPESTRI, PCMPISTRI: the first or last set bit (immediate bit 6) into ECX, or the number of elements. */
function stringIndex(explicit: boolean): Semantics {
  return (b, i) => {
    const result = compareStrings(b, i, explicit);
    const imm = immediate(b, i, 2);
    const bits = b.and(result, b.int(4, 0xffff));
    const last = b.sub(b.int(4, 31), b.clz(bits));
    const found = b.select(b.bit(imm, 6), last, b.ctz(bits));
    const count = b.select(b.bit(imm, 0), b.int(4, 8), b.int(4, 16));
    b.write(b.register(1, 4), b.select(b.isZero(bits), count, found));
    stringFlags(b, result);
  };
}

/** PCMPESTRM, PCMPISTRM: the bits, or (immediate bit 6) a mask of bytes or words, into xmm0. */
function stringMask(explicit: boolean): Semantics {
  return (b, i) => {
    const result = compareStrings(b, i, explicit);
    const imm = immediate(b, i, 2);
    const bits = b.and(result, b.int(4, 0xffff));
    const wordMask = laneMask(b, 2, b.and(bits, b.int(4, 0xff)));
    const selector = b.vectorConst(0x8040_2010_0804_0201n, 0x8040_2010_0804_0201n);
    // Byte 0 of the bits for the low half, byte 1 for the high half.
    const pair = lowVector(b, bits);
    const spread = b.shuffle(pair, pair, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
    const byteMask = b.vector('i8x16.eq', b.vector('v128.and', spread, selector), selector);
    const wide = b.select(b.bit(imm, 0), wordMask, byteMask);
    b.write(b.vectorRegister(0), b.select(b.bit(imm, 6), wide, pair));
    stringFlags(b, result);
  };
}

/** CRC32: the result has 32 bits whatever the size of the source. */
const CRC32: Semantics = (b, i) => {
  const target = operand(i, 0);
  const source = operand(i, 1);
  const crc = b.read(target);
  const data = b.read(source);
  const result = b.helper('crc32', resize(b, 4, crc), resize(b, 8, data), b.int(4, source.size));
  b.write(target, resize(b, target.size as Size, result));
};

export const sse4Rows: readonly Row[] = [
  ...extensionRows('s'),
  ...extensionRows('u'),
  sse('66 0F 38 10 /r', 'PBLENDVB', 'V,W,XMM0', blendVariable('i8x16'), sse41),
  sse('66 0F 38 14 /r', 'BLENDVPS', 'V,W,XMM0', blendVariable('i32x4'), sse41),
  sse('66 0F 38 15 /r', 'BLENDVPD', 'V,W,XMM0', blendVariable('i64x2'), sse41),
  sse('66 0F 3A 0C /r', 'BLENDPS', 'V,W,Ib', blendImmediate(4), sse41),
  sse('66 0F 3A 0D /r', 'BLENDPD', 'V,W,Ib', blendImmediate(8), sse41),
  sse('66 0F 3A 0E /r', 'PBLENDW', 'V,W,Ib', blendImmediate(2), sse41),
  sse('66 0F 38 17 /r', 'PTEST', 'V,W', PTEST, sse41),
  sse('66 0F 38 28 /r', 'PMULDQ', 'V,W', vectorOp(multiplyEvenSigned), sse41),
  sse('66 0F 38 29 /r', 'PCMPEQQ', 'V,W', wasm('i64x2.eq'), sse41),
  sse('66 0F 38 2B /r', 'PACKUSDW', 'V,W', wasm('i16x8.narrow_i32x4_u'), sse41),
  sse('66 0F 38 37 /r', 'PCMPGTQ', 'V,W', wasm('i64x2.gt_s'), sse42),
  sse('66 0F 38 38 /r', 'PMINSB', 'V,W', wasm('i8x16.min_s'), sse41),
  sse('66 0F 38 39 /r', 'PMINSD', 'V,W', wasm('i32x4.min_s'), sse41),
  sse('66 0F 38 3A /r', 'PMINUW', 'V,W', wasm('i16x8.min_u'), sse41),
  sse('66 0F 38 3B /r', 'PMINUD', 'V,W', wasm('i32x4.min_u'), sse41),
  sse('66 0F 38 3C /r', 'PMAXSB', 'V,W', wasm('i8x16.max_s'), sse41),
  sse('66 0F 38 3D /r', 'PMAXSD', 'V,W', wasm('i32x4.max_s'), sse41),
  sse('66 0F 38 3E /r', 'PMAXUW', 'V,W', wasm('i16x8.max_u'), sse41),
  sse('66 0F 38 3F /r', 'PMAXUD', 'V,W', wasm('i32x4.max_u'), sse41),
  sse('66 0F 38 40 /r', 'PMULLD', 'V,W', wasm('i32x4.mul'), sse41),
  sse('66 0F 38 41 /r', 'PHMINPOSUW', 'V,W', PHMINPOSUW, sse41),
  sse('66 0F 3A 42 /r', 'MPSADBW', 'V,W,Ib', MPSADBW, sse41),

  sse('66 0F 3A 14 /r mem', 'PEXTRB', 'Mb,V,Ib', extract(1), sse41),
  sse('66 0F 3A 14 /r reg', 'PEXTRB', 'Rd,V,Ib', extract(1), sse41),
  sse('66 0F 3A 15 /r mem', 'PEXTRW', 'Mw,V,Ib', extract(2), sse41),
  sse('66 0F 3A 15 /r reg', 'PEXTRW', 'Rd,V,Ib', extract(2), sse41),
  sse('66 0F 3A 16 /r', 'PEXTRD', 'Ey,V,Ib', extract(), sse41),
  sse('66 0F 3A 17 /r', 'EXTRACTPS', 'Ed,V,Ib', extract(4), sse41),
  sse('66 0F 3A 20 /r mem', 'PINSRB', 'V,Mb,Ib', insert(1), sse41),
  sse('66 0F 3A 20 /r reg', 'PINSRB', 'V,Rd,Ib', insert(1), sse41),
  sse('66 0F 3A 22 /r', 'PINSRD', 'V,Ey,Ib', insert(), sse41),
  sse('66 0F 3A 21 /r mem', 'INSERTPS', 'V,Md,Ib', INSERTPS, sse41),
  sse('66 0F 3A 21 /r reg', 'INSERTPS', 'V,U,Ib', INSERTPS, sse41),

  sse('66 0F 3A 08 /r', 'ROUNDPS', 'V,W,Ib', roundPacked(4), sse41),
  sse('66 0F 3A 09 /r', 'ROUNDPD', 'V,W,Ib', roundPacked(8), sse41),
  sse('66 0F 3A 0A /r', 'ROUNDSS', 'Vd,Wd,Ib', roundScalar(4), sse41),
  sse('66 0F 3A 0B /r', 'ROUNDSD', 'Vq,Wq,Ib', roundScalar(8), sse41),
  sse('66 0F 3A 40 /r', 'DPPS', 'V,W,Ib', dotProduct(4), sse41),
  sse('66 0F 3A 41 /r', 'DPPD', 'V,W,Ib', dotProduct(8), sse41),

  // Explicit lengths are EAX and EDX; REX.W, which asks for RAX and RDX, is ignored.
  sse('66 0F 3A 60 /r', 'PCMPESTRM', 'V,W,Ib', stringMask(true), { ...sse42, aligned: false }),
  sse('66 0F 3A 61 /r', 'PCMPESTRI', 'V,W,Ib', stringIndex(true), { ...sse42, aligned: false }),
  sse('66 0F 3A 62 /r', 'PCMPISTRM', 'V,W,Ib', stringMask(false), { ...sse42, aligned: false }),
  sse('66 0F 3A 63 /r', 'PCMPISTRI', 'V,W,Ib', stringIndex(false), { ...sse42, aligned: false }),

  row('F2 0F 38 F0 /r', 'CRC32', 'Gy,Eb', CRC32, sse42),
  row('F2 0F 38 F1 /r', 'CRC32', 'Gy,Ev', CRC32, sse42),
];
