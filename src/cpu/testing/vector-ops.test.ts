import { describe, expect, it } from 'vitest';
import { fromInteger, nearest, toNumber, truncateSaturating } from './float-ops.ts';
import { joined, lanes, vectorOperation } from './vector-ops.ts';

/** WebAssembly itself is the reference: a module with one function that applies the operation to two vectors. */
function inWasm(opcode: readonly number[], x: bigint, y: bigint): bigint {
  const body = [
    ...[0x00, 0x41, 0x00], // no locals; address of the result
    ...[0x41, 0x00, 0xfd, 0x00, 0x04, 0x00], // v128.load 0
    ...[0x41, 0x10, 0xfd, 0x00, 0x04, 0x00], // v128.load 16
    0xfd,
    ...opcode,
    ...[0xfd, 0x0b, 0x04, 0x00, 0x0b], // v128.store, end
  ];
  const bytes = [
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...[0x01, 0x04, 0x01, 0x60, 0x00, 0x00],
    ...[0x02, 0x07, 0x01, 0x00, 0x01, 0x6d, 0x02, 0x00, 0x01],
    ...[0x03, 0x02, 0x01, 0x00],
    ...[0x07, 0x05, 0x01, 0x01, 0x66, 0x00, 0x00],
    ...[0x0a, body.length + 2, 0x01, body.length, ...body],
  ];
  const memory = new WebAssembly.Memory({ initial: 1 });
  const view = new DataView(memory.buffer);
  [x, y].forEach((v, k) => {
    view.setBigUint64(16 * k, BigInt.asUintN(64, v), true);
    view.setBigUint64(16 * k + 8, v >> 64n, true);
  });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(bytes)), { '': { m: memory } });
  (instance.exports['f'] as () => void)();
  return view.getBigUint64(0, true) | (view.getBigUint64(8, true) << 64n);
}

const operations: Readonly<Record<string, readonly number[]>> = {
  'i8x16.swizzle': [0x0e],
  'i8x16.add_sat_s': [0x6f],
  'i8x16.add_sat_u': [0x70],
  'i8x16.sub_sat_s': [0x72],
  'i8x16.sub_sat_u': [0x73],
  'i8x16.min_s': [0x76],
  'i8x16.max_u': [0x79],
  'i8x16.avgr_u': [0x7b],
  'i8x16.gt_s': [0x27],
  'i8x16.narrow_i16x8_s': [0x65],
  'i8x16.narrow_i16x8_u': [0x66],
  'i16x8.narrow_i32x4_u': [0x86, 0x01],
  'i16x8.mul': [0x95, 0x01],
  'i16x8.q15mulr_sat_s': [0x82, 0x01],
  'i16x8.extmul_low_i8x16_s': [0x9c, 0x01],
  'i32x4.dot_i16x8_s': [0xba, 0x01],
  'i32x4.extmul_high_i16x8_u': [0xbf, 0x01],
  'i64x2.extmul_low_i32x4_u': [0xde, 0x01],
  'i64x2.lt_s': [0xd8, 0x01],
  'v128.andnot': [0x4f],
  'f32x4.add': [0xe4, 0x01],
  'f64x2.mul': [0xf2, 0x01],
  'f32x4.lt': [0x43],
  'f64x2.pmin': [0xf6, 0x01],
};

describe('vector operations', () => {
  it.each(Object.entries(operations))('%s does what WebAssembly does', (name, opcode) => {
    const interesting = [
      0x7f80_ff01_8000_7fff_0001_fffe_00ff_0102n | (0x0123_4567_89ab_cdef_0011_2233_4455_6677n << 7n),
      joined([0x3ff0000000000000n, 0xc008000000000001n], 64),
      joined([0x3f800000n, 0xbf000000n, 0x40490fdbn, 0x00000000n], 32),
      0x0f0e_0d0c_0b0a_0908_8706_0504_0302_1110n,
    ]
      .map((v) => BigInt.asUintN(128, v))
      // Which NaN an operation yields is not WebAssembly's promise.
      .filter((_, k) => k > 0 || !name.startsWith('f'));
    for (const x of interesting) {
      for (const y of interesting) expect(vectorOperation(name, [x, y])).toBe(inWasm(opcode, x, y));
    }
  });

  it('tests and gathers lanes', () => {
    expect(vectorOperation('v128.any_true', [0n])).toBe(false);
    expect(vectorOperation('i32x4.all_true', [joined([1n, 2n, 3n, 0n], 32)])).toBe(false);
    expect(vectorOperation('i32x4.bitmask', [joined([1n << 31n, 0n, 1n << 31n, 0n], 32)])).toBe(5n);
    expect(vectorOperation('i16x8.shr_s', [joined([0x8000n], 16), 3n])).toBe(0xf000n);
    expect(lanes(0x0201n, 8).slice(0, 3)).toEqual([1n, 2n, 0n]);
  });
});

describe('scalar floating operations', () => {
  it('rounds to nearest even, keeping the sign of zero', () => {
    expect([0.5, 1.5, 2.5, -0.5, -1.5].map(nearest)).toEqual([0, 2, 2, -0, -2]);
  });

  it('saturates, and makes NaN 0', () => {
    expect(truncateSaturating(NaN, 32, true)).toBe(0n);
    expect(truncateSaturating(3e9, 32, true)).toBe(0x7fffffffn);
    expect(truncateSaturating(-3e9, 32, true)).toBe(0x80000000n);
  });

  it('rounds integers once on their way to f32', () => {
    // Halfway between two floats but for the last bit, which a detour by f64 loses.
    const v = (1n << 62n) + (1n << 38n) + 1n;
    expect(toNumber('f32', fromInteger('f32', v))).toBe(2 ** 62 + 2 ** 39);
  });
});
