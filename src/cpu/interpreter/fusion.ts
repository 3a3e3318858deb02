/**
 * Fused instructions: two or three as one case of the dispatch loop, which saves jumps that processors predict badly.
 * Nothing of the first one is left out, and the second one's own record stays where it is, so a slice can end between
 * them, a jump can lead to the second one alone, and what it cannot do is left to its own case or function. There are
 * comparisons with the conditional branch behind them, and the pairs that compilers often write (`pairs.ts`), whose
 * second one may be a comparison with its branch.
 *
 * Two tables, behind the entries of the decode tables: for each form number a u16: 0, `fusionBranch` | condition for a
 * conditional branch, `fusionTransfer` for a form that always branches, or the number of its group + 1 for a form that
 * fuses with branches. A group has 16 u16: the number of the fused form for each condition, or 0.
 *
 * Then for each form number, fused ones included, two u8: its row + 1 as the first of a pair, or 0; its column + 1 as the
 * second, or 0. Rows have `pairColumns` u16: the number of the fused form, or 0. The decoder (`core/blocks.ts`) replaces
 * the first record's form.
 */
import type { Form } from '../isa/compile.ts';
import { pseudoForm } from '../isa/compile.ts';

/** Marks a conditional branch in the table. */
export const fusionBranch = 0x8000;
/** Marks what transfers control whatever the flags are, for DebugCtl.BTF (`core/events.ts`). */
export const fusionTransfer = 0x4000;
const transfers = new Set(['JMP', 'CALL', 'RET', 'JMP FAR', 'CALL FAR', 'RETF', 'IRET/IRETD/IRETQ']);

/** Most that can be the second of a pair. */
export const pairColumns = 96;

/** A comparison and a branch. */
export interface BranchFusion {
  /** The first instruction. */
  readonly form: Form;
  /** Condition code of the branch. */
  readonly condition: number;
}

/** Two instructions, or an instruction with a comparison and its branch. */
export interface PairFusion {
  readonly form: Form;
  readonly second: Form | BranchFusion;
}

export type Fusion = BranchFusion | PairFusion;

/** Conditions that programs branch on after each kind of instruction: all of CMP's, few after arithmetic. */
const conditionsAfter: Readonly<globalThis.Record<string, readonly number[]>> = {
  CMP: [2, 3, 4, 5, 6, 7, 12, 13, 14, 15],
  TEST: [4, 5, 8, 9, 14, 15],
  DEC: [4, 5, 8, 9],
  SUB: [2, 3, 4, 5, 8, 9],
  ADD: [2, 3, 4, 5],
  AND: [4, 5],
};

export function fusionsOf(form: Form): BranchFusion[] {
  const conditions = conditionsAfter[form.mnemonic];
  if (!conditions || form.size === 2) return [];
  const compares = form.mnemonic === 'CMP' || form.mnemonic === 'TEST';
  // What writes memory may change the code of the branch.
  if (!compares && (form.size === 1 || form.operands.some((o) => o.kind === 'memory'))) return [];
  return conditions.map((condition) => ({ form, condition }));
}

/** The decode tables with the fusion tables behind them. `forms` are all forms by their numbers. */
export function writeFusionTable(
  tables: Uint8Array,
  forms: readonly Form[],
  inline: readonly Form[],
  fusions: readonly Fusion[],
): Uint8Array {
  const branches = fusions.flatMap((f) => ('condition' in f ? [f] : []));
  const pairs = fusions.flatMap((f) => ('second' in f ? [f] : []));
  const start = Math.ceil(tables.length / 16) * 16;
  const grouped = [...new Set(branches.map((f) => f.form))];
  const firsts = [...new Set(pairs.map((f) => f.form))];
  const seconds = [...new Set(pairs.map((f) => f.second))];
  if (seconds.length > pairColumns) throw new Error(`${seconds.length} forms as the second of a pair`);
  const numbers = pseudoForm.count + forms.length;
  const groups = start + 2 * numbers;
  const places = groups + 32 * grouped.length;
  const rows = places + 2 * numbers;
  const out = new Uint8Array(rows + 2 * pairColumns * firsts.length);
  out.set(tables);
  const view = new DataView(out.buffer);
  [start, groups, places, rows].forEach((at, k) => view.setUint32(8 + 4 * k, at, true));
  const firstFused = pseudoForm.count + inline.length;
  forms.forEach((form, k) => {
    const isFused = k >= inline.length && k < inline.length + fusions.length;
    const value = (): number => {
      if (form.mnemonic === 'Jcc') return fusionBranch | form.condition;
      if (transfers.has(form.mnemonic)) return fusionTransfer;
      return isFused ? 0 : grouped.indexOf(form) + 1;
    };
    view.setUint16(start + 2 * (pseudoForm.count + k), value(), true);
    const fused = isFused ? fusions[k - inline.length] : undefined;
    out[places + 2 * (pseudoForm.count + k)] = fused ? 0 : firsts.indexOf(form) + 1;
    out[places + 2 * (pseudoForm.count + k) + 1] = seconds.findIndex((s) => s === (fused ?? form)) + 1;
  });
  fusions.forEach((f, k) => {
    const at =
      'condition' in f
        ? groups + 32 * grouped.indexOf(f.form) + 2 * f.condition
        : rows + 2 * (pairColumns * firsts.indexOf(f.form) + seconds.indexOf(f.second));
    view.setUint16(at, firstFused + k, true);
  });
  return out;
}
