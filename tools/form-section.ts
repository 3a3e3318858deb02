/** The custom section of `core.wasm` that tells the compiler how the core numbers its forms. */
import type { Form } from '../src/cpu/isa/compile.ts';
import { formNumbers, formSection } from '../src/cpu/jit/form-table.ts';
import { ByteWriter } from '../src/wasm/encoder.ts';

/** The section for these forms: id 0, size, name, content; it may follow any module. */
export function formSectionOf(forms: readonly Form[]): Uint8Array {
  const body = new ByteWriter().text(formSection).raw(formNumbers(forms)).finish();
  return new ByteWriter().u8(0).unsigned(body.length).raw(body).finish();
}
