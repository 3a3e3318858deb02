/** All MMX and SSE rows. */
import type { Row } from './row.ts';
import { sseConvertRows } from './sse-convert.ts';
import { sseFloatRows } from './sse-float.ts';
import { sseIntegerRows } from './sse-integer.ts';
import { sseMoveRows } from './sse-move.ts';

export const simdRows: readonly Row[] = [...sseMoveRows, ...sseIntegerRows, ...sseFloatRows, ...sseConvertRows];
