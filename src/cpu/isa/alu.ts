/** Addition, subtraction, logic and comparison (SDM vol. 2: ADD … XOR, INC, DEC, NEG, NOT, XADD, CMPXCHG). */
import type { Builder, Semantics, Value } from './builder.ts';
import { eflags, gpr, integerSize, operand } from './common.ts';
import type { Row, RowOptions } from './row.ts';
import { row } from './row.ts';

const ADD: Semantics = (b, i) => {
  const y = b.read(operand(i, 1));
  b.update(
    operand(i, 0),
    (x) => b.add(x, y),
    (x, r) => b.setFlags('add', x, y, r),
  );
};

const SUB: Semantics = (b, i) => {
  const y = b.read(operand(i, 1));
  b.update(
    operand(i, 0),
    (x) => b.sub(x, y),
    (x, r) => b.setFlags('sub', x, y, r),
  );
};

const ADC: Semantics = (b, i) => {
  const y = b.read(operand(i, 1));
  const carry = b.flag('cf');
  b.update(
    operand(i, 0),
    (x) => b.add(b.add(x, y), b.boolToInt(i.size, carry)),
    (x, r) => b.setFlags('add', x, y, r, carry),
  );
};

const SBB: Semantics = (b, i) => {
  const y = b.read(operand(i, 1));
  const carry = b.flag('cf');
  b.update(
    operand(i, 0),
    (x) => b.sub(b.sub(x, y), b.boolToInt(i.size, carry)),
    (x, r) => b.setFlags('sub', x, y, r, carry),
  );
};

const CMP: Semantics = (b, i) => {
  const x = b.read(operand(i, 0));
  const y = b.read(operand(i, 1));
  b.setFlags('sub', x, y, b.sub(x, y));
};

function logic(compute: (b: Builder, x: Value, y: Value) => Value): Semantics {
  return (b, i) => {
    const y = b.read(operand(i, 1));
    b.update(
      operand(i, 0),
      (x) => compute(b, x, y),
      (x, r) => b.setFlags('logic', x, y, r),
    );
  };
}
const AND = logic((b, x, y) => b.and(x, y));
const OR = logic((b, x, y) => b.or(x, y));
const XOR = logic((b, x, y) => b.xor(x, y));

const TEST: Semantics = (b, i) => {
  const x = b.read(operand(i, 0));
  const y = b.read(operand(i, 1));
  b.setFlags('logic', x, y, b.and(x, y));
};

const INC: Semantics = (b, i) => {
  const one = b.int(i.size, 1);
  b.update(
    operand(i, 0),
    (x) => b.add(x, one),
    (x, r) => b.setFlags('inc', x, one, r),
  );
};

const DEC: Semantics = (b, i) => {
  const one = b.int(i.size, 1);
  b.update(
    operand(i, 0),
    (x) => b.sub(x, one),
    (x, r) => b.setFlags('dec', x, one, r),
  );
};

const NEG: Semantics = (b, i) =>
  b.update(
    operand(i, 0),
    (x) => b.neg(x),
    (x, r) => b.setFlags('sub', b.int(i.size, 0), x, r),
  );

const NOT: Semantics = (b, i) => b.update(operand(i, 0), (x) => b.not(x));

/** Register form: the source is written first, so that XADD of a register with itself leaves the sum. */
const XADD: Semantics = (b, i) => {
  const destination = operand(i, 0);
  const source = operand(i, 1);
  const y = b.read(source);
  if (destination.kind === 'register') {
    const x = b.read(destination);
    const r = b.add(x, y);
    b.write(source, x);
    b.write(destination, r);
    b.setFlags('add', x, y, r);
    return;
  }
  b.update(
    destination,
    (x) => b.add(x, y),
    (x, r) => {
      b.write(source, x);
      b.setFlags('add', x, y, r);
    },
  );
};

/**
 * A memory destination is written in either case (SDM: "the processor never produces a locked read without also
 * producing a locked write"); a register is left alone where the comparison fails, its upper half too.
 */
const CMPXCHG: Semantics = (b, i) => {
  const destination = operand(i, 0);
  const source = b.read(operand(i, 1));
  const accumulator = b.register(gpr.ax, integerSize(destination));
  const expected = b.read(accumulator);
  if (destination.kind === 'register') {
    const old = b.read(destination);
    b.setFlags('sub', expected, old, b.sub(expected, old));
    b.if(
      b.eq(expected, old),
      () => b.write(destination, source),
      () => b.write(accumulator, old),
    );
    return;
  }
  b.update(
    destination,
    (old) => b.select(b.eq(expected, old), source, old),
    (old) => {
      b.setFlags('sub', expected, old, b.sub(expected, old));
      b.if(b.ne(expected, old), () => b.write(accumulator, old));
    },
  );
};

/** 8 bytes: EDX:EAX against the operand; 16: RDX:RAX, and the operand must be aligned. Only ZF changes. */
const CMPXCHG8B: Semantics = (b, i) => {
  const half = (n: number): Value => b.zext(8, b.read(b.register(n, 4)));
  const pair = (high: number, low: number): Value => b.or(b.shl(half(high), b.int(4, 32)), half(low));
  const expected = pair(gpr.dx, gpr.ax);
  const replacement = pair(gpr.cx, gpr.bx);
  b.update(
    operand(i, 0),
    (old) => b.select(b.eq(expected, old), replacement, old),
    (old) => {
      b.setFlag('zf', b.eq(expected, old));
      b.if(b.ne(expected, old), () => {
        b.write(b.register(gpr.ax, 4), b.trunc(4, old));
        b.write(b.register(gpr.dx, 4), b.trunc(4, b.shr(old, b.int(4, 32))));
      });
    },
  );
};

const CMPXCHG16B: Semantics = (b, i) => {
  const memory = operand(i, 0);
  b.probe(memory);
  const low = b.displaced(memory, b.int(4, 0), 8);
  const high = b.displaced(memory, b.int(4, 8), 8);
  const oldLow = b.read(low);
  const oldHigh = b.read(high);
  const equal = b.both(b.eq(oldLow, b.read(b.register(gpr.ax, 8))), b.eq(oldHigh, b.read(b.register(gpr.dx, 8))));
  b.write(low, b.select(equal, b.read(b.register(gpr.bx, 8)), oldLow));
  b.write(high, b.select(equal, b.read(b.register(gpr.cx, 8)), oldHigh));
  b.setFlag('zf', equal);
  b.if(b.negate(equal), () => {
    b.write(b.register(gpr.ax, 8), oldLow);
    b.write(b.register(gpr.dx, 8), oldHigh);
  });
};

const noAf: RowOptions = { undefinedFlags: eflags.af };

/** The eight operations of the 00–3F and 80–83 groups, by their number there. */
const binary: readonly { mnemonic: string; semantics: Semantics; options: RowOptions }[] = [
  { mnemonic: 'ADD', semantics: ADD, options: { lock: true } },
  { mnemonic: 'OR', semantics: OR, options: { lock: true, ...noAf } },
  { mnemonic: 'ADC', semantics: ADC, options: { lock: true } },
  { mnemonic: 'SBB', semantics: SBB, options: { lock: true } },
  { mnemonic: 'AND', semantics: AND, options: { lock: true, ...noAf } },
  { mnemonic: 'SUB', semantics: SUB, options: { lock: true } },
  { mnemonic: 'XOR', semantics: XOR, options: { lock: true, ...noAf } },
  { mnemonic: 'CMP', semantics: CMP, options: {} },
];

function hex(n: number): string {
  return n.toString(16).toUpperCase().padStart(2, '0');
}

function binaryRows(): Row[] {
  return binary.flatMap(({ mnemonic, semantics, options }, n) => {
    const hot = { ...options, hot: true };
    // LOCK needs a memory destination: forms that have none are rows without it.
    const { lock: _, ...registerOnly } = hot;
    return [
      row(`${hex(n * 8)} /r`, mnemonic, 'Eb,Gb', semantics, hot),
      row(`${hex(n * 8 + 1)} /r`, mnemonic, 'Ev,Gv', semantics, hot),
      row(`${hex(n * 8 + 2)} /r`, mnemonic, 'Gb,Eb', semantics, registerOnly),
      row(`${hex(n * 8 + 3)} /r`, mnemonic, 'Gv,Ev', semantics, registerOnly),
      row(hex(n * 8 + 4), mnemonic, 'AL,Ib', semantics, registerOnly),
      row(hex(n * 8 + 5), mnemonic, 'rAX,Iz', semantics, registerOnly),
      row(`80 /${n}`, mnemonic, 'Eb,Ib', semantics, hot),
      row(`81 /${n}`, mnemonic, 'Ev,Iz', semantics, hot),
      row(`82 /${n}`, mnemonic, 'Eb,Ib', semantics, { ...options, modes: 'legacy' }),
      row(`83 /${n}`, mnemonic, 'Ev,Isb', semantics, hot),
    ];
  });
}

const lockHot: RowOptions = { lock: true, hot: true };
const testOptions: RowOptions = { hot: true, ...noAf };

export const aluRows: readonly Row[] = [
  ...binaryRows(),
  row('40 +r', 'INC', 'Zv', INC, { modes: 'legacy', hot: true }),
  row('48 +r', 'DEC', 'Zv', DEC, { modes: 'legacy', hot: true }),
  row('FE /0', 'INC', 'Eb', INC, lockHot),
  row('FE /1', 'DEC', 'Eb', DEC, lockHot),
  row('FF /0', 'INC', 'Ev', INC, lockHot),
  row('FF /1', 'DEC', 'Ev', DEC, lockHot),
  row('84 /r', 'TEST', 'Eb,Gb', TEST, testOptions),
  row('85 /r', 'TEST', 'Ev,Gv', TEST, testOptions),
  row('A8', 'TEST', 'AL,Ib', TEST, testOptions),
  row('A9', 'TEST', 'rAX,Iz', TEST, testOptions),
  row('F6 /0', 'TEST', 'Eb,Ib', TEST, testOptions),
  row('F6 /1', 'TEST', 'Eb,Ib', TEST, noAf),
  row('F7 /0', 'TEST', 'Ev,Iz', TEST, testOptions),
  row('F7 /1', 'TEST', 'Ev,Iz', TEST, noAf),
  row('F6 /2', 'NOT', 'Eb', NOT, lockHot),
  row('F7 /2', 'NOT', 'Ev', NOT, lockHot),
  row('F6 /3', 'NEG', 'Eb', NEG, lockHot),
  row('F7 /3', 'NEG', 'Ev', NEG, lockHot),
  row('0F C0 /r', 'XADD', 'Eb,Gb', XADD, { lock: true }),
  row('0F C1 /r', 'XADD', 'Ev,Gv', XADD, { lock: true }),
  row('0F B0 /r', 'CMPXCHG', 'Eb,Gb', CMPXCHG, { lock: true }),
  row('0F B1 /r', 'CMPXCHG', 'Ev,Gv', CMPXCHG, { lock: true }),
  row('0F C7 /1 mem', 'CMPXCHG8B', 'Mq', CMPXCHG8B, { lock: true, sizes: [2, 4] }),
  row('0F C7 /1 mem', 'CMPXCHG16B', 'Mo', CMPXCHG16B, { lock: true, aligned: true, sizes: [8] }),
];
