import { describe, expect, it } from 'vitest';
import { cpuid, cpuModel } from './cpu-model.ts';

const model = cpuModel('tabvisor-v2');
const ascii = (words: readonly number[]) =>
  words.map((word) => String.fromCharCode(word & 255, (word >> 8) & 255, (word >> 16) & 255, word >>> 24)).join('');

describe('cpu-model', () => {
  it('is a processor that Linux holds free of speculation', () => {
    const [, b, c, d] = cpuid(model, 0, 0);
    expect(ascii([b, d, c])).toBe('GenuineIntel');
    expect(cpuid(model, 1, 0)[0]).toBe(0x106ca); // family 6, model 1Ch, stepping 10
  });

  it('has what x86-64-v2 demands', () => {
    const [, , c, d] = cpuid(model, 1, 0);
    for (const bit of [0, 9, 13, 19, 20, 23]) expect((c >>> bit) & 1).toBe(1);
    for (const bit of [0, 8, 15, 23, 24, 25, 26]) expect((d >>> bit) & 1).toBe(1);
    const [, , c1, d1] = cpuid(model, 0x80000001, 0);
    expect(c1 & 1).toBe(1);
    expect([11, 20, 29].map((bit) => (d1 >>> bit) & 1)).toEqual([1, 1, 1]);
  });

  it('keeps the least of x87’s pointers, and says so', () => {
    const [, b] = cpuid(model, 7, 0);
    expect([6, 13].map((bit) => (b >>> bit) & 1)).toEqual([1, 1]);
  });

  it('offers KVM’s clock and says its frequencies', () => {
    const [max, b, c, d] = cpuid(model, 0x40000000, 0);
    expect(ascii([b, c, d])).toBe('KVMKVMKVM\0\0\0');
    expect(max).toBe(0x40000010);
    expect(cpuid(model, 0x40000001, 0)[0]).toBe((1 << 0) | (1 << 1) | (1 << 3) | (1 << 6) | (1 << 24));
    expect(cpuid(model, 0x40000010, 0)[0]).toBe(1_000_000);
    expect(cpuid(model, 0x80000007, 0)[3]).toBe(0x100);
  });

  it('spells its name over three leaves, and is silent beyond its leaves', () => {
    const brand = [2, 3, 4].flatMap((n) => [...cpuid(model, 0x80000000 + n, 0)]);
    expect(ascii(brand).replace(/\0+$/, '')).toBe(model.brand);
    expect(cpuid(model, 0x17, 0)).toEqual([0, 0, 0, 0]);
    expect(cpuid(model, 0x80000009 | 0, 0)).toEqual([0, 0, 0, 0]);
  });

  it('refuses unknown names with those it knows', () => {
    expect(() => cpuModel('pentium')).toThrow('unknown CPU model "pentium": there are tabvisor-v2');
  });
});
