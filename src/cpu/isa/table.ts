/** The instruction table: every row, in groups as the files of this folder have them. */
import { aluRows } from './alu.ts';
import { bcdRows } from './bcd.ts';
import { bitRows } from './bits.ts';
import { branchRows } from './branch.ts';
import { flagRows } from './flags.ts';
import { moveRows } from './move.ts';
import { mulDivRows } from './muldiv.ts';
import type { Row } from './row.ts';
import { shiftRows } from './shift.ts';
import { simdRows } from './simd.ts';
import { stackRows } from './stack.ts';
import { stringRows } from './string.ts';
import { systemRows } from './system.ts';
import { x87Rows } from './x87.ts';

/** Everything but SIMD and floating point. */
export const integerRows: readonly Row[] = [
  ...aluRows,
  ...shiftRows,
  ...mulDivRows,
  ...bitRows,
  ...moveRows,
  ...stackRows,
  ...branchRows,
  ...stringRows,
  ...bcdRows,
  ...flagRows,
  ...systemRows,
];

export const instructionTable: readonly Row[] = [...integerRows, ...simdRows, ...x87Rows];
