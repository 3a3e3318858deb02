/**
 * The executor's side of {@link ExecutorApi}, for any host: lays a guest out in its memory, or finds it there, and runs
 * it. The browser's worker exposes it through Comlink, the headless machine's through its own messages.
 */
import type {
  ExecutorApi,
  GuestDefinition,
  GuestRings,
  RegionResult,
  RunResult,
  StartError,
  StartOptions,
  StartResult,
} from '../abi/executor.ts';
import { diskRingBytes } from '../abi/disk-ring.ts';
import { ByteRing } from '../abi/ring.ts';
import { Tenure } from '../abi/tenure.ts';
import type { TierName } from '../cpu/jit/compiler.ts';
import { bootKernel } from '../machine/boot/kernel.ts';
import { BootError } from '../machine/boot/image.ts';
import { defaultShift } from '../machine/clock.ts';
import { defaultCpuModel } from '../machine/cpu-model.ts';
import { memoryMap, type MemoryMap } from '../machine/memory-map.ts';
import { layOutGuest, Pc, type MachineDefinition } from '../machine/pc.ts';
import { Executor, type ExecutorResult, type RunLimits } from './executor.ts';
import { runHosted } from './hosted.ts';
import { LogText } from './log-text.ts';
import { OutputWatch } from './output-watch.ts';

/** What the headless machine decides besides a {@link GuestDefinition}. */
export interface MachineExtras {
  /** Virtual clock: an instruction takes 2^shift ns. */
  readonly clockShift?: number;
  readonly cpuModel?: string;
  readonly debugExitPort?: number;
  /** Calendar time at power-on; absent: the host's, or the year 2000 under the virtual clock. */
  readonly epochSeconds?: number;
  readonly seed?: bigint;
  /** Which code runs the guest; `auto` when absent. */
  readonly tier?: TierName;
  /** Compiled code checks its invariants at each block: a violation ends the executor. */
  readonly debugCompiled?: boolean;
  /** Counts what is not compiled code's own by form; slow. */
  readonly countForms?: boolean;
  /** As `ExecutorOptions` has it. */
  readonly keepArena?: boolean;
}

/** {@link RunLimits} as a message can carry them. */
export interface SessionLimits {
  readonly parkAtRetired?: number;
  /** Return when the console's output matches. */
  readonly until?: RegExp;
}

export interface SessionHost {
  /** Monotonic host time in nanoseconds. */
  nowNs(): number;
  /** Seconds since 1970. */
  calendarSeconds(): number;
  randomSeed(): bigint;
  /** Collects this thread's garbage; absent where the host has no way to ask for that. */
  collectGarbage?(): void;
}

const wasmPageBytes = 65536;
/** Calendar, seed and generation where runs must repeat. */
const virtualEpochSeconds = Date.UTC(2000, 0, 1) / 1000;
const virtualSeed = 0x7461627669736f72n;
const virtualGeneration = 0x67656e65726174n;

export function machineDefinition(
  definition: GuestDefinition,
  extras: MachineExtras,
  host: SessionHost,
): MachineDefinition {
  const virtual = definition.clock === 'virtual';
  return {
    ramBytes: definition.ramBytes,
    clock: virtual ? { mode: 'virtual', shift: extras.clockShift ?? defaultShift } : { mode: 'real' },
    cpuModel: extras.cpuModel ?? defaultCpuModel,
    epochSeconds: extras.epochSeconds ?? (virtual ? virtualEpochSeconds : host.calendarSeconds()),
    seed: extras.seed ?? (virtual ? virtualSeed : host.randomSeed()),
    generation: virtual ? virtualGeneration : host.randomSeed(),
    debugExitPort: extras.debugExitPort,
    noReboot: definition.noReboot,
    balloon: definition.balloon,
    disks: definition.disks,
  };
}

/** Where the rings of such a guest lie. */
export function guestRings(definition: GuestDefinition): GuestRings {
  const { consoleOut: consoleOutput, consoleIn: consoleInput, log, disks: at } = memoryMap(definition.ramBytes);
  const disks = (definition.disks ?? []).map((_, n) => at + n * diskRingBytes);
  return { consoleOutput, consoleInput, log, disks };
}

export class Session implements ExecutorApi {
  readonly #host: SessionHost;
  #executor: Executor | undefined;
  #memory: WebAssembly.Memory | undefined;
  #map: MemoryMap | undefined;

  constructor(host: SessionHost) {
    this.#host = host;
  }

  start(options: StartOptions, extras: MachineExtras = {}): Promise<StartResult> {
    try {
      return Promise.resolve(this.#start(options, extras));
    } catch (error) {
      return Promise.resolve({ ok: false, error: startError(error) });
    }
  }

  #start(options: StartOptions, extras: MachineExtras): StartResult {
    const { memory, module, definition } = options;
    const machine = machineDefinition(definition, extras, this.#host);
    const map = memoryMap(definition.ramBytes);
    const grown = grow(memory, map.totalBytes);
    if (grown !== undefined) return { ok: false, error: grown };
    if (options.fresh) layOutGuest(memory.buffer, machine);
    const lines = new LogText();
    const log = new ByteRing(memory.buffer, map.log);
    const nowNs = (): number => this.#host.nowNs();
    // A line that has no room is dropped: the log is for the developer, and must not hold the guest up.
    const say = (line: string): void => void log.write(new TextEncoder().encode(`${line}\n`));
    const pc = new Pc(memory.buffer, machine, {
      nowNs,
      log: (code, a, b) => {
        const line = lines.line(code, a, b);
        if (line !== undefined) say(line);
      },
    });
    if (!options.fresh && !pc.control.valid) {
      return { ok: false, error: { kind: 'badState', message: 'The memory holds no guest of this version.' } };
    }
    if (!options.fresh && !new Tenure(memory.buffer).atRest) {
      const message = 'The executor that last ran the guest died in the midst of it: it cannot go on.';
      return { ok: false, error: { kind: 'badState', message } };
    }
    const boot = (): void => {
      const kernel = new Uint8Array(options.kernel);
      const initrd = options.initrd === undefined ? undefined : new Uint8Array(options.initrd);
      bootKernel(pc, { kernel, initrd, commandLine: definition.commandLine });
    };
    if (options.fresh) {
      pc.powerOn();
      boot();
    }
    const collectGarbage = (): void => this.#host.collectGarbage?.();
    this.#memory = memory;
    this.#map = map;
    const { tier, countForms, debugCompiled, keepArena } = extras;
    const { translator } = options;
    const settings = { tier, keepArena, countForms, debugCompiled, translator, collectGarbage, log: say };
    this.#executor = new Executor({ memory, module, pc, nowNs, boot, ...settings });
    return { ok: true, rings: guestRings(definition) };
  }

  /** The guest's executor, for a driver; {@link start} must have succeeded. */
  get executor(): Executor {
    if (this.#executor === undefined) throw new Error('start must have succeeded before the guest is run');
    return this.#executor;
  }

  async run(): Promise<RunResult> {
    const result = await this.runUntil({});
    if (result.kind === 'matched') throw new Error('no text was waited for');
    return result;
  }

  region(address: bigint): Promise<RegionResult> {
    if (this.#executor === undefined) throw new Error('start must have succeeded before region');
    return Promise.resolve(this.#executor.region(address));
  }

  /** Runs until the guest ends, is asked to leave, or meets a limit; see {@link runHosted}. */
  runUntil(limits: SessionLimits): Promise<ExecutorResult> {
    if (this.#executor === undefined || this.#memory === undefined || this.#map === undefined) {
      throw new Error('start must have succeeded before run');
    }
    const { until, ...rest } = limits;
    const runLimits: RunLimits =
      until === undefined
        ? rest
        : { ...rest, watch: new OutputWatch(this.#memory.buffer, this.#map.consoleOut, until) };
    return runHosted(this.#executor, () => this.#host.nowNs(), runLimits);
  }
}

/** Gives the memory the size that the guest needs. */
function grow(memory: WebAssembly.Memory, bytes: number): StartError | undefined {
  const missing = Math.ceil((bytes - memory.buffer.byteLength) / wasmPageBytes);
  if (missing <= 0) return undefined;
  try {
    memory.grow(missing);
    return undefined;
  } catch {
    const mib = Math.ceil(bytes / 2 ** 20);
    return {
      kind: 'hostRefused',
      message: `The host refused ${mib} MiB for this guest: give it less memory, or close other guests.`,
    };
  }
}

function startError(error: unknown): StartError {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof BootError) {
    const about = /memory/.test(message) ? 'memoryTooSmall' : /initrd/.test(message) ? 'badInitrd' : 'badKernel';
    return { kind: about, message: `${message.charAt(0).toUpperCase()}${message.slice(1)}.` };
  }
  if (error instanceof RangeError) return { kind: 'hostRefused', message };
  return { kind: 'internal', message: `The executor could not start the guest: ${message}` };
}
