/**
 * How compiled code holds flags that it has not computed: a kind and up to three values, in locals or in the vCPU
 * (`Vcpu.heldKind`). `settleFlags` of `core/compiled.ts` makes the lazy words of `cpu/state.ts` from them.
 */
import type { Size } from '../isa/builder.ts';

/**
 * A kind is the rule below + log2 of the size in bytes; 0: the words in memory are right.
 *   add, sub: a = x, b = y    adc, sbb: and c = carry in    logic: a = r    inc, dec: a = r, c = CF
 *   parts: a = result, b = overflow (its sign), c = carry | AF << 4    word: a = the flags in their places of EFLAGS
 */
export const flagKind = {
  none: 0,
  add: 4,
  sub: 8,
  logic: 12,
  inc: 16,
  dec: 20,
  adc: 24,
  sbb: 28,
  parts: 32,
  word: 36,
} as const;

export type FlagKind = Exclude<keyof typeof flagKind, 'none'>;

export function flagKindOf(kind: FlagKind, size: Size): number {
  return flagKind[kind] + Math.log2(size);
}
