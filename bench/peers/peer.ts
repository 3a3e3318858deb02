/** What the benchmark asks of a peer: Tabvisor, another emulator, or the bare host. */
import type { Architecture } from '../../guests/schema.ts';
import type { Measured } from '../memory.ts';
import type { SerialText } from '../serial-text.ts';

/** What is booted: the same bytes and the same command line on every peer. Files are absolute paths. */
export interface Machine {
  readonly arch: Architecture;
  readonly kernel: string;
  /** The kernel is a multiboot 1 image (multiboot specification 0.6.96) and not a Linux kernel. */
  readonly multiboot: boolean;
  readonly initrd: string | undefined;
  readonly commandLine: string;
  readonly memoryMiB: number;
}

/** What a machine has counted since power-on. */
export interface Counters {
  readonly instructions: number;
  /** Host seconds in which it ran instructions. */
  readonly busySeconds: number;
}

/** One machine that runs. */
export interface Session {
  readonly console: SerialText;
  /** Host time (`performance.now()`) just before the machine was made; the runtime and its modules were loaded. */
  readonly poweredOnMs: number;
  /** Types on the serial console. */
  type(text: string): Promise<void>;
  /** Undefined where the peer does not count. */
  readonly counters?: () => Promise<Counters>;
  /** Ends the machine and its process. */
  stop(): Promise<void>;
}

/** Where a peer runs; times are compared within one, and with `native` ones. */
export type Runtime = 'native' | 'node' | 'chromium';

export interface Peer {
  readonly id: string;
  readonly runtime: Runtime;
  readonly architectures: readonly Architecture[];
  /** Boots kernels; the bare host does not. */
  readonly boots: boolean;
  /** Fetches and checks what the peer needs; resolves to its version. @throws PeerMissing */
  prepare(): Promise<string>;
  start(machine: Machine): Promise<Session>;
  /** Boots the machine twice in one process, and says what memory that has; undefined where nobody asks for it. */
  measureMemory?(machine: Machine): Promise<Measured>;
  /** Ends what {@link prepare} began. */
  close?(): Promise<void>;
}

/** The peer cannot run here; the message says what is missing. The others go on without it. */
export class PeerMissing extends Error {
  override readonly name = 'PeerMissing';
}
