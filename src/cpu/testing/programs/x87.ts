/**
 * x87 and MMX in random programs (SDM vol. 2), all exceptions masked. The register stack may overflow and run empty.
 * What the vendors leave differently stays out (README.md of the oracle): C1 behind FCOMI and the like, FPREM.
 */
import { toBytes } from '../oracle/random.ts';
import type { Random } from '../oracle/random.ts';
import { encode, memoryText, PRIVATE } from './operands.ts';
import type { Memory, Registers } from './operands.ts';
import type { Op } from './program.ts';

const CONTROL_AT = PRIVATE.base + PRIVATE.size - 8;

export class X87Ops {
  private readonly registers: Registers;
  private readonly random: Random;

  constructor(registers: Registers) {
    this.registers = registers;
    this.random = registers.random;
  }

  private memory(text: string, opcode: number, reg: number, bytes: number): Op {
    const m = this.registers.memory(bytes);
    return {
      kind: 'op',
      text: `${text} ${memoryText(m)}`,
      bytes: encode(this.registers.bits, { opcode: [opcode], reg, rm: m }),
    };
  }

  next(): Op {
    const { random } = this;
    const i = random.below(random.chance(0.8) ? 3 : 8);
    const plain = (text: string, ...bytes: number[]): Op => ({ kind: 'op', text, bytes });
    switch (random.below(13)) {
      case 0:
        return plain('fld constant', 0xd9, 0xe8 + random.below(7));
      case 1:
      case 2: {
        const [opcode, reg, bytes] = random.pick([[0xd9, 0, 4], [0xdd, 0, 8], [0xdb, 5, 10], [0xdf, 0, 2], [0xdb, 0, 4], [0xdf, 5, 8]] as const); // prettier-ignore
        return this.memory('fld', opcode, reg, bytes);
      }
      case 3:
      case 4: {
        const [opcode, reg, bytes] = random.pick([[0xd9, 3, 4], [0xdd, 3, 8], [0xdb, 7, 10], [0xdf, 3, 2], [0xdb, 3, 4], [0xdf, 7, 8], [0xd9, 2, 4], [0xdd, 2, 8], [0xdb, 2, 4], [0xdb, 1, 4], [0xdd, 1, 8]] as const); // prettier-ignore
        return this.memory('fst', opcode, reg, bytes);
      }
      case 5:
      case 6: {
        const n = random.pick([0, 1, 4, 5, 6, 7]);
        if (random.chance(0.4)) return this.memory(`arithmetic ${n}`, random.pick([0xd8, 0xdc, 0xda, 0xde]), n, 8);
        return plain(`arithmetic ${n} st${i}`, random.pick([0xd8, 0xdc, 0xde]), 0xc0 | (n << 3) | i);
      }
      case 7:
        return plain(`fxch or fld st${i}`, 0xd9, random.pick([0xc8, 0xc0]) | i);
      case 8:
        return plain('fchs, fabs, fsqrt or frndint', 0xd9, random.pick([0xe0, 0xe1, 0xfa, 0xfc]));
      case 9: {
        const [a, b] = random.pick([[0xd8, 0xd0], [0xd8, 0xd8], [0xdd, 0xe0], [0xdd, 0xe8]] as const); // prettier-ignore
        return plain(`fcom st${i}; fnstsw ax`, a, b | i, 0xdf, 0xe0);
      }
      case 10: {
        const control = (0x37f & ~0xf00) | (random.pick([0, 2, 3, 3]) << 8) | (random.below(4) << 10);
        const place: Memory = { kind: 'absolute', address: CONTROL_AT };
        const { bits } = this.registers;
        const store = encode(bits, { opcode: [0xc7], reg: 0, rm: place, immediate: [...toBytes(BigInt(control), 4)] });
        return {
          kind: 'op',
          text: `fldcw ${control.toString(16)}`,
          bytes: [...store, ...encode(bits, { opcode: [0xd9], reg: 5, rm: place })],
        };
      }
      case 11: {
        const [a, b] = random.pick([[0xdb, 0xf0], [0xdb, 0xe8], [0xdf, 0xf0], [0xdf, 0xe8]] as const); // prettier-ignore
        // JB to JNBE and JP by SETcc, as compilers use these flags.
        const condition = random.pick([2, 3, 4, 5, 6, 7, 10, 11]);
        // FXCH ST(0) clears C1, which the vendors leave differently.
        return plain(`fcomi st${i}; set${condition} al; fxch st0`, a, b | i, 0x0f, 0x90 | condition, 0xc0, 0xd9, 0xc8);
      }
      default:
        if (random.chance(0.3)) return this.mmx();
        return plain('fstp st', 0xdd, 0xd8 | i);
    }
  }

  /** An operation on MMX registers, which are the x87 ones, and EMMS. */
  private mmx(): Op {
    const { random, registers } = this;
    const opcode = random.pick([0xfc, 0xfd, 0xfe, 0xd5, 0xe5, 0xf5, 0x60, 0x63, 0x6b, 0xef, 0xdb, 0xd8]);
    const m = registers.memory(8);
    const load = encode(registers.bits, { opcode: [0x0f, 0x6f], reg: random.below(8), rm: m });
    const operate = [0x0f, opcode, 0xc0 | random.below(64)];
    const end = random.chance(0.7) ? [0x0f, 0x77] : [];
    return {
      kind: 'op',
      text: `movq mm; packed ${opcode.toString(16)}${end.length ? '; emms' : ''}`,
      bytes: [...load, ...operate, ...end],
    };
  }
}
