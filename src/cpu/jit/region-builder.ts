/**
 * The compiler's builder: writes one instruction's semantics into the function of a region, with its operands known.
 *
 * Registers are locals of the function. What writes a register first gives a local of its own to nodes that still stand
 * on the old value. Flags are a compile-time note of what set them last (`Flags`); they are made where somebody asks,
 * and at exits. Whatever its fast path does not cover, the instruction leaves to the interpreter before it has changed
 * anything (`bail`).
 */
import type {
  FlagName,
  FlagRule,
  Operand,
  RegisterStack,
  ShortWay,
  Size,
  Type,
  Value,
  Variable,
} from '../isa/builder.ts';
import type { Form, FormOperand } from '../isa/compile.ts';
import { Arena, TlbEntry } from '../arena.ts';
import { flagKind, flagKindOf } from '../emit/flag-kind.ts';
import type { FlagKind } from '../emit/flag-kind.ts';
import type { Calls } from '../emit/core-calls.ts';
import type { WriteTarget } from '../emit/form-builder.ts';
import { FormBuilder } from '../emit/form-builder.ts';
import { sizeOf, wasmType } from '../emit/operations.ts';
import { modeKey } from '../mode-key.ts';
import { recordFlags } from '../record.ts';
import { Vcpu } from '../state.ts';
import { compiledExit } from '../status.ts';
import type { Code, FunctionReference } from '../../wasm/encoder.ts';
import type { OpcodeName } from '../../wasm/opcodes.ts';
import type { Node } from './expressions.ts';
import { Expressions } from './expressions.ts';
import type { FormFacts } from './facts.ts';
import { allFlags, flagBits } from './facts.ts';
import type { RegionFrame } from './frame.ts';
import { depthParameter } from './frame.ts';
import type { Instruction } from './region.ts';
import type { StackState } from './x87-registers.ts';
import { X87Registers } from './x87-registers.ts';

/** Core functions that compiled code calls, besides helpers. */
export const compiledFunctions = [
  'segmentLinear',
  'segmentBase',
  'probeWrite',
  'compiledRead',
  'compiledWrite',
  'storeFlags',
  'callCompiled',
  'runForm',
] as const;
export type CompiledCalls = Calls<(typeof compiledFunctions)[number]>;

/** Flags that an instruction has set: x, y and r as in `Builder.setFlags`; c is the carry in, CF, or CF and AF. */
interface FlagNote {
  readonly rule: FlagKind;
  readonly size: Size;
  readonly x: Node;
  readonly y: Node;
  readonly r: Node;
  readonly c?: Node;
  readonly aux?: Node;
}

/** Where the flags are: in the words of the vCPU, in the function's flag locals, or still to be made. */
export type Flags = 'memory' | 'locals' | FlagNote;

/** How an instruction ends its block. */
export type Outcome =
  | { readonly kind: 'branch' }
  | { readonly kind: 'conditional'; readonly condition: Node }
  | { readonly kind: 'jump' | 'call'; readonly target: Node };

const cpu = 0;

export class RegionBuilder extends FormBuilder {
  protected form!: Form;
  protected readonly calls: CompiledCalls;
  private readonly frame: RegionFrame;
  private readonly nodes: Expressions;
  private readonly code: Code;
  private instruction!: Instruction;
  private facts!: FormFacts;
  /** Flags that are needed after the instruction, and instructions of its block behind it. */
  private live = 0;
  private remaining = 0;
  /** Nodes that stand on a register's local, by that local. */
  private readonly watched = new Map<number, Set<Node>>();
  /** The node of each register in this instruction, by its local. */
  private readonly current = new Map<number, Node>();
  private unitsChecked = false;
  private openArms = 0;
  readonly x87: X87Registers;
  flags: Flags = 'memory';
  outcome: Outcome | undefined;

  constructor(frame: RegionFrame, calls: CompiledCalls) {
    super();
    this.frame = frame;
    this.calls = calls;
    this.nodes = new Expressions(frame.f);
    this.code = frame.f.code;
    this.x87 = new X87Registers({
      builder: this,
      nodes: this.nodes,
      f: frame.f,
      offset: () => this.instruction.offset,
      ripOf: (offset) => this.ripOf(offset),
    });
  }

  override get registerStack(): RegisterStack {
    return this.x87;
  }

  // Instructions. ---------------------------------------------------------------------------------------------------

  /** Before the first instruction of a block, whose flags are where `flags` says, and x87 registers where `x87` does. */
  startBlock(flags: Flags, x87?: StackState): void {
    this.flags = flags;
    this.x87.startBlock(x87);
    this.unitsChecked = false;
    this.watched.clear();
    for (const n of this.flagNodes()) this.nodes.leaves(n, (leaf) => this.watch(leaf));
  }

  /** Writes an instruction. `live`: flags that somebody may want after it. `remaining`: instructions behind it. */
  writeInstruction(instruction: Instruction, facts: FormFacts, live: number, remaining: number): void {
    this.instruction = instruction;
    this.form = instruction.form;
    this.facts = facts;
    this.live = live;
    this.remaining = remaining;
    this.outcome = undefined;
    this.startForm();
    // Elsewhere the x87 is looked for in memory.
    const leaves = facts.transfer === 'call' || facts.transfer === 'jump';
    if (instruction.apart || leaves || facts.x87 === 'memory') this.x87.settle();
    if (instruction.apart) this.callForm();
    else this.emit();
    if (!this.outcome) this.endInstruction();
  }

  /** After the instruction, and after its outcome has been written. */
  endInstruction(): void {
    const kept = this.flagNodes();
    const leaves = new Set<Node>();
    for (const n of kept) this.nodes.leaves(n, (leaf) => leaves.add(leaf));
    for (const [local, set] of this.watched) {
      for (const n of set) if (!leaves.has(n) || n.local !== local) set.delete(n);
    }
    this.current.clear();
    this.nodes.release(kept);
    this.x87.endInstruction();
  }

  private flagNodes(): Node[] {
    const { flags } = this;
    if (typeof flags === 'string') return [];
    return [flags.x, flags.y, flags.r, ...(flags.c ? [flags.c] : []), ...(flags.aux ? [flags.aux] : [])];
  }

  /**
   * Flags as they are now, for a block that is entered from here alone. Registers that they stand on have been copied
   * (`copyWatched`).
   */
  bequeath(): Flags {
    const { flags } = this;
    if (typeof flags === 'string') return flags;
    this.nodes.keep(this.flagNodes());
    const copies = new Map<Node, Node>();
    const copy = (n: Node): Node => {
      if (n.local >= 0) return this.nodes.inLocal(n.type, n.local);
      const known = copies.get(n);
      if (known) return known;
      const made: Node = { ...n, args: n.args.map(copy) };
      copies.set(n, made);
      return made;
    };
    const { rule, size, x, y, r, c, aux } = flags;
    return {
      rule,
      size,
      x: copy(x),
      y: copy(y),
      r: copy(r),
      ...(c ? { c: copy(c) } : {}),
      ...(aux ? { aux: copy(aux) } : {}),
    };
  }

  protected override prologue(): void {
    const { row } = this.form;
    if (row.privileged) this.bailIf(this.loadField('i32', 'i32.load', Vcpu.offsets.cpl));
    if (!row.unit || this.unitsChecked) return;
    this.unitsChecked = this.openArms === 0;
    this.bailIf(this.nodes.inLocal('i32', this.frame.fpuTrap));
  }

  // Values. ---------------------------------------------------------------------------------------------------------

  protected constantOf(v: Value): bigint | undefined {
    return (v as Node).constant;
  }
  int(size: Size, n: number | bigint): Value {
    return this.nodes.int(size, n);
  }
  bool(b: boolean): Value {
    return this.nodes.bool(b);
  }
  vectorConst(low: bigint, high: bigint): Value {
    return this.nodes.vector(BigInt.asUintN(64, low), BigInt.asUintN(64, high));
  }
  floatConst(type: 'f32' | 'f64', bits: bigint): Value {
    return this.nodes.bits(type, BigInt.asUintN(type === 'f32' ? 32 : 64, bits));
  }
  protected make(type: Type, op: OpcodeName, ...args: readonly Value[]): Value {
    return this.nodes.make(type, op, args as readonly Node[]);
  }
  protected makeLane(type: Type, op: OpcodeName, lanes: readonly number[], ...args: readonly Value[]): Value {
    return this.nodes.make(type, op, args as readonly Node[], lanes);
  }
  protected retype(type: Type, v: Value): Value {
    return this.nodes.retype(type, v as Node);
  }
  protected held(v: Value): Value {
    return this.nodes.hold(v as Node);
  }
  put(v: Value): Code {
    return this.nodes.put(v as Node);
  }

  select(c: Value, whenTrue: Value, whenFalse: Value): Value {
    if (whenTrue.type !== whenFalse.type) throw new Error(`select of ${whenTrue.type} and ${whenFalse.type}`);
    if (whenTrue.type !== 'v128') return this.make(whenTrue.type, 'select', whenTrue, whenFalse, c);
    // The untyped select of wasm takes numbers only.
    const result = this.variable(whenTrue);
    this.put(c).op('i32.eqz').if();
    this.nodes.openArm();
    this.put(whenFalse).set((result as Node).local);
    this.nodes.closeArm();
    this.code.end();
    return result as Node;
  }

  variable(initial: Value): Variable {
    const local = this.nodes.allocate(wasmType[initial.type]);
    this.put(initial).set(local);
    return this.nodes.inLocal(initial.type, local);
  }
  get(v: Variable): Value {
    this.code.get((v as Node).local);
    return this.nodes.take(v.type);
  }
  set(v: Variable, value: Value): void {
    this.put(value).set((v as Node).local);
  }

  if(c: Value, then: () => void, otherwise?: () => void): void {
    const mayWrite = this.facts.flagsMayWrite & ~this.facts.flagsWritten & this.live;
    if (this.openArms === 0 && this.facts.variables) this.copyWatched();
    if (mayWrite !== 0) this.toLocals();
    this.put(c).if();
    this.arm(then, mayWrite !== 0);
    if (otherwise) {
      this.code.else();
      this.arm(otherwise, mayWrite !== 0);
    }
    this.code.end();
  }

  /** Where the short way ends the form's function does the instruction, and the code goes on. */
  shortWay(attempt: () => ShortWay): void {
    const { code, x87 } = this;
    x87.begin();
    const before = x87.snapshot();
    const { when, commit } = attempt();
    if (this.constantOf(when) === 1n) {
      commit();
      return;
    }
    this.put(when).if('none', true);
    this.arm(commit);
    code.else();
    this.arm(() => {
      x87.writeBack(before);
      this.toMemory();
      this.runForm();
      x87.putDiffers();
      code.ifUnlikely();
      this.leaveBehind(compiledExit.go);
      code.end();
      x87.reload();
    });
    code.end();
    if (this.facts.flagsWritten & this.live) this.flags = 'memory';
  }

  /** Writes what may not run. */
  arm(write: () => void, flagsToLocals = false): void {
    const flags = this.flags;
    this.openArms++;
    this.nodes.openArm();
    write();
    if (flagsToLocals) this.toLocals();
    this.nodes.closeArm();
    this.openArms--;
    // An arm that sets flags has them in locals; another leaves them as they were, or is never gone on from.
    this.flags = flagsToLocals ? 'locals' : flags;
    this.current.clear();
  }

  // The vCPU. -------------------------------------------------------------------------------------------------------

  protected cpuAddress(): Value {
    return this.nodes.inLocal('i32', cpu);
  }
  protected recordAddress(): Value {
    return this.int(4, this.instruction.record);
  }
  protected loadAt(type: Type, op: OpcodeName, address: Value, offset: number): Value {
    this.put(address).memory(op, offset);
    return this.nodes.take(type);
  }
  protected storeAt(op: OpcodeName, address: Value, offset: number, v: Value): void {
    this.put(address);
    this.put(v).memory(op, offset);
  }

  // Registers. ------------------------------------------------------------------------------------------------------

  private watch(n: Node): void {
    if (!this.frame.isRegister(n.local)) return;
    const set = this.watched.get(n.local);
    if (set) set.add(n);
    else this.watched.set(n.local, new Set([n]));
  }

  private registerNode(type: Type, local: number): Node {
    const known = this.current.get(local);
    if (known) return known;
    const node = this.nodes.inLocal(type, local);
    this.current.set(local, node);
    this.watch(node);
    return node;
  }

  private setRegister(local: number, v: Node): void {
    this.put(v);
    this.copyOld(local);
    this.code.set(local);
    this.current.delete(local);
    if (this.openArms > 0 || v.local >= 0 || v.constant !== undefined) return;
    // What was computed lies in the register now.
    v.local = local;
    this.current.set(local, v);
    this.watch(v);
  }

  /** Nodes that stand on a register's local get one of their own. */
  private copyOld(local: number): void {
    const set = this.watched.get(local);
    if (!set || set.size === 0) return;
    let copy: number | undefined;
    for (const n of set) {
      if (n.local !== local) continue;
      if (copy === undefined) {
        copy = this.nodes.allocate(wasmType[n.type]);
        this.code.get(local).set(copy);
      }
      n.local = copy;
    }
    set.clear();
  }

  /** Nothing stands on a register's local any more. */
  copyWatched(): void {
    for (const local of this.watched.keys()) this.copyOld(local);
    this.current.clear();
  }

  private numberOf(o: FormOperand): number {
    if (o.slot === 'fixed') return o.number;
    return o.slot === 'rm' ? this.instruction.rm : this.instruction.reg;
  }

  /** General register of an operand: its number, and whether it is one of AH CH DH BH. */
  private general(o: FormOperand): { readonly local: number; readonly high: boolean } {
    if (o.slot === 'fixed') return { local: this.frame.gpr(o.number & 15), high: o.number >= 16 };
    const slot = this.numberOf(o) - Vcpu.offsets.gpr;
    return { local: this.frame.gpr(slot >> 3), high: (slot & 7) === 1 };
  }

  /** A whole general register, i64. */
  private whole(n: number): Node {
    return this.as('i64', this.registerNode(this.frame.long ? 'i64' : 'i32', this.frame.gpr(n))) as Node;
  }

  protected readGeneral(o: FormOperand): Value {
    const { local, high } = this.general(o);
    const type = this.frame.long ? 'i64' : 'i32';
    const all = this.registerNode(type, local);
    const size = o.size as Size;
    if (size === 8) return this.as('i64', all);
    const low = this.as('i32', all);
    return this.trunc(size, high ? this.shr(low, this.int(4, 8)) : low);
  }

  protected writeGeneral(o: FormOperand, v: Value): void {
    const { local, high } = this.general(o);
    const { long } = this.frame;
    if (o.size === 8 || o.size === 4) {
      this.setRegister(local, this.as(long ? 'i64' : 'i32', v) as Node);
      return;
    }
    const type = long ? 'i64' : 'i32';
    const old = this.registerNode(type, local);
    const width: Size = long ? 8 : 4;
    const shift = high ? 8 : 0;
    const mask = (o.size === 1 ? 0xffn : 0xffffn) << BigInt(shift);
    const kept = this.and(old, this.int(width, ~mask));
    const placed = this.shl(this.zext(width, v), this.int(4, shift));
    this.setRegister(local, this.or(kept, placed) as Node);
  }

  private vectorLocal(o: FormOperand): number {
    if (o.slot === 'fixed') return this.frame.xmm(o.number);
    return this.frame.xmm((this.numberOf(o) - Vcpu.offsets.xmm) >> 4);
  }

  protected readVector(o: FormOperand): Value {
    const all = this.registerNode('v128', this.vectorLocal(o));
    return o.size === 16 ? all : this.extractLane(all, o.size as Size, 0);
  }

  protected writeVector(o: FormOperand, v: Value): void {
    const local = this.vectorLocal(o);
    if (o.size === 16) this.setRegister(local, v as Node);
    else this.setRegister(local, this.replaceLane(this.registerNode('v128', local), 0, v) as Node);
  }

  protected mmxAddress(o: FormOperand): Value {
    const offset = o.slot === 'fixed' ? Vcpu.offsets.st + 16 * o.number : this.numberOf(o);
    return this.add(this.cpuAddress(), this.int(4, offset));
  }

  registerNumber(o: Operand): Value {
    return this.int(4, this.numberOf(o as FormOperand));
  }

  protected immediate(size: number, at: number): Value {
    return this.int(size as Size, this.instruction.immediate >> BigInt(8 * at));
  }

  // Addresses. ------------------------------------------------------------------------------------------------------

  /** Base or index register of the record, i64. */
  private slotValue(slot: number): Value {
    if (slot === Vcpu.offsets.zero) return this.int(8, 0);
    if (slot === Vcpu.offsets.ripBase) return this.ripBase();
    return this.whole((slot - Vcpu.offsets.gpr) >> 3);
  }

  private ripBase(): Value {
    return this.nodes.inLocal('i64', this.frame.ripBase);
  }

  protected operandOffset(operand: FormOperand): Value {
    const { instruction } = this;
    if (operand.number === 1) return this.int(8, instruction.immediate);
    const index = this.shl(this.slotValue(instruction.index), this.int(4, instruction.scale));
    const sum = this.add(this.add(this.slotValue(instruction.base), index), this.int(8, instruction.displacement));
    return this.wrapOffset(sum);
  }

  protected wrapOffset(offset: Value): Value {
    const size = this.instruction.flags & recordFlags.addressSize;
    return size === 2 ? offset : this.and(offset, this.int(8, size === 1 ? 0xffffffff : 0xffff));
  }

  protected maskAddress(offset: Value): Value {
    if (this.frame.long) return offset;
    const narrow = (this.frame.modeKey & modeKey.code) === modeKey.code16;
    return this.and(offset, this.int(8, narrow ? 0xffff : 0xffffffff));
  }

  protected maskStack(pointer: Value): Value {
    if (this.frame.long) return pointer;
    if (this.frame.modeKey & modeKey.stackFlat) return this.and(pointer, this.int(8, 0xffffffff));
    return this.and(pointer, this.loadField('i64', 'i64.load', Vcpu.offsets.stackMask));
  }

  protected recordSegment(): Value {
    return this.int(4, this.instruction.segment);
  }

  /** RIP of an offset in the page, i64. */
  ripOf(offset: number): Node {
    const rip = this.add(this.ripBase(), this.int(8, offset));
    return (this.frame.long ? rip : this.and(rip, this.int(8, 0xffffffff))) as Node;
  }

  protected nextRip(): Value {
    return this.ripOf(this.instruction.offset + this.instruction.length);
  }

  currentIp(): Value {
    return this.ripOf(this.instruction.offset);
  }

  protected relativeOffset(): Value {
    return this.int(8, this.instruction.immediate);
  }

  protected segmented(segment: Value, offset: Value, size: number, write: boolean): Value {
    const n = Number(this.constantOf(segment) ?? 0n);
    const wide = this.as('i64', offset);
    const base = (): Value => this.loadField('i64', 'i64.load', Vcpu.offsets.segBase + 8 * n);
    if (this.frame.long) return n < 4 ? wide : this.add(wide, base());
    const mode = this.frame.modeKey;
    const flat = n === 2 ? mode & modeKey.stackFlat : n === 0 || n === 3 ? mode & modeKey.dataFlat : 0;
    if (flat) return wide;
    if (!(mode & modeKey.codeFlat)) {
      const access = [this.int(4, size), this.int(4, write ? 1 : 0)];
      const linear = this.callCore(this.calls.segmentLinear, 'i64', segment, wide, ...access);
      this.leaveIfTrouble();
      return linear;
    }
    // Usable, expand-up, writable data over all 4 GiB; anything else is for the interpreter.
    const attributes = this.loadField('i32', 'i32.load', Vcpu.offsets.segAttributes + 4 * n);
    const limit = this.loadField('i32', 'i32.load', Vcpu.offsets.segLimit + 4 * n);
    const odd = this.xor(this.and(attributes, this.int(4, 0x1000e)), this.int(4, 2));
    this.bailIf(this.or(odd, this.not(limit)));
    return this.and(this.add(wide, base()), this.int(8, 0xffffffff));
  }

  // Exits. ----------------------------------------------------------------------------------------------------------

  /** The interpreter does this instruction; nothing of it has been done. */
  private bail(): void {
    const { frame, code } = this;
    code.i32(this.instruction.record).set(frame.exitRecord);
    code.i32(compiledExit.apart).set(frame.exitCode);
    if (this.remaining > 0) code.i32(this.remaining).set(frame.exitBudget);
    this.x87.writeBack();
    this.putFlagsInLocals();
    code.br(frame.leave);
  }

  private bailIf(c: Value): void {
    this.put(c).ifUnlikely();
    this.nodes.openArm();
    this.bail();
    this.nodes.closeArm();
    this.code.end();
  }

  raise(): void {
    this.bail();
  }

  protected leaveIfTrouble(): void {
    this.bailIf(this.loadField('i32', 'i32.load', Vcpu.offsets.trouble));
  }

  protected needCalls(): void {
    // Compiled code may call whatever it likes.
  }

  sync(): void {
    throw new Error(`${this.form.name}: ends with sync, which is for the interpreter`);
  }

  /**
   * Leaves to a RIP in i64, at the end of a block: into other compiled code, so that who called this one gets control
   * back from there; or back to who called.
   */
  exitTo(target: Value, back = false): void {
    this.put(target).set(this.frame.exitRip);
    this.x87.writeBack();
    this.toMemory();
    this.code
      .i32(back ? compiledExit.go : compiledExit.follow)
      .set(this.frame.exitCode)
      .br(this.frame.leave);
  }

  /** Leaves to a record, before any of the block has been counted. */
  exitShort(record: number): void {
    const { frame, code } = this;
    code.i32(record).set(frame.exitRecord);
    code.i32(compiledExit.short).set(frame.exitCode);
    this.putFlagsInLocals();
    code.br(frame.leave);
  }

  /** The form's function does the instruction, and compiled code goes on behind it. */
  private callForm(): void {
    this.toMemory();
    this.runForm();
    this.frame.reload();
    this.watched.clear();
    this.current.clear();
  }

  /** Calls the form's function, with everything in memory; registers are not loaded again. */
  private runForm(): void {
    const { frame, code, instruction } = this;
    frame.spill();
    code.get(cpu).i32(instruction.record).memory('i32.store', Vcpu.offsets.record);
    code.get(cpu).get(frame.budget).i32(this.remaining).op('i32.add').memory('i32.store', Vcpu.offsets.budget);
    code.get(cpu).i32(instruction.record).call(this.calls.runForm).tee(frame.exitCode).ifUnlikely();
    code.get(frame.exitCode).i32(compiledExit.status).op('i32.add').return().end();
    code.get(cpu).memory('i32.load', Vcpu.offsets.unwind).ifUnlikely();
    this.leaveBehind(compiledExit.unwind);
    code.end();
    code.get(cpu).memory('i32.load', Vcpu.offsets.budget).i32(this.remaining).op('i32.sub').set(frame.budget);
  }

  /** Leaves behind an instruction that its form's function has done. */
  private leaveBehind(exit: number): void {
    this.code.get(cpu);
    this.put(this.nextRip()).memory('i64.store', Vcpu.offsets.rip);
    this.code.i32(exit).return();
  }

  /** The outcome is a call: runs compiled code there, and comes back to the instruction behind. */
  callOut(target: Node): void {
    const { frame, code } = this;
    this.toMemory();
    this.nodes.hold(target);
    frame.spill();
    code.get(cpu).get(frame.budget).memory('i32.store', Vcpu.offsets.budget);
    code.get(cpu).get(depthParameter);
    this.put(target).call(this.calls.callCompiled).tee(frame.exitCode).ifUnlikely();
    code.get(frame.exitCode).return().end();
    code.get(cpu).memory('i64.load', Vcpu.offsets.rip);
    this.put(this.nextRip()).op('i64.ne').ifUnlikely();
    code.i32(compiledExit.go).return().end();
    code.get(cpu).get(frame.ripBase).memory('i64.store', Vcpu.offsets.ripBase);
    code.get(cpu).memory('i32.load', Vcpu.offsets.budget).set(frame.budget);
    frame.reload();
    this.watched.clear();
    this.current.clear();
  }

  protected callCore(callee: FunctionReference, result: 'none', ...args: readonly Value[]): void;
  protected callCore(callee: FunctionReference, result: 'i32' | 'i64', ...args: readonly Value[]): Value;
  protected callCore(callee: FunctionReference, result: 'none' | 'i32' | 'i64', ...args: readonly Value[]): Value {
    this.code.get(cpu);
    for (const a of args) this.put(a);
    this.code.call(callee);
    return result === 'none' ? this.int(4, 0) : this.nodes.take(result);
  }

  helper(name: string, ...args: Value[]): Value {
    const { reference, parameters, result, kind } = this.calls.helper(name);
    if (kind === 'status') throw new Error(`${this.form.name}: helper ${name} is for the form's function`);
    const passed = args.map((a, k) => this.as(parameters[k] ?? 'i32', a));
    const value =
      result === 'none'
        ? (this.callCore(reference, 'none', ...passed), this.int(4, 0))
        : this.callCore(reference, result, ...passed);
    if (kind === 'fault') this.leaveIfTrouble();
    return value;
  }

  // Memory. ---------------------------------------------------------------------------------------------------------

  /** Host address of a linear access: by the TLB, or by the core where it misses. */
  private host(linear: Value, size: number, write: boolean): Value {
    const { code, frame } = this;
    const { long } = frame;
    const address = this.nodes.local(this.as(long ? 'i64' : 'i32', linear) as Node);
    const entry = this.nodes.allocate('i32');
    const host = this.nodes.allocate('i32');
    const index = (Arena.tlbEntries - 1) << 4;
    const array = write ? Arena.tlbArrayBytes : 0;
    const addend = array + TlbEntry.offsets.addend;
    code.get(frame.tlb).get(address);
    if (long) {
      code.i64(8).op('i64.shr_u').op('i32.wrap_i64').i32(index).op('i32.and').op('i32.add').tee(entry);
      code.memory('i64.load', array + TlbEntry.offsets.tag).get(address);
      if (size > 1) code.i64(size - 1).op('i64.add');
      code.i64(-4096).op('i64.and').op('i64.eq').if('i32', true);
      code.get(address).op('i32.wrap_i64').get(entry).memory('i32.load', addend).op('i32.add').else();
      code.get(cpu).get(address);
    } else {
      code.i32(8).op('i32.shr_u').i32(index).op('i32.and').op('i32.add').tee(entry);
      // An empty entry has a tag of all ones, which is no page in its low half either.
      code.memory('i32.load', array + TlbEntry.offsets.tag).get(address);
      if (size > 1) code.i32(size - 1).op('i32.add');
      code.i32(-4096).op('i32.and').op('i32.eq').if('i32', true);
      code.get(address).get(entry).memory('i32.load', addend).op('i32.add').else();
      code.get(cpu).get(address).op('i64.extend_i32_u');
    }
    code
      .i32(size)
      .call(write ? this.calls.compiledWrite : this.calls.compiledRead)
      .tee(host)
      .op('i32.eqz')
      .ifUnlikely();
    this.nodes.openArm();
    this.bail();
    this.nodes.closeArm();
    code.end().get(host).end().set(host);
    return this.nodes.inLocal('i32', host);
  }

  protected hostToRead(linear: Value, size: number): Value {
    return this.host(linear, size, false);
  }

  protected hostToWrite(linear: Value, size: number): WriteTarget {
    return { host: this.host(linear, size, true), commit: () => undefined };
  }

  // Flags. ----------------------------------------------------------------------------------------------------------

  private note(rule: FlagKind, size: Size, x: Value, y: Value, r: Value, c?: Value, aux?: Value): void {
    this.flags = {
      rule,
      size,
      x: x as Node,
      y: y as Node,
      r: r as Node,
      ...(c ? { c: c as Node } : {}),
      ...(aux ? { aux: aux as Node } : {}),
    };
    for (const n of this.flagNodes()) n.uses++;
  }

  override setFlags(rule: FlagRule, x: Value, y: Value, r: Value, carry?: Value): void {
    const keepsCarry = rule === 'inc' || rule === 'dec';
    if (!(this.live & (keepsCarry ? allFlags & ~flagBits.cf : allFlags))) return;
    if (rule === 'zsp') {
      this.toMemory();
      super.setFlags(rule, x, y, r, carry);
      return;
    }
    const size = sizeOf(r);
    if (keepsCarry) {
      const cf = this.live & flagBits.cf ? this.flag('cf') : this.bool(false);
      this.note(rule, size, x, y, r, cf);
    } else if (carry) this.note(rule === 'add' ? 'adc' : 'sbb', size, x, y, r, carry);
    else this.note(rule, size, x, y, r);
  }

  override setFlagsFrom(result: Value, carry: Value, overflow: Value, aux?: Value): void {
    if (this.live) this.note('parts', sizeOf(result), this.int(4, 0), overflow, result, carry, aux);
  }

  override setFlag(name: FlagName, b: Value): void {
    if (!(this.live & flagBits[name])) return;
    this.toMemory();
    super.setFlag(name, b);
  }

  override loadArithmeticFlags(v: Value): void {
    if (!this.live) return;
    // The value may have been made from the flags.
    const word = this.held(v);
    this.flags = 'memory';
    super.loadArithmeticFlags(word);
  }

  override flag(name: FlagName): Value {
    if (this.flags === 'locals') this.toMemory();
    const { flags } = this;
    if (typeof flags === 'string') return super.flag(name);
    const { rule, x, y, r, c, aux } = flags;
    const base = this.baseRule(rule);
    switch (name) {
      case 'zf':
        return this.isZero(r);
      case 'sf':
        return this.sign(r);
      case 'pf':
        return this.evenParity(r);
      case 'cf':
        if (rule === 'parts' || rule === 'inc' || rule === 'dec') return c ?? this.bool(false);
        return base ? this.carryOf(base, x, y, r, c) : this.bool(false);
      case 'of':
        if (rule === 'parts') return this.sign(y);
        return base ? this.sign(this.overflowOf(base, x, y, r)) : this.bool(false);
      case 'af':
        if (rule === 'parts') return aux ?? this.bool(false);
        return base ? this.bit(this.xor(this.xor(x, y), r), 4) : this.bool(false);
    }
  }

  private baseRule(rule: FlagKind): 'add' | 'sub' | undefined {
    if (rule === 'add' || rule === 'adc' || rule === 'inc') return 'add';
    if (rule === 'sub' || rule === 'sbb' || rule === 'dec') return 'sub';
    return undefined;
  }

  override condition(cc: number): Value {
    if (this.flags === 'locals') this.toMemory();
    const { flags } = this;
    if (typeof flags === 'string') return super.condition(cc);
    const { rule, x, y, r } = flags;
    const plain: FlagRule = rule === 'sub' || rule === 'logic' ? rule : 'zsp';
    const short = this.comparison({ rule: plain, x, y, r }, cc);
    if (short) return short;
    const less = (): Value => this.differ(this.flag('sf'), this.flag('of'));
    return this.conditionOf(cc, (name) => this.flag(name), less);
  }

  /** The flags' words in memory become right. */
  toMemory(): void {
    const { flags, frame, code } = this;
    this.flags = 'memory';
    if (flags === 'memory') {
      // The locals may still hold flags of before, which an exit would store.
      code.i32(flagKind.none).set(frame.flagKind);
      return;
    }
    if (flags === 'locals') {
      code.get(cpu).get(frame.flagKind);
      this.putWide(frame.flagA);
      this.putWide(frame.flagB);
      code.get(frame.flagC).call(this.calls.storeFlags);
      code.i32(flagKind.none).set(frame.flagKind);
      return;
    }
    const { rule, x, y, r, c, aux } = flags;
    const carry = c ?? this.bool(false);
    switch (rule) {
      case 'parts':
        super.setFlagsFrom(r, carry, y, aux);
        break;
      case 'inc':
      case 'dec':
        super.setFlags(rule, x, y, r);
        this.storeField('i32.store', Vcpu.offsets.flagCarry, carry);
        break;
      case 'adc':
      case 'sbb':
        super.setFlags(rule === 'adc' ? 'add' : 'sub', x, y, r, carry);
        break;
      default:
        super.setFlags(rule, x, y, r);
    }
    code.i32(flagKind.none).set(frame.flagKind);
  }

  private putWide(local: number): void {
    this.code.get(local);
    if (!this.frame.long) this.code.op('i64.extend_i32_u');
  }

  /** The flag locals become right; what is known about the flags stays known. */
  putFlagsInLocals(): void {
    const { flags, frame, code } = this;
    if (flags === 'locals') return;
    if (flags === 'memory') {
      code.i32(flagKind.none).set(frame.flagKind);
      return;
    }
    const { rule, size, x, y, r, c, aux } = flags;
    code.i32(flagKindOf(rule, size)).set(frame.flagKind);
    const wide = (v: Node, local: number): void => {
      this.put(this.as(frame.long ? 'i64' : 'i32', v)).set(local);
    };
    const operands = rule === 'add' || rule === 'sub' || rule === 'adc' || rule === 'sbb';
    wide(operands ? x : r, frame.flagA);
    if (operands || rule === 'parts') wide(y, frame.flagB);
    if (!c) return;
    this.put(aux ? this.or(this.retype('i32', c), this.boolAt(aux, 4)) : c).set(frame.flagC);
  }

  toLocals(): void {
    this.putFlagsInLocals();
    this.flags = 'locals';
  }

  // Transfers. ------------------------------------------------------------------------------------------------------

  override checkTarget(target?: Value): void {
    // In a flat code segment only a computed target of 64-bit code can be wrong.
    if (this.frame.modeKey & modeKey.codeFlat ? target && this.frame.long : true) super.checkTarget(target);
  }

  protected transfer(target: Value): void {
    const node = this.nodes.hold(target as Node);
    this.outcome = { kind: this.facts.transfer === 'call' ? 'call' : 'jump', target: node };
    this.left = true;
  }

  branch(c?: Value): void {
    if (this.facts.transfer === 'call') {
      this.outcome = { kind: 'call', target: this.relativeTarget() as Node };
    } else if (c) this.outcome = { kind: 'conditional', condition: c as Node };
    else this.outcome = { kind: 'branch' };
    this.left = true;
  }
}
