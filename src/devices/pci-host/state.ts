/** State of the PCI host: the address register. */
import { struct } from '../../base/struct.ts';

export const PciHostState = struct('PciHost', 1, { address: 'u32' });
