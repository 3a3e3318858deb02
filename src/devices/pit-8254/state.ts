/** State of the 8254 timer; element n of each array is counter n. */
import { array, struct } from '../../base/struct.ts';

export const Pit8254 = struct('Pit8254', 1, {
  /** Guest time at which the counter began to count from `count`. */
  startNs: array('f64', 3),
  /** Next change of counter 0's output that raises IRQ 0; 0 = none. */
  deadlineNs: 'f64',
  /** Clock ticks from `startNs` to that deadline. */
  deadlineTicks: 'f64',
  /** Count in effect, 1…65536; 0 = none loaded since the control word. */
  count: array('u32', 3),
  /** A count to take at the end of the period (modes 2, 3) or at the next trigger (1, 5); 0 = none. */
  nextCount: array('u32', 3),
  /** Latched count, and which bytes of it are still to be read: 0 none, 1 low, 2 high, 3 both. */
  latched: array('u16', 3),
  latchLeft: array('u8', 3),
  statusLatched: array('u8', 3),
  statusValid: array('u8', 3),
  mode: array('u8', 3),
  access: array('u8', 3),
  bcd: array('u8', 3),
  /** Next byte of a two-byte access is the high one. */
  writeHigh: array('u8', 3),
  readHigh: array('u8', 3),
  writeLow: array('u8', 3),
  gate: array('u8', 3),
  /** Modes 1 and 5: a rising gate has started the count. */
  triggered: array('u8', 3),
  /** Ticks counted before the gate stopped the count (modes 0 and 4). */
  heldTicks: array('f64', 3),
  portB: 'u8',
});
