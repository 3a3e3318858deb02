/**
 * Generates the interpreter: `handlers.wasm`, with the dispatch loop, a function for each form, and the decode tables.
 * It is linked with the AssemblyScript core by wasm-merge, so its imports are the core's exports and the other way
 * round.
 *
 *   dispatch(cpu, record, budget) → status
 *     runs records until a status other than ok. At every exit Vcpu.budget holds what is left, Vcpu.rip the
 *     instruction to run next (with status.fault: the one that faulted).
 *   initTables(address)   copies the decode tables there.
 */
import { writeBridge } from './bridge.ts';
import { Arena } from '../arena.ts';
import type { CompiledTable, Form } from '../isa/compile.ts';
import { pseudoForm } from '../isa/compile.ts';
import type { Helper } from '../isa/helpers.ts';
import { status } from '../status.ts';
import type { FunctionBuilder } from '../../wasm/encoder.ts';
import { ModuleBuilder } from '../../wasm/encoder.ts';
import { importCore } from '../emit/core-calls.ts';
import type { FormCalls, Frame } from './builder.ts';
import { formFunctions, InterpreterBuilder, NotInline } from './builder.ts';
import { dispatchFunctions, writeCompiledSupport, writeDispatch } from './dispatch.ts';
import { fusionsOf, writeFusionTable } from './fusion.ts';
import { writeInner } from './inner.ts';
import { pairsOf } from './pairs.ts';

export interface GeneratedInterpreter {
  readonly wasm: Uint8Array;
  /** Forms by their number in the tables (pseudo-forms have none). */
  readonly forms: readonly Form[];
  readonly inlineCount: number;
}

export interface InterpreterOptions {
  /** Most forms that the dispatch loop may have. */
  readonly inlineLimit?: number;
}

/** Whether the form can be a case of the loop: tried by writing it into a throw-away function. */
function canInline(form: Form, core: FormCalls): boolean {
  const scratch = new ModuleBuilder().function('scratch', ['i32', 'i32', 'i32'], ['i32']);
  const target = scratch.local('i64');
  const frame: Frame = {
    f: scratch,
    pool: new Map(),
    record: 1,
    loop: { limit: 2, target, bail: 0, next: 0, go: 0, link: 0 },
  };
  try {
    new InterpreterBuilder(frame, core, form).emit();
    return true;
  } catch (error) {
    if (error instanceof NotInline) return false;
    throw error;
  }
}

export function generateInterpreter(
  compiled: CompiledTable,
  helpers: Readonly<globalThis.Record<string, Helper>>,
  options: InterpreterOptions = {},
): GeneratedInterpreter {
  const m = new ModuleBuilder();
  const core = importCore(m, [...formFunctions, ...dispatchFunctions], helpers);
  const inline: Form[] = [];
  const apart: Form[] = [];
  for (const form of compiled.forms) {
    const hot = form.row.hot === true && !form.general;
    if (hot && inline.length < (options.inlineLimit ?? 1600) && canInline(form, core)) inline.push(form);
    else apart.push(form);
  }
  const written = new Map<Form, FunctionBuilder>();
  for (const form of [...inline, ...apart]) {
    const f = m.function(form.name, ['i32', 'i32'], ['i32']);
    new InterpreterBuilder({ f, pool: new Map(), record: 1 }, core, form).emit();
    f.code.i32(status.ok);
    written.set(form, f);
  }
  // Numbers: pseudo-forms, inline forms, fused pairs, the other forms. A pair's function does its first instruction.
  const branches = inline.flatMap(fusionsOf);
  const fusions = [...branches, ...pairsOf(inline, branches)];
  const forms = [...inline, ...fusions.map((f) => f.form), ...apart];
  const numbers = new Map<number, number>();
  inline.forEach((form, k) => numbers.set(form.id, pseudoForm.count + k));
  apart.forEach((form, k) => numbers.set(form.id, pseudoForm.count + inline.length + fusions.length + k));
  const tables = compiled.tables.slice();
  const view = new DataView(tables.buffer);
  for (const place of compiled.formPlaces) {
    view.setUint16(place, numbers.get(view.getUint16(place, true)) ?? pseudoForm.undefined, true);
  }
  const functions = forms.flatMap((form) => written.get(form) ?? []);
  const support = writeCompiledSupport(m, core, functions);
  const loop = writeInner(m, core, inline, fusions);
  writeBridge(m, core, loop, support);
  writeDispatch(m, core, loop, support);
  writeInitTables(m, writeFusionTable(tables, forms, inline, fusions));
  return { wasm: m.encode(), forms, inlineCount: inline.length + fusions.length };
}

function writeInitTables(m: ModuleBuilder, tables: Uint8Array): void {
  if (tables.length > Arena.tablesBytes)
    throw new Error(`decode tables of ${tables.length} bytes do not fit the arena`);
  const segment = m.data(tables);
  const f = m.function('initTables', ['i32'], []);
  f.code.get(0).i32(0).i32(tables.length).memoryInit(segment);
  m.exportFunction('initTables', f);
}
