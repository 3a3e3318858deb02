/** PCI configuration mechanism #1 (PCI 3.0 §3.2.2.3.2), and the bridges of this PC. */
export const port = { address: 0, data: 4 } as const;
export const addressBit = { enable: 0x80000000 } as const;
/** 82441FX host bridge (i440FX): vendor, device, revision, class. */
export const hostBridge = { vendor: 0x8086, device: 0x1237, revision: 2, classCode: 0x060000 } as const;
/** 82371SB PCI-to-ISA bridge (PIIX3). */
export const isaBridge = { vendor: 0x8086, device: 0x7000, revision: 0, classCode: 0x060100 } as const;
