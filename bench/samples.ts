/** What is measured: the records that the tables are made of, and that the result file keeps. */
import type { Architecture } from '../guests/schema.ts';

export type Section = 'workloads' | 'boot' | 'decode';

/** One row on one peer in one round. */
export interface Sample {
  readonly section: Section;
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
