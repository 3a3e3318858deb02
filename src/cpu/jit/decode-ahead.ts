/**
 * Under `--tier jit` code is compiled before it runs: what can be reached from an instruction within its page, by direct
 * jumps and by falling through, is decoded first, so that a function makes one region and not one for each of its blocks.
 */
import { pseudoForm } from '../isa/compile.ts';
import { modeKey as modeBits } from '../mode-key.ts';
import { Record } from '../record.ts';
import { Vcpu } from '../state.ts';
import type { DecodedCode } from './decoded-code.ts';
import { flowOf } from './lay-out.ts';
import type { Instruction, PlanLimits } from './region.ts';

interface Decoder {
  readonly memory: WebAssembly.Memory;
  lookup(cpu: number): number;
}

/** An instruction that is decoded, in the mode that the vCPU is in. */
export interface Origin {
  readonly page: number;
  readonly start: number;
  readonly modeKey: number;
  readonly ripBase: bigint;
}

/** An instruction that begins further up might end in the next page, which need not be there. */
const lastStart = 0x1000 - 15;
const everywhere = { has: (offset: number): boolean => offset >= 0 && offset <= lastStart };

/** Leaves the vCPU as it was. When it runs out of the arena, everything decoded is gone (`ArenaHeader.arenaFlushes`). */
export function decodeAhead(core: Decoder, cpu: number, code: DecodedCode, origin: Origin, limits: PlanLimits): void {
  const { page, start, modeKey, ripBase } = origin;
  const vcpu = Vcpu.at(core.memory.buffer, cpu);
  // Elsewhere each instruction is a block of its own, whose limits are checked when it is looked up.
  if (!(modeKey & modeBits.codeFlat) || modeKey !== vcpu.modeKey || ripBase !== vcpu.ripBase) return;
  const { rip, exceptionPending, trouble } = vcpu;
  const decoded = code.instructionsIn(page, modeKey);
  const reached = new Set([start]);
  for (const offset of reached) {
    if (reached.size > limits.instructions) break;
    if (!decoded.has(offset)) {
      vcpu.rip = ripBase + BigInt(offset);
      const record = core.lookup(cpu) >>> 0;
      if (record !== 0) addBlock(core, code, record, decoded);
    }
    const i = decoded.get(offset);
    if (!i) continue;
    const { next, taken } = flowOf(i, offset, offset + i.length, Number(i.immediate), everywhere);
    for (const to of [next, taken]) if (to !== undefined) reached.add(to);
  }
  Object.assign(vcpu, { rip, ripBase, exceptionPending, trouble });
}

/** Adds the instructions of a block from a record on. */
function addBlock(core: Decoder, code: DecodedCode, first: number, decoded: Map<number, Instruction>): void {
  const view = new DataView(core.memory.buffer);
  for (
    let record = first;
    view.getUint16(record + Record.offsets.form, true) >= pseudoForm.count;
    record += Record.size
  ) {
    const i = code.instruction(record);
    if (!i || decoded.has(i.offset)) return;
    decoded.set(i.offset, i);
  }
}
