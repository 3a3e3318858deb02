/** Single bits and bit counts (SDM vol. 2: BT, BTC, BTR, BTS, BSF, BSR, POPCNT, BSWAP), random numbers. */
import type { Builder, Instruction, Operand, Semantics, Value } from './builder.ts';
import { bits, eflags, operand } from './common.ts';
import type { Row, RowOptions } from './row.ts';
import { row } from './row.ts';

/**
 * The operand that holds the bit and the bit's number in it. A bit offset in a register reaches beyond the memory
 * operand, in both directions; an immediate one does not.
 */
function addressed(b: Builder, i: Instruction): { base: Operand; n: Value } {
  const base = operand(i, 0);
  const index = operand(i, 1);
  const offset = b.read(index);
  const n = b.and(b.zext(4, b.trunc(1, offset)), b.int(4, bits(i.size) - 1));
  if (base.kind !== 'memory' || index.kind === 'immediate') return { base, n };
  const words = b.sar(offset, b.int(4, 3 + Math.log2(i.size)));
  return { base: b.displaced(base, b.shl(words, b.int(4, Math.log2(i.size))), i.size), n };
}

function selected(b: Builder, x: Value, n: Value): Value {
  return b.bit(b.shr(x, n), 0);
}

const BT: Semantics = (b, i) => {
  const { base, n } = addressed(b, i);
  b.setFlag('cf', selected(b, b.read(base), n));
};

function changeBit(change: (b: Builder, x: Value, mask: Value) => Value): Semantics {
  return (b, i) => {
    const { base, n } = addressed(b, i);
    b.update(
      base,
      (x) => change(b, x, b.shl(b.int(i.size, 1), n)),
      (x) => b.setFlag('cf', selected(b, x, n)),
    );
  };
}
const BTS = changeBit((b, x, mask) => b.or(x, mask));
const BTR = changeBit((b, x, mask) => b.and(x, b.not(mask)));
const BTC = changeBit((b, x, mask) => b.xor(x, mask));

/** A source of 0 leaves the destination alone (AMD's definition, and what Intel's processors do). */
function scan(find: (b: Builder, x: Value, size: 4 | 8) => Value): Semantics {
  return (b, i) => {
    const x = b.read(operand(i, 1));
    const size = i.size === 8 ? 8 : 4;
    b.if(b.negate(b.isZero(x)), () => {
      const position = find(b, b.zext(size, x), size);
      b.write(operand(i, 0), i.size === 2 ? b.trunc(2, position) : position);
    });
    b.setFlags('logic', x, x, x);
  };
}
const BSF = scan((b, x) => b.ctz(x));
const BSR = scan((b, x, size) => b.sub(b.int(size, bits(size) - 1), b.clz(x)));

const POPCNT: Semantics = (b, i) => {
  const x = b.read(operand(i, 1));
  const count = b.popcnt(b.zext(i.size === 8 ? 8 : 4, x));
  b.write(operand(i, 0), i.size === 2 ? b.trunc(2, count) : count);
  b.loadArithmeticFlags(b.shl(b.boolToInt(4, b.isZero(x)), b.int(4, 6)));
};

/** Of a 2-byte register the result is undefined: 0, as processors give. */
const BSWAP: Semantics = (b, i) => {
  const o = operand(i, 0);
  if (i.size === 2) {
    b.write(o, b.int(2, 0));
    return;
  }
  const x = b.read(o);
  /** Neighbouring groups of `distance` bits change places. */
  const swap = (v: Value, distance: number, mask: bigint): Value => {
    const m = b.int(i.size, BigInt.asUintN(bits(i.size), mask));
    const d = b.int(4, distance);
    return b.or(b.and(b.shr(v, d), m), b.shl(b.and(v, m), d));
  };
  const bytes = swap(x, 8, 0x00ff00ff00ff00ffn);
  const words = i.size === 8 ? swap(bytes, 16, 0x0000ffff0000ffffn) : bytes;
  b.write(o, b.rotl(words, b.int(4, bits(i.size) / 2)));
};

/** RDRAND, RDSEED: CF = 1, there always is a number; the other flags are cleared. */
const RDRAND: Semantics = (b, i) => {
  const n = b.helper('random');
  b.write(operand(i, 0), i.size === 8 ? n : b.trunc(i.size, n));
  b.loadArithmeticFlags(b.int(4, eflags.cf));
};

const afterBit = eflags.pf | eflags.af | eflags.sf | eflags.of;
const bt: RowOptions = { undefinedFlags: afterBit };
const btHot: RowOptions = { ...bt, hot: true };
const change: RowOptions = { ...bt, lock: true };
const changeHot: RowOptions = { ...change, hot: true };
const scanOptions: RowOptions = { undefinedFlags: afterBit | eflags.cf, hot: true };

export const bitRows: readonly Row[] = [
  row('0F A3 /r', 'BT', 'Ev,Gv', BT, btHot),
  row('0F AB /r', 'BTS', 'Ev,Gv', BTS, change),
  row('0F B3 /r', 'BTR', 'Ev,Gv', BTR, change),
  row('0F BB /r', 'BTC', 'Ev,Gv', BTC, change),
  row('0F BA /4', 'BT', 'Ev,Ib', BT, btHot),
  row('0F BA /5', 'BTS', 'Ev,Ib', BTS, changeHot),
  row('0F BA /6', 'BTR', 'Ev,Ib', BTR, changeHot),
  row('0F BA /7', 'BTC', 'Ev,Ib', BTC, change),
  row('0F BC /r', 'BSF', 'Gv,Ev', BSF, scanOptions),
  row('0F BD /r', 'BSR', 'Gv,Ev', BSR, scanOptions),
  row('F3 0F B8 /r', 'POPCNT', 'Gv,Ev', POPCNT, { feature: 'popcnt' }),
  row('0F C8 +r', 'BSWAP', 'Zv', BSWAP),
  row('0F C7 /6 reg', 'RDRAND', 'Rv', RDRAND, { feature: 'rdrand' }),
  row('0F C7 /7 reg', 'RDSEED', 'Rv', RDRAND, { feature: 'rdseed' }),
];
