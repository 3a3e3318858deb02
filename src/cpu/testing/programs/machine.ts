/**
 * Runs programs on the core as user code (CPL 3) under paging. A small kernel stands around it: gates for all
 * exceptions that lead to a HLT each, so that this file sees every fault as the native harness sees signals, and IRET
 * behind the HLT, by which the program goes on. It is entered through LGDT, LIDT, LTR, FXRSTOR and IRET.
 */
import { abridgeTags } from '../cases.ts';
import type { CpuCase, MemoryRun } from '../cases.ts';
import type { CoreMachine } from '../core-machine.ts';
import type { Bits, Draft } from '../oracle/draft.ts';
import { REGION, REGISTER_NAMES } from '../oracle/draft.ts';
import { fromBytes, Random, toBytes } from '../oracle/random.ts';
import { WITH_ERROR_CODE } from '../oracle/record.ts';
import { FILLER } from './lower.ts';

/** The state where a program stopped: at a fault, or at its end. */
export interface Stop {
  readonly vector: number;
  readonly error: number;
  /** 0 unless it is a page fault. */
  readonly cr2: bigint;
  readonly rip: number;
  readonly regs: readonly bigint[];
  readonly flags: number;
  readonly mxcsr: number;
  readonly fcw: number;
  readonly fsw: number;
  /** Bit n: physical x87 register n is in use. */
  readonly tags: number;
  readonly xmm: readonly Uint8Array[];
  /** Physical x87 registers, 10 bytes each; of those that are not in use undefined. */
  readonly x87: readonly (Uint8Array | undefined)[];
  /** Hash of the data and code regions. */
  readonly memory: number;
}

export interface Outcome {
  readonly stops: readonly Stop[];
  /** Why there is no end, when there is none: too many instructions, or a triple fault. */
  readonly failure?: string;
  /** Instructions retired up to each stop, the kernel's with them; none on tiers that do not count alike. */
  readonly retired: readonly number[];
}

/**
 * How code runs. `interpreted`: in slices, between which some of it is asked for. `compiled`: what has been asked for in
 * one module, and what is met first beside it in another. `thoroughly`: in several more. `mixed`: in slices, between which
 * code is compiled wherever they end.
 */
export type Way = 'interpreted' | 'compiled' | 'thoroughly' | 'mixed';

export const PAGE_FAULT = 14;
const MOST_INSTRUCTIONS = 400_000;
/** Instructions of the kernel's entry, which are not worth a module. */
const ENTRY_INSTRUCTIONS = 7;
/** Modules of a compiled program, beside that of what was asked for: code that is written anew is compiled anew. */
const MODULES = { few: 1, many: 12 } as const;
/** Slices of interpreted programs: their most instructions, and the most after which code is asked for. */
const SLICE = { instructions: 60, asked: 12, compiled: 3 } as const;

const KERNEL = 0x3000_0000;
const at = {
  idt: KERNEL,
  gdt: KERNEL + 0x1000,
  tss: KERNEL + 0x1100,
  descriptors: KERNEL + 0x1200,
  frame: KERNEL + 0x1300,
  fx: KERNEL + 0x1400,
  selectors: KERNEL + 0x1600,
  entry: KERNEL + 0x2000,
  handlers: KERNEL + 0x2100,
  stack: KERNEL + 0x4000,
} as const;
const HANDLER_BYTES = 16;
const VECTORS = 32;
const SELECTOR = { kernelCode: 0x08, kernelData: 0x10, userCode: 0x1b, userData: 0x23, tss: 0x28 } as const;
const RESUME_FLAG = 0x10000;

/** As hash_memory of harness.c: 32-bit words of the data and the code region. */
export function hashMemory(regions: readonly Uint8Array[]): number {
  let hash = 0x811c9dc5 | 0;
  for (const bytes of regions) {
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    for (const word of words) hash = Math.imul(((hash << 5) | (hash >>> 27)) ^ word, 0x01000193);
  }
  return hash >>> 0;
}

const u16 = (value: number): number[] => [...toBytes(BigInt(value), 2)];
const u32 = (value: number): number[] => [...toBytes(BigInt(value), 4)];
const u64 = (value: bigint): number[] => [...toBytes(value, 8)];

function descriptor(access: number, flags: number): number[] {
  return [0xff, 0xff, 0, 0, 0, access, (flags << 4) | 0xf, 0];
}

function gate(bits: Bits, vector: number): number[] {
  const target = at.handlers + vector * HANDLER_BYTES;
  const access = 0x8e | (vector === 3 || vector === 4 ? 0x60 : 0);
  const low = [...u16(target & 0xffff), ...u16(SELECTOR.kernelCode), 0, access, ...u16(target >>> 16)];
  return bits === 64 ? [...low, 0, 0, 0, 0, 0, 0, 0, 0] : low;
}

/** HLT; the error code goes; IRET. */
function handler(bits: Bits, vector: number): number[] {
  const wide = bits === 64 ? [0x48] : [];
  const drop = WITH_ERROR_CODE.has(vector) ? [...wide, 0x83, 0xc4, bits / 8] : [];
  return [0xf4, ...drop, ...wide, 0xcf];
}

function kernel(bits: Bits, draft: Draft): MemoryRun[] {
  const long = bits === 64;
  const tssLimit = 0x67;
  const base = [(at.tss >> 16) & 0xff, 0x89, 0, (at.tss >>> 24) & 0xff];
  const tssDescriptor = [...u16(tssLimit), ...u16(at.tss & 0xffff), ...base, ...(long ? [0, 0, 0, 0, 0, 0, 0, 0] : [])];
  const flags = long ? 0xa : 0xc;
  const gdt = [
    ...u64(0n),
    ...descriptor(0x9b, flags),
    ...descriptor(0x93, 0xc),
    ...descriptor(0xfb, flags),
    ...descriptor(0xf3, 0xc),
    ...tssDescriptor,
  ];
  const tss = [...u32(0), ...(long ? u64(BigInt(at.stack)) : [...u32(at.stack), ...u32(SELECTOR.kernelData)])];
  while (tss.length < 0x66) tss.push(0);
  tss.push(...u16(tssLimit + 1));
  const pointer = (limit: number, to: number): number[] => [...u16(limit), ...(long ? u64(BigInt(to)) : u32(to))];
  const word = (value: bigint): number[] => (long ? u64(value) : [...toBytes(value, 4)]);
  const frame = [
    BigInt(draft.rip),
    BigInt(SELECTOR.userCode),
    BigInt(draft.flags),
    draft.reg(4),
    BigInt(SELECTOR.userData),
  ];
  const address = (reg: number, where: number): number[] =>
    (long ? [0x04 | (reg << 3), 0x25] : [0x05 | (reg << 3)]).concat(u32(where));
  const entry = [
    ...[0x0f, 0x01, ...address(2, at.descriptors)],
    ...[0x0f, 0x01, ...address(3, at.descriptors + 16)],
    ...[0x0f, 0x00, ...address(3, at.selectors)],
    ...[0x8e, ...address(3, at.selectors + 2)],
    ...[0x8e, ...address(0, at.selectors + 2)],
    ...[0x0f, 0xae, ...address(1, at.fx)],
    ...(long ? [0x48] : []),
    0xcf,
  ];
  const run = (address_: number, bytes: readonly number[] | Uint8Array): MemoryRun => ({
    address: address_,
    bytes: Uint8Array.from(bytes),
  });
  const vectors = Array.from({ length: VECTORS }, (_, n) => n);
  return [
    run(at.idt, new Uint8Array(0x1000)),
    run(at.idt, vectors.flatMap((n) => gate(bits, n))), // prettier-ignore
    run(at.gdt, new Uint8Array(0x1000)),
    run(at.gdt, gdt),
    run(at.tss, tss),
    run(at.descriptors, pointer(gdt.length - 1, at.gdt)),
    run(at.descriptors + 16, pointer(long ? 0xfff : 0x7ff, at.idt)),
    run(at.frame, frame.flatMap((value) => word(value))), // prettier-ignore
    run(at.fx, draft.fxImage()),
    run(at.selectors, [...u16(SELECTOR.tss), ...u16(SELECTOR.userData)]),
    run(at.entry, new Uint8Array(0x1000)),
    run(at.entry, entry),
    ...vectors.map((n) => run(at.handlers + n * HANDLER_BYTES, handler(bits, n))),
    run(at.stack - 0x1000, new Uint8Array(0x1000)),
  ];
}

/** The case that enters a program. */
function entryCase(draft: Draft): CpuCase {
  const { bits } = draft;
  const prefix = bits === 64 ? 'r' : 'e';
  const regs: Record<string, bigint> = { cs: BigInt(SELECTOR.kernelCode), ss: BigInt(SELECTOR.kernelData) };
  draft.regs.forEach((value, n) => (regs[REGISTER_NAMES[bits][n] ?? ''] = value));
  regs[`${prefix}sp`] = BigInt(at.frame);
  regs[`${prefix}ip`] = BigInt(at.entry);
  const rights = (text: string) => ({ r: true, w: text.includes('w'), x: text.includes('x'), u: text.includes('u') });
  const page = ({ base, size }: { base: number; size: number }, text: string) => ({
    address: base,
    length: size,
    rights: rights(text),
  });
  const code = new Uint8Array(REGION.code.size).fill(FILLER);
  return {
    name: 'program',
    asm: '',
    mode: bits === 64 ? 'long64' : 'protected32',
    cpl: 0,
    pages: [
      page(REGION.data, 'wu'),
      page(REGION.readonly, 'u'),
      page(REGION.code, 'wxu'),
      page({ base: KERNEL, size: 0x4000 }, 'wx'),
    ],
    regs,
    vec: {},
    mem: [
      { address: REGION.data.base, bytes: new Uint8Array(REGION.data.size) },
      { address: REGION.code.base, bytes: code },
      ...draft.windows,
      ...kernel(bits, draft),
    ],
    zero: [[REGION.readonly.base, REGION.readonly.size]],
    end: { kind: 'hlt' },
    expect: { regs: {}, vec: {}, mem: [], exception: undefined },
    flagsMask: 0xffffffffn,
    takesException: undefined,
    tagForm: 'abridged',
  };
}

/** A core machine that runs programs. */
export class ProgramMachine {
  private readonly machine: CoreMachine;
  private draft: Draft | undefined;

  constructor(machine: CoreMachine) {
    this.machine = machine;
  }

  load(draft: Draft): void {
    this.draft = draft;
    this.machine.load(entryCase(draft));
  }

  /** Runs what is loaded from its start, with the code decoded and compiled that earlier runs left. */
  run(way: Way): Outcome {
    const { machine, draft } = this;
    if (!draft) throw new Error('no program is loaded');
    const compiles = way === 'compiled' || way === 'thoroughly';
    if (compiles) machine.compileAsked();
    machine.restart();
    const random = new Random(`slices/${draft.rip}`);
    const start = machine.retired;
    const stops: Stop[] = [];
    const retired: number[] = [];
    if (compiles) {
      machine.run({ kind: 'hlt' }, { maxInstructions: ENTRY_INSTRUCTIONS, stopAtException: false });
      machine.compileBefore(way === 'compiled' ? MODULES.few : MODULES.many);
    }
    const resumes = new Map(draft.resumes.toReversed());
    let asked = 0;
    for (;;) {
      const left = MOST_INSTRUCTIONS - (machine.retired - start);
      if (left <= 0) return { stops, retired, failure: 'too many instructions' };
      const length = compiles ? left : 1 + random.below(SLICE.instructions);
      const result = machine.run({ kind: 'hlt' }, { maxInstructions: length, stopAtException: false });
      if (result.kind === 'limit') {
        if (!compiles && asked < SLICE.asked && random.chance(0.5)) {
          machine.askHere();
          asked++;
          if (way === 'mixed' && asked % (SLICE.asked / SLICE.compiled) === 0) machine.compileAsked();
        }
        continue;
      }
      if (result.kind !== 'ended')
        return { stops, retired, failure: result.kind === 'failed' ? result.reason : result.kind };
      retired.push(machine.retired - start);
      const { stop, frame } = this.stop(draft);
      stops.push(stop);
      const to = resumes.get(stop.rip);
      if (to === undefined || stops.length >= draft.stopLimit) return { stops, retired };
      machine.deviceWrite(frame, toBytes(BigInt(to), draft.bits / 8));
      machine.wake();
    }
  }

  /** Memory of the data and the code region. */
  memory(): readonly Uint8Array[] {
    return [REGION.data, REGION.code].map(({ base, size }) => this.machine.readMem(base, size));
  }

  /** What the kernel's stack and the registers say, and where the stack holds RIP. */
  private stop(draft: Draft): { stop: Stop; frame: number } {
    const { machine } = this;
    const { bits } = draft;
    const prefix = bits === 64 ? 'r' : 'e';
    const word = bits / 8;
    const rip = Number(machine.readReg(`${prefix}ip`)) - 1;
    const vector = (rip - at.handlers) / HANDLER_BYTES;
    const sp = Number(machine.readReg(`${prefix}sp`));
    const hasError = WITH_ERROR_CODE.has(vector);
    const frame = hasError ? sp + word : sp;
    const read = (from: number): bigint => fromBytes(machine.readMem(from, word));
    const regs = REGISTER_NAMES[bits].map((name) => machine.readReg(name));
    regs[4] = read(frame + 3 * word);
    const tags = abridgeTags(Number(machine.readReg('ftw')));
    const stop: Stop = {
      vector,
      error: hasError ? Number(read(sp)) : 0,
      cr2: vector === PAGE_FAULT ? machine.readReg('cr2') : 0n,
      rip: Number(read(frame)),
      regs,
      flags: Number(read(frame + 2 * word)) & ~RESUME_FLAG,
      mxcsr: Number(machine.readReg('mxcsr')),
      fcw: Number(machine.readReg('fcw')),
      fsw: Number(machine.readReg('fsw')),
      tags,
      xmm: Array.from({ length: bits === 64 ? 16 : 8 }, (_, n) => machine.readVec(`xmm${n}`)),
      x87: Array.from({ length: 8 }, (_, n) => ((tags >> n) & 1 ? machine.readVec(`r${n}`) : undefined)),
      memory: hashMemory(this.memory()),
    };
    return { stop, frame };
  }
}
