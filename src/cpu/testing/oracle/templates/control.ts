/** Stack operations and control transfers within the code segment. */
import { REGION, STACK_TOP } from '../draft.ts';
import { userPages } from '../assemble.ts';
import { toBytes } from '../random.ts';
import type { Assembly, Template } from '../template.ts';
import { CONDITIONS } from './moves.ts';

const hex = (byte: number): string => byte.toString(16).padStart(2, '0').toUpperCase();

/** The stack around its pointer: known bytes above it, and room below. */
function stackMemory(a: Assembly, bytesAbove = 16): void {
  const { draft } = a;
  draft.zero.push([STACK_TOP - 0x800, 0x1000]);
  draft.window(Number(draft.reg(4)), draft.random.bytes(bytesAbove));
}

const onStack = {
  group: 'stack',
  stack: true,
  noFaults: true,
  default64: true,
  prepare: (a: Assembly) => stackMemory(a),
};

/** Only flags that user code may change take part: NT, AC, ID and the like trap or differ between hosts. */
function popFlags(a: Assembly): void {
  stackMemory(a);
  const { draft } = a;
  const length = a.size === 16 ? 2 : draft.bits / 8;
  const value = draft.random.bits(32) & 0xed5n; // IF, IOPL, TF left out: 0x300
  draft.window(Number(draft.reg(4)), toBytes(value | (draft.random.chance(0.5) ? 0x3200n : 0n), length));
  draft.cpl = 3;
  userPages(draft);
}

const STACK: Template[] = [
  { ...onStack, name: 'PUSH Zv', encoding: '50 +r' },
  { ...onStack, name: 'POP Zv', encoding: '58 +r' },
  { ...onStack, name: 'PUSH Ev', encoding: 'FF /6' },
  { ...onStack, name: 'POP Ev', encoding: '8F /0', count: 16 },
  { ...onStack, name: 'PUSH Iz', encoding: '68 iz', count: 4 },
  { ...onStack, name: 'PUSH Ib', encoding: '6A ib', sizes: [16, 32, 64], count: 4 },
  { ...onStack, name: 'PUSHA', encoding: '60', only: 32, sizes: [16, 32], uses: [0, 1, 2, 3, 5, 6, 7], count: 4 },
  { ...onStack, name: 'POPA', encoding: '61', only: 32, sizes: [16, 32], count: 4, prepare: (a) => stackMemory(a, 32) },
  { ...onStack, name: 'PUSHF', encoding: '9C', sizes: [16, 32, 64], count: 4 },
  { ...onStack, name: 'POPF', encoding: '9D', sizes: [16, 32, 64], count: 12, prepare: popFlags },
  {
    ...onStack,
    name: 'LEAVE',
    encoding: 'C9',
    sizes: [16, 32, 64],
    count: 5,
    prepare(a) {
      stackMemory(a);
      const frame = REGION.data.base + 0x1000 + a.draft.random.below(0x800);
      a.draft.pin(5, BigInt(frame));
      a.draft.window(frame, a.draft.random.bytes(8));
    },
  },
  {
    ...onStack,
    name: 'ENTER Iw,Ib',
    encoding: 'C8 iw ib',
    sizes: [16, 32, 64],
    count: 16,
    prepare(a) {
      stackMemory(a);
      const frame = REGION.data.base + 0x1400 + a.draft.random.below(0x400);
      a.draft.pin(5, BigInt(frame));
      a.draft.window(
        frame - 256,
        new Uint8Array(256).map((_, i) => i ^ 0x5a),
      );
    },
  },
];

/** Operands of ENTER: the frame size and the nesting level share one immediate in the encoder. */
const ENTER_ROWS: Template[] = [0, 1, 2, 3, 31, 33].map((level) => {
  const row = STACK.find((r) => r.name.startsWith('ENTER')) as Template;
  return {
    ...row,
    name: `ENTER-level-${level} Iw,Ib`,
    encoding: `C8 ${hex(0x10 + level)} 01 ${hex(level)}`,
    count: 3,
  };
});

/** Jump targets lie in the code region, which is full of HLT. */
function codeTarget(a: Assembly): bigint {
  const { random } = a.draft;
  return BigInt(REGION.code.base + (a.draft.bits === 32 && a.size === 16 ? 0 : 0x400) + random.below(0x800));
}

const rel8 = (a: Assembly): void => {
  const offset = a.draft.random.below(256) - 128;
  a.relative = offset < 0 && offset > -20 ? 40 : offset;
};
const rel32 = (a: Assembly): void => {
  const offset = a.draft.random.below(0xe00) - 0xa00;
  a.relative = offset < 0 && offset > -20 ? 200 : offset;
};

function indirect(a: Assembly): void {
  const target = codeTarget(a);
  if (a.memory) a.memory.set(toBytes(target, a.memory.length));
  else if (a.rm !== undefined) {
    if (a.rm === 4) a.rm = 5;
    a.draft.pin(a.rm, target);
  }
}

const jumps = { group: 'control', branch: true, noFaults: true, default64: true };
const near = [32, 64];

const BRANCHES: Template[] = [
  ...CONDITIONS.flatMap((condition, i): Template[] => [
    { ...jumps, name: `J${condition} Jb`, encoding: `${hex(0x70 + i)} rel8`, count: 6, prepare: rel8 },
    { ...jumps, name: `J${condition} Jz`, encoding: `0F ${hex(0x80 + i)} relz`, sizes: near, count: 6, prepare: rel32 },
  ]),
  { ...jumps, name: 'JMP Jb', encoding: 'EB rel8', count: 6, prepare: rel8 },
  { ...jumps, name: 'JMP Jz', encoding: 'E9 relz', sizes: near, count: 6, prepare: rel32 },
  { ...jumps, name: 'JMP Ev', encoding: 'FF /4', sizes: near, count: 12, prepare: indirect },
  {
    ...jumps,
    stack: true,
    name: 'CALL Ev',
    encoding: 'FF /2',
    sizes: near,
    count: 12,
    prepare: (a) => (stackMemory(a), indirect(a)),
  },
  {
    ...jumps,
    stack: true,
    name: 'CALL Jz',
    encoding: 'E8 relz',
    sizes: near,
    count: 8,
    prepare: (a) => (stackMemory(a), rel32(a)),
  },
  ...['RET', 'RET Iw'].map((name, i): Template => ({
    ...jumps,
    stack: true,
    name,
    encoding: i ? 'C2 iw' : 'C3',
    sizes: near,
    count: 5,
    prepare(a) {
      stackMemory(a);
      a.draft.window(Number(a.draft.reg(4)), toBytes(codeTarget(a), a.draft.bits / 8));
    },
  })),
  ...['LOOPNE', 'LOOPE', 'LOOP', 'JCXZ'].map((name, i): Template => ({
    ...jumps,
    name: `${name} Jb`,
    encoding: `${hex(0xe0 + i)} rel8`,
    count: 12,
    prepare(a) {
      rel8(a);
      const { random } = a.draft;
      a.addressOverride = random.chance(0.4);
      const low = random.pick([0n, 1n, 2n, 0x10000n, 0x1_0000_0000n, 0x10001n, random.bits(16)]);
      a.draft.pin(1, low);
    },
  })),
];

const CHECKS: Template[] = [
  {
    group: 'control',
    name: 'BOUND Gv,M',
    encoding: '62 /r',
    only: 32,
    sizes: [16, 32],
    count: 16,
    prepare(a) {
      const width = a.size / 8;
      const { random } = a.draft;
      a.memoryLength = 2 * width;
      a.memory = new Uint8Array(2 * width);
      const around = (spread: number) => toBytes(BigInt(random.below(spread) - (spread >> 1)), width);
      a.memory.set(around(100), 0);
      a.memory.set(around(1000), width);
      a.draft.pin(a.reg, (a.draft.reg(a.reg) & ~0xffffn) | BigInt.asUintN(16, BigInt(random.below(400) - 200)));
      if (a.size === 32) a.draft.pin(a.reg, BigInt(random.below(400) - 200));
    },
  },
  {
    group: 'control',
    name: 'INTO',
    encoding: 'CE',
    only: 32,
    count: 2,
    prepare: (a) => void (a.draft.flags &= ~0x800),
  },
  { group: 'control', name: 'UD2', encoding: '0F 0B', count: 1 },
  { group: 'control', name: 'HLT-at-CPL-3', encoding: 'F4', count: 1, prepare: (a) => userPages(a.draft) },
  { group: 'control', name: 'CLI-at-CPL-3', encoding: 'FA', count: 1, prepare: (a) => userPages(a.draft) },
  { group: 'control', name: 'IN-at-CPL-3', encoding: 'EC', count: 1, prepare: (a) => userPages(a.draft) },
  { group: 'control', name: 'OUT-at-CPL-3', encoding: 'EE', count: 1, prepare: (a) => userPages(a.draft) },
  { group: 'control', name: 'LGDT-at-CPL-3 M', memoryLength: 10, encoding: '0F 01 /2', count: 1, prepare: user },
  { group: 'control', name: 'INVLPG-at-CPL-3 M', memoryLength: 1, encoding: '0F 01 /7', count: 1, prepare: user },
  { group: 'control', name: 'MOV-CR0-at-CPL-3', encoding: '0F 20 C0', count: 1, prepare: user },
  { group: 'control', name: 'WRMSR-at-CPL-3', encoding: '0F 30', count: 1, prepare: user },
  ...(['27', '2F', '37', '3F', 'CE', 'D4 0A', 'D5 0A', '06', '0E', '16', '1E', '60', '61', '82 C0 01'] as const).map(
    (encoding): Template => ({
      group: 'control',
      name: `UD-in-64-${encoding.slice(0, 2)}`,
      encoding,
      only: 64,
      count: 1,
    }),
  ),
];

function user(a: Assembly): void {
  userPages(a.draft);
}

/** Non-canonical addresses: #GP(0), #SS(0) through the stack pointer. */
const NON_CANONICAL: Template[] = [
  { name: 'MOV-noncanonical', encoding: '48 8B 03' },
  { name: 'MOV-noncanonical-SS', encoding: '48 8B 45 00' },
  { name: 'PUSH-noncanonical', encoding: '53' },
  { name: 'RET-noncanonical', encoding: 'C3' },
].map((row): Template => ({
  ...row,
  group: 'control',
  only: 64,
  count: 3,
  prepare(a) {
    const { draft } = a;
    const bad = 0x8000_0000_0000n + draft.random.bits(40);
    draft.pin(3, bad);
    draft.pin(5, bad);
    if (row.encoding === '53') draft.pin(4, bad);
    if (row.encoding === 'C3') {
      stackMemory(a);
      draft.window(Number(draft.reg(4)), toBytes(bad, 8));
    }
  },
}));

const STACK_ROWS = STACK.filter((row) => !row.name.startsWith('ENTER'));

export const CONTROL: readonly Template[] = [...STACK_ROWS, ...ENTER_ROWS, ...BRANCHES, ...CHECKS, ...NON_CANONICAL];
