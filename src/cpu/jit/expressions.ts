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

/** A class, so that all nodes have one shape. */
export class Node implements Value {
  uses = 0;
  readonly type: Type;
  /** Absent: a constant, a local, or (one argument) another node under another type. */
  readonly op: OpcodeName | undefined;
  readonly args: readonly Node[];
  /** The local that holds it, or −1. */
  local: number;
  readonly constant: bigint | undefined;
  /** Constant vectors: the upper half. */
  readonly high: bigint | undefined;
  readonly lanes: readonly number[] | undefined;

  constructor(
    type: Type,
    op: OpcodeName | undefined,
    args: readonly Node[],
    local = -1,
    constant?: bigint,
    high?: bigint,
    lanes?: readonly number[],
  ) {
    this.type = type;
    this.op = op;
    this.args = args;
    this.local = local;
    this.constant = constant;
    this.high = high;
    this.lanes = lanes;
  }
}

const none: readonly Node[] = [];

function constantNode(type: Type, constant: bigint): Node {
  return new Node(type, undefined, none, -1, constant);
}

/** Small numbers as BigInt, which are asked for all the time. */
const small = Array.from({ length: 256 }, (_, n) => BigInt(n));

function unsignedOf(size: Size, n: number | bigint): bigint {
  if (typeof n === 'number') return small[n] ?? BigInt.asUintN(size * 8, BigInt(n));
  return BigInt.asUintN(size * 8, n);
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
  eq: (a, b) => (a === b ? 1n : 0n),
  ne: (a, b) => (a === b ? 0n : 1n),
};
/** 64-bit operations whose low half follows from the low halves: what does that. */
const narrowing: Readonly<Record<string, OpcodeName>> = {
  'i64.add': 'i32.add',
  'i64.sub': 'i32.sub',
  'i64.and': 'i32.and',
  'i64.or': 'i32.or',
  'i64.xor': 'i32.xor',
  'i64.mul': 'i32.mul',
};
/** Operations of two arguments that may be simplified. */
const simplified: ReadonlyMap<OpcodeName, { readonly name: string; readonly bits: number }> = new Map(
  [...Object.keys(folds), 'shr_s'].flatMap((name) => [
    [`i32.${name}` as OpcodeName, { name, bits: 32 }],
    [`i64.${name}` as OpcodeName, { name, bits: 64 }],
  ]),
);

/** What an operation on two constants gives, if the compiler computes it. */
export function foldConstants(op: OpcodeName, a: bigint, b: bigint): bigint | undefined {
  const known = simplified.get(op);
  const fold = known && folds[known.name];
  return fold && BigInt.asUintN(known.bits, fold(a, b, known.bits));
}

/** Those that leave their first argument as it is when the second one is 0. */
const neutralZero: ReadonlySet<string> = new Set(['add', 'sub', 'or', 'xor', 'shl', 'shr_u', 'shr_s']);
const mostOf: Readonly<Partial<Record<Type, bigint>>> = { i8: 0xffn, i16: 0xffffn, bool: 1n };

export class Expressions {
  readonly code: Code;
  private readonly f: FunctionBuilder;
  /** Locals that no node needs any more, by type. */
  private readonly free: Readonly<Record<ValueType, number[]>> = { i32: [], i64: [], f32: [], f64: [], v128: [] };
  /** Locals that this instruction's nodes have taken. */
  private taken: { readonly local: number; readonly type: ValueType }[] = [];
  /** Nodes that got their local within the arms that are open. */
  private readonly arms: Node[][] = [];

  constructor(f: FunctionBuilder) {
    this.f = f;
    this.code = f.code;
  }

  // Locals. ---------------------------------------------------------------------------------------------------------

  allocate(type: ValueType): number {
    const local = this.free[type].pop() ?? this.f.local(type);
    this.taken.push({ local, type });
    return local;
  }

  /** At the end of an instruction: locals are free again, but for those that `kept` nodes stand on. */
  release(kept: readonly Node[]): void {
    if (this.taken.length === 0) return;
    const pinned = this.localsOf(kept);
    const still: { readonly local: number; readonly type: ValueType }[] = [];
    for (const t of this.taken) {
      if (pinned.includes(t.local)) still.push(t);
      else this.free[t.type].push(t.local);
    }
    this.taken = still;
  }

  /** Locals that these nodes stand on are never given to others. */
  keep(nodes: readonly Node[]): void {
    const pinned = this.localsOf(nodes);
    this.taken = this.taken.filter((t) => !pinned.includes(t.local));
  }

  private localsOf(nodes: readonly Node[]): readonly number[] {
    const locals: number[] = [];
    for (const node of nodes) this.leaves(node, (n) => locals.push(n.local));
    return locals;
  }

  /** Calls `see` for each node below (and with) `node` that lies in a local. */
  leaves(node: Node, see: (leaf: Node) => void): void {
    if (node.local >= 0) see(node);
    else for (const a of node.args) this.leaves(a, see);
  }

  // Making nodes. ---------------------------------------------------------------------------------------------------

  int(size: Size, n: number | bigint): Node {
    return constantNode(intType[size], unsignedOf(size, n));
  }

  bool(b: boolean): Node {
    return constantNode('bool', b ? 1n : 0n);
  }

  bits(type: 'f32' | 'f64', bits: bigint): Node {
    return constantNode(type, bits);
  }

  vector(low: bigint, high: bigint): Node {
    return new Node('v128', undefined, none, -1, low, high);
  }

  inLocal(type: Type, local: number): Node {
    return new Node(type, undefined, none, local);
  }

  retype(type: Type, v: Node): Node {
    if (v.type === type) return v;
    if (v.constant !== undefined) return new Node(type, undefined, none, v.local, v.constant, v.high);
    v.uses++;
    return new Node(type, undefined, [v]);
  }

  make(type: Type, op: OpcodeName, args: readonly Node[], lanes?: readonly number[]): Node {
    const simpler = lanes ? this.simplifyLane(type, op, args, lanes) : this.simplify(type, op, args);
    if (simpler) return simpler;
    for (const a of args) a.uses++;
    return new Node(type, op, args, -1, undefined, undefined, lanes);
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
    const known = simplified.get(op);
    if (!known) return undefined;
    const { name, bits } = known;
    if (isConstant(a) && isConstant(b)) {
      const folded = foldConstants(op, a.constant, b.constant);
      return folded === undefined ? undefined : constantNode(type, folded);
    }
    if (!isConstant(b)) return isConstant(a) && a.constant === 0n && name === 'add' ? this.retype(type, b) : undefined;
    const c = b.constant;
    if (c === 0n && neutralZero.has(name)) return this.retype(type, a);
    if (name === 'and') return this.masked(type, bits, a, c);
    // x + c1 + c2 is x + (c1 + c2).
    const inner = this.plain(a);
    const [x, c1] = inner.args;
    if (name === 'add' && inner.op === op && inner.local < 0 && x && c1 && isConstant(c1)) {
      return this.make(type, op, [x, constantNode(c1.type, BigInt.asUintN(bits, c1.constant + c))]);
    }
    return undefined;
  }

  private masked(type: Type, bits: number, a: Node, mask: bigint): Node | undefined {
    const most = mostOf[a.type];
    if (most !== undefined && (mask & most) === most) return this.retype(type, a);
    if (bits === 32) return mask === 0xffffffffn ? this.retype(type, a) : undefined;
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
    if (isConstant(a)) return constantNode(type, a.constant & 0xffffffffn);
    if (a.local >= 0) return undefined;
    const [x, y] = a.args;
    if ((a.op === 'i64.extend_i32_u' || a.op === 'i64.extend_i32_s') && x) return this.retype(type, x);
    if (!x || !y || a.op === undefined) return undefined;
    if (a.op === 'i64.shl' && isConstant(y) && y.constant < 32n) {
      return this.retype(type, this.raw('i32', 'i32.shl', this.low(x), this.int(4, y.constant)));
    }
    const narrow = narrowing[a.op];
    return narrow && this.retype(type, this.raw('i32', narrow, this.low(x), this.low(y)));
  }

  private low(n: Node): Node {
    return this.raw('i32', 'i32.wrap_i64', n);
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

  /** How a value is best stored: what lies in a vector or a float register goes to memory from there. */
  asStored(op: OpcodeName, v: Node): { readonly store: OpcodeName; readonly value: Node } {
    const from = this.plain(v);
    if (op === 'i64.store') {
      const float = this.laneAsFloat('f64', 'f64.reinterpret_i64', from);
      if (float) return { store: 'f64.store', value: float };
    } else if (op === 'i32.store') {
      const float = this.laneAsFloat('f32', 'f32.reinterpret_i32', from);
      if (float) return { store: 'f32.store', value: float };
    }
    return { store: op, value: v };
  }

  private simplifyLane(type: Type, op: OpcodeName, args: readonly Node[], lanes: readonly number[]): Node | undefined {
    const [v, x] = args;
    // Engines take the long way for an integer out of a vector, but for a float out of one.
    if (v && op === 'i64x2.extract_lane' && lanes[0] === 0) {
      return this.make(type, 'i64.reinterpret_f64', [this.make('f64', 'f64x2.extract_lane', [v], lanes)]);
    }
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
        return this.code.i32(Number(constant) | 0);
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
