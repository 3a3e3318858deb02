/**
 * What a block knows of scalar floating-point numbers (`ScalarFloats`): which vector registers hold one in their low lane
 * that was tested or computed, and in which format; and the bounds of tests, in a local for each format. What other code
 * does ends it, as MXCSR may be another one then.
 */
import type { ScalarFloats, Value, Variable } from '../isa/builder.ts';
import type { FunctionBuilder } from '../../wasm/encoder.ts';
import type { Expressions, Node } from './expressions.ts';

type Bytes = 4 | 8;

export class KnownFloats implements ScalarFloats {
  private readonly f: FunctionBuilder;
  private readonly nodes: Expressions;
  /** Set when the code that is written may not run: what it learns is not so afterwards. */
  private readonly inArm: () => boolean;
  private readonly locals = new Map<Bytes, number>();
  private readonly bounds = new Set<Bytes>();
  /** By the register's local: bytes of the number that is known. */
  private readonly registers = new Map<number, Bytes>();
  /** Of this instruction: low lanes by their register's local, and what was learned of other values. */
  private readonly lanes = new Map<Value, number>();
  private readonly learned = new Set<Value>();

  constructor(f: FunctionBuilder, nodes: Expressions, inArm: () => boolean) {
    this.f = f;
    this.nodes = nodes;
    this.inArm = inArm;
  }

  /** Other code ran, or MXCSR was written. */
  forget(): void {
    this.bounds.clear();
    this.registers.clear();
    this.learned.clear();
  }

  startInstruction(): void {
    this.lanes.clear();
    this.learned.clear();
  }

  /** A value is the low lane of a register. */
  noteLane(lane: Value, register: number): void {
    this.lanes.set(lane, register);
  }

  /** A register's low lane has got a value. */
  noteWritten(register: number, lane: Value, bytes: number): void {
    if ((bytes === 4 || bytes === 8) && !this.inArm() && this.knows(lane)) this.registers.set(register, bytes);
    else this.registers.delete(register);
  }

  /** A register has got all of another one, or (`from` < 0) something else. */
  noteCopied(register: number, from: number): void {
    const known = this.inArm() ? undefined : this.registers.get(from);
    if (known) this.registers.set(register, known);
    else this.registers.delete(register);
  }

  bound(bytes: Bytes, compute: () => Value): Variable {
    const local = this.locals.get(bytes) ?? this.f.local('i32');
    this.locals.set(bytes, local);
    if (!this.bounds.has(bytes)) {
      this.nodes.put(compute() as Node).set(local);
      if (!this.inArm()) this.bounds.add(bytes);
    }
    return this.nodes.inLocal('i32', local);
  }

  knows(bits: Value): boolean {
    if (this.learned.has(bits)) return true;
    const register = this.lanes.get(bits);
    return register !== undefined && this.registers.get(register) === bytesOf(bits);
  }

  learn(bits: Value): void {
    if (this.inArm()) return;
    const register = this.lanes.get(bits);
    const bytes = bytesOf(bits);
    if (register === undefined) this.learned.add(bits);
    else if (bytes) this.registers.set(register, bytes);
  }
}

function bytesOf({ type }: Value): Bytes | undefined {
  return type === 'i64' ? 8 : type === 'i32' ? 4 : undefined;
}
