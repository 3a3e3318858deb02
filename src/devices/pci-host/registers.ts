/** PCI configuration mechanism #1 (PCI 3.0 §3.2.2.3.2) and the header of type 0 (§6.1). */
export const port = { address: 0, data: 4 } as const;
export const addressBit = { enable: 0x80000000 } as const;
export const header = {
  vendor: 0x00,
  device: 0x02,
  command: 0x04,
  status: 0x06,
  revision: 0x08,
  classCode: 0x09,
  headerType: 0x0e,
  bar0: 0x10,
  subsystemVendor: 0x2c,
  subsystem: 0x2e,
  capabilities: 0x34,
  interruptLine: 0x3c,
  interruptPin: 0x3d,
} as const;
/** 82441FX host bridge (i440FX): vendor, device, revision, class. */
export const hostBridge = { vendor: 0x8086, device: 0x1237, revision: 2, classCode: 0x060000 } as const;
/** 82371SB PCI-to-ISA bridge (PIIX3). */
export const isaBridge = { vendor: 0x8086, device: 0x7000, revision: 0, classCode: 0x060100 } as const;
