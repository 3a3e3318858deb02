/**
 * Values of the interpreter builder: WebAssembly locals and constants, and the integer, flag and floating operations
 * on them. What depends on operands and memory is in `builder.ts`.
 *
 * Every operation leaves its result in a local of the function that is being written; the optimizers of binaryen and
 * of the engine make registers of them.
 */
import type { FlagName, FlagRule, Size, Type, Value, Variable } from '../isa/builder.ts';
import { Vcpu } from '../state.ts';
import type { Code, FunctionBuilder, ValueType } from '../../wasm/encoder.ts';
import type { OpcodeName } from '../../wasm/opcodes.ts';

/** A value: in a local, or an integer constant that has not been materialized. */
export interface Emitted extends Value {
  readonly local: number;
  readonly constant?: bigint;
}

interface EmittedVariable extends Variable {
  readonly local: number;
}

const wasmType: Readonly<Record<Type, ValueType>> = {
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
const intType: Readonly<Record<Size, Type>> = { 1: 'i8', 2: 'i16', 4: 'i32', 8: 'i64' };
const sizeOfType: Readonly<Record<string, Size>> = { i8: 1, i16: 2, i32: 4, i64: 8, bool: 4, f80: 4 };

/** Thrown while a form is written that cannot be a case of the dispatch loop: it becomes a function instead. */
export class NotInline extends Error {}

export abstract class ValueEmitter {
  protected readonly code: Code;
  protected readonly cpu = 0;
  private readonly f: FunctionBuilder;
  /** Locals that this form may use, by type; reused by the next form of the same function. */
  private readonly pool: Map<ValueType, number[]>;
  private readonly used = new Map<ValueType, number>();

  /** Operands of the flags that were set last, for a branch on them that is written behind. */
  private lastFlags: { rule: FlagRule; x: Value; y: Value; r: Value } | undefined;

  constructor(f: FunctionBuilder, pool: Map<ValueType, number[]>) {
    this.f = f;
    this.code = f.code;
    this.pool = pool;
  }

  protected allocate(type: ValueType): number {
    const list = this.pool.get(type) ?? [];
    this.pool.set(type, list);
    const n = this.used.get(type) ?? 0;
    this.used.set(type, n + 1);
    const have = list[n];
    if (have !== undefined) return have;
    const made = this.f.local(type);
    list.push(made);
    return made;
  }

  // Values. ---------------------------------------------------------------------------------------------------------

  protected sizeOf(v: Value): Size {
    const size = sizeOfType[v.type];
    if (!size) throw new Error(`expected an integer, got ${v.type}`);
    return size;
  }

  /** Pushes a value on the wasm stack. */
  protected push_(v: Value): Code {
    const e = v as Emitted;
    if (e.constant !== undefined) {
      return wasmType[e.type] === 'i64'
        ? this.code.i64(e.constant)
        : this.code.i32(Number(BigInt.asIntN(32, e.constant)));
    }
    return this.code.get(e.local);
  }

  /** Pushes an integer as i32 or i64, zero-extended or wrapped. */
  protected pushAs(type: 'i32' | 'i64', v: Value): Code {
    this.push_(v);
    const have = wasmType[v.type];
    if (have === 'i32' && type === 'i64') return this.code.op('i64.extend_i32_u');
    if (have === 'i64' && type === 'i32') return this.code.op('i32.wrap_i64');
    return this.code;
  }

  /** Takes the top of the wasm stack into a new local. */
  protected take(type: Type): Emitted {
    const local = this.allocate(wasmType[type]);
    this.code.set(local);
    return { type, local };
  }

  protected constantOf(v: Value): bigint | undefined {
    return (v as Emitted).constant;
  }

  int(size: Size, n: number | bigint): Value {
    return { type: intType[size], local: -1, constant: BigInt.asUintN(size * 8, BigInt(n)) } as Emitted;
  }

  bool(b: boolean): Value {
    return { type: 'bool', local: -1, constant: b ? 1n : 0n } as Emitted;
  }

  // Integers. -------------------------------------------------------------------------------------------------------

  /** Brings the i32 on the stack back to `size` bytes, zero-extended. */
  private normalize(size: Size): Code {
    if (size === 1) return this.code.i32(0xff).op('i32.and');
    if (size === 2) return this.code.i32(0xffff).op('i32.and');
    return this.code;
  }

  private binary(op: string, a: Value, b: Value, normalize: boolean): Value {
    const size = this.sizeOf(a);
    if (this.sizeOf(b) !== size) throw new Error(`${op} of ${a.type} and ${b.type}`);
    this.push_(a);
    this.push_(b);
    this.code.op(`${size === 8 ? 'i64' : 'i32'}.${op}` as OpcodeName);
    if (normalize) this.normalize(size);
    return this.take(a.type === 'bool' ? 'bool' : intType[size]);
  }

  add(a: Value, b: Value): Value {
    return this.binary('add', a, b, true);
  }
  sub(a: Value, b: Value): Value {
    return this.binary('sub', a, b, true);
  }
  mul(a: Value, b: Value): Value {
    return this.binary('mul', a, b, true);
  }
  and(a: Value, b: Value): Value {
    return this.binary('and', a, b, false);
  }
  or(a: Value, b: Value): Value {
    return this.binary('or', a, b, false);
  }
  xor(a: Value, b: Value): Value {
    return this.binary('xor', a, b, false);
  }
  divU(a: Value, b: Value): Value {
    return this.binary('div_u', a, b, false);
  }
  remU(a: Value, b: Value): Value {
    return this.binary('rem_u', a, b, false);
  }
  divS(a: Value, b: Value): Value {
    return this.signedBinary('div_s', a, b);
  }
  remS(a: Value, b: Value): Value {
    return this.signedBinary('rem_s', a, b);
  }

  private signedBinary(op: string, a: Value, b: Value): Value {
    const size = this.sizeOf(a);
    this.pushSigned(a);
    this.pushSigned(b);
    this.code.op(`${size === 8 ? 'i64' : 'i32'}.${op}` as OpcodeName);
    this.normalize(size);
    return this.take(intType[size]);
  }

  /** Pushes with the sign of its size filling the wasm type. */
  private pushSigned(v: Value): Code {
    this.push_(v);
    if (v.type === 'i8') return this.code.op('i32.extend8_s');
    if (v.type === 'i16') return this.code.op('i32.extend16_s');
    return this.code;
  }

  /** Pushes as i64 with the sign of its size. */
  protected pushSigned64(v: Value): Code {
    this.pushSigned(v);
    return wasmType[v.type] === 'i32' ? this.code.op('i64.extend_i32_s') : this.code;
  }

  mulHighU(a: Value, b: Value): Value {
    return this.mulHigh(a, b, false);
  }
  mulHighS(a: Value, b: Value): Value {
    return this.mulHigh(a, b, true);
  }

  private mulHigh(a: Value, b: Value, signed: boolean): Value {
    const size = this.sizeOf(a);
    if (size === 8) return this.mulHigh64(a, b, signed);
    if (signed) this.pushSigned64(a);
    else this.pushAs('i64', a);
    if (signed) this.pushSigned64(b);
    else this.pushAs('i64', b);
    this.code
      .op('i64.mul')
      .i64(size * 8)
      .op('i64.shr_u')
      .op('i32.wrap_i64');
    this.normalize(size);
    return this.take(intType[size]);
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
    return this.xor(a, this.int(this.sizeOf(a), -1));
  }
  neg(a: Value): Value {
    return this.sub(this.int(this.sizeOf(a), 0), a);
  }

  private shift(op: string, a: Value, count: Value, normalize: boolean): Value {
    const size = this.sizeOf(a);
    if (op === 'shr_s') this.pushSigned(a);
    else this.push_(a);
    this.pushAs(size === 8 ? 'i64' : 'i32', count);
    this.code.op(`${size === 8 ? 'i64' : 'i32'}.${op}` as OpcodeName);
    if (normalize) this.normalize(size);
    return this.take(intType[size]);
  }
  shl(a: Value, count: Value): Value {
    return this.shift('shl', a, count, true);
  }
  shr(a: Value, count: Value): Value {
    return this.shift('shr_u', a, count, false);
  }
  sar(a: Value, count: Value): Value {
    return this.shift('shr_s', a, count, true);
  }
  rotl(a: Value, count: Value): Value {
    const size = this.sizeOf(a);
    if (size >= 4) return this.shift('rotl', a, count, false);
    const left = this.trunc(4, this.resize(4, count));
    const right = this.and(this.sub(this.int(4, size * 8), left), this.int(4, size * 8 - 1));
    return this.or(this.shl(a, left), this.shr(a, right));
  }
  rotr(a: Value, count: Value): Value {
    const size = this.sizeOf(a);
    if (size >= 4) return this.shift('rotr', a, count, false);
    const right = this.resize(4, count);
    const left = this.and(this.sub(this.int(4, size * 8), right), this.int(4, size * 8 - 1));
    return this.or(this.shr(a, right), this.shl(a, left));
  }

  private unary(op: string, a: Value): Value {
    const size = this.sizeOf(a);
    if (size < 4) throw new Error(`${op} of ${a.type}`);
    this.push_(a);
    this.code.op(`${size === 8 ? 'i64' : 'i32'}.${op}` as OpcodeName);
    return this.take(intType[size]);
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

  protected resize(size: Size, a: Value): Value {
    const have = this.sizeOf(a);
    return have < size ? this.zext(size, a) : this.trunc(size, a);
  }

  zext(size: Size, a: Value): Value {
    const have = this.sizeOf(a);
    if (have > size) throw new Error(`zext of ${a.type} to ${size}`);
    const c = this.constantOf(a);
    if (c !== undefined) return this.int(size, c);
    if (have === size) return a;
    if (size < 8) return { ...(a as Emitted), type: intType[size] } as Emitted;
    this.push_(a);
    this.code.op('i64.extend_i32_u');
    return this.take('i64');
  }

  sext(size: Size, a: Value): Value {
    const have = this.sizeOf(a);
    const c = this.constantOf(a);
    if (c !== undefined) return this.int(size, BigInt.asIntN(have * 8, c));
    if (have === size) return a;
    this.pushSigned(a);
    if (size === 8) {
      this.code.op('i64.extend_i32_s');
      return this.take('i64');
    }
    this.normalize(size);
    return this.take(intType[size]);
  }

  trunc(size: Size, a: Value): Value {
    const have = this.sizeOf(a);
    if (have < size) throw new Error(`trunc of ${a.type} to ${size}`);
    const c = this.constantOf(a);
    if (c !== undefined) return this.int(size, c);
    if (have === size) return a;
    this.push_(a);
    if (have === 8) this.code.op('i32.wrap_i64');
    this.normalize(size);
    return this.take(intType[size]);
  }

  private compare(op: string, a: Value, b: Value): Value {
    const size = this.sizeOf(a);
    if (this.sizeOf(b) !== size) throw new Error(`${op} of ${a.type} and ${b.type}`);
    if (op.endsWith('_s')) {
      this.pushSigned(a);
      this.pushSigned(b);
    } else {
      this.push_(a);
      this.push_(b);
    }
    this.code.op(`${size === 8 ? 'i64' : 'i32'}.${op}` as OpcodeName);
    return this.take('bool');
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
    return this.compare('lt_s', a, b);
  }
  leU(a: Value, b: Value): Value {
    return this.compare('le_u', a, b);
  }
  leS(a: Value, b: Value): Value {
    return this.compare('le_s', a, b);
  }
  isZero(a: Value): Value {
    this.push_(a);
    this.code.op(this.sizeOf(a) === 8 ? 'i64.eqz' : 'i32.eqz');
    return this.take('bool');
  }
  sign(a: Value): Value {
    return this.bit(a, this.sizeOf(a) * 8 - 1);
  }
  bit(a: Value, n: number): Value {
    this.push_(a);
    if (this.sizeOf(a) === 8) this.code.i64(n).op('i64.shr_u').op('i32.wrap_i64');
    else if (n > 0) this.code.i32(n).op('i32.shr_u');
    this.code.i32(1).op('i32.and');
    return this.take('bool');
  }
  both(a: Value, b: Value): Value {
    return this.binary('and', a, b, false);
  }
  either(a: Value, b: Value): Value {
    return this.binary('or', a, b, false);
  }
  differ(a: Value, b: Value): Value {
    return this.binary('xor', a, b, false);
  }
  negate(a: Value): Value {
    this.push_(a);
    this.code.op('i32.eqz');
    return this.take('bool');
  }
  boolToInt(size: Size, a: Value): Value {
    if (size < 8) return { ...(a as Emitted), type: intType[size] } as Emitted;
    this.push_(a);
    this.code.op('i64.extend_i32_u');
    return this.take('i64');
  }
  select(c: Value, whenTrue: Value, whenFalse: Value): Value {
    if (whenTrue.type !== whenFalse.type) throw new Error(`select of ${whenTrue.type} and ${whenFalse.type}`);
    if (whenTrue.type === 'v128') {
      // The untyped select of the core takes numbers only.
      const local = this.allocate('v128');
      this.push_(whenTrue).set(local);
      this.push_(c);
      this.code.op('i32.eqz').if();
      this.push_(whenFalse).set(local);
      this.code.end();
      return { type: 'v128', local } as Emitted;
    }
    this.push_(whenTrue);
    this.push_(whenFalse);
    this.push_(c);
    this.code.op('select');
    return this.take(whenTrue.type);
  }

  // Variables and conditionals. -------------------------------------------------------------------------------------

  variable(initial: Value): Variable {
    const local = this.allocate(wasmType[initial.type]);
    this.push_(initial).set(local);
    return { type: initial.type, local } as EmittedVariable;
  }
  get(v: Variable): Value {
    // A copy: the variable may change while the value lives.
    this.code.get((v as EmittedVariable).local);
    return this.take(v.type);
  }
  set(v: Variable, value: Value): void {
    if (wasmType[v.type] !== wasmType[value.type]) throw new Error(`set of ${v.type} to ${value.type}`);
    this.push_(value).set((v as EmittedVariable).local);
  }
  if(c: Value, then: () => void, otherwise?: () => void): void {
    this.push_(c);
    this.code.if();
    then();
    if (otherwise) {
      this.code.else();
      otherwise();
    }
    this.code.end();
  }

  // Processor fields. -----------------------------------------------------------------------------------------------

  protected loadField(op: OpcodeName, offset: number): Code {
    return this.code.get(this.cpu).memory(op, offset);
  }

  protected storeField(op: OpcodeName, offset: number, push: () => void): void {
    this.code.get(this.cpu);
    push();
    this.code.memory(op, offset);
  }

  // Flags (see state.ts for the lazy words). ------------------------------------------------------------------------

  setFlags(rule: FlagRule, x: Value, y: Value, r: Value, carry?: Value): void {
    this.lastFlags = carry || rule === 'zsp' ? undefined : { rule, x, y, r };
    const f = Vcpu.offsets;
    this.storeField('i64.store', f.flagResult, () => this.pushSigned64(r));
    switch (rule) {
      case 'logic':
        this.storeField('i64.store', f.flagOverflow, () => this.code.i64(0));
        // flagCarry and flagAux are neighbours.
        this.storeField('i64.store', f.flagCarry, () => this.code.i64(0));
        return;
      case 'zsp':
        this.storeField('i32.store', f.flagAux, () => this.code.i32(0));
        return;
      case 'add':
      case 'sub': {
        const below = rule === 'add' ? this.ltU(r, x) : this.ltU(x, y);
        const equal = carry ? (rule === 'add' ? this.eq(r, x) : this.eq(x, y)) : undefined;
        const out = carry && equal ? this.either(below, this.both(carry, equal)) : below;
        this.storeField('i32.store', f.flagCarry, () => this.push_(out));
        this.setOverflowAndAux(rule, x, y, r);
        return;
      }
      case 'inc':
        this.setOverflowAndAux('add', x, y, r);
        return;
      case 'dec':
        this.setOverflowAndAux('sub', x, y, r);
        return;
    }
  }

  private setOverflowAndAux(rule: 'add' | 'sub', x: Value, y: Value, r: Value): void {
    const f = Vcpu.offsets;
    const xy = this.xor(x, y);
    const xr = this.xor(x, r);
    const overflow = rule === 'sub' ? this.and(xy, xr) : this.and(xr, this.xor(y, r));
    this.storeField('i64.store', f.flagOverflow, () => this.pushSigned64(overflow));
    this.storeField('i32.store', f.flagAux, () => {
      this.pushAs('i32', this.xor(xy, r));
      this.code.i32(0x10).op('i32.and');
    });
  }

  setFlagsFrom(result: Value, carry: Value, overflow: Value, aux?: Value): void {
    const f = Vcpu.offsets;
    this.storeField('i64.store', f.flagResult, () => this.pushSigned64(result));
    this.storeField('i64.store', f.flagOverflow, () => this.pushSigned64(overflow));
    this.storeField('i32.store', f.flagCarry, () => this.push_(carry));
    this.storeField('i32.store', f.flagAux, () => {
      if (aux) this.push_(aux).i32(4).op('i32.shl');
      else this.code.i32(0);
    });
  }

  setFlag(name: FlagName, b: Value): void {
    const f = Vcpu.offsets;
    switch (name) {
      case 'cf':
        this.storeField('i32.store', f.flagCarry, () => this.push_(b));
        return;
      case 'of':
        this.storeField('i64.store', f.flagOverflow, () => {
          this.pushAs('i64', b);
          this.code.i64(63).op('i64.shl');
        });
        return;
      case 'af':
        this.storeField('i32.store', f.flagAux, () => {
          this.loadField('i32.load', f.flagAux).i32(~0x10).op('i32.and');
          this.push_(b).i32(4).op('i32.shl').op('i32.or');
        });
        return;
      case 'zf':
        this.setZero(b);
        return;
      default:
        throw new Error(`setFlag(${name}): load the whole word with loadArithmeticFlags instead`);
    }
  }

  /** ZF alone changes: the result word is chosen anew, and SF and PF are kept by the correction bits of flagAux. */
  private setZero(b: Value): void {
    const word = this.flagsWord();
    const rest = this.and(word, this.int(4, ~0x40));
    this.loadArithmeticFlags(this.or(rest, this.shl(this.boolToInt(4, b), this.int(4, 6))));
  }

  flag(name: FlagName): Value {
    const f = Vcpu.offsets;
    switch (name) {
      case 'cf':
        this.loadField('i32.load', f.flagCarry);
        return this.take('bool');
      case 'zf':
        this.loadField('i64.load', f.flagResult).op('i64.eqz');
        return this.take('bool');
      case 'sf':
        this.loadField('i32.load', f.flagResult + 4);
        this.loadField('i32.load', f.flagAux).op('i32.xor').i32(31).op('i32.shr_u');
        return this.take('bool');
      case 'of':
        this.loadField('i32.load', f.flagOverflow + 4)
          .i32(31)
          .op('i32.shr_u');
        return this.take('bool');
      case 'af':
        this.loadField('i32.load', f.flagAux).i32(4).op('i32.shr_u').i32(1).op('i32.and');
        return this.take('bool');
      case 'pf':
        this.loadField('i32.load', f.flagResult);
        this.loadField('i32.load', f.flagAux).i32(8).op('i32.shr_u').op('i32.xor');
        this.code.i32(0xff).op('i32.and').op('i32.popcnt').i32(1).op('i32.and').op('i32.eqz');
        return this.take('bool');
    }
  }

  /** Pushes a condition on the wasm stack: from the operands of the comparison just written where that is shorter. */
  pushCondition(cc: number): void {
    this.push_(this.freshCondition(cc));
  }

  private freshCondition(cc: number): Value {
    const last = this.lastFlags;
    if (!last) return this.condition(cc);
    const { rule, x, y, r } = last;
    if (cc >> 1 === 2) return cc & 1 ? this.ne(r, this.int(this.sizeOf(r), 0)) : this.isZero(r);
    if (cc >> 1 === 4) return cc & 1 ? this.negate(this.sign(r)) : this.sign(r);
    if (rule === 'sub') {
      const compare: Readonly<Record<number, () => Value>> = {
        2: () => this.ltU(x, y),
        3: () => this.leU(y, x),
        6: () => this.leU(x, y),
        7: () => this.ltU(y, x),
        12: () => this.ltS(x, y),
        13: () => this.leS(y, x),
        14: () => this.leS(x, y),
        15: () => this.ltS(y, x),
      };
      return compare[cc]?.() ?? this.condition(cc);
    }
    if (rule === 'logic' && cc >= 12) {
      const zero = this.int(this.sizeOf(r), 0);
      const signed = [
        () => this.ltS(r, zero),
        () => this.leS(zero, r),
        () => this.leS(r, zero),
        () => this.ltS(zero, r),
      ];
      return signed[cc - 12]?.() ?? this.condition(cc);
    }
    return this.condition(cc);
  }

  condition(cc: number): Value {
    const f = Vcpu.offsets;
    const less = (): Value => {
      this.loadField('i32.load', f.flagResult + 4);
      this.loadField('i32.load', f.flagAux).op('i32.xor');
      this.loadField('i32.load', f.flagOverflow + 4)
        .op('i32.xor')
        .i32(31)
        .op('i32.shr_u');
      return this.take('bool');
    };
    const base = [
      () => this.flag('of'),
      () => this.flag('cf'),
      () => this.flag('zf'),
      () => this.either(this.flag('cf'), this.flag('zf')),
      () => this.flag('sf'),
      () => this.flag('pf'),
      less,
      () => this.either(less(), this.flag('zf')),
    ][cc >> 1];
    if (!base) throw new Error(`condition ${cc}`);
    return cc & 1 ? this.negate(base()) : base();
  }

  flagsWord(): Value {
    let word = this.boolToInt(4, this.flag('cf'));
    const put = (name: FlagName, bit: number): void => {
      word = this.or(word, this.shl(this.boolToInt(4, this.flag(name)), this.int(4, bit)));
    };
    put('pf', 2);
    put('af', 4);
    put('zf', 6);
    put('sf', 7);
    put('of', 11);
    this.loadField('i32.load', Vcpu.offsets.eflags);
    return this.or(word, this.take('i32'));
  }

  loadArithmeticFlags(v: Value): void {
    const f = Vcpu.offsets;
    // ZF chooses the result 0 or 1, whose sign is clear and whose parity is even or odd; flagAux corrects both.
    this.storeField('i64.store', f.flagResult, () => {
      this.push_(this.negate(this.bit(v, 6)));
      this.code.op('i64.extend_i32_u');
    });
    this.storeField('i64.store', f.flagOverflow, () => {
      this.push_(this.bit(v, 11));
      this.code.op('i64.extend_i32_u').i64(63).op('i64.shl');
    });
    this.storeField('i32.store', f.flagCarry, () => this.push_(this.bit(v, 0)));
    // Parity of result 0 is even (PF = 1), of 1 odd (PF = 0): PF = ZF. A difference flips one bit.
    const parityWrong = this.differ(this.bit(v, 2), this.bit(v, 6));
    this.storeField('i32.store', f.flagAux, () => {
      this.pushAs('i32', v);
      this.code.i32(0x10).op('i32.and');
      this.push_(this.bit(v, 7)).i32(31).op('i32.shl').op('i32.or');
      this.push_(parityWrong).i32(8).op('i32.shl').op('i32.or');
    });
  }

  // Vectors and floating point. -------------------------------------------------------------------------------------

  vector(op: string, ...args: Value[]): Value {
    for (const a of args) this.pushAs_(a);
    this.code.op(op as OpcodeName);
    if (op.endsWith('bitmask')) return this.take('i32');
    if (op.endsWith('any_true') || op.endsWith('all_true')) return this.take('bool');
    return this.take('v128');
  }

  /** Vector operations take their scalar operands as i32 (shift counts). */
  private pushAs_(v: Value): Code {
    return v.type === 'v128' ? this.push_(v) : this.pushAs('i32', v);
  }

  vectorConst(low: bigint, high: bigint): Value {
    this.code.v128(BigInt.asUintN(64, low), BigInt.asUintN(64, high));
    return this.take('v128');
  }
  shuffle(a: Value, b: Value, lanes: readonly number[]): Value {
    this.push_(a);
    this.push_(b);
    this.code.shuffle(lanes);
    return this.take('v128');
  }
  extractLane(v: Value, laneBytes: Size, lane: number): Value {
    this.push_(v);
    const name = {
      1: 'i8x16.extract_lane_u',
      2: 'i16x8.extract_lane_u',
      4: 'i32x4.extract_lane',
      8: 'i64x2.extract_lane',
    } as const;
    this.code.lane(name[laneBytes], lane);
    return this.take(intType[laneBytes]);
  }
  replaceLane(v: Value, lane: number, x: Value): Value {
    this.push_(v);
    this.push_(x);
    const name = {
      1: 'i8x16.replace_lane',
      2: 'i16x8.replace_lane',
      4: 'i32x4.replace_lane',
      8: 'i64x2.replace_lane',
    } as const;
    this.code.lane(name[this.sizeOf(x)], lane);
    return this.take('v128');
  }
  splat(laneBytes: Size, x: Value): Value {
    this.push_(x);
    const name = { 1: 'i8x16.splat', 2: 'i16x8.splat', 4: 'i32x4.splat', 8: 'i64x2.splat' } as const;
    this.code.op(name[laneBytes]);
    return this.take('v128');
  }
  floatConst(type: 'f32' | 'f64', bits: bigint): Value {
    if (type === 'f32') this.code.f32(Number(BigInt.asUintN(32, bits)));
    else this.code.f64(BigInt.asUintN(64, bits));
    return this.take(type);
  }
  float(op: string, ...args: Value[]): Value {
    for (const a of args) this.push_(a);
    this.code.op(op as OpcodeName);
    if (/\.(eq|ne|lt|gt|le|ge)$/.test(op)) return this.take('bool');
    return this.take(op.slice(0, 3) as Type);
  }
  reinterpret(type: Type, v: Value): Value {
    this.push_(v);
    this.code.op(`${type}.reinterpret_${v.type}` as OpcodeName);
    return this.take(type);
  }
}
