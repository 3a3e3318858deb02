/**
 * The interpreter builder: writes one form's semantics as WebAssembly whose operands come from a record.
 *
 * It writes for one of two places (`Frame`): a case of the dispatch loop, where the record, the budget and the exits
 * are the loop's, or a function of its own that returns a status.
 */
import type { Builder, Instruction, Operand, Segment, Size, SystemRegister, Type, Value } from '../isa/builder.ts';
import type { Form, FormOperand } from '../isa/compile.ts';
import { Arena, TlbEntry } from '../arena.ts';
import { Record } from '../record.ts';
import { Vcpu } from '../state.ts';
import { status } from '../status.ts';
import type { FunctionBuilder, FunctionReference, ValueType } from '../../wasm/encoder.ts';
import type { OpcodeName } from '../../wasm/opcodes.ts';
import type { Emitted } from './values.ts';
import { NotInline, ValueEmitter } from './values.ts';

/** Core functions that the builder itself calls; helpers of `isa/helpers.ts` come beside them. */
export interface CoreCalls {
  slowRead: FunctionReference;
  slowWrite: FunctionReference;
  commitWrite: FunctionReference;
  /** (cpu, record) → effective address of the memory operand, i64. */
  operandOffset: FunctionReference;
  /** (record, offset i64) → the offset, wrapped at the record's address size. */
  wrapOffset: FunctionReference;
  /** (cpu, segment, offset i64, size, write) → linear address i64; faults by `trouble`. */
  segmentLinear: FunctionReference;
  /** (cpu, segment, offset i64) → linear address without any check. */
  segmentBase: FunctionReference;
  /** (cpu, linear i64, size): faults by `trouble` as a write would. */
  probeWrite: FunctionReference;
  raise: FunctionReference;
  raiseNoError: FunctionReference;
  helper(name: string): {
    reference: FunctionReference;
    parameters: readonly ('i32' | 'i64')[];
    result: string;
    kind: string;
  };
}

/** Where the code goes and how it leaves. */
export interface Frame {
  readonly f: FunctionBuilder;
  readonly pool: Map<ValueType, number[]>;
  readonly record: number;
  /** In the dispatch loop, where nothing may be called; absent in a function of its own. */
  readonly loop?: {
    readonly budget: number;
    /** i64 local that takes the target of a transfer. */
    readonly target: number;
    /** Nesting levels to branch to. `bail`: the form's function does the instruction, from its beginning. */
    readonly bail: number;
    readonly next: number;
    readonly go: number;
    readonly link: number;
  };
}

interface Place {
  readonly operand: FormOperand;
  /** Gives the linear address of an access when it is not simply the operand's: displaced, popped. */
  readonly linear?: (write: boolean) => Value;
}

const segmentNumber: Readonly<Record<Segment, number>> = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5 };
const loadOp: Readonly<Record<number, OpcodeName>> = {
  1: 'i32.load8_u',
  2: 'i32.load16_u',
  4: 'i32.load',
  8: 'i64.load',
  16: 'v128.load',
};
const storeOp: Readonly<Record<number, OpcodeName>> = {
  1: 'i32.store8',
  2: 'i32.store16',
  4: 'i32.store',
  8: 'i64.store',
  16: 'v128.store',
};
const typeOfSize: Readonly<Record<number, Type>> = { 1: 'i8', 2: 'i16', 4: 'i32', 8: 'i64', 16: 'v128' };
/** Beside the size that a slow path is given: the access is to the stack (`core/memory.ts`). */
const stackAccess = 0x100;
const rsp = Vcpu.offsets.gpr + 4 * 8;

/** Fields behind SystemRegister: offset, bytes in memory, bytes as a value. */
const systemField: Readonly<Record<SystemRegister, readonly [number, number, number]>> = {
  fpuControl: [Vcpu.offsets.fpuControl, 2, 4],
  fpuStatus: [Vcpu.offsets.fpuStatus, 2, 4],
  fpuTags: [Vcpu.offsets.fpuTags, 2, 4],
  fpuTop: [Vcpu.offsets.fpuTop, 4, 4],
  fpuOpcode: [Vcpu.offsets.fpuOpcode, 2, 4],
  fpuCs: [Vcpu.offsets.fpuCs, 2, 4],
  fpuDs: [Vcpu.offsets.fpuDs, 2, 4],
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

export class InterpreterBuilder extends ValueEmitter implements Builder {
  private readonly frame: Frame;
  private readonly calls: CoreCalls;
  private readonly form: Form;
  private readonly record: number;
  /** Set while the body of a `pop` runs: transfers wait until the stack pointer has moved. */
  private deferred: { target?: Value } | undefined;
  /** Nesting of `if`: transfers in an arm end the instruction only there. */
  private nesting = 0;
  private temporaries = 0;
  /** The form left through a status of its own (a status helper, sync): nothing may follow. */
  left = false;
  /** Something of the guest's state has been written: the instruction cannot start over. */
  private wrote = false;

  constructor(frame: Frame, calls: CoreCalls, form: Form) {
    super(frame.f, frame.pool);
    this.frame = frame;
    this.calls = calls;
    this.form = form;
    this.record = frame.record;
  }

  /** Writes the whole form; `done` is left for the caller to add (advance, or status ok). */
  emit(): void {
    this.prologue();
    this.form.row.semantics(this, this.form as Instruction);
  }

  protected override storeField(op: OpcodeName, offset: number, push: () => void): void {
    this.wrote = true;
    super.storeField(op, offset, push);
  }

  private prologue(): void {
    const { row } = this.form;
    if (row.privileged) {
      this.loadField('i32.load', Vcpu.offsets.cpl);
      this.raiseIf(this.take('bool'), 13, this.int(4, 0));
    }
    if (row.unit) {
      // fpuTrap: bit 0 x87 and MMX raise #NM, bit 1 SSE raises #NM, bit 2 SSE raises #UD, bit 3 MMX raises #UD.
      this.loadField('i32.load', Vcpu.offsets.fpuTrap);
      const trap = this.take('i32');
      const unit = row.unit;
      this.if(this.ne(trap, this.int(4, 0)), () => {
        if (unit !== 'x87')
          this.raiseIf(this.ne(this.and(trap, this.int(4, unit === 'sse' ? 4 : 8)), this.int(4, 0)), 6);
        this.raiseIf(this.ne(this.and(trap, this.int(4, unit === 'sse' ? 2 : 1)), this.int(4, 0)), 7);
      });
    }
  }

  // Exits. ----------------------------------------------------------------------------------------------------------

  private fault(): void {
    if (this.frame.loop) this.code.br(this.frame.loop.bail);
    else this.code.i32(status.fault).return();
  }

  private faultIfTrouble(): void {
    this.loadField('i32.load', Vcpu.offsets.trouble).if();
    this.fault();
    this.code.end();
  }

  raise(vector: number, error?: Value): void {
    if (this.frame.loop) {
      this.fault();
      return;
    }
    this.code.get(this.cpu).i32(vector);
    if (error) this.pushAs('i32', error).call(this.calls.raise);
    else this.code.call(this.calls.raiseNoError);
    this.fault();
  }

  raiseIf(c: Value, vector: number, error?: Value): void {
    this.push_(c);
    this.code.if();
    this.raise(vector, error);
    this.code.end();
  }

  override if(c: Value, then: () => void, otherwise?: () => void): void {
    this.nesting++;
    super.if(c, then, otherwise);
    this.nesting--;
  }

  sync(): void {
    if (this.frame.loop) throw new NotInline('sync');
    this.code.i32(status.sync).return();
    if (this.nesting === 0) this.left = true;
  }

  // Register slots. -------------------------------------------------------------------------------------------------

  private slotField(o: FormOperand): number {
    return o.slot === 'rm' ? Record.offsets.rm : Record.offsets.reg;
  }

  /** Pushes the address of a register operand, and gives the offset to add. */
  private registerAddress(o: FormOperand): number {
    if (o.slot === 'fixed') {
      this.code.get(this.cpu);
      return this.fixedOffset(o);
    }
    this.code.get(this.cpu).get(this.record).memory('i32.load16_u', this.slotField(o)).op('i32.add');
    return 0;
  }

  private fixedOffset(o: FormOperand): number {
    switch (o.kind) {
      case 'vector':
        return Vcpu.offsets.xmm + 16 * o.number;
      case 'mmx':
        return Vcpu.offsets.st + 16 * o.number;
      default:
        // Numbers above 15 are the high bytes AH CH DH BH.
        return o.number >= 16 ? Vcpu.offsets.gpr + 8 * (o.number - 16) + 1 : Vcpu.offsets.gpr + 8 * o.number;
    }
  }

  register(n: number | 'ah' | 'ch' | 'dh' | 'bh', size: Size): Operand {
    const number = typeof n === 'number' ? n : 16 + ['ah', 'ch', 'dh', 'bh'].indexOf(n);
    return { kind: 'register', size, slot: 'fixed', number } as FormOperand;
  }

  vectorRegister(n: number): Operand {
    return { kind: 'vector', size: 16, slot: 'fixed', number: n } as FormOperand;
  }

  addressRegister(n: number): Operand {
    return { kind: 'register', size: this.form.addressSize, slot: 'fixed', number: n } as FormOperand;
  }

  registerNumber(o: Operand): Value {
    const operand = o as FormOperand;
    if (operand.slot === 'fixed') return this.int(4, operand.number);
    this.code.get(this.record).memory('i32.load16_u', this.slotField(operand));
    return this.take('i32');
  }

  stackIndex(o: Operand): Value {
    return this.registerNumber(o);
  }

  // Operands. -------------------------------------------------------------------------------------------------------

  private place(o: Operand): Place {
    return 'operand' in o ? (o as unknown as Place) : { operand: o as FormOperand };
  }

  read(o: Operand): Value {
    const { operand } = this.place(o);
    switch (operand.kind) {
      case 'memory':
        return this.readMemory(o);
      case 'immediate':
        return this.immediate(operand.size, operand.number);
      case 'segment': {
        this.code.get(this.cpu);
        if (operand.slot === 'fixed') this.code.memory('i32.load16_u', Vcpu.offsets.segSelector + 2 * operand.number);
        else {
          this.code.get(this.record).memory('i32.load16_u', this.slotField(operand)).i32(1).op('i32.shl').op('i32.add');
          this.code.memory('i32.load16_u', Vcpu.offsets.segSelector);
        }
        return this.take('i16');
      }
      case 'x87':
        return this.stAt(operand.slot === 'fixed' ? this.int(4, 0) : this.registerNumber(operand));
      case 'control':
      case 'debug':
        throw new Error(`${this.form.name}: control and debug registers are read by helpers`);
      default: {
        const offset = this.registerAddress(operand);
        this.code.memory(loadOp[operand.size] ?? 'i32.load', offset);
        return this.take(typeOfSize[operand.size] ?? 'i32');
      }
    }
  }

  /** `size` bytes of the record's immediate, from byte `at`. */
  private immediate(size: number, at = 0): Value {
    this.code.get(this.record);
    this.code.memory(loadOp[size] ?? 'i32.load', Record.offsets.immediate + at);
    return this.take(typeOfSize[size] ?? 'i32');
  }

  farPointer(o: Operand): { readonly offset: Value; readonly selector: Value } {
    const { operand } = this.place(o);
    const size = this.form.size === 1 ? 4 : this.form.size;
    if (operand.kind === 'immediate') {
      const offset = this.immediate(size === 8 ? 4 : size);
      this.code.get(this.record).memory('i32.load16_u', Record.offsets.immediate + 4);
      return { offset, selector: this.take('i16') };
    }
    // Each part wraps at the address size by itself.
    const offset = this.loadLinear(this.linearOf(o, size, false), size);
    const selector = this.loadLinear(this.linearDisplaced(o, this.int(4, size), 2, false), 2);
    return { offset, selector };
  }

  write(o: Operand, v: Value): void {
    this.wrote = true;
    const { operand } = this.place(o);
    switch (operand.kind) {
      case 'memory':
        this.storeLinear(this.checkAlignment(this.linearOf(o, operand.size, true), operand), v, operand.size);
        return;
      case 'register': {
        const offset = this.registerAddress(operand);
        if (operand.size === 4) {
          this.pushAs('i64', v);
          this.code.memory('i64.store', offset);
        } else {
          this.push_(v);
          this.code.memory(storeOp[operand.size] ?? 'i32.store', offset);
        }
        return;
      }
      case 'mmx': {
        const offset = this.registerAddress(operand);
        const address = this.take('i32') as Emitted;
        this.code.get(address.local);
        this.pushAs(operand.size === 8 ? 'i64' : 'i32', v);
        this.code.memory(storeOp[operand.size] ?? 'i64.store', offset);
        this.code
          .get(address.local)
          .i32(0xffff)
          .memory('i32.store16', offset + 8);
        return;
      }
      case 'x87':
        this.copyF80(this.read(o), v);
        return;
      case 'vector': {
        const offset = this.registerAddress(operand);
        this.push_(v);
        this.code.memory(storeOp[operand.size] ?? 'v128.store', offset);
        return;
      }
      default:
        throw new Error(`${this.form.name}: cannot write a ${operand.kind} operand`);
    }
  }

  update(o: Operand, change: (old: Value) => Value, then?: (old: Value, result: Value) => void): void {
    const { operand } = this.place(o);
    if (operand.kind !== 'memory') {
      const old = this.read(o);
      const result = change(old);
      this.write(o, result);
      then?.(old, result);
      return;
    }
    const linear = this.linearOf(o, operand.size, true);
    const host = this.allocate('i32');
    const commit = this.tlbWrite(linear, operand.size, host, false);
    this.code.get(host).memory(loadOp[operand.size] ?? 'i32.load', 0);
    const old = this.take(typeOfSize[operand.size] ?? 'i32');
    const result = change(old);
    this.code.get(host);
    this.push_(result);
    this.code.memory(storeOp[operand.size] ?? 'i32.store', 0);
    commit();
    then?.(old, result);
  }

  displaced(o: Operand, delta: Value, size: number): Operand {
    const { operand } = this.place(o);
    const linear = (write: boolean): Value => this.linearDisplaced(o, delta, size, write);
    return { operand: { ...operand, size }, linear, kind: operand.kind, size } as unknown as Operand;
  }

  popped(o: Operand, size: 2 | 4 | 8): Operand {
    const { operand } = this.place(o);
    if (operand.kind !== 'memory') return o;
    // The address sees the stack pointer as if it had moved: move it, compute, move it back.
    this.code.get(this.cpu).memory('i64.load', rsp);
    const before = this.take('i64');
    this.storeField('i64.store', rsp, () => this.push_(this.poppedPointer(before, this.int(8, size))));
    const offset = this.operandOffset(operand);
    this.storeField('i64.store', rsp, () => this.push_(before));
    const linear = (write: boolean): Value =>
      this.form.general ? this.segmented(this.recordSegment(), offset, operand.size, write) : offset;
    return { operand, linear, kind: operand.kind, size: operand.size } as unknown as Operand;
  }

  // Addresses. ------------------------------------------------------------------------------------------------------

  /** Effective address of the record's memory operand, i64, truncated to the address size. */
  private operandOffset(operand: FormOperand): Value {
    if (operand.number === 1) {
      this.code.get(this.record).memory('i64.load', Record.offsets.immediate);
      return this.take('i64');
    }
    if (this.form.general) {
      this.code.get(this.cpu).get(this.record).call(this.calls.operandOffset);
      return this.take('i64');
    }
    const { code } = this;
    code.get(this.cpu).get(this.record).memory('i32.load16_u', Record.offsets.base).op('i32.add').memory('i64.load', 0);
    if (this.form.indexed) {
      code
        .get(this.cpu)
        .get(this.record)
        .memory('i32.load16_u', Record.offsets.index)
        .op('i32.add')
        .memory('i64.load', 0);
      code.get(this.record).memory('i64.load8_u', Record.offsets.scale).op('i64.shl').op('i64.add');
    }
    code.get(this.record).memory('i64.load32_s', Record.offsets.displacement).op('i64.add');
    code.get(this.cpu).memory('i64.load', Vcpu.offsets.addressMask).op('i64.and');
    return this.take('i64');
  }

  private recordSegment(): Value {
    this.code.get(this.record).memory('i32.load8_u', Record.offsets.segment);
    return this.take('i32');
  }

  private segmented(segment: Value, offset: Value, size: number, write: boolean): Value {
    if (this.frame.loop) throw new NotInline('segmented access');
    this.code.get(this.cpu);
    this.pushAs('i32', segment);
    this.pushAs('i64', offset);
    this.code
      .i32(size)
      .i32(write ? 1 : 0)
      .call(this.calls.segmentLinear);
    const linear = this.take('i64');
    this.faultIfTrouble();
    return linear;
  }

  private linearOf(o: Operand, size: number, write: boolean): Value {
    const { operand, linear } = this.place(o);
    if (linear) return linear(write);
    const offset = this.operandOffset(operand);
    return this.form.general ? this.segmented(this.recordSegment(), offset, size, write) : offset;
  }

  private linearDisplaced(o: Operand, delta: Value, size: number, write: boolean): Value {
    const { operand, linear } = this.place(o);
    const wide = this.sizeOf(delta) < 8 ? this.sext(8, delta) : delta;
    if (linear) throw new Error(`${this.form.name}: a displaced operand cannot be displaced again`);
    const moved = this.add(this.operandOffset(operand), wide);
    if (!this.form.general) {
      this.push_(moved);
      this.loadField('i64.load', Vcpu.offsets.addressMask).op('i64.and');
      return this.take('i64');
    }
    this.code.get(this.record);
    this.push_(moved);
    this.code.call(this.calls.wrapOffset);
    return this.segmented(this.recordSegment(), this.take('i64'), size, write);
  }

  address(o: Operand): Value {
    return this.operandOffset(this.place(o).operand);
  }

  linearAddress(o: Operand): Value {
    const offset = this.operandOffset(this.place(o).operand);
    if (!this.form.general) return offset;
    this.code.get(this.cpu);
    this.push_(this.recordSegment());
    this.push_(offset);
    this.code.call(this.calls.segmentBase);
    return this.take('i64');
  }

  // Memory. ---------------------------------------------------------------------------------------------------------

  /**
   * Host address of a linear access into local `host`: by the TLB, or by the slow path, after which `staged` is
   * written (nothing for reads, whose staging needs no commit). Faults leave.
   */
  private tlb(linear: Value, size: number, write: boolean, host: number, staged?: () => void, stack = false): void {
    const { code } = this;
    const entry = this.allocate('i32');
    code.get(this.cpu).memory('i32.load', Vcpu.offsets.tlb);
    this.push_(linear);
    code
      .i64(8)
      .op('i64.shr_u')
      .op('i32.wrap_i64')
      .i32((Arena.tlbEntries - 1) << 4)
      .op('i32.and')
      .op('i32.add')
      .tee(entry);
    const array = write ? Arena.tlbArrayBytes : 0;
    code.memory('i64.load', array + TlbEntry.offsets.tag);
    this.push_(linear);
    if (size > 1) code.i64(size - 1).op('i64.add');
    code.i64(-4096).op('i64.and');
    if (this.frame.loop) {
      code.op('i64.ne').brIf(this.frame.loop.bail);
      this.push_(linear);
      code
        .op('i32.wrap_i64')
        .get(entry)
        .memory('i32.load', array + TlbEntry.offsets.addend)
        .op('i32.add')
        .set(host);
      return;
    }
    code.op('i64.eq').if('i32');
    this.push_(linear);
    code
      .op('i32.wrap_i64')
      .get(entry)
      .memory('i32.load', array + TlbEntry.offsets.addend)
      .op('i32.add');
    code.else();
    code.get(this.cpu);
    this.push_(linear);
    code.i32(stack ? size | stackAccess : size);
    code
      .call(write ? this.calls.slowWrite : this.calls.slowRead)
      .tee(host)
      .op('i32.eqz')
      .if();
    this.fault();
    code.end();
    staged?.();
    code.get(host).end().set(host);
  }

  /** Host address to write to into `host`; what it returns writes the code that must follow the store. */
  private tlbWrite(linear: Value, size: number, host: number, stack: boolean): () => void {
    if (this.frame.loop) {
      this.tlb(linear, size, true, host);
      return () => undefined;
    }
    const staged = this.allocate('i32');
    this.code.i32(0).set(staged);
    this.tlb(linear, size, true, host, () => this.code.i32(1).set(staged), stack);
    return () => this.code.get(staged).if().get(this.cpu).call(this.calls.commitWrite).end();
  }

  private loadLinear(linear: Value, size: number, stack = false): Value {
    const host = this.allocate('i32');
    this.tlb(linear, size, false, host, undefined, stack);
    this.code.get(host).memory(loadOp[size] ?? 'i32.load', 0);
    return this.take(typeOfSize[size] ?? 'i32');
  }

  private storeLinear(linear: Value, v: Value, size: number, stack = false): void {
    const { code } = this;
    const host = this.allocate('i32');
    const commit = this.tlbWrite(linear, size, host, stack);
    code.get(host);
    if (size === 16) this.push_(v);
    else this.pushAs(size === 8 ? 'i64' : 'i32', v);
    code.memory(storeOp[size] ?? 'i32.store', 0);
    commit();
  }

  private checkAlignment(linear: Value, operand: FormOperand): Value {
    if (this.form.row.aligned && operand.size === 16) {
      this.raiseIf(this.ne(this.and(linear, this.int(8, 15)), this.int(8, 0)), 13, this.int(4, 0));
    }
    return linear;
  }

  private readMemory(o: Operand): Value {
    const { operand } = this.place(o);
    const linear = this.checkAlignment(this.linearOf(o, operand.size, false), operand);
    return this.loadLinear(linear, operand.size);
  }

  load(segment: Segment, offset: Value, size: Size | 16): Value {
    return this.loadLinear(this.segmented(this.int(4, segmentNumber[segment]), offset, size, false), size);
  }

  store(segment: Segment, offset: Value, v: Value): void {
    const size = v.type === 'v128' ? 16 : this.sizeOf(v);
    this.storeLinear(this.segmented(this.int(4, segmentNumber[segment]), offset, size, true), v, size);
  }

  sourceSegment(): Value {
    return this.recordSegment();
  }

  loadSource(offset: Value, size: Size): Value {
    return this.loadLinear(this.segmented(this.recordSegment(), offset, size, false), size);
  }

  probe(o: Operand): void {
    const { operand } = this.place(o);
    const linear = this.linearOf(o, operand.size, true);
    this.probeLinear(linear, operand.size);
  }

  private probeLinear(linear: Value, size: number): void {
    if (this.frame.loop) throw new NotInline('probe');
    this.code.get(this.cpu);
    this.push_(linear);
    this.code.i32(size).call(this.calls.probeWrite);
    this.faultIfTrouble();
  }

  // The stack. ------------------------------------------------------------------------------------------------------

  stackPointer(): Value {
    this.loadField('i64.load', rsp);
    this.loadField('i64.load', Vcpu.offsets.stackMask).op('i64.and');
    return this.take('i64');
  }

  setStackPointer(v: Value): void {
    if (!this.form.general) {
      this.storeField('i64.store', rsp, () => this.pushAs('i64', this.maskStack(v)));
      return;
    }
    this.storeField('i64.store', rsp, () => this.push_(this.mergeStack(v)));
  }

  private maskStack(v: Value): Value {
    this.pushAs('i64', v);
    this.loadField('i64.load', Vcpu.offsets.stackMask).op('i64.and');
    return this.take('i64');
  }

  /** Bits of rSP outside of the stack mask are kept. */
  private mergeStack(v: Value): Value {
    this.loadField('i64.load', rsp);
    this.loadField('i64.load', Vcpu.offsets.stackMask).i64(-1).op('i64.xor').op('i64.and');
    const kept = this.take('i64');
    return this.or(kept, this.maskStack(v));
  }

  private poppedPointer(before: Value, bytes: Value): Value {
    const moved = this.add(before, this.sizeOf(bytes) === 8 ? bytes : this.zext(8, bytes));
    if (!this.form.general) return this.maskStack(moved);
    return this.mergeStack(moved);
  }

  private stackLinear(offset: Value, size: number, write: boolean): Value {
    if (!this.form.general) return offset;
    return this.segmented(this.int(4, 2), offset, size, write);
  }

  loadStack(offset: Value, size: Size): Value {
    return this.loadLinear(this.stackLinear(this.maskStack(offset), size, false), size, true);
  }

  push(v: Value): void {
    const size = this.sizeOf(v);
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

  private pushNextIp(): void {
    this.code.get(this.cpu).memory('i64.load', Vcpu.offsets.ripBase);
    this.code.get(this.record).memory('i64.load16_u', Record.offsets.offset).op('i64.add');
    this.code.get(this.record).memory('i64.load8_u', Record.offsets.length).op('i64.add');
  }

  nextIp(): Value {
    this.pushNextIp();
    const v = this.take('i64');
    // Of stack size; in 16-bit code IP wraps.
    return this.trunc(this.form.size === 1 ? 4 : (this.form.size as Size), v);
  }

  private relativeTarget(): Value {
    this.pushNextIp();
    this.code.get(this.record).memory('i64.load', Record.offsets.immediate).op('i64.add');
    const v = this.take('i64');
    return this.resize(8, this.trunc(this.form.size === 1 ? 4 : (this.form.size as Size), v));
  }

  checkTarget(target?: Value): void {
    const t = target ? this.resize(8, target) : this.relativeTarget();
    if (this.form.size === 8) {
      if (!target) return;
      const shifted = this.sar(this.shl(t, this.int(4, 16)), this.int(4, 16));
      this.raiseIf(this.ne(shifted, t), 13, this.int(4, 0));
      return;
    }
    this.code.get(this.cpu).memory('i64.load32_u', Vcpu.offsets.segLimit + 4);
    this.raiseIf(this.ltU(this.take('i64'), t), 13, this.int(4, 0));
  }

  /** Leaves to an absolute target, i64. */
  private transfer(target: Value): void {
    const { loop } = this.frame;
    if (loop) {
      this.push_(target).set(loop.target);
      this.code.br(loop.go);
    } else {
      this.storeField('i64.store', Vcpu.offsets.rip, () => this.push_(target));
      this.code.i32(status.jump).return();
    }
    if (this.nesting === 0) this.left = true;
  }

  jump(target: Value): void {
    this.checkTarget(target);
    const wide = this.resize(8, target);
    if (this.deferred) this.deferred.target = wide;
    else this.transfer(wide);
  }

  branch(c?: Value): void {
    if (c) {
      this.push_(c);
      this.code.if();
      this.nesting++;
    }
    const { loop } = this.frame;
    if (loop) {
      const { code } = this;
      const link = this.allocate('i32');
      code.get(this.record).memory('i32.load', Record.offsets.link).tee(link).i32(1).op('i32.gt_u').if();
      code.get(link).set(this.record).br(loop.next);
      code.end();
      const target = this.relativeTarget();
      this.checkTarget();
      this.push_(target).set(loop.target);
      code.get(link).op('i32.eqz').brIf(loop.link).br(loop.go);
      if (this.nesting === 0) this.left = true;
    } else {
      this.checkTarget();
      this.transfer(this.relativeTarget());
    }
    if (c) {
      this.nesting--;
      this.code.end();
    }
  }

  // Processor registers. --------------------------------------------------------------------------------------------

  systemFlag(bit: number): Value {
    this.loadField('i32.load', Vcpu.offsets.eflags).i32(bit).op('i32.shr_u').i32(1).op('i32.and');
    return this.take('bool');
  }

  setSystemFlag(bit: number, b: Value): void {
    this.storeField('i32.store', Vcpu.offsets.eflags, () => {
      this.loadField('i32.load', Vcpu.offsets.eflags)
        .i32(~(1 << bit))
        .op('i32.and');
      this.push_(b).i32(bit).op('i32.shl').op('i32.or');
    });
  }

  getSystem(name: SystemRegister): Value {
    const [offset, bytes, as] = systemField[name];
    this.loadField(loadOp[bytes] ?? 'i32.load', offset);
    return this.take(typeOfSize[as] ?? 'i32');
  }

  setSystem(name: SystemRegister, v: Value): void {
    const [offset, bytes] = systemField[name];
    this.storeField(storeOp[bytes] ?? 'i32.store', offset, () => this.pushAs(bytes === 8 ? 'i64' : 'i32', v));
  }

  // Helpers and x87. ------------------------------------------------------------------------------------------------

  helper(name: string, ...args: Value[]): Value {
    const helper = this.calls.helper(name);
    if (this.frame.loop) {
      // Only a rare way may lead to a helper here, and then the form's function does the whole instruction instead.
      if (this.nesting === 0 || this.wrote || helper.kind === 'status') throw new NotInline(name);
      this.fault();
      return this.int(helper.result === 'i64' ? 8 : 4, 0);
    }
    if (args.length !== helper.parameters.length) {
      throw new Error(
        `${this.form.name}: helper ${name} takes ${helper.parameters.length} arguments, got ${args.length}`,
      );
    }
    this.code.get(this.cpu);
    args.forEach((a, k) => this.pushAs(helper.parameters[k] ?? 'i32', a));
    this.code.call(helper.reference);
    if (helper.kind === 'status') {
      this.code.return();
      if (this.nesting === 0) this.left = true;
      return this.int(4, 0);
    }
    if (helper.result === 'none') {
      if (helper.kind === 'fault') this.faultIfTrouble();
      return this.int(4, 0);
    }
    const result = this.take(helper.result === 'i64' ? 'i64' : 'i32');
    if (helper.kind === 'fault') this.faultIfTrouble();
    return result;
  }

  /** Address of the physical register of ST(n). */
  private stAt(n: Value): Value {
    this.code.get(this.cpu);
    this.loadField('i32.load', Vcpu.offsets.fpuTop);
    this.pushAs('i32', n).op('i32.add').i32(7).op('i32.and').i32(4).op('i32.shl').op('i32.add');
    this.code.i32(Vcpu.offsets.st).op('i32.add');
    return this.take('f80');
  }

  st(n: number): Value {
    return this.stAt(this.int(4, n));
  }

  setSt(n: number, v: Value): void {
    const to = this.stAt(this.int(4, n)) as Emitted;
    this.code.get(to.local);
    this.push_(v);
    this.code.memory('v128.load', 0).memory('v128.store', 0);
  }

  temporary(): Value {
    const slot = this.temporaries++;
    if (slot >= 16) throw new Error(`${this.form.name}: more than 16 temporaries`);
    this.code
      .get(this.cpu)
      .i32(Vcpu.offsets.scratch + 16 * slot)
      .op('i32.add');
    return this.take('f80');
  }

  significand(v: Value): Value {
    this.push_(v);
    this.code.memory('i64.load', 0);
    return this.take('i64');
  }

  signExponent(v: Value): Value {
    this.push_(v);
    this.code.memory('i32.load16_u', 8);
    return this.take('i16');
  }

  f80(significand: Value, signExponent: Value): Value {
    const t = this.temporary();
    this.push_(t);
    this.push_(significand);
    this.code.memory('i64.store', 0);
    this.push_(t);
    this.pushAs('i64', signExponent);
    this.code.memory('i64.store', 8);
    return t;
  }

  copyF80(temporary: Value, v: Value): void {
    this.push_(temporary);
    this.push_(v);
    this.code.memory('v128.load', 0).memory('v128.store', 0);
  }

  spill(v: Value): Value {
    const t = this.temporary();
    this.push_(t);
    this.push_(v);
    this.code.memory('v128.store', 0);
    return t;
  }

  fill(temporary: Value): Value {
    this.push_(temporary);
    this.code.memory('v128.load', 0);
    return this.take('v128');
  }
}
