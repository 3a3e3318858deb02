/** State of the real-time clock and CMOS memory. */
import { array, struct } from '../../base/struct.ts';

export const RtcCmos = struct('RtcCmos', 1, {
  /** Nanoseconds from guest time 0 to the calendar's time 0 (1970), negated: calendar = guest time + offset. */
  offsetNs: 'f64',
  /** Calendar time of power-on in seconds since 1970 (UTC); where a reset starts from. */
  epochSeconds: 'f64',
  /** While the SET bit holds the clock: the guest time at which it stopped. */
  heldNs: 'f64',
  periodicDeadlineNs: 'f64',
  secondDeadlineNs: 'f64',
  index: 'u8',
  line: 'u8',
  /** The 128 bytes; calendar registers are made when they are read. */
  memory: array('u8', 128),
});
