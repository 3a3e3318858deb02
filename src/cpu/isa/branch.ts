/** Transfers of control (SDM vol. 2: JMP, Jcc, CALL, RET, LOOP, JCXZ, INT, IRET, BOUND, UD). */
import type { Builder, Instruction, Semantics, Value } from './builder.ts';
import { gpr, integerSize, operand, resize, vector, word } from './common.ts';
import type { Row } from './row.ts';
import { row } from './row.ts';

const JMP: Semantics = (b) => b.branch();
const JMP_INDIRECT: Semantics = (b, i) => b.jump(b.read(operand(i, 0)));
const JCC: Semantics = (b, i) => b.branch(b.condition(i.condition));

const CALL: Semantics = (b) => {
  b.checkTarget();
  b.push(b.nextIp());
  b.branch();
};

const CALL_INDIRECT: Semantics = (b, i) => {
  const target = b.read(operand(i, 0));
  b.checkTarget(target);
  b.push(b.nextIp());
  b.jump(target);
};

const RET: Semantics = (b, i) => b.pop(i.stackSize, (v) => b.jump(v));
const RET_IMMEDIATE: Semantics = (b, i) => b.pop(i.stackSize, (v) => b.jump(v), b.read(operand(i, 0)));

/** rCX of address size goes down by 1; the branch is taken while it is not 0 (and ZF is as `zero` says). */
function loop(zero?: boolean): Semantics {
  return (b) => {
    const counter = b.addressRegister(gpr.cx);
    const size = integerSize(counter);
    const left = b.sub(b.read(counter), b.int(size, 1));
    const more = b.ne(left, b.int(size, 0));
    const zf = (): Value => (zero === true ? b.flag('zf') : b.negate(b.flag('zf')));
    const taken = zero === undefined ? more : b.both(more, zf());
    b.if(taken, () => b.checkTarget());
    b.write(counter, left);
    b.branch(taken);
  };
}

const JCXZ: Semantics = (b) => b.branch(b.isZero(b.read(b.addressRegister(gpr.cx))));

function far(b: Builder, i: Instruction): { offset: Value; selector: Value } {
  const { offset, selector } = b.farPointer(operand(i, 0));
  return { offset: resize(b, 8, offset), selector: b.zext(4, selector) };
}

const JMP_FAR: Semantics = (b, i) => {
  const { offset, selector } = far(b, i);
  b.helper('farJump', selector, offset, word(b, i.size));
};

const CALL_FAR: Semantics = (b, i) => {
  const { offset, selector } = far(b, i);
  b.helper('farCall', selector, offset, word(b, i.size), resize(b, 8, b.nextIp()));
};

const RET_FAR: Semantics = (b, i) => {
  b.helper('farReturn', word(b, i.size), word(b, 0));
};
const RET_FAR_IMMEDIATE: Semantics = (b, i) => {
  b.helper('farReturn', word(b, i.size), b.zext(4, b.read(operand(i, 0))));
};
const IRET: Semantics = (b, i) => {
  b.helper('interruptReturn', word(b, i.size));
};

/** Kinds of `softwareInterrupt`. */
const interruptKind = { int: 0, int3: 1, into: 2, int1: 3 } as const;

const INT: Semantics = (b, i) => {
  b.helper('softwareInterrupt', b.zext(4, b.read(operand(i, 0))), word(b, interruptKind.int));
};
const INT3: Semantics = (b) => {
  b.helper('softwareInterrupt', word(b, 3), word(b, interruptKind.int3));
};
const INT1: Semantics = (b) => {
  b.helper('softwareInterrupt', word(b, 1), word(b, interruptKind.int1));
};
const INTO: Semantics = (b) =>
  b.if(b.flag('of'), () => {
    b.helper('softwareInterrupt', word(b, 4), word(b, interruptKind.into));
  });

/** #BR unless lower bound ≤ index ≤ upper bound, signed; the bounds are a pair in memory. */
const BOUND: Semantics = (b, i) => {
  const index = b.read(operand(i, 0));
  const bounds = operand(i, 1);
  const lower = b.read(b.displaced(bounds, word(b, 0), i.size));
  const upper = b.read(b.displaced(bounds, word(b, i.size), i.size));
  b.raiseIf(b.either(b.ltS(index, lower), b.ltS(upper, index)), vector.boundRange);
};

const UD: Semantics = (b) => b.raise(vector.invalidOpcode);

const near = { size64: 'f64', ends: true, hot: true } as const;
const ends = { ends: true } as const;
const legacy = { modes: 'legacy', ends: true } as const;

export const branchRows: readonly Row[] = [
  row('E9', 'JMP', 'Jz', JMP, near),
  row('EB', 'JMP', 'Jb', JMP, near),
  row('FF /4', 'JMP', 'Ev', JMP_INDIRECT, near),
  row('70 +cc', 'Jcc', 'Jb', JCC, near),
  row('0F 80 +cc', 'Jcc', 'Jz', JCC, near),
  row('E8', 'CALL', 'Jz', CALL, near),
  row('FF /2', 'CALL', 'Ev', CALL_INDIRECT, near),
  row('C3', 'RET', '', RET, near),
  row('C2', 'RET', 'Iw', RET_IMMEDIATE, near),
  row('E0', 'LOOPNE', 'Jb', loop(false), { size64: 'f64', ends: true }),
  row('E1', 'LOOPE', 'Jb', loop(true), { size64: 'f64', ends: true }),
  row('E2', 'LOOP', 'Jb', loop(), { size64: 'f64', ends: true }),
  row('E3', 'JCXZ', 'Jb', JCXZ, { size64: 'f64', ends: true }),
  row('EA', 'JMP FAR', 'Ap', JMP_FAR, legacy),
  row('9A', 'CALL FAR', 'Ap', CALL_FAR, legacy),
  row('FF /5 mem', 'JMP FAR', 'Mp', JMP_FAR, ends),
  row('FF /3 mem', 'CALL FAR', 'Mp', CALL_FAR, ends),
  row('CB', 'RETF', '', RET_FAR, ends),
  row('CA', 'RETF', 'Iw', RET_FAR_IMMEDIATE, ends),
  row('CF', 'IRET/IRETD/IRETQ', '', IRET, ends),
  row('CD', 'INT', 'Ib', INT, ends),
  row('CC', 'INT3', '', INT3, ends),
  row('F1', 'INT1', '', INT1, ends),
  row('CE', 'INTO', '', INTO, legacy),
  row('62 /r mem', 'BOUND', 'Gv,M', BOUND, { modes: 'legacy' }),
  row('0F 0B', 'UD2', '', UD, ends),
  row('0F B9 /r', 'UD1', 'Gv,Ev', UD, ends),
  row('0F FF /r', 'UD0', 'Gv,Ev', UD, ends),
];
