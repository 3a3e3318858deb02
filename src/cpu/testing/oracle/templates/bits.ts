/** Shifts, rotates, double shifts, bit tests and scans, byte swaps. */
import { FLAG, REGISTER_NAMES } from '../draft.ts';
import { toBytes } from '../random.ts';
import type { Assembly, Template } from '../template.ts';

const { CF, PF, AF, SF, OF } = FLAG;
const NAMES = ['ROL', 'ROR', 'RCL', 'RCR', 'SHL', 'SHR', 'SAL', 'SAR'] as const;

/** SDM vol. 2B, SAL/SAR/SHL/SHR and RCL/RCR/ROL/ROR, "Flags affected". */
function shiftFlags(extension: number, size: number, count: number): number {
  const masked = count & (size === 64 ? 63 : 31);
  if (masked === 0) return 0;
  const overflow = masked === 1 ? 0 : OF;
  if (extension < 4) return overflow;
  const carry = extension !== 7 && masked >= size ? CF : 0;
  return AF | overflow | carry;
}

function countOf(a: Assembly): number {
  const { random } = a.draft;
  if (a.ordinal < 4) return [0, 1, a.size - 1, a.size][a.ordinal] ?? 0;
  return random.chance(0.7) ? random.below(a.size + 4) : random.below(256);
}

const SHIFT: Template[] = NAMES.flatMap((name, extension) =>
  [8, 16, 32, 64].flatMap((size): Template[] => {
    const operand = size === 8 ? 'Eb' : 'Ev';
    const w = size === 8 ? ' !W' : '';
    const opcode = (base: number): string => (base + (size === 8 ? 0 : 1)).toString(16).toUpperCase();
    const common = { group: 'shift', sizes: [size] };
    const rare = name === 'SAL';
    return [
      {
        ...common,
        name: `${name} ${operand},1`,
        encoding: `${opcode(0xd0)}${w} /${extension}`,
        undefinedFlags: shiftFlags(extension, size, 1),
        count: rare ? 2 : 8,
      },
      {
        ...common,
        name: `${name} ${operand},CL`,
        encoding: `${opcode(0xd2)}${w} /${extension}`,
        uses: [1],
        count: rare ? 4 : 20,
        prepare: (a) => a.draft.pin(1, (a.draft.reg(1) & ~0xffn) | BigInt(countOf(a))),
        undefinedFlags: (a) => shiftFlags(extension, size, Number(a.draft.reg(1) & 0xffn)),
      },
      {
        ...common,
        name: `${name} ${operand},Ib`,
        encoding: `${opcode(0xc0)}${w} /${extension} ib`,
        count: rare ? 4 : 16,
        prepare: (a) => void (a.immediate = BigInt(countOf(a))),
        undefinedFlags: (a) => shiftFlags(extension, size, Number(a.immediate)),
      },
    ];
  }),
);

/** Counts above the operand size give undefined results (16-bit operands only); they are not generated. */
function doubleCount(a: Assembly): bigint {
  const limit = a.size === 16 ? 17 : a.size;
  const count = a.ordinal < 3 ? ([0, 1, limit - 1][a.ordinal] ?? 0) : a.draft.random.below(limit);
  return BigInt(a.draft.random.chance(0.2) ? count + (a.size === 64 ? 64 : 32) * a.draft.random.below(3) : count);
}

function doubleFlags(a: Assembly, count: number): number {
  const masked = count & (a.size === 64 ? 63 : 31);
  if (masked === 0) return 0;
  return AF | (masked === 1 ? 0 : OF);
}

const DOUBLE_SHIFT: Template[] = ['SHLD', 'SHRD'].flatMap((name, i): Template[] => [
  {
    group: 'shift',
    name: `${name} Ev,Gv,Ib`,
    encoding: `0F ${i ? 'AC' : 'A4'} /r ib`,
    count: 20,
    prepare: (a) => void (a.immediate = doubleCount(a)),
    undefinedFlags: (a) => doubleFlags(a, Number(a.immediate)),
  },
  {
    group: 'shift',
    name: `${name} Ev,Gv,CL`,
    encoding: `0F ${i ? 'AD' : 'A5'} /r`,
    uses: [1],
    count: 20,
    prepare(a) {
      a.draft.pin(1, (a.draft.reg(1) & ~0xffn) | doubleCount(a));
    },
    undefinedFlags: (a) => doubleFlags(a, Number(a.draft.reg(1) & 0xffn)),
  },
]);

/**
 * A bit offset in a register reaches memory far from the operand: the register gets an offset within a few hundred
 * bytes, the window covers the unit that the processor touches, and the target moves so that it stays in reach.
 */
function bitOffset(a: Assembly): void {
  const { draft, size } = a;
  const { random } = draft;
  if (a.memoryLength === 0) return;
  const offset = BigInt(random.below(4096) - 2048);
  const mask = (1n << BigInt(size)) - 1n;
  const upper = random.chance(0.5) ? draft.reg(a.reg) & ~mask : 0n;
  draft.pin(a.reg, upper | (offset & mask));
  a.target = 0x1000_0400 + random.below(0x800);
  const length = size / 8;
  const unit = a.target + Number(offset >> BigInt(Math.log2(size))) * length;
  draft.window(unit, random.bytes(length));
  a.memory = Uint8Array.from({ length }, (_, i) => draft.byteAt(a.target + i));
  a.addressOverride = false;
}

const bitFlags = OF | SF | AF | PF;
const BIT_TEST: Template[] = ['BT', 'BTS', 'BTR', 'BTC'].flatMap((name, i): Template[] => {
  const lock = name === 'BT' ? {} : { lock: true };
  return [
    {
      group: 'bits',
      name: `${name} Ev,Gv`,
      encoding: `0F ${(0xa3 + 8 * i).toString(16).toUpperCase()} /r`,
      undefinedFlags: bitFlags,
      count: 20,
      noFaults: true,
      prepare: bitOffset,
      ...lock,
    },
    { group: 'bits', name: `${name} Ev,Ib`, encoding: `0F BA /${4 + i} ib`, undefinedFlags: bitFlags, ...lock },
  ];
});

const LOCKED_BIT_TEST: Template[] = BIT_TEST.filter((row) => row.lock).map((row) => ({
  ...row,
  group: 'lock',
  name: `LOCK-${row.name}`,
  count: 3,
  prepare(a) {
    row.prepare?.(a);
    a.prefixes.push(0xf0);
  },
}));

/** A zero source leaves the destination: AMD's manual says so, Intel's calls it undefined. Not compared. */
function scanSource(a: Assembly): void {
  const width = BigInt(a.size);
  if (a.ordinal === 0) {
    if (a.memory) a.memory.fill(0);
    else if (a.rm !== undefined) a.draft.pin(a.rm, (a.draft.reg(a.rm) >> width) << width);
  } else if (a.draft.random.chance(0.5)) {
    const value = 1n << BigInt(a.draft.random.below(a.size));
    if (a.memory) a.memory.set(toBytes(value, a.memory.length));
    else if (a.rm !== undefined) a.draft.pin(a.rm, ((a.draft.reg(a.rm) >> width) << width) | value);
  }
  const source = a.memory ? a.memory.some((b) => b) : BigInt.asUintN(a.size, a.draft.reg(a.rm ?? 0)) !== 0n;
  if (!source) a.draft.unspecified.add(REGISTER_NAMES[a.draft.bits][a.reg] ?? '');
}

const scanFlags = CF | OF | SF | AF | PF;
const OTHERS: Template[] = [
  { group: 'bits', name: 'BSF Gv,Ev', encoding: '0F BC /r', undefinedFlags: scanFlags, count: 16, prepare: scanSource },
  { group: 'bits', name: 'BSR Gv,Ev', encoding: '0F BD /r', undefinedFlags: scanFlags, count: 16, prepare: scanSource },
  { group: 'bits', name: 'POPCNT Gv,Ev', encoding: 'F3 0F B8 /r', count: 16 },
  { group: 'bits', name: 'BSWAP Zy', encoding: '0F C8 +r', count: 16 },
  { group: 'bits', name: 'CRC32 Gd,Eb', encoding: 'F2 0F 38 F0 /r', count: 16 },
  { group: 'bits', name: 'CRC32 Gd,Eb', encoding: 'F2 W 0F 38 F0 /r', only: 64, count: 8 },
  { group: 'bits', name: 'CRC32 Gd,Ev', encoding: 'F2 0F 38 F1 /r', sizes: [16, 32, 64], count: 16 },
];

export const BITS: readonly Template[] = [...SHIFT, ...DOUBLE_SHIFT, ...BIT_TEST, ...LOCKED_BIT_TEST, ...OTHERS];
