/** State of the PCI host: the address register, and a function's configuration space. */
import { array, struct } from '../../base/struct.ts';

export const PciHostState = struct('PciHost', 1, { address: 'u32' });

export const PciFunctionState = struct('PciFunction', 1, {
  config: array('u8', 256),
});
