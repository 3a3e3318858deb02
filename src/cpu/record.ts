/**
 * A decoded instruction: 32 bytes in the executor's arena. Derived state: it can be thrown away at any time.
 * Written by `core/decode.ts`, read by the interpreter's handlers, the evaluator and the compiler.
 */
import { struct } from '../base/struct.ts';

export const Record = struct('Record', 1, {
  /** Index of the form (mnemonic × operand shape × size) that executes it. */
  form: 'u16',
  /** Offset of the first byte in its page, 0…4095. */
  offset: 'u16',
  /** Slot (byte offset in Vcpu) of the register named by ModRM.rm or by the opcode's low bits. */
  rm: 'u16',
  /** Slot of the register named by ModRM.reg (also segment, control and debug register numbers, unscaled). */
  reg: 'u16',
  /** Slot of the base register of a memory operand (`zero`, `ripBase` where there is none). */
  base: 'u16',
  /** Slot of the index register. */
  index: 'u16',
  /** Shift of the index, 0…3. */
  scale: 'u8',
  /** Bytes of the instruction, 1…15. */
  length: 'u8',
  /** Segment of the memory operand: 0…5 as in Vcpu.segBase. */
  segment: 'u8',
  /** See {@link recordFlags}. */
  flags: 'u8',
  /** Displacement of the memory operand (RIP-relative: already includes the offset in page and the length). */
  displacement: 'i32',
  /**
   * Relative branches: address of the record of the target in the same page, or 0 while not linked, or 1: never. Indirect
   * calls: the lower half of the RIP that they led to when they were last interpreted, or 0. Others: bits of
   * {@link recordLink}, and in the second byte how often compiled code has left because of their accesses.
   */
  link: 'u32',
  /** Immediate, extended to 64 bits as the instruction says; relative branches: the displacement; x87: the opcode. */
  immediate: 'i64',
});

/** Bits of `Record.link` of instructions that are no transfers: what the compiler is to know of their memory accesses. */
export const recordLink = {
  /** One has strayed from the page that its block knew (`jit/known-pages.ts`). */
  strayed: 1,
  /** The TLB does not know them so often that the core is to be asked, rather than that the code is left. */
  missesOften: 2,
} as const;

/** Bits of Record.flags. */
export const recordFlags = {
  /** Address size: 0 = 16, 1 = 32, 2 = 64 bits (two bits). */
  addressSize: 3,
  lock: 4,
  /** F3 prefix on a string instruction (REP, REPE). */
  rep: 8,
  /** F2 prefix on a string instruction (REPNE). */
  repne: 16,
  /** A REX prefix was there. */
  rex: 32,
  /** The compiler has declined a region that begins here. */
  declined: 64,
  /** An entry of compiled code stands for it. */
  entered: 128,
} as const;
