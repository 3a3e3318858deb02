/**
 * The x87 registers in compiled code: within a block values, TOP, tags and status word are held in locals, and where a
 * value lies is known by its distance from what TOP was at the first short way of the block (a *slot*): FXCH and pops
 * cost nothing. Short ways demand things of control word and tags; once demanded, they are known.
 *
 * Memory is behind until `writeBack`, which stands wherever the code may be left or calls something that looks at the
 * x87, and at ways to blocks that can be entered from elsewhere. A block with one predecessor goes on with its state.
 */
import type { Builder, Extended, Operand, RegisterStack, Value } from '../isa/builder.ts';
import { StackInMemory, isUsualControl, withCodes, withExceptions, withRounding } from '../isa/register-stack.ts';
import { Vcpu } from '../state.ts';
import type { Code, FunctionBuilder } from '../../wasm/encoder.ts';
import type { Expressions, Node } from './expressions.ts';

/** The locals of a value. */
interface Held {
  readonly significand: number;
  readonly signExponent: number;
}

/** What is known where the code stands; slots are 0 to 7. */
export interface StackState {
  /** The slot of ST(0). */
  depth: number;
  usual: boolean;
  /** For each slot: whether it is in use, where that is known. */
  readonly tags: (boolean | undefined)[];
  readonly values: (Held | undefined)[];
  /** Slots whose value in memory is another one, as bits. */
  dirty: number;
  /** TOP, tags or status word in memory may be others. */
  moved: boolean;
  tagsChanged: boolean;
  statusChanged: boolean;
  /** Offset in the page of the last instruction that notes its pointer. */
  pointer: number | undefined;
}

/** What of the region's builder is needed. */
export interface StackHost {
  readonly builder: Builder;
  readonly nodes: Expressions;
  readonly f: FunctionBuilder;
  /** Address of the vCPU. */
  readonly cpu: number;
  /** Offset of the instruction in its page, and RIP of an offset. */
  offset(): number;
  ripOf(offset: number): Value;
}

const { fpuIp, fpuStatus, fpuTags, fpuTop, st } = Vcpu.offsets;

export class X87Registers implements RegisterStack {
  private readonly host: StackHost;
  private readonly code: Code;
  private readonly cpu: number;
  private readonly memory: StackInMemory;
  private state: StackState | undefined;
  /** TOP at slot 0; tags by slots; status word but for PE, where `inexact` is not 0, and C1, which is `roundedUp`. */
  private locals: { top: number; tags: number; status: number; inexact: number; roundedUp: number } | undefined;
  private readonly all: Held[] = [];
  private free: Held[] = [];
  /** Values that were replaced; their locals are free again when the instruction is done. */
  private readonly replaced = new Set<Held>();

  constructor(host: StackHost) {
    this.host = host;
    this.code = host.f.code;
    this.cpu = host.cpu;
    this.memory = new StackInMemory(host.builder);
  }

  // The state. ------------------------------------------------------------------------------------------------------

  /** Before a block that is entered in this state; undefined: all is in memory. */
  startBlock(state: StackState | undefined): void {
    this.state = state && copyOf(state);
    this.replaced.clear();
    this.free = this.all.filter((held) => !state?.values.includes(held));
  }

  /** Before a short way, where the code is sure to come by. */
  begin(): void {
    if (this.state) return;
    const { code } = this;
    this.locals ??= {
      top: this.host.f.local('i32'),
      tags: this.host.f.local('i32'),
      status: this.host.f.local('i32'),
      inexact: this.host.f.local('i64'),
      roundedUp: this.host.f.local('i64'),
    };
    code.i32(this.cpu).memory('i32.load', fpuTop).set(this.locals.top);
    this.load();
    this.state = {
      depth: 0,
      usual: false,
      tags: Array.from({ length: 8 }),
      values: Array.from({ length: 8 }),
      dirty: 0,
      moved: false,
      tagsChanged: false,
      statusChanged: false,
      pointer: undefined,
    };
  }

  /** Tags and status word into their locals; TOP at slot 0 is there. */
  private load(): void {
    const { code } = this;
    const { top, tags, status, inexact, roundedUp } = this.used();
    code.i32(this.cpu).memory('i32.load16_u', fpuTags).tee(tags).get(tags).i32(8).op('i32.shl').op('i32.or');
    code.get(top).op('i32.shr_u').set(tags);
    code.i32(this.cpu).memory('i32.load16_u', fpuStatus).tee(status);
    code.i32(9).op('i32.shr_u').i32(1).op('i32.and').op('i64.extend_i32_u').set(roundedUp);
    code.i64(0).set(inexact);
  }

  private used(): NonNullable<typeof this.locals> {
    if (!this.locals) throw new Error('x87 registers are not in locals');
    return this.locals;
  }

  private now(): StackState {
    if (!this.state) throw new Error('x87 registers are not in locals');
    return this.state;
  }

  /** The state as it is now, for an arm that is written later or a block that is entered from here alone. */
  snapshot(): StackState | undefined {
    return this.state && copyOf(this.state);
  }

  endInstruction(): void {
    for (const held of this.replaced) if (!this.state?.values.includes(held)) this.free.push(held);
    this.replaced.clear();
  }

  /** Memory becomes right, and nothing is known any more. */
  settle(): void {
    if (!this.state) return;
    this.writeBack();
    for (const held of this.state.values) if (held) this.replaced.add(held);
    this.state = undefined;
  }

  /** Memory may be behind. */
  get inLocals(): boolean {
    return this.state !== undefined;
  }

  /** Memory becomes right. */
  writeBack(state = this.state): void {
    if (!state) return;
    const { code } = this;
    const { builder: b, nodes } = this.host;
    const { top, tags } = this.used();
    const store = (op: 'i64.store' | 'i32.store16' | 'i32.store', v: Value, at: number): void => {
      code.i32(this.cpu);
      nodes.put(v as Node).memory(op, at);
    };
    if (state.pointer !== undefined) store('i64.store', this.host.ripOf(state.pointer), fpuIp);
    if (state.statusChanged) store('i32.store16', this.status(), fpuStatus);
    if (state.moved) store('i32.store', this.topAt(state.depth), fpuTop);
    if (state.tagsChanged) {
      const { mask, bits } = knownTags(state);
      const rotated = b.or(b.and(nodes.inLocal('i32', tags), b.int(4, 0xff & ~mask)), b.int(4, bits));
      const twice = b.or(rotated, b.shl(rotated, b.int(4, 8)));
      const inPlace = b.shr(b.shl(twice, nodes.inLocal('i32', top)), b.int(4, 8));
      store('i32.store16', b.and(inPlace, b.int(4, 0xff)), fpuTags);
    }
    state.values.forEach((held, slot) => {
      if (!held || !((state.dirty >> slot) & 1)) return;
      this.address(slot).get(held.significand).memory('i64.store', st);
      this.address(slot)
        .get(held.signExponent)
        .op('i64.extend_i32_u')
        .memory('i64.store', st + 8);
    });
  }

  /**
   * After an instruction was done by its form's function: pushes whether the x87 is in another state than the code
   * behind takes for granted.
   */
  putDiffers(): void {
    const state = this.now();
    const { code } = this;
    const { builder: b, nodes } = this.host;
    const { top, tags } = this.used();
    const control = b.negate(isUsualControl(b, b.getSystem('fpuControl')));
    const moved = b.ne(b.getSystem('fpuTop'), this.topAt(state.depth));
    const { mask, bits } = knownTags(state);
    code.i32(this.cpu).memory('i32.load16_u', fpuTags).tee(tags).get(tags).i32(8).op('i32.shl').op('i32.or');
    code.get(top).op('i32.shr_u').tee(tags).i32(mask).op('i32.and').i32(bits).op('i32.ne');
    nodes.put(b.either(control, moved) as Node).op('i32.or');
  }

  /** What is in locals is loaded. */
  reload(): void {
    this.load();
    const loaded = new Set<Held>();
    this.now().values.forEach((held, slot) => {
      if (held && !loaded.has(held)) this.loadValue(slot, held);
      if (held) loaded.add(held);
    });
  }

  private loadValue(slot: number, held: Held): void {
    this.address(slot).memory('i64.load', st).set(held.significand);
    this.address(slot)
      .memory('i32.load16_u', st + 8)
      .set(held.signExponent);
  }

  /** Pushes where the register of a slot is, less the offset of all. */
  private address(slot: number): Code {
    const { code } = this;
    code.i32(this.cpu).get(this.used().top);
    if (slot !== 0) code.i32(slot).op('i32.add').i32(7).op('i32.and');
    return code.i32(4).op('i32.shl').op('i32.add');
  }

  private topAt(depth: number): Value {
    const { builder: b, nodes } = this.host;
    const top = nodes.inLocal('i32', this.used().top);
    return depth === 0 ? top : b.and(b.add(top, b.int(4, depth)), b.int(4, 7));
  }

  private status(): Value {
    const { builder: b, nodes } = this.host;
    const { status, inexact, roundedUp } = this.used();
    return withRounding(
      b,
      nodes.inLocal('i32', status),
      nodes.inLocal('i64', inexact),
      nodes.inLocal('i64', roundedUp),
    );
  }

  // Registers. ------------------------------------------------------------------------------------------------------

  private slot(n: number | Operand): number {
    const { builder: b } = this.host;
    const distance = typeof n === 'number' ? n : (b.stackIndex(n) as Node).constant;
    if (distance === undefined) throw new Error('the number of an x87 register is not known');
    return (this.now().depth + Number(distance)) & 7;
  }

  private allocate(): Held {
    const known = this.free.pop();
    if (known) return known;
    const made = { significand: this.host.f.local('i64'), signExponent: this.host.f.local('i32') };
    this.all.push(made);
    return made;
  }

  private held(slot: number): Held {
    const { values } = this.now();
    const known = values[slot];
    if (known) return known;
    const held = this.allocate();
    this.loadValue(slot, held);
    values[slot] = held;
    return held;
  }

  private put(slot: number, held: Held | undefined, used: boolean): void {
    const state = this.now();
    const old = state.values[slot];
    if (old && old !== held) this.replaced.add(old);
    state.values[slot] = held;
    state.dirty |= 1 << slot;
    this.tag(slot, used);
  }

  private tag(slot: number, used: boolean): void {
    const state = this.now();
    if (state.tags[slot] !== used) state.tagsChanged = true;
    state.tags[slot] = used;
  }

  private move(by: number): void {
    const state = this.now();
    state.depth = (state.depth + by) & 7;
    state.moved = true;
  }

  private filled({ significand, signExponent }: Extended): Held {
    const { nodes } = this.host;
    const held = this.allocate();
    nodes.put(significand as Node).set(held.significand);
    nodes.put(signExponent as Node).set(held.signExponent);
    return held;
  }

  usual(): Value {
    const { builder: b } = this.host;
    const state = this.now();
    if (state.usual) return b.bool(true);
    state.usual = true;
    return isUsualControl(b, b.getSystem('fpuControl'));
  }

  private demand(n: number | Operand, used: boolean): Value {
    const { builder: b, nodes } = this.host;
    const { tags } = this.now();
    const slot = this.slot(n);
    const known = tags[slot];
    if (known !== undefined) return b.bool(known === used);
    tags[slot] = used;
    const bit = b.bit(nodes.inLocal('i32', this.used().tags), slot);
    return used ? bit : b.negate(bit);
  }

  inUse(n: number | Operand): Value {
    return this.demand(n, true);
  }

  isEmpty(n: number | Operand): Value {
    return this.demand(n, false);
  }

  isTop(o: Operand): boolean {
    return this.slot(o) === this.slot(0);
  }

  get(n: number | Operand): Extended {
    const { nodes } = this.host;
    const held = this.held(this.slot(n));
    return {
      significand: nodes.inLocal('i64', held.significand),
      signExponent: nodes.inLocal('i32', held.signExponent),
    };
  }

  set(n: number | Operand, v: Extended): void {
    this.put(this.slot(n), this.filled(v), true);
  }

  exchange(n: Operand): void {
    const first = this.slot(0);
    const second = this.slot(n);
    const [a, c] = [this.held(first), this.held(second)];
    this.put(first, c, true);
    this.put(second, a, true);
  }

  push(v: Extended): void {
    const state = this.now();
    const held = this.filled(v);
    this.move(7);
    this.put(state.depth, held, true);
  }

  pop(): void {
    const state = this.now();
    this.tag(state.depth, false);
    this.move(1);
  }

  // Status. ---------------------------------------------------------------------------------------------------------

  rounded(inexact: Value, roundedUp: Value): void {
    const { nodes } = this.host;
    const { inexact: sticky, roundedUp: last } = this.used();
    nodes
      .put(inexact as Node)
      .get(sticky)
      .op('i64.or')
      .set(sticky);
    nodes.put(roundedUp as Node).set(last);
    this.now().statusChanged = true;
  }

  raise(flags: Value): void {
    const { builder: b, nodes } = this.host;
    const { status } = this.used();
    nodes.put(withExceptions(b, nodes.inLocal('i32', status), flags) as Node).set(status);
    this.now().statusChanged = true;
  }

  setCodes(codes?: Value): void {
    const { builder: b, nodes } = this.host;
    const { status, roundedUp } = this.used();
    if (codes) {
      const word = withCodes(b, nodes.inLocal('i32', status), codes);
      nodes.put(word as Node).set(status);
    }
    this.code.i64(0).set(roundedUp);
    this.now().statusChanged = true;
  }

  notePointer(): void {
    this.now().pointer = this.host.offset();
  }

  statusWord(): Value {
    const { builder: b } = this.host;
    if (!this.state) return this.memory.statusWord();
    return b.or(this.status(), b.shl(this.topAt(this.state.depth), b.int(4, 11)));
  }
}

function copyOf(state: StackState): StackState {
  return { ...state, tags: [...state.tags], values: [...state.values] };
}

function knownTags(state: StackState): { readonly mask: number; readonly bits: number } {
  let mask = 0;
  let bits = 0;
  state.tags.forEach((used, slot) => {
    if (used === undefined) return;
    mask |= 1 << slot;
    if (used) bits |= 1 << slot;
  });
  return { mask, bits };
}
