/** Which form has which number in a core: `core.wasm` says it in a section of its own. */
import { compileTable, pseudoForm, type Form } from '../isa/compile.ts';
import { helpers as allHelpers } from '../isa/helpers.ts';
import type { Helper } from '../isa/helpers.ts';
import { fpHelpers } from '../isa/helpers-fp.ts';
import type { Row } from '../isa/row.ts';
import { instructionTable } from '../isa/table.ts';
import { FormFactsCache } from './facts.ts';
import type { FormTable } from './region.ts';

/** Name of the section of `core.wasm`. */
export const formSection = 'forms';

/** The forms by their numbers in a core (its section of u16 ids). */
export function formTable(module: WebAssembly.Module, table: readonly Row[] = instructionTable): FormTable {
  const [section] = WebAssembly.Module.customSections(module, formSection);
  if (!section)
    throw new Error('core.wasm does not say how its forms are numbered: build it anew (npm run build:core)');
  const byId = new Map<number, Form>();
  for (const form of compileTable(table).forms) byId.set(form.id, form);
  const forms = [...new Uint16Array(section)].map((id) => byId.get(id));
  const direct = Object.entries(allHelpers as Record<string, Helper>).filter(
    ([name, h]) => h.kind === 'pure' || (h.kind === 'fault' && name in fpHelpers),
  );
  return { forms, facts: new FormFactsCache(allHelpers), direct: new Set(direct.map(([name]) => name)) };
}

/** Numbers of the forms (pseudo-forms have 0) as the section of `core.wasm` holds them. */
export function formNumbers(forms: readonly Form[]): Uint8Array {
  const ids = new Uint16Array(pseudoForm.count + forms.length);
  forms.forEach((form, k) => (ids[pseudoForm.count + k] = form.id));
  return new Uint8Array(ids.buffer);
}
