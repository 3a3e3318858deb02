/**
 * Generates the interpreter: `handlers.wasm`, with the dispatch loop, a function for each form, and the decode tables.
 * It is linked with the AssemblyScript core by wasm-merge, so its imports are the core's exports and the other way
 * round.
 *
 *   dispatch(cpu, record, budget) → status
 *     runs records until a status other than ok. At every exit Vcpu.budget holds what is left, Vcpu.rip the
 *     instruction to run next (with status.fault: the one that faulted).
 *   initTables(address)   copies the decode tables there.
 */
import { Arena, ArenaHeader, Entry, JumpEntry } from '../arena.ts';
import type { CompiledTable, Form } from '../isa/compile.ts';
import { pseudoForm } from '../isa/compile.ts';
import type { Helper } from '../isa/helpers.ts';
import { Record, recordFlags } from '../record.ts';
import { Vcpu } from '../state.ts';
import { compiledExit, exitReason, status, tierCode } from '../status.ts';
import type { Code, FunctionBuilder, FunctionReference, ValueType } from '../../wasm/encoder.ts';
import { ModuleBuilder } from '../../wasm/encoder.ts';
import type { CoreCalls } from '../emit/form-builder.ts';
import type { Frame } from './builder.ts';
import { InterpreterBuilder, NotInline } from './builder.ts';
import type { Fusion } from './fusion.ts';
import { fusionsOf, writeFusionTable } from './fusion.ts';

export interface GeneratedInterpreter {
  readonly wasm: Uint8Array;
  /** Forms by their number in the tables (pseudo-forms have none). */
  readonly forms: readonly Form[];
  readonly inlineCount: number;
}

export interface InterpreterOptions {
  /** Most forms that the dispatch loop may have. */
  readonly inlineLimit?: number;
}

interface Core extends CoreCalls {
  /** (cpu, rip i64): sets RIP, wrapped as the code size says. */
  wrapIp: FunctionReference;
  lookup: FunctionReference;
  linkTo: FunctionReference;
  relink: FunctionReference;
  undefinedInstruction: FunctionReference;
  /** (cpu, record) → not 0: the record's code is on the list to be compiled. */
  request: FunctionReference;
  /** (cpu, record): the profile; not 0: leave. */
  sample: FunctionReference;
}

function importCore(m: ModuleBuilder, helpers: Readonly<globalThis.Record<string, Helper>>): Core {
  m.importMemory('core', 'memory', { minimum: 1, maximum: 65536, shared: true });
  const core = (name: string, parameters: readonly ValueType[], results: readonly ValueType[]): FunctionReference =>
    m.importFunction('core', name, parameters, results);
  const references = new Map<string, FunctionReference>();
  for (const [name, h] of Object.entries(helpers)) {
    references.set(name, core(name, ['i32', ...h.parameters], h.result === 'none' ? [] : [h.result]));
  }
  return {
    slowRead: core('slowRead', ['i32', 'i64', 'i32'], ['i32']),
    slowWrite: core('slowWrite', ['i32', 'i64', 'i32'], ['i32']),
    commitWrite: core('commitWrite', ['i32'], []),
    operandOffset: core('operandOffset', ['i32', 'i32'], ['i64']),
    wrapOffset: core('wrapOffset', ['i32', 'i64'], ['i64']),
    segmentLinear: core('segmentLinear', ['i32', 'i32', 'i64', 'i32', 'i32'], ['i64']),
    segmentBase: core('segmentBase', ['i32', 'i32', 'i64'], ['i64']),
    probeWrite: core('probeWrite', ['i32', 'i64', 'i32'], []),
    raise: core('raise', ['i32', 'i32', 'i32'], []),
    raiseNoError: core('raiseNoError', ['i32', 'i32'], []),
    wrapIp: core('wrapIp', ['i32', 'i64'], []),
    lookup: core('lookup', ['i32'], ['i32']),
    linkTo: core('linkTo', ['i32', 'i32'], ['i32']),
    relink: core('relink', ['i32', 'i32'], ['i32']),
    undefinedInstruction: core('undefinedInstruction', ['i32', 'i32'], []),
    request: core('request', ['i32', 'i32'], ['i32']),
    sample: core('sample', ['i32', 'i32'], ['i32']),
    helper(name) {
      const h = helpers[name];
      const reference = references.get(name);
      if (!h || !reference) throw new Error(`helper ${name} is not declared in isa/helpers.ts`);
      return { reference, parameters: h.parameters, result: h.result, kind: h.kind };
    },
  };
}

/** Whether the form can be a case of the loop: tried by writing it into a throw-away function. */
function canInline(form: Form, core: Core): boolean {
  const scratch = new ModuleBuilder().function('scratch', ['i32', 'i32', 'i32'], ['i32']);
  const target = scratch.local('i64');
  const frame: Frame = {
    f: scratch,
    pool: new Map(),
    record: 1,
    loop: { budget: 2, target, bail: 0, next: 0, go: 0, link: 0 },
  };
  try {
    new InterpreterBuilder(frame, core, form).emit();
    return true;
  } catch (error) {
    if (error instanceof NotInline) return false;
    throw error;
  }
}

export function generateInterpreter(
  compiled: CompiledTable,
  helpers: Readonly<globalThis.Record<string, Helper>>,
  options: InterpreterOptions = {},
): GeneratedInterpreter {
  const m = new ModuleBuilder();
  const core = importCore(m, helpers);
  const inline: Form[] = [];
  const apart: Form[] = [];
  for (const form of compiled.forms) {
    const hot = form.row.hot === true && !form.general;
    if (hot && inline.length < (options.inlineLimit ?? 1600) && canInline(form, core)) inline.push(form);
    else apart.push(form);
  }
  const written = new Map<Form, FunctionBuilder>();
  for (const form of [...inline, ...apart]) {
    const f = m.function(form.name, ['i32', 'i32'], ['i32']);
    new InterpreterBuilder({ f, pool: new Map(), record: 1 }, core, form).emit();
    f.code.i32(status.ok);
    written.set(form, f);
  }
  // Numbers: pseudo-forms, inline forms, fused pairs, the other forms. A pair's function does its first instruction.
  const fusions = inline.flatMap(fusionsOf);
  const forms = [...inline, ...fusions.map((f) => f.form), ...apart];
  const numbers = new Map<number, number>();
  inline.forEach((form, k) => numbers.set(form.id, pseudoForm.count + k));
  apart.forEach((form, k) => numbers.set(form.id, pseudoForm.count + inline.length + fusions.length + k));
  const tables = compiled.tables.slice();
  const view = new DataView(tables.buffer);
  for (const place of compiled.formPlaces) {
    view.setUint16(place, numbers.get(view.getUint16(place, true)) ?? pseudoForm.undefined, true);
  }
  const functions = forms.flatMap((form) => written.get(form) ?? []);
  m.table(functions);
  const support = writeCompiledSupport(m, functions);
  writeDispatch(m, core, writeInner(m, core, inline, fusions), support);
  writeInitTables(m, writeFusionTable(tables, forms, inline, fusions));
  return { wasm: m.encode(), forms, inlineCount: inline.length + fusions.length };
}

function writeInitTables(m: ModuleBuilder, tables: Uint8Array): void {
  if (tables.length > Arena.tablesBytes)
    throw new Error(`decode tables of ${tables.length} bytes do not fit the arena`);
  const segment = m.data(tables);
  const f = m.function('initTables', ['i32'], []);
  f.code.get(0).i32(0).i32(tables.length).memoryInit(segment);
  m.exportFunction('initTables', f);
}

/** Why the inner loop returns. Vcpu.record and Vcpu.budget are stored then. */
const leave = {
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
function writeInner(
  m: ModuleBuilder,
  core: Core,
  inline: readonly Form[],
  fusions: readonly Fusion[],
): FunctionBuilder {
  const f = m.function('inner', ['i32', 'i32', 'i32'], ['i32']);
  const cpu = 0;
  const record = 1;
  const budget = 2;
  const result = f.local('i32');
  const entry = f.local('i32');
  const target = f.local('i64');
  const { code } = f;
  const pool = new Map<ValueType, number[]>();
  const cases = pseudoForm.count + inline.length + fusions.length;

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
  code.get(budget).op('i32.eqz').if();
  leaveWith(leave.spent);
  code.end();
  code.get(budget).i32(1).op('i32.sub').set(budget);
  code.get(record).memory('i32.load16_u', Record.offsets.form);
  code.brTable(
    Array.from({ length: cases }, (_, k) => level(k)),
    other,
  );
  code.end();

  // Pseudo-forms are no instructions: they give the budget back.
  const uncount = (): void => {
    code.get(budget).i32(1).op('i32.add').set(budget);
  };
  // Case stale: what was decoded here is gone.
  uncount();
  leaveWith(leave.stale);
  code.end();
  // Case link: the block goes on in another one.
  uncount();
  code.get(record).memory('i32.load', Record.offsets.link).tee(entry).i32(1).op('i32.gt_u').if();
  code.get(entry).set(record).br(next).end();
  pushRip(f, cpu, record);
  code.set(target);
  code.get(entry).op('i32.eqz').brIf(link).br(go);
  code.end();
  // Case undefined: #UD.
  leaveWith(leave.undefined);
  code.end();
  // Case compiled.
  uncount();
  leaveWith(leave.compiled);
  code.end();

  const frame: Frame = { f, pool, record, loop: { budget, target, bail, next, go, link } };
  for (const form of inline) {
    new InterpreterBuilder(frame, core, form).emit();
    code.br(advance);
    code.end();
  }
  for (const { form, condition } of fusions) {
    const builder = new InterpreterBuilder(frame, core, form);
    builder.emit();
    // The branch belongs to this case while the budget covers it and it is linked; its record is the next one.
    code.get(budget).op('i32.eqz').brIf(advance);
    builder.pushCondition(condition);
    code.if();
    code
      .get(record)
      .memory('i32.load', Record.size + Record.offsets.link)
      .tee(entry)
      .i32(1)
      .op('i32.le_u')
      .brIf(advance);
    code.get(entry).set(record);
    code.else();
    code
      .get(record)
      .i32(2 * Record.size)
      .op('i32.add')
      .set(record);
    code.end();
    code.get(budget).i32(1).op('i32.sub').set(budget).br(next);
    code.end();
  }
  // Other forms are functions only.
  code.br(bail);
  code.end();

  // advance: the next record of the block.
  code.get(record).i32(Record.size).op('i32.add').set(record).br(next);
  code.end();

  // bail: by the form's function.
  leaveWith(leave.apart);
  code.end();

  // go: to the RIP in `target`, by the jump cache.
  pushJumpEntry(code, cpu, target);
  code.tee(entry).memory('i64.load', JumpEntry.offsets.rip).get(target).op('i64.eq').if();
  code.get(entry).memory('i32.load', JumpEntry.offsets.key);
  code.get(cpu).memory('i32.load', Vcpu.offsets.codeKey).op('i32.eq').if();
  code.get(entry).memory('i32.load', JumpEntry.offsets.record).set(record);
  code.get(cpu).get(target).get(record).memory('i64.load16_u', Record.offsets.offset).op('i64.sub');
  code.memory('i64.store', Vcpu.offsets.ripBase);
  code.br(next).end().end();
  code.get(cpu).get(target).memory('i64.store', Vcpu.offsets.rip);
  leaveWith(leave.look);
  code.end();

  // link: the branch learns its target.
  code.get(cpu).get(target).memory('i64.store', Vcpu.offsets.rip);
  leaveWith(leave.link);
  code.end();
  code.end();
  code.get(cpu).get(record).memory('i32.store', Vcpu.offsets.record);
  code.get(cpu).get(budget).memory('i32.store', Vcpu.offsets.budget);
  code.get(result);
  return f;
}

/** Pushes RIP of a record: within the page that runs. */
function pushRip(f: FunctionBuilder, cpu: number, record: number): void {
  f.code.get(cpu).memory('i64.load', Vcpu.offsets.ripBase);
  f.code.get(record).memory('i64.load16_u', Record.offsets.offset).op('i64.add');
}

/** Places of the arena's header. */
const header = (field: keyof typeof ArenaHeader.offsets): number => Arena.header + ArenaHeader.offsets[field];

/** Slots for functions of compiled code. */
export const compiledSlots = 16384;
/** Compiled functions that may be active below one another: guest calls nest as host calls up to here. */
const deepestCall = 48;
/** Instructions that the interpreter runs, at least, from one sample of the profile to the next. */
const sampleInstructions = 1024;

interface CompiledCode {
  readonly table: number;
  readonly like: { readonly type: number };
  /** probe(cpu) → the record or entry at Vcpu.rip by the jump cache, with ripBase set; or 0. */
  readonly probe: FunctionBuilder;
  readonly runForm: FunctionBuilder;
}

/**
 * What compiled code needs besides the core: callCompiled(cpu) → exit, which runs the compiled code at Vcpu.rip, or
 * gives `go` at once where there is none; and runForm(cpu, record) → status, an instruction by its form's function.
 */
function writeCompiledSupport(m: ModuleBuilder, functions: readonly FunctionBuilder[]): CompiledCode {
  const table = m.emptyTable('compiled', compiledSlots);
  const like = m.signature(['i32', 'i32'], ['i32']);
  const cpu = 0;

  const probe = m.function('probe', ['i32'], ['i32']);
  {
    const { code } = probe;
    const entry = probe.local('i32');
    const target = probe.local('i64');
    const record = probe.local('i32');
    code.get(cpu).memory('i64.load', Vcpu.offsets.rip).set(target);
    pushJumpEntry(code, cpu, target);
    code.tee(entry).memory('i64.load', JumpEntry.offsets.rip).get(target).op('i64.eq').if();
    code.get(entry).memory('i32.load', JumpEntry.offsets.key);
    code.get(cpu).memory('i32.load', Vcpu.offsets.codeKey).op('i32.eq').if();
    code.get(entry).memory('i32.load', JumpEntry.offsets.record).set(record);
    code.get(cpu).get(target).get(record).memory('i64.load16_u', Record.offsets.offset).op('i64.sub');
    code.memory('i64.store', Vcpu.offsets.ripBase);
    code.get(record).return().end().end();
    code.i32(0);
  }

  const call = m.function('callCompiled', ['i32'], ['i32']);
  {
    const { code } = call;
    const record = call.local('i32');
    const result = call.local('i32');
    const depth = (by: number): void => {
      code.get(cpu).get(cpu).memory('i32.load', Vcpu.offsets.callDepth).i32(by).op('i32.add');
      code.memory('i32.store', Vcpu.offsets.callDepth);
    };
    code.get(cpu).memory('i32.load', Vcpu.offsets.callDepth).i32(deepestCall).op('i32.ge_u').if();
    code.i32(compiledExit.go).return().end();
    code.get(cpu).call(probe).tee(record).op('i32.eqz').if().i32(compiledExit.go).return().end();
    code.get(record).memory('i32.load16_u', Record.offsets.form).i32(pseudoForm.compiled).op('i32.ne').if();
    code.i32(compiledExit.go).return().end();
    depth(1);
    code.get(cpu).get(record).memory('i32.load', Entry.offsets.label);
    code.get(record).memory('i32.load', Entry.offsets.link).callIndirect(like, table).set(result);
    depth(-1);
    code.get(result);
  }

  const form = m.function('runForm', ['i32', 'i32'], ['i32']);
  const [first] = functions;
  if (!first) throw new Error('the table has no forms');
  form.code.get(cpu).get(1);
  form.code.get(1).memory('i32.load16_u', Record.offsets.form).i32(pseudoForm.count).op('i32.sub').callIndirect(first);
  m.exportFunction('callCompiled', call);
  m.exportFunction('runForm', form);
  return { table, like, probe, runForm: form };
}

/** Pushes the address of the jump cache's entry for a RIP. */
function pushJumpEntry(code: Code, cpu: number, target: number): void {
  code.get(target).get(target).i64(12).op('i64.shr_u').op('i64.xor').op('i32.wrap_i64');
  code
    .i32(Arena.jumpEntries - 1)
    .op('i32.and')
    .i32(4)
    .op('i32.shl');
  code.get(cpu).memory('i32.load', Vcpu.offsets.arena).op('i32.add').i32(Arena.jumpCache).op('i32.add');
}

/**
 * dispatch(cpu, record, budget) → status: the inner loop, compiled code, and what these leave for functions and
 * look-ups.
 */
function writeDispatch(m: ModuleBuilder, core: Core, inner: FunctionBuilder, compiled: CompiledCode): void {
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
  const { code } = f;
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
  const clear = (field: 'trouble' | 'exceptionPending' | 'unwind' | 'callDepth'): void => {
    code.get(cpu).i32(0).memory('i32.store', Vcpu.offsets[field]);
  };
  const returnJump = (): void => {
    code.i32(status.jump).return();
  };

  code.get(cpu).memory('i32.load', Vcpu.offsets.arena).set(arena);
  code.get(arena).memory('i32.load', header('tier')).i32(tierCode.jit).op('i32.eq').set(forced);
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
  clear('callDepth');
  code.get(cpu).get(record).memory('i32.load', Entry.offsets.label);
  code.get(record).memory('i32.load', Entry.offsets.link).callIndirect(compiled.like, compiled.table).set(result);
  code.get(arena).get(arena).memory('i64.load', header('compiledRetired')).get(budget);
  loadBudget();
  code.get(budget).op('i32.sub').op('i64.extend_i32_u').op('i64.add').memory('i64.store', header('compiledRetired'));
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
  returnJump();
  code.end();
  code.get(cpu).call(compiled.probe).tee(found).op('i32.eqz').if();
  code.get(cpu).call(core.lookup).tee(found).op('i32.eqz').if();
  returnJump();
  code.end().end();
  code.get(found).set(record);
  isCompiled();
  code.brIf(again).br(next).end();
  code.get(cpu).memory('i32.load', Vcpu.offsets.record).set(record);
  is(compiledExit.apart);
  code.if();
  // The instruction starts over, by its function: what its fast path met is forgotten.
  clear('trouble');
  clear('exceptionPending');
  code.br(apart).end();
  is(compiledExit.short);
  code.if().i32(0).set(forced).br(next).end();
  code.get(result).i32(compiledExit.status).op('i32.sub').set(result).br(done);
  code.end().end();

  // All is to be compiled: ask, unless that has been declined, or a single step has begun already.
  code.get(forced).get(budget).i32(1).op('i32.gt_u').op('i32.and').if();
  code.get(record).memory('i32.load16_u', Record.offsets.form).i32(pseudoForm.count).op('i32.ge_u').if();
  code
    .get(record)
    .memory('i32.load8_u', Record.offsets.flags)
    .i32(recordFlags.declined)
    .op('i32.and')
    .op('i32.eqz')
    .if();
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
  code.i32(1).get(left).get(forced).op('select').set(kept);
  code.get(budget).get(kept).op('i32.lt_u').if();
  code.get(budget).set(kept).end();
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
  is(status.jump);
  code.if();
  // Events may have become due by a far transfer; a near one goes on here.
  returnJump();
  code.end();
  // sync and exit go on at the next instruction.
  code.get(cpu);
  pushRip(f, cpu, record);
  code.get(record).memory('i64.load8_u', Record.offsets.length).op('i64.add');
  code.call(core.wrapIp);
  code.get(result).return();
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
