/**
 * Reads a module's sections as far as a printer or a checker of emitted code needs them: types, imports, functions with
 * their code and names, exports. Source: WebAssembly Core Specification 3.0, chapter 5.5 (modules), appendix "Name
 * Section".
 */
import type { AnyType, Signature } from './decoder.ts';
import { ByteReader } from './decoder.ts';

export interface ImportEntry {
  readonly module: string;
  readonly name: string;
  readonly kind: 'function' | 'table' | 'memory' | 'global';
  /** Of functions: the index of the type. */
  readonly type?: number;
}

export interface ExportEntry {
  readonly name: string;
  readonly kind: 'function' | 'table' | 'memory' | 'global';
  readonly index: number;
}

export interface FunctionBody {
  /** Among all functions: imported ones count first. */
  readonly index: number;
  readonly signature: Signature;
  /** Types of the locals after the parameters. */
  readonly locals: readonly AnyType[];
  /** The instructions with their final `end`. */
  readonly code: Uint8Array;
}

export interface ModuleContents {
  readonly types: readonly Signature[];
  readonly imports: readonly ImportEntry[];
  readonly exports: readonly ExportEntry[];
  readonly functions: readonly FunctionBody[];
  /** Signature of a function, imported ones included. */
  readonly signatureOf: (index: number) => Signature | undefined;
  /** Name of a function: of the name section, else of an export, else of an import. */
  readonly nameOf: (index: number) => string | undefined;
}

const kinds = ['function', 'table', 'memory', 'global'] as const;

function kind(reader: ByteReader): (typeof kinds)[number] {
  const byte = reader.u8();
  const known = kinds[byte];
  if (known === undefined)
    throw new Error(`import or export kind ${byte} at byte ${reader.offset - 1} is not supported`);
  return known;
}

function limits(reader: ByteReader): void {
  const flags = reader.u8();
  reader.signed();
  if (flags & 1) reader.signed();
}

function readType(reader: ByteReader): Signature {
  const form = reader.u8();
  if (form !== 0x60) throw new Error(`type 0x${form.toString(16)} at byte ${reader.offset - 1} is no function type`);
  return { parameters: reader.list(() => reader.type()), results: reader.list(() => reader.type()) };
}

function readImport(reader: ByteReader): ImportEntry {
  const entry = { module: reader.text(), name: reader.text(), kind: kind(reader) };
  switch (entry.kind) {
    case 'function':
      return { ...entry, type: reader.unsigned() };
    case 'table':
      reader.type();
      limits(reader);
      return entry;
    case 'memory':
      limits(reader);
      return entry;
    case 'global':
      reader.type();
      reader.u8();
      return entry;
  }
}

function readBody(reader: ByteReader): Pick<FunctionBody, 'locals' | 'code'> {
  const size = reader.unsigned();
  const body = new ByteReader(reader.raw(size));
  const groups = body.list(() => ({ count: body.unsigned(), type: body.type() }));
  const locals = groups.flatMap(({ count, type }) => Array.from({ length: count }, () => type));
  return { locals, code: body.rest() };
}

function readFunctionNames(reader: ByteReader, names: Map<number, string>): void {
  while (!reader.ended) {
    const subsection = reader.u8();
    const part = new ByteReader(reader.raw(reader.unsigned()));
    if (subsection === 1) for (let n = part.unsigned(); n > 0; n--) names.set(part.unsigned(), part.text());
  }
}

/** Throws on bytes that are no module, and on sections of features that are not used here. */
export function readModule(wasm: Uint8Array): ModuleContents {
  const reader = new ByteReader(wasm);
  if (reader.fixed(8) !== 0x1_6d73_6100n) throw new Error('these bytes are no WebAssembly module of version 1');
  let types: readonly Signature[] = [];
  let imports: readonly ImportEntry[] = [];
  let exports: readonly ExportEntry[] = [];
  let typeIndices: readonly number[] = [];
  let bodies: readonly Pick<FunctionBody, 'locals' | 'code'>[] = [];
  const names = new Map<number, string>();
  while (!reader.ended) {
    const id = reader.u8();
    const section = new ByteReader(reader.raw(reader.unsigned()));
    if (id === 1) types = section.list(() => readType(section));
    else if (id === 2) imports = section.list(() => readImport(section));
    else if (id === 3) typeIndices = section.list(() => section.unsigned());
    else if (id === 7) {
      exports = section.list(() => ({ name: section.text(), kind: kind(section), index: section.unsigned() }));
    } else if (id === 10) bodies = section.list(() => readBody(section));
    else if (id === 0 && section.text() === 'name') readFunctionNames(section, names);
  }
  const imported = imports.filter((entry) => entry.kind === 'function');
  const allTypes = [...imported.map((entry) => entry.type ?? -1), ...typeIndices];
  const signatureOf = (index: number): Signature | undefined => types[allTypes[index] ?? -1];
  const exported = new Map(exports.filter((e) => e.kind === 'function').map((e) => [e.index, e.name]));
  const functions = bodies.map((body, n): FunctionBody => {
    const index = imported.length + n;
    const signature = signatureOf(index);
    if (!signature) throw new Error(`function ${index} has no type`);
    return { index, signature, ...body };
  });
  return {
    types,
    imports,
    exports,
    functions,
    signatureOf,
    nameOf: (index) => names.get(index) ?? exported.get(index) ?? imported[index]?.name,
  };
}
