/** Pieces of protected-mode code with 32-bit paging, in hex, for tests that change mappings. */

import { parseCase } from './cases.ts';
import type { CoreMachine } from './core-machine.ts';

/**
 * Runs 32-bit code from 1000h to its HLT, with pieces of memory (hex) at addresses. In slices of so many instructions, in
 * between what has been asked for is compiled. @throws Error it does not end so
 */
export function runToHalt(
  machine: CoreMachine,
  memory: readonly (readonly [number, string])[],
  sliceInstructions = 100_000,
): void {
  const mem = memory.map(([address, hex]) => [address, hex.replaceAll(' ', '')]);
  const regs = { eip: 0x1000, esp: 0xff00 };
  const line = { mode: 'protected32', regs, mem, zero: [[0, 0x10000]], end: 'hlt', expect: {} };
  machine.load(parseCase(JSON.stringify(line)));
  const slice = (): string =>
    machine.run({ kind: 'hlt' }, { maxInstructions: sliceInstructions, stopAtException: false }).kind;
  let kind = slice();
  for (let left = 100_000 - sliceInstructions; kind !== 'ended' && left > 0; left -= sliceInstructions) {
    machine.compileAsked();
    kind = slice();
  }
  if (kind !== 'ended') throw new Error(`the code did not come to its HLT: ${kind}`);
}

/** 32-bit little-endian words. */
export function words(...values: readonly number[]): string {
  const bytes = new Uint8Array(new Uint32Array(values).buffer);
  return [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');
}

/** Page-table entries of the first 64 KiB, each at its own address but for those named. */
export function pageTable(others: Readonly<Record<number, number>> = {}): string {
  return words(...Array.from({ length: 16 }, (_, page) => (others[page] ?? page << 12) | 3));
}

/** MOV EAX, 4000h; MOV CR3, EAX; MOV EAX, CR0; OR EAX, 80000000h; MOV CR0, EAX */
export const enablePaging = 'b8 00 40 00 00  0f 22 d8  0f 20 c0  0d 00 00 00 80  0f 22 c0';
