/**
 * The pair of 8259A interrupt controllers of a PC: ports 20h–21h, A0h–A1h and the edge/level registers 4D0h–4D1h.
 * The slave's output is the master's input 2. `changed` is called whenever the output to the processor may have
 * changed; `output` says what it is.
 */
import { floating, type IoResult, type PortIo, type Resettable } from '../capabilities.ts';
import { elcrWritable, icw1, icw4, ocw2, ocw3 } from './registers.ts';
import { Pic8259 } from './state.ts';

const cascade = 2;

export class PicPair implements Resettable {
  readonly #s: ReturnType<typeof Pic8259.at>;
  readonly #changed: () => void;
  /** Port interfaces: two ports of each chip, two of the edge/level registers. */
  readonly master: PortIo;
  readonly slave: PortIo;
  readonly elcr: PortIo;

  constructor(buffer: ArrayBufferLike, address: number, changed: () => void) {
    this.#s = Pic8259.at(buffer, address);
    this.#changed = changed;
    this.master = this.#chipPorts(0);
    this.slave = this.#chipPorts(1);
    this.elcr = {
      readPort: (offset, size) => (size === 1 ? (this.#s.elcr[offset] ?? 0) : floating),
      writePort: (offset, size, value) => {
        if (size === 1) this.#s.elcr[offset] = value & (elcrWritable[offset] ?? 0);
      },
    };
  }

  reset(): void {
    const s = this.#s;
    for (const field of [s.irr, s.isr, s.lines, s.elcr, s.vectorBase, s.initStep, s.icw4Needed, s.autoEoi])
      field.fill(0);
    for (const field of [s.rotateOnAutoEoi, s.specialFullyNested, s.specialMask, s.readIsr, s.poll]) field.fill(0);
    s.highest.fill(0);
    s.imr.fill(0xff);
    this.#changed();
  }

  /** What firmware does for inputs that PCI functions share. */
  setLevelTriggered(irq: number): void {
    this.#or(this.#s.elcr, irq >> 3, 1 << (irq & 7));
  }

  /** Input line 0…15 changes its level. */
  setLine(irq: number, level: number): void {
    this.#setInput(irq >> 3, irq & 7, level);
    this.#update();
  }

  #setInput(chip: number, input: number, level: number): void {
    const s = this.#s;
    const bit = 1 << input;
    const before = (s.lines[chip] ?? 0) & bit;
    const isLevel = ((s.elcr[chip] ?? 0) & bit) !== 0;
    if (level !== 0) {
      if (before === 0 || isLevel) this.#or(s.irr, chip, bit);
      this.#or(s.lines, chip, bit);
    } else {
      // An edge that was not acknowledged before the line fell is lost (datasheet: IR must stay high until INTA).
      this.#and(s.irr, chip, ~bit);
      this.#and(s.lines, chip, ~bit);
    }
  }

  #or(field: Uint8Array, chip: number, bits: number): void {
    field[chip] = (field[chip] ?? 0) | bits;
  }

  #and(field: Uint8Array, chip: number, bits: number): void {
    field[chip] = (field[chip] ?? 0) & bits;
  }

  /** True when the master requests an interrupt of the processor. */
  get output(): boolean {
    return this.#pending(0) >= 0;
  }

  /** The processor's interrupt acknowledge cycles: the vector. A request that has gone is vector 7 of the chip. */
  acknowledge(): number {
    const input = this.#pending(0);
    if (input < 0) return ((this.#s.vectorBase[0] ?? 0) & 0xf8) | 7;
    this.#service(0, input);
    let vector = ((this.#s.vectorBase[0] ?? 0) & 0xf8) | input;
    if (input === cascade) {
      const slaveInput = this.#pending(1);
      vector = ((this.#s.vectorBase[1] ?? 0) & 0xf8) | (slaveInput < 0 ? 7 : slaveInput);
      if (slaveInput >= 0) this.#service(1, slaveInput);
    }
    this.#update();
    return vector;
  }

  /** Order of an input in the chip's current priority, 0 = highest. */
  #order(chip: number, input: number): number {
    return (input - (this.#s.highest[chip] ?? 0)) & 7;
  }

  /** The highest-priority set bit of `bits`, or −1. */
  #best(chip: number, bits: number): number {
    if (bits === 0) return -1;
    const highest = this.#s.highest[chip] ?? 0;
    for (let i = 0; i < 8; i++) {
      const input = (highest + i) & 7;
      if ((bits & (1 << input)) !== 0) return input;
    }
    return -1;
  }

  /** The input that a chip requests service for, or −1. */
  #pending(chip: number): number {
    const s = this.#s;
    const input = this.#best(chip, (s.irr[chip] ?? 0) & ~(s.imr[chip] ?? 0));
    if (input < 0) return -1;
    let isr = s.isr[chip] ?? 0;
    if (s.specialMask[chip]) isr &= ~(s.imr[chip] ?? 0);
    if (chip === 0 && s.specialFullyNested[0] && input === cascade) isr &= ~(1 << cascade);
    const serviced = this.#best(chip, isr);
    if (serviced < 0) return input;
    return this.#order(chip, input) < this.#order(chip, serviced) ? input : -1;
  }

  #service(chip: number, input: number): void {
    const s = this.#s;
    const bit = 1 << input;
    if (((s.elcr[chip] ?? 0) & bit) === 0) this.#and(s.irr, chip, ~bit);
    if (s.autoEoi[chip]) {
      if (s.rotateOnAutoEoi[chip]) s.highest[chip] = (input + 1) & 7;
    } else {
      this.#or(s.isr, chip, bit);
    }
  }

  /** Passes the slave's output on to the master and the master's to the processor. */
  #update(): void {
    const want = this.#pending(1) >= 0 ? 1 : 0;
    const have = ((this.#s.lines[0] ?? 0) >> cascade) & 1;
    // After an acknowledge, the slave's line must drop and rise for the next edge: repeat it if still wanted.
    const latched = ((this.#s.irr[0] ?? 0) >> cascade) & 1;
    if (want !== have || want !== latched) {
      this.#setInput(0, cascade, 0);
      if (want) this.#setInput(0, cascade, 1);
    }
    this.#changed();
  }

  #chipPorts(chip: number): PortIo {
    return {
      readPort: (offset, size) => (size === 1 ? this.#read(chip, offset) : floating),
      writePort: (offset, size, value) => {
        if (size !== 1) return;
        if (offset === 0) this.#command(chip, value & 0xff);
        else this.#data(chip, value & 0xff);
        this.#update();
      },
    };
  }

  #read(chip: number, offset: number): IoResult {
    const s = this.#s;
    if (s.poll[chip]) {
      s.poll[chip] = 0;
      const input = this.#pending(chip);
      if (input < 0) return 0;
      this.#service(chip, input);
      this.#update();
      return 0x80 | input;
    }
    if (offset === 1) return s.imr[chip] ?? 0;
    return (s.readIsr[chip] ? s.isr[chip] : s.irr[chip]) ?? 0;
  }

  #command(chip: number, value: number): void {
    const s = this.#s;
    if ((value & icw1.initialize) !== 0) {
      this.#initialize(chip, value);
    } else if ((value & ocw3.isOcw3) !== 0) {
      if ((value & ocw3.poll) !== 0) s.poll[chip] = 1;
      if ((value & ocw3.readRegister) !== 0) s.readIsr[chip] = value & ocw3.readIsr;
      if ((value & ocw3.setSpecialMask) !== 0) s.specialMask[chip] = (value & ocw3.specialMask) !== 0 ? 1 : 0;
    } else {
      this.#endOfInterrupt(chip, value);
    }
  }

  #initialize(chip: number, value: number): void {
    const s = this.#s;
    s.initStep[chip] = 2;
    s.icw4Needed[chip] = value & icw1.needIcw4;
    s.imr[chip] = 0;
    s.isr[chip] = 0;
    // Edges must be seen anew; asserted level inputs stay.
    this.#and(s.irr, chip, (s.elcr[chip] ?? 0) & (s.lines[chip] ?? 0));
    s.highest[chip] = 0;
    s.readIsr[chip] = 0;
    s.specialMask[chip] = 0;
    s.autoEoi[chip] = 0;
    s.rotateOnAutoEoi[chip] = 0;
    s.specialFullyNested[chip] = 0;
    s.poll[chip] = 0;
  }

  #endOfInterrupt(chip: number, value: number): void {
    const s = this.#s;
    const rotate = (value & ocw2.rotate) !== 0;
    const specific = (value & ocw2.specific) !== 0;
    if ((value & ocw2.eoi) === 0) {
      if (specific) {
        if (rotate) s.highest[chip] = ((value & 7) + 1) & 7;
      } else {
        s.rotateOnAutoEoi[chip] = rotate ? 1 : 0;
      }
      return;
    }
    let serviced = s.isr[chip] ?? 0;
    if (s.specialMask[chip]) serviced &= ~(s.imr[chip] ?? 0);
    const input = specific ? value & 7 : this.#best(chip, serviced);
    if (input < 0) return;
    this.#and(s.isr, chip, ~(1 << input));
    if (rotate) s.highest[chip] = (input + 1) & 7;
  }

  #data(chip: number, value: number): void {
    const s = this.#s;
    switch (s.initStep[chip]) {
      case 2:
        s.vectorBase[chip] = value & 0xf8;
        s.initStep[chip] = 3;
        return;
      case 3:
        s.initStep[chip] = s.icw4Needed[chip] ? 4 : 0;
        return;
      case 4:
        s.autoEoi[chip] = (value & icw4.autoEoi) !== 0 ? 1 : 0;
        s.specialFullyNested[chip] = (value & icw4.specialFullyNested) !== 0 ? 1 : 0;
        s.initStep[chip] = 0;
        return;
      default:
        s.imr[chip] = value;
    }
  }
}
