/** Command words of the 8259A interrupt controller (Intel 8259A datasheet, order 231468). */
export const icw1 = { needIcw4: 1, single: 2, level: 8, initialize: 0x10 } as const;
export const icw4 = { autoEoi: 2, specialFullyNested: 0x10 } as const;
/** OCW2, bits 5–7. */
export const ocw2 = { eoi: 0x20, specific: 0x40, rotate: 0x80, select: 0x18 } as const;
/** OCW3. */
export const ocw3 = {
  isOcw3: 0x08,
  readIsr: 1,
  readRegister: 2,
  poll: 4,
  specialMask: 0x20,
  setSpecialMask: 0x40,
} as const;
/** Elcr (82371SB PIIX3 datasheet §2.5.5): lines that cannot be level: 0, 1, 2, 8, 13. */
export const elcrWritable = [0xf8, 0xde] as const;
