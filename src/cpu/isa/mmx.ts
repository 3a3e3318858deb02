/** MMX moves and the instructions that have no counterpart of the same shape in SSE2 (SDM vol. 1 §9.4, §10.4.4). */
import type { Semantics } from './builder.ts';
import { operand } from './common.ts';
import type { Row } from './row.ts';
import { maskedStore, shuffleWords } from './sse-move.ts';
import { enterMmx, immediate, low, lowVector, mmx, writeMmx } from './vector.ts';

const MOVE: Semantics = (b, i) => writeMmx(b, operand(i, 0), b.read(operand(i, 1)));

/** MOVD from a general register or memory: zero-extended to 64 bits. */
const MOVE_IN: Semantics = (b, i) => {
  const x = b.read(operand(i, 1));
  writeMmx(b, operand(i, 0), x.type === 'i64' ? x : b.zext(8, x));
};

const PSHUFW: Semantics = (b, i) => {
  const v = lowVector(b, b.read(operand(i, 1)));
  writeMmx(b, operand(i, 0), low(b, shuffleWords(b, v, immediate(b, i, 2), false)));
};

const PMOVMSKB: Semantics = (b, i) => {
  const v = lowVector(b, b.read(operand(i, 1)));
  enterMmx(b);
  b.write(operand(i, 0), b.vector('i8x16.bitmask', v));
};

const MASKMOVQ: Semantics = (b, i) => {
  const source = lowVector(b, b.read(operand(i, 0)));
  const mask = lowVector(b, b.read(operand(i, 1)));
  const lanes = [...Array(8).keys()];
  maskedStore(
    b,
    lanes.map((n) => b.extractLane(source, 1, n)),
    lanes.map((n) => b.extractLane(mask, 1, n)),
  );
  enterMmx(b);
};

export const mmxRows: readonly Row[] = [
  mmx('NP 0F 6F /r', 'MOVQ', 'P,Q', MOVE),
  mmx('NP 0F 7F /r', 'MOVQ', 'Q,P', MOVE),
  mmx('NP 0F 6E /r', 'MOVD', 'P,Ey', MOVE_IN),
  mmx('NP 0F 7E /r', 'MOVD', 'Ey,Py', MOVE),
  mmx('NP 0F E7 /r mem', 'MOVNTQ', 'Mq,P', MOVE),
  mmx('NP 0F 70 /r', 'PSHUFW', 'P,Q,Ib', PSHUFW),
  mmx('NP 0F D7 /r reg', 'PMOVMSKB', 'Gd,N', PMOVMSKB),
  mmx('NP 0F F7 /r reg', 'MASKMOVQ', 'P,N', MASKMOVQ),
];
