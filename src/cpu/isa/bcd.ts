/** Decimal arithmetic and SALC, outside of 64-bit code (SDM vol. 2: AAA, AAD, AAM, AAS, DAA, DAS). */
import type { Builder, Semantics, Value } from './builder.ts';
import { eflags, gpr, operand, vector } from './common.ts';
import type { Row } from './row.ts';
import { row } from './row.ts';

const al = (b: Builder): Value => b.read(b.register(gpr.ax, 1));
const writeAl = (b: Builder, v: Value): void => b.write(b.register(gpr.ax, 1), v);

/** The low digit is above 9, or AF says that it carried. */
function lowDigitOverflows(b: Builder, x: Value): Value {
  return b.either(b.ltU(b.int(1, 9), b.and(x, b.int(1, 0x0f))), b.flag('af'));
}

/** DAA adds what the digits lack to 16, DAS subtracts. The operation of SDM vol. 2, without its branches. */
function decimalAdjust(add: boolean): Semantics {
  return (b) => {
    const x = al(b);
    const low = lowDigitOverflows(b, x);
    const high = b.either(b.ltU(b.int(1, 0x99), x), b.flag('cf'));
    const correction = b.or(b.select(low, b.int(1, 0x06), b.int(1, 0)), b.select(high, b.int(1, 0x60), b.int(1, 0)));
    const r = add ? b.add(x, correction) : b.sub(x, correction);
    // DAS: a borrow out of the low digit's correction is a carry, too.
    const carry = add ? high : b.either(high, b.both(low, b.ltU(x, b.int(1, 6))));
    writeAl(b, r);
    b.setFlagsFrom(r, carry, b.int(1, 0), low);
  };
}

/** AX + 0x106 or − 0x106 where the low digit overflows (the 16-bit addition of the 80286 and later); AL keeps 4 bits. */
function asciiAdjust(add: boolean): Semantics {
  return (b) => {
    const ax = b.register(gpr.ax, 2);
    const x = b.read(ax);
    const adjust = lowDigitOverflows(b, b.trunc(1, x));
    const correction = b.select(adjust, b.int(2, 0x106), b.int(2, 0));
    const r = b.and(add ? b.add(x, correction) : b.sub(x, correction), b.int(2, 0xff0f));
    b.write(ax, r);
    b.setFlagsFrom(b.trunc(1, r), adjust, b.int(1, 0), adjust);
  };
}

const AAM: Semantics = (b, i) => {
  const base = b.read(operand(i, 0));
  b.raiseIf(b.isZero(base), vector.divideError);
  const x = al(b);
  const low = b.remU(x, base);
  b.write(b.register(gpr.ax, 2), b.or(b.zext(2, low), b.shl(b.zext(2, b.divU(x, base)), b.int(4, 8))));
  b.setFlags('logic', low, low, low);
};

const AAD: Semantics = (b, i) => {
  const base = b.read(operand(i, 0));
  const r = b.add(al(b), b.mul(b.read(b.register('ah', 1)), base));
  b.write(b.register(gpr.ax, 2), b.zext(2, r));
  b.setFlags('logic', r, r, r);
};

/** Undocumented: AL = CF ? FFh : 0. */
const SALC: Semantics = (b) => writeAl(b, b.neg(b.boolToInt(1, b.flag('cf'))));

const afterAscii = eflags.of | eflags.sf | eflags.zf | eflags.pf;
const afterAam = eflags.of | eflags.af | eflags.cf;

export const bcdRows: readonly Row[] = [
  row('27', 'DAA', '', decimalAdjust(true), { modes: 'legacy', undefinedFlags: eflags.of }),
  row('2F', 'DAS', '', decimalAdjust(false), { modes: 'legacy', undefinedFlags: eflags.of }),
  row('37', 'AAA', '', asciiAdjust(true), { modes: 'legacy', undefinedFlags: afterAscii }),
  row('3F', 'AAS', '', asciiAdjust(false), { modes: 'legacy', undefinedFlags: afterAscii }),
  row('D4', 'AAM', 'Ib', AAM, { modes: 'legacy', undefinedFlags: afterAam }),
  row('D5', 'AAD', 'Ib', AAD, { modes: 'legacy', undefinedFlags: afterAam }),
  row('D6', 'SALC', '', SALC, { modes: 'legacy' }),
];
