/** Lines about a guest for the developer, from the codes that the core logs (`cpu/core/machine.ts`) and the machine log. */

import { failures } from '../devices/virtio/registers.ts';
import { virtioLogCode } from '../machine/pc.ts';

const code = {
  unknownOpcode: 1,
  unknownMsrRead: 2,
  unknownMsrWrite: 3,
  tripleFault: 4,
  virtio: virtioLogCode,
} as const;

function hex(value: bigint): string {
  return `0x${BigInt.asUintN(64, value).toString(16)}`;
}

/** Bytes of an instruction, the first in the lowest byte. */
function bytesText(packed: bigint): string {
  const bytes: string[] = [];
  for (let rest = BigInt.asUintN(64, packed); bytes.length < 8; rest >>= 8n) {
    bytes.push((rest & 0xffn).toString(16).padStart(2, '0'));
  }
  return bytes.join(' ');
}

function textOf(kind: number, a: bigint, b: bigint): string {
  switch (kind) {
    case code.unknownOpcode:
      return `unknown instruction: ${bytesText(a)} (at ${hex(b)})`;
    case code.unknownMsrRead:
      return `unknown MSR ${hex(a)} read`;
    case code.unknownMsrWrite:
      return `unknown MSR ${hex(a)} written with ${hex(b)}`;
    case code.tripleFault:
      return `triple fault: exception ${a} at ${hex(b)}`;
    case code.virtio:
      return `virtio device of type ${a} needs a reset, as its driver broke the rules: ${failures[Number(b)]}`;
    default:
      return `code ${kind}: ${hex(a)} ${hex(b)}`;
  }
}

/** Distinct lines that are kept to tell repetitions; a guest cannot make the executor remember without end. */
const rememberedLines = 1000;

/** Makes lines, each once. */
export class LogText {
  readonly #seen = new Set<string>();

  /** The line for an entry, or undefined when it has been there before (its place does not matter). */
  line(kind: number, a: bigint, b: bigint): string | undefined {
    // The same MSR written with other values, or the same instruction elsewhere, is no news.
    const key = `${kind} ${a}`;
    if (this.#seen.has(key) || this.#seen.size >= rememberedLines) return undefined;
    this.#seen.add(key);
    return textOf(kind, a, b);
  }
}
