/**
 * I/O APIC with 24 pins (82093AA). A pin's message goes to the local APIC; level-triggered pins wait for the EOI
 * (remote IRR) and fire again while they stay asserted. Lines are given as asserted/released: polarity bits are kept
 * and not interpreted, because the wiring and the guest's tables always agree here.
 */
import { type InterruptLine, type IoResult, type Mmio, type Resettable } from '../capabilities.ts';
import { entry, pins, register, versionValue, window } from './registers.ts';
import { IoApicState } from './state.ts';

/** Where messages go: a local APIC, or all of them. */
export interface MessageTarget {
  /** Delivers to the APICs that `destination` (8 bits) names; false if none accepted. */
  deliver(message: Message): boolean;
}

export interface Message {
  readonly mode: number;
  readonly vector: number;
  readonly level: boolean;
  readonly destination: number;
  readonly logical: boolean;
}

export class IoApic implements Mmio, Resettable {
  readonly #s: ReturnType<typeof IoApicState.at>;
  readonly #target: MessageTarget;

  constructor(buffer: ArrayBufferLike, address: number, target: MessageTarget) {
    this.#s = IoApicState.at(buffer, address);
    this.#target = target;
  }

  reset(): void {
    const s = this.#s;
    s.select = 0;
    s.id = 0;
    s.lines = 0;
    s.latched = 0;
    s.low.fill(entry.masked);
    s.high.fill(0);
  }

  /** The input of one pin. */
  pin(number: number): InterruptLine {
    return {
      set: (level) => {
        this.setPin(number, level);
      },
    };
  }

  setPin(pin: number, level: number): void {
    const s = this.#s;
    const bit = 1 << pin;
    const before = s.lines & bit;
    if (level === 0) {
      s.lines = (s.lines & ~bit) >>> 0;
      return;
    }
    s.lines = (s.lines | bit) >>> 0;
    const low = s.low[pin] ?? 0;
    if ((low & entry.level) !== 0) this.#service(pin);
    // An edge on a masked pin is lost (§3.4.2).
    else if (before === 0 && (low & entry.masked) === 0) this.#send(pin);
  }

  /** Delivers a level pin that is asserted and not already in service. */
  #service(pin: number): void {
    const s = this.#s;
    const low = s.low[pin] ?? 0;
    if ((low & (entry.masked | entry.remoteIrr)) !== 0 || (s.lines & (1 << pin)) === 0) return;
    if (this.#send(pin)) s.low[pin] = low | entry.remoteIrr;
  }

  #send(pin: number): boolean {
    const low = this.#s.low[pin] ?? 0;
    return this.#target.deliver({
      mode: (low >> 8) & 7,
      vector: low & 0xff,
      level: (low & entry.level) !== 0,
      destination: (this.#s.high[pin] ?? 0) >>> 24,
      logical: (low & entry.logical) !== 0,
    });
  }

  /** EOI message of a local APIC for a level-triggered vector. */
  endOfInterrupt(vector: number): void {
    const s = this.#s;
    for (let pin = 0; pin < pins; pin++) {
      const low = s.low[pin] ?? 0;
      if ((low & 0xff) !== vector || (low & entry.remoteIrr) === 0) continue;
      s.low[pin] = low & ~entry.remoteIrr;
      this.#service(pin);
    }
  }

  readMmio(offset: number, size: number): IoResult {
    const aligned = offset & ~3;
    const value = aligned === window.select ? this.#s.select : aligned === window.data ? this.#read() : 0;
    const shifted = value >>> ((offset & 3) * 8);
    return size === 4 ? shifted : shifted & (size === 1 ? 0xff : 0xffff);
  }

  writeMmio(offset: number, _size: number, value: number): void {
    if (offset === window.select) this.#s.select = value & 0xff;
    else if (offset === window.data) this.#write(value >>> 0);
  }

  #read(): number {
    const s = this.#s;
    switch (s.select) {
      case register.id:
      case register.arbitration:
        return s.id;
      case register.version:
        return versionValue;
    }
    const index = s.select - register.redirection;
    if (index < 0 || index >= 2 * pins) return 0;
    return ((index & 1) === 0 ? s.low[index >> 1] : s.high[index >> 1]) ?? 0;
  }

  #write(value: number): void {
    const s = this.#s;
    if (s.select === register.id) {
      s.id = value & 0x0f000000;
      return;
    }
    const index = s.select - register.redirection;
    if (index < 0 || index >= 2 * pins) return;
    const pin = index >> 1;
    if ((index & 1) !== 0) {
      s.high[pin] = value;
      return;
    }
    const kept = (s.low[pin] ?? 0) & entry.remoteIrr;
    // Switching to edge clears remote IRR, which Linux relies on to recover from a lost EOI.
    s.low[pin] = (value & entry.writable) | ((value & entry.level) !== 0 ? kept : 0);
    if ((value & entry.level) !== 0) this.#service(pin);
  }
}
