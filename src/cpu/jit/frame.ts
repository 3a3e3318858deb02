/** The locals of a region's function: the guest's registers that it uses, and what it keeps beside them. */
import { isLong } from '../mode-key.ts';
import { Vcpu } from '../state.ts';
import type { FunctionBuilder, FunctionReference, ValueType } from '../../wasm/encoder.ts';
import type { RegisterFlow, RegisterSet } from './register-flow.ts';
import { touchedRegisters } from './register-flow.ts';
import type { RegionPlan } from './region.ts';
import { tlbOf } from './tlb-set.ts';

/** The first one is the vCPU's address, which compiled code knows. */
export const labelParameter = 1;
/** How many compiled functions are active above. */
export const depthParameter = 2;

/** Where a region is left for: the interpreter, or compiled code elsewhere. */
export type Beyond = 'interpreter' | 'compiled';

/** How a region is left, with its flags and the place beyond in locals. Ways that store the same registers are one. */
export interface Exit {
  readonly to: Beyond;
  /** Registers that are stored. */
  readonly dirty: RegisterSet;
}

/** Bits of the place in the interpreter: its record below, the others from these on. */
const remainingShift = 32;
const exitCodeShift = 48;

function keyOf({ to, dirty }: Exit): string {
  return `${to} ${dirty.toString(16)}`;
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
  /**
   * What it is left for: in the interpreter the record where that goes on, the instructions that the budget has been
   * charged for and that are still to be done, and the `compiledExit`; in compiled code the RIP.
   */
  readonly place: number;
  /** What a call gives. */
  readonly exitCode: number;
  /** Of a computed jump (`RegionBuilder.jumpOut`). */
  readonly jumpRecord: number;
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
  /** The exits to the interpreter, with their levels of nesting. */
  private readonly exits = new Map<string, { readonly exit: Exit; readonly level: number; used: boolean }>();
  /** Levels of what exits have in common, once they have stored registers. */
  private readonly tails = new Map<Beyond, number>();

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
    this.place = f.local('i64');
    this.exitCode = f.local('i32');
    this.jumpRecord = f.local('i32');
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
    const { place, exitCode, jumpRecord, jumpOffset } = this;
    const fixed = { budget, ripBase, fpuTrap, flagKind, flagA, flagB, flagC };
    const names = new Map<number, string>([
      [0, 'cpu'],
      [labelParameter, 'label'],
      [depthParameter, 'depth'],
    ]);
    const all = { ...fixed, place, exitCode, jumpRecord, jumpOffset };
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

  /** Opens blocks at whose ends the exits lie. */
  openExits(exits: readonly Exit[]): void {
    const { code } = this.f;
    for (const to of ['interpreter', 'compiled'] as const) this.tails.set(to, code.block().depth);
    for (const exit of exits) this.exits.set(keyOf(exit), { exit, level: code.block().depth, used: false });
  }

  /** Level of nesting of an exit, for a jump to it. */
  levelOf(exit: Exit): number {
    const found = this.exits.get(keyOf(exit));
    if (!found) throw new Error(`an exit was not foreseen: ${keyOf(exit)}`);
    found.used = true;
    return found.level;
  }

  /** `remaining`: instructions that the budget has been charged for from that record on. */
  setPlace(exit: number, record: number, remaining: number): void {
    const high = (exit << (exitCodeShift - remainingShift)) | remaining;
    this.f.code.i64((BigInt(high) << BigInt(remainingShift)) | BigInt(record >>> 0)).set(this.place);
  }

  /** Ends the exits' blocks, and writes those that something leads to. `callCompiled`: of the core. */
  closeExits(callCompiled: FunctionReference): void {
    const { code } = this.f;
    const used = new Set<Beyond>();
    for (const { exit, used: leadsHere } of [...this.exits.values()].toReversed()) {
      code.end();
      if (!leadsHere) continue;
      used.add(exit.to);
      this.store(exit.dirty);
      code.br(this.tails.get(exit.to) ?? 0);
    }
    for (const to of [...this.tails.keys()].toReversed()) {
      code.end();
      if (!used.has(to)) continue;
      this.holdFlags();
      if (to === 'interpreter') this.interpret();
      else this.follow(callCompiled);
    }
    code.op('unreachable');
  }

  private follow(callCompiled: FunctionReference): void {
    const { code } = this.f;
    code.i32(this.cpu).get(this.budget).memory('i32.store', Vcpu.offsets.budget);
    code.i32(this.cpu).get(depthParameter).get(this.place).returnCall(callCompiled);
  }

  private interpret(): void {
    const { code } = this.f;
    this.storeRipBase();
    code.i32(this.cpu).get(this.place).op('i32.wrap_i64').memory('i32.store', Vcpu.offsets.record);
    code.i32(this.cpu).get(this.budget);
    code.get(this.place).i64(remainingShift).op('i64.shr_u').op('i32.wrap_i64').i32(0xffff).op('i32.and').op('i32.add');
    code.memory('i32.store', Vcpu.offsets.budget);
    code.get(this.place).i64(exitCodeShift).op('i64.shr_u').op('i32.wrap_i64').return();
  }

  /** Loads what the function keeps in locals, but for registers. */
  enter(): void {
    const { code } = this.f;
    code.i32(this.cpu).memory('i32.load', Vcpu.offsets.budget).set(this.budget);
    code.i32(this.cpu).memory('i64.load', Vcpu.offsets.ripBase).set(this.ripBase);
    this.reload();
  }

  /** For the core, which finds another one there once the region has called other compiled code. */
  storeRipBase(): void {
    this.f.code.i32(this.cpu).get(this.ripBase).memory('i64.store', Vcpu.offsets.ripBase);
  }

  /** Loads anew what other code may have changed, registers apart. */
  reload(): void {
    const { code } = this.f;
    if (this.usesUnits) code.i32(this.cpu).memory('i32.load', Vcpu.offsets.fpuTrap).set(this.fpuTrap);
  }

  /** Behind a call: loads the budget, these registers, and what else other code may have changed. */
  loadAnew(registers: RegisterSet): void {
    this.f.code.i32(this.cpu).memory('i32.load', Vcpu.offsets.budget).set(this.budget);
    this.reload();
    this.load(registers);
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
