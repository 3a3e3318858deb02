/**
 * What the core asks of the machine around it: the imports of `core.wasm`, module `machine`.
 * See docs/architecture.md, "The core", for what each means.
 */

// @ts-ignore: decorator
@external('machine', 'portRead')
export declare function portRead(port: i32, size: i32): i32;

// @ts-ignore: decorator
@external('machine', 'portWrite')
export declare function portWrite(port: i32, size: i32, value: i32): void;

// @ts-ignore: decorator
@external('machine', 'mmioRead')
export declare function mmioRead(physical: u64, size: u32): u32;

// @ts-ignore: decorator
@external('machine', 'mmioWrite')
export declare function mmioWrite(physical: u64, size: u32, value: u32): void;

/** Stores the u64 value at `resultAddress`; 0 when there is no such register. */
// @ts-ignore: decorator
@external('machine', 'msrRead')
export declare function msrRead(index: u32, resultAddress: usize): i32;

/** 0 when there is no such register, or it refuses the value. */
// @ts-ignore: decorator
@external('machine', 'msrWrite')
export declare function msrWrite(index: u32, value: u64): i32;

/** The highest-priority vector, which is now in service; −1 when none is left. */
// @ts-ignore: decorator
@external('machine', 'interruptAcknowledge')
export declare function interruptAcknowledge(): i32;

/** Stores EAX, EBX, ECX, EDX as four u32. */
// @ts-ignore: decorator
@external('machine', 'cpuid')
export declare function cpuidLeaf(leaf: u32, subleaf: u32, resultAddress: usize): void;

// @ts-ignore: decorator
@external('machine', 'setTaskPriority')
export declare function setTaskPriority(value: u32): void;

// @ts-ignore: decorator
@external('machine', 'log')
export declare function log(code: u32, a: u64, b: u64): void;

/** Codes of `log`, with the meanings of its arguments. The machine prints each combination once. */
/** a: eight bytes of code from the instruction on, the first in the lowest byte; b: RIP. */
export const LOG_UNKNOWN_OPCODE: u32 = 1;
/** a: index. */
export const LOG_UNKNOWN_MSR_READ: u32 = 2;
/** a: index, b: value. */
export const LOG_UNKNOWN_MSR_WRITE: u32 = 3;
/** a: vector of the exception that ended it, b: RIP. */
export const LOG_TRIPLE_FAULT: u32 = 4;
