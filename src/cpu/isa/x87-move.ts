/** x87 loads, stores, constants and register moves (SDM vol. 1 §8.3.2, §8.3.4). */
import type { Builder, Operand, Semantics, Value } from './builder.ts';
import { operand } from './common.ts';
import type { Row } from './row.ts';
import {
  STACK_UNDERFLOW,
  clearC1,
  conclude,
  free,
  guarded,
  inUse,
  moveTop,
  occupy,
  pop,
  preventing,
  push,
  x87,
} from './x87-common.ts';
import {
  shortExchange,
  shortLoad,
  shortLoadInteger,
  shortLoadRegister,
  shortOne,
  shortStore,
  shortStoreInteger,
  shortStoreRegister,
  shortZero,
} from './x87-short.ts';
import { numberFormat } from './x87-helpers.ts';
import type { Short } from './x87-short.ts';

/** A copy of a register, for where registers are about to change. */
function copy(b: Builder, v: Value): Value {
  return b.f80(b.significand(v), b.signExponent(v));
}

// Loads. --------------------------------------------------------------------------------------------------------------

const FLD_F32: Semantics = (b, i) => {
  const value = b.temporary();
  push(b, value, b.helper('f80Load32', value, b.read(operand(i, 0))));
};

const FLD_F64: Semantics = (b, i) => {
  const value = b.temporary();
  push(b, value, b.helper('f80Load64', value, b.read(operand(i, 0))));
};

/** FLD m80 takes any bits as they are. */
const FLD_F80: Semantics = (b, i) => {
  const { significand, signExponent } = readExtended(b, operand(i, 0));
  push(b, b.f80(significand, signExponent), b.int(4, 0));
};

/** The two parts of a 10-byte memory operand. */
function readExtended(b: Builder, o: Operand): { significand: Value; signExponent: Value } {
  const significand = b.read(b.displaced(o, b.int(4, 0), 8));
  const signExponent = b.read(b.displaced(o, b.int(4, 8), 2));
  return { significand, signExponent };
}

/** Probes the whole operand first, so that a page boundary in it leaves no half of a store. */
function writeExtended(b: Builder, o: Operand, v: Value): void {
  b.probe(o);
  b.write(b.displaced(o, b.int(4, 0), 8), b.significand(v));
  b.write(b.displaced(o, b.int(4, 8), 2), b.signExponent(v));
}

/** Page faults of a store that its exception prevents; alignment is checked only where something is stored. */
function probePages(b: Builder, o: Operand): void {
  b.probe(b.displaced(o, b.int(4, 0), 1));
  b.probe(b.displaced(o, b.int(4, o.size - 1), 1));
}

const FILD: Semantics = (b, i) => {
  const n = b.read(operand(i, 0));
  const value = b.temporary();
  b.helper('f80FromInteger', value, n.type === 'i64' ? n : b.sext(8, n));
  push(b, value, b.int(4, 0));
};

const FBLD: Semantics = (b, i) => {
  const { significand: digits, signExponent: upper } = readExtended(b, operand(i, 0));
  const value = b.temporary();
  b.helper('f80FromBcd', value, digits, b.zext(4, upper));
  push(b, value, b.int(4, 0));
};

const FLD_ST: Semantics = (b, i) => {
  const source = operand(i, 0);
  const value = b.temporary();
  const flags = guarded(b, inUse(b, source), value, () => {
    const v = b.read(source);
    b.copyF80(value, v);
    return b.int(4, 0);
  });
  push(b, value, flags);
};

/** FLD1 … FLDZ: `which` as in the low bits of the opcode; those that are not exact are rounded as RC says. */
function constant(which: number): Semantics {
  return (b) => {
    const value = b.temporary();
    b.helper('f80Constant', value, b.int(4, which));
    push(b, value, b.int(4, 0));
  };
}

// Stores. -------------------------------------------------------------------------------------------------------------

type Format = keyof typeof numberFormat;

/** What an invalid operation stores: the indefinite of the format. */
const indefinites: Readonly<Record<Format, bigint>> = {
  f32: 0xffc0_0000n,
  f64: 0xfff8_0000_0000_0000n,
  i16: 0x8000n,
  i32: 0x8000_0000n,
  i64: 0x8000_0000_0000_0000n,
  bcd: 0xc000_0000_0000_0000n,
};

/**
 * FST, FIST, FISTTP: rounds into the format of the memory operand. An unmasked invalid operation, overflow or underflow
 * stores nothing and pops nothing.
 */
function storeNumber(to: Format, pops: boolean, truncate = false): Semantics {
  return (b, i) => {
    const target = operand(i, 0);
    const size = target.size === 8 ? 8 : target.size === 4 ? 4 : 2;
    const out = b.temporary();
    const flags = b.variable(b.int(4, STACK_UNDERFLOW));
    const bits = b.variable(b.int(8, indefinites[to]));
    b.if(inUse(b, 0), () => {
      b.set(flags, b.helper('f80Store', b.int(4, numberFormat[to] + (truncate ? 1 : 0)), out, b.st(0)));
      b.set(bits, b.significand(out));
    });
    conclude(
      b,
      b.get(flags),
      () => {
        b.write(target, size === 8 ? b.get(bits) : b.trunc(size, b.get(bits)));
        if (pops) pop(b);
      },
      { prevents: preventing.store, prevented: () => probePages(b, target) },
    );
  };
}

const FBSTP: Semantics = (b, i) => {
  const target = operand(i, 0);
  const out = b.f80(b.int(8, indefinites.bcd), b.int(2, 0xffff));
  const flags = b.variable(b.int(4, STACK_UNDERFLOW));
  b.if(inUse(b, 0), () => b.set(flags, b.helper('f80Store', b.int(4, numberFormat.bcd), out, b.st(0))));
  conclude(
    b,
    b.get(flags),
    () => {
      writeExtended(b, target, out);
      pop(b);
    },
    { prevents: preventing.store, prevented: () => probePages(b, target) },
  );
};

/** FSTP m80: no conversion, no exception but an empty register. */
const FSTP_F80: Semantics = (b, i) => {
  const value = b.temporary();
  const flags = guarded(b, inUse(b, 0), value, () => {
    b.copyF80(value, b.st(0));
    return b.int(4, 0);
  });
  conclude(
    b,
    flags,
    () => {
      writeExtended(b, operand(i, 0), value);
      pop(b);
    },
    { prevents: preventing.store, prevented: () => probePages(b, operand(i, 0)) },
  );
};

// Registers. ----------------------------------------------------------------------------------------------------------

function storeRegister(pops: boolean): Semantics {
  return (b, i) => {
    const target = operand(i, 0);
    const value = b.temporary();
    const flags = guarded(b, inUse(b, 0), value, () => {
      b.copyF80(value, b.st(0));
      return b.int(4, 0);
    });
    conclude(b, flags, () => {
      b.write(target, value);
      occupy(b, target);
      if (pops) pop(b);
    });
  };
}

const FXCH: Semantics = (b, i) => {
  const other = operand(i, 0);
  b.if(
    b.both(inUse(b, 0), inUse(b, other)),
    () => {
      const first = b.temporary();
      b.copyF80(first, b.st(0));
      b.setSt(0, b.read(other));
      b.write(other, first);
      clearC1(b);
    },
    () => exchangeEmpty(b, other),
  );
};

/** FXCH with an empty register, which counts as the indefinite when IE is masked. */
function exchangeEmpty(b: Builder, other: Operand): void {
  const first = copy(b, b.st(0));
  const second = copy(b, b.read(other));
  const flags = b.variable(b.int(4, 0));
  const fill = (filled: Value, value: Value): void =>
    b.if(b.negate(filled), () => {
      b.helper('f80Constant', value, b.int(4, 7));
      b.set(flags, b.int(4, STACK_UNDERFLOW));
    });
  fill(inUse(b, 0), first);
  fill(inUse(b, other), second);
  conclude(b, b.get(flags), () => {
    b.setSt(0, second);
    b.write(other, first);
    occupy(b, 0);
    occupy(b, other);
  });
}

/** FCMOVcc by a condition code of the integer flags. */
function moveIf(cc: number): Semantics {
  return (b, i) => {
    const source = operand(i, 1);
    const flags = b.select(b.both(inUse(b, 0), inUse(b, source)), b.int(4, 0), b.int(4, STACK_UNDERFLOW));
    const underflow = b.ne(flags, b.int(4, 0));
    conclude(b, flags, () => {
      b.if(
        underflow,
        () => {
          const value = b.temporary();
          b.helper('f80Constant', value, b.int(4, 7));
          b.setSt(0, value);
          occupy(b, 0);
        },
        () => b.if(b.condition(cc), () => b.setSt(0, b.read(source))),
      );
    });
  };
}

const FFREE: Semantics = (b, i) => free(b, operand(i, 0));
/** Undocumented: FFREE and a pop. */
const FFREEP: Semantics = (b, i) => {
  free(b, operand(i, 0));
  pop(b);
};
const FINCSTP: Semantics = (b) => {
  clearC1(b);
  moveTop(b, 1);
};
const FDECSTP: Semantics = (b) => {
  clearC1(b);
  moveTop(b, -1);
};

const CONSTANTS = ['FLD1', 'FLDL2T', 'FLDL2E', 'FLDPI', 'FLDLG2', 'FLDLN2', 'FLDZ'] as const;

function integerStore(to: 'i16' | 'i32' | 'i64', pops: boolean, truncate = false): { readonly short: Short } {
  return { short: shortStoreInteger(to, pops, truncate) };
}

const shortConstants: Readonly<Partial<Record<(typeof CONSTANTS)[number], { readonly short: Short }>>> = {
  FLD1: { short: shortOne },
  FLDZ: { short: shortZero },
};

export const x87MoveRows: readonly Row[] = [
  x87('D9 /0 mem', 'FLD', 'Fd', FLD_F32, { short: shortLoad('f32') }),
  x87('DD /0 mem', 'FLD', 'Fq', FLD_F64, { short: shortLoad('f64') }),
  x87('DB /5 mem', 'FLD', 'Ft', FLD_F80),
  x87('D9 /0 reg', 'FLD', 'T', FLD_ST, { short: shortLoadRegister }),
  x87('DF /0 mem', 'FILD', 'Fw', FILD, { short: shortLoadInteger }),
  x87('DB /0 mem', 'FILD', 'Fd', FILD, { short: shortLoadInteger }),
  x87('DF /5 mem', 'FILD', 'Fq', FILD, { short: shortLoadInteger }),
  x87('DF /4 mem', 'FBLD', 'Ft', FBLD),
  ...CONSTANTS.map((name, n) =>
    x87(`D9 ${(0xe8 + n).toString(16).toUpperCase()}`, name, '', constant(n), shortConstants[name] ?? {}),
  ),

  x87('D9 /2 mem', 'FST', 'Fd', storeNumber('f32', false), { short: shortStore('f32', false) }),
  x87('D9 /3 mem', 'FSTP', 'Fd', storeNumber('f32', true), { short: shortStore('f32', true) }),
  x87('DD /2 mem', 'FST', 'Fq', storeNumber('f64', false), { short: shortStore('f64', false) }),
  x87('DD /3 mem', 'FSTP', 'Fq', storeNumber('f64', true), { short: shortStore('f64', true) }),
  x87('DB /7 mem', 'FSTP', 'Ft', FSTP_F80),
  x87('DF /2 mem', 'FIST', 'Fw', storeNumber('i16', false), integerStore('i16', false)),
  x87('DF /3 mem', 'FISTP', 'Fw', storeNumber('i16', true), integerStore('i16', true)),
  x87('DB /2 mem', 'FIST', 'Fd', storeNumber('i32', false), integerStore('i32', false)),
  x87('DB /3 mem', 'FISTP', 'Fd', storeNumber('i32', true), integerStore('i32', true)),
  x87('DF /7 mem', 'FISTP', 'Fq', storeNumber('i64', true), integerStore('i64', true)),
  x87('DF /1 mem', 'FISTTP', 'Fw', storeNumber('i16', true, true), {
    feature: 'sse3',
    ...integerStore('i16', true, true),
  }),
  x87('DB /1 mem', 'FISTTP', 'Fd', storeNumber('i32', true, true), {
    feature: 'sse3',
    ...integerStore('i32', true, true),
  }),
  x87('DD /1 mem', 'FISTTP', 'Fq', storeNumber('i64', true, true), {
    feature: 'sse3',
    ...integerStore('i64', true, true),
  }),
  x87('DF /6 mem', 'FBSTP', 'Ft', FBSTP),

  x87('DD /2 reg', 'FST', 'T', storeRegister(false), { short: shortStoreRegister(false) }),
  x87('DD /3 reg', 'FSTP', 'T', storeRegister(true), { short: shortStoreRegister(true) }),
  // Undocumented duplicates that all processors have.
  x87('D9 /3 reg', 'FSTP', 'T', storeRegister(true), { short: shortStoreRegister(true) }),
  x87('DF /2 reg', 'FSTP', 'T', storeRegister(true), { short: shortStoreRegister(true) }),
  x87('DF /3 reg', 'FSTP', 'T', storeRegister(true), { short: shortStoreRegister(true) }),
  x87('D9 /1 reg', 'FXCH', 'T', FXCH, { short: shortExchange }),
  x87('DD /1 reg', 'FXCH', 'T', FXCH, { short: shortExchange }),
  x87('DF /1 reg', 'FXCH', 'T', FXCH, { short: shortExchange }),
  x87('DA /0 reg', 'FCMOVB', 'ST,T', moveIf(2)),
  x87('DA /1 reg', 'FCMOVE', 'ST,T', moveIf(4)),
  x87('DA /2 reg', 'FCMOVBE', 'ST,T', moveIf(6)),
  x87('DA /3 reg', 'FCMOVU', 'ST,T', moveIf(10)),
  x87('DB /0 reg', 'FCMOVNB', 'ST,T', moveIf(3)),
  x87('DB /1 reg', 'FCMOVNE', 'ST,T', moveIf(5)),
  x87('DB /2 reg', 'FCMOVNBE', 'ST,T', moveIf(7)),
  x87('DB /3 reg', 'FCMOVNU', 'ST,T', moveIf(11)),
  x87('DD /0 reg', 'FFREE', 'T', FFREE),
  x87('DF /0 reg', 'FFREEP', 'T', FFREEP),
  x87('D9 F6', 'FDECSTP', '', FDECSTP),
  x87('D9 F7', 'FINCSTP', '', FINCSTP),
  x87('D9 D0', 'FNOP', '', () => {}),
];
