/** State of the keyboard controller and its keyboard. */
import { array, struct } from '../../base/struct.ts';

export const I8042State = struct('I8042', 1, {
  configuration: 'u8',
  outputPort: 'u8',
  /** Command that awaits its data byte at port 60h; 0 = none. */
  pendingCommand: 'u8',
  /** Keyboard command that awaits its argument; 0 = none. */
  keyboardPending: 'u8',
  keyboardEnabled: 'u8',
  status: 'u8',
  /** Bytes to be read at port 60h: values, and whether each comes from the aux port. */
  queueHead: 'u8',
  queueCount: 'u8',
  queue: array('u8', 16),
  queueAux: array('u8', 16),
});
