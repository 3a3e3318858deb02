/** What is measured: the records that the tables are made of, and that the result file keeps. */
import type { Architecture } from '../guests/schema.ts';

/** Sections that take times. */
export type TimedSection = 'workloads' | 'boot' | 'decode';
export type Section = TimedSection | 'memory';

/** One row on one peer in one round. */
export interface Sample {
  readonly section: TimedSection;
  readonly arch: Architecture;
  readonly row: string;
  readonly peer: string;
  readonly round: number;
  /** What the row counts: seconds of the guest's clock for workloads, of the host's otherwise. */
  readonly seconds: number;
  /** Host seconds from the row's beginning to its result, with what the guest does to start it. */
  readonly hostSeconds: number;
  readonly checksum?: string;
  /** Guest seconds per host second over the call that the row belongs to; a clock that does not lie shows 1. */
  readonly clockRate?: number;
  readonly instructions?: number;
  /** Of the host's seconds while the machine ran: {@link instructions} with all that belongs to the row. */
  readonly millionInstructionsPerSecond?: number;
  /** Load average of the host when the row ended. */
  readonly load: number;
}

/** What one more guest takes of a process's memory, in MiB (memory.ts). */
export interface MemorySample {
  readonly section: 'memory';
  readonly arch: Architecture;
  readonly row: string;
  readonly peer: string;
  readonly round: number;
  /** RAM that the guest was given. */
  readonly memoryMiB: number;
  /** Of the process with no guest, one and two. */
  readonly rssMiB: readonly [number, number, number];
  /** RAM of the second guest that lies in host memory. */
  readonly touchedRamMiB: number;
  /** What the second guest added without {@link touchedRamMiB}. */
  readonly beyondRamMiB: number;
  /** Of it, the guest's own WebAssembly memory: registers, tables, decoded code. */
  readonly ownMemoryMiB: number;
  /** Of it, an executor's worker that has loaded its program and no guest; under Node. */
  readonly workerMiB?: number;
  readonly load: number;
}

export interface Failure {
  readonly section: Section;
  readonly arch: Architecture;
  readonly row: string;
  readonly peer: string;
  readonly round: number;
  readonly message: string;
}

/** What a guest says of the processor that its peer gives it. */
export interface GuestDescription {
  readonly peer: string;
  readonly arch: Architecture;
  readonly cpu: string;
  /** `bugs` of /proc/cpuinfo: what the kernel pays mitigations for. */
  readonly bugs: string;
  readonly clockSource: string;
}
