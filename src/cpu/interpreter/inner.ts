/** The inner loop of the interpreter: one br_table over the hot forms, which calls nothing (docs/adr/0001). */
import { JumpEntry } from '../arena.ts';
import { findJump } from '../emit/jump-cache.ts';
import type { Form } from '../isa/compile.ts';
import { pseudoForm } from '../isa/compile.ts';
import { Record } from '../record.ts';
import { Vcpu } from '../state.ts';
import type { Code, FunctionBuilder, ModuleBuilder, ValueType } from '../../wasm/encoder.ts';
import type { FormCalls, Frame } from './builder.ts';
import { InterpreterBuilder } from './builder.ts';
import type { BranchFusion, Fusion } from './fusion.ts';
import { moveTo, recordShift } from './limit.ts';

/** Why the inner loop returns. Vcpu.record and Vcpu.budget are stored then. */
export const leave = {
  /** The budget is used up before the record. */
  spent: 0,
  /** The record's instruction (counted already) is for its function. */
  apart: 1,
  /** A transfer to Vcpu.rip that the jump cache does not know. */
  look: 2,
  /** The same by the record's branch, which can be linked. */
  link: 3,
  /** A pseudo-record that says that the code is gone. */
  stale: 4,
  /** A pseudo-record for what is no instruction (counted). */
  undefined: 5,
  /** An entry of compiled code. */
  compiled: 6,
} as const;

/**
 * inner(cpu, record, budget) → leave: a loop around one br_table whose cases are the hot forms. It calls nothing, so
 * that the engine keeps record, budget and bases in registers: whatever needs a call (a TLB miss, an exception) bails
 * out, and the form's function does that instruction from its beginning.
 */
export function writeInner(
  m: ModuleBuilder,
  core: FormCalls,
  inline: readonly Form[],
  fusions: readonly Fusion[],
): FunctionBuilder {
  const f = m.function('inner', ['i32', 'i32', 'i32'], ['i32']);
  const cpu = 0;
  const record = 1;
  /** The budget, as `limit.ts` has it. */
  const limit = 2;
  const result = f.local('i32');
  const entry = f.local('i32');
  const target = f.local('i64');
  const { code } = f;
  const pool = new Map<ValueType, number[]>();
  const cases = pseudoForm.count + inline.length + fusions.length;

  code.get(limit).i32(recordShift).op('i32.shl').get(record).op('i32.add').set(limit);
  // Levels, from the outside: the exit, next (the loop), then the tails, then the cases.
  code.block();
  const exit = code.depth;
  code.loop();
  const next = code.depth;
  code.block();
  const link = code.depth;
  code.block();
  const go = code.depth;
  code.block();
  const bail = code.depth;
  code.block();
  const advance = code.depth;
  code.block();
  const level = (k: number): number => advance + 1 + cases - k;
  const other = code.depth;
  for (let k = cases - 1; k >= 0; k--) code.block();
  const leaveWith = (reason: number): void => {
    code.i32(reason).set(result).br(exit);
  };
  // Budget, then the jump to the case.
  code.get(record).get(limit).op('i32.eq').if();
  leaveWith(leave.spent);
  code.end();
  code.get(record).memory('i32.load16_u', Record.offsets.form);
  code.brTable(
    Array.from({ length: cases }, (_, k) => level(k)),
    other,
  );
  code.end();

  // Pseudo-forms are no instructions: they use nothing of the budget.
  // Case stale: what was decoded here is gone.
  leaveWith(leave.stale);
  code.end();
  // Case link: the block goes on in another one.
  code.get(record).memory('i32.load', Record.offsets.link).tee(entry).i32(1).op('i32.gt_u').if();
  moveTo(code, { record, limit, to: entry }, 0);
  code.br(next).end();
  pushRip(f, cpu, record);
  code.set(target);
  code.get(limit).i32(Record.size).op('i32.add').set(limit);
  code.get(entry).op('i32.eqz').brIf(link).br(go);
  code.end();
  // Case undefined: #UD.
  code.get(limit).i32(Record.size).op('i32.sub').set(limit);
  leaveWith(leave.undefined);
  code.end();
  // Case compiled.
  leaveWith(leave.compiled);
  code.end();

  const frame: Frame = { f, pool, record, loop: { limit, target, bail, next, go, link } };
  for (const form of inline) {
    new InterpreterBuilder(frame, core, form).emit();
    code.br(advance);
    code.end();
  }
  const writeBranch = (fusion: BranchFusion): void => {
    const builder = new InterpreterBuilder(frame, core, fusion.form);
    builder.emit();
    // The branch belongs to this case while the budget covers it and it is linked; its record is the next one.
    code.get(record).i32(Record.size).op('i32.add').get(limit).op('i32.eq').brIf(advance);
    builder.pushCondition(fusion.condition);
    code.if();
    code
      .get(record)
      .memory('i32.load', Record.size + Record.offsets.link)
      .tee(entry)
      .i32(1)
      .op('i32.le_u')
      .brIf(advance);
    moveTo(code, { record, limit, to: entry }, 2);
    code.br(next).end();
    code
      .get(record)
      .i32(2 * Record.size)
      .op('i32.add')
      .set(record)
      .br(next);
  };
  for (const fusion of fusions) {
    if ('condition' in fusion) writeBranch(fusion);
    else {
      const { form, second } = fusion;
      new InterpreterBuilder(frame, core, form).emit();
      code.get(record).i32(Record.size).op('i32.add').tee(record).get(limit).op('i32.eq').brIf(next);
      if ('form' in second) writeBranch(second);
      else {
        new InterpreterBuilder(frame, core, second).emit();
        code.br(advance);
      }
    }
    code.end();
  }
  // Other forms are functions only.
  code.br(bail);
  code.end();

  // advance: the next record of the block.
  code.get(record).i32(Record.size).op('i32.add').set(record).br(next);
  code.end();

  // bail: by the form's function.
  code.get(limit).i32(Record.size).op('i32.sub').set(limit);
  leaveWith(leave.apart);
  code.end();

  // go: to the RIP in `target`, by the jump cache.
  code.get(limit).get(record).i32(Record.size).op('i32.add').op('i32.sub').set(limit);
  probeJumpCache(code, { cpu, target, entry, record }, () =>
    code.get(limit).get(record).op('i32.add').set(limit).br(next),
  );
  code.get(limit).get(record).op('i32.add').set(limit);
  code.get(cpu).get(target).memory('i64.store', Vcpu.offsets.rip);
  leaveWith(leave.look);
  code.end();

  // link: the branch learns its target.
  code.get(limit).i32(Record.size).op('i32.sub').set(limit);
  code.get(cpu).get(target).memory('i64.store', Vcpu.offsets.rip);
  leaveWith(leave.link);
  code.end();
  code.end();
  code.get(cpu).get(record).memory('i32.store', Vcpu.offsets.record);
  code.get(cpu).get(limit).get(record).op('i32.sub').i32(recordShift).op('i32.shr_u');
  code.memory('i32.store', Vcpu.offsets.budget);
  code.get(result);
  return f;
}

/** Pushes RIP of a record: within the page that runs. */
export function pushRip(f: FunctionBuilder, cpu: number, record: number): void {
  f.code.get(cpu).memory('i64.load', Vcpu.offsets.ripBase);
  f.code.get(record).memory('i64.load16_u', Record.offsets.offset).op('i64.add');
}

/**
 * Finds the RIP in `target` in the jump cache: then `record` is what stands there, ripBase is set, and what `found`
 * writes runs. Leaves through the end otherwise.
 */
export function probeJumpCache(
  code: Code,
  locals: { readonly cpu: number; readonly target: number; readonly entry: number; readonly record: number },
  found: () => void,
): void {
  const { cpu, target, entry, record } = locals;
  const pushCpu = (): Code => code.get(cpu);
  findJump(code, locals, pushCpu, () => {
    code.get(entry).memory('i32.load', JumpEntry.offsets.record).set(record);
    code.get(cpu).get(target).get(record).memory('i64.load16_u', Record.offsets.offset).op('i64.sub');
    code.memory('i64.store', Vcpu.offsets.ripBase);
    found();
  });
}
