/**
 * The budget within the inner loop: the address of the record where it would end if no branch were taken. On a straight
 * way there is nothing to count; who branches moves the limit by as much as the record moves.
 */
import { Record } from '../record.ts';
import type { Code } from '../../wasm/encoder.ts';

/** Records follow one another at 1 << recordShift bytes. */
export const recordShift = Math.log2(Record.size);

/** Goes on at the record `to`, after `instructions` from the one that runs. */
export function moveTo(
  code: Code,
  locals: { readonly record: number; readonly limit: number; readonly to: number },
  instructions: number,
): void {
  const { record, limit, to } = locals;
  code.get(limit).get(record).op('i32.sub').get(to).op('i32.add');
  if (instructions > 0) code.i32(instructions * Record.size).op('i32.sub');
  code.set(limit).get(to).set(record);
}
