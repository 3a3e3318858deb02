/** State of the I/O APIC. */
import { array, struct } from '../../base/struct.ts';

export const IoApicState = struct('IoApic', 1, {
  select: 'u32',
  id: 'u32',
  /** Levels of the pins (bit n = pin n asserted), polarity already taken out. */
  lines: 'u32',
  /** Edges that came while an entry could not be delivered. */
  latched: 'u32',
  low: array('u32', 24),
  high: array('u32', 24),
});
