import { describe, expect, it } from 'vitest';
import { dependenciesOf, loadingOrder, neededFor, type FoundModule } from './modules.ts';

const module = (depends: string): Uint8Array => Buffer.from(`ELF\0license=GPL\0depends=${depends}\0name=x\0`, 'latin1');

const kernel: Record<string, FoundModule> = {
  virtio: module(''),
  virtio_ring: module(''),
  'virtio-pci': module('virtio_ring,virtio,pci_core'),
  virtio_balloon: module('virtio,virtio_ring'),
  pci_core: 'builtin',
};

const find =
  (rounds: string[][]) =>
  (names: readonly string[]): Promise<FoundModule[]> => {
    rounds.push([...names]);
    return Promise.resolve(names.map((name) => kernel[name]));
  };

describe('modules', () => {
  it('says what it depends on', () => {
    expect(dependenciesOf(module('a,b_c'))).toEqual(['a', 'b_c']);
    expect(dependenciesOf(module(''))).toEqual([]);
    expect(dependenciesOf(Buffer.from('ELF'))).toEqual([]);
  });

  it('are loaded after those that they depend on, each once', async () => {
    const rounds: string[][] = [];
    const order = await loadingOrder(['virtio-pci', 'virtio_balloon'], find(rounds), () => {});
    expect(order.map(({ name }) => name)).toEqual(['virtio_ring', 'virtio', 'virtio-pci', 'virtio_balloon']);
    expect(rounds).toEqual([
      ['virtio-pci', 'virtio_balloon'],
      ['virtio_ring', 'virtio', 'pci_core'],
    ]);
  });

  it('are divided into those that come first and those that can wait', async () => {
    const order = await loadingOrder(['virtio_balloon', 'pci_core', 'virtio-pci'], find([]), () => {});
    expect(order.slice(0, neededFor(['virtio-balloon', 'pci_core'], order)).map(({ name }) => name)).toEqual([
      'virtio',
      'virtio_ring',
      'virtio_balloon',
    ]);
    expect(neededFor(['pci_core'], order)).toBe(0);
  });

  it('leave a warning where the kernel has none', async () => {
    const lines: string[] = [];
    const order = await loadingOrder(['absent', 'virtio', 'pci_core'], find([]), (line) => lines.push(line));
    expect(order.map(({ name }) => name)).toEqual(['virtio']);
    expect(lines).toEqual(['warning: the kernel has no module absent']);
  });
});
