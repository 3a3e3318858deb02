/** Bits of a PCI function's registers (PCI 3.0 §6.2). */
export const command = {
  ports: 1 << 0,
  memory: 1 << 1,
  busMaster: 1 << 2,
  parityErrorResponse: 1 << 6,
  systemError: 1 << 8,
  interruptDisable: 1 << 10,
} as const;

/** Those that a driver can change. */
export const commandWritable = Object.values(command).reduce((all, bit) => all | bit, 0);

export const status = {
  interrupt: 1 << 3,
  capabilities: 1 << 4,
  /** Medium DEVSEL timing. */
  mediumTiming: 1 << 9,
} as const;

export const bar = { addressMask: 0xfffffff0 } as const;

/** Bit 7 of the header type. */
export const multifunctionBit = 0x80;

export const configBytes = 256;
