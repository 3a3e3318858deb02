/**
 * Random straight-line programs with forward branches: 5 to 40 integer instructions that pass registers, flags, memory
 * and the stack to each other. They find what single instructions can't: lazy flags that are read later, partial
 * registers, code that a block compiler moves.
 *
 * The stack pointer and the base pointer keep their meaning; every memory operand is [base + small offset] or is
 * indexed by a register that the program masked just before. Flags that the manuals leave undefined are tracked, and
 * nothing reads them.
 */
import { Draft, FLAG, REGION, STACK_TOP } from './draft.ts';
import type { Bits } from './draft.ts';
import { Random, toBytes } from './random.ts';

const { CF, PF, AF, ZF, SF, OF } = FLAG;
const ALL = CF | PF | AF | ZF | SF | OF;
const PROGRAMS_PER_MODE = 1200;
const DATA_WINDOW = 64;

/** Flags that a condition code reads, by the low four bits of the opcode. */
export const CONDITION_READS = [
  OF,
  OF,
  CF,
  CF,
  ZF,
  ZF,
  CF | ZF,
  CF | ZF,
  SF,
  SF,
  PF,
  PF,
  SF | OF,
  SF | OF,
  SF | OF | ZF,
  SF | OF | ZF,
];

interface Step {
  bytes: number[];
  /** Flags that become defined, and that become undefined. */
  defines?: number;
  undefines?: number;
}

/** Builds one program; keeps count of which flags are undefined and how deep the stack is. */
class Builder {
  readonly bits: Bits;
  readonly random: Random;
  readonly code: number[] = [];
  private undefinedFlags = 0;
  private depth = 0;
  private nesting = 0;

  constructor(bits: Bits, random: Random) {
    this.bits = bits;
    this.random = random;
  }

  build(length: number): { code: number[]; undefinedFlags: number } {
    for (let i = 0; i < length; i++) this.instruction();
    return { code: this.code, undefinedFlags: this.undefinedFlags };
  }

  private emit(step: Step): void {
    this.code.push(...step.bytes);
    this.undefinedFlags &= ~(step.defines ?? 0);
    this.undefinedFlags |= step.undefines ?? 0;
  }

  private readable(flags: number): boolean {
    return (this.undefinedFlags & flags) === 0;
  }

  private readableCondition(): number {
    for (;;) {
      const condition = this.random.below(16);
      if (this.readable(CONDITION_READS[condition] ?? 0)) return condition;
      if (this.undefinedFlags === ALL) this.emit({ bytes: [0x39, 0xc8], defines: ALL });
    }
  }

  /** Any register but the stack and base pointers. */
  private register(): number {
    return this.random.pick(this.bits === 64 ? [0, 1, 2, 3, 6, 7, 8, 9, 10, 14] : [0, 1, 2, 3, 6, 7]);
  }

  /** [prefixes] REX opcode ModRM with a register or memory operand. */
  private operand(opcode: number[], reg: number, size: number, onlyMemory = false): number[] {
    const { random } = this;
    let rex = size === 64 ? 8 : 0;
    const tail: number[] = [];
    if (reg > 7) rex |= 4;
    if (!onlyMemory && random.chance(0.65)) {
      let rm = this.register();
      if (size === 8 && rm > 3 && rm < 8) rm &= 3;
      if (rm > 7) rex |= 1;
      tail.push(0xc0 | ((reg & 7) << 3) | (rm & 7));
    } else tail.push(0x45 | ((reg & 7) << 3), random.below(DATA_WINDOW - 8));
    const prefix = size === 16 ? [0x66] : [];
    if (this.bits === 64 && (rex || (size === 8 && reg > 3))) return [...prefix, 0x40 | rex, ...opcode, ...tail];
    return [...prefix, ...opcode, ...tail];
  }

  private size(): number {
    return this.random.pick(this.bits === 64 ? [8, 16, 32, 32, 64, 64] : [8, 16, 32, 32, 32]);
  }

  private wideSize(): number {
    return this.random.pick(this.bits === 64 ? [16, 32, 32, 64, 64] : [16, 32, 32]);
  }

  private immediate(size: number): number[] {
    return [...toBytes(this.random.integer(size), Math.min(size, 32) / 8)];
  }

  private regFor(size: number): number {
    const reg = this.register();
    return size === 8 && this.bits === 32 ? reg & 3 : reg;
  }

  private instruction(): void {
    const { random } = this;
    const size = this.size();
    const wide = this.wideSize();
    const w = size === 8 ? 0 : 1;
    switch (random.below(22)) {
      case 0:
      case 1:
      case 2: {
        const op = random.below(8);
        if ((op === 2 || op === 3) && !this.readable(CF)) return;
        const logic = op === 1 || op === 4 || op === 6;
        const opcode = op * 8 + w + random.pick([0, 2]);
        return this.emit({
          bytes: this.operand([opcode], this.regFor(size), size),
          defines: ALL,
          undefines: logic ? AF : 0,
        });
      }
      case 3: {
        const op = random.below(8);
        if ((op === 2 || op === 3) && !this.readable(CF)) return;
        const bytes = this.operand([0x80 + w], op, size);
        return this.emit({
          bytes: [...bytes, ...this.immediate(size)],
          defines: ALL,
          undefines: op === 1 || op === 4 || op === 6 ? AF : 0,
        });
      }
      case 4:
        return this.emit({ bytes: this.operand([0xfe + w], random.below(2), size), defines: ALL & ~CF });
      case 5:
        if (random.chance(0.5)) return this.emit({ bytes: this.operand([0xf6 + w], 2, size) });
        return this.emit({ bytes: this.operand([0xf6 + w], 3, size), defines: ALL });
      case 6:
        return this.emit({ bytes: this.operand([0x88 + w + random.pick([0, 2])], this.regFor(size), size) });
      case 7: {
        const source = random.pick([0xb6, 0xb7, 0xbe, 0xbf]);
        const target = wide === 16 && (source & 1) === 1 ? 32 : wide;
        return this.emit({ bytes: this.operand([0x0f, source], this.register(), target, (source & 1) === 0) });
      }
      case 8: {
        const count = 1 + random.below(size === 8 ? 7 : 15);
        const op = random.pick([0, 1, 4, 5, 7]);
        const flags = op < 2 ? { defines: CF, undefines: OF } : { defines: ALL, undefines: AF | OF };
        const bytes = this.operand([0xc0 + w], op, size);
        return this.emit({ bytes: [...bytes, count], ...flags });
      }
      case 9: {
        const op = random.pick([0, 1, 2, 3, 4, 5, 7]);
        if ((op === 2 || op === 3) && !this.readable(CF)) return;
        const flags = op < 4 ? { defines: CF | OF } : { defines: ALL, undefines: AF };
        return this.emit({ bytes: this.operand([0xd0 + w], op, size), ...flags });
      }
      case 10:
        return this.emit({
          bytes: this.operand([0x0f, 0xaf], this.register(), wide),
          defines: CF | OF,
          undefines: SF | ZF | AF | PF,
        });
      case 11:
        return this.emit({
          bytes: this.operand([0xf6 + w], 4 + random.below(2), size),
          defines: CF | OF,
          undefines: SF | ZF | AF | PF,
        });
      case 12: {
        const condition = this.readableCondition();
        return this.emit({ bytes: this.operand([0x0f, 0x40 + condition], this.register(), wide) });
      }
      case 13: {
        const condition = this.readableCondition();
        return this.emit({ bytes: this.operand([0x0f, 0x90 + condition], 0, 8) });
      }
      case 14:
      case 15:
        return this.branch();
      case 16:
      case 17:
        return this.stack();
      case 18:
        return this.indexed(wide);
      case 19:
        return this.emit(
          random.pick<Step>([{ bytes: [0xf8], defines: CF }, { bytes: [0xf9], defines: CF }, { bytes: [0x90] }]),
        );
      case 20:
        if (random.chance(0.5)) return this.emit({ bytes: this.operand([0x86 + w], this.regFor(size), size) });
        return this.emit({ bytes: this.operand([0x0f, 0xc0 + w], this.regFor(size), size), defines: ALL });
      default: {
        if (this.readable(ALL) && random.chance(0.5)) return this.emit({ bytes: [0x9f] });
        const op = random.below(4);
        const bytes = this.operand([0x0f, 0xba], 4 + op, wide);
        return this.emit({ bytes: [...bytes, random.below(256)], defines: CF, undefines: OF | SF | AF | PF });
      }
    }
  }

  /** Jcc or JMP over a few instructions. Flags that either way leaves undefined are undefined at the label. */
  private branch(): void {
    if (this.nesting > 1) return;
    const condition = this.random.chance(0.1) ? undefined : this.readableCondition();
    this.code.push(condition === undefined ? 0xeb : 0x70 + condition, 0);
    const at = this.code.length;
    const before = this.undefinedFlags;
    const depth = this.depth;
    this.nesting++;
    for (let i = 1 + this.random.below(4); i > 0; i--) this.instruction();
    while (this.depth > depth) this.pop();
    this.nesting--;
    this.code[at - 1] = this.code.length - at;
    this.undefinedFlags |= before;
  }

  private pop(): void {
    const reg = this.register();
    this.emit({ bytes: reg > 7 ? [0x41, 0x58 | (reg & 7)] : [0x58 | reg] });
    this.depth--;
  }

  private stack(): void {
    const { random } = this;
    if (this.nesting === 0 && this.depth > 0 && random.chance(0.5)) return this.pop();
    if (this.depth > 12) return;
    this.depth++;
    const reg = this.register();
    switch (random.below(4)) {
      case 0:
        return this.emit({ bytes: [0x6a, random.below(256)] });
      case 1:
        if (this.readable(ALL)) return this.emit({ bytes: [0x9c] });
        return this.emit({ bytes: [0x68, ...toBytes(random.integer(32), 4)] });
      default:
        return this.emit({ bytes: reg > 7 ? [0x41, 0x50 | (reg & 7)] : [0x50 | reg] });
    }
  }

  /** and reg, 15; op reg2, [rbp + reg * 2 + disp8], or LEA of the same. */
  private indexed(size: number): void {
    const { random } = this;
    const index = random.pick([0, 1, 2, 3, 6, 7]);
    this.emit({ bytes: [0x83, 0xe0 | index, 15], defines: ALL, undefines: AF });
    const reg = random.pick([0, 1, 2, 3, 6, 7]);
    const opcode = random.pick([0x8b, 0x89, 0x03, 0x29, 0x8d]);
    const prefix = size === 16 ? [0x66] : size === 64 ? [0x48] : [];
    const arithmetic = opcode === 0x03 || opcode === 0x29;
    this.emit({
      bytes: [...prefix, opcode, 0x44 | (reg << 3), 0x45 | (index << 3), random.below(16)],
      defines: arithmetic ? ALL : 0,
    });
  }
}

/** The programs of both modes. */
export function programDrafts(seed: string): { name: string; draft: Draft }[] {
  const programs: { name: string; draft: Draft }[] = [];
  for (const bits of [32, 64] as const) {
    for (let i = 0; i < PROGRAMS_PER_MODE; i++) {
      const random = new Random(`${seed}/program/${bits}/${i}`);
      const draft = new Draft(bits, random);
      draft.flags |= random.u32() & 0x8d5;
      draft.regs.forEach((_, k) => (draft.regs[k] = k & 8 && k > 10 ? draft.reg(k) : random.integer(bits)));
      draft.regs[4] = BigInt(STACK_TOP);
      draft.regs[5] = BigInt(REGION.data.base + 0x400);
      draft.window(REGION.data.base + 0x400, random.bytes(DATA_WINDOW));
      draft.zero.push([STACK_TOP - 0x100, 0x100]);
      draft.rip = REGION.code.base + 0xe00 + random.below(64) + (random.chance(0.2) ? 0x180 : 0);
      const built = new Builder(bits, random).build(5 + random.below(36));
      draft.code = built.code;
      draft.flagsMask &= ~built.undefinedFlags;
      programs.push({ name: `program/${bits}/${i}`, draft });
    }
  }
  return programs;
}
