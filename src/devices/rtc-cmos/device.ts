/**
 * MC146818A real-time clock with CMOS memory at ports 70h–71h, IRQ 8. The calendar is guest time plus an offset that
 * writes to the calendar registers change. Deadlines exist only while an interrupt is enabled.
 */
import { floating, never, type DeviceClock, type InterruptLine } from '../capabilities.ts';
import type { IoResult, PortIo, Resettable, Timed } from '../capabilities.ts';
import * as r from './registers.ts';
import { RtcCmos } from './state.ts';

export interface RtcWires {
  readonly clock: DeviceClock;
  readonly line: InterruptLine;
  /** RAM below and above 4 GiB in bytes, for the CMOS memory sizes. */
  readonly lowMemoryBytes: number;
}

const second = 1e9;

export class Rtc implements PortIo, Timed, Resettable {
  readonly #s: ReturnType<typeof RtcCmos.at>;
  readonly #wires: RtcWires;

  constructor(buffer: ArrayBufferLike, address: number, wires: RtcWires) {
    this.#s = RtcCmos.at(buffer, address);
    this.#wires = wires;
  }

  /** At power-on: the calendar's time now, in seconds since 1970 (UTC). */
  setEpoch(epochSeconds: number): void {
    this.#s.epochSeconds = epochSeconds;
    this.#s.offsetNs = Math.round(epochSeconds) * second - this.#wires.clock.nowNs();
  }

  /** Seconds since 1970 now, with their fraction. */
  calendarSeconds(): number {
    return this.#calendarNs() / second;
  }

  /** The calendar and the memory have a battery: a reset only disables interrupts. */
  reset(): void {
    const s = this.#s;
    const m = s.memory;
    s.index = 0;
    s.line = 0;
    s.periodicDeadlineNs = 0;
    s.secondDeadlineNs = 0;
    m[r.register.a] = r.a.normalDivider | 6;
    m[r.register.b] = r.b.hours24;
    m[r.register.c] = 0;
    m[r.register.d] = r.d.valid;
    this.#storeMemorySizes();
    this.#wires.line.set(0);
  }

  #storeMemorySizes(): void {
    const m = this.#s.memory;
    const kib = this.#wires.lowMemoryBytes / 1024;
    const extended = Math.min(Math.max(kib - 1024, 0), 0xffff);
    const above16M = Math.min(Math.max((kib - 16_384) / 64, 0), 0xffff);
    const word = (low: number, high: number, value: number): void => {
      m[low] = value & 0xff;
      m[high] = value >> 8;
    };
    word(r.register.baseMemoryLow, r.register.baseMemoryLow + 1, 640);
    word(r.register.extendedLow, r.register.extendedHigh, extended);
    word(r.register.extendedLow2, r.register.extendedHigh2, extended);
    word(r.register.above16MLow, r.register.above16MHigh, above16M);
  }

  readPort(offset: number, size: number): IoResult {
    if (size !== 1) return floating;
    return offset === 0 ? floating : this.#read(this.#s.index);
  }

  writePort(offset: number, size: number, value: number): void {
    if (size !== 1) return;
    // Bit 7 of port 70h masks NMI on a PC; nothing here raises one through it.
    if (offset === 0) this.#s.index = value & 0x7f;
    else this.#write(this.#s.index, value & 0xff);
  }

  #flag(bit: number): boolean {
    return ((this.#s.memory[r.register.b] ?? 0) & bit) !== 0;
  }

  #calendarNs(): number {
    const s = this.#s;
    return (this.#flag(r.b.set) ? s.heldNs : this.#wires.clock.nowNs()) + s.offsetNs;
  }

  #read(index: number): number {
    const m = this.#s.memory;
    if (index <= r.register.year || index === r.register.century) return this.#readCalendar(index);
    if (index === r.register.a) {
      const inSecond = this.#calendarNs() % second;
      const updating = !this.#flag(r.b.set) && inSecond >= second - r.updateWarningNs;
      return ((m[index] ?? 0) & ~r.a.updating) | (updating ? r.a.updating : 0);
    }
    if (index === r.register.c) {
      const value = m[index] ?? 0;
      m[index] = 0;
      this.#updateLine();
      return value;
    }
    return m[index] ?? 0;
  }

  #readCalendar(index: number): number {
    const date = new Date(Math.floor(this.#calendarNs() / second) * 1000);
    switch (index) {
      case r.register.seconds:
        return this.#encode(date.getUTCSeconds());
      case r.register.minutes:
        return this.#encode(date.getUTCMinutes());
      case r.register.hours: {
        const hours = date.getUTCHours();
        if (this.#flag(r.b.hours24)) return this.#encode(hours);
        return this.#encode(((hours + 11) % 12) + 1) | (hours >= 12 ? 0x80 : 0);
      }
      case r.register.weekday:
        return this.#encode(date.getUTCDay() + 1);
      case r.register.day:
        return this.#encode(date.getUTCDate());
      case r.register.month:
        return this.#encode(date.getUTCMonth() + 1);
      case r.register.year:
        return this.#encode(date.getUTCFullYear() % 100);
      case r.register.century:
        return this.#encode(Math.floor(date.getUTCFullYear() / 100));
      default:
        return this.#s.memory[index] ?? 0;
    }
  }

  #encode(value: number): number {
    return this.#flag(r.b.binary) ? value : (Math.floor(value / 10) << 4) | (value % 10);
  }

  #decode(value: number): number {
    return this.#flag(r.b.binary) ? value : (value >> 4) * 10 + (value & 15);
  }

  #decodeHours(value: number): number {
    if (this.#flag(r.b.hours24)) return this.#decode(value);
    const hours = this.#decode(value & 0x7f) % 12;
    return (value & 0x80) !== 0 ? hours + 12 : hours;
  }

  #write(index: number, value: number): void {
    const s = this.#s;
    const m = s.memory;
    switch (index) {
      case r.register.secondsAlarm:
      case r.register.minutesAlarm:
      case r.register.hoursAlarm:
        m[index] = value;
        return;
      case r.register.a:
        m[index] = value & ~r.a.updating;
        this.#schedulePeriodic();
        return;
      case r.register.b:
        this.#writeB(value);
        return;
      case r.register.c:
      case r.register.d:
        return;
      default:
        if (index <= r.register.year || index === r.register.century) this.#writeCalendar(index, value);
        else m[index] = value;
    }
  }

  #writeB(value: number): void {
    const s = this.#s;
    const m = s.memory;
    const wasSet = this.#flag(r.b.set);
    const willSet = (value & r.b.set) !== 0;
    const now = this.#wires.clock.nowNs();
    if (!wasSet && willSet) s.heldNs = now;
    if (wasSet && !willSet) s.offsetNs += s.heldNs - now;
    m[r.register.b] = willSet ? value & ~r.b.update : value;
    this.#schedulePeriodic();
    this.#scheduleSecond();
    this.#updateLine();
  }

  #writeCalendar(index: number, value: number): void {
    const s = this.#s;
    const old = this.#calendarNs();
    const date = new Date(Math.floor(old / second) * 1000);
    switch (index) {
      case r.register.seconds:
        date.setUTCSeconds(this.#decode(value));
        break;
      case r.register.minutes:
        date.setUTCMinutes(this.#decode(value));
        break;
      case r.register.hours:
        date.setUTCHours(this.#decodeHours(value));
        break;
      case r.register.day:
        date.setUTCDate(this.#decode(value));
        break;
      case r.register.month:
        date.setUTCMonth(this.#decode(value) - 1);
        break;
      case r.register.year:
        date.setUTCFullYear(Math.floor(date.getUTCFullYear() / 100) * 100 + this.#decode(value));
        break;
      case r.register.century:
        date.setUTCFullYear(this.#decode(value) * 100 + (date.getUTCFullYear() % 100));
        break;
      default:
        return;
    }
    s.offsetNs += date.getTime() * 1e6 - Math.floor(old / second) * second;
    this.#scheduleSecond();
  }

  #periodNs(): number {
    const value = this.#s.memory[r.register.a] ?? 0;
    const rate = value & r.a.rate;
    if (rate === 0 || (value & r.a.divider) !== r.a.normalDivider) return 0;
    // Rates 1 and 2 repeat 8 and 9 at the 32,768 Hz time base.
    return (second * (1 << ((rate < 3 ? rate + 7 : rate) - 1))) / 32_768;
  }

  #schedulePeriodic(): void {
    const s = this.#s;
    const period = this.#periodNs();
    if (!this.#flag(r.b.periodic) || period === 0) s.periodicDeadlineNs = 0;
    else s.periodicDeadlineNs = Math.ceil(this.#wires.clock.nowNs() + period);
  }

  #scheduleSecond(): void {
    const s = this.#s;
    const wanted = !this.#flag(r.b.set) && (this.#flag(r.b.update) || this.#flag(r.b.alarm));
    s.secondDeadlineNs = wanted ? (Math.floor(this.#calendarNs() / second) + 1) * second - s.offsetNs : 0;
  }

  nextDeadlineNs(): number {
    const { periodicDeadlineNs, secondDeadlineNs } = this.#s;
    return Math.min(
      periodicDeadlineNs === 0 ? never : periodicDeadlineNs,
      secondDeadlineNs === 0 ? never : secondDeadlineNs,
    );
  }

  onDeadline(nowNs: number): void {
    const s = this.#s;
    if (s.periodicDeadlineNs !== 0 && s.periodicDeadlineNs <= nowNs) {
      const period = this.#periodNs();
      const missed = Math.floor((nowNs - s.periodicDeadlineNs) / period);
      s.periodicDeadlineNs = Math.ceil(s.periodicDeadlineNs + (missed + 1) * period);
      this.#raise(r.c.periodic);
    }
    if (s.secondDeadlineNs !== 0 && s.secondDeadlineNs <= nowNs) {
      this.#raise(r.c.update | (this.#alarmMatches() ? r.c.alarm : 0));
      this.#scheduleSecond();
    }
  }

  /** Alarm bytes of C0h…FFh match anything. */
  #alarmMatches(): boolean {
    const m = this.#s.memory;
    for (const [alarm, value] of [
      [r.register.secondsAlarm, r.register.seconds],
      [r.register.minutesAlarm, r.register.minutes],
      [r.register.hoursAlarm, r.register.hours],
    ] as const) {
      const wanted = m[alarm] ?? 0;
      if (wanted < 0xc0 && wanted !== this.#readCalendar(value)) return false;
    }
    return true;
  }

  #raise(flags: number): void {
    const m = this.#s.memory;
    m[r.register.c] = (m[r.register.c] ?? 0) | flags;
    this.#updateLine();
  }

  #updateLine(): void {
    const s = this.#s;
    const m = s.memory;
    const enabled = r.c.periodic | r.c.alarm | r.c.update;
    const level = ((m[r.register.c] ?? 0) & (m[r.register.b] ?? 0) & enabled) !== 0 ? 1 : 0;
    if (level !== 0) m[r.register.c] = (m[r.register.c] ?? 0) | r.c.request;
    if (level === s.line) return;
    s.line = level;
    this.#wires.line.set(level);
  }
}
