/**
 * Generates the interpreter: `handlers.wasm`, with the dispatch loop, a function for each form that is not inline in
 * it, and the decode tables. It is linked with the AssemblyScript core by wasm-merge, so its imports are the core's
 * exports and the other way round.
 *
 *   dispatch(cpu, record, budget) → status
 *     runs records until a status other than ok. At every exit Vcpu.budget holds what is left, Vcpu.rip the
 *     instruction to run next (with status.fault: the one that faulted).
 *   initTables(address)   copies the decode tables there.
 *
 * Shape of the loop: a loop around one br_table whose cases are the hot forms; its default calls the form's function
 * through the table. Transfers meet in shared tails, which probe the jump cache.
 */
import { Arena, JumpEntry } from '../arena.ts';
import type { CompiledTable, Form } from '../isa/compile.ts';
import { pseudoForm } from '../isa/compile.ts';
import type { Helper } from '../isa/helpers.ts';
import { Record } from '../record.ts';
import { Vcpu } from '../state.ts';
import { status } from '../status.ts';
import type { FunctionBuilder, FunctionReference, ValueType } from '../../wasm/encoder.ts';
import { ModuleBuilder } from '../../wasm/encoder.ts';
import type { CoreCalls, Frame } from './builder.ts';
import { InterpreterBuilder } from './builder.ts';
import type { Fusion } from './fusion.ts';
import { fusionsOf, writeFusionTable } from './fusion.ts';
import { NotInline } from './values.ts';

export interface GeneratedInterpreter {
  readonly wasm: Uint8Array;
  /** Forms by their number in the tables (pseudo-forms have none). */
  readonly forms: readonly Form[];
  readonly inlineCount: number;
}

export interface InterpreterOptions {
  /** Most cases that the dispatch loop may have. */
  readonly inlineLimit?: number;
  /** Forms that could not be written are collected here instead of thrown, with their error. */
  readonly onError?: (form: Form, error: Error) => void;
}

interface Core extends CoreCalls {
  /** (cpu, rip i64): sets RIP, wrapped as the code size says. */
  wrapIp: FunctionReference;
  lookup: FunctionReference;
  linkTo: FunctionReference;
  undefinedInstruction: FunctionReference;
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
    undefinedInstruction: core('undefinedInstruction', ['i32', 'i32'], []),
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
    f: scratch, pool: new Map(), record: 1,
    loop: { budget: 2, target, fault: 0, next: 0, go: 0, link: 0 },
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
  const broken: Form[] = [];
  for (const form of compiled.forms) {
    try {
      const hot = form.row.hot === true && !form.general;
      if (hot && inline.length < (options.inlineLimit ?? 1600) && canInline(form, core)) inline.push(form);
      else apart.push(form);
    } catch (error) {
      if (!options.onError || !(error instanceof Error)) throw error;
      options.onError(form, error);
      broken.push(form);
    }
  }
  const functions: FunctionBuilder[] = [];
  const written: Form[] = [];
  for (const form of apart) {
    const f = m.function(form.name, ['i32', 'i32'], ['i32']);
    try {
      const builder = new InterpreterBuilder({ f, pool: new Map(), record: 1 }, core, form);
      builder.emit();
      f.code.i32(status.ok);
      functions.push(f);
      written.push(form);
    } catch (error) {
      if (!options.onError || !(error instanceof Error)) throw error;
      options.onError(form, error);
      broken.push(form);
      f.code.op('unreachable');
    }
  }
  const fusions = inline.flatMap(fusionsOf);
  const cases = inline.length + fusions.length;
  // Numbers: pseudo-forms, inline forms, fused pairs, then the functions; what could not be written is undefined.
  const numbers = new Map<number, number>();
  inline.forEach((form, k) => numbers.set(form.id, pseudoForm.count + k));
  written.forEach((form, k) => numbers.set(form.id, pseudoForm.count + cases + k));
  for (const form of broken) numbers.set(form.id, pseudoForm.undefined);
  const tables = compiled.tables.slice();
  const view = new DataView(tables.buffer);
  for (const place of compiled.formPlaces) {
    view.setUint16(place, numbers.get(view.getUint16(place, true)) ?? pseudoForm.undefined, true);
  }
  m.table(functions);
  writeDispatch(m, core, inline, fusions, functions);
  const forms = [...inline, ...fusions.map((f) => f.form), ...written];
  writeInitTables(m, writeFusionTable(tables, forms, inline, fusions));
  return { wasm: m.encode(), forms, inlineCount: cases };
}

function writeInitTables(m: ModuleBuilder, tables: Uint8Array): void {
  if (tables.length > Arena.tablesBytes) throw new Error(`decode tables of ${tables.length} bytes do not fit the arena`);
  const segment = m.data(tables);
  const f = m.function('initTables', ['i32'], []);
  f.code.get(0).i32(0).i32(tables.length).memoryInit(segment);
  m.exportFunction('initTables', f);
}

function writeDispatch(
  m: ModuleBuilder,
  core: Core,
  inline: readonly Form[],
  fusions: readonly Fusion[],
  functions: readonly FunctionBuilder[],
): void {
  const f = m.function('dispatch', ['i32', 'i32', 'i32'], ['i32']);
  const cpu = 0;
  const record = 1;
  const budget = 2;
  const result = f.local('i32');
  const entry = f.local('i32');
  const target = f.local('i64');
  const { code } = f;
  const pool = new Map<ValueType, number[]>();
  const cases = pseudoForm.count + inline.length + fusions.length;

  // Levels, from the outside: next (the loop), then the tails, then the cases.
  code.block();
  const leave = code.depth; // exits with `result` as status, RIP from the record
  code.loop();
  const next = code.depth;
  code.block();
  const fault = code.depth;
  code.block();
  const link = code.depth;
  code.block();
  const go = code.depth;
  code.block();
  const advance = code.depth;
  code.block();
  const apart = code.depth;
  for (let k = cases - 1; k >= 0; k--) code.block();
  const level = (k: number): number => apart + cases - k;
  // Budget, then the jump to the case.
  code.get(budget).op('i32.eqz').if().i32(status.ok).set(result).br(leave).end();
  code.get(budget).i32(1).op('i32.sub').set(budget);
  code.get(record).memory('i32.load16_u', Record.offsets.form);
  code.brTable(Array.from({ length: cases }, (_, k) => level(k)), apart);
  code.end();

  // Pseudo-forms are no instructions: they give the budget back.
  const uncount = (): void => {
    code.get(budget).i32(1).op('i32.add').set(budget);
  };
  const recordRip = (): void => {
    code.get(cpu).memory('i64.load', Vcpu.offsets.ripBase);
    code.get(record).memory('i64.load16_u', Record.offsets.offset).op('i64.add');
  };
  // Case stale: what was decoded here is gone. Look the code up by its RIP.
  uncount();
  code.get(cpu);
  recordRip();
  code.memory('i64.store', Vcpu.offsets.rip);
  code.get(cpu).call(core.lookup).tee(entry).op('i32.eqz').if();
  code.i32(status.jump).set(result);
  writeExit(f, cpu, budget, result);
  code.end();
  code.get(entry).set(record).br(next);
  code.end();
  // Case link: the block goes on in another one.
  uncount();
  code.get(record).memory('i32.load', Record.offsets.link).tee(entry).i32(1).op('i32.gt_u').if();
  code.get(entry).set(record).br(next).end();
  recordRip();
  code.set(target);
  code.get(entry).op('i32.eqz').brIf(link).br(go);
  code.end();
  // Case undefined: #UD.
  code.get(cpu).get(record).call(core.undefinedInstruction).br(fault);
  code.end();

  for (const form of inline) {
    const builder = new InterpreterBuilder({ f, pool, record, loop: { budget, target, fault, next, go, link } }, core, form);
    builder.emit();
    code.br(advance);
    code.end();
  }

  for (const { form, condition } of fusions) {
    const builder = new InterpreterBuilder({ f, pool, record, loop: { budget, target, fault, next, go, link } }, core, form);
    builder.emit();
    // The branch belongs to this case while the budget covers it and it is linked; its record is the next one.
    code.get(budget).op('i32.eqz').brIf(advance);
    builder.pushCondition(condition);
    code.if();
    code.get(record).memory('i32.load', Record.size + Record.offsets.link).tee(entry).i32(1).op('i32.le_u').brIf(advance);
    code.get(entry).set(record);
    code.else();
    code.get(record).i32(2 * Record.size).op('i32.add').set(record);
    code.end();
    code.get(budget).i32(1).op('i32.sub').set(budget).br(next);
    code.end();
  }

  // Default: a function of its own.
  code.get(cpu).get(record).memory('i32.store', Vcpu.offsets.record);
  code.get(cpu).get(budget).memory('i32.store', Vcpu.offsets.budget);
  code.get(cpu).get(record);
  code.get(record).memory('i32.load16_u', Record.offsets.form).i32(cases).op('i32.sub');
  const like = functions[0];
  if (!like) throw new Error('no form is written as a function');
  code.callIndirect(like).set(result);
  // A repeated string instruction counts each iteration.
  code.get(cpu).memory('i32.load', Vcpu.offsets.budget).set(budget);
  code.get(result).op('i32.eqz').brIf(advance);
  code.get(result).i32(status.fault).op('i32.eq').brIf(fault);
  // sync and exit go on at the next instruction; jump has set RIP itself.
  code.get(result).i32(status.jump).op('i32.ne').if();
  code.get(cpu);
  recordRip();
  code.get(record).memory('i64.load8_u', Record.offsets.length).op('i64.add');
  code.call(core.wrapIp);
  code.end();
  writeExit(f, cpu, budget, result);
  code.end();

  // advance: the next record of the block.
  code.get(record).i32(Record.size).op('i32.add').set(record).br(next);
  code.end();

  // go: to the RIP in `target`, by the jump cache.
  code.get(target).get(target).i64(12).op('i64.shr_u').op('i64.xor').op('i32.wrap_i64');
  code.i32(Arena.jumpEntries - 1).op('i32.and').i32(4).op('i32.shl');
  code.get(cpu).memory('i32.load', Vcpu.offsets.arena).op('i32.add').tee(entry);
  code.memory('i64.load', Arena.jumpCache + JumpEntry.offsets.rip).get(target).op('i64.eq').if();
  code.get(entry).memory('i32.load', Arena.jumpCache + JumpEntry.offsets.key);
  code.get(cpu).memory('i32.load', Vcpu.offsets.codeKey).op('i32.eq').if();
  code.get(entry).memory('i32.load', Arena.jumpCache + JumpEntry.offsets.record).set(record);
  code.get(cpu).get(target).get(record).memory('i64.load16_u', Record.offsets.offset).op('i64.sub');
  code.memory('i64.store', Vcpu.offsets.ripBase);
  code.br(next).end().end();
  code.get(cpu).get(target).memory('i64.store', Vcpu.offsets.rip);
  leaveWhenSpent(f, cpu, budget, result);
  code.get(cpu).call(core.lookup).tee(entry).op('i32.eqz').if();
  code.i32(status.jump).set(result);
  writeExit(f, cpu, budget, result);
  code.end();
  code.get(entry).set(record).br(next);
  code.end();

  // link: as go, within the page; the branch learns its target.
  code.get(cpu).get(target).memory('i64.store', Vcpu.offsets.rip);
  leaveWhenSpent(f, cpu, budget, result);
  code.get(cpu).get(record).call(core.linkTo).tee(entry).op('i32.eqz').if();
  code.i32(status.jump).set(result);
  writeExit(f, cpu, budget, result);
  code.end();
  code.get(entry).set(record).br(next);
  code.end();

  // fault: the instruction has not retired.
  code.get(budget).i32(1).op('i32.add').set(budget);
  code.i32(status.fault).set(result).br(leave);
  code.end();
  code.end();
  code.get(cpu);
  recordRip();
  code.memory('i64.store', Vcpu.offsets.rip);
  writeExit(f, cpu, budget, result);
  code.op('unreachable');
  m.exportFunction('dispatch', f);
}

/** Leaves before a look-up that the budget does not cover: its fault would belong to the next instruction. */
function leaveWhenSpent(f: FunctionBuilder, cpu: number, budget: number, result: number): void {
  f.code.get(budget).op('i32.eqz').if().i32(status.jump).set(result);
  writeExit(f, cpu, budget, result);
  f.code.end();
}

/** Stores the budget and returns `result`. */
function writeExit(f: FunctionBuilder, cpu: number, budget: number, result: number): void {
  f.code.get(cpu).get(budget).memory('i32.store', Vcpu.offsets.budget).get(result).return();
}
