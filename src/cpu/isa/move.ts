/** Data movement (SDM vol. 2: MOV of general and segment registers, MOVZX, MOVSX, XCHG, CMOVcc, LEA, LDS …, XLAT). */
import type { Semantics } from './builder.ts';
import { gpr, integerSize, operand, resize, resizeSigned, vector, word } from './common.ts';
import type { Row } from './row.ts';
import { row } from './row.ts';

const MOV: Semantics = (b, i) => b.write(operand(i, 0), b.read(operand(i, 1)));

/** Loading CS or a register that does not exist is an invalid opcode; SS opens an interrupt shadow (the helper). */
const MOV_TO_SEGMENT: Semantics = (b, i) => {
  const n = b.registerNumber(operand(i, 0));
  b.raiseIf(b.either(b.eq(n, word(b, 1)), b.ltU(word(b, 5), n)), vector.invalidOpcode);
  const selector = b.read(operand(i, 1));
  b.helper('loadSegment', n, b.zext(4, selector));
};

/** Memory gets 2 bytes; a register the zero-extended selector. */
const MOV_FROM_SEGMENT: Semantics = (b, i) => {
  const source = operand(i, 1);
  b.raiseIf(b.ltU(word(b, 5), b.registerNumber(source)), vector.invalidOpcode);
  b.write(operand(i, 0), resize(b, integerSize(operand(i, 0)), b.read(source)));
};

const MOVZX: Semantics = (b, i) => b.write(operand(i, 0), resize(b, i.size, b.read(operand(i, 1))));
const MOVSX: Semantics = (b, i) => b.write(operand(i, 0), resizeSigned(b, i.size, b.read(operand(i, 1))));

/** With memory it is atomic even without LOCK. The memory operand comes first in the row. */
const XCHG: Semantics = (b, i) => {
  const first = operand(i, 0);
  const second = operand(i, 1);
  const y = b.read(second);
  if (first.kind === 'register') {
    const x = b.read(first);
    b.write(second, x);
    b.write(first, y);
    return;
  }
  b.update(
    first,
    () => y,
    (x) => b.write(second, x),
  );
};

/** The source is read whatever the condition; a 32-bit destination is zero-extended whatever the condition. */
const CMOV: Semantics = (b, i) => {
  const y = b.read(operand(i, 1));
  const destination = operand(i, 0);
  b.write(destination, b.select(b.condition(i.condition), y, b.read(destination)));
};

const SETCC: Semantics = (b, i) => b.write(operand(i, 0), b.boolToInt(1, b.condition(i.condition)));

const LEA: Semantics = (b, i) => b.write(operand(i, 0), resize(b, i.size, b.address(operand(i, 1))));

/** CBW, CWDE, CDQE by operand size. */
const CBW: Semantics = (b, i) => {
  if (i.size === 1) return;
  const half = i.size === 8 ? 4 : i.size === 4 ? 2 : 1;
  b.write(b.register(gpr.ax, i.size), b.sext(i.size, b.read(b.register(gpr.ax, half))));
};

/** CWD, CDQ, CQO: the sign of rAX through all of rDX. */
const CWD: Semantics = (b, i) => {
  const x = b.read(b.register(gpr.ax, i.size));
  b.write(b.register(gpr.dx, i.size), b.sar(x, b.int(4, i.size * 8 - 1)));
};

/** LDS, LES, LSS, LFS, LGS: the segment register first, which can fault, then the general register. */
function loadFar(segment: number): Semantics {
  return (b, i) => {
    const { offset, selector } = b.farPointer(operand(i, 1));
    b.helper('loadSegmentChecked', word(b, segment), b.zext(4, selector));
    b.write(operand(i, 0), offset);
    b.sync();
  };
}

/** AL = [rBX + AL] in DS, or the segment of a prefix. */
const XLAT: Semantics = (b) => {
  const base = b.addressRegister(gpr.bx);
  const size = integerSize(base);
  const index = b.zext(size, b.read(b.register(gpr.ax, 1)));
  b.write(b.register(gpr.ax, 1), b.loadSource(b.add(b.read(base), index), 1));
};

const NOP: Semantics = () => {};

const hot = { hot: true };

export const moveRows: readonly Row[] = [
  row('88 /r', 'MOV', 'Eb,Gb', MOV, hot),
  row('89 /r', 'MOV', 'Ev,Gv', MOV, hot),
  row('8A /r', 'MOV', 'Gb,Eb', MOV, hot),
  row('8B /r', 'MOV', 'Gv,Ev', MOV, hot),
  row('A0', 'MOV', 'AL,Ob', MOV),
  row('A1', 'MOV', 'rAX,Ov', MOV),
  row('A2', 'MOV', 'Ob,AL', MOV),
  row('A3', 'MOV', 'Ov,rAX', MOV),
  row('B0 +r', 'MOV', 'Zb,Ib', MOV, hot),
  row('B8 +r', 'MOV', 'Zv,Iv', MOV, hot),
  row('C6 /0', 'MOV', 'Eb,Ib', MOV, hot),
  row('C7 /0', 'MOV', 'Ev,Iz', MOV, hot),
  row('8C /r mem', 'MOV', 'Mw,Sw', MOV_FROM_SEGMENT),
  row('8C /r reg', 'MOV', 'Rv,Sw', MOV_FROM_SEGMENT),
  row('8E /r', 'MOV', 'Sw,Ew', MOV_TO_SEGMENT),
  row('0F B6 /r', 'MOVZX', 'Gv,Eb', MOVZX, hot),
  row('0F B7 /r', 'MOVZX', 'Gv,Ew', MOVZX, hot),
  row('0F BE /r', 'MOVSX', 'Gv,Eb', MOVSX, hot),
  row('0F BF /r', 'MOVSX', 'Gv,Ew', MOVSX, hot),
  row('63 /r', 'MOVSXD', 'Gv,Ed', MOVSX, { modes: 'long', hot: true }),
  row('86 /r', 'XCHG', 'Eb,Gb', XCHG, { lock: true, hot: true }),
  row('87 /r', 'XCHG', 'Ev,Gv', XCHG, { lock: true, hot: true }),
  row('90 +r', 'XCHG', 'Zv,rAX', XCHG, hot),
  row('0F 40 +cc /r', 'CMOVcc', 'Gv,Ev', CMOV, { hot: true, feature: 'cmov' }),
  row('0F 90 +cc /r', 'SETcc', 'Eb', SETCC, hot),
  row('8D /r mem', 'LEA', 'Gv,M', LEA, hot),
  row('98', 'CBW/CWDE/CDQE', '', CBW, hot),
  row('99', 'CWD/CDQ/CQO', '', CWD, hot),
  row('C4 /r mem', 'LES', 'Gv,Mp', loadFar(0), { modes: 'legacy', ends: true }),
  row('C5 /r mem', 'LDS', 'Gv,Mp', loadFar(3), { modes: 'legacy', ends: true }),
  row('0F B2 /r mem', 'LSS', 'Gv,Mp', loadFar(2), { ends: true }),
  row('0F B4 /r mem', 'LFS', 'Gv,Mp', loadFar(4), { ends: true }),
  row('0F B5 /r mem', 'LGS', 'Gv,Mp', loadFar(5), { ends: true }),
  row('D7', 'XLAT', '', XLAT),
  row('NP 0F C3 /r mem', 'MOVNTI', 'My,Gy', MOV, { feature: 'sse2' }),
  row('90', 'NOP', '', NOP, hot),
  row('F3 90', 'PAUSE', '', NOP),
  // The hint space: prefetches, ENDBR, CLDEMOTE, MPX on processors without them, multi-byte NOP. No memory access.
  row('0F 0D /r', 'NOP', 'Ev', NOP),
  row('0F 18 /r', 'NOP', 'Ev', NOP),
  row('0F 19 /r', 'NOP', 'Ev', NOP),
  row('0F 1A /r', 'NOP', 'Ev', NOP),
  row('0F 1B /r', 'NOP', 'Ev', NOP),
  row('0F 1C /r', 'NOP', 'Ev', NOP),
  row('0F 1D /r', 'NOP', 'Ev', NOP),
  row('0F 1E /r', 'NOP', 'Ev', NOP, hot),
  row('0F 1F /r', 'NOP', 'Ev', NOP, hot),
];
