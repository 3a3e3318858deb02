/**
 * A decoder in plain TypeScript: finds the row and the operands that bytes mean in a mode. It is written for clarity
 * (the disassembler, the evaluator's tests and the tests of the core's decoder use it), and independently of the
 * compiled decode tables, so that each is a check of the other.
 *
 * @example
 * const match = createMatcher(instructionTable);
 * match([0x48, 0x01, 0xd8], 64); // { row: ADD Ev,Gv, size: 8, operands: [register 0, register 3], length: 3, … }
 */
import type { Instruction, Operand, Size } from './builder.ts';
import type { Row } from './row.ts';

export type CodeMode = 16 | 32 | 64;

export interface RegisterMatch extends Operand {
  readonly kind: 'register' | 'segment' | 'control' | 'debug' | 'vector' | 'mmx' | 'x87';
  /** 0…15; of the high byte registers AH CH DH BH: 0…3. */
  readonly number: number;
  readonly highByte: boolean;
}

export interface MemoryMatch extends Operand {
  readonly kind: 'memory';
  /** ModRM or moffs operand, or the implied one of a string instruction at rSI or rDI. */
  readonly form: 'address' | 'source' | 'destination';
  /** Segment by number, as the default or a prefix says. */
  readonly segment: number;
  readonly base: number | 'rip' | undefined;
  readonly index: number | undefined;
  /** Shift of the index, 0…3. */
  readonly scale: number;
  /** Sign-extended. */
  readonly displacement: bigint;
}

export interface ImmediateMatch extends Operand {
  readonly kind: 'immediate';
  /** Of the operand's size, zero-extended; branch displacements signed; far pointers as {@link Builder.farPointer}. */
  readonly value: bigint;
  readonly relative: boolean;
}

export type OperandMatch = RegisterMatch | MemoryMatch | ImmediateMatch;

export interface Match extends Instruction {
  readonly row: Row;
  readonly mode: CodeMode;
  readonly operands: readonly OperandMatch[];
  /** Bytes of the instruction. */
  readonly length: number;
  readonly lock: boolean;
  /** Segment of string sources and XLAT. */
  readonly sourceSegment: number;
  /** FOP of an x87 instruction (`Builder.x87Opcode`). */
  readonly x87Opcode: number;
  /** Segment override as written, if any. */
  readonly segmentPrefix: number | undefined;
}

/** No row: an invalid opcode. More bytes are needed than there are. More than 15 bytes: #GP. */
export type NoMatch = 'undefined' | 'truncated' | 'too long';

export type Matcher = (bytes: ArrayLike<number>, mode: CodeMode) => Match | NoMatch;

type MandatoryPrefix = 'any' | 'NP' | '66' | 'F3' | 'F2';

interface Pattern {
  readonly row: Row;
  readonly prefix: MandatoryPrefix;
  readonly modrm: boolean;
  readonly mod: 'mem' | 'reg' | undefined;
  readonly reg: number | undefined;
  readonly rm: number | undefined;
  readonly plus: 'r' | 'cc' | undefined;
  /** Number of fields that the row fixes: the row that fixes more stands before one that fixes less. */
  readonly weight: number;
}

const maximumLength = 15;

/** Patterns by opcode: map × 256 + last opcode byte, maps 0, 0F, 0F 38, 0F 3A. */
function parseEncoding(row: Row): { key: number; span: number; pattern: Pattern } {
  const words = row.encoding.split(' ');
  let prefix: MandatoryPrefix = 'any';
  const first = words[0];
  const isByte = (w: string | undefined): boolean => w !== undefined && /^[0-9A-F]{2}$/.test(w);
  if (first === 'NP' || ((first === '66' || first === 'F2' || first === 'F3') && isByte(words[1]))) {
    prefix = first;
    words.shift();
  }
  const count = words.findIndex((w) => !isByte(w));
  const bytes = words.slice(0, count < 0 ? words.length : count).map((w) => parseInt(w, 16));
  const rest = words.slice(bytes.length);
  let map = 0;
  if (bytes[0] === 0x0f && bytes.length > 1) {
    map = bytes.length > 2 && bytes[1] === 0x38 ? 2 : bytes.length > 2 && bytes[1] === 0x3a ? 3 : 1;
    bytes.splice(0, map === 1 ? 1 : 2);
  }
  const [opcode, exact] = bytes;
  if (opcode === undefined) throw new Error(`row "${row.encoding}" has no opcode byte`);
  const group = rest.find((w) => /^\/[0-7]$/.test(w));
  const rmIs = rest.find((w) => /^rm=[0-7]$/.test(w));
  const reg = exact === undefined ? (group ? Number(group[1]) : undefined) : (exact >> 3) & 7;
  const rm = exact === undefined ? (rmIs ? Number(rmIs[3]) : undefined) : exact & 7;
  const mod = rest.includes('mem') ? 'mem' : rest.includes('reg') || rm !== undefined ? 'reg' : undefined;
  const plus = rest.includes('+r') ? 'r' : rest.includes('+cc') ? 'cc' : undefined;
  const modrm = exact !== undefined || rest.some((w) => w.startsWith('/'));
  const fixed = [reg, rm, mod, prefix === 'any' ? undefined : prefix, row.modes, plus === 'r' ? undefined : 0];
  return {
    key: map * 256 + opcode,
    span: plus === 'r' ? 8 : plus === 'cc' ? 16 : 1,
    pattern: { row, prefix, modrm, mod, reg, rm, plus, weight: fixed.filter((f) => f !== undefined).length },
  };
}

/** Reads bytes and notes when there are none left. */
class Reader {
  at = 0;
  private readonly bytes: ArrayLike<number>;

  constructor(bytes: ArrayLike<number>) {
    this.bytes = bytes;
  }

  peek(): number {
    const b = this.bytes[this.at];
    if (b === undefined) throw new Truncated();
    if (this.at >= maximumLength) throw new TooLong();
    return b;
  }

  byte(): number {
    const b = this.peek();
    this.at++;
    return b;
  }

  /** Little-endian, zero-extended. */
  unsigned(size: number): bigint {
    let v = 0n;
    for (let k = 0; k < size; k++) v |= BigInt(this.byte()) << BigInt(8 * k);
    return v;
  }

  signed(size: number): bigint {
    return BigInt.asIntN(8 * size, this.unsigned(size));
  }
}

class Truncated extends Error {}
class TooLong extends Error {}

interface Prefixes {
  operand: boolean;
  address: boolean;
  lock: boolean;
  repeat: 'none' | 'rep' | 'repne';
  segment: number | undefined;
  /** REX byte, 0 if there is none. */
  rex: number;
}

const segmentOfPrefix: Readonly<Record<number, number>> = { 0x26: 0, 0x2e: 1, 0x36: 2, 0x3e: 3, 0x64: 4, 0x65: 5 };

function readPrefixes(r: Reader, mode: CodeMode): Prefixes {
  const p: Prefixes = { operand: false, address: false, lock: false, repeat: 'none', segment: undefined, rex: 0 };
  for (;;) {
    const b = r.peek();
    const segment = segmentOfPrefix[b];
    if (mode === 64 && b >= 0x40 && b <= 0x4f) {
      r.byte();
      p.rex = b;
      continue;
    }
    if (segment !== undefined) {
      // ES, CS, SS and DS overrides mean nothing in 64-bit code, and do not undo one of FS or GS.
      if (mode !== 64 || segment >= 4) p.segment = segment;
    } else if (b === 0x66) p.operand = true;
    else if (b === 0x67) p.address = true;
    else if (b === 0xf0) p.lock = true;
    else if (b === 0xf2) p.repeat = 'repne';
    else if (b === 0xf3) p.repeat = 'rep';
    else return p;
    r.byte();
    // Only a REX right before the opcode counts.
    p.rex = 0;
  }
}

interface ModRm {
  readonly mod: number;
  readonly reg: number;
  readonly rm: number;
}

/** Base and index of 16-bit addressing by rm. */
const pairs16: readonly (readonly [number | undefined, number | undefined])[] = [
  [3, 6],
  [3, 7],
  [5, 6],
  [5, 7],
  [6, undefined],
  [7, undefined],
  [5, undefined],
  [3, undefined],
];

type Address = Pick<MemoryMatch, 'base' | 'index' | 'scale' | 'displacement'>;

function readAddress16(r: Reader, m: ModRm): Address {
  if (m.mod === 0 && m.rm === 6) return { base: undefined, index: undefined, scale: 0, displacement: r.signed(2) };
  const [base, index] = pairs16[m.rm] ?? [undefined, undefined];
  const displacement = m.mod === 1 ? r.signed(1) : m.mod === 2 ? r.signed(2) : 0n;
  return { base, index, scale: 0, displacement };
}

function readAddress(r: Reader, m: ModRm, mode: CodeMode, rex: number): Address {
  const rexB = rex & 1 ? 8 : 0;
  let base: number | 'rip' | undefined = m.rm | rexB;
  let index: number | undefined;
  let scale = 0;
  let absolute = m.mod === 0 && m.rm === 5;
  if (m.rm === 4) {
    const sib = r.byte();
    index = ((sib >> 3) & 7) | (rex & 2 ? 8 : 0);
    if (index === 4) index = undefined;
    scale = sib >> 6;
    base = (sib & 7) | rexB;
    absolute = m.mod === 0 && (sib & 7) === 5;
    if (absolute) base = undefined;
  } else if (absolute) base = mode === 64 ? 'rip' : undefined;
  const displacement = absolute || m.mod === 2 ? r.signed(4) : m.mod === 1 ? r.signed(1) : 0n;
  return { base, index, scale: index === undefined ? 0 : scale, displacement };
}

/** Bytes of a size letter at operand size `size`; 0 for an operand that is an address only. */
export function operandBytes(letter: string, size: number): number {
  switch (letter) {
    case 'b':
      return 1;
    case 'w':
      return 2;
    case 'd':
      return 4;
    case 'q':
      return 8;
    case 'v':
      return size;
    case 'z':
      return Math.min(size, 4);
    case 'y':
      return Math.max(size, 4);
    case 'p':
      return size + 2;
    case 's':
      return size === 8 ? 10 : 6;
    case 't':
      return 10;
    case 'o':
      return 16;
    case 'x':
      return 512;
    default:
      return 0;
  }
}

const namedRegisters: Readonly<Record<string, readonly [number: number, letter: string]>> = {
  AL: [0, 'b'],
  CL: [1, 'b'],
  AX: [0, 'w'],
  DX: [2, 'w'],
  rAX: [0, 'v'],
  eAX: [0, 'z'],
};
const namedSegments = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'];

/** Everything that operands are made of. */
interface Context {
  readonly reader: Reader;
  readonly mode: CodeMode;
  readonly prefixes: Prefixes;
  readonly modrm: ModRm | undefined;
  readonly opcode: number;
  readonly address: Address | undefined;
  readonly size: 2 | 4 | 8;
  readonly addressSize: 2 | 4 | 8;
}

function register(
  kind: RegisterMatch['kind'],
  size: number,
  number: number,
  rex: number,
  extension: boolean,
): RegisterMatch {
  const highByte = kind === 'register' && size === 1 && rex === 0 && number >= 4;
  const extended = kind === 'register' || kind === 'vector' || kind === 'control' || kind === 'debug';
  return { kind, size, number: highByte ? number - 4 : number + (extension && extended ? 8 : 0), highByte };
}

/** SS for addresses on rSP and rBP, else DS. */
function defaultSegment(a: Address, addressSize: number): number {
  if (a.base === 'rip' || a.base === undefined) return 3;
  return a.base === 5 || (a.base === 4 && addressSize !== 2) ? 2 : 3;
}

function memory(c: Context, size: number, a: Address, form: MemoryMatch['form']): MemoryMatch {
  const segment = c.prefixes.segment ?? defaultSegment(a, c.addressSize);
  return { kind: 'memory', form, size, segment, ...a };
}

const kindOfLetter: Readonly<Record<string, RegisterMatch['kind']>> = {
  E: 'register',
  R: 'register',
  G: 'register',
  Z: 'register',
  S: 'segment',
  C: 'control',
  D: 'debug',
  W: 'vector',
  U: 'vector',
  V: 'vector',
  Q: 'mmx',
  N: 'mmx',
  P: 'mmx',
  T: 'x87',
};
const defaultLetter: Readonly<Record<string, string>> = {
  W: 'o',
  U: 'o',
  V: 'o',
  Q: 'q',
  N: 'q',
  P: 'q',
  T: 't',
  S: 'w',
};

function immediateOperand(c: Context, letter: string): ImmediateMatch {
  const make = (size: number, v: bigint): ImmediateMatch => ({
    kind: 'immediate',
    size,
    value: BigInt.asUintN(8 * size, v),
    relative: false,
  });
  switch (letter) {
    case 'b':
      return make(1, c.reader.unsigned(1));
    case 'w':
      return make(2, c.reader.unsigned(2));
    case 'sb':
      return make(c.size, c.reader.signed(1));
    case 'z':
      return make(c.size, c.reader.signed(Math.min(c.size, 4)));
    case 'v':
      return make(c.size, c.reader.unsigned(c.size));
    default:
      throw new Error(`unknown immediate I${letter}`);
  }
}

/** The bit of REX that extends an operand's register number. */
function rexBit(letter: string): number {
  return 'GVPCDS'.includes(letter) ? 4 : 1;
}

function parseOperand(c: Context, text: string): OperandMatch {
  const named = namedRegisters[text];
  if (named) return { kind: 'register', size: operandBytes(named[1], c.size), number: named[0], highByte: false };
  const segment = namedSegments.indexOf(text);
  if (segment >= 0) return { kind: 'segment', size: 2, number: segment, highByte: false };
  if (text === '1') return { kind: 'immediate', size: 1, value: 1n, relative: false };
  if (text === 'XMM0') return { kind: 'vector', size: 16, number: 0, highByte: false };
  if (text === 'ST') return { kind: 'x87', size: 10, number: 0, highByte: false };
  const where = text[0] ?? '';
  const letter = text.slice(1).trim() || (defaultLetter[where] ?? '');
  const size = operandBytes(letter, c.size);
  const { rex } = c.prefixes;
  switch (where) {
    case 'I':
      return immediateOperand(c, letter);
    case 'J': {
      const value = c.reader.signed(letter === 'b' ? 1 : Math.min(c.size, 4));
      return { kind: 'immediate', size: c.size, value, relative: true };
    }
    case 'A': {
      const offset = c.reader.unsigned(c.size);
      return { kind: 'immediate', size, value: offset | (c.reader.unsigned(2) << 32n), relative: false };
    }
    case 'O': {
      const displacement = BigInt.asIntN(8 * c.addressSize, c.reader.unsigned(c.addressSize));
      return memory(c, size, { base: undefined, index: undefined, scale: 0, displacement }, 'address');
    }
    case 'X':
      return memory(c, size, { base: 6, index: undefined, scale: 0, displacement: 0n }, 'source');
    case 'Y':
      return {
        kind: 'memory',
        form: 'destination',
        size,
        segment: 0,
        base: 7,
        index: undefined,
        scale: 0,
        displacement: 0n,
      };
    case 'Z':
      return register('register', size, c.opcode & 7, rex, (rex & 1) !== 0);
  }
  if (c.modrm === undefined) throw new Error(`operand "${text}" needs a ModRM byte`);
  if (c.address !== undefined && 'EMFWQ'.includes(where)) return memory(c, size, c.address, 'address');
  const kind = kindOfLetter[where];
  if (kind === undefined) throw new Error(`unknown operand "${text}"`);
  const number = 'GVPSCD'.includes(where) ? c.modrm.reg : c.modrm.rm;
  return register(kind, size, number, rex, (rex & rexBit(where)) !== 0);
}

/** A row whose R operand stands beside a control or debug register ignores ModRM.mod. */
function ignoresMod(row: Row): boolean {
  return row.operands.some((o) => o.startsWith('R')) && row.operands.some((o) => /^[CD][a-z]?$/.test(o));
}

function operandSize(row: Row, mode: CodeMode, p: Prefixes, mandatory: MandatoryPrefix): 2 | 4 | 8 {
  const other = p.operand && mandatory !== '66';
  if (mode === 64) {
    if (row.size64 === 'f64' || p.rex & 8) return 8;
    if (row.size64 === 'd64') return other ? 2 : 8;
    return other ? 2 : 4;
  }
  return (mode === 32) !== other ? 4 : 2;
}

/** Rows of bytes only have size 1. */
function bytesOnly(row: Row): boolean {
  const isByte = (o: string): boolean => o === '1' || namedRegisters[o]?.[1] === 'b' || /^[A-Z]b$/.test(o);
  return row.operands.length > 0 && row.size64 === undefined && row.operands.every(isByte);
}

function fits(pattern: Pattern, c: { mode: CodeMode; p: Prefixes; modrm: ModRm | undefined; opcode: number }): boolean {
  const { row } = pattern;
  if (row.modes !== undefined && (row.modes === 'long') !== (c.mode === 64)) return false;
  const selected = c.p.repeat === 'rep' ? 'F3' : c.p.repeat === 'repne' ? 'F2' : c.p.operand ? '66' : 'NP';
  if (pattern.prefix !== 'any' && pattern.prefix !== selected) return false;
  if (row.sizes && !row.sizes.includes(operandSize(row, c.mode, c.p, pattern.prefix))) return false;
  // 90 is NOP, unless REX.B makes it an exchange with R8.
  if (row.mnemonic === 'NOP' && c.opcode === 0x90 && c.p.rex & 1) return false;
  if (!c.modrm) return !pattern.modrm;
  if (pattern.reg !== undefined && pattern.reg !== c.modrm.reg) return false;
  if (pattern.rm !== undefined && pattern.rm !== c.modrm.rm) return false;
  return pattern.mod === undefined || (pattern.mod === 'reg') === (c.modrm.mod === 3);
}

export function createMatcher(rows: readonly Row[]): Matcher {
  const byOpcode = new Map<number, Pattern[]>();
  for (const row of rows) {
    const { key, span, pattern } = parseEncoding(row);
    for (let k = key; k < key + span; k++) byOpcode.set(k, [...(byOpcode.get(k) ?? []), pattern]);
  }
  for (const list of byOpcode.values()) list.sort((a, b) => b.weight - a.weight);
  return (bytes, mode) => {
    try {
      return matchWith(byOpcode, new Reader(bytes), mode);
    } catch (e) {
      if (e instanceof Truncated) return 'truncated';
      if (e instanceof TooLong) return 'too long';
      throw e;
    }
  };
}

function matchWith(byOpcode: ReadonlyMap<number, readonly Pattern[]>, reader: Reader, mode: CodeMode): Match | NoMatch {
  const p = readPrefixes(reader, mode);
  let opcode = reader.byte();
  let map = 0;
  if (opcode === 0x0f) {
    opcode = reader.byte();
    map = 1;
    if (opcode === 0x38 || opcode === 0x3a) {
      map = opcode === 0x38 ? 2 : 3;
      opcode = reader.byte();
    }
  }
  const candidates = byOpcode.get(map * 256 + opcode) ?? [];
  if (candidates.length === 0) return 'undefined';
  let modrm: ModRm | undefined;
  if (candidates.some((c) => c.modrm)) {
    const m = reader.byte();
    modrm = { mod: m >> 6, reg: (m >> 3) & 7, rm: m & 7 };
  }
  const pattern = candidates.find((c) => fits(c, { mode, p, modrm, opcode }));
  if (!pattern) return 'undefined';
  const { row } = pattern;
  const addressSize = mode === 64 ? (p.address ? 4 : 8) : (mode === 32) !== p.address ? 4 : 2;
  const size = operandSize(row, mode, p, pattern.prefix);
  let address: Address | undefined;
  if (modrm && modrm.mod !== 3 && !ignoresMod(row)) {
    address = addressSize === 2 ? readAddress16(reader, modrm) : readAddress(reader, modrm, mode, p.rex);
    if (row.operands.some((o) => /^[UNT]|^R[a-z]/.test(o)) && pattern.mod !== 'mem') {
      if (!row.operands.some((o) => /^[EMFWQ]/.test(o))) return 'undefined';
    }
  } else if (modrm && row.operands.some((o) => /^[MF]/.test(o))) return 'undefined';
  const context: Context = { reader, mode, prefixes: p, modrm, opcode, address, size, addressSize };
  const operands = row.operands.map((o) => parseOperand(context, o));
  if (p.lock && !(row.lock && operands[0]?.kind === 'memory')) return 'undefined';
  const instructionSize: Size = bytesOnly(row) ? 1 : size;
  return {
    row,
    mode,
    mnemonic: row.mnemonic,
    operands,
    size: instructionSize,
    stackSize: size,
    long: mode === 64,
    condition: pattern.plus === 'cc' ? opcode & 15 : 0,
    repeat: row.repeat ? p.repeat : 'none',
    addressSize,
    length: reader.at,
    lock: p.lock,
    sourceSegment: p.segment ?? 3,
    x87Opcode: modrm ? ((opcode & 7) << 8) | (modrm.mod << 6) | (modrm.reg << 3) | modrm.rm : 0,
    segmentPrefix: p.segment,
  };
}
