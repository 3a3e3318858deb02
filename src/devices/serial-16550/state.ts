/** State of a 16550A serial port. */
import { array, struct } from '../../base/struct.ts';

export const Serial16550 = struct('Serial16550', 1, {
  interruptEnable: 'u8',
  fifoControl: 'u8',
  lineControl: 'u8',
  modemControl: 'u8',
  modemStatus: 'u8',
  scratch: 'u8',
  divisorLow: 'u8',
  divisorHigh: 'u8',
  /** Sticky error bits of the line status register (overrun). */
  lineErrors: 'u8',
  /** 1 while a transmitter-empty interrupt is pending; IIR reads and THR writes clear it. */
  thrInterrupt: 'u8',
  receiveCount: 'u8',
  receiveHead: 'u8',
  transmitCount: 'u8',
  transmitHead: 'u8',
  /** Level of the interrupt output. */
  line: 'u8',
  /** Guest time at which waiting output is tried again; 0 = nothing waits. */
  retryNs: 'f64',
  /** Guest time at which the receiver's time-out interrupt is due; 0 = none. */
  receiveTimeoutNs: 'f64',
  receiveTimedOut: 'u8',
  /** Reads of the line status in a row, up to the number that counts as polling. */
  statusPolled: 'u8',
  receiveFifo: array('u8', 16),
  transmitFifo: array('u8', 16),
});
