/** Two-operand arithmetic and logic, unary forms, multiplication and division, decimal adjustment. */
import { FLAG } from '../draft.ts';
import { toBytes } from '../random.ts';
import type { Assembly, Template } from '../template.ts';

const { CF, PF, AF, ZF, SF, OF } = FLAG;
const ALU = ['ADD', 'OR', 'ADC', 'SBB', 'AND', 'SUB', 'XOR', 'CMP'] as const;
const hex = (byte: number): string => byte.toString(16).padStart(2, '0').toUpperCase();

function aluRows(): Template[] {
  return ALU.flatMap((name, i): Template[] => {
    const common = { group: 'alu', undefinedFlags: name === 'OR' || name === 'AND' || name === 'XOR' ? AF : 0 };
    const lock = name !== 'CMP';
    const at = (offset: number): string => hex(i * 8 + offset);
    return [
      { ...common, name: `${name} Eb,Gb`, encoding: `${at(0)} /r`, lock },
      { ...common, name: `${name} Ev,Gv`, encoding: `${at(1)} /r`, lock },
      { ...common, name: `${name} Gb,Eb`, encoding: `${at(2)} /r` },
      { ...common, name: `${name} Gv,Ev`, encoding: `${at(3)} /r` },
      { ...common, name: `${name} AL,Ib`, encoding: `${at(4)} ib`, uses: [0], count: 8 },
      { ...common, name: `${name} eAX,Iz`, encoding: `${at(5)} iz`, uses: [0], count: 8 },
      { ...common, name: `${name} Eb,Ib`, encoding: `80 /${i} ib`, lock },
      { ...common, name: `${name} Eb,Ib`, encoding: `82 /${i} ib`, only: 32, count: 3 },
      { ...common, name: `${name} Ev,Iz`, encoding: `81 /${i} iz`, lock },
      { ...common, name: `${name} Ev,Ib`, encoding: `83 /${i} ib`, lock },
    ];
  });
}

function unaryRows(): Template[] {
  const rows: Template[] = [
    { group: 'alu', name: 'TEST Eb,Gb', encoding: '84 /r', undefinedFlags: AF },
    { group: 'alu', name: 'TEST Ev,Gv', encoding: '85 /r', undefinedFlags: AF },
    { group: 'alu', name: 'TEST AL,Ib', encoding: 'A8 ib', undefinedFlags: AF, uses: [0], count: 8 },
    { group: 'alu', name: 'TEST eAX,Iz', encoding: 'A9 iz', undefinedFlags: AF, uses: [0], count: 8 },
    { group: 'alu', name: 'TEST Eb,Ib', encoding: 'F6 /0 ib', undefinedFlags: AF },
    { group: 'alu', name: 'TEST Ev,Iz', encoding: 'F7 /0 iz', undefinedFlags: AF },
    { group: 'alu', name: 'TEST Eb,Ib', encoding: 'F6 /1 ib', undefinedFlags: AF, count: 2 },
    { group: 'alu', name: 'INC Zv', encoding: '40 +r', only: 32 },
    { group: 'alu', name: 'DEC Zv', encoding: '48 +r', only: 32 },
  ];
  const unary: [string, string, number][] = [
    ['INC', 'FE', 0],
    ['DEC', 'FE', 1],
    ['NOT', 'F6', 2],
    ['NEG', 'F6', 3],
  ];
  for (const [name, opcode, extension] of unary) {
    const wide = hex(parseInt(opcode, 16) + 1);
    rows.push({ group: 'alu', name: `${name} Eb`, encoding: `${opcode} /${extension}`, lock: true });
    rows.push({ group: 'alu', name: `${name} Ev`, encoding: `${wide} /${extension}`, lock: true });
  }
  return rows;
}

/** Values whose quotient often fits, so that both results and #DE occur. */
function prepareDivision(a: Assembly): void {
  const { draft, size } = a;
  const { random } = draft;
  const small = random.chance(0.7);
  const mask = (1n << BigInt(size)) - 1n;
  const high = small ? random.pick([0n, 0n, mask, random.bits(size >> 1)]) : random.integer(size);
  const low = random.integer(size);
  if (size === 8) draft.pin(0, (draft.reg(0) & ~0xffffn) | (high << 8n) | low);
  else {
    draft.pin(0, (draft.reg(0) & ~mask) | low);
    draft.pin(2, (draft.reg(2) & ~mask) | high);
  }
}

const multiplyFlags = SF | ZF | AF | PF;
const allFlags = CF | PF | AF | ZF | SF | OF;

const MULTIPLY: Template[] = [
  { group: 'muldiv', name: 'MUL Eb', encoding: 'F6 /4', undefinedFlags: multiplyFlags, uses: [0], count: 24 },
  { group: 'muldiv', name: 'MUL Ev', encoding: 'F7 /4', undefinedFlags: multiplyFlags, uses: [0, 2], count: 24 },
  { group: 'muldiv', name: 'IMUL Eb', encoding: 'F6 /5', undefinedFlags: multiplyFlags, uses: [0], count: 24 },
  { group: 'muldiv', name: 'IMUL Ev', encoding: 'F7 /5', undefinedFlags: multiplyFlags, uses: [0, 2], count: 24 },
  { group: 'muldiv', name: 'IMUL Gv,Ev', encoding: '0F AF /r', undefinedFlags: multiplyFlags, count: 24 },
  { group: 'muldiv', name: 'IMUL Gv,Ev,Iz', encoding: '69 /r iz', undefinedFlags: multiplyFlags, count: 24 },
  { group: 'muldiv', name: 'IMUL Gv,Ev,Ib', encoding: '6B /r ib', undefinedFlags: multiplyFlags, count: 24 },
  ...(['DIV', 'IDIV'] as const).flatMap((name, i): Template[] =>
    [8, 16, 32, 64].map((size) => ({
      group: 'muldiv',
      name: size === 8 ? `${name} Eb` : `${name} Ev`,
      encoding: `${size === 8 ? 'F6 !W' : 'F7'} /${6 + i}`,
      sizes: [size],
      undefinedFlags: allFlags,
      uses: size === 8 ? [0] : [0, 2],
      prepare: prepareDivision,
      count: 40,
    })),
  ),
];

function adjustAl(a: Assembly): void {
  const value =
    a.ordinal < 24 ? BigInt(a.draft.random.below(0x10000)) : a.draft.random.pick([0x99n, 0x9an, 0xfan, 0x0an]);
  a.draft.pin(0, (a.draft.reg(0) & ~0xffffn) | value);
}

const DECIMAL: Template[] = [
  { name: 'DAA', encoding: '27', undefinedFlags: OF },
  { name: 'DAS', encoding: '2F', undefinedFlags: OF },
  { name: 'AAA', encoding: '37', undefinedFlags: OF | SF | ZF | PF },
  { name: 'AAS', encoding: '3F', undefinedFlags: OF | SF | ZF | PF },
  { name: 'AAM', encoding: 'D4 ib', undefinedFlags: OF | AF | CF },
  { name: 'AAD', encoding: 'D5 ib', undefinedFlags: OF | AF | CF },
].map((row): Template => ({
  ...row,
  group: 'bcd',
  only: 32,
  uses: [0],
  count: 40,
  prepare(a) {
    adjustAl(a);
    if (row.encoding.endsWith('ib'))
      a.immediate = a.ordinal < 12 ? 10n : a.ordinal === 12 ? 0n : a.draft.random.bits(8);
  },
}));

/** LOCK in front of everything that allows it, and of some that raise #UD for it. */
function locked(rows: readonly Template[]): Template[] {
  return rows
    .filter((row) => row.lock !== undefined)
    .map((row) => ({
      ...row,
      group: 'lock',
      name: `LOCK-${row.name}`,
      count: 3,
      prepare(a: Assembly) {
        row.prepare?.(a);
        a.prefixes.push(0xf0);
      },
    }));
}

const LOCK_ILLEGAL: Template[] = [
  { group: 'lock', name: 'LOCK-CMP Ev,Gv', encoding: '39 /r' },
  { group: 'lock', name: 'LOCK-ADD Gv,Ev', encoding: '03 /r' },
  { group: 'lock', name: 'LOCK-MOV Ev,Gv', encoding: '89 /r' },
  { group: 'lock', name: 'LOCK-TEST Ev,Gv', encoding: '85 /r' },
  { group: 'lock', name: 'LOCK-SHL Ev,1', encoding: 'D1 /4' },
  { group: 'lock', name: 'LOCK-BT Ev,Ib', encoding: '0F BA /4 ib' },
  { group: 'lock', name: 'LOCK-NOP', encoding: '90' },
  { group: 'lock', name: 'LOCK-ADDPS Vps,Wps', encoding: '0F 58 /r', aligned: true },
].map((row): Template => ({ ...row, count: 3, noFaults: true, prepare: (a) => void a.prefixes.push(0xf0) }));

const EXCHANGE: Template[] = [
  { group: 'move', name: 'XCHG Eb,Gb', encoding: '86 /r', lock: true },
  { group: 'move', name: 'XCHG Ev,Gv', encoding: '87 /r', lock: true },
  { group: 'move', name: 'XCHG Zv,eAX', encoding: '90 +r', uses: [0] },
  { group: 'alu', name: 'XADD Eb,Gb', encoding: '0F C0 /r', lock: true },
  { group: 'alu', name: 'XADD Ev,Gv', encoding: '0F C1 /r', lock: true },
  ...(['Eb,Gb', 'Ev,Gv'] as const).map((operands, i): Template => ({
    group: 'alu',
    name: `CMPXCHG ${operands}`,
    encoding: `0F B${i} /r`,
    lock: true,
    uses: [0],
    count: 20,
    prepare(a) {
      if (!a.draft.random.chance(0.5)) return;
      if (a.memory) a.memory.set(toBytes(a.draft.reg(0), a.memory.length));
      else if (a.rm !== undefined && !a.draft.pinned.has(a.rm)) a.draft.regs[a.rm] = a.draft.reg(0);
    },
  })),
  ...([8, 16] as const).map((length): Template => ({
    group: 'alu',
    name: length === 8 ? 'CMPXCHG8B M' : 'CMPXCHG16B M',
    encoding: length === 8 ? '0F C7 /1' : 'W 0F C7 /1',
    ...(length === 16 ? { only: 64 as const, aligned: true } : {}),
    memoryLength: length,
    lock: true,
    uses: [0, 1, 2, 3],
    count: 24,
    prepare(a) {
      if (!a.draft.random.chance(0.5)) return;
      const half = length / 2;
      a.memory?.set(toBytes(a.draft.reg(0), half), 0);
      a.memory?.set(toBytes(a.draft.reg(2), half), half);
    },
  })),
];

export const ARITHMETIC: readonly Template[] = [
  ...aluRows(),
  ...unaryRows(),
  ...MULTIPLY,
  ...DECIMAL,
  ...EXCHANGE,
  ...locked([...aluRows(), ...unaryRows(), ...EXCHANGE]),
  ...LOCK_ILLEGAL,
];
