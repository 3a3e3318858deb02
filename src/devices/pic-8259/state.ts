/** State of the pair of 8259A interrupt controllers: element 0 is the master, 1 the slave. */
import { array, struct } from '../../base/struct.ts';

export const Pic8259 = struct('Pic8259', 1, {
  /** Interrupt request register: latched edges and asserted levels. */
  irr: array('u8', 2),
  /** In-service register. */
  isr: array('u8', 2),
  /** Interrupt mask register. */
  imr: array('u8', 2),
  /** Levels of the input lines. */
  lines: array('u8', 2),
  /** Edge/level control: bit set = level. */
  elcr: array('u8', 2),
  /** ICW2: vector of input 0. */
  vectorBase: array('u8', 2),
  /** Step of the initialization sequence: 0 = operating, else the ICW that is awaited (2, 3, 4). */
  initStep: array('u8', 2),
  icw4Needed: array('u8', 2),
  autoEoi: array('u8', 2),
  rotateOnAutoEoi: array('u8', 2),
  specialFullyNested: array('u8', 2),
  specialMask: array('u8', 2),
  readIsr: array('u8', 2),
  poll: array('u8', 2),
  /** Input with the highest priority. */
  highest: array('u8', 2),
});
