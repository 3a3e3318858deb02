/** Requests to an executor that hold as long as they stand (`abi/control.ts`, level bits), and its answers. */
import { requestBit, type ControlPage } from '../abi/control.ts';
import { VmmError } from './errors.ts';

/** How long an executor may take to answer a request before that is an error. It should take under 50 ms. */
const answerLimitMs = 5000;

/** The life whose executor is asked: nobody answers once it is over. */
export interface AskedLife {
  readonly isOver: () => boolean;
  readonly ended: Promise<unknown>;
}

const noAnswer = () => new VmmError('timeout', 'The guest\'s executor does not answer. "Kill" will end it.');

/** Sets or clears level bits; resolves when the executor has acted, or the life is over. @throws VmmError `timeout` */
export async function setLevel(
  control: ControlPage,
  bits: number,
  how: 'set' | 'clear',
  life: AskedLife,
): Promise<void> {
  const serial = how === 'set' ? control.request(bits) : control.release(bits);
  const deadline = Date.now() + answerLimitMs;
  for (;;) {
    const seen = control.load('acknowledgeSerial');
    if (life.isOver() || control.acknowledged(serial)) return;
    const left = deadline - Date.now();
    if (left <= 0) throw noAnswer();
    await Promise.race([control.changed('acknowledgeSerial', seen, left), life.ended]);
  }
}

/**
 * Has the executor park the guest; resolves when `parked` does, or the life is over.
 * @throws VmmError `timeout`; nothing is asked for any more then
 */
export async function park(control: ControlPage, parked: Promise<void>, life: AskedLife): Promise<void> {
  const deadline = Date.now() + answerLimitMs;
  const done = parked.then(() => true as const);
  for (let isParked = false; !isParked && !life.isOver();) {
    const left = deadline - Date.now();
    if (left <= 0) {
      control.release(requestBit.park);
      throw noAnswer();
    }
    const seen = control.load('acknowledgeSerial');
    // A move between kinds of hypervisor parks the guest as well, and then takes the request back.
    if ((control.load('request') & requestBit.park) === 0) control.request(requestBit.park);
    const changed = control.changed('acknowledgeSerial', seen, left);
    isParked = (await Promise.race([done, life.ended, changed])) === true;
  }
}
