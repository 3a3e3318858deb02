/** The locals of a region's function: the guest's registers that it uses, and what it keeps beside them. */
import { isLong } from '../mode-key.ts';
import { Vcpu } from '../state.ts';
import type { FunctionBuilder, ValueType } from '../../wasm/encoder.ts';
import type { RegisterUse } from './facts.ts';
import type { Instruction, RegionPlan } from './region.ts';

interface RegisterSet {
  used: number;
  written: number;
}

/** Adds what an instruction uses, whose slots name these registers. */
function mark(set: RegisterSet, use: Readonly<RegisterUse>, rm: number, reg: number): void {
  const rmBit = use.rm ? 1 << rm : 0;
  const regBit = use.reg ? 1 << reg : 0;
  set.used |= use.fixed | rmBit | regBit;
  set.written |= use.fixedWritten | (use.rmWritten ? rmBit : 0) | (use.regWritten ? regBit : 0);
}

const { gpr: gprStart, xmm: xmmStart, zero, ripBase } = Vcpu.offsets;
const cpu = 0;
export const labelParameter = 1;
/** How many compiled functions are active above. */
export const depthParameter = 2;

export class RegionFrame {
  readonly f: FunctionBuilder;
  readonly modeKey: number;
  readonly long: boolean;
  readonly budget: number;
  readonly ripBase: number;
  readonly tlb: number;
  readonly fpuTrap: number;
  readonly flagKind: number;
  readonly flagA: number;
  readonly flagB: number;
  readonly flagC: number;
  /** What the exit at `leave` stores and returns; `exitBudget` is given back. */
  readonly exitCode: number;
  readonly exitRip: number;
  readonly exitRecord: number;
  readonly exitBudget: number;
  /** Nesting level of the exit. */
  leave = 0;
  private readonly usesUnits: boolean;
  private readonly gprs = new Map<number, number>();
  private readonly xmms = new Map<number, number>();
  /** The registers' locals lie one behind the other. */
  readonly firstRegister: number;
  readonly registerCount: number;
  private readonly general: RegisterSet = { used: 0, written: 0 };
  private readonly vectors: RegisterSet = { used: 0, written: 0 };

  constructor(f: FunctionBuilder, plan: RegionPlan) {
    this.f = f;
    this.modeKey = plan.modeKey;
    this.long = isLong(plan.modeKey);
    const width: ValueType = this.long ? 'i64' : 'i32';
    this.budget = f.local('i32');
    this.ripBase = f.local('i64');
    this.tlb = f.local('i32');
    this.fpuTrap = f.local('i32');
    this.flagKind = f.local('i32');
    this.flagA = f.local(width);
    this.flagB = f.local(width);
    this.flagC = f.local('i32');
    this.exitCode = f.local('i32');
    this.exitRip = f.local('i64');
    this.exitRecord = f.local('i32');
    this.exitBudget = f.local('i32');
    let units = false;
    for (const block of plan.blocks) {
      for (const i of block.instructions) {
        if (i.apart) continue;
        this.note(i);
        units ||= i.form.row.unit !== undefined;
      }
    }
    this.usesUnits = units;
    this.firstRegister = this.exitBudget + 1;
    for (let n = 0; n < 16; n++) {
      if ((this.general.used >> n) & 1) this.gprs.set(n, f.local(width));
      if ((this.vectors.used >> n) & 1) this.xmms.set(n, f.local('v128'));
    }
    this.registerCount = this.gprs.size + this.xmms.size;
  }

  private note(i: Instruction): void {
    const { facts } = i;
    mark(this.general, facts.general, (i.rm - gprStart) >> 3, (i.reg - gprStart) >> 3);
    mark(this.vectors, facts.vectors, (i.rm - xmmStart) >> 4, (i.reg - xmmStart) >> 4);
    if (!facts.addressed) return;
    for (const slot of [i.base, i.index]) {
      if (slot !== zero && slot !== ripBase) this.general.used |= 1 << ((slot - gprStart) >> 3);
    }
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
    const { budget, ripBase, tlb, fpuTrap, flagKind, flagA, flagB, flagC } = this;
    const { exitCode, exitRip, exitRecord, exitBudget } = this;
    const fixed = { budget, ripBase, tlb, fpuTrap, flagKind, flagA, flagB, flagC };
    const names = new Map<number, string>([
      [cpu, 'cpu'],
      [labelParameter, 'label'],
      [depthParameter, 'depth'],
    ]);
    const all = { ...fixed, exitCode, exitRip, exitRecord, exitBudget };
    for (const [name, local] of Object.entries(all)) names.set(local, name);
    const general = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
    for (const [n, local] of this.gprs) {
      names.set(local, n < 8 ? `${this.long ? 'r' : 'e'}${general[n] ?? ''}` : `r${n}`);
    }
    for (const [n, local] of this.xmms) names.set(local, `xmm${n}`);
    return names;
  }

  /** Loads what the function keeps in locals. */
  enter(): void {
    const { code } = this.f;
    code.get(cpu).memory('i32.load', Vcpu.offsets.budget).set(this.budget);
    code.get(cpu).memory('i64.load', Vcpu.offsets.ripBase).set(this.ripBase);
    code.get(cpu).memory('i32.load', Vcpu.offsets.tlb).set(this.tlb);
    if (this.usesUnits) code.get(cpu).memory('i32.load', Vcpu.offsets.fpuTrap).set(this.fpuTrap);
    this.reload();
  }

  reload(): void {
    const { code } = this.f;
    for (const [n, local] of this.gprs) {
      code
        .get(cpu)
        .memory(this.long ? 'i64.load' : 'i32.load', Vcpu.offsets.gpr + 8 * n)
        .set(local);
    }
    for (const [n, local] of this.xmms) {
      code
        .get(cpu)
        .memory('v128.load', Vcpu.offsets.xmm + 16 * n)
        .set(local);
    }
  }

  /** Stores the registers that the function changes. Outside of 64-bit code their upper halves are 0 anyway. */
  spill(): void {
    const { code } = this.f;
    for (const [n, local] of this.gprs) {
      if (!((this.general.written >> n) & 1)) continue;
      code
        .get(cpu)
        .get(local)
        .memory(this.long ? 'i64.store' : 'i32.store', Vcpu.offsets.gpr + 8 * n);
    }
    for (const [n, local] of this.xmms) {
      if (!((this.vectors.written >> n) & 1)) continue;
      code
        .get(cpu)
        .get(local)
        .memory('v128.store', Vcpu.offsets.xmm + 16 * n);
    }
  }
}
