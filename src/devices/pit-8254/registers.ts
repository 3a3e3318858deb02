/** The 8254 timer (Intel 8254 datasheet, order 231164) and port 61h (PIIX3 datasheet, NMI status and control). */
export const frequencyHz = 1_193_182;

/** Offsets: counters 0–2, control word. */
export const register = { control: 3 } as const;

/** Control word: bits 6–7 counter (3 = read-back), 4–5 access (0 = latch), 1–3 mode, 0 BCD. */
export const access = { latch: 0, low: 1, high: 2, lowHigh: 3 } as const;
export const readBack = { noCount: 0x20, noStatus: 0x10 } as const;

/** Port 61h. Bits 0–1 are written; 4 toggles with refresh, 5 is counter 2's output. */
export const portB = { gate2: 1, speaker: 2, writable: 0x0f, refresh: 0x10, output2: 0x20 } as const;
