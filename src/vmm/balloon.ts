/** What the coordinator asks of a guest's memory balloon: through its control page, for the guest's driver to answer. */
import type { ControlPage } from '../abi/control.ts';
import { guestRamMinimumBytes, type BalloonDefinition } from '../abi/executor.ts';
import { sizeText, VmmError } from './errors.ts';

const mib = 2 ** 20;
const pageBytes = 4096;

/** Every guest of the page has one. It is the guest's to take pages back before it kills programs for them. */
export const guestBalloon: BalloonDefinition = { deflateOnOom: true, freePageReporting: true };

/** The most that a guest with so much RAM can be asked for, in MiB: it keeps what the smallest guest has. */
export function mostBalloonMiB(ramBytes: number): number {
  return Math.max(0, Math.floor((ramBytes - guestRamMinimumBytes) / mib));
}

/** @throws VmmError `badArgument` */
export function setBalloon(control: ControlPage, ramBytes: number, sizeMiB: number): void {
  const most = mostBalloonMiB(ramBytes);
  if (!(sizeMiB >= 0 && sizeMiB <= most)) {
    throw new VmmError(
      'badArgument',
      `The balloon of a guest with ${sizeText(ramBytes)} can have between 0 and ${most} MiB, not ${sizeMiB}.`,
    );
  }
  control.setBalloonTarget(Math.round((sizeMiB * mib) / pageBytes));
}
