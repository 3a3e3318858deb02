/**
 * Local APIC of one vCPU: MMIO and x2APIC registers, timer (one-shot, periodic, TSC deadline), self-IPI, priorities,
 * and KVM's paravirtual EOI. Its timer counts at 1 GHz before the divider.
 *
 * `changed` is called whenever {@link LocalApic.pendingVector} may have changed. After reset LINT0 is in ExtINT mode,
 * as firmware leaves it (virtual wire, MultiProcessor specification §3.6.2.2).
 * Sources: SDM vol. 3 chapter 10; KVM's documentation of MSR_KVM_PV_EOI_EN for the paravirtual EOI.
 */
import { floating, never, type GuestMemory, type IoResult, type Mmio } from '../capabilities.ts';
import type { Msrs, Resettable, Timed, TscClock } from '../capabilities.ts';
import * as r from './registers.ts';
import { LocalApicState } from './state.ts';

export interface LocalApicWires {
  readonly clock: TscClock;
  readonly memory: GuestMemory;
  /** Bits 0–11 of IA32_APIC_BASE, which is a register of the vCPU; the address is fixed. */
  baseFlags(): number;
  /** The output to the vCPU may have changed. */
  changed(): void;
  nmi(): void;
  /** INIT from another processor (or from itself). */
  init(): void;
  /** Level-triggered vector ended: I/O APICs drop its remote IRR. */
  endOfInterrupt(vector: number): void;
}

const pvEoiMsr = 0x4b564d04;
const broadcast = 0xff;

export class LocalApic implements Mmio, Msrs, Timed, Resettable {
  readonly #s: ReturnType<typeof LocalApicState.at>;
  readonly #wires: LocalApicWires;

  constructor(buffer: ArrayBufferLike, address: number, wires: LocalApicWires) {
    this.#s = LocalApicState.at(buffer, address);
    this.#wires = wires;
  }

  reset(): void {
    const s = this.#s;
    s.id = 0;
    s.pvEoiAddress = 0;
    this.#resetRegisters();
    this.#wires.changed();
  }

  #resetRegisters(): void {
    const s = this.#s;
    s.taskPriority = 0;
    s.logicalDestination = 0;
    s.destinationFormat = 0xffffffff;
    s.spurious = 0xff;
    s.errorStatus = 0;
    s.errorPending = 0;
    s.commandLow = 0;
    s.commandHigh = 0;
    s.initialCount = 0;
    s.divide = 0;
    for (const bits of [s.inService, s.triggerMode, s.interruptRequest]) bits.fill(0);
    s.lvt.fill(r.lvtBit.masked);
    s.lvt[r.lvt.lint0] = r.delivery.external << 8;
    s.timerStartNs = 0;
    s.deadlineNs = 0;
    s.tscDeadline = 0n;
    s.pvEoiArmed = 0;
  }

  get #x2apic(): boolean {
    return (this.#wires.baseFlags() & r.apicBase.x2apic) !== 0;
  }

  /** Enabled in IA32_APIC_BASE and by software (SVR). */
  get enabled(): boolean {
    return (this.#wires.baseFlags() & r.apicBase.enabled) !== 0 && (this.#s.spurious & r.spuriousBit.enabled) !== 0;
  }

  /** True when interrupts of the 8259 pair go to the vCPU: APIC off, or LINT0 unmasked in ExtINT mode. */
  get passesExternal(): boolean {
    if (!this.enabled) return true;
    const lint0 = this.#s.lvt[r.lvt.lint0] ?? 0;
    return (lint0 & r.lvtBit.masked) === 0 && ((lint0 >> 8) & 7) === r.delivery.external;
  }

  // Priorities and vectors.

  #highest(bits: Uint32Array): number {
    for (let i = 7; i >= 0; i--) {
      const word = bits[i] ?? 0;
      if (word !== 0) return i * 32 + 31 - Math.clz32(word);
    }
    return -1;
  }

  #set(bits: Uint32Array, vector: number): void {
    bits[vector >> 5] = (bits[vector >> 5] ?? 0) | (1 << (vector & 31));
  }

  #clear(bits: Uint32Array, vector: number): void {
    bits[vector >> 5] = (bits[vector >> 5] ?? 0) & ~(1 << (vector & 31));
  }

  #has(bits: Uint32Array, vector: number): boolean {
    return ((bits[vector >> 5] ?? 0) & (1 << (vector & 31))) !== 0;
  }

  get #processorPriority(): number {
    const serviced = Math.max(this.#highest(this.#s.inService), 0);
    const task = this.#s.taskPriority;
    return (task & 0xf0) >= (serviced & 0xf0) ? task : serviced & 0xf0;
  }

  /** The vector that would be taken now, or −1. */
  pendingVector(): number {
    if (!this.enabled) return -1;
    const vector = this.#highest(this.#s.interruptRequest);
    if (vector < 0) return -1;
    if (this.#s.pvEoiArmed !== 0) this.#syncPvEoi(false);
    return (vector & 0xf0) > (this.#processorPriority & 0xf0) ? vector : -1;
  }

  /** Moves the pending vector into service; −1 if there is none. */
  acknowledge(): number {
    this.#syncPvEoi(true);
    const vector = this.pendingVector();
    if (vector < 0) return -1;
    this.#clear(this.#s.interruptRequest, vector);
    this.#set(this.#s.inService, vector);
    this.#armPvEoi(vector);
    return vector;
  }

  /** A message for this APIC: `mode` of {@link r.delivery}. False if it cannot be accepted. */
  accept(mode: number, vector: number, level: boolean): boolean {
    switch (mode) {
      case r.delivery.fixed:
      case r.delivery.lowestPriority:
        if (!this.enabled) return false;
        if (vector < 16) {
          this.#error(r.errorBit.illegalReceived);
          return false;
        }
        this.#syncPvEoi(true);
        if (level) this.#set(this.#s.triggerMode, vector);
        else this.#clear(this.#s.triggerMode, vector);
        this.#set(this.#s.interruptRequest, vector);
        this.#wires.changed();
        return true;
      case r.delivery.nmi:
        this.#wires.nmi();
        return true;
      case r.delivery.init:
        this.#wires.init();
        return true;
      default:
        return true;
    }
  }

  /** True when a message to this 8-bit destination is meant for this APIC (§10.6.2). */
  matches(destination: number, logical: boolean): boolean {
    const s = this.#s;
    if (destination === broadcast) return true;
    if (!logical) return destination === s.id;
    if (this.#x2apic) return destination >> 4 === 0 && (destination & (1 << (s.id & 0xf))) !== 0;
    const own = s.logicalDestination >>> 24;
    if (s.destinationFormat >>> 28 === 0xf) return (destination & own) !== 0;
    return destination >> 4 === own >> 4 && (destination & own & 0xf) !== 0;
  }

  endOfInterrupt(): void {
    this.#syncPvEoi(true);
    const vector = this.#highest(this.#s.inService);
    if (vector < 0) return;
    this.#clear(this.#s.inService, vector);
    if (this.#has(this.#s.triggerMode, vector)) this.#wires.endOfInterrupt(vector);
    this.#wires.changed();
  }

  /** CR8 (bits 0–3) is the upper half of the task priority. */
  setTaskPriority(cr8: number): void {
    this.#s.taskPriority = (cr8 & 0xf) << 4;
    this.#wires.changed();
  }

  get taskPriority(): number {
    return this.#s.taskPriority;
  }

  #error(bit: number): void {
    const s = this.#s;
    s.errorPending |= bit;
    this.#fireLvt(r.lvt.error);
  }

  #fireLvt(index: number): void {
    const entry = this.#s.lvt[index] ?? 0;
    if ((entry & r.lvtBit.masked) !== 0) return;
    const mode = index === r.lvt.timer || index === r.lvt.error ? r.delivery.fixed : (entry >> 8) & 7;
    if ((entry & 0xff) >= 16 || mode !== r.delivery.fixed) this.accept(mode, entry & 0xff, false);
  }

  // Paravirtual EOI: the flag byte's bit 0 = 1 tells the guest that clearing it is as good as writing EOI. It may
  // stay set only while nothing else is pending, for then nobody needs to know at once.

  #armPvEoi(vector: number): void {
    const s = this.#s;
    if (s.pvEoiAddress === 0 || this.#has(s.triggerMode, vector) || this.#highest(s.interruptRequest) >= 0) return;
    s.pvEoiArmed = 1;
    this.#wires.memory.writeByte(s.pvEoiAddress - 1, 1);
  }

  /** Sees whether the guest has ended the interrupt through the flag; with `disarm`, takes the flag back if not. */
  #syncPvEoi(disarm: boolean): void {
    const s = this.#s;
    if (s.pvEoiArmed === 0) return;
    const flag = this.#wires.memory.readByte(s.pvEoiAddress - 1);
    if ((flag & 1) === 0) {
      s.pvEoiArmed = 0;
      const vector = this.#highest(s.inService);
      if (vector >= 0) this.#clear(s.inService, vector);
    } else if (disarm) {
      s.pvEoiArmed = 0;
      this.#wires.memory.writeByte(s.pvEoiAddress - 1, 0);
    }
  }

  // Timer.

  #divider(): number {
    const code = (this.#s.divide & 3) | ((this.#s.divide >> 1) & 4);
    return code === 7 ? 1 : 2 << code;
  }

  get #timerMode(): number {
    return ((this.#s.lvt[r.lvt.timer] ?? 0) >> 17) & 3;
  }

  #startTimer(): void {
    const s = this.#s;
    s.timerStartNs = this.#wires.clock.nowNs();
    s.deadlineNs = s.initialCount === 0 ? 0 : s.timerStartNs + s.initialCount * this.#divider();
  }

  #currentCount(): number {
    const s = this.#s;
    if (s.initialCount === 0 || this.#timerMode === r.timerMode.tscDeadline) return 0;
    const gone = Math.floor((this.#wires.clock.nowNs() - s.timerStartNs) / this.#divider());
    if (this.#timerMode === r.timerMode.periodic) return s.initialCount - (gone % s.initialCount);
    return Math.max(s.initialCount - gone, 0);
  }

  #setTscDeadline(tsc: bigint): void {
    const s = this.#s;
    if (this.#timerMode !== r.timerMode.tscDeadline) return;
    s.tscDeadline = tsc;
    s.deadlineNs = tsc === 0n ? 0 : Math.max(this.#wires.clock.tscToNs(tsc), 1);
  }

  nextDeadlineNs(): number {
    return this.#s.deadlineNs === 0 ? never : this.#s.deadlineNs;
  }

  onDeadline(nowNs: number): void {
    const s = this.#s;
    if (s.deadlineNs === 0 || s.deadlineNs > nowNs) return;
    const mode = this.#timerMode;
    if (mode === r.timerMode.periodic) {
      const period = s.initialCount * this.#divider();
      // Ticks that were missed merge into one, as the request bit does.
      const periods = Math.floor((nowNs - s.timerStartNs) / period);
      s.timerStartNs += periods * period;
      s.deadlineNs = s.timerStartNs + period;
    } else {
      s.deadlineNs = 0;
      s.tscDeadline = 0n;
    }
    this.#fireLvt(r.lvt.timer);
  }

  // Registers.

  readMmio(offset: number, size: number): IoResult {
    if (!this.#mmioEnabled) return floating;
    const value = this.#read(offset >> 4) >>> 0;
    const shift = (offset & 3) * 8;
    if ((offset & 0xc) !== 0) return 0;
    return size === 4 ? value : (value >>> shift) & (size === 1 ? 0xff : 0xffff);
  }

  writeMmio(offset: number, size: number, value: number): void {
    // Only aligned 32-bit accesses are defined (§10.4.1).
    if (this.#mmioEnabled && size === 4 && (offset & 0xf) === 0) this.#write(offset >> 4, value >>> 0);
  }

  get #mmioEnabled(): boolean {
    return (this.#wires.baseFlags() & r.apicBase.enabled) !== 0 && !this.#x2apic;
  }

  #read(number: number): number {
    const s = this.#s;
    if (number >= r.register.inService && number < r.register.errorStatus) {
      this.#syncPvEoi(false);
      const bank = (number - r.register.inService) >> 3;
      const bits = bank === 0 ? s.inService : bank === 1 ? s.triggerMode : s.interruptRequest;
      return bits[number & 7] ?? 0;
    }
    if (number >= r.register.lvtTimer && number <= r.register.lvtError) return s.lvt[number - r.register.lvtTimer] ?? 0;
    switch (number) {
      case r.register.id:
        return this.#x2apic ? s.id : s.id << 24;
      case r.register.version:
        return r.versionValue;
      case r.register.taskPriority:
        return s.taskPriority;
      case r.register.processorPriority:
        this.#syncPvEoi(false);
        return this.#processorPriority;
      case r.register.logicalDestination:
        return this.#x2apic ? ((s.id >>> 4) << 16) | (1 << (s.id & 0xf)) : s.logicalDestination;
      case r.register.destinationFormat:
        return s.destinationFormat;
      case r.register.spurious:
        return s.spurious;
      case r.register.errorStatus:
        return s.errorStatus;
      case r.register.commandLow:
        return s.commandLow;
      case r.register.commandHigh:
        return s.commandHigh;
      case r.register.initialCount:
        return s.initialCount;
      case r.register.currentCount:
        return this.#currentCount();
      case r.register.divide:
        return s.divide;
      default:
        return 0;
    }
  }

  #write(number: number, value: number): void {
    const s = this.#s;
    switch (number) {
      case r.register.id:
        s.id = value >>> 24;
        return;
      case r.register.taskPriority:
        s.taskPriority = value & 0xff;
        this.#wires.changed();
        return;
      case r.register.endOfInterrupt:
        this.endOfInterrupt();
        return;
      case r.register.logicalDestination:
        s.logicalDestination = (value & 0xff000000) >>> 0;
        return;
      case r.register.destinationFormat:
        s.destinationFormat = (value | 0x0fffffff) >>> 0;
        return;
      case r.register.spurious:
        this.#writeSpurious(value);
        return;
      case r.register.errorStatus:
        s.errorStatus = s.errorPending;
        s.errorPending = 0;
        return;
      case r.register.commandLow:
        s.commandLow = value & 0xfffff & ~0x1000;
        this.#send(value, this.#x2apic ? s.commandHigh : s.commandHigh >>> 24);
        return;
      case r.register.commandHigh:
        s.commandHigh = value;
        return;
      case r.register.initialCount:
        if (this.#timerMode === r.timerMode.tscDeadline) return;
        s.initialCount = value;
        this.#startTimer();
        return;
      case r.register.divide:
        s.divide = value & 0xb;
        return;
      case r.register.selfIpi:
        if (this.#x2apic) this.accept(r.delivery.fixed, value & 0xff, false);
        return;
      default:
        if (number >= r.register.lvtTimer && number <= r.register.lvtError) {
          this.#writeLvt(number - r.register.lvtTimer, value);
        }
    }
  }

  #writeSpurious(value: number): void {
    const s = this.#s;
    s.spurious = value & 0x1ff;
    // A software-disabled APIC masks its local vectors (§10.4.7.2).
    if (!this.enabled) {
      for (let i = 0; i < s.lvt.length; i++) s.lvt[i] = (s.lvt[i] ?? 0) | r.lvtBit.masked;
    }
    this.#wires.changed();
  }

  #writeLvt(index: number, value: number): void {
    const s = this.#s;
    const before = this.#timerMode;
    s.lvt[index] = (value & (r.lvtWritable[index] ?? 0)) | (this.enabled ? 0 : r.lvtBit.masked);
    if (index === r.lvt.timer && this.#timerMode !== before) {
      // Changing into or out of TSC-deadline mode disarms the timer (§10.5.4.1).
      if (before === r.timerMode.tscDeadline || this.#timerMode === r.timerMode.tscDeadline) {
        s.deadlineNs = 0;
        s.initialCount = 0;
        s.tscDeadline = 0n;
      }
    }
    if (index === r.lvt.lint0) this.#wires.changed();
  }

  /** The interrupt command register (§10.6.1). This machine has one processor: messages reach it or nobody. */
  #send(command: number, destination: number): void {
    const shorthand = (command >>> 18) & 3;
    const mode = (command >>> 8) & 7;
    const vector = command & 0xff;
    // An INIT level de-assert is a bus message of old processors only.
    if (mode === r.delivery.init && (command & 0xc000) === 0x8000) return;
    const everybody = this.#x2apic ? 0xffffffff : broadcast;
    const logical = (command & 0x800) !== 0;
    const reached =
      shorthand === 1 ||
      shorthand === 2 ||
      (shorthand === 0 &&
        (destination === everybody ||
          (this.#x2apic ? this.#matchesX2(destination, logical) : this.matches(destination, logical))));
    if (!reached) return;
    if ((mode === r.delivery.fixed || mode === r.delivery.lowestPriority) && vector < 16) {
      this.#error(r.errorBit.illegalSent);
      return;
    }
    this.accept(mode, vector, false);
  }

  #matchesX2(destination: number, logical: boolean): boolean {
    const { id } = this.#s;
    if (!logical) return destination === id;
    return destination >>> 16 === id >>> 4 && (destination & (1 << (id & 0xf))) !== 0;
  }

  // MSRs.

  readMsr(index: number): bigint | undefined {
    const s = this.#s;
    if (index === r.tscDeadlineMsr) {
      return this.#timerMode === r.timerMode.tscDeadline && s.deadlineNs !== 0 ? s.tscDeadline : 0n;
    }
    if (index === pvEoiMsr) return s.pvEoiAddress === 0 ? 0n : BigInt(s.pvEoiAddress);
    if (index < r.x2apicFirstMsr || index > r.x2apicLastMsr || !this.#x2apic) return undefined;
    const number = index - r.x2apicFirstMsr;
    if (number === r.register.commandLow) return (BigInt(s.commandHigh) << 32n) | BigInt(s.commandLow);
    const readable =
      number <= r.register.divide && number !== r.register.destinationFormat && number !== r.register.commandHigh;
    return readable && number >= r.register.id ? BigInt(this.#read(number) >>> 0) : undefined;
  }

  writeMsr(index: number, value: bigint): boolean | undefined {
    const s = this.#s;
    if (index === r.tscDeadlineMsr) {
      this.#setTscDeadline(BigInt.asUintN(64, value));
      return true;
    }
    if (index === pvEoiMsr) {
      // Bit 0 enables; the address is 4-byte aligned.
      this.#syncPvEoi(true);
      s.pvEoiAddress = (value & 1n) === 0n ? 0 : Number(value & ~3n) + 1;
      return true;
    }
    if (index < r.x2apicFirstMsr || index > r.x2apicLastMsr) return undefined;
    if (!this.#x2apic) return false;
    return this.#writeX2(index - r.x2apicFirstMsr, value);
  }

  #writeX2(number: number, value: bigint): boolean {
    const low = Number(value & 0xffffffffn);
    if (number === r.register.commandLow) {
      this.#s.commandHigh = Number((value >> 32n) & 0xffffffffn);
      this.#write(number, low);
      return true;
    }
    if (value >> 32n !== 0n) return false;
    switch (number) {
      case r.register.taskPriority:
      case r.register.endOfInterrupt:
      case r.register.spurious:
      case r.register.errorStatus:
      case r.register.initialCount:
      case r.register.divide:
      case r.register.selfIpi:
        break;
      default:
        if (number < r.register.lvtTimer || number > r.register.lvtError) return false;
    }
    this.#write(number, low);
    return true;
  }
}
