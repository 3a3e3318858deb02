/**
 * The compiler of an executor: takes what the core asks to be compiled, makes modules of it, and lets the core enter
 * them. All that it makes is derived state: it lives as long as this object, and no longer than the code it stands for.
 */
import { Arena, ArenaHeader, Region } from '../arena.ts';
import { importCore } from '../emit/core-calls.ts';
import type { Form } from '../isa/compile.ts';
import { compileTable, pseudoForm } from '../isa/compile.ts';
import type { Helper } from '../isa/helpers.ts';
import { helpers as allHelpers } from '../isa/helpers.ts';
import { fpHelpers } from '../isa/helpers-fp.ts';
import { instructionTable } from '../isa/table.ts';
import type { Row } from '../isa/row.ts';
import { Record as InstructionRecord, recordFlags } from '../record.ts';
import { Vcpu } from '../state.ts';
import { tierCode } from '../status.ts';
import type { FunctionBuilder } from '../../wasm/encoder.ts';
import { ModuleBuilder } from '../../wasm/encoder.ts';
import { decodeAhead } from './decode-ahead.ts';
import { FormFactsCache } from './facts.ts';
import { compiledFunctions } from './region-builder.ts';
import { RegionWriter } from './region-writer.ts';
import { importViolated, InvariantChecks, violationMessage } from './invariants.ts';
import type { FormTable, RegionPlan } from './region.ts';
import { DecodedCode, entryInstruction } from './region.ts';

export type TierName = keyof typeof tierCode;

/** What the compiler needs of a core: its exports. */
export interface CompilerCore {
  readonly memory: WebAssembly.Memory;
  /** Table of compiled functions, and what stands at `Arena.noCode`. */
  readonly compiled: WebAssembly.Table;
  readonly noCode: (...parameters: number[]) => number;
  addRegion(cpu: number, page: number, slot: number, low: number, high: number, entryRoom: number): number;
  addEntry(cpu: number, region: number, record: number, modeKey: number, label: number): void;
  publish(cpu: number, region: number): void;
  removeRegion(cpu: number, region: number): void;
  /** The record at Vcpu.rip, decoded if need be; 0: an exception is pending. */
  lookup(cpu: number): number;
  /** Forgets everything decoded, and with it everything compiled. */
  flushBlocks(cpu: number): void;
}

export interface CompilerOptions {
  /** Most instructions of a region. */
  readonly regionInstructions?: number;
  /** Regions that may live at once; beyond, the oldest are given up. */
  readonly regions?: number;
  /** Has the code check its invariants at each block (`invariants.ts`); a violation throws. */
  readonly debug?: boolean;
  /** Counts what compiled code has done by forms' functions (`Arena.formCounts`). */
  readonly countForms?: boolean;
  /** Is told why a region could not be compiled: a defect, but not for the guest, whose code is interpreted then. */
  readonly onFailure?: (error: Error) => void;
}

/** What the compiler counts in the arena's header. */
type Counter =
  | 'regions'
  | 'modules'
  | 'regionInstructions'
  | 'moduleBytes'
  | 'regionsAlive'
  | 'modulesAlive'
  | 'compileFailures'
  | 'regionsEvicted'
  | 'compileMicroseconds'
  | 'compileStalls'
  | 'longCompileStalls';

/** Code that the core wants compiled: `ArenaHeader.requests`. */
interface Request {
  readonly host: number;
  readonly modeKey: number;
  readonly record: number;
  readonly ripBase: bigint;
}

/** A region that can be entered. */
export interface LiveRegion {
  readonly address: number;
  readonly slot: number;
  readonly page: number;
  readonly modeKey: number;
  readonly offsets: ReadonlySet<number>;
  /** Offsets of its entries. */
  readonly entries: readonly number[];
  /** Offsets that computed jumps choose among, and are entered at by that. */
  readonly chosen: readonly number[];
  /** RIP of the page where it was asked for. */
  readonly ripBase: bigint;
  readonly module: LiveModule;
}

/** A module, which goes when none of its regions lives. */
interface LiveModule {
  regions: number;
}

/**
 * Milliseconds after which the compiler lets the guest go on, to go on itself after the next slice. The step that it is
 * at it ends first: the longest one, a module of 1,000 instructions, takes some 3 ms.
 */
const stallMs = 5;
/** A stall that is too long. */
const longStallMs = 10;

/** Instructions of the regions that make one module, unless the first one alone has more. */
const batchInstructions = 300;

/** Computed jumps to a place of their page that make it part of their region. */
const hotJumps: Record<TierName, number> = { interpreter: 0, auto: 1024, jit: 2 };

/** For each 64-byte granule of a page, in one mode: how often its code has been compiled, and asked for since. */
interface History {
  readonly compiled: Uint8Array;
  readonly asked: Uint16Array;
}
/** Beyond, code is compiled again each 2^12th time that it is asked for. */
const mostTimes = 14;

/** Requests that are worth a module of their own, and slices that fewer of them wait at most. */
const batchRequests = 4;
const batchSlices = 8;

/** Name of the section of `core.wasm` that says which form has which number. */
export const formSection = 'forms';

/** The forms by their numbers in a core (its section of u16 ids). */
export function formTable(module: WebAssembly.Module, table: readonly Row[] = instructionTable): FormTable {
  const [section] = WebAssembly.Module.customSections(module, formSection);
  if (!section)
    throw new Error('core.wasm does not say how its forms are numbered: build it anew (npm run build:core)');
  const byId = new Map<number, Form>();
  for (const form of compileTable(table).forms) byId.set(form.id, form);
  const forms = [...new Uint16Array(section)].map((id) => byId.get(id));
  const direct = Object.entries(allHelpers as Record<string, Helper>).filter(
    ([name, h]) => h.kind === 'pure' || (h.kind === 'fault' && name in fpHelpers),
  );
  return { forms, facts: new FormFactsCache(allHelpers), direct: new Set(direct.map(([name]) => name)) };
}

export class Compiler {
  private readonly core: CompilerCore;
  private readonly cpu: number;
  private readonly view: DataView;
  readonly code: DecodedCode;
  private readonly functions: Record<string, unknown>;
  private readonly maximum: { instructions: number; readonly regions: number };
  private readonly regions = new Map<number, LiveRegion>();
  private readonly pages = new Map<number, Set<LiveRegion>>();
  private readonly histories = new Map<number, History>();
  private readonly freeSlots: number[] = [];
  private usedSlots = Arena.noCode + 1;
  private flushes = -1;
  private tier: TierName = 'auto';
  /** What is being compiled. */
  private job: Generator<undefined, void> | undefined;
  /** Slices since the first request that waits. */
  private waited = 0;
  private readonly nowMs: () => number;
  private readonly onFailure: (error: Error) => void;
  private readonly debug: boolean;

  constructor(core: CompilerCore, cpu: number, table: FormTable, nowMs: () => number, options: CompilerOptions = {}) {
    this.core = core;
    this.cpu = cpu;
    this.nowMs = nowMs;
    this.debug = options.debug ?? false;
    this.onFailure = options.onFailure ?? ((): void => undefined);
    this.view = new DataView(core.memory.buffer);
    this.code = new DecodedCode(core.memory.buffer, cpu, table);
    core.compiled.set(Arena.noCode, core.noCode);
    const functions = core as unknown as Record<string, unknown>;
    this.functions = options.countForms ? { ...functions, runForm: functions.countedRunForm } : functions;
    this.maximum = { instructions: options.regionInstructions ?? 1000, regions: options.regions ?? 6000 };
  }

  private get header(): number {
    return this.u32(this.cpu + Vcpu.offsets.arena) + Arena.header;
  }

  /** Modules compiled since this executor took the guest over. */
  get modules(): number {
    return this.field('modules');
  }

  private u32(address: number): number {
    return this.view.getUint32(address, true);
  }

  private count(name: Counter, n: number): void {
    const at = this.header + ArenaHeader.offsets[name];
    this.view.setUint32(at, this.u32(at) + n, true);
  }

  private field(name: keyof typeof ArenaHeader.offsets): number {
    return this.u32(this.header + ArenaHeader.offsets[name]);
  }

  /** Most instructions of the regions that are compiled from now on. */
  limitRegions(instructions: number): void {
    this.maximum.instructions = instructions;
  }

  /** The regions that live, the oldest first. */
  liveRegions(): Iterable<LiveRegion> {
    this.collect();
    return this.regions.values();
  }

  /** After the core's `attach`: all that was compiled is gone. */
  reset(tier: TierName): void {
    this.flushes = -1;
    this.tier = tier;
    this.collect();
    for (const gauge of ['regionsAlive', 'modulesAlive'] as const) {
      this.view.setUint32(this.header + ArenaHeader.offsets[gauge], 0, true);
    }
    this.view.setUint32(this.header + ArenaHeader.offsets.tier, tierCode[tier], true);
    this.view.setUint32(this.header + ArenaHeader.offsets.hotJumps, hotJumps[tier], true);
  }

  /**
   * Compiles what the core has asked for, or goes on with it, for {@link stallMs} at a time. Cheap when that is nothing.
   */
  serve(): void {
    if (this.field('dead') !== 0 || this.field('arenaFlushes') !== this.flushes) this.collect();
    if (!this.job) {
      const count = this.field('requested');
      if (count === 0 || !this.due(count)) return;
      this.job = this.compileRequests(count);
    }
    const { job } = this;
    const start = this.nowMs();
    const until = this.tier === 'jit' ? Infinity : start + stallMs;
    let now = start;
    for (let going = true; going && now < until;) {
      going = job.next().done !== true;
      if (!going) this.job = undefined;
      now = this.nowMs();
    }
    this.noteStall(now - start);
  }

  private noteStall(milliseconds: number): void {
    const took = Math.round(milliseconds * 1000);
    this.count('compileMicroseconds', took);
    if (milliseconds >= 1) this.count('compileStalls', 1);
    if (milliseconds > longStallMs) this.count('longCompileStalls', 1);
    const longest = this.header + ArenaHeader.offsets.longestCompileMicroseconds;
    this.view.setUint32(longest, Math.max(this.u32(longest), took), true);
  }

  /** A few requests together make one module, unless they wait for too long. */
  private due(count: number): boolean {
    this.waited++;
    if (this.tier === 'auto' && count < batchRequests && this.waited < batchSlices) return false;
    this.waited = 0;
    return true;
  }

  // Requests. -------------------------------------------------------------------------------------------------------

  /** In steps of a few milliseconds at most. */
  private *compileRequests(count: number): Generator<undefined, void> {
    const asked = Array.from({ length: count }, (_, k) => this.requestAt(k));
    this.view.setUint32(this.header + ArenaHeader.offsets.requested, 0, true);
    const plans: RegionPlan[] = [];
    let instructions = 0;
    for (const request of asked) {
      const plan = this.planOf(request, plans);
      // Without room the arena has been emptied, and with it what was asked for.
      if (this.field('arenaFlushes') !== this.flushes) return;
      if (!plan) continue;
      // What does not fit will be asked for again.
      if (plans.length > 0 && instructions + plan.count > batchInstructions) break;
      plans.push(plan);
      instructions += plan.count;
      this.noteCompiled(plan);
      yield;
    }
    yield* this.compile(plans);
  }

  private requestAt(k: number): Request {
    const { requests, requestModes, requestRecords, requestRips } = ArenaHeader.offsets;
    return {
      host: this.u32(this.header + requests + 4 * k),
      modeKey: this.u32(this.header + requestModes + 4 * k),
      record: this.u32(this.header + requestRecords + 4 * k),
      ripBase: this.view.getBigUint64(this.header + requestRips + 8 * k, true),
    };
  }

  /** The region that a request stands for, unless one of `plans` has it or it is not worth it. */
  private planOf(request: Request, plans: readonly RegionPlan[]): RegionPlan | undefined {
    const { host, modeKey, record, ripBase } = request;
    const page = (host & ~0xfff) >>> 0;
    const start = host & 0xfff;
    if (plans.some((p) => p.page === page && p.modeKey === modeKey && p.offsets.has(start))) return undefined;
    const old = this.regionOf(page, modeKey, start);
    if (!this.worthwhile(page, modeKey, start, old !== undefined)) return undefined;
    const kept: number[] = [];
    if (this.tier === 'jit') {
      decodeAhead(this.core, this.cpu, this.code, { page, start, modeKey, ripBase }, this.maximum);
      if (this.field('arenaFlushes') !== this.flushes) return undefined;
      for (const r of this.pages.get(page) ?? []) if (r.modeKey === modeKey) kept.push(...r.entries);
    }
    const plan = this.code.plan(host, modeKey, this.maximum, ripBase, old !== undefined, kept);
    if (!plan) this.declineRecord(record);
    return plan && { ...plan, ripBase };
  }

  /**
   * Code is compiled a few times as it shows, then ever more rarely. `again`: it has been compiled, but is not entered
   * where it matters.
   */
  private worthwhile(page: number, modeKey: number, offset: number, again: boolean): boolean {
    if (this.tier === 'jit') return true;
    const { compiled, asked } = this.historyOf(page, modeKey);
    const granule = offset >> 6;
    const times = (asked[granule] ?? 0) + (again ? 1 : 2);
    const enough = times >= 2 ** Math.max((compiled[granule] ?? 0) - 2, 0);
    asked[granule] = enough ? 0 : times;
    return enough;
  }

  /** The granules of a plan are compiled once more. */
  private noteCompiled({ page, modeKey, granules }: RegionPlan): void {
    const { compiled } = this.historyOf(page, modeKey);
    compiled.forEach((times, granule) => {
      if (((granules[granule >> 5] ?? 0) >>> (granule & 31)) & 1) compiled[granule] = Math.min(times + 1, mostTimes);
    });
  }

  private historyOf(page: number, modeKey: number): History {
    // The mode key has 8 bits, a page's address none of the low 12.
    const known = this.histories.get(page + modeKey);
    if (known) return known;
    const made = { compiled: new Uint8Array(64), asked: new Uint16Array(64) };
    this.histories.set(page + modeKey, made);
    return made;
  }

  private regionOf(page: number, modeKey: number, offset: number): LiveRegion | undefined {
    for (const r of this.pages.get(page) ?? []) if (r.modeKey === modeKey && r.offsets.has(offset)) return r;
    return undefined;
  }

  // Modules. --------------------------------------------------------------------------------------------------------

  private *compile(plans: readonly RegionPlan[]): Generator<undefined, void> {
    if (plans.length === 0) return;
    let built: Built;
    try {
      built = yield* this.build(plans);
    } catch (error) {
      yield* this.failed(plans, error);
      return;
    }
    const module: LiveModule = { regions: 0 };
    for (const { plan, name, labels } of built.regions) {
      const run = built.instance.exports[name];
      // The guest may have written its code meanwhile.
      if (typeof run !== 'function' || !this.code.holds(plan)) continue;
      // Without room for it the arena has been emptied: what the other plans name is gone, too.
      if (!this.install(plan, run as () => number, labels, module)) return;
    }
  }

  private *failed(plans: readonly RegionPlan[], error: unknown): Generator<undefined, void> {
    const [first, ...others] = plans;
    if (!first) return;
    if (others.length > 0) {
      // One of them is to blame: each by itself, as long as the arena has what they name.
      const flushes = this.field('arenaFlushes');
      for (const plan of plans) if (this.field('arenaFlushes') === flushes) yield* this.compile([plan]);
      return;
    }
    this.count('compileFailures', 1);
    this.decline(first);
    this.onFailure(error instanceof Error ? error : new Error(String(error)));
  }

  /** What cannot be compiled is interpreted: the core does not ask for it again. */
  private decline(plan: RegionPlan): void {
    for (const block of plan.blocks) for (const i of block.instructions) this.declineRecord(i.record);
  }

  private declineRecord(record: number): void {
    const at = record + InstructionRecord.offsets.flags;
    this.view.setUint8(at, this.view.getUint8(at) | recordFlags.declined);
  }

  private *build(plans: readonly RegionPlan[]): Generator<undefined, Built> {
    const m = new ModuleBuilder();
    const calls = importCore(m, compiledFunctions, allHelpers, helpersOf(plans));
    const checks = this.debug ? new InvariantChecks(importViolated(m)) : undefined;
    const regions: BuiltRegion[] = [];
    for (const plan of plans) {
      const name = `region${regions.length}`;
      const f: FunctionBuilder = m.function(name, ['i32', 'i32', 'i32'], ['i32']);
      const writer = new RegionWriter(f, plan, calls, checks);
      yield;
      const labels = yield* writer.steps();
      m.exportFunction(name, f);
      this.count('regionInstructions', plan.count);
      regions.push({ plan, name, labels });
    }
    yield;
    const bytes = m.encode();
    this.count('moduleBytes', bytes.length);
    this.count('modules', 1);
    const module = new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
    const core = this.functions;
    const violated = (violation: number, offset: number): never => {
      throw new Error(violationMessage(violation, offset));
    };
    return { regions, instance: new WebAssembly.Instance(module, { core, debug: { violated } }) };
  }

  private install(
    plan: RegionPlan,
    run: () => number,
    labels: ReadonlyMap<number, number>,
    module: LiveModule,
  ): boolean {
    const { core, cpu } = this;
    const { offsets } = plan;
    for (const old of [...(this.pages.get(plan.page) ?? [])]) {
      if (old.modeKey === plan.modeKey && isSubset(old.offsets, offsets)) core.removeRegion(cpu, old.address);
    }
    this.collect();
    if (this.regions.size >= this.maximum.regions) this.evict();
    const slot = this.freeSlots.pop() ?? this.usedSlots++;
    const [low, high] = plan.granules;
    const address = core.addRegion(cpu, plan.page, slot, low, high, plan.entries.length) >>> 0;
    if (address === 0) {
      this.freeSlots.push(slot);
      core.flushBlocks(cpu);
      return false;
    }
    core.compiled.set(slot, run);
    const { page, modeKey, chosen, ripBase = 0n } = plan;
    const entries = plan.entries.flatMap((n) => plan.blocks[n]?.instructions[0]?.offset ?? []);
    const region: LiveRegion = { address, slot, page, modeKey, offsets, entries, chosen, ripBase, module };
    this.regions.set(address, region);
    const list = this.pages.get(plan.page) ?? new Set();
    this.pages.set(plan.page, list.add(region));
    this.count('regions', 1);
    this.count('regionsAlive', 1);
    if (module.regions++ === 0) this.count('modulesAlive', 1);
    for (const entry of plan.entries) {
      const block = plan.blocks[entry];
      const record = block && entryInstruction(block)?.record;
      if (record !== undefined) core.addEntry(cpu, address, record, plan.modeKey, labels.get(entry) ?? 0);
    }
    core.publish(cpu, address);
    return true;
  }

  /** Gives up the oldest quarter of the regions. */
  private evict(): void {
    let left = this.maximum.regions >> 2;
    for (const address of this.regions.keys()) {
      if (left-- === 0) break;
      this.core.removeRegion(this.cpu, address);
      this.count('regionsEvicted', 1);
    }
    this.collect();
  }

  /** Frees what belonged to regions that have died. */
  private collect(): void {
    if (this.field('arenaFlushes') !== this.flushes) {
      this.flushes = this.field('arenaFlushes');
      this.job = undefined;
      for (const r of this.regions.values()) this.free(r);
      this.regions.clear();
      this.pages.clear();
      this.histories.clear();
      this.code.forget();
      return;
    }
    let address = this.field('dead');
    this.view.setUint32(this.header + ArenaHeader.offsets.dead, 0, true);
    while (address !== 0) {
      const region = this.regions.get(address);
      if (region) {
        this.free(region);
        this.regions.delete(address);
        this.pages.get(region.page)?.delete(region);
      }
      address = this.u32(address + Region.offsets.next);
    }
  }

  private free(region: LiveRegion): void {
    this.count('regionsAlive', -1);
    if (--region.module.regions === 0) this.count('modulesAlive', -1);
    this.core.compiled.set(region.slot, null);
    this.freeSlots.push(region.slot);
  }
}

interface BuiltRegion {
  readonly plan: RegionPlan;
  readonly name: string;
  readonly labels: ReadonlyMap<number, number>;
}

interface Built {
  readonly instance: WebAssembly.Instance;
  readonly regions: readonly BuiltRegion[];
}

function isSubset(inner: ReadonlySet<number>, outer: ReadonlySet<number>): boolean {
  if (inner.size > outer.size) return false;
  for (const n of inner) if (!outer.has(n)) return false;
  return true;
}

/** Helpers that the regions' own code calls. */
export function helpersOf(plans: readonly RegionPlan[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (const plan of plans) {
    for (const block of plan.blocks) {
      for (const i of block.instructions) if (!i.apart) for (const name of i.facts.helpers) names.add(name);
    }
  }
  return names;
}

/** Numbers of the forms (pseudo-forms have 0) as the section of `core.wasm` holds them. */
export function formNumbers(forms: readonly Form[]): Uint8Array {
  const ids = new Uint16Array(pseudoForm.count + forms.length);
  forms.forEach((form, k) => (ids[pseudoForm.count + k] = form.id));
  return new Uint8Array(ids.buffer);
}
