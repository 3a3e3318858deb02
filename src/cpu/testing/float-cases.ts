/**
 * TestFloat's vectors through real instructions: each function is a few programs of one or a few instructions (scalar,
 * packed, x87), with the rounding of its file in MXCSR.RC or in the x87 control word (precision 64 bits).
 *
 * @example
 * for (const program of floatPrograms(file.fn))
 *   for (const vector of testFloatCases(file.text)) runFloatCase(machine, program, vector); // [] when it passes
 */
import type { CpuCase } from './cases.ts';
import type { CaseMachine } from './machine.ts';
import type { Difference } from './runner.ts';
import type { TestFloatCase, TestFloatFormat, TestFloatFunction } from './testfloat.ts';

/** Where a program's result lies. `mask`: all ones or zeros in the low lane; `lanes`: that often, all the same. */
type Result =
  | { readonly kind: 'xmm'; readonly lanes: number }
  | { readonly kind: 'mask' }
  | { readonly kind: 'register' }
  | { readonly kind: 'memory' }
  | { readonly kind: 'st0' }
  | { readonly kind: 'equal' | 'below' };

/** Where the operands go. `xmm`: replicated over 16 bytes; `xmm1`: a single one goes to the source register. */
type Operands = 'xmm' | 'xmm1' | 'register' | 'memory' | 'stack';

export interface FloatProgram {
  readonly fn: TestFloatFunction;
  readonly mnemonic: string;
  readonly code: Uint8Array;
  readonly unit: 'sse' | 'x87';
  readonly mode: 'protected32' | 'long64';
  readonly operands: Operands;
  readonly result: Result;
  /** Instructions; undefined: until HLT. */
  readonly steps: number | undefined;
}

const CODE = 0x1000;
const DATA = 0x2000;
/** Exception flags that TestFloat knows: all but DE. */
const FLAGS = 0x3d;
const ZF = 0x40;
const PF = 0x04;
const CF = 0x01;

const bytesOf: Readonly<Record<TestFloatFormat, number>> = { f32: 4, f64: 8, extF80: 10, i32: 4, i64: 8, bool: 1 };

const arithmetic = { add: 0x58, mul: 0x59, sub: 0x5c, div: 0x5e, sqrt: 0x51 } as const;
/** ST(0) with ST(1). */
const x87Codes = {
  add: ['FADD', 'd8c1'],
  mul: ['FMUL', 'd8c9'],
  sub: ['FSUB', 'd8e1'],
  div: ['FDIV', 'd8f1'],
  sqrt: ['FSQRT', 'd9fa'],
  roundToInt: ['FRNDINT', 'd9fc'],
} as const;
/** FPREM1 until C2 is clear: FPREM1, FNSTSW AX, SAHF, JP back, HLT. */
const REMAINDER = 'd9f5dfe09e7af9f4';

function hexBytes(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

const byte = (n: number): string => n.toString(16).padStart(2, '0');

/** The programs that compute a function. */
export function floatPrograms(fn: TestFloatFunction): readonly FloatProgram[] {
  if (fn.operand === 'extF80' || fn.result === 'extF80') return x87Programs(fn);
  if (fn.operation === 'convert') return conversions(fn);
  return fn.result === 'bool' ? comparisons(fn) : sseArithmetic(fn);
}

type Details = Pick<FloatProgram, 'operands' | 'result'> & Partial<Pick<FloatProgram, 'mode' | 'steps'>>;

function program(
  fn: TestFloatFunction,
  unit: FloatProgram['unit'],
  mnemonic: string,
  code: string,
  details: Details,
): FloatProgram {
  return { fn, unit, mnemonic, code: hexBytes(code), mode: 'protected32', steps: 1, ...details };
}

function sseArithmetic(fn: TestFloatFunction): readonly FloatProgram[] {
  const opcode = arithmetic[fn.operation as keyof typeof arithmetic];
  if (opcode === undefined) throw new Error(`no SSE instruction computes ${fn.name}`);
  const name = fn.operation.toUpperCase();
  // The destination is xmm0; a single operand is the source, xmm0 too.
  const tail = `0f${byte(opcode)}${fn.operation === 'sqrt' ? 'c0' : 'c1'}`;
  const [scalar, packed, letter, lanes] = fn.operand === 'f32' ? ['f3', '', 'S', 4] : ['f2', '66', 'D', 2];
  return [
    program(fn, 'sse', `${name}S${letter}`, scalar + tail, { operands: 'xmm', result: { kind: 'xmm', lanes: 1 } }),
    program(fn, 'sse', `${name}P${letter}`, packed + tail, { operands: 'xmm', result: { kind: 'xmm', lanes } }),
  ];
}

/** `lt` and `le` signal for quiet NaNs, `eq` does not. */
function comparisons(fn: TestFloatFunction): readonly FloatProgram[] {
  const [letter, prefix, scalar] = fn.operand === 'f32' ? ['S', '', 'f3'] : ['D', '66', 'f2'];
  const quiet = fn.operation === 'eq' || fn.operation === 'lt_quiet';
  const kind = fn.operation === 'eq' ? 'equal' : 'below';
  if (!['eq', 'lt', 'lt_quiet'].includes(fn.operation)) throw new Error(`no SSE instruction computes ${fn.name}`);
  const compare = program(fn, 'sse', `${quiet ? 'U' : ''}COMIS${letter}`, `${prefix}0f${quiet ? '2e' : '2f'}c1`, {
    operands: 'xmm',
    result: { kind },
  });
  if (fn.operation === 'lt_quiet') return [compare];
  const predicate = fn.operation === 'eq' ? '00' : '01';
  const masked = program(fn, 'sse', `CMPS${letter} ${predicate}`, `${scalar}0fc2c1${predicate}`, {
    operands: 'xmm',
    result: { kind: 'mask' },
  });
  return [compare, masked];
}

function conversions(fn: TestFloatFunction): readonly FloatProgram[] {
  const letter = (format: TestFloatFormat): string => (format.startsWith('i') ? 'SI' : format === 'f32' ? 'SS' : 'SD');
  const wide = fn.operand === 'i64' || fn.result === 'i64';
  const mode = wide ? 'long64' : 'protected32';
  const float = fn.operand.startsWith('i') ? fn.result : fn.operand;
  const prefix = (float === 'f32' ? 'f3' : 'f2') + (wide ? '48' : '');
  const make = (opcode: string, truncates = ''): FloatProgram =>
    program(fn, 'sse', `CVT${truncates}${letter(fn.operand)}2${letter(fn.result)}`, `${prefix}0f${opcode}c1`, {
      mode,
      operands: fn.operand.startsWith('i') ? 'register' : 'xmm1',
      result: fn.result.startsWith('i') ? { kind: 'register' } : { kind: 'xmm', lanes: 1 },
    });
  if (fn.operand.startsWith('i')) return [make('2a')];
  if (!fn.result.startsWith('i')) return [make('5a')];
  // Truncation is what the rounding control says in one of the files.
  return fn.rounding === 3 ? [make('2d'), make('2c', 'T')] : [make('2d')];
}

function x87Programs(fn: TestFloatFunction): readonly FloatProgram[] {
  const memory = (mnemonic: string, opcode: string, details: Details): FloatProgram =>
    program(fn, 'x87', mnemonic, opcode + byte(DATA & 0xff) + byte(DATA >> 8) + '0000', details);
  if (fn.operation === 'convert' && fn.result === 'extF80') {
    const load = {
      f32: ['FLD m32', 'd905'],
      f64: ['FLD m64', 'dd05'],
      i32: ['FILD m32', 'db05'],
      i64: ['FILD m64', 'df2d'],
    };
    const [mnemonic, opcode] = load[fn.operand as keyof typeof load] as [string, string];
    return [memory(mnemonic, opcode, { operands: 'memory', result: { kind: 'st0' } })];
  }
  const details: Details = { operands: 'stack', result: { kind: 'memory' } };
  if (fn.operation === 'convert') {
    const store = {
      f32: [['FSTP m32', 'd91d']],
      f64: [['FSTP m64', 'dd1d']],
      i32: [['FIST m32', 'db15'], ['FISTP m32', 'db1d'], ['FISTTP m32', 'db0d']],
      i64: [['FISTP m64', 'df3d'], ['FISTTP m64', 'dd0d']],
    } as const; // prettier-ignore
    return store[fn.result as keyof typeof store]
      .filter(([mnemonic]) => !mnemonic.startsWith('FISTT') || fn.rounding === 3)
      .map(([mnemonic, opcode]) => memory(mnemonic, opcode, details));
  }
  const result = { kind: 'st0' } as const;
  if (fn.operation === 'rem') {
    return [program(fn, 'x87', 'FPREM1', REMAINDER, { operands: 'stack', result, steps: undefined })];
  }
  const [mnemonic, code] = x87Codes[fn.operation as keyof typeof x87Codes] ?? [];
  if (mnemonic === undefined || code === undefined) throw new Error(`no x87 instruction computes ${fn.name}`);
  return [program(fn, 'x87', mnemonic, code, { operands: 'stack', result })];
}

/** The `length` low bytes of a number, the first lowest. */
function littleEndian(value: bigint, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

function numberOf(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, b) => (value << 8n) | BigInt(b), 0n);
}

function repeated(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, i) => bytes[i % bytes.length] ?? 0);
}

/** A program with its operands, as a case that expects nothing. */
function caseOf(p: FloatProgram, vector: TestFloatCase): CpuCase {
  const size = bytesOf[p.fn.operand];
  const operands = vector.operands.map((operand) => littleEndian(operand, size));
  const first = operands[0] ?? new Uint8Array(size);
  const names = p.operands === 'stack' ? ['st0', 'st1'] : p.operands === 'xmm1' ? ['xmm1'] : ['xmm0', 'xmm1'];
  const inRegisters = p.operands !== 'register' && p.operands !== 'memory';
  const value = (bytes: Uint8Array): Uint8Array => (p.operands === 'stack' ? bytes : repeated(bytes));
  const rounding = BigInt(p.fn.rounding);
  return {
    name: `${p.fn.name}.${p.fn.rounding}`,
    asm: p.mnemonic,
    mode: p.mode,
    cpl: 0,
    pages: undefined,
    regs: {
      rip: BigInt(CODE),
      mxcsr: 0x1f80n | (rounding << 13n),
      fcw: 0x37fn | (rounding << 10n),
      ...(p.operands === 'register' ? { rcx: vector.operands[0] ?? 0n } : {}),
    },
    vec: inRegisters ? Object.fromEntries(operands.map((bytes, n) => [names[n] ?? '', value(bytes)])) : {},
    mem: [
      { address: CODE, bytes: p.code },
      { address: DATA, bytes: p.operands === 'memory' ? first : new Uint8Array(16) },
    ],
    zero: [],
    end: p.steps === undefined ? { kind: 'hlt' } : { kind: 'steps', count: p.steps },
    expect: { regs: {}, vec: {}, mem: [], exception: undefined },
    flagsMask: 0n,
    takesException: undefined,
    tagForm: 'abridged',
  };
}

/** The results, one for each lane. */
function resultsOf(machine: CaseMachine, p: FloatProgram): bigint[] {
  const size = bytesOf[p.fn.result];
  const { result } = p;
  switch (result.kind) {
    case 'xmm': {
      const bytes = machine.readVec('xmm0');
      return Array.from({ length: result.lanes }, (_, n) => numberOf(bytes.subarray(n * size, (n + 1) * size)));
    }
    case 'mask': {
      const lane = numberOf(machine.readVec('xmm0').subarray(0, bytesOf[p.fn.operand]));
      const ones = (1n << BigInt(8 * bytesOf[p.fn.operand])) - 1n;
      return [lane === ones ? 1n : lane === 0n ? 0n : lane];
    }
    case 'register':
      return [BigInt.asUintN(8 * size, machine.readReg('rax'))];
    case 'memory':
      return [numberOf(machine.readMem(DATA, size))];
    case 'st0':
      return [numberOf(machine.readVec('st0'))];
    case 'equal':
    case 'below': {
      const flags = Number(machine.readReg('eflags'));
      const unordered = (flags & PF) !== 0;
      return [!unordered && (flags & (result.kind === 'equal' ? ZF : CF)) !== 0 ? 1n : 0n];
    }
  }
}

/** Sign and exponent in bits 64–79. */
function isNaN80(bits: bigint): boolean {
  return ((bits >> 64n) & 0x7fffn) === 0x7fffn && (bits & 0x7fff_ffff_ffff_ffffn) !== 0n;
}

/** Loads, runs and compares one vector. Payloads of extF80's NaNs are not compared. */
export function runFloatCase(machine: CaseMachine, p: FloatProgram, vector: TestFloatCase): Difference[] {
  const c = caseOf(p, vector);
  machine.load(c);
  const end = machine.run(c.end, { maxInstructions: 10_000, stopAtException: p.steps !== undefined });
  if (end.kind !== 'ended') return [{ what: 'end', expected: 'the end', actual: end.kind }];
  const differences: Difference[] = [];
  const hex = (n: bigint | number): string => `0x${n.toString(16)}`;
  for (const actual of resultsOf(machine, p)) {
    if (actual === vector.result) continue;
    if (p.fn.result === 'extF80' && isNaN80(actual) && isNaN80(vector.result)) continue;
    differences.push({ what: 'result', expected: hex(vector.result), actual: hex(actual) });
    break;
  }
  const flags = Number(machine.readReg(p.unit === 'sse' ? 'mxcsr' : 'fsw')) & FLAGS;
  if (flags !== vector.flags) differences.push({ what: 'flags', expected: hex(vector.flags), actual: hex(flags) });
  return differences;
}

/** A line for people. */
export function describeFloatCase(p: FloatProgram, vector: TestFloatCase): string {
  const rounding = ['near_even', 'min', 'max', 'minMag'][p.fn.rounding] ?? '';
  return `${p.fn.name}.${rounding} ${vector.operands.map((operand) => operand.toString(16)).join(' ')}`;
}
