/**
 * Text of instructions in Intel syntax, from the same rows that are executed.
 *
 * @example
 * const disassemble = createDisassembler(instructionTable);
 * disassemble([0x48, 0x01, 0x18], 64, 0x1000n); // { text: 'add QWORD PTR [rax],rbx', length: 3 }
 */
import type { CodeMode, ImmediateMatch, Match, MemoryMatch, OperandMatch, RegisterMatch } from './match.ts';
import { createMatcher } from './match.ts';
import type { Row } from './row.ts';

export interface Disassembled {
  /** `(bad)` where the bytes are no instruction. */
  readonly text: string;
  /** Bytes that the text stands for; 1 for `(bad)`. */
  readonly length: number;
}

/** `ip`: address of the first byte, for the targets of branches. */
export type Disassembler = (bytes: ArrayLike<number>, mode: CodeMode, ip: bigint) => Disassembled;

const low8 = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'];
const high8 = ['ah', 'ch', 'dh', 'bh'];
const words = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
const segments = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const conditions = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];
const pointers: Readonly<Record<number, string>> = {
  1: 'BYTE',
  2: 'WORD',
  4: 'DWORD',
  6: 'FWORD',
  8: 'QWORD',
  10: 'TBYTE',
  16: 'XMMWORD',
};

function generalRegister(n: number, size: number): string {
  if (size === 1) return n < 8 ? (low8[n] ?? '') : `r${n}b`;
  if (n >= 8) return `r${n}${size === 8 ? '' : size === 4 ? 'd' : 'w'}`;
  return `${size === 8 ? 'r' : size === 4 ? 'e' : ''}${words[n]}`;
}

function registerText(o: RegisterMatch): string {
  switch (o.kind) {
    case 'register':
      return o.highByte ? (high8[o.number] ?? '') : generalRegister(o.number, o.size);
    case 'segment':
      return segments[o.number] ?? '?';
    case 'control':
      return `cr${o.number}`;
    case 'debug':
      return `dr${o.number}`;
    case 'vector':
      return `xmm${o.number}`;
    case 'mmx':
      return `mm${o.number}`;
    case 'x87':
      return o.number === 0 ? 'st' : `st(${o.number})`;
  }
}

function hex(v: bigint): string {
  return v < 0n ? `-0x${(-v).toString(16)}` : `0x${v.toString(16)}`;
}

function addressText(m: Match, o: MemoryMatch): string {
  if (o.base === 'rip') {
    return `${m.addressSize === 4 ? 'eip' : 'rip'}${o.displacement < 0n ? '' : '+'}${hex(o.displacement)}`;
  }
  const parts: string[] = [];
  if (o.base !== undefined) parts.push(generalRegister(o.base, m.addressSize));
  if (o.index !== undefined) {
    const index = generalRegister(o.index, m.addressSize);
    parts.push(m.addressSize === 2 ? index : `${index}*${1 << o.scale}`);
  }
  if (parts.length === 0) return hex(BigInt.asUintN(8 * m.addressSize, o.displacement));
  if (o.displacement === 0n) return parts.join('+');
  return `${parts.join('+')}${o.displacement < 0n ? '' : '+'}${hex(o.displacement)}`;
}

function memoryText(m: Match, o: MemoryMatch): string {
  const size = pointers[o.size];
  // A destination of strings is in ES whatever the prefix.
  const segment = o.form === 'destination' ? 0 : o.form === 'source' ? m.sourceSegment : m.segmentPrefix;
  const prefix = segment === undefined ? '' : `${segments[segment]}:`;
  const pointer = size === undefined ? '' : `${size} PTR `;
  const absolute = o.base === undefined && o.index === undefined;
  return absolute ? `${pointer}${prefix || 'ds:'}${addressText(m, o)}` : `${pointer}${prefix}[${addressText(m, o)}]`;
}

function immediateText(o: ImmediateMatch, size: number, mode: CodeMode, nextIp: bigint): string {
  if (o.relative) return hex(BigInt.asUintN(mode === 64 ? 64 : 8 * size, nextIp + o.value));
  return hex(o.value);
}

function operandText(m: Match, o: OperandMatch, nextIp: bigint): string {
  if (o.kind === 'memory') return memoryText(m, o);
  if (o.kind === 'immediate') return immediateText(o, m.stackSize, m.mode, nextIp);
  return registerText(o);
}

/** The name for the operand size, with the condition. */
function mnemonicText(m: Match): string {
  const names = m.mnemonic.split('/');
  const nth = m.stackSize === 2 ? 0 : m.stackSize === 4 ? 1 : 2;
  const name = (names[Math.min(nth, names.length - 1)] ?? '').toLowerCase();
  if (name === 'jcxz') return ['jcxz', 'jecxz', 'jrcxz'][Math.log2(m.addressSize) - 1] ?? name;
  // The operands of strings tell their size.
  if (m.row.repeat) return name.slice(0, -1);
  return name.replace(/cc$/, conditions[m.condition] ?? '');
}

/** Prefixes that are part of the operation. */
function prefixText(m: Match): string {
  const lock = m.lock ? 'lock ' : '';
  if (m.repeat === 'none') return lock;
  return `${lock}${m.repeat === 'repne' ? 'repnz' : m.row.repeat === 'repe' ? 'repz' : 'rep'} `;
}

function format(m: Match, ip: bigint): string {
  const nextIp = ip + BigInt(m.length);
  const far = m.row.operands.includes('Ap');
  const operands = m.operands.map((o, k) => {
    if (far && o.kind === 'immediate' && k === 0) return `${hex(o.value >> 32n)}:${hex(o.value & 0xffffffffn)}`;
    return m.row.operands[k] === '1' ? '1' : operandText(m, o, nextIp);
  });
  return `${prefixText(m)}${mnemonicText(m)}${operands.length === 0 ? '' : ' '}${operands.join(',')}`;
}

export function createDisassembler(rows: readonly Row[]): Disassembler {
  const match = createMatcher(rows);
  return (bytes, mode, ip) => {
    const m = match(bytes, mode);
    return typeof m === 'string' ? { text: '(bad)', length: 1 } : { text: format(m, ip), length: m.length };
  };
}
