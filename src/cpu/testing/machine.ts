/** The machine that runs a case: what each tier implements (`tiers.ts` makes one). */
import type { TranslationLink } from '../jit/translation-link.ts';
import type { Row } from '../isa/row.ts';
import type { CaseEnd, CpuCase } from './cases.ts';

/** How the run of a case stopped. */
export type RunResult =
  /** Where the case says. */
  | { readonly kind: 'ended' }
  /** An exception, with nothing delivered: only when `stopAtException` was given. */
  | { readonly kind: 'exception'; readonly vector: number; readonly error?: number; readonly cr2?: bigint }
  /** More instructions than allowed. */
  | { readonly kind: 'limit' }
  /** Triple fault or the like; the reason names the first exception if the machine knows it. */
  | { readonly kind: 'failed'; readonly reason: string };

export interface RunOptions {
  readonly maxInstructions: number;
  /** Stop at the first exception, before it is delivered; software interrupts are delivered all the same. */
  readonly stopAtException: boolean;
}

/**
 * One virtual CPU with memory, loaded anew for each case. The contract:
 *
 * - `load` puts the machine into the case's start state and forgets everything of the case before: memory is what
 *   `mem` and `zero` name (`mem` over `zero`; the rest reads 0 or doesn't exist), registers that aren't named are 0,
 *   flags 2, the FPU as after FNINIT (`x87Start` gives its state), MXCSR 0x1F80.
 * - Control registers have what the mode needs, and CR0.NE, CR4.OSFXSR and CR4.OSXMMEXCPT set, so that x87 and SSE
 *   work; a case that names `cr0` or `cr4` gets the named bits and those that its mode can't do without.
 * - Modes: `real` with segment bases 16 × selector and limits FFFF; `protected16` and `protected32` with flat 4 GiB
 *   segments of that size, code readable, data writable, privilege as `cpl`; `long64` with 64-bit code. Paging is on
 *   when `mappedPages` gives pages, identity-mapped by them; NX is enabled. The tables may lie anywhere the case
 *   doesn't name.
 * - Ports that nothing answers read all ones. Interrupts don't come from outside.
 * - `steps` counts instructions; a repeated string instruction is one, however many iterations it makes.
 * - An exception that is delivered uses the case's own vector table; its delivery belongs to the instruction's step.
 * - HLT ends a case that ends at `hlt`, with RIP behind it. In other cases, too: as `failed`.
 */
export interface CaseMachine {
  load(c: CpuCase): void;
  run(end: CaseEnd, options: RunOptions): RunResult;
  /** Any register name of the format; of the 16-, 32- and 64-bit names each gives its part. `ftw` is the full word. */
  readReg(name: string): bigint;
  /** `xmm0`, `ymm0`, `mm0`, `st0` (from the top), `r0` (physical): bytes, low one first. */
  readVec(name: string): Uint8Array;
  /** Bytes at a linear address, whatever the page rights; memory that doesn't exist reads 0. */
  readMem(address: number, length: number): Uint8Array;
}

export const TIERS = ['interpreter', 'jit', 'evaluator'] as const;
export type Tier = (typeof TIERS)[number];

/** EAX, EBX, ECX and EDX of a CPUID leaf: the CPU model, which belongs to the machine and not to the CPU. */
export type Cpuid = (leaf: number, subleaf: number) => readonly [number, number, number, number];

/** Is told of each instruction that the evaluator tier runs, before it does: its bytes, and the size of the code. */
export type InstructionObserver = (bytes: Uint8Array, mode: 16 | 32 | 64) => void;

export interface TierOptions {
  /** Takes what the core logs; the codes stand in `core/machine.ts`. */
  readonly log?: (code: number, a: bigint, b: bigint) => void;
  /** Of the evaluator tier. */
  readonly observe?: InstructionObserver;
  /** Of the jit tier: compiled code checks its invariants at each block. */
  readonly debugCompiled?: boolean;
  /** The instruction table that `core` was made from; the project's when absent. */
  readonly table?: readonly Row[];
  /** Where the jit tier has code translated; in place when absent. */
  readonly translation?: TranslationLink;
}
