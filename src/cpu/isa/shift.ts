/**
 * Shifts and rotates (SDM vol. 2: SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD).
 *
 * The count is taken modulo 32 (64 for 8-byte operands); flags stay as they are when that is 0. OF is defined for
 * counts of 1 only; beyond, it is computed as if the last step had been a shift by 1, which is what processors do.
 */
import type { Builder, Instruction, Semantics, Value } from './builder.ts';
import { bits, eflags, operand } from './common.ts';
import type { Row, RowOptions } from './row.ts';
import { row } from './row.ts';

/** The masked count as a 4-byte integer; the constant 1 for the D0 and D1 groups. */
function maskedCount(b: Builder, i: Instruction, n: number): Value {
  const count = operand(i, n);
  const mask = i.size === 8 ? 63 : 31;
  return b.and(b.zext(4, b.read(count)), b.int(4, mask));
}

/** `then` where the count is not 0. */
function unlessZero(b: Builder, count: Value, then: () => void): void {
  b.if(b.ne(count, b.int(4, 0)), then);
}

/** Operands of 1 and 2 bytes are shifted as 4 bytes, because their counts go up to 31. */
function wide(b: Builder, i: Instruction, x: Value, signed = false): Value {
  if (i.size >= 4) return x;
  return signed ? b.sext(4, x) : b.zext(4, x);
}
function narrow(b: Builder, i: Instruction, x: Value): Value {
  return i.size >= 4 ? x : b.trunc(i.size, x);
}

const SHL: Semantics = (b, i) => {
  const count = maskedCount(b, i, 1);
  b.update(
    operand(i, 0),
    (x) => narrow(b, i, b.shl(wide(b, i, x), count)),
    (x, r) =>
      unlessZero(b, count, () => {
        const before = narrow(b, i, b.shl(wide(b, i, x), b.sub(count, b.int(4, 1))));
        b.setFlagsFrom(r, b.sign(before), b.xor(before, r));
      }),
  );
};

const SHR: Semantics = (b, i) => {
  const count = maskedCount(b, i, 1);
  b.update(
    operand(i, 0),
    (x) => narrow(b, i, b.shr(wide(b, i, x), count)),
    (x, r) =>
      unlessZero(b, count, () => {
        const before = narrow(b, i, b.shr(wide(b, i, x), b.sub(count, b.int(4, 1))));
        b.setFlagsFrom(r, b.bit(before, 0), before);
      }),
  );
};

const SAR: Semantics = (b, i) => {
  const count = maskedCount(b, i, 1);
  b.update(
    operand(i, 0),
    (x) => narrow(b, i, b.sar(wide(b, i, x, true), count)),
    (x, r) =>
      unlessZero(b, count, () => {
        const before = b.sar(wide(b, i, x, true), b.sub(count, b.int(4, 1)));
        b.setFlagsFrom(r, b.bit(before, 0), b.int(i.size, 0));
      }),
  );
};

/** Rotates without carry: the count modulo the operand's width. */
function rotateCount(b: Builder, i: Instruction, count: Value): Value {
  return i.size >= 4 ? count : b.and(count, b.int(4, bits(i.size) - 1));
}

const ROL: Semantics = (b, i) => {
  const count = maskedCount(b, i, 1);
  b.update(
    operand(i, 0),
    (x) => b.rotl(x, rotateCount(b, i, count)),
    (_, r) =>
      unlessZero(b, count, () => {
        b.setFlag('cf', b.bit(r, 0));
        b.setFlag('of', b.differ(b.sign(r), b.bit(r, 0)));
      }),
  );
};

const ROR: Semantics = (b, i) => {
  const count = maskedCount(b, i, 1);
  b.update(
    operand(i, 0),
    (x) => b.rotr(x, rotateCount(b, i, count)),
    (_, r) =>
      unlessZero(b, count, () => {
        b.setFlag('cf', b.sign(r));
        b.setFlag('of', b.differ(b.sign(r), b.bit(r, bits(i.size) - 2)));
      }),
  );
};

/** What a rotation through carry yields: the operand and the carry after it. */
interface ThroughCarry {
  readonly result: Value;
  readonly carry: Value;
}

/** Up to 4 bytes: operand and carry are one number of width + 1 bits in an i64. `left` by 0 … width. */
function throughCarryNarrow(b: Builder, i: Instruction, x: Value, left: Value): ThroughCarry {
  const width = bits(i.size);
  const both = b.or(b.zext(8, x), b.shl(b.boolToInt(8, b.flag('cf')), b.int(4, width)));
  const rotated = b.or(b.shl(both, left), b.shr(both, b.sub(b.int(4, width + 1), left)));
  return { result: b.trunc(i.size, rotated), carry: b.bit(rotated, width) };
}

/** 8 bytes, `left` 0 … 64: the 65th bit travels apart. Counts of 64 are split in two, since a shift takes 63 at most. */
function throughCarryWide(b: Builder, x: Value, left: Value): ThroughCarry {
  const carryIn = b.flag('cf');
  const none = b.eq(left, b.int(4, 0));
  const step = b.select(none, b.int(4, 0), b.sub(left, b.int(4, 1)));
  const one = b.int(4, 1);
  const shifted = b.shl(b.shl(x, step), one);
  const injected = b.shl(b.boolToInt(8, carryIn), step);
  const back = b.shr(b.shr(x, one), b.sub(b.int(4, 63), step));
  return {
    result: b.select(none, x, b.or(b.or(shifted, injected), back)),
    carry: b.either(b.both(none, carryIn), b.both(b.negate(none), b.sign(b.shl(x, step)))),
  };
}

function rotateThroughCarry(left: boolean): Semantics {
  return (b, i) => {
    const width = bits(i.size);
    const masked = maskedCount(b, i, 1);
    // Counts above width + 1 exist for 1- and 2-byte operands only.
    const count = i.size >= 4 ? masked : b.remU(masked, b.int(4, width + 1));
    const nothing = b.eq(count, b.int(4, 0));
    // To the right by n is to the left by width + 1 − n.
    const leftCount = left ? count : b.select(nothing, count, b.sub(b.int(4, width + 1), count));
    let done: ThroughCarry | undefined;
    b.update(
      operand(i, 0),
      (x) => {
        done = i.size === 8 ? throughCarryWide(b, x, leftCount) : throughCarryNarrow(b, i, x, leftCount);
        return done.result;
      },
      (_, r) => {
        const carry = done?.carry ?? b.bool(false);
        unlessZero(b, masked, () => {
          b.setFlag('cf', carry);
          b.setFlag('of', b.differ(b.sign(r), left ? carry : b.bit(r, width - 2)));
        });
      },
    );
  };
}
const RCL = rotateThroughCarry(true);
const RCR = rotateThroughCarry(false);

/**
 * Double shifts. Counts above 16 of 2-byte operands are undefined; here as on the P6 family, where the destination
 * follows the source: 48 bits x:y:x move. `x` is the destination.
 */
function doubleShift(left: boolean): Semantics {
  return (b, i) => {
    const width = bits(i.size);
    const count = maskedCount(b, i, 2);
    const y = b.read(operand(i, 1));
    const one = b.int(4, 1);
    // Counts that stay in range also when the count is 0; the value is not used then.
    const before = b.and(b.sub(count, one), b.int(4, 63));
    /** The destination moved by `n` = 0 … width − 1 (31 for 2 bytes). */
    const shifted = (x: Value, n: Value): Value => {
      if (i.size === 2) {
        const part = (v: Value, at: number): Value => b.shl(b.zext(8, v), b.int(4, at));
        const all = b.or(b.or(part(x, 32), part(y, 16)), part(x, 0));
        return b.trunc(2, left ? b.shr(b.shl(all, n), b.int(4, 32)) : b.shr(all, n));
      }
      const opposite = b.sub(b.int(4, width - 1), n);
      return left
        ? b.or(b.shl(x, n), b.shr(b.shr(y, one), opposite))
        : b.or(b.shr(x, n), b.shl(b.shl(y, one), opposite));
    };
    b.update(
      operand(i, 0),
      (x) => b.select(b.isZero(count), x, shifted(x, count)),
      (x, r) =>
        unlessZero(b, count, () => {
          const last = shifted(x, before);
          b.setFlagsFrom(r, left ? b.sign(last) : b.bit(last, 0), b.xor(last, r));
        }),
    );
  };
}
const SHLD = doubleShift(true);
const SHRD = doubleShift(false);

/** The operations of group 2 by ModRM.reg; /6 is an alias of /4. */
const group: readonly { mnemonic: string; semantics: Semantics; rotate: boolean; hot: boolean }[] = [
  { mnemonic: 'ROL', semantics: ROL, rotate: true, hot: true },
  { mnemonic: 'ROR', semantics: ROR, rotate: true, hot: true },
  { mnemonic: 'RCL', semantics: RCL, rotate: true, hot: false },
  { mnemonic: 'RCR', semantics: RCR, rotate: true, hot: false },
  { mnemonic: 'SHL', semantics: SHL, rotate: false, hot: true },
  { mnemonic: 'SHR', semantics: SHR, rotate: false, hot: true },
  { mnemonic: 'SHL', semantics: SHL, rotate: false, hot: false },
  { mnemonic: 'SAR', semantics: SAR, rotate: false, hot: true },
];

function groupRows(): Row[] {
  return group.flatMap(({ mnemonic, semantics, rotate, hot }, n) => {
    const aux = rotate ? 0 : eflags.af;
    const once: RowOptions = { ...(aux === 0 ? {} : { undefinedFlags: aux }), hot };
    const counted: RowOptions = { undefinedFlags: aux | eflags.of, hot };
    return [
      row(`C0 /${n}`, mnemonic, 'Eb,Ib', semantics, counted),
      row(`C1 /${n}`, mnemonic, 'Ev,Ib', semantics, counted),
      row(`D0 /${n}`, mnemonic, 'Eb,1', semantics, once),
      row(`D1 /${n}`, mnemonic, 'Ev,1', semantics, once),
      row(`D2 /${n}`, mnemonic, 'Eb,CL', semantics, counted),
      row(`D3 /${n}`, mnemonic, 'Ev,CL', semantics, counted),
    ];
  });
}

const double: RowOptions = { undefinedFlags: eflags.af | eflags.of };

export const shiftRows: readonly Row[] = [
  ...groupRows(),
  row('0F A4 /r', 'SHLD', 'Ev,Gv,Ib', SHLD, double),
  row('0F A5 /r', 'SHLD', 'Ev,Gv,CL', SHLD, double),
  row('0F AC /r', 'SHRD', 'Ev,Gv,Ib', SHRD, double),
  row('0F AD /r', 'SHRD', 'Ev,Gv,CL', SHRD, double),
];
