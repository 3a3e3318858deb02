/**
 * Struct layouts, declared once. A declaration (field, type, version) yields the TypeScript accessor below, the
 * AssemblyScript constants (`tools/build-core.ts` prints them with {@link assemblyScriptLayout}) and the saved-state
 * schema. A literal offset anywhere else is a defect.
 *
 * @example
 * const Timer = struct('Timer', 1, { deadlineNs: 'u64', mode: 'u8', latch: array('u16', 3) });
 * const t = Timer.at(memory, 0x2000); // t.deadlineNs is a bigint property, t.latch a Uint16Array view
 *
 * Invariants: little-endian, fields in declared order at natural alignment, size a multiple of 16. Views stay valid
 * when a shared memory grows, because growth never moves what was there.
 */

export type Scalar = 'u8' | 'u16' | 'u32' | 'i32' | 'u64' | 'i64' | 'f64';

export interface ArrayType<S extends Scalar = Scalar, N extends number = number> {
  readonly array: S;
  readonly length: N;
}

export type FieldType = Scalar | ArrayType;

export type Fields = Readonly<Record<string, FieldType>>;

type ScalarValue<S extends Scalar> = S extends 'u64' | 'i64' ? bigint : number;

interface Views {
  u8: Uint8Array;
  u16: Uint16Array;
  u32: Uint32Array;
  i32: Int32Array;
  u64: BigUint64Array;
  i64: BigInt64Array;
  f64: Float64Array;
}

type FieldValue<T extends FieldType> =
  T extends ArrayType<infer S> ? Views[S] : T extends Scalar ? ScalarValue<T> : never;

/** The accessor object of a struct: scalars are read/write properties, arrays are live typed-array views. */
export type Struct<F extends Fields> = { -readonly [K in keyof F]: FieldValue<F[K]> } & {
  /** Address of the struct in the guest's memory, in bytes. */
  readonly $address: number;
};

export interface StructDeclaration<F extends Fields = Fields> {
  readonly name: string;
  /** Version of the saved-state schema: raised whenever a field changes meaning, type or place. */
  readonly version: number;
  readonly fields: F;
  /** Byte offset of each field. */
  readonly offsets: { readonly [K in keyof F]: number };
  /** Size in bytes, a multiple of 16. */
  readonly size: number;
  /** The accessor of the struct that lies at `address` of `buffer`. */
  at(buffer: ArrayBufferLike, address: number): Struct<F>;
}

const scalarBytes: Readonly<Record<Scalar, number>> = { u8: 1, u16: 2, u32: 4, i32: 4, u64: 8, i64: 8, f64: 8 };

export function array<S extends Scalar, N extends number>(type: S, length: N): ArrayType<S, N> {
  return { array: type, length };
}

export function struct<const F extends Fields>(name: string, version: number, fields: F): StructDeclaration<F> {
  const offsets: Record<string, number> = {};
  let end = 0;
  for (const [field, type] of Object.entries(fields)) {
    const scalar = typeof type === 'string' ? type : type.array;
    const bytes = scalarBytes[scalar];
    // Arrays start on 16 bytes, so that 128-bit registers can be loaded as vectors.
    const alignment = typeof type === 'string' ? bytes : 16;
    end = Math.ceil(end / alignment) * alignment;
    offsets[field] = end;
    end += typeof type === 'string' ? bytes : bytes * type.length;
  }
  const size = Math.ceil(end / 16) * 16;
  return {
    name,
    version,
    fields,
    offsets: offsets as { readonly [K in keyof F]: number },
    size,
    at: (buffer, address) => accessor(fields, offsets, buffer, address) as Struct<F>,
  };
}

/**
 * The properties lie on a prototype of the accessor's own, so that there are no own properties to list or spread. V8
 * keeps prototypes in a form where it compiles a getter or setter in place; an object with so many accessors of its own
 * is a dictionary, where each store is a call of the runtime.
 */
function accessor(fields: Fields, offsets: Record<string, number>, buffer: ArrayBufferLike, address: number): object {
  const target = { $address: address };
  for (const [field, type] of Object.entries(fields)) {
    const at = address + (offsets[field] ?? 0);
    if (typeof type === 'string') {
      Object.defineProperty(target, field, { enumerable: true, ...accessorOf(type, buffer, at) });
    } else {
      Object.defineProperty(target, field, { enumerable: true, value: viewOf(type.array, buffer, at, type.length) });
    }
  }
  return Object.create(target) as object;
}

/**
 * Accessors of `count` structs that lie one after the other from `address` on, in a memory that does not grow. They share
 * their properties, so code that goes through many of them is compiled as for one.
 */
export function structRows<F extends Fields>(
  declaration: StructDeclaration<F>,
  buffer: ArrayBufferLike,
  address: number,
  count: number,
): Struct<F>[] {
  const prototype = {};
  const arrays: [string, ArrayType, number][] = [];
  for (const [field, type] of Object.entries(declaration.fields)) {
    const offset = declaration.offsets[field] ?? 0;
    if (typeof type === 'string') Object.defineProperty(prototype, field, rowAccessor(type, buffer, offset));
    else arrays.push([field, type, offset]);
  }
  return Array.from({ length: count }, (_, n) => {
    const $address = address + n * declaration.size;
    const row = Object.assign(Object.create(prototype) as object, { $address });
    for (const [field, { array: scalar, length }, offset] of arrays) {
      Object.defineProperty(row, field, { value: viewOf(scalar, buffer, $address + offset, length) });
    }
    return row as Struct<F>;
  });
}

interface Row {
  readonly $address: number;
}

/** A property of all rows: finds its place by the row's address. As with {@link accessorOf}, a function for each type. */
function rowAccessor(type: Scalar, buffer: ArrayBufferLike, offset: number): PropertyDescriptor {
  const length = Math.floor(buffer.byteLength / scalarBytes[type]);
  switch (type) {
    case 'i32': {
      const view = new Int32Array(buffer, 0, length);
      return {
        get(this: Row) {
          return view[(this.$address + offset) >>> 2];
        },
        set(this: Row, value: number) {
          view[(this.$address + offset) >>> 2] = value;
        },
      };
    }
    case 'f64': {
      const view = new Float64Array(buffer, 0, length);
      return {
        get(this: Row) {
          return view[(this.$address + offset) >>> 3];
        },
        set(this: Row, value: number) {
          view[(this.$address + offset) >>> 3] = value;
        },
      };
    }
    default: {
      const shift = Math.log2(scalarBytes[type]);
      const view = viewOf(type, buffer, 0, length) as { [at: number]: number | bigint };
      return {
        get(this: Row) {
          return view[(this.$address + offset) >>> shift];
        },
        set(this: Row, value: number | bigint) {
          view[(this.$address + offset) >>> shift] = value;
        },
      };
    }
  }
}

interface Accessors {
  get: () => number | bigint;
  set: (value: never) => void;
}

/** Getter and setter of a scalar: a function of its own for each type, so that engines see one type of array in it. */
function accessorOf(type: Scalar, buffer: ArrayBufferLike, at: number): Accessors {
  switch (type) {
    case 'u8': {
      const view = new Uint8Array(buffer, at, 1);
      return { get: () => view[0] as number, set: (value: number) => void (view[0] = value) };
    }
    case 'u16': {
      const view = new Uint16Array(buffer, at, 1);
      return { get: () => view[0] as number, set: (value: number) => void (view[0] = value) };
    }
    case 'u32': {
      const view = new Uint32Array(buffer, at, 1);
      return { get: () => view[0] as number, set: (value: number) => void (view[0] = value) };
    }
    case 'i32': {
      const view = new Int32Array(buffer, at, 1);
      return { get: () => view[0] as number, set: (value: number) => void (view[0] = value) };
    }
    case 'u64': {
      const view = new BigUint64Array(buffer, at, 1);
      return { get: () => view[0] as bigint, set: (value: bigint) => void (view[0] = value) };
    }
    case 'i64': {
      const view = new BigInt64Array(buffer, at, 1);
      return { get: () => view[0] as bigint, set: (value: bigint) => void (view[0] = value) };
    }
    case 'f64': {
      const view = new Float64Array(buffer, at, 1);
      return { get: () => view[0] as number, set: (value: number) => void (view[0] = value) };
    }
  }
}

function viewOf(type: Scalar, buffer: ArrayBufferLike, at: number, length: number): Views[Scalar] {
  switch (type) {
    case 'u8':
      return new Uint8Array(buffer, at, length);
    case 'u16':
      return new Uint16Array(buffer, at, length);
    case 'u32':
      return new Uint32Array(buffer, at, length);
    case 'i32':
      return new Int32Array(buffer, at, length);
    case 'u64':
      return new BigUint64Array(buffer, at, length);
    case 'i64':
      return new BigInt64Array(buffer, at, length);
    case 'f64':
      return new Float64Array(buffer, at, length);
  }
}

/** The AssemblyScript view of a declaration: a namespace of byte offsets, for `load<T>(pointer, Name.field)`. */
export function assemblyScriptLayout(declaration: StructDeclaration): string {
  const lines = Object.entries(declaration.offsets).map(
    ([field, offset]) => `  // @ts-ignore: decorator\n  @inline export const ${field}: usize = ${offset};`,
  );
  const size = `  // @ts-ignore: decorator\n  @inline export const SIZE: usize = ${declaration.size};`;
  return `export namespace ${declaration.name} {\n${lines.join('\n')}\n${size}\n}\n`;
}
