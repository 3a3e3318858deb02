/**
 * What a form does, as far as the compiler must know before it writes code: found once for each form, by running its
 * semantics with a builder that only looks.
 */
import type {
  FlagName,
  FlagRule,
  RegisterStack,
  ShortWay,
  Size,
  SystemRegister,
  Type,
  Value,
  Variable,
} from '../isa/builder.ts';
import type { Form, FormOperand } from '../isa/compile.ts';
import type { Helper } from '../isa/helpers.ts';
import type { CoreCalls, WriteTarget } from '../emit/form-builder.ts';
import { FormBuilder } from '../emit/form-builder.ts';
import { intType } from '../emit/operations.ts';
import type { FunctionReference } from '../../wasm/encoder.ts';
import type { OpcodeName } from '../../wasm/opcodes.ts';
import { foldConstants } from './expressions.ts';

/** The arithmetic flags as bits of a set. */
export const flagBits: Readonly<Record<FlagName, number>> = { cf: 1, pf: 2, af: 4, zf: 8, sf: 16, of: 32 };
export const allFlags = 63;

/**
 * Registers of one kind that a form touches: those named by slots of the record, and fixed ones as bits. Read is what
 * the form needs the value of, also because it may leave (a part of) it as it was.
 */
export interface RegisterUse {
  rmRead: boolean;
  rmWritten: boolean;
  regRead: boolean;
  regWritten: boolean;
  fixedRead: number;
  fixedWritten: number;
}

export interface FormFacts {
  /** Flags that may be read. */
  readonly flagsRead: number;
  /** Flags that are written on every way, and those that may be. */
  readonly flagsWritten: number;
  readonly flagsMayWrite: number;
  /** It may leave before it has changed anything: memory, exceptions, helpers that may fault. */
  readonly mayLeave: boolean;
  readonly helpers: readonly string[];
  /** jump: to a computed address (JMP r/m, RET). call: pushes the next RIP and transfers. */
  readonly transfer: 'none' | 'branch' | 'conditional' | 'jump' | 'call';
  readonly sync: boolean;
  /** It has a memory operand whose base and index count. */
  readonly addressed: boolean;
  /** It reads or writes through the stack pointer, a memory operand apart. */
  readonly stack: boolean;
  /** It writes memory, relative to the stack pointer or otherwise. */
  readonly writesStack: boolean;
  readonly writesMemory: boolean;
  /** Arms of an `if` write registers, flags or memory. */
  readonly variables: boolean;
  readonly general: Readonly<RegisterUse>;
  readonly vectors: Readonly<RegisterUse>;
  /** What it touches of the x87: by a short way or otherwise through `Builder.registerStack`, or where it lies in memory. */
  readonly x87: 'none' | 'stack' | 'memory';
}

interface Seen extends Value {
  readonly constant?: bigint;
}

function noUse(): RegisterUse {
  return { rmRead: false, rmWritten: false, regRead: false, regWritten: false, fixedRead: 0, fixedWritten: 0 };
}

/** A fixed register as a bit; AH CH DH BH, 16 to 19, are parts of the first four. */
function fixedBit(o: FormOperand): number {
  return 1 << (o.kind === 'register' && o.number >= 16 ? o.number - 16 : o.number);
}

const conditionFlags: readonly number[] = [
  flagBits.of,
  flagBits.cf,
  flagBits.zf,
  flagBits.cf | flagBits.zf,
  flagBits.sf,
  flagBits.pf,
  flagBits.sf | flagBits.of,
  flagBits.sf | flagBits.of | flagBits.zf,
];

class FactsBuilder extends FormBuilder {
  protected readonly form: Form;
  protected readonly calls: CoreCalls;
  flagsRead = 0;
  flagsWritten = 0;
  flagsMayWrite = 0;
  mayLeave = false;
  readonly helpers: string[] = [];
  transfers: FormFacts['transfer'] = 'none';
  syncs = false;
  addressed = false;
  stack = false;
  writesStack = false;
  writesMemory = false;
  variables = false;
  pushedNextIp = false;
  x87: FormFacts['x87'] = 'none';
  readonly general = noUse();
  readonly vectors = noUse();
  private arms = 0;
  private readonly immediateValue: bigint | undefined;

  constructor(form: Form, helpers: Readonly<Record<string, Helper>>, immediate?: bigint) {
    super();
    this.form = form;
    this.immediateValue = immediate;
    const none: FunctionReference = { index: 0, name: '' };
    this.calls = {
      segmentBase: none,
      probeWrite: none,
      helper: (name) => {
        const h = helpers[name];
        if (!h) throw new Error(`helper ${name} is not declared in isa/helpers.ts`);
        return { reference: none, parameters: h.parameters, result: h.result, kind: h.kind };
      },
    };
  }

  private value(type: Type): Value {
    return { type };
  }
  protected make(type: Type, op: OpcodeName, ...args: readonly Value[]): Value {
    const [a, b, c] = args.map((v) => this.constantOf(v));
    const constant = a === undefined || b === undefined || c !== undefined ? undefined : foldConstants(op, a, b);
    return constant === undefined ? this.value(type) : ({ type, constant } as Seen);
  }
  protected makeLane(type: Type): Value {
    return this.value(type);
  }
  protected retype(type: Type, v: Value): Value {
    const constant = this.constantOf(v);
    return constant === undefined ? this.value(type) : ({ type, constant } as Seen);
  }
  protected held(v: Value): Value {
    return v;
  }
  protected constantOf(v: Value): bigint | undefined {
    return (v as Seen).constant;
  }
  int(size: Size, n: number | bigint): Value {
    return { type: intType[size], constant: BigInt.asUintN(size * 8, BigInt(n)) } as Seen;
  }
  bool(): Value {
    return this.value('bool');
  }
  vectorConst(): Value {
    return this.value('v128');
  }
  floatConst(type: 'f32' | 'f64'): Value {
    return this.value(type);
  }
  select(_c: Value, whenTrue: Value): Value {
    return this.value(whenTrue.type);
  }
  variable(initial: Value): Variable {
    return { type: initial.type };
  }
  get(v: Variable): Value {
    return this.value(v.type);
  }
  set(): void {
    // Variables are not the guest's.
  }
  if(c: Value, then: () => void, otherwise?: () => void): void {
    if (this.immediateValue !== undefined && this.constantOf(c) === 1n && !otherwise) {
      then();
      return;
    }
    this.arms++;
    then();
    otherwise?.();
    this.arms--;
  }

  /** The general way writes all that the short one writes; its helpers are the form's function's. */
  shortWay(attempt: () => ShortWay, general: () => void): void {
    this.x87 = 'stack';
    const helpers = this.helpers.length;
    general();
    this.helpers.length = helpers;
    attempt().commit();
  }
  override get registerStack(): RegisterStack {
    this.x87 = 'stack';
    return super.registerStack;
  }
  override getSystem(name: SystemRegister): Value {
    this.touchesX87(name);
    return super.getSystem(name);
  }
  override setSystem(name: SystemRegister, v: Value): void {
    this.touchesX87(name);
    super.setSystem(name, v);
  }
  private touchesX87(name: SystemRegister): void {
    if (name.startsWith('fpu') && this.x87 === 'none') this.x87 = 'memory';
  }

  private writes(): void {
    if (this.arms > 0) this.variables = true;
  }
  protected cpuAddress(): Value {
    return this.value('i32');
  }
  protected recordAddress(): Value {
    return this.value('i32');
  }
  protected loadAt(type: Type): Value {
    return this.value(type);
  }
  protected storeAt(): void {
    this.writes();
  }

  private reads(use: RegisterUse, o: FormOperand): void {
    if (o.slot === 'rm') use.rmRead = true;
    else if (o.slot === 'reg') use.regRead = true;
    else use.fixedRead |= fixedBit(o);
  }

  /** `whole`: nothing of its value before is left. */
  private overwrites(use: RegisterUse, o: FormOperand, whole: boolean): void {
    if (o.slot === 'rm') use.rmWritten = true;
    else if (o.slot === 'reg') use.regWritten = true;
    else use.fixedWritten |= fixedBit(o);
    if (!whole || this.arms > 0) this.reads(use, o);
    this.writes();
  }

  protected readGeneral(o: FormOperand): Value {
    this.reads(this.general, o);
    return this.value(o.size === 10 ? 'f80' : intType[o.size as Size]);
  }
  protected writeGeneral(o: FormOperand): void {
    this.overwrites(this.general, o, o.size >= 4);
  }
  protected readVector(o: FormOperand): Value {
    this.reads(this.vectors, o);
    return this.value(o.size === 16 ? 'v128' : intType[o.size as Size]);
  }
  protected writeVector(o: FormOperand): void {
    this.overwrites(this.vectors, o, o.size === 16);
  }
  protected mmxAddress(): Value {
    this.x87 = 'memory';
    return this.value('i32');
  }
  registerNumber(): Value {
    return this.int(4, 0);
  }
  protected immediate(size: number): Value {
    if (this.immediateValue !== undefined) return this.int(size as Size, this.immediateValue);
    return this.value(intType[size as Size]);
  }
  protected operandOffset(operand: FormOperand): Value {
    if (operand.number !== 1) this.addressed = true;
    return this.value('i64');
  }
  protected maskAddress(offset: Value): Value {
    return offset;
  }
  protected wrapOffset(offset: Value): Value {
    return offset;
  }
  protected maskStack(pointer: Value): Value {
    return pointer;
  }
  protected recordSegment(): Value {
    return this.int(4, 3);
  }
  protected nextRip(): Value {
    this.pushedNextIp = true;
    return this.value('i64');
  }
  currentIp(): Value {
    return this.value('i64');
  }
  protected relativeOffset(): Value {
    return this.value('i64');
  }
  protected hostToRead(_linear: Value, _size: number, stack: boolean): Value {
    this.mayLeave = true;
    this.stack ||= stack;
    return this.value('i32');
  }
  protected hostToWrite(_linear: Value, _size: number, stack: boolean): WriteTarget {
    this.mayLeave = true;
    this.stack ||= stack;
    if (stack) this.writesStack = true;
    else this.writesMemory = true;
    this.writes();
    return { host: this.value('i32'), commit: () => undefined };
  }
  protected leaveIfTrouble(): void {
    this.mayLeave = true;
  }
  protected segmented(_segment: Value, offset: Value): Value {
    this.mayLeave = true;
    return this.as('i64', offset);
  }
  protected needCalls(): void {
    // Looking is free.
  }
  protected callCore(callee: FunctionReference, result: 'none', ...args: readonly Value[]): void;
  protected callCore(callee: FunctionReference, result: 'i32' | 'i64', ...args: readonly Value[]): Value;
  protected callCore(_callee: FunctionReference, result: 'none' | 'i32' | 'i64'): Value {
    return this.value(result === 'i64' ? 'i64' : 'i32');
  }
  raise(): void {
    this.mayLeave = true;
  }
  sync(): void {
    this.syncs = true;
  }
  helper(name: string): Value {
    const { kind, result } = this.calls.helper(name);
    this.helpers.push(name);
    if (kind !== 'pure') this.mayLeave = true;
    if (kind === 'status') this.left = true;
    return this.value(result === 'i64' ? 'i64' : 'i32');
  }

  private flagsSet(mask: number): void {
    this.flagsMayWrite |= mask;
    if (this.arms === 0) this.flagsWritten |= mask;
    this.writes();
  }
  override setFlags(rule: FlagRule): void {
    if (rule === 'inc' || rule === 'dec') this.flagsSet(allFlags & ~flagBits.cf);
    else if (rule === 'zsp') this.flagsSet(flagBits.zf | flagBits.sf | flagBits.pf | flagBits.af);
    else this.flagsSet(allFlags);
  }
  override setFlagsFrom(): void {
    this.flagsSet(allFlags);
  }
  override setFlag(name: FlagName): void {
    this.flagsSet(flagBits[name]);
  }
  override loadArithmeticFlags(): void {
    this.flagsSet(allFlags);
  }
  override flag(name: FlagName): Value {
    this.flagsRead |= flagBits[name];
    return this.value('bool');
  }
  override condition(cc: number): Value {
    this.flagsRead |= conditionFlags[cc >> 1] ?? allFlags;
    return this.value('bool');
  }
  override flagsWord(): Value {
    this.flagsRead = allFlags;
    return this.value('i32');
  }

  override checkTarget(target?: Value): void {
    if (target || this.form.size !== 8) this.mayLeave = true;
  }
  protected transfer(): void {
    this.transfers = this.pushedNextIp ? 'call' : 'jump';
    this.left = true;
  }
  branch(c?: Value): void {
    this.transfers = this.pushedNextIp ? 'call' : c ? 'conditional' : 'branch';
    this.left = true;
  }
}

export class FormFactsCache {
  private readonly known = new Map<Form, FormFacts>();
  private readonly knownWith = new Map<Form, Map<bigint, FormFacts>>();
  private readonly helpers: Readonly<Record<string, Helper>>;

  constructor(helpers: Readonly<Record<string, Helper>>) {
    this.helpers = helpers;
  }

  of(form: Form): FormFacts {
    const known = this.known.get(form);
    if (known) return known;
    const facts = this.find(form);
    this.known.set(form, facts);
    return facts;
  }

  /** Of an instruction: a shift, for one, writes the flags if its count is not 0. */
  with(form: Form, immediate: bigint): FormFacts {
    const facts = this.of(form);
    if (facts.flagsMayWrite === facts.flagsWritten) return facts;
    if (!form.operands.some((o) => o.kind === 'immediate')) return facts;
    const list = this.knownWith.get(form) ?? new Map<bigint, FormFacts>();
    this.knownWith.set(form, list);
    const known = list.get(immediate) ?? this.find(form, immediate);
    list.set(immediate, known);
    return known;
  }

  private find(form: Form, immediate?: bigint): FormFacts {
    const b = new FactsBuilder(form, this.helpers, immediate);
    b.emit();
    return {
      flagsRead: b.flagsRead,
      flagsWritten: b.flagsWritten,
      flagsMayWrite: b.flagsMayWrite,
      mayLeave: b.mayLeave || form.row.unit !== undefined || form.row.privileged === true,
      helpers: b.helpers,
      transfer: b.transfers,
      sync: b.syncs,
      addressed: b.addressed,
      stack: b.stack,
      writesStack: b.writesStack,
      writesMemory: b.writesMemory,
      variables: b.variables,
      general: b.general,
      vectors: b.vectors,
      x87: b.x87,
    };
  }
}
