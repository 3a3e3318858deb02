/** State of a virtio device's PCI transport and of its queues, and the layouts that virtio 1.2 gives to the guest. */
import { array, struct } from '../../base/struct.ts';
import { PciConfig } from '../pci-function/state.ts';

export const VirtioTransport = struct('VirtioTransport', 1, {
  /** `device_status` as the driver reads it. */
  status: 'u32',
  deviceFeatureSelect: 'u32',
  driverFeatureSelect: 'u32',
  isr: 'u32',
  configGeneration: 'u32',
  queueSelect: 'u32',
  /** Features that the driver has accepted: bits 0–31 and 32–63. */
  driverFeatures: array('u32', 2),
});

export const VirtioQueue = struct('VirtioQueue', 1, {
  /** Entries of the rings: a power of two. */
  size: 'u32',
  enabled: 'u32',
  /** Chains taken and given back so far, mod 2^16. */
  taken: 'u32',
  given: 'u32',
  /** `given` when it was last considered whether to notify the driver. */
  notifiedAt: 'u32',
  /** Guest-physical addresses, low and high half: descriptor table, driver's (available) and device's (used) ring. */
  descriptorTable: array('u32', 2),
  driverRing: array('u32', 2),
  deviceRing: array('u32', 2),
});

/** The state of a device with so many queues, one struct behind the other: what `pc.ts` makes room for. */
export function virtioPciState(queues: number): { readonly name: string; readonly size: number } {
  return { name: 'VirtioPci', size: virtioPciPlaces(queues).end };
}

/** Offsets within {@link virtioPciState}. */
export function virtioPciPlaces(queues: number): {
  readonly config: number;
  readonly transport: number;
  readonly queues: readonly number[];
  readonly end: number;
} {
  const transport = PciConfig.size;
  const first = transport + VirtioTransport.size;
  return {
    config: 0,
    transport,
    queues: Array.from({ length: queues }, (_, i) => first + i * VirtioQueue.size),
    end: first + queues * VirtioQueue.size,
  };
}

/** Common configuration (virtio 1.2 §4.1.4.3): for its offsets. */
export const CommonConfiguration = struct('VirtioCommonConfiguration', 1, {
  deviceFeatureSelect: 'u32',
  deviceFeature: 'u32',
  driverFeatureSelect: 'u32',
  driverFeature: 'u32',
  configMsixVector: 'u16',
  numQueues: 'u16',
  deviceStatus: 'u8',
  configGeneration: 'u8',
  queueSelect: 'u16',
  queueSize: 'u16',
  queueMsixVector: 'u16',
  queueEnable: 'u16',
  queueNotifyOffset: 'u16',
  queueDescriptorsLow: 'u32',
  queueDescriptorsHigh: 'u32',
  queueDriverLow: 'u32',
  queueDriverHigh: 'u32',
  queueDeviceLow: 'u32',
  queueDeviceHigh: 'u32',
});

/** A descriptor (§2.7.5): for its offsets and size. */
export const Descriptor = struct('VirtqDescriptor', 1, {
  addressLow: 'u32',
  addressHigh: 'u32',
  length: 'u32',
  flags: 'u16',
  next: 'u16',
});

/** A capability that says where a part of the device lies (§4.1.4): for its offsets and size. */
export const VirtioCapability = struct('VirtioPciCapability', 1, {
  vendorId: 'u8',
  next: 'u8',
  length: 'u8',
  type: 'u8',
  bar: 'u8',
  id: 'u8',
  padding: 'u16',
  offset: 'u32',
  size: 'u32',
});
