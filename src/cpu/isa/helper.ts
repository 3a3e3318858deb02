/**
 * Core functions that semantics call by name: what is rare or tangled, and arithmetic that has no wasm operation.
 * Every tier calls the same function of `core.wasm`. The list is checked in, each with its reason, and short.
 *
 * `parameters` and `result` are wasm types; the vCPU's address is always passed first and is not listed. f80 values
 * and temporaries are passed as i32 addresses.
 *
 * kind:
 * - 'pure'   computes a value; cannot fault and touches no guest state but what its pointers name;
 * - 'fault'  may raise an exception (the builder tests for it after the call) and gives a value;
 * - 'status' is a whole instruction's tail: its result is a status of `core/status.ts` (continue, fault, jump, sync,
 *            exit); it must be the last thing the semantics does.
 * `whole`: the instruction's meaning lies in the helper (these are the "helpers outside the definitions", at most
 * 5 % of the rows); without it the helper is arithmetic that a definition uses.
 */
export interface Helper {
  readonly parameters: readonly ('i32' | 'i64')[];
  readonly result: 'i32' | 'i64' | 'none';
  readonly kind: 'pure' | 'fault' | 'status';
  readonly whole?: boolean;
  readonly reason: string;
}
