/**
 * A machine without a page: one guest memory, one executor worker on it, its console as text. What the command line,
 * the benchmarks and the tests run.
 *
 * @example
 * const machine = await startHeadless({ kernel, initrd, commandLine: 'console=ttyS0', ramBytes: 256 << 20 });
 * const result = machine.run();                   // a promise of why the executor returned
 * await machine.console.waitForText('guest ready');
 * await machine.console.type('poweroff\n');
 * await result;                                   // { kind: 'ended', state: 'poweredOff', … }
 * await machine.close();
 */
import { readFileSync } from 'node:fs';
import { Worker, type MessagePort } from 'node:worker_threads';
import { ControlPage, requestBit } from '../abi/control.ts';
import type {
  BalloonDefinition,
  GuestDefinition,
  GuestDisk,
  GuestRings,
  RegionResult,
  StartOptions,
  StartResult,
} from '../abi/executor.ts';
import { formTable } from '../cpu/jit/form-table.ts';
import { readFormCounts, type FormCount } from '../cpu/jit/form-counts.ts';
import { readMemoryStatistics, readStatistics, type MemoryStatistics, type Statistics } from '../abi/statistics.ts';
import type { ExecutorResult } from '../executor/executor.ts';
import type { MachineExtras, SessionLimits } from '../executor/session.ts';
import { memoryMap } from '../machine/memory-map.ts';
import type { BlockLayer } from '../storage/block.ts';
import { DiskServer } from '../storage/server.ts';
import { GuestConsole } from '../vmm/console.ts';
import type { WorkerRequest } from './node-worker.ts';
import { HeadlessTranslator } from './translator.ts';
import { workerProgram } from './worker-program.ts';

const wasmPageBytes = 65536;
/** Of an executor's heap. It makes little garbage but while it compiles; V8's default would keep 32 MiB for that. */
const maxYoungGenerationSizeMb = 8;
const coreFile = new URL('../../build/core/core.wasm', import.meta.url);

export interface HeadlessOptions extends MachineExtras {
  /** See {@link shared}. */
  readonly kernel: SharedArrayBuffer;
  readonly initrd?: SharedArrayBuffer | undefined;
  readonly commandLine: string;
  readonly ramBytes: number;
  /** Default: real. */
  readonly clock?: GuestDefinition['clock'];
  readonly noReboot?: boolean;
  /** A memory balloon; absent: the machine has none. */
  readonly balloon?: BalloonDefinition | undefined;
  /** What the balloon shall have from power-on. */
  readonly balloonMiB?: number | undefined;
  /** Its disks, served in this thread; {@link HeadlessMachine.close} closes them. */
  readonly disks?: readonly BlockLayer[] | undefined;
  /** Compiles for the machine, if anything does; absent: one of its own. */
  readonly translator?: HeadlessTranslator | undefined;
}

/** The machine could not be started: the guest's fault or the host's, in words for people. */
export class StartFailure extends Error {
  override readonly name = 'StartFailure';
}

export interface MachineStats extends Statistics {
  readonly millionInstructionsPerSecond: number;
  readonly memory: { readonly ramBytes: number; readonly totalBytes: number } & MemoryStatistics;
  /** Where forms are counted ({@link MachineExtras.countForms}): since this executor took the guest over. */
  readonly forms?: readonly FormCount[];
}

/** The bytes in shared memory: an executor keeps what it boots, and machines that boot the same can have it in common. */
export function shared(bytes: Uint8Array): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(bytes.length);
  new Uint8Array(buffer).set(bytes);
  return buffer;
}

/** Compiles the core that `npm run build:core` has made. */
export async function loadCore(): Promise<WebAssembly.Module> {
  return WebAssembly.compile(readFileSync(coreFile));
}

function guestDisk({ sizeBytes, capabilities }: BlockLayer, n: number): GuestDisk {
  return { sizeBytes, readOnly: !capabilities.writable, id: `disk-${n}` };
}

function pagesOf(mib: number): number {
  return (mib * 2 ** 20) / 4096;
}

/** Lays out a machine and loads its kernel; it does not run yet. @throws StartFailure */
export async function startHeadless(options: HeadlessOptions): Promise<HeadlessMachine> {
  const map = memoryMap(options.ramBytes);
  const pages = map.totalBytes / wasmPageBytes;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const machine = new HeadlessMachine(memory, await loadCore(), options);
  await machine.attach(true);
  return machine;
}

export class HeadlessMachine {
  readonly control: ControlPage;
  readonly console = new GuestConsole();
  /** Lines about the guest for the developer. */
  readonly log: string[] = [];
  readonly #memory: WebAssembly.Memory;
  readonly #module: WebAssembly.Module;
  readonly #options: HeadlessOptions;
  readonly #translator: HeadlessTranslator;
  #executor: NodeExecutor | undefined;
  #pump: { detach: () => Promise<void> } | undefined;
  #servers: readonly DiskServer[] | undefined;

  constructor(memory: WebAssembly.Memory, module: WebAssembly.Module, options: HeadlessOptions) {
    this.#memory = memory;
    this.#module = module;
    this.#options = options;
    this.#translator = options.translator ?? new HeadlessTranslator();
    this.control = new ControlPage(memory.buffer);
    this.console.onLog = (line) => {
      this.log.push(line);
    };
  }

  /** Makes an executor for the memory: on a fresh one, or on a guest that {@link kill} left. @throws StartFailure */
  async attach(fresh = false): Promise<void> {
    if (this.#executor !== undefined) throw new Error('the machine has an executor: kill it first');
    const { translator: _, ...own } = this.#options;
    const { kernel, initrd, commandLine, ramBytes, clock = 'real', noReboot = false, balloon, ...more } = own;
    const { balloonMiB = 0, disks = [], ...extras } = more;
    const translator =
      (extras.tier ?? 'auto') === 'auto' ? this.#translator.connect(this.#memory, this.#module) : undefined;
    const executor = new NodeExecutor();
    this.#executor = executor;
    const options: StartOptions = {
      memory: this.#memory,
      module: this.#module,
      definition: {
        ...{ name: 'headless', ramBytes, commandLine, clock, noReboot },
        ...(balloon && { balloon }),
        disks: disks.map(guestDisk),
      },
      kernel,
      ...(initrd === undefined ? {} : { initrd }),
      ...(translator === undefined ? {} : { translator }),
      fresh,
    };
    const result = (await executor.call({ call: 'start', options, extras }, translator?.port)) as StartResult;
    if (!result.ok) {
      await this.close();
      throw new StartFailure(result.error.message);
    }
    this.#pump ??= this.#attachConsole(result.rings);
    this.#servers ??= result.rings.disks.map((address, n) => this.#serveDisk(address, disks[n]));
    if (fresh) this.setBalloon(balloonMiB);
  }

  #serveDisk(address: number, layer: BlockLayer | undefined): DiskServer {
    if (layer === undefined) throw new Error('the executor has made a disk that nobody asked for');
    const server = new DiskServer({
      buffer: this.#memory.buffer,
      address,
      layer,
      ring: () => this.control.ring(),
      onError: ({ message }) => this.console.onLog?.(message),
    });
    void server.serve();
    return server;
  }

  #attachConsole(rings: GuestRings): { detach: () => Promise<void> } {
    return this.console.attach(this.#memory.buffer, rings, this.control);
  }

  /** Runs the guest until it ends, is parked, or meets a limit. Rejects when the executor dies or is killed. */
  run(limits: SessionLimits = {}): Promise<ExecutorResult> {
    if (this.#executor === undefined) throw new Error('the machine has no executor: attach one first');
    return this.#executor.call({ call: 'run', limits }) as Promise<ExecutorResult>;
  }

  /** The compiled code of an address as text; while {@link run} is not under way. */
  region(address: bigint): Promise<RegionResult> {
    if (this.#executor === undefined) throw new Error('the machine has no executor: attach one first');
    return this.#executor.call({ call: 'region', address }) as Promise<RegionResult>;
  }

  /** Resolves when the guest stands still. */
  pause(): Promise<void> {
    return this.#settled(this.control.request(requestBit.pause));
  }

  resume(): Promise<void> {
    return this.#settled(this.control.release(requestBit.pause));
  }

  /** Asks the executor to return with everything in memory: {@link run} resolves with `parked`. */
  async park(): Promise<void> {
    await this.#settled(this.control.request(requestBit.park));
    this.control.release(requestBit.park);
  }

  /** Ends the run: {@link run} resolves with state `stopped`. */
  stop(): void {
    this.control.request(requestBit.stop);
  }

  pressPowerButton(): void {
    this.control.request(requestBit.powerButton);
  }

  /** Wants so many MiB in the balloon. The guest answers when it pleases, if it has a balloon and a driver. */
  setBalloon(mib: number): void {
    this.control.setBalloonTarget(pagesOf(mib));
  }

  /** Resolves when the guest's driver says that so many MiB are in the balloon. @throws Error after `timeoutMs` */
  async waitForBalloon(mib: number, timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const actual = this.control.load('balloonActualPages');
      if (actual === pagesOf(mib)) return;
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`the balloon has ${actual} pages, not ${pagesOf(mib)}, after ${timeoutMs} ms`);
      await this.control.changed('balloonActualPages', actual, left);
    }
  }

  /** What the guest has, uses and gave up. */
  get memoryStatistics(): MemoryStatistics {
    return readMemoryStatistics(this.control);
  }

  /** The same, after the guest's driver has been asked for what it knows. @throws Error after `timeoutMs` */
  async askForMemoryStatistics(timeoutMs: number): Promise<MemoryStatistics> {
    const before = this.control.load('balloonStatisticsCount');
    this.control.askForBalloonStatistics();
    await this.control.changed('balloonStatisticsCount', before, timeoutMs);
    if (this.control.load('balloonStatisticsCount') === before) {
      throw new Error(`the guest's balloon driver has not answered after ${timeoutMs} ms`);
    }
    return this.memoryStatistics;
  }

  async #settled(serial: number): Promise<void> {
    while (!this.control.acknowledged(serial)) {
      await this.control.changed('acknowledgeSerial', this.control.load('acknowledgeSerial'), 1000);
    }
  }

  /** Terminates the executor without notice. The guest can go on in another one if it was parked or paused. */
  async kill(): Promise<void> {
    const executor = this.#executor;
    this.#executor = undefined;
    await executor?.terminate();
  }

  /** Ends the executor and gives the last of the console's output to its listeners. */
  async close(): Promise<void> {
    await this.kill();
    const pump = this.#pump;
    this.#pump = undefined;
    await pump?.detach();
    for (const server of this.#servers ?? []) server.stop();
    this.#servers = [];
    for (const disk of this.#options.disks ?? []) await disk.close();
    if (this.#options.translator === undefined) await this.#translator.close();
  }

  get stats(): MachineStats {
    const { ramBytes, totalBytes, arena } = memoryMap(this.#options.ramBytes);
    const forms = (): FormCount[] => readFormCounts(this.#memory.buffer, arena, formTable(this.#module));
    const statistics = readStatistics(this.control);
    const { instructions, busySeconds } = statistics;
    return {
      ...statistics,
      millionInstructionsPerSecond: busySeconds === 0 ? 0 : instructions / busySeconds / 1e6,
      memory: { ramBytes, totalBytes, ...this.memoryStatistics },
      ...(this.#options.countForms ? { forms: forms() } : {}),
    };
  }
}

/** A worker that answers one call after the other. */
class NodeExecutor {
  readonly #worker: Worker;
  #settle: { resolve: (value: unknown) => void; reject: (error: Error) => void } | undefined;

  constructor() {
    this.#worker = new Worker(workerProgram('node-worker'), {
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb },
    });
    this.#worker.on('message', (value) => {
      const settle = this.#settle;
      this.#settle = undefined;
      settle?.resolve(value);
    });
    this.#worker.on('error', (error) => {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    });
    this.#worker.on('exit', () => {
      this.#fail(new Error('the executor was terminated'));
    });
  }

  #fail(error: Error): void {
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.reject(error);
  }

  /** `port` goes with it. */
  call(request: WorkerRequest, port?: MessagePort): Promise<unknown> {
    if (this.#settle !== undefined) throw new Error('the executor is busy: it answers one call at a time');
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#worker.postMessage(request, port === undefined ? [] : [port]);
    });
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }
}
