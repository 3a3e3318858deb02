/** What the files on MMX and SSE share: row constructors with the right options, and vectors put together from parts. */
import type { Builder, Instruction, Operand, Semantics, Value } from './builder.ts';
import { operand } from './common.ts';
import { row } from './row.ts';
import type { Row, RowOptions } from './row.ts';

/** A function of two vectors: the meaning of a lane-wise instruction in both register files. */
export type VectorFunction = (b: Builder, x: Value, y: Value) => Value;

/**
 * A row that needs SSE. 16-byte memory operands must be aligned (SDM vol. 1 §10.9.1) unless `options` says otherwise:
 * that is the rule of all SSE instructions but MOVU*, LDDQU and the string comparisons.
 */
export function sse(
  encoding: string,
  mnemonic: string,
  operands: string,
  semantics: Semantics,
  options: RowOptions = {},
): Row {
  const aligned = operands.split(',').some((operand) => operand === 'W' || operand === 'Mo');
  return row(encoding, mnemonic, operands, semantics, { unit: 'sse', ...(aligned ? { aligned } : {}), ...options });
}

/**
 * A row that needs the MMX unit. Like x87 instructions these first deliver a pending floating-point exception
 * (SDM vol. 3 §13.5).
 */
export function mmx(
  encoding: string,
  mnemonic: string,
  operands: string,
  semantics: Semantics,
  options: RowOptions = {},
): Row {
  const waiting: Semantics = (b, i) => {
    deliverPending(b);
    semantics(b, i);
  };
  return row(encoding, mnemonic, operands, waiting, { unit: 'mmx', ...options });
}

/** Raises #MF if an unmasked x87 exception is pending (ES in the status word). */
export function deliverPending(b: Builder): void {
  b.raiseIf(b.bit(b.getSystem('fpuStatus'), 7), 16);
}

/** Every MMX instruction but EMMS leaves TOP = 0 and all tags valid (SDM vol. 1 §9.5.1); call it when no fault can come. */
export function enterMmx(b: Builder): void {
  b.setSystem('fpuTop', b.int(4, 0));
  b.setSystem('fpuTags', b.int(4, 0xff));
}

/** Writes the result of an MMX instruction: a memory operand first, as it can fault. */
export function writeMmx(b: Builder, o: Operand, v: Value): void {
  if (o.kind === 'mmx') {
    enterMmx(b);
    b.write(o, v);
  } else {
    b.write(o, v);
    enterMmx(b);
  }
}

export function zeroVector(b: Builder): Value {
  return b.vectorConst(0n, 0n);
}

/** A vector with the integer in its lowest lane and zeros above. */
export function lowVector(b: Builder, x: Value): Value {
  return b.replaceLane(zeroVector(b), 0, x);
}

/** The low 8 bytes. */
export function low(b: Builder, v: Value): Value {
  return b.extractLane(v, 8, 0);
}

export function high(b: Builder, v: Value): Value {
  return b.extractLane(v, 8, 1);
}

/** A vector of two 8-byte integers. */
export function join(b: Builder, lowHalf: Value, highHalf: Value): Value {
  return b.replaceLane(lowVector(b, lowHalf), 1, highHalf);
}

/** A constant of 16 bytes, lowest first. */
export function bytes(b: Builder, list: readonly number[]): Value {
  let lowHalf = 0n;
  let highHalf = 0n;
  list.forEach((byte, n) => {
    if (n < 8) lowHalf |= BigInt(byte & 0xff) << BigInt(8 * n);
    else highHalf |= BigInt(byte & 0xff) << BigInt(8 * n - 64);
  });
  return b.vectorConst(lowHalf, highHalf);
}

/** The constant 0, 1, … 15. */
export function iota(b: Builder): Value {
  return bytes(b, [...Array(16).keys()]);
}

/** The constant with one 4-byte value in all lanes. */
export function words32(b: Builder, value: number): Value {
  const pair = BigInt(value >>> 0) * 0x1_0000_0001n;
  return b.vectorConst(pair, pair);
}

/** Static shuffle by lanes of `width` bytes: lane n of the result is lane `lanes[n]` of a (0…) and then b. */
export function shuffleLanes(b: Builder, width: number, x: Value, y: Value, lanes: readonly number[]): Value {
  const list = lanes.flatMap((lane) => [...Array(width).keys()].map((n) => lane * width + n));
  return b.shuffle(x, y, list);
}

/** The immediate byte as a 4-byte integer. */
export function immediate(b: Builder, i: Instruction, n: number): Value {
  return b.zext(4, b.read(operand(i, n)));
}

/** The smaller of an unsigned 4-byte integer and a constant. */
export function atMost(b: Builder, n: Value, limit: number): Value {
  return b.select(b.ltU(n, b.int(4, limit)), n, b.int(4, limit));
}

/** `dest = f(dest, source)` on whole xmm registers. */
export function vectorOp(f: VectorFunction): Semantics {
  return (b, i) => {
    const x = b.read(operand(i, 0));
    const y = b.read(operand(i, 1));
    b.write(operand(i, 0), f(b, x, y));
  };
}

/** `dest = f(source)` on whole xmm registers. */
export function vectorMap(f: (b: Builder, x: Value) => Value): Semantics {
  return (b, i) => b.write(operand(i, 0), f(b, b.read(operand(i, 1))));
}
