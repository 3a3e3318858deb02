/** The x87 register stack as it lies in the vCPU (`RegisterStack`), for every builder that keeps nothing of it elsewhere. */
import type { Builder, Extended, Operand, RegisterStack, Value } from './builder.ts';

/** Masks of all exceptions, and the fields of precision and rounding; infinity control means nothing. */
const CONTROL_FIELDS = 0xf3f;
const USUAL_CONTROL = 0x33f;
const C1 = 0x200;
const EXCEPTIONS = 0x3f;

/** Whether a control word masks all exceptions and rounds to nearest, to 64 bits. */
export function isUsualControl(b: Builder, word: Value): Value {
  return b.eq(b.and(word, b.int(4, CONTROL_FIELDS)), b.int(4, USUAL_CONTROL));
}

/** A status word with PE if `inexact` is not 0, and C1 as `roundedUp` says. */
export function withRounding(b: Builder, status: Value, inexact: Value, roundedUp: Value): Value {
  const kept = b.and(status, b.int(4, 0xffff & ~C1));
  const precision = b.shl(b.boolToInt(4, b.ne(inexact, b.int(8, 0))), b.int(4, 5));
  return b.or(b.or(kept, precision), b.shl(b.trunc(4, roundedUp), b.int(4, 9)));
}

/** A status word with the exception flags that are among `flags`. */
export function withExceptions(b: Builder, status: Value, flags: Value): Value {
  return b.or(status, b.and(flags, b.int(4, EXCEPTIONS)));
}

/** A status word with condition codes: C1 = 0, the others as `codes` says if there are any. */
export function withCodes(b: Builder, status: Value, codes?: Value): Value {
  if (!codes) return b.and(status, b.int(4, 0xffff & ~C1));
  return b.or(b.and(status, b.int(4, 0xffff & ~0x4700)), codes);
}

export class StackInMemory implements RegisterStack {
  private readonly b: Builder;

  constructor(b: Builder) {
    this.b = b;
  }

  private physical(n: number | Operand): Value {
    const { b } = this;
    const top = b.getSystem('fpuTop');
    if (n === 0) return top;
    return b.and(b.add(top, typeof n === 'number' ? b.int(4, n) : b.stackIndex(n)), b.int(4, 7));
  }

  private register(n: number | Operand): Value {
    return typeof n === 'number' ? this.b.st(n) : this.b.read(n);
  }

  usual(): Value {
    return isUsualControl(this.b, this.b.getSystem('fpuControl'));
  }

  inUse(n: number | Operand): Value {
    const { b } = this;
    return b.bit(b.shr(b.getSystem('fpuTags'), this.physical(n)), 0);
  }

  isEmpty(n: number | Operand): Value {
    return this.b.negate(this.inUse(n));
  }

  isTop(): boolean {
    return false;
  }

  get(n: number | Operand): Extended {
    const { b } = this;
    const register = this.register(n);
    return { significand: b.significand(register), signExponent: b.zext(4, b.signExponent(register)) };
  }

  set(n: number | Operand, v: Extended): void {
    this.b.setF80(this.register(n), v.significand, v.signExponent);
    if (n !== 0) this.setTag(n, true);
  }

  exchange(n: Operand): void {
    const { b } = this;
    const first = this.get(0);
    const second = this.get(n);
    const register = this.register(n);
    b.setF80(b.st(0), second.significand, second.signExponent);
    b.setF80(register, first.significand, first.signExponent);
  }

  private setTag(n: number | Operand, used: boolean): void {
    const { b } = this;
    const mask = b.shl(b.int(4, 1), this.physical(n));
    const tags = b.getSystem('fpuTags');
    b.setSystem('fpuTags', used ? b.or(tags, mask) : b.and(tags, b.not(mask)));
  }

  private move(delta: number): void {
    const { b } = this;
    b.setSystem('fpuTop', b.and(b.add(b.getSystem('fpuTop'), b.int(4, delta & 7)), b.int(4, 7)));
  }

  push(v: Extended): void {
    this.move(-1);
    this.b.setF80(this.b.st(0), v.significand, v.signExponent);
    this.setTag(0, true);
  }

  pop(): void {
    this.setTag(0, false);
    this.move(1);
  }

  rounded(inexact: Value, roundedUp: Value): void {
    const { b } = this;
    b.setSystem('fpuStatus', withRounding(b, b.getSystem('fpuStatus'), inexact, roundedUp));
  }

  raise(flags: Value): void {
    const { b } = this;
    b.setSystem('fpuStatus', withExceptions(b, b.getSystem('fpuStatus'), flags));
  }

  setCodes(codes?: Value): void {
    const { b } = this;
    b.setSystem('fpuStatus', withCodes(b, b.getSystem('fpuStatus'), codes));
  }

  notePointer(): void {
    this.b.setSystem('fpuIp', this.b.currentIp());
  }

  statusWord(): Value {
    const { b } = this;
    return b.or(b.getSystem('fpuStatus'), b.shl(b.getSystem('fpuTop'), b.int(4, 11)));
  }
}
