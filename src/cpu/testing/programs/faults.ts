/** Instructions that fault (SDM vol. 3 ch. 6) where user code meets it; the program goes on behind them. */
import { FLAG, REGION } from '../oracle/draft.ts';
import { toBytes } from '../oracle/random.ts';
import type { Random } from '../oracle/random.ts';
import { encode, hex, moveConstant, UNMAPPED } from './operands.ts';
import type { Registers } from './operands.ts';
import { ALL, sequence } from './program.ts';
import type { Fault, Op } from './program.ts';
import { loadMxcsr, maskedMxcsr } from './sse.ts';
import type { SseOps } from './sse.ts';

const { CF, AF, OF } = FLAG;

export class Faults {
  private readonly registers: Registers;
  private readonly random: Random;
  private readonly sse: SseOps;
  /** Bad places that were jumped to: each once, because it says where to go on. */
  private jumps = 0;

  constructor(registers: Registers, sse: SseOps) {
    this.registers = registers;
    this.random = registers.random;
    this.sse = sse;
  }

  private get long(): boolean {
    return this.registers.bits === 64;
  }

  private fault(op: Op, offset = 0, at: Fault['at'] = 'start', around: { before?: Op; after?: Op } = {}): Fault {
    return { kind: 'fault', op, offset, at, ...around };
  }

  private plain(text: string, bytes: number[], effects: Partial<Op> = {}): Op {
    return { kind: 'op', text, bytes, ...effects };
  }

  next(): Fault {
    switch (this.random.below(12)) {
      case 0:
      case 1:
        return this.division();
      case 2:
      case 3:
      case 4:
        return this.badMemory();
      case 5:
        return this.plainFault();
      case 6:
        return this.trap();
      case 7:
      case 8:
        return this.badJump();
      case 9:
        return this.string();
      case 10:
        return this.vectorMemory();
      default:
        return this.float();
    }
  }

  /** DIV or IDIV of what the registers hold, or by 0. */
  private division(): Fault {
    const { random, registers } = this;
    const size = random.pick(this.long ? [8, 16, 32, 64] : [8, 16, 32]);
    const rm = random.chance(0.6) ? (size === 8 ? random.below(4) : registers.any()) : registers.memory(size / 8);
    const divide: Op = {
      kind: 'op',
      text: `div or idiv ${size}`,
      bytes: encode(registers.bits, {
        prefix: size === 16 ? [0x66] : [],
        opcode: [size === 8 ? 0xf6 : 0xf7],
        reg: 6 + random.below(2),
        rm,
        wide: size === 64,
      }),
      undefines: ALL,
    };
    if (random.chance(0.6) || typeof rm !== 'number') return this.fault(divide);
    const zero = moveConstant(rm, random.below(3));
    return this.fault(sequence(zero, divide), zero.bytes.length);
  }

  /** Not mapped, not writable, or across the end of what is mapped. */
  private badAddress(bytes: number): number {
    return this.random.pick([
      UNMAPPED + this.random.below(0x3000),
      UNMAPPED - 1 - this.random.below(Math.max(bytes - 1, 1)),
      REGION.readonly.base + this.random.below(0xfe0),
      REGION.readonly.base - 1,
    ]);
  }

  private badMemory(): Fault {
    const { random, registers } = this;
    const size = random.pick(this.long ? [8, 16, 32, 64] : [8, 16, 32]);
    const pointer = registers.any();
    const w = size === 8 ? 0 : 1;
    const move = moveConstant(pointer, this.badAddress(size / 8));
    const rm = { kind: 'register', register: pointer } as const;
    const common = { prefix: size === 16 ? [0x66] : [], rm, wide: size === 64, byteReg: size === 8 };
    const n = random.below(8);
    const register = size === 8 ? random.below(4) : registers.any();
    const kept = registers.kept.has(register) ? 0 : register;
    const choices: (() => Op)[] = [
      () => this.plain('store', encode(registers.bits, { ...common, opcode: [0x88 + w], reg: kept })),
      () => this.plain('load', encode(registers.bits, { ...common, opcode: [0x8a + w], reg: kept })),
      () =>
        this.plain('alu to memory', encode(registers.bits, { ...common, opcode: [n * 8 + w], reg: kept }), {
          reads: CF,
          defines: ALL & ~AF,
          undefines: AF,
        }),
      () => this.plain('xchg', encode(registers.bits, { ...common, opcode: [0x86 + w], reg: kept })),
      () =>
        this.plain('inc', encode(registers.bits, { ...common, opcode: [0xfe + w], reg: 0, byteReg: false }), {
          defines: ALL & ~CF,
        }),
      () => this.plain('push [m]; lea sp', this.pushMemory(pointer)),
      () => this.plain('fld m64', encode(registers.bits, { opcode: [0xdd], reg: 0, rm })),
      () => this.plain('fstp m80', encode(registers.bits, { opcode: [0xdb], reg: 7, rm })),
      () =>
        this.plain('cmpxchg', encode(registers.bits, { ...common, opcode: [0x0f, 0xb0 + w], reg: kept }), {
          defines: ALL,
        }),
    ];
    const op = random.pick(choices)();
    return this.fault(sequence(move, op), move.bytes.length);
  }

  /** PUSH [register], and what it pushed goes if it does not fault. */
  private pushMemory(pointer: number): number[] {
    const push = encode(this.registers.bits, { opcode: [0xff], reg: 6, rm: { kind: 'register', register: pointer } });
    return [...push, ...(this.long ? [0x48] : []), 0x8d, 0x64, 0x24, this.registers.bits / 8];
  }

  /** #UD and #GP by what the instruction is. */
  private plainFault(): Fault {
    const choices: [string, number[]][] = [
      ['ud2', [0x0f, 0x0b]],
      ['cli', [0xfa]],
      ['sti', [0xfb]],
      ['in al, 80h', [0xe4, 0x80]],
      ['out dx, eax', [0xef]],
      ['lgdt', [0x0f, 0x01, 0x55, 0x00]],
      ['mov cr0', [0x0f, 0x20, 0xc0]],
      ['rdmsr', [0x0f, 0x32]],
      ['wbinvd', [0x0f, 0x09]],
      ['clts', [0x0f, 0x06]],
      ['invlpg', [0x0f, 0x01, 0x7d, 0x00]],
      ['lock mov', [0xf0, 0x89, 0xc8]],
      ['lock cmp [bp]', [0xf0, 0x39, 0x45, 0x00]],
      ['mov cs', [0x8e, 0xc8]],
      ['int 2eh', [0xcd, 0x2e]],
      ['int 8', [0xcd, 0x08]],
      ['lea r, r', [0x8d, 0xc0]],
    ];
    if (this.long) choices.push(['push es', [0x06]], ['daa', [0x27]], ['aam', [0xd4, 0x0a]], ['pusha', [0x60]]);
    else choices.push(['bound', [0x62, 0x45, 0x00]]);
    const [text, bytes] = this.random.pick(choices);
    return this.fault(this.plain(text, bytes));
  }

  private trap(): Fault {
    if (!this.long && this.random.chance(0.5)) return this.fault(this.plain('into', [0xce], { reads: OF }), 0, 'end');
    return this.fault(this.plain('int3', [0xcc]), 0, 'end');
  }

  /** To what is not mapped or not executable, or (64-bit) no address. */
  private badJump(): Fault {
    const { random, registers } = this;
    const r = registers.any();
    const rex = r > 7 ? [0x41] : [];
    const jump = this.plain('jmp r', [...rex, 0xff, 0xe0 | (r & 7)]);
    if (this.long && random.chance(0.3)) {
      const value = (random.bits(46) << 17n) | (1n << 63n) | 0x1234n;
      const move = this.plain(`mov r${r}, no address`, [
        0x48 | (r > 7 ? 1 : 0),
        0xb8 | (r & 7),
        ...toBytes(value & ~(1n << 62n), 8),
      ]);
      return this.fault(sequence(move, jump), move.bytes.length);
    }
    const base = random.chance(0.5) ? UNMAPPED + 0x100 : REGION.data.base + 0x2f80;
    const target = base + this.jumps++;
    return this.fault(sequence(moveConstant(r, target), jump), 0, target);
  }

  /** REP that runs into what is not mapped. */
  private string(): Fault {
    const { random, registers } = this;
    if ([1, 6, 7].some((r) => registers.kept.has(r))) return this.plainFault();
    const size = random.pick([1, 2, 4]);
    const count = 4 + random.below(30);
    const before = random.below(count) * size + random.below(2);
    const good = REGION.data.base + random.below(0x800);
    const bad = UNMAPPED - before;
    const [opcode, name] = random.pick([[0xa4, 'movs'], [0xaa, 'stos'], [0xac, 'lods']] as const); // prettier-ignore
    const source = opcode === 0xac || (opcode === 0xa4 && random.chance(0.5));
    const set = sequence(
      moveConstant(6, source ? bad : good),
      moveConstant(7, source ? good : bad),
      moveConstant(1, count),
    );
    const bytes = [0xf3, ...(size === 2 ? [0x66] : []), opcode + (size === 1 ? 0 : 1)];
    return this.fault(sequence(set, this.plain(`rep ${name}${size} to ${hex(UNMAPPED)}`, bytes)), set.bytes.length);
  }

  /** Vectors at addresses that are not aligned, or not all there. */
  private vectorMemory(): Fault {
    const { random, registers } = this;
    const pointer = registers.any();
    const aligned = random.chance(0.5);
    const address = aligned ? REGION.data.base + 0x104 + random.below(8) : this.badAddress(16);
    const move = moveConstant(pointer, address);
    const opcode = aligned ? random.pick([0x28, 0x29, 0x58]) : random.pick([0x10, 0x11]);
    const bytes = encode(registers.bits, {
      opcode: [0x0f, opcode],
      reg: random.below(8),
      rm: { kind: 'register', register: pointer },
    });
    return this.fault(sequence(move, this.plain(aligned ? 'movaps' : 'movups', bytes)), move.bytes.length);
  }

  /** Arithmetic with SIMD exceptions unmasked. */
  private float(): Fault {
    const masked = maskedMxcsr(this.random);
    const unmask = this.random.pick([0x80, 0x200, 0x400, 0x1000, 0x1f80, 0x100]);
    const before = loadMxcsr(this.registers, masked & ~unmask);
    const after = loadMxcsr(this.registers, masked);
    return this.fault(this.sse.arithmetic(), 0, 'start', { before, after });
  }
}
