/** The dispatch loop around the inner one: forms' functions, look-ups, links, compiled code and the profile. */
import { Arena, ArenaHeader, Entry, JumpEntry } from '../arena.ts';
import type { Calls } from '../emit/core-calls.ts';
import { findJump } from '../emit/jump-cache.ts';
import { pseudoForm } from '../isa/compile.ts';
import { Record, recordFlags } from '../record.ts';
import { Vcpu } from '../state.ts';
import { compiledExit, exitReason, status, tierCode } from '../status.ts';
import type { Code, FunctionBuilder, ModuleBuilder } from '../../wasm/encoder.ts';
import { leave, probeJumpCache, pushRip } from './inner.ts';

/** Core functions that the loop calls. */
export const dispatchFunctions = [
  'wrapIp',
  'lookup',
  'linkTo',
  'relink',
  'resume',
  'undefinedInstruction',
  'request',
  'missed',
  'strayed',
  'sample',
  'settleFlags',
] as const;
export type DispatchCalls = Calls<(typeof dispatchFunctions)[number]>;

/** Places of the arena's header. */
export const header = (field: keyof typeof ArenaHeader.offsets): number => Arena.header + ArenaHeader.offsets[field];

/** Slots for functions of compiled code. */
export const compiledSlots = 16384;
/** Compiled functions that may be active below one another: guest calls nest as host calls up to here. */
const deepestCall = 48;
/** Instructions that the interpreter runs, at least, from one sample of the profile to the next. */
const sampleInstructions = 1024;
/**
 * Times that compiled code has to be left for the interpreter to count as a sample. What callers and returns lose by it,
 * code that is short but often called would never show in samples of the interpreter alone. A prime, for loops of the
 * guest that leave several times in a round.
 */
export const exitsOfSample = 31;

export interface CompiledCode {
  readonly table: number;
  readonly like: { readonly type: number };
  /** probe(cpu) → the record or entry at Vcpu.rip by the jump cache, with ripBase set; or 0. */
  readonly probe: FunctionBuilder;
  readonly runForm: FunctionBuilder;
}

/** Counts the form of the record under `table` of `Arena.formCounts`; `place` is a local for its own use. */
function countForm(code: Code, arena: number, record: number, place: number, table: 0 | 1): void {
  const offset = Arena.formCounts + table * Arena.formCountBytes;
  code.get(record).memory('i32.load16_u', Record.offsets.form).i32(2).op('i32.shl');
  code.get(arena).op('i32.add').tee(place).get(place).memory('i32.load', offset).i32(1).op('i32.add');
  code.memory('i32.store', offset);
}

/** Flags that compiled code has left held become the lazy words. */
export function settle(code: Code, core: DispatchCalls): void {
  const cpu = 0;
  code.get(cpu).memory('i32.load', Vcpu.offsets.heldKind).if();
  code.get(cpu).call(core.settleFlags).end();
}

/**
 * What compiled code needs besides the core.
 * - callCompiled(cpu, depth, rip) → exit becomes the compiled code there, or what stands for it (`bridge.ts`), also where the
 *   jump cache does not know it; it gives `unwind` where calls are nested too deep.
 * - returnedElsewhere(cpu, depth, behind) → exit: what was called has returned, but not to `behind`, as where the bridge has
 *   interpreted a call. Goes on there, once, and gives `go` if that returns to `behind`; otherwise `unwind`, as where the
 *   guest has changed its stack.
 * - runForm(cpu, record) → status: an instruction by its form's function. countedRunForm stands for it where forms are
 *   counted.
 */
export function writeCompiledSupport(
  m: ModuleBuilder,
  core: DispatchCalls,
  functions: readonly FunctionBuilder[],
): CompiledCode {
  // Engines reach table 0 in fewer loads than others, and this one is for calls of the guest.
  const table = m.emptyTable('compiled', compiledSlots);
  const forms = m.table(functions);
  const like = m.signature(['i32', 'i32', 'i32'], ['i32']);
  const cpu = 0;

  const probe = m.function('probe', ['i32'], ['i32']);
  {
    const { code } = probe;
    const entry = probe.local('i32');
    const target = probe.local('i64');
    const record = probe.local('i32');
    code.get(cpu).memory('i64.load', Vcpu.offsets.rip).set(target);
    probeJumpCache(code, { cpu, target, entry, record }, () => code.get(record).return());
    code.i32(0);
  }

  m.exportFunction('probe', probe);

  const call = m.function('callCompiled', ['i32', 'i32', 'i64'], ['i32']);
  {
    const { code } = call;
    const depth = 1;
    const target = 2;
    const entry = call.local('i32');
    code.get(cpu).get(target).memory('i64.store', Vcpu.offsets.rip);
    code.get(depth).i32(deepestCall).op('i32.lt_u').if();
    const pushCpu = (): Code => code.get(cpu);
    findJump(code, { target, entry }, pushCpu, () => {
      // Compiled code has a flat code segment: a page of RIP is a page of the code.
      code.get(cpu).get(target).i64(-4096).op('i64.and').memory('i64.store', Vcpu.offsets.ripBase);
      code.get(cpu).get(entry).memory('i32.load', JumpEntry.offsets.label).get(depth);
      code.get(entry).memory('i32.load', JumpEntry.offsets.slot).returnCallIndirect(like, table);
    });
    // The bridge looks there.
    code.get(cpu).i32(0).get(depth).i32(Arena.noCode).returnCallIndirect(like, table);
    code.end();
    code.i32(compiledExit.unwind);
  }

  const elsewhere = m.function('returnedElsewhere', ['i32', 'i32', 'i64'], ['i32']);
  {
    const { code } = elsewhere;
    const result = elsewhere.local('i32');
    const rip = (): Code => code.get(cpu).memory('i64.load', Vcpu.offsets.rip);
    code.get(cpu).get(1);
    rip().call(call).tee(result).if();
    code.get(result).return().end();
    rip().get(2).op('i64.ne').if('i32').i32(compiledExit.unwind).else().i32(compiledExit.go).end();
  }
  m.exportFunction('returnedElsewhere', elsewhere);

  const form = m.function('runForm', ['i32', 'i32'], ['i32']);
  const [first] = functions;
  if (!first) throw new Error('the table has no forms');
  settle(form.code, core);
  form.code.get(cpu).get(1);
  form.code
    .get(1)
    .memory('i32.load16_u', Record.offsets.form)
    .i32(pseudoForm.count)
    .op('i32.sub')
    .callIndirect(first, forms);
  const counted = m.function('countedRunForm', ['i32', 'i32'], ['i32']);
  const arena = counted.local('i32');
  counted.code.get(cpu).memory('i32.load', Vcpu.offsets.arena).set(arena);
  countForm(counted.code, arena, 1, counted.local('i32'), 1);
  counted.code.get(cpu).get(1).call(form);
  m.exportFunction('countedRunForm', counted);
  m.exportFunction('callCompiled', call);
  m.exportFunction('runForm', form);
  return { table, like, probe, runForm: form };
}

/**
 * dispatch(cpu, record, budget) → status: the inner loop, compiled code, and what these leave for functions and
 * look-ups.
 */
export function writeDispatch(
  m: ModuleBuilder,
  core: DispatchCalls,
  inner: FunctionBuilder,
  compiled: CompiledCode,
): void {
  const f = m.function('dispatch', ['i32', 'i32', 'i32'], ['i32']);
  const cpu = 0;
  const record = 1;
  const budget = 2;
  const result = f.local('i32');
  const found = f.local('i32');
  /** Instructions that the interpreter is given, then those that it used; and those before the next sample. */
  const kept = f.local('i32');
  const left = f.local('i32');
  /** All is to be compiled before it runs, but for what the compiled code itself left to the interpreter. */
  const forced = f.local('i32');
  const arena = f.local('i32');
  /** Forms are counted: the interpreter runs one instruction at a time. */
  const counted = f.local('i32');
  const { code } = f;
  const count = (): void => {
    code.get(counted).if();
    countForm(code, arena, record, found, 0);
    code.end();
  };
  const storeRip = (): void => {
    code.get(cpu);
    pushRip(f, cpu, record);
    code.memory('i64.store', Vcpu.offsets.rip);
  };
  const storeBudget = (): void => {
    code.get(cpu).get(budget).memory('i32.store', Vcpu.offsets.budget);
  };
  const loadBudget = (): void => {
    code.get(cpu).memory('i32.load', Vcpu.offsets.budget).set(budget);
  };
  const uncount = (): void => {
    code.get(budget).i32(1).op('i32.add').set(budget);
    storeBudget();
  };
  const is = (reason: number): void => {
    code.get(result).i32(reason).op('i32.eq');
  };
  const isCompiled = (): void => {
    code.get(record).memory('i32.load16_u', Record.offsets.form).i32(pseudoForm.compiled).op('i32.eq');
  };
  const clear = (field: 'trouble' | 'exceptionPending' | 'unwind'): void => {
    code.get(cpu).i32(0).memory('i32.store', Vcpu.offsets[field]);
  };
  const returnJump = (): void => {
    code.i32(status.jump).return();
  };

  code.get(cpu).memory('i32.load', Vcpu.offsets.arena).set(arena);
  code.get(arena).memory('i32.load', header('tier')).i32(tierCode.jit).op('i32.eq').set(forced);
  code.get(arena).memory('i32.load', header('countForms')).set(counted);
  code.loop();
  const next = code.depth;
  code.block();
  const fault = code.depth;
  code.block();
  const look = code.depth;
  code.block();
  const done = code.depth;
  code.block();
  const apart = code.depth;

  // Compiled code, again and again while it leads to more of it.
  isCompiled();
  code.if();
  code.loop();
  const again = code.depth;
  code.get(budget).op('i32.eqz').if();
  storeRip();
  code.i32(status.ok).return().end();
  storeBudget();
  clear('unwind');
  code.get(cpu).get(record).memory('i32.load', Entry.offsets.label).i32(0);
  code.get(record).memory('i32.load', Entry.offsets.link).callIndirect(compiled.like, compiled.table).set(result);
  code.get(arena).get(arena).memory('i64.load', header('compiledRetired')).get(budget);
  loadBudget();
  code.get(budget).op('i32.sub').op('i64.extend_i32_u').op('i64.add').memory('i64.store', header('compiledRetired'));
  is(compiledExit.missed);
  code.if().get(cpu).call(core.missed).i32(compiledExit.apart).set(result).end();
  is(compiledExit.strayed);
  code.if().get(cpu).call(core.strayed).i32(compiledExit.apart).set(result).end();
  // Exits are counted by their codes.
  code.get(result).i32(4).get(result).i32(4).op('i32.lt_u').op('select').i32(2).op('i32.shl');
  code.get(arena).op('i32.add').tee(found);
  code.get(found).memory('i32.load', header('compiledExits')).i32(1).op('i32.add');
  code.memory('i32.store', header('compiledExits'));
  code.get(result).op('i32.eqz');
  is(compiledExit.unwind);
  code.op('i32.or').if();
  // A look-up that the budget does not cover is left: its fault would belong to the next instruction.
  code.get(budget).op('i32.eqz').if();
  settle(code, core);
  returnJump();
  code.end();
  code.get(cpu).call(compiled.probe).tee(found).op('i32.eqz').if();
  settle(code, core);
  code.get(cpu).call(core.lookup).tee(found).op('i32.eqz').if();
  returnJump();
  code.end().end();
  code.get(found).set(record);
  isCompiled();
  code.brIf(again);
  settle(code, core);
  // Compiled code has come to some that is not: now and then that counts as a sample.
  code.get(arena).get(arena).memory('i32.load', header('exits')).i32(1).op('i32.add').tee(found);
  code.memory('i32.store', header('exits'));
  code.get(found).i32(exitsOfSample).op('i32.rem_u').brIf(next);
  code.get(cpu).get(record).call(core.sample).op('i32.eqz').brIf(next);
  storeRip();
  returnJump();
  code.end();
  settle(code, core);
  code.get(cpu).memory('i32.load', Vcpu.offsets.record).set(record);
  is(compiledExit.apart);
  code.if();
  // The instruction starts over, by its function: what its fast path met is forgotten.
  clear('trouble');
  clear('exceptionPending');
  count();
  code.br(apart).end();
  is(compiledExit.short);
  code.if().i32(0).set(forced).br(next).end();
  code.get(result).i32(compiledExit.status).op('i32.sub').set(result).br(done);
  code.end().end();

  // All is to be compiled: ask, unless that has been declined, or a single step has begun already.
  code.get(forced).get(budget).i32(1).op('i32.gt_u').op('i32.and').if();
  code.get(record).memory('i32.load16_u', Record.offsets.form).i32(pseudoForm.count).op('i32.ge_u').if();
  const hasFlag = (flag: number): Code =>
    code.get(record).memory('i32.load8_u', Record.offsets.flags).i32(flag).op('i32.and');
  // It may have an entry: behind an instruction that was done apart, or by another record of the same place.
  storeRip();
  storeBudget();
  code.get(cpu).call(core.lookup).tee(found).op('i32.eqz').if();
  returnJump();
  code.end().get(found).set(record);
  isCompiled();
  code.brIf(next);
  hasFlag(recordFlags.declined).op('i32.eqz').if();
  code.get(cpu).get(record).call(core.request).if();
  storeRip();
  storeBudget();
  code.get(cpu).i32(exitReason.compile).memory('i32.store', Vcpu.offsets.exitReason);
  returnJump();
  code.end().end().end().end();

  // The interpreter, up to the next sample; one instruction where all is to be compiled.
  code.get(arena).memory('i32.load', header('untilSample')).tee(left).op('i32.eqz').if();
  code
    .get(budget)
    .i32(sampleInstructions - 1)
    .op('i32.and')
    .i32(sampleInstructions)
    .op('i32.add')
    .set(left)
    .end();
  code.i32(1).get(left).get(forced).get(counted).op('i32.or').op('select').set(kept);
  code.get(budget).get(kept).op('i32.lt_u').if();
  code.get(budget).set(kept).end();
  count();
  code.get(cpu).get(record).get(kept).call(inner).set(result);
  code.get(cpu).memory('i32.load', Vcpu.offsets.record).set(record);
  code.get(kept).get(cpu).memory('i32.load', Vcpu.offsets.budget).op('i32.sub').set(kept);
  code.get(budget).get(kept).op('i32.sub').set(budget);
  code.get(arena).get(left).get(kept).op('i32.sub').memory('i32.store', header('untilSample'));
  is(leave.compiled);
  code.brIf(next);
  is(leave.apart);
  code.if();
  storeBudget();
  code.br(apart).end();
  is(leave.spent);
  code.if();
  code.get(budget).if();
  code.get(arena).memory('i32.load', header('untilSample')).brIf(next);
  code.get(cpu).get(record).call(core.sample).op('i32.eqz').brIf(next);
  storeRip();
  storeBudget();
  returnJump();
  code.end();
  storeRip();
  storeBudget();
  code.i32(status.ok).return().end();
  is(leave.look);
  code.get(result).i32(leave.link).op('i32.eq').op('i32.or').if();
  // As above: a look-up that the budget does not cover is left.
  storeBudget();
  code.get(budget).op('i32.eqz').if();
  returnJump();
  code.end();
  is(leave.look);
  code.brIf(look);
  code.get(cpu).get(record).call(core.linkTo).tee(found).op('i32.eqz').if();
  returnJump();
  code.end();
  code.get(found).set(record).br(next);
  code.end();
  is(leave.undefined);
  code.if().get(cpu).get(record).call(core.undefinedInstruction).br(fault).end();
  // Stale.
  storeRip();
  storeBudget();
  code.get(cpu).get(record).call(core.relink).tee(found).op('i32.eqz').if();
  returnJump();
  code.end();
  code.get(found).set(record).br(next);
  code.end();

  // apart: the instruction, by its function.
  code.get(cpu).get(record).call(compiled.runForm).set(result);
  // A repeated string instruction counts each iteration.
  loadBudget();
  code.end();

  // done: the record's instruction has been run, with `result` as its status.
  is(status.ok);
  code.if();
  code.get(record).i32(Record.size).op('i32.add').set(record).br(next);
  code.end();
  is(status.fault);
  code.brIf(fault);
  // sync and exit go on at the next instruction.
  code.get(result).i32(status.jump).op('i32.ne').if();
  code.get(cpu);
  pushRip(f, cpu, record);
  code.get(record).memory('i64.load8_u', Record.offsets.length).op('i64.add');
  code.call(core.wrapIp);
  is(status.exit);
  code.if().get(result).return().end().end();
  // Events may have become due: those are for the run loop.
  code.get(cpu).call(core.resume).tee(found).op('i32.eqz').if();
  code.get(result).return().end();
  code.get(found).set(record).br(next);
  code.end();

  // look: at Vcpu.rip.
  code.get(cpu).call(core.lookup).tee(found).op('i32.eqz').if();
  returnJump();
  code.end();
  code.get(found).set(record).br(next);
  code.end();
  // fault: the instruction has not retired.
  uncount();
  storeRip();
  code.i32(status.fault).return();
  code.end();
  code.op('unreachable');
  m.exportFunction('dispatch', f);
}
