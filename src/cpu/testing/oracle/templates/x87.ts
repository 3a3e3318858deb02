/** x87: everything except the transcendental functions. */
import type { Draft } from '../draft.ts';
import { f80, operandBytes, toBytes } from '../random.ts';
import type { DataClass } from '../random.ts';
import type { Assembly, Template } from '../template.ts';

const hex = (byte: number): string => byte.toString(16).padStart(2, '0').toUpperCase();

/** All x87 exceptions masked, in the control word. */
const MASKED = 0x3f;

/** A random x87 state: TOP, depth, register values, rounding, precision, condition codes. SDM vol. 1, 8.1. */
export function randomState(draft: Draft): void {
  const { random } = draft;
  draft.usesX87 = true;
  draft.comparesValidX87 = true;
  const top = random.below(8);
  const depth = random.pick([0, 1, 2, 2, 3, 3, 4, 5, 8, 2, 3, 6]);
  for (let i = 0; i < depth; i++) {
    const physical = (top + i) & 7;
    draft.x87.set(physical, toBytes(f80(random), 10));
    draft.tags |= 1 << physical;
  }
  const precision = random.chance(0.6) ? 3 : random.pick([0, 2]);
  let masks = MASKED;
  let sticky = random.chance(0.3) ? random.below(128) & ~0x40 : 0;
  if (random.chance(0.08)) {
    masks = random.below(64);
    sticky = 0;
  }
  draft.fcw = 0x40 | masks | (precision << 8) | (random.below(4) << 10);
  const conditions = random.chance(0.5) ? random.bits(16) & 0x4700n : 0n;
  draft.fsw = (top << 11) | Number(conditions) | sticky;
}

/** ST(i) of the start state, if in use. */
function st(draft: Draft, i: number): Uint8Array | undefined {
  return draft.x87.get((((draft.fsw >> 11) & 7) + i) & 7);
}

export const state = (a: Assembly): void => randomState(a.draft);

/** Instructions that leave C1 alone on AMD processors, clear it on Intel's or leave it undefined: it starts as 0. */
export const stateWithoutC1 = (a: Assembly): void => {
  randomState(a.draft);
  a.draft.fsw &= ~0x200;
};

function row(name: string, encoding: string, more: Partial<Template> = {}): Template {
  return { group: 'x87', name, encoding, prepare: state, count: 12, ...more };
}

function memory(name: string, encoding: string, memoryLength: number, data: DataClass, count = 24): Template {
  return row(`${name} M`, encoding, { memoryLength, data, count });
}

const OPS = ['FADD', 'FMUL', 'FCOM', 'FCOMP', 'FSUB', 'FSUBR', 'FDIV', 'FDIVR'];

const ARITHMETIC: Template[] = OPS.flatMap((name, i): Template[] => {
  const integer = name.replace('F', 'FI');
  const rows = [
    memory(`${name}-f32`, `D8 /${i}`, 4, 'f32'),
    memory(`${name}-f64`, `DC /${i}`, 8, 'f64'),
    memory(`${integer}-i32`, `DA /${i}`, 4, 'i32', 12),
    memory(`${integer}-i16`, `DE /${i}`, 2, 'i16', 12),
  ];
  for (const index of [0, 1, 3]) {
    rows.push(row(`${name} ST0,ST${index}`, `D8 ${hex(0xc0 + 8 * i + index)}`, { count: 20 }));
    if (name.startsWith('FCOM')) continue;
    // DC and DE swap the reversed forms: /4 is FSUBR with ST(i) as destination.
    const swapped = i < 4 ? name : (OPS[i ^ 1] ?? '');
    rows.push(row(`${swapped} ST${index},ST0`, `DC ${hex(0xc0 + 8 * i + index)}`, { count: 10 }));
    rows.push(row(`${swapped}P ST${index},ST0`, `DE ${hex(0xc0 + 8 * i + index)}`, { count: 10 }));
  }
  return rows;
});

/** The step of FPREM's reduction is the processor's choice from 64 bits of exponent difference on. */
function nearExponents(a: Assembly): void {
  randomState(a.draft);
  const { random } = a.draft;
  const [x, y] = [st(a.draft, 0), st(a.draft, 1)];
  if (!x || !y) return;
  const exponent = (bytes: Uint8Array): number => ((bytes[9] ?? 0) & 0x7f) * 256 + (bytes[8] ?? 0);
  if (exponent(x) === 0x7fff || exponent(y) === 0x7fff || exponent(x) - exponent(y) < 60) return;
  const near = Math.max(1, exponent(x) - random.below(60));
  y[8] = near & 0xff;
  y[9] = (near >> 8) | ((y[9] ?? 0) & 0x80);
  if (exponent(y) !== 0) y[7] = (y[7] ?? 0) | 0x80;
}

const COMPARE: Template[] = [
  ...[0, 1, 2].flatMap((i) => [
    row(`FUCOM ST${i}`, `DD ${hex(0xe0 + i)}`),
    row(`FUCOMP ST${i}`, `DD ${hex(0xe8 + i)}`),
    row(`FCOMI ST0,ST${i}`, `DB ${hex(0xf0 + i)}`, { prepare: stateWithoutC1 }),
    row(`FCOMIP ST0,ST${i}`, `DF ${hex(0xf0 + i)}`, { prepare: stateWithoutC1 }),
    row(`FUCOMI ST0,ST${i}`, `DB ${hex(0xe8 + i)}`, { prepare: stateWithoutC1 }),
    row(`FUCOMIP ST0,ST${i}`, `DF ${hex(0xe8 + i)}`, { prepare: stateWithoutC1 }),
  ]),
  row('FCOMPP', 'DE D9'),
  row('FUCOMPP', 'DA E9'),
  row('FTST', 'D9 E4', { count: 24 }),
  row('FXAM', 'D9 E5', { count: 40 }),
];

const UNARY: Template[] = [
  row('FCHS', 'D9 E0'),
  row('FABS', 'D9 E1'),
  row('FSQRT', 'D9 FA', { count: 40 }),
  row('FRNDINT', 'D9 FC', { count: 40 }),
  row('FSCALE', 'D9 FD', { count: 40 }),
  row('FXTRACT', 'D9 F4', { count: 30 }),
  row('FPREM', 'D9 F8', { count: 50, prepare: nearExponents }),
  row('FPREM1', 'D9 F5', { count: 50, prepare: nearExponents }),
  ...['FLD1', 'FLDL2T', 'FLDL2E', 'FLDPI', 'FLDLG2', 'FLDLN2', 'FLDZ'].map((name, i) =>
    row(name, `D9 ${hex(0xe8 + i)}`),
  ),
];

const TRANSFER: Template[] = [
  memory('FLD-f32', 'D9 /0', 4, 'f32'),
  memory('FLD-f64', 'DD /0', 8, 'f64'),
  memory('FLD-f80', 'DB /5', 10, 'f80'),
  memory('FST-f32', 'D9 /2', 4, 'i32', 40),
  memory('FSTP-f32', 'D9 /3', 4, 'i32'),
  memory('FST-f64', 'DD /2', 8, 'i32', 40),
  memory('FSTP-f64', 'DD /3', 8, 'i32'),
  memory('FSTP-f80', 'DB /7', 10, 'i16'),
  memory('FILD-i16', 'DF /0', 2, 'i16', 12),
  memory('FILD-i32', 'DB /0', 4, 'i32', 12),
  memory('FILD-i64', 'DF /5', 8, 'i64'),
  memory('FIST-i16', 'DF /2', 2, 'i16', 30),
  memory('FISTP-i16', 'DF /3', 2, 'i16'),
  memory('FIST-i32', 'DB /2', 4, 'i32', 30),
  memory('FISTP-i32', 'DB /3', 4, 'i32'),
  memory('FISTP-i64', 'DF /7', 8, 'i64', 40),
  memory('FISTTP-i16', 'DF /1', 2, 'i16'),
  memory('FISTTP-i32', 'DB /1', 4, 'i32'),
  memory('FISTTP-i64', 'DD /1', 8, 'i64'),
  memory('FBLD', 'DF /4', 10, 'bcd'),
  memory('FBSTP', 'DF /6', 10, 'i8', 50),
  ...[0, 1, 2, 7].flatMap((i) => [
    row(`FLD ST${i}`, `D9 ${hex(0xc0 + i)}`),
    row(`FXCH ST${i}`, `D9 ${hex(0xc8 + i)}`),
    row(`FST ST${i}`, `DD ${hex(0xd0 + i)}`),
    row(`FSTP ST${i}`, `DD ${hex(0xd8 + i)}`),
    row(`FFREE ST${i}`, `DD ${hex(0xc0 + i)}`, { count: 4, prepare: stateWithoutC1 }),
  ]),
  ...['B', 'E', 'BE', 'U'].flatMap((condition, k) => [
    row(`FCMOV${condition} ST0,ST1`, `DA ${hex(0xc1 + 8 * k)}`, { prepare: stateWithoutC1 }),
    row(`FCMOVN${condition} ST0,ST2`, `DB ${hex(0xc2 + 8 * k)}`, { prepare: stateWithoutC1 }),
  ]),
];

/** The words of an environment that don't depend on the last instruction: control, status, tag. SDM vol. 1, 8.1.10. */
function environmentWords(a: Assembly): [number, number][] {
  const step = a.size === 16 ? 2 : 4;
  return [0, 1, 2].map((i) => [a.target + i * step, 2]);
}

function storeEnvironment(a: Assembly, withRegisters: boolean): void {
  randomState(a.draft);
  a.memoryLength = (a.size === 16 ? 14 : 28) + (withRegisters ? 80 : 0);
  a.memory = new Uint8Array(a.memoryLength);
  a.target = 0x1000_0200 + a.draft.random.below(0x800);
  a.addressOverride = false;
  a.draft.comparedMemory = environmentWords(a);
  if (!withRegisters) return;
  const base = a.target + a.memoryLength - 80;
  const top = (a.draft.fsw >> 11) & 7;
  for (let i = 0; i < 8; i++) {
    if ((a.draft.tags >> ((top + i) & 7)) & 1) a.draft.comparedMemory.push([base + 10 * i, 10]);
  }
}

function loadEnvironment(a: Assembly, withRegisters: boolean): void {
  const { draft } = a;
  const { random } = draft;
  randomState(draft);
  const step = a.size === 16 ? 2 : 4;
  a.memoryLength = (a.size === 16 ? 14 : 28) + (withRegisters ? 80 : 0);
  const bytes = new Uint8Array(a.memoryLength);
  const status = random.bits(16) & 0x7f3fn;
  bytes.set(toBytes(0x7fn | (BigInt(random.pick([0, 2, 3])) << 8n) | (BigInt(random.below(4)) << 10n), 2), 0);
  bytes.set(toBytes(status, 2), step);
  bytes.set(toBytes(random.bits(16), 2), 2 * step);
  if (withRegisters) {
    bytes.set(operandBytes(random, 'f80', 80), bytes.length - 80);
    for (let i = 0; i < 8; i++) draft.comparedX87.add(i);
  } else for (const i of draft.x87.keys()) draft.comparedX87.add(i);
  draft.comparesValidX87 = false;
  a.memory = bytes;
  a.target = 0x1000_0200 + random.below(0x800);
  a.addressOverride = false;
}

/** Fields of the FXSAVE area that don't depend on the last x87 instruction or on the vendor. SDM vol. 1, 10.5.1. */
function fxFields(a: Assembly): [number, number][] {
  const fields: [number, number][] = [[0, 5], [24, 4]]; // prettier-ignore
  const top = (a.draft.fsw >> 11) & 7;
  for (let i = 0; i < 8; i++) if ((a.draft.tags >> ((top + i) & 7)) & 1) fields.push([32 + 16 * i, 10]);
  for (let i = 0; i < a.draft.regs.length; i++) fields.push([160 + 16 * i, 16]);
  return fields.map(([at, length]) => [a.target + at, length]);
}

function fxPlace(a: Assembly): void {
  a.memoryLength = 512;
  a.target = 0x1000_0200 + 16 * a.draft.random.below(64) + (a.ordinal === 5 ? 8 : 0);
  a.addressOverride = false;
}

function fxSave(a: Assembly): void {
  const { draft } = a;
  randomState(draft);
  for (const i of [0, 3, 7]) draft.xmm.set(i, draft.random.bytes(16));
  draft.usesMxcsr = true;
  draft.mxcsr = 0x1f80 | draft.random.below(64);
  fxPlace(a);
  a.memory = new Uint8Array(512);
  draft.comparedMemory = fxFields(a);
}

export function fxRestore(a: Assembly): void {
  const { draft } = a;
  const { random } = draft;
  randomState(draft);
  draft.comparesValidX87 = false;
  draft.usesMxcsr = true;
  fxPlace(a);
  const bytes = new Uint8Array(512);
  bytes.set(toBytes(0x37fn | (BigInt(random.below(4)) << 10n), 2), 0);
  bytes.set(toBytes(random.bits(16) & 0x7f3fn, 2), 2);
  bytes[4] = random.below(256);
  bytes.set(toBytes(BigInt(random.below(0x10000)) | (a.ordinal === 4 ? 0x8000_0000n : 0n), 4), 24);
  for (let i = 0; i < 8; i++) {
    bytes.set(toBytes(f80(random), 10), 32 + 16 * i);
    draft.comparedX87.add(i);
  }
  for (let i = 0; i < draft.regs.length; i += 3) {
    bytes.set(random.bytes(16), 160 + 16 * i);
    draft.comparedXmm.add(i);
  }
  a.memory = bytes;
  draft.comparedMemory = [];
}

/** An exception is pending: waiting instructions raise #MF before they do anything. */
function pending(a: Assembly): void {
  const { draft } = a;
  randomState(draft);
  const which = 1 << draft.random.below(6);
  draft.fcw = 0x37f & ~which;
  draft.fsw = (draft.fsw & 0x7f00) | which | 0x8080;
  draft.extraRegs.cr0 = draft.bits === 64 ? 0x80000033 : 0x33;
}

const CONTROL: Template[] = [
  row('FNOP', 'D9 D0', { count: 2, prepare: stateWithoutC1 }),
  row('FINCSTP', 'D9 F7', { count: 6, prepare: stateWithoutC1 }),
  row('FDECSTP', 'D9 F6', { count: 6, prepare: stateWithoutC1 }),
  row('FNINIT', 'DB E3', { count: 4 }),
  row('FNCLEX', 'DB E2', { count: 6 }),
  row('FWAIT', '9B', { count: 2 }),
  row('FNSTSW AX', 'DF E0', { uses: [0] }),
  row('FNSTSW Mw', 'DD /7'),
  row('FNSTCW Mw', 'D9 /7'),
  row('FLDCW Mw', 'D9 /5', {
    prepare(a) {
      randomState(a.draft);
      a.draft.fsw &= ~0x3f;
      a.memory?.set(toBytes((a.draft.random.bits(16) & 0x0f3fn) | 0x40n, 2));
    },
  }),
  row('FNSTENV M', 'D9 /6', { sizes: [16, 32], noFaults: true, count: 16, prepare: (a) => storeEnvironment(a, false) }),
  row('FNSAVE M', 'DD /6', { sizes: [16, 32], noFaults: true, count: 10, prepare: (a) => storeEnvironment(a, true) }),
  row('FLDENV M', 'D9 /4', { sizes: [16, 32], noFaults: true, count: 12, prepare: (a) => loadEnvironment(a, false) }),
  row('FRSTOR M', 'DD /4', { sizes: [16, 32], noFaults: true, count: 10, prepare: (a) => loadEnvironment(a, true) }),
  row('FXSAVE M', '0F AE /0', { noFaults: true, count: 10, prepare: fxSave }),
  row('FXRSTOR M', '0F AE /1', { noFaults: true, count: 10, prepare: fxRestore }),
  row('FADD-pending ST0,ST1', 'D8 C1', { count: 4, prepare: pending }),
  row('FLD1-pending', 'D9 E8', { count: 4, prepare: pending }),
  row('FWAIT-pending', '9B', { count: 4, prepare: pending }),
  row('FNSTSW-pending AX', 'DF E0', { count: 4, prepare: pending }),
  row('FNCLEX-pending', 'DB E2', { count: 4, prepare: pending }),
  row('PADDB-pending Pq,Qq', '0F FC /r', { count: 4, noFaults: true, prepare: pending }),
];

export const X87: readonly Template[] = [...ARITHMETIC, ...COMPARE, ...UNARY, ...TRANSFER, ...CONTROL];
