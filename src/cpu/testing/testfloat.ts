/**
 * Loader for the Berkeley TestFloat vectors (`vectors/testfloat.tgz`): files named `function.rounding.txt`, a case a
 * line, all fields in hex: operands, result, exception flags.
 *
 *     for (const file of testFloatFiles(gunzipSync(archive)))
 *       for (const { operands, result, flags } of testFloatCases(file.text)) …
 *
 * The vectors are those of an x86: tininess is detected after rounding, the NaNs of f32 and f64 are SSE's. NaN payloads
 * of extF80 are not to be compared.
 */

export type TestFloatFormat = 'f32' | 'f64' | 'extF80' | 'i32' | 'i64' | 'bool';

export type TestFloatOperation =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'rem'
  | 'sqrt'
  | 'roundToInt'
  | 'convert'
  | 'eq'
  | 'lt'
  | 'lt_quiet'
  | 'le'
  | 'le_quiet'
  | 'eq_signaling';

/** The x86 RC encoding of a rounding mode. */
export type RoundingControl = 0 | 1 | 2 | 3;

export interface TestFloatFunction {
  /** TestFloat's name, e.g. `f64_to_i32`. */
  readonly name: string;
  readonly operation: TestFloatOperation;
  readonly operand: TestFloatFormat;
  readonly result: TestFloatFormat;
  readonly rounding: RoundingControl;
}

export interface TestFloatFile {
  readonly fn: TestFloatFunction;
  readonly text: string;
}

export interface TestFloatCase {
  /** Raw bits, unsigned. */
  readonly operands: readonly bigint[];
  readonly result: bigint;
  /** Exception flags in the positions of MXCSR and the x87 status word (IE 1, ZE 4, OE 8, UE 16, PE 32). */
  readonly flags: number;
}

const ROUNDINGS: Readonly<Record<string, RoundingControl>> = { near_even: 0, min: 1, max: 2, minMag: 3 };

const OPERATIONS: ReadonlySet<string> = new Set([
  ...['add', 'sub', 'mul', 'div', 'rem', 'sqrt', 'roundToInt'],
  ...['eq', 'lt', 'lt_quiet', 'le', 'le_quiet', 'eq_signaling'],
]);

const COMPARISONS: ReadonlySet<string> = new Set(['eq', 'lt', 'lt_quiet', 'le', 'le_quiet', 'eq_signaling']);

/** What a file of vectors tests, from its name (a directory before it is ignored). */
export function parseTestFloatName(path: string): TestFloatFunction {
  const base = path.slice(path.lastIndexOf('/') + 1);
  const match = /^((f32|f64|extF80|i32|i64)_(\w+))\.(near_even|minMag|min|max)\.txt$/.exec(base);
  if (!match) throw new Error(`${base}: not a TestFloat file name (expected function.rounding.txt)`);
  const [, name, operand, action, roundingName] = match as unknown as [string, string, TestFloatFormat, string, string];
  const rounding = ROUNDINGS[roundingName] as RoundingControl;
  const target = /^to_(f32|f64|extF80|i32|i64)$/.exec(action);
  if (target) return { name, operation: 'convert', operand, result: target[1] as TestFloatFormat, rounding };
  if (!OPERATIONS.has(action)) throw new Error(`${base}: unknown TestFloat operation '${action}'`);
  const result = COMPARISONS.has(action) ? 'bool' : operand;
  return { name, operation: action as TestFloatOperation, operand, result, rounding };
}

/** TestFloat's flags (inexact 1, underflow 2, overflow 4, infinite 8, invalid 16) in x86 positions. */
export function x86Flags(testFloatFlags: number): number {
  const bit = (from: number, to: number): number => (testFloatFlags & from ? to : 0);
  return bit(1, 32) | bit(2, 16) | bit(4, 8) | bit(8, 4) | bit(16, 1);
}

export function* testFloatCases(text: string): Generator<TestFloatCase> {
  for (const line of text.split('\n')) {
    const fields = line.trim().split(/\s+/);
    if (fields.length < 3) continue;
    const numbers = fields.map((field) => BigInt(`0x${field}`));
    const flags = x86Flags(Number(numbers.pop()));
    const result = numbers.pop() ?? 0n;
    yield { operands: numbers, result, flags };
  }
}

/** The vector files of the archive, given the decompressed tar. */
export function* testFloatFiles(tar: Uint8Array): Generator<TestFloatFile> {
  const decoder = new TextDecoder();
  const field = (at: number, length: number): string => {
    const text = decoder.decode(tar.subarray(at, at + length));
    const end = text.indexOf('\0');
    return end < 0 ? text : text.slice(0, end);
  };
  // ustar: 512-byte headers, name at 0, size in octal at 124, type at 156 ('0' or NUL is a file).
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0;) {
    const name = field(at, 100);
    const size = Number.parseInt(field(at + 124, 12), 8);
    const type = field(at + 156, 1);
    const start = at + 512;
    if ((type === '0' || type === '') && name.endsWith('.txt')) {
      yield { fn: parseTestFloatName(name), text: decoder.decode(tar.subarray(start, start + size)) };
    }
    at = start + Math.ceil(size / 512) * 512;
  }
}
