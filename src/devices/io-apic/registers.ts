/** Registers of the I/O APIC (Intel 82093AA datasheet, §3). */
/** MMIO offsets. */
export const window = { select: 0x00, data: 0x10 } as const;
/** Indirect registers. */
export const register = { id: 0, version: 1, arbitration: 2, redirection: 0x10 } as const;
export const pins = 24;
/** Version 11h, 24 entries (§3.2.2). */
export const versionValue = 0x11 | ((pins - 1) << 16);
/** Low half of a redirection entry (§3.2.4). */
export const entry = {
  logical: 0x800,
  pending: 0x1000,
  activeLow: 0x2000,
  remoteIrr: 0x4000,
  level: 0x8000,
  masked: 0x10000,
  writable: 0x1afff,
} as const;
