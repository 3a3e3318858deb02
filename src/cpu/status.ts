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
  /** Code waits to be compiled (`ArenaHeader.requests`). */
  compile: 4,
} as const;

/**
 * What a function of compiled code returns. State is in memory then, `Vcpu.budget` exact. From `status` on: the status
 * of the form's function that `Vcpu.record` names, which the code has called itself, as `status` + code.
 */
export const compiledExit = {
  /** Go on at Vcpu.rip: a function of the guest has returned, or control has come there otherwise. */
  go: 0,
  /** The instruction of Vcpu.record, counted already, is for its form's function. */
  apart: 1,
  /** Go on at Vcpu.record in the interpreter: the budget may end before the compiled code could stop. */
  short: 2,
  /** As go, but not from within a caller: code or its mapping has changed, or the interpreter is to go on. */
  unwind: 3,
  /** Within a function only: as go, by what is compiled there, if anything is. */
  follow: 4,
  /** As apart, because of an access that the TLB does not know. */
  missed: 5,
  /** As apart, because of an access that is not in the page that its block knows. */
  strayed: 6,
  status: 16,
} as const;

/** How compiled code tells the core of an access (`compiledRead`, `compiledWrite`), as one word. */
export const compiledAccess = {
  /** Bytes. */
  size: 0x3fff,
  /** What follows relies on all of the page being as the access, or writable too. */
  wholePage: 0x8000,
  writablePage: 0xc000,
} as const;

/** Which code runs (`ArenaHeader.tier`): the interpreter alone; compiled where hot; all compiled before it runs. */
export const tierCode = { interpreter: 0, auto: 1, jit: 2 } as const;
