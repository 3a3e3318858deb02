/**
 * FIP, FDP and FOP (SDM vol. 1 §8.1.8): an x87 instruction, often with an unmasked exception, perhaps more behind it,
 * then FXSAVE and FNSTENV. Recorded on a processor with CPUID.(7,0):EBX[6] and [13], as the guest's is.
 */
import { toBytes } from '../random.ts';
import type { Bits } from '../draft.ts';
import type { Assembly, Template } from '../template.ts';
import { fxRestore, randomState } from './x87.ts';

/** Behind what operands and stacks use. */
const SAVED = 0x1000_3000;
const ENVIRONMENT = 0x1000_3200;

/** An instruction with an absolute address as its operand. */
function absolute(bits: Bits, opcode: readonly number[], extension: number, address: number): number[] {
  const modrm = bits === 32 ? [(extension << 3) | 5] : [(extension << 3) | 4, 0x25];
  return [...opcode, ...modrm, ...toBytes(BigInt(address), 4)];
}

/** FXSAVE (FXSAVE64 if `wide`), FNSTENV. */
function save(bits: Bits, wide: boolean): number[] {
  const rex = wide && bits === 64 ? [0x48] : [];
  return [...rex, ...absolute(bits, [0x0f, 0xae], 0, SAVED), ...absolute(bits, [0xd9], 6, ENVIRONMENT)];
}

function compare(a: Assembly): void {
  a.draft.comparedMemory = [
    [SAVED + 6, 18],
    [ENVIRONMENT + 12, 16],
  ];
}

function prepare(a: Assembly): void {
  const { draft } = a;
  randomState(draft);
  // Processors differ in whether FLD of a denormal pushes when DE is unmasked, and in C1 (see the README).
  if (draft.random.chance(0.7)) draft.fcw = (draft.fcw & ~0x3f) | draft.random.below(64) | 2;
  if ((draft.fcw & 0x3f) !== 0x3f) draft.fsw &= ~0x3f;
  draft.fsw &= ~0x200;
  compare(a);
}

/** FXRSTOR of pointers: FIP is canonical, as processors make it so in widths of their own. */
function restore(a: Assembly): void {
  fxRestore(a);
  a.memory?.set(a.draft.random.bytes(18), 6);
  a.memory?.fill(0, 13, 16);
  compare(a);
}

function row(name: string, encoding: string, more: Partial<Template> = {}): Template {
  return {
    group: 'x87-pointers',
    name,
    encoding,
    prepare,
    noFaults: true,
    count: 8,
    behind: (bits) => save(bits, true),
    ...more,
  };
}

/** FNCLEX, and then `bytes`, before the pointers are saved. */
function followed(...bytes: number[]): Partial<Template> {
  return { behind: (bits) => [0xdb, 0xe2, ...bytes, ...save(bits, true)] };
}

const f64 = { memoryLength: 8, data: 'f64' } as const;

export const X87_POINTERS: readonly Template[] = [
  row('FADD M', 'D8 /0', { memoryLength: 4, data: 'f32' }),
  row('FSUBR M', 'DC /5', f64),
  row('FDIV M', 'DC /6', f64),
  row('FIDIV M', 'DE /6', { memoryLength: 2, data: 'i16' }),
  row('FCOMP M', 'D8 /3', { memoryLength: 4, data: 'f32' }),
  row('FLD M', 'DD /0', f64),
  row('FLD-t M', 'DB /5', { memoryLength: 10, data: 'i8' }),
  row('FILD M', 'DF /5', { memoryLength: 8, data: 'i64' }),
  row('FSTP M', 'DD /3', f64),
  row('FST-f32 M', 'D9 /2', { memoryLength: 4, data: 'f32' }),
  row('FISTP M', 'DB /3', { memoryLength: 4, data: 'i32' }),
  row('FDIV ST0,ST1', 'D8 F1'),
  row('FADDP ST1,ST0', 'DE C1'),
  row('FSQRT', 'D9 FA'),
  row('FLD1', 'D9 E8'),
  row('FXCH ST1', 'D9 C9'),
  row('FNOP', 'D9 D0'),
  row('FINCSTP', 'D9 F7'),
  row('FFREE ST2', 'DD C2'),
  row('FCOMI ST0,ST1', 'DB F1'),
  row('FNCLEX', 'DB E2'),
  row('FNSTSW AX', 'DF E0', { uses: [0] }),
  row('FNENI', 'DB E0'),
  row('EMMS', '0F 77'),
  row('FXRSTOR M', '0F AE /1', { prepare: restore, count: 6 }),
  row('FXRSTOR64 M', '0F AE /1 W', { prepare: restore, only: 64, count: 6 }),
  row('FDIV-narrow M', 'DC /6', { ...f64, behind: (bits) => save(bits, false) }),
  row('FDIV-FLD1 M', 'DC /6', { ...f64, ...followed(0xd9, 0xe8) }),
  row('FDIV-FDIV M', 'DC /6', { ...f64, ...followed(0xd8, 0xf1) }),
  row('FLD-EMMS M', 'DD /0', { ...f64, ...followed(0x0f, 0x77) }),
  row('FLD-FNINIT M', 'DD /0', { ...f64, ...followed(0xdb, 0xe3) }),
];
