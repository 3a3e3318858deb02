/**
 * String instructions (SDM vol. 2: MOVS, CMPS, SCAS, LODS, STOS, INS, OUTS). One element is written here; repetition,
 * which moves page by page and can be interrupted, is the core's (`repString`), and so is port I/O from and to memory.
 */
import type { Builder, Instruction, Operand, Semantics, Size, Value } from './builder.ts';
import { gpr, integerSize, operand, word } from './common.ts';
import type { Row } from './row.ts';
import { row } from './row.ts';

/** Operations of `repString`. */
const stringOperation = { movs: 0, stos: 1, lods: 2, scas: 3, cmps: 4, ins: 5, outs: 6 } as const;
type StringOperation = keyof typeof stringOperation;

/** The repetition of `repString`: 0 once, 1 REP or REPE, 2 REPNE. F2 before MOVS and the like repeats as F3 does. */
function repetition(i: Instruction, operation: StringOperation): number {
  if (i.repeat === 'none') return 0;
  return i.repeat === 'repne' && (operation === 'scas' || operation === 'cmps') ? 2 : 1;
}

/** `element` is the operand that the string lies in: its size, since ports are 4 bytes wide at most under REX.W too. */
function inCore(b: Builder, i: Instruction, operation: StringOperation, element: Operand): void {
  b.helper(
    'repString',
    word(b, stringOperation[operation]),
    word(b, element.size),
    b.sourceSegment(),
    word(b, i.addressSize),
    word(b, repetition(i, operation)),
  );
}

/** One element as `once` says, or repetition in the core. */
function repeatable(operation: StringOperation, once: Semantics): Semantics {
  return (b, i) => (i.repeat === 'none' ? once(b, i) : inCore(b, i, operation, operand(i, 0)));
}

/** Moves index registers by one element, down if DF. */
function advance(b: Builder, i: Instruction, ...registers: Operand[]): void {
  for (const o of registers) {
    const size = integerSize(o);
    const step = b.select(b.systemFlag(10), b.int(size, -i.size), b.int(size, i.size));
    b.write(o, b.add(b.read(o), step));
  }
}

const source = (b: Builder): Operand => b.addressRegister(gpr.si);
const destination = (b: Builder): Operand => b.addressRegister(gpr.di);
const accumulator = (b: Builder, size: Size): Operand => b.register(gpr.ax, size);

function compare(b: Builder, x: Value, y: Value): void {
  b.setFlags('sub', x, y, b.sub(x, y));
}

const MOVS = repeatable('movs', (b, i) => {
  b.store('es', b.read(destination(b)), b.loadSource(b.read(source(b)), i.size));
  advance(b, i, source(b), destination(b));
});

const STOS = repeatable('stos', (b, i) => {
  b.store('es', b.read(destination(b)), b.read(accumulator(b, i.size)));
  advance(b, i, destination(b));
});

const LODS = repeatable('lods', (b, i) => {
  b.write(accumulator(b, i.size), b.loadSource(b.read(source(b)), i.size));
  advance(b, i, source(b));
});

const SCAS = repeatable('scas', (b, i) => {
  compare(b, b.read(accumulator(b, i.size)), b.load('es', b.read(destination(b)), i.size));
  advance(b, i, destination(b));
});

const CMPS = repeatable('cmps', (b, i) => {
  const x = b.loadSource(b.read(source(b)), i.size);
  compare(b, x, b.load('es', b.read(destination(b)), i.size));
  advance(b, i, source(b), destination(b));
});

/** Port permission, then the probe of memory, then the port: an order that only the core can keep. */
const INS: Semantics = (b, i) => inCore(b, i, 'ins', operand(i, 0));
const OUTS: Semantics = (b, i) => inCore(b, i, 'outs', operand(i, 1));

const rep = { repeat: 'rep' } as const;
const repe = { repeat: 'repe' } as const;

export const stringRows: readonly Row[] = [
  row('A4', 'MOVSB', 'Yb,Xb', MOVS, rep),
  row('A5', 'MOVSW/MOVSD/MOVSQ', 'Yv,Xv', MOVS, rep),
  row('A6', 'CMPSB', 'Xb,Yb', CMPS, repe),
  row('A7', 'CMPSW/CMPSD/CMPSQ', 'Xv,Yv', CMPS, repe),
  row('AA', 'STOSB', 'Yb,AL', STOS, rep),
  row('AB', 'STOSW/STOSD/STOSQ', 'Yv,rAX', STOS, rep),
  row('AC', 'LODSB', 'AL,Xb', LODS, rep),
  row('AD', 'LODSW/LODSD/LODSQ', 'rAX,Xv', LODS, rep),
  row('AE', 'SCASB', 'AL,Yb', SCAS, repe),
  row('AF', 'SCASW/SCASD/SCASQ', 'rAX,Yv', SCAS, repe),
  row('6C', 'INSB', 'Yb,DX', INS, rep),
  row('6D', 'INSW/INSD', 'Yz,DX', INS, rep),
  row('6E', 'OUTSB', 'DX,Xb', OUTS, rep),
  row('6F', 'OUTSW/OUTSD', 'DX,Xz', OUTS, rep),
];
