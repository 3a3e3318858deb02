/**
 * Cases on `core.wasm`: the interpreter tier runs its dispatch loop; the evaluator tier decodes with the core, computes
 * with the plain-TypeScript evaluator, and calls the core for memory, helpers and events.
 */
import { Arena, ArenaHeader } from '../arena.ts';
import { compileTable } from '../isa/compile.ts';
import type { Form } from '../isa/compile.ts';
import { helpers } from '../isa/helpers.ts';
import { instructionTable } from '../isa/table.ts';
import { generateInterpreter } from '../interpreter/generate.ts';
import { recordFlags } from '../record.ts';
import { pseudoForm } from '../isa/compile.ts';
import type { CompilerCore } from '../jit/compiler.ts';
import { Compiler } from '../jit/compiler.ts';
import { formTable } from '../jit/form-table.ts';
import { Vcpu } from '../state.ts';
import { exitReason, status, tierCode } from '../status.ts';
import type { CaseEnd, CpuCase } from './cases.ts';
import { abridgeTags, mappedPages, x87Start } from './cases.ts';
import type { EvaluatorEnvironment } from './evaluator.ts';
import { evaluate } from './evaluator.ts';
import type { CaseMachine, Cpuid, InstructionObserver, RunOptions, RunResult, Tier, TierOptions } from './machine.ts';
import { RecordCursor, resolveRecord } from './resolve.ts';

type Call = (...args: (number | bigint)[]) => number | bigint | undefined;

/** The exports of `core.wasm` that are called here by name. */
type Core = Readonly<globalThis.Record<string, Call>>;

const layout = {
  cpu: 0x1000,
  frameTable: 0x10000,
  frameCount: 0x100000,
  arena: 0x10000 + 0x100000 * 4,
  recordBytes: 0x100000,
  frames: 1024,
} as const;
const framesBase =
  Math.ceil((layout.arena + Arena.codeMap + layout.frames * 16 + 64 + layout.recordBytes) / 65536) * 65536;
const totalPages = framesBase / 65536 + (layout.frames * 4096) / 65536;

const registerNames = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
const segmentNames = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
/** Guest-physical place of page tables: far above what cases name. */
const tablesAt = 0xf0000000;

const attributes = {
  present: 0x80,
  segment: 0x10,
  code: 0xb,
  data: 0x3,
  big: 0x400,
  long: 0x200,
  granular: 0x800,
} as const;

/** A case machine with what stands around a processor: devices that write memory, and the NMI line. */
export interface CoreMachine extends CaseMachine {
  /** The machine's memory, where its vCPU lies in it, and the core's exports: for tests of the core's parts. */
  readonly memory: WebAssembly.Memory;
  readonly buffer: ArrayBufferLike;
  readonly cpu: number;
  call(name: string, ...args: (number | bigint)[]): number | bigint | undefined;
  /** Of the jit tier. */
  readonly compiler: Compiler | undefined;
  /** Writes guest-physical memory (within one page) as a device does: the core is told of it. */
  deviceWrite(address: number, bytes: Uint8Array): void;
  raiseNmi(): void;
  /** Leaves the HLT state, as an interrupt does. */
  wake(): void;
  /**
   * The loaded case's start state once more. Code stays decoded and compiled, and runs as it is, compiled or not; what
   * the last run wrote goes back as a device writes it.
   */
  restart(): void;
  /** From now on code is compiled before it runs, in so many modules at most. */
  compileBefore(modules: number): void;
  /** Asks for the code at the instruction pointer to be compiled, as the profile does; of the jit tier only. */
  askHere(): void;
  /** Compiles all that was asked for, in one module. */
  compileAsked(): void;
  /** Instructions retired since the case was loaded; each iteration of a repeated string instruction is one. */
  readonly retired: number;
}

export function createCoreMachine(
  tier: Tier,
  module: WebAssembly.Module,
  cpuid: Cpuid,
  options: TierOptions = {},
): CoreMachine {
  return new CoreCaseMachine(tier, module, cpuid, options);
}

class CoreCaseMachine implements CoreMachine {
  private readonly core: Core;
  readonly memory: WebAssembly.Memory;
  readonly buffer: ArrayBufferLike;
  readonly cpu = layout.cpu;
  private readonly vcpu: ReturnType<typeof Vcpu.at>;
  private readonly frameTable: Uint32Array;
  private readonly bytes: Uint8Array;
  private readonly tier: Tier;
  private readonly observe: InstructionObserver | undefined;
  private readonly forms: readonly Form[];
  private readonly environment: EvaluatorEnvironment;
  readonly compiler: Compiler | undefined;
  private readonly record: RecordCursor;
  /** Pages in use, guest-physical. */
  private pages: number[] = [];
  private loaded: CpuCase | undefined;
  /** Modules that are made before all runs as it is. */
  private modulesLeft = Infinity;
  private mode: CpuCase['mode'] = 'real';

  constructor(tier: Tier, module: WebAssembly.Module, cpuid: Cpuid, options: TierOptions) {
    this.tier = tier;
    this.observe = options.observe;
    const memory = new WebAssembly.Memory({ initial: totalPages, maximum: 65536, shared: true });
    const ones = (): number => -1;
    const instance = new WebAssembly.Instance(module, {
      env: { memory },
      machine: {
        portRead: ones,
        portWrite: () => undefined,
        mmioRead: ones,
        mmioWrite: () => undefined,
        msrRead: () => 0,
        msrWrite: () => 0,
        interruptAcknowledge: () => -1,
        cpuid: (leaf: number, subleaf: number, at: number) =>
          new Uint32Array(memory.buffer, at, 4).set(cpuid(leaf >>> 0, subleaf >>> 0)),
        setTaskPriority: () => undefined,
        log: options.log ?? ((): void => undefined),
      },
    });
    this.core = instance.exports as unknown as Core;
    this.memory = memory;
    this.buffer = memory.buffer;
    this.bytes = new Uint8Array(this.buffer);
    this.vcpu = Vcpu.at(this.buffer, layout.cpu);
    this.record = new RecordCursor(this.buffer);
    this.frameTable = new Uint32Array(this.buffer, layout.frameTable, layout.frameCount);
    const table = options.table ?? instructionTable;
    this.forms = tier === 'evaluator' ? generateInterpreter(compileTable(table), helpers).forms : [];
    this.environment = this.makeEnvironment();
    if (tier === 'jit') {
      const core = this.core as unknown as CompilerCore;
      this.compiler = new Compiler(
        core,
        layout.cpu,
        () => formTable(module, options.table),
        () => performance.now(),
        {
          translation: options.translation,
          debug: options.debugCompiled ?? false,
          onFailure: (error) => {
            throw error;
          },
        },
      );
    }
  }

  call(name: string, ...args: (number | bigint)[]): number | bigint | undefined {
    const f = this.core[name];
    if (!f) throw new Error(`core.wasm does not export ${name}`);
    return f(...args);
  }

  // Memory. ---------------------------------------------------------------------------------------------------------

  /** Address of the frame of a guest-physical page; taken when there is none yet. */
  private frame(page: number): number {
    const index = page / 4096;
    if (index >= layout.frameCount) throw new Error(`address 0x${page.toString(16)} is beyond 4 GiB`);
    const have = this.frameTable[index];
    if (have) return have;
    if (this.pages.length >= layout.frames) throw new Error('the case names more memory than the machine has');
    const made = framesBase + this.pages.length * 4096;
    this.bytes.fill(0, made, made + 4096);
    this.frameTable[index] = made;
    this.pages.push(page);
    return made;
  }

  private writePhysical(address: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const at = address + done;
      const inPage = Math.min(4096 - (at % 4096), bytes.length - done);
      this.bytes.set(bytes.subarray(done, done + inPage), this.frame(at - (at % 4096)) + (at % 4096));
      done += inPage;
    }
  }

  readMem(address: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const at = address + done;
      const inPage = Math.min(4096 - (at % 4096), length - done);
      const frame = this.frameTable[Math.floor(at / 4096)];
      if (frame) out.set(this.bytes.subarray(frame + (at % 4096), frame + (at % 4096) + inPage), done);
      done += inPage;
    }
    return out;
  }

  // Start state. ----------------------------------------------------------------------------------------------------

  load(c: CpuCase): void {
    for (const page of this.pages) this.frameTable[page / 4096] = 0;
    this.pages = [];
    this.bytes.fill(0, layout.cpu, layout.cpu + Vcpu.size);
    this.mode = c.mode;
    this.loaded = c;
    this.modulesLeft = Infinity;
    const v = this.vcpu;
    v.arena = layout.arena;
    v.arenaEnd = framesBase;
    v.frameTable = layout.frameTable;
    v.frameCount = layout.frameCount;
    v.framesBase = framesBase;
    v.frameBytes = layout.frames * 4096;
    for (const [address, length] of c.zero) {
      for (let at = address - (address % 4096); at < address + length; at += 4096) this.frame(at);
    }
    for (const run of c.mem) this.writePhysical(run.address, run.bytes);
    for (const run of c.expect.mem) this.frameOf(run.address, run.bytes.length);
    this.loadRegisters(c);
    this.loadSegments(c);
    this.loadX87(c);
    this.loadPaging(c);
    this.call('attach', layout.cpu);
    this.compiler?.reset('jit');
  }

  restart(): void {
    const c = this.loaded;
    if (!c) throw new Error('no case is loaded');
    const v = this.vcpu;
    const [cr0, cr4, efer] = [v.cr0, v.cr4, v.efer];
    for (const page of this.pages) if (page < tablesAt) this.restorePage(c, page);
    v.halted = 0;
    this.loadRegisters(c);
    this.loadSegments(c);
    this.loadX87(c);
    [v.cr0, v.cr4, v.efer] = [cr0, cr4, efer];
    this.call('updateMode', layout.cpu);
    if (this.compiler) this.setTier(tierCode.interpreter);
  }

  compileBefore(modules: number): void {
    if (!this.compiler) throw new Error(`the ${this.tier} tier compiles nothing`);
    this.modulesLeft = modules;
    this.setTier(tierCode.jit);
  }

  private setTier(tier: number): void {
    new DataView(this.buffer).setUint32(layout.arena + Arena.header + ArenaHeader.offsets.tier, tier, true);
  }

  /** What the case lays down in a page goes back there, where it differs. */
  private restorePage(c: CpuCase, page: number): void {
    const before = new Uint8Array(4096);
    for (const { address, bytes } of c.mem) {
      const [from, to] = [Math.max(address, page), Math.min(address + bytes.length, page + 4096)];
      if (from < to) before.set(bytes.subarray(from - address, to - address), from - page);
    }
    const now = this.readMem(page, 4096);
    if (Buffer.compare(before, now) === 0) return;
    const differs = (n: number): boolean => before[n] !== now[n];
    for (let n = 0; n < 4096; n++) {
      if (!differs(n)) continue;
      let end = n + 1;
      while (end < 4096 && differs(end)) end++;
      this.deviceWrite(page + n, before.subarray(n, end));
      n = end;
    }
  }

  private frameOf(address: number, length: number): void {
    for (let at = address - (address % 4096); at < address + length; at += 4096) this.frame(at);
  }

  private loadRegisters(c: CpuCase): void {
    const v = this.vcpu;
    const value = (...names: string[]): bigint => {
      for (const name of names) {
        const have = c.regs[name];
        if (have !== undefined) return have;
      }
      return 0n;
    };
    registerNames.forEach((name, n) => {
      v.gpr[n] = value(name, `e${name}`, `r${name}`);
    });
    for (let n = 8; n < 16; n++) v.gpr[n] = value(`r${n}`);
    v.rip = value('ip', 'eip', 'rip');
    const flags = Number(value('flags', 'eflags', 'rflags') & 0xffffffffn) || 2;
    v.eflags = (flags & ~0x8d5 & 0x3f7fd7) | 2;
    this.call('setArithmeticFlags', layout.cpu, flags);
    v.cpl = c.cpl;
    v.cr0 = (c.regs.cr0 ?? 0x20n) | (c.mode === 'real' ? 0n : 1n);
    v.cr2 = value('cr2');
    v.cr4 = c.regs.cr4 ?? 0x600n;
    v.cr8 = value('cr8');
    v.efer = value('efer');
    v.xcr0 = 1n;
    v.mxcsr = c.regs.mxcsr === undefined ? 0x1f80 : Number(c.regs.mxcsr);
    v.msrPat = 0x0007040600070406n;
    v.msrKernelGsBase = value('kernel_gs_base');
    for (const n of [0, 1, 2, 3, 6, 7]) v.dr[n] = value(`dr${n}`);
    v.idtLimit = 0x3ff;
    v.gdtLimit = 0xffff;
    for (const [name, bytes] of Object.entries(c.vec)) {
      const match = /^(xmm|ymm)(\d+)$/.exec(name);
      if (!match) continue;
      this.bytes.set(bytes.subarray(0, 16), v.xmm.byteOffset + 16 * Number(match[2]));
      if (match[1] === 'ymm') this.bytes.set(bytes.subarray(16, 32), v.ymmHigh.byteOffset + 16 * Number(match[2]));
    }
  }

  private loadSegments(c: CpuCase): void {
    const v = this.vcpu;
    const a = attributes;
    segmentNames.forEach((name, n) => {
      const selector = Number(c.regs[name] ?? 0n);
      v.segSelector[n] = selector;
      if (c.mode === 'real') {
        v.segBase[n] = BigInt(selector) * 16n;
        v.segLimit[n] = 0xffff;
        v.segAttributes[n] = a.present | a.segment | a.data;
        return;
      }
      v.segBase[n] = 0n;
      v.segLimit[n] = 0xffffffff;
      let bits = a.present | a.segment | (c.cpl << 5) | (n === 1 ? a.code : a.data) | a.granular;
      if (c.mode === 'protected32' || (c.mode === 'long64' && n !== 1)) bits |= a.big;
      if (c.mode === 'long64' && n === 1) bits |= a.long;
      v.segAttributes[n] = bits;
      if (n === 1 || n === 2) v.segSelector[n] = (selector & ~3) | c.cpl;
    });
    if (c.mode === 'long64') {
      v.segBase[4] = c.regs.fs_base ?? 0n;
      v.segBase[5] = c.regs.gs_base ?? 0n;
    }
    v.segAttributes[6] = 0x10000;
    v.segAttributes[7] = a.present | 0xb;
    // Too short for an I/O bitmap: no port is open below IOPL.
    v.segLimit[7] = 0x5f;
  }

  private loadX87(c: CpuCase): void {
    const v = this.vcpu;
    const start = x87Start(c);
    v.fpuControl = start.fcw;
    v.fpuStatus = start.fsw & ~0x3800;
    v.fpuTop = (start.fsw >> 11) & 7;
    v.fpuTags = start.tags;
    start.registers.forEach((bytes, n) => {
      if (bytes) this.bytes.set(bytes, v.st.byteOffset + 16 * n);
    });
  }

  private loadPaging(c: CpuCase): void {
    const pages = mappedPages(c);
    const v = this.vcpu;
    if (!pages) return;
    const long = c.mode === 'long64';
    v.efer |= long ? 0xd00n : 0x800n;
    v.cr0 |= 0x80000000n;
    v.cr4 |= 0x20n;
    v.cr3 = BigInt(tablesAt);
    let next = tablesAt + 4096;
    const tables = new Map<string, number>();
    const view = new DataView(this.buffer);
    this.frame(tablesAt);
    const entryAt = (table: number, index: number): number => this.frame(table) + 8 * index;
    for (const [address, rights] of pages) {
      let table = tablesAt;
      for (let level = long ? 4 : 3; level > 1; level--) {
        const span = 2 ** (12 + 9 * (level - 1));
        const index = Math.floor(address / span) % 512;
        const key = `${level}:${Math.floor(address / span)}`;
        let child = tables.get(key);
        if (child === undefined) {
          child = next;
          next += 4096;
          tables.set(key, child);
          const flags = !long && level === 3 ? 1n : 7n;
          view.setBigUint64(entryAt(table, index), BigInt(child) | flags, true);
          this.frame(child);
        }
        table = child;
      }
      let entry = BigInt(address) | 1n;
      if (rights.w) entry |= 2n;
      if (rights.u) entry |= 4n;
      if (!rights.x) entry |= 1n << 63n;
      view.setBigUint64(entryAt(table, Math.floor(address / 4096) % 512), entry, true);
      if (address < tablesAt) this.frame(address);
    }
    for (let n = 0; n < 4; n++) v.pdpte[n] = long ? 0n : view.getBigUint64(entryAt(tablesAt, n), true);
  }

  // Running. --------------------------------------------------------------------------------------------------------

  run(end: CaseEnd, options: RunOptions): RunResult {
    const v = this.vcpu;
    if (end.kind === 'hlt' && this.tier !== 'evaluator' && !options.stopAtException) {
      this.runWhole(options.maxInstructions);
      if (v.shutdown) return { kind: 'failed', reason: 'triple fault' };
      return v.halted ? { kind: 'ended' } : { kind: 'limit' };
    }
    let steps = 0;
    for (let n = 0; n < options.maxInstructions; n++) {
      if (end.kind === 'rip' && v.rip === end.address) return { kind: 'ended' };
      if (end.kind === 'steps' && steps >= end.count) return { kind: 'ended' };
      const before = v.rip;
      if (this.tier === 'evaluator') this.evaluateOne();
      else this.stepOnce();
      if (v.exceptionPending && options.stopAtException) {
        const { exceptionVector: vector, exceptionError, exceptionHasError, exceptionCr2 } = v;
        return {
          kind: 'exception',
          vector,
          ...(exceptionHasError ? { error: exceptionError } : {}),
          ...(vector === 14 ? { cr2: exceptionCr2 } : {}),
        };
      }
      if (v.exceptionPending || v.pendingDebug || v.nmiRequest) this.call('deliverEvents', layout.cpu);
      if (v.shutdown) return { kind: 'failed', reason: 'triple fault' };
      if (v.halted) {
        return end.kind === 'hlt' ? { kind: 'ended' } : { kind: 'failed', reason: 'the CPU halted' };
      }
      const repeating = v.rip === before && this.isRepeating();
      if (!repeating) steps++;
    }
    return { kind: 'limit' };
  }

  /** The run loop itself, with its whole blocks. */
  private runWhole(count: number): void {
    const { compiler } = this;
    compiler?.limitRegions(300);
    const end = this.vcpu.retired + BigInt(count);
    for (;;) {
      const left = Number(end - this.vcpu.retired);
      if (this.call('run', layout.cpu, left) !== exitReason.compile) return;
      compiler?.serve();
      if (--this.modulesLeft === 0) this.setTier(tierCode.interpreter);
    }
  }

  /** One instruction; compiled before it runs, by the jit tier. */
  private stepOnce(): void {
    this.compiler?.limitRegions(1);
    this.askHere();
    this.compileAsked();
    this.call('stepOnce', layout.cpu);
  }

  compileAsked(): void {
    this.compiler?.serve();
  }

  askHere(): void {
    if (!this.compiler) return;
    const { exceptionPending, trouble } = this.vcpu;
    const record = Number(this.call('lookup', layout.cpu)) >>> 0;
    this.vcpu.exceptionPending = exceptionPending;
    this.vcpu.trouble = trouble;
    this.record.$address = record;
    if (record !== 0 && this.record.form >= pseudoForm.count) this.call('request', layout.cpu, record);
  }

  deviceWrite(address: number, bytes: Uint8Array): void {
    const host = this.frame(address - (address % 4096)) + (address % 4096);
    this.call('invalidateHost', layout.cpu, host, bytes.length);
    this.bytes.set(bytes, host);
  }

  raiseNmi(): void {
    this.vcpu.nmiRequest = 1;
  }

  wake(): void {
    this.vcpu.halted = 0;
  }

  get retired(): number {
    return Number(this.vcpu.retired);
  }

  /** The instruction at Vcpu.record is a repeated string instruction that has iterations left. */
  private isRepeating(): boolean {
    const at = this.vcpu.record;
    if (at === 0) return false;
    const { record } = this;
    record.$address = at;
    return (record.flags & (recordFlags.rep | recordFlags.repne)) !== 0;
  }

  private evaluateOne(): void {
    const v = this.vcpu;
    const cpu = layout.cpu;
    if (this.call('beginOne', cpu) === 0) return;
    const at = Number(this.call('lookup', cpu)) >>> 0;
    if (at === 0) {
      v.trouble = 0;
      return;
    }
    v.record = at;
    v.slice = 1;
    v.budget = 0;
    const { record } = this;
    record.$address = at;
    const form = this.forms[record.form - pseudoForm.count];
    let result: number;
    if (!form) {
      this.call('undefinedInstruction', cpu, at);
      result = status.fault;
    } else {
      if (this.observe) this.show(this.observe, record.length);
      v.deviceAccess = 1;
      result = evaluate(this.environment, resolveRecord(form, record));
      v.deviceAccess = 0;
    }
    if (result !== status.fault) {
      v.retired += 1n;
      if (result !== status.jump) {
        this.call('wrapIp', cpu, v.ripBase + BigInt(record.offset) + BigInt(record.length));
      }
    } else this.call('wrapIp', cpu, v.ripBase + BigInt(record.offset));
    v.trouble = 0;
    v.slice = 0;
    this.call('endOne', cpu);
  }

  /** Tells the observer of the instruction at RIP, which has been decoded. */
  private show(observe: InstructionObserver, length: number): void {
    const long = (this.vcpu.modeKey & 3) === 2;
    const start = long ? this.vcpu.rip : (this.vcpu.segBase[1] ?? 0n) + this.vcpu.rip;
    const fetch = 2;
    const bytes = Uint8Array.from({ length }, (_, n) => {
      const linear = long ? start + BigInt(n) : BigInt.asUintN(32, start + BigInt(n));
      return this.bytes[Number(this.call('translate', layout.cpu, linear, fetch)) >>> 0] ?? 0;
    });
    observe(bytes, ([16, 32, 64] as const)[this.vcpu.modeKey & 3] ?? 64);
  }

  private makeEnvironment(): EvaluatorEnvironment {
    const v = this.vcpu;
    const cpu = layout.cpu;
    const view = new DataView(this.buffer);
    const linear = (segment: number, offset: bigint, size: number, write: boolean): bigint | undefined => {
      const result = this.call('segmentLinear', cpu, segment, offset, size, write ? 1 : 0);
      return v.trouble ? undefined : BigInt.asUintN(64, BigInt(result ?? 0n));
    };
    return {
      vcpu: v,
      view: new DataView(this.buffer, cpu, Vcpu.size),
      read: (segment, offset, size) => {
        const at = linear(segment, offset, size, false);
        if (at === undefined) return undefined;
        const host = Number(this.call('slowRead', cpu, at, size)) >>> 0;
        if (host === 0) return undefined;
        let value = 0n;
        for (let k = size - 1; k >= 0; k--) value = (value << 8n) | BigInt(view.getUint8(host + k));
        return value;
      },
      write: (segment, offset, size, value) => {
        const at = linear(segment, offset, size, true);
        if (at === undefined) return false;
        const host = Number(this.call('slowWrite', cpu, at, size)) >>> 0;
        if (host === 0) return false;
        for (let k = 0; k < size; k++) view.setUint8(host + k, Number((value >> BigInt(8 * k)) & 0xffn));
        this.call('commitWrite', cpu);
        return true;
      },
      probe: (segment, offset, size) => {
        const at = linear(segment, offset, size, true);
        if (at === undefined) return false;
        this.call('probeWrite', cpu, at, size);
        return v.trouble === 0;
      },
      checkTarget: (rip) => {
        const long = (v.modeKey & 3) === 2;
        const good = long ? BigInt.asIntN(48, rip) === BigInt.asIntN(64, rip) : rip <= BigInt(v.segLimit[1] ?? 0);
        if (!good) this.call('raise', cpu, 13, 0);
        return good;
      },
      call: (name, args) => this.call(name, cpu, ...args),
    };
  }

  // Results. --------------------------------------------------------------------------------------------------------

  readReg(name: string): bigint {
    const v = this.vcpu;
    const mask = (value: bigint): bigint => {
      if (name.startsWith('r') || /^cr|^dr|_base$|efer/.test(name)) return value;
      return value & (name.startsWith('e') && name !== 'es' ? 0xffffffffn : 0xffffn);
    };
    const bare = name.replace(/^[er](?=[a-z]{2}$|flags$)/, '');
    const register = registerNames.indexOf(bare);
    if (register >= 0) return mask(v.gpr[register] ?? 0n);
    const numbered = /^r(\d+)$/.exec(name);
    if (numbered) return v.gpr[Number(numbered[1])] ?? 0n;
    const segment = segmentNames.indexOf(name);
    if (segment >= 0) return BigInt(v.segSelector[segment] ?? 0);
    const indexed = /^dr(\d)$/.exec(name);
    if (indexed) return v.dr[Number(indexed[1])] ?? 0n;
    switch (bare) {
      case 'ip':
        return mask(v.rip);
      case 'flags':
        return mask(BigInt(Number(this.call('getFlags', layout.cpu)) >>> 0));
      case 'mxcsr':
        return BigInt(v.mxcsr);
      case 'fcw':
        return BigInt(v.fpuControl);
      case 'fsw':
        return BigInt(v.fpuStatus | (v.fpuTop << 11));
      case 'ftw':
        return this.fullTags();
      case 'cr0':
        return v.cr0;
      case 'cr2':
        return v.cr2;
      case 'cr3':
        return v.cr3;
      case 'cr4':
        return v.cr4;
      case 'cr8':
        return v.cr8;
      case 'efer':
        return v.efer;
      case 'fs_base':
        return v.segBase[4] ?? 0n;
      case 'gs_base':
        return v.segBase[5] ?? 0n;
      case 'kernel_gs_base':
        return v.msrKernelGsBase;
      default:
        throw new Error(`no register ${name}`);
    }
  }

  /** The full tag word, from the contents of the registers (SDM vol. 1 §8.1.7). */
  private fullTags(): bigint {
    const word = Number(this.call('f80TagWord', layout.cpu)) >>> 0;
    if (((abridgeTags(word) ^ this.vcpu.fpuTags) & 0xff) !== 0) throw new Error('tag words disagree');
    return BigInt(word);
  }

  readVec(name: string): Uint8Array {
    const v = this.vcpu;
    const match = /^([a-z]+)(\d+)$/.exec(name);
    const n = Number(match?.[2] ?? 0);
    const slice = (at: number, length: number): Uint8Array => this.bytes.slice(at, at + length);
    switch (match?.[1]) {
      case 'xmm':
        return slice(v.xmm.byteOffset + 16 * n, 16);
      case 'ymm': {
        const out = new Uint8Array(32);
        out.set(slice(v.xmm.byteOffset + 16 * n, 16));
        out.set(slice(v.ymmHigh.byteOffset + 16 * n, 16), 16);
        return out;
      }
      case 'mm':
        return slice(v.st.byteOffset + 16 * n, 8);
      case 'st':
        return slice(v.st.byteOffset + 16 * ((n + v.fpuTop) & 7), 10);
      default:
        return slice(v.st.byteOffset + 16 * n, 10);
    }
  }
}
