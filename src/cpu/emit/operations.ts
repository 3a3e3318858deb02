/**
 * The op-builder's arithmetic as WebAssembly operations: integers, booleans, vectors and floating point. What a value
 * is, and when an operation is written, is left to the interpreter's builder (`interpreter/builder.ts`) and to the
 * compiler's (`jit/region-builder.ts`).
 */
import type { Size, Type, Value } from '../isa/builder.ts';
import type { ValueType } from '../../wasm/encoder.ts';
import { opcode } from '../../wasm/opcodes.ts';
import type { OpcodeName } from '../../wasm/opcodes.ts';

/** The wasm type that holds a value; integers below 4 bytes are kept zero-extended in an i32, an f80 is an address. */
export const wasmType: Readonly<Record<Type, ValueType>> = {
  i8: 'i32',
  i16: 'i32',
  i32: 'i32',
  i64: 'i64',
  bool: 'i32',
  v128: 'v128',
  f32: 'f32',
  f64: 'f64',
  f80: 'i32',
};
export const intType: Readonly<Record<Size, Type>> = { 1: 'i8', 2: 'i16', 4: 'i32', 8: 'i64' };

/** Operations on the integer lanes of a vector, by their bytes. */
const laneOps = {
  1: { extract: 'i8x16.extract_lane_u', replace: 'i8x16.replace_lane', splat: 'i8x16.splat' },
  2: { extract: 'i16x8.extract_lane_u', replace: 'i16x8.replace_lane', splat: 'i16x8.splat' },
  4: { extract: 'i32x4.extract_lane', replace: 'i32x4.replace_lane', splat: 'i32x4.splat' },
  8: { extract: 'i64x2.extract_lane', replace: 'i64x2.replace_lane', splat: 'i64x2.splat' },
} as const satisfies Record<Size, Record<string, OpcodeName>>;

/** Operations of a wasm type by what stands behind its name. */
function operationsOf(type: 'i32' | 'i64'): ReadonlyMap<string, OpcodeName> {
  const names = Object.keys(opcode).filter((name) => name.startsWith(`${type}.`)) as OpcodeName[];
  return new Map(names.map((name) => [name.slice(4), name]));
}
const narrowOps = operationsOf('i32');
const wideOps = operationsOf('i64');

/** Bytes of an integer value. */
export function sizeOf(v: Value): Size {
  switch (v.type) {
    case 'i64':
      return 8;
    case 'i32':
    case 'bool':
    case 'f80':
      return 4;
    case 'i8':
      return 1;
    case 'i16':
      return 2;
    default:
      throw new Error(`expected an integer, got ${v.type}`);
  }
}

export abstract class Operations {
  /** One pure wasm operation, which cannot trap but for what the caller has excluded. */
  protected abstract make(type: Type, op: OpcodeName, ...args: readonly Value[]): Value;
  /** The same for operations with a lane number, and for shuffles. */
  protected abstract makeLane(type: Type, op: OpcodeName, lanes: readonly number[], ...args: readonly Value[]): Value;
  /** The same bits under another type of the same wasm type. */
  protected abstract retype(type: Type, v: Value): Value;
  /** The integer that is known now, or undefined. */
  protected abstract constantOf(v: Value): bigint | undefined;
  abstract int(size: Size, n: number | bigint): Value;
  abstract bool(b: boolean): Value;
  abstract vectorConst(low: bigint, high: bigint): Value;
  abstract floatConst(type: 'f32' | 'f64', bits: bigint): Value;

  // Widths. ---------------------------------------------------------------------------------------------------------

  /** As i32 or i64, zero-extended or wrapped. */
  protected as(type: 'i32' | 'i64', v: Value): Value {
    if (v.type === type) return v;
    const have = wasmType[v.type];
    if (have === 'i32' && type === 'i64') return this.zext(8, v.type === 'bool' ? this.retype('i32', v) : v);
    if (have === 'i64' && type === 'i32') return this.trunc(4, v);
    return v;
  }

  /** Brings what an i32 operation gave back to `size` bytes, zero-extended. */
  private normalized(size: Size, v: Value): Value {
    if (size >= 4) return v;
    return this.make(intType[size], 'i32.and', v, this.int(4, size === 1 ? 0xff : 0xffff));
  }

  /** With the sign of its size filling the wasm type. */
  private signed(v: Value): Value {
    if (v.type === 'i8') return this.make('i32', 'i32.extend8_s', v);
    if (v.type === 'i16') return this.make('i32', 'i32.extend16_s', v);
    return v;
  }

  /** As i64 with the sign of its size. */
  protected signed64(v: Value): Value {
    const s = this.signed(v);
    return wasmType[s.type] === 'i32' ? this.make('i64', 'i64.extend_i32_s', s) : s;
  }

  protected resize(size: Size, a: Value): Value {
    return sizeOf(a) < size ? this.zext(size, a) : this.trunc(size, a);
  }

  zext(size: Size, a: Value): Value {
    const have = sizeOf(a);
    if (have > size) throw new Error(`zext of ${a.type} to ${size}`);
    const c = this.constantOf(a);
    if (c !== undefined) return this.int(size, c);
    if (have === size) return a;
    return size < 8 ? this.retype(intType[size], a) : this.make('i64', 'i64.extend_i32_u', a);
  }

  sext(size: Size, a: Value): Value {
    const have = sizeOf(a);
    const c = this.constantOf(a);
    if (c !== undefined) return this.int(size, BigInt.asIntN(have * 8, c));
    if (have === size) return a;
    if (size === 8) return this.signed64(a);
    const wide = this.signed(a);
    return size === 2 ? this.normalized(2, this.retype('i32', wide)) : wide;
  }

  trunc(size: Size, a: Value): Value {
    const have = sizeOf(a);
    if (have < size) throw new Error(`trunc of ${a.type} to ${size}`);
    const c = this.constantOf(a);
    if (c !== undefined) return this.int(size, c);
    if (have === size) return a;
    return this.normalized(size, have === 8 ? this.make('i32', 'i32.wrap_i64', a) : a);
  }

  // Integers. -------------------------------------------------------------------------------------------------------

  private op(size: Size, name: string): OpcodeName {
    const op = (size === 8 ? wideOps : narrowOps).get(name);
    if (!op) throw new Error(`no operation ${name} of ${size} bytes`);
    return op;
  }

  private binary(name: string, a: Value, b: Value): Value {
    const size = sizeOf(a);
    if (sizeOf(b) !== size) throw new Error(`${name} of ${a.type} and ${b.type}`);
    return this.make(a.type === 'bool' ? 'bool' : intType[size], this.op(size, name), a, b);
  }

  /** The type of a result that may have bits beyond the size. */
  private wide(size: Size): Type {
    return size === 8 ? 'i64' : 'i32';
  }

  /** An operation whose result may have bits beyond the size. */
  private wrapping(name: string, a: Value, b: Value): Value {
    const size = sizeOf(a);
    if (sizeOf(b) !== size) throw new Error(`${name} of ${a.type} and ${b.type}`);
    return this.normalized(size, this.make(this.wide(size), this.op(size, name), a, b));
  }

  add(a: Value, b: Value): Value {
    return this.wrapping('add', a, b);
  }
  sub(a: Value, b: Value): Value {
    return this.wrapping('sub', a, b);
  }
  mul(a: Value, b: Value): Value {
    return this.wrapping('mul', a, b);
  }
  and(a: Value, b: Value): Value {
    return this.binary('and', a, b);
  }
  or(a: Value, b: Value): Value {
    return this.binary('or', a, b);
  }
  xor(a: Value, b: Value): Value {
    return this.binary('xor', a, b);
  }
  divU(a: Value, b: Value): Value {
    return this.binary('div_u', a, b);
  }
  remU(a: Value, b: Value): Value {
    return this.binary('rem_u', a, b);
  }
  divS(a: Value, b: Value): Value {
    return this.signedBinary('div_s', a, b);
  }
  remS(a: Value, b: Value): Value {
    return this.signedBinary('rem_s', a, b);
  }

  private signedBinary(name: string, a: Value, b: Value): Value {
    const size = sizeOf(a);
    return this.normalized(size, this.make(this.wide(size), this.op(size, name), this.signed(a), this.signed(b)));
  }

  mulHighU(a: Value, b: Value): Value {
    return this.mulHigh(a, b, false);
  }
  mulHighS(a: Value, b: Value): Value {
    return this.mulHigh(a, b, true);
  }

  private mulHigh(a: Value, b: Value, signed: boolean): Value {
    const size = sizeOf(a);
    if (size === 8) return this.mulHigh64(a, b, signed);
    const wide = (v: Value): Value => (signed ? this.signed64(v) : this.as('i64', v));
    return this.trunc(size, this.shr(this.mul(wide(a), wide(b)), this.int(4, size * 8)));
  }

  /** Upper 64 bits of a 128-bit product, by 32-bit halves (Knuth, TAOCP vol. 2, 4.3.1). */
  private mulHigh64(a: Value, b: Value, signed: boolean): Value {
    const low = this.int(8, 0xffffffffn);
    const half = this.int(4, 32);
    const a0 = this.and(a, low);
    const a1 = this.shr(a, half);
    const b0 = this.and(b, low);
    const b1 = this.shr(b, half);
    const t = this.add(this.mul(a1, b0), this.shr(this.mul(a0, b0), half));
    const w = this.add(this.mul(a0, b1), this.and(t, low));
    const high = this.add(this.add(this.mul(a1, b1), this.shr(t, half)), this.shr(w, half));
    if (!signed) return high;
    const top = this.int(4, 63);
    return this.sub(this.sub(high, this.and(this.sar(a, top), b)), this.and(this.sar(b, top), a));
  }

  not(a: Value): Value {
    return this.xor(a, this.int(sizeOf(a), -1));
  }
  neg(a: Value): Value {
    return this.sub(this.int(sizeOf(a), 0), a);
  }

  private shift(name: string, a: Value, count: Value): Value {
    const size = sizeOf(a);
    return this.make(intType[size], this.op(size, name), a, this.as(size === 8 ? 'i64' : 'i32', count));
  }
  shl(a: Value, count: Value): Value {
    const size = sizeOf(a);
    const wide = this.wide(size);
    return this.normalized(size, this.make(wide, this.op(size, 'shl'), a, this.as(size === 8 ? 'i64' : 'i32', count)));
  }
  shr(a: Value, count: Value): Value {
    return this.shift('shr_u', a, count);
  }
  sar(a: Value, count: Value): Value {
    const size = sizeOf(a);
    const shifted = this.make(
      this.wide(size),
      this.op(size, 'shr_s'),
      this.signed(a),
      this.as(size === 8 ? 'i64' : 'i32', count),
    );
    return this.normalized(size, shifted);
  }
  rotl(a: Value, count: Value): Value {
    if (sizeOf(a) >= 4) return this.shift('rotl', a, count);
    const left = this.resize(4, count);
    return this.or(this.shl(a, left), this.shr(a, this.complement(a, left)));
  }
  rotr(a: Value, count: Value): Value {
    if (sizeOf(a) >= 4) return this.shift('rotr', a, count);
    const right = this.resize(4, count);
    return this.or(this.shl(a, this.complement(a, right)), this.shr(a, right));
  }
  /** The width of `a` less a rotate count, modulo the width. */
  private complement(a: Value, count: Value): Value {
    const bits = sizeOf(a) * 8;
    return this.and(this.sub(this.int(4, bits), count), this.int(4, bits - 1));
  }

  private unary(name: string, a: Value): Value {
    const size = sizeOf(a);
    if (size < 4) throw new Error(`${name} of ${a.type}`);
    return this.make(intType[size], this.op(size, name), a);
  }
  clz(a: Value): Value {
    return this.unary('clz', a);
  }
  ctz(a: Value): Value {
    return this.unary('ctz', a);
  }
  popcnt(a: Value): Value {
    return this.unary('popcnt', a);
  }

  // Booleans. -------------------------------------------------------------------------------------------------------

  private compare(name: string, a: Value, b: Value): Value {
    const size = sizeOf(a);
    if (sizeOf(b) !== size) throw new Error(`${name} of ${a.type} and ${b.type}`);
    return this.make('bool', this.op(size, name), a, b);
  }
  private compareSigned(name: string, a: Value, b: Value): Value {
    if (sizeOf(b) !== sizeOf(a)) throw new Error(`${name} of ${a.type} and ${b.type}`);
    return this.make('bool', this.op(sizeOf(a), name), this.signed(a), this.signed(b));
  }
  eq(a: Value, b: Value): Value {
    return this.compare('eq', a, b);
  }
  ne(a: Value, b: Value): Value {
    return this.compare('ne', a, b);
  }
  ltU(a: Value, b: Value): Value {
    return this.compare('lt_u', a, b);
  }
  ltS(a: Value, b: Value): Value {
    return this.compareSigned('lt_s', a, b);
  }
  leU(a: Value, b: Value): Value {
    return this.compare('le_u', a, b);
  }
  leS(a: Value, b: Value): Value {
    return this.compareSigned('le_s', a, b);
  }
  isZero(a: Value): Value {
    return this.make('bool', this.op(sizeOf(a), 'eqz'), a);
  }
  sign(a: Value): Value {
    return this.bit(a, sizeOf(a) * 8 - 1);
  }
  bit(a: Value, n: number): Value {
    const low = n === 0 ? a : this.shift('shr_u', a, this.int(4, n));
    return this.make('bool', 'i32.and', this.as('i32', low), this.int(4, 1));
  }
  both(a: Value, b: Value): Value {
    if (this.constantOf(a) === 1n) return b;
    if (this.constantOf(b) === 1n) return a;
    return this.binary('and', a, b);
  }
  either(a: Value, b: Value): Value {
    return this.binary('or', a, b);
  }
  differ(a: Value, b: Value): Value {
    return this.binary('xor', a, b);
  }
  negate(a: Value): Value {
    return this.make('bool', 'i32.eqz', a);
  }
  boolToInt(size: Size, a: Value): Value {
    const narrow = this.retype(intType[size < 8 ? size : 4], a);
    return size < 8 ? narrow : this.zext(8, narrow);
  }

  // Vectors and floating point. -------------------------------------------------------------------------------------

  vector(op: string, ...args: Value[]): Value {
    // Scalar operands (shift counts) are i32.
    const operands = args.map((v) => (v.type === 'v128' ? v : this.as('i32', v)));
    const type = op.endsWith('bitmask') ? 'i32' : op.endsWith('_true') ? 'bool' : 'v128';
    return this.make(type, op as OpcodeName, ...operands);
  }
  shuffle(a: Value, b: Value, lanes: readonly number[]): Value {
    return this.makeLane('v128', 'i8x16.shuffle', lanes, a, b);
  }
  extractLane(v: Value, laneBytes: Size, lane: number): Value {
    return this.makeLane(intType[laneBytes], laneOps[laneBytes].extract, [lane], v);
  }
  replaceLane(v: Value, lane: number, x: Value): Value {
    return this.makeLane('v128', laneOps[sizeOf(x)].replace, [lane], v, x);
  }
  splat(laneBytes: Size, x: Value): Value {
    return this.make('v128', laneOps[laneBytes].splat, x);
  }
  float(op: string, ...args: Value[]): Value {
    const type = /\.(eq|ne|lt|gt|le|ge)$/.test(op) ? 'bool' : (op.slice(0, 3) as Type);
    return this.make(type, op as OpcodeName, ...args);
  }
  reinterpret(type: Type, v: Value): Value {
    return this.make(type, `${type}.reinterpret_${v.type}` as OpcodeName, v);
  }
}
