/**
 * What the builders that write WebAssembly share: operands, addresses, memory, the stack and transfers of one
 * instruction. The interpreter's builder takes operands from a record that is known when the code runs, the compiler's
 * from one that is known when the code is written: they differ in the hooks.
 */
import type { Builder, Instruction, Operand, Segment, Size, SystemRegister, Type, Value } from '../isa/builder.ts';
import type { RegisterStack, ScalarFloats, ShortWay, Variable } from '../isa/builder.ts';
import type { Form, FormOperand } from '../isa/compile.ts';
import { NoFloatsKnown } from '../isa/no-floats-known.ts';
import { lowVector } from '../isa/vector.ts';
import { StackInMemory } from '../isa/register-stack.ts';
import { Vcpu } from '../state.ts';
import type { FunctionReference } from '../../wasm/encoder.ts';
import type { OpcodeName } from '../../wasm/opcodes.ts';
import type { Calls } from './core-calls.ts';
import { FlagWords } from './flag-words.ts';
import { intType, sizeOf } from './operations.ts';

/** What every builder may call; the others are what its hooks need. */
export type CoreCalls = Calls<'segmentBase' | 'probeWrite'>;

/** A displaced or popped operand: with how the linear address of an access is found. */
interface Place extends Operand {
  readonly operand: FormOperand;
  readonly linear: (write: boolean) => Value;
}

/** Where a write goes: a host address (i32), and what must follow the store. */
export interface WriteTarget {
  readonly host: Value;
  commit(): void;
}

const segmentNumber: Readonly<Record<Segment, number>> = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5 };
export const loadOp: Readonly<Record<number, OpcodeName>> = {
  1: 'i32.load8_u',
  2: 'i32.load16_u',
  4: 'i32.load',
  8: 'i64.load',
  16: 'v128.load',
};
export const storeOp: Readonly<Record<number, OpcodeName>> = {
  1: 'i32.store8',
  2: 'i32.store16',
  4: 'i32.store',
  8: 'i64.store',
  16: 'v128.store',
};
export const typeOfSize: Readonly<Record<number, Type>> = { 1: 'i8', 2: 'i16', 4: 'i32', 8: 'i64', 16: 'v128' };
const rsp = 4;

/** Fields behind SystemRegister: offset, bytes in memory, bytes as a value. */
const systemField: Readonly<Record<SystemRegister, readonly [number, number, Size]>> = {
  fpuControl: [Vcpu.offsets.fpuControl, 2, 4],
  fpuStatus: [Vcpu.offsets.fpuStatus, 2, 4],
  fpuTags: [Vcpu.offsets.fpuTags, 2, 4],
  fpuTop: [Vcpu.offsets.fpuTop, 4, 4],
  fpuOpcode: [Vcpu.offsets.fpuOpcode, 2, 4],
  fpuIp: [Vcpu.offsets.fpuIp, 8, 8],
  fpuDp: [Vcpu.offsets.fpuDp, 8, 8],
  mxcsr: [Vcpu.offsets.mxcsr, 4, 4],
  fpuTrap: [Vcpu.offsets.fpuTrap, 4, 4],
  cpl: [Vcpu.offsets.cpl, 4, 4],
  eflags: [Vcpu.offsets.eflags, 4, 4],
  cr0: [Vcpu.offsets.cr0, 4, 4],
  cr4: [Vcpu.offsets.cr4, 4, 4],
  shadow: [Vcpu.offsets.shadow, 4, 4],
  msrTscAux: [Vcpu.offsets.msrTscAux, 8, 8],
  gdtBase: [Vcpu.offsets.gdtBase, 8, 8],
  gdtLimit: [Vcpu.offsets.gdtLimit, 4, 4],
  idtBase: [Vcpu.offsets.idtBase, 8, 8],
  idtLimit: [Vcpu.offsets.idtLimit, 4, 4],
  ldtrSelector: [Vcpu.offsets.segSelector + 12, 2, 2],
  trSelector: [Vcpu.offsets.segSelector + 14, 2, 2],
};

export abstract class FormBuilder extends FlagWords implements Builder {
  protected abstract readonly form: Form;
  protected abstract readonly calls: CoreCalls;
  /** Set while the body of a `pop` runs: transfers wait until the stack pointer has moved. */
  private deferred: { target?: Value } | undefined;
  private temporaries = 0;
  private readonly stackInMemory = new StackInMemory(this);
  private readonly noFloats = new NoFloatsKnown(this);
  /** The instruction left by a way of its own (a status helper, sync, a transfer): nothing may follow. */
  protected left = false;

  // Hooks. ----------------------------------------------------------------------------------------------------------

  /** The vCPU's address as i32. */
  protected abstract cpuAddress(): Value;
  /** Reads memory of the host now: type of the value, at an i32 address and offset. */
  protected abstract loadAt(type: Type, op: OpcodeName, address: Value, offset: number): Value;
  protected abstract storeAt(op: OpcodeName, address: Value, offset: number, v: Value): void;
  protected loadField(type: Type, op: OpcodeName, offset: number): Value {
    return this.loadAt(type, op, this.cpuAddress(), offset);
  }
  protected storeField(op: OpcodeName, offset: number, v: Value): void {
    this.storeAt(op, this.cpuAddress(), offset, v);
  }
  /** Calls a core function, the vCPU's address first. */
  protected abstract callCore(callee: FunctionReference, result: 'none', ...args: readonly Value[]): void;
  protected abstract callCore(callee: FunctionReference, result: 'i32' | 'i64', ...args: readonly Value[]): Value;
  /** The record as an i32 address. */
  protected abstract recordAddress(): Value;

  protected abstract readGeneral(o: FormOperand): Value;
  protected abstract writeGeneral(o: FormOperand, v: Value): void;
  protected abstract readVector(o: FormOperand): Value;
  protected abstract writeVector(o: FormOperand, v: Value): void;
  /** Address (i32) of an MMX register. */
  protected abstract mmxAddress(o: FormOperand): Value;
  abstract registerNumber(o: Operand): Value;
  /** `size` bytes of the immediate from byte `at`. */
  protected abstract immediate(size: number, at: number): Value;
  /** Effective address of the memory operand, i64, under the address size. */
  protected abstract operandOffset(operand: FormOperand): Value;
  /** An offset under the natural address size of the code, i64. */
  protected abstract maskAddress(offset: Value): Value;
  protected abstract maskStack(pointer: Value): Value;
  /** Number of the memory operand's segment. */
  protected abstract recordSegment(): Value;
  /** RIP of the next instruction, i64, not wrapped. */
  protected abstract nextRip(): Value;
  abstract currentIp(): Value;
  /** The immediate as a branch's displacement, i64. */
  protected abstract relativeOffset(): Value;

  /** Host address to read `size` bytes at a linear address; leaves on a fault. */
  protected abstract hostToRead(linear: Value, size: number, stack: boolean): Value;
  protected abstract hostToWrite(linear: Value, size: number, stack: boolean): WriteTarget;
  /** Leaves when the last call met trouble. */
  protected abstract leaveIfTrouble(): void;
  /** Linear address of an access through a segment, checked. */
  protected abstract segmented(segment: Value, offset: Value, size: number, write: boolean): Value;
  /** Refused where nothing may be called. */
  protected abstract needCalls(what: string): void;

  /** Leaves to an absolute target, i64. */
  protected abstract transfer(target: Value): void;
  abstract branch(c?: Value): void;
  abstract sync(): void;
  abstract raise(vector: number, error?: Value): void;
  abstract helper(name: string, ...args: Value[]): Value;
  abstract if(c: Value, then: () => void, otherwise?: () => void): void;
  abstract shortWay(attempt: () => ShortWay, general: () => void): void;
  abstract select(c: Value, whenTrue: Value, whenFalse: Value): Value;
  abstract variable(initial: Value): Variable;
  abstract get(v: Variable): Value;
  abstract set(v: Variable, value: Value): void;

  // The instruction. ------------------------------------------------------------------------------------------------

  /** A builder that writes one instruction after another forgets the last one. */
  protected startForm(): void {
    this.left = false;
    this.temporaries = 0;
    this.deferred = undefined;
  }

  /** Writes the whole form. */
  emit(): void {
    this.prologue();
    this.form.row.semantics(this, this.form as Instruction);
  }

  protected prologue(): void {
    const { row } = this.form;
    if (row.privileged) this.raiseIf(this.loadField('bool', 'i32.load', Vcpu.offsets.cpl), 13, this.int(4, 0));
    if (!row.unit) return;
    // fpuTrap: bit 0 x87 and MMX raise #NM, bit 1 SSE raises #NM, bit 2 SSE raises #UD, bit 3 MMX raises #UD.
    const trap = this.loadField('i32', 'i32.load', Vcpu.offsets.fpuTrap);
    const unit = row.unit;
    const has = (bits: number): Value => this.ne(this.and(trap, this.int(4, bits)), this.int(4, 0));
    this.if(this.ne(trap, this.int(4, 0)), () => {
      if (unit !== 'x87') this.raiseIf(has(unit === 'sse' ? 4 : 8), 6);
      this.raiseIf(has(unit === 'sse' ? 2 : 1), 7);
    });
  }

  raiseIf(c: Value, vector: number, error?: Value): void {
    this.if(c, () => {
      this.raise(vector, error);
    });
  }

  // Operands. -------------------------------------------------------------------------------------------------------

  register(n: number | 'ah' | 'ch' | 'dh' | 'bh', size: Size): Operand {
    // Numbers above 15 are the high bytes AH CH DH BH.
    const number = typeof n === 'number' ? n : 16 + ['ah', 'ch', 'dh', 'bh'].indexOf(n);
    return { kind: 'register', size, slot: 'fixed', number } as FormOperand;
  }

  vectorRegister(n: number): Operand {
    return { kind: 'vector', size: 16, slot: 'fixed', number: n } as FormOperand;
  }

  addressRegister(n: number): Operand {
    return { kind: 'register', size: this.form.addressSize, slot: 'fixed', number: n } as FormOperand;
  }

  stackIndex(o: Operand): Value {
    return this.registerNumber(o);
  }

  private operandOf(o: Operand): FormOperand {
    return (o as Partial<Place>).operand ?? (o as FormOperand);
  }

  /** Of a displaced or popped operand. */
  private ownLinear(o: Operand): Place['linear'] | undefined {
    return (o as Partial<Place>).linear;
  }

  read(o: Operand): Value {
    const operand = this.operandOf(o);
    switch (operand.kind) {
      case 'memory':
        return this.loadLinear(this.linearOf(o, operand.size, false), operand.size);
      case 'immediate':
        return this.immediate(operand.size, operand.number);
      case 'segment':
        return this.readSelector(operand);
      case 'x87':
        return this.stAt(operand.slot === 'fixed' ? this.int(4, 0) : this.registerNumber(operand));
      case 'register':
        return this.readGeneral(operand);
      case 'vector':
        return this.readVector(operand);
      case 'mmx': {
        const { size } = operand;
        return this.loadAt(typeOfSize[size] ?? 'i64', loadOp[size] ?? 'i64.load', this.mmxAddress(operand), 0);
      }
      default:
        throw new Error(`${this.form.name}: control and debug registers are read by helpers`);
    }
  }

  readExtended(o: Operand): Value {
    const { kind, size } = this.operandOf(o);
    if (kind !== 'memory') return lowVector(this, this.read(o));
    const host = this.hostToRead(this.linearOf(o, size, false), size, false);
    return this.loadAt('v128', size === 8 ? 'v128.load64_zero' : 'v128.load32_zero', host, 0);
  }

  private readSelector(o: FormOperand): Value {
    const { segSelector } = Vcpu.offsets;
    if (o.slot === 'fixed') return this.loadField('i16', 'i32.load16_u', segSelector + 2 * o.number);
    const at = this.add(this.cpuAddress(), this.shl(this.registerNumber(o), this.int(4, 1)));
    return this.loadAt('i16', 'i32.load16_u', at, segSelector);
  }

  farPointer(o: Operand): { readonly offset: Value; readonly selector: Value } {
    const operand = this.operandOf(o);
    const size = this.operandSize();
    if (operand.kind === 'immediate') {
      return { offset: this.immediate(size === 8 ? 4 : size, 0), selector: this.immediate(2, 4) };
    }
    // Each part wraps at the address size by itself.
    const offset = this.loadLinear(this.linearOf(o, size, false), size);
    const selector = this.loadLinear(this.linearDisplaced(o, this.int(4, size), 2, false), 2);
    return { offset, selector };
  }

  /** The operand size where it is one of words: 2, 4 or 8. */
  private operandSize(): Size {
    return this.form.size === 1 ? 4 : this.form.size;
  }

  write(o: Operand, v: Value): void {
    const operand = this.operandOf(o);
    switch (operand.kind) {
      case 'memory':
        this.storeLinear(this.linearOf(o, operand.size, true), v, operand.size);
        return;
      case 'register':
        this.writeGeneral(operand, v);
        return;
      case 'mmx': {
        const address = this.mmxAddress(operand);
        const wide = operand.size === 8;
        this.storeAt(wide ? 'i64.store' : 'i32.store', address, 0, this.as(wide ? 'i64' : 'i32', v));
        this.storeAt('i32.store16', address, 8, this.int(4, 0xffff));
        return;
      }
      case 'x87':
        this.copyF80(this.read(o), v);
        return;
      case 'vector':
        this.writeVector(operand, v);
        return;
      default:
        throw new Error(`${this.form.name}: cannot write a ${operand.kind} operand`);
    }
  }

  update(o: Operand, change: (old: Value) => Value, then?: (old: Value, result: Value) => void): void {
    const operand = this.operandOf(o);
    if (operand.kind !== 'memory') {
      const old = this.read(o);
      const result = change(old);
      this.write(o, result);
      then?.(old, result);
      return;
    }
    const { size } = operand;
    const { host, commit } = this.hostToWrite(this.linearOf(o, size, true), size, false);
    const old = this.loadAt(typeOfSize[size] ?? 'i32', loadOp[size] ?? 'i32.load', host, 0);
    const result = change(old);
    this.storeAt(storeOp[size] ?? 'i32.store', host, 0, result);
    commit();
    then?.(old, result);
  }

  displaced(o: Operand, delta: Value, size: number): Operand {
    const operand = this.operandOf(o);
    const linear = (write: boolean): Value => this.linearDisplaced(o, delta, size, write);
    const moved: Place = { operand: { ...operand, size }, linear, kind: operand.kind, size };
    return moved;
  }

  popped(o: Operand, size: 2 | 4 | 8): Operand {
    const operand = this.operandOf(o);
    if (operand.kind !== 'memory') return o;
    // The address sees the stack pointer as if it had moved: move it, compute, move it back.
    const pointer = this.register(rsp, 8) as FormOperand;
    const before = this.readGeneral(pointer);
    this.writeGeneral(pointer, this.poppedPointer(before, this.int(8, size)));
    const offset = this.operandOffset(operand);
    this.writeGeneral(pointer, before);
    const linear = (write: boolean): Value =>
      this.form.general ? this.segmented(this.recordSegment(), offset, operand.size, write) : offset;
    const place: Place = { operand, linear, kind: operand.kind, size: operand.size };
    return place;
  }

  // Addresses. ------------------------------------------------------------------------------------------------------

  private linearOf(o: Operand, size: number, write: boolean): Value {
    const operand = this.operandOf(o);
    const linear = this.ownLinear(o);
    if (linear) return linear(write);
    const offset = this.operandOffset(operand);
    const found = this.form.general ? this.segmented(this.recordSegment(), offset, size, write) : offset;
    return this.aligned(found, operand);
  }

  private linearDisplaced(o: Operand, delta: Value, size: number, write: boolean): Value {
    const operand = this.operandOf(o);
    const linear = this.ownLinear(o);
    if (linear) throw new Error(`${this.form.name}: a displaced operand cannot be displaced again`);
    const wide = sizeOf(delta) < 8 ? this.sext(8, delta) : delta;
    const moved = this.add(this.operandOffset(operand), wide);
    if (!this.form.general) return this.maskAddress(moved);
    return this.segmented(this.recordSegment(), this.wrapOffset(moved), size, write);
  }

  /** An offset under the record's own address size. */
  protected abstract wrapOffset(offset: Value): Value;

  private aligned(linear: Value, operand: FormOperand): Value {
    if (this.form.row.aligned && operand.size === 16) {
      this.raiseIf(this.ne(this.and(linear, this.int(8, 15)), this.int(8, 0)), 13, this.int(4, 0));
    }
    return linear;
  }

  address(o: Operand): Value {
    return this.operandOffset(this.operandOf(o));
  }

  linearAddress(o: Operand): Value {
    const offset = this.operandOffset(this.operandOf(o));
    if (!this.form.general) return offset;
    return this.callCore(this.calls.segmentBase, 'i64', this.recordSegment(), offset);
  }

  // Memory. ---------------------------------------------------------------------------------------------------------

  protected loadLinear(linear: Value, size: number, stack = false): Value {
    const host = this.hostToRead(linear, size, stack);
    return this.loadAt(typeOfSize[size] ?? 'i32', loadOp[size] ?? 'i32.load', host, 0);
  }

  protected storeLinear(linear: Value, v: Value, size: number, stack = false): void {
    const { host, commit } = this.hostToWrite(linear, size, stack);
    this.storeAt(storeOp[size] ?? 'i32.store', host, 0, size === 16 ? v : this.as(size === 8 ? 'i64' : 'i32', v));
    commit();
  }

  load(segment: Segment, offset: Value, size: Size | 16): Value {
    return this.loadLinear(this.segmented(this.int(4, segmentNumber[segment]), offset, size, false), size);
  }

  store(segment: Segment, offset: Value, v: Value): void {
    const size = v.type === 'v128' ? 16 : sizeOf(v);
    this.storeLinear(this.segmented(this.int(4, segmentNumber[segment]), offset, size, true), v, size);
  }

  sourceSegment(): Value {
    return this.recordSegment();
  }

  loadSource(offset: Value, size: Size): Value {
    return this.loadLinear(this.segmented(this.recordSegment(), offset, size, false), size);
  }

  probe(o: Operand): void {
    const operand = this.operandOf(o);
    this.probeLinear(this.linearOf(o, operand.size, true), operand.size);
  }

  private probeLinear(linear: Value, size: number): void {
    this.needCalls('probe');
    this.callCore(this.calls.probeWrite, 'none', this.as('i64', linear), this.int(4, size));
    this.leaveIfTrouble();
  }

  // The stack. ------------------------------------------------------------------------------------------------------

  private readStackRegister(): Value {
    return this.readGeneral(this.register(rsp, 8) as FormOperand);
  }

  stackPointer(): Value {
    return this.maskStack(this.readStackRegister());
  }

  setStackPointer(v: Value): void {
    const pointer = this.as('i64', v);
    const next = this.form.general ? this.mergeStack(pointer) : this.maskStack(pointer);
    this.writeGeneral(this.register(rsp, 8) as FormOperand, next);
  }

  /** Bits of rSP outside of the stack mask are kept. */
  private mergeStack(v: Value): Value {
    const mask = this.loadField('i64', 'i64.load', Vcpu.offsets.stackMask);
    const kept = this.and(this.readStackRegister(), this.not(mask));
    return this.or(kept, this.maskStack(v));
  }

  private poppedPointer(before: Value, bytes: Value): Value {
    const moved = this.add(before, this.as('i64', bytes));
    return this.form.general ? this.mergeStack(moved) : this.maskStack(moved);
  }

  private stackLinear(offset: Value, size: number, write: boolean): Value {
    return this.form.general ? this.segmented(this.int(4, 2), offset, size, write) : offset;
  }

  loadStack(offset: Value, size: Size): Value {
    return this.loadLinear(this.stackLinear(this.maskStack(offset), size, false), size, true);
  }

  push(v: Value): void {
    const size = sizeOf(v);
    const pointer = this.maskStack(this.sub(this.stackPointer(), this.int(8, size)));
    this.storeLinear(this.stackLinear(pointer, size, true), v, size, true);
    this.setStackPointer(pointer);
  }

  probeStack(bytes: number): void {
    // Where the stack may wrap, each element does so by itself.
    const piece = this.form.general ? Math.min(this.form.stackSize, bytes) : bytes;
    for (let below = piece; below <= bytes; below += piece) {
      const pointer = this.maskStack(this.sub(this.stackPointer(), this.int(8, below)));
      this.probeLinear(this.stackLinear(pointer, piece, true), piece);
    }
  }

  pop(size: 2 | 4 | 8, then: (v: Value) => void, extra?: Value): void {
    const pointer = this.stackPointer();
    const v = this.loadLinear(this.stackLinear(pointer, size, false), size, true);
    let moved = this.add(pointer, this.int(8, size));
    if (extra) moved = this.add(moved, this.resize(8, extra));
    // With a register as destination nothing can fault any more, and POP rSP keeps what was popped.
    const early = this.form.operands.some((o) => o.kind === 'register');
    if (early) this.setStackPointer(moved);
    const outer = this.deferred;
    const mine: { target?: Value } = {};
    this.deferred = mine;
    then(v);
    this.deferred = outer;
    if (!early && !this.left) this.setStackPointer(moved);
    if (mine.target) this.transfer(mine.target);
  }

  // Transfers. ------------------------------------------------------------------------------------------------------

  nextIp(): Value {
    // Of stack size; in 16-bit code IP wraps.
    return this.trunc(this.operandSize(), this.nextRip());
  }

  protected relativeTarget(): Value {
    const target = this.add(this.nextRip(), this.relativeOffset());
    return this.zext(8, this.trunc(this.operandSize(), target));
  }

  checkTarget(target?: Value): void {
    if (this.form.size === 8) {
      if (!target) return;
      const shifted = this.sar(this.shl(target, this.int(4, 16)), this.int(4, 16));
      this.raiseIf(this.ne(shifted, target), 13, this.int(4, 0));
      return;
    }
    this.checkLimit(target ? this.resize(8, target) : this.relativeTarget());
  }

  /** #GP(0) when a target in legacy code lies beyond the limit of CS. */
  protected checkLimit(target: Value): void {
    const limit = this.as('i64', this.loadField('i32', 'i32.load', Vcpu.offsets.segLimit + 4));
    this.raiseIf(this.ltU(limit, target), 13, this.int(4, 0));
  }

  jump(target: Value): void {
    this.checkTarget(target);
    const wide = this.resize(8, target);
    if (this.deferred) this.deferred.target = wide;
    else this.transfer(wide);
  }

  x87Opcode(): Value {
    return this.immediate(2, 0);
  }

  // Processor registers. --------------------------------------------------------------------------------------------

  systemFlag(bit: number): Value {
    return this.bit(this.loadField('i32', 'i32.load', Vcpu.offsets.eflags), bit);
  }

  setSystemFlag(bit: number, b: Value): void {
    const rest = this.and(this.loadField('i32', 'i32.load', Vcpu.offsets.eflags), this.int(4, ~(1 << bit)));
    this.storeField('i32.store', Vcpu.offsets.eflags, this.or(rest, this.boolAt(b, bit)));
  }

  getSystem(name: SystemRegister): Value {
    const [offset, bytes, as] = systemField[name];
    return this.loadField(intType[as], loadOp[bytes] ?? 'i32.load', offset);
  }

  setSystem(name: SystemRegister, v: Value): void {
    const [offset, bytes] = systemField[name];
    this.storeField(storeOp[bytes] ?? 'i32.store', offset, this.as(bytes === 8 ? 'i64' : 'i32', v));
  }

  get registerStack(): RegisterStack {
    return this.stackInMemory;
  }

  get scalarFloats(): ScalarFloats {
    return this.noFloats;
  }

  unless(conditions: readonly Value[], then: () => void): void {
    const all = conditions.reduce((a, b) => this.both(a, b));
    this.if(this.negate(all), then);
  }

  // x87 and temporaries. --------------------------------------------------------------------------------------------

  /** Address of the physical register of ST(n). */
  private stAt(n: Value): Value {
    const physical = this.and(this.add(this.getSystem('fpuTop'), this.as('i32', n)), this.int(4, 7));
    const offset = this.add(this.shl(physical, this.int(4, 4)), this.int(4, Vcpu.offsets.st));
    return this.held(this.retype('f80', this.add(this.cpuAddress(), offset)));
  }

  /** A value that stays as it is now, whatever is written later. */
  protected abstract held(v: Value): Value;

  st(n: number): Value {
    return this.stAt(this.int(4, n));
  }

  setSt(n: number, v: Value): void {
    this.copyF80(this.stAt(this.int(4, n)), v);
  }

  temporary(): Value {
    const slot = this.temporaries++;
    if (slot >= 16) throw new Error(`${this.form.name}: more than 16 temporaries`);
    return this.retype('f80', this.add(this.cpuAddress(), this.int(4, Vcpu.offsets.scratch + 16 * slot)));
  }

  private addressOf(v: Value): Value {
    return this.retype('i32', v);
  }

  significand(v: Value): Value {
    return this.loadAt('i64', 'i64.load', this.addressOf(v), 0);
  }

  signExponent(v: Value): Value {
    return this.loadAt('i16', 'i32.load16_u', this.addressOf(v), 8);
  }

  f80(significand: Value, signExponent: Value): Value {
    const t = this.temporary();
    this.setF80(t, significand, signExponent);
    return t;
  }

  setF80(f80: Value, significand: Value, signExponent: Value): void {
    this.storeAt('i64.store', this.addressOf(f80), 0, significand);
    this.storeAt('i64.store', this.addressOf(f80), 8, this.as('i64', signExponent));
  }

  /** In two words, as values are written: a processor cannot forward two stores to one wider load. */
  copyF80(temporary: Value, v: Value): void {
    for (const at of [0, 8]) {
      this.storeAt('i64.store', this.addressOf(temporary), at, this.loadAt('i64', 'i64.load', this.addressOf(v), at));
    }
  }

  spill(v: Value): Value {
    const t = this.temporary();
    this.storeAt('v128.store', this.addressOf(t), 0, v);
    return t;
  }

  fill(temporary: Value): Value {
    return this.loadAt('v128', 'v128.load', this.addressOf(temporary), 0);
  }
}
