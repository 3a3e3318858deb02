/** State of the KVM clock. */
import { struct } from '../../base/struct.ts';

export const KvmClockState = struct('KvmClock', 1, {
  systemTime: 'u64',
  wallClock: 'u64',
  /** Version of the time structure in guest memory; even when stable. */
  version: 'u32',
  wallVersion: 'u32',
});
