/** Numbers of the block device (virtio 1.2 §5.2). */

export const deviceType = 2;
/** Mass storage, SCSI: what QEMU gives it. */
export const classCode = 0x010000;

/** Feature bits (§5.2.3). */
export const feature = {
  segmentLimit: 2,
  readOnly: 5,
  blockSize: 6,
  flush: 9,
  configurableCache: 11,
  queues: 12,
  discard: 13,
  writeZeroes: 14,
} as const;

/** Types of request (§5.2.6). */
export const request = { read: 0, write: 1, flush: 4, getId: 8, discard: 11, writeZeroes: 13 } as const;

/** What the last byte of a request says. */
export const status = { ok: 0, ioError: 1, unsupported: 2 } as const;

/** Type (u32), reserved (u32), sector (u64). */
export const headerBytes = 16;
/** Of the answer to `getId`. */
export const idBytes = 20;
/** Sector (u64), number of sectors (u32), flags (u32): what a request to discard or to write zeroes concerns. */
export const segmentBytes = 16;
export const segmentFlag = { unmap: 1 } as const;

export const sectorBytes = 512;

/** Entries of each queue. */
export const queueSize = 128;
/** Buffers of a request: with header and status it fits into a queue. */
export const longestRequest = queueSize - 2;
/** Sectors of a request to discard or to write zeroes: 1 GiB. */
export const longestClear = 1 << 21;
