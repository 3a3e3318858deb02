/** All x87 rows, with FXSAVE, MXCSR and EMMS. */
import type { Row } from './row.ts';
import { x87ArithmeticRows } from './x87-arithmetic.ts';
import { x87ControlRows } from './x87-control.ts';
import { x87MoveRows } from './x87-move.ts';

export const x87Rows: readonly Row[] = [...x87MoveRows, ...x87ArithmeticRows, ...x87ControlRows];
