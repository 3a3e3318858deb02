/**
 * The table of compiled code of one executor, and which place in it is whose. The arena says what stands at each place
 * ({@link CodePlace}); executors that run a guest in turns all follow that, so that entries, links and the jump cache, which
 * lead to places, hold for each of them, and a guest that moves finds its code compiled.
 *
 * A function that another executor has installed comes into this table when the guest has moved here ({@link
 * CodePlaces.follow}), first as a stub: its module is instantiated when it is called, so that a move takes no longer than
 * what it needs of the code.
 */
import { ModuleBuilder } from '../../wasm/encoder.ts';
import { Arena, CodePlace } from '../arena.ts';
import { codeNumber, moduleOf, type TranslatedModule, type TranslatedRegion } from './translation.ts';

/** What a place needs of the core. */
export interface PlacesCore {
  readonly compiled: WebAssembly.Table;
  readonly noCode: (...parameters: number[]) => number;
}

type Run = (cpu: number, label: number, depth: number) => number;

/** A module, which goes when none of its regions lives. */
export interface KnownModule {
  readonly made: TranslatedModule;
  instance: WebAssembly.Exports | undefined;
  /** Regions that live. */
  regions: number;
}

/** A region that stands at a place. */
export interface PlacedRegion {
  readonly slot: number;
  readonly address: number;
  readonly translated: TranslatedRegion;
  readonly module: KnownModule;
}

/** Stubs of one instance. */
const stubsEach = 256;

export class CodePlaces {
  private readonly core: PlacesCore;
  private readonly imports: WebAssembly.Imports;
  private readonly view: () => Uint32Array;
  /** By place: what this table holds, as the arena would say it. */
  private readonly held = new Uint32Array(Arena.codePlaceCount);
  private readonly addresses = new Uint32Array(Arena.codePlaceCount);
  private readonly modules = new Map<number, KnownModule>();
  private free: number[] = [];
  private end = Arena.noCode + 1;
  private stubModule: WebAssembly.Module | undefined;
  private readonly stubs: WebAssembly.Exports[] = [];

  /** `places`: of the arena, two words each. `imports`: of compiled modules. */
  constructor(core: PlacesCore, places: () => Uint32Array, imports: WebAssembly.Imports) {
    this.core = core;
    this.view = places;
    this.imports = imports;
    core.compiled.set(Arena.noCode, core.noCode);
  }

  /** Modules of which a region lives. */
  get modulesAlive(): number {
    let alive = 0;
    for (const { regions } of this.modules.values()) if (regions > 0) alive++;
    return alive;
  }

  /** A module that may stand somewhere, now or later. */
  know(made: TranslatedModule): KnownModule {
    const known = this.modules.get(made.serial);
    if (known !== undefined) return known;
    const module: KnownModule = { made, instance: undefined, regions: 0 };
    this.modules.set(made.serial, module);
    return module;
  }

  /** A free place; undefined: there is none. */
  take(): number | undefined {
    const slot = this.free.pop();
    if (slot !== undefined) return slot;
    return this.end < Arena.codePlaceCount ? this.end++ : undefined;
  }

  giveBack(slot: number): void {
    this.free.push(slot);
  }

  /** The region of a module stands at a place that was taken. */
  place(slot: number, address: number, module: KnownModule, region: number): void {
    const code = codeNumber(module.made, region);
    const places = this.view();
    places[2 * slot] = address;
    places[2 * slot + 1] = code;
    this.held[slot] = code;
    this.addresses[slot] = address;
    module.regions++;
    this.modules.set(module.made.serial, module);
    this.core.compiled.set(slot, this.functionOf(module, region));
  }

  /** The place is free again. */
  leave(slot: number, module: KnownModule): void {
    const places = this.view();
    places[2 * slot] = 0;
    places[2 * slot + 1] = 0;
    this.forget(slot);
    this.release(module);
    this.free.push(slot);
  }

  /** The place of a region that died and that is not known here. */
  vacate(slot: number, address: number): void {
    const places = this.view();
    if (places[2 * slot] !== address) return;
    places[2 * slot] = 0;
    places[2 * slot + 1] = 0;
    this.free.push(slot);
  }

  private release(module: KnownModule): void {
    if (--module.regions <= 0) this.modules.delete(module.made.serial);
  }

  private forget(slot: number): void {
    if (this.held[slot] === 0) return;
    this.held[slot] = 0;
    this.core.compiled.set(slot, null);
  }

  /** The arena was emptied: nothing that was known stands anywhere any more. */
  clear(): void {
    for (let slot = Arena.noCode + 1; slot < this.end; slot++) this.forget(slot);
    this.modules.clear();
    this.free = [];
    this.end = Arena.noCode + 1;
  }

  /**
   * Another executor has run the guest: the table becomes what the arena says. `left` and `entered` are told of each
   * change; `lacking` of the regions whose modules are not known here. Modules up to number `installed` that stand nowhere
   * are forgotten.
   */
  follow(
    installed: number,
    changes: {
      readonly left: (slot: number) => void;
      readonly entered: (region: PlacedRegion) => void;
      readonly lacking: (address: number) => void;
    },
  ): void {
    const places = this.view();
    this.free = [];
    let end = Arena.noCode + 1;
    for (let slot = Arena.noCode + 1; slot < Arena.codePlaceCount; slot++) {
      const address = places[2 * slot] ?? 0;
      const code = address === 0 ? 0 : (places[2 * slot + 1] ?? 0);
      if (code !== 0) end = slot + 1;
      // Both: the executor that has the guest may be writing while this one looks.
      if (this.held[slot] === code && (code === 0 || this.addresses[slot] === address)) continue;
      if (this.held[slot] !== 0) {
        changes.left(slot);
        this.forget(slot);
      }
      if (code === 0) continue;
      const region = this.at(slot, address, code);
      if (region === undefined) changes.lacking(address);
      else changes.entered(region);
    }
    for (let slot = Arena.noCode + 1; slot < end; slot++) if (places[2 * slot] === 0) this.free.push(slot);
    this.end = end;
    this.prune(installed);
  }

  private at(slot: number, address: number, code: number): PlacedRegion | undefined {
    const { serial, region } = moduleOf(code);
    const module = this.modules.get(serial);
    const translated = module?.made.regions[region];
    if (module === undefined || translated === undefined) return undefined;
    this.held[slot] = code;
    this.addresses[slot] = address;
    this.core.compiled.set(slot, module.instance === undefined ? this.stub(slot) : this.functionOf(module, region));
    return { slot, address, translated, module };
  }

  /** A region that {@link follow} has told of stands here. */
  count(module: KnownModule, difference: 1 | -1): void {
    module.regions += difference;
  }

  /** Forgets modules up to number `installed` that stand nowhere. */
  private prune(installed: number): void {
    for (const [serial, { regions }] of this.modules) {
      if (serial <= installed && regions <= 0) this.modules.delete(serial);
    }
  }

  private functionOf(module: KnownModule, region: number): Run {
    const exports = (module.instance ??= new WebAssembly.Instance(module.made.module, this.imports).exports);
    return exports[module.made.regions[region]?.name ?? ''] as Run;
  }

  /** What stands at a place until it is called. */
  private stub(slot: number): Run {
    const group = Math.floor(slot / stubsEach);
    const exports = (this.stubs[group] ??= this.makeStubs(group * stubsEach));
    return exports[`stub${slot % stubsEach}`] as Run;
  }

  private makeStubs(first: number): WebAssembly.Exports {
    const called = (index: number, cpu: number, label: number, depth: number): number =>
      this.bring(first + index)(cpu, label, depth);
    this.stubModule ??= stubModule();
    return new WebAssembly.Instance(this.stubModule, { stub: { called } }).exports;
  }

  /** The function of a stub that was called, which stands at its place from now on. */
  private bring(slot: number): Run {
    const { serial, region } = moduleOf(this.held[slot] ?? 0);
    const module = this.modules.get(serial);
    if (module === undefined) throw new Error(`compiled code was entered at place ${slot}, where none is`);
    const run = this.functionOf(module, region);
    this.core.compiled.set(slot, run);
    return run;
  }
}

/** Functions `stub0` … that call `called` with their number and what they were called with. */
function stubModule(): WebAssembly.Module {
  const m = new ModuleBuilder();
  const called = m.importFunction('stub', 'called', ['i32', 'i32', 'i32', 'i32'], ['i32']);
  for (let n = 0; n < stubsEach; n++) {
    const f = m.function(`stub${n}`, ['i32', 'i32', 'i32'], ['i32']);
    f.code.i32(n).get(0).get(1).get(2).call(called);
    m.exportFunction(`stub${n}`, f);
  }
  return new WebAssembly.Module(m.encode() as Uint8Array<ArrayBuffer>);
}

/** The arena's places, as {@link CodePlaces} looks at them. */
export function placesOf(buffer: ArrayBufferLike, arena: number): Uint32Array {
  return new Uint32Array(buffer, arena + Arena.codePlaces, (Arena.codePlaceCount * CodePlace.size) >> 2);
}
