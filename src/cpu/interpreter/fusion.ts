/**
 * Fused pairs: a comparison and the conditional branch behind it as one case of the dispatch loop. Nothing of the
 * first instruction is left out, and the branch's own record stays where it is, so a slice can end between them, a
 * jump can lead to the branch alone, and an unlinked branch is left to its own case.
 *
 * The table, behind the entries of the decode tables: for each form number a u16: 0, `fusionBranch` | condition for a
 * conditional branch, `fusionTransfer` for a form that always branches, or the number of its group + 1 for a form that
 * fuses. A group has 16 u16: the number of the fused
 * form for each condition, or 0. The decoder (`core/blocks.ts`) replaces the first record's form.
 */
import type { Form } from '../isa/compile.ts';
import { pseudoForm } from '../isa/compile.ts';

/** Marks a conditional branch in the table. */
export const fusionBranch = 0x8000;
/** Marks what transfers control whatever the flags are, for DebugCtl.BTF (`core/events.ts`). */
export const fusionTransfer = 0x4000;
const transfers = new Set(['JMP', 'CALL', 'RET', 'JMP FAR', 'CALL FAR', 'RETF', 'IRET/IRETD/IRETQ']);

export interface Fusion {
  /** The first instruction. */
  readonly form: Form;
  /** Condition code of the branch. */
  readonly condition: number;
}

/** Conditions that programs branch on after each kind of instruction: all of CMP's, few after arithmetic. */
const conditionsAfter: Readonly<globalThis.Record<string, readonly number[]>> = {
  CMP: [2, 3, 4, 5, 6, 7, 12, 13, 14, 15],
  TEST: [4, 5, 8, 9, 14, 15],
  DEC: [4, 5, 8, 9],
  SUB: [2, 3, 4, 5, 8, 9],
  ADD: [2, 3, 4, 5],
  AND: [4, 5],
};

export function fusionsOf(form: Form): Fusion[] {
  const conditions = conditionsAfter[form.mnemonic];
  if (!conditions || form.size === 2) return [];
  const compares = form.mnemonic === 'CMP' || form.mnemonic === 'TEST';
  // What writes memory may change the code of the branch.
  if (!compares && (form.size === 1 || form.operands.some((o) => o.kind === 'memory'))) return [];
  return conditions.map((condition) => ({ form, condition }));
}

/** The decode tables with the fusion table behind them. `forms` are all forms by their numbers. */
export function writeFusionTable(
  tables: Uint8Array,
  forms: readonly Form[],
  inline: readonly Form[],
  fusions: readonly Fusion[],
): Uint8Array {
  const start = Math.ceil(tables.length / 16) * 16;
  const grouped = [...new Set(fusions.map((f) => f.form))];
  const groups = start + 2 * (pseudoForm.count + forms.length);
  const out = new Uint8Array(groups + 32 * grouped.length);
  out.set(tables);
  const view = new DataView(out.buffer);
  view.setUint32(8, start, true);
  view.setUint32(12, groups, true);
  const firstFused = pseudoForm.count + inline.length;
  forms.forEach((form, k) => {
    const isFused = k >= inline.length && k < inline.length + fusions.length;
    const value = (): number => {
      if (form.mnemonic === 'Jcc') return fusionBranch | form.condition;
      if (transfers.has(form.mnemonic)) return fusionTransfer;
      return isFused ? 0 : grouped.indexOf(form) + 1;
    };
    view.setUint16(start + 2 * (pseudoForm.count + k), value(), true);
  });
  fusions.forEach((f, k) => {
    view.setUint16(groups + 32 * grouped.indexOf(f.form) + 2 * f.condition, firstFused + k, true);
  });
  return out;
}
