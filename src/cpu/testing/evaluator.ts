/**
 * The evaluator: a Builder that computes at once, in plain TypeScript, with no cleverness. It runs the definitions of
 * `isa/` on a vCPU that lies in memory (`Vcpu`), and reaches everything else through its environment: a flat memory in
 * unit tests, the functions of `core.wasm` in the evaluator tier of `cpu-cases`.
 *
 * @example
 * const status = evaluate(environment, resolveMatch(match, ip)); // one instruction at Vcpu.rip
 *
 * An f80 value is the address of its 16 bytes. A fault leaves by a private exception, which `evaluate` turns into `status.fault`.
 */
import type {
  Builder,
  FlagName,
  FlagRule,
  Instruction,
  Operand,
  Segment,
  ShortWay,
  Size,
  SystemRegister,
  Value,
  Variable,
} from '../isa/builder.ts';
import type { Helper } from '../isa/helpers.ts';
import { helpers } from '../isa/helpers.ts';
import { NoFloatsKnown } from '../isa/no-floats-known.ts';
import { lowVector } from '../isa/vector.ts';
import { StackInMemory } from '../isa/register-stack.ts';
import type { Row } from '../isa/row.ts';
import { Vcpu } from '../state.ts';
import { status } from '../status.ts';
import type { ArithmeticFlags } from './flags.ts';
import { conditionHolds, flagBits, flagsAfter, flagsOfWord, loadFlags, storeFlags, wordOfFlags } from './flags.ts';
import { ValueArithmetic, bitsOf, signed, truth, width } from './value-arithmetic.ts';

type VcpuState = ReturnType<typeof Vcpu.at>;

/** What the evaluator needs beside the vCPU's bytes. Segments by number; offsets within the segment. */
export interface EvaluatorEnvironment {
  /** The vCPU, and its bytes. */
  readonly vcpu: VcpuState;
  readonly view: DataView;
  /**
   * Reads `size` bytes (1, 2, 4, 8, 16), little-endian. A fault gives undefined, with `Vcpu.exception*`, `exceptionPending`
   * and `trouble` set, as the core's memory functions do.
   */
  read(segment: number, offset: bigint, size: number): bigint | undefined;
  /** Writes likewise; false is a fault, and nothing was written. */
  write(segment: number, offset: bigint, size: number, value: bigint): boolean;
  /** Faults as a write of `size` bytes would. */
  probe(segment: number, offset: bigint, size: number): boolean;
  /** May control go to `rip`? false: #GP(0) is pending. */
  checkTarget(rip: bigint): boolean;
  /**
   * Calls a core function by its name in `helpers.ts`: i64 arguments and results are bigints (of any sign). One that
   * faults sets `Vcpu.trouble`. A status helper that gives `jump` has set `Vcpu.rip`.
   */
  call(name: string, args: readonly (number | bigint)[]): number | bigint | undefined;
}

/** Operands with their registers as byte offsets in Vcpu. */
export type ResolvedOperand =
  | { readonly kind: 'register' | 'vector' | 'mmx'; readonly size: number; readonly at: number }
  | { readonly kind: 'segment' | 'control' | 'debug' | 'x87'; readonly size: number; readonly number: number }
  | ResolvedMemory
  | { readonly kind: 'immediate'; readonly size: number; readonly value: bigint };

export interface ResolvedMemory {
  readonly kind: 'memory';
  readonly size: number;
  readonly segment: number;
  readonly base: number;
  readonly index: number;
  readonly scale: number;
  readonly displacement: bigint;
}

/** An instruction that is ready to run (made by `resolve.ts` from a match or from a decoded record). */
export interface ResolvedInstruction extends Instruction {
  readonly row: Row;
  readonly operands: readonly ResolvedOperand[];
  /** Bytes. */
  readonly length: number;
  /** Displacement of a relative branch. */
  readonly relative: bigint;
  /** Opcode of an x87 instruction as FOP shows it; elsewhere it means nothing. */
  readonly x87Opcode: number;
  /** Segment of string sources. */
  readonly sourceSegment: number;
}

/** The instruction ends early, with a status. */
class Ended extends Error {
  readonly status: number;

  constructor(value: number) {
    super(`status ${value}`);
    this.status = value;
  }
}

interface Cell extends Variable {
  current: Value;
}

/** Runs one instruction at `Vcpu.rip`; advances it, unless the status is `fault` or a helper jumped. */
export function evaluate(env: EvaluatorEnvironment, i: ResolvedInstruction): number {
  return new Evaluator(env, i).run();
}

const exceptionVector = { invalidOpcode: 6, deviceNotAvailable: 7, generalProtection: 13 } as const;
const segmentNumber: Readonly<Record<Segment, number>> = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5 };

class Evaluator extends ValueArithmetic implements Builder {
  private readonly env: EvaluatorEnvironment;
  private readonly i: ResolvedInstruction;
  private readonly vcpu: VcpuState;
  private readonly view: DataView;
  readonly registerStack = new StackInMemory(this);
  readonly scalarFloats = new NoFloatsKnown(this);
  private temporaries = 0;
  private target: bigint | undefined;
  private outcome: number = status.ok;

  constructor(env: EvaluatorEnvironment, i: ResolvedInstruction) {
    super(i.mnemonic);
    this.env = env;
    this.i = i;
    this.vcpu = env.vcpu;
    this.view = env.view;
  }

  run(): number {
    const next = this.wrapIp(this.vcpu.rip + BigInt(this.i.length));
    try {
      this.checkRights();
      this.i.row.semantics(this, this.i);
    } catch (e) {
      if (!(e instanceof Ended)) throw e;
      this.outcome = e.status;
    }
    if (this.outcome === status.fault) return status.fault;
    if (this.target !== undefined) {
      this.vcpu.rip = this.target;
      return this.outcome === status.ok ? status.jump : this.outcome;
    }
    if (this.outcome !== status.jump) this.vcpu.rip = next;
    return this.outcome;
  }

  /** What the row's options ask for, in the order of the decoder and the dispatch loop. */
  private checkRights(): void {
    const { row } = this.i;
    const { vcpu } = this;
    const virtual8086 = (vcpu.eflags & (1 << 17)) !== 0;
    if (row.protectedOnly && ((vcpu.cr0 & 1n) === 0n || virtual8086)) this.fault(exceptionVector.invalidOpcode);
    const trap = vcpu.fpuTrap;
    if (row.unit === 'sse' && trap & 4) this.fault(exceptionVector.invalidOpcode);
    if (row.unit === 'mmx' && vcpu.cr0 & 4n) this.fault(exceptionVector.invalidOpcode);
    if (row.unit && trap & (row.unit === 'sse' ? 2 : 1)) this.fault(exceptionVector.deviceNotAvailable);
    if (row.privileged && vcpu.cpl !== 0) this.fault(exceptionVector.generalProtection, 0);
  }

  private fault(vector: number, error?: number): never {
    this.vcpu.exceptionVector = vector;
    this.vcpu.exceptionHasError = error === undefined ? 0 : 1;
    this.vcpu.exceptionError = error ?? 0;
    this.vcpu.exceptionPending = 1;
    this.vcpu.trouble = 1;
    throw new Ended(status.fault);
  }

  private wrapIp(ip: bigint): bigint {
    return BigInt.asUintN(this.inLongCode() ? 64 : 32, ip);
  }
  private inLongCode(): boolean {
    const longMode = (this.vcpu.efer & 0x400n) !== 0n;
    return longMode && ((this.vcpu.segAttributes[1] ?? 0) & 0x200) !== 0;
  }

  // Bytes of the vCPU. ----------------------------------------------------------------------------------------------

  private peek(at: number, size: number): bigint {
    if (size === 16) return this.peek(at, 8) | (this.peek(at + 8, 8) << 64n);
    if (size === 8) return this.view.getBigUint64(at, true);
    return BigInt(
      size === 4 ? this.view.getUint32(at, true) : size === 2 ? this.view.getUint16(at, true) : this.view.getUint8(at),
    );
  }
  private poke(at: number, size: number, bits: bigint): void {
    if (size === 16) {
      this.poke(at, 8, bits);
      this.poke(at + 8, 8, bits >> 64n);
    } else if (size === 8) this.view.setBigUint64(at, BigInt.asUintN(64, bits), true);
    else if (size === 4) this.view.setUint32(at, Number(BigInt.asUintN(32, bits)), true);
    else if (size === 2) this.view.setUint16(at, Number(BigInt.asUintN(16, bits)), true);
    else this.view.setUint8(at, Number(BigInt.asUintN(8, bits)));
  }

  // Operands. -------------------------------------------------------------------------------------------------------

  private memoryAt(segment: number, offset: bigint, size: number): Value {
    const bits = this.env.read(segment, offset, size);
    if (bits === undefined) throw new Ended(status.fault);
    return this.make(this.typeOf(size), bits);
  }
  private offsetOf(o: ResolvedMemory): bigint {
    const sum = this.peek(o.base, 8) + (this.peek(o.index, 8) << BigInt(o.scale)) + o.displacement;
    return BigInt.asUintN(8 * this.i.addressSize, sum);
  }
  private checkAligned(o: ResolvedMemory, offset: bigint): void {
    if (!this.i.row.aligned || o.size !== 16) return;
    const linear = (this.vcpu.segBase[o.segment] ?? 0n) + offset;
    if (linear & 15n) this.fault(exceptionVector.generalProtection, 0);
  }

  readExtended(operand: Operand): Value {
    return lowVector(this, this.read(operand));
  }

  read(operand: Operand): Value {
    const o = operand as ResolvedOperand;
    switch (o.kind) {
      case 'register':
      case 'vector':
      case 'mmx':
        return this.make(this.typeOf(o.size), this.peek(o.at, o.size));
      case 'immediate':
        return this.make(this.typeOf(o.size), o.value);
      case 'segment':
        return this.make('i16', BigInt(this.vcpu.segSelector[o.number] ?? 0));
      case 'x87':
        return this.st(o.number);
      case 'memory': {
        const offset = this.offsetOf(o);
        this.checkAligned(o, offset);
        return this.memoryAt(o.segment, offset, o.size);
      }
      default:
        throw new Error(`${this.i.mnemonic}: cannot read a ${o.kind} operand`);
    }
  }

  write(operand: Operand, v: Value): void {
    const o = operand as ResolvedOperand;
    switch (o.kind) {
      case 'register':
        // A 32-bit write clears the upper half.
        this.poke(o.at, o.size === 4 ? 8 : o.size, bitsOf(v));
        return;
      case 'vector':
        this.poke(o.at, o.size, bitsOf(v));
        return;
      case 'mmx':
        this.poke(o.at, o.size, bitsOf(v));
        this.poke(o.at + 8, 2, 0xffffn);
        return;
      case 'x87':
        this.setSt(o.number, v);
        return;
      case 'memory': {
        const offset = this.offsetOf(o);
        this.checkAligned(o, offset);
        if (!this.env.write(o.segment, offset, o.size, bitsOf(v))) throw new Ended(status.fault);
        return;
      }
      default:
        throw new Error(`${this.i.mnemonic}: cannot write a ${o.kind} operand`);
    }
  }

  /** A memory operand is probed first: it faults as a write even where the read alone would. */
  update(o: Operand, change: (old: Value) => Value, then?: (old: Value, result: Value) => void): void {
    if (o.kind === 'memory') this.probe(o);
    const old = this.read(o);
    const result = change(old);
    this.write(o, result);
    then?.(old, result);
  }

  displaced(o: Operand, delta: Value, size: number): Operand {
    const m = this.memoryOperand(o);
    const moved: ResolvedMemory = { ...m, size, displacement: m.displacement + signed(delta) };
    return moved;
  }
  private memoryOperand(o: Operand): ResolvedMemory {
    const m = o as ResolvedOperand;
    if (m.kind !== 'memory') throw new Error(`${this.i.mnemonic}: expected a memory operand, got ${m.kind}`);
    return m;
  }

  register(n: number | 'ah' | 'ch' | 'dh' | 'bh', size: Size): Operand {
    const high = typeof n === 'string' ? ['ah', 'ch', 'dh', 'bh'].indexOf(n) : -1;
    const at = typeof n === 'number' ? Vcpu.offsets.gpr + 8 * n : Vcpu.offsets.gpr + 8 * high + 1;
    const o: ResolvedOperand = { kind: 'register', size, at };
    return o;
  }
  vectorRegister(n: number): Operand {
    const o: ResolvedOperand = { kind: 'vector', size: 16, at: Vcpu.offsets.xmm + 16 * n };
    return o;
  }
  addressRegister(n: number): Operand {
    return this.register(n, this.i.addressSize);
  }

  registerNumber(operand: Operand): Value {
    const o = operand as ResolvedOperand;
    if (!('number' in o)) throw new Error(`${this.i.mnemonic}: a ${o.kind} operand has no register number`);
    return this.make('i32', BigInt(o.number));
  }
  stackIndex(o: Operand): Value {
    return this.registerNumber(o);
  }

  farPointer(operand: Operand): { offset: Value; selector: Value } {
    const o = operand as ResolvedOperand;
    const size = (o.size - 2) as 2 | 4 | 8;
    if (o.kind === 'immediate') {
      const offset = this.make(this.typeOf(size), BigInt.asUintN(32, o.value));
      return { offset, selector: this.make('i16', o.value >> 32n) };
    }
    const offset = this.read(this.displaced(operand, this.int(4, 0), size));
    return { offset, selector: this.read(this.displaced(operand, this.int(4, size), 2)) };
  }

  // Control. --------------------------------------------------------------------------------------------------------

  variable(initial: Value): Variable {
    const cell: Cell = { type: initial.type, current: initial };
    return cell;
  }
  get(v: Variable): Value {
    return (v as Cell).current;
  }
  set(v: Variable, value: Value): void {
    if (v.type !== value.type) throw new Error(`${this.i.mnemonic}: variable of type ${v.type} set to ${value.type}`);
    (v as Cell).current = value;
  }
  if(c: Value, then: () => void, otherwise?: () => void): void {
    if (truth(c)) then();
    else otherwise?.();
  }
  unless(conditions: readonly Value[], then: () => void): void {
    if (!conditions.every(truth)) then();
  }
  /** The general way is the definition. */
  shortWay(_attempt: () => ShortWay, general: () => void): void {
    general();
  }
  raise(vector: number, error?: Value): void {
    this.fault(vector, error === undefined ? undefined : Number(bitsOf(error)));
  }
  raiseIf(c: Value, vector: number, error?: Value): void {
    if (truth(c)) this.raise(vector, error);
  }

  // Flags. ----------------------------------------------------------------------------------------------------------

  setFlags(rule: FlagRule, x: Value, y: Value, r: Value, carry?: Value): void {
    const carryIn = carry !== undefined && truth(carry) ? 1n : 0n;
    const operands = { width: width(r), x: bitsOf(x), y: bitsOf(y), r: bitsOf(r), carryIn };
    storeFlags(this.vcpu, flagsAfter(rule, operands, loadFlags(this.vcpu)));
  }
  setFlagsFrom(result: Value, carry: Value, overflow: Value, aux?: Value): void {
    const zsp = flagsAfter(
      'zsp',
      { width: width(result), x: 0n, y: 0n, r: bitsOf(result), carryIn: 0n },
      loadFlags(this.vcpu),
    );
    const af = aux !== undefined && truth(aux);
    storeFlags(this.vcpu, { ...zsp, cf: truth(carry), of: signed(overflow) < 0n, af });
  }
  setFlag(name: FlagName, b: Value): void {
    const changed: ArithmeticFlags = { ...loadFlags(this.vcpu), [name]: truth(b) };
    storeFlags(this.vcpu, changed);
  }
  flag(name: FlagName): Value {
    return this.bool(loadFlags(this.vcpu)[name]);
  }
  condition(cc: number): Value {
    return this.bool(conditionHolds(cc, loadFlags(this.vcpu)));
  }
  systemFlag(bit: number): Value {
    return this.bool(((this.vcpu.eflags >>> bit) & 1) !== 0);
  }
  setSystemFlag(bit: number, b: Value): void {
    const mask = 1 << bit;
    this.vcpu.eflags = (truth(b) ? this.vcpu.eflags | mask : this.vcpu.eflags & ~mask) >>> 0;
  }
  flagsWord(): Value {
    return this.make('i32', BigInt((this.vcpu.eflags & ~flagBits) | wordOfFlags(loadFlags(this.vcpu)) | 2));
  }
  loadArithmeticFlags(v: Value): void {
    storeFlags(this.vcpu, flagsOfWord(Number(bitsOf(v) & 0xffffn)));
  }

  // Memory. ---------------------------------------------------------------------------------------------------------

  address(o: Operand): Value {
    return this.make(this.typeOf(this.i.addressSize), this.offsetOf(this.memoryOperand(o)));
  }
  linearAddress(o: Operand): Value {
    const m = this.memoryOperand(o);
    const linear = (this.vcpu.segBase[m.segment] ?? 0n) + this.offsetOf(m);
    return this.make('i64', this.wrapIp(linear));
  }
  load(segment: Segment, offset: Value, size: Size | 16): Value {
    return this.memoryAt(segmentNumber[segment], bitsOf(offset), size);
  }
  store(segment: Segment, offset: Value, v: Value): void {
    const bytes = v.type === 'v128' ? 16 : width(v) / 8;
    if (!this.env.write(segmentNumber[segment], bitsOf(offset), bytes, bitsOf(v))) throw new Ended(status.fault);
  }
  sourceSegment(): Value {
    return this.make('i32', BigInt(this.i.sourceSegment));
  }
  loadSource(offset: Value, size: Size): Value {
    return this.memoryAt(this.i.sourceSegment, bitsOf(offset), size);
  }
  probe(o: Operand): void {
    const m = this.memoryOperand(o);
    const offset = this.offsetOf(m);
    this.checkAligned(m, offset);
    if (!this.env.probe(m.segment, offset, m.size)) throw new Ended(status.fault);
  }

  private underStackMask(sp: bigint): bigint {
    return sp & this.vcpu.stackMask;
  }
  push(v: Value): void {
    const bytes = width(v) / 8;
    const sp = this.underStackMask((this.vcpu.gpr[4] ?? 0n) - BigInt(bytes));
    if (!this.env.write(2, sp, bytes, bitsOf(v))) throw new Ended(status.fault);
    this.setStackPointer(this.make('i64', sp));
  }
  probeStack(bytes: number): void {
    const sp = this.underStackMask((this.vcpu.gpr[4] ?? 0n) - BigInt(bytes));
    // In words, because the stack may wrap around in between.
    for (let k = 0; k < bytes; k += 2) {
      if (!this.env.probe(2, this.underStackMask(sp + BigInt(k)), 2)) throw new Ended(status.fault);
    }
  }
  pop(size: 2 | 4 | 8, then: (v: Value) => void, extra?: Value): void {
    const sp = this.stackPointer();
    then(this.loadStack(sp, size));
    const released = BigInt(size) + (extra === undefined ? 0n : bitsOf(extra));
    this.setStackPointer(this.make('i64', bitsOf(sp) + released));
  }
  popped(o: Operand, size: 2 | 4 | 8): Operand {
    const m = this.memoryOperand(o);
    const onStack = m.base === Vcpu.offsets.gpr + 8 * 4;
    return onStack ? this.displaced(o, this.int(4, size), m.size) : o;
  }
  stackPointer(): Value {
    return this.make('i64', this.underStackMask(this.vcpu.gpr[4] ?? 0n));
  }
  setStackPointer(v: Value): void {
    const mask = this.vcpu.stackMask;
    const kept = (this.vcpu.gpr[4] ?? 0n) & ~mask;
    this.vcpu.gpr[4] = BigInt.asUintN(64, kept) | (bitsOf(v) & mask);
  }
  loadStack(offset: Value, size: Size): Value {
    return this.memoryAt(2, this.underStackMask(bitsOf(offset)), size);
  }

  // Transfers. ------------------------------------------------------------------------------------------------------

  private next(): bigint {
    return this.vcpu.rip + BigInt(this.i.length);
  }
  nextIp(): Value {
    return this.make(this.typeOf(this.i.stackSize), this.next());
  }
  currentIp(): Value {
    return this.make('i64', this.wrapIp(this.vcpu.rip));
  }
  private transferSize(): number {
    return this.i.size === 1 ? this.i.stackSize : this.i.size;
  }
  private relativeTarget(): bigint {
    return BigInt.asUintN(8 * this.transferSize(), this.next() + this.i.relative);
  }
  private transfer(rip: bigint): void {
    if (!this.env.checkTarget(rip)) throw new Ended(status.fault);
    this.target = rip;
  }
  jump(target: Value): void {
    this.transfer(BigInt.asUintN(8 * this.transferSize(), bitsOf(target)));
  }
  branch(c?: Value): void {
    if (c === undefined || truth(c)) this.transfer(this.relativeTarget());
  }
  checkTarget(target?: Value): void {
    const rip = target ? BigInt.asUintN(8 * this.transferSize(), bitsOf(target)) : this.relativeTarget();
    if (!this.env.checkTarget(rip)) throw new Ended(status.fault);
  }
  sync(): void {
    this.outcome = status.sync;
  }

  // Processor registers. --------------------------------------------------------------------------------------------

  private systemField(name: SystemRegister): { at: number; stored: number; seen: Size } {
    if (name === 'ldtrSelector') return { at: Vcpu.offsets.segSelector + 2 * 6, stored: 2, seen: 4 };
    if (name === 'trSelector') return { at: Vcpu.offsets.segSelector + 2 * 7, stored: 2, seen: 4 };
    const type = Vcpu.fields[name];
    const stored = type === 'u16' ? 2 : type === 'u32' ? 4 : 8;
    const wide = name === 'fpuIp' || name === 'fpuDp' || name === 'gdtBase' || name === 'idtBase';
    return { at: Vcpu.offsets[name], stored, seen: wide ? 8 : 4 };
  }
  getSystem(name: SystemRegister): Value {
    const { at, stored, seen } = this.systemField(name);
    return this.make(this.typeOf(seen), this.peek(at, stored));
  }
  setSystem(name: SystemRegister, v: Value): void {
    const { at, stored } = this.systemField(name);
    this.poke(at, stored, bitsOf(v));
  }

  // Helpers and x87. ------------------------------------------------------------------------------------------------

  helper(name: string, ...args: Value[]): Value {
    const helper: Helper | undefined = (helpers as Readonly<Record<string, Helper>>)[name];
    if (!helper) throw new Error(`${this.i.mnemonic}: no helper "${name}" in helpers.ts`);
    if (args.length !== helper.parameters.length) {
      throw new Error(`${this.i.mnemonic}: ${name} takes ${helper.parameters.length} arguments, got ${args.length}`);
    }
    const passed = args.map((a, k) =>
      helper.parameters[k] === 'i64' ? BigInt.asIntN(64, bitsOf(a)) : Number(BigInt.asIntN(32, bitsOf(a))),
    );
    const r = this.env.call(name, passed) ?? 0;
    if (helper.kind === 'status') throw new Ended(Number(r));
    if (helper.kind === 'fault' && this.vcpu.trouble !== 0) throw new Ended(status.fault);
    return this.make(helper.result === 'i64' ? 'i64' : 'i32', BigInt(r));
  }

  x87Opcode(): Value {
    return this.make('i16', BigInt(this.i.x87Opcode));
  }
  private physical(n: number): number {
    return Vcpu.offsets.st + 16 * ((this.vcpu.fpuTop + n) & 7);
  }
  st(n: number): Value {
    return this.make('f80', BigInt(this.vcpu.$address + this.physical(n)));
  }
  setSt(n: number, v: Value): void {
    const [significand, signExponent] = [bitsOf(this.significand(v)), bitsOf(this.signExponent(v))];
    const at = this.physical(n);
    this.poke(at, 8, significand);
    this.poke(at + 8, 8, signExponent);
  }
  temporary(): Value {
    const at = Vcpu.offsets.scratch + 16 * this.temporaries++;
    if (at + 16 > Vcpu.offsets.scratch + 8 * 64)
      throw new Error(`${this.i.mnemonic}: more temporaries than Vcpu.scratch`);
    return this.make('f80', BigInt(this.vcpu.$address + at));
  }
  private inVcpu(address: Value): number {
    return Number(bitsOf(address)) - this.vcpu.$address;
  }
  significand(v: Value): Value {
    return this.make('i64', this.peek(this.inVcpu(v), 8));
  }
  signExponent(v: Value): Value {
    return this.make('i16', this.peek(this.inVcpu(v) + 8, 2));
  }
  f80(significand: Value, signExponent: Value): Value {
    const t = this.temporary();
    this.setF80(t, significand, signExponent);
    return t;
  }
  setF80(f80: Value, significand: Value, signExponent: Value): void {
    this.poke(this.inVcpu(f80), 8, bitsOf(significand));
    this.poke(this.inVcpu(f80) + 8, 8, bitsOf(signExponent));
  }
  copyF80(temporary: Value, v: Value): void {
    const at = this.inVcpu(temporary);
    const [significand, signExponent] = [bitsOf(this.significand(v)), bitsOf(this.signExponent(v))];
    this.poke(at, 8, significand);
    this.poke(at + 8, 8, signExponent);
  }
  spill(v: Value): Value {
    const t = this.temporary();
    this.poke(this.inVcpu(t), 16, bitsOf(v));
    return t;
  }
  fill(temporary: Value): Value {
    return this.make('v128', this.peek(this.inVcpu(temporary), 16));
  }
}
