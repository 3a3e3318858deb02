/**
 * Look-ups in small tables within loops: `[base + index]` with an index that has just been cut to a few bits, and a base
 * that the loop does not change. The address comes from data, so that a look at the TLB is waited for, but the page is
 * mostly that of the round before: code keeps it in locals over the rounds. A wrong guess costs time and nothing else,
 * since each access is compared with the page.
 */
import { Vcpu } from '../state.ts';
import { operandBases } from './known-pages.ts';
import type { LoopPages } from './known-pages.ts';
import type { BasicBlock, Instruction, RegionPlan } from './region.ts';
import type { RegisterFlow, RegisterSet } from './register-flow.ts';
import type { Shape } from './structure.ts';

/** Most of them in a region: each call of other code has to forget them all. */
const mostBases = 4;
const pageBytes = 0x1000;
const widest = 16;

const { gpr, zero, ripBase } = Vcpu.offsets;

export function loopPages(plan: RegionPlan, flow: RegisterFlow, shapes: readonly Shape[]): LoopPages {
  const finder = new Finder(plan, flow);
  for (const shape of shapes) finder.visit(shape);
  return finder.found;
}

/** Runs code that is not the region's own, after which no page is known. */
function leavesOwnCode(i: Instruction): boolean {
  return i.apart || i.facts.transfer === 'call';
}

class Finder {
  readonly found = new Map<number, Set<number>>();
  private readonly bases = new Set<number>();
  private readonly plan: RegionPlan;
  private readonly flow: RegisterFlow;

  constructor(plan: RegionPlan, flow: RegisterFlow) {
    this.plan = plan;
    this.flow = flow;
  }

  /** Loops within loops come first; gives the blocks. */
  visit(shape: Shape): readonly number[] {
    if (shape.kind === 'block') return [shape.node];
    const numbers: number[] = [];
    const own: BasicBlock[] = [];
    for (const inner of shape.body) {
      const list = this.visit(inner);
      numbers.push(...list);
      if (inner.kind === 'block') own.push(...this.blocks(list));
    }
    const all = this.blocks(numbers);
    if (own.length > 0 && !all.some((b) => b.instructions.some(leavesOwnCode))) this.loop(own, all);
    return numbers;
  }

  private blocks(numbers: readonly number[]): readonly BasicBlock[] {
    return numbers.flatMap((n) => this.plan.blocks[n] ?? []);
  }

  /** `own`: blocks of the loop that are not in a loop within it. */
  private loop(own: readonly BasicBlock[], all: readonly BasicBlock[]): void {
    const written = this.writtenIn(all);
    for (const block of own) {
      block.instructions.forEach((i, k) => {
        const bases = operandBases(i);
        if (bases !== undefined && i.facts.mayLeave && this.isTable(i, block, k, written)) this.add(block, bases);
      });
    }
  }

  private add(block: BasicBlock, bases: number): void {
    if (!this.bases.has(bases) && this.bases.size === mostBases) return;
    this.bases.add(bases);
    const set = this.found.get(block.number) ?? new Set();
    this.found.set(block.number, set.add(bases));
  }

  private writtenIn(blocks: readonly BasicBlock[]): RegisterSet {
    let set = 0;
    for (const { number } of blocks) for (const { writes } of this.flow.instructions[number] ?? []) set |= writes;
    return set;
  }

  private isTable(i: Instruction, block: BasicBlock, at: number, written: RegisterSet): boolean {
    if (i.index === zero) return false;
    const most = this.mostOf(i.index, block, at);
    if (most === undefined) return false;
    const reach = most * 2 ** i.scale + widest;
    if (reach > pageBytes) return false;
    // Where a table without a register lies in its page is known.
    if (i.base === zero) return (i.displacement & (pageBytes - 1)) + reach <= pageBytes;
    return i.base !== ripBase && ((written >> ((i.base - gpr) >> 3)) & 1) === 0;
  }

  /** The most that a register can be before an instruction, if the one that made it says so. */
  private mostOf(slot: number, { number, instructions }: BasicBlock, at: number): number | undefined {
    const bit = 1 << ((slot - gpr) >> 3);
    for (let k = at - 1; k >= 0; k--) {
      const i = instructions[k];
      if (!i || !((this.flow.instructions[number]?.[k]?.writes ?? 0) & bit)) continue;
      const { mnemonic, operands } = i.form;
      if (mnemonic === 'MOVZX' && operands[1]?.size === 1) return 0xff;
      if ((operands[0]?.size ?? 0) < 4) return undefined;
      if (mnemonic === 'AND' && i.immediate > 0n && i.immediate < BigInt(pageBytes)) return Number(i.immediate);
      if (mnemonic === 'SHR' && operands[0]?.size === 4 && operands[1]?.kind === 'immediate') {
        return 0xffffffff >>> (Number(i.immediate) & 31);
      }
      return undefined;
    }
    return undefined;
  }
}
