/**
 * x87 control and save areas, FXSAVE and FXRSTOR, MXCSR, EMMS, FWAIT (SDM vol. 1 §8.1, §10.5; vol. 2A).
 *
 * Save areas are written and read field by field; all of an area is probed first, so that a page boundary in it leaves
 * no half of a store. Registers in the areas of FNSAVE and FRSTOR lie at even addresses only: they go by words, so that
 * alignment checks ask for no more than the environment does (SDM vol. 3 table 6-7).
 */
import type { Builder, Operand, Semantics, Size, Value } from './builder.ts';
import { eflagsBit, operand } from './common.ts';
import { StackInMemory } from './register-stack.ts';
import { row } from './row.ts';
import type { Row } from './row.ts';
import { control, fsw } from './x87-common.ts';
import { deliverPending, sse } from './vector.ts';

/** Control-word bits that can be set; bit 6 always is. */
const CONTROL_MASK = 0x1f3f;
const CONTROL_FIXED = 0x40;
const INITIAL_CONTROL = 0x37f;
/** MXCSR bits that can be set (what FXSAVE shows as MXCSR_MASK); another one raises #GP(0). */
export const MXCSR_MASK = 0xffff;

function field(b: Builder, area: Operand, offset: number, size: number): Operand {
  return b.displaced(area, b.int(4, offset), size);
}

function readField(b: Builder, area: Operand, offset: number, size: Size): Value {
  return b.read(field(b, area, offset, size));
}

function writeField(b: Builder, area: Operand, offset: number, v: Value, size: Size): void {
  b.write(field(b, area, offset, size), size === 4 || size === 8 ? v : b.trunc(size, v));
}

/** A read of the first and last byte faults as a read of all the area would. */
function probeRead(b: Builder, area: Operand, size: number): void {
  b.read(field(b, area, 0, 1));
  b.read(field(b, area, size - 1, 1));
}

/** The status word with TOP in it, for areas that are written from memory. */
function statusWord(b: Builder): Value {
  return new StackInMemory(b).statusWord();
}

/** Sets control and status so that ES and B say whether a set flag is unmasked. */
function setControlAndStatus(b: Builder, controlWord: Value, status: Value): void {
  const controlValue = b.or(b.and(controlWord, b.int(4, CONTROL_MASK)), b.int(4, CONTROL_FIXED));
  const pending = b.and(b.and(status, b.not(controlValue)), b.int(4, 0x3f));
  const plain = b.and(status, b.int(4, 0x477f));
  const summary = b.select(b.isZero(pending), b.int(4, 0), b.int(4, fsw.es | fsw.busy));
  b.setSystem('fpuControl', controlValue);
  b.setSystem('fpuStatus', b.or(plain, summary));
}

function setTop(b: Builder, status: Value): void {
  b.setSystem('fpuTop', b.and(b.shr(status, b.int(4, 11)), b.int(4, 7)));
}

const FNSTCW: Semantics = (b, i) => b.write(operand(i, 0), b.trunc(2, b.getSystem('fpuControl')));
const FNSTSW: Semantics = (b, i) => b.write(operand(i, 0), b.trunc(2, b.registerStack.statusWord()));
const FLDCW: Semantics = (b, i) => {
  deliverPending(b);
  setControlAndStatus(b, b.zext(4, b.read(operand(i, 0))), b.getSystem('fpuStatus'));
};
/** The condition codes, undefined by the manual, stay as processors leave them. */
const FNCLEX: Semantics = (b) => b.setSystem('fpuStatus', b.and(b.getSystem('fpuStatus'), b.int(4, 0x4700)));

const FNINIT: Semantics = (b) => {
  b.setSystem('fpuControl', b.int(4, INITIAL_CONTROL));
  for (const name of ['fpuStatus', 'fpuTags', 'fpuTop', 'fpuOpcode'] as const) {
    b.setSystem(name, b.int(4, 0));
  }
  b.setSystem('fpuIp', b.int(8, 0));
  b.setSystem('fpuDp', b.int(8, 0));
};

/** #MF for what is pending; #NM if CR0.MP and CR0.TS (EM does not matter to it). */
const FWAIT: Semantics = (b) => {
  b.raiseIf(b.eq(b.and(b.getSystem('cr0'), b.int(4, 0xa)), b.int(4, 0xa)), 7);
  deliverPending(b);
};

const EMMS: Semantics = (b) => {
  deliverPending(b);
  b.setSystem('fpuTop', b.int(4, 0));
  b.setSystem('fpuTags', b.int(4, 0));
};

// Environment: 14 bytes with 16-bit operand size, else 28 (SDM vol. 1 figures 8-9 to 8-12). ---------------------------
//
// Selectors are not kept (`notePointers`). In real and virtual-8086 mode their words have the upper bits of the
// pointers from bit 12 on: pointers are linear addresses there, with a segment of 0.

function environmentBytes(size: Size): number {
  return size === 2 ? 14 : 28;
}

function storeEnvironment(b: Builder, area: Operand, size: Size): void {
  const width = size === 2 ? 2 : 4;
  // The reserved halves of the 32-bit format are ones.
  const word = (n: number, v: Value): void =>
    writeField(b, area, n * width, width === 4 ? b.or(v, b.int(4, 0xffff0000)) : v, width);
  word(0, b.getSystem('fpuControl'));
  word(1, statusWord(b));
  word(2, b.helper('f80TagWord'));
  const opcode = b.getSystem('fpuOpcode');
  const ip = b.trunc(4, b.getSystem('fpuIp'));
  const dp = b.trunc(4, b.getSystem('fpuDp'));
  const paragraphs = realAddresses(b);
  const pointer = (n: number, v: Value): void => {
    writeField(b, area, n * width, b.select(paragraphs, b.or(v, b.int(4, 0xffff0000)), v), width);
  };
  pointer(3, ip);
  const protectedOpcode = width === 2 ? b.int(4, 0) : b.shl(opcode, b.int(4, 16));
  writeField(b, area, 4 * width, b.select(paragraphs, b.or(upperBits(b, ip), opcode), protectedOpcode), width);
  pointer(5, dp);
  // Where the selector of the operand was, its dword has a reserved half as the first three have.
  writeField(b, area, 6 * width, b.select(paragraphs, upperBits(b, dp), b.int(4, 0xffff0000)), width);
}

/** Real or virtual-8086 mode. */
function realAddresses(b: Builder): Value {
  return b.either(b.negate(b.bit(b.getSystem('cr0'), 0)), b.systemFlag(eflagsBit.vm));
}

/** Bits 16 and up of a pointer, from bit 12 on. */
function upperBits(b: Builder, pointer: Value): Value {
  return b.shl(b.shr(pointer, b.int(4, 16)), b.int(4, 12));
}

/** The tag word marks an empty register by 11; the other values are recomputed from what is in the registers. */
function abridgedTags(b: Builder, tagWord: Value): Value {
  const empty = b.and(b.and(tagWord, b.shr(tagWord, b.int(4, 1))), b.int(4, 0x5555));
  // Gather the even bits.
  const pairs = b.and(b.or(empty, b.shr(empty, b.int(4, 1))), b.int(4, 0x3333));
  const nibbles = b.and(b.or(pairs, b.shr(pairs, b.int(4, 2))), b.int(4, 0x0f0f));
  const gathered = b.and(b.or(nibbles, b.shr(nibbles, b.int(4, 4))), b.int(4, 0xff));
  return b.xor(gathered, b.int(4, 0xff));
}

function loadEnvironment(b: Builder, area: Operand, size: Size): void {
  const width = size === 2 ? 2 : 4;
  const word = (n: number): Value => b.zext(4, readField(b, area, n * width, 2));
  const paragraphs = realAddresses(b);
  /** A pointer of dword or word n, with its upper bits in the one behind where addresses are linear. */
  const pointer = (n: number): Value => {
    const upper = b.zext(4, readField(b, area, (n + 1) * width, width));
    const linear = b.or(word(n), b.shl(b.and(b.shr(upper, b.int(4, 12)), b.int(4, 0xffff)), b.int(4, 16)));
    return b.zext(8, b.select(paragraphs, linear, b.zext(4, readField(b, area, n * width, width))));
  };
  const controlWord = word(0);
  const status = word(1);
  const tags = abridgedTags(b, word(2));
  const ip = pointer(3);
  const protectedOpcode = width === 4 ? b.zext(4, readField(b, area, 18, 2)) : b.int(4, 0);
  const opcode = b.and(b.select(paragraphs, word(4), protectedOpcode), b.int(4, 0x7ff));
  const dp = pointer(5);
  setControlAndStatus(b, controlWord, status);
  setTop(b, status);
  b.setSystem('fpuTags', tags);
  b.setSystem('fpuIp', ip);
  b.setSystem('fpuDp', dp);
  b.setSystem('fpuOpcode', opcode);
}

const FNSTENV: Semantics = (b, i) => {
  const area = operand(i, 0);
  b.probe(field(b, area, 0, environmentBytes(i.size)));
  storeEnvironment(b, area, i.size);
  // All exceptions are masked afterwards, so nothing is pending.
  b.setSystem('fpuControl', b.or(b.getSystem('fpuControl'), b.int(4, 0x3f)));
  b.setSystem('fpuStatus', b.and(b.getSystem('fpuStatus'), b.int(4, 0x477f)));
};

const FLDENV: Semantics = (b, i) => {
  deliverPending(b);
  probeRead(b, operand(i, 0), environmentBytes(i.size));
  loadEnvironment(b, operand(i, 0), i.size);
};

const FNSAVE: Semantics = (b, i) => {
  const area = operand(i, 0);
  const start = environmentBytes(i.size);
  b.probe(field(b, area, 0, start + 80));
  storeEnvironment(b, area, i.size);
  for (let n = 0; n < 8; n++) {
    const significand = b.significand(b.st(n));
    for (let k = 0; k < 4; k++) {
      const word = b.trunc(2, b.shr(significand, b.int(4, 16 * k)));
      b.write(field(b, area, start + 10 * n + 2 * k, 2), word);
    }
    b.write(field(b, area, start + 10 * n + 8, 2), b.signExponent(b.st(n)));
  }
  FNINIT(b, i);
};

const FRSTOR: Semantics = (b, i) => {
  deliverPending(b);
  const area = operand(i, 0);
  const start = environmentBytes(i.size);
  probeRead(b, area, start + 80);
  loadEnvironment(b, area, i.size);
  for (let n = 0; n < 8; n++) {
    const words = [0, 1, 2, 3].map((k) => b.zext(8, readField(b, area, start + 10 * n + 2 * k, 2)));
    const significand = words.reduce((low, word, k) => b.or(low, b.shl(word, b.int(4, 16 * k))));
    b.setSt(n, b.f80(significand, readField(b, area, start + 10 * n + 8, 2)));
  }
};

// MXCSR and FXSAVE. ---------------------------------------------------------------------------------------------------

function checkMxcsr(b: Builder, v: Value): void {
  b.raiseIf(b.ne(b.and(v, b.int(4, ~MXCSR_MASK >>> 0)), b.int(4, 0)), 13, b.int(4, 0));
}

const LDMXCSR: Semantics = (b, i) => {
  const v = b.read(operand(i, 0));
  checkMxcsr(b, v);
  b.setSystem('mxcsr', v);
};
const STMXCSR: Semantics = (b, i) => b.write(operand(i, 0), b.getSystem('mxcsr'));

/** The area of FXSAVE must be 16-byte aligned, also where a single field of it would not need to be. */
function checkAlignment(b: Builder, area: Operand): void {
  b.raiseIf(b.ne(b.and(b.trunc(1, b.address(area)), b.int(1, 15)), b.int(1, 0)), 13, b.int(4, 0));
}

/** The format of the FXSAVE area: outside of 64-bit code only xmm0…7 are saved; the rest of the area is not touched. */
interface FxFormat {
  readonly vectors: 8 | 16;
  /** Bytes of the pointers: 8 with REX.W; else 4, where selectors, which are 0, and a reserved word follow. */
  readonly pointers: 4 | 8;
}
const fxLegacy: FxFormat = { vectors: 8, pointers: 4 };
const fxLong: FxFormat = { vectors: 16, pointers: 4 };
const fxWide: FxFormat = { vectors: 16, pointers: 8 };

const FXSAVE =
  (format: FxFormat): Semantics =>
  (b, i) => {
    const area = operand(i, 0);
    checkAlignment(b, area);
    b.probe(area);
    writeField(b, area, 0, b.getSystem('fpuControl'), 2);
    writeField(b, area, 2, statusWord(b), 2);
    writeField(b, area, 4, b.getSystem('fpuTags'), 2);
    writeField(b, area, 6, b.getSystem('fpuOpcode'), 2);
    writeField(b, area, 8, fxPointer(b, format, b.getSystem('fpuIp')), 8);
    writeField(b, area, 16, fxPointer(b, format, b.getSystem('fpuDp')), 8);
    writeField(b, area, 24, b.getSystem('mxcsr'), 4);
    writeField(b, area, 28, b.int(4, MXCSR_MASK), 4);
    for (let n = 0; n < 8; n++) {
      b.write(field(b, area, 32 + 16 * n, 8), b.significand(b.st(n)));
      b.write(field(b, area, 40 + 16 * n, 8), b.zext(8, b.signExponent(b.st(n))));
    }
    for (let n = 0; n < format.vectors; n++) {
      b.write(field(b, area, 160 + 16 * n, 16), b.read(b.vectorRegister(n)));
    }
  };

function fxPointer(b: Builder, format: FxFormat, v: Value): Value {
  return format.pointers === 8 ? v : b.zext(8, b.trunc(4, v));
}

const FXRSTOR =
  (format: FxFormat): Semantics =>
  (b, i) => {
    const area = operand(i, 0);
    checkAlignment(b, area);
    probeRead(b, area, 512);
    const mxcsr = readField(b, area, 24, 4);
    checkMxcsr(b, mxcsr);
    b.setSystem('mxcsr', mxcsr);
    const status = b.zext(4, readField(b, area, 2, 2));
    setControlAndStatus(b, b.zext(4, readField(b, area, 0, 2)), status);
    setTop(b, status);
    b.setSystem('fpuTags', b.zext(4, readField(b, area, 4, 1)));
    b.setSystem('fpuOpcode', b.and(b.zext(4, readField(b, area, 6, 2)), b.int(4, 0x7ff)));
    b.setSystem('fpuIp', fxPointer(b, format, readField(b, area, 8, 8)));
    b.setSystem('fpuDp', fxPointer(b, format, readField(b, area, 16, 8)));
    for (let n = 0; n < 8; n++) {
      const significand = readField(b, area, 32 + 16 * n, 8);
      b.setSt(n, b.f80(significand, readField(b, area, 40 + 16 * n, 2)));
    }
    for (let n = 0; n < format.vectors; n++) {
      b.write(b.vectorRegister(n), b.read(field(b, area, 160 + 16 * n, 16)));
    }
  };

const fxsr = { feature: 'fxsr' };

export const x87ControlRows: readonly Row[] = [
  control('D9 /7 mem', 'FNSTCW', 'Mw', FNSTCW),
  control('D9 /5 mem', 'FLDCW', 'Mw', FLDCW),
  control('DD /7 mem', 'FNSTSW', 'Mw', FNSTSW),
  control('DF E0', 'FNSTSW', 'AX', FNSTSW, { hot: true }),
  control('DB E2', 'FNCLEX', '', FNCLEX),
  control('DB E3', 'FNINIT', '', FNINIT),
  // FENI, FDISI and FSETPM of the 8087 and 287: no operation since the 387.
  control('DB E0', 'FNENI', '', () => {}),
  control('DB E1', 'FNDISI', '', () => {}),
  control('DB E4', 'FNSETPM', '', () => {}),
  control('D9 /6 mem', 'FNSTENV', 'Mv', FNSTENV),
  control('D9 /4 mem', 'FLDENV', 'Mv', FLDENV),
  control('DD /6 mem', 'FNSAVE', 'Mv', FNSAVE),
  control('DD /4 mem', 'FRSTOR', 'Mv', FRSTOR),
  row('9B', 'FWAIT', '', FWAIT),
  control('NP 0F 77', 'EMMS', '', EMMS),

  sse('NP 0F AE /2 mem', 'LDMXCSR', 'Md', LDMXCSR),
  sse('NP 0F AE /3 mem', 'STMXCSR', 'Md', STMXCSR),
  control('NP 0F AE /0 mem', 'FXSAVE', 'Mx', FXSAVE(fxLegacy), { modes: 'legacy', ...fxsr }),
  control('NP 0F AE /0 mem', 'FXSAVE', 'Mx', FXSAVE(fxLong), { modes: 'long', sizes: [2, 4], ...fxsr }),
  control('NP 0F AE /0 mem', 'FXSAVE64', 'Mx', FXSAVE(fxWide), { modes: 'long', sizes: [8], ...fxsr }),
  control('NP 0F AE /1 mem', 'FXRSTOR', 'Mx', FXRSTOR(fxLegacy), { modes: 'legacy', ...fxsr }),
  control('NP 0F AE /1 mem', 'FXRSTOR', 'Mx', FXRSTOR(fxLong), { modes: 'long', sizes: [2, 4], ...fxsr }),
  control('NP 0F AE /1 mem', 'FXRSTOR64', 'Mx', FXRSTOR(fxWide), { modes: 'long', sizes: [8], ...fxsr }),
];
