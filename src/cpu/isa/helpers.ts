import type { Helper } from './helper.ts';
import { fpHelpers } from './helpers-fp.ts';

export type { Helper } from './helper.ts';

const transfer = 'far transfers check descriptors, gates, privilege and stacks, and switch tasks';
const segmentLoad = 'descriptor checks of SDM vol. 3, chapter 5; the accessed bit';
const table = 'a descriptor-table register that other core functions cache';
const divide128 = '128-bit division has no wasm operation';
const processorRegister = 'reserved bits, what depends on them (paging, modes, TLBs), existence of the register';
const port = 'permission by IOPL and the TSS bitmap, then a VM exit to the bus';
const clock = 'the time-stamp counter is kept by the run loop; permission by CR4';

/** Integer and system helpers. Segment numbers as in Vcpu.segBase, sizes in bytes, selectors zero-extended. */
const systemHelpers = {
  farJump: { parameters: ['i32', 'i64', 'i32'], result: 'i32', kind: 'status', whole: true, reason: transfer },
  farCall: { parameters: ['i32', 'i64', 'i32', 'i64'], result: 'i32', kind: 'status', whole: true, reason: transfer },
  farReturn: { parameters: ['i32', 'i32'], result: 'i32', kind: 'status', whole: true, reason: transfer },
  interruptReturn: { parameters: ['i32'], result: 'i32', kind: 'status', whole: true, reason: transfer },
  /** vector, kind: 0 INT n, 1 INT3, 2 INTO, 3 INT1. */
  softwareInterrupt: { parameters: ['i32', 'i32'], result: 'i32', kind: 'status', whole: true, reason: transfer },
  syscall: { parameters: [], result: 'i32', kind: 'status', whole: true, reason: transfer },
  sysret: { parameters: ['i32'], result: 'i32', kind: 'status', whole: true, reason: transfer },
  sysenter: { parameters: [], result: 'i32', kind: 'status', whole: true, reason: transfer },
  sysexit: { parameters: ['i32'], result: 'i32', kind: 'status', whole: true, reason: transfer },

  /** segment, selector: MOV Sreg. SS opens an interrupt shadow. */
  loadSegment: { parameters: ['i32', 'i32'], result: 'i32', kind: 'status', reason: segmentLoad },
  /** segment, selector, stack pointer: POP Sreg. */
  popSegment: { parameters: ['i32', 'i32', 'i64'], result: 'i32', kind: 'status', reason: segmentLoad },
  /** As loadSegment for LDS …, which write more afterwards; no shadow. The result means nothing. */
  loadSegmentChecked: { parameters: ['i32', 'i32'], result: 'i32', kind: 'fault', reason: segmentLoad },
  loadLdt: { parameters: ['i32'], result: 'i32', kind: 'status', whole: true, reason: segmentLoad },
  loadTask: { parameters: ['i32'], result: 'i32', kind: 'status', whole: true, reason: segmentLoad },
  /** base, limit. */
  loadGdt: { parameters: ['i64', 'i32'], result: 'i32', kind: 'status', reason: table },
  loadIdt: { parameters: ['i64', 'i32'], result: 'i32', kind: 'status', reason: table },
  /** selector, kind: 0 LAR, 1 LSL, 2 VERR, 3 VERW. Bit 63: accessible; low half: rights or limit. May page-fault. */
  loadAccessRights: { parameters: ['i32', 'i32'], result: 'i64', kind: 'fault', reason: segmentLoad },

  /** number; number, value. */
  readControl: { parameters: ['i32'], result: 'i64', kind: 'fault', reason: processorRegister },
  writeControl: { parameters: ['i32', 'i64'], result: 'i32', kind: 'status', reason: processorRegister },
  readDebug: { parameters: ['i32'], result: 'i64', kind: 'fault', reason: processorRegister },
  writeDebug: { parameters: ['i32', 'i64'], result: 'i32', kind: 'status', reason: processorRegister },
  rdmsr: { parameters: [], result: 'i32', kind: 'status', whole: true, reason: processorRegister },
  wrmsr: { parameters: [], result: 'i32', kind: 'status', whole: true, reason: processorRegister },
  xgetbv: { parameters: [], result: 'i32', kind: 'status', whole: true, reason: processorRegister },
  xsetbv: { parameters: [], result: 'i32', kind: 'status', whole: true, reason: processorRegister },
  swapgs: {
    parameters: [],
    result: 'i32',
    kind: 'status',
    whole: true,
    reason: 'an MSR and a segment base trade places',
  },
  /** linear address. */
  invlpg: {
    parameters: ['i64'],
    result: 'i32',
    kind: 'status',
    whole: true,
    reason: 'acts on the TLBs, derived state',
  },
  cpuid: { parameters: [], result: 'i32', kind: 'status', whole: true, reason: 'the CPU model is data of the guest' },
  halt: { parameters: [], result: 'i32', kind: 'status', whole: true, reason: 'ends the slice' },

  /** New EFLAGS, size: what CPL and IOPL let through; the builder has popped it. Cannot fault. */
  popFlags: {
    parameters: ['i64', 'i32'],
    result: 'i32',
    kind: 'status',
    reason: 'rights by bit; events may become due',
  },
  /** 0 CLI, 1 STI. */
  setInterruptFlag: { parameters: ['i32'], result: 'i32', kind: 'status', reason: 'rights by IOPL; shadow; events' },
  /** 0 CLAC, 1 STAC. */
  setAlignmentCheck: { parameters: ['i32'], result: 'i32', kind: 'status', reason: 'SMAP: the TLB set in use changes' },

  rdtsc: { parameters: [], result: 'i64', kind: 'fault', reason: clock },
  rdpmc: { parameters: [], result: 'i64', kind: 'fault', whole: true, reason: clock },
  /** The next number of the generator in Vcpu.randomState. */
  random: { parameters: [], result: 'i64', kind: 'pure', reason: 'a generator whose state is saved with the guest' },

  /** port, size. */
  portIn: { parameters: ['i32', 'i32'], result: 'i32', kind: 'fault', reason: port },
  /** port, size, value. */
  portOut: { parameters: ['i32', 'i32', 'i32'], result: 'i32', kind: 'status', reason: port },
  /**
   * operation (0 MOVS, 1 STOS, 2 LODS, 3 SCAS, 4 CMPS, 5 INS, 6 OUTS), size, source segment, address size, repetition
   * (0 once: INS and OUTS only; 1 REP, REPE; 2 REPNE).
   */
  repString: {
    parameters: ['i32', 'i32', 'i32', 'i32', 'i32'],
    result: 'i32',
    kind: 'status',
    whole: true,
    reason: 'bulk moves by page, interruptible between elements; order of checks of port I/O',
  },
  /** stack size, bytes to allocate, nesting level (unmasked). */
  enter: {
    parameters: ['i32', 'i32', 'i32'],
    result: 'i32',
    kind: 'status',
    whole: true,
    reason: 'a loop over frames',
  },

  /** high, low, divisor; the caller has excluded a divisor of 0 and a quotient that does not fit. */
  div128QuotientU: { parameters: ['i64', 'i64', 'i64'], result: 'i64', kind: 'pure', reason: divide128 },
  div128QuotientS: { parameters: ['i64', 'i64', 'i64'], result: 'i64', kind: 'pure', reason: divide128 },
  /** signed (0, 1), high, low, divisor (not 0): 1 where the quotient does not fit 64 bits. */
  div128Overflow: { parameters: ['i32', 'i64', 'i64', 'i64'], result: 'i32', kind: 'pure', reason: divide128 },
} as const satisfies Record<string, Helper>;

export const helpers = { ...systemHelpers, ...fpHelpers } as const satisfies Record<string, Helper>;
export type HelperName = keyof typeof helpers;
