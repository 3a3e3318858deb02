/** Multiplication and division (SDM vol. 2: MUL, IMUL, DIV, IDIV). */
import type { Builder, Instruction, Semantics, Size, Value } from './builder.ts';
import { bits, eflags, gpr, operand, vector } from './common.ts';
import type { Row, RowOptions } from './row.ts';
import { row } from './row.ts';

/** Double-width product in halves. */
function product(b: Builder, size: Size, x: Value, y: Value, signed: boolean): { low: Value; high: Value } {
  if (size === 8) return { low: b.mul(x, y), high: signed ? b.mulHighS(x, y) : b.mulHighU(x, y) };
  const wideSize = size === 4 ? 8 : 4;
  const extend = (v: Value): Value => (signed ? b.sext(wideSize, v) : b.zext(wideSize, v));
  const p = b.mul(extend(x), extend(y));
  return { low: b.trunc(size, p), high: b.trunc(size, b.shr(p, b.int(4, bits(size)))) };
}

/** CF = OF = the upper half says more than the lower; the other flags are undefined and follow the lower half. */
function productFlags(b: Builder, size: Size, low: Value, high: Value, signed: boolean): void {
  const trivial = signed ? b.sar(low, b.int(4, bits(size) - 1)) : b.int(size, 0);
  const more = b.ne(high, trivial);
  b.setFlagsFrom(low, more, b.neg(b.boolToInt(size, more)));
}

/** rDX:rAX, or AX for bytes. */
function writePair(b: Builder, size: Size, low: Value, high: Value): void {
  if (size === 1) {
    b.write(b.register(gpr.ax, 2), b.or(b.zext(2, low), b.shl(b.zext(2, high), b.int(4, 8))));
    return;
  }
  b.write(b.register(gpr.ax, size), low);
  b.write(b.register(gpr.dx, size), high);
}

function multiply(signed: boolean): Semantics {
  return (b, i) => {
    const x = b.read(b.register(gpr.ax, i.size));
    const y = b.read(operand(i, 0));
    const { low, high } = product(b, i.size, x, y, signed);
    writePair(b, i.size, low, high);
    productFlags(b, i.size, low, high, signed);
  };
}
const MUL = multiply(false);
const IMUL = multiply(true);

/** Two and three operands: the lower half goes to the register. */
function multiplyTo(b: Builder, i: Instruction, x: Value, y: Value): void {
  const { low, high } = product(b, i.size, x, y, true);
  b.write(operand(i, 0), low);
  productFlags(b, i.size, low, high, true);
}
const IMUL2: Semantics = (b, i) => multiplyTo(b, i, b.read(operand(i, 0)), b.read(operand(i, 1)));
const IMUL3: Semantics = (b, i) => multiplyTo(b, i, b.read(operand(i, 1)), b.read(operand(i, 2)));

const minimum64 = 1n << 63n;

/** Quotient and remainder, #DE where the divisor is 0 or the quotient does not fit. Up to 4 bytes. */
function divideNarrow(b: Builder, size: 1 | 2 | 4, divisor: Value, signed: boolean): { q: Value; r: Value } {
  const wideSize = size === 4 ? 8 : 4;
  const shift = b.int(4, bits(size));
  const dividend =
    size === 1
      ? signed
        ? b.sext(4, b.read(b.register(gpr.ax, 2)))
        : b.zext(4, b.read(b.register(gpr.ax, 2)))
      : b.or(
          b.shl(b.zext(wideSize, b.read(b.register(gpr.dx, size))), shift),
          b.zext(wideSize, b.read(b.register(gpr.ax, size))),
        );
  b.raiseIf(b.isZero(divisor), vector.divideError);
  if (!signed) {
    const d = b.zext(wideSize, divisor);
    const q = b.divU(dividend, d);
    b.raiseIf(b.ne(b.shr(q, shift), b.int(wideSize, 0)), vector.divideError);
    return { q: b.trunc(size, q), r: b.trunc(size, b.remU(dividend, d)) };
  }
  const d = b.sext(wideSize, divisor);
  if (size !== 1) {
    // The one quotient that does not fit the wide integer either.
    const least = b.int(wideSize, wideSize === 8 ? minimum64 : 0x80000000);
    b.raiseIf(b.both(b.eq(dividend, least), b.eq(divisor, b.int(size, -1))), vector.divideError);
  }
  const q = b.divS(dividend, d);
  b.raiseIf(b.ne(b.sext(wideSize, b.trunc(size, q)), q), vector.divideError);
  return { q: b.trunc(size, q), r: b.trunc(size, b.remS(dividend, d)) };
}

/** 128 by 64 bits: most dividends are just extended, and divide as 64 bits. */
function divideWide(b: Builder, d: Value, signed: boolean): { q: Value; r: Value } {
  const low = b.read(b.register(gpr.ax, 8));
  const high = b.read(b.register(gpr.dx, 8));
  const q = b.variable(low);
  if (signed) {
    const minusOne = b.eq(d, b.int(8, -1));
    const least = b.eq(low, b.int(8, minimum64));
    b.raiseIf(b.isZero(d), vector.divideError);
    b.if(
      b.both(b.eq(high, b.sar(low, b.int(4, 63))), b.negate(b.both(minusOne, least))),
      () => b.set(q, b.divS(low, d)),
      () => {
        b.raiseIf(b.ne(b.helper('div128Overflow', b.int(4, 1), high, low, d), b.int(4, 0)), vector.divideError);
        b.set(q, b.helper('div128QuotientS', high, low, d));
      },
    );
  } else {
    // Also true for a divisor of 0.
    b.raiseIf(b.leU(d, high), vector.divideError);
    b.if(
      b.isZero(high),
      () => b.set(q, b.divU(low, d)),
      () => b.set(q, b.helper('div128QuotientU', high, low, d)),
    );
  }
  const quotient = b.get(q);
  return { q: quotient, r: b.sub(low, b.mul(quotient, d)) };
}

function divide(signed: boolean): Semantics {
  return (b, i) => {
    const divisor = b.read(operand(i, 0));
    const { q, r } = i.size === 8 ? divideWide(b, divisor, signed) : divideNarrow(b, i.size, divisor, signed);
    writePair(b, i.size, q, r);
  };
}
const DIV = divide(false);
const IDIV = divide(true);

const afterMultiply = eflags.sf | eflags.zf | eflags.af | eflags.pf;
const afterDivide = afterMultiply | eflags.cf | eflags.of;
const mul: RowOptions = { undefinedFlags: afterMultiply, hot: true };
const div: RowOptions = { undefinedFlags: afterDivide, hot: true };

export const mulDivRows: readonly Row[] = [
  row('F6 /4', 'MUL', 'Eb', MUL, mul),
  row('F7 /4', 'MUL', 'Ev', MUL, mul),
  row('F6 /5', 'IMUL', 'Eb', IMUL, mul),
  row('F7 /5', 'IMUL', 'Ev', IMUL, mul),
  row('0F AF /r', 'IMUL', 'Gv,Ev', IMUL2, mul),
  row('69 /r', 'IMUL', 'Gv,Ev,Iz', IMUL3, mul),
  row('6B /r', 'IMUL', 'Gv,Ev,Isb', IMUL3, mul),
  row('F6 /6', 'DIV', 'Eb', DIV, div),
  row('F7 /6', 'DIV', 'Ev', DIV, div),
  row('F6 /7', 'IDIV', 'Eb', IDIV, div),
  row('F7 /7', 'IDIV', 'Ev', IDIV, div),
];
