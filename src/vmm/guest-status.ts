/** How a guest stands, for those outside, and why. */
import type { VmmErrorCode } from './errors.ts';
import type { Ending } from './guest-life.ts';

/** Why a guest is no longer running, though nothing went wrong. */
export type StopCause =
  | { readonly kind: 'poweredOff' }
  | { readonly kind: 'killed' }
  /** Through isa-debug-exit. */
  | { readonly kind: 'debugExit'; readonly exitCode: number }
  /** It asked for a reset, and was started with `noReboot`. */
  | { readonly kind: 'resetStopped' };

export type CrashCause =
  /** The guest's own doing: its processor shut down. */
  | { readonly kind: 'tripleFault'; readonly message: string }
  /** The worker died in the midst of the guest, and with it what it was doing. */
  | { readonly kind: 'executorDied'; readonly message: string }
  /** The same, by a trap in the processor core: a defect of Tabvisor. */
  | { readonly kind: 'coreTrapped'; readonly message: string }
  /** The same, as the browser had no memory left for it. */
  | { readonly kind: 'executorOutOfMemory'; readonly message: string };

/** The state of a guest: a closed union, with the cause where there is one. */
export type GuestStatus =
  | { readonly state: 'defined' }
  /** `step` says what is being done, for people. */
  | { readonly state: 'starting'; readonly step: string }
  | { readonly state: 'running' }
  | { readonly state: 'paused' }
  | { readonly state: 'stopped'; readonly cause: StopCause }
  | { readonly state: 'crashed'; readonly cause: CrashCause }
  /** It could not be started. */
  | { readonly state: 'failed'; readonly code: VmmErrorCode; readonly message: string };

export function statusOf(ending: Ending): GuestStatus {
  if (ending.kind === 'killed') return { state: 'stopped', cause: { kind: 'killed' } };
  if (ending.kind === 'executorDied') return { state: 'crashed', cause: deathCause(ending.message) };
  switch (ending.state) {
    case 'stopped':
      return { state: 'stopped', cause: { kind: 'killed' } };
    case 'poweredOff':
      return { state: 'stopped', cause: { kind: 'poweredOff' } };
    case 'debugExit':
      return { state: 'stopped', cause: { kind: 'debugExit', exitCode: ending.exitCode } };
    case 'resetStopped':
      return { state: 'stopped', cause: { kind: 'resetStopped' } };
    case 'crashed':
      return { state: 'crashed', cause: { kind: 'tripleFault', message: ending.message ?? '' } };
  }
}

/** Engines name what a worker died of in the message alone (`Uncaught RuntimeError: unreachable`). */
export function deathCause(message: string): CrashCause {
  if (/out of memory|allocation failed|invalid array( buffer)? length/i.test(message)) {
    return { kind: 'executorOutOfMemory', message };
  }
  if (/\bRuntimeError\b/.test(message)) return { kind: 'coreTrapped', message };
  return { kind: 'executorDied', message };
}
