/** Where a program's operands lie, and how they are encoded. */
import { REGION } from '../oracle/draft.ts';
import type { Bits } from '../oracle/draft.ts';
import type { Random } from '../oracle/random.ts';
import { toBytes } from '../oracle/random.ts';
import type { Op } from './program.ts';

/** Memory operands and strings: two pages, so that accesses cross from one to the other. */
export const PLAYGROUND = { base: REGION.data.base, size: 0x1c00 } as const;
export const STACK_TOP = REGION.data.base + 0x2f00;
/** Counters of loops and constants, which nothing else writes. */
export const PRIVATE = { base: REGION.data.base + 0x3000, size: 0xf00 } as const;
/** Not mapped, from the end of the data region on. */
export const UNMAPPED = REGION.data.base + REGION.data.size;
/** Code that a program writes itself: slots of this size. */
export const WRITTEN = { base: REGION.code.base + 0x3000, size: 0x400, slots: 4 } as const;
/** What [base register + displacement] reaches. */
export const WINDOW = 64;

/** Numbers of AH, CH, DH and BH as 8-bit operands, beside those of the registers. */
export const HIGH_BYTE = 20;

export type Memory =
  | { readonly kind: 'base'; readonly displacement: number }
  | { readonly kind: 'absolute'; readonly address: number }
  | { readonly kind: 'index'; readonly index: number; readonly scale: number; readonly displacement: number }
  /** [register]. */
  | { readonly kind: 'register'; readonly register: number };

export interface Encoding {
  /** Mandatory or operand-size prefixes. */
  readonly prefix?: readonly number[];
  readonly opcode: readonly number[];
  /** A register or opcode extension; byte registers from HIGH_BYTE on are AH to BH. */
  readonly reg: number;
  readonly rm: number | Memory;
  readonly wide?: boolean;
  /** 8-bit registers. */
  readonly byteReg?: boolean;
  readonly byteRm?: boolean;
  readonly immediate?: readonly number[];
}

const low = (register: number): number => register & 7;

export function encode(bits: Bits, e: Encoding): number[] {
  let rex = e.wide && bits === 64 ? 8 : 0;
  let needed = rex !== 0;
  const reg = e.reg >= HIGH_BYTE ? e.reg - HIGH_BYTE + 4 : e.reg;
  if (e.reg < HIGH_BYTE) {
    if (e.reg > 7) rex |= 4;
    if (e.byteReg && e.reg > 3) needed = true;
  }
  const tail: number[] = [];
  const field = low(reg) << 3;
  if (typeof e.rm === 'number') {
    const rm = e.rm >= HIGH_BYTE ? e.rm - HIGH_BYTE + 4 : e.rm;
    if (e.rm < HIGH_BYTE) {
      if (e.rm > 7) rex |= 1;
      if (e.byteRm && e.rm > 3) needed = true;
    }
    tail.push(0xc0 | field | low(rm));
  } else {
    const m = e.rm;
    switch (m.kind) {
      case 'base':
        tail.push(0x45 | field, m.displacement);
        break;
      case 'absolute':
        if (bits === 64) tail.push(0x04 | field, 0x25);
        else tail.push(0x05 | field);
        tail.push(...toBytes(BigInt(m.address), 4));
        break;
      case 'index':
        if (m.index > 7) rex |= 2;
        tail.push(0x44 | field, (m.scale << 6) | (low(m.index) << 3) | 5, m.displacement);
        break;
      case 'register':
        if (m.register > 7) rex |= 1;
        tail.push(0x40 | field | low(m.register), 0);
        break;
    }
  }
  const prefix = [...(e.prefix ?? [])];
  if (rex || (needed && bits === 64)) prefix.push(0x40 | rex);
  return [...prefix, ...e.opcode, ...tail, ...(e.immediate ?? [])];
}

/** A program's registers, as far as its parts share them. */
export class Registers {
  readonly bits: Bits;
  readonly random: Random;
  /** Registers that hold something for a while: no operation writes them. */
  readonly kept = new Set<number>();

  constructor(bits: Bits, random: Random) {
    this.bits = bits;
    this.random = random;
  }

  /** Any register that may be written: not the stack pointer, the base register, counters. */
  any(): number {
    for (;;) {
      const r = this.random.pick(this.bits === 64 ? [0, 0, 1, 2, 3, 6, 7, 8, 9, 10, 14] : [0, 0, 1, 2, 3, 6, 7]);
      if (!this.kept.has(r)) return r;
    }
  }

  /** One of the first eight. */
  low(): number {
    for (;;) {
      const r = this.any();
      if (r < 8) return r;
    }
  }

  /** Of an operand size; `rex`: no AH to BH, because the other operand may need a REX prefix. */
  of(size: number, rex = false): number {
    if (size !== 8) return this.any();
    for (;;) {
      const r = this.random.below(4);
      if (this.kept.has(r)) continue;
      if (!rex && this.random.chance(0.25)) return HIGH_BYTE + r;
      if (this.bits === 64 && this.random.chance(0.4)) return this.any();
      return r;
    }
  }

  memory(bytes: number): Memory {
    const { random } = this;
    if (random.chance(0.7)) return { kind: 'base', displacement: random.below(WINDOW - bytes + 1) };
    const edge = PLAYGROUND.base + 0x1000 - random.below(bytes + 2);
    const address = random.chance(0.3) ? edge : PLAYGROUND.base + random.below(PLAYGROUND.size - 64);
    return { kind: 'absolute', address };
  }

  /** Absolute, and aligned to so many bytes. */
  aligned(bytes: number): Memory {
    const address = PLAYGROUND.base + this.random.below(PLAYGROUND.size / bytes - 1) * bytes;
    return { kind: 'absolute', address };
  }
}

export const hex = (value: number): string => `0x${value.toString(16)}`;

/** For listings. */
export function memoryText(m: Memory): string {
  switch (m.kind) {
    case 'base':
      return `[bp + ${m.displacement}]`;
    case 'absolute':
      return `[${hex(m.address)}]`;
    case 'index':
      return `[bp + r${m.index} * ${1 << m.scale} + ${m.displacement}]`;
    case 'register':
      return `[r${m.register}]`;
  }
}

export function operandText(rm: number | Memory): string {
  if (typeof rm !== 'number') return memoryText(rm);
  return rm >= HIGH_BYTE ? (['ah', 'ch', 'dh', 'bh'][rm - HIGH_BYTE] ?? '') : `r${rm}`;
}

/** MOV of a 32-bit constant into a register, whose upper half it clears. */
export function moveConstant(register: number, value: number): Op {
  const rex = register > 7 ? [0x41] : [];
  const bytes = [...rex, 0xb8 | low(register), ...toBytes(BigInt(value >>> 0), 4)];
  return { kind: 'op', text: `mov r${register}, ${hex(value >>> 0)}`, bytes };
}
