/** x87 arithmetic and comparison (SDM vol. 1 §8.3.3, §8.3.5, §8.3.6). */
import type { Builder, Operand, Semantics, Value } from './builder.ts';
import { operand } from './common.ts';
import type { Row } from './row.ts';
import {
  CONDITION_CODES,
  STACK_UNDERFLOW,
  conclude,
  finishStatus,
  guarded,
  inUse,
  occupy,
  pop,
  top,
  x87,
} from './x87-common.ts';
import {
  shortCompare,
  shortCompareToFlags,
  shortSign,
  shortSquareRoot,
  shortWithMemory,
  shortWithRegister,
} from './x87-short.ts';
import {
  arithmeticNumber,
  compute,
  unaryNumber,
  unpack,
  type Arithmetic,
  type Source,
  type Unpacked,
} from './x87-helpers.ts';
import type { Short } from './x87-short.ts';

/** ST(0) = ST(0) op memory. */
function withMemory(op: Arithmetic, source: Source): Semantics {
  return (b, i) => {
    const bits = b.read(operand(i, 0));
    const result = b.temporary();
    const filled = inUse(b, 0);
    const flags = guarded(b, filled, result, () => {
      const { value, flags: unpackFlags } = unpack(b, source, bits);
      return compute(b, op, result, b.st(0), value, unpackFlags);
    });
    conclude(b, flags, () => {
      b.setSt(0, result);
      b.if(b.negate(filled), () => occupy(b, 0));
    });
  };
}

function bothInUse(b: Builder, o: Operand): Value {
  return b.both(inUse(b, 0), inUse(b, o));
}

/** ST(0) = ST(0) op ST(i). */
function intoTop(op: Arithmetic): Semantics {
  return (b, i) => {
    const other = operand(i, 1);
    const result = b.temporary();
    const filled = bothInUse(b, other);
    const flags = guarded(b, filled, result, () => compute(b, op, result, b.st(0), b.read(other), b.int(4, 0)));
    conclude(b, flags, () => {
      b.setSt(0, result);
      b.if(b.negate(filled), () => occupy(b, 0));
    });
  };
}

/** ST(i) = ST(i) op ST(0), and perhaps a pop. */
function intoRegister(op: Arithmetic, pops: boolean): Semantics {
  return (b, i) => {
    const target = operand(i, 0);
    const result = b.temporary();
    const filled = bothInUse(b, target);
    const flags = guarded(b, filled, result, () => compute(b, op, result, b.read(target), b.st(0), b.int(4, 0)));
    conclude(b, flags, () => {
      b.write(target, result);
      b.if(b.negate(filled), () => occupy(b, target));
      if (pops) pop(b);
    });
  };
}

function short(way: Short): { readonly short: Short } {
  return { short: way };
}

function arithmeticRows(op: Arithmetic): readonly Row[] {
  const n = arithmeticNumber[op];
  // The DC and DE forms have the reversed operations at each other's places.
  const swapped = n < 4 ? n : n ^ 1;
  return [
    x87(`D8 /${n} mem`, op, 'Fd', withMemory(op, 'f32'), short(shortWithMemory(op, 'f32'))),
    x87(`DC /${n} mem`, op, 'Fq', withMemory(op, 'f64'), short(shortWithMemory(op, 'f64'))),
    x87(`D8 /${n} reg`, op, 'ST,T', intoTop(op), short(shortWithRegister(op, 'top'))),
    x87(`DC /${swapped} reg`, op, 'T,ST', intoRegister(op, false), short(shortWithRegister(op, 'register'))),
    x87(`DE /${swapped} reg`, `${op}P`, 'T,ST', intoRegister(op, true), short(shortWithRegister(op, 'register', true))),
    x87(`DA /${n} mem`, `FI${op.slice(1)}`, 'Fd', withMemory(op, 'i32'), short(shortWithMemory(op, 'i32'))),
    x87(`DE /${n} mem`, `FI${op.slice(1)}`, 'Fw', withMemory(op, 'i16'), short(shortWithMemory(op, 'i16'))),
  ];
}

// Comparisons. --------------------------------------------------------------------------------------------------------

const UNORDERED = 0x4500;

/** C3 C2 C0 and the flags of ST(0) compared with `y`. */
function relation(b: Builder, filled: Value, quiet: boolean, y: () => Unpacked): Value {
  const result = b.variable(b.int(4, STACK_UNDERFLOW | UNORDERED));
  b.if(filled, () => {
    const { value, flags } = y();
    // Bit 8 beside the flags of the operand: FUCOM.
    const options = quiet ? b.or(flags, b.int(4, 0x100)) : flags;
    b.set(result, b.helper('f80Compare', b.st(0), value, options));
  });
  return b.get(result);
}

/** Into the condition codes; they are set even when IE is unmasked, but nothing is popped then. */
function intoCodes(b: Builder, result: Value, pops: number): void {
  conclude(
    b,
    result,
    () => {
      for (let n = 0; n < pops; n++) pop(b);
    },
    { codes: CONDITION_CODES },
  );
}

function compareMemory(source: Source, pops: number): Semantics {
  return (b, i) => {
    const bits = b.read(operand(i, 0));
    intoCodes(
      b,
      relation(b, inUse(b, 0), false, () => unpack(b, source, bits)),
      pops,
    );
  };
}

function compareRegister(quiet: boolean, pops: number): Semantics {
  return (b, i) => {
    const other = operand(i, 0);
    const y = (): Unpacked => ({ value: b.read(other), flags: b.int(4, 0) });
    intoCodes(b, relation(b, bothInUse(b, other), quiet, y), pops);
  };
}

/** FCOMI and FUCOMI: into ZF PF CF, which processors set also with an unmasked exception; only the pop is omitted. */
function compareToFlags(quiet: boolean, pops: boolean): Semantics {
  return (b, i) => {
    const other = operand(i, 1);
    const y = (): Unpacked => ({ value: b.read(other), flags: b.int(4, 0) });
    const result = relation(b, bothInUse(b, other), quiet, y);
    const codes = b.and(b.shr(result, b.int(4, 8)), b.int(4, UNORDERED >> 8));
    // C0 C2 C3 lie above CF PF ZF by 8 bits.
    b.loadArithmeticFlags(codes);
    conclude(b, b.and(result, b.int(4, 0xff)), () => {
      if (pops) pop(b);
    });
  };
}

// One operand. --------------------------------------------------------------------------------------------------------

/** ST(0) = f(ST(0)). FSIN and FCOS leave ST(0) alone and set C2 when it is out of range. */
function unaryOp(op: keyof typeof unaryNumber, codes = 0x200): Semantics {
  return (b) => {
    const result = b.temporary();
    const flags = guarded(b, inUse(b, 0), result, () =>
      b.helper('f80Unary', b.int(4, unaryNumber[op]), result, b.st(0)),
    );
    conclude(
      b,
      flags,
      () => {
        b.setSt(0, result);
        occupy(b, 0);
      },
      { codes },
    );
  };
}

const FTST: Semantics = (b) => {
  const result = b.variable(b.int(4, STACK_UNDERFLOW | UNORDERED));
  b.if(inUse(b, 0), () => b.set(result, b.helper('f80Unary', b.int(4, unaryNumber.FTST), b.temporary(), b.st(0))));
  intoCodes(b, b.get(result), 0);
};

/** FXAM: no exceptions; an empty register has C3 C0 = 1 1 and its sign too. */
const FXAM: Semantics = (b) => {
  const sign = b.and(b.shr(b.zext(4, b.signExponent(b.st(0))), b.int(4, 6)), b.int(4, 0x200));
  const codes = b.variable(b.or(b.int(4, 0x4100), sign));
  b.if(inUse(b, 0), () => b.set(codes, b.helper('f80Unary', b.int(4, unaryNumber.FXAM), b.temporary(), b.st(0))));
  finishStatus(b, b.get(codes), b.int(4, 0), CONDITION_CODES);
};

/** A word with sign and exponent is held in 2 or 4 bytes. */
function sizeOfWord(word: Value): 2 | 4 {
  return word.type === 'i16' ? 2 : 4;
}

/** FCHS and FABS touch only the sign, whatever the value is. */
function signOp(change: (b: Builder, signExponent: Value) => Value): Semantics {
  return (b) => {
    const flags = b.select(inUse(b, 0), b.int(4, 0), b.int(4, STACK_UNDERFLOW));
    const filled = inUse(b, 0);
    const significand = b.significand(b.st(0));
    const changed = change(b, b.signExponent(b.st(0)));
    conclude(b, flags, () => {
      const indefinite = b.int(8, 0xc000_0000_0000_0000n);
      b.setSt(0, b.f80(b.select(filled, significand, indefinite), b.select(filled, changed, b.int(2, 0xffff))));
      occupy(b, 0);
    });
  };
}

const changeSign = (b: Builder, word: Value): Value => b.xor(word, b.int(sizeOfWord(word), 0x8000));
const clearSign = (b: Builder, word: Value): Value => b.and(word, b.int(sizeOfWord(word), 0x7fff));
const FCHS = signOp(changeSign);
const FABS = signOp(clearSign);

// Two operands on the stack. ------------------------------------------------------------------------------------------

/** Numbers for the helpers `f80Binary` and `f80Split`: the low bits of the second opcode byte. */
const binary = { FYL2X: 0x31, FPATAN: 0x33, FPREM1: 0x35, FPREM: 0x38, FYL2XP1: 0x39, FSCALE: 0x3d } as const;
const split = { FPTAN: 0x32, FXTRACT: 0x34, FSINCOS: 0x3b } as const;

/** FPREM, FPREM1, FSCALE: ST(0) = f(ST(0), ST(1)). */
function binaryOp(op: keyof typeof binary, codes = 0x200): Semantics {
  return (b) => {
    const result = b.temporary();
    const filled = b.both(inUse(b, 0), inUse(b, 1));
    const flags = guarded(b, filled, result, () =>
      b.helper('f80Binary', b.int(4, binary[op]), result, b.st(0), b.st(1)),
    );
    // Without a quotient C0 and C3 stay as they were.
    const kept = b.and(b.getSystem('fpuStatus'), b.int(4, codes & 0x4100));
    conclude(
      b,
      b.or(flags, b.select(filled, b.int(4, 0), kept)),
      () => {
        b.setSt(0, result);
        occupy(b, 0);
      },
      { codes },
    );
  };
}

/** FPATAN, FYL2X, FYL2XP1: ST(1) = f(ST(0), ST(1)), then a pop. */
function binaryPop(op: keyof typeof binary): Semantics {
  return (b) => {
    const result = b.temporary();
    const flags = guarded(b, b.both(inUse(b, 0), inUse(b, 1)), result, () =>
      b.helper('f80Binary', b.int(4, binary[op]), result, b.st(0), b.st(1)),
    );
    conclude(b, flags, () => {
      b.setSt(1, result);
      occupy(b, 1);
      pop(b);
    });
  };
}

/**
 * FPTAN, FSINCOS, FXTRACT: ST(0) becomes the first result, the second is pushed; with C2 (out of range) nothing happens.
 * ST(0) empty or ST(7) in use is a stack fault, which gives two indefinites.
 */
function splitOp(op: keyof typeof split, codes: number): Semantics {
  return (b) => {
    const first = b.temporary();
    const second = b.temporary();
    const full = inUse(b, 7);
    const filled = inUse(b, 0);
    const flags = b.variable(b.select(filled, b.int(4, 0x241), b.int(4, STACK_UNDERFLOW)));
    b.if(
      b.both(filled, b.negate(full)),
      () => b.set(flags, b.helper('f80Split', b.int(4, split[op]), first, second, b.st(0))),
      () => {
        b.helper('f80Constant', first, b.int(4, 7));
        b.helper('f80Constant', second, b.int(4, 7));
      },
    );
    conclude(
      b,
      b.get(flags),
      () =>
        b.if(b.negate(b.bit(b.get(flags), 10)), () => {
          b.setSt(0, first);
          occupy(b, 0);
          b.setSystem('fpuTop', b.and(b.add(top(b), b.int(4, 7)), b.int(4, 7)));
          b.setSt(0, second);
          occupy(b, 0);
        }),
      { codes },
    );
  };
}

const WITH_C2 = 0x600;

export const x87ArithmeticRows: readonly Row[] = [
  ...(['FADD', 'FMUL', 'FSUB', 'FSUBR', 'FDIV', 'FDIVR'] as const).flatMap(arithmeticRows),

  x87('D8 /2 mem', 'FCOM', 'Fd', compareMemory('f32', 0), short(shortCompare('f32', 0))),
  x87('D8 /3 mem', 'FCOMP', 'Fd', compareMemory('f32', 1), short(shortCompare('f32', 1))),
  x87('DC /2 mem', 'FCOM', 'Fq', compareMemory('f64', 0), short(shortCompare('f64', 0))),
  x87('DC /3 mem', 'FCOMP', 'Fq', compareMemory('f64', 1), short(shortCompare('f64', 1))),
  x87('DA /2 mem', 'FICOM', 'Fd', compareMemory('i32', 0)),
  x87('DA /3 mem', 'FICOMP', 'Fd', compareMemory('i32', 1)),
  x87('DE /2 mem', 'FICOM', 'Fw', compareMemory('i16', 0)),
  x87('DE /3 mem', 'FICOMP', 'Fw', compareMemory('i16', 1)),
  x87('D8 /2 reg', 'FCOM', 'T', compareRegister(false, 0), short(shortCompare('register', 0))),
  x87('D8 /3 reg', 'FCOMP', 'T', compareRegister(false, 1), short(shortCompare('register', 1))),
  // Undocumented duplicates that all processors have.
  x87('DC /2 reg', 'FCOM', 'T', compareRegister(false, 0), short(shortCompare('register', 0))),
  x87('DC /3 reg', 'FCOMP', 'T', compareRegister(false, 1), short(shortCompare('register', 1))),
  x87('DE /2 reg', 'FCOMP', 'T', compareRegister(false, 1), short(shortCompare('register', 1))),
  x87('DE D9', 'FCOMPP', 'T', compareRegister(false, 2), short(shortCompare('register', 2))),
  x87('DD /4 reg', 'FUCOM', 'T', compareRegister(true, 0), short(shortCompare('register', 0, true))),
  x87('DD /5 reg', 'FUCOMP', 'T', compareRegister(true, 1), short(shortCompare('register', 1, true))),
  x87('DA E9', 'FUCOMPP', 'T', compareRegister(true, 2), short(shortCompare('register', 2, true))),
  x87('DB /6 reg', 'FCOMI', 'ST,T', compareToFlags(false, false), short(shortCompareToFlags(false, false))),
  x87('DF /6 reg', 'FCOMIP', 'ST,T', compareToFlags(false, true), short(shortCompareToFlags(false, true))),
  x87('DB /5 reg', 'FUCOMI', 'ST,T', compareToFlags(true, false), short(shortCompareToFlags(true, false))),
  x87('DF /5 reg', 'FUCOMIP', 'ST,T', compareToFlags(true, true), short(shortCompareToFlags(true, true))),

  x87('D9 E0', 'FCHS', '', FCHS, short(shortSign(changeSign))),
  x87('D9 E1', 'FABS', '', FABS, short(shortSign(clearSign))),
  x87('D9 E4', 'FTST', '', FTST),
  // Waits as well, although it raises nothing itself.
  x87('D9 E5', 'FXAM', '', FXAM),
  x87('D9 F0', 'F2XM1', '', unaryOp('F2XM1')),
  x87('D9 F1', 'FYL2X', '', binaryPop('FYL2X')),
  x87('D9 F2', 'FPTAN', '', splitOp('FPTAN', WITH_C2)),
  x87('D9 F3', 'FPATAN', '', binaryPop('FPATAN')),
  x87('D9 F4', 'FXTRACT', '', splitOp('FXTRACT', 0x200)),
  x87('D9 F5', 'FPREM1', '', binaryOp('FPREM1', CONDITION_CODES)),
  x87('D9 F8', 'FPREM', '', binaryOp('FPREM', CONDITION_CODES)),
  x87('D9 F9', 'FYL2XP1', '', binaryPop('FYL2XP1')),
  x87('D9 FA', 'FSQRT', '', unaryOp('FSQRT'), short(shortSquareRoot)),
  x87('D9 FB', 'FSINCOS', '', splitOp('FSINCOS', WITH_C2)),
  x87('D9 FC', 'FRNDINT', '', unaryOp('FRNDINT')),
  x87('D9 FD', 'FSCALE', '', binaryOp('FSCALE')),
  x87('D9 FE', 'FSIN', '', unaryOp('FSIN', WITH_C2)),
  x87('D9 FF', 'FCOS', '', unaryOp('FCOS', WITH_C2)),
];
