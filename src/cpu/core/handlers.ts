/** The generated half of the core (`cpu/interpreter/generate.ts`), linked by wasm-merge. */

/** Runs records until a status other than ok; Vcpu.budget and Vcpu.rip are exact then. */
// @ts-ignore: decorator
@external('handlers', 'dispatch')
export declare function dispatch(cpu: usize, record: usize, budget: u32): u32;

/** The record or entry at Vcpu.rip by the jump cache, with ripBase set; or 0. */
// @ts-ignore: decorator
@external('handlers', 'probe')
export declare function probe(cpu: usize): usize;

/** Copies the decode tables to an address. */
// @ts-ignore: decorator
@external('handlers', 'initTables')
export declare function initTables(address: usize): void;
