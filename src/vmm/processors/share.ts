/** What a guest is due of the processors in bare-metal mode, and the settings of the processors themselves. */
import {
  allExecutors,
  defaultWeight,
  maximumWeight,
  type HostVcpuAccess,
  type TraceEntry,
} from '../../abi/host-page.ts';
import type { Definition } from '../definition.ts';
import { VmmError } from '../errors.ts';

/** `hosted`: browser and operating system decide who runs. `bare-metal`: Tabvisor's scheduler does. */
export type ProcessorMode = 'hosted' | 'bare-metal';

export interface Affinity {
  /** Numbers of the processors that may run the guest; empty: all. Where none of them is granted, all may, too. */
  readonly hard?: readonly number[];
  /** Those that should, where it makes no big difference; empty: all. */
  readonly soft?: readonly number[];
}

export interface Share {
  /** Of processor time, relative to the weights of other guests: 1 … 65535; 256 when nothing was said. */
  readonly weight: number;
  /** Most of one processor's time that it gets, in percent: 1 … 100; 0: no cap. */
  readonly cap: number;
  readonly affinity: Affinity;
}

export const defaultShare: Share = { weight: defaultWeight, cap: 0, affinity: {} };

export interface ProcessorSettings {
  readonly mode: ProcessorMode;
  /** Processors that are granted in bare-metal mode: 1 … what the host has. */
  readonly count: number;
  /** Bare-metal mode: how long a guest runs while others wait, 1 … 1000 ms. */
  readonly timeSliceMs: number;
}

/** A processor of bare-metal mode; times since it was granted. */
export interface ProcessorUse {
  readonly busySeconds: number;
  readonly idleSeconds: number;
  readonly switches: number;
  /** Switches to guests that it had run last, and what they took: from one guest's last instruction to the next's. */
  readonly knownSwitches: number;
  readonly knownSwitchSeconds: number;
  /** Of the last ones, in µs; a busy host may take the processor away in the middle of one. */
  readonly knownSwitchMicroseconds: readonly number[];
  /** The same of guests that another processor had run. */
  readonly takeOvers: number;
  readonly takeOverSeconds: number;
  /** Id of the guest that it runs. */
  readonly guest: string | undefined;
}

/** What a guest had of the processors since it came into bare-metal mode. */
export interface ProcessorTime {
  readonly runSeconds: number;
  /** It was ready to run and waited. */
  readonly stealSeconds: number;
  readonly switches: number;
  /** Times that another processor took it over. */
  readonly moves: number;
  /** The processor that runs it or ran it last. */
  readonly processor: number | undefined;
}

export interface ProcessorsState extends ProcessorSettings {
  /** Processors that the host has. */
  readonly available: number;
  /** Bare-metal mode: those that are granted. */
  readonly processors: readonly ProcessorUse[];
  /** Bare-metal mode: the guests that run, by id. */
  readonly guests: Readonly<Record<string, ProcessorTime>>;
}

/** A decision of the scheduler: who ran where from when on, and why. */
export interface ScheduleEntry extends Omit<TraceEntry, 'executor' | 'vcpu' | 'before' | 'from'> {
  readonly processor: number;
  /** Id of the guest that runs from then on; undefined: none, the processor idles. */
  readonly guest: string | undefined;
  /** Id of the one that ran before. */
  readonly before: string | undefined;
  /** The processor that ran `guest` last. */
  readonly from: number | undefined;
}

/** What its definition says that a guest is due of the processors. */
export function shareOf({ weight, capPercent, hardAffinity = [], softAffinity = [] }: Definition): Share {
  return { weight, cap: capPercent, affinity: { hard: hardAffinity, soft: softAffinity } };
}

/** The share with what is to be different. @throws VmmError `badArgument` */
export function changedShare(share: Share, change: Partial<Share>): Share {
  const { weight = share.weight, cap = share.cap, affinity = share.affinity } = change;
  if (!Number.isInteger(weight) || weight < 1 || weight > maximumWeight) {
    throw new VmmError(
      'badArgument',
      `A weight of ${weight} makes no sense: give a whole number from 1 to ${maximumWeight}.`,
    );
  }
  if (!Number.isInteger(cap) || cap < 0 || cap > 100) {
    throw new VmmError(
      'badArgument',
      `A cap of ${cap} % makes no sense: give a whole number from 1 to 100, or 0 for none.`,
    );
  }
  // Both are checked before anything is changed.
  maskOf(affinity.hard);
  maskOf(affinity.soft);
  return { weight, cap, affinity };
}

/** Bits of the host page for numbers of processors. @throws VmmError `badArgument` */
function maskOf(processors: readonly number[] = []): number {
  let mask = 0;
  for (const n of processors) {
    if (!Number.isInteger(n) || n < 0 || n > 31) {
      throw new VmmError('badArgument', `There is no processor ${n}: they are numbered from 0.`);
    }
    mask |= 1 << n;
  }
  return mask === 0 ? allExecutors : mask >>> 0;
}

export function enterShare(vcpu: HostVcpuAccess, { weight, cap, affinity }: Share): void {
  vcpu.weight = weight;
  vcpu.capPercent = cap;
  vcpu.hardMask = maskOf(affinity.hard);
  vcpu.softMask = maskOf(affinity.soft);
}

/** The settings with what is to be different. @throws VmmError `badArgument` */
export function changedSettings(
  settings: ProcessorSettings,
  change: Partial<ProcessorSettings>,
  available: number,
): ProcessorSettings {
  const { mode = settings.mode, count = settings.count, timeSliceMs = settings.timeSliceMs } = change;
  if (mode !== 'hosted' && mode !== 'bare-metal') {
    throw new VmmError('badArgument', `There is no mode "${String(mode)}": it is "hosted" or "bare-metal".`);
  }
  if (!Number.isInteger(count) || count < 1 || count > available) {
    const range = available === 1 ? 'has 1' : `has ${available}: give a number from 1 to ${available}`;
    throw new VmmError('badArgument', `${count} processors cannot be granted. This host ${range}.`);
  }
  if (!(timeSliceMs >= 1 && timeSliceMs <= 1000)) {
    throw new VmmError('badArgument', `A time slice of ${timeSliceMs} ms makes no sense: give 1 to 1000.`);
  }
  return { mode, count, timeSliceMs };
}

/** What `?mode=bare-metal&processors=2&slice=10` asks for; undefined if it says nothing of processors. */
export function settingsOfQuery(query: string): Partial<ProcessorSettings> | undefined {
  const parameters = new URLSearchParams(query);
  const mode = parameters.get('mode');
  const count = parameters.get('processors');
  const slice = parameters.get('slice');
  if (mode === null && count === null && slice === null) return undefined;
  return {
    // Whatever else is written there is refused with a sentence when it is applied.
    ...(mode === null ? {} : { mode: mode as ProcessorMode }),
    ...(count === null ? {} : { count: Number(count) }),
    ...(slice === null ? {} : { timeSliceMs: Number(slice) }),
  };
}
