/**
 * What a device can be, as small interfaces; the bus and the machine see nothing else of it.
 *
 * Rules that every device here follows:
 * - Its state lies in the guest's memory, in the struct of its `state.ts`. The object holds views of that struct and
 *   its wires, nothing that a new executor on the same memory would miss.
 * - The constructor attaches to whatever state is there; only `reset()` writes initial values.
 * - It sees offsets from the start of its range, never addresses; sizes are 1, 2 or 4 bytes.
 * - Time is the machine's clock. What shall happen later is a deadline in the struct (guest time in nanoseconds, f64,
 *   an integer below 2^53; {@link never} = none), never a host timer.
 */

/**
 * Result of an I/O read, a closed union in one number, so that no exit allocates: 0 … 2^32 − 1 is data,
 * {@link floating} says that no device drives the bus there (the bus decides what that reads as), {@link deferred}
 * that the result comes later (the access is repeated once the device has rung).
 */
export type IoResult = number;
export const floating: IoResult = -1;
export const deferred: IoResult = -2;

/** A device deadline that does not come. */
export const never = Infinity;

export interface PortIo {
  readPort(offset: number, size: number): IoResult;
  writePort(offset: number, size: number, value: number): void;
}

export interface Mmio {
  readMmio(offset: number, size: number): IoResult;
  writeMmio(offset: number, size: number, value: number): void;
}

/** MSRs that belong to a device. Undefined: not this device's; false: #GP. */
export interface Msrs {
  readMsr(index: number): bigint | undefined;
  writeMsr(index: number, value: bigint): boolean | undefined;
}

export interface Timed {
  /** Guest time at which {@link onDeadline} wants to be called; {@link never} if at none. */
  nextDeadlineNs(): number;
  /** Does all that is due at `nowNs`. */
  onDeadline(nowNs: number): void;
}

export interface Resettable {
  /** Power-on (and hardware reset) values. */
  reset(): void;
}

/** Guest time. */
export interface DeviceClock {
  /** Nanoseconds since power-on, an integer; never goes back; stands still while the guest is paused. */
  nowNs(): number;
}

/** The TSC as devices see it (TSC deadline, KVM clock). */
export interface TscClock extends DeviceClock {
  readonly tscHz: number;
  /** The guest's TSC, IA32_TSC_ADJUST included. */
  tscNow(): bigint;
  /** Guest time at which the TSC reaches `tsc`. */
  tscToNs(tsc: bigint): number;
}

/** One wire from a device to the interrupt controllers. */
export interface InterruptLine {
  /** 1 asserts, 0 releases. A level change; controllers see edges by themselves. */
  set(level: number): void;
}

/** Guest-physical memory for bus masters; see `machine/dma.ts`. Addresses outside of RAM read as ones and drop writes. */
export interface GuestMemory {
  read(gpa: number, length: number): Uint8Array;
  write(gpa: number, bytes: Uint8Array): void;
  /** One byte, which makes no array. */
  readByte(gpa: number): number;
  writeByte(gpa: number, value: number): void;
  /** True when all of the range is RAM. */
  isRam(gpa: number, length: number): boolean;
}

/** Guest RAM whose bytes another thread moves. */
export interface SharedGuestMemory extends GuestMemory {
  /**
   * The pieces of the guest's memory behind a guest-physical range, as few as there are. `write`: they are about to be
   * written: none may be read-only. Undefined: not all of the range is such RAM.
   */
  place(gpa: number, length: number, access: 'read' | 'write'): Uint8Array[] | undefined;
  /** Another thread has written these pieces. */
  written(pieces: readonly Uint8Array[]): void;
}

/** Pages of RAM that a guest gives up and may ask for again; see `machine/given-pages.ts`. Pages are numbered from 0. */
export interface GivenPages {
  /** Pages of guest-physical space up to the end of RAM. */
  readonly ramPages: number;
  /** Empties a page, which reads as zero from then on. False: it was given up so before, or is no RAM of the guest's. */
  giveUp(page: number, how: 'ballooned' | 'reported'): boolean;
  /** The guest asks for a ballooned page again. False: it is not in the balloon. */
  takeBack(page: number): boolean;
  /** All ballooned pages are the guest's again. */
  takeBackAll(): void;
  /** To be called after pages were given up, before the guest runs on. */
  settle(): void;
}

/** Where a serial port gets bytes from and puts them to. */
export interface ByteSource {
  /** The next byte, or −1. */
  readByte(): number;
  readonly readable: number;
}

export interface ByteSink {
  /** False: no room now; the byte has not been taken. */
  writeByte(byte: number): boolean;
}

/** One interrupt on an edge-triggered line. It stays asserted: a request that falls before its acknowledge is lost. */
export function edge(line: InterruptLine): void {
  line.set(0);
  line.set(1);
}
