/**
 * Writes the function of a region: `(cpu, label, depth) → compiledExit`. Its blocks are nested as `structure.ts` says;
 * the label names the block where it starts. At entries and heads of loops the budget must cover the longest way to the
 * next of them; otherwise the interpreter goes on.
 */
import type { Code, FunctionBuilder } from '../../wasm/encoder.ts';
import { allFlags } from './facts.ts';
import type { Node } from './expressions.ts';
import { flagLiveness } from './liveness.ts';
import type { FlagLiveness } from './liveness.ts';
import type { Exit } from './frame.ts';
import { labelParameter, RegionFrame } from './frame.ts';
import { loopPages } from './loop-pages.ts';
import type { InvariantChecks } from './invariants.ts';
import { splitJoins } from './joins.ts';
import type { CompiledCalls, Flags } from './flag-builder.ts';
import { isDirectCall } from './inline.ts';
import { RegionBuilder } from './region-builder.ts';
import type { BasicBlock, ForeignPage, Instruction, JumpTarget, RegionPlan } from './region.ts';
import { callOutOf, entryInstruction, isComputedJump, successorsOf } from './region.ts';
import type { RegisterFlow, RegisterSet } from './register-flow.ts';
import { registerFlow } from './register-flow.ts';
import type { StackState } from './x87-registers.ts';
import type { Shape } from './structure.ts';
import { structure } from './structure.ts';

/** Where a jump to a block goes; `secondary`: a head that its loop must be told of by the label. */
interface Target {
  readonly level: number;
  readonly secondary: boolean;
}

function nodesOf(shape: Shape): number[] {
  return shape.kind === 'block' ? [shape.node] : shape.body.flatMap(nodesOf);
}

function headsOf(shape: Shape): readonly number[] {
  return shape.kind === 'block' ? [shape.node] : shape.heads;
}

function headsBut(shape: Shape, others: readonly number[]): readonly number[] {
  const heads = headsOf(shape);
  return others.length === 0 ? heads : heads.filter((n) => !others.includes(n));
}

/** Where the code of a block or of an instruction begins, in bytes of the function's code. */
export interface Mark {
  readonly at: number;
  readonly block: BasicBlock;
  /** By which it can be entered. */
  readonly label?: number | undefined;
  /** Absent: the block. */
  readonly instruction?: Instruction;
}

export class RegionWriter {
  /** In the order of the code; where the exits to the interpreter begin. */
  readonly marks: Mark[] = [];
  tail = 0;
  private readonly plan: RegionPlan;
  /** Its entries, as they are numbered in the plan that was asked for. */
  private readonly entries: readonly number[];
  readonly frame: RegionFrame;
  private readonly builder: RegionBuilder;
  private readonly code: Code;
  private readonly shapes: readonly Shape[];
  private readonly live: FlagLiveness;
  private readonly registers: RegisterFlow;
  private readonly needs: readonly number[];
  private readonly labels = new Map<number, number>();
  private readonly targets = new Map<number, Target>();
  private readonly inherited = new Map<number, Flags>();
  private readonly inheritedX87 = new Map<number, StackState | undefined>();
  private readonly checks: InvariantChecks | undefined;
  private readonly calls: CompiledCalls;
  /** Of the block that is written; absent: the region's own. */
  private page: ForeignPage | undefined;

  /** With `checks` the code checks itself at each block. */
  constructor(f: FunctionBuilder, plan: RegionPlan, calls: CompiledCalls, checks?: InvariantChecks) {
    const split = splitJoins(plan);
    this.plan = split;
    this.entries = plan.entries;
    this.checks = checks;
    this.calls = calls;
    this.registers = registerFlow(split);
    this.frame = new RegionFrame(f, split, this.registers);
    this.shapes = structure({
      successors: split.blocks.map(successorsOf),
      entries: split.entries,
    });
    this.builder = new RegionBuilder(this.frame, calls, loopPages(split, this.registers, this.shapes));
    this.code = f.code;
    this.live = flagLiveness(split);
    this.needs = budgetNeeds(split.blocks);
  }

  /** Writes the function; gives the label of each entry, by the block's number. */
  write(): ReadonlyMap<number, number> {
    const { plan, code, frame, shapes } = this;
    this.assignLabels(plan.entries, shapes);
    this.checks?.atEntry(frame, plan);
    frame.enter();
    frame.openExits(this.exits());
    if (plan.entries.length === 1) frame.load(this.neededAtEntry(plan.entries[0] ?? 0));
    this.sequence(shapes, plan.entries, false);
    code.op('unreachable');
    this.tail = code.bytes.length;
    frame.closeExits(this.calls.callCompiled);
    return new Map(this.entries.map((n, k) => [n, this.labels.get(plan.entries[k] ?? 0) ?? 0]));
  }

  /** Labels for `heads` and, in `shapes`, for the heads of loops that are not the first ones. */
  private assignLabels(heads: readonly number[], shapes: readonly Shape[]): void {
    for (const n of heads) if (!this.labels.has(n)) this.labels.set(n, this.labels.size + 1);
    for (const s of shapes) if (s.kind === 'loop') this.assignLabels(s.heads.slice(1), s.body);
  }

  /** Exits that the code may need. */
  private exits(): Exit[] {
    const { registers } = this;
    const found = new Map<string, Exit>();
    const add = (to: Exit['to'], dirty: RegisterSet): void => {
      found.set(`${to} ${dirty}`, { to, dirty });
    };
    for (const { number, instructions, isEntry, standsFor } of this.plan.blocks) {
      const atStart = registers.dirtyAtStart[number] ?? 0;
      if (isEntry || standsFor?.secondPage) add('interpreter', atStart);
      instructions.forEach((i, k) => {
        const dirty = registers.instructions[number]?.[k]?.dirty ?? 0;
        if ((!i.apart && i.facts.mayLeave) || i.secondPage !== 0) add('interpreter', dirty);
      });
      const last = instructions.at(-1);
      const behind = registers.instructions[number]?.at(-1);
      // A call has stored everything.
      if (last?.apart || last?.facts.transfer === 'call') add('compiled', 0);
      add('compiled', last?.apart ? 0 : behind ? behind.dirty | behind.writes : atStart);
    }
    return [...found.values()];
  }

  // Structure. ------------------------------------------------------------------------------------------------------

  /** `heads`: where it is entered. `loop`: they are a loop's, and jumps to the first begin its next round. */
  private sequence(shapes: readonly Shape[], heads: readonly number[], loop: boolean): void {
    const { code } = this;
    const begun = loop ? heads.slice(0, 1) : [];
    const dispatches = heads.length > 1;
    const levels: number[] = [];
    for (let k = shapes.length - 1; k >= (dispatches ? 0 : 1); k--) {
      code.block();
      levels[k] = code.depth;
      const shape = shapes[k];
      if (shape) this.aim(headsBut(shape, begun), code.depth);
    }
    if (dispatches) {
      const levelOf = new Map<number, number>();
      shapes.forEach((shape, at) => {
        for (const node of nodesOf(shape)) levelOf.set(node, levels[at] ?? 0);
      });
      const place = (head: number): number => levelOf.get(head) ?? 0;
      if (loop) this.dispatch(heads, place);
      else this.enter(heads, place);
    }
    for (const [k, shape] of shapes.entries()) {
      if (dispatches || k > 0) code.end();
      for (const head of headsBut(shape, begun)) this.targets.delete(head);
      this.shape(shape);
    }
  }

  private aim(heads: readonly number[], level: number): void {
    heads.forEach((head, k) => this.targets.set(head, { level, secondary: k > 0 }));
  }

  /** Goes to the head that the label names; without one, to the first. `place`: the level of nesting that leads there. */
  private dispatch(heads: readonly number[], place: (head: number) => number): void {
    const { code } = this;
    const [first = 0] = heads;
    const table = Array.from({ length: this.labels.size + 1 }, () => place(first));
    for (const head of heads) table[this.labels.get(head) ?? 0] = place(head);
    code.get(labelParameter).op('i32.eqz').brIf(place(first));
    code.get(labelParameter).brTable(table, place(first));
  }

  /** Loads what the entry needs that the label names, and goes there. */
  private enter(entries: readonly number[], place: (head: number) => number): void {
    const { code, frame } = this;
    const others = entries.filter((entry) => !this.isBehindCall(entry));
    const common = others.length === 0 ? 0 : others.reduce((set, entry) => set & this.neededAtEntry(entry), ~0);
    frame.load(common);
    /** Ways that load the same registers and lead to the same place are one. */
    const ways = new Map<string, { readonly load: RegisterSet; readonly to: number; readonly labels: number[] }>();
    for (const entry of entries) {
      const load = this.neededAtEntry(entry) & ~common;
      const to = place(entry);
      const way = ways.get(`${load} ${to}`) ?? { load, to, labels: [] };
      way.labels.push(this.labels.get(entry) ?? 0);
      ways.set(`${load} ${to}`, way);
    }
    const loading = [...ways.values()].filter((way) => way.load !== 0);
    const levels = new Map(loading.map((way) => [way, code.block().depth]));
    const table = Array.from({ length: this.labels.size + 1 }, () => place(entries[0] ?? 0));
    for (const way of ways.values()) for (const label of way.labels) table[label] = levels.get(way) ?? way.to;
    code.get(labelParameter).brTable(table, table[1] ?? 0);
    for (const { load, to } of loading.toReversed()) {
      code.end();
      frame.load(load);
      code.br(to);
    }
  }

  /** An entry behind a call, where nothing else leads: it loads what it needs itself, whoever comes. */
  private isBehindCall(number: number): boolean {
    const { blocks } = this.plan;
    const block = blocks[number];
    if (!block?.isEntry || block.predecessors.length !== 1) return false;
    const before = blocks[block.predecessors[0] ?? number];
    return before !== undefined && callOutOf(before) !== undefined;
  }

  /** Registers that are to be loaded before the entry. */
  private neededAtEntry(entry: number): RegisterSet {
    return this.isBehindCall(entry) ? 0 : (this.registers.neededAtStart[entry] ?? 0);
  }

  private shape(shape: Shape): void {
    if (shape.kind === 'block') {
      const block = this.plan.blocks[shape.node];
      if (block) this.block(block);
      return;
    }
    this.code.loop();
    const natural = shape.heads.slice(0, 1);
    this.aim(natural, this.code.depth);
    this.sequence(shape.body, shape.heads, true);
    for (const head of natural) this.targets.delete(head);
    this.code.end();
  }

  // Blocks. ---------------------------------------------------------------------------------------------------------

  private block(block: BasicBlock): void {
    const { code, frame, builder } = this;
    const { number, instructions, goesOn } = block;
    this.page = block.page;
    this.marks.push({ at: code.bytes.length, block, label: this.labels.get(number) });
    const flags = this.inherited.get(number) ?? (this.live.atStart[number] ? 'locals' : 'memory');
    builder.startBlock(block, this.registers.instructions[number] ?? [], flags, this.inheritedX87.get(number));
    if (this.labels.has(number)) code.i32(0).set(labelParameter);
    if (this.isBehindCall(number)) frame.loadAnew(this.registers.neededAtStart[number] ?? 0);
    if (block.targets) {
      this.choice(number, block.targets);
      return;
    }
    if (goesOn) {
      const { dirtyAtStart, neededAtStart } = this.registers;
      builder.callOn(builder.ripOf(goesOn.offset), this.ripOf(goesOn.returnsTo), dirtyAtStart[number] ?? 0);
      builder.behindCall(neededAtStart[block.next ?? 0] ?? 0);
      this.goto(block.next, goesOn.returnsTo);
      return;
    }
    const first = entryInstruction(block);
    if (!first) return;
    if (first.secondPage !== 0) {
      builder.checkSecondPage(first, this.registers.instructions[number]?.[0]?.dirty ?? 0, 0);
    }
    if (block.isEntry) {
      this.pushBudgetTooShort(number);
      code.ifUnlikely();
      builder.exitShort(first.record, this.registers.dirtyAtStart[number] ?? 0);
      code.end();
    }
    if (block.standsFor) {
      code.i32(first.offset).set(frame.jumpOffset).i32(0).set(frame.jumpRecord);
      this.goto(block.next, first.offset);
      return;
    }
    code.get(frame.budget).i32(instructions.length).op('i32.sub').set(frame.budget);
    this.checks?.atBlock(frame, this.plan, block);
    instructions.forEach((i, k) => {
      this.marks.push({ at: code.bytes.length, block, instruction: i });
      const registers = this.registers.instructions[number]?.[k];
      if (!registers) return;
      builder.writeInstruction(i, registers, this.live.after[number]?.[k] ?? allFlags, instructions.length - 1 - k);
    });
    this.terminate(block);
    builder.endInstruction();
  }

  private pushBudgetTooShort(block: number): void {
    this.code
      .get(this.frame.budget)
      .i32(this.needs[block] ?? 0)
      .op('i32.lt_u');
  }

  /**
   * To the block of the offset in the page that a computed jump has found, or out of the region: one jump through a table
   * by a hash that sends each known offset to a place of its own.
   */
  private choice(number: number, targets: readonly JumpTarget[]): void {
    const { code, frame, builder } = this;
    const { multiplier, bits } = distinctHash(targets.map((t) => t.offset));
    builder.toLocals();
    code.block();
    const other = code.depth;
    this.pushBudgetTooShort(number);
    code.brIf(other);
    const cases = targets.map(() => code.block().depth).reverse();
    const table = Array.from({ length: 1 << bits }, () => other);
    targets.forEach((t, k) => (table[hashOf(t.offset, multiplier, bits)] = cases[k] ?? other));
    code.get(frame.jumpOffset).i32(multiplier).op('i32.mul');
    code
      .i32(32 - bits)
      .op('i32.shr_u')
      .brTable(table, other);
    for (const t of targets) {
      code.end();
      code.get(frame.jumpOffset).i32(t.offset).op('i32.ne').brIf(other);
      builder.arm(() => {
        this.goto(t.block, t.offset);
      });
    }
    code.end();
    builder.jumpOut(builder.ripAt(frame.jumpOffset), this.registers.dirtyAtStart[number] ?? 0);
  }

  private terminate(block: BasicBlock): void {
    const { builder, code, frame } = this;
    const last = block.instructions.at(-1);
    if (!last) return;
    const after = last.offset + last.length;
    const outcome = builder.outcome;
    if (!outcome) {
      this.goto(block.next, after);
      return;
    }
    switch (outcome.kind) {
      case 'branch':
        this.goto(block.taken, after + Number(last.immediate));
        return;
      case 'jump':
        if (block.returnsTo !== undefined) {
          this.returnFromCopy(block.next, block.returnsTo, outcome.target);
          return;
        }
        if (!isComputedJump(last)) {
          builder.exitTo(outcome.target, last.form.mnemonic === 'RET');
          return;
        }
        code.i32(last.record).set(frame.jumpRecord);
        if (block.next !== undefined) {
          if (this.inherits(block.next)) builder.copyWatched();
          builder.ifInPage(outcome.target, () => {
            this.goto(block.next, after);
          });
        }
        builder.jumpOut(outcome.target);
        return;
      case 'call':
        if (block.taken !== undefined) {
          if (this.enterCopy(block.taken, block.next, last, outcome.target)) return;
        }
        builder.callOut(outcome.target, block.next !== undefined && this.isBehindCall(block.next));
        // The call has stored everything, and nothing was loaded for what follows outside.
        if (block.next === undefined) builder.exitTo(builder.ripOf(after), false, 0);
        else this.goto(block.next, after);
        return;
      case 'conditional':
        if (this.inherits(block.taken) || this.inherits(block.next)) builder.copyWatched();
        builder.put(outcome.condition);
        code.if();
        builder.arm(() => {
          this.goto(block.taken, after + Number(last.immediate));
        });
        code.end();
        this.goto(block.next, after);
    }
  }

  // Copies of functions (`inline.ts`). --------------------------------------------------------------------------------

  /** RIP of an offset in a page, the region's own where it is absent, i64. */
  private ripOf(offset: number, page?: ForeignPage): Node {
    return this.builder.ripOf(BigInt(offset) + (page?.distance ?? 0n) - (this.page?.distance ?? 0n));
  }

  /**
   * At a call: to the copy of what is called. False: what is written behind runs where the call leads elsewhere, and goes
   * on at `behind`, as a call does.
   */
  private enterCopy(copy: number, behind: number | undefined, call: Instruction, target: Node): boolean {
    const { builder, plan } = this;
    const block = plan.blocks[copy];
    const first = block && entryInstruction(block);
    if (!first) throw new Error(`block ${copy} is no copy of a function`);
    const { offset } = first;
    if (behind === undefined) {
      this.goto(copy, offset);
      return true;
    }
    if (this.inherits(copy)) builder.copyWatched();
    const { page } = block;
    const expected = isDirectCall(call) ? undefined : this.ripOf(offset, page);
    builder.ifLeadsTo(target, expected, page && { rip: this.ripOf(0, page), frame: page.page }, () => {
      this.goto(copy, offset);
    });
    return false;
  }

  /** At the RET of a copy: behind the call, or wherever the guest would have it. */
  private returnFromCopy(next: number | undefined, offset: number, target: Node): void {
    const { builder } = this;
    if (this.inherits(next)) builder.copyWatched();
    builder.ifLeadsTo(target, this.ripOf(offset), undefined, () => {
      this.goto(next, offset);
    });
    builder.exitTo(target, true);
  }

  /** A block that is entered from one place alone knows where its flags are. */
  private inherits(number: number | undefined): boolean {
    const block = number === undefined ? undefined : this.plan.blocks[number];
    return block !== undefined && !block.isEntry && block.predecessors.length === 1;
  }

  /** To a block of the region, or out of it to an offset of the page. */
  private goto(number: number | undefined, offset: number): void {
    const { builder, code } = this;
    if (number === undefined) {
      builder.exitTo(builder.ripOf(offset));
      return;
    }
    const target = this.targets.get(number);
    if (!target) throw new Error(`block ${number} cannot be reached from here`);
    if (this.inherits(number)) {
      this.inherited.set(number, builder.bequeath());
      this.inheritedX87.set(number, builder.x87.snapshot());
    } else {
      builder.x87.writeBack();
      if (this.live.atStart[number]) builder.putFlagsInLocals();
    }
    if (target.secondary) code.i32(this.labels.get(number) ?? 0).set(labelParameter);
    const page = this.plan.blocks[number]?.page;
    const distance = (page?.distance ?? 0n) - (this.page?.distance ?? 0n);
    if (distance !== 0n) builder.moveRipBase(distance);
    code.br(target.level);
  }
}

/** A multiplicative hash of offsets, without collisions among these. */
function distinctHash(offsets: readonly number[]): { readonly multiplier: number; readonly bits: number } {
  for (let bits = Math.max(Math.ceil(Math.log2(offsets.length)) + 1, 1); bits < 13; bits++) {
    // Odd multiples of 2^32 divided by the golden ratio, which scatters neighbours.
    for (let k = 1; k < 200; k += 2) {
      const multiplier = Math.imul(0x9e3779b1, k);
      if (new Set(offsets.map((o) => hashOf(o, multiplier, bits))).size === offsets.length) return { multiplier, bits };
    }
  }
  throw new Error(`no hash for ${offsets.length} offsets`);
}

function hashOf(offset: number, multiplier: number, bits: number): number {
  return Math.imul(offset, multiplier) >>> (32 - bits);
}

/** For each block: the most instructions from its start to the next place where the budget is checked. */
function budgetNeeds(blocks: readonly BasicBlock[]): readonly number[] {
  const needs: number[] = blocks.map(() => -1);
  const need = (block: BasicBlock): number => {
    const known = needs[block.number] ?? -1;
    if (known >= 0) return known;
    needs[block.number] = 0;
    let beyond = 0;
    for (const to of successorsOf(block)) {
      const follower = blocks[to];
      // What the choice would refuse for want of budget must not enter by it.
      if (!follower || follower.isEntry || (follower.targets && !block.standsFor)) continue;
      beyond = Math.max(beyond, need(follower));
    }
    return (needs[block.number] = block.instructions.length + beyond);
  };
  return blocks.map(need);
}
