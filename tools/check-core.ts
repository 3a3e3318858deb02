/** What the core binary must not have: guest state outside of the guest's memory, or code that runs by itself. */

/** Sections of a module: id and content. Source: WebAssembly Core Specification, §5.5. */
function* sections(wasm: Uint8Array): Generator<{ id: number; body: Uint8Array }> {
  let at = 8;
  while (at < wasm.length) {
    const id = wasm[at] ?? 0;
    const [size, start] = unsigned(wasm, at + 1);
    yield { id, body: wasm.subarray(start, start + size) };
    at = start + size;
  }
}

/** An unsigned LEB128 and the offset behind it. */
function unsigned(bytes: Uint8Array, from: number): [number, number] {
  let value = 0;
  let shift = 0;
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    value += (byte & 0x7f) * 2 ** shift;
    shift += 7;
    if (byte < 0x80) return [value, at + 1];
  }
  throw new Error('the module ends within a number');
}

/** Throws with a list of what is wrong. */
export function checkCore(wasm: Uint8Array): void {
  const problems: string[] = [];
  for (const { id, body } of sections(wasm)) {
    if (id === 8) problems.push('it has a start function');
    if (id === 6) checkGlobals(body, problems);
    if (id === 11) checkData(body, problems);
  }
  if (problems.length > 0)
    throw new Error(`core.wasm breaks the rules of docs/architecture.md: ${problems.join('; ')}`);
}

function checkGlobals(body: Uint8Array, problems: string[]): void {
  let [count, at] = unsigned(body, 0);
  for (; count > 0; count--) {
    // value type, mutability, then a constant expression up to its end.
    if (body[at + 1] !== 0) problems.push('it has a mutable global');
    at += 2;
    const opcode = body[at];
    at = opcode === 0x41 || opcode === 0x42 || opcode === 0x23 ? unsigned(body, at + 1)[1] : at + 1;
    if (body[at] !== 0x0b) throw new Error('a global has an initializer that this check does not know');
    at++;
  }
}

function checkData(body: Uint8Array, problems: string[]): void {
  const [count, first] = unsigned(body, 0);
  let at = first;
  for (let n = 0; n < count; n++) {
    const [mode, next] = unsigned(body, at);
    if (mode !== 1) {
      problems.push('it has an active data segment');
      return;
    }
    const [size, start] = unsigned(body, next);
    at = start + size;
  }
}
