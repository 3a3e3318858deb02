/**
 * System instructions (SDM vol. 2 and 3): control and debug registers, descriptor tables, MSRs, ports, system calls.
 * Most of their meaning is the processor's state machine, which lies in the core's helpers.
 */
import type { Builder, Semantics, Value } from './builder.ts';
import { gpr, integerSize, operand, resize, word } from './common.ts';
import type { Row, RowOptions } from './row.ts';
import { row } from './row.ts';

/** A helper without arguments. */
function call(name: string): Semantics {
  return (b) => {
    b.helper(name);
  };
}

/** A helper on a selector operand. */
function withSelector(name: string): Semantics {
  return (b, i) => {
    b.helper(name, b.zext(4, b.read(operand(i, 0))));
  };
}

const NOTHING: Semantics = () => {};

const IN: Semantics = (b, i) => {
  const destination = operand(i, 0);
  const size = integerSize(destination);
  const port = b.zext(4, b.read(operand(i, 1)));
  b.write(destination, resize(b, size, b.helper('portIn', port, word(b, size))));
  b.sync();
};

const OUT: Semantics = (b, i) => {
  const source = operand(i, 1);
  const port = b.zext(4, b.read(operand(i, 0)));
  b.helper('portOut', port, word(b, integerSize(source)), resize(b, 4, b.read(source)));
};

/** Reads and writes of control and debug registers are 4 bytes wide outside of 64-bit code, 8 in it. */
function readProcessor(name: 'readControl' | 'readDebug'): Semantics {
  return (b, i) => {
    const destination = operand(i, 0);
    const v = b.helper(name, b.registerNumber(operand(i, 1)));
    b.write(destination, resize(b, integerSize(destination), v));
  };
}
function writeProcessor(name: 'writeControl' | 'writeDebug'): Semantics {
  return (b, i) => {
    const n = b.registerNumber(operand(i, 0));
    b.helper(name, n, resize(b, 8, b.read(operand(i, 1))));
  };
}

/** The machine status word is the low part of CR0; a register gets as much of CR0 as its size. */
const SMSW: Semantics = (b, i) => {
  const destination = operand(i, 0);
  b.write(destination, resize(b, integerSize(destination), b.getSystem('cr0')));
};

/** Writes PE, MP, EM and TS of CR0; PE can only be set. */
const LMSW: Semantics = (b, i) => {
  const written = b.and(b.zext(8, b.read(operand(i, 0))), b.int(8, 0xf));
  const kept = b.and(resize(b, 8, b.getSystem('cr0')), b.int(8, ~0xen & 0xffff_ffffn));
  b.helper('writeControl', word(b, 0), b.or(kept, written));
};

/** Clears TS of CR0. */
const CLTS: Semantics = (b) => {
  b.helper('writeControl', word(b, 0), b.and(resize(b, 8, b.getSystem('cr0')), b.int(8, ~8n & 0xffff_ffffn)));
};

const SLDT: Semantics = (b, i) =>
  b.write(operand(i, 0), resize(b, integerSize(operand(i, 0)), b.getSystem('ldtrSelector')));
const STR: Semantics = (b, i) =>
  b.write(operand(i, 0), resize(b, integerSize(operand(i, 0)), b.getSystem('trSelector')));

/** Stores limit and base: 2 + 4 bytes (2 + 8 in 64-bit code), whatever the operand size. */
function storeTable(limit: 'gdtLimit' | 'idtLimit', base: 'gdtBase' | 'idtBase'): Semantics {
  return (b, i) => {
    const memory = operand(i, 0);
    const baseSize = i.long ? 8 : 4;
    b.probe(memory);
    b.write(b.displaced(memory, word(b, 0), 2), resize(b, 2, b.getSystem(limit)));
    b.write(b.displaced(memory, word(b, 2), baseSize), resize(b, baseSize, b.getSystem(base)));
  };
}

/** With 2-byte operands the base has 24 bits. */
function loadTable(name: 'loadGdt' | 'loadIdt'): Semantics {
  return (b, i) => {
    const memory = operand(i, 0);
    const limit = b.read(b.displaced(memory, word(b, 0), 2));
    const stored = b.read(b.displaced(memory, word(b, 2), i.long ? 8 : 4));
    const base = i.size === 2 && !i.long ? b.and(stored, b.int(4, 0xffffff)) : stored;
    b.helper(name, resize(b, 8, base), b.zext(4, limit));
  };
}

const INVLPG: Semantics = (b, i) => {
  b.helper('invlpg', b.linearAddress(operand(i, 0)));
};

/** Kinds of `loadAccessRights`. Its result has bit 63 set where the selector names something accessible. */
const accessKind = { lar: 0, lsl: 1, verr: 2, verw: 3 } as const;

function accessRights(b: Builder, selector: Value, kind: keyof typeof accessKind): { valid: Value; value: Value } {
  const r = b.helper('loadAccessRights', b.zext(4, selector), word(b, accessKind[kind]));
  return { valid: b.sign(r), value: b.trunc(4, r) };
}

function loadRights(kind: 'lar' | 'lsl'): Semantics {
  return (b, i) => {
    const { valid, value } = accessRights(b, b.read(operand(i, 1)), kind);
    b.if(valid, () => b.write(operand(i, 0), resize(b, i.size, value)));
    b.setFlag('zf', valid);
  };
}
function verify(kind: 'verr' | 'verw'): Semantics {
  return (b, i) => b.setFlag('zf', accessRights(b, b.read(operand(i, 0)), kind).valid);
}

/** Raises the RPL of the first selector to that of the second; ZF says whether it changed. */
const ARPL: Semantics = (b, i) => {
  const y = b.and(b.read(operand(i, 1)), b.int(2, 3));
  const lower = (x: Value): Value => b.ltU(b.and(x, b.int(2, 3)), y);
  b.update(
    operand(i, 0),
    (x) => b.select(lower(x), b.or(b.and(x, b.int(2, ~3 & 0xffff)), y), x),
    (x) => b.setFlag('zf', lower(x)),
  );
};

/** EDX:EAX = a 64-bit value. */
function writeEdxEax(b: Builder, v: Value): void {
  b.write(b.register(gpr.ax, 4), b.trunc(4, v));
  b.write(b.register(gpr.dx, 4), b.trunc(4, b.shr(v, b.int(4, 32))));
}

function readCounter(name: string): Semantics {
  return (b) => writeEdxEax(b, b.helper(name));
}
const RDTSCP: Semantics = (b) => {
  writeEdxEax(b, b.helper('rdtsc'));
  b.write(b.register(gpr.cx, 4), resize(b, 4, b.getSystem('msrTscAux')));
};

/** Nothing to flush and no order to restore for one's own accesses; the line must be readable. */
const CLFLUSH: Semantics = (b, i) => {
  b.read(operand(i, 0));
};

const privileged: RowOptions = { privileged: true };
const system: RowOptions = { privileged: true, ends: true };
const protectedSystem: RowOptions = { ...system, protectedOnly: true };
const protectedOnly: RowOptions = { protectedOnly: true };
const control: RowOptions = { ...privileged, size64: 'f64' };
const ends: RowOptions = { ends: true };

export const systemRows: readonly Row[] = [
  row('E4', 'IN', 'AL,Ib', IN, ends),
  row('E5', 'IN', 'eAX,Ib', IN, ends),
  row('EC', 'IN', 'AL,DX', IN, ends),
  row('ED', 'IN', 'eAX,DX', IN, ends),
  row('E6', 'OUT', 'Ib,AL', OUT, ends),
  row('E7', 'OUT', 'Ib,eAX', OUT, ends),
  row('EE', 'OUT', 'DX,AL', OUT, ends),
  row('EF', 'OUT', 'DX,eAX', OUT, ends),

  row('0F 20 /r', 'MOV', 'Ry,Cy', readProcessor('readControl'), control),
  row('0F 22 /r', 'MOV', 'Cy,Ry', writeProcessor('writeControl'), control),
  row('0F 21 /r', 'MOV', 'Ry,Dy', readProcessor('readDebug'), control),
  row('0F 23 /r', 'MOV', 'Dy,Ry', writeProcessor('writeDebug'), control),
  row('0F 06', 'CLTS', '', CLTS, privileged),
  row('0F 01 /4 mem', 'SMSW', 'Mw', SMSW),
  row('0F 01 /4 reg', 'SMSW', 'Rv', SMSW),
  row('0F 01 /6', 'LMSW', 'Ew', LMSW, system),

  row('0F 00 /0 mem', 'SLDT', 'Mw', SLDT, protectedOnly),
  row('0F 00 /0 reg', 'SLDT', 'Rv', SLDT, protectedOnly),
  row('0F 00 /1 mem', 'STR', 'Mw', STR, protectedOnly),
  row('0F 00 /1 reg', 'STR', 'Rv', STR, protectedOnly),
  row('0F 00 /2', 'LLDT', 'Ew', withSelector('loadLdt'), protectedSystem),
  row('0F 00 /3', 'LTR', 'Ew', withSelector('loadTask'), protectedSystem),
  row('0F 00 /4', 'VERR', 'Ew', verify('verr'), protectedOnly),
  row('0F 00 /5', 'VERW', 'Ew', verify('verw'), protectedOnly),
  row('0F 02 /r', 'LAR', 'Gv,Ew', loadRights('lar'), protectedOnly),
  row('0F 03 /r', 'LSL', 'Gv,Ew', loadRights('lsl'), protectedOnly),
  row('63 /r', 'ARPL', 'Ew,Gw', ARPL, { modes: 'legacy', protectedOnly: true }),
  row('0F 01 /0 mem', 'SGDT', 'Ms', storeTable('gdtLimit', 'gdtBase'), { modes: 'legacy' }),
  row('0F 01 /0 mem', 'SGDT', 'Ms', storeTable('gdtLimit', 'gdtBase'), { modes: 'long', size64: 'f64' }),
  row('0F 01 /1 mem', 'SIDT', 'Ms', storeTable('idtLimit', 'idtBase'), { modes: 'legacy' }),
  row('0F 01 /1 mem', 'SIDT', 'Ms', storeTable('idtLimit', 'idtBase'), { modes: 'long', size64: 'f64' }),
  row('0F 01 /2 mem', 'LGDT', 'Ms', loadTable('loadGdt'), { ...privileged, modes: 'legacy' }),
  row('0F 01 /2 mem', 'LGDT', 'Ms', loadTable('loadGdt'), { ...control, modes: 'long' }),
  row('0F 01 /3 mem', 'LIDT', 'Ms', loadTable('loadIdt'), { ...privileged, modes: 'legacy' }),
  row('0F 01 /3 mem', 'LIDT', 'Ms', loadTable('loadIdt'), { ...control, modes: 'long' }),
  row('0F 01 /7 mem', 'INVLPG', 'Mb', INVLPG, privileged),
  row('0F 08', 'INVD', '', NOTHING, privileged),
  row('0F 09', 'WBINVD', '', NOTHING, privileged),

  row('0F A2', 'CPUID', '', call('cpuid')),
  row('0F 32', 'RDMSR', '', call('rdmsr'), privileged),
  row('0F 30', 'WRMSR', '', call('wrmsr'), privileged),
  row('0F 31', 'RDTSC', '', readCounter('rdtsc')),
  row('0F 01 F9', 'RDTSCP', '', RDTSCP, { feature: 'rdtscp' }),
  row('0F 33', 'RDPMC', '', readCounter('rdpmc')),
  row('NP 0F 01 D0', 'XGETBV', '', call('xgetbv'), { feature: 'xsave', ends: true }),
  row('NP 0F 01 D1', 'XSETBV', '', call('xsetbv'), { feature: 'xsave', ...system }),
  row('0F 01 F8', 'SWAPGS', '', call('swapgs'), { ...privileged, modes: 'long' }),

  row('0F 05', 'SYSCALL', '', call('syscall'), ends),
  row('0F 07', 'SYSRET', '', (b, i) => void b.helper('sysret', word(b, i.size)), ends),
  row('0F 34', 'SYSENTER', '', call('sysenter'), ends),
  row('0F 35', 'SYSEXIT', '', (b, i) => void b.helper('sysexit', word(b, i.size)), ends),
  row('F4', 'HLT', '', call('halt'), system),

  row('NP 0F AE /7 mem', 'CLFLUSH', 'Mb', CLFLUSH, { feature: 'clflush' }),
  row('NP 0F AE /5 reg', 'LFENCE', '', NOTHING, { feature: 'sse2' }),
  row('NP 0F AE /6 reg', 'MFENCE', '', NOTHING, { feature: 'sse2' }),
  row('NP 0F AE /7 reg', 'SFENCE', '', NOTHING, { feature: 'sse' }),
];
