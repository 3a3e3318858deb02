/**
 * Arithmetic flags on the lazy words of `cpu/state.ts`, and conditions, for the builders that write WebAssembly.
 */
import type { FlagName, FlagRule, Value } from '../isa/builder.ts';
import { Vcpu } from '../state.ts';
import type { OpcodeName } from '../../wasm/opcodes.ts';
import { Operations, sizeOf } from './operations.ts';

/** What set all six flags (all but CF: inc, dec): the rule of `Builder.setFlags` and its values. */
export interface FlagSource {
  readonly rule: FlagRule;
  readonly x: Value;
  readonly y: Value;
  readonly r: Value;
}

/** Bits of the arithmetic flags in EFLAGS. */
export const flagPlaces: Readonly<Record<FlagName, number>> = { cf: 0, pf: 2, af: 4, zf: 6, sf: 7, of: 11 };

const f = Vcpu.offsets;

export abstract class FlagWords extends Operations {
  /** Reads a field of the vCPU now. `type` may be narrower than what `op` gives only where the field is known to fit. */
  protected abstract loadField(type: Value['type'], op: OpcodeName, offset: number): Value;
  /** Writes a field of the vCPU. */
  protected abstract storeField(op: OpcodeName, offset: number, v: Value): void;

  setFlags(rule: FlagRule, x: Value, y: Value, r: Value, carry?: Value): void {
    this.storeField('i64.store', f.flagResult, this.signed64(r));
    switch (rule) {
      case 'logic':
        this.storeField('i64.store', f.flagOverflow, this.int(8, 0));
        // flagCarry and flagAux are neighbours.
        this.storeField('i64.store', f.flagCarry, this.int(8, 0));
        return;
      case 'zsp':
        this.storeField('i32.store', f.flagAux, this.int(4, 0));
        return;
      case 'add':
      case 'sub':
        this.storeField('i32.store', f.flagCarry, this.carryOf(rule, x, y, r, carry));
        this.setOverflowAndAux(rule, x, y, r);
        return;
      case 'inc':
        this.setOverflowAndAux('add', x, y, r);
        return;
      case 'dec':
        this.setOverflowAndAux('sub', x, y, r);
        return;
    }
  }

  protected carryOf(rule: 'add' | 'sub', x: Value, y: Value, r: Value, carry?: Value): Value {
    const below = rule === 'add' ? this.ltU(r, x) : this.ltU(x, y);
    if (!carry) return below;
    const equal = rule === 'add' ? this.eq(r, x) : this.eq(x, y);
    return this.either(below, this.both(carry, equal));
  }

  /** A value whose sign bit is OF. */
  protected overflowOf(rule: 'add' | 'sub', x: Value, y: Value, r: Value): Value {
    const xr = this.xor(x, r);
    return rule === 'sub' ? this.and(this.xor(x, y), xr) : this.and(xr, this.xor(y, r));
  }

  private setOverflowAndAux(rule: 'add' | 'sub', x: Value, y: Value, r: Value): void {
    this.storeField('i64.store', f.flagOverflow, this.signed64(this.overflowOf(rule, x, y, r)));
    const aux = this.as('i32', this.xor(this.xor(x, y), r));
    this.storeField('i32.store', f.flagAux, this.and(this.retype('i32', aux), this.int(4, 0x10)));
  }

  setFlagsFrom(result: Value, carry: Value, overflow: Value, aux?: Value): void {
    this.storeField('i64.store', f.flagResult, this.signed64(result));
    this.storeField('i64.store', f.flagOverflow, this.signed64(overflow));
    this.storeField('i32.store', f.flagCarry, carry);
    this.storeField('i32.store', f.flagAux, aux ? this.boolAt(aux, 4) : this.int(4, 0));
  }

  /** A Bool as bit `n` of an i32. */
  protected boolAt(b: Value, n: number): Value {
    return this.shl(this.boolToInt(4, b), this.int(4, n));
  }

  setFlag(name: FlagName, b: Value): void {
    switch (name) {
      case 'cf':
        this.storeField('i32.store', f.flagCarry, b);
        return;
      case 'of':
        this.storeField('i64.store', f.flagOverflow, this.shl(this.boolToInt(8, b), this.int(4, 63)));
        return;
      case 'af': {
        const rest = this.and(this.loadField('i32', 'i32.load', f.flagAux), this.int(4, ~0x10));
        this.storeField('i32.store', f.flagAux, this.or(rest, this.boolAt(b, 4)));
        return;
      }
      case 'zf': {
        // ZF alone changes: the result word is chosen anew, and SF and PF are kept by the correction bits of flagAux.
        const rest = this.and(this.flagsWord(), this.int(4, ~0x40));
        this.loadArithmeticFlags(this.or(rest, this.boolAt(b, 6)));
        return;
      }
      default:
        throw new Error(`setFlag(${name}): load the whole word with loadArithmeticFlags instead`);
    }
  }

  flag(name: FlagName): Value {
    switch (name) {
      case 'cf':
        return this.loadField('bool', 'i32.load', f.flagCarry);
      case 'zf':
        return this.isZero(this.loadField('i64', 'i64.load', f.flagResult));
      case 'sf':
        return this.sign(this.xor(this.word(f.flagResult + 4), this.word(f.flagAux)));
      case 'of':
        return this.sign(this.word(f.flagOverflow + 4));
      case 'af':
        return this.bit(this.word(f.flagAux), 4);
      case 'pf':
        return this.evenParity(this.xor(this.word(f.flagResult), this.shr(this.word(f.flagAux), this.int(4, 8))));
    }
  }

  private word(offset: number): Value {
    return this.loadField('i32', 'i32.load', offset);
  }

  protected evenParity(v: Value): Value {
    const ones = this.popcnt(this.and(this.retype('i32', this.as('i32', v)), this.int(4, 0xff)));
    return this.negate(this.retype('bool', this.and(ones, this.int(4, 1))));
  }

  condition(cc: number): Value {
    const less = (): Value => {
      const sign = this.xor(
        this.loadField('i32', 'i32.load', f.flagResult + 4),
        this.loadField('i32', 'i32.load', f.flagAux),
      );
      return this.sign(this.xor(sign, this.loadField('i32', 'i32.load', f.flagOverflow + 4)));
    };
    return this.conditionOf(cc, (name) => this.flag(name), less);
  }

  /** A condition code from single flags; `less` is SF ≠ OF. */
  protected conditionOf(cc: number, flag: (name: FlagName) => Value, less: () => Value): Value {
    const base = this.evenCondition(cc >> 1, flag, less);
    return cc & 1 ? this.negate(base) : base;
  }

  private evenCondition(number: number, flag: (name: FlagName) => Value, less: () => Value): Value {
    switch (number) {
      case 0:
        return flag('of');
      case 1:
        return flag('cf');
      case 2:
        return flag('zf');
      case 3:
        return this.either(flag('cf'), flag('zf'));
      case 4:
        return flag('sf');
      case 5:
        return flag('pf');
      case 6:
        return less();
      case 7:
        return this.either(less(), flag('zf'));
      default:
        throw new Error(`condition ${2 * number}`);
    }
  }

  /** A condition straight from what set the flags, where that is shorter than by single flags. */
  protected comparison(source: FlagSource, cc: number): Value | undefined {
    const { rule, x, y, r } = source;
    if (cc >> 1 === 2) return cc & 1 ? this.ne(r, this.int(sizeOf(r), 0)) : this.isZero(r);
    if (cc >> 1 === 4) return cc & 1 ? this.negate(this.sign(r)) : this.sign(r);
    if (rule === 'sub') return this.compared(x, y, cc);
    return rule === 'logic' && cc >= 12 ? this.compared(r, this.int(sizeOf(r), 0), cc) : undefined;
  }

  /** A condition on the flags of x − y, where one comparison does. */
  private compared(x: Value, y: Value, cc: number): Value | undefined {
    switch (cc) {
      case 2:
        return this.ltU(x, y);
      case 3:
        return this.leU(y, x);
      case 6:
        return this.leU(x, y);
      case 7:
        return this.ltU(y, x);
      case 12:
        return this.ltS(x, y);
      case 13:
        return this.leS(y, x);
      case 14:
        return this.leS(x, y);
      case 15:
        return this.ltS(y, x);
      default:
        return undefined;
    }
  }

  flagsWord(): Value {
    return this.or(
      this.arithmeticWord((name) => this.flag(name)),
      this.loadField('i32', 'i32.load', f.eflags),
    );
  }

  /** The six arithmetic flags in their places. */
  protected arithmeticWord(flag: (name: FlagName) => Value): Value {
    let word = this.boolToInt(4, flag('cf'));
    for (const name of ['pf', 'af', 'zf', 'sf', 'of'] as const) {
      word = this.or(word, this.boolAt(flag(name), flagPlaces[name]));
    }
    return word;
  }

  loadArithmeticFlags(v: Value): void {
    // ZF chooses the result 0 or 1, whose sign is clear and whose parity is even or odd; flagAux corrects both.
    this.storeField('i64.store', f.flagResult, this.boolToInt(8, this.negate(this.bit(v, 6))));
    this.storeField('i64.store', f.flagOverflow, this.shl(this.boolToInt(8, this.bit(v, 11)), this.int(4, 63)));
    this.storeField('i32.store', f.flagCarry, this.bit(v, 0));
    // Parity of result 0 is even (PF = 1), of 1 odd (PF = 0): PF = ZF. A difference flips one bit.
    const parityWrong = this.differ(this.bit(v, 2), this.bit(v, 6));
    const aux = this.and(this.retype('i32', this.as('i32', v)), this.int(4, 0x10));
    const corrections = this.or(this.boolAt(this.bit(v, 7), 31), this.boolAt(parityWrong, 8));
    this.storeField('i32.store', f.flagAux, this.or(aux, corrections));
  }
}
