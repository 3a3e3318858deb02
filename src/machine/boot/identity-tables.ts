/** Page tables for entries in long mode: the first 4 GiB mapped to themselves by 2 MiB pages, writable. */
import type { Dma } from '../dma.ts';
import { pageBytes } from '../memory-map.ts';

/** Six pages at `address`: PML4, one PDPT, four directories (SDM vol. 3 §4.5). */
export function storeIdentityTables(dma: Dma, address: number): void {
  const tables = new DataView(new ArrayBuffer(6 * pageBytes));
  const presentWritable = 3n;
  const table = (index: number): bigint => BigInt(address + index * pageBytes) | presentWritable;
  tables.setBigUint64(0, table(1), true);
  for (let i = 0; i < 4; i++) tables.setBigUint64(pageBytes + i * 8, table(2 + i), true);
  for (let i = 0; i < 2048; i++) tables.setBigUint64(2 * pageBytes + i * 8, (BigInt(i) << 21n) | 0x83n, true);
  dma.load(address, new Uint8Array(tables.buffer));
}
