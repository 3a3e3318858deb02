/**
 * The op-builder: the vocabulary in which every instruction's meaning is written, once. A semantics function is run
 * with one of several builders: the interpreter's (at build time, operands dynamic), the compiler's (at run time,
 * operands known), the evaluator (values computed at once, in plain TypeScript).
 *
 * A value carries its type. Integers have a size in bytes and are kept zero-extended; sizes 1, 2 and 4 are i32 in
 * wasm, size 8 is i64. A Bool is an i32 that is 0 or 1. Vectors are 16 bytes. An `f80` is a handle on a 16-byte
 * temporary (significand, then sign and exponent).
 *
 * Rules for semantics:
 * - Faults leave no trace: read, compute, write memory, then write registers and flags. A write that can fault comes
 *   before any write that cannot. With several memory writes, `probe` them all first.
 * - JavaScript control flow (`if`, loops) may depend on the instruction `i` (sizes, operand kinds), never on values;
 *   for values there are `select`, `if`, `raiseIf`.
 */

export type Size = 1 | 2 | 4 | 8;
export type Type = 'i8' | 'i16' | 'i32' | 'i64' | 'bool' | 'v128' | 'f32' | 'f64' | 'f80';

/** A value of a builder: opaque to semantics but for its type. */
export interface Value {
  readonly type: Type;
}
/** A mutable variable, for results that differ between the arms of an `if`. */
export interface Variable {
  readonly type: Type;
}

/** An operand of the instruction (never looked into by semantics but for these). */
export interface Operand {
  readonly kind: 'register' | 'memory' | 'immediate' | 'segment' | 'control' | 'debug' | 'vector' | 'mmx' | 'x87';
  /** Bytes: 1, 2, 4, 8, 10, 16 (6 and larger for far pointers and save areas). */
  readonly size: number;
}

/** The instruction as a semantics function sees it; everything here is static for a form. */
export interface Instruction {
  readonly mnemonic: string;
  readonly operands: readonly Operand[];
  /** Operand size in bytes after prefixes and defaults: 2, 4 or 8 (1 where the row's operands are bytes). */
  readonly size: Size;
  /** Stack width of PUSH, POP, CALL, RET… in this form: 2, 4 or 8. */
  readonly stackSize: 2 | 4 | 8;
  /** true in 64-bit code. Forms differ by it only where the row asks (`modes`). */
  readonly long: boolean;
  /** Condition code of Jcc, SETcc, CMOVcc: the low 4 bits of the opcode. */
  readonly condition: number;
  /** Repetition prefix, in rows with the option `repeat` (forms of those rows differ by it); 'none' elsewhere. */
  readonly repeat: 'none' | 'rep' | 'repne';
  /** Address size in bytes. Forms differ by it only in rows that call `addressRegister` (strings, LOOP, JCXZ, XLAT). */
  readonly addressSize: 2 | 4 | 8;
}

/** An 80-bit number in two words: the significand, 8 bytes; sign and biased exponent, 16 bits of 4 bytes. */
export interface Extended {
  readonly significand: Value;
  readonly signExponent: Value;
}

/**
 * The x87 registers as short ways see them (`shortWay`). Registers are named by their distance from the top of the stack
 * or by an operand. What `usual`, `inUse` and `isEmpty` give must hold for the short way to be taken.
 */
export interface RegisterStack {
  /** The control word masks all exceptions (so that none is pending) and rounds to nearest, to 64 bits. */
  usual(): Value;
  inUse(n: number | Operand): Value;
  isEmpty(n: number | Operand): Value;
  /** Whether the operand is known to be ST(0). */
  isTop(o: Operand): boolean;
  /** What lies in the register. */
  get(n: number | Operand): Extended;
  /** The register gets a value, and is in use. */
  set(n: number | Operand, v: Extended): void;
  /** Exchanges ST(0) and the register. */
  exchange(n: Operand): void;
  push(v: Extended): void;
  pop(): void;
  /** Sets PE if `inexact` (8 bytes) is not 0; C1 = `roundedUp` (8 bytes, 0 or 1). */
  rounded(inexact: Value, roundedUp: Value): void;
  /** Sets the exception flags that are among these bits (4 bytes), all of them masked. */
  raise(flags: Value): void;
  /** C1 = 0, and C0, C2, C3 as in `codes` (4 bytes, in their places) if there are any. */
  setCodes(codes?: Value): void;
  /** The instruction is the last one that is no control instruction (FIP). */
  notePointer(): void;
  /** The status word with TOP in it, 4 bytes. */
  statusWord(): Value;
}

/** A short way: taken where `when` holds; `commit` may fault only before it changes anything. */
export interface ShortWay {
  readonly when: Value;
  readonly commit: () => void;
}

/**
 * What a builder remembers of scalar floating-point operands, so that they need not be tested again (`sse-exact.ts`). Values
 * are integers with the bits of a number; the width tells the format.
 */
export interface ScalarFloats {
  /**
   * A 4-byte variable that holds what `compute` gives, or gave when it was last asked for in this format; whoever sets it
   * sets it for what follows.
   */
  bound(bytes: 4 | 8, compute: () => Value): Variable;
  /** Whether `learn` was called for what this value was read from, and nothing has been written there since. */
  knows(bits: Value): boolean;
  learn(bits: Value): void;
}

export type FlagName = 'cf' | 'pf' | 'af' | 'zf' | 'sf' | 'of';
/**
 * How the six arithmetic flags follow from operands and result, all of one size:
 * add: r = x + y (+ carry-in given as `carry`); sub: r = x − y (− carry); logic: CF = OF = AF = 0;
 * inc, dec: as add, sub with y = 1, CF kept; zsp: only ZF, SF, PF from r (CF, OF, AF set apart with setFlag after it).
 */
export type FlagRule = 'add' | 'sub' | 'logic' | 'inc' | 'dec' | 'zsp';

export type Segment = 'es' | 'cs' | 'ss' | 'ds' | 'fs' | 'gs';
/** Fields of Vcpu by their names there, and two elements of Vcpu.segSelector. */
export type SystemRegister =
  | 'fpuControl'
  | 'fpuStatus'
  | 'fpuTags'
  | 'fpuTop'
  | 'fpuOpcode'
  | 'fpuIp'
  | 'fpuDp'
  | 'mxcsr'
  | 'fpuTrap'
  | 'cpl'
  | 'eflags'
  | 'cr0'
  | 'cr4'
  | 'shadow'
  | 'msrTscAux'
  | 'gdtBase'
  | 'gdtLimit'
  | 'idtBase'
  | 'idtLimit'
  | 'ldtrSelector'
  | 'trSelector';

/** Vector operations by their WebAssembly names, e.g. 'i8x16.add', 'v128.and', 'i32x4.extmul_low_i16x8_u'. */
export type VectorOp = string;

export interface Builder {
  // Operands. -------------------------------------------------------------------------------------------------------
  /**
   * The operand's value: an integer of the operand's size; v128 for 16-byte vectors, i64 for MMX registers. A vector or
   * MMX operand smaller than its register is the register's low part, an integer. An x87 register (`T`) is an f80.
   */
  read(o: Operand): Value;
  /** A vector of the operand's value and zeros above; operands of 4 or 8 bytes. */
  readExtended(o: Operand): Value;
  /**
   * Writes the operand. A 32-bit general register write clears the upper half; 8 and 16 bits keep the rest. A vector
   * operand smaller than 16 bytes keeps the rest too. An MMX write also sets the exponent field of the x87 register it
   * lies in to 0xFFFF (but neither TOP nor tags).
   */
  write(o: Operand, v: Value): void;
  /**
   * Read-modify-write: plain, or atomic under LOCK. `change` computes the new value from the old one; `then` runs
   * after the write with (old, new), where nothing can fault any more: flags and register results go there.
   */
  update(o: Operand, change: (old: Value) => Value, then?: (old: Value, result: Value) => void): void;
  /**
   * The memory operand moved by `delta` bytes (any integer, sign-extended or truncated to the address size), with
   * another size: BT, far pointers, descriptors.
   */
  displaced(o: Operand, delta: Value, size: number): Operand;
  /** A general register as operand: number 0…15 (size 1: AL CL DL BL, SPL BPL SIL DIL, R8B…; high bytes by 'ah'…'bh'). */
  register(n: number | 'ah' | 'ch' | 'dh' | 'bh', size: Size): Operand;
  /** Number of the register that a segment, control or debug operand names: i32. */
  registerNumber(o: Operand): Value;
  /**
   * The parts of a far pointer: offset of operand size, selector of 2 bytes. Of memory: the selector lies after the
   * offset. Of an immediate (ptr16:16, ptr16:32): Record.immediate holds the offset in bits 0–31, zero-extended, and
   * the selector in bits 32–47, whatever the size.
   */
  farPointer(o: Operand): { readonly offset: Value; readonly selector: Value };

  // Integers. -------------------------------------------------------------------------------------------------------
  int(size: Size, n: number | bigint): Value;
  add(a: Value, b: Value): Value;
  sub(a: Value, b: Value): Value;
  mul(a: Value, b: Value): Value;
  /** Upper half of the double-width product (all sizes). */
  mulHighU(a: Value, b: Value): Value;
  mulHighS(a: Value, b: Value): Value;
  /** Division of one width; the caller has excluded zero divisors and overflow. */
  divU(a: Value, b: Value): Value;
  divS(a: Value, b: Value): Value;
  remU(a: Value, b: Value): Value;
  remS(a: Value, b: Value): Value;
  and(a: Value, b: Value): Value;
  or(a: Value, b: Value): Value;
  xor(a: Value, b: Value): Value;
  not(a: Value): Value;
  neg(a: Value): Value;
  /** Shifts and rotates: the count is an integer of any size and must be less than the width of `a`. */
  shl(a: Value, count: Value): Value;
  shr(a: Value, count: Value): Value;
  sar(a: Value, count: Value): Value;
  rotl(a: Value, count: Value): Value;
  rotr(a: Value, count: Value): Value;
  /** Bit counts of sizes 4 and 8; of zero: the width. */
  clz(a: Value): Value;
  ctz(a: Value): Value;
  popcnt(a: Value): Value;
  zext(size: Size, a: Value): Value;
  sext(size: Size, a: Value): Value;
  trunc(size: Size, a: Value): Value;
  eq(a: Value, b: Value): Value;
  ne(a: Value, b: Value): Value;
  ltU(a: Value, b: Value): Value;
  ltS(a: Value, b: Value): Value;
  leU(a: Value, b: Value): Value;
  leS(a: Value, b: Value): Value;
  isZero(a: Value): Value;
  /** Most significant bit, as Bool. */
  sign(a: Value): Value;
  /** Bit `n` (static), as Bool. */
  bit(a: Value, n: number): Value;
  bool(b: boolean): Value;
  both(a: Value, b: Value): Value;
  either(a: Value, b: Value): Value;
  differ(a: Value, b: Value): Value;
  negate(a: Value): Value;
  boolToInt(size: Size, a: Value): Value;
  /** Both arms are evaluated; any type. */
  select(c: Value, whenTrue: Value, whenFalse: Value): Value;

  // Control. --------------------------------------------------------------------------------------------------------
  variable(initial: Value): Variable;
  get(v: Variable): Value;
  set(v: Variable, value: Value): void;
  if(c: Value, then: () => void, otherwise?: () => void): void;
  /** Runs `then` unless all of the conditions hold, as they mostly do. */
  unless(conditions: readonly Value[], then: () => void): void;
  /**
   * An instruction that is done by `general`, in all cases; where a call is dear by what `attempt` gives, in those it is
   * for. Faults are found by the general way, but for those of memory operands. It is all of the instruction.
   */
  shortWay(attempt: () => ShortWay, general: () => void): void;
  /** The instruction ends here with this exception; nothing of it may have been written. */
  raise(vector: number, error?: Value): void;
  raiseIf(c: Value, vector: number, error?: Value): void;

  // Flags. ----------------------------------------------------------------------------------------------------------
  setFlags(rule: FlagRule, x: Value, y: Value, r: Value, carry?: Value): void;
  /**
   * All six: ZF, SF, PF from `result`, CF = `carry`, OF = the sign bit of `overflow` (an integer of result's size),
   * AF = `aux` (0 when absent). Maps on the lazy words one to one: shifts, multiplication, BCD.
   */
  setFlagsFrom(result: Value, carry: Value, overflow: Value, aux?: Value): void;
  setFlag(name: FlagName, b: Value): void;
  flag(name: FlagName): Value;
  /** Condition code 0…15 (O, NO, B, AE, E, NE, BE, A, S, NS, P, NP, L, GE, LE, G), as Bool. */
  condition(cc: number): Value;
  /** Bit of EFLAGS outside of the arithmetic flags (DF = 10, IF = 9 …), as Bool. */
  systemFlag(bit: number): Value;
  setSystemFlag(bit: number, b: Value): void;
  /** All of EFLAGS as the program sees it (4 bytes), and the six arithmetic flags loaded from such a value. */
  flagsWord(): Value;
  loadArithmeticFlags(v: Value): void;

  // Memory. ---------------------------------------------------------------------------------------------------------
  /** Effective address (offset in the segment) of a memory operand: an integer of the address size. */
  address(o: Operand): Value;
  /** Linear address of a memory operand, segment base included: i64 (INVLPG). */
  linearAddress(o: Operand): Value;
  /** Access at an offset of a segment: `offset` of address size. Size 16 loads v128. */
  load(segment: Segment, offset: Value, size: Size | 16): Value;
  store(segment: Segment, offset: Value, v: Value): void;
  /** Number of the segment of the default data operand (DS, or what a prefix says) of strings and XLAT: i32. */
  sourceSegment(): Value;
  /** Load through that segment at an offset of address size. */
  loadSource(offset: Value, size: Size): Value;
  /** Faults as a write of `size` bytes at the memory operand would; writes nothing. */
  probe(o: Operand): void;
  /** Address size in bytes of the instruction: a register value of that width, e.g. SI, ESI or RSI. */
  addressRegister(n: number): Operand;
  push(v: Value): void;
  /** Faults as pushes of `bytes` bytes in all would (writes below the stack pointer); writes nothing. */
  probeStack(bytes: number): void;
  /**
   * Reads the top of the stack, then moves the stack pointer, by `extra` (an integer: RET imm16) more than `size`, when
   * `then` has run without a fault. A `jump` in `then` takes effect after that.
   */
  pop(size: 2 | 4 | 8, then: (v: Value) => void, extra?: Value): void;
  /** For `then` of a pop: memory operand `o`, its address computed as if rSP had moved by `size` already (POP [rSP+n]). */
  popped(o: Operand, size: 2 | 4 | 8): Operand;
  /** The stack pointer under the stack mask (SP, ESP or RSP by SS.B and mode), as i64. */
  stackPointer(): Value;
  /** Sets it; bits outside of the stack mask are kept. */
  setStackPointer(v: Value): void;
  /** Load from SS at an i64 offset, taken under the stack mask. */
  loadStack(offset: Value, size: Size): Value;

  // Transfers within the code segment. ------------------------------------------------------------------------------
  /** RIP of the following instruction, of stack size. */
  nextIp(): Value;
  /** RIP of the instruction itself, of its first prefix; in legacy code EIP, zero-extended: i64. */
  currentIp(): Value;
  /** Absolute target, truncated to the operand size. */
  jump(target: Value): void;
  /** Relative branch by the immediate operand (`i.operands[0]`), taken if `c` (always when absent). */
  branch(c?: Value): void;
  /**
   * Raises #GP(0) if a transfer to `target` (absent: relative by `i.operands[0]`) would leave the code segment. `jump`
   * and `branch` check for themselves; this is for instructions that write something before they jump (CALL, LOOP).
   */
  checkTarget(target?: Value): void;
  /** The instruction retires with `status.sync`: mode and events are looked at before the next one. Last statement. */
  sync(): void;

  // Processor registers that are not operands. ----------------------------------------------------------------------
  /** 4 bytes, zero-extended (`cr0`, `cr4`: the low half); `fpuIp`, `fpuDp`, `gdtBase`, `idtBase`: 8 bytes. `setSystem` takes the same. */
  getSystem(name: SystemRegister): Value;
  setSystem(name: SystemRegister, v: Value): void;

  // Vectors and floating point. -------------------------------------------------------------------------------------
  /** Shift counts are 4-byte integers; `bitmask` gives a 4-byte integer, `any_true` and `all_true` a Bool. */
  vector(op: VectorOp, ...args: Value[]): Value;
  vectorConst(low: bigint, high: bigint): Value;
  /** i8x16.shuffle with static lanes. */
  shuffle(a: Value, b: Value, lanes: readonly number[]): Value;
  extractLane(v: Value, laneBytes: Size, lane: number): Value;
  /** The lane's width is that of the integer `x`. */
  replaceLane(v: Value, lane: number, x: Value): Value;
  splat(laneBytes: Size, x: Value): Value;
  /** Floating constant of type f32 or f64 by its bits. */
  floatConst(type: 'f32' | 'f64', bits: bigint): Value;
  /**
   * Floating operation by its wasm name ('f64.add', 'f32.sqrt', 'f64.promote_f32' …) on f32 or f64 values. Comparisons
   * ('f32.lt' …) give a Bool; 'i32.trunc_sat_f64_s' and its like give, 'f64.convert_i64_s' and its like take integers.
   */
  float(op: string, ...args: Value[]): Value;
  /** The same bits as another type of the same width: i32↔f32, i64↔f64. */
  reinterpret(type: Type, v: Value): Value;

  /**
   * Calls a core function that all tiers share (see `helpers.ts`: signature, whether it may fault, why it exists).
   * f80 values are passed as addresses.
   */
  helper(name: string, ...args: Value[]): Value;
  /** x87 register ST(n) as f80, by TOP as it is now; no stack checks. It names the register, not a copy. */
  st(n: number): Value;
  setSt(n: number, v: Value): void;
  /** The number i, 0…7, of an x87 register operand (`T`), as a 4-byte integer. */
  stackIndex(o: Operand): Value;
  /** An x87 instruction's opcode as FOP shows it, 2 bytes: the low 3 bits of the escape byte, then ModRM. */
  x87Opcode(): Value;
  /** A fresh 16-byte temporary, for a helper to write its result to. */
  temporary(): Value;
  /** Significand (8 bytes) and sign with exponent (2 bytes) of an f80, read at once; and a new temporary made of such. */
  significand(v: Value): Value;
  signExponent(v: Value): Value;
  f80(significand: Value, signExponent: Value): Value;
  /** Writes both words of an f80 (`signExponent`: 2 or 4 bytes). */
  setF80(f80: Value, significand: Value, signExponent: Value): void;
  /** The x87 registers for short ways. */
  readonly registerStack: RegisterStack;
  readonly scalarFloats: ScalarFloats;
  /** Copies an f80 into a temporary. */
  copyF80(temporary: Value, v: Value): void;
  /** A new temporary that holds a vector, to pass it to a helper by address; and the vector that lies in a temporary. */
  spill(v: Value): Value;
  fill(temporary: Value): Value;
  /** Register xmm n (static) as a 16-byte operand. */
  vectorRegister(n: number): Operand;
}

export type Semantics = (b: Builder, i: Instruction) => void;
