/**
 * WebAssembly code as text that is good to read: golden files of emitted code and the page's translation view.
 *
 * The folded form (default) writes statements with their operands folded in; see `folding.ts`:
 *
 *     block $block1 {
 *       $eax = i32.add($eax, i32.load8_u offset=8 ($host))
 *       br_if $block1 if (i32.eqz($eax))
 *       i32.store offset=16 ($cpu, $eax)
 *     }
 *
 * Blocks that open together and end one after the other, as the cases of a br_table do, share their braces: after
 * `block $block1 $block2 {`, a branch to `$block2` goes to the line `$block2:`, one to `$block1` behind the brace.
 *
 * The flat form is the text format, one instruction a line, indented by nesting.
 */
import { blockStructure } from './blocks.ts';
import type { BlockType, Instruction, Signature } from './decoder.ts';
import { decodeInstructions } from './decoder.ts';
import type { Comment, Naming } from './folding.ts';
import { Folder } from './folding.ts';
import type { FunctionBody, ModuleContents } from './module-reader.ts';
import { readModule } from './module-reader.ts';

export interface Names {
  /** Without the `$`; nothing: `$` and the number. */
  readonly local?: (index: number) => string | undefined;
  readonly function?: (index: number) => string | undefined;
  /** Of the folded form: an i32 constant, and what lies at an offset from an address as it is printed. */
  readonly constant?: (value: number) => string | undefined;
  readonly place?: (address: string, offset: number) => string | undefined;
}

export interface PrintOptions {
  /** Default: folded. */
  readonly form?: 'folded' | 'flat';
  readonly names?: Names;
  /** Of the function; default: no results. */
  readonly signature?: Signature;
  /** Type of a function that is called, by its index. The folded form needs it. */
  readonly signatureOf?: (functionIndex: number) => Signature | undefined;
  /** Type by its index, for call_indirect and blocks with several values. The folded form needs it. */
  readonly typeOf?: (typeIndex: number) => Signature | undefined;
  /** Levels of two spaces in front of each line; default 0. */
  readonly indentation?: number;
  /** Lines of the folded form in front of what stands at a byte of the code, in order. */
  readonly comments?: readonly Comment[];
}

export interface PrintModuleOptions {
  readonly form?: 'folded' | 'flat';
  /** Names of the module itself stand behind these. */
  readonly names?: Names;
  /** Which functions to print; default: all. */
  readonly only?: (name: string, index: number) => boolean;
}

/** A name as an identifier of the text format: quoted if it has characters that a plain one may not have. */
function identifier(name: string | number): string {
  const text = `${name}`;
  return /^[\w!#$%&'*+./:<=>?@\\^`|~-]+$/.test(text) ? `$${text}` : `$${JSON.stringify(text)}`;
}

/**
 * A function's code (`FunctionBuilder.code.bytes.finish()`, with or without its final `end`) as text, one statement or
 * instruction a line, without a final newline. Throws on unknown opcodes and on code that does not balance.
 */
export function printFunction(code: Uint8Array, options: PrintOptions = {}): string {
  const { names = {}, indentation = 0, signature = { parameters: [], results: [] } } = options;
  const naming: Naming = {
    local: (n) => identifier(names.local?.(n) ?? n),
    function: (n) => identifier(names.function?.(n) ?? `function${n}`),
    signatureOf: (n) => options.signatureOf?.(n),
    typeOf: (n) => options.typeOf?.(n),
    constant: (n) => names.constant?.(n),
    place: (address, offset) => names.place?.(address, offset),
  };
  const instructions = decodeInstructions(code);
  if (options.form === 'flat') return flat(instructions, naming, indentation).join('\n');
  return new Folder(instructions, naming, signature, indentation, options.comments ?? []).fold().join('\n');
}

/** Imports, exports and functions of an encoded module. */
export function printModule(wasm: Uint8Array, options: PrintModuleOptions = {}): string {
  const module = readModule(wasm);
  const name = (n: number): string => options.names?.function?.(n) ?? module.nameOf(n) ?? `function${n}`;
  const parts = [header(module, name)];
  for (const body of module.functions) {
    if (options.only?.(name(body.index), body.index) ?? true) parts.push(printBody(body, module, name, options));
  }
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

function signatureText({ parameters, results }: Signature): string {
  return `(${parameters.join(', ')})${results.length > 0 ? ` -> ${results.join(', ')}` : ''}`;
}

function header(module: ModuleContents, name: (index: number) => string): string {
  let functions = 0;
  const imports = module.imports.map((entry) => {
    const from = `${JSON.stringify(entry.module)} ${JSON.stringify(entry.name)}`;
    if (entry.kind !== 'function') return `import ${from} ${entry.kind}`;
    const type = module.types[entry.type ?? -1];
    return `import ${from} ${identifier(name(functions++))} ${type ? signatureText(type) : ''}`;
  });
  const exports = module.exports.map(
    (entry) =>
      `export ${JSON.stringify(entry.name)} ${entry.kind} ${entry.kind === 'function' ? identifier(name(entry.index)) : entry.index}`,
  );
  return [...imports, ...exports].join('\n');
}

function printBody(
  { index, signature, locals, code }: FunctionBody,
  module: ModuleContents,
  name: (index: number) => string,
  { form = 'folded', names = {} }: PrintModuleOptions,
): string {
  const local = (n: number): string => identifier(names.local?.(n) ?? n);
  const parameters = signature.parameters.map((type, n) => `${local(n)}: ${type}`).join(', ');
  const results = signature.results.length > 0 ? ` -> ${signature.results.join(', ')}` : '';
  const lines = [...new Set(locals)].map((type) => {
    const list = locals.flatMap((t, n) => (t === type ? [local(signature.parameters.length + n)] : []));
    return `  local ${type} ${list.join(' ')}`;
  });
  const { signatureOf } = module;
  const typeOf = (n: number): Signature | undefined => module.types[n];
  const all: Names = { ...names, function: name };
  let text: string;
  try {
    text = printFunction(code, { form, names: all, signature, signatureOf, typeOf, indentation: 1 });
  } catch (error) {
    throw new Error(`function ${index}, ${name(index)}: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
  return [
    `func ${identifier(name(index))} (${parameters})${results} {`,
    ...lines,
    ...(text === '' ? [] : [text]),
    '}',
  ].join('\n');
}

// The flat form

/** Deeper nesting is not shown: a dispatch loop of a thousand cases would be mostly blanks. */
const deepest = 40;

function flat(code: readonly Instruction[], naming: Naming, indentation: number): string[] {
  const blocks = blockStructure(code);
  const labels: (string | undefined)[] = [];
  return code.map((instruction, index) => {
    const { name } = instruction;
    const closes = name === 'end' || name === 'else';
    const depth = Math.min(deepest, indentation + labels.length - (closes ? 1 : 0));
    const block = blocks.get(index);
    const target = (relative: number): string => {
      const at = labels.length - 1 - relative;
      return at < 0 ? `${relative}` : (labels[at] ?? `${relative}`);
    };
    const text = [name, block?.label ?? '', ...immediateTexts(instruction, naming, target)].filter((t) => t !== '');
    if (block) labels.push(block.label);
    else if (name === 'end') labels.pop();
    return '  '.repeat(depth) + text.join(' ');
  });
}

function blockTypeText(type: BlockType): string {
  if (type.kind === 'none') return '';
  return type.kind === 'value' ? `(result ${type.type})` : `(type ${type.index})`;
}

/** Natural alignment in bytes, which the text format leaves away. */
function naturalAlignment(name: string): number {
  const lanes = /load(\d+)x(\d+)/.exec(name);
  if (lanes) return 8;
  const width =
    /(?:load|store|rmw)(\d+)/.exec(name)?.[1] ?? /wait(\d+)/.exec(name)?.[1] ?? /^[a-z](\d+)\./.exec(name)?.[1];
  return Number(width ?? 32) / 8;
}

function immediateTexts(
  { name, immediates }: Instruction,
  naming: Naming,
  target: (relative: number) => string,
): readonly string[] {
  switch (immediates.kind) {
    case 'none':
      return [];
    case 'block':
      return [blockTypeText(immediates.type)];
    case 'labels':
      return immediates.depths.map(target);
    case 'memory':
      return [
        immediates.memory > 0 ? `${immediates.memory}` : '',
        immediates.offset > 0 ? `offset=${immediates.offset}` : '',
        immediates.alignment === naturalAlignment(name) ? '' : `align=${immediates.alignment}`,
      ];
    case 'lanes':
      return immediates.lanes.map(String);
    case 'types':
      return name === 'select' ? immediates.types.map((type) => `(result ${type})`) : immediates.types;
    case 'constant':
      return [immediates.text];
    case 'indices':
      return indexTexts(name, immediates.indices, naming);
  }
}

function indexTexts(name: string, indices: readonly number[], naming: Naming): readonly string[] {
  const [first = 0, second = 0] = indices;
  if (name.startsWith('local.')) return [naming.local(first)];
  if (name === 'call' || name === 'return_call' || name === 'ref.func') return [naming.function(first)];
  if (name.endsWith('call_indirect')) return [second > 0 ? `${second}` : '', `(type ${first})`];
  if (name.startsWith('memory.') || name === 'atomic.fence') return indices.filter((n) => n > 0).map(String);
  return indices.map(String);
}
