/** State of the small chipset ports. */
import { struct } from '../../base/struct.ts';

export const SystemControlState = struct('SystemControl', 1, {
  port92: 'u8',
  resetControl: 'u8',
  /** Last value of the POST port 80h. */
  post: 'u8',
});
