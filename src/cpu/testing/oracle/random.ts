/**
 * Deterministic random operands. Every template draws from its own stream, seeded by its name, so that adding one
 * template doesn't change the cases of the others.
 */

/** A seeded stream of random numbers (sfc32, seeded by an FNV-1a hash of the text). */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  constructor(seed: string) {
    let hash = 0x811c9dc5;
    for (let i = 0; i < seed.length; i++) hash = Math.imul(hash ^ seed.charCodeAt(i), 0x01000193);
    this.a = hash | 0;
    this.b = Math.imul(hash, 0x9e3779b1) | 0;
    this.c = 0x2545f491;
    for (let i = 0; i < 16; i++) this.u32();
  }

  /** 32 random bits, unsigned. */
  u32(): number {
    const t = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + t;
    this.c |= 0;
    return t >>> 0;
  }

  /** An integer in [0, limit). */
  below(limit: number): number {
    return this.u32() % limit;
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.u32() < probability * 0x1_0000_0000;
  }

  pick<T>(from: readonly T[]): T {
    const item = from[this.below(from.length)];
    if (item === undefined) throw new Error('pick from an empty list');
    return item;
  }

  /** Uniformly random bits. */
  bits(width: number): bigint {
    let value = 0n;
    for (let have = 0; have < width; have += 32) value = (value << 32n) | BigInt(this.u32());
    return BigInt.asUintN(width, value);
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.u32() >>> 24);
  }

  /** An integer operand: often one of the values where carries, signs and widths change. */
  integer(width: number): bigint {
    if (this.chance(0.55)) return this.bits(width);
    const top = 1n << BigInt(width - 1);
    const special = [0n, 1n, 2n, -1n, -2n, top, top - 1n, top + 1n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0x8000n, 0xffffn];
    if (width > 32) special.push(0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, 0x1_0000_0000n);
    return BigInt.asUintN(width, this.pick(special));
  }
}

/** The kinds of data that vector and x87 operands hold. */
export type DataClass = 'i8' | 'i16' | 'i32' | 'i64' | 'f32' | 'f64' | 'f80' | 'bcd' | 'text';

const F32_SPECIAL = [
  0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001, 0x7f800001, 0xffbfffff,
  0x00000001, 0x807fffff, 0x00800000, 0x80800000, 0x7f7fffff, 0xff7fffff, 0x3f000000, 0x40200000, 0xc0200000,
  0x4f000000, 0xcf000000, 0x4effffff, 0x5f000000, 0x3effffff, 0x7fc12345, 0x7fa54321,
];
const F64_SPECIAL = [
  0n,
  0x8000000000000000n,
  0x3ff0000000000000n,
  0xbff0000000000000n,
  0x7ff0000000000000n,
  0xfff0000000000000n,
  0x7ff8000000000000n,
  0xfff8000000000001n,
  0x7ff0000000000001n,
  0xfff7ffffffffffffn,
  1n,
  0x800fffffffffffffn,
  0x0010000000000000n,
  0x8010000000000000n,
  0x7fefffffffffffffn,
  0xffefffffffffffffn,
  0x3fe0000000000000n,
  0x4004000000000000n,
  0xc004000000000000n,
  0x41e0000000000000n,
  0xc1e0000000000000n,
  0x41dfffffffc00000n,
  0x41dfffffffe00000n,
  0xc1e0000000200000n,
  0x43e0000000000000n,
  0xc3e0000000000000n,
  0x47efffffe0000000n,
  0x47effffff0000000n,
  0x3810000000000000n,
  0x36a0000000000000n,
  0x3690000000000000n,
  0x7ff8123456789abcn,
];

/** Little-endian bytes of `value`. */
export function toBytes(value: bigint, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

/** The value of little-endian bytes. */
export function fromBytes(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

function f32(r: Random): bigint {
  const kind = r.below(10);
  if (kind < 3) return BigInt(r.pick(F32_SPECIAL));
  if (kind < 8) return (r.bits(1) << 31n) | (BigInt(118 + r.below(20)) << 23n) | shortFraction(r, 23);
  return r.bits(32);
}

function f64(r: Random): bigint {
  const kind = r.below(10);
  if (kind < 3) return r.pick(F64_SPECIAL);
  if (kind < 8) return (r.bits(1) << 63n) | (BigInt(1013 + r.below(24)) << 52n) | shortFraction(r, 52);
  if (kind < 9) return (r.bits(1) << 63n) | (BigInt(990 + r.below(100)) << 52n) | r.bits(52);
  return r.bits(64);
}

/** Fractions with few significant bits meet halfway cases and exact results; full ones are inexact. */
function shortFraction(r: Random, width: number): bigint {
  const fraction = r.bits(width);
  const keep = r.pick([2, 6, width >> 1, width, width]);
  return (fraction >> BigInt(width - keep)) << BigInt(width - keep);
}

/** An 80-bit operand: normal numbers, and each class that the format can hold, also the unsupported encodings. */
export function f80(r: Random): bigint {
  const sign = r.bits(1) << 79n;
  const integerBit = 1n << 63n;
  const pack = (exponent: number, significand: bigint): bigint => sign | (BigInt(exponent) << 64n) | significand;
  switch (r.below(24)) {
    case 0:
      return pack(0, 0n);
    case 1:
      return pack(0x7fff, integerBit);
    case 2:
      return pack(0x7fff, integerBit | (1n << 62n) | r.bits(r.pick([1, 62])));
    case 3:
      return pack(0x7fff, integerBit | 1n | r.bits(61));
    case 4:
      return pack(0, r.bits(r.pick([1, 30, 63])) | 1n);
    case 5:
      return pack(0, integerBit | r.bits(63)); // pseudo-denormal
    case 6:
      return pack(1 + r.below(0x7ffe), r.bits(63)); // unnormal
    case 7:
      return pack(0x7fff, r.bits(63)); // pseudo-NaN or pseudo-infinity
    case 8:
      return pack(r.pick([1, 0x7ffe, 0x3c01, 0x43fe, 0x3f81, 0x407e]), integerBit | r.bits(63));
    case 9:
      return pack(0x3fff, integerBit);
    case 10:
    case 11:
      return pack(r.below(0x7fff), integerBit | r.bits(63));
    default:
      return pack(0x3fff - 24 + r.below(70), integerBit | shortFraction(r, 63));
  }
}

/** `length` random bytes that hold elements of the class. */
export function operandBytes(r: Random, cls: DataClass, length: number): Uint8Array {
  switch (cls) {
    case 'f32':
      return elements(length, 4, () => f32(r));
    case 'f64':
      return elements(length, 8, () => f64(r));
    case 'f80':
      return elements(length, 10, () => f80(r));
    case 'bcd':
      return Uint8Array.from({ length }, (_, i) =>
        i === 9 ? r.pick([0, 0x80]) : r.below(10) * 16 + r.below(r.chance(0.02) ? 16 : 10),
      );
    case 'text':
      return Uint8Array.from({ length }, () => (r.chance(0.06) ? 0 : r.chance(0.9) ? 0x61 + r.below(4) : r.below(256)));
    default: {
      const size = Number(cls.slice(1)) / 8;
      return elements(length, size, () => r.integer(size * 8));
    }
  }
}

function elements(length: number, size: number, make: () => bigint): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i += size) bytes.set(toBytes(make(), size).subarray(0, length - i), i);
  return bytes;
}
