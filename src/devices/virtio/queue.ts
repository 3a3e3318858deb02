/**
 * A split virtqueue, the device's side (virtio 1.2 §2.7). The driver's tables are a hostile guest's: every address is
 * checked before it is used, every chain has an end, and what is malformed makes the device say that it needs a reset.
 * Buffers may overlap one another and the rings: reads and writes are by value.
 *
 * @example
 * for (let chain = queue.take(); chain !== undefined; chain = queue.take()) {
 *   const request = queue.read(chain);
 *   queue.give(chain, 0);
 * }
 * if (queue.wantsInterrupt()) …
 */
import type { GuestMemory } from '../capabilities.ts';
import { descriptorFlag, driverRingFlag, type Failure, feature, longestChain } from './registers.ts';
import { Descriptor, VirtioQueue } from './state.ts';

/** A piece of guest-physical memory, all of it RAM. */
export interface Piece {
  readonly gpa: number;
  readonly length: number;
}

/** A request: what the device reads, then what it writes. */
export interface Chain {
  readonly head: number;
  readonly readable: readonly Piece[];
  readonly writable: readonly Piece[];
}

export interface QueueWires {
  readonly memory: GuestMemory;
  readonly maximumSize: number;
  hasFeature(bit: number): boolean;
  /** The device may look at the queue: the driver is ready, and has done nothing wrong. */
  usable(): boolean;
  /** The driver has done something wrong: from now on the device is not {@link usable} until it is reset. */
  fail(failure: Failure): void;
}

/** Offsets in a ring: flags, index, entries (§2.7.6, §2.7.8). Behind the entries comes the other side's event index. */
const ring = { flags: 0, index: 2, entries: 4 } as const;
const driverEntryBytes = 2;
const deviceEntryBytes = 8;

type QueueState = ReturnType<typeof VirtioQueue.at>;

export class VirtQueue {
  readonly #s: QueueState;
  readonly #wires: QueueWires;

  constructor(buffer: ArrayBufferLike, address: number, wires: QueueWires) {
    this.#s = VirtioQueue.at(buffer, address);
    this.#wires = wires;
  }

  /** The state, for the transport, whose registers the driver sets it up by. */
  get state(): QueueState {
    return this.#s;
  }

  reset(): void {
    const s = this.#s;
    s.size = this.#wires.maximumSize;
    for (const field of ['enabled', 'taken', 'given', 'notifiedAt'] as const) s[field] = 0;
    for (const field of [s.descriptorTable, s.driverRing, s.deviceRing]) field.fill(0);
  }

  /** The driver has set it up: from now on size and addresses stand. */
  enable(): void {
    const s = this.#s;
    const { memory } = this.#wires;
    const places = [
      [addressOf(s.descriptorTable), Descriptor.size * s.size, 16],
      [addressOf(s.driverRing), ring.entries + driverEntryBytes * s.size + 2, 2],
      [addressOf(s.deviceRing), ring.entries + deviceEntryBytes * s.size + 2, 4],
    ] as const;
    if (places.every(([at, bytes, alignment]) => at % alignment === 0 && memory.isRam(at, bytes))) s.enabled = 1;
    else this.#wires.fail('its queue lies outside of RAM');
  }

  /** The next request, which stays where it is; undefined if there is none. */
  peek(): Chain | undefined {
    const s = this.#s;
    if (s.enabled === 0 || !this.#wires.usable()) return undefined;
    const driver = addressOf(s.driverRing);
    const waiting = (this.#u16(driver + ring.index) - s.taken) & 0xffff;
    if (waiting === 0) return undefined;
    if (waiting > s.size) return this.#fail('it announces more buffers than the queue has entries');
    const slot = s.taken & (s.size - 1);
    const head = this.#u16(driver + ring.entries + driverEntryBytes * slot);
    if (head >= s.size) return this.#fail('it names a descriptor that the table does not have');
    return this.#chain(head);
  }

  /** Takes the next request out of the queue; undefined if there is none. */
  take(): Chain | undefined {
    const chain = this.peek();
    if (chain !== undefined) this.#s.taken = (this.#s.taken + 1) & 0xffff;
    this.#askForNotification();
    return chain;
  }

  /** With event indices: the driver notifies when it adds a buffer behind those that were taken. */
  #askForNotification(): void {
    const s = this.#s;
    if (s.enabled === 0 || !this.#wires.usable() || !this.#wires.hasFeature(feature.eventIndex)) return;
    this.#write16(addressOf(s.deviceRing) + ring.entries + deviceEntryBytes * s.size, s.taken);
  }

  /** Gives a request back, of whose writable part `written` bytes were filled. */
  give(chain: Chain, written: number): void {
    const s = this.#s;
    const device = addressOf(s.deviceRing);
    const entry = new DataView(new ArrayBuffer(deviceEntryBytes));
    entry.setUint32(0, chain.head, true);
    entry.setUint32(4, written, true);
    const slot = s.given & (s.size - 1);
    this.#wires.memory.write(device + ring.entries + deviceEntryBytes * slot, new Uint8Array(entry.buffer));
    s.given = (s.given + 1) & 0xffff;
    this.#write16(device + ring.index, s.given);
  }

  /** Whether the driver wants to hear of what was given since it was last told (§2.7.7); it counts as told then. */
  wantsInterrupt(): boolean {
    const s = this.#s;
    const driver = addressOf(s.driverRing);
    const since = (s.given - s.notifiedAt) & 0xffff;
    s.notifiedAt = s.given;
    if (since === 0) return false;
    if (!this.#wires.hasFeature(feature.eventIndex)) {
      return (this.#u16(driver + ring.flags) & driverRingFlag.noInterrupt) === 0;
    }
    const event = this.#u16(driver + ring.entries + driverEntryBytes * s.size);
    return ((s.given - event - 1) & 0xffff) < since;
  }

  /** The bytes that the driver sends with a request; undefined, and the device needs a reset, if more than `limit`. */
  read(chain: Chain, limit: number): Uint8Array | undefined {
    const total = chain.readable.reduce((sum, { length }) => sum + length, 0);
    if (total > limit) return this.#fail('a request is longer than the device takes');
    const bytes = new Uint8Array(total);
    let at = 0;
    for (const { gpa, length } of chain.readable) {
      bytes.set(this.#wires.memory.read(gpa, length), at);
      at += length;
    }
    return bytes;
  }

  #chain(head: number): Chain | undefined {
    const readable: Piece[] = [];
    const writable: Piece[] = [];
    let table = addressOf(this.#s.descriptorTable);
    let entries = this.#s.size;
    let indirect = false;
    let index = head;
    for (let count = 0; count < longestChain; count++) {
      if (index >= entries) return this.#fail('it names a descriptor that the table does not have');
      const { gpa, length, flags, next } = this.#descriptor(table, index);
      if (!this.#wires.memory.isRam(gpa, length)) return this.#fail('a buffer lies outside of RAM');
      if ((flags & descriptorFlag.indirect) !== 0) {
        const whole = length > 0 && length % Descriptor.size === 0 && (flags & descriptorFlag.next) === 0;
        if (indirect || !whole || !this.#wires.hasFeature(feature.indirectDescriptors)) {
          return this.#fail('an indirect table is malformed');
        }
        indirect = true;
        table = gpa;
        entries = length / Descriptor.size;
        index = 0;
        continue;
      }
      if ((flags & descriptorFlag.write) !== 0) writable.push({ gpa, length });
      else if (writable.length > 0) return this.#fail('a buffer to be read follows one to be written');
      else readable.push({ gpa, length });
      if ((flags & descriptorFlag.next) === 0) return { head, readable, writable };
      index = next;
    }
    return this.#fail('a chain of descriptors does not end');
  }

  #descriptor(table: number, index: number): Piece & { readonly flags: number; readonly next: number } {
    const { buffer, byteOffset } = this.#wires.memory.read(table + Descriptor.size * index, Descriptor.size);
    const view = new DataView(buffer, byteOffset);
    const { offsets } = Descriptor;
    return {
      gpa: view.getUint32(offsets.addressLow, true) + view.getUint32(offsets.addressHigh, true) * 2 ** 32,
      length: view.getUint32(offsets.length, true),
      flags: view.getUint16(offsets.flags, true),
      next: view.getUint16(offsets.next, true),
    };
  }

  #fail(failure: Failure): undefined {
    this.#wires.fail(failure);
    return undefined;
  }

  #u16(gpa: number): number {
    const { memory } = this.#wires;
    return memory.readByte(gpa) | (memory.readByte(gpa + 1) << 8);
  }

  #write16(gpa: number, value: number): void {
    this.#wires.memory.write(gpa, Uint8Array.of(value & 0xff, (value >> 8) & 0xff));
  }
}

function addressOf(halves: Uint32Array): number {
  return (halves[0] ?? 0) + (halves[1] ?? 0) * 2 ** 32;
}
