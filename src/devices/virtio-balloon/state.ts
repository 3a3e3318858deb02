/** State of the memory balloon; and the configuration that it shows to the driver (virtio 1.2 §5.5.4), for its offsets. */
import { struct } from '../../base/struct.ts';

export const VirtioBalloonState = struct('VirtioBalloon', 1, {
  /** Pages that the host wants in the balloon. */
  numPages: 'u32',
  /** Pages that the driver says are in it. */
  actual: 'u32',
  poisonValue: 'u32',
  /** Pages that have been put into the balloon and not taken out. */
  held: 'u32',
  /** The last request for statistics that was served. */
  statisticsServed: 'u32',
});

export const BalloonConfiguration = struct('VirtioBalloonConfiguration', 1, {
  numPages: 'u32',
  actual: 'u32',
  /** Of free-page hinting, which is not offered. */
  freePageHintCommand: 'u32',
  poisonValue: 'u32',
});
