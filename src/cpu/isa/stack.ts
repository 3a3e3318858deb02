/** The stack (SDM vol. 2: PUSH, POP, PUSHA, POPA, PUSHF, POPF, ENTER, LEAVE). */
import type { Builder, Operand, Semantics, Value } from './builder.ts';
import { eflagsBit, gpr, operand, protectIf, resize, resizeSigned, word } from './common.ts';
import type { Row } from './row.ts';
import { row } from './row.ts';

/** The old value where the operand is the stack pointer itself. */
const PUSH: Semantics = (b, i) => b.push(b.read(operand(i, 0)));
const PUSH_IMMEDIATE: Semantics = (b, i) => b.push(resizeSigned(b, i.stackSize, b.read(operand(i, 0))));

/** A zero-extended selector, of the full operand size. */
const PUSH_SEGMENT: Semantics = (b, i) => b.push(resize(b, i.stackSize, b.read(operand(i, 0))));

function movedBy(b: Builder, sp: Value, bytes: number): Value {
  return b.add(sp, b.int(8, bytes));
}

/** Registers cannot fault, so the stack pointer moves first: POP rSP leaves what was read. */
const POP: Semantics = (b, i) => {
  const destination = operand(i, 0);
  if (destination.kind === 'register') {
    const sp = b.stackPointer();
    const v = b.loadStack(sp, i.stackSize);
    b.setStackPointer(movedBy(b, sp, i.stackSize));
    b.write(destination, v);
    return;
  }
  b.pop(i.stackSize, (v) => b.write(b.popped(destination, i.stackSize), v));
};

/** Checks, the shadow of POP SS and the stack pointer, which is the new segment's, are the helper's. */
function popSegment(n: number): Semantics {
  return (b, i) => {
    const sp = b.stackPointer();
    const selector = b.trunc(2, b.loadStack(sp, i.stackSize));
    b.helper('popSegment', word(b, n), b.zext(4, selector), movedBy(b, sp, i.stackSize));
  };
}

/** PUSHA's order; the stack pointer's slot holds its value before the first push. */
const PUSHA: Semantics = (b, i) => {
  const registers = [gpr.ax, gpr.cx, gpr.dx, gpr.bx, gpr.sp, gpr.bp, gpr.si, gpr.di];
  b.probeStack(8 * i.stackSize);
  const values = registers.map((n) => b.read(b.register(n, i.size)));
  for (const v of values) b.push(v);
};

/** All reads before the first write. The saved stack pointer is skipped. */
const POPA: Semantics = (b, i) => {
  const order = [gpr.di, gpr.si, gpr.bp, gpr.sp, gpr.bx, gpr.dx, gpr.cx, gpr.ax];
  const sp = b.stackPointer();
  const loaded = order.map((n, at) => ({ n, v: b.loadStack(movedBy(b, sp, at * i.stackSize), i.stackSize) }));
  b.setStackPointer(movedBy(b, sp, 8 * i.stackSize));
  for (const { n, v } of loaded) if (n !== gpr.sp) b.write(b.register(n, i.size), v);
};

/** #GP(0) in virtual-8086 mode with IOPL < 3 (without CR4.VME, which this processor does not have). */
function checkVirtualFlags(b: Builder): void {
  const iopl3 = b.both(b.systemFlag(eflagsBit.iopl), b.systemFlag(eflagsBit.iopl + 1));
  protectIf(b, b.both(b.systemFlag(eflagsBit.vm), b.negate(iopl3)));
}

/** RF and VM read as 0. */
const PUSHF: Semantics = (b, i) => {
  checkVirtualFlags(b);
  const hidden = (1 << eflagsBit.rf) | (1 << eflagsBit.vm);
  b.push(resize(b, i.stackSize, b.and(b.flagsWord(), b.int(4, ~hidden))));
};

const POPF: Semantics = (b, i) => {
  checkVirtualFlags(b);
  const sp = b.stackPointer();
  const v = b.loadStack(sp, i.stackSize);
  b.setStackPointer(movedBy(b, sp, i.stackSize));
  b.helper('popFlags', b.zext(8, v), word(b, i.stackSize));
};

/** The stack pointer comes from rBP under the stack mask. */
const LEAVE: Semantics = (b, i) => {
  const frame = b.read(b.register(gpr.bp, 8));
  const v = b.loadStack(frame, i.stackSize);
  b.setStackPointer(movedBy(b, frame, i.stackSize));
  b.write(b.register(gpr.bp, i.stackSize), v);
};

const ENTER: Semantics = (b, i) => {
  const argument = (o: Operand): Value => b.zext(4, b.read(o));
  b.helper('enter', word(b, i.stackSize), argument(operand(i, 0)), argument(operand(i, 1)));
};

const hot = { size64: 'd64', hot: true } as const;
const cold = { size64: 'd64' } as const;
const legacy = { modes: 'legacy' } as const;

export const stackRows: readonly Row[] = [
  row('50 +r', 'PUSH', 'Zv', PUSH, hot),
  row('FF /6', 'PUSH', 'Ev', PUSH, hot),
  row('68', 'PUSH', 'Iz', PUSH_IMMEDIATE, hot),
  row('6A', 'PUSH', 'Isb', PUSH_IMMEDIATE, hot),
  row('06', 'PUSH', 'ES', PUSH_SEGMENT, legacy),
  row('0E', 'PUSH', 'CS', PUSH_SEGMENT, legacy),
  row('16', 'PUSH', 'SS', PUSH_SEGMENT, legacy),
  row('1E', 'PUSH', 'DS', PUSH_SEGMENT, legacy),
  row('0F A0', 'PUSH', 'FS', PUSH_SEGMENT, cold),
  row('0F A8', 'PUSH', 'GS', PUSH_SEGMENT, cold),
  row('58 +r', 'POP', 'Zv', POP, hot),
  row('8F /0', 'POP', 'Ev', POP, hot),
  row('07', 'POP', 'ES', popSegment(0), legacy),
  row('17', 'POP', 'SS', popSegment(2), { ...legacy, ends: true }),
  row('1F', 'POP', 'DS', popSegment(3), legacy),
  row('0F A1', 'POP', 'FS', popSegment(4), cold),
  row('0F A9', 'POP', 'GS', popSegment(5), cold),
  row('60', 'PUSHA/PUSHAD', '', PUSHA, legacy),
  row('61', 'POPA/POPAD', '', POPA, legacy),
  row('9C', 'PUSHF/PUSHFD/PUSHFQ', '', PUSHF, cold),
  row('9D', 'POPF/POPFD/POPFQ', '', POPF, cold),
  row('C8', 'ENTER', 'Iw,Ib', ENTER, cold),
  row('C9', 'LEAVE', '', LEAVE, hot),
];
