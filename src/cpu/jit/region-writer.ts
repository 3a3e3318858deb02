/**
 * Writes the function of a region: `(cpu, label, depth) → compiledExit`. Its blocks are nested as `structure.ts` says;
 * the label names the block where it starts. At entries and heads of loops the budget must cover the longest way to the
 * next of them; otherwise the interpreter goes on.
 */
import { Vcpu } from '../state.ts';
import { compiledExit } from '../status.ts';
import type { Code, FunctionBuilder } from '../../wasm/encoder.ts';
import { flagLiveness } from './liveness.ts';
import type { FlagLiveness } from './liveness.ts';
import { depthParameter, labelParameter, RegionFrame } from './frame.ts';
import type { InvariantChecks } from './invariants.ts';
import type { CompiledCalls, Flags } from './region-builder.ts';
import { RegionBuilder } from './region-builder.ts';
import type { StackState } from './x87-registers.ts';
import type { BasicBlock, Instruction, RegionPlan } from './region.ts';
import type { Shape } from './structure.ts';
import { structure } from './structure.ts';

const cpu = 0;

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

/** Where the code of a block or of an instruction begins, in bytes of the function's code. */
export interface Mark {
  readonly at: number;
  readonly block: BasicBlock;
  /** Absent: the block. */
  readonly instruction?: Instruction;
}

export class RegionWriter {
  /** In the order of the code; where the tail begins, which all exits lead to. */
  readonly marks: Mark[] = [];
  tail = 0;
  private readonly plan: RegionPlan;
  readonly frame: RegionFrame;
  private readonly builder: RegionBuilder;
  private readonly code: Code;
  private readonly live: FlagLiveness;
  private readonly needs: readonly number[];
  private readonly labels = new Map<number, number>();
  private readonly targets = new Map<number, Target>();
  private readonly inherited = new Map<number, Flags>();
  private readonly inheritedX87 = new Map<number, StackState | undefined>();
  private readonly calls: CompiledCalls;
  private readonly checks: InvariantChecks | undefined;

  /** With `checks` the code checks itself at each block. */
  constructor(f: FunctionBuilder, plan: RegionPlan, calls: CompiledCalls, checks?: InvariantChecks) {
    this.plan = plan;
    this.checks = checks;
    this.calls = calls;
    this.frame = new RegionFrame(f, plan);
    this.builder = new RegionBuilder(this.frame, calls);
    this.code = f.code;
    this.live = flagLiveness(plan);
    this.needs = budgetNeeds(plan.blocks);
  }

  /** Writes the function; gives the label of each entry, by the block's number. */
  write(): ReadonlyMap<number, number> {
    const { plan, code, frame } = this;
    const shapes = structure({
      successors: plan.blocks.map((b) => [b.taken, b.next].filter((s) => s !== undefined)),
      entries: plan.entries,
    });
    this.assignLabels(plan.entries, shapes);
    this.checks?.atEntry(frame, plan);
    frame.enter();
    code.block();
    frame.leave = code.depth;
    this.sequence(shapes, plan.entries, false);
    code.op('unreachable');
    code.end();
    this.tail = code.bytes.length;
    this.exit();
    return this.labels;
  }

  private assignLabels(entries: readonly number[], shapes: readonly Shape[]): void {
    const assign = (n: number): void => {
      if (!this.labels.has(n)) this.labels.set(n, this.labels.size + 1);
    };
    entries.forEach(assign);
    const visit = (list: readonly Shape[]): void => {
      for (const s of list) {
        if (s.kind === 'block') continue;
        s.heads.slice(1).forEach(assign);
        visit(s.body);
      }
    };
    visit(shapes);
  }

  /** The tail that all exits lead to. */
  private exit(): void {
    const { code, frame } = this;
    const wide = (local: number): void => {
      code.get(local);
      if (!frame.long) code.op('i64.extend_i32_u');
    };
    code.get(frame.flagKind).if();
    code.get(cpu).get(frame.flagKind);
    wide(frame.flagA);
    wide(frame.flagB);
    code.get(frame.flagC).call(this.calls.storeFlags).end();
    frame.spill();
    code.get(cpu).get(frame.budget).get(frame.exitBudget).op('i32.add').memory('i32.store', Vcpu.offsets.budget);
    code.get(cpu).get(frame.exitRip).memory('i64.store', Vcpu.offsets.rip);
    code.get(cpu).get(frame.exitRecord).memory('i32.store', Vcpu.offsets.record);
    code.get(frame.exitCode).i32(compiledExit.follow).op('i32.eq').if();
    code.get(cpu).get(depthParameter).get(frame.exitRip).call(this.calls.callCompiled).return().end();
    code.get(frame.exitCode);
  }

  // Structure. ------------------------------------------------------------------------------------------------------

  /** `heads`: where it is entered. `loop`: they are a loop's, and jumps to them begin its next round. */
  private sequence(shapes: readonly Shape[], heads: readonly number[], loop: boolean): void {
    const { code } = this;
    const forward = (shape: Shape): readonly number[] => headsOf(shape).filter((n) => !loop || !heads.includes(n));
    const dispatches = heads.length > 1;
    const levels: number[] = [];
    for (let k = shapes.length - 1; k >= (dispatches ? 0 : 1); k--) {
      code.block();
      levels[k] = code.depth;
      const shape = shapes[k];
      if (shape) this.aim(forward(shape), code.depth);
    }
    if (dispatches) this.dispatch(shapes, heads, levels);
    shapes.forEach((shape, k) => {
      if (dispatches || k > 0) code.end();
      for (const head of forward(shape)) this.targets.delete(head);
      this.shape(shape);
    });
  }

  private aim(heads: readonly number[], level: number): void {
    heads.forEach((head, k) => this.targets.set(head, { level, secondary: k > 0 }));
  }

  /** Goes to the head that the label names; without one, to the first. */
  private dispatch(shapes: readonly Shape[], heads: readonly number[], levels: readonly number[]): void {
    const { code } = this;
    const place = (head: number): number => levels[shapes.findIndex((s) => nodesOf(s).includes(head))] ?? 0;
    const [first = 0] = heads;
    const table = Array.from({ length: this.labels.size + 1 }, () => place(first));
    for (const head of heads) table[this.labels.get(head) ?? 0] = place(head);
    code.get(labelParameter).op('i32.eqz').brIf(place(first));
    code.get(labelParameter).brTable(table, place(first));
  }

  private shape(shape: Shape): void {
    if (shape.kind === 'block') {
      const block = this.plan.blocks[shape.node];
      if (block) this.block(block);
      return;
    }
    this.code.loop();
    this.aim(shape.heads, this.code.depth);
    this.sequence(shape.body, shape.heads, true);
    for (const head of shape.heads) this.targets.delete(head);
    this.code.end();
  }

  // Blocks. ---------------------------------------------------------------------------------------------------------

  private block(block: BasicBlock): void {
    const { code, frame, builder } = this;
    const { number, instructions } = block;
    this.marks.push({ at: code.bytes.length, block });
    const flags = this.inherited.get(number) ?? (this.live.atStart[number] ? 'locals' : 'memory');
    builder.startBlock(flags, this.inheritedX87.get(number));
    if (this.labels.has(number)) code.i32(0).set(labelParameter);
    const [first] = instructions;
    if (!first) return;
    if (block.isEntry) {
      code
        .get(frame.budget)
        .i32(this.needs[number] ?? 0)
        .op('i32.lt_u')
        .ifUnlikely();
      builder.exitShort(first.record);
      code.end();
    }
    code.get(frame.budget).i32(instructions.length).op('i32.sub').set(frame.budget);
    this.checks?.atBlock(frame, this.plan, block);
    instructions.forEach((i, k) => {
      this.marks.push({ at: code.bytes.length, block, instruction: i });
      builder.writeInstruction(i, i.facts, this.live.after[number]?.[k] ?? 63, instructions.length - 1 - k);
    });
    this.terminate(block);
    builder.endInstruction();
  }

  private terminate(block: BasicBlock): void {
    const { builder, code } = this;
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
        builder.exitTo(outcome.target, last.form.mnemonic === 'RET');
        return;
      case 'call':
        if (block.next === undefined) builder.exitTo(outcome.target);
        else {
          builder.callOut(outcome.target);
          this.goto(block.next, after);
        }
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
    code.br(target.level);
  }
}

/** For each block: the most instructions from its start to the next entry. */
function budgetNeeds(blocks: readonly BasicBlock[]): readonly number[] {
  const needs = new Map<number, number>();
  const need = (n: number): number => {
    const known = needs.get(n);
    if (known !== undefined) return known;
    const block = blocks[n];
    if (!block) return 0;
    needs.set(n, 0);
    const beyond = [block.taken, block.next].map((s) => (s === undefined || blocks[s]?.isEntry ? 0 : need(s)));
    const total = block.instructions.length + Math.max(...beyond);
    needs.set(n, total);
    return total;
  };
  return blocks.map((b) => need(b.number));
}
