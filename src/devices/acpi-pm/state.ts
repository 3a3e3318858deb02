/** State of the ACPI power-management registers. */
import { struct } from '../../base/struct.ts';

export const AcpiPmState = struct('AcpiPm', 1, {
  /** Ticks of the PM timer (all bits) when its overflow was last looked at. */
  timerSeenTicks: 'f64',
  deadlineNs: 'f64',
  status: 'u16',
  enable: 'u16',
  control: 'u16',
  line: 'u8',
  gpeStatus: 'u8',
  gpeEnable: 'u8',
});
