/**
 * Values of the compiler: nodes of pure expressions that are written where they are used. A node that several others
 * use is kept in a local from its first use on; a node that nobody uses is never written.
 *
 * A node stays right whatever is written later: its leaves are constants and locals, and before a local that changes (a
 * register's) is written, the nodes that stand for its old value get one of their own (`region-builder.ts`).
 */
import type { Size, Type, Value } from '../isa/builder.ts';
import { intType, wasmType } from '../emit/operations.ts';
import type { Code, FunctionBuilder, ValueType } from '../../wasm/encoder.ts';
import type { OpcodeName } from '../../wasm/opcodes.ts';

export interface Node extends Value {
  readonly type: Type;
  /** Absent: a constant, a local, or (one argument) another node under another type. */
  readonly op?: OpcodeName;
  readonly args: readonly Node[];
  readonly lanes?: readonly number[];
  readonly constant?: bigint;
  /** Constant vectors: the upper half. */
  readonly high?: bigint;
  /** The local that holds it, or −1. */
  local: number;
  uses: number;
}

function isConstant(n: Node): n is Node & { readonly constant: bigint } {
  return n.constant !== undefined;
}

/** Operations that the compiler computes itself, on constants. */
const folds: Readonly<Record<string, (a: bigint, b: bigint, bits: number) => bigint>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b, bits) => a << (b & BigInt(bits - 1)),
  shr_u: (a, b, bits) => a >> (b & BigInt(bits - 1)),
};
/** 64-bit operations whose low half follows from the low halves. */
const narrowing = new Set<string>(['i64.add', 'i64.sub', 'i64.and', 'i64.or', 'i64.xor', 'i64.mul']);
const mostOf: Readonly<Partial<Record<Type, bigint>>> = { i8: 0xffn, i16: 0xffffn, bool: 1n };

export class Expressions {
  readonly code: Code;
  private readonly f: FunctionBuilder;
  /** Locals that no node needs any more, by type. */
  private readonly free = new Map<ValueType, number[]>();
  /** Locals that this instruction's nodes have taken. */
  private taken: { local: number; type: ValueType }[] = [];
  /** Nodes that got their local within the arms that are open. */
  private readonly arms: Node[][] = [];

  constructor(f: FunctionBuilder) {
    this.f = f;
    this.code = f.code;
  }

  // Locals. ---------------------------------------------------------------------------------------------------------

  allocate(type: ValueType): number {
    const local = this.free.get(type)?.pop() ?? this.f.local(type);
    this.taken.push({ local, type });
    return local;
  }

  /** At the end of an instruction: locals are free again, but for those that `kept` nodes stand on. */
  release(kept: readonly Node[]): void {
    const pinned = new Set<number>();
    for (const node of kept) this.leaves(node, (n) => pinned.add(n.local));
    const still: { local: number; type: ValueType }[] = [];
    for (const t of this.taken) {
      if (pinned.has(t.local)) still.push(t);
      else {
        const list = this.free.get(t.type);
        if (list) list.push(t.local);
        else this.free.set(t.type, [t.local]);
      }
    }
    this.taken = still;
  }

  /** Locals that these nodes stand on are never given to others. */
  keep(nodes: readonly Node[]): void {
    const pinned = new Set<number>();
    for (const node of nodes) this.leaves(node, (n) => pinned.add(n.local));
    this.taken = this.taken.filter((t) => !pinned.has(t.local));
  }

  /** Calls `see` for each node below (and with) `node` that lies in a local. */
  leaves(node: Node, see: (leaf: Node) => void): void {
    if (node.local >= 0) see(node);
    else for (const a of node.args) this.leaves(a, see);
  }

  // Making nodes. ---------------------------------------------------------------------------------------------------

  int(size: Size, n: number | bigint): Node {
    return { type: intType[size], args: [], constant: BigInt.asUintN(size * 8, BigInt(n)), local: -1, uses: 0 };
  }

  bool(b: boolean): Node {
    return { type: 'bool', args: [], constant: b ? 1n : 0n, local: -1, uses: 0 };
  }

  bits(type: 'f32' | 'f64', bits: bigint): Node {
    return { type, args: [], constant: bits, local: -1, uses: 0 };
  }

  vector(low: bigint, high: bigint): Node {
    return { type: 'v128', args: [], constant: low, high, local: -1, uses: 0 };
  }

  inLocal(type: Type, local: number): Node {
    return { type, args: [], local, uses: 0 };
  }

  retype(type: Type, v: Node): Node {
    if (v.type === type) return v;
    if (isConstant(v)) return { ...v, type, uses: 0 };
    v.uses++;
    return { type, args: [v], local: -1, uses: 0 };
  }

  make(type: Type, op: OpcodeName, args: readonly Node[], lanes?: readonly number[]): Node {
    const simpler = lanes ? this.simplifyLane(type, op, args, lanes) : this.simplify(type, op, args);
    if (simpler) return simpler;
    for (const a of args) a.uses++;
    return { type, op, args, local: -1, uses: 0, ...(lanes ? { lanes } : {}) };
  }

  private raw(type: Type, op: OpcodeName, ...args: Node[]): Node {
    return this.make(type, op, args);
  }

  /** What a node is under its other type. */
  private plain(n: Node): Node {
    let node = n;
    while (node.local < 0 && node.op === undefined && node.args.length === 1) node = node.args[0] ?? node;
    return node;
  }

  private simplify(type: Type, op: OpcodeName, args: readonly Node[]): Node | undefined {
    const [a, b] = args;
    if (!a) return undefined;
    if (op === 'i32.wrap_i64') return this.wrapped(type, this.plain(a));
    if (op === 'i64.extend_i32_u' && isConstant(a)) return this.int(8, a.constant);
    if (op === 'i64.extend_i32_s' && isConstant(a)) return this.int(8, BigInt.asIntN(32, a.constant));
    if (op === 'f64.reinterpret_i64' || op === 'f32.reinterpret_i32') return this.laneAsFloat(type, op, this.plain(a));
    if (!b || args.length > 2) return undefined;
    const dot = op.indexOf('.');
    const prefix = op.slice(0, dot);
    if (prefix !== 'i32' && prefix !== 'i64') return undefined;
    const name = op.slice(dot + 1);
    const bits = prefix === 'i64' ? 64 : 32;
    if (isConstant(a) && isConstant(b)) {
      const fold = folds[name];
      if (!fold) return undefined;
      const value = BigInt.asUintN(bits, fold(a.constant, b.constant, bits));
      return { type, args: [], constant: value, local: -1, uses: 0 };
    }
    if (!isConstant(b)) return isConstant(a) && a.constant === 0n && name === 'add' ? this.retype(type, b) : undefined;
    const c = b.constant;
    if (c === 0n && ['add', 'sub', 'or', 'xor', 'shl', 'shr_u', 'shr_s'].includes(name)) return this.retype(type, a);
    if (name === 'and') return this.masked(type, prefix, a, c);
    // x + c1 + c2 is x + (c1 + c2).
    const inner = this.plain(a);
    const [x, c1] = inner.args;
    if (name === 'add' && inner.op === op && inner.local < 0 && x && c1 && isConstant(c1)) {
      return this.make(type, op, [x, { ...c1, constant: BigInt.asUintN(bits, c1.constant + c), uses: 0 }]);
    }
    return undefined;
  }

  private masked(type: Type, prefix: string, a: Node, mask: bigint): Node | undefined {
    const most = mostOf[a.type];
    if (most !== undefined && (mask & most) === most) return this.retype(type, a);
    if (prefix === 'i32') return mask === 0xffffffffn ? this.retype(type, a) : undefined;
    if (mask === 0xffffffffffffffffn) return a;
    const inner = this.plain(a);
    const [x] = inner.args;
    if (inner.op === 'i64.extend_i32_u' && x && inner.local < 0) {
      const low = mask & 0xffffffffn;
      return this.raw('i64', 'i64.extend_i32_u', this.raw('i32', 'i32.and', x, this.int(4, low)));
    }
    if (mask === 0xffffffffn) return this.raw('i64', 'i64.extend_i32_u', this.raw('i32', 'i32.wrap_i64', a));
    return undefined;
  }

  /** The low half of a 64-bit node. */
  private wrapped(type: Type, a: Node): Node | undefined {
    if (isConstant(a)) return { type, args: [], constant: a.constant & 0xffffffffn, local: -1, uses: 0 };
    if (a.local >= 0) return undefined;
    const [x, y] = a.args;
    if ((a.op === 'i64.extend_i32_u' || a.op === 'i64.extend_i32_s') && x) return this.retype(type, x);
    if (!x || !y || a.op === undefined) return undefined;
    const low = (n: Node): Node => this.raw('i32', 'i32.wrap_i64', n);
    if (a.op === 'i64.shl' && isConstant(y) && y.constant < 32n) {
      return this.retype(type, this.raw('i32', 'i32.shl', low(x), this.int(4, y.constant)));
    }
    if (!narrowing.has(a.op)) return undefined;
    return this.retype(type, this.raw('i32', a.op.replace('i64', 'i32') as OpcodeName, low(x), low(y)));
  }

  /** A vector's lane that is used as a float never passes through an integer. */
  private laneAsFloat(type: Type, op: OpcodeName, a: Node): Node | undefined {
    const [v] = a.args;
    if (a.local >= 0 || !v) return undefined;
    if (op === 'f64.reinterpret_i64') {
      if (a.op === 'i64x2.extract_lane') return this.make(type, 'f64x2.extract_lane', [v], a.lanes);
      if (a.op === 'i64.reinterpret_f64') return v;
    }
    if (op === 'f32.reinterpret_i32') {
      if (a.op === 'i32x4.extract_lane') return this.make(type, 'f32x4.extract_lane', [v], a.lanes);
      if (a.op === 'i32.reinterpret_f32') return v;
    }
    return undefined;
  }

  private simplifyLane(type: Type, op: OpcodeName, args: readonly Node[], lanes: readonly number[]): Node | undefined {
    const [v, x] = args;
    if (!v || !x) return undefined;
    const inner = this.plain(x);
    const [float] = inner.args;
    if (inner.local >= 0 || !float) return undefined;
    if (op === 'i64x2.replace_lane' && inner.op === 'i64.reinterpret_f64') {
      return this.make(type, 'f64x2.replace_lane', [v, float], lanes);
    }
    if (op === 'i32x4.replace_lane' && inner.op === 'i32.reinterpret_f32') {
      return this.make(type, 'f32x4.replace_lane', [v, float], lanes);
    }
    return undefined;
  }

  // Writing. --------------------------------------------------------------------------------------------------------

  /** Pushes a node's value on the wasm stack. */
  put(n: Node): Code {
    const { code } = this;
    if (n.local >= 0) return code.get(n.local);
    if (n.constant !== undefined) return this.putConstant(n, n.constant);
    for (const a of n.args) this.put(a);
    if (n.op === undefined) return code;
    if (n.lanes === undefined) code.op(n.op);
    else if (n.op === 'i8x16.shuffle') code.shuffle(n.lanes);
    else code.lane(n.op, n.lanes[0] ?? 0);
    if (n.uses > 1) code.tee(this.place(n));
    return code;
  }

  private putConstant(n: Node, constant: bigint): Code {
    switch (wasmType[n.type]) {
      case 'i64':
        return this.code.i64(constant);
      case 'f32':
        return this.code.f32(Number(constant));
      case 'f64':
        return this.code.f64(constant);
      case 'v128':
        return this.code.v128(constant, n.high ?? 0n);
      default:
        return this.code.i32(Number(BigInt.asIntN(32, constant)));
    }
  }

  private place(n: Node): number {
    n.local = this.allocate(wasmType[n.type]);
    this.arms.at(-1)?.push(n);
    return n.local;
  }

  /** Takes the top of the wasm stack into a local. */
  take(type: Type): Node {
    const local = this.allocate(wasmType[type]);
    this.code.set(local);
    return this.inLocal(type, local);
  }

  /** The node's value in a local (a constant's, too). */
  local(n: Node): number {
    if (n.local >= 0) return n.local;
    const { local } = this.hold(n);
    return local;
  }

  /** Writes the node now, if it is not a constant or in a local already. */
  hold(n: Node): Node {
    if (n.local >= 0) return n;
    this.put(n);
    // `put` may have found a local for it, because others use it, too.
    const held = (n as { local: number }).local;
    if (held >= 0) {
      this.code.set(held);
      return n;
    }
    if (n.constant !== undefined) return this.take(n.type);
    this.code.set(this.place(n));
    return n;
  }

  /** What is written between `open` and `close` may not run: locals filled there are not known afterwards. */
  openArm(): void {
    this.arms.push([]);
  }

  closeArm(): void {
    for (const n of this.arms.pop() ?? []) n.local = -1;
  }
}
