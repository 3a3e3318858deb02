/**
 * A case before it ran: the start state that the native harness loads, and what the recorded result must leave out.
 */
import type { Random } from './random.ts';
import { toBytes } from './random.ts';

/** Operating mode of the code: 32-bit protected (flat segments) or 64-bit. */
export type Bits = 32 | 64;

/** Fixed regions of harness.c; both files must agree. */
export const REGION = {
  data: { base: 0x1000_0000, size: 0x4000 },
  /** Exists and can't be written; for page-fault cases. */
  readonly: { base: 0x1000_8000, size: 0x1000 },
  /** Reached by 16-bit addresses. */
  low: { base: 0x8000, size: 0x2000 },
  code: { base: 0x2000_0000, size: 0x4000 },
} as const;

/** Where memory operands are placed, and where the stack pointer starts in templates that use the stack. */
export const OPERAND_LIMIT = 0x1000_2000;
export const STACK_TOP = 0x1000_2800;

export const REGISTER_NAMES: Readonly<Record<Bits, readonly string[]>> = {
  32: ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi'],
  64: [
    'rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi',
    'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15',
  ], // prettier-ignore
};

export const FLAG = { CF: 1, PF: 4, AF: 0x10, ZF: 0x40, SF: 0x80, DF: 0x400, OF: 0x800 } as const;
export const STATUS_FLAGS = 0x8d5;
/** Bits that user code can neither read reliably nor change on every processor stay out of comparisons (AC, ID …). */
export const COMPARED_FLAGS = 0x3e7fd7;

export interface Window {
  address: number;
  bytes: Uint8Array;
}

/** What a case starts from. Registers have recognizable default values; operands are set by the template. */
export class Draft {
  readonly bits: Bits;
  readonly random: Random;
  readonly regs: bigint[];
  /** Registers whose value the template fixed: addressing may use them as they are, not change them. */
  readonly pinned = new Set<number>();
  flags: number;
  flagsMask = COMPARED_FLAGS;
  mxcsr = 0x1f80;
  fcw = 0x37f;
  fsw = 0;
  /** FXSAVE's abridged tag byte: bit i set when physical register i is in use. */
  tags = 0;
  /** Physical x87 registers, 10 bytes each. */
  readonly x87 = new Map<number, Uint8Array>();
  readonly xmm = new Map<number, Uint8Array>();
  readonly windows: Window[] = [];
  readonly zero: [number, number][] = [];
  rip = REGION.code.base + 0xe00;
  code: number[] = [];
  end: 'next' | 'step' = 'next';
  cpl: 0 | 3 = 0;
  pages: [number, number, string][] | undefined;
  /** More start registers that only the written case names (cr0, cr4). */
  readonly extraRegs: Record<string, number> = {};
  /** Registers by name that the expectation leaves out: the architecture doesn't define their result. */
  readonly unspecified = new Set<string>();
  /** When set, memory is compared only here: [address, length]. */
  comparedMemory: [number, number][] | undefined;
  /** XMM and physical x87/MMX registers that the expectation names. */
  readonly comparedXmm = new Set<number>();
  readonly comparedX87 = new Set<number>();
  /** [from, to]: after a fault with the instruction pointer at `from` the case goes on at `to`. */
  readonly resumes: [number, number][] = [];
  /** Most stops, with the last one. */
  stopLimit = 1;
  /** Compare every x87 register that is in use at the end. */
  comparesValidX87 = false;
  usesX87 = false;
  usesMxcsr = false;

  constructor(bits: Bits, random: Random) {
    this.bits = bits;
    this.random = random;
    const count = bits === 64 ? 16 : 8;
    this.regs = Array.from({ length: count }, (_, i) =>
      bits === 64 ? 0x1111_0000_a500_0000n * BigInt((i % 7) + 1) + BigInt(i) : 0x1101_0010n * BigInt(i + 1),
    );
    this.regs[4] = BigInt(STACK_TOP);
    this.flags = 0x202;
  }

  reg(index: number): bigint {
    return this.regs[index] ?? 0n;
  }

  /** Sets a register and keeps addressing from changing it. */
  pin(index: number, value: bigint): void {
    this.regs[index] = BigInt.asUintN(this.bits, value);
    this.pinned.add(index);
  }

  /** Adds initial memory; later windows win where they overlap. */
  window(address: number, bytes: Uint8Array): void {
    this.windows.push({ address, bytes });
  }

  /** The memory as the windows lay it down. */
  byteAt(address: number): number {
    let value = 0;
    for (const w of this.windows) {
      const at = address - w.address;
      if (at >= 0 && at < w.bytes.length) value = w.bytes[at] ?? 0;
    }
    return value;
  }

  /** The 512-byte FXSAVE image (SDM vol. 1, 10.5.1) of the start state. */
  fxImage(): Uint8Array {
    const image = new Uint8Array(512);
    image.set(toBytes(BigInt(this.fcw), 2), 0);
    image.set(toBytes(BigInt(this.fsw), 2), 2);
    image[4] = this.tags;
    image.set(toBytes(BigInt(this.mxcsr), 4), 24);
    const top = (this.fsw >> 11) & 7;
    for (const [physical, bytes] of this.x87) image.set(bytes, 32 + 16 * ((physical - top) & 7));
    for (const [index, bytes] of this.xmm) image.set(bytes, 160 + 16 * index);
    return image;
  }
}
