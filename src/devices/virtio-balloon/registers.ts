/** Numbers of the memory balloon device (virtio 1.2 §5.5). */
export const deviceType = 5;
/** What QEMU gives it: "unclassified device". */
export const classCode = 0x00ff00;

/** Feature bits (§5.5.3). */
export const feature = { statistics: 1, deflateOnOom: 2, pagePoison: 4, reporting: 5 } as const;

/** Entries of each queue. */
export const queueSize = 128;
/** Inflate, deflate, and up to two more, by what was negotiated. */
export const queueCount = 4;
export const inflateQueue = 0;
export const deflateQueue = 1;

/** The balloon counts in pages of this size, whatever the guest's pages are. */
export const pageBytes = 4096;
/** A page number in a request to inflate or deflate. */
export const pageNumberBytes = 4;
/** Longest list of page numbers that is taken (Linux sends 1 KiB at a time), and of statistics. */
export const longestList = 0x10000;
export const longestStatistics = 0x1000;

/** A statistic: tag (u16) and value (u64), packed (§5.5.6.3). */
export const statisticBytes = 10;
export const statisticValueOffset = 2;
