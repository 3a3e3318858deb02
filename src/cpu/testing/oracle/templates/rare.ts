/** Encodings that compilers do not make but processors have: aliases, hints, operand sizes without a purpose. */
import type { Template } from '../template.ts';
import { state, stateWithoutC1 } from './x87.ts';

const HINTS = ['18', '19', '1A', '1B', '1C', '1D', '1E'];

export const RARE: readonly Template[] = [
  { name: 'TEST Ev,Iz', encoding: 'F7 /1 iz', undefinedFlags: 0x10 },
  { name: 'SHL Ev,1', encoding: 'D1 /6', undefinedFlags: 0x10 },
  { name: 'MOVZX Gv,Ew', encoding: '0F B7 /r', sizes: [16, 32, 64] },
  { name: 'MOVSX Gv,Ew', encoding: '0F BF /r', sizes: [16, 32, 64] },
  { name: 'MOVSXD Gv,Ew', encoding: '63 /r', only: 64 as const, sizes: [16] },
  ...HINTS.map((opcode) => ({ name: 'NOP Ev', encoding: `0F ${opcode} /1`, count: 8, noFaults: true })),
  // Of registers, 0D is a NOP to Intel and undefined to AMD.
  { name: 'NOP M', encoding: '0F 0D /1', sizes: [16, 32, 64], memoryLength: 1, count: 8, noFaults: true },
  { name: 'FNENI', encoding: 'DB E0', prepare: state, count: 4 },
  { name: 'FNDISI', encoding: 'DB E1', prepare: state, count: 4 },
  { name: 'FNSETPM', encoding: 'DB E4', prepare: state, count: 4 },
  { name: 'FSTP ST3', encoding: 'DF DB', prepare: state },
  { name: 'FFREEP ST0', encoding: 'DF C0', prepare: stateWithoutC1 },
  { name: 'FFREEP ST2', encoding: 'DF C2', prepare: stateWithoutC1 },
].map((row): Template => ({ group: 'rare', ...row }));
