/**
 * 16550A serial port with FIFOs. Bytes are sent in no time: what matters to a guest is that THRE and its interrupt
 * come in the right order, not 115,200 baud. While the console's ring is full, the transmitter stays busy (THRE off)
 * and tries again a little later; nothing is lost. Received bytes wait in the console's ring until the FIFO has room,
 * so there is no overrun but in loop-back. They enter the FIFO only for a guest that listens: one that has enabled the
 * receiver's interrupt, or polls the line status. So what is typed before a driver has initialized the chip (which
 * empties the FIFO several times) is still there for it.
 */
import {
  type ByteSink,
  type ByteSource,
  type DeviceClock,
  type InterruptLine,
  type IoResult,
} from '../capabilities.ts';
import { floating, never, type PortIo, type Resettable, type Timed } from '../capabilities.ts';
import * as r from './registers.ts';
import { Serial16550 } from './state.ts';

export interface SerialWires {
  readonly clock: DeviceClock;
  readonly line: InterruptLine;
  readonly input: ByteSource;
  readonly output: ByteSink;
}

const fifoBytes = 16;
/** So many reads of the line status, and nothing else, are polling. */
const pollingReads = 8;
/** How long the transmitter waits before it tries a full ring again. */
const retryDelayNs = 1_000_000;
/** Four characters of ten bits at 115,200 baud (§8.6: FIFO time-out). */
const receiveTimeoutNs = 347_000;

export class SerialPort implements PortIo, Timed, Resettable {
  readonly #s: ReturnType<typeof Serial16550.at>;
  readonly #wires: SerialWires;

  constructor(buffer: ArrayBufferLike, address: number, wires: SerialWires) {
    this.#s = Serial16550.at(buffer, address);
    this.#wires = wires;
  }

  reset(): void {
    const s = this.#s;
    s.interruptEnable = 0;
    s.fifoControl = 0;
    s.lineControl = 0;
    s.modemControl = 0;
    s.modemStatus = r.modemStatus.carrier | r.modemStatus.dsr | r.modemStatus.cts;
    s.scratch = 0;
    s.divisorLow = 12;
    s.divisorHigh = 0;
    s.lineErrors = 0;
    s.thrInterrupt = 0;
    s.statusPolled = 0;
    s.receiveCount = 0;
    s.receiveHead = 0;
    s.transmitCount = 0;
    s.transmitHead = 0;
    s.retryNs = 0;
    s.receiveTimeoutNs = 0;
    s.receiveTimedOut = 0;
    s.line = 0;
    this.#wires.line.set(0);
  }

  readPort(offset: number, size: number): IoResult {
    // Wider accesses are split by the bus: the chip has eight data lines.
    return size === 1 ? this.#read(offset) : floating;
  }

  writePort(offset: number, size: number, value: number): void {
    if (size !== 1) return;
    this.#write(offset, value & 0xff);
    this.#updateLine();
  }

  #read(offset: number): number {
    const s = this.#s;
    const polled = s.statusPolled;
    s.statusPolled = offset === r.register.lineStatus ? Math.min(polled + 1, pollingReads) : 0;
    const latch = (s.lineControl & r.lineControl.divisorLatch) !== 0;
    switch (offset) {
      case r.register.data:
        return latch ? s.divisorLow : this.#receive();
      case r.register.interruptEnable:
        return latch ? s.divisorHigh : s.interruptEnable;
      case r.register.interruptIdFifoControl: {
        const id = this.#interruptId();
        if (id === r.interruptId.transmit) {
          s.thrInterrupt = 0;
          this.#updateLine();
        }
        return id | (this.#fifos ? r.interruptId.fifosEnabled : 0);
      }
      case r.register.lineControl:
        return s.lineControl;
      case r.register.modemControl:
        return s.modemControl;
      case r.register.lineStatus: {
        this.#pull();
        if (polled >= pollingReads) this.#pullPolled();
        const value = this.#lineStatus();
        s.lineErrors = 0;
        this.#updateLine();
        return value;
      }
      case r.register.modemStatus: {
        const value = this.#modemStatus();
        s.modemStatus &= ~r.modemStatus.deltaMask;
        this.#updateLine();
        return value;
      }
      case r.register.scratch:
        return s.scratch;
      default:
        return floating;
    }
  }

  #write(offset: number, value: number): void {
    const s = this.#s;
    s.statusPolled = 0;
    const latch = (s.lineControl & r.lineControl.divisorLatch) !== 0;
    switch (offset) {
      case r.register.data:
        if (latch) s.divisorLow = value;
        else this.#transmit(value);
        return;
      case r.register.interruptEnable:
        if (latch) {
          s.divisorHigh = value;
          return;
        }
        // Enabling the transmitter interrupt while the holding register is empty raises it at once (§8.6).
        if ((value & ~s.interruptEnable & r.interruptEnable.transmit) !== 0 && this.#transmitReady())
          s.thrInterrupt = 1;
        s.interruptEnable = value & 0xf;
        this.#pull();
        return;
      case r.register.interruptIdFifoControl:
        this.#setFifoControl(value);
        return;
      case r.register.lineControl:
        s.lineControl = value;
        return;
      case r.register.modemControl:
        s.modemControl = value & 0x1f;
        this.#pull();
        return;
      case r.register.scratch:
        s.scratch = value;
        return;
    }
  }

  #setFifoControl(value: number): void {
    const s = this.#s;
    const switched = ((value ^ s.fifoControl) & r.fifoControl.enable) !== 0;
    if (switched || (value & r.fifoControl.clearReceive) !== 0) {
      s.receiveCount = 0;
      s.receiveTimedOut = 0;
      s.receiveTimeoutNs = 0;
    }
    if (switched || (value & r.fifoControl.clearTransmit) !== 0) {
      s.transmitCount = 0;
      s.retryNs = 0;
      s.thrInterrupt = 1;
    }
    s.fifoControl = (value & r.fifoControl.enable) === 0 ? 0 : value & 0xc9;
    this.#pull();
  }

  get #fifos(): boolean {
    return (this.#s.fifoControl & r.fifoControl.enable) !== 0;
  }

  get #loop(): boolean {
    return (this.#s.modemControl & r.modemControl.loop) !== 0;
  }

  #transmitReady(): boolean {
    return this.#s.transmitCount === 0;
  }

  #lineStatus(): number {
    const s = this.#s;
    return (
      s.lineErrors |
      (s.receiveCount > 0 ? r.lineStatus.dataReady : 0) |
      (this.#transmitReady() ? r.lineStatus.transmitEmpty | r.lineStatus.transmitterIdle : 0)
    );
  }

  #modemStatus(): number {
    const s = this.#s;
    if (!this.#loop) return s.modemStatus;
    // Loop-back ties the four outputs to the four inputs (§8.8).
    const m = s.modemControl;
    return (
      ((m & r.modemControl.rts) !== 0 ? r.modemStatus.cts : 0) |
      ((m & r.modemControl.dtr) !== 0 ? r.modemStatus.dsr : 0) |
      ((m & r.modemControl.out1) !== 0 ? r.modemStatus.ring : 0) |
      ((m & r.modemControl.out2) !== 0 ? r.modemStatus.carrier : 0)
    );
  }

  #transmit(byte: number): void {
    const s = this.#s;
    s.thrInterrupt = 0;
    if (this.#loop) {
      this.#push(byte);
      s.thrInterrupt = 1;
      return;
    }
    if (s.transmitCount === 0 && this.#wires.output.writeByte(byte)) {
      s.thrInterrupt = 1;
      return;
    }
    const room = this.#fifos ? fifoBytes : 1;
    // A guest that writes without looking at THRE overwrites the last byte, as the chip does.
    if (s.transmitCount === room) s.transmitCount--;
    s.transmitFifo[(s.transmitHead + s.transmitCount) % fifoBytes] = byte;
    s.transmitCount++;
    if (s.retryNs === 0) s.retryNs = this.#wires.clock.nowNs() + retryDelayNs;
  }

  /** Sends what waits; true when nothing is left. */
  #drain(): boolean {
    const s = this.#s;
    while (s.transmitCount > 0) {
      if (!this.#wires.output.writeByte(s.transmitFifo[s.transmitHead] ?? 0)) return false;
      s.transmitHead = (s.transmitHead + 1) % fifoBytes;
      s.transmitCount--;
    }
    s.retryNs = 0;
    s.thrInterrupt = 1;
    return true;
  }

  #push(byte: number): void {
    const s = this.#s;
    const room = this.#fifos ? fifoBytes : 1;
    if (s.receiveCount === room) {
      s.lineErrors |= r.lineStatus.overrun;
      if (this.#fifos) return;
      s.receiveCount = 0;
    }
    s.receiveFifo[(s.receiveHead + s.receiveCount) % fifoBytes] = byte;
    s.receiveCount++;
    s.receiveTimedOut = 0;
    s.receiveTimeoutNs = this.#fifos ? this.#wires.clock.nowNs() + receiveTimeoutNs : 0;
  }

  #receive(): number {
    const s = this.#s;
    if (s.receiveCount === 0) return 0;
    const byte = s.receiveFifo[s.receiveHead] ?? 0;
    s.receiveHead = (s.receiveHead + 1) % fifoBytes;
    s.receiveCount--;
    s.receiveTimedOut = 0;
    s.receiveTimeoutNs = s.receiveCount > 0 && this.#fifos ? this.#wires.clock.nowNs() + receiveTimeoutNs : 0;
    this.#pull();
    this.#updateLine();
    return byte;
  }

  /** A guest without interrupts that reads the line status again and again waits for a byte: it gets the next one. */
  #pullPolled(): void {
    if (this.#loop || this.#s.receiveCount > 0) return;
    const byte = this.#wires.input.readByte();
    if (byte >= 0) this.#push(byte);
  }

  /** Moves bytes from the console into the FIFO as far as there is room, once the receiver's interrupt is enabled. */
  #pull(): void {
    const s = this.#s;
    if (this.#loop || (s.interruptEnable & r.interruptEnable.receive) === 0) return;
    const room = this.#fifos ? fifoBytes : 1;
    while (s.receiveCount < room && this.#wires.input.readable > 0) {
      const byte = this.#wires.input.readByte();
      if (byte < 0) return;
      this.#push(byte);
    }
  }

  /** To be called when the console may have bytes for the guest, or room for its output. */
  poll(): void {
    if (this.#wires.input.readable > 0) this.#pull();
    if (this.#s.transmitCount > 0) this.#drain();
    this.#updateLine();
  }

  /** True while output waits for room in the console's ring. */
  get outputWaiting(): boolean {
    return this.#s.transmitCount > 0;
  }

  #receiveTriggered(): boolean {
    const s = this.#s;
    if (!this.#fifos) return s.receiveCount > 0;
    return s.receiveCount >= (r.triggerLevels[(s.fifoControl >> 6) & 3] ?? 1);
  }

  #interruptId(): number {
    const s = this.#s;
    const enabled = s.interruptEnable;
    if ((enabled & r.interruptEnable.line) !== 0 && s.lineErrors !== 0) return r.interruptId.line;
    if ((enabled & r.interruptEnable.receive) !== 0) {
      if (this.#receiveTriggered()) return r.interruptId.receive;
      if (s.receiveTimedOut !== 0 && s.receiveCount > 0) return r.interruptId.receiveTimeout;
    }
    if ((enabled & r.interruptEnable.transmit) !== 0 && s.thrInterrupt !== 0) return r.interruptId.transmit;
    if ((enabled & r.interruptEnable.modem) !== 0 && (s.modemStatus & r.modemStatus.deltaMask) !== 0) {
      return r.interruptId.modem;
    }
    return r.interruptId.none;
  }

  #updateLine(): void {
    const s = this.#s;
    // OUT2 gates the interrupt on a PC's serial card.
    const gate = (s.modemControl & r.modemControl.out2) !== 0 && !this.#loop;
    const level = gate && this.#interruptId() !== r.interruptId.none ? 1 : 0;
    if (level === s.line) return;
    s.line = level;
    this.#wires.line.set(level);
  }

  nextDeadlineNs(): number {
    const s = this.#s;
    const timeout = s.receiveTimeoutNs === 0 ? never : s.receiveTimeoutNs;
    return s.retryNs === 0 ? timeout : Math.min(s.retryNs, timeout);
  }

  onDeadline(nowNs: number): void {
    const s = this.#s;
    if (s.retryNs !== 0 && s.retryNs <= nowNs && !this.#drain()) s.retryNs = nowNs + retryDelayNs;
    if (s.receiveTimeoutNs !== 0 && s.receiveTimeoutNs <= nowNs) {
      s.receiveTimeoutNs = 0;
      if (s.receiveCount > 0) s.receiveTimedOut = 1;
    }
    this.#updateLine();
  }
}
