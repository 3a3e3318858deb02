/**
 * What must hold wherever a block of compiled code begins, checked by the code itself when it is compiled for debugging:
 * a violation ends the run with a message instead of a guest that goes wrong much later.
 */
import { Arena, TlbEntry } from '../arena.ts';
import { flagKind } from '../emit/flag-kind.ts';
import { pseudoForm } from '../isa/compile.ts';
import { modeKey } from '../mode-key.ts';
import { Record } from '../record.ts';
import { Vcpu } from '../state.ts';
import type { Code, FunctionReference, ModuleBuilder } from '../../wasm/encoder.ts';
import type { RegionFrame } from './frame.ts';
import type { BasicBlock, RegionPlan } from './region.ts';

/** The number that code gives, and what it means. */
const violations = [
  'more instructions were run than the budget had',
  'ripBase is not the start of a page',
  'the page at ripBase is another one than the region was compiled from',
  'the code went on though code or its mapping has changed (Vcpu.unwind)',
  'the record that the block was compiled from has gone',
  'a register of 32-bit code has an upper half',
  'the kind of the flags held in locals is none that there is',
] as const;
const number = Object.fromEntries(
  (['budget', 'ripBase', 'page', 'unwind', 'record', 'upperHalf', 'flagKind'] as const).map((name, n) => [name, n]),
) as Readonly<
  globalThis.Record<'budget' | 'ripBase' | 'page' | 'unwind' | 'record' | 'upperHalf' | 'flagKind', number>
>;

export function violationMessage(violation: number, offset: number): string {
  return `compiled code, before the instruction at ${offset.toString(16)}h of its page: ${violations[violation] ?? 'unknown'}`;
}

/** Imports the function that is told of violations: (violation, offset in the page), and does not return. */
export function importViolated(m: ModuleBuilder): FunctionReference {
  return m.importFunction('debug', 'violated', ['i32', 'i32'], []);
}

export class InvariantChecks {
  private readonly violated: FunctionReference;

  constructor(violated: FunctionReference) {
    this.violated = violated;
  }

  /** The condition is on the stack: true where it is violated. */
  private refuse(code: Code, violation: number, offset: number): void {
    code.if().i32(violation).i32(offset).call(this.violated).op('unreachable').end();
  }

  /** Before the registers are loaded. */
  atEntry({ f: { code }, cpu, long }: RegionFrame, plan: RegionPlan): void {
    const [first] = plan.blocks;
    const offset = first?.instructions[0]?.offset ?? 0;
    if (long) return;
    code.i32(0);
    for (let n = 0; n < 8; n++)
      code
        .i32(cpu)
        .memory('i32.load', Vcpu.offsets.gpr + 8 * n + 4)
        .op('i32.or');
    this.refuse(code, number.upperHalf, offset);
  }

  /** Once the block's instructions have been taken from the budget. */
  atBlock(frame: RegionFrame, plan: RegionPlan, block: BasicBlock): void {
    const { code } = frame.f;
    const [first] = block.instructions;
    if (!first) return;
    const refuse = (violation: number): void => this.refuse(code, violation, first.offset);
    code.get(frame.budget).i32(0).op('i32.lt_s');
    refuse(number.budget);
    code.get(frame.ripBase).op('i32.wrap_i64').i32(0xfff).op('i32.and');
    refuse(number.ripBase);
    code.i32(frame.cpu).memory('i32.load', Vcpu.offsets.unwind);
    refuse(number.unwind);
    code.i32(first.record).memory('i32.load16_u', Record.offsets.form).i32(pseudoForm.count).op('i32.lt_u');
    refuse(number.record);
    this.checkFlagKind(frame);
    refuse(number.flagKind);
    if (plan.modeKey & modeKey.codeFlat) this.checkPage(frame, block.page?.page ?? plan.page, refuse);
  }

  /** A kind is 0, or a rule with a size: of 8 bytes in 64-bit code alone. */
  private checkFlagKind({ f: { code }, flagKind: kind, long }: RegionFrame): void {
    const sizes = long ? 4 : 3;
    code.get(kind).i32(0).op('i32.ne');
    code.get(kind).i32(flagKind.add).op('i32.lt_u');
    code
      .get(kind)
      .i32(flagKind.parts + sizes)
      .op('i32.ge_u')
      .op('i32.or');
    code.get(kind).i32(3).op('i32.and').i32(sizes).op('i32.ge_u').op('i32.or');
    code.op('i32.and');
  }

  /** What the TLB knows of the page that runs, if anything. */
  private checkPage(frame: RegionFrame, page: number, refuse: (violation: number) => void): void {
    const { code } = frame.f;
    const fetch = frame.tlb + 2 * Arena.tlbArrayBytes;
    const entry = (): void => {
      code
        .get(frame.ripBase)
        .i64(8)
        .op('i64.shr_u')
        .op('i32.wrap_i64')
        .i32((Arena.tlbEntries - 1) << 4)
        .op('i32.and');
    };
    entry();
    code
      .memory('i64.load', fetch + TlbEntry.offsets.tag)
      .get(frame.ripBase)
      .op('i64.eq')
      .if();
    entry();
    code
      .memory('i32.load', fetch + TlbEntry.offsets.addend)
      .get(frame.ripBase)
      .op('i32.wrap_i64')
      .op('i32.add');
    code.i32(page | 0).op('i32.ne');
    refuse(number.page);
    code.end();
  }
}
