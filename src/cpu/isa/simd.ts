/** All MMX and SSE rows. */
import { mmxRows } from './mmx.ts';
import type { Row } from './row.ts';
import { sse4Rows } from './sse4.ts';
import { sseConvertRows } from './sse-convert.ts';
import { sseFloatRows } from './sse-float.ts';
import { sseIntegerRows } from './sse-integer.ts';
import { sseMoveRows } from './sse-move.ts';
import { ssse3Rows } from './ssse3.ts';

export const simdRows: readonly Row[] = [
  ...sseMoveRows,
  ...sseIntegerRows,
  ...sseFloatRows,
  ...sseConvertRows,
  ...ssse3Rows,
  ...sse4Rows,
  ...mmxRows,
];
