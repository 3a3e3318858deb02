/** ACPI fixed hardware (ACPI 6.4 §4.8): offsets from the power-management base. */
export const register = { status: 0, enable: 2, control: 4, timer: 8, gpeStatus: 12, gpeEnable: 13 } as const;
/** General-purpose events 0 to 7 (§4.8.4.1): a byte of status, a byte of enable bits. */
export const gpeBlockBytes = 2;
/** Bytes of the port range. */
export const portCount = 0x10;
/** PM1 status and enable bits (§4.8.3.1). */
export const event = { timer: 1, globalLock: 0x20, powerButton: 0x100, sleepButton: 0x200, wake: 0x8000 } as const;
/** PM1 control (§4.8.3.2). */
export const control = { sciEnable: 1, sleepTypeShift: 10, sleepEnable: 0x2000, writable: 0x1c02 } as const;
/** Sleep type of S5 in `\_S5`. */
export const sleepTypeS5 = 5;
/** §4.8.3.3 */
export const timerHz = 3_579_545;
export const timerBits = 24;
