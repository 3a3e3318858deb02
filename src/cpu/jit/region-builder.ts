/**
 * The compiler's builder: writes one instruction's semantics into the function of a region, with its operands known.
 *
 * Registers are locals of the function. What writes a register first gives a local of its own to nodes that still stand
 * on the old value. Whatever its fast path does not cover, the instruction leaves to the interpreter before it has
 * changed anything (`bail`). Values are those of `value-builder.ts`, flags of `flag-builder.ts`.
 */
import type {
  Operand,
  RegisterStack,
  ScalarFloats,
  ShortWay,
  Size,
  SystemRegister,
  Type,
  Value,
} from '../isa/builder.ts';
import type { Form, FormOperand } from '../isa/compile.ts';
import { Arena, TlbEntry } from '../arena.ts';
import type { WriteTarget } from '../emit/form-builder.ts';
import { wasmType } from '../emit/operations.ts';
import { modeKey } from '../mode-key.ts';
import { recordFlags } from '../record.ts';
import { Vcpu } from '../state.ts';
import { compiledExit } from '../status.ts';
import type { Code, FunctionReference } from '../../wasm/encoder.ts';
import type { Access, PageNeeds } from './accesses.ts';
import { Accesses } from './accesses.ts';
import type { Node } from './expressions.ts';
import type { FormFacts } from './facts.ts';
import type { CompiledCalls, Flags } from './flag-builder.ts';
import { FlagBuilder } from './flag-builder.ts';
import type { Beyond, RegionFrame } from './frame.ts';
import { depthParameter } from './frame.ts';
import { KnownFloats } from './known-floats.ts';
import { KnownPages, operandBases, stackBases } from './known-pages.ts';
import type { LoopPages } from './known-pages.ts';
import type { BasicBlock, Instruction } from './region.ts';
import type { InstructionRegisters, RegisterSet } from './register-flow.ts';
import type { StackState } from './x87-registers.ts';
import { X87Registers } from './x87-registers.ts';

/** How an instruction ends its block. */
export type Outcome =
  | { readonly kind: 'branch' }
  | { readonly kind: 'conditional'; readonly condition: Node }
  | { readonly kind: 'jump' | 'call'; readonly target: Node };

/** A page and the frame that it should be fetched from. */
export interface Mapping {
  readonly rip: Node;
  readonly frame: number;
}

const { zero: zeroSlot, ripBase: ripBaseSlot, gpr: gprStart } = Vcpu.offsets;

export class RegionBuilder extends FlagBuilder {
  protected form!: Form;
  private instruction!: Instruction;
  private facts!: FormFacts;
  private registers!: InstructionRegisters;
  /** Instructions of its block behind it. */
  private remaining = 0;
  /** Nodes that stand on a register's local, and (below) the node of each register in this instruction: by register. */
  private readonly watched: Node[][];
  private readonly current: (Node | undefined)[];
  /** Registers that this instruction has read and written so far. */
  private registersRead: RegisterSet = 0;
  private registersWritten: RegisterSet = 0;
  private readonly pages: KnownPages;
  private readonly accesses: Accesses;
  private unitsChecked = false;
  private openArms = 0;
  private firstOfBlock = true;
  readonly x87: X87Registers;
  private readonly floats: KnownFloats;
  outcome: Outcome | undefined;

  constructor(frame: RegionFrame, calls: CompiledCalls, loops: LoopPages) {
    super(frame, calls);
    this.pages = new KnownPages(frame.f, frame.long, loops);
    this.accesses = new Accesses(frame, this.nodes, this.pages, {
      tlb: (access, needs) => this.callForHost(access, needs),
      page: () => {
        this.stray();
      },
    });
    this.watched = Array.from({ length: frame.registerCount }, () => []);
    this.current = Array.from({ length: frame.registerCount }, () => undefined);
    this.floats = new KnownFloats(frame.f, this.nodes, () => this.openArms > 0);
    this.x87 = new X87Registers({
      builder: this,
      nodes: this.nodes,
      f: frame.f,
      cpu: frame.cpu,
      offset: () => this.instruction.offset,
      ripOf: (offset) => this.ripOf(offset),
    });
  }

  override get registerStack(): RegisterStack {
    return this.x87;
  }

  override get scalarFloats(): ScalarFloats {
    return this.floats;
  }

  // Instructions. ---------------------------------------------------------------------------------------------------

  /** Before the first instruction of a block, whose flags are where `flags` says, and x87 registers where `x87` does. */
  startBlock(
    block: BasicBlock,
    registers: readonly InstructionRegisters[],
    flags: Flags,
    x87: StackState | undefined,
  ): void {
    this.flags = flags;
    this.firstOfBlock = true;
    this.x87.startBlock(x87);
    this.pages.startBlock(block, registers);
    this.floats.forget();
    this.unitsChecked = false;
    this.forgetWatched();
    for (const n of this.flagNodes()) this.nodes.leaves(n, (leaf) => this.watch(leaf));
  }

  /** Writes an instruction. `live`: flags that somebody may want after it. `remaining`: instructions behind it. */
  writeInstruction(instruction: Instruction, registers: InstructionRegisters, live: number, remaining: number): void {
    this.instruction = instruction;
    this.form = instruction.form;
    this.facts = instruction.facts;
    this.registers = registers;
    this.live = live;
    this.remaining = remaining;
    this.outcome = undefined;
    this.pages.startInstruction();
    this.floats.startInstruction();
    this.startForm();
    this.registersRead = 0;
    this.registersWritten = 0;
    // Elsewhere the x87 is looked for in memory.
    const leaves = this.facts.transfer === 'call' || this.facts.transfer === 'jump';
    if (instruction.apart || leaves || this.facts.x87 === 'memory') this.x87.settle();
    if (instruction.secondPage !== 0 && !this.firstOfBlock)
      this.checkSecondPage(instruction, registers.dirty, remaining + 1);
    this.firstOfBlock = false;
    if (instruction.apart) this.callForm();
    else this.emit();
    if ((this.registersRead & ~registers.reads) !== 0 || this.registersWritten !== registers.writes) {
      throw new Error(`${this.form.name} uses other registers than was foreseen`);
    }
    if (!this.outcome) this.endInstruction();
  }

  /** After the instruction, and after its outcome has been written. */
  endInstruction(): void {
    const kept = this.flagNodes();
    const leaves: Node[] = [];
    for (const n of kept) this.nodes.leaves(n, (leaf) => leaves.push(leaf));
    const { firstRegister } = this.frame;
    for (let at = 0; at < this.watched.length; at++) {
      this.current[at] = undefined;
      const list = this.watched[at];
      if (!list || list.length === 0) continue;
      const local = firstRegister + at;
      this.watched[at] = leaves.length === 0 ? [] : list.filter((n) => n.local === local && leaves.includes(n));
    }
    this.nodes.release(kept);
    this.x87.endInstruction();
  }

  protected override prologue(): void {
    const { row } = this.form;
    if (row.privileged) this.bailIf(this.loadField('i32', 'i32.load', Vcpu.offsets.cpl));
    if (!row.unit || this.unitsChecked) return;
    this.unitsChecked = this.openArms === 0;
    this.bailIf(this.nodes.inLocal('i32', this.frame.fpuTrap));
  }

  // Control. --------------------------------------------------------------------------------------------------------

  if(c: Value, then: () => void, otherwise?: () => void): void {
    if (this.constantOf(c) === 1n && !otherwise) {
      then();
      return;
    }
    const flagsToLocals = this.beforeArms();
    this.put(c).if();
    this.arm(then, flagsToLocals);
    if (otherwise) {
      this.code.else();
      this.arm(otherwise, flagsToLocals);
    }
    this.code.end();
  }

  override unless(conditions: readonly Value[], then: () => void): void {
    const { code, nodes } = this;
    const open = conditions.filter((c) => this.constantOf(c) !== 1n);
    const [first, ...rest] = open;
    if (!first) return;
    const flagsToLocals = this.beforeArms();
    code.block();
    const done = code.depth;
    code.block();
    const rare = code.depth;
    const leaveUnless = (c: Value): void => void this.put(this.negate(c)).brIf(rare, true);
    leaveUnless(first);
    nodes.openArm();
    rest.forEach(leaveUnless);
    nodes.closeArm();
    code.br(done);
    code.end();
    this.arm(then, flagsToLocals);
    code.end();
  }

  /** Whether the flags have gone to locals, which arms may change. */
  private beforeArms(): boolean {
    const mayWrite = this.facts.flagsMayWrite & ~this.facts.flagsWritten & this.live;
    if (this.openArms === 0 && this.facts.variables) this.copyWatched();
    if (mayWrite !== 0) this.toLocals();
    return mayWrite !== 0;
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
    const setsFlags = (this.facts.flagsWritten & this.live) !== 0;
    this.put(when).if('none', true);
    this.arm(() => {
      commit();
      if (setsFlags) this.toMemory();
    });
    code.else();
    this.arm(() => {
      x87.writeBack(before);
      this.toMemory();
      this.runForm();
      x87.putDiffers();
      code.ifUnlikely();
      this.leaveBehind(compiledExit.unwind);
      code.end();
      x87.reload();
    });
    code.end();
    if (setsFlags) this.flags = 'memory';
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
    this.current.fill(undefined);
  }

  // The vCPU. -------------------------------------------------------------------------------------------------------

  protected recordAddress(): Value {
    return this.int(4, this.instruction.record);
  }
  // Registers. ------------------------------------------------------------------------------------------------------

  private watch(n: Node): void {
    const at = n.local - this.frame.firstRegister;
    if (at >= 0) this.watched[at]?.push(n);
  }

  private forgetWatched(): void {
    this.watched.forEach((list, at) => {
      if (list.length > 0) this.watched[at] = [];
    });
  }

  /** Other code ran: registers have got new values that no node knows, and mappings may have changed. */
  private forgetRegisters(): void {
    this.pages.forget();
    this.floats.forget();
    this.forgetWatched();
    this.current.fill(undefined);
  }

  private registerNode(type: Type, local: number): Node {
    this.registersRead |= this.frame.registerBit(local);
    const known = this.current[local - this.frame.firstRegister];
    if (known) return known;
    const node = this.nodes.inLocal(type, local);
    this.current[local - this.frame.firstRegister] = node;
    this.watch(node);
    return node;
  }

  private setRegister(local: number, v: Node): void {
    this.registersWritten |= this.frame.registerBit(local);
    this.put(v);
    this.copyOld(local);
    this.code.set(local);
    this.current[local - this.frame.firstRegister] = undefined;
    if (this.openArms > 0 || v.local >= 0 || v.constant !== undefined) return;
    // What was computed lies in the register now.
    v.local = local;
    this.current[local - this.frame.firstRegister] = v;
    this.watch(v);
  }

  /** Nodes that stand on a register's local get one of their own. */
  private copyOld(local: number): void {
    const list = this.watched[local - this.frame.firstRegister];
    if (!list || list.length === 0) return;
    let copy: number | undefined;
    for (const n of list) {
      if (n.local !== local) continue;
      if (copy === undefined) {
        copy = this.nodes.allocate(wasmType[n.type]);
        this.code.get(local).set(copy);
      }
      n.local = copy;
    }
    this.watched[local - this.frame.firstRegister] = [];
  }

  /** Nothing stands on a register's local any more. */
  copyWatched(): void {
    for (let k = 0; k < this.watched.length; k++) this.copyOld(this.frame.firstRegister + k);
    this.current.fill(undefined);
  }

  private numberOf(o: FormOperand): number {
    if (o.slot === 'fixed') return o.number;
    return o.slot === 'rm' ? this.instruction.rm : this.instruction.reg;
  }

  /** General register of an operand: its number, and whether it is one of AH CH DH BH. */
  private general(o: FormOperand): { readonly local: number; readonly high: boolean } {
    if (o.slot === 'fixed') return { local: this.frame.gpr(o.number & 15), high: o.number >= 16 };
    const slot = this.numberOf(o) - gprStart;
    return { local: this.frame.gpr(slot >> 3), high: (slot & 7) === 1 };
  }

  /** A whole general register, i64. */
  private whole(n: number): Node {
    return this.as('i64', this.registerNode(this.frame.long ? 'i64' : 'i32', this.frame.gpr(n))) as Node;
  }

  protected readGeneral(o: FormOperand): Value {
    const { local, high } = this.general(o);
    const all = this.registerNode(this.frame.long ? 'i64' : 'i32', local);
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
    const local = this.vectorLocal(o);
    const all = this.registerNode('v128', local);
    if (o.size === 16) return all;
    const lane = this.extractLane(all, o.size as Size, 0);
    this.floats.noteLane(lane, local);
    return lane;
  }

  protected writeVector(o: FormOperand, v: Value): void {
    const local = this.vectorLocal(o);
    if (o.size === 16) {
      this.floats.noteCopied(local, (v as Node).local);
      this.setRegister(local, v as Node);
    } else {
      this.floats.noteWritten(local, v, o.size);
      this.setRegister(local, this.replaceLane(this.registerNode('v128', local), 0, v) as Node);
    }
  }

  protected mmxAddress(o: FormOperand): Value {
    const offset = o.slot === 'fixed' ? Vcpu.offsets.st + 16 * o.number : this.numberOf(o);
    return this.add(this.cpuAddress(), this.int(4, offset));
  }

  override setSystem(name: SystemRegister, v: Value): void {
    super.setSystem(name, v);
    if (name === 'mxcsr') this.floats.forget();
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
    if (slot === zeroSlot) return this.int(8, 0);
    if (slot === ripBaseSlot) return this.ripBase();
    return this.whole((slot - gprStart) >> 3);
  }

  private ripBase(): Value {
    return this.nodes.inLocal('i64', this.frame.ripBase);
  }

  protected operandOffset(operand: FormOperand): Value {
    const { instruction } = this;
    if (operand.number === 1) return this.int(8, instruction.immediate);
    let sum = this.slotValue(instruction.base);
    if (instruction.index !== zeroSlot) {
      sum = this.add(sum, this.shl(this.slotValue(instruction.index), this.int(4, instruction.scale)));
    }
    if (instruction.displacement !== 0) sum = this.add(sum, this.int(8, instruction.displacement));
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
  ripOf(offset: number | bigint): Node {
    const rip = this.add(this.ripBase(), this.int(8, offset));
    return (this.frame.long ? rip : this.and(rip, this.int(8, 0xffffffff))) as Node;
  }

  /** RIP of the offset in the page that a local holds, i64. */
  ripAt(local: number): Node {
    return this.add(this.ripBase(), this.as('i64', this.nodes.inLocal('i32', local))) as Node;
  }

  /** What `then` writes runs when the RIP lies in the region's page, with its offset in `frame.jumpOffset`. */
  ifInPage(rip: Node, then: () => void): void {
    const offset = this.nodes.hold(this.sub(rip, this.ripBase()) as Node);
    this.put(this.ltU(offset, this.int(8, 4096))).if('none', true);
    this.put(this.as('i32', offset)).set(this.frame.jumpOffset);
    this.arm(then);
    this.code.end();
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
  private bail(exit: number = compiledExit.apart): void {
    if (!this.facts.mayLeave) throw new Error(`${this.form.name} leaves, which was not foreseen`);
    this.frame.setPlace(exit, this.instruction.record, this.remaining);
    this.leave('interpreter', this.registers.dirty);
  }

  /** To an exit, from code that nothing comes after. */
  private leave(to: Beyond, dirty: RegisterSet): void {
    this.x87.writeBack();
    this.putFlagsInLocals();
    this.code.br(this.frame.levelOf({ to, dirty }));
  }

  /**
   * Before an instruction that goes on in the next page, and (of the first one of a block) before the block is counted:
   * the TLB or the core must know that page where the instruction was decoded. `budget` is what has been counted of it.
   */
  checkSecondPage({ record, offset, secondPage }: Instruction, dirty: RegisterSet, budget: number): void {
    const { frame, code } = this;
    this.putFetchDiffers(this.nodes.local(this.as(frame.long ? 'i64' : 'i32', this.ripOf(4096)) as Node), secondPage);
    code.ifUnlikely();
    frame.storeRipBase();
    code.i32(this.cpu).i32(record).call(this.calls.secondPageHolds).op('i32.eqz').ifUnlikely();
    this.nodes.openArm();
    code.i32(this.cpu);
    this.put(this.ripOf(offset)).memory('i64.store', Vcpu.offsets.rip);
    frame.setPlace(compiledExit.unwind, record, budget);
    this.leave('interpreter', dirty);
    this.nodes.closeArm();
    code.end().end();
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

  /** Registers whose locals hold what the vCPU does not, behind the instruction. */
  private get dirtyAfter(): RegisterSet {
    const { dirty, writes } = this.registers;
    return this.instruction.apart ? 0 : dirty | writes;
  }

  /**
   * Leaves to a RIP in i64, at the end of a block: into other compiled code, so that who called this one gets control
   * back from there; or back to who called.
   */
  exitTo(target: Node, back = false, dirty = this.dirtyAfter): void {
    const { frame, code } = this;
    if (!back) {
      this.put(target).set(frame.place);
      this.leave('compiled', dirty);
      return;
    }
    this.x87.writeBack();
    this.toMemory();
    frame.store(dirty);
    code.i32(this.cpu).get(frame.budget).memory('i32.store', Vcpu.offsets.budget);
    code.i32(this.cpu);
    this.put(target).memory('i64.store', Vcpu.offsets.rip);
    code.i32(compiledExit.go).return();
  }

  /** Leaves by a computed jump, whose record is in `frame.jumpRecord`: the profile learns where it led. */
  jumpOut(target: Node, dirty = this.dirtyAfter): void {
    const { frame, code } = this;
    this.nodes.hold(target);
    frame.storeRipBase();
    code.i32(this.cpu).get(frame.jumpRecord);
    this.put(target).call(this.calls.noteJump);
    this.exitTo(target, false, dirty);
  }

  /** Leaves to a record, before any of the block has been counted. */
  exitShort(record: number, dirty: RegisterSet): void {
    this.frame.setPlace(compiledExit.short, record, 0);
    this.leave('interpreter', dirty);
  }

  /** The form's function does the instruction, and compiled code goes on behind it. */
  private callForm(): void {
    this.toMemory();
    this.runForm();
    this.frame.reload();
    this.frame.load(this.registers.needed);
    this.flags = 'words';
    this.unitsChecked = false;
    this.forgetRegisters();
  }

  /** Calls the form's function, with everything in memory; registers are not loaded again. */
  private runForm(): void {
    const { frame, code, instruction } = this;
    frame.store(this.registers.dirty);
    frame.storeRipBase();
    code.i32(this.cpu).i32(instruction.record).memory('i32.store', Vcpu.offsets.record);
    code.i32(this.cpu).get(frame.budget).i32(this.remaining).op('i32.add').memory('i32.store', Vcpu.offsets.budget);
    code.i32(this.cpu).i32(instruction.record).call(this.calls.runForm).tee(frame.exitCode).ifUnlikely();
    code.get(frame.exitCode).i32(compiledExit.status).op('i32.add').return().end();
    code.i32(this.cpu).memory('i32.load', Vcpu.offsets.unwind).ifUnlikely();
    this.leaveBehind(compiledExit.unwind);
    code.end();
    code.i32(this.cpu).memory('i32.load', Vcpu.offsets.budget).i32(this.remaining).op('i32.sub').set(frame.budget);
  }

  /** Leaves behind an instruction that its form's function has done. */
  private leaveBehind(exit: number): void {
    this.code.i32(this.cpu);
    this.put(this.nextRip()).memory('i64.store', Vcpu.offsets.rip);
    this.code.i32(exit).return();
  }

  /**
   * The outcome is a call: runs compiled code there, and comes back to the instruction behind. `bare`: what comes then
   * loads what it needs.
   */
  callOut(target: Node, bare: boolean): void {
    this.callOn(target, this.nextRip() as Node, this.dirtyAfter);
    this.behindCall(bare ? undefined : this.registers.needed);
  }

  /** Runs compiled code at a RIP until control comes back with the RIP `behind`. */
  callOn(target: Node, behind: Node, dirty: RegisterSet): void {
    const { frame, code } = this;
    this.x87.settle();
    this.toMemory();
    this.nodes.hold(target);
    frame.store(dirty);
    code.i32(this.cpu).get(frame.budget).memory('i32.store', Vcpu.offsets.budget);
    const returnIfLeft = (): void => {
      code.tee(frame.exitCode).ifUnlikely().get(frame.exitCode).return().end();
    };
    const pushDepth = (): Code => code.i32(this.cpu).get(depthParameter).i32(1).op('i32.add');
    pushDepth();
    this.put(target).call(this.calls.callCompiled);
    returnIfLeft();
    code.i32(this.cpu).memory('i64.load', Vcpu.offsets.rip);
    this.put(behind).op('i64.ne').ifUnlikely();
    pushDepth();
    this.put(behind).call(this.calls.returnedElsewhere);
    returnIfLeft();
    code.end();
  }

  /** Other code has run: registers are loaded, unless what comes then loads what it needs. */
  behindCall(needed: RegisterSet | undefined): void {
    if (needed !== undefined) this.frame.loadAnew(needed);
    this.flags = 'memory';
    this.unitsChecked = false;
    this.forgetRegisters();
  }

  // Copies of functions (`inline.ts`). ------------------------------------------------------------------------------

  /** What `then` writes, which jumps away, runs where control leads to `expected`, if given, and a page is mapped so. */
  ifLeadsTo(target: Node, expected: Node | undefined, mapping: Mapping | undefined, then: () => void): void {
    const { code } = this;
    this.nodes.hold(target);
    code.block();
    const other = code.depth;
    if (expected) this.put(this.negate(this.eq(target, expected))).brIf(other, true);
    if (mapping) this.toUnlessMapped(mapping, other);
    this.arm(then);
    code.end();
  }

  /** To a level of nesting, unless code is fetched from that frame at that RIP. */
  private toUnlessMapped({ rip, frame }: Mapping, level: number): void {
    const { code } = this;
    const page = this.nodes.local(this.as(this.frame.long ? 'i64' : 'i32', rip) as Node);
    this.putFetchDiffers(page, frame);
    code.ifUnlikely().i32(this.cpu).get(page);
    if (!this.frame.long) code.op('i64.extend_i32_u');
    code
      .i32(frame | 0)
      .call(this.calls.fetchesFrom)
      .op('i32.eqz')
      .brIf(level, true);
    code.end();
  }

  /** Control goes to another page, that far away. */
  moveRipBase(distance: bigint): void {
    const { code, frame } = this;
    code.get(frame.ripBase).i64(distance).op('i64.add');
    if (!frame.long) code.i64(0xffffffffn).op('i64.and');
    code.set(frame.ripBase);
  }

  /** Whether the TLB does not know the page in a local to be fetched from a frame: 0 or not. */
  private putFetchDiffers(page: number, host: number): void {
    const { frame, code } = this;
    const { ops } = this.accesses;
    const entry = this.nodes.allocate('i32');
    const array = frame.tlb + 2 * Arena.tlbArrayBytes;
    this.accesses.putTlbOffset(page);
    code
      .tee(entry)
      .memory(ops.load, array + TlbEntry.offsets.tag)
      .get(page)
      .op(ops.sub);
    if (frame.long) code.op('i64.eqz').op('i32.eqz');
    code.get(page);
    if (frame.long) code.op('i32.wrap_i64');
    code
      .get(entry)
      .memory('i32.load', array + TlbEntry.offsets.addend)
      .op('i32.add');
    code
      .i32(host | 0)
      .op('i32.xor')
      .op('i32.or');
  }

  protected callCore(callee: FunctionReference, result: 'none', ...args: readonly Value[]): void;
  protected callCore(callee: FunctionReference, result: 'i32' | 'i64', ...args: readonly Value[]): Value;
  protected callCore(callee: FunctionReference, result: 'none' | 'i32' | 'i64', ...args: readonly Value[]): Value {
    this.code.i32(this.cpu);
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

  /** The access is not in the page that its block knows: the interpreter does it. */
  private stray(): void {
    this.nodes.openArm();
    this.bail(compiledExit.strayed);
    this.nodes.closeArm();
  }

  /** The TLB misses: the interpreter does the instruction, or the core finds the host address, if it can. */
  private callForHost({ address, host, size, write }: Access, needs: PageNeeds): boolean {
    const { code, frame } = this;
    if (!this.instruction.missesOften) {
      this.nodes.openArm();
      this.bail(compiledExit.missed);
      this.nodes.closeArm();
      return false;
    }
    if (!this.facts.mayLeave) throw new Error(`${this.form.name} leaves, which was not foreseen`);
    code.i32(this.cpu).get(address);
    if (!frame.long) code.op('i64.extend_i32_u');
    code.i32(size | needs).i32(this.instruction.record);
    code
      .call(write ? this.calls.compiledWrite : this.calls.compiledRead)
      .tee(host)
      .op('i32.eqz');
    code.ifUnlikely();
    this.nodes.openArm();
    this.bail();
    this.nodes.closeArm();
    code.end();
    return true;
  }

  private host(linear: Value, size: number, write: boolean, stack: boolean): Value {
    const address = this.nodes.local(this.as(this.frame.long ? 'i64' : 'i32', linear) as Node);
    const bases = stack ? stackBases : operandBases(this.instruction);
    // Where alignment is checked, the core looks at each access.
    const keeps = this.openArms === 0 && (this.frame.modeKey & modeKey.alignmentCheck) === 0;
    return this.accesses.host({ address, host: this.nodes.allocate('i32'), size, write }, bases, keeps);
  }

  protected hostToRead(linear: Value, size: number, stack: boolean): Value {
    return this.host(linear, size, false, stack);
  }

  protected hostToWrite(linear: Value, size: number, stack: boolean): WriteTarget {
    return { host: this.host(linear, size, true, stack), commit: () => undefined };
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
