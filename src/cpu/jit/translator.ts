/**
 * Makes modules of decoded code: reads a guest's records, plans regions, writes their functions. It changes nothing in
 * the guest's memory, so that it can do that in another thread while the guest runs.
 */
import { importCore } from '../emit/core-calls.ts';
import { pseudoForm } from '../isa/compile.ts';
import { helpers as allHelpers } from '../isa/helpers.ts';
import { Record } from '../record.ts';
import { ModuleBuilder } from '../../wasm/encoder.ts';
import { DecodedCode } from './decoded-code.ts';
import { importViolated, InvariantChecks } from './invariants.ts';
import { offsetSet } from './offset-set.ts';
import { compiledFunctions } from './flag-builder.ts';
import { RegionWriter } from './region-writer.ts';
import type { FormTable, RegionPlan } from './region.ts';
import { entryInstruction, helpersOf } from './region.ts';
import {
  recordSum,
  type CodeRequest,
  type TranslatedModule,
  type TranslatedRegion,
  type Translation,
  type TranslationFailure,
  type TranslationOrder,
} from './translation.ts';

export interface TranslatorOptions {
  /** The code checks its invariants at each block (`invariants.ts`). */
  readonly debug: boolean;
}

/** Instructions of the regions that make one module, unless the first one alone has more. */
const moduleInstructions = 300;

/** A plan with what it was made from. */
interface Draft {
  readonly plan: RegionPlan;
  readonly ripBase: bigint;
  readonly records: Uint32Array<ArrayBuffer>;
  readonly sum: number;
}

export class Translator {
  readonly code: DecodedCode;
  private readonly words: Int32Array;
  private readonly debug: boolean;
  private epoch = -1;
  /** Of the last module that was made. */
  private serial = 0;

  /** Of the guest in `buffer`, whose vCPU is at `cpu`. */
  constructor(buffer: ArrayBufferLike, cpu: number, table: FormTable, options: TranslatorOptions) {
    this.code = new DecodedCode(buffer, cpu, table);
    this.words = new Int32Array(buffer);
    this.debug = options.debug;
  }

  /** `nowMs`: the host's clock. */
  translate(order: TranslationOrder, nowMs: () => number): Translation {
    const start = nowMs();
    if (order.epoch !== this.epoch) this.code.forget();
    this.epoch = order.epoch;
    const declined: number[] = [];
    const drafts: Draft[] = [];
    const failures: TranslationFailure[] = [];
    for (const request of order.requests) {
      try {
        const draft = this.draft(request, order, drafts, declined);
        if (draft) drafts.push(draft);
      } catch (error) {
        failures.push({ error: asError(error), records: Uint32Array.of(request.record) });
      }
    }
    const modules = groups(drafts).flatMap((group) => this.modules(group, failures));
    return {
      own: true,
      epoch: order.epoch,
      modules,
      failures,
      declined,
      microseconds: Math.round((nowMs() - start) * 1000),
    };
  }

  /** What a request comes to, unless one of `drafts` has it. */
  private draft(
    request: CodeRequest,
    order: TranslationOrder,
    drafts: readonly Draft[],
    declined: number[],
  ): Draft | undefined {
    const { host, modeKey, record, ripBase, again, entries } = request;
    const page = (host & ~0xfff) >>> 0;
    const has = ({ plan }: Draft): boolean =>
      plan.page === page && plan.modeKey === modeKey && plan.offsets.has(host & 0xfff);
    if (drafts.some(has)) return undefined;
    const plan = this.code.plan(host, modeKey, order, ripBase, again, entries);
    if (!plan) {
      declined.push(record);
      return undefined;
    }
    const list: number[] = [];
    for (const block of plan.blocks) for (const i of block.instructions) list.push(i.record);
    const records = Uint32Array.from(list);
    const stale = list.some((r) => ((this.words[(r + Record.offsets.form) >>> 2] ?? 0) & 0xffff) < pseudoForm.count);
    // Code that was written over while it was planned.
    if (stale || list.length !== plan.count) return undefined;
    return { plan, ripBase, records, sum: recordSum(this.words, records) };
  }

  private modules(drafts: readonly Draft[], failures: TranslationFailure[]): TranslatedModule[] {
    try {
      return [this.module(drafts)];
    } catch (error) {
      // One of them is to blame: each by itself.
      if (drafts.length > 1) return drafts.flatMap((draft) => this.modules([draft], failures));
      const [first] = drafts;
      if (first) failures.push({ error: asError(error), records: first.records });
      return [];
    }
  }

  private module(drafts: readonly Draft[]): TranslatedModule {
    const m = new ModuleBuilder();
    const calls = importCore(m, compiledFunctions, allHelpers, helpersOf(drafts.map((draft) => draft.plan)));
    const checks = this.debug ? new InvariantChecks(importViolated(m)) : undefined;
    const regions = drafts.map(({ plan, ripBase, records, sum }, k): TranslatedRegion => {
      const name = `region${k}`;
      const f = m.function(name, ['i32', 'i32', 'i32'], ['i32']);
      const labels = new RegionWriter(f, plan, calls, checks).write();
      m.exportFunction(name, f);
      const { page, modeKey, count, granules, foreign, inlined, chosen } = plan;
      const entries = plan.entries.flatMap((entry) => {
        const block = plan.blocks[entry];
        const first = block && entryInstruction(block);
        if (!first) return [];
        const chosenOnly = block.standsFor !== undefined;
        return [{ offset: first.offset, record: first.record, label: labels.get(entry) ?? 0, chosenOnly }];
      });
      const offsets = offsetSet(plan.offsets);
      const made = { page, modeKey, ripBase, offsets, count, granules, foreign, inlined, chosen };
      return { name, ...made, entries, records, sum };
    });
    const bytes = m.encode();
    const module = new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
    return { serial: ++this.serial, module, bytes: bytes.length, regions };
  }
}

/** One behind the other, as many as make a module each. */
function groups(drafts: readonly Draft[]): Draft[][] {
  const made: Draft[][] = [];
  let instructions = Infinity;
  for (const draft of drafts) {
    if (instructions + draft.plan.count > moduleInstructions) {
      made.push([]);
      instructions = 0;
    }
    made.at(-1)?.push(draft);
    instructions += draft.plan.count;
  }
  return made;
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
