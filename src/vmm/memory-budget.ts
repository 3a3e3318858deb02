/**
 * How much memory the guests of a page may take together: what the user has set, kept between visits, or what the browser
 * says of the device.
 */
import { parseMemoryMiB } from './catalogue.ts';
import { VmmError } from './errors.ts';
import type { Settings } from './host.ts';

const key = 'tabvisor.memoryLimitMiB';
const leastMiB = 16;
const mostMiB = 2 ** 20;
/** Where the browser does not say what the device has. */
const assumedDeviceGiB = 4;
const largestDefaultMiB = 4096;
const smallestDefaultMiB = 1024;

export interface MemoryBudget {
  readonly mib: number;
  /** Who says so: the user, the device (`navigator.deviceMemory`), or nobody. */
  readonly from: 'user' | 'device' | 'default';
}

/** @param deviceGiB what the device has, as far as the browser says (rounded, and 8 at most or so) */
export function initialBudget(settings: Settings | undefined, deviceGiB: number | undefined): MemoryBudget {
  const kept = parseMemoryMiB(settings?.read(key) ?? '');
  if (kept !== undefined) return { mib: kept, from: 'user' };
  const half = ((deviceGiB ?? assumedDeviceGiB) / 2) * 1024;
  const mib = Math.min(largestDefaultMiB, Math.max(smallestDefaultMiB, half));
  return { mib, from: deviceGiB === undefined ? 'default' : 'device' };
}

/** Keeps a budget that the user has set. @throws VmmError `badArgument` */
export function keepBudget(settings: Settings | undefined, mib: number): MemoryBudget {
  if (!Number.isInteger(mib) || mib < leastMiB || mib > mostMiB) {
    throw new VmmError(
      'badArgument',
      `The memory budget must be a whole number of MiB from ${leastMiB} to ${mostMiB}, not ${String(mib)}.`,
    );
  }
  settings?.write(key, String(mib));
  return { mib, from: 'user' };
}
