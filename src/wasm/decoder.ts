/**
 * Reads instruction bytes back, by the same opcode table that the encoder writes with. Each instruction comes with what
 * it takes from the operand stack, what it leaves there, and which effects order it among others.
 * Source: WebAssembly Core Specification 3.0, chapter 5.4 (binary format of instructions); threads and SIMD.
 */
import { opcode } from './opcodes.ts';
import type { ValueType } from './encoder.ts';

export type ReferenceType = 'funcref' | 'externref';
export type AnyType = ValueType | ReferenceType;

export interface Signature {
  readonly parameters: readonly AnyType[];
  readonly results: readonly AnyType[];
}

/** The result of a block: none, one value, or a function type by its index (which may have parameters too). */
export type BlockType =
  | { readonly kind: 'none' }
  | { readonly kind: 'value'; readonly type: AnyType }
  | { readonly kind: 'type'; readonly index: number };

export type Immediates =
  | { readonly kind: 'none' }
  | { readonly kind: 'block'; readonly type: BlockType }
  /** Relative depths: the branch's targets, the default of a br_table last. */
  | { readonly kind: 'labels'; readonly depths: readonly number[] }
  /** Indices of locals, globals, functions, types, tables, segments, in the order of the binary format. */
  | { readonly kind: 'indices'; readonly indices: readonly number[] }
  | { readonly kind: 'memory'; readonly alignment: number; readonly offset: number; readonly memory: number }
  | { readonly kind: 'lanes'; readonly lanes: readonly number[] }
  /** Of select and ref.null. */
  | { readonly kind: 'types'; readonly types: readonly AnyType[] }
  /** A constant as the text format writes it. */
  | { readonly kind: 'constant'; readonly text: string; readonly value: number | bigint };

export interface Instruction {
  /** Byte offset in the code. */
  readonly offset: number;
  readonly name: string;
  readonly immediates: Immediates;
}

/** Effects that order an instruction among others; a trap counts as reading memory. */
export interface Effects {
  readonly reads: boolean;
  readonly writes: boolean;
}

type Shape = Immediates['kind'] | 'i32' | 'i64' | 'f32' | 'f64' | 'v128' | 'shuffle' | 'lane' | 1 | 2;

/** Control, variable and reference instructions, which `Code` writes by methods or other tools write. */
const furtherOpcodes: Readonly<Record<string, readonly [code: number, shape: Shape]>> = {
  block: [0x02, 'block'],
  loop: [0x03, 'block'],
  if: [0x04, 'block'],
  else: [0x05, 'none'],
  end: [0x0b, 'none'],
  br: [0x0c, 'labels'],
  br_if: [0x0d, 'labels'],
  br_table: [0x0e, 'labels'],
  return: [0x0f, 'none'],
  call: [0x10, 1],
  call_indirect: [0x11, 2],
  return_call: [0x12, 1],
  return_call_indirect: [0x13, 2],
  'select (result)': [0x1c, 'types'],
  'local.get': [0x20, 1],
  'local.set': [0x21, 1],
  'local.tee': [0x22, 1],
  'global.get': [0x23, 1],
  'global.set': [0x24, 1],
  'table.get': [0x25, 1],
  'table.set': [0x26, 1],
  'memory.size': [0x3f, 1],
  'memory.grow': [0x40, 1],
  'i32.const': [0x41, 'i32'],
  'i64.const': [0x42, 'i64'],
  'f32.const': [0x43, 'f32'],
  'f64.const': [0x44, 'f64'],
  'ref.null': [0xd0, 'types'],
  'ref.is_null': [0xd1, 'none'],
  'ref.func': [0xd2, 1],
  'data.drop': [0xfc0009, 1],
  'atomic.fence': [0xfe0003, 1],
};

function shapeOf(name: string): Shape {
  if (name === 'memory.init' || name === 'memory.copy') return 2;
  if (name === 'memory.fill') return 1;
  if (name === 'v128.const') return 'v128';
  if (name === 'i8x16.shuffle') return 'shuffle';
  if (/(?:extract|replace)_lane/.test(name)) return 'lane';
  return /\.(?:load|store|atomic\.)/.test(name) ? 'memory' : 'none';
}

const byCode: ReadonlyMap<number, readonly [name: string, shape: Shape]> = new Map([
  ...Object.entries(opcode).map(([name, code]) => [code, [name, shapeOf(name)]] as const),
  ...Object.entries(furtherOpcodes).map(([name, [code, shape]]) => [code, [name, shape]] as const),
]);

const unary =
  /\.(?:eqz|clz|ctz|popcnt|abs|neg|ceil|floor|trunc|nearest|sqrt|not$|splat|any_true|all_true|bitmask|wrap_|extend|extadd_|trunc_|convert_|demote_|promote_|reinterpret_|extract_lane|is_null|load|atomic\.load|get$|grow$)/;
const ternary = /bitselect|cmpxchg|atomic\.wait|^memory\.(?:init|copy|fill)|^select/;
const nullary =
  /\.const$|^(?:local|global)\.get$|^memory\.size$|^ref\.(?:null|func)$|^nop$|^unreachable$|^data\.drop$|fence$/;
const withoutResult =
  /\.store|atomic\.store|\.set$|^drop$|^memory\.(?:init|copy|fill)$|^nop$|^unreachable$|^data\.drop$|fence$/;

/** Operands and results of an instruction without labels or callees. */
export function arity(name: string): { readonly operands: number; readonly results: number } {
  const results = withoutResult.test(name) ? 0 : 1;
  if (nullary.test(name)) return { operands: 0, results };
  if (ternary.test(name)) return { operands: 3, results };
  if (unary.test(name) || /^(?:local|global)\.|^drop$/.test(name)) return { operands: 1, results };
  return { operands: 2, results };
}

const pure: Effects = { reads: false, writes: false };
const reading: Effects = { reads: true, writes: false };
const writing: Effects = { reads: true, writes: true };

/** Effects on memory, globals and tables. Atomics keep their order among each other: they count as writes. */
export function effects(name: string): Effects {
  if (/store|atomic|call|^memory\.(?!size)|^(?:global|table)\.set|^data\.drop|^unreachable/.test(name)) return writing;
  if (/load|\.(?:div|rem)_[su]$|^i(?:32|64)\.trunc_f|^memory\.size|^(?:global|table)\.get/.test(name)) return reading;
  return pure;
}

const valueTypes: ReadonlyMap<number, AnyType> = new Map([
  [0x7f, 'i32'],
  [0x7e, 'i64'],
  [0x7d, 'f32'],
  [0x7c, 'f64'],
  [0x7b, 'v128'],
  [0x70, 'funcref'],
  [0x6f, 'externref'],
]);

/** Reads the binary format's primitives. Throws on bytes that are cut short. */
export class ByteReader {
  private readonly bytes: Uint8Array;
  offset: number;

  constructor(bytes: Uint8Array, offset = 0) {
    this.bytes = bytes;
    this.offset = offset;
  }

  get ended(): boolean {
    return this.offset >= this.bytes.length;
  }

  u8(): number {
    const value = this.bytes[this.offset++];
    if (value === undefined) throw new Error(`the code is cut short at byte ${this.offset - 1}: pass all of its bytes`);
    return value;
  }

  raw(length: number): Uint8Array {
    if (this.offset + length > this.bytes.length) {
      throw new Error(`${length} bytes are missing at byte ${this.offset}: pass the whole module`);
    }
    this.offset += length;
    return this.bytes.subarray(this.offset - length, this.offset);
  }

  rest(): Uint8Array {
    return this.raw(this.bytes.length - this.offset);
  }

  /** LEB128 of at most 64 bits, sign-extended if `signed`. */
  private leb(signed: boolean): bigint {
    let value = 0n;
    let shift = 0n;
    for (;;) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << shift;
      shift += 7n;
      if (byte < 0x80) return signed && (byte & 0x40) !== 0 ? value - (1n << shift) : value;
      if (shift > 63n) throw new Error(`an integer at byte ${this.offset} is longer than 64 bits`);
    }
  }

  unsigned(): number {
    // Nearly all are one byte.
    const first = this.bytes[this.offset];
    if (first !== undefined && first < 0x80) {
      this.offset++;
      return first;
    }
    return Number(this.leb(false));
  }

  signed(): bigint {
    return this.leb(true);
  }

  text(): string {
    return new TextDecoder().decode(this.raw(this.unsigned()).slice());
  }

  list<T>(read: () => T): T[] {
    return Array.from({ length: this.unsigned() }, read);
  }

  type(): AnyType {
    const byte = this.u8();
    const type = valueTypes.get(byte);
    if (type === undefined) throw new Error(`0x${byte.toString(16)} at byte ${this.offset - 1} is no value type`);
    return type;
  }

  /** Little-endian, `size` bytes. */
  fixed(size: number): bigint {
    let value = 0n;
    for (let i = 0; i < size; i++) value |= BigInt(this.u8()) << BigInt(8 * i);
    return value;
  }

  instruction(): Instruction {
    const offset = this.offset;
    const first = this.u8();
    const code = first >= 0xfc ? (first << 16) | this.unsigned() : first;
    const entry = byCode.get(code);
    if (!entry) {
      throw new Error(`opcode 0x${code.toString(16)} at byte ${offset} is unknown: add it to src/wasm/opcodes.ts`);
    }
    const [name, shape] = entry;
    return { offset, name: name === 'select (result)' ? 'select' : name, immediates: this.immediates(name, shape) };
  }

  private immediates(name: string, shape: Shape): Immediates {
    switch (shape) {
      case 'block':
        return { kind: 'block', type: this.blockType() };
      case 'labels':
        return { kind: 'labels', depths: name === 'br_table' ? this.branchTable() : [this.unsigned()] };
      case 'memory':
        return this.memory();
      case 'lane':
        return { kind: 'lanes', lanes: [this.u8()] };
      case 'shuffle':
        return { kind: 'lanes', lanes: [...this.raw(16)] };
      case 'types':
        return { kind: 'types', types: name === 'ref.null' ? [this.type()] : this.list(() => this.type()) };
      case 'i32':
      case 'i64':
      case 'f32':
      case 'f64':
      case 'v128':
        return { kind: 'constant', ...this.constant(shape) };
      case 1:
        return { kind: 'indices', indices: [this.unsigned()] };
      case 2:
        return { kind: 'indices', indices: [this.unsigned(), this.unsigned()] };
      default:
        return { kind: 'none' };
    }
  }

  private branchTable(): number[] {
    const depths = this.list(() => this.unsigned());
    depths.push(this.unsigned());
    return depths;
  }

  private blockType(): BlockType {
    const byte = this.bytes[this.offset] ?? 0;
    if (byte === 0x40) {
      this.offset++;
      return { kind: 'none' };
    }
    if (valueTypes.has(byte)) return { kind: 'value', type: this.type() };
    return { kind: 'type', index: Number(this.signed()) };
  }

  private memory(): Immediates {
    const flags = this.unsigned();
    // Bit 6: the memory's index follows (multiple memories).
    const memory = flags & 0x40 ? this.unsigned() : 0;
    return { kind: 'memory', alignment: 2 ** (flags & 0x3f), memory, offset: this.unsigned() };
  }

  private constant(type: ValueType): { text: string; value: number | bigint } {
    switch (type) {
      case 'i32': {
        const value = Number(this.signed());
        return { text: integerText(BigInt(value)), value };
      }
      case 'i64': {
        const value = this.signed();
        return { text: integerText(value), value };
      }
      case 'f32': {
        const bits = this.fixed(4);
        return { text: floatText(bits, 8, 23), value: bits };
      }
      case 'f64': {
        const bits = this.fixed(8);
        return { text: floatText(bits, 11, 52), value: bits };
      }
      case 'v128': {
        const low = this.fixed(8);
        const high = this.fixed(8);
        return { text: `i64x2 ${hex64(low)} ${hex64(high)}`, value: (high << 64n) | low };
      }
    }
  }
}

function hex64(value: bigint): string {
  return `0x${value.toString(16).padStart(16, '0')}`;
}

/** Small numbers in decimal; masks, addresses and packed fields in hexadecimal. */
function integerText(value: bigint): string {
  const magnitude = value < 0n ? -value : value;
  return magnitude < 1024n ? `${value}` : `${value < 0n ? '-' : ''}0x${magnitude.toString(16)}`;
}

/** A float as the text format writes it; NaN with its payload. */
function floatText(bits: bigint, exponentBits: number, fractionBits: number): string {
  const fraction = bits & ((1n << BigInt(fractionBits)) - 1n);
  const exponent = (bits >> BigInt(fractionBits)) & ((1n << BigInt(exponentBits)) - 1n);
  const sign = bits >> BigInt(exponentBits + fractionBits) ? '-' : '';
  if (exponent === (1n << BigInt(exponentBits)) - 1n)
    return `${sign}${fraction ? `nan:0x${fraction.toString(16)}` : 'inf'}`;
  const view = new DataView(new ArrayBuffer(8));
  if (exponentBits === 8) view.setUint32(0, Number(bits));
  else view.setBigUint64(0, bits);
  const value = exponentBits === 8 ? view.getFloat32(0) : view.getFloat64(0);
  return Object.is(value, -0) ? '-0' : `${value}`;
}

/**
 * The instructions of a function's code: `FunctionBuilder.code.bytes.finish()`, or the expression in an encoded body.
 * The `end` of the function itself may be missing and is not among the result.
 */
export function decodeInstructions(code: Uint8Array): Instruction[] {
  const reader = new ByteReader(code);
  const instructions: Instruction[] = [];
  let depth = 0;
  while (!reader.ended) {
    const instruction = reader.instruction();
    if (instruction.immediates.kind === 'block') depth++;
    if (instruction.name === 'end' && depth-- === 0) {
      if (reader.ended) return instructions;
      throw new Error(`code goes on after the function's end, at byte ${reader.offset}`);
    }
    instructions.push(instruction);
  }
  if (depth > 0) throw new Error(`${depth} blocks are open at the end of the code: pass all of its bytes`);
  return instructions;
}
