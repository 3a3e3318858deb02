/**
 * A small WebAssembly encoder: modules, functions and instruction bytes. It knows nothing of x86.
 * Source: WebAssembly Core Specification 3.0, chapter 5 (binary format); threads and SIMD proposals, now merged; branch
 * hints as in WebAssembly Specifications, Code Metadata.
 *
 * @example
 * const m = new ModuleBuilder();
 * m.importMemory('env', 'memory', { minimum: 1, maximum: 65536, shared: true });
 * const add = m.function('add', ['i32', 'i32'], ['i32']);
 * add.code.get(0).get(1).op('i32.add');
 * m.exportFunction('add', add);
 * new WebAssembly.Module(m.encode());
 */
import { opcode } from './opcodes.ts';
import type { OpcodeName } from './opcodes.ts';

export type ValueType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';

const valueTypeByte: Readonly<Record<ValueType, number>> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b };

const textEncoder = new TextEncoder();
/** Of the length of a section or body. */
const sizeBytes = 5;

/** Faster to look up than an object of so many properties. */
const codes: ReadonlyMap<string, number> = new Map(Object.entries(opcode));

/** A growing byte buffer with the format's primitive encodings. */
export class ByteWriter {
  private bytes: Uint8Array;
  length = 0;

  /** `room`: bytes that it should hold without growing. */
  constructor(room = 256) {
    this.bytes = new Uint8Array(room);
  }

  private reserve(n: number): void {
    if (this.length + n <= this.bytes.length) return;
    const next = new Uint8Array(Math.max(this.bytes.length * 2, this.length + n));
    next.set(this.bytes.subarray(0, this.length));
    this.bytes = next;
  }

  u8(value: number): this {
    if (this.length === this.bytes.length) this.reserve(1);
    this.bytes[this.length++] = value;
    return this;
  }

  raw(data: Uint8Array): this {
    this.reserve(data.length);
    this.bytes.set(data, this.length);
    this.length += data.length;
    return this;
  }

  /** What another writer holds. */
  append(other: ByteWriter): this {
    return this.raw(other.bytes.subarray(0, other.length));
  }

  /** Unsigned LEB128 of a value below 2^32. */
  unsigned(value: number): this {
    let rest = value >>> 0;
    while (rest >= 0x80) {
      this.u8((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    return this.u8(rest);
  }

  /** Signed LEB128 of a 32-bit value. */
  signed32(value: number): this {
    let rest = value | 0;
    while (rest > 0x3f || rest < -0x40) {
      this.u8((rest & 0x7f) | 0x80);
      rest >>= 7;
    }
    return this.u8(rest & 0x7f);
  }

  /** Signed LEB128 of a 64-bit value. */
  signed64(value: bigint): this {
    let rest = BigInt.asIntN(64, value);
    while (rest > 0x3fffffffn || rest < -0x40000000n) {
      this.u8(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    return this.signed32(Number(rest));
  }

  /** What `write` writes, with its length before it (in as many bytes as the largest would take). */
  sized(write: () => void): this {
    const at = this.length;
    this.reserve(sizeBytes);
    this.length += sizeBytes;
    write();
    let rest = this.length - at - sizeBytes;
    for (let k = 0; k < sizeBytes; k++, rest >>>= 7) {
      this.bytes[at + k] = (rest & 0x7f) | (k < sizeBytes - 1 ? 0x80 : 0);
    }
    return this;
  }

  text(value: string): this {
    // Names are short and ASCII: written straight, which an encoder is slow to begin with.
    const at = this.length;
    this.unsigned(value.length);
    for (let k = 0; k < value.length; k++) {
      const unit = value.charCodeAt(k);
      if (unit >= 0x80) {
        this.length = at;
        const data = textEncoder.encode(value);
        return this.unsigned(data.length).raw(data);
      }
      this.u8(unit);
    }
    return this;
  }

  finish(): Uint8Array {
    return this.bytes.slice(0, this.length);
  }
}

export type BlockResult = ValueType | 'none';

/** Instruction bytes of one function body. Labels are counted by the caller through {@link depth}. */
export class Code {
  readonly bytes = new ByteWriter(8192);
  /** Number of enclosing block, loop and if constructs. */
  depth = 0;
  /** Places of `if` instructions whose condition is expected to hold, or not to. */
  readonly hints: { readonly at: number; readonly expected: boolean }[] = [];

  op(name: OpcodeName): this {
    const code = codes.get(name) ?? 0;
    if (code > 0xff) {
      this.bytes.u8(code >>> 16);
      this.bytes.unsigned(code & 0xffff);
    } else {
      this.bytes.u8(code);
    }
    return this;
  }

  get(local: number): this {
    this.bytes.u8(0x20).unsigned(local);
    return this;
  }

  set(local: number): this {
    this.bytes.u8(0x21).unsigned(local);
    return this;
  }

  tee(local: number): this {
    this.bytes.u8(0x22).unsigned(local);
    return this;
  }

  i32(value: number): this {
    this.bytes.u8(0x41).signed32(value);
    return this;
  }

  i64(value: bigint | number): this {
    this.bytes.u8(0x42);
    if (typeof value === 'number' && value === (value | 0)) this.bytes.signed32(value);
    else this.bytes.signed64(BigInt(value));
    return this;
  }

  f32(bits: number): this {
    this.bytes.u8(0x43);
    for (let i = 0; i < 4; i++) this.bytes.u8((bits >>> (8 * i)) & 0xff);
    return this;
  }

  f64(bits: bigint): this {
    this.bytes.u8(0x44);
    for (let i = 0n; i < 8n; i++) this.bytes.u8(Number((bits >> (8n * i)) & 0xffn));
    return this;
  }

  v128(low: bigint, high: bigint): this {
    this.op('v128.const');
    for (const half of [low, high]) for (let i = 0n; i < 8n; i++) this.bytes.u8(Number((half >> (8n * i)) & 0xffn));
    return this;
  }

  /** A load or store by name, with its immediate offset; the alignment hint is 1 byte, as guests are unaligned. */
  memory(name: OpcodeName, offset: number): this {
    this.op(name);
    // Plain loads and stores promise no alignment; atomics must name their natural one.
    const atomic = (codes.get(name) ?? 0) >>> 16 === atomicPrefix;
    this.bytes.u8(atomic ? atomicAlignment(name) : 0).unsigned(offset);
    return this;
  }

  /** Lane instructions: extract_lane, replace_lane. */
  lane(name: OpcodeName, lane: number): this {
    this.op(name);
    this.bytes.u8(lane);
    return this;
  }

  shuffle(lanes: readonly number[]): this {
    this.op('i8x16.shuffle');
    for (const lane of lanes) this.bytes.u8(lane);
    return this;
  }

  block(result: BlockResult = 'none'): this {
    return this.open(0x02, result);
  }

  loop(result: BlockResult = 'none'): this {
    return this.open(0x03, result);
  }

  /** `expected`: what its condition nearly always is; engines move the other way out of line. */
  if(result: BlockResult = 'none', expected?: boolean): this {
    if (expected !== undefined) this.hints.push({ at: this.bytes.length, expected });
    return this.open(0x04, result);
  }

  /** An `if` whose condition hardly ever holds. */
  ifUnlikely(): this {
    return this.if('none', false);
  }

  else(): this {
    this.bytes.u8(0x05);
    return this;
  }

  end(): this {
    this.depth--;
    this.bytes.u8(0x0b);
    return this;
  }

  private open(byte: number, result: BlockResult): this {
    this.depth++;
    this.bytes.u8(byte).u8(result === 'none' ? 0x40 : valueTypeByte[result]);
    return this;
  }

  /** Branches to the construct that was opened at nesting `level` (its depth just after opening, from 1). */
  br(level: number): this {
    this.bytes.u8(0x0c).unsigned(this.depth - level);
    return this;
  }

  /** `unlikely`: the jump is hardly ever taken. */
  brIf(level: number, unlikely = false): this {
    if (unlikely) this.hints.push({ at: this.bytes.length, expected: false });
    this.bytes.u8(0x0d).unsigned(this.depth - level);
    return this;
  }

  /** `levels` as in {@link br}; the last one is the default. */
  brTable(levels: readonly number[], fallback: number): this {
    this.bytes.u8(0x0e).unsigned(levels.length);
    for (const level of levels) this.bytes.unsigned(this.depth - level);
    this.bytes.unsigned(this.depth - fallback);
    return this;
  }

  return(): this {
    this.bytes.u8(0x0f);
    return this;
  }

  call(callee: FunctionReference): this {
    this.bytes.u8(0x10).unsigned(callee.index);
    return this;
  }

  /** The callee's results are the function's; its frame takes this one's place. */
  returnCall(callee: FunctionReference): this {
    this.bytes.u8(0x12).unsigned(callee.index);
    return this;
  }

  returnCallIndirect(like: { readonly type: number }, table = 0): this {
    this.bytes.u8(0x13).unsigned(like.type).unsigned(table);
    return this;
  }

  /** Calls through a table by the index on the stack; `like` names the type. */
  callIndirect(like: { readonly type: number }, table = 0): this {
    this.bytes.u8(0x11).unsigned(like.type).unsigned(table);
    return this;
  }

  /** memory.init of a passive segment: destination, source, length are on the stack. */
  memoryInit(segment: number): this {
    this.op('memory.init');
    this.bytes.unsigned(segment).u8(0);
    return this;
  }
}

const atomicPrefix = 0xfe;

function atomicAlignment(name: string): number {
  const match = /^i(32|64)\.atomic\.(?:load|store|rmw)(8|16|32)?/.exec(name);
  if (!match) return 0;
  return Math.log2(Number(match[2] ?? match[1]) / 8);
}

export interface FunctionReference {
  readonly index: number;
  readonly name: string;
}

interface Signature {
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** A function being written: parameters are locals 0…n−1, further locals by {@link local}. */
export class FunctionBuilder implements FunctionReference {
  readonly code = new Code();
  readonly locals: ValueType[] = [];
  readonly name: string;
  readonly type: number;
  readonly signature: Signature;
  index = -1;

  constructor(name: string, type: number, signature: Signature) {
    this.name = name;
    this.type = type;
    this.signature = signature;
  }

  /** A new local of that type; its index. */
  local(type: ValueType): number {
    this.locals.push(type);
    return this.signature.parameters.length + this.locals.length - 1;
  }

  /** The vector of its locals. */
  declarations(): ByteWriter {
    const out = new ByteWriter(64);
    const runs: { readonly type: ValueType; count: number }[] = [];
    for (const type of this.locals) {
      const last = runs.at(-1);
      if (last?.type === type) last.count++;
      else runs.push({ type, count: 1 });
    }
    out.unsigned(runs.length);
    for (const run of runs) out.unsigned(run.count).u8(valueTypeByte[run.type]);
    return out;
  }
}

export interface MemoryLimits {
  readonly minimum: number;
  readonly maximum: number;
  readonly shared: boolean;
}

export class ModuleBuilder {
  private readonly types: { key: string; signature: Signature }[] = [];
  private readonly typeIndex = new Map<string, number>();
  private readonly imports: { module: string; name: string; type: number }[] = [];
  private memory: { module: string; name: string; limits: MemoryLimits } | undefined;
  private readonly functions: FunctionBuilder[] = [];
  private readonly exports: { name: string; reference: FunctionReference }[] = [];
  private readonly passiveData: Uint8Array[] = [];
  private tableElements: readonly FunctionReference[] | undefined;
  private readonly emptyTables: { name: string; size: number }[] = [];

  /** A function type, for {@link Code.callIndirect}. */
  signature(parameters: readonly ValueType[], results: readonly ValueType[]): { readonly type: number } {
    return { type: this.typeOf({ parameters, results }) };
  }

  private typeOf(signature: Signature): number {
    const key = `${signature.parameters.join()}>${signature.results.join()}`;
    const known = this.typeIndex.get(key);
    if (known !== undefined) return known;
    this.types.push({ key, signature });
    this.typeIndex.set(key, this.types.length - 1);
    return this.types.length - 1;
  }

  importMemory(module: string, name: string, limits: MemoryLimits): void {
    this.memory = { module, name, limits };
  }

  /** Imports come before functions: all of them must be declared before the first {@link function}. */
  importFunction(
    module: string,
    name: string,
    parameters: readonly ValueType[],
    results: readonly ValueType[],
  ): FunctionReference {
    if (this.functions.length > 0) throw new Error(`import ${module}.${name} is declared after a function`);
    this.imports.push({ module, name, type: this.typeOf({ parameters, results }) });
    return { index: this.imports.length - 1, name };
  }

  function(name: string, parameters: readonly ValueType[], results: readonly ValueType[]): FunctionBuilder {
    const signature = { parameters, results };
    const f = new FunctionBuilder(name, this.typeOf(signature), signature);
    f.index = this.imports.length + this.functions.length;
    this.functions.push(f);
    return f;
  }

  exportFunction(name: string, reference: FunctionReference): void {
    this.exports.push({ name, reference });
  }

  /** The last table: a function reference for each index; gives the table's own. */
  table(elements: readonly FunctionReference[]): number {
    this.tableElements = elements;
    return this.emptyTables.length;
  }

  /** An exported table of `size` null references, before {@link table}; its index. */
  emptyTable(name: string, size: number): number {
    if (this.tableElements) throw new Error('the table of functions comes last');
    this.emptyTables.push({ name, size });
    return this.emptyTables.length - 1;
  }

  /** A passive data segment (memory.init); its index. */
  data(bytes: Uint8Array): number {
    this.passiveData.push(bytes);
    return this.passiveData.length - 1;
  }

  encode(): Uint8Array {
    const out = new ByteWriter(16384);
    out.raw(new Uint8Array([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]));
    const section = (id: number, write: (w: ByteWriter) => void): void => {
      out.u8(id).sized(() => {
        write(out);
      });
    };
    section(1, (w) => {
      w.unsigned(this.types.length);
      for (const { signature } of this.types) {
        w.u8(0x60).unsigned(signature.parameters.length);
        for (const p of signature.parameters) w.u8(valueTypeByte[p]);
        w.unsigned(signature.results.length);
        for (const r of signature.results) w.u8(valueTypeByte[r]);
      }
    });
    section(2, (w) => {
      w.unsigned(this.imports.length + (this.memory ? 1 : 0));
      for (const i of this.imports) w.text(i.module).text(i.name).u8(0).unsigned(i.type);
      if (this.memory) {
        const { module, name, limits } = this.memory;
        w.text(module).text(name).u8(2);
        w.u8(limits.shared ? 3 : 1)
          .unsigned(limits.minimum)
          .unsigned(limits.maximum);
      }
    });
    section(3, (w) => {
      w.unsigned(this.functions.length);
      for (const f of this.functions) w.unsigned(f.type);
    });
    const { tableElements } = this;
    if (tableElements) {
      const size = tableElements.length;
      section(4, (w) => {
        w.unsigned(1 + this.emptyTables.length);
        for (const n of [...this.emptyTables.map((t) => t.size), size]) w.u8(0x70).u8(1).unsigned(n).unsigned(n);
      });
    }
    section(7, (w) => {
      w.unsigned(this.exports.length + this.emptyTables.length);
      for (const e of this.exports) w.text(e.name).u8(0).unsigned(e.reference.index);
      this.emptyTables.forEach((t, k) => w.text(t.name).u8(1).unsigned(k));
    });
    if (tableElements) {
      section(9, (w) => {
        // An active segment that names its table, of function indices.
        w.unsigned(1).unsigned(2).unsigned(this.emptyTables.length).u8(0x41).signed32(0).u8(0x0b).u8(0);
        w.unsigned(tableElements.length);
        for (const e of tableElements) w.unsigned(e.index);
      });
    }
    if (this.passiveData.length > 0) section(12, (w) => w.unsigned(this.passiveData.length));
    const declarations = this.functions.map((f) => f.declarations());
    const hinted = this.functions.filter((f) => f.code.hints.length > 0);
    if (hinted.length > 0) {
      section(0, (w) => {
        w.text('metadata.code.branch_hint').unsigned(hinted.length);
        for (const f of hinted) {
          const before = declarations[this.functions.indexOf(f)]?.length ?? 0;
          w.unsigned(f.index).unsigned(f.code.hints.length);
          for (const { at, expected } of f.code.hints) {
            w.unsigned(before + at).u8(1);
            w.u8(expected ? 1 : 0);
          }
        }
      });
    }
    section(10, (w) => {
      w.unsigned(this.functions.length);
      this.functions.forEach((f, k) => {
        w.sized(() => {
          const locals = declarations[k];
          if (locals) w.append(locals);
          w.append(f.code.bytes).u8(0x0b);
        });
      });
    });
    if (this.passiveData.length > 0) {
      section(11, (w) => {
        w.unsigned(this.passiveData.length);
        for (const d of this.passiveData) w.u8(1).unsigned(d.length).raw(d);
      });
    }
    section(0, (w) => {
      w.text('name');
      w.u8(1).sized(() => {
        w.unsigned(this.imports.length + this.functions.length);
        this.imports.forEach((i, index) => w.unsigned(index).text(i.name));
        for (const f of this.functions) w.unsigned(f.index).text(f.name);
      });
    });
    return out.finish();
  }
}
