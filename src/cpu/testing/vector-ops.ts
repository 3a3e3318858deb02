/** WebAssembly's vector operations, by their names, on 128-bit integers, for the evaluator. */
import type { FloatType } from './float-ops.ts';
import { floatOperation, fromInteger, fromNumber, toNumber, truncateSaturating } from './float-ops.ts';

/** Lanes as unsigned integers, lowest first. */
export function lanes(v: bigint, bits: number): bigint[] {
  return Array.from({ length: 128 / bits }, (_, k) => BigInt.asUintN(bits, v >> BigInt(k * bits)));
}

export function joined(parts: readonly bigint[], bits: number): bigint {
  return parts.reduce((all, part, k) => all | (BigInt.asUintN(bits, part) << BigInt(k * bits)), 0n);
}

const all128 = (1n << 128n) - 1n;

function logic(op: string, [x = 0n, y = 0n, z = 0n]: readonly bigint[]): bigint | boolean {
  switch (op) {
    case 'and':
      return x & y;
    case 'or':
      return x | y;
    case 'xor':
      return x ^ y;
    case 'andnot':
      return x & ~y & all128;
    case 'not':
      return ~x & all128;
    case 'bitselect':
      return (x & z) | (y & ~z & all128);
    case 'any_true':
      return x !== 0n;
    default:
      throw new Error(`unknown operation v128.${op}`);
  }
}

function saturated(v: bigint, bits: number, signed: boolean): bigint {
  const least = signed ? -(1n << BigInt(bits - 1)) : 0n;
  const most = signed ? (1n << BigInt(bits - 1)) - 1n : (1n << BigInt(bits)) - 1n;
  return v < least ? least : v > most ? most : v;
}

type Lane = (x: bigint, y: bigint, bits: number, signed: boolean) => bigint | boolean;

/** Lane by lane; operands are signed where the name ends in `_s`, else unsigned; relations give a mask. */
const laneWise: Readonly<Record<string, Lane>> = {
  add: (x, y) => x + y,
  sub: (x, y) => x - y,
  mul: (x, y) => x * y,
  neg: (x) => -x,
  abs: (x, _, bits) => {
    const s = BigInt.asIntN(bits, x);
    return s < 0n ? -s : s;
  },
  eq: (x, y) => x === y,
  ne: (x, y) => x !== y,
  lt: (x, y) => x < y,
  gt: (x, y) => x > y,
  le: (x, y) => x <= y,
  ge: (x, y) => x >= y,
  min: (x, y) => (x < y ? x : y),
  max: (x, y) => (x > y ? x : y),
  avgr: (x, y) => (x + y + 1n) >> 1n,
  add_sat: (x, y, bits, signed) => saturated(x + y, bits, signed),
  sub_sat: (x, y, bits, signed) => saturated(x - y, bits, signed),
  q15mulr_sat: (x, y, bits, signed) => saturated((x * y + 0x4000n) >> 15n, bits, signed),
  popcnt: (x) => BigInt(x.toString(2).replaceAll('0', '').length),
};

function read(v: bigint, bits: number, signed: boolean): bigint[] {
  return lanes(v, bits).map((x) => (signed ? BigInt.asIntN(bits, x) : x));
}

/** Operations that read lanes of half the width: `extmul_low_i16x8_s` and its like. */
function widening(name: string, bits: number, [x = 0n, y = 0n]: readonly bigint[]): bigint | undefined {
  const half = bits / 2;
  const match = /^(extend|extmul|extadd)_(low|high|pairwise)_i\d+x\d+_([su])$/.exec(name);
  if (!match) return undefined;
  const [, op, part, sign] = match;
  const a = read(x, half, sign === 's');
  const b = read(y, half, sign === 's');
  const count = 128 / bits;
  const from = part === 'high' ? count : 0;
  const result = Array.from({ length: count }, (_, k) => {
    if (op === 'extadd') return (a[2 * k] ?? 0n) + (a[2 * k + 1] ?? 0n);
    const lane = a[from + k] ?? 0n;
    return op === 'extmul' ? lane * (b[from + k] ?? 0n) : lane;
  });
  return joined(result, bits);
}

function integerLanes(name: string, bits: number, args: readonly bigint[]): bigint | boolean {
  const [x = 0n, y = 0n] = args;
  const wide = widening(name, bits, args);
  if (wide !== undefined) return wide;
  const narrow = /^narrow_i(\d+)x\d+_([su])$/.exec(name);
  if (narrow) {
    // The source is signed in either case; the letter is the saturation's.
    const from = Number(narrow[1]);
    const sources = [...read(x, from, true), ...read(y, from, true)];
    return joined(
      sources.map((v) => saturated(v, bits, narrow[2] === 's')),
      bits,
    );
  }
  const truncation = /^trunc_sat_(f32|f64)x\d_([su])(_zero)?$/.exec(name);
  if (truncation) {
    const type = truncation[1] as FloatType;
    const sources = lanes(x, type === 'f32' ? 32 : 64).map((v) => toNumber(type, v));
    return joined(
      sources.map((n) => truncateSaturating(n, bits, truncation[2] === 's')),
      bits,
    );
  }
  const shift = /^(shl|shr_s|shr_u)$/.exec(name);
  if (shift) {
    const count = y % BigInt(bits);
    const moved = read(x, bits, name === 'shr_s').map((v) => (name === 'shl' ? v << count : v >> count));
    return joined(moved, bits);
  }
  switch (name) {
    case 'all_true':
      return lanes(x, bits).every((v) => v !== 0n);
    case 'bitmask':
      return lanes(x, bits).reduce((m, v, k) => m | ((v >> BigInt(bits - 1)) << BigInt(k)), 0n);
    case 'splat':
      return joined(Array<bigint>(128 / bits).fill(x), bits);
    case 'swizzle': {
      const source = lanes(x, 8);
      return joined(
        lanes(y, 8).map((k) => source[Number(k)] ?? 0n),
        8,
      );
    }
    case 'dot_i16x8_s': {
      const [a, b] = [read(x, 16, true), read(y, 16, true)];
      const product = (k: number): bigint => (a[k] ?? 0n) * (b[k] ?? 0n);
      return joined(
        [0, 2, 4, 6].map((k) => product(k) + product(k + 1)),
        32,
      );
    }
  }
  const [, op = name, sign] = /^(.*)_([su])$/.exec(name) ?? [];
  const lane = laneWise[op];
  if (!lane) throw new Error(`unknown vector operation i${bits}x${128 / bits}.${name}`);
  const signed = sign === 's';
  const b = read(y, bits, signed);
  const results = read(x, bits, signed).map((v, k) => {
    const r = lane(v, b[k] ?? 0n, bits, signed);
    return typeof r === 'boolean' ? (r ? -1n : 0n) : r;
  });
  return joined(results, bits);
}

function floatLanes(name: string, type: FloatType, args: readonly bigint[]): bigint {
  const bits = type === 'f32' ? 32 : 64;
  const [x = 0n, y = 0n] = args;
  const conversion = /^convert(_low)?_i32x4_([su])$/.exec(name);
  if (conversion) {
    const sources = read(x, 32, conversion[2] === 's').slice(0, 128 / bits);
    return joined(
      sources.map((v) => fromInteger(type, v)),
      bits,
    );
  }
  if (name === 'demote_f64x2_zero') {
    return joined(
      lanes(x, 64).map((v) => fromNumber('f32', toNumber('f64', v))),
      32,
    );
  }
  if (name === 'promote_low_f32x4') {
    const low = lanes(x, 32).slice(0, 2);
    return joined(
      low.map((v) => fromNumber('f64', toNumber('f32', v))),
      64,
    );
  }
  const b = lanes(y, bits);
  const results = lanes(x, bits).map((v, k) => {
    const r = floatOperation(type, name, [v, b[k] ?? 0n]);
    return typeof r === 'boolean' ? (r ? -1n : 0n) : r;
  });
  return joined(results, bits);
}

/** `any_true` and `all_true` give a boolean, `bitmask` an integer, everything else a vector. */
export function vectorOperation(op: string, args: readonly bigint[]): bigint | boolean {
  const [shape = '', name = ''] = op.split('.');
  if (shape === 'v128') return logic(name, args);
  const integer = /^i(8|16|32|64)x\d+$/.exec(shape);
  if (integer) return integerLanes(name, Number(integer[1]), args);
  if (shape === 'f32x4') return floatLanes(name, 'f32', args);
  if (shape === 'f64x2') return floatLanes(name, 'f64', args);
  throw new Error(`unknown vector operation ${op}`);
}
