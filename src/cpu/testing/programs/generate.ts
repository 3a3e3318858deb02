/** Random programs of a seed: the same name gives the same program. */
import type { Bits } from '../oracle/draft.ts';
import { Draft, REGION } from '../oracle/draft.ts';
import { operandBytes, Random, toBytes } from '../oracle/random.ts';
import { Faults } from './faults.ts';
import { IntegerOps } from './integer.ts';
import { encode, hex, moveConstant, PLAYGROUND, PRIVATE, Registers, STACK_TOP, WINDOW, WRITTEN } from './operands.ts';
import type { Memory } from './operands.ts';
import { ALL, sequence } from './program.ts';
import type { Subroutine, Label, Loop, Node, Op, Program } from './program.ts';
import { maskedMxcsr, SseOps } from './sse.ts';
import { X87Ops } from './x87.ts';

/** Most instructions of a run, about. */
const MOST_STEPS = 2500;
const MOST_FUNCTIONS = 4;
/** Data in the page of code that starts behind it. */
const BESIDE_CODE = REGION.code.base + 0x800;

/** What stands around the code that is generated. */
interface Context {
  /** How often it runs, at most. */
  readonly times: number;
  /** Scopes that may be left from here: loops and the function, up to the nearest bracket. */
  readonly scopes: number;
  readonly depth: number;
  /** Subroutine whose code it is; calls go to higher numbers only. */
  readonly inside: number;
  /** Its bytes are copied elsewhere: no faults, no calls, no writes to code. */
  readonly movable: boolean;
}

/** How much of what a program has. */
interface Flavour {
  readonly sse: number;
  readonly x87: number;
  readonly faults: number;
  readonly control: number;
  readonly writes: number;
}

class Generator {
  private readonly name: string;
  private readonly bits: Bits;
  private readonly random: Random;
  private readonly registers: Registers;
  private readonly integer: IntegerOps;
  private readonly sse: SseOps;
  private readonly x87: X87Ops;
  private readonly faults: Faults;
  private readonly flavour: Flavour;
  private readonly functions: Subroutine[] = [];
  private readonly costs: number[] = [];
  private readonly movable: boolean[] = [];
  private readonly origin: number;
  private counters = 0;
  private labels = 0;
  /** Places that code may write: immediates, opcodes, conditions. */
  private readonly written: { label: Label; kind: 'immediate' | 'opcode' | 'condition' }[] = [];
  private steps = 0;

  constructor(name: string, bits: Bits) {
    this.name = name;
    this.bits = bits;
    const random = new Random(name);
    this.random = random;
    this.registers = new Registers(bits, random);
    this.integer = new IntegerOps(this.registers);
    this.sse = new SseOps(this.registers);
    this.x87 = new X87Ops(this.registers);
    this.faults = new Faults(this.registers, this.sse);
    this.origin = REGION.code.base + random.pick([0, 0xc00, 0xe00, 0xf00, 0xf80]) + random.below(64);
    this.flavour = {
      sse: random.pick([0, 0, 0.15, 0.5]),
      x87: random.pick([0, 0, 0, 0.1, 0.5]),
      faults: random.pick([0, 0, 0.04, 0.1]),
      control: random.pick([0.15, 0.25, 0.35]),
      writes: random.pick([0, 0, 0.05, 0.15]),
    };
  }

  generate(): Program {
    const { random } = this;
    const count = random.below(MOST_FUNCTIONS + 1);
    for (let n = count - 1; n >= 0; n--) this.function(n);
    this.steps = 0;
    const context = { times: 1, scopes: 0, depth: 0, inside: -1, movable: false };
    const body = this.body(6 + random.below(26), context);
    return {
      name: this.name,
      bits: this.bits,
      body,
      functions: this.functions,
      origin: this.origin,
      start: this.start(),
    };
  }

  private start(): Draft {
    const { bits, random } = this;
    const draft = new Draft(bits, random);
    draft.flags |= random.u32() & ALL;
    draft.regs.forEach((_, k) => (draft.regs[k] = random.integer(bits)));
    draft.regs[4] = BigInt(STACK_TOP);
    const base = random.chance(0.5) ? PLAYGROUND.base + 0x1000 - random.below(WINDOW) : PLAYGROUND.base + 0x400;
    draft.regs[5] = BigInt(base);
    const windowClass = random.pick(['i32', 'f32', 'f64', 'f80'] as const);
    draft.window(base, operandBytes(random, windowClass, WINDOW));
    draft.window(PLAYGROUND.base + 0xfc0, operandBytes(random, random.pick(['i64', 'f64'] as const), 128));
    if (this.flavour.sse > 0) {
      draft.mxcsr = random.chance(0.3) ? maskedMxcsr(random) : 0x1f80;
      for (let n = 0; n < (bits === 64 ? 16 : 8); n++) {
        draft.xmm.set(n, operandBytes(random, random.pick(['f32', 'f64', 'i32', 'i8'] as const), 16));
      }
    }
    return draft;
  }

  private function(number: number): void {
    const { random } = this;
    const movable = random.chance(0.3);
    const recursion =
      !movable && random.chance(0.25)
        ? { counter: this.counter(), depth: 1 + random.below(random.pick([6, 6, 6, 6, 30, 200])) }
        : undefined;
    const times = recursion ? recursion.depth + 1 : 1;
    this.steps = 0;
    const before = this.steps;
    const body = this.body(2 + random.below(8), { times, scopes: 1, depth: 1, inside: number, movable });
    this.costs[number] = this.steps - before + 8 * times;
    this.movable[number] = movable;
    this.functions.unshift({
      number,
      body,
      form: random.pick(['return', 'return', 'return', 'pop', 'jump', 'release']),
      skip: movable || random.chance(0.7) ? 0 : 1 + random.below(5),
      ...(recursion ? { recursion } : {}),
      gap: random.chance(0.25) ? 1 + random.below(0x180) : 0,
    });
  }

  /** Of its own: beside the code, in its page, or among data. */
  private counter(): number {
    const besideCode = this.origin >= BESIDE_CODE + 0x400 && this.random.chance(0.15);
    return (besideCode ? BESIDE_CODE : PRIVATE.base) + 8 * this.counters++;
  }

  private label(): Label {
    return { label: `written${this.labels++}` };
  }

  private body(length: number, context: Context): Node[] {
    const nodes: Node[] = [];
    for (let n = 0; n < length; n++) nodes.push(...this.node(context));
    return nodes;
  }

  private cost(steps: number, context: Context): void {
    this.steps += steps * context.times;
  }

  private node(context: Context): readonly Node[] {
    const { random, flavour } = this;
    this.cost(1, context);
    if (context.depth < 4 && random.chance(flavour.control)) return this.control(context);
    if (!context.movable && random.chance(flavour.faults)) return [this.faults.next()];
    if (!context.movable && random.chance(flavour.writes)) return this.codeWrite(context);
    return [this.operation()];
  }

  private operation(): Op {
    const { random, flavour } = this;
    const chance = random.u32() / 2 ** 32;
    if (chance < flavour.sse) return random.chance(0.1) ? this.sse.compareAndMask() : this.sse.next();
    if (chance < flavour.sse + flavour.x87) return this.x87.next();
    return this.integer.next();
  }

  private control(context: Context): readonly Node[] {
    const { random } = this;
    const inner = { ...context, depth: context.depth + 1 };
    switch (random.below(12)) {
      case 0:
      case 1:
      case 2: {
        const condition = random.chance(0.05) ? undefined : this.integer.condition();
        const written =
          !context.movable && condition !== undefined && random.chance(this.flavour.writes) ? this.label() : undefined;
        if (written) this.written.push({ label: written, kind: 'condition' });
        return [
          {
            kind: 'branch',
            condition,
            body: this.body(1 + random.below(4), inner),
            otherwise: random.chance(0.4) ? this.body(1 + random.below(3), inner) : [],
            ...(written ? { written } : {}),
          },
        ];
      }
      case 3:
      case 4:
      case 5:
        return this.loop(context);
      case 6:
        if (context.scopes === 0) return [this.operation()];
        return [{ kind: 'exit', condition: this.integer.condition(), levels: 1 + random.below(context.scopes) }];
      case 7:
        if (context.movable) return [this.operation()];
        return [this.switch(inner)];
      case 8:
      case 9:
        return this.call(context);
      default:
        return [this.pushed({ ...inner, scopes: 0 })];
    }
  }

  private pushed(context: Context): Node {
    const { random, registers } = this;
    const body = this.body(1 + random.below(3), context);
    const [r, t] = [registers.any(), registers.any()];
    const rex = (n: number): number[] => (n > 7 ? [0x41] : []);
    const pop: Op = { kind: 'op', text: `pop r${t}`, bytes: [...rex(t), 0x58 | (t & 7)] };
    if (random.chance(0.25)) {
      // The stack elsewhere, not aligned.
      const by = 1 + random.below(0x200);
      const move = (distance: number): Op => ({
        kind: 'op',
        text: `lea sp, [sp + ${distance}]`,
        bytes: [...(this.bits === 64 ? [0x48] : []), 0x8d, 0xa4, 0x24, ...toBytes(BigInt(distance), 4)],
      });
      return { kind: 'bracket', before: move(-by), body, after: move(by) };
    }
    if (random.chance(0.15)) {
      const push: Op = { kind: 'op', text: `push r${r}w`, bytes: [0x66, ...rex(r), 0x50 | (r & 7)] };
      return { kind: 'bracket', before: push, body, after: { ...pop, bytes: [0x66, ...pop.bytes] } };
    }
    const before = random.pick<Op>([
      { kind: 'op', text: `push r${r}`, bytes: [...rex(r), 0x50 | (r & 7)] },
      { kind: 'op', text: 'push imm8', bytes: [0x6a, random.below(256)] },
      { kind: 'op', text: 'pushf', bytes: [0x9c], reads: ALL },
    ]);
    if (before.text === 'pushf' && random.chance(0.5)) {
      return { kind: 'bracket', before, body, after: { kind: 'op', text: 'popf', bytes: [0x9d], defines: ALL } };
    }
    return { kind: 'bracket', before, body, after: pop };
  }

  private loop(context: Context): readonly Node[] {
    const { random, registers, bits } = this;
    const count = 2 + random.below(random.chance(0.25) ? 60 : 7);
    const times = context.times * count;
    if (times > 400 || this.steps + times * 6 > MOST_STEPS) return [this.operation()];
    const inner: Context = { ...context, times, depth: context.depth + 1, scopes: context.scopes + 1 };
    const style = random.below(4);
    if (style === 0 && !registers.kept.has(1)) {
      // ECX counts: nothing in the body writes it, and nothing is called.
      registers.kept.add(1);
      const body = this.body(1 + random.below(4), { ...inner, movable: true, inside: Infinity, depth: 3 });
      registers.kept.delete(1);
      return [
        {
          kind: 'loop',
          count,
          start: moveConstant(1, count),
          body,
          step: { kind: 'op', text: '', bytes: [] },
          condition: random.pick(['loop', 'loop', 'loope', 'loopne'] as const),
        },
      ];
    }
    const body = this.body(1 + random.below(5), inner);
    const place: Memory = { kind: 'absolute', address: this.counter() };
    const set = (value: number): Op => ({
      kind: 'op',
      text: `mov dword [counter], ${value}`,
      bytes: encode(bits, { opcode: [0xc7], reg: 0, rm: place, immediate: [...toBytes(BigInt(value), 4)] }),
    });
    const step = (text: string, opcode: number, reg: number, immediate: number[], defines: number): Op => ({
      kind: 'op',
      text,
      bytes: encode(bits, { opcode: [opcode], reg, rm: place, immediate }),
      defines,
    });
    const make = (start: Op, by: Op, condition: number): readonly Loop[] => [
      { kind: 'loop', count, start, body, step: by, condition },
    ];
    // A register that nothing else writes; in functions more than one loop might count by it.
    if (bits === 64 && context.inside < 0 && random.chance(0.6)) {
      const r = 11 + Math.min(context.depth, 4);
      if (r < 16 && r !== 14) {
        const decrement: Op = {
          kind: 'op',
          text: `dec r${r}d`,
          bytes: [0x41, 0xff, 0xc8 | (r & 7)],
          defines: ALL & ~1,
        };
        return make(moveConstant(r, count), decrement, 5);
      }
    }
    switch (style) {
      case 1:
        return make(set(count), step('dec dword [counter]', 0xff, 1, [], ALL & ~1), 5);
      case 2:
        return make(set(count), step('sub dword [counter], 1', 0x83, 5, [1], ALL), 7);
      default: {
        // Up to the count: INC [counter]; CMP [counter], count; JB
        const up = step('inc dword [counter]', 0xff, 0, [], ALL & ~1);
        const compare = step(`cmp dword [counter], ${count}`, 0x83, 7, [count], ALL);
        return make(set(0), sequence(up, compare), 2);
      }
    }
  }

  private switch(context: Context): Node {
    const { random, registers, bits } = this;
    const register = registers.any();
    const cases = random.pick([2, 4, 4, 8]);
    const and: Op = {
      kind: 'op',
      text: `and r${register}, ${cases - 1}`,
      bytes: encode(bits, { opcode: [0x83], reg: 4, rm: register, immediate: [cases - 1] }),
      defines: ALL & ~0x10,
      undefines: 0x10,
    };
    // Where its cases come from: a register as it is, or one that counts.
    const select = random.chance(0.5) ? sequence(moveConstant(register, random.below(cases)), and) : and;
    return {
      kind: 'switch',
      select,
      register,
      form: random.pick(['memory', 'memory', 'register', 'return']),
      cases: Array.from({ length: cases }, () => this.body(random.below(3), context)),
    };
  }

  private call(context: Context): readonly Node[] {
    const { random, registers } = this;
    const callable = this.functions.filter((f) => f.number > context.inside);
    if (context.movable || callable.length === 0) return [this.operation()];
    const callee = random.pick(callable);
    const cost = (this.costs[callee.number] ?? 0) * context.times;
    if (this.steps + cost > MOST_STEPS) return [this.operation()];
    this.steps += cost;
    if (this.movable[callee.number] && random.chance(0.5)) {
      const to = WRITTEN.base + WRITTEN.size * random.below(WRITTEN.slots) + random.below(16);
      return [{ kind: 'copy', callee: callee.number, to, times: 1 + random.below(2) }];
    }
    const form = random.pick(['direct', 'direct', 'register', 'memory', 'pushed'] as const);
    return [{ kind: 'call', callee: callee.number, form, register: registers.any() }];
  }

  /** An instruction that other code writes, or a write to one. A jump follows each write (SDM vol. 3 §9.1.3). */
  private codeWrite(context: Context): readonly Node[] {
    const { random } = this;
    if (random.chance(0.25)) return [this.codeFromData(context)];
    const target = this.written.length === 0 || random.chance(0.3) ? this.newTarget() : undefined;
    if (target && random.chance(0.5)) return [target];
    const write = this.writeTo(random.pick(this.written));
    return target ? [write, target] : [write];
  }

  private newTarget(): Op {
    const { random, registers, bits } = this;
    const label = this.label();
    const r = registers.any();
    if (random.chance(0.5)) {
      const immediate = [...toBytes(random.integer(32), 4)];
      const bytes = encode(bits, { opcode: [0x81], reg: 0, rm: r, immediate });
      this.written.push({ label, kind: 'immediate' });
      return {
        kind: 'op',
        text: `add r${r}, ${label.label}`,
        bytes,
        defines: ALL,
        marks: [{ label, at: bytes.length - 4 }],
      };
    }
    const bytes = encode(bits, { opcode: [0x01], reg: registers.any(), rm: r });
    this.written.push({ label, kind: 'opcode' });
    return {
      kind: 'op',
      text: `${label.label}: add r, r`,
      bytes,
      reads: 1,
      defines: ALL & ~0x10,
      undefines: 0x10,
      marks: [{ label, at: bytes.length - 2 }],
    };
  }

  private writeTo({ label, kind }: { label: Label; kind: 'immediate' | 'opcode' | 'condition' }): Op {
    const { random, registers, bits } = this;
    const relative = bits === 64 && random.chance(0.5);
    const make = (
      text: string,
      opcode: number,
      reg: number,
      offset: number,
      immediate: number[],
      effects: Partial<Op> = {},
    ): Op => {
      const rex = reg > 7 ? [0x44] : [];
      const modrm = bits === 64 && !relative ? [0x04 | ((reg & 7) << 3), 0x25] : [0x05 | ((reg & 7) << 3)];
      const head = [...rex, opcode, ...modrm];
      const jump = random.chance(0.7) ? [0xeb, 0] : [0xe9, 0, 0, 0, 0];
      return {
        kind: 'op',
        text: `${text} [${label.label} + ${offset}]; jmp +0`,
        bytes: [...head, 0, 0, 0, 0, ...immediate, ...jump],
        fixups: [
          {
            at: head.length,
            size: 4,
            target: label,
            addend: offset,
            kind: relative ? 'relative' : 'absolute',
            behind: immediate.length,
          },
        ],
        ...effects,
      };
    };
    if (kind === 'condition') return make('mov byte', 0xc6, 0, 0, [0x80 + this.integer.condition()]);
    if (kind === 'opcode')
      return make('mov byte', 0xc6, 0, 0, [random.pick([0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31, 0x39])]);
    switch (random.below(4)) {
      case 0:
        return make('mov dword', 0xc7, 0, 0, [...toBytes(random.integer(32), 4)]);
      case 1:
        return make('mov to', 0x89, registers.any(), 0, []);
      case 2:
        return make('inc byte', 0xfe, 0, random.below(4), [], { defines: ALL & ~1 });
      default:
        return make('add to', 0x01, registers.any(), 0, [], { defines: ALL });
    }
  }

  /** Stores MOV EAX, register; RET (or the like) in a slot, and calls it. */
  private codeFromData(context: Context): Op {
    const { random, registers, bits } = this;
    this.cost(4, context);
    const slot = WRITTEN.base + WRITTEN.size * random.below(WRITTEN.slots) + random.below(64);
    const store = (address: number, value: number): Op => ({
      kind: 'op',
      text: `mov byte [${hex(address)}], ${hex(value)}`,
      bytes: encode(bits, { opcode: [0xc6], reg: 0, rm: { kind: 'absolute', address }, immediate: [value] }),
    });
    const source = registers.any();
    const value: Op = {
      kind: 'op',
      text: `mov [${hex(slot + 1)}], r${source}`,
      bytes: encode(bits, { opcode: [0x89], reg: source, rm: { kind: 'absolute', address: slot + 1 } }),
    };
    const target = registers.any();
    const r = registers.kept.has(target & 7) ? 0 : target & 7;
    const code = r === 4 || r === 5 ? 0 : r;
    const call: Op = { kind: 'op', text: 'call r', bytes: [...(target > 7 ? [0x41] : []), 0xff, 0xd0 | (target & 7)] };
    return sequence(store(slot, 0xb8 | code), value, store(slot + 5, 0xc3), moveConstant(target, slot), call);
  }
}

/** The program number `index` of a seed; even ones have 64-bit code. */
export function generateProgram(seed: string, index: number): Program {
  return new Generator(`${seed}/${index}`, index % 2 === 0 ? 64 : 32).generate();
}
