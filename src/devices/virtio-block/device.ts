/**
 * The block device (virtio 1.2 §5.2). It takes requests out of its queues, says where in the guest's memory their data lies,
 * and puts them into the disk's ring (`abi/disk-ring.ts`), which a storage worker serves. The guest runs on meanwhile.
 *
 * - All that is under way stands in the ring, in the guest's memory: another executor goes on with it.
 * - A reset gives up what is under way before it returns: no byte of the guest changes for it any more.
 * - Under the virtual clock a request takes a modelled time, and the guest does not run beyond it before it is done.
 * - Several queues are ready to be offered (`queues`); one processor needs one.
 */
import { diskOperation, diskResult, type DiskRing, slotState } from '../../abi/disk-ring.ts';
import { type DeviceClock, never, type Resettable, type SharedGuestMemory } from '../capabilities.ts';
import type { PciTarget } from '../pci-function/device.ts';
import { VirtioPci, type VirtioType, type VirtioWires } from '../virtio/device.ts';
import type { Chain, Piece, VirtQueue } from '../virtio/queue.ts';
import { virtioPciState } from '../virtio/state.ts';
import * as r from './registers.ts';
import { type BlockRequest, lengthOf, parseRequest, view } from './request.ts';
import { BlockConfiguration, VirtioBlockState } from './state.ts';

export interface BlockOptions {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** What the guest sees as the disk's serial number: at most 20 characters of ASCII. */
  readonly id: string;
  readonly queues?: number;
}

export interface BlockWires extends VirtioWires {
  readonly memory: SharedGuestMemory;
  readonly ring: DiskRing;
  readonly clock: DeviceClock & { readonly isVirtual: boolean };
}

/** What the device needs in the guest's memory, one behind the other. */
export const blockState = {
  name: 'VirtioBlock',
  size: VirtioBlockState.size + virtioPciState(1).size,
} as const;

/** Time that a request takes under the virtual clock: that of a plain solid-state disk. */
const modelledRequestNs = 100_000;
const modelledNsPerByte = 2;

export class VirtioBlock implements VirtioType, Resettable {
  readonly id = r.deviceType;
  readonly classCode = r.classCode;
  readonly features: readonly number[];
  readonly queueSizes: readonly number[];
  readonly configBytes = BlockConfiguration.size;
  readonly #s: ReturnType<typeof VirtioBlockState.at>;
  readonly #options: BlockOptions;
  readonly #wires: BlockWires;
  readonly #ring: DiskRing;
  readonly #transport: VirtioPci;

  constructor(buffer: ArrayBufferLike, address: number, options: BlockOptions, wires: BlockWires) {
    const { queues = 1, readOnly } = options;
    this.#s = VirtioBlockState.at(buffer, address);
    this.#options = options;
    this.#wires = wires;
    this.#ring = wires.ring;
    this.queueSizes = Array.from({ length: queues }, () => r.queueSize);
    const { feature } = r;
    this.features = [
      ...[feature.segmentLimit, feature.blockSize, feature.flush, feature.configurableCache],
      ...(readOnly ? [feature.readOnly] : [feature.discard, feature.writeZeroes]),
      ...(queues > 1 ? [feature.queues] : []),
    ];
    this.#transport = new VirtioPci(buffer, address + VirtioBlockState.size, this, wires);
  }

  get target(): PciTarget {
    return this.#transport.target;
  }

  assign(gpa: number, interruptLine: number): void {
    this.#transport.assign(gpa, interruptLine);
  }

  reset(): void {
    this.#transport.reset();
  }

  /** Somebody rang: requests may be done. */
  poll(): void {
    if (this.#s.underWay > 0) this.#complete();
  }

  // Under the virtual clock.

  nextDeadlineNs(): number {
    return this.#s.underWay === 0 ? never : this.#s.nextDueNs;
  }

  onDeadline(): void {
    this.#complete();
  }

  /** A request is due, and not done: the guest must not run, so that it cannot notice how long the host takes. */
  get waits(): boolean {
    return this.#s.underWay > 0 && this.#wires.clock.isVirtual && this.#s.nextDueNs <= this.#wires.clock.nowNs();
  }

  // What the transport asks.

  readConfig(offset: number, size: number): number {
    const bytes = new DataView(new ArrayBuffer(this.configBytes));
    const { offsets: at } = BlockConfiguration;
    const { sizeBytes, readOnly } = this.#options;
    const sectors = sizeBytes / r.sectorBytes;
    bytes.setUint32(at.capacityLow, sectors % 2 ** 32, true);
    bytes.setUint32(at.capacityHigh, Math.floor(sectors / 2 ** 32), true);
    bytes.setUint32(at.segmentLimit, r.longestRequest, true);
    bytes.setUint32(at.blockSize, r.sectorBytes, true);
    bytes.setUint8(at.writeBack, this.#s.writeBack);
    bytes.setUint16(at.queues, this.queueSizes.length, true);
    if (!readOnly) {
      bytes.setUint32(at.longestDiscard, r.longestClear, true);
      bytes.setUint32(at.discardSegments, 1, true);
      bytes.setUint32(at.discardAlignment, 8, true);
      bytes.setUint32(at.longestWriteZeroes, r.longestClear, true);
      bytes.setUint32(at.writeZeroesSegments, 1, true);
      bytes.setUint8(at.writeZeroesMayUnmap, 1);
    }
    return size === 1
      ? bytes.getUint8(offset)
      : size === 2
        ? bytes.getUint16(offset, true)
        : bytes.getUint32(offset, true);
  }

  writeConfig(offset: number, size: number, value: number): void {
    if (offset !== BlockConfiguration.offsets.writeBack || size !== 1) return;
    if (this.#transport.hasFeature(r.feature.configurableCache)) this.#s.writeBack = value & 1;
  }

  started(): void {
    for (let queue = 0; queue < this.queueSizes.length; queue++) this.notified(queue);
  }

  failed(): void {
    this.#giveUp();
  }

  driverReset(): void {
    this.#giveUp();
    // A driver that cannot flush gets what needs no flush (§5.2.5.2).
    this.#s.writeBack = 1;
  }

  #giveUp(): void {
    this.#ring.abandon();
    this.#s.underWay = 0;
    this.#s.nextDueNs = never;
  }

  notified(index: number): void {
    const queue = this.#transport.queues[index];
    if (queue === undefined) return;
    let submitted = false;
    let answered = false;
    for (let slot = this.#ring.freeSlot(); slot >= 0; slot = this.#ring.freeSlot()) {
      const chain = queue.take();
      if (chain === undefined) break;
      if (this.#begin(chain, index, slot)) submitted = true;
      else answered = true;
    }
    if (submitted) this.#ring.ring();
    if (answered) this.#transport.interrupt(queue);
  }

  // Requests.

  /** True: it is in the ring. False: it was given back. */
  #begin(chain: Chain, index: number, slot: number): boolean {
    const queue = this.#transport.queues[index] as VirtQueue;
    const request = parseRequest(this.#wires.memory, chain);
    if (request === undefined) {
      queue.give(chain, 0);
      return false;
    }
    const answer = this.#submit(request, chain.head, index, slot);
    if (answer === 'submitted') return true;
    const written = answer === r.status.ok ? lengthOf(request.wanted) : 0;
    this.#wires.memory.writeByte(request.statusGpa, answer);
    queue.give(chain, written + 1);
    return false;
  }

  /** Puts a request into the ring, or says with which status it ends at once. */
  #submit(request: BlockRequest, head: number, queue: number, slot: number): number | 'submitted' {
    const { type } = request;
    if (type === r.request.getId) return this.#tellId(request.wanted);
    const work = this.#workOf(request);
    if (typeof work === 'number') return work;
    const places = this.#places(work.data, work.operation === diskOperation.read ? 'write' : 'read');
    if (places === undefined || !this.#ring.setPieces(slot, places)) return r.status.ioError;
    const fields = this.#ring.slots[slot];
    if (fields === undefined) return r.status.ioError;
    const s = this.#s;
    const writes = work.operation === diskOperation.write || work.operation === diskOperation.writeZeroes;
    Object.assign(fields, {
      operation: work.operation,
      throughCache: writes && !this.#cached ? 1 : 0,
      offset: work.offset,
      length: work.length,
      queue,
      head,
      serial: s.serial,
      statusGpa: request.statusGpa,
      written: work.operation === diskOperation.read ? work.length : 0,
      dueNs: this.#dueNs(lengthOf(work.data)),
    });
    s.serial = (s.serial + 1) >>> 0;
    s.underWay++;
    s.nextDueNs = Math.min(s.nextDueNs, fields.dueNs);
    this.#ring.submit(slot);
    return 'submitted';
  }

  /** Writes may stay in the host's cache until they are flushed (§5.2.6.2). */
  get #cached(): boolean {
    if (this.#transport.hasFeature(r.feature.configurableCache)) return this.#s.writeBack !== 0;
    return this.#transport.hasFeature(r.feature.flush);
  }

  #dueNs(bytes: number): number {
    const { clock } = this.#wires;
    return clock.isVirtual ? Math.ceil(clock.nowNs() + modelledRequestNs + bytes * modelledNsPerByte) : 0;
  }

  #places(data: readonly Piece[], access: 'read' | 'write'): Uint8Array[] | undefined {
    const places: Uint8Array[] = [];
    for (const { gpa, length } of data) {
      const pieces = this.#wires.memory.place(gpa, length, access);
      if (pieces === undefined) return undefined;
      places.push(...pieces);
    }
    return places;
  }

  /** What is to be done, or the status that refuses it. */
  #workOf({ type, sector, sent, wanted }: BlockRequest): Work | number {
    const { readOnly } = this.#options;
    switch (type) {
      case r.request.read:
        return this.#checked({ operation: diskOperation.read, sector, length: lengthOf(wanted), data: wanted });
      case r.request.write:
        if (readOnly) return r.status.ioError;
        return this.#checked({ operation: diskOperation.write, sector, length: lengthOf(sent), data: sent });
      case r.request.flush:
        return this.#checked({ operation: diskOperation.flush, sector: 0, length: 0, data: [] });
      case r.request.discard:
      case r.request.writeZeroes:
        return readOnly ? r.status.unsupported : this.#clear(type, sent);
      default:
        return r.status.unsupported;
    }
  }

  #clear(type: number, sent: readonly Piece[]): Work | number {
    if (lengthOf(sent) !== r.segmentBytes) return r.status.ioError;
    const segment = view(this.#wires.memory, sent, r.segmentBytes);
    const sector = segment.getUint32(0, true) + segment.getUint32(4, true) * 2 ** 32;
    const count = segment.getUint32(8, true);
    const allowed = type === r.request.discard ? 0 : r.segmentFlag.unmap;
    if ((segment.getUint32(12, true) & ~allowed) !== 0) return r.status.unsupported;
    if (count > r.longestClear) return r.status.ioError;
    const operation = type === r.request.discard ? diskOperation.discard : diskOperation.writeZeroes;
    return this.#checked({ operation, sector, length: count * r.sectorBytes, data: [] });
  }

  #checked({ sector, ...work }: Omit<Work, 'offset'> & { readonly sector: number }): Work | number {
    const offset = sector * r.sectorBytes;
    const fits = work.length % r.sectorBytes === 0 && offset + work.length <= this.#options.sizeBytes;
    return fits ? { ...work, offset } : r.status.ioError;
  }

  #tellId(wanted: readonly Piece[]): number {
    if (lengthOf(wanted) < r.idBytes) return r.status.ioError;
    const id = new TextEncoder().encode(this.#options.id.padEnd(lengthOf(wanted), '\0'));
    let at = 0;
    for (const { gpa, length } of wanted) {
      this.#wires.memory.write(gpa, id.subarray(at, at + length));
      at += length;
    }
    return r.status.ok;
  }

  // Completion.

  /** Gives back what is done and due; then there may be room for what waits in the queues. */
  #complete(): void {
    if (!this.#transport.running) return;
    const now = this.#wires.clock.nowNs();
    const ready = this.#ring.slots
      .map((fields, slot) => ({ fields, slot }))
      .filter(({ fields, slot }) => this.#ring.state(slot) === slotState.done && fields.dueNs <= now)
      .sort((a, b) => a.fields.dueNs - b.fields.dueNs || (a.fields.serial - b.fields.serial) | 0);
    const touched = new Set<VirtQueue>();
    for (const { fields, slot } of ready) {
      const queue = this.#transport.queues[fields.queue];
      if (queue !== undefined) touched.add(queue);
      this.#giveBack(queue, slot);
    }
    if (ready.length === 0) return;
    this.#s.nextDueNs = this.#earliestDue();
    for (const queue of touched) this.#transport.interrupt(queue);
    for (let queue = 0; queue < this.queueSizes.length; queue++) this.notified(queue);
  }

  #giveBack(queue: VirtQueue | undefined, slot: number): void {
    const fields = this.#ring.slots[slot];
    const s = this.#s;
    s.underWay--;
    if (fields === undefined) return;
    const { result, operation, head, statusGpa, written, length } = fields;
    const ok = result === diskResult.ok;
    if (operation === diskOperation.read) this.#wires.memory.written(this.#ring.pieces(slot));
    if (ok && operation === diskOperation.read) s.readBytes += length;
    if (ok && operation === diskOperation.write) s.writtenBytes += length;
    if (ok) s.served++;
    else s.failed++;
    this.#ring.reap(slot);
    this.#wires.memory.writeByte(statusGpa, statusOf(result));
    queue?.give({ head, readable: [], writable: [] }, (ok ? written : 0) + 1);
  }

  #earliestDue(): number {
    let due = never;
    this.#ring.slots.forEach((fields, slot) => {
      const state = this.#ring.state(slot);
      if (state !== slotState.free && state !== slotState.abandoned) due = Math.min(due, fields.dueNs);
    });
    return due;
  }
}

interface Work {
  readonly operation: number;
  readonly offset: number;
  readonly length: number;
  readonly data: readonly Piece[];
}

function statusOf(result: number): number {
  if (result === diskResult.ok) return r.status.ok;
  return result === diskResult.unsupported ? r.status.unsupported : r.status.ioError;
}
