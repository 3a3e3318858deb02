/** Functions of the core that generated code calls: their types, once, and how a module imports them. */
import type { Helper } from '../isa/helper.ts';
import type { FunctionReference, ModuleBuilder, ValueType } from '../../wasm/encoder.ts';

type Signature = readonly [parameters: readonly ValueType[], results: readonly ValueType[]];

/** The vCPU's address comes first everywhere but in `wrapOffset`. */
const coreFunctions = {
  /** (cpu, linear, size) → host address; 0: trouble. `commitWrite` carries a staged write out. */
  slowRead: [['i32', 'i64', 'i32'], ['i32']],
  slowWrite: [['i32', 'i64', 'i32'], ['i32']],
  commitWrite: [['i32'], []],
  /** The same for compiled code; 0: the interpreter has to do the whole instruction. */
  compiledRead: [['i32', 'i64', 'i32', 'i32'], ['i32']],
  compiledWrite: [['i32', 'i64', 'i32', 'i32'], ['i32']],
  /** (cpu, record) → effective address of the memory operand. */
  operandOffset: [['i32', 'i32'], ['i64']],
  /** (record, offset) → the offset, wrapped at the record's address size. */
  wrapOffset: [['i32', 'i64'], ['i64']],
  /** (cpu, segment, offset, size, write) → linear address; faults by `trouble`. */
  segmentLinear: [['i32', 'i32', 'i64', 'i32', 'i32'], ['i64']],
  /** (cpu, segment, offset) → linear address without any check. */
  segmentBase: [['i32', 'i32', 'i64'], ['i64']],
  /** (cpu, linear, size): faults by `trouble` as a write would. */
  probeWrite: [['i32', 'i64', 'i32'], []],
  raise: [['i32', 'i32', 'i32'], []],
  raiseNoError: [['i32', 'i32'], []],
  /** (cpu, rip): sets RIP, wrapped as the code size says. */
  wrapIp: [['i32', 'i64'], []],
  /** (cpu) and (cpu, record) → the record to go on at; 0: an exception is pending. */
  lookup: [['i32'], ['i32']],
  linkTo: [['i32', 'i32'], ['i32']],
  relink: [['i32', 'i32'], ['i32']],
  resume: [['i32'], ['i32']],
  undefinedInstruction: [['i32', 'i32'], []],
  /** (cpu, record) → not 0: the record's code is on the list to be compiled. */
  request: [['i32', 'i32'], ['i32']],
  missed: [['i32'], []],
  strayed: [['i32'], []],
  /** (cpu, record): the profile; not 0: leave. */
  sample: [['i32', 'i32'], ['i32']],
  /** (cpu): the lazy words from the flags that the vCPU holds by a kind (`flag-kind.ts`), if it does. */
  settleFlags: [['i32'], []],
  /** (cpu, kind, a, b, c) → CF of flags that are held so; of kind 0, of those of the vCPU. */
  heldCarry: [['i32', 'i32', 'i64', 'i64', 'i32'], ['i32']],
  /** (cpu, depth, rip) → compiledExit: what is compiled there, if anything is; Vcpu.rip is set first. Depth: of calls. */
  callCompiled: [['i32', 'i32', 'i64'], ['i32']],
  returnedElsewhere: [['i32', 'i32', 'i64'], ['i32']],
  /** (cpu, record, rip): a computed jump leaves compiled code. */
  noteJump: [['i32', 'i32', 'i64'], []],
  secondPageHolds: [['i32', 'i32'], ['i32']],
  fetchesFrom: [['i32', 'i64', 'i32'], ['i32']],
  /** (cpu, record) → status: the instruction by its form's function. Flags may be held. */
  runForm: [['i32', 'i32'], ['i32']],
} as const satisfies Record<string, Signature>;

export type CoreFunction = keyof typeof coreFunctions;

export interface HelperReference {
  readonly reference: FunctionReference;
  readonly parameters: readonly ('i32' | 'i64')[];
  readonly result: 'i32' | 'i64' | 'none';
  readonly kind: 'pure' | 'fault' | 'status';
}

/** Core functions that a module may call, and helpers of `isa/helpers.ts`. */
export type Calls<Names extends CoreFunction> = Readonly<Record<Names, FunctionReference>> & {
  helper(name: string): HelperReference;
};

/** Imports the guest's memory, core functions, and the helpers with these names (all when absent). */
export function importCore<Names extends CoreFunction>(
  m: ModuleBuilder,
  functions: readonly Names[],
  helpers: Readonly<Record<string, Helper>>,
  helperNames: Iterable<string> = Object.keys(helpers),
): Calls<Names> {
  m.importMemory('core', 'memory', { minimum: 1, maximum: 65536, shared: true });
  const references = new Map<string, HelperReference>();
  for (const name of helperNames) {
    const helper = helpers[name];
    if (!helper) throw new Error(`helper ${name} is not declared in isa/helpers.ts`);
    const { parameters, result, kind } = helper;
    const reference = m.importFunction('core', name, ['i32', ...parameters], result === 'none' ? [] : [result]);
    references.set(name, { reference, parameters, result, kind });
  }
  const imported: Partial<Record<Names, FunctionReference>> = {};
  for (const name of functions) {
    const [parameters, results]: Signature = coreFunctions[name];
    imported[name] = m.importFunction('core', name, parameters, results);
  }
  return {
    ...(imported as Record<Names, FunctionReference>),
    helper(name) {
      const reference = references.get(name);
      if (!reference) throw new Error(`helper ${name} was not imported`);
      return reference;
    },
  };
}
