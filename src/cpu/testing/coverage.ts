/**
 * Which instruction forms the cases reach. A form is a row of the instruction table with registers or with memory, at
 * one operand size where the row has several.
 *
 * @example
 * const coverage = new Coverage(groups);
 * coverage.observe(bytes, 32); // for each instruction that ran
 * coverage.summary(); // [{ group: 'alu', rows: 120, forms: 380, missing: [...] }, …]
 */
import { createMatcher } from '../isa/match.ts';
import type { CodeMode, Match, Matcher } from '../isa/match.ts';
import type { Row } from '../isa/row.ts';

type OperandSize = 2 | 4 | 8;

export interface InstructionForm {
  readonly row: Row;
  readonly shape: 'register' | 'memory';
  /** Bytes; undefined where the row knows one size. */
  readonly size: OperandSize | undefined;
}

export interface GroupSummary {
  readonly group: string;
  readonly rows: number;
  readonly forms: number;
  readonly missing: readonly InstructionForm[];
}

/** Size letters that follow the operand size. */
const SIZED = /^[A-Z](v|z|y|p|s)$|^[er]AX$/;

function isSized(row: Row): boolean {
  return (
    row.operands.some((o) => SIZED.test(o)) || row.mnemonic.includes('/') || row.size64 !== undefined || !!row.stack
  );
}

/** Operands of 4 or 8 bytes have no 16-bit form; descriptors in memory go by the mode. */
function formSize(row: Row, size: OperandSize, mode: CodeMode): OperandSize | undefined {
  if (!isSized(row)) return undefined;
  if (row.operands.some((o) => /^[A-Z]s$/.test(o))) return mode === 64 ? 8 : 4;
  const follows = row.operands.some((o) => /^[A-Z](v|z|p)$|^[er]AX$/.test(o));
  if (!follows && size === 2 && row.operands.some((o) => /^[A-Z]y$/.test(o))) return 4;
  return size;
}

const codeModes: readonly CodeMode[] = [16, 32, 64];

function sizesOf(row: Row): readonly (OperandSize | undefined)[] {
  const found = new Set<OperandSize | undefined>();
  for (const mode of codeModes) {
    if (row.modes !== undefined && (row.modes === 'long') !== (mode === 64)) continue;
    const long: readonly OperandSize[] = row.size64 === 'f64' ? [8] : row.size64 === 'd64' ? [2, 8] : [2, 4, 8];
    for (const size of mode === 64 ? long : ([2, 4] as const)) {
      // As a mandatory prefix, 66 does not make 16 bits of the default size (in 16-bit code it is 16 bits anyway).
      if (row.encoding.startsWith('66 ') && size === 2 && mode !== 16) continue;
      if (row.sizes === undefined || row.sizes.includes(size)) found.add(formSize(row, size, mode));
    }
  }
  return [...found];
}

function shapesOf(row: Row): readonly InstructionForm['shape'][] {
  if (row.encoding.endsWith(' mem')) return ['memory'];
  if (row.encoding.endsWith(' reg')) return ['register'];
  if (row.operands.some((o) => /^[EWQ]/.test(o) && o !== 'ES')) return ['register', 'memory'];
  return row.operands.some((o) => /^[MFOXY]/.test(o) && o !== 'FS') ? ['memory'] : ['register'];
}

export function formsOf(row: Row): readonly InstructionForm[] {
  return shapesOf(row).flatMap((shape) => sizesOf(row).map((size) => ({ row, shape, size })));
}

function formOf(m: Match): InstructionForm {
  const shape = m.operands.some((o) => o.kind === 'memory') ? 'memory' : 'register';
  return { row: m.row, shape, size: formSize(m.row, m.stackSize, m.mode) };
}

export class Coverage {
  private readonly groups: Readonly<Record<string, readonly Row[]>>;
  private readonly matcher: Matcher;
  private readonly ids = new Map<Row, number>();
  private readonly seen = new Set<string>();
  private readonly known = new Set<string>();

  constructor(groups: Readonly<Record<string, readonly Row[]>>) {
    this.groups = groups;
    const rows = Object.values(groups).flat();
    rows.forEach((row, n) => this.ids.set(row, n));
    this.matcher = createMatcher(rows);
  }

  private key(form: InstructionForm): string {
    return `${this.ids.get(form.row)} ${form.shape} ${form.size}`;
  }

  observe(bytes: Uint8Array, mode: CodeMode): void {
    const code = `${mode} ${bytes.join()}`;
    if (this.known.has(code)) return;
    this.known.add(code);
    const match = this.matcher(bytes, mode);
    if (typeof match !== 'string') this.seen.add(this.key(formOf(match)));
  }

  summary(): readonly GroupSummary[] {
    return Object.entries(this.groups).map(([group, rows]) => {
      const forms = rows.flatMap(formsOf);
      const missing = forms.filter((form) => !this.seen.has(this.key(form)));
      return { group, rows: rows.length, forms: forms.length, missing };
    });
  }
}
