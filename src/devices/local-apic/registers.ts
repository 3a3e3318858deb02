/**
 * Registers of the local APIC (SDM vol. 3, chapter 10; table 10-1). MMIO offset = number × 16; x2APIC MSR = 800h + number.
 */
export const register = {
  id: 0x02,
  version: 0x03,
  taskPriority: 0x08,
  arbitrationPriority: 0x09,
  processorPriority: 0x0a,
  endOfInterrupt: 0x0b,
  remoteRead: 0x0c,
  logicalDestination: 0x0d,
  destinationFormat: 0x0e,
  spurious: 0x0f,
  inService: 0x10,
  triggerMode: 0x18,
  interruptRequest: 0x20,
  errorStatus: 0x28,
  lvtCmci: 0x2f,
  commandLow: 0x30,
  commandHigh: 0x31,
  lvtTimer: 0x32,
  lvtThermal: 0x33,
  lvtPerformance: 0x34,
  lvtLint0: 0x35,
  lvtLint1: 0x36,
  lvtError: 0x37,
  initialCount: 0x38,
  currentCount: 0x39,
  divide: 0x3e,
  selfIpi: 0x3f,
} as const;

/** Version 14h, six LVT entries (max entry 5). */
export const versionValue = 0x14 | (5 << 16);

/** Indexes of the LVT entries in the state, in the order of their registers from `lvtTimer`. */
export const lvt = { timer: 0, thermal: 1, performance: 2, lint0: 3, lint1: 4, error: 5 } as const;

/** Writable bits of the LVT entries (figure 10-8). */
export const lvtWritable = [0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff] as const;

export const lvtBit = { masked: 0x10000 } as const;
/** Bits 17–18 of the timer's LVT entry. */
export const timerMode = { oneShot: 0, periodic: 1, tscDeadline: 2 } as const;

/** Delivery modes (§10.5.1, §10.6.1). */
export const delivery = { fixed: 0, lowestPriority: 1, smi: 2, nmi: 4, init: 5, startUp: 6, external: 7 } as const;

export const spuriousBit = { enabled: 0x100 } as const;
export const errorBit = { illegalSent: 0x20, illegalReceived: 0x40, illegalRegister: 0x80 } as const;

/** Flags of IA32_APIC_BASE (§10.4.4, §10.12.1). */
export const apicBase = { x2apic: 0x400, enabled: 0x800 } as const;
export const tscDeadlineMsr = 0x6e0;
export const x2apicFirstMsr = 0x800;
export const x2apicLastMsr = 0x8ff;
