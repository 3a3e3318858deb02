/** The locals of a region's function: the guest's registers that it uses, and what it keeps beside them. */
import { Arena } from '../arena.ts';
import { isLong, modeKey } from '../mode-key.ts';
import { Vcpu } from '../state.ts';
import type { FunctionBuilder, ValueType } from '../../wasm/encoder.ts';
import type { RegisterFlow, RegisterSet } from './register-flow.ts';
import { touchedRegisters } from './register-flow.ts';
import type { RegionPlan } from './region.ts';

/** The first one is the vCPU's address, which compiled code knows. */
export const labelParameter = 1;
/** How many compiled functions are active above. */
export const depthParameter = 2;

/**
 * The TLB set that its accesses look at, as `updateTlbSet` of the core chooses it by the mode key. While EFLAGS.AC lets
 * the supervisor at user pages it has a set of its own, which has these, too; here they are left to the core.
 */
export function tlbOf({ modeKey: key, arena }: RegionPlan): number {
  const set = key & modeKey.alignmentCheck ? Arena.tlbSets : key & modeKey.user ? 1 : 0;
  return arena + Arena.tlb + set * Arena.tlbSetBytes;
}

export class RegionFrame {
  readonly f: FunctionBuilder;
  /** Address of the vCPU. */
  readonly cpu: number;
  readonly modeKey: number;
  readonly long: boolean;
  readonly budget: number;
  readonly ripBase: number;
  /** Address of its TLB set. */
  readonly tlb: number;
  readonly fpuTrap: number;
  readonly flagKind: number;
  readonly flagA: number;
  readonly flagB: number;
  readonly flagC: number;
  /** What the exits to the interpreter store and return; `exitBudget` is given back. */
  readonly exitCode: number;
  readonly exitRecord: number;
  readonly exitBudget: number;
  /** Where a computed jump leads, as an offset in the page. */
  readonly jumpOffset: number;
  private readonly usesUnits: boolean;
  private readonly gprs = new Map<number, number>();
  private readonly xmms = new Map<number, number>();
  /** Their locals lie one behind the other. */
  readonly firstRegister: number;
  readonly registerCount: number;
  /** Registers by their locals, from the first one on. */
  private readonly registers: RegisterSet[] = [];
  /** Nesting levels of the exits to the interpreter, by the registers that they store. */
  private readonly exits = new Map<RegisterSet, number>();

  constructor(f: FunctionBuilder, plan: RegionPlan, flow: RegisterFlow) {
    this.f = f;
    this.cpu = plan.cpu;
    this.modeKey = plan.modeKey;
    this.long = isLong(plan.modeKey);
    this.tlb = tlbOf(plan);
    const width: ValueType = this.long ? 'i64' : 'i32';
    this.budget = f.local('i32');
    this.ripBase = f.local('i64');
    this.fpuTrap = f.local('i32');
    this.flagKind = f.local('i32');
    this.flagA = f.local(width);
    this.flagB = f.local(width);
    this.flagC = f.local('i32');
    this.exitCode = f.local('i32');
    this.exitRecord = f.local('i32');
    this.exitBudget = f.local('i32');
    this.jumpOffset = f.local('i32');
    this.usesUnits = plan.blocks.some((b) => b.instructions.some((i) => !i.apart && i.form.row.unit !== undefined));
    const touched = touchedRegisters(flow);
    this.firstRegister = this.jumpOffset + 1;
    for (let n = 0; n < 16; n++) {
      if ((touched >> n) & 1) {
        this.gprs.set(n, f.local(width));
        this.registers.push(1 << n);
      }
      if ((touched >> (16 + n)) & 1) {
        this.xmms.set(n, f.local('v128'));
        this.registers.push(1 << (16 + n));
      }
    }
    this.registerCount = this.registers.length;
  }

  gpr(n: number): number {
    const local = this.gprs.get(n);
    if (local === undefined) throw new Error(`register ${n} was not foreseen`);
    return local;
  }

  xmm(n: number): number {
    const local = this.xmms.get(n);
    if (local === undefined) throw new Error(`vector register ${n} was not foreseen`);
    return local;
  }

  /** What the locals are, for people; those of no name hold values for a while. */
  names(): ReadonlyMap<number, string> {
    const { budget, ripBase, fpuTrap, flagKind, flagA, flagB, flagC } = this;
    const { exitCode, exitRecord, exitBudget, jumpOffset } = this;
    const fixed = { budget, ripBase, fpuTrap, flagKind, flagA, flagB, flagC };
    const names = new Map<number, string>([
      [0, 'cpu'],
      [labelParameter, 'label'],
      [depthParameter, 'depth'],
    ]);
    const all = { ...fixed, exitCode, exitRecord, exitBudget, jumpOffset };
    for (const [name, local] of Object.entries(all)) names.set(local, name);
    const general = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
    for (const [n, local] of this.gprs) {
      names.set(local, n < 8 ? `${this.long ? 'r' : 'e'}${general[n] ?? ''}` : `r${n}`);
    }
    for (const [n, local] of this.xmms) names.set(local, `xmm${n}`);
    return names;
  }

  /** The register of a local, as a set. */
  registerBit(local: number): RegisterSet {
    return this.registers[local - this.firstRegister] ?? 0;
  }

  /** The exit that stores these registers lies at the level of nesting that the code is at. */
  openExit(dirty: RegisterSet): void {
    this.exits.set(dirty, this.f.code.depth);
  }

  /** Nesting level of the exit that stores these registers. */
  exitStoring(dirty: RegisterSet): number {
    const level = this.exits.get(dirty);
    if (level === undefined) throw new Error(`an exit that stores registers ${dirty.toString(16)}h was not foreseen`);
    return level;
  }

  /** Loads what the function keeps in locals, but for registers. */
  enter(): void {
    const { code } = this.f;
    code.i32(this.cpu).memory('i32.load', Vcpu.offsets.budget).set(this.budget);
    code.i32(this.cpu).memory('i64.load', Vcpu.offsets.ripBase).set(this.ripBase);
    this.reload();
  }

  /** Loads anew what other code may have changed, registers apart. */
  reload(): void {
    const { code } = this.f;
    if (this.usesUnits) code.i32(this.cpu).memory('i32.load', Vcpu.offsets.fpuTrap).set(this.fpuTrap);
  }

  load(registers: RegisterSet): void {
    const { code } = this.f;
    for (const [n, local] of this.gprs) {
      if (!((registers >> n) & 1)) continue;
      code
        .i32(this.cpu)
        .memory(this.long ? 'i64.load' : 'i32.load', Vcpu.offsets.gpr + 8 * n)
        .set(local);
    }
    for (const [n, local] of this.xmms) {
      if (!((registers >> (16 + n)) & 1)) continue;
      code
        .i32(this.cpu)
        .memory('v128.load', Vcpu.offsets.xmm + 16 * n)
        .set(local);
    }
  }

  /** Stores the flags of the locals, held by their kind; the kind 0 says that the vCPU has them already. */
  holdFlags(): void {
    const { code } = this.f;
    const { heldKind, heldA, heldB, heldC } = Vcpu.offsets;
    const store = this.long ? 'i64.store' : 'i32.store';
    code.get(this.flagKind).if();
    code.i32(this.cpu).get(this.flagKind).memory('i32.store', heldKind);
    code.i32(this.cpu).get(this.flagA).memory(store, heldA);
    code.i32(this.cpu).get(this.flagB).memory(store, heldB);
    code.i32(this.cpu).get(this.flagC).memory('i32.store', heldC);
    code.end();
  }

  /** Outside of 64-bit code their upper halves are 0 anyway. */
  store(registers: RegisterSet): void {
    const { code } = this.f;
    for (const [n, local] of this.gprs) {
      if (!((registers >> n) & 1)) continue;
      code
        .i32(this.cpu)
        .get(local)
        .memory(this.long ? 'i64.store' : 'i32.store', Vcpu.offsets.gpr + 8 * n);
    }
    for (const [n, local] of this.xmms) {
      if (!((registers >> (16 + n)) & 1)) continue;
      code
        .i32(this.cpu)
        .get(local)
        .memory('v128.store', Vcpu.offsets.xmm + 16 * n);
    }
  }
}
