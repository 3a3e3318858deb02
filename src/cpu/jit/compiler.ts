/**
 * The compiler of an executor: takes what the core asks to be compiled, has it translated (`translator.ts`), and lets the
 * core enter what comes of it. All that it makes is derived state: it lives as long as this object, and no longer than
 * the code it stands for.
 */
import { Arena, ArenaHeader, Region } from '../arena.ts';
import { Record as InstructionRecord, recordFlags } from '../record.ts';
import { Vcpu } from '../state.ts';
import { tierCode } from '../status.ts';
import { decodeAhead } from './decode-ahead.ts';
import type { DecodedCode } from './decoded-code.ts';
import { violationMessage } from './invariants.ts';
import { CodePlaces, placesOf, type KnownModule, type PlacedRegion } from './code-places.ts';
import { hasOffset, isSubset, type OffsetSet } from './offset-set.ts';
import type { CodeLocation, FormTable, Granules } from './region.ts';
import { LocalTranslation, type TranslationLink } from './translation-link.ts';
import {
  recordSum,
  type CodeRequest,
  type TranslatedModule,
  type TranslatedRegion,
  type Translation,
} from './translation.ts';
import { Translator } from './translator.ts';

export type TierName = keyof typeof tierCode;

/** What the compiler needs of a core: its exports. */
export interface CompilerCore {
  readonly memory: WebAssembly.Memory;
  /** Table of compiled functions, and what stands at `Arena.noCode`. */
  readonly compiled: WebAssembly.Table;
  readonly noCode: (...parameters: number[]) => number;
  addRegion(cpu: number, page: number, slot: number, low: number, high: number, entryRoom: number): number;
  /** The region dies, too, when one of these granules of another frame is written. 0: there is no room. */
  addWatch(cpu: number, page: number, low: number, high: number, region: number): number;
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
  /** Where code is translated; in this thread when absent. */
  readonly translation?: TranslationLink | undefined;
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
  | 'compileFailures'
  | 'regionsEvicted'
  | 'translateMicroseconds'
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
  /** Its instructions. */
  readonly offsets: OffsetSet;
  /** Offsets of its entries. */
  readonly entries: readonly number[];
  /** Offsets that computed jumps choose among, and are entered at by that. */
  readonly chosen: readonly number[];
  /** RIP of the page where it was asked for. */
  readonly ripBase: bigint;
  /** Functions that were copied for the calls with these records. */
  readonly inlined: ReadonlyMap<number, CodeLocation>;
  readonly module: KnownModule;
}

/** A stall that is too long. */
const longStallMs = 10;
/** Installing goes on in the next slice once it has taken so long. */
const installMs = 3;

/** Computed jumps to a place of their page that make it part of their region. */
const hotJumps: Record<TierName, number> = { interpreter: 0, auto: 1024, jit: 2 };

/** For each 64-byte granule of a page, in one mode: how often its code has been compiled, and asked for since. */
interface History {
  readonly compiled: Uint8Array;
  readonly asked: Uint16Array;
}
/** Beyond, code is compiled again each 2^12th time that it is asked for. */
const mostTimes = 14;

/** Requests that are worth a translation of their own, and slices that fewer of them wait at most. */
const batchRequests = 4;
const batchSlices = 8;
/** Requests that wait at most; the core asks again for what matters. */
const mostRequests = 64;

export class Compiler {
  private readonly core: CompilerCore;
  private readonly cpu: number;
  private readonly view: DataView;
  private readonly words: Int32Array;
  private readonly places: CodePlaces;
  private readonly maximum: { instructions: number; readonly regions: number };
  private readonly regions = new Map<number, LiveRegion>();
  private readonly pages = new Map<number, Set<LiveRegion>>();
  private readonly histories = new Map<number, History>();
  private readonly placed = new Map<number, LiveRegion>();
  /** Of the arena (`ArenaHeader.generation`) when it was last looked at: what belongs to another one is gone. */
  private generation = -1;
  private tier: TierName = 'auto';
  private readonly link: TranslationLink;
  /** Of this thread, where one is needed: with the guest, or for the developer. */
  private local: Translator | undefined;
  private readonly makeLocal: () => Translator;
  /** Translations that have come and were not looked at. */
  private inbox: Translation[] = [];
  /** Modules that are to be installed, with the generation that they were ordered in. */
  private arrived: { readonly made: TranslatedModule; readonly epoch: number }[] = [];
  /** What the core has asked for and was not ordered yet. */
  private requests: Request[] = [];
  /** Slices since the first of them. */
  private waited = 0;
  private readonly nowMs: () => number;
  private readonly onFailure: (error: Error) => void;

  /** `forms`: of the core; asked for when it is needed. */
  constructor(
    core: CompilerCore,
    cpu: number,
    forms: () => FormTable,
    nowMs: () => number,
    options: CompilerOptions = {},
  ) {
    this.core = core;
    this.cpu = cpu;
    this.nowMs = nowMs;
    this.onFailure = options.onFailure ?? ((): void => undefined);
    const { buffer } = core.memory;
    this.view = new DataView(buffer);
    this.words = new Int32Array(buffer);
    this.makeLocal = () => new Translator(buffer, cpu, forms(), { debug: options.debug ?? false });
    this.link = options.translation ?? new LocalTranslation(() => this.translator, nowMs);
    this.places = this.makePlaces(options.countForms ?? false);
    this.maximum = { instructions: options.regionInstructions ?? 1000, regions: options.regions ?? 6000 };
  }

  private makePlaces(countForms: boolean): CodePlaces {
    const functions = this.core as unknown as Record<string, unknown>;
    const counted = functions['countedRunForm'];
    const core = countForms && counted !== undefined ? { ...functions, runForm: counted } : functions;
    const violated = (violation: number, offset: number): never => {
      throw new Error(violationMessage(violation, offset));
    };
    let places: Uint32Array | undefined;
    const view = (): Uint32Array => (places ??= placesOf(this.view.buffer, this.header - Arena.header));
    return new CodePlaces(this.core, view, { core, debug: { violated } });
  }

  private get translator(): Translator {
    return (this.local ??= this.makeLocal());
  }

  /** The guest's decoded code. */
  get code(): DecodedCode {
    return this.translator.code;
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
    this.tier = tier;
    this.collect();
    this.view.setUint32(this.header + ArenaHeader.offsets.tier, tierCode[tier], true);
    this.view.setUint32(this.header + ArenaHeader.offsets.hotJumps, hotJumps[tier], true);
  }

  /**
   * Another executor has run the guest, and left the arena as it is: what it has compiled is this one's, too, as far as its
   * modules have come ({@link delivery}). False: they do not come here, and the core has to `attach`.
   */
  takeOver(tier: TierName): boolean {
    this.tier = tier;
    if (!this.link.shared) return false;
    const lacking: number[] = [];
    this.followOthers(lacking);
    for (const address of lacking) this.core.removeRegion(this.cpu, address);
    this.collect();
    return true;
  }

  /**
   * Another executor runs the guest: gives up what it has given up, without a change of the arena, which is the other's.
   * {@link takeOver} or {@link reset} comes before this object is used again.
   */
  abandon(): void {
    if (this.link.shared) this.followOthers([]);
    else this.forgetAll();
  }

  /** `lacking`: is given regions whose modules have not come. */
  private followOthers(lacking: number[]): void {
    this.receive();
    if (this.field('generation') !== this.generation) this.forgetAll();
    const installed = this.field('installed');
    const open = (made: TranslatedModule): boolean => {
      if (made.serial <= installed) this.places.know(made);
      return made.serial > installed;
    };
    this.arrived = this.arrived.filter(({ made }) => open(made));
    this.inbox = this.inbox
      .filter(({ epoch }) => epoch === this.generation)
      .map((translation) => ({ ...translation, modules: translation.modules.filter(open) }))
      .filter(({ own, modules }) => own || modules.length > 0);
    this.places.follow(installed, {
      left: (slot) => {
        const region = this.placed.get(slot);
        if (region) this.drop(region);
      },
      entered: (region) => {
        this.enterPlaced(region);
      },
      lacking: (address) => lacking.push(address),
    });
  }

  /** A region of another executor's. */
  private enterPlaced({ slot, address, translated, module }: PlacedRegion): void {
    this.places.count(module, 1);
    this.noteCompiled(translated);
    this.enter(liveRegion(translated, address, slot, module));
  }

  /** Nothing that this object knows of stands any more. */
  private forgetAll(): void {
    this.generation = this.field('generation');
    this.requests.length = 0;
    this.arrived.length = 0;
    this.places.clear();
    this.regions.clear();
    this.placed.clear();
    this.pages.clear();
    this.histories.clear();
    this.local?.code.forget();
  }

  /** Installs what has been translated, and orders what the core has asked for. Cheap when that is nothing. */
  serve(): void {
    if (this.field('dead') !== 0 || this.field('generation') !== this.generation) this.collect();
    this.takeRequests();
    const ordering = this.due();
    if (!ordering && !this.link.ready && this.arrived.length === 0 && this.inbox.length === 0) return;
    const start = this.nowMs();
    this.installArrived(start);
    if (ordering) {
      this.order();
      // What was translated in this thread is there already.
      this.installArrived(start);
    }
    this.noteStall(this.nowMs() - start);
  }

  /** Something translated waits in the thread's event loop: resolves when {@link serve} can install it. */
  delivery(): Promise<void> | undefined {
    return this.link.delivery();
  }

  /** Translations that wait in the event loop. */
  get backlog(): number {
    return this.link.backlog;
  }

  /** The guest is no longer this executor's: nothing is translated for it any more. */
  close(): void {
    this.link.close();
  }

  private noteStall(milliseconds: number): void {
    const took = Math.round(milliseconds * 1000);
    this.count('compileMicroseconds', took);
    if (milliseconds >= 1) this.count('compileStalls', 1);
    if (milliseconds > longStallMs) this.count('longCompileStalls', 1);
    const longest = this.header + ArenaHeader.offsets.longestCompileMicroseconds;
    this.view.setUint32(longest, Math.max(this.u32(longest), took), true);
  }

  // Requests. -------------------------------------------------------------------------------------------------------

  /** Takes over what the core has asked for. */
  private takeRequests(): void {
    const count = this.field('requested');
    if (count === 0 || this.requests.length >= mostRequests) return;
    for (let k = 0; k < count; k++) this.requests.push(this.requestAt(k));
    this.view.setUint32(this.header + ArenaHeader.offsets.requested, 0, true);
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

  /** A few requests are translated together, unless they wait for too long. */
  private due(): boolean {
    if (this.requests.length === 0) return false;
    this.waited++;
    if (this.link.busy) return false;
    if (this.tier === 'auto' && this.requests.length < batchRequests && this.waited < batchSlices) return false;
    this.waited = 0;
    return true;
  }

  private order(): void {
    const requests: CodeRequest[] = [];
    for (const request of this.requests.splice(0)) {
      const made = this.codeRequest(request);
      // Without room the arena has been emptied, and with it what was asked for.
      if (this.field('generation') !== this.generation) return;
      if (made) requests.push(made);
    }
    if (requests.length === 0) return;
    const { instructions } = this.maximum;
    this.link.order({ requests, recordsEnd: this.field('next'), instructions, epoch: this.generation });
  }

  /** What is to be ordered for a request; nothing where that is not worth it. */
  private codeRequest({ host, modeKey, record, ripBase }: Request): CodeRequest | undefined {
    const page = (host & ~0xfff) >>> 0;
    const start = host & 0xfff;
    const again = this.regionOf(page, modeKey, start) !== undefined;
    if (!this.worthwhile(page, modeKey, start, again)) return undefined;
    const entries: number[] = [];
    if (this.tier === 'jit') {
      decodeAhead(this.core, this.cpu, this.code, { page, start, modeKey, ripBase }, this.maximum);
      for (const r of this.pages.get(page) ?? []) if (r.modeKey === modeKey) entries.push(...r.entries);
    }
    return { host, modeKey, record, ripBase, again, entries };
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

  /** The granules of a region have been compiled once more. */
  private noteCompiled({ page, modeKey, granules }: TranslatedRegion): void {
    const { compiled } = this.historyOf(page, modeKey);
    compiled.forEach((times, granule) => {
      if (((granules[granule >> 5] ?? 0) >>> (granule & 31)) & 1) compiled[granule] = Math.min(times + 1, mostTimes);
    });
  }

  private historyOf(page: number, modeKey: number): History {
    // A page's address has none of the low 12 bits, which are enough for the mode key.
    const known = this.histories.get(page + modeKey);
    if (known) return known;
    const made = { compiled: new Uint8Array(64), asked: new Uint16Array(64) };
    this.histories.set(page + modeKey, made);
    return made;
  }

  private regionOf(page: number, modeKey: number, offset: number): LiveRegion | undefined {
    for (const r of this.pages.get(page) ?? []) if (r.modeKey === modeKey && hasOffset(r.offsets, offset)) return r;
    return undefined;
  }

  // Translations. ---------------------------------------------------------------------------------------------------

  private receive(): void {
    for (let done = this.link.take(); done; done = this.link.take()) this.inbox.push(done);
  }

  private accept(translation: Translation): void {
    if (translation.own) this.count('translateMicroseconds', translation.microseconds);
    if (translation.epoch !== this.generation) return;
    for (const record of translation.declined) this.declineRecord(record);
    for (const { error, records } of translation.failures) {
      if (translation.own) this.count('compileFailures', 1);
      // What cannot be compiled is interpreted: the core does not ask for it again.
      for (const record of records) this.declineRecord(record);
      if (translation.own) this.onFailure(error);
    }
    for (const made of translation.modules) this.arrived.push({ made, epoch: translation.epoch });
  }

  /** Installs what has come, at least one module, for a few milliseconds from `start` on; under `jit` all of it. */
  private installArrived(start: number): void {
    this.receive();
    for (const translation of this.inbox.splice(0)) this.accept(translation);
    const end = this.tier === 'jit' ? Infinity : start + installMs;
    for (let next = this.arrived.shift(); next; next = this.nowMs() < end ? this.arrived.shift() : undefined) {
      const { made, epoch } = next;
      if (epoch !== this.generation) continue;
      this.count('moduleBytes', made.bytes);
      this.count('modules', 1);
      if (!this.installModule(made)) {
        // Without room for it the arena has been emptied: what the others name is gone, too.
        this.arrived.length = 0;
        return;
      }
      // Other executors need not install it.
      this.view.setUint32(this.header + ArenaHeader.offsets.installed, made.serial, true);
      // What was asked for meanwhile, while the interpreter was still at it.
      this.requests = this.requests.filter(
        ({ host, modeKey }) =>
          !made.regions.some(
            (r) => r.page === (host & ~0xfff) >>> 0 && r.modeKey === modeKey && hasOffset(r.offsets, host & 0xfff),
          ),
      );
    }
  }

  private declineRecord(record: number): void {
    const at = record + InstructionRecord.offsets.flags;
    this.view.setUint8(at, this.view.getUint8(at) | recordFlags.declined);
  }

  private installModule(made: TranslatedModule): boolean {
    const { regions } = made;
    for (const region of regions) {
      this.count('regionInstructions', region.count);
      this.noteCompiled(region);
    }
    // The guest may have written its code meanwhile.
    const valid = regions.filter(({ records, sum }) => recordSum(this.words, records) === sum);
    if (valid.length === 0) return true;
    const module = this.places.know(made);
    return valid.every((region) => this.install(region, module));
  }

  private install(translated: TranslatedRegion, module: KnownModule): boolean {
    const { core, cpu, places } = this;
    const { page, modeKey, offsets } = translated;
    for (const old of [...(this.pages.get(page) ?? [])]) {
      if (old.modeKey === modeKey && isSubset(old.offsets, offsets)) core.removeRegion(cpu, old.address);
    }
    this.collect();
    if (this.regions.size >= this.maximum.regions) this.evict();
    const slot = places.take();
    if (slot === undefined) throw new Error('the table of compiled code is full');
    const [low, high] = translated.granules;
    const address = core.addRegion(cpu, page, slot, low, high, translated.entries.length) >>> 0;
    const watch = ([frame, [l, h]]: readonly [number, Granules]): boolean =>
      core.addWatch(cpu, frame, l, h, address) !== 0;
    if (address === 0 || ![...translated.foreign].every(watch)) {
      places.giveBack(slot);
      core.flushBlocks(cpu);
      return false;
    }
    places.place(slot, address, module, module.made.regions.indexOf(translated));
    this.enter(liveRegion(translated, address, slot, module));
    this.count('regions', 1);
    for (const { record, label } of translated.entries) core.addEntry(cpu, address, record, modeKey, label);
    core.publish(cpu, address);
    return true;
  }

  private enter(region: LiveRegion): void {
    this.regions.set(region.address, region);
    this.placed.set(region.slot, region);
    const list = this.pages.get(region.page) ?? new Set();
    this.pages.set(region.page, list.add(region));
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
    if (this.field('generation') !== this.generation) {
      this.forgetAll();
    } else {
      let address = this.field('dead');
      this.view.setUint32(this.header + ArenaHeader.offsets.dead, 0, true);
      for (; address !== 0; address = this.u32(address + Region.offsets.next)) {
        const region = this.regions.get(address);
        if (!region) {
          // Of a module that never came here.
          this.places.vacate(this.u32(address + Region.offsets.slot), address);
          continue;
        }
        this.places.leave(region.slot, region.module);
        this.unlist(region);
      }
    }
    this.publishAlive();
  }

  /** Its place has been left. */
  private drop(region: LiveRegion): void {
    this.places.count(region.module, -1);
    this.unlist(region);
  }

  private unlist(region: LiveRegion): void {
    this.regions.delete(region.address);
    this.placed.delete(region.slot);
    this.pages.get(region.page)?.delete(region);
  }

  private publishAlive(): void {
    this.view.setUint32(this.header + ArenaHeader.offsets.regionsAlive, this.regions.size, true);
    this.view.setUint32(this.header + ArenaHeader.offsets.modulesAlive, this.places.modulesAlive, true);
  }
}

function liveRegion(translated: TranslatedRegion, address: number, slot: number, module: KnownModule): LiveRegion {
  const { page, modeKey, offsets, ripBase, chosen, inlined } = translated;
  const entries = translated.entries.flatMap((e) => (e.chosenOnly ? [] : [e.offset]));
  return { address, slot, page, modeKey, offsets, entries, chosen, ripBase, inlined, module };
}
