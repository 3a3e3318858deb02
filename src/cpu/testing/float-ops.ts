/**
 * WebAssembly's scalar floating-point operations on bit patterns, for the evaluator. A NaN result is the canonical one;
 * which NaN an instruction yields is in its definition.
 */

export type FloatType = 'f32' | 'f64';

const view = (): DataView => new DataView(new ArrayBuffer(8));

export function toNumber(type: FloatType, bits: bigint): number {
  const v = view();
  v.setBigUint64(0, bits, true);
  return type === 'f32' ? v.getFloat32(0, true) : v.getFloat64(0, true);
}

/** Rounds to nearest even. */
export function fromNumber(type: FloatType, n: number): bigint {
  if (Number.isNaN(n)) return type === 'f32' ? 0x7fc00000n : 0x7ff8000000000000n;
  const v = view();
  if (type === 'f32') v.setFloat32(0, n, true);
  else v.setFloat64(0, n, true);
  return v.getBigUint64(0, true);
}

export function signBit(type: FloatType): bigint {
  return type === 'f32' ? 1n << 31n : 1n << 63n;
}

/** Nearest integer, ties to even; the sign of zero is kept. */
export function nearest(n: number): number {
  if (!Number.isFinite(n) || Math.abs(n) >= 2 ** 52) return n;
  const below = Math.floor(n);
  const rest = n - below;
  const r = rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1;
  return r === 0 && (n < 0 || Object.is(n, -0)) ? -0 : r;
}

function withSignOfZero(n: number, r: number): number {
  return r === 0 && (n < 0 || Object.is(n, -0)) ? -0 : r;
}

const unary: Readonly<Record<string, (n: number) => number>> = {
  sqrt: Math.sqrt,
  ceil: (n) => withSignOfZero(n, Math.ceil(n)),
  floor: (n) => Math.floor(n),
  trunc: (n) => withSignOfZero(n, Math.trunc(n)),
  nearest,
};

const binary: Readonly<Record<string, (x: number, y: number) => number>> = {
  add: (x, y) => x + y,
  sub: (x, y) => x - y,
  mul: (x, y) => x * y,
  div: (x, y) => x / y,
  min: Math.min,
  max: Math.max,
};

const relations: Readonly<Record<string, (x: number, y: number) => boolean>> = {
  eq: (x, y) => x === y,
  ne: (x, y) => x !== y,
  lt: (x, y) => x < y,
  gt: (x, y) => x > y,
  le: (x, y) => x <= y,
  ge: (x, y) => x >= y,
};

/** Saturating truncation to an integer of `bits`, as a bit pattern. NaN gives 0. */
export function truncateSaturating(n: number, bits: number, signed: boolean): bigint {
  if (Number.isNaN(n)) return 0n;
  const least = signed ? -(1n << BigInt(bits - 1)) : 0n;
  const most = signed ? (1n << BigInt(bits - 1)) - 1n : (1n << BigInt(bits)) - 1n;
  const v = Number.isFinite(n) ? BigInt(Math.trunc(n)) : n < 0 ? least : most;
  return BigInt.asUintN(bits, v < least ? least : v > most ? most : v);
}

/** An integer rounded to nearest even. */
export function fromInteger(type: FloatType, v: bigint): bigint {
  return fromNumber(type, type === 'f64' ? Number(v) : roundToSingle(v));
}

/** Avoids the double rounding of bigint → f64 → f32: what f64 would lose is kept as a sticky bit. */
function roundToSingle(v: bigint): number {
  const magnitude = v < 0n ? -v : v;
  const excess = Math.max(0, magnitude.toString(2).length - 50);
  const shift = BigInt(excess);
  const sticky = magnitude & ((1n << shift) - 1n) ? 1n : 0n;
  const n = Number((magnitude >> shift) | sticky) * 2 ** excess;
  return Math.fround(v < 0n ? -n : n);
}

/** An operation by its name without the type, e.g. 'add', 'lt', on values of one type; relations give a boolean. */
export function floatOperation(type: FloatType, op: string, args: readonly bigint[]): bigint | boolean {
  const [x = 0n, y = 0n] = args;
  const sign = signBit(type);
  switch (op) {
    case 'abs':
      return x & ~sign;
    case 'neg':
      return x ^ sign;
    case 'copysign':
      return (x & ~sign) | (y & sign);
    // Pseudo-minimum and -maximum return one of the operands, bit for bit.
    case 'pmin':
      return toNumber(type, y) < toNumber(type, x) ? y : x;
    case 'pmax':
      return toNumber(type, x) < toNumber(type, y) ? y : x;
  }
  const one = unary[op];
  if (one) return fromNumber(type, one(toNumber(type, x)));
  const two = binary[op];
  if (two) return fromNumber(type, two(toNumber(type, x), toNumber(type, y)));
  const relation = relations[op];
  if (relation) return relation(toNumber(type, x), toNumber(type, y));
  throw new Error(`unknown floating operation ${type}.${op}`);
}
