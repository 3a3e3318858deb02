/**
 * The simplest environment of the evaluator: sparse flat memory behind the segment bases, no paging, no limits and no
 * privilege. It implements the helpers that user-mode integer instructions need; for unit tests of definitions.
 */
import type { CodeMode, Match, Matcher } from '../isa/match.ts';
import { Vcpu } from '../state.ts';
import { status } from '../status.ts';
import type { EvaluatorEnvironment } from './evaluator.ts';
import { evaluate } from './evaluator.ts';
import { flagBits, flagsOfWord, loadFlags, storeFlags, wordOfFlags } from './flags.ts';
import { resolveMatch } from './resolve.ts';

type VcpuState = ReturnType<typeof Vcpu.at>;

/** Bits of EFLAGS that POPF changes beside the arithmetic ones, with IOPL 0: ID AC NT DF TF. */
const poppable = 0x244500;

function isCanonical(address: bigint): boolean {
  return BigInt.asIntN(48, address) === BigInt.asIntN(64, address);
}

export class FlatEnvironment implements EvaluatorEnvironment {
  readonly view = new DataView(new ArrayBuffer(Vcpu.size));
  readonly vcpu: VcpuState = Vcpu.at(this.view.buffer, 0);
  /** Bytes by linear address. Absent ones read 0. */
  readonly memory = new Map<bigint, number>();
  /** The error code of the page fault that an access takes, if any. */
  pageFault: (linear: bigint, write: boolean) => number | undefined = () => undefined;
  /** Protected mode: code segments cannot be written. */
  writableCode = true;
  private readonly mode: CodeMode;
  private readonly match: Matcher;
  private running: Match | undefined;

  constructor(match: Matcher, mode: CodeMode) {
    this.mode = mode;
    this.match = match;
    const { vcpu } = this;
    vcpu.stackMask = mode === 16 ? 0xffffn : mode === 32 ? 0xffff_ffffn : 0xffff_ffff_ffff_ffffn;
    vcpu.eflags = 2;
    vcpu.cr0 = 0x31n;
    vcpu.mxcsr = 0x1f80;
    vcpu.fpuControl = 0x37f;
    if (mode === 64) {
      vcpu.efer = 0x500n;
      vcpu.segAttributes[1] = 0x200;
    }
  }

  get flags(): number {
    return (this.vcpu.eflags & ~flagBits) | wordOfFlags(loadFlags(this.vcpu));
  }
  set flags(word: number) {
    this.vcpu.eflags = ((word & ~flagBits) | 2) >>> 0;
    storeFlags(this.vcpu, flagsOfWord(word));
  }

  /** Decodes and runs the instruction at `rip`. A fault leaves `exception*` in the vCPU. */
  step(): number {
    const { vcpu } = this;
    const code = this.linear(1, vcpu.rip);
    const bytes = Array.from({ length: 15 }, (_, k) => this.memory.get(code + BigInt(k)) ?? 0);
    const match = this.match(bytes, this.mode);
    if (typeof match === 'string') {
      this.pend(6);
      return status.fault;
    }
    this.running = match;
    return evaluate(this, resolveMatch(match, vcpu.rip));
  }

  private linear(segment: number, offset: bigint): bigint {
    const sum = (this.vcpu.segBase[segment] ?? 0n) + offset;
    return BigInt.asUintN(this.mode === 64 ? 64 : 32, sum);
  }

  private pend(vector: number, error?: number): void {
    const { vcpu } = this;
    vcpu.exceptionVector = vector;
    vcpu.exceptionHasError = error === undefined ? 0 : 1;
    vcpu.exceptionError = error ?? 0;
    vcpu.exceptionPending = 1;
    vcpu.trouble = 1;
  }

  private allowed(segment: number, offset: bigint, size: number, write: boolean): boolean {
    if (write && segment === 1 && !this.writableCode) {
      this.pend(13, 0);
      return false;
    }
    for (let k = 0; k < size; k++) {
      const linear = this.linear(segment, offset + BigInt(k));
      if (this.mode === 64 && !isCanonical(linear)) {
        this.pend(segment === 2 ? 12 : 13, 0);
        return false;
      }
      const error = this.pageFault(linear, write);
      if (error === undefined) continue;
      this.pend(14, error);
      this.vcpu.exceptionCr2 = linear;
      return false;
    }
    return true;
  }

  read(segment: number, offset: bigint, size: number): bigint | undefined {
    if (!this.allowed(segment, offset, size, false)) return undefined;
    let v = 0n;
    for (let k = size - 1; k >= 0; k--) {
      v = (v << 8n) | BigInt(this.memory.get(this.linear(segment, offset + BigInt(k))) ?? 0);
    }
    return v;
  }

  write(segment: number, offset: bigint, size: number, value: bigint): boolean {
    if (!this.allowed(segment, offset, size, true)) return false;
    for (let k = 0; k < size; k++) {
      this.memory.set(this.linear(segment, offset + BigInt(k)), Number((value >> BigInt(8 * k)) & 0xffn));
    }
    return true;
  }

  probe(segment: number, offset: bigint, size: number): boolean {
    return this.allowed(segment, offset, size, true);
  }

  checkTarget(rip: bigint): boolean {
    if (this.mode !== 64 || isCanonical(rip)) return true;
    this.pend(13, 0);
    return false;
  }

  call(name: string, args: readonly (number | bigint)[]): number | bigint {
    const [first = 0, second = 0, third = 0, fourth = 0] = args;
    const big = (v: number | bigint, signed: boolean): bigint =>
      signed ? BigInt.asIntN(64, BigInt(v)) : BigInt.asUintN(64, BigInt(v));
    const dividend = (high: number | bigint, low: number | bigint, signed: boolean): bigint =>
      (big(high, signed) << 64n) | big(low, false);
    switch (name) {
      case 'div128QuotientU':
        return dividend(first, second, false) / big(third, false);
      case 'div128QuotientS':
        return dividend(first, second, true) / big(third, true);
      case 'div128Overflow': {
        const signed = first !== 0;
        const q = dividend(second, third, signed) / big(fourth, signed);
        return q === big(q, signed) ? 0 : 1;
      }
      case 'random':
        return 4n;
      case 'popFlags': {
        const kept = this.flags & ~(poppable | flagBits);
        const high = Number(second) === 2 ? this.flags & 0xffff0000 : 0;
        this.flags = kept | high | (Number(BigInt(first) & 0xffffffffn) & (poppable | flagBits));
        return status.sync;
      }
      case 'enter':
        return this.enter(BigInt(first), BigInt(second), Number(third) & 31);
      case 'repString':
        return this.repeat();
      default:
        throw new Error(`the flat environment has no helper ${name}`);
    }
  }

  /** ENTER of nesting level 0 and more (SDM vol. 2); flat stacks only. */
  private enter(size: bigint, allocation: bigint, level: number): number {
    const { vcpu } = this;
    const mask = vcpu.stackMask;
    let sp = (vcpu.gpr[4] ?? 0n) & mask;
    const push = (v: bigint): boolean => {
      sp = (sp - size) & mask;
      return this.write(2, sp, Number(size), v);
    };
    let bp = vcpu.gpr[5] ?? 0n;
    if (!push(bp)) return status.fault;
    const frame = sp;
    for (let k = 1; k < level; k++) {
      bp -= size;
      const saved = this.read(2, bp & mask, Number(size));
      if (saved === undefined || !push(saved)) return status.fault;
    }
    if (level > 0 && !push(frame)) return status.fault;
    const merge = (old: bigint, v: bigint, m: bigint): bigint => BigInt.asUintN(64, old & ~m) | (v & m);
    const sizeMask = size === 8n ? mask : (1n << (8n * size)) - 1n;
    vcpu.gpr[5] = merge(vcpu.gpr[5] ?? 0n, frame, sizeMask);
    vcpu.gpr[4] = merge(vcpu.gpr[4] ?? 0n, sp - allocation, mask);
    return status.ok;
  }

  /** REP, by running the definition of one element until the count is 0 or ZF ends it. */
  private repeat(): number {
    const match = this.running;
    if (!match) throw new Error('no instruction is running');
    const { vcpu } = this;
    const mask = (1n << BigInt(8 * match.addressSize)) - 1n;
    const once = resolveMatch({ ...match, repeat: 'none' }, vcpu.rip);
    const { rip } = vcpu;
    while (((vcpu.gpr[1] ?? 0n) & mask) !== 0n) {
      vcpu.rip = rip;
      const ended = evaluate(this, once);
      vcpu.rip = rip;
      if (ended === status.fault) return ended;
      const count = ((vcpu.gpr[1] ?? 0n) - 1n) & mask;
      // A 32-bit count clears the upper half, as each write of ECX does.
      const kept = match.addressSize === 2 ? (vcpu.gpr[1] ?? 0n) & ~mask : 0n;
      vcpu.gpr[1] = BigInt.asUintN(64, kept) | count;
      if (match.row.repeat === 'repe' && loadFlags(vcpu).zf !== (match.repeat === 'rep')) break;
    }
    return status.ok;
  }
}
