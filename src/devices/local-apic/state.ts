/** State of the local APIC. */
import { array, struct } from '../../base/struct.ts';

export const LocalApicState = struct('LocalApic', 1, {
  id: 'u32',
  taskPriority: 'u32',
  logicalDestination: 'u32',
  destinationFormat: 'u32',
  spurious: 'u32',
  errorStatus: 'u32',
  /** Errors collected since the last write to the error status register. */
  errorPending: 'u32',
  commandLow: 'u32',
  commandHigh: 'u32',
  initialCount: 'u32',
  divide: 'u32',
  inService: array('u32', 8),
  triggerMode: array('u32', 8),
  interruptRequest: array('u32', 8),
  lvt: array('u32', 6),
  /** Guest time at which the count began. */
  timerStartNs: 'f64',
  /** Guest time at which the timer fires; 0 = never. */
  deadlineNs: 'f64',
  tscDeadline: 'u64',
  /** Guest-physical address of the PV EOI flag byte + 1; 0 = off (KVM paravirtual end of interrupt). */
  pvEoiAddress: 'f64',
  /** 1 while the flag tells the guest that it need not write EOI for the vector in service. */
  pvEoiArmed: 'u32',
});
