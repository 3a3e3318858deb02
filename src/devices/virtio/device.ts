/**
 * The PCI transport of a virtio device, without the interface of before virtio 1.0 (virtio 1.2 §4.1): a PCI function
 * whose BAR 0 holds common configuration, ISR status, device configuration and notifications, and whose capabilities say
 * where. What the device does comes from its {@link VirtioType}; this file negotiates, sets up queues, and interrupts by
 * INTx.
 *
 * A driver that breaks the rules gets DEVICE_NEEDS_RESET and a line in the log; the device does nothing more until it is
 * reset.
 */
import type { GuestMemory, InterruptLine, Mmio, Resettable } from '../capabilities.ts';
import { type PciCapability, PciFunction, type PciTarget } from '../pci-function/device.ts';
import { VirtQueue } from './queue.ts';
import * as r from './registers.ts';
import { CommonConfiguration, VirtioCapability, virtioPciPlaces, VirtioTransport } from './state.ts';

/** A type of device, as the transport sees it. */
export interface VirtioType {
  /** Number of the type (§5), and its PCI class. */
  readonly id: number;
  readonly classCode: number;
  /** Bits that are offered, besides those of the transport. */
  readonly features: readonly number[];
  /** Largest size of each queue. */
  readonly queueSizes: readonly number[];
  /** Device configuration: bytes, and accesses of 1, 2 or 4 of them. */
  readonly configBytes: number;
  readConfig(offset: number, size: number): number;
  writeConfig(offset: number, size: number, value: number): void;
  /** The driver is ready (DRIVER_OK): it may have filled queues before it said so. */
  started(): void;
  /** The driver has broken the rules: no queue is to be used before the next reset. */
  failed(): void;
  /** The driver has reset the device. */
  driverReset(): void;
  /** The driver has put something into a queue. */
  notified(queue: number): void;
}

export interface VirtioWires {
  readonly memory: GuestMemory;
  readonly interrupt: InterruptLine;
  /** Tells the developer what the driver did wrong. */
  log(type: number, failure: number): void;
}

/** Bytes of common configuration that exist. */
const commonBytes = CommonConfiguration.offsets.queueDeviceHigh + 4;

export class VirtioPci implements Resettable {
  readonly #s: ReturnType<typeof VirtioTransport.at>;
  readonly #type: VirtioType;
  readonly #wires: VirtioWires;
  readonly #offered: readonly number[];
  readonly #pci: PciFunction;
  /** Offset of the capability that gives access by configuration space (§4.1.4.9). */
  readonly #access: number;
  readonly queues: readonly VirtQueue[];

  constructor(buffer: ArrayBufferLike, address: number, type: VirtioType, wires: VirtioWires) {
    const places = virtioPciPlaces(type.queueSizes.length);
    this.#s = VirtioTransport.at(buffer, address + places.transport);
    this.#type = type;
    this.#wires = wires;
    this.#offered = [...type.features, ...Object.values(r.feature)];
    this.queues = type.queueSizes.map(
      (maximumSize, i) =>
        new VirtQueue(buffer, address + (places.queues[i] ?? 0), {
          memory: wires.memory,
          maximumSize,
          hasFeature: (bit) => this.hasFeature(bit),
          usable: () => this.running,
          fail: (failure) => {
            this.#fail(failure);
          },
        }),
    );
    const capabilities = capabilitiesOf(type);
    this.#pci = new PciFunction(buffer, address + places.config, {
      identity: {
        vendor: r.pciVendor,
        device: r.pciDeviceBase + type.id,
        revision: r.pciRevision,
        classCode: type.classCode,
        subsystemVendor: r.pciVendor,
        subsystem: 0x40,
      },
      memories: [{ sizeBytes: r.region.end, device: this.#memory() }],
      capabilities,
      interrupt: wires.interrupt,
    });
    this.#access = this.#pci.capabilityOffsets[capabilities.length - 1] ?? 0;
  }

  reset(): void {
    this.#pci.reset();
    this.#resetDevice();
  }

  /** The PCI function, to be plugged in; its configuration space has a window onto the memory (§4.1.4.9). */
  get target(): PciTarget {
    const pci = this.#pci;
    return {
      memories: pci.memories,
      offsetOf: (index, gpa) => pci.offsetOf(index, gpa),
      readConfig: (offset, size) => {
        if (this.#isAccessData(offset)) this.#accessData((at, length) => this.#loadData(at, length));
        return pci.readConfig(offset, size);
      },
      writeConfig: (offset, size, value) => {
        pci.writeConfig(offset, size, value);
        if (this.#isAccessData(offset)) this.#accessData((at, length) => this.#storeData(at, length));
      },
    };
  }

  /** What the firmware does at power-on. */
  assign(gpa: number, interruptLine: number): void {
    this.#pci.assign(0, gpa);
    this.#pci.setInterruptLine(interruptLine);
  }

  // What the type of device uses.

  /** The driver is ready and has done nothing wrong. */
  get running(): boolean {
    const bits = r.status.driverOk | r.status.needsReset;
    return (this.#s.status & bits) === r.status.driverOk && this.#pci.busMaster;
  }

  get failed(): boolean {
    return (this.#s.status & r.status.needsReset) !== 0;
  }

  /** A feature that was offered and accepted. */
  hasFeature(bit: number): boolean {
    return (((this.#s.driverFeatures[bit >> 5] ?? 0) >>> (bit & 31)) & 1) !== 0;
  }

  /** Tells the driver of what was given back to a queue, if it wants to hear of it. */
  interrupt(queue: VirtQueue): void {
    if (this.running && queue.wantsInterrupt()) this.#raise(r.isr.queue);
  }

  /** Device configuration has changed. */
  configChanged(): void {
    this.#s.configGeneration = (this.#s.configGeneration + 1) & 0xff;
    if ((this.#s.status & r.status.driverOk) !== 0) this.#raise(r.isr.configuration);
  }

  #raise(bit: number): void {
    this.#s.isr |= bit;
    this.#pci.setInterrupt(true);
  }

  #fail(failure: r.Failure): void {
    if (this.failed) return;
    this.#s.status |= r.status.needsReset;
    this.#wires.log(this.#type.id, r.failures.indexOf(failure));
    this.#type.failed();
    this.configChanged();
  }

  #resetDevice(): void {
    const s = this.#s;
    for (const field of ['status', 'deviceFeatureSelect', 'driverFeatureSelect', 'isr', 'queueSelect'] as const) {
      s[field] = 0;
    }
    s.driverFeatures.fill(0);
    for (const queue of this.queues) queue.reset();
    this.#pci.setInterrupt(false);
    this.#type.driverReset();
  }

  // The function's memory.

  #memory(): Mmio {
    return {
      readMmio: (offset, size) => this.#read(offset, size),
      writeMmio: (offset, size, value) => {
        this.#write(offset, size, value);
      },
    };
  }

  #read(offset: number, size: number): number {
    if (offset < r.region.isr) return this.#readCommon(offset);
    if (offset < r.region.device) return offset === r.region.isr ? this.#readIsr() : 0;
    if (offset >= r.region.notify) return 0;
    const at = offset - r.region.device;
    return at + size <= this.#type.configBytes ? this.#type.readConfig(at, size) : 0;
  }

  #write(offset: number, size: number, value: number): void {
    if (offset < r.region.isr) this.#writeCommon(offset, value);
    else if (offset >= r.region.notify) this.#notified((offset - r.region.notify) / r.notifyMultiplier);
    else if (offset >= r.region.device) {
      const at = offset - r.region.device;
      if (at + size <= this.#type.configBytes) this.#type.writeConfig(at, size, value);
    }
  }

  #notified(queue: number): void {
    if (this.running && this.queues[queue]?.state.enabled === 1) this.#type.notified(queue);
  }

  /** Reading acknowledges (§4.1.4.5). */
  #readIsr(): number {
    const { isr } = this.#s;
    this.#s.isr = 0;
    this.#pci.setInterrupt(false);
    return isr;
  }

  #readCommon(offset: number): number {
    const s = this.#s;
    const at = CommonConfiguration.offsets;
    const queue = this.queues[s.queueSelect]?.state;
    switch (offset) {
      case at.deviceFeatureSelect:
        return s.deviceFeatureSelect;
      case at.deviceFeature:
        return this.#offeredBits(s.deviceFeatureSelect);
      case at.driverFeatureSelect:
        return s.driverFeatureSelect;
      case at.driverFeature:
        return s.driverFeatures[s.driverFeatureSelect] ?? 0;
      case at.configMsixVector:
      case at.queueMsixVector:
        return r.noVector;
      case at.numQueues:
        return this.queues.length;
      case at.deviceStatus:
        return s.status;
      case at.configGeneration:
        return s.configGeneration;
      case at.queueSelect:
        return s.queueSelect;
      case at.queueSize:
        return queue?.size ?? 0;
      case at.queueEnable:
        return queue?.enabled ?? 0;
      case at.queueNotifyOffset:
        return s.queueSelect;
    }
    return this.#queueAddress(offset)?.[(offset >> 2) & 1] ?? 0;
  }

  #writeCommon(offset: number, value: number): void {
    const s = this.#s;
    const at = CommonConfiguration.offsets;
    switch (offset) {
      case at.deviceFeatureSelect:
        s.deviceFeatureSelect = value;
        return;
      case at.driverFeatureSelect:
        s.driverFeatureSelect = value;
        return;
      case at.driverFeature:
        // Once accepted, features stand (§3.1.1).
        if ((s.status & r.status.featuresOk) === 0) s.driverFeatures[s.driverFeatureSelect] = value;
        return;
      case at.deviceStatus:
        this.#setStatus(value & 0xff);
        return;
      case at.queueSelect:
        s.queueSelect = value & 0xffff;
        return;
    }
    this.#writeQueue(offset, value);
  }

  #writeQueue(offset: number, value: number): void {
    const at = CommonConfiguration.offsets;
    const queue = this.queues[this.#s.queueSelect];
    if (queue === undefined || queue.state.enabled === 1) return;
    if (offset === at.queueSize) {
      const maximum = this.#type.queueSizes[this.#s.queueSelect] ?? 0;
      const size = value & 0xffff;
      if (size > 0 && size <= maximum && (size & (size - 1)) === 0) queue.state.size = size;
    } else if (offset === at.queueEnable) {
      if ((value & 0xffff) === 1) queue.enable();
    } else {
      const address = this.#queueAddress(offset);
      if (address !== undefined) address[(offset >> 2) & 1] = value;
    }
  }

  /** The register pair of the selected queue that `offset` belongs to. */
  #queueAddress(offset: number): Uint32Array | undefined {
    const at = CommonConfiguration.offsets;
    const queue = this.queues[this.#s.queueSelect]?.state;
    switch (offset) {
      case at.queueDescriptorsLow:
      case at.queueDescriptorsHigh:
        return queue?.descriptorTable;
      case at.queueDriverLow:
      case at.queueDriverHigh:
        return queue?.driverRing;
      case at.queueDeviceLow:
      case at.queueDeviceHigh:
        return queue?.deviceRing;
      default:
        return undefined;
    }
  }

  #setStatus(value: number): void {
    const s = this.#s;
    if (value === 0) {
      this.#resetDevice();
      return;
    }
    const before = s.status;
    // The driver cannot take back bits, nor say for the device that it needs a reset (§2.1.1).
    let next = before | (value & ~r.status.needsReset);
    if ((before & r.status.featuresOk) === 0 && !this.#featuresAcceptable()) next &= ~r.status.featuresOk;
    if ((next & r.status.featuresOk) === 0) next &= ~r.status.driverOk;
    s.status = next;
    if ((before & r.status.driverOk) === 0 && this.running) this.#type.started();
  }

  #featuresAcceptable(): boolean {
    const offered = [0, 1].every((word) => ((this.#s.driverFeatures[word] ?? 0) & ~this.#offeredBits(word)) === 0);
    return offered && this.hasFeature(r.feature.version1);
  }

  /** Offered features 32 × `word` and up. */
  #offeredBits(word: number): number {
    let bits = 0;
    for (const bit of this.#offered) if (bit >> 5 === word) bits |= 1 << (bit & 31);
    return bits >>> 0;
  }

  // Access by configuration space (§4.1.4.9): BAR, offset and length are in the capability, the data behind it.

  #isAccessData(offset: number): boolean {
    return offset >= this.#access + VirtioCapability.size && offset < this.#access + VirtioCapability.size + 4;
  }

  #accessData(act: (offset: number, size: number) => void): void {
    const field = (name: keyof typeof VirtioCapability.offsets, size: number): number =>
      this.#pci.readConfig(this.#access + VirtioCapability.offsets[name], size);
    const offset = field('offset', 4);
    const size = field('size', 4);
    const fits = (size === 1 || size === 2 || size === 4) && offset % size === 0 && offset < r.region.end;
    if (fits && field('bar', 1) === 0) act(offset, size);
  }

  #loadData(offset: number, size: number): void {
    this.#pci.writeConfig(this.#access + VirtioCapability.size, size, this.#read(offset, size));
  }

  #storeData(offset: number, size: number): void {
    this.#write(offset, size, this.#pci.readConfig(this.#access + VirtioCapability.size, size));
  }
}

function capabilitiesOf(type: VirtioType): PciCapability[] {
  const notifyBytes = type.queueSizes.length * r.notifyMultiplier;
  const part = (kind: number, offset: number, size: number, more: readonly number[] = []): number[] => [
    ...[r.vendorCapability, 0, VirtioCapability.size + more.length, kind, 0, 0, 0, 0],
    ...[...word(offset), ...word(size), ...more],
  ];
  const access = part(r.capabilityType.pciAccess, 0, 0, word(0));
  const { bar, offset } = VirtioCapability.offsets;
  return [
    { bytes: part(r.capabilityType.common, r.region.common, commonBytes) },
    { bytes: part(r.capabilityType.notify, r.region.notify, notifyBytes, word(r.notifyMultiplier)) },
    { bytes: part(r.capabilityType.isr, r.region.isr, 1) },
    { bytes: part(r.capabilityType.device, r.region.device, type.configBytes) },
    { bytes: access, writable: access.map((_, at) => (at === bar || at >= offset ? 0xff : 0)) },
  ];
}

function word(value: number): number[] {
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
}
