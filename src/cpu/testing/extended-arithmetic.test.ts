import { beforeAll, describe, expect, it } from 'vitest';
import type { Builder, Extended } from '../isa/builder.ts';
import { product, quotient, squareRoot, sum } from '../isa/extended-arithmetic.ts';
import type { FpuUnderTest } from './fpu-under-test.ts';
import { compileFpu } from './fpu-under-test.ts';
import { ValueArithmetic, bitsOf, truth } from './value-arithmetic.ts';

const places = { a: 1024, b: 1040, result: 1056 };
const topBit = 1n << 63n;

let fpu: FpuUnderTest;
beforeAll(async () => {
  fpu = await compileFpu();
}, 60_000);

/** xorshift32, from a fixed seed. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

interface Words {
  readonly significand: bigint;
  readonly signExponent: number;
}

/** Pairs whose exponents are near each other, with few or many bits in the significands, some of no normal number. */
function operands(random: (below: number) => number): readonly [Words, Words] {
  const significand = (): bigint => {
    const bits = (BigInt(random(2 ** 32)) << 32n) | BigInt(random(2 ** 32));
    const shapes = [bits, bits & ~0x7ffn, bits & (~0n << 40n), topBit, ~0n, (1n << BigInt(random(64))) - 1n];
    const shape = BigInt.asUintN(64, shapes[random(shapes.length)] ?? bits);
    return random(16) === 0 ? shape : shape | topBit;
  };
  const exponents = [0x3fff, 0x3fff, 0x3fff, 1, 0x7ffe, 0x2fff, 0x5000];
  const exponent = exponents[random(exponents.length)] ?? 0;
  const near = (): number => {
    const spread = [1, 3, 70, 200][random(4)] ?? 1;
    return Math.min(Math.max(exponent + random(2 * spread + 1) - spread, 0), 0x7fff) | (random(2) << 15);
  };
  return [
    { significand: significand(), signExponent: near() },
    { significand: significand(), signExponent: near() },
  ];
}

function put(at: number, v: Words): void {
  fpu.view.setBigUint64(at, v.significand, true);
  fpu.view.setBigUint64(at + 8, BigInt(v.signExponent), true);
}

const inexact = 0x20;
const roundedUp = 0x200;

describe('short ways of x87 arithmetic give what the general way gives, with PE and C1', () => {
  it.each([
    ['sum', sum, 'f80_add'],
    ['product', product, 'f80_mul'],
    ['quotient', quotient, 'f80_div'],
    ['square root', squareRoot, 'f80_sqrt'],
  ] as const)('%s', (_name, operation, general) => {
    const random = generator(0x87);
    // Arithmetic is all of the builder that the operations use.
    const b = new ValueArithmetic('x87') as unknown as Builder;
    const extended = (v: Words): Extended => ({
      significand: b.int(8, v.significand),
      signExponent: b.int(4, v.signExponent),
    });
    let taken = 0;
    for (let n = 0; n < 20_000; n++) {
      const [x, y] = operands(random);
      const short = operation(b, extended(x), extended(y));
      if (!short.valid.every(truth)) continue;
      taken++;
      put(places.a, x);
      put(places.b, y);
      const from = general === 'f80_sqrt' ? [places.a] : [places.a, places.b];
      const flags = Number(fpu.call(general, places.result, ...from, 0x37f));
      const found = {
        significand: bitsOf(short.value.significand),
        signExponent: bitsOf(short.value.signExponent),
        flags: (bitsOf(short.rest) === 0n ? 0 : inexact) | (bitsOf(short.roundedUp) === 0n ? 0 : roundedUp),
      };
      const expected = {
        significand: fpu.view.getBigUint64(places.result, true),
        signExponent: fpu.view.getBigUint64(places.result + 8, true),
        flags,
      };
      expect(found, JSON.stringify({ n, x: x.signExponent, y: y.signExponent })).toEqual(expected);
    }
    expect(taken).toBeGreaterThan(5_000);
  });
});
