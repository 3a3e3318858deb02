/** Moves, conversions, address computation, conditional moves and sets, flag instructions. */
import { FLAG, OPERAND_LIMIT } from '../draft.ts';
import type { Assembly, Template } from '../template.ts';

const hex = (byte: number): string => byte.toString(16).padStart(2, '0').toUpperCase();

/** Condition names by the low four bits of the opcode. SDM vol. 2, appendix B.1.4.7. */
export const CONDITIONS = ['O', 'NO', 'B', 'NB', 'Z', 'NZ', 'BE', 'NBE', 'S', 'NS', 'P', 'NP', 'L', 'NL', 'LE', 'NLE'];

/** LEA computes an address and touches no memory, so any registers will do. */
function leaTarget(a: Assembly): void {
  a.memoryLength = 1;
  a.memory = new Uint8Array(1);
}

const MOVE: Template[] = [
  { name: 'MOV Eb,Gb', encoding: '88 /r' },
  { name: 'MOV Ev,Gv', encoding: '89 /r' },
  { name: 'MOV Gb,Eb', encoding: '8A /r' },
  { name: 'MOV Gv,Ev', encoding: '8B /r' },
  { name: 'MOV Eb,Ib', encoding: 'C6 /0 ib' },
  { name: 'MOV Ev,Iz', encoding: 'C7 /0 iz' },
  { name: 'MOV Zb,Ib', encoding: 'B0 +r ib', count: 6 },
  { name: 'MOV Zv,Iv', encoding: 'B8 +r iv', count: 6 },
  { name: 'MOV AL,Ob', encoding: 'A0 moffs', uses: [0], count: 6 },
  { name: 'MOV eAX,Ov', encoding: 'A1 moffs', uses: [0], count: 6 },
  { name: 'MOV Ob,AL', encoding: 'A2 moffs', uses: [0], count: 6 },
  { name: 'MOV Ov,eAX', encoding: 'A3 moffs', uses: [0], count: 6 },
  { name: 'MOVZX Gv,Eb', encoding: '0F B6 /r' },
  { name: 'MOVZX Gy,Ew', encoding: '0F B7 /r' },
  { name: 'MOVSX Gv,Eb', encoding: '0F BE /r' },
  { name: 'MOVSX Gy,Ew', encoding: '0F BF /r' },
  { name: 'MOVSXD Gv,Ed', encoding: '63 /r', only: 64 as const, sizes: [32, 64] },
  { name: 'LEA Gv,M', encoding: '8D /r', prepare: leaTarget, noFaults: true, count: 24 },
  { name: 'LEA-register Gv,Rv', encoding: '8D /r', count: 2, sizes: [32] },
  { name: 'NOP Ev', encoding: '0F 1F /0', count: 4 },
  { name: 'NOP', encoding: '90', count: 1 },
  { name: 'PAUSE', encoding: 'F3 90', count: 1 },
  { name: 'XLAT', encoding: 'D7', count: 8, prepare: xlat },
].map((row) => ({ group: 'move', ...row }));

function xlat(a: Assembly): void {
  const { draft } = a;
  const { random } = draft;
  const table = 0x1000_0000 + random.below(OPERAND_LIMIT - 0x1000_0000 - 256);
  const al = random.bits(8);
  draft.pin(0, (draft.reg(0) & ~0xffn) | al);
  draft.pin(3, BigInt(table));
  draft.window(table + Number(al), random.bytes(1));
}

const CONVERT: Template[] = [
  { group: 'move', name: 'CBW/CWDE/CDQE', encoding: '98', sizes: [16, 32, 64], uses: [0] },
  { group: 'move', name: 'CWD/CDQ/CQO', encoding: '99', sizes: [16, 32, 64], uses: [0, 2] },
];

const CONDITIONAL: Template[] = CONDITIONS.flatMap((condition, i): Template[] => [
  { group: 'cond', name: `CMOV${condition} Gv,Ev`, encoding: `0F ${hex(0x40 + i)} /r`, count: 8 },
  { group: 'cond', name: `SET${condition} Eb`, encoding: `0F ${hex(0x90 + i)} /0`, count: 8 },
]);

const FLAGS: Template[] = [
  { name: 'CLC', encoding: 'F8' },
  { name: 'STC', encoding: 'F9' },
  { name: 'CMC', encoding: 'F5' },
  { name: 'CLD', encoding: 'FC' },
  { name: 'STD', encoding: 'FD' },
  { name: 'LAHF', encoding: '9F', uses: [0] },
  { name: 'SAHF', encoding: '9E', uses: [0] },
].map((row) => ({
  group: 'flags',
  count: 6,
  prepare: (a: Assembly) => {
    if (a.draft.random.chance(0.5)) a.draft.flags |= FLAG.DF;
  },
  ...row,
}));

export const MOVES: readonly Template[] = [...MOVE, ...CONVERT, ...CONDITIONAL, ...FLAGS];
