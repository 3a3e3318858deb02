/**
 * 8254 timer: three counters at 1.193182 MHz, counter 0 on IRQ 0, counter 2 gated and read through port 61h. Counts
 * are computed from guest time when somebody looks; only counter 0's output has a deadline.
 */
import { edge, floating, never, type DeviceClock, type InterruptLine } from '../capabilities.ts';
import type { IoResult, PortIo, Resettable, Timed } from '../capabilities.ts';
import { access, frequencyHz, portB, readBack, register } from './registers.ts';
import { Pit8254 } from './state.ts';

export interface PitWires {
  readonly clock: DeviceClock;
  readonly line: InterruptLine;
}

const ticksPerNs = frequencyHz / 1e9;

export class Pit implements PortIo, Timed, Resettable {
  readonly #s: ReturnType<typeof Pit8254.at>;
  readonly #wires: PitWires;
  /** Port 61h. */
  readonly portB: PortIo;

  constructor(buffer: ArrayBufferLike, address: number, wires: PitWires) {
    this.#s = Pit8254.at(buffer, address);
    this.#wires = wires;
    this.portB = {
      readPort: (_offset, size) => (size === 1 ? this.#readPortB() : floating),
      writePort: (_offset, size, value) => {
        if (size === 1) this.#writePortB(value);
      },
    };
  }

  reset(): void {
    const s = this.#s;
    for (const field of [s.startNs, s.count, s.nextCount, s.latched, s.latchLeft, s.statusLatched, s.statusValid]) {
      field.fill(0);
    }
    for (const field of [s.mode, s.bcd, s.writeHigh, s.readHigh, s.writeLow, s.triggered, s.heldTicks]) field.fill(0);
    s.access.fill(access.lowHigh);
    s.gate.set([1, 1, 0]);
    s.deadlineNs = 0;
    s.deadlineTicks = 0;
    s.portB = 0;
  }

  /** Ticks since the count began. */
  #elapsed(counter: number): number {
    const s = this.#s;
    const mode = s.mode[counter] ?? 0;
    if ((mode === 0 || mode === 4) && !s.gate[counter]) return s.heldTicks[counter] ?? 0;
    const ticks = Math.floor((this.#wires.clock.nowNs() - (s.startNs[counter] ?? 0)) * ticksPerNs);
    return counter === 0 ? Math.max(ticks, 0) : ticks;
  }

  /** A new count given while a period runs takes effect at its end (modes 2 and 3). */
  #applyNextCount(counter: number): void {
    const s = this.#s;
    const next = s.nextCount[counter] ?? 0;
    const mode = s.mode[counter] ?? 0;
    const count = s.count[counter] ?? 0;
    if (next === 0 || count === 0 || (mode !== 2 && mode !== 3)) return;
    const ticks = this.#elapsed(counter);
    if (ticks < count) return;
    s.startNs[counter] = (s.startNs[counter] ?? 0) + Math.floor(count / ticksPerNs);
    s.count[counter] = next;
    s.nextCount[counter] = 0;
  }

  #value(counter: number): number {
    const s = this.#s;
    this.#applyNextCount(counter);
    const count = s.count[counter] ?? 0;
    if (count === 0) return 0;
    const ticks = this.#elapsed(counter);
    const mode = s.mode[counter] ?? 0;
    const wrap = s.bcd[counter] ? 10_000 : 65_536;
    switch (mode) {
      case 2:
        return count - (ticks % count);
      case 3:
        return this.#squareWaveValue(count, ticks);
      case 1:
      case 5:
        if (!s.triggered[counter]) return count;
    }
    return (((count - ticks) % wrap) + wrap) % wrap;
  }

  /** Mode 3 counts down by two, twice per period. */
  #squareWaveValue(count: number, ticks: number): number {
    const even = count & ~1;
    const inPeriod = ticks % count;
    const half = Math.ceil(count / 2);
    return even - 2 * (inPeriod < half ? inPeriod : inPeriod - half);
  }

  /** Level of the counter's output. */
  #output(counter: number): number {
    const s = this.#s;
    this.#applyNextCount(counter);
    const count = s.count[counter] ?? 0;
    const mode = s.mode[counter] ?? 0;
    if (count === 0) return mode === 0 ? 0 : 1;
    const ticks = this.#elapsed(counter);
    switch (mode) {
      case 0:
        return ticks >= count ? 1 : 0;
      case 1:
        return s.triggered[counter] && ticks < count ? 0 : 1;
      case 2:
        return s.gate[counter] && ticks % count === count - 1 ? 0 : 1;
      case 3:
        return s.gate[counter] && ticks % count >= Math.ceil(count / 2) ? 0 : 1;
      case 4:
        return ticks === count ? 0 : 1;
      default:
        return s.triggered[counter] && ticks === count ? 0 : 1;
    }
  }

  // Counting.

  #load(counter: number, value: number): void {
    const s = this.#s;
    const wrap = s.bcd[counter] ? 10_000 : 65_536;
    const raw = s.bcd[counter] ? fromBcd(value) : value;
    const count = raw === 0 ? wrap : raw;
    const mode = s.mode[counter] ?? 0;
    const running = (s.count[counter] ?? 0) !== 0;
    if (running && mode !== 0 && mode !== 4) {
      this.#applyNextCount(counter);
      s.nextCount[counter] = count;
      return;
    }
    s.count[counter] = count;
    this.#start(counter);
  }

  #start(counter: number): void {
    const s = this.#s;
    s.startNs[counter] = this.#wires.clock.nowNs();
    s.heldTicks[counter] = 0;
    if (counter === 0) this.#schedule(0);
  }

  /** Sets the deadline of counter 0's next rising output after `ticks` counted ones. */
  #schedule(ticks: number): void {
    const s = this.#s;
    const count = s.count[0] ?? 0;
    const mode = s.mode[0] ?? 0;
    let next = 0;
    if (count !== 0) {
      if (mode === 2 || mode === 3) next = (Math.floor(ticks / count) + 1) * count;
      else if ((mode === 0 || mode === 4) && ticks < count) next = count;
    }
    s.deadlineTicks = next;
    s.deadlineNs = next === 0 ? 0 : Math.ceil((s.startNs[0] ?? 0) + next / ticksPerNs);
  }

  nextDeadlineNs(): number {
    return this.#s.deadlineNs === 0 ? never : this.#s.deadlineNs;
  }

  onDeadline(nowNs: number): void {
    const s = this.#s;
    if (s.deadlineNs === 0 || s.deadlineNs > nowNs) return;
    const due = s.deadlineTicks;
    if ((s.nextCount[0] ?? 0) !== 0) {
      this.#applyNextCount(0);
      this.#schedule(0);
    } else {
      // Periods that were missed merge into one interrupt.
      const passed = Math.floor((nowNs - (s.startNs[0] ?? 0)) * ticksPerNs);
      this.#schedule(Math.max(due, passed));
    }
    edge(this.#wires.line);
  }

  #setGate(counter: number, level: number): void {
    const s = this.#s;
    const before = s.gate[counter] ?? 0;
    if (before === level) return;
    const mode = s.mode[counter] ?? 0;
    if (mode === 0 || mode === 4) {
      if (level === 0) {
        s.heldTicks[counter] = this.#elapsed(counter);
      } else {
        const held = (s.heldTicks[counter] ?? 0) / ticksPerNs;
        s.startNs[counter] = this.#wires.clock.nowNs() - Math.ceil(held);
      }
    } else if (level !== 0) {
      // A rising gate reloads the count.
      if ((s.nextCount[counter] ?? 0) !== 0) s.count[counter] = s.nextCount[counter] ?? 0;
      s.nextCount[counter] = 0;
      s.triggered[counter] = 1;
      this.#start(counter);
    }
    s.gate[counter] = level;
  }

  // Ports.

  readPort(offset: number, size: number): IoResult {
    if (size !== 1) return floating;
    return offset === register.control ? 0 : this.#readCounter(offset);
  }

  writePort(offset: number, size: number, value: number): void {
    if (size !== 1) return;
    if (offset === register.control) this.#control(value & 0xff);
    else this.#writeCounter(offset, value & 0xff);
  }

  #readCounter(counter: number): number {
    const s = this.#s;
    if (s.statusValid[counter]) {
      s.statusValid[counter] = 0;
      return s.statusLatched[counter] ?? 0;
    }
    const left = s.latchLeft[counter] ?? 0;
    if (left !== 0) {
      const value = s.latched[counter] ?? 0;
      const high = left === access.high;
      s.latchLeft[counter] = left === access.lowHigh ? access.high : 0;
      return high ? value >> 8 : value & 0xff;
    }
    const value = this.#guestValue(counter);
    let high = s.access[counter] === access.high;
    if (s.access[counter] === access.lowHigh) {
      high = s.readHigh[counter] !== 0;
      s.readHigh[counter] = high ? 0 : 1;
    }
    return high ? value >> 8 : value & 0xff;
  }

  /** The count as the guest reads it: 65,536 reads as 0, and BCD where that was asked for. */
  #guestValue(counter: number): number {
    const value = this.#value(counter);
    return this.#s.bcd[counter] ? toBcd(value % 10_000) : value & 0xffff;
  }

  #writeCounter(counter: number, value: number): void {
    const s = this.#s;
    switch (s.access[counter]) {
      case access.low:
        this.#load(counter, value);
        return;
      case access.high:
        this.#load(counter, value << 8);
        return;
      default:
        if (s.writeHigh[counter]) {
          s.writeHigh[counter] = 0;
          this.#load(counter, (s.writeLow[counter] ?? 0) | (value << 8));
        } else {
          s.writeLow[counter] = value;
          s.writeHigh[counter] = 1;
          // In mode 0, the first byte stops the count.
          if (counter === 0 && s.mode[0] === 0) s.deadlineNs = 0;
        }
    }
  }

  #control(value: number): void {
    const s = this.#s;
    const counter = value >> 6;
    if (counter === 3) {
      for (let i = 0; i < 3; i++) {
        if ((value & (2 << i)) === 0) continue;
        if ((value & readBack.noStatus) === 0) this.#latchStatus(i);
        if ((value & readBack.noCount) === 0) this.#latchCount(i);
      }
      return;
    }
    const how = (value >> 4) & 3;
    if (how === access.latch) {
      this.#latchCount(counter);
      return;
    }
    const mode = (value >> 1) & 7;
    s.access[counter] = how;
    s.mode[counter] = mode > 5 ? mode - 4 : mode;
    s.bcd[counter] = value & 1;
    s.count[counter] = 0;
    s.nextCount[counter] = 0;
    s.writeHigh[counter] = 0;
    s.readHigh[counter] = 0;
    s.latchLeft[counter] = 0;
    s.triggered[counter] = 0;
    s.heldTicks[counter] = 0;
    if (counter === 0) s.deadlineNs = 0;
  }

  #latchCount(counter: number): void {
    const s = this.#s;
    if (s.latchLeft[counter]) return;
    s.latched[counter] = this.#guestValue(counter);
    s.latchLeft[counter] = s.access[counter] ?? 0;
  }

  #latchStatus(counter: number): void {
    const s = this.#s;
    if (s.statusValid[counter]) return;
    const empty = (s.count[counter] ?? 0) === 0 || (s.nextCount[counter] ?? 0) !== 0;
    s.statusLatched[counter] =
      (this.#output(counter) << 7) |
      (empty ? 0x40 : 0) |
      ((s.access[counter] ?? 0) << 4) |
      ((s.mode[counter] ?? 0) << 1) |
      (s.bcd[counter] ?? 0);
    s.statusValid[counter] = 1;
  }

  #readPortB(): number {
    const s = this.#s;
    // The refresh request toggles every 15 µs.
    const refresh = Math.floor(this.#wires.clock.nowNs() / 15_085) & 1;
    return s.portB | (refresh !== 0 ? portB.refresh : 0) | (this.#output(2) !== 0 ? portB.output2 : 0);
  }

  #writePortB(value: number): void {
    this.#s.portB = value & portB.writable;
    this.#setGate(2, value & portB.gate2);
  }
}

function fromBcd(value: number): number {
  return (value >> 12) * 1000 + ((value >> 8) & 15) * 100 + ((value >> 4) & 15) * 10 + (value & 15);
}

function toBcd(value: number): number {
  return (
    (Math.floor(value / 1000) << 12) |
    (Math.floor((value / 100) % 10) << 8) |
    (Math.floor((value / 10) % 10) << 4) |
    (value % 10)
  );
}
