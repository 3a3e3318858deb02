/** The MC146818A real-time clock (Motorola datasheet) and the PC's CMOS memory behind ports 70h and 71h. */
export const register = {
  seconds: 0x00,
  secondsAlarm: 0x01,
  minutes: 0x02,
  minutesAlarm: 0x03,
  hours: 0x04,
  hoursAlarm: 0x05,
  weekday: 0x06,
  day: 0x07,
  month: 0x08,
  year: 0x09,
  a: 0x0a,
  b: 0x0b,
  c: 0x0c,
  d: 0x0d,
  /** Memory above 1 MiB in KiB (low, high), as IBM's AT had it; and above 16 MiB in 64 KiB. */
  baseMemoryLow: 0x15,
  extendedLow: 0x17,
  extendedHigh: 0x18,
  extendedLow2: 0x30,
  extendedHigh2: 0x31,
  century: 0x32,
  above16MLow: 0x34,
  above16MHigh: 0x35,
} as const;

export const a = { updating: 0x80, divider: 0x70, normalDivider: 0x20, rate: 0x0f } as const;
export const b = { set: 0x80, periodic: 0x40, alarm: 0x20, update: 0x10, binary: 4, hours24: 2, daylight: 1 } as const;
export const c = { request: 0x80, periodic: 0x40, alarm: 0x20, update: 0x10 } as const;
export const d = { valid: 0x80 } as const;

/** The update flag goes up 244 µs before the registers change. */
export const updateWarningNs = 244_000;
