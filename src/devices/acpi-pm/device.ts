/**
 * ACPI fixed hardware: PM1 event and control registers, the 24-bit PM timer, eight general-purpose events, the SCI,
 * power-off (S5). ACPI mode is always on: there is no SMI command port, and SCI_EN reads 1 (ACPI 6.4 §4.8.2.3).
 */
import { never, type DeviceClock, type InterruptLine } from '../capabilities.ts';
import type { IoResult, PortIo, Resettable, Timed } from '../capabilities.ts';
import { control, event, register, sleepTypeS5, timerBits, timerHz } from './registers.ts';
import { AcpiPmState } from './state.ts';

export interface AcpiPmWires {
  readonly clock: DeviceClock;
  /** The SCI, level-triggered. */
  readonly line: InterruptLine;
  powerOff(): void;
}

/** The timer's status bit is set when its top bit changes. */
const halfPeriod = 2 ** (timerBits - 1);

export class AcpiPm implements PortIo, Timed, Resettable {
  readonly #s: ReturnType<typeof AcpiPmState.at>;
  readonly #wires: AcpiPmWires;

  constructor(buffer: ArrayBufferLike, address: number, wires: AcpiPmWires) {
    this.#s = AcpiPmState.at(buffer, address);
    this.#wires = wires;
  }

  reset(): void {
    const s = this.#s;
    s.timerSeenTicks = this.#ticks();
    s.deadlineNs = 0;
    s.status = 0;
    s.enable = 0;
    s.control = control.sciEnable;
    s.line = 0;
    s.gpeStatus = 0;
    s.gpeEnable = 0;
    this.#wires.line.set(0);
  }

  /** The user presses the power button. */
  pressPowerButton(): void {
    this.#s.status |= event.powerButton;
    this.#updateLine();
  }

  /** General-purpose event `number` (0 to 7) happens: its status stays until the guest has cleared it. */
  raiseGpe(number: number): void {
    this.#s.gpeStatus |= 1 << number;
    this.#updateLine();
  }

  #ticks(): number {
    return Math.floor((this.#wires.clock.nowNs() * timerHz) / 1e9);
  }

  readPort(offset: number, size: number): IoResult {
    this.#pollTimer();
    const aligned = offset & ~3;
    const s = this.#s;
    const word =
      aligned === register.status
        ? s.status + s.enable * 0x10000
        : aligned === register.control
          ? s.control
          : aligned === register.timer
            ? this.#ticks() % 2 ** timerBits
            : aligned === register.gpeStatus
              ? s.gpeStatus + s.gpeEnable * 0x100
              : 0;
    const value = Math.floor(word / 2 ** ((offset & 3) * 8));
    return size === 4 ? value : value & (size === 1 ? 0xff : 0xffff);
  }

  writePort(offset: number, size: number, value: number): void {
    const s = this.#s;
    if (size === 4) {
      this.writePort(offset, 2, value & 0xffff);
      this.writePort(offset + 2, 2, value >>> 16);
      return;
    }
    const shift = (offset & 1) * 8;
    const mask = size === 1 ? 0xff << shift : 0xffff;
    const bits = (value << shift) & mask;
    switch (offset & ~1) {
      case register.status:
        this.#pollTimer();
        s.status &= ~bits;
        break;
      case register.enable:
        this.#pollTimer();
        s.enable = (s.enable & ~mask) | bits;
        break;
      case register.gpeStatus:
        // Status in the low byte, enable bits in the high one.
        s.gpeStatus &= ~bits;
        s.gpeEnable = ((s.gpeEnable & ~(mask >> 8)) | (bits >> 8)) & 0xff;
        break;
      case register.control:
        this.#writeControl((s.control & ~mask) | bits);
        break;
    }
    this.#updateLine();
  }

  #writeControl(value: number): void {
    this.#s.control = (value & control.writable) | control.sciEnable;
    if ((value & control.sleepEnable) === 0) return;
    if (((value >> control.sleepTypeShift) & 7) === sleepTypeS5) this.#wires.powerOff();
  }

  #pollTimer(): void {
    const s = this.#s;
    const ticks = this.#ticks();
    if (Math.floor(ticks / halfPeriod) !== Math.floor(s.timerSeenTicks / halfPeriod)) s.status |= event.timer;
    s.timerSeenTicks = ticks;
  }

  #updateLine(): void {
    const s = this.#s;
    if ((s.enable & event.timer) === 0 || (s.status & event.timer) !== 0) {
      s.deadlineNs = 0;
    } else {
      const next = (Math.floor(s.timerSeenTicks / halfPeriod) + 1) * halfPeriod;
      s.deadlineNs = Math.ceil((next * 1e9) / timerHz) + 1;
    }
    const fixed = s.status & s.enable & (event.timer | event.powerButton | event.sleepButton);
    const level = (fixed | (s.gpeStatus & s.gpeEnable)) !== 0 ? 1 : 0;
    if (level === s.line) return;
    s.line = level;
    this.#wires.line.set(level);
  }

  nextDeadlineNs(): number {
    return this.#s.deadlineNs === 0 ? never : this.#s.deadlineNs;
  }

  onDeadline(nowNs: number): void {
    const s = this.#s;
    if (s.deadlineNs === 0 || s.deadlineNs > nowNs) return;
    this.#pollTimer();
    this.#updateLine();
  }
}
