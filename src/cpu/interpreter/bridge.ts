/**
 * The bridge over code that is not compiled: what stands in the table of compiled code for a record. It interprets until
 * compiled code comes again, which takes its place, so that the callers of the guest's functions stay where they are.
 */
import type { ArenaHeader } from '../arena.ts';
import { Entry } from '../arena.ts';
import { Record } from '../record.ts';
import { Vcpu } from '../state.ts';
import { compiledExit, status, tierCode } from '../status.ts';
import type { FunctionBuilder, ModuleBuilder } from '../../wasm/encoder.ts';
import type { CompiledCode, DispatchCalls } from './dispatch.ts';
import { exitsOfSample, header, settle } from './dispatch.ts';
import { leave, pushRip } from './inner.ts';

/** noCode(cpu, record, depth) → compiledExit, as compiled code gives it. Record 0: what is at Vcpu.rip is to be found. */
export function writeBridge(
  m: ModuleBuilder,
  core: DispatchCalls,
  inner: FunctionBuilder,
  compiled: CompiledCode,
): void {
  const f = m.function('noCode', ['i32', 'i32', 'i32'], ['i32']);
  const cpu = 0;
  const record = 1;
  const depth = 2;
  const arena = f.local('i32');
  const budget = f.local('i32');
  /** Instructions before the next sample of the profile; those that the interpreter is given, then those that it used. */
  const left = f.local('i32');
  const used = f.local('i32');
  const result = f.local('i32');
  const { code } = f;
  const u32 = (field: keyof typeof ArenaHeader.offsets): void => {
    code.get(arena).memory('i32.load', header(field));
  };
  const is = (reason: number): void => {
    code.get(result).i32(reason).op('i32.eq');
  };
  const storeRip = (): void => {
    code.get(cpu);
    pushRip(f, cpu, record);
    code.memory('i64.store', Vcpu.offsets.rip);
  };
  const storeBudget = (): void => {
    code.get(cpu).get(budget).memory('i32.store', Vcpu.offsets.budget);
  };
  const exit = (reason: number): void => {
    code.i32(reason).return();
  };

  code.get(cpu).memory('i32.load', Vcpu.offsets.arena).set(arena);
  // The dispatch loop has samples taken, asks for all code under `jit`, and counts forms.
  u32('tier');
  code.i32(tierCode.auto).op('i32.ne');
  u32('countForms');
  code.op('i32.or');
  u32('untilSample');
  code.tee(left).op('i32.eqz').op('i32.or').if();
  exit(compiledExit.unwind);
  code.end();
  settle(code, core);
  code.get(cpu).memory('i32.load', Vcpu.offsets.budget).set(budget);
  // That compiled code came to some that is not counts as a sample now and then.
  code.get(record).if();
  code.get(arena);
  u32('exits');
  code.i32(1).op('i32.add').tee(used).memory('i32.store', header('exits'));
  code.get(used).i32(exitsOfSample).op('i32.rem_u').op('i32.eqz').if();
  code.get(cpu).get(record).call(core.sample).set(used).end().end();
  code.i32(leave.look).set(result);

  code.loop();
  const next = code.depth;
  code.block();
  const apart = code.depth;
  code.block();
  code.get(record).op('i32.eqz').brIf(code.depth);
  code.get(left).get(budget).get(left).get(budget).op('i32.lt_u').op('select').tee(used).op('i32.eqz').if();
  storeRip();
  exit(compiledExit.unwind);
  code.end();
  code.get(cpu).get(record).get(used).call(inner).set(result);
  code.get(cpu).memory('i32.load', Vcpu.offsets.record).set(record);
  code.get(used).get(cpu).memory('i32.load', Vcpu.offsets.budget).op('i32.sub').set(used);
  code.get(budget).get(used).op('i32.sub').set(budget);
  storeBudget();
  code.get(arena).get(left).get(used).op('i32.sub').tee(left).memory('i32.store', header('untilSample'));
  // The dispatch loop takes all that passes until it has control again for compiled.
  code.get(arena).get(arena).memory('i64.load', header('compiledRetired')).get(used).op('i64.extend_i32_u');
  code.op('i64.sub').memory('i64.store', header('compiledRetired'));
  is(leave.spent);
  code.brIf(next);
  is(leave.compiled);
  code.if();
  code.get(cpu).get(record).memory('i32.load', Entry.offsets.label).get(depth);
  code.get(record).memory('i32.load', Entry.offsets.link).returnCallIndirect(compiled.like, compiled.table).end();
  is(leave.apart);
  code.brIf(apart);
  is(leave.undefined);
  code.if().get(budget).i32(1).op('i32.add').set(budget);
  storeBudget();
  storeRip();
  exit(compiledExit.unwind);
  code.end();
  code.end();
  // Look-ups. One that the budget does not cover is left: its fault would belong to the next instruction.
  is(leave.stale);
  code.if();
  storeRip();
  code.end().get(budget).op('i32.eqz').if();
  exit(compiledExit.unwind);
  code.end();
  u32('arenaFlushes');
  code.set(used);
  is(leave.look);
  code.if('i32').get(cpu).call(core.lookup).else();
  is(leave.link);
  code.if('i32').get(cpu).get(record).call(core.linkTo).else().get(cpu).get(record).call(core.relink).end().end();
  code.tee(record).op('i32.eqz').if();
  exit(compiledExit.status + status.jump);
  code.end();
  // Without room everything decoded went, and what was compiled from it.
  u32('arenaFlushes');
  code.get(used).op('i32.eq').brIf(next);
  storeRip();
  exit(compiledExit.unwind);
  code.end();

  // apart: the instruction, by its function.
  code.get(cpu).get(record).call(compiled.runForm).tee(result).if();
  code.get(result).i32(compiledExit.status).op('i32.add').return().end();
  code.get(cpu).memory('i32.load', Vcpu.offsets.budget).set(budget);
  code.get(cpu).memory('i32.load', Vcpu.offsets.unwind).if();
  code.get(cpu);
  pushRip(f, cpu, record);
  code.get(record).memory('i64.load8_u', Record.offsets.length).op('i64.add').memory('i64.store', Vcpu.offsets.rip);
  exit(compiledExit.unwind);
  code.end();
  code.get(record).i32(Record.size).op('i32.add').set(record).br(next);
  code.end();
  code.op('unreachable');
  m.exportFunction('noCode', f);
}
