/**
 * What the coordinator (main thread) and an executor (worker) say to each other by message: only what words in shared
 * memory cannot carry. Everything else goes through the control page (`control.ts`) and the rings (`ring.ts`).
 *
 * One executor is one worker. Its life, as the coordinator drives it (type 2, hosted):
 *
 *     start(options) → lays the machine out in the memory (unless it is there already), loads the kernel, wires devices;
 *                      does not run the guest
 *     region(a)      → the compiled code of an address as text, for the developer; with mail, like all but start and run
 *     run()          → runs the guest until it ends, is asked to stop, or has mail; blocks the worker while it computes
 *                      (requests, input and pauses go through the control page and do not end it)
 *
 * Nothing throws across: a rejected promise or an `error` event of the worker is a defect, and the coordinator treats it
 * as the death of the executor.
 */
import type { SignalledPort } from '../base/port.ts';
import type { GuestState } from './control.ts';

/** Bytes of a guest's memory in front of its RAM: control page, machine state, rings, arena. At most 64 MiB. */
export const guestOverheadBytes = 48 << 20;

/** A wasm32 memory ends here (65,536 pages of 64 KiB). */
export const guestMemoryLimitBytes = 2 ** 32;

/** The most RAM that a guest may be given: the rest of a wasm32 memory is for what lies around it. */
export const guestRamLimitBytes = 3584 * 2 ** 20;

/** The least RAM that a guest is started with. */
export const guestRamMinimumBytes = 16 << 20;

/** What a guest is, apart from the bytes that it boots: plain data. */
export interface GuestDefinition {
  /** Name for people. */
  readonly name: string;
  /** RAM in bytes: a multiple of 1 MiB. */
  readonly ramBytes: number;
  /** Kernel command line. */
  readonly commandLine: string;
  /** `virtual`: time is the count of retired instructions (`-icount`); the boot is deterministic. */
  readonly clock: 'real' | 'virtual';
  /** A reset that the guest asks for stops it in state `resetStopped`. */
  readonly noReboot: boolean;
  /** The guest has a memory balloon (virtio over PCI); absent: it has none. */
  readonly balloon?: BalloonDefinition;
  /** The disks, at most `maximumDisks` (`disk-ring.ts`); they are served by a storage worker. */
  readonly disks?: readonly GuestDisk[];
}

/** A disk as the guest sees it. */
export interface GuestDisk {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** Its serial number: at most 20 characters of ASCII. */
  readonly id: string;
}

export interface BalloonDefinition {
  /** The guest may take pages back when it runs out of memory. */
  readonly deflateOnOom: boolean;
  /** The guest tells which of its pages are free. */
  readonly freePageReporting: boolean;
}

export interface StartOptions {
  /**
   * Shared; at least {@link guestOverheadBytes} at first, all of it 0 where `fresh`. Its maximum is at least
   * `guestOverheadBytes + definition.ramBytes`; the executor grows it as the guest touches its RAM, or at once.
   */
  readonly memory: WebAssembly.Memory;
  /** `core.wasm`. */
  readonly module: WebAssembly.Module;
  readonly definition: GuestDefinition;
  /** bzImage, multiboot 1 or ELF. Read again after each reset of the machine: shared, so that guests can have it in common. */
  readonly kernel: SharedArrayBuffer;
  readonly initrd?: SharedArrayBuffer;
  /** Leads to a thread that compiles for this executor; absent: it does so itself. */
  readonly translator?: SignalledPort;
  /** As in {@link ServedExecutor}. */
  readonly translationGroup?: number;
  /** False: the memory holds a guest at an exit (its last executor is gone), which goes on where it was. */
  readonly fresh: boolean;
}

/** What the thread that compiles is sent for each executor: the other end of its channel, and what it compiles from. */
export interface ServedExecutor extends SignalledPort {
  readonly memory: WebAssembly.Memory;
  /** `core.wasm`. */
  readonly module: WebAssembly.Module;
  /** Executors that run the same guest in turns have the same number: what is compiled for one is sent to all. */
  readonly group?: number;
}

/** The thread that compiles is to collect its garbage: a memory was dropped, which it may have seen. */
export const collectGarbageMessage = 'collectGarbage';

export type TranslatorMessage = ServedExecutor | WebAssembly.Module | typeof collectGarbageMessage;

/** Where the rings lie in the guest's memory (see `ByteRing`), below {@link guestOverheadBytes}. */
export interface GuestRings {
  /** Bytes from the guest's first serial port. The executor produces. */
  readonly consoleOutput: number;
  /** Bytes to the guest's first serial port. The coordinator produces, and rings the doorbell. */
  readonly consoleInput: number;
  /** Lines about the guest for the developer (unknown opcodes, unknown MSRs), each ended by `\n`. */
  readonly log: number;
  /** The disks' requests (`disk-ring.ts`). The executor submits, a storage worker serves. */
  readonly disks: readonly number[];
}

/** Why a guest could not be started. `message` is a whole sentence for people. */
export interface StartError {
  readonly kind: 'badKernel' | 'badInitrd' | 'memoryTooSmall' | 'hostRefused' | 'badState' | 'internal';
  readonly message: string;
}

export type StartResult =
  { readonly ok: true; readonly rings: GuestRings } | { readonly ok: false; readonly error: StartError };

/** Why {@link ExecutorApi.run} came back. */
export type RunResult =
  /** `requestBit.mail`: messages wait in the event loop. The coordinator calls `run` again after them. */
  | { readonly kind: 'mail' }
  /** `requestBit.park`: everything is in the memory; another executor may take over. */
  | { readonly kind: 'parked' }
  /** The coordinator has claimed the guest for another executor (`tenure.ts`), as it held this one for dead. */
  | { readonly kind: 'replaced' }
  /** The guest is over, or was stopped: `state` is one of the final states, as in the control page. */
  | {
      readonly kind: 'ended';
      readonly state: FinalState;
      readonly exitCode: number;
      /** For a crash: what happened, and where (register dump), for people. */
      readonly message?: string;
    };

export type FinalState = Extract<GuestState, 'stopped' | 'poweredOff' | 'debugExit' | 'crashed' | 'resetStopped'>;

/** Compiled code beside the guest's own, for the developer. `message` is a whole sentence that says what is there instead. */
export type RegionResult =
  { readonly ok: true; readonly text: string } | { readonly ok: false; readonly message: string };

/** What runs a guest. */
export interface ExecutorApi {
  start(options: StartOptions): Promise<StartResult>;
  run(): Promise<RunResult>;
  /** The regions that hold the instruction at an address: RIP where it ran when it was asked to be compiled. */
  region(address: bigint): Promise<RegionResult>;
}

/** What an executor worker exposes through Comlink. It may have been loaded before anybody knew for which guest. */
export interface NamedExecutorApi extends Omit<ExecutorApi, 'start'> {
  /** @param purpose what the worker is called from now on, for developers */
  start(options: StartOptions, purpose: string): Promise<StartResult>;
}
