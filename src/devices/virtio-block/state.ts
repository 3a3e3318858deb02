/** State of a block device; and the configuration that it shows to the driver (virtio 1.2 §5.2.4), for its offsets. */
import { struct } from '../../base/struct.ts';

export const VirtioBlockState = struct('VirtioBlock', 1, {
  /** 1: writes are done when they are in the host's cache; a flush makes them last. */
  writeBack: 'u32',
  /** Requests so far. */
  serial: 'u32',
  /** Requests that are in the ring. */
  underWay: 'u32',
  /** Under the virtual clock: guest time of the next completion; Infinity: none. */
  nextDueNs: 'f64',
  /** Since power-on, for statistics: requests that ended well and not, bytes read and written. */
  served: 'f64',
  failed: 'f64',
  readBytes: 'f64',
  writtenBytes: 'f64',
});

export const BlockConfiguration = struct('VirtioBlockConfiguration', 1, {
  capacityLow: 'u32',
  capacityHigh: 'u32',
  longestSegment: 'u32',
  segmentLimit: 'u32',
  cylinders: 'u16',
  heads: 'u8',
  sectors: 'u8',
  blockSize: 'u32',
  physicalBlockExponent: 'u8',
  alignmentOffset: 'u8',
  minimumIo: 'u16',
  optimalIo: 'u32',
  writeBack: 'u8',
  unused: 'u8',
  queues: 'u16',
  longestDiscard: 'u32',
  discardSegments: 'u32',
  discardAlignment: 'u32',
  longestWriteZeroes: 'u32',
  writeZeroesSegments: 'u32',
  writeZeroesMayUnmap: 'u8',
  unused1: 'u8',
  unused2: 'u16',
});
