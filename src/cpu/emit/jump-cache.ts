/** How generated code finds other compiled code: the jump cache, and the type of its functions. */
import { Arena, JumpEntry } from '../arena.ts';
import { Record } from '../record.ts';
import { Vcpu } from '../state.ts';
import type { Code, FunctionBuilder, ModuleBuilder, ValueType } from '../../wasm/encoder.ts';

/**
 * A region's function: (cpu, label, depth) → compiledExit. `label` says where it is entered; `depth` is how many compiled
 * functions are active above it.
 */
export const compiledType: { readonly parameters: readonly ValueType[]; readonly results: readonly ValueType[] } = {
  parameters: ['i32', 'i32', 'i32'],
  results: ['i32'],
};

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
  code.get(target).get(target).i64(12).op('i64.shr_u').op('i64.xor').op('i32.wrap_i64');
  code
    .i32(Arena.jumpEntries - 1)
    .op('i32.and')
    .i32(4)
    .op('i32.shl');
  code.get(cpu).memory('i32.load', Vcpu.offsets.arena).op('i32.add').i32(Arena.jumpCache).op('i32.add');
  code.tee(entry).memory('i64.load', JumpEntry.offsets.rip).get(target).op('i64.eq').if();
  code.get(entry).memory('i32.load', JumpEntry.offsets.key);
  code.get(cpu).memory('i32.load', Vcpu.offsets.codeKey).op('i32.eq').if();
  code.get(entry).memory('i32.load', JumpEntry.offsets.record).set(record);
  code.get(cpu).get(target).get(record).memory('i64.load16_u', Record.offsets.offset).op('i64.sub');
  code.memory('i64.store', Vcpu.offsets.ripBase);
  found();
  code.end().end();
}

/** probe(cpu) → the record or entry at Vcpu.rip by the jump cache, with ripBase set; or 0. */
export function writeProbe(m: ModuleBuilder): FunctionBuilder {
  const probe = m.function('probe', ['i32'], ['i32']);
  const { code } = probe;
  const cpu = 0;
  const entry = probe.local('i32');
  const target = probe.local('i64');
  const record = probe.local('i32');
  code.get(cpu).memory('i64.load', Vcpu.offsets.rip).set(target);
  probeJumpCache(code, { cpu, target, entry, record }, () => code.get(record).return());
  code.i32(0);
  return probe;
}
