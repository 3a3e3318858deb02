import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { compileFpu, type FpuUnderTest } from '../../testing/fpu-under-test.ts';
import { testFloatCases, testFloatFiles, type TestFloatFunction } from '../../testing/testfloat.ts';

const vectors = (name: string): Uint8Array =>
  gunzipSync(readFileSync(new URL(`../../testing/vectors/${name}`, import.meta.url)));

/** Scratch addresses in the module's memory. */
const A = 1024;
const B = 1040;
const DST = 1056;
const FLAGS = 1088;

let fpu: FpuUnderTest;
beforeAll(async () => {
  fpu = await compileFpu();
}, 60_000);

function put80(at: number, bits: bigint): void {
  fpu.view.setBigUint64(at, bits & 0xffffffffffffffffn, true);
  fpu.view.setBigUint64(at + 8, bits >> 64n, true);
}

function get80(at: number): bigint {
  return (fpu.view.getBigUint64(at + 8, true) << 64n) | fpu.view.getBigUint64(at, true);
}

const isNaN80 = (v: bigint): boolean => ((v >> 64n) & 0x7fffn) === 0x7fffn && (v & 0x7fffffffffffffffn) !== 0n;

const bits = (v: number | bigint, size: number): bigint => BigInt.asUintN(size, BigInt(v));
const number32 = (v: bigint): number => Number(BigInt.asIntN(32, v));

/** Ids of the sections of a wasm binary (6 globals, 11 data). */
function sectionIds(binary: Uint8Array): number[] {
  const ids: number[] = [];
  for (let at = 8; at < binary.length;) {
    ids.push(binary[at++] ?? 0);
    let size = 0;
    for (let shift = 0, more = true; more; shift += 7) {
      const byte = binary[at++] ?? 0;
      size |= (byte & 0x7f) << shift;
      more = byte >= 0x80;
    }
    at += size;
  }
  return ids;
}

interface Outcome {
  readonly result: bigint;
  readonly flags: number;
}

/** Runs a TestFloat function on the x87 operations (everything that has an extF80 in it). */
function runX87(fn: TestFloatFunction, operands: readonly bigint[]): Outcome {
  const cw = 0x37f | (fn.rounding << 10);
  const [a = 0n, b = 0n] = operands;
  const at80 = (flags: number | bigint): Outcome => ({ result: get80(DST), flags: Number(flags) });
  if (fn.operand === 'extF80') {
    put80(A, a);
    put80(B, b);
    switch (fn.operation) {
      case 'add':
      case 'sub':
      case 'mul':
      case 'div':
        return at80(fpu.call(`f80_${fn.operation}`, DST, A, B, cw));
      case 'sqrt':
        return at80(fpu.call('f80_sqrt', DST, A, cw));
      case 'roundToInt':
        return at80(fpu.call('f80_rndint', DST, A, cw));
      case 'rem': {
        // FPREM1 until C2 is clear.
        let flags = 0;
        for (let more = true; more;) {
          const raised = Number(fpu.call('f80_rem', DST, A, B, cw, 1));
          flags |= raised;
          more = (raised & 0x400) !== 0;
          put80(A, get80(DST));
        }
        return at80(flags);
      }
      case 'convert': {
        fpu.view.setBigUint64(DST, 0n, true);
        const size = fn.result === 'f64' || fn.result === 'i64' ? 64 : 32;
        const integer = fn.result.startsWith('i');
        const flags = fpu.call(`f80_to_${fn.result}`, ...(integer ? [A, cw, 0, DST] : [A, cw, DST]));
        return { result: BigInt.asUintN(size, fpu.view.getBigUint64(DST, true)), flags: Number(flags) };
      }
      default:
        throw new Error(`no x87 operation for ${fn.name}`);
    }
  }
  switch (fn.operand) {
    case 'f32':
      return at80(fpu.call('f80_from_f32', DST, number32(a)));
    case 'f64':
      return at80(fpu.call('f80_from_f64', DST, a));
    case 'i32':
      fpu.call('f80_from_i64', DST, BigInt.asIntN(32, a));
      return at80(0);
    default:
      fpu.call('f80_from_i64', DST, BigInt.asIntN(64, a));
      return at80(0);
  }
}

/** Runs a TestFloat function on the SSE helpers. */
function runSse(fn: TestFloatFunction, operands: readonly bigint[]): Outcome {
  const mxcsr = 0x1f80 | (fn.rounding << 13);
  const wrap = (v: bigint, format: string): number | bigint => (format.endsWith('32') ? number32(v) : v);
  const args = operands.map((operand) => wrap(operand, fn.operand));
  const done = (value: number | bigint, size: number): Outcome => ({
    result: bits(value, size),
    flags: fpu.view.getUint32(FLAGS, true),
  });
  const size = fn.result.endsWith('32') ? 32 : 64;
  if (fn.operation === 'convert') {
    const name = `sse_${fn.operand}_to_${fn.result}`;
    const truncate = fn.result.startsWith('i') ? [0] : [];
    return done(fpu.call(name, ...args, ...truncate, mxcsr, FLAGS), size);
  }
  if (fn.result !== 'bool') return done(fpu.call(`sse_${fn.operand}_${fn.operation}`, ...args, mxcsr, FLAGS), size);
  const signaling = fn.operation === 'eq' || fn.operation === 'lt_quiet' || fn.operation === 'le_quiet' ? 0 : 1;
  const relation = Number(fpu.call(`sse_${fn.operand}_compare`, ...args, signaling, mxcsr, FLAGS));
  const holds = fn.operation.startsWith('eq') ? [0x40] : fn.operation.startsWith('lt') ? [0x01] : [0x01, 0x40];
  return done(holds.includes(relation) ? 1 : 0, 8);
}

describe('core/fpu', () => {
  it('has neither static data nor globals', () => {
    expect(sectionIds(fpu.binary)).not.toContain(6);
    expect(sectionIds(fpu.binary)).not.toContain(11);
  });

  it('gives the results and flags of Berkeley TestFloat level 1', () => {
    const failures: string[] = [];
    let cases = 0;
    for (const { fn, text } of testFloatFiles(vectors('testfloat.tgz'))) {
      const usesX87 = fn.operand === 'extF80' || fn.result === 'extF80';
      for (const { operands, result, flags } of testFloatCases(text)) {
        cases++;
        const got = usesX87 ? runX87(fn, operands) : runSse(fn, operands);
        // TestFloat has neither a denormal-operand flag nor condition codes.
        const sameFlags = (got.flags & 0x3d) === flags;
        const same = got.result === result || (fn.result === 'extF80' && isNaN80(result) && isNaN80(got.result));
        if (same && sameFlags) continue;
        const inputs = operands.map((operand) => operand.toString(16)).join(' ');
        const want = `${result.toString(16)} ${flags.toString(16)}`;
        failures.push(
          `${fn.name} rc=${fn.rounding}: ${inputs} -> ${got.result.toString(16)} ${got.flags.toString(16)}, want ${want}`,
        );
      }
    }
    expect(failures.slice(0, 20)).toEqual([]);
    expect(cases).toBe(74_888);
  }, 60_000);
});
