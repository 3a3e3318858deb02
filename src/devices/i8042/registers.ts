/** The PC/AT keyboard controller (IBM PC/AT Technical Reference, "Keyboard Controller"; ports 60h and 64h). */
export const command = {
  readConfiguration: 0x20,
  writeConfiguration: 0x60,
  disableAux: 0xa7,
  enableAux: 0xa8,
  testAux: 0xa9,
  selfTest: 0xaa,
  testKeyboard: 0xab,
  disableKeyboard: 0xad,
  enableKeyboard: 0xae,
  readInput: 0xc0,
  readOutput: 0xd0,
  writeOutput: 0xd1,
  loopKeyboard: 0xd2,
  loopAux: 0xd3,
  writeAux: 0xd4,
  /** F0h–FFh pulse output lines; bit 0 clear pulses reset. */
  pulseFirst: 0xf0,
} as const;

export const status = { outputFull: 1, inputFull: 2, system: 4, command: 8, unlocked: 0x10, aux: 0x20 } as const;

export const configuration = {
  keyboardInterrupt: 1,
  auxInterrupt: 2,
  system: 4,
  keyboardDisabled: 0x10,
  auxDisabled: 0x20,
  translate: 0x40,
} as const;

/** Bits of the output port: reset (active low), A20. */
export const outputPort = { notReset: 1, a20: 2, keyboardFull: 0x10, auxFull: 0x20 } as const;

/** Commands to the keyboard itself. */
export const keyboard = {
  setLeds: 0xed,
  echo: 0xee,
  scanCodeSet: 0xf0,
  identify: 0xf2,
  setRate: 0xf3,
  enable: 0xf4,
  disable: 0xf5,
  defaults: 0xf6,
  reset: 0xff,
  acknowledge: 0xfa,
  resend: 0xfe,
  passed: 0xaa,
} as const;
