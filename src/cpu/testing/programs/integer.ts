/** Integer instructions of random programs: arithmetic, flags, moves, strings (SDM vol. 2). */
import { FLAG } from '../oracle/draft.ts';
import { CONDITION_READS } from '../oracle/programs.ts';
import type { Random } from '../oracle/random.ts';
import { toBytes } from '../oracle/random.ts';
import { CONDITION_NAMES } from './lower.ts';
import { encode, HIGH_BYTE, hex, moveConstant, operandText, PLAYGROUND } from './operands.ts';
import type { Memory, Registers } from './operands.ts';
import { ALL, sequence } from './program.ts';
import type { Op } from './program.ts';

const { CF, PF, AF, ZF, SF, OF } = FLAG;
const ARITHMETIC = ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp'];
const SHIFTS = ['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'shl', 'sar'];

interface Effects {
  readonly reads?: number;
  readonly defines?: number;
  readonly undefines?: number;
}

/** Flags of the eight operations of opcodes 00 to 3F and 80 to 83. */
function arithmeticFlags(operation: number): Effects {
  const logic = operation === 1 || operation === 4 || operation === 6;
  return {
    reads: operation === 2 || operation === 3 ? CF : 0,
    defines: logic ? ALL & ~AF : ALL,
    undefines: logic ? AF : 0,
  };
}

const multiply: Effects = { defines: CF | OF, undefines: SF | ZF | AF | PF };

/** Makes single integer operations with operands at random. */
export class IntegerOps {
  private readonly registers: Registers;
  private readonly random: Random;

  constructor(registers: Registers) {
    this.registers = registers;
    this.random = registers.random;
  }

  private get bits() {
    return this.registers.bits;
  }

  private get long(): boolean {
    return this.bits === 64;
  }

  private size(): number {
    return this.random.pick(this.long ? [8, 16, 32, 32, 64, 64] : [8, 16, 32, 32, 32]);
  }

  private wideSize(): number {
    return this.random.pick(this.long ? [16, 32, 32, 64, 64] : [16, 32, 32]);
  }

  private immediate(size: number): number[] {
    return [...toBytes(this.random.integer(size), Math.min(size, 32) / 8)];
  }

  private free(register: number): boolean {
    return !this.registers.kept.has(register);
  }

  /** Register or memory of a size. */
  private target(size: number, rex = false): number | Memory {
    return this.random.chance(0.6) ? this.registers.of(size, rex) : this.registers.memory(size / 8);
  }

  private form(
    text: string,
    opcode: readonly number[],
    reg: number,
    rm: number | Memory,
    size: number,
    effects: Effects,
    immediate: readonly number[] = [],
    extension = false,
  ): Op {
    const bytes = encode(this.bits, {
      prefix: size === 16 ? [0x66] : [],
      opcode,
      reg,
      rm,
      wide: size === 64,
      byteReg: size === 8 && !extension,
      byteRm: size === 8,
      immediate,
    });
    const operand = extension ? '' : `${operandText(reg)}, `;
    const last = immediate.length ? `, ${immediate.map((b) => b.toString(16)).join(' ')}` : '';
    return { kind: 'op', text: `${text}${size} ${operand}${operandText(rm)}${last}`, bytes, ...effects };
  }

  /** Two operands; AH to BH only where no REX prefix is needed. */
  private pair(text: string, opcode: readonly number[], size: number, effects: Effects): Op {
    const rm = this.target(size, false);
    let reg = this.registers.of(size, false);
    const needsRex = (r: number | Memory): boolean => typeof r === 'number' && r > 3 && r < HIGH_BYTE;
    if (size === 8 && (needsRex(rm) || (typeof rm === 'number' && rm >= HIGH_BYTE && needsRex(reg)))) {
      if (reg >= HIGH_BYTE) reg -= HIGH_BYTE;
      if (typeof rm === 'number' && rm >= HIGH_BYTE) return this.form(text, opcode, 0, rm, size, effects);
    }
    return this.form(text, opcode, reg, rm, size, effects);
  }

  condition(): number {
    return this.random.below(16);
  }

  next(): Op {
    const { random } = this;
    const size = this.size();
    const wide = this.wideSize();
    const w = size === 8 ? 0 : 1;
    switch (random.below(34)) {
      case 0:
      case 1:
      case 2: {
        const n = random.below(8);
        if (random.chance(0.08)) return this.locked(n, w, size);
        return this.pair(ARITHMETIC[n] ?? '', [n * 8 + w + random.pick([0, 2])], size, arithmeticFlags(n));
      }
      case 3:
      case 4: {
        const n = random.below(8);
        const effects = arithmeticFlags(n);
        const text = ARITHMETIC[n] ?? '';
        if (w && random.chance(0.5)) {
          return this.form(text, [0x83], n, this.target(size), size, effects, [random.below(256)], true);
        }
        return this.form(text, [0x80 + w], n, this.target(size), size, effects, this.immediate(size), true);
      }
      case 5: {
        const n = random.below(2);
        return this.form(n ? 'dec' : 'inc', [0xfe + w], n, this.target(size), size, { defines: ALL & ~CF }, [], true);
      }
      case 6:
        if (random.chance(0.5)) return this.form('not', [0xf6 + w], 2, this.target(size), size, {}, [], true);
        return this.form('neg', [0xf6 + w], 3, this.target(size), size, { defines: ALL }, [], true);
      case 7:
        return this.pair('mov', [0x88 + w + random.pick([0, 2])], size, {});
      case 8: {
        const source = random.pick([0xb6, 0xb7, 0xbe, 0xbf]);
        const from = source & 1 ? 16 : 8;
        const rm = random.chance(0.5)
          ? this.registers.memory(from / 8)
          : from === 8
            ? random.below(4)
            : this.registers.any();
        return this.form(source < 0xb8 ? 'movzx' : 'movsx', [0x0f, source], this.registers.any(), rm, wide, {});
      }
      case 9:
      case 10:
        return this.shift(size, w);
      case 11: {
        if (random.chance(0.5)) {
          return this.form('imul', [0x0f, 0xaf], this.registers.any(), this.target(wide), wide, multiply);
        }
        return this.form('imul', [0x69], this.registers.any(), this.target(wide), wide, multiply, this.immediate(wide));
      }
      case 12: {
        const n = 4 + random.below(2);
        return this.form(n === 4 ? 'mul' : 'imul', [0xf6 + w], n, this.target(size), size, multiply, [], true);
      }
      case 13:
      case 14: {
        const c = this.condition();
        const reads = CONDITION_READS[c] ?? 0;
        return this.form(`cmov${CONDITION_NAMES[c]}`, [0x0f, 0x40 + c], this.registers.any(), this.target(wide), wide, {
          reads,
        });
      }
      case 15:
      case 16: {
        const c = this.condition();
        const reads = CONDITION_READS[c] ?? 0;
        return this.form(`set${CONDITION_NAMES[c]}`, [0x0f, 0x90 + c], 0, this.target(8), 8, { reads }, [], true);
      }
      case 17:
        return this.indexed(wide);
      case 18:
        return random.pick<Op>([
          { kind: 'op', text: 'clc', bytes: [0xf8], defines: CF },
          { kind: 'op', text: 'stc', bytes: [0xf9], defines: CF },
          { kind: 'op', text: 'cmc', bytes: [0xf5], reads: CF, defines: CF },
          { kind: 'op', text: 'nop', bytes: [0x90] },
          { kind: 'op', text: 'lahf', bytes: [0x9f], reads: ALL & ~OF },
          { kind: 'op', text: 'sahf', bytes: [0x9e], defines: ALL & ~OF },
        ]);
      case 19: {
        if (random.chance(0.4)) return this.pair('xchg', [0x86 + w], size, {});
        if (random.chance(0.5)) return this.pair('xadd', [0x0f, 0xc0 + w], size, { defines: ALL });
        return this.pair('cmpxchg', [0x0f, 0xb0 + w], size, { defines: ALL });
      }
      case 20: {
        const n = random.below(4);
        const name = ['bt', 'bts', 'btr', 'btc'][n] ?? '';
        const effects = { defines: CF, undefines: OF | SF | AF | PF };
        if (random.chance(0.3)) {
          // A bit of memory by a register: up to two bytes from the operand.
          const r = this.registers.any();
          const and = this.form('and', [0x83], 4, r, this.bits, arithmeticFlags(4), [127], true);
          const m: Memory = { kind: 'base', displacement: random.below(32) };
          return sequence(and, this.form(name, [0x0f, 0xa3 + 8 * n], r, m, wide, effects));
        }
        if (random.chance(0.5)) {
          return this.form(name, [0x0f, 0xa3 + 8 * n], this.registers.any(), this.registers.any(), wide, effects);
        }
        return this.form(name, [0x0f, 0xba], 4 + n, this.target(wide), wide, effects, [random.below(256)], true);
      }
      case 21:
        return this.bitScan(wide);
      case 22:
        return this.doubleShift();
      case 23:
        return this.carryChain();
      case 24:
        return this.flagsByStack();
      case 25:
      case 26:
        return this.string();
      case 27:
        return this.misc();
      case 28: {
        const c = this.condition();
        const jump: Op = {
          kind: 'op',
          text: `j${CONDITION_NAMES[c]} +0`,
          bytes: [0x70 + c, 0],
          reads: CONDITION_READS[c] ?? 0,
        };
        return sequence(this.pair('cmp', [0x38 + w + random.pick([0, 2])], size, { defines: ALL }), jump);
      }
      case 29:
        if (this.long && random.chance(0.5)) {
          const value = toBytes(random.integer(64), 8);
          const r = this.registers.any();
          return { kind: 'op', text: `mov r${r}, imm64`, bytes: [0x48 | (r > 7 ? 1 : 0), 0xb8 | (r & 7), ...value] };
        }
        return moveConstant(this.registers.any(), Number(random.integer(32)));
      case 30:
        return this.pair('test', [0x84 + w], size, arithmeticFlags(4));
      case 31:
        return this.stackOperands();
      default:
        return this.form('mov', [0xc6 + w], 0, this.target(size), size, {}, this.immediate(size), true);
    }
  }

  /** LOCK with memory; CMP has no such form. */
  private locked(n: number, w: number, size: number): Op {
    const operation = n === 7 ? 5 : n;
    const m = this.registers.memory(size / 8);
    const reg = this.registers.of(size, true);
    const op = this.form(
      `lock ${ARITHMETIC[operation]}`,
      [operation * 8 + w],
      reg,
      m,
      size,
      arithmeticFlags(operation),
    );
    return { ...op, bytes: [0xf0, ...op.bytes] };
  }

  private shift(size: number, w: number): Op {
    const { random } = this;
    const n = random.pick([0, 1, 2, 3, 4, 5, 7]);
    const name = SHIFTS[n] ?? '';
    const reads = n === 2 || n === 3 ? CF : 0;
    const rm = this.target(size);
    switch (random.below(3)) {
      case 0:
        return this.form(
          `${name} 1,`,
          [0xd0 + w],
          n,
          rm,
          size,
          n < 4 ? { reads, defines: CF | OF } : { defines: ALL, undefines: AF },
          [],
          true,
        );
      case 1: {
        const count = 2 + random.below(size === 8 ? 6 : 14);
        const effects = n < 4 ? { reads, defines: CF, undefines: OF } : { defines: ALL, undefines: AF | OF };
        return this.form(name, [0xc0 + w], n, rm, size, effects, [count], true);
      }
      default:
        // A count of 0 leaves all flags as they are; beyond the operand's size CF of shifts is undefined.
        return this.form(
          `${name} cl,`,
          [0xd2 + w],
          n,
          rm,
          size,
          { reads, undefines: n < 4 ? OF : AF | OF | CF },
          [],
          true,
        );
    }
  }

  private doubleShift(): Op {
    const size = this.random.pick(this.long ? [32, 64] : [32]);
    const right = this.random.below(2);
    const opcode = 0xa4 + 8 * right;
    const effects = { defines: ALL, undefines: AF | OF };
    const count = [1 + this.random.below(31)];
    return this.form(
      right ? 'shrd' : 'shld',
      [0x0f, opcode],
      this.registers.any(),
      this.target(size),
      size,
      effects,
      count,
    );
  }

  private bitScan(size: number): Op {
    const target = this.registers.any();
    const effects = { defines: ZF, undefines: CF | PF | AF | SF | OF };
    if (this.random.chance(0.4)) {
      const op = this.form('popcnt', [0x0f, 0xb8], target, this.target(size), size, { defines: ALL });
      return { ...op, bytes: [0xf3, ...op.bytes] };
    }
    // Of zero the destination is undefined: a bit is set before.
    const source = this.registers.any();
    const or = this.form('or', [0x83], 1, source, size, arithmeticFlags(1), [1 + this.random.below(127)], true);
    const scan = this.random.below(2);
    return sequence(or, this.form(scan ? 'bsr' : 'bsf', [0x0f, 0xbc + scan], target, source, size, effects));
  }

  /** A sum or difference over several words. */
  private carryChain(): Op {
    const size = this.wideSize();
    const minus = this.random.below(2);
    const first = this.pair(minus ? 'sub' : 'add', [minus ? 0x29 : 0x01], size, { defines: ALL });
    const more = Array.from({ length: 1 + this.random.below(3) }, () =>
      this.pair(minus ? 'sbb' : 'adc', [minus ? 0x19 : 0x11], size, { reads: CF, defines: ALL }),
    );
    return sequence(first, ...more);
  }

  /** PUSHF and POP, or PUSH of flags and POPF. */
  private flagsByStack(): Op {
    const { random } = this;
    const r = this.registers.any();
    if (random.chance(0.5)) {
      const pop = r > 7 ? [0x41, 0x58 | (r & 7)] : [0x58 | r];
      return { kind: 'op', text: `pushf; pop r${r}`, bytes: [0x9c, ...pop], reads: ALL };
    }
    const flags = 0x202 | (random.u32() & ALL);
    return {
      kind: 'op',
      text: `push ${hex(flags)}; popf`,
      bytes: [0x68, ...toBytes(BigInt(flags), 4), 0x9d],
      defines: ALL,
    };
  }

  /** PUSH and POP of memory, ENTER and LEAVE. */
  private stackOperands(): Op {
    const { random, registers } = this;
    const word = this.bits / 8;
    const push = encode(this.bits, { opcode: [0xff], reg: 6, rm: registers.memory(word) });
    const pop = encode(this.bits, { opcode: [0x8f], reg: 0, rm: registers.memory(word) });
    if (random.chance(0.7)) return { kind: 'op', text: 'push [m]; pop [m]', bytes: [...push, ...pop] };
    return {
      kind: 'op',
      text: 'enter; leave',
      bytes: [0xc8, ...toBytes(BigInt(random.below(40)), 2), random.below(3), 0xc9],
    };
  }

  /** AND of a register, and an operation with [base + register * scale + displacement], or LEA of the same. */
  private indexed(size: number): Op {
    const { random, registers } = this;
    const index = registers.any();
    const and = this.form('and', [0x83], 4, index, this.bits, arithmeticFlags(4), [7], true);
    const opcode = random.pick([0x8b, 0x89, 0x03, 0x29, 0x8d, 0x3b]);
    const rm: Memory = { kind: 'index', index, scale: random.below(4), displacement: random.below(8) };
    const arithmetic = opcode === 0x03 || opcode === 0x29 || opcode === 0x3b;
    const name = { 0x8b: 'mov', 0x89: 'mov to', 0x03: 'add', 0x29: 'sub to', 0x8d: 'lea', 0x3b: 'cmp' }[opcode] ?? '';
    return sequence(and, this.form(name, [opcode], registers.any(), rm, size, arithmetic ? { defines: ALL } : {}));
  }

  private misc(): Op {
    const { random, registers } = this;
    const r = registers.any();
    const plain = (text: string, bytes: number[], effects: Effects = {}): Op => ({
      kind: 'op',
      text,
      bytes,
      ...effects,
    });
    const rex = this.long ? random.pick([[], [0x48]]) : [];
    const choices: (() => Op)[] = [
      () => plain(`bswap r${r}`, [...(this.long ? [0x48 | (r > 7 ? 1 : 0)] : []), 0x0f, 0xc8 | (r & 7)]),
      () => plain('cwde or cdqe', [...rex, 0x98]),
      () => plain('cdq or cqo', [...rex, 0x99]),
      () => plain('cbw', [0x66, 0x98]),
      () => plain('xchg ax', [...(this.long ? [0x48 | (r > 7 ? 1 : 0)] : []), 0x90 | (r & 7)]),
      () => this.form('cmpxchg8b', [0x0f, 0xc7], 1, registers.memory(8), 32, { defines: ZF }, [], true),
      () =>
        this.form(
          'lea',
          [0x8d],
          registers.any(),
          { kind: 'base', displacement: random.below(256) },
          this.wideSize(),
          {},
        ),
    ];
    const address = [...toBytes(BigInt(PLAYGROUND.base + random.below(PLAYGROUND.size - 8)), this.bits / 8)];
    choices.push(
      () => plain('mov accumulator, moffs', [...rex, 0xa0 + random.below(4), ...address]),
      () => plain('jrcxz over; inc eax', [0xe3, 2, 0xff, 0xc0], { reads: CF }),
      () =>
        plain(`crc32 r${r & 7}, [m]`, [
          0xf2,
          ...encode(this.bits, { opcode: [0x0f, 0x38, 0xf1], reg: r, rm: registers.memory(4) }),
        ]),
    );
    if (this.long)
      choices.push(() =>
        this.form('cmpxchg16b', [0x0f, 0xc7], 1, registers.aligned(16), 64, { defines: ZF }, [], true),
      );
    if (this.long) choices.push(() => this.form('movsxd', [0x63], r, this.target(32), 64, {}));
    else {
      choices.push(
        () => plain('daa or das', [random.pick([0x27, 0x2f])], { reads: CF | AF, defines: ALL, undefines: OF }),
        () =>
          plain('aaa or aas', [random.pick([0x37, 0x3f])], {
            reads: AF,
            defines: CF | AF,
            undefines: OF | SF | ZF | PF,
          }),
        () => plain('aam', [0xd4, 1 + random.below(255)], { defines: SF | ZF | PF, undefines: OF | AF | CF }),
        () => plain('aad', [0xd5, random.below(256)], { defines: SF | ZF | PF, undefines: OF | AF | CF }),
        () => plain(`inc or dec r${r}`, [0x40 | r | random.pick([0, 8])], { defines: ALL & ~CF }),
        () => plain('pusha; popa', [0x60, 0x61]),
      );
    }
    return random.pick(choices)();
  }

  /** A string instruction with its registers set, within the playground. */
  string(): Op {
    const { random } = this;
    if (![1, 6, 7].every((r) => this.free(r))) return { kind: 'op', text: 'nop', bytes: [0x90] };
    const size = random.pick(this.long ? [1, 2, 4, 8] : [1, 2, 4]);
    const down = random.chance(0.3);
    const count = random.pick([0, 1, 2, 3, 5, 8, 17, 33]);
    const repeat = random.pick([0, 0xf3, 0xf3, 0xf2]);
    const opcode = random.pick([0xa4, 0xa4, 0xaa, 0xaa, 0xac, 0xae, 0xa6]);
    const compares = opcode === 0xae || opcode === 0xa6;
    const span = size * Math.max(count, 1);
    const address = (): number => {
      const edge = PLAYGROUND.base + 0x1000 - random.below(span + 1);
      const first = random.chance(0.4) ? edge : PLAYGROUND.base + random.below(PLAYGROUND.size - 0x200);
      return first + (down ? span : 0);
    };
    const prefix = [...(size === 2 ? [0x66] : []), ...(repeat && !(repeat === 0xf2 && !compares) ? [repeat] : [])];
    const bytes = [...prefix, ...(size === 8 ? [0x48] : []), opcode + (size === 1 ? 0 : 1)];
    const name = { 0xa4: 'movs', 0xaa: 'stos', 0xac: 'lods', 0xae: 'scas', 0xa6: 'cmps' }[opcode] ?? '';
    const runs = prefix.length === (size === 2 ? 1 : 0) || count > 0;
    const source = address();
    const overlap = random.chance(0.3) ? source + random.below(17) - 8 : address();
    const target = Math.max(overlap, PLAYGROUND.base + (down ? span : 0));
    return sequence(
      moveConstant(6, source),
      moveConstant(7, target),
      moveConstant(1, count),
      ...(down ? [{ kind: 'op', text: 'std', bytes: [0xfd] } as const] : []),
      { kind: 'op', text: `${prefix.length ? 'rep ' : ''}${name}${size}`, bytes, defines: compares && runs ? ALL : 0 },
      ...(down ? [{ kind: 'op', text: 'cld', bytes: [0xfc] } as const] : []),
    );
  }
}
