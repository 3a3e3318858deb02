/** The values of the compiler's builder: nodes that are written where they are used (`expressions.ts`), and the vCPU's words. */
import type { Size, Type, Value, Variable } from '../isa/builder.ts';
import { FormBuilder } from '../emit/form-builder.ts';
import { wasmType } from '../emit/operations.ts';
import type { Code } from '../../wasm/encoder.ts';
import type { OpcodeName } from '../../wasm/opcodes.ts';
import type { Node } from './expressions.ts';
import { Expressions } from './expressions.ts';
import type { RegionFrame } from './frame.ts';

export abstract class ValueBuilder extends FormBuilder {
  protected readonly frame: RegionFrame;
  protected readonly nodes: Expressions;
  protected readonly code: Code;
  /** Address of the vCPU. */
  protected readonly cpu: number;

  constructor(frame: RegionFrame) {
    super();
    this.frame = frame;
    this.nodes = new Expressions(frame.f);
    this.code = frame.f.code;
    this.cpu = frame.cpu;
  }

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

  protected cpuAddress(): Value {
    return this.int(4, this.cpu);
  }

  protected loadAt(type: Type, op: OpcodeName, address: Value, offset: number): Value {
    this.put(address).memory(op, offset);
    return this.nodes.take(type);
  }
  protected storeAt(op: OpcodeName, address: Value, offset: number, v: Value): void {
    const { store, value } = this.nodes.asStored(op, v as Node);
    this.put(address);
    this.put(value).memory(store, offset);
  }
}
