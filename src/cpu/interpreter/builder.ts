/**
 * The interpreter builder: writes one form's semantics as WebAssembly whose operands come from a record.
 *
 * It writes for one of two places (`Frame`): a case of the dispatch loop, where the record, the limit and the exits
 * are the loop's, or a function of its own that returns a status.
 *
 * Every operation leaves its result in a local of the function that is being written; the optimizers of binaryen and
 * of the engine make registers of them.
 */
import type { FlagRule, Operand, ShortWay, Size, Type, Value, Variable } from '../isa/builder.ts';
import type { Form, FormOperand } from '../isa/compile.ts';
import { Arena, TlbEntry } from '../arena.ts';
import type { FlagSource } from '../emit/flag-words.ts';
import type { Calls } from '../emit/core-calls.ts';
import type { WriteTarget } from '../emit/form-builder.ts';
import { FormBuilder, loadOp, storeOp, typeOfSize } from '../emit/form-builder.ts';
import { intType, wasmType } from '../emit/operations.ts';
import { moveTo } from './limit.ts';
import { Record } from '../record.ts';
import { Vcpu } from '../state.ts';
import { status } from '../status.ts';
import type { Code, FunctionBuilder, FunctionReference, ValueType } from '../../wasm/encoder.ts';
import type { OpcodeName } from '../../wasm/opcodes.ts';

/** A value: in a local, or an integer constant that has not been materialized. */
interface Emitted extends Value {
  readonly local: number;
  readonly constant?: bigint;
}

/** Thrown while a form is written that cannot be a case of the dispatch loop: it becomes a function instead. */
export class NotInline extends Error {}

/** Where the code goes and how it leaves. */
export interface Frame {
  readonly f: FunctionBuilder;
  /** Locals that forms may use, by type; each form uses them anew. */
  readonly pool: Map<ValueType, number[]>;
  readonly record: number;
  /** In the dispatch loop, where nothing may be called; absent in a function of its own. */
  readonly loop?: {
    /** Where the budget ends (`limit.ts`). */
    readonly limit: number;
    /** i64 local that takes the target of a transfer. */
    readonly target: number;
    /** Nesting levels to branch to. `bail`: the form's function does the instruction, from its beginning. */
    readonly bail: number;
    readonly next: number;
    readonly go: number;
    readonly link: number;
  };
}

/** Core functions that forms call, besides helpers. */
export const formFunctions = [
  'slowRead',
  'slowWrite',
  'commitWrite',
  'operandOffset',
  'wrapOffset',
  'segmentLinear',
  'segmentBase',
  'probeWrite',
  'raise',
  'raiseNoError',
] as const;
export type FormCalls = Calls<(typeof formFunctions)[number]>;

/** Beside the size that a slow path is given: the access is to the stack (`core/memory.ts`). */
const stackAccess = 0x100;
const cpu = 0;

export class InterpreterBuilder extends FormBuilder {
  protected readonly form: Form;
  protected readonly calls: FormCalls;
  private readonly frame: Frame;
  private readonly code: Code;
  private readonly used = new Map<ValueType, number>();
  /** Operands of the flags that were set last, for a branch on them that is written behind. */
  private lastFlags: FlagSource | undefined;
  /** Nesting of `if`: transfers in an arm end the instruction only there. */
  private nesting = 0;
  /** Something of the guest's state has been written: the instruction cannot start over. */
  private wrote = false;

  constructor(frame: Frame, calls: FormCalls, form: Form) {
    super();
    this.frame = frame;
    this.code = frame.f.code;
    this.calls = calls;
    this.form = form;
  }

  // Values. ---------------------------------------------------------------------------------------------------------

  private allocate(type: ValueType): number {
    const { pool, f } = this.frame;
    const list = pool.get(type) ?? [];
    pool.set(type, list);
    const n = this.used.get(type) ?? 0;
    this.used.set(type, n + 1);
    const have = list[n];
    if (have !== undefined) return have;
    const made = f.local(type);
    list.push(made);
    return made;
  }

  /** Pushes a value on the wasm stack. */
  private put(v: Value): Code {
    const e = v as Emitted;
    if (e.constant === undefined) return this.code.get(e.local);
    if (wasmType[e.type] === 'i64') return this.code.i64(e.constant);
    return this.code.i32(Number(BigInt.asIntN(32, e.constant)));
  }

  /** Takes the top of the wasm stack into a new local. */
  private take(type: Type): Emitted {
    const local = this.allocate(wasmType[type]);
    this.code.set(local);
    return { type, local };
  }

  protected constantOf(v: Value): bigint | undefined {
    return (v as Emitted).constant;
  }

  int(size: Size, n: number | bigint): Value {
    return { type: intType[size], local: -1, constant: BigInt.asUintN(size * 8, BigInt(n)) } as Emitted;
  }
  bool(b: boolean): Value {
    return { type: 'bool', local: -1, constant: b ? 1n : 0n } as Emitted;
  }
  vectorConst(low: bigint, high: bigint): Value {
    this.code.v128(BigInt.asUintN(64, low), BigInt.asUintN(64, high));
    return this.take('v128');
  }
  floatConst(type: 'f32' | 'f64', bits: bigint): Value {
    if (type === 'f32') this.code.f32(Number(BigInt.asUintN(32, bits)));
    else this.code.f64(BigInt.asUintN(64, bits));
    return this.take(type);
  }

  protected make(type: Type, op: OpcodeName, ...args: readonly Value[]): Value {
    for (const a of args) this.put(a);
    this.code.op(op);
    return this.take(type);
  }

  protected makeLane(type: Type, op: OpcodeName, lanes: readonly number[], ...args: readonly Value[]): Value {
    for (const a of args) this.put(a);
    if (op === 'i8x16.shuffle') this.code.shuffle(lanes);
    else this.code.lane(op, lanes[0] ?? 0);
    return this.take(type);
  }

  protected retype(type: Type, v: Value): Value {
    return { ...(v as Emitted), type } as Emitted;
  }

  protected held(v: Value): Value {
    return v;
  }

  select(c: Value, whenTrue: Value, whenFalse: Value): Value {
    if (whenTrue.type !== whenFalse.type) throw new Error(`select of ${whenTrue.type} and ${whenFalse.type}`);
    if (whenTrue.type !== 'v128') return this.make(whenTrue.type, 'select', whenTrue, whenFalse, c);
    // The untyped select of the core takes numbers only.
    const local = this.allocate('v128');
    this.put(whenTrue).set(local);
    this.put(c).op('i32.eqz').if();
    this.put(whenFalse).set(local);
    this.code.end();
    return { type: 'v128', local } as Emitted;
  }

  variable(initial: Value): Variable {
    const local = this.allocate(wasmType[initial.type]);
    this.put(initial).set(local);
    return { type: initial.type, local } as Emitted;
  }
  get(v: Variable): Value {
    // A copy: the variable may change while the value lives.
    this.code.get((v as Emitted).local);
    return this.take(v.type);
  }
  set(v: Variable, value: Value): void {
    if (wasmType[v.type] !== wasmType[value.type]) throw new Error(`set of ${v.type} to ${value.type}`);
    this.put(value).set((v as Emitted).local);
  }
  if(c: Value, then: () => void, otherwise?: () => void): void {
    this.nesting++;
    this.put(c).if();
    then();
    if (otherwise) {
      this.code.else();
      otherwise();
    }
    this.code.end();
    this.nesting--;
  }

  shortWay(attempt: () => ShortWay, general: () => void): void {
    const { loop } = this.frame;
    if (!loop) {
      general();
      return;
    }
    const { when, commit } = attempt();
    this.put(when).op('i32.eqz').brIf(loop.bail);
    commit();
  }

  // The vCPU and the record. ----------------------------------------------------------------------------------------

  protected cpuAddress(): Value {
    return { type: 'i32', local: cpu } as Emitted;
  }
  protected recordAddress(): Value {
    return { type: 'i32', local: this.frame.record } as Emitted;
  }

  protected loadAt(type: Type, op: OpcodeName, address: Value, offset: number): Value {
    this.put(address).memory(op, offset);
    return this.take(type);
  }
  protected storeAt(op: OpcodeName, address: Value, offset: number, v: Value): void {
    this.put(address);
    this.put(v).memory(op, offset);
  }
  protected override storeField(op: OpcodeName, offset: number, v: Value): void {
    this.wrote = true;
    super.storeField(op, offset, v);
  }
  private recordField(type: Type, op: OpcodeName, offset: number): Value {
    return this.loadAt(type, op, this.recordAddress(), offset);
  }

  /** The register that a slot of the record names: an address, and the offset to add. */
  private slot(o: FormOperand): readonly [Value, number] {
    if (o.slot !== 'fixed') return [this.add(this.cpuAddress(), this.registerNumber(o)), 0];
    const { gpr, xmm, st } = Vcpu.offsets;
    if (o.kind === 'vector') return [this.cpuAddress(), xmm + 16 * o.number];
    if (o.kind === 'mmx') return [this.cpuAddress(), st + 16 * o.number];
    return [this.cpuAddress(), o.number >= 16 ? gpr + 8 * (o.number - 16) + 1 : gpr + 8 * o.number];
  }

  registerNumber(o: Operand): Value {
    const operand = o as FormOperand;
    if (operand.slot === 'fixed') return this.int(4, operand.number);
    const { rm, reg } = Record.offsets;
    return this.recordField('i32', 'i32.load16_u', operand.slot === 'rm' ? rm : reg);
  }

  protected readGeneral(o: FormOperand): Value {
    const [address, offset] = this.slot(o);
    return this.loadAt(typeOfSize[o.size] ?? 'i32', loadOp[o.size] ?? 'i32.load', address, offset);
  }
  protected writeGeneral(o: FormOperand, v: Value): void {
    this.wrote = true;
    const [address, offset] = this.slot(o);
    // A 32-bit write clears the upper half.
    if (o.size === 4) this.storeAt('i64.store', address, offset, this.as('i64', v));
    else this.storeAt(storeOp[o.size] ?? 'i32.store', address, offset, v);
  }
  protected readVector(o: FormOperand): Value {
    return this.readGeneral(o);
  }
  protected writeVector(o: FormOperand, v: Value): void {
    this.wrote = true;
    const [address, offset] = this.slot(o);
    this.storeAt(storeOp[o.size] ?? 'v128.store', address, offset, v);
  }
  protected mmxAddress(o: FormOperand): Value {
    const [address, offset] = this.slot(o);
    return offset === 0 ? address : this.add(address, this.int(4, offset));
  }

  protected immediate(size: number, at: number): Value {
    const { immediate } = Record.offsets;
    return this.recordField(typeOfSize[size] ?? 'i32', loadOp[size] ?? 'i32.load', immediate + at);
  }

  protected operandOffset(operand: FormOperand): Value {
    if (operand.number === 1) return this.recordField('i64', 'i64.load', Record.offsets.immediate);
    if (this.form.general) return this.callCore(this.calls.operandOffset, 'i64', this.recordAddress());
    const register = (offset: number): Value => {
      const slot = this.recordField('i32', 'i32.load16_u', offset);
      return this.loadAt('i64', 'i64.load', this.add(this.cpuAddress(), slot), 0);
    };
    let offset = register(Record.offsets.base);
    if (this.form.indexed) {
      const index = register(Record.offsets.index);
      const scale = this.recordField('i64', 'i64.load8_u', Record.offsets.scale);
      offset = this.add(offset, this.shl(index, scale));
    }
    return this.maskAddress(this.add(offset, this.recordField('i64', 'i64.load32_s', Record.offsets.displacement)));
  }
  protected maskAddress(offset: Value): Value {
    return this.and(offset, this.loadField('i64', 'i64.load', Vcpu.offsets.addressMask));
  }
  protected wrapOffset(offset: Value): Value {
    this.needCalls('wrapOffset');
    this.put(this.recordAddress());
    this.put(offset).call(this.calls.wrapOffset);
    return this.take('i64');
  }
  protected maskStack(pointer: Value): Value {
    return this.and(pointer, this.loadField('i64', 'i64.load', Vcpu.offsets.stackMask));
  }
  protected recordSegment(): Value {
    return this.recordField('i32', 'i32.load8_u', Record.offsets.segment);
  }
  protected nextRip(): Value {
    const base = this.loadField('i64', 'i64.load', Vcpu.offsets.ripBase);
    const offset = this.recordField('i64', 'i64.load16_u', Record.offsets.offset);
    return this.add(this.add(base, offset), this.recordField('i64', 'i64.load8_u', Record.offsets.length));
  }
  currentIp(): Value {
    const base = this.loadField('i64', 'i64.load', Vcpu.offsets.ripBase);
    const rip = this.add(base, this.recordField('i64', 'i64.load16_u', Record.offsets.offset));
    // All of the bits in 64-bit code, whose address mask has them all; else 32.
    const mask = this.loadField('i64', 'i64.load', Vcpu.offsets.addressMask);
    return this.and(rip, this.or(mask, this.int(8, 0xffffffff)));
  }
  protected relativeOffset(): Value {
    return this.recordField('i64', 'i64.load', Record.offsets.immediate);
  }

  // Calls and exits. ------------------------------------------------------------------------------------------------

  protected needCalls(what: string): void {
    if (this.frame.loop) throw new NotInline(what);
  }

  protected callCore(callee: FunctionReference, result: 'none', ...args: readonly Value[]): void;
  protected callCore(callee: FunctionReference, result: 'i32' | 'i64', ...args: readonly Value[]): Value;
  protected callCore(callee: FunctionReference, result: 'none' | 'i32' | 'i64', ...args: readonly Value[]): Value {
    this.needCalls(callee.name);
    this.code.get(cpu);
    for (const a of args) this.put(a);
    this.code.call(callee);
    return result === 'none' ? this.int(4, 0) : this.take(result);
  }

  private fault(): void {
    if (this.frame.loop) this.code.br(this.frame.loop.bail);
    else this.code.i32(status.fault).return();
  }

  protected leaveIfTrouble(): void {
    this.put(this.loadField('i32', 'i32.load', Vcpu.offsets.trouble)).if();
    this.fault();
    this.code.end();
  }

  raise(vector: number, error?: Value): void {
    if (!this.frame.loop) {
      const number = this.int(4, vector);
      if (error) this.callCore(this.calls.raise, 'none', number, this.as('i32', error));
      else this.callCore(this.calls.raiseNoError, 'none', number);
    }
    this.fault();
  }

  sync(): void {
    this.needCalls('sync');
    this.code.i32(status.sync).return();
    if (this.nesting === 0) this.left = true;
  }

  helper(name: string, ...args: Value[]): Value {
    const helper = this.calls.helper(name);
    if (this.frame.loop) {
      // Only a rare way may lead to a helper here, and then the form's function does the whole instruction instead.
      if (this.nesting === 0 || this.wrote || helper.kind === 'status') throw new NotInline(name);
      this.fault();
      return this.int(helper.result === 'i64' ? 8 : 4, 0);
    }
    const { parameters } = helper;
    if (args.length !== parameters.length) {
      throw new Error(`${this.form.name}: helper ${name} takes ${parameters.length} arguments, got ${args.length}`);
    }
    const passed = args.map((a, k) => this.as(parameters[k] ?? 'i32', a));
    if (helper.kind === 'status') {
      this.code.get(cpu);
      for (const a of passed) this.put(a);
      this.code.call(helper.reference).return();
      if (this.nesting === 0) this.left = true;
      return this.int(4, 0);
    }
    const result =
      helper.result === 'none'
        ? (this.callCore(helper.reference, 'none', ...passed), this.int(4, 0))
        : this.callCore(helper.reference, helper.result, ...passed);
    if (helper.kind === 'fault') this.leaveIfTrouble();
    return result;
  }

  // Memory. ---------------------------------------------------------------------------------------------------------

  protected segmented(segment: Value, offset: Value, size: number, write: boolean): Value {
    this.needCalls('segmented access');
    const access = [this.int(4, size), this.int(4, write ? 1 : 0)];
    const wide = this.as('i64', offset);
    const linear = this.callCore(this.calls.segmentLinear, 'i64', this.as('i32', segment), wide, ...access);
    this.leaveIfTrouble();
    return linear;
  }

  /**
   * Host address of a linear access into local `host`: by the TLB, or by the slow path, after which `staged` is
   * written (nothing for reads, whose staging needs no commit). Faults leave.
   */
  private tlb(linear: Value, size: number, write: boolean, host: number, stack: boolean, staged?: () => void): void {
    const { code } = this;
    const entry = this.allocate('i32');
    code.get(cpu).memory('i32.load', Vcpu.offsets.tlb);
    this.put(linear);
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
    this.put(linear);
    if (size > 1) code.i64(size - 1).op('i64.add');
    code.i64(-4096).op('i64.and');
    const hit = (): Code =>
      this.put(linear)
        .op('i32.wrap_i64')
        .get(entry)
        .memory('i32.load', array + TlbEntry.offsets.addend)
        .op('i32.add');
    if (this.frame.loop) {
      code.op('i64.ne').brIf(this.frame.loop.bail);
      hit().set(host);
      return;
    }
    code.op('i64.eq').if('i32');
    hit();
    code.else();
    code.get(cpu);
    this.put(linear);
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

  protected hostToRead(linear: Value, size: number, stack: boolean): Value {
    const host = this.allocate('i32');
    this.tlb(linear, size, false, host, stack);
    return { type: 'i32', local: host } as Emitted;
  }

  protected hostToWrite(linear: Value, size: number, stack: boolean): WriteTarget {
    const local = this.allocate('i32');
    const host = { type: 'i32', local } as Emitted;
    if (this.frame.loop) {
      this.tlb(linear, size, true, local, stack);
      return { host, commit: () => undefined };
    }
    const staged = this.allocate('i32');
    this.code.i32(0).set(staged);
    this.tlb(linear, size, true, local, stack, () => this.code.i32(1).set(staged));
    return {
      host,
      commit: () => {
        this.code.get(staged).if().get(cpu).call(this.calls.commitWrite).end();
      },
    };
  }

  // Flags and transfers. --------------------------------------------------------------------------------------------

  override setFlags(rule: FlagRule, x: Value, y: Value, r: Value, carry?: Value): void {
    this.lastFlags = carry || rule === 'zsp' ? undefined : { rule, x, y, r };
    super.setFlags(rule, x, y, r, carry);
  }

  /** Pushes a condition on the wasm stack: from the operands of the comparison just written where that is shorter. */
  pushCondition(cc: number): void {
    this.put((this.lastFlags && this.comparison(this.lastFlags, cc)) ?? this.condition(cc));
  }

  protected transfer(target: Value): void {
    const { loop, record } = this.frame;
    if (loop) {
      this.put(target).set(loop.target);
      // The compiler would like to know where the call leads.
      if (this.form.mnemonic === 'CALL') {
        this.code.get(record).get(loop.target).op('i32.wrap_i64').memory('i32.store', Record.offsets.link);
      }
      this.code.br(loop.go);
    } else {
      this.storeField('i64.store', Vcpu.offsets.rip, target);
      this.code.i32(status.jump).return();
    }
    if (this.nesting === 0) this.left = true;
  }

  branch(c?: Value): void {
    if (c) {
      this.if(c, () => {
        this.follow();
      });
    } else this.follow();
  }

  /** The relative branch is taken. */
  private follow(): void {
    const { loop } = this.frame;
    if (!loop) {
      this.checkTarget();
      this.transfer(this.relativeTarget());
      return;
    }
    const { code } = this;
    const link = this.allocate('i32');
    code.get(this.frame.record).memory('i32.load', Record.offsets.link).tee(link).i32(1).op('i32.gt_u').if();
    moveTo(code, { record: this.frame.record, limit: loop.limit, to: link }, 1);
    code.br(loop.next);
    code.end();
    const target = this.relativeTarget();
    this.checkTarget();
    this.put(target).set(loop.target).get(link).op('i32.eqz').brIf(loop.link).br(loop.go);
    if (this.nesting === 0) this.left = true;
  }
}
