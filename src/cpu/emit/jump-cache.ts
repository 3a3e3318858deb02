/** How emitted code finds a RIP in the jump cache (`Arena.jumpCache`). */
import { Arena, JumpEntry } from '../arena.ts';
import { Vcpu } from '../state.ts';
import type { Code } from '../../wasm/encoder.ts';

/** Finds the RIP in `target` in the jump cache; what `found` writes runs with its place in `entry`. */
export function findJump(
  code: Code,
  locals: { readonly target: number; readonly entry: number },
  pushCpu: () => Code,
  found: () => void,
): void {
  const { target, entry } = locals;
  code.get(target).get(target).i64(12).op('i64.shr_u').op('i64.xor').op('i32.wrap_i64');
  code
    .i32(Arena.jumpEntries - 1)
    .op('i32.and')
    .i32(Arena.jumpEntryBytes)
    .op('i32.mul');
  pushCpu().memory('i32.load', Vcpu.offsets.arena).op('i32.add').i32(Arena.jumpCache).op('i32.add');
  code.tee(entry).memory('i64.load', JumpEntry.offsets.rip).get(target).op('i64.eq').if();
  code.get(entry).memory('i32.load', JumpEntry.offsets.key);
  pushCpu().memory('i32.load', Vcpu.offsets.codeKey).op('i32.eq').if();
  found();
  code.end().end();
}
