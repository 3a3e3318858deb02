/** Small ports of the chipset. */
/** Port 92h, system control A (PS/2; PIIX3 datasheet §2.5.4.2). */
export const port92 = { fastReset: 1, a20: 2 } as const;
/** Port CF9h, reset control (PIIX3 datasheet §2.5.4.5). */
export const resetControl = { hard: 2, go: 4 } as const;
