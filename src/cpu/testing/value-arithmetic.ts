/**
 * The values of the evaluator, and everything that computes on them alone: integers, vectors, floating point.
 * Integers are bigints, zero-extended; vectors 128-bit bigints; floats their bit patterns; an f80 is an address.
 */
import type { Size, Type, Value } from '../isa/builder.ts';
import type { FloatType } from './float-ops.ts';
import { floatOperation, fromInteger, fromNumber, toNumber, truncateSaturating } from './float-ops.ts';
import { joined, lanes, vectorOperation } from './vector-ops.ts';

interface Computed extends Value {
  readonly bits: bigint;
}

const widthOf: Readonly<Partial<Record<Type, number>>> = {
  i8: 8,
  i16: 16,
  i32: 32,
  i64: 64,
  f32: 32,
  f64: 64,
  f80: 32,
};

export function bitsOf(v: Value): bigint {
  return (v as Computed).bits;
}
export function truth(v: Value): boolean {
  return bitsOf(v) !== 0n;
}
export function width(v: Value): number {
  const w = widthOf[v.type];
  if (w === undefined) throw new Error(`expected an integer, got ${v.type}`);
  return w;
}
export function signed(v: Value): bigint {
  return BigInt.asIntN(width(v), bitsOf(v));
}

/** The part of the Builder that touches no state. */
export class ValueArithmetic {
  /** For messages about definitions that mix types. */
  protected readonly mnemonic: string;

  constructor(mnemonic: string) {
    this.mnemonic = mnemonic;
  }

  protected make(type: Type, bits: bigint): Value {
    const w = widthOf[type];
    const v: Computed = { type, bits: w === undefined ? bits : BigInt.asUintN(w, bits) };
    return v;
  }
  protected typeOf(size: number): Type {
    return size === 1 ? 'i8' : size === 2 ? 'i16' : size === 4 ? 'i32' : size === 8 ? 'i64' : 'v128';
  }

  // Integers. -------------------------------------------------------------------------------------------------------

  int(size: Size, n: number | bigint): Value {
    return this.make(this.typeOf(size), BigInt(n));
  }
  private same(a: Value, b: Value, bits: bigint): Value {
    if (a.type !== b.type) throw new Error(`${this.mnemonic}: operands of types ${a.type} and ${b.type}`);
    return this.make(a.type, bits);
  }
  add(a: Value, b: Value): Value {
    return this.same(a, b, bitsOf(a) + bitsOf(b));
  }
  sub(a: Value, b: Value): Value {
    return this.same(a, b, bitsOf(a) - bitsOf(b));
  }
  mul(a: Value, b: Value): Value {
    return this.same(a, b, bitsOf(a) * bitsOf(b));
  }
  mulHighU(a: Value, b: Value): Value {
    return this.same(a, b, (bitsOf(a) * bitsOf(b)) >> BigInt(width(a)));
  }
  mulHighS(a: Value, b: Value): Value {
    return this.same(a, b, (signed(a) * signed(b)) >> BigInt(width(a)));
  }
  divU(a: Value, b: Value): Value {
    return this.same(a, b, bitsOf(a) / bitsOf(b));
  }
  /** The quotient that does not fit would trap in wasm. */
  divS(a: Value, b: Value): Value {
    const q = signed(a) / signed(b);
    if (BigInt.asIntN(width(a), q) !== q) throw new Error(`${this.mnemonic}: signed division overflows`);
    return this.same(a, b, q);
  }
  remU(a: Value, b: Value): Value {
    return this.same(a, b, bitsOf(a) % bitsOf(b));
  }
  remS(a: Value, b: Value): Value {
    return this.same(a, b, signed(a) % signed(b));
  }
  and(a: Value, b: Value): Value {
    return this.same(a, b, bitsOf(a) & bitsOf(b));
  }
  or(a: Value, b: Value): Value {
    return this.same(a, b, bitsOf(a) | bitsOf(b));
  }
  xor(a: Value, b: Value): Value {
    return this.same(a, b, bitsOf(a) ^ bitsOf(b));
  }
  not(a: Value): Value {
    return this.make(a.type, ~bitsOf(a));
  }
  neg(a: Value): Value {
    return this.make(a.type, -bitsOf(a));
  }
  /** Both arms of a select are evaluated, so a count may be out of range where its result is dropped. */
  private count(a: Value, count: Value): bigint {
    return bitsOf(count) % BigInt(width(a));
  }
  shl(a: Value, count: Value): Value {
    return this.make(a.type, bitsOf(a) << this.count(a, count));
  }
  shr(a: Value, count: Value): Value {
    return this.make(a.type, bitsOf(a) >> this.count(a, count));
  }
  sar(a: Value, count: Value): Value {
    return this.make(a.type, signed(a) >> this.count(a, count));
  }
  rotl(a: Value, count: Value): Value {
    const n = this.count(a, count);
    return this.make(a.type, (bitsOf(a) << n) | (bitsOf(a) >> (BigInt(width(a)) - n)));
  }
  rotr(a: Value, count: Value): Value {
    const n = this.count(a, count);
    return this.make(a.type, (bitsOf(a) >> n) | (bitsOf(a) << (BigInt(width(a)) - n)));
  }
  private digits(a: Value): string {
    return bitsOf(a).toString(2).padStart(width(a), '0');
  }
  clz(a: Value): Value {
    const at = this.digits(a).indexOf('1');
    return this.make(a.type, BigInt(at < 0 ? width(a) : at));
  }
  ctz(a: Value): Value {
    const digits = this.digits(a);
    const at = digits.lastIndexOf('1');
    return this.make(a.type, BigInt(at < 0 ? width(a) : digits.length - 1 - at));
  }
  popcnt(a: Value): Value {
    return this.make(a.type, BigInt(this.digits(a).replaceAll('0', '').length));
  }
  zext(size: Size, a: Value): Value {
    return this.make(this.typeOf(size), bitsOf(a));
  }
  sext(size: Size, a: Value): Value {
    return this.make(this.typeOf(size), signed(a));
  }
  trunc(size: Size, a: Value): Value {
    return this.make(this.typeOf(size), bitsOf(a));
  }
  eq(a: Value, b: Value): Value {
    return this.bool(bitsOf(this.same(a, b, bitsOf(a))) === bitsOf(b));
  }
  ne(a: Value, b: Value): Value {
    return this.negate(this.eq(a, b));
  }
  ltU(a: Value, b: Value): Value {
    return this.bool(bitsOf(a) < bitsOf(b));
  }
  ltS(a: Value, b: Value): Value {
    return this.bool(signed(a) < signed(b));
  }
  leU(a: Value, b: Value): Value {
    return this.bool(bitsOf(a) <= bitsOf(b));
  }
  leS(a: Value, b: Value): Value {
    return this.bool(signed(a) <= signed(b));
  }
  isZero(a: Value): Value {
    return this.bool(bitsOf(a) === 0n);
  }
  sign(a: Value): Value {
    return this.bool(signed(a) < 0n);
  }
  bit(a: Value, n: number): Value {
    return this.bool(((bitsOf(a) >> BigInt(n)) & 1n) === 1n);
  }
  bool(b: boolean): Value {
    return this.make('bool', b ? 1n : 0n);
  }
  both(a: Value, b: Value): Value {
    return this.bool(truth(a) && truth(b));
  }
  either(a: Value, b: Value): Value {
    return this.bool(truth(a) || truth(b));
  }
  differ(a: Value, b: Value): Value {
    return this.bool(truth(a) !== truth(b));
  }
  negate(a: Value): Value {
    return this.bool(!truth(a));
  }
  boolToInt(size: Size, a: Value): Value {
    return this.make(this.typeOf(size), bitsOf(a));
  }
  select(c: Value, whenTrue: Value, whenFalse: Value): Value {
    if (whenTrue.type !== whenFalse.type) {
      throw new Error(`${this.mnemonic}: select of types ${whenTrue.type} and ${whenFalse.type}`);
    }
    return truth(c) ? whenTrue : whenFalse;
  }

  // Vectors and floating point. -------------------------------------------------------------------------------------

  vector(op: string, ...args: Value[]): Value {
    const r = vectorOperation(op, args.map(bitsOf));
    if (typeof r === 'boolean') return this.bool(r);
    return this.make(op.endsWith('.bitmask') ? 'i32' : 'v128', r);
  }
  vectorConst(low: bigint, high: bigint): Value {
    return this.make('v128', BigInt.asUintN(64, low) | (BigInt.asUintN(64, high) << 64n));
  }
  shuffle(a: Value, b: Value, places: readonly number[]): Value {
    const source = [...lanes(bitsOf(a), 8), ...lanes(bitsOf(b), 8)];
    return this.make(
      'v128',
      joined(
        places.map((k) => source[k] ?? 0n),
        8,
      ),
    );
  }
  extractLane(v: Value, laneBytes: Size, lane: number): Value {
    return this.make(this.typeOf(laneBytes), bitsOf(v) >> BigInt(8 * laneBytes * lane));
  }
  replaceLane(v: Value, lane: number, x: Value): Value {
    const at = BigInt(width(x) * lane);
    const mask = ((1n << BigInt(width(x))) - 1n) << at;
    return this.make('v128', (bitsOf(v) & ~mask) | (bitsOf(x) << at));
  }
  splat(laneBytes: Size, x: Value): Value {
    return this.make('v128', joined(Array<bigint>(16 / laneBytes).fill(bitsOf(x)), 8 * laneBytes));
  }
  floatConst(type: 'f32' | 'f64', bits: bigint): Value {
    return this.make(type, bits);
  }
  float(op: string, ...args: Value[]): Value {
    const [type = '', name = ''] = op.split('.');
    const [x = this.bool(false)] = args;
    const source = x.type as FloatType;
    const truncation = /^trunc_sat_f\d\d_([su])$/.exec(name);
    if (truncation) {
      const bits = type === 'i64' ? 64 : 32;
      const r = truncateSaturating(toNumber(source, bitsOf(x)), bits, truncation[1] === 's');
      return this.make(bits === 64 ? 'i64' : 'i32', r);
    }
    const to = type as FloatType;
    if (name.startsWith('convert_')) return this.make(to, fromInteger(to, name.endsWith('_s') ? signed(x) : bitsOf(x)));
    if (name === 'promote_f32' || name === 'demote_f64')
      return this.make(to, fromNumber(to, toNumber(source, bitsOf(x))));
    const r = floatOperation(to, name, args.map(bitsOf));
    return typeof r === 'boolean' ? this.bool(r) : this.make(to, r);
  }
  reinterpret(type: Type, v: Value): Value {
    return this.make(type, bitsOf(v));
  }
}
