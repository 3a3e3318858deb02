/** Registers of the 16550A UART (National Semiconductor PC16550D datasheet, §8). Offsets from the port's base. */
export const register = {
  /** Receiver buffer (read), transmitter holding (write); divisor low with DLAB. */
  data: 0,
  /** Interrupt enable; divisor high with DLAB. */
  interruptEnable: 1,
  /** Interrupt identification (read), FIFO control (write). */
  interruptIdFifoControl: 2,
  lineControl: 3,
  modemControl: 4,
  lineStatus: 5,
  modemStatus: 6,
  scratch: 7,
} as const;

/** §8.7 */
export const interruptEnable = { receive: 1, transmit: 2, line: 4, modem: 8 } as const;

/** §8.6, in order of priority */
export const interruptId = {
  none: 1,
  modem: 0,
  transmit: 2,
  receive: 4,
  line: 6,
  receiveTimeout: 0xc,
  fifosEnabled: 0xc0,
} as const;

/** §8.5 */
export const fifoControl = { enable: 1, clearReceive: 2, clearTransmit: 4 } as const;
/** Receive FIFO trigger levels by bits 6–7 of the FIFO control register. */
export const triggerLevels = [1, 4, 8, 14] as const;

/** §8.3 */
export const lineControl = { divisorLatch: 0x80 } as const;

/** §8.8 */
export const modemControl = { dtr: 1, rts: 2, out1: 4, out2: 8, loop: 0x10 } as const;

/** §8.4 */
export const lineStatus = { dataReady: 1, overrun: 2, transmitEmpty: 0x20, transmitterIdle: 0x40 } as const;

/** §8.9 */
export const modemStatus = { deltaMask: 0x0f, cts: 0x10, dsr: 0x20, ring: 0x40, carrier: 0x80 } as const;
