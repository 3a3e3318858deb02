/**
 * What the coordinator and a *processor* say to each other by message: an executor worker of bare-metal mode, which runs
 * whichever guest the scheduler gives it (docs/adr/0015). Everything that happens while guests run goes through the host
 * page (`host-page.ts`) and the guests' control pages.
 *
 *     join(options)       takes a number on the host page
 *     add(vcpu, options)  knows a guest from now on, or lays a new one out; it runs once the coordinator admits it
 *     run()               runs guests until the number is no longer granted; answers other calls meanwhile
 *     remove(vcpu)        forgets the guest
 *
 * Before each call but `join` and `run` the coordinator counts `HostExecutor.mail` up, so that a processor that computes
 * returns to its event loop.
 */
import type { Port } from '../base/port.ts';
import type { RegionResult, RunResult, StartOptions, StartResult } from './executor.ts';

export interface JoinOptions {
  readonly page: SharedArrayBuffer;
  /** Its number on the host page. */
  readonly executor: number;
  /** `performance.timeOrigin` of the coordinator's thread. */
  readonly originMs: number;
  /** Takes {@link ProcessorEvent}s; to be transferred. */
  readonly events: Port;
}

/** Told as it happens, while the processor goes on with other guests. */
export type ProcessorEvent =
  /** A guest has ended or was parked: no processor runs it any more. */
  | { readonly kind: 'result'; readonly vcpu: number; readonly result: RunResult }
  /** A guest could not be taken over, or broke its processor's rules. */
  | { readonly kind: 'failed'; readonly vcpu: number; readonly message: string };

export interface ProcessorApi {
  join(options: JoinOptions): Promise<void>;
  /** `fresh`: lays the guest out, for one processor; the others are given it not fresh. */
  add(vcpu: number, options: StartOptions): Promise<StartResult>;
  remove(vcpu: number): Promise<void>;
  /** Compiled code of an address, as far as this processor has any; see `ExecutorApi.region`. */
  region(vcpu: number, address: bigint): Promise<RegionResult>;
  run(): Promise<void>;
}
