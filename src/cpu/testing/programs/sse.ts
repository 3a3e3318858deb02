/** SSE to SSE4.2 in random programs: integer and floating-point, MXCSR (SDM vol. 2). */
import { FLAG } from '../oracle/draft.ts';
import { toBytes } from '../oracle/random.ts';
import type { Random } from '../oracle/random.ts';
import { encode, memoryText, PRIVATE } from './operands.ts';
import type { Memory, Registers } from './operands.ts';
import { ALL, sequence } from './program.ts';
import type { Op } from './program.ts';

/** Prefixes of the four columns of the opcode map. */
const COLUMN = { ps: [], pd: [0x66], ss: [0xf3], sd: [0xf2] } as const;

/** 66 0F xx with two vectors: packed integers. */
const PACKED = [
  0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x74, 0x75, 0x76, 0xd1, 0xd2,
  0xd3, 0xd4, 0xd5, 0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe8, 0xe9,
  0xea, 0xeb, 0xec, 0xed, 0xee, 0xef, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe,
];
/** 66 0F 38 xx: SSSE3 and SSE4. */
const PACKED_38 = [
  0x00, 0x01, 0x02, 0x04, 0x05, 0x08, 0x09, 0x0b, 0x10, 0x14, 0x1c, 0x1d, 0x1e, 0x28, 0x29, 0x2b, 0x37, 0x38, 0x39,
  0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x40,
];
/** Arithmetic in all four columns: SQRT ADD MUL SUB MIN DIV MAX. */
const FLOAT = [0x51, 0x58, 0x59, 0x5c, 0x5d, 0x5e, 0x5f];
/** Where `ldmxcsr` finds its value. */
const MXCSR_AT = PRIVATE.base + PRIVATE.size - 4;

/** MXCSR with all exceptions masked: any rounding, FTZ, DAZ. */
export function maskedMxcsr(random: Random): number {
  const special = random.chance(0.5) ? 0 : random.pick([0x8000, 0x40, 0x8040]);
  return 0x1f80 | (random.below(4) << 13) | special;
}

export function loadMxcsr(registers: Registers, value: number): Op {
  const { bits } = registers;
  const place: Memory = { kind: 'absolute', address: MXCSR_AT };
  const store = encode(bits, { opcode: [0xc7], reg: 0, rm: place, immediate: [...toBytes(BigInt(value), 4)] });
  const load = encode(bits, { opcode: [0x0f, 0xae], reg: 2, rm: place });
  return { kind: 'op', text: `ldmxcsr ${value.toString(16)}`, bytes: [...store, ...load] };
}

export class SseOps {
  private readonly registers: Registers;
  private readonly random: Random;

  constructor(registers: Registers) {
    this.registers = registers;
    this.random = registers.random;
  }

  private vector(): number {
    return this.random.below(this.registers.bits === 64 && this.random.chance(0.3) ? 16 : 8);
  }

  /** `bytes` of memory (16 and more aligned) or a vector. */
  private source(bytes: number): number | Memory {
    if (this.random.chance(0.65)) return this.vector();
    return bytes >= 16 ? this.registers.aligned(16) : this.registers.memory(bytes);
  }

  private form(
    text: string,
    prefix: readonly number[],
    opcode: readonly number[],
    reg: number,
    rm: number | Memory,
    more: { wide?: boolean; immediate?: readonly number[]; defines?: number } = {},
  ): Op {
    const { wide = false, immediate = [], defines = 0 } = more;
    const bytes = encode(this.registers.bits, { prefix, opcode: [0x0f, ...opcode], reg, rm, wide, immediate });
    const operand = typeof rm === 'number' ? `v${rm}` : memoryText(rm);
    return { kind: 'op', text: `${text} v${reg}, ${operand}`, bytes, defines };
  }

  private byte(): number[] {
    return [this.random.below(256)];
  }

  private column(): readonly [keyof typeof COLUMN, readonly number[], number] {
    const name = this.random.pick(['ps', 'pd', 'ss', 'sd'] as const);
    return [name, COLUMN[name], name === 'ss' ? 4 : name === 'sd' ? 8 : 16];
  }

  /** Arithmetic that unmasked exceptions can stop. */
  arithmetic(): Op {
    const [name, prefix, bytes] = this.column();
    const opcode = this.random.pick(FLOAT);
    return this.form(`float ${opcode.toString(16)}${name}`, prefix, [opcode], this.vector(), this.source(bytes));
  }

  next(): Op {
    const { random } = this;
    const v = this.vector();
    switch (random.below(16)) {
      case 0:
      case 1:
      case 2:
        return this.arithmetic();
      case 3:
      case 4: {
        const opcode = random.pick(PACKED);
        return this.form(`packed ${opcode.toString(16)}`, [0x66], [opcode], v, this.source(16));
      }
      case 5: {
        const opcode = random.pick(PACKED_38);
        return this.form(`packed 38 ${opcode.toString(16)}`, [0x66], [0x38, opcode], v, this.source(16));
      }
      case 6: {
        const [name, prefix, bytes] = this.column();
        return this.form(`cmp${name}`, prefix, [0xc2], v, this.source(bytes), { immediate: [random.below(8)] });
      }
      case 7: {
        const double = random.below(2);
        const opcode = random.pick([0x2e, 0x2f]);
        const source = this.source(double ? 8 : 4);
        return this.form(`compare ${opcode.toString(16)}`, double ? [0x66] : [], [opcode], v, source, { defines: ALL });
      }
      case 8:
        return this.convert(v);
      case 9:
        return this.move(v);
      case 10: {
        const prefix = random.pick([[0x66], [0xf3], [0xf2]]);
        return this.form('pshuf', prefix, [0x70], v, this.source(16), { immediate: this.byte() });
      }
      case 11: {
        const opcode = random.pick([0xc6, 0x14, 0x15, 0x54, 0x55, 0x56, 0x57]);
        const prefix = random.pick([[], [0x66]]);
        const immediate = opcode === 0xc6 ? this.byte() : [];
        return this.form(
          `${opcode === 0xc6 ? 'shuf' : 'logic'} ${opcode.toString(16)}`,
          prefix,
          [opcode],
          v,
          this.source(16),
          { immediate },
        );
      }
      case 12: {
        const [opcode, n] = random.pick([[0x71, 2], [0x71, 4], [0x71, 6], [0x72, 2], [0x72, 4], [0x72, 6], [0x73, 2], [0x73, 3], [0x73, 6], [0x73, 7]] as const); // prettier-ignore
        return this.form(`shift ${opcode.toString(16)}/${n}`, [0x66], [opcode], n, v, {
          immediate: [random.below(random.chance(0.8) ? 20 : 256)],
        });
      }
      case 13: {
        const opcode = random.pick([0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f]);
        const bytes = opcode === 0x0a ? 4 : opcode === 0x0b ? 8 : 16;
        return this.form(`round or blend ${opcode.toString(16)}`, [0x66], [0x3a, opcode], v, this.source(bytes), {
          immediate: this.byte(),
        });
      }
      case 14: {
        if (random.chance(0.5)) {
          const { CF, ZF, SF, OF, AF, PF } = FLAG;
          return this.form('ptest', [0x66], [0x38, 0x17], v, this.source(16), { defines: CF | ZF | SF | OF | AF | PF });
        }
        return loadMxcsr(this.registers, maskedMxcsr(random));
      }
      default: {
        const store = encode(this.registers.bits, { opcode: [0x0f, 0xae], reg: 3, rm: this.registers.memory(4) });
        if (random.chance(0.3)) return { kind: 'op', text: 'stmxcsr', bytes: store };
        return this.transfer(v);
      }
    }
  }

  private convert(v: number): Op {
    const { random, registers } = this;
    const long = registers.bits === 64;
    const scalar = random.pick([[0xf3], [0xf2]]);
    const bytes = scalar[0] === 0xf3 ? 4 : 8;
    switch (random.below(6)) {
      case 0:
        return this.form('cvt5b', random.pick([[], [0x66], [0xf3]]), [0x5b], v, this.source(16));
      case 1: {
        const prefix = random.pick([[0x66], [0xf3], [0xf2]]);
        return this.form('cvte6', prefix, [0xe6], v, this.source(prefix[0] === 0xf3 ? 8 : 16));
      }
      case 2: {
        const [name, prefix, width] = this.column();
        return this.form(`cvt5a${name}`, prefix, [0x5a], v, this.source(name === 'ps' ? 8 : width));
      }
      case 3: {
        const wide = long && random.chance(0.5);
        const rm = random.chance(0.6) ? registers.any() : registers.memory(wide ? 8 : 4);
        return this.form('cvtsi2', scalar, [0x2a], v, rm, { wide });
      }
      default: {
        const wide = long && random.chance(0.5);
        return this.form('cvt2si', scalar, [random.pick([0x2c, 0x2d])], registers.any(), this.source(bytes), { wide });
      }
    }
  }

  private move(v: number): Op {
    const { random, registers } = this;
    const [name, prefix, bytes] = this.column();
    switch (random.below(6)) {
      case 0:
        return this.form(
          `mov aligned`,
          random.pick([[], [0x66]]),
          [random.pick([0x28, 0x29])],
          v,
          registers.aligned(16),
        );
      case 1: {
        const whole = name === 'ps' || name === 'pd';
        return this.form(`mov${whole ? 'u' : ''}${name}`, prefix, [random.pick([0x10, 0x11])], v, random.chance(0.3) ? this.vector() : registers.memory(bytes)); // prettier-ignore
      }
      case 2:
        return this.form('movdqu', [0xf3], [random.pick([0x6f, 0x7f])], v, registers.memory(16));
      case 3: {
        // MOVLPS and MOVHPS with memory, MOVHLPS and MOVLHPS with registers.
        const [load, store] = random.pick([[0x12, 0x13], [0x16, 0x17]] as const); // prettier-ignore
        if (random.chance(0.5)) return this.form('movhl', [], [load], v, this.vector());
        return this.form('movl/h', random.pick([[], [0x66]]), [random.pick([load, store])], v, registers.memory(8));
      }
      case 4:
        return this.form('movq', random.pick([[0xf3]]), [0x7e], v, this.source(8));
      default:
        return this.form('movdup', random.pick([[0xf3], [0xf2]]), [0x12], v, this.vector());
    }
  }

  /** Between vectors and general registers. */
  private transfer(v: number): Op {
    const { random, registers } = this;
    const r = registers.any();
    const wide = registers.bits === 64 && random.chance(0.5);
    switch (random.below(6)) {
      case 0:
        return this.form('movd to v', [0x66], [0x6e], v, r, { wide });
      case 1:
        return this.form('movd from v', [0x66], [0x7e], v, r, { wide });
      case 2:
        return this.form('pinsrw', [0x66], [0xc4], v, r, { immediate: this.byte() });
      case 3:
        return this.form('pextrw', [0x66], [0xc5], r, v, { immediate: this.byte() });
      case 4:
        return this.form('movmsk', random.pick([[], [0x66]]), [0x50], r, v);
      default:
        return this.form('pmovmskb', [0x66], [0xd7], r, v);
    }
  }

  /** A comparison and a mask that integer code sees. */
  compareAndMask(): Op {
    const v = this.vector();
    const compare = this.form('cmpps', [], [0xc2], v, this.source(16), { immediate: [this.random.below(8)] });
    return sequence(compare, this.form('movmskps', [], [0x50], this.registers.any(), v));
  }
}
