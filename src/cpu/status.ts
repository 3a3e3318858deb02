/** How an instruction, a helper or the dispatch loop ended. One definition for the core, the handlers and the tiers. */
export const status = {
  /** Go on with the next instruction. (As end of the dispatch loop: the budget is used up.) */
  ok: 0,
  /** An exception is pending at this instruction, which has not retired and left no trace. */
  fault: 1,
  /** Retired; Vcpu.rip holds the target: look it up, after events have been evaluated. */
  jump: 2,
  /** Retired; go on at the next instruction, but evaluate events and mode first. */
  sync: 3,
  /** Retired; Vcpu.exitReason tells what the machine must do before the next instruction. */
  exit: 4,
} as const;

/** Why the core returns to its executor: the VM exits. */
export const exitReason = {
  /** The slice's budget is used up. */
  budget: 0,
  /** HLT with nothing pending. */
  halt: 1,
  /** Triple fault: shutdown. */
  shutdown: 2,
  /** A device asked to stop the slice (power-off, reset, debug exit). */
  request: 3,
} as const;
