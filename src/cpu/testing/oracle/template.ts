/**
 * Instruction templates: an independent transcription of the manuals' opcode pages (SDM vol. 2), from which cases are
 * made. It shares nothing with the project's own instruction rows on purpose: the two check each other.
 *
 * A template's name carries its operands in the manual's notation ('ADD Ev,Gv'): E and M, R are the ModRM r/m operand
 * (any, memory only, register only), G the ModRM register, Z the register in the opcode; V, W, U and P, Q, N the same
 * for XMM and MMX registers; I, J, O immediate, relative target, absolute address. Then the size: b w d q, v (operand
 * size), z (at most 32 bits), y (32 or 64), ss sd (one float), ps pd dq (128 bits). Anything else is an implicit
 * operand and only for the reader.
 *
 * The encoding is bytes in hex, `/r` or `/0`…`/7` for ModRM, `+r`, `ib iw iz iv` immediates, `rel8 relz`, `moffs`,
 * `W` for a REX.W that belongs to the opcode. 66, F2, F3 in front are mandatory prefixes.
 */
import type { Bits, Draft } from './draft.ts';
import type { DataClass } from './random.ts';

export interface Template {
  /** File that the cases go to. */
  group: string;
  name: string;
  encoding: string;
  /** Only in this mode. */
  only?: Bits;
  /** Operand sizes in bits; by default from the operands (`v` gives 16, 32, 64). */
  sizes?: readonly number[];
  /** 64-bit operand size by default in 64-bit mode (PUSH, near branches): no REX.W, no 32-bit form. */
  default64?: boolean;
  /** Length of a memory operand whose notation doesn't give it. */
  memoryLength?: number;
  /** Kind of values in vector operands and memory. */
  data?: DataClass;
  /** Status flags that the manual leaves undefined; a function where that depends on the operands. */
  undefinedFlags?: number | ((a: Assembly) => number);
  /** Implicit general registers that get random values. */
  uses?: readonly number[];
  /** Prepares operands further; runs before the addressing registers are chosen. */
  prepare?: (a: Assembly) => void;
  /** Memory must be 16-byte aligned, or #GP. */
  aligned?: boolean;
  /** LOCK is allowed with a memory destination. */
  lock?: boolean;
  /** Uses the stack: the stack pointer stays where it is. */
  stack?: boolean;
  /** Cases for each operand size and mode. */
  count?: number;
  /** Leaves RIP somewhere else than behind the instruction. */
  branch?: boolean;
  /** Instructions that run behind it, as bytes. */
  behind?: (bits: Bits) => readonly number[];
  /** Never gets a page-fault variant. */
  noFaults?: boolean;
}

/** A template on the way to a case. */
export interface Assembly {
  readonly draft: Draft;
  readonly template: Template;
  /** Operand size in bits, 0 when the template has none. */
  readonly size: number;
  /** Number of this case within its form; lets a template walk through alternatives. */
  readonly ordinal: number;
  /** ModRM reg operand. */
  reg: number;
  /** ModRM r/m or opcode register; undefined when the operand is memory. */
  rm: number | undefined;
  /** Address of the memory operand. */
  target: number;
  memoryLength: number;
  /** The bytes there. */
  memory: Uint8Array | undefined;
  immediate: bigint | undefined;
  /** Target offset of a relative branch, from the next instruction. */
  relative: number | undefined;
  /** Bytes in front of everything else: REP, LOCK, segment overrides. */
  prefixes: number[];
  forceRex: boolean;
  /** Address size override; chosen at random unless the template says. */
  addressOverride: boolean | undefined;
}

export interface Operand {
  kind: string;
  /** In bits. */
  width: number;
}

const FIXED_WIDTH: Readonly<Record<string, number>> = {
  b: 8, w: 16, d: 32, q: 64, dq: 128, x: 128, ps: 128, pd: 128, ss: 32, sd: 64, t: 80,
}; // prettier-ignore

/** The explicit operands of a template at an operand size. */
export function operandsOf(template: Template, size: number): Operand[] {
  const list = template.name.split(' ')[1];
  if (list === undefined) return [];
  return list.split(',').flatMap((text) => {
    const kind = text[0] ?? '';
    const suffix = text.slice(1);
    if (!'EMRGZVWUPQNIJO'.includes(kind) || suffix !== suffix.toLowerCase() || /[0-9]/.test(suffix)) return [];
    if (suffix === '') return [{ kind, width: 8 * (template.memoryLength ?? 0) }];
    if (suffix === 'v') return [{ kind, width: size }];
    if (suffix === 'z') return [{ kind, width: Math.min(size, 32) }];
    if (suffix === 'y') return [{ kind, width: Math.max(size, 32) }];
    const width = FIXED_WIDTH[suffix];
    if (width === undefined) throw new Error(`${template.name}: no operand size '${suffix}'`);
    return [{ kind, width }];
  });
}

/** Operand sizes in which the template exists in a mode. */
export function sizesOf(template: Template, bits: Bits): readonly number[] {
  const operands = template.name.split(' ')[1] ?? '';
  let sizes = template.sizes;
  if (!sizes) {
    if (/\b[A-Z]y\b/.test(operands)) sizes = [32, 64];
    else if (/\b[A-Z][vz]\b/.test(operands)) sizes = [16, 32, 64];
    else return [0];
  }
  if (bits === 32) return sizes.filter((s) => s !== 64);
  return template.default64 ? sizes.filter((s) => s !== 32) : sizes;
}
