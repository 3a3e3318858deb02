/**
 * A core on a guest's memory: `core.wasm` instantiated with the machine as its imports. Each import is a VM exit: its
 * time is sampled here, and afterwards the slice is cut short where the exit changed what the executor had planned.
 */
import { exitCounter, type ControlPage } from '../abi/control.ts';
import type { CompilerCore } from '../cpu/jit/compiler.ts';
import type { Pc } from '../machine/pc.ts';

/** What `core.wasm` exports and executors use. */
export interface Core extends CompilerCore {
  /** Makes the derived state (arena) anew, for an executor that takes the vCPU over. */
  attach(cpu: number): void;
  /** Runs at most `slice` instructions; the reason (see `cpu/status.ts`) why it stopped. */
  run(cpu: number, slice: number): number;
  /** Bytes of a frame, at `host` in the guest's memory, are about to change from outside of the core. */
  invalidateHost(cpu: number, host: number, length: number): void;
  /** Forgets translations; with `keepGlobal` 0, all of them. */
  flushTlb(cpu: number, keepGlobal: number): void;
}

/** One exit in this many has its time taken; it counts for all of them. */
const sampleEvery = 16;

export interface CoreHost {
  /** Monotonic host time in nanoseconds. */
  nowNs(): number;
  /** Called after each exit in which devices may have changed what is due. */
  afterExit(): void;
}

/** @throws WebAssembly.LinkError when the module is not the core of this version. */
export function instantiateCore(memory: WebAssembly.Memory, module: WebAssembly.Module, pc: Pc, host: CoreHost): Core {
  const machine = timedExits(pc, host);
  const instance = new WebAssembly.Instance(module, { env: { memory }, machine });
  const core = instance.exports as unknown as Core;
  const invalidate = (at: number, length: number): void => {
    core.invalidateHost(pc.map.vcpu, at, length);
  };
  pc.dma.connect(invalidate);
  pc.givenPages.connect({
    invalidate,
    framesChanged: () => {
      core.flushTlb(pc.map.vcpu, 0);
    },
  });
  return core;
}

type Imports = Record<string, (...args: never[]) => number>;

/** The imports of the machine that touch devices, timed and followed by `afterExit`; the others as they are. */
function timedExits(pc: Pc, host: CoreHost): Imports {
  const timer = new ExitTimer(pc.control, () => host.nowNs());
  const after = (): void => {
    host.afterExit();
  };
  return {
    ...(pc.imports() as Imports),
    portRead: (port: number, size: number) => {
      const start = timer.start(exitCounter.portRead);
      const value = pc.portRead(port, size);
      after();
      timer.end(exitCounter.portRead, start);
      return value;
    },
    portWrite: (port: number, size: number, value: number) => {
      const start = timer.start(exitCounter.portWrite);
      pc.portWrite(port, size, value);
      after();
      timer.end(exitCounter.portWrite, start);
      return 0;
    },
    mmioRead: (gpa: bigint, size: number) => {
      const start = timer.start(exitCounter.mmioRead);
      const value = pc.mmioRead(gpa, size);
      after();
      timer.end(exitCounter.mmioRead, start);
      return value;
    },
    mmioWrite: (gpa: bigint, size: number, value: number) => {
      const start = timer.start(exitCounter.mmioWrite);
      pc.mmioWrite(gpa, size, value);
      after();
      timer.end(exitCounter.mmioWrite, start);
      return 0;
    },
    msrWrite: (index: number, value: bigint) => {
      const start = timer.start(exitCounter.msrWrite);
      const done = pc.msrWrite(index, value);
      after();
      timer.end(exitCounter.msrWrite, start);
      return done;
    },
    interruptAcknowledge: () => {
      const start = timer.start(exitCounter.interrupt);
      const vector = pc.interruptAcknowledge();
      timer.end(exitCounter.interrupt, start);
      return vector;
    },
  };
}

/** Host time by reason of exit, sampled: looking at the clock costs as much as many an exit. */
class ExitTimer {
  readonly #times: Float64Array;
  readonly #nowNs: () => number;
  readonly #untilSample = new Int32Array(32);

  constructor(control: ControlPage, nowNs: () => number) {
    this.#times = control.fields.exitTimeNs;
    this.#nowNs = nowNs;
  }

  /** Host time if this exit is a sample, else −1. */
  start(reason: number): number {
    const left = (this.#untilSample[reason] ?? 0) - 1;
    this.#untilSample[reason] = left < 0 ? sampleEvery - 1 : left;
    return left < 0 ? this.#nowNs() : -1;
  }

  end(reason: number, start: number): void {
    if (start >= 0) this.#times[reason] = (this.#times[reason] ?? 0) + (this.#nowNs() - start) * sampleEvery;
  }
}
