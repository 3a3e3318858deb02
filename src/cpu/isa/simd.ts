/** SSE and MMX rows. */
import type { Row } from './row.ts';

export const simdRows: readonly Row[] = [];
