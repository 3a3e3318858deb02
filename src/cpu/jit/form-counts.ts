/** Instructions by form that were not compiled code's own, where they were asked to be counted. */
import { Arena } from '../arena.ts';
import { pseudoForm } from '../isa/compile.ts';
import type { FormTable } from './region.ts';

export interface FormCount {
  /** Its name: mnemonic and operands. */
  readonly form: string;
  /** Begun by the interpreter. */
  readonly interpreted: number;
  /** Done by the form's function on behalf of compiled code. */
  readonly byFunction: number;
}

/** Since the core's last `attach`, the most frequent forms first. `arena`: its address in the guest's memory. */
export function readFormCounts(buffer: ArrayBufferLike, arena: number, table: FormTable): FormCount[] {
  const { formCounts, formCountBytes } = Arena;
  const counts = new Uint32Array(buffer, arena + formCounts, (2 * formCountBytes) >> 2);
  const byName = new Map<string, { interpreted: number; byFunction: number }>();
  table.forms.forEach((form, number) => {
    if (number < pseudoForm.count || !form) return;
    const interpreted = counts[number] ?? 0;
    const byFunction = counts[(formCountBytes >> 2) + number] ?? 0;
    if (interpreted + byFunction === 0) return;
    // The first of a fused pair has a number of its own.
    const sum = byName.get(form.name) ?? { interpreted: 0, byFunction: 0 };
    byName.set(form.name, { interpreted: sum.interpreted + interpreted, byFunction: sum.byFunction + byFunction });
  });
  return [...byName]
    .map(([form, count]) => ({ form, ...count }))
    .toSorted((a, b) => b.interpreted + b.byFunction - a.interpreted - a.byFunction);
}
