/** A driver for unit tests, written by hand after virtio 1.2 §3.1: it finds the device's parts by their capabilities. */
import type { Mmio } from '../capabilities.ts';
import { PciConfig } from '../pci-function/state.ts';
import type { PciTarget } from '../pci-function/device.ts';
import type { FlatMemory } from '../testing.ts';
import { capabilityType, descriptorFlag, status, vendorCapability } from './registers.ts';
import { CommonConfiguration, Descriptor, VirtioCapability } from './state.ts';

export interface Buffer {
  readonly gpa: number;
  readonly length: number;
  /** The device writes it. */
  readonly write?: boolean;
}

/** A queue in the guest's RAM: descriptor table, driver's ring and device's ring in three pages. */
export interface DriverQueue {
  readonly index: number;
  readonly size: number;
  readonly descriptors: number;
  readonly driverRing: number;
  readonly deviceRing: number;
}

const common = CommonConfiguration.offsets;

export class TestDriver {
  readonly target: PciTarget;
  readonly memory: FlatMemory;
  readonly view: DataView;
  readonly #places = new Map<number, number>();
  #nextPage: number;

  /** @param queuesAt where the driver puts its queues, a multiple of 4 KiB */
  constructor(target: PciTarget, memory: FlatMemory, queuesAt: number) {
    this.target = target;
    this.memory = memory;
    this.view = new DataView(memory.bytes.buffer);
    this.#nextPage = queuesAt;
    for (let at = target.readConfig(PciConfig.offsets.capabilities, 1); at !== 0;) {
      const field = (name: keyof typeof VirtioCapability.offsets, size: number): number =>
        target.readConfig(at + VirtioCapability.offsets[name], size);
      if (field('vendorId', 1) === vendorCapability) this.#places.set(field('type', 1), field('offset', 4));
      at = field('next', 1);
    }
  }

  get bar(): Mmio {
    const memory = this.target.memories[0];
    if (memory === undefined) throw new Error('the function has no memory');
    return memory.device;
  }

  #at(type: keyof typeof capabilityType, offset: number): number {
    return (this.#places.get(capabilityType[type]) ?? 0) + offset;
  }

  read(field: keyof typeof common, size: number): number {
    return this.bar.readMmio(this.#at('common', common[field]), size);
  }

  write(field: keyof typeof common, size: number, value: number): void {
    this.bar.writeMmio(this.#at('common', common[field]), size, value);
  }

  readDevice(offset: number, size: number): number {
    return this.bar.readMmio(this.#at('device', offset), size);
  }

  writeDevice(offset: number, size: number, value: number): void {
    this.bar.writeMmio(this.#at('device', offset), size, value);
  }

  readIsr(): number {
    return this.bar.readMmio(this.#at('isr', 0), 1);
  }

  notify(queue: number): void {
    this.bar.writeMmio(this.#at('notify', 4 * queue), 2, queue);
  }

  get offered(): bigint {
    this.write('deviceFeatureSelect', 4, 0);
    const low = this.read('deviceFeature', 4);
    this.write('deviceFeatureSelect', 4, 1);
    return BigInt(low) | (BigInt(this.read('deviceFeature', 4)) << 32n);
  }

  /** Resets the device and negotiates; true if the device took the features. */
  negotiate(features: readonly number[]): boolean {
    this.write('deviceStatus', 1, 0);
    this.write('deviceStatus', 1, status.acknowledge | status.driver);
    for (const word of [0, 1]) {
      const bits = features.filter((bit) => bit >> 5 === word).reduce((all, bit) => all | (1 << (bit & 31)), 0);
      this.write('driverFeatureSelect', 4, word);
      this.write('driverFeature', 4, bits >>> 0);
    }
    this.write('deviceStatus', 1, status.acknowledge | status.driver | status.featuresOk);
    return (this.read('deviceStatus', 1) & status.featuresOk) !== 0;
  }

  queue(index: number, size: number): DriverQueue {
    const page = this.#nextPage;
    this.#nextPage += 0x3000;
    const queue = { index, size, descriptors: page, driverRing: page + 0x1000, deviceRing: page + 0x2000 };
    this.memory.bytes.fill(0, page, page + 0x3000);
    this.write('queueSelect', 2, index);
    this.write('queueSize', 2, size);
    this.write('queueDescriptorsLow', 4, queue.descriptors);
    this.write('queueDriverLow', 4, queue.driverRing);
    this.write('queueDeviceLow', 4, queue.deviceRing);
    this.write('queueEnable', 2, 1);
    return queue;
  }

  ready(): void {
    this.write('deviceStatus', 1, this.read('deviceStatus', 1) | status.driverOk);
  }

  /** Writes a descriptor of a table at `table`. */
  describe(table: number, index: number, { gpa, length, flags, next }: DescriptorValue): void {
    const at = table + Descriptor.size * index;
    const { offsets } = Descriptor;
    this.view.setUint32(at + offsets.addressLow, gpa % 2 ** 32, true);
    this.view.setUint32(at + offsets.addressHigh, Math.floor(gpa / 2 ** 32), true);
    this.view.setUint32(at + offsets.length, length, true);
    this.view.setUint16(at + offsets.flags, flags, true);
    this.view.setUint16(at + offsets.next, next, true);
  }

  /** Makes the chain that begins at descriptor `head` available. */
  offer(queue: DriverQueue, head: number): void {
    const index = this.view.getUint16(queue.driverRing + 2, true);
    this.view.setUint16(queue.driverRing + 4 + 2 * (index % queue.size), head, true);
    this.view.setUint16(queue.driverRing + 2, (index + 1) & 0xffff, true);
  }

  /** Puts buffers into descriptors from `head` on, offers them and notifies. */
  send(queue: DriverQueue, buffers: readonly Buffer[], head = 0): void {
    buffers.forEach(({ gpa, length, write = false }, i) => {
      const last = i === buffers.length - 1;
      const flags = (last ? 0 : descriptorFlag.next) | (write ? descriptorFlag.write : 0);
      this.describe(queue.descriptors, head + i, { gpa, length, flags, next: head + i + 1 });
    });
    this.offer(queue, head);
    this.notify(queue.index);
  }

  /** Chains that the device has given back, and the last of them. */
  used(queue: DriverQueue): { readonly count: number; readonly id: number; readonly written: number } {
    const count = this.view.getUint16(queue.deviceRing + 2, true);
    const at = queue.deviceRing + 4 + 8 * ((count + queue.size - 1) % queue.size);
    return { count, id: this.view.getUint32(at, true), written: this.view.getUint32(at + 4, true) };
  }
}

interface DescriptorValue {
  readonly gpa: number;
  readonly length: number;
  readonly flags: number;
  readonly next: number;
}
