/**
 * The machine state of one virtual CPU, declared once (see `base/struct.ts`). It lies in the guest's memory; the
 * core, the interpreter, compiled code, devices and snapshots all see it through this declaration.
 *
 * Register *slots*: the decoder names a register by its byte offset in this struct, so that a handler needs one
 * load to reach it. `zero` is never written; it stands in for an absent
 * base or index register. `ripBase` is the base register of RIP-relative operands: the RIP that corresponds to
 * offset 0 of the code page that is running (RIP = ripBase + offset of the instruction in its page).
 *
 * Arithmetic flags are lazy. Four words hold them, in a form that every condition reads without knowing the
 * operation (all are written by each flag-setting instruction, `flagCarry` alone being left by INC and DEC):
 *   ZF = flagResult == 0
 *   SF = (flagResult < 0) XOR (bit 31 of flagAux)         flagResult: i64, sign-extended from the operand size
 *   OF = flagOverflow < 0                                  i64, sign-extended from the operand size
 *   CF = flagCarry                                         0 or 1
 *   AF = bit 4 of flagAux
 *   PF = even parity of (flagResult XOR (flagAux >> 8)) & 0xFF
 * An instruction that loads flags outright (POPF, SAHF, IRET) chooses flagResult, and corrects SF and PF by flagAux.
 */
import { array, struct } from '../base/struct.ts';

export const Vcpu = struct('Vcpu', 1, {
  // What compiled code stores and loads most lies first, at the vCPU's address and so with the shortest displacements.
  ripBase: 'u64',
  /** Instruction pointer at the last exit (within CS); while code runs it is ripBase + the instruction's offset. */
  rip: 'u64',
  /**
   * Flags as compiled code leaves them to other compiled code (`emit/flag-kind.ts`): a kind and up to three values. 0,
   * and so wherever anything but compiled code runs: the lazy words below are right.
   */
  heldA: 'u64',
  heldB: 'u64',
  heldKind: 'u32',
  /** Instructions left in this slice; exact at exits and inside helpers (see `interpreter/`). */
  budget: 'u32',
  /** Record of the instruction at the last exit from the dispatch loop. */
  record: 'u32',
  heldC: 'u32',
  /** RAX RCX RDX RBX RSP RBP RSI RDI R8…R15. Upper halves are 0 outside of 64-bit code. */
  gpr: array('u64', 16),
  zero: 'u64',
  /** Segment bases by number: ES CS SS DS FS GS LDTR TR. */
  segBase: array('u64', 8),
  /** ZMM-sized room is not kept: xmm low halves, then the upper halves of YMM for the AVX level. */
  xmm: array('u64', 32),
  ymmHigh: array('u64', 32),
  /** x87 registers by physical number, 16 bytes each: significand u64, sign and exponent u16, zero. */
  st: array('u64', 16),

  flagResult: 'i64',
  flagOverflow: 'i64',
  flagCarry: 'u32',
  flagAux: 'u32',
  /** EFLAGS without the six arithmetic flags (those bits are 0 here): TF IF DF IOPL NT RF VM AC VIF VIP ID, bit 1. */
  eflags: 'u32',
  /** Current privilege level, 0…3. */
  cpl: 'u32',

  /** Selectors by number: ES CS SS DS FS GS LDTR TR. */
  segSelector: array('u16', 8),
  /** Limits in bytes (granularity applied), inclusive. */
  segLimit: array('u32', 8),
  /** Descriptor attributes: bits 0–7 the access byte (type, S, DPL, P), 8–11 AVL, L, D/B, G; bit 16: unusable (null). */
  segAttributes: array('u32', 8),
  gdtBase: 'u64',
  idtBase: 'u64',
  gdtLimit: 'u32',
  idtLimit: 'u32',

  cr0: 'u64',
  cr2: 'u64',
  cr3: 'u64',
  cr4: 'u64',
  cr8: 'u64',
  /** PAE paging: the page-directory-pointer entries as they were when CR3 was loaded (SDM vol. 3 §4.4.1). */
  pdpte: array('u64', 4),
  efer: 'u64',
  xcr0: 'u64',
  dr: array('u64', 8),

  fpuControl: 'u16',
  /** Status word without TOP (bits 11–13 are 0 here). */
  fpuStatus: 'u16',
  /** Bit n set: physical register n is in use (the abridged tag word of FXSAVE). */
  fpuTags: 'u16',
  /** Low three bits of the first opcode byte, then the ModRM byte: of the last unmasked exception, as `fpuDp`. */
  fpuOpcode: 'u16',
  fpuTop: 'u32',
  mxcsr: 'u32',
  /** RIP (EIP in legacy code, zero-extended) of the last x87 instruction that is no control instruction. */
  fpuIp: 'u64',
  /** Offset of the operand, and opcode (11 bits, see `fpuOpcode`), of the last one with an unmasked exception. */
  fpuDp: 'u64',

  msrStar: 'u64',
  msrLstar: 'u64',
  msrCstar: 'u64',
  msrSfmask: 'u64',
  msrKernelGsBase: 'u64',
  msrSysenterCs: 'u64',
  msrSysenterEsp: 'u64',
  msrSysenterEip: 'u64',
  msrPat: 'u64',
  msrApicBase: 'u64',
  msrTscAdjust: 'u64',
  msrTscAux: 'u64',
  msrTscDeadline: 'u64',
  msrMiscEnable: 'u64',
  msrFeatureControl: 'u64',
  msrMicrocode: 'u64',
  msrDebugControl: 'u64',
  msrMtrrDefType: 'u64',
  msrMtrrFixed: array('u64', 11),
  msrMtrrVariable: array('u64', 16),
  msrKvmWallClock: 'u64',
  msrKvmSystemTime: 'u64',
  msrKvmPvEoi: 'u64',
  msrSpare: array('u64', 16),

  /** Instructions retired since power-on; each REP iteration counts as one. */
  retired: 'u64',
  /** TSC = tscBase + (retired − tscRetired) × tscScale / 2^32: resynchronized at each slice, never backwards. */
  tscBase: 'u64',
  tscRetired: 'u64',
  tscScale: 'u64',
  /** State of the generator behind RDRAND and RDSEED (xorshift128+; seeded from the machine's seed). */
  randomState: array('u64', 2),

  /** Interrupt shadow: 1 while the instruction after STI or MOV SS may not be interrupted. */
  shadow: 'u32',
  /** 1 in the HLT state. */
  halted: 'u32',
  /** An interrupt controller has a vector for this vCPU (level; IF decides whether it is taken now). */
  interruptRequest: 'u32',
  nmiRequest: 'u32',
  nmiBlocked: 'u32',
  /** 1 after a triple fault: the machine resets or stops. */
  shutdown: 'u32',
  smiSpare: 'u32',
  /** Bits DR6 would get from a trap that awaits delivery at this instruction boundary (single step, breakpoints). */
  pendingDebug: 'u32',
  /** Nesting for double faults: vector being delivered + 1, or 0. */
  delivering: 'u32',

  /** A fault on its way: 1 when `exception*` below hold one that is to be delivered at `rip`. */
  exceptionPending: 'u32',
  exceptionVector: 'u32',
  exceptionError: 'u32',
  exceptionHasError: 'u32',
  exceptionCr2: 'u64',

  /** Length of the slice that runs, so that retired = value at start + (slice − budget). */
  slice: 'u32',
  exitReason: 'u32',
  exitArgument: 'u32',

  // What follows is derived from the above by `core/mode.ts`, never saved.
  /** Code identity beside the physical address; see `core/mode.ts`. */
  modeKey: 'u32',
  /** Epoch of the jump cache above the bits of the mode key: entries with another value are stale. */
  codeKey: 'u32',
  /** Address of the TLB set that accesses look at: that of `tlbFill`; with alignment checks one that stays empty. */
  tlb: 'u32',
  /** Address of the TLB set that translations go to: supervisor, user, or supervisor with EFLAGS.AC. */
  tlbFill: 'u32',
  /** Bit 0: x87 and MMX raise #NM; bit 1: SSE raises #NM; bit 2: SSE raises #UD. */
  fpuTrap: 'u32',
  /** Effective-address mask of the code's natural address size. */
  addressMask: 'u64',
  /** Stack-pointer mask by SS.B and long mode. */
  stackMask: 'u64',
  /** 1: an access that turns out to be MMIO may go through (the run loop steps one instruction). */
  deviceAccess: 'u32',
  /** A fault, or an MMIO access that must be repeated as a single step; tested after each slow path. */
  trouble: 'u32',
  /** A device or an instruction asks to evaluate events at the next instruction boundary. */
  attention: 'u32',
  lastExecutor: 'u32',
  /** Epochs of the jump cache, for supervisor and user code: bumped when a mapping of such code may have changed. */
  codeEpoch: 'u32',
  userCodeEpoch: 'u32',
  /** Where the executor's arena and the guest's frames lie: addresses in the guest's memory (see `arena.ts`). */
  arena: 'u32',
  /** End of the arena's record space. */
  arenaEnd: 'u32',
  /** Table of frames, u32 per 4 KiB of guest-physical space (`base/frame-entry.ts`). */
  frameTable: 'u32',
  frameCount: 'u32',
  /** Address of the first frame; (frame − framesBase) >> 12 indexes the code map. */
  framesBase: 'u32',
  /** Bytes of the frames. */
  frameBytes: 'u32',
  /** 1 when decoded code or its mapping changed: compiled code returns to the dispatch loop, with all of its callers. */
  unwind: 'u32',
  /** 1 when the instruction that ran last cast an interrupt shadow. */
  shadowFresh: 'u32',
  /** Set to 1 whenever the mode is computed at CPL 3, and so when user code begins to run; the executor clears it. */
  userRan: 'u32',
  /** An access that crosses pages or goes to a device is staged here: linear address, size, and 32 bytes. */
  bounceSize: 'u32',
  bounceLinear: 'u64',
  /** Guest-physical address of the last translation that found no RAM. */
  bouncePhysical: 'u64',
  bounce: array('u64', 4),
  /** 16-byte temporaries for values that do not fit a wasm local (80-bit floats, vector results of helpers). */
  scratch: array('u64', 64),
});
