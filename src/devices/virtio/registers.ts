/** Numbers of virtio 1.2 that all devices share. */

/** PCI (§4.1.2). */
export const pciVendor = 0x1af4;
export const pciDeviceBase = 0x1040;
/** 1 or more: a device without the interface of before virtio 1.0. */
export const pciRevision = 1;

/** Bits of `device_status` (§2.1). */
export const status = {
  acknowledge: 1,
  driver: 2,
  driverOk: 4,
  featuresOk: 8,
  needsReset: 64,
  failed: 128,
} as const;

/** Numbers of the feature bits that do not belong to a type of device (§6). */
export const feature = { indirectDescriptors: 28, eventIndex: 29, version1: 32 } as const;

/** Types of capability (§4.1.4), and their id in configuration space: vendor-specific. */
export const capabilityType = { common: 1, notify: 2, isr: 3, device: 4, pciAccess: 5 } as const;
export const vendorCapability = 9;

/** Bits of the ISR status (§4.1.4.5). */
export const isr = { queue: 1, configuration: 2 } as const;

/** There is no MSI-X: what every vector register reads as (§4.1.5.1.2). */
export const noVector = 0xffff;

/** Bits of a descriptor's flags (§2.7.5), and of the rings' (§2.7.6, §2.7.8). */
export const descriptorFlag = { next: 1, write: 2, indirect: 4 } as const;
export const driverRingFlag = { noInterrupt: 1 } as const;

/** Where the parts lie in the function's memory, BAR 0. */
export const region = { common: 0, isr: 0x1000, device: 0x2000, notify: 0x3000, end: 0x4000 } as const;
/** Bytes from one queue's place in the notify region to the next one's. */
export const notifyMultiplier = 4;

/** Longest chain of descriptors that is followed; no driver makes one that is longer than its queue is. */
export const longestChain = 1024;

/** What a driver can do wrong, by number, as it is logged. */
export const failures = [
  'its queue lies outside of RAM',
  'it announces more buffers than the queue has entries',
  'it names a descriptor that the table does not have',
  'a chain of descriptors does not end',
  'a buffer lies outside of RAM',
  'an indirect table is malformed',
  'a buffer to be read follows one to be written',
  'a request is longer than the device takes',
] as const;

export type Failure = (typeof failures)[number];
