/**
 * The coordinator of a page: its guests, their memory, and everything that one may ask of them. `window.tabvisor` is
 * one, and so is what the tests drive: the page has no other way in.
 *
 * Every method that takes an id throws (or rejects with) a {@link VmmError} whose message says what to do; `code` tells
 * programs which it is.
 *
 * @example in the page's developer console
 * const id = await tabvisor.create('linux-i386'); // or tabvisor.definitions.define({ … }), to keep it
 * await tabvisor.start(id);
 * await tabvisor.waitForText(id, /# $/);
 * await tabvisor.type(id, 'uname -m\n');
 * tabvisor.consoleText(id);
 */
import {
  fetchCatalogue,
  guestsOfQuery,
  type CatalogueEntry,
  type GuestRequest,
  type GuestSource,
  type SourceOverrides,
} from './catalogue.ts';
import type { OutputListener, TextMatch, WaitForTextOptions } from './console.ts';
import { parseDefinition, type Definition } from './definition.ts';
import { Definitions } from './definitions.ts';
import { Disks } from './disks.ts';
import { messageOf, VmmError } from './errors.ts';
import type { LifeCopy } from './guest-life.ts';
import type { GuestStatus } from './guest-status.ts';
import { Guest, type GuestStats } from './guest.ts';
import type { Host } from './host.ts';
import { initialBudget, keepBudget, type MemoryBudget } from './memory-budget.ts';
import { MemoryPool, type MemoryPoolUsage } from './memory-pool.ts';
import type { LogEntry } from './monitor/event-log.ts';
import type { GuestHistory, HostHistory, MonitorSnapshot } from './monitor/figures.ts';
import { Monitor } from './monitor/monitor.ts';
import { Processors } from './processors/processors.ts';
import {
  shareOf,
  type ProcessorSettings,
  type ProcessorsState,
  type ScheduleEntry,
  type Share,
} from './processors/share.ts';
import { SharedImages } from './shared-images.ts';
import {
  addressOf,
  catalogueEntry,
  definitionOfEntry,
  definitionOfSource,
  entrySource,
  fetchWithKept,
  ownSource,
} from './sources.ts';

export interface GuestSummary {
  readonly id: string;
  readonly name: string;
  readonly definition: Definition;
  /** Its definition outlasts the page. */
  readonly kept: boolean;
  /** It lasts as long as the page by intent; false for a guest that was defined, also where storage fails. */
  readonly transient: boolean;
  readonly status: GuestStatus;
}

/** What {@link Coordinator.subscribe} tells. */
export type VmmEvent =
  | { readonly kind: 'guests' }
  | { readonly kind: 'status'; readonly id: string }
  | { readonly kind: 'memory' }
  /** Mode, count or time slice of the processors has changed, or a guest's share of them. */
  | { readonly kind: 'processors' }
  /** The list of disks, or who uses one, has changed. */
  | { readonly kind: 'disks' }
  /** A guest was asked to give up so much memory, or to take it back. */
  | { readonly kind: 'balloon'; readonly id: string; readonly mib: number }
  /** {@link Definitions.storage} has changed. */
  | { readonly kind: 'storage' }
  /** The guest's executor died of `message` while the guest was at rest, and another one goes on with it. */
  | { readonly kind: 'executorReplaced'; readonly id: string; readonly message: string }
  /** A line about the guest from its executor, for the developer. */
  | { readonly kind: 'log'; readonly id: string; readonly line: string };

/** The memory of the page's guests, for `tabvisor.memoryPool()`. */
export interface MemoryPoolState extends MemoryPoolUsage {
  readonly budget: MemoryBudget;
  readonly guests: readonly {
    readonly id: string;
    readonly name: string;
    /** What the budget is charged: all of its RAM, and what lies around it. */
    readonly reservedBytes: number;
    /** RAM that holds something. */
    readonly residentBytes: number;
  }[];
}

/** From the drop of a memory until garbage is collected for it: waits for its guest's answers hold it for 5 s at most. */
const collectAfterMs = 6000;

/** A guest that became two. */
export interface CloneReport extends LifeCopy {
  /** The clone's. */
  readonly id: string;
  /** From the request until the clone began to run. */
  readonly startedMilliseconds: number;
}

export interface CoordinatorOptions {
  /** Bytes that all guests may take together at first; absent: what the user has set, or what suits the device. */
  readonly memoryLimitBytes?: number;
}

export class Coordinator {
  /** Guests that outlast the page: define, edit, duplicate, export … */
  readonly definitions: Definitions;
  /** Virtual disks: create, import, export, delete. */
  readonly disks: Disks;
  readonly #host: Host;
  readonly #pool: MemoryPool;
  readonly #images = new SharedImages();
  readonly #processors: Processors;
  readonly #monitor: Monitor;
  readonly #guests = new Map<string, Guest>();
  readonly #listeners = new Set<(event: VmmEvent) => void>();
  #catalogue: Promise<readonly CatalogueEntry[]> | undefined;
  #core: Promise<WebAssembly.Module> | undefined;
  #budget: MemoryBudget;
  #collecting: ReturnType<typeof setTimeout> | undefined;

  constructor(host: Host, options: CoordinatorOptions = {}) {
    this.#host = host;
    this.#budget = initialBudget(host.settings, host.deviceMemoryGiB);
    this.#processors = new Processors(host, () => this.#emit({ kind: 'processors' }));
    this.disks = new Disks(host, () => this.#emit({ kind: 'disks' }));
    this.definitions = new Definitions(host.definitions, {
      guests: () => this.#guests,
      guest: (id) => this.#guest(id),
      freeId: (base, taken) => this.#freeId(base, taken),
      add: (id, definition) => this.#add(id, definition),
      catalogue: () => this.catalogue(),
      fetch: host.fetch,
      changed: () => this.#emit({ kind: 'guests' }),
      storageChanged: () => this.#emit({ kind: 'storage' }),
      log: (id, line) => this.#emit({ kind: 'log', id, line }),
    });
    this.#pool = new MemoryPool(
      {
        limitBytes: options.memoryLimitBytes ?? this.#budget.mib * 2 ** 20,
        scrub: host.scrub,
        dropped: () => this.#collectGarbageSoon(),
        ...(host.allocate === undefined ? {} : { allocate: host.allocate }),
      },
      () => this.#emit({ kind: 'memory' }),
    );
    this.#monitor = new Monitor({
      guests: () => [...this.#guests.values()].map((guest) => guest.monitored),
      pool: () => this.#pool.usage,
      mode: () => this.#processors.settings.mode,
      stealSeconds: (id) => this.#processors.stealSeconds(id),
      now: host.now,
    });
    this.#record({ kind: 'processors' });
    this.#record({ kind: 'memory' });
  }

  /**
   * Begins to load what every guest needs, so that the first one starts sooner. Where that fails, the guest that is started
   * tries again, and tells.
   */
  prepare(): void {
    void this.#loadCore().catch(() => undefined);
  }

  /** Why no guest can run in this page, and what to do about it; undefined if they can. */
  get obstacle(): string | undefined {
    return this.#host.obstacle;
  }

  /** All guests of the page, in the order of their creation. */
  list(): GuestSummary[] {
    return [...this.#guests.values()].map((guest) => this.#summary(guest));
  }

  /** One guest: its name, its definition, its state with the cause. */
  get(id: string): GuestSummary {
    return this.#summary(this.#guest(id));
  }

  /** The guests that the page offers. Fetched once; a failure is tried again. @throws VmmError `noCatalogue` */
  catalogue(): Promise<readonly CatalogueEntry[]> {
    this.#catalogue ??= fetchCatalogue(this.#host.catalogueUrl, this.#host.fetch).catch((error: unknown) => {
      this.#catalogue = undefined;
      throw error;
    });
    return this.#catalogue;
  }

  /**
   * Makes a guest that lasts as long as the page, without starting it: a catalogue id (with what is to be different), or
   * a source of one's own. Returns the guest's id: the catalogue id where that is free, else with a number.
   * @throws VmmError `unknownCatalogueId`, `noCatalogue`, `badArgument`
   */
  async create(what: string | GuestSource, overrides: SourceOverrides = {}): Promise<string> {
    if (typeof what === 'string') {
      const entry = catalogueEntry(await this.catalogue(), what);
      return this.#add(this.#freeId(entry.catalogueId), definitionOfEntry(entry, overrides));
    }
    const definition = definitionOfSource(what, overrides);
    const { kernelUrl, initrdUrl } = ownSource(definition, this.#host.pageUrl);
    return this.#add(this.#freeId(what.name), {
      ...definition,
      kernelUrl,
      ...(initrdUrl === undefined ? {} : { initrdUrl }),
    });
  }

  /** The guests that a query string (`?guest=…&kernel=…`) asks for. */
  requestsOf(query: string): GuestRequest[] {
    return guestsOfQuery(query, this.#host.pageUrl);
  }

  // Life. Requests may come in any order, and several at once: `lifecycle.ts` says what each answers in each state. One for
  // what is so already, or under way, resolves with it; one that makes no sense rejects with `wrongState` and a sentence.

  /** Boots a guest; resolves when it runs. Rejects with what its state then tells (`failed`). */
  start(id: string): Promise<void> {
    return this.#guest(id).start();
  }

  /** Stops the vCPU at once; guest time stands still. Resolves when it stands. */
  pause(id: string): Promise<void> {
    return this.#guest(id).pause();
  }

  /** Goes on after {@link pause}. */
  resume(id: string): Promise<void> {
    return this.#guest(id).resume();
  }

  /** Hardware reset: the guest boots again from its kernel, in the same memory. */
  reset(id: string): Promise<void> {
    return this.#guest(id).reset();
  }

  /** Presses the ACPI power button. Resolves at once; the guest shuts down when it pleases: see {@link waitForState}. */
  powerOff(id: string): Promise<void> {
    return this.#guest(id).powerOff();
  }

  /** Ends the guest at once, whatever it does. Nothing happens to a guest that does not run. */
  kill(id: string): Promise<void> {
    return this.#guest(id).kill();
  }

  /**
   * A guest that runs becomes two: the copy goes on where this one is at that moment, with a console of its own that is empty
   * at first. It is a guest of its own from then on: nothing that one does shows in the other. The clone's random numbers
   * (RDRAND) and calendar are fresh; what the guest's kernel keeps of its own in RAM (its name, its pool of random numbers)
   * it keeps. Resolves when the clone has begun to run. Of a guest that is paused the clone runs, and it stays paused.
   * @param changes what is different in the clone's definition: counts from its next start on, the name at once
   * @throws VmmError `wrongState`, `outOfMemory`, `hostRefused`; the guest itself goes on in any case
   */
  async clone(id: string, changes: { readonly name?: string } = {}): Promise<CloneReport> {
    const start = this.#host.now();
    const source = this.#guest(id);
    const name = changes.name ?? this.#freeName(`Clone of ${source.definition.name}`);
    const definition = parseDefinition({ ...source.definition, name, autostart: false, template: false });
    const cloneId = this.#add(this.#freeId(`${id}-clone`), definition);
    try {
      const copy = await this.#guest(cloneId).startAsCloneOf(source);
      const startedMilliseconds = this.#host.now() - start;
      if (this.definitions.keeps(id)) await this.definitions.keepCopy(cloneId, id);
      return { id: cloneId, startedMilliseconds, ...copy };
    } catch (error) {
      await this.remove(cloneId);
      throw error;
    }
  }

  /**
   * Moves a guest to a memory that nobody has used, with nothing in it but what the guest holds, and drops the one that it
   * had: so pages that it gave up or has freed return to the host, which a WebAssembly memory never does by itself. The
   * guest stands still meanwhile (some 50 ms), and its compiled code is made anew. What is reserved for it stays reserved:
   * it can use all of its RAM again. The browser gives the dropped memory back when it collects garbage, in some seconds.
   * @throws VmmError `wrongState`, `outOfMemory`, `hostRefused`; the guest goes on where it was
   */
  compact(id: string): Promise<LifeCopy> {
    return this.#guest(id).compact();
  }

  /** Kills the guest if it runs, takes it off the list, and forgets its definition. */
  async remove(id: string): Promise<void> {
    const guest = this.#guest(id);
    await guest.remove();
    // Two may have asked for it.
    if (!this.#guests.delete(id)) return;
    this.#processors.forget(id);
    this.#emit({ kind: 'guests' });
    await this.definitions.forget(id);
  }

  /**
   * Kills the worker that runs a guest, as if it had died by itself: for tests and lessons. A guest that is at rest at that
   * moment (halted, paused) goes on in a new worker and does not notice; one that computes is `crashed`, as what it was
   * doing is lost. Resolves when either is so: see {@link get}. @throws VmmError `wrongState`
   */
  killExecutor(id: string): Promise<void> {
    return this.#guest(id).killExecutor();
  }

  // Console and counters.

  /** Everything that the guest printed since power-on (the last million characters at least). */
  consoleText(id: string): string {
    return this.#guest(id).console.text;
  }

  /** Number of characters printed since power-on: give it as `from` to wait for what comes after now. */
  consolePosition(id: string): number {
    return this.#guest(id).console.position;
  }

  /** Sends text to the guest's console, as if typed (`\n` is what Enter sends). Resolves when the guest's port has it. */
  async type(id: string, text: string | Uint8Array): Promise<void> {
    await this.#guest(id).console.type(text);
  }

  /**
   * Resolves when the console's text matches; text printed before the call counts, from `from` on.
   * @throws VmmError `timeout` (with the last lines printed), or `wrongState` when the guest ends before
   */
  waitForText(id: string, pattern: RegExp | string, options?: WaitForTextOptions): Promise<TextMatch> {
    return this.#guest(id).console.waitForText(pattern, options);
  }

  /** Resolves when the guest is in one of these states. @throws VmmError `timeout` */
  waitForState(id: string, states: readonly GuestStatus['state'][], timeoutMs = 60_000): Promise<GuestStatus> {
    const guest = this.#guest(id);
    return new Promise((resolve, reject) => {
      const look = () => {
        if (!states.includes(guest.status.state)) return;
        clearTimeout(timer);
        unsubscribe();
        resolve(guest.status);
      };
      const unsubscribe = this.subscribe(look);
      const timer = setTimeout(() => {
        unsubscribe();
        const message = `${guest.definition.name} is ${guest.status.state}, not ${states.join(' or ')}, after ${timeoutMs} ms.`;
        reject(new VmmError('timeout', message));
      }, timeoutMs);
      look();
    });
  }

  /** Counters of a guest; of its last life when it does not run. */
  stats(id: string): GuestStats {
    return this.#guest(id).stats;
  }

  /**
   * The code at an address of a guest that runs or is paused, and the WebAssembly that it was compiled to, as text.
   * `address` is the RIP of an instruction where it ran when it was compiled: a number, a bigint, or hexadecimal text.
   * @throws VmmError `noRegion`, whose message names the nearest regions; `badArgument`, `wrongState`
   */
  async region(id: string, address: number | bigint | string): Promise<string> {
    return this.#guest(id).region(addressOf(address));
  }

  /**
   * Wants `mib` MiB of the guest's RAM in its balloon: the guest gives up so much, and gets it back with a smaller number.
   * The guest answers when it pleases, if it has a driver: `stats(id).memory` tells (`balloonDriver`, `balloonedBytes`).
   * What it gives up leaves its resident memory, and is kept for it alone: the browser gets nothing back before the guest
   * ends, as a WebAssembly memory never shrinks.
   * @throws VmmError `badArgument`, `wrongState`
   */
  async setBalloon(id: string, mib: number): Promise<void> {
    this.#guest(id).setBalloon(mib);
    this.#emit({ kind: 'balloon', id, mib });
  }

  /** Asks the guest's balloon driver what memory the guest has and uses; the answer comes to `stats(id).memory.guest`. */
  async askForMemoryStatistics(id: string): Promise<void> {
    this.#guest(id).askForMemoryStatistics();
  }

  /** The memory of all guests together. */
  get memory(): MemoryPoolUsage {
    return this.#pool.usage;
  }

  /**
   * Sets what all guests may take together, in MiB, and keeps it for later visits. Guests that run keep what they have, even
   * above a lower budget; it counts for the next. @throws VmmError `badArgument`
   */
  async setMemoryBudget(mib: number): Promise<MemoryPoolState> {
    this.#budget = keepBudget(this.#host.settings, mib);
    this.#pool.setLimit(mib * 2 ** 20);
    return this.memoryPool();
  }

  /** The budget and who has set it, what is reserved for whom and what of that guests hold, and what is kept for reuse. */
  memoryPool(): MemoryPoolState {
    const guests = [...this.#guests.values()].flatMap((guest) => {
      const { reservedBytes, definition, id } = guest;
      if (reservedBytes === 0) return [];
      return [{ id, name: definition.name, reservedBytes, residentBytes: guest.stats.memory.residentBytes }];
    });
    return { ...this.#pool.usage, budget: this.#budget, guests };
  }

  /**
   * The processors: which kind of hypervisor runs the guests, how many processors are granted in bare-metal mode, the time
   * slice; and what each had of whom. With a change, resolves when it is in effect; guests run on meanwhile.
   * @example await tabvisor.processors({ mode: 'bare-metal', count: 2, timeSliceMs: 30 });
   * @throws VmmError `badArgument`, `hostRefused`
   */
  async processors(change: Partial<ProcessorSettings> = {}): Promise<ProcessorsState> {
    return Object.keys(change).length === 0 ? this.#processors.state : this.#processors.set(change);
  }

  /** The same as they are now, without a change. */
  get processorsNow(): ProcessorsState {
    return this.#processors.state;
  }

  /** What the guest is due of the processors in bare-metal mode. */
  share(id: string): Share {
    return this.#processors.share(this.#guest(id).id);
  }

  /**
   * Changes what is named, at once. When the guest is started again, it has what its definition says.
   * @example tabvisor.setShare('linux-amd64', { weight: 512, cap: 50, affinity: { hard: [0] } });
   * @throws VmmError `badArgument`
   */
  setShare(id: string, change: Partial<Share>): Share {
    return this.#processors.setShare(this.#guest(id).id, change);
  }

  /**
   * The scheduler's decisions in bare-metal mode, from number `from` on: who ran where, since when, why. The last 4,096 are
   * kept. `next` is what to give as `from` for those that come after.
   */
  schedule(from = 0): { readonly entries: readonly ScheduleEntry[]; readonly next: number } {
    return this.#processors.schedule(from);
  }

  // The monitor.

  /**
   * What guests and host do, as of the last sample (one a second while a guest runs): CPU use, steal time, instructions by
   * tier, VM exits by reason, memory, console. Plain data, so that tests can take it out of the page.
   * @example (await page.evaluate(() => tabvisor.monitor())).guests['linux-amd64'].cpuPercent
   */
  monitor(): MonitorSnapshot {
    return this.#monitor.snapshot;
  }

  /**
   * The samples of the last five minutes, of a guest or of the host: `history(id)?.column('cpu')`. Undefined for a guest
   * that has never run.
   */
  history(): HostHistory;
  history(id: string): GuestHistory | undefined;
  history(id?: string): HostHistory | GuestHistory | undefined {
    return id === undefined ? this.#monitor.host : this.#monitor.history(this.#guest(id).id);
  }

  /** Tells after each sample; returns a function that ends it. */
  onSample(listener: () => void): () => void {
    return this.#monitor.onSample(listener);
  }

  /**
   * What happened, with causes, from number `from` on: the last thousand events. `next` is what to give as `from` for those
   * that come after.
   */
  events(from = 0): { readonly entries: readonly LogEntry[]; readonly next: number } {
    return this.#monitor.log.since(from);
  }

  /** The console's bytes as they come, for a terminal; a listener that returns a promise slows the guest down. */
  onConsole(id: string, listener: OutputListener): () => void {
    return this.#guest(id).console.listen(listener);
  }

  /** Tells of every change; returns a function that ends it. */
  subscribe(listener: (event: VmmEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #sourceOf(definition: Definition): Promise<GuestSource> {
    const { catalogueId } = definition;
    if (catalogueId === undefined) return ownSource(definition, this.#host.pageUrl);
    return entrySource(catalogueEntry(await this.catalogue(), catalogueId), definition);
  }

  #freeName(base: string): string {
    const names = new Set([...this.#guests.values()].map((guest) => guest.definition.name));
    let name = base.slice(0, 76);
    for (let n = 2; names.has(name); n++) name = `${base.slice(0, 76)} ${n}`;
    return name;
  }

  #freeId(base: string, taken: ReadonlySet<string> = new Set()): string {
    let id = base;
    for (let n = 2; this.#guests.has(id) || taken.has(id); n++) id = `${base}-${n}`;
    return id;
  }

  #add(id: string, definition: Definition): string {
    const guest = new Guest(id, definition, {
      host: this.#host,
      pool: this.#pool,
      images: this.#images,
      disks: this.disks,
      core: () => this.#loadCore(),
      createExecutor: () => this.#processors.seatFor(id, shareOf(guest.definition)),
      replaceExecutor: () => this.#processors.seatFor(id),
      source: (of) => this.#sourceOf(of),
      fetch: fetchWithKept(this.#host.fetch, (file) => this.definitions.keptFile(id, file)),
      changed: () => this.#emit({ kind: 'status', id }),
      replaced: (message) => this.#emit({ kind: 'executorReplaced', id, message }),
    });
    guest.console.onLog = (line) => this.#emit({ kind: 'log', id, line });
    this.#guests.set(id, guest);
    this.#emit({ kind: 'guests' });
    return id;
  }

  /** Not at once: the worker that was told to end may not be gone yet, and several memories may be dropped together. */
  #collectGarbageSoon(): void {
    const { collectGarbage } = this.#host;
    if (collectGarbage === undefined || this.#collecting !== undefined) return;
    this.#collecting = setTimeout(() => {
      this.#collecting = undefined;
      collectGarbage();
    }, collectAfterMs);
  }

  #loadCore(): Promise<WebAssembly.Module> {
    this.#core ??= this.#host.loadCore().catch((error: unknown) => {
      this.#core = undefined;
      throw new VmmError(
        'hostRefused',
        `The processor core could not be loaded (${messageOf(error)}). Reload the page, or build it: npm run build:core.`,
      );
    });
    return this.#core;
  }

  #guest(id: string): Guest {
    const guest = this.#guests.get(id);
    if (guest !== undefined) return guest;
    const known = [...this.#guests.keys()];
    const advice = known.length === 0 ? 'There is none yet.' : `There are ${known.join(', ')}.`;
    throw new VmmError('unknownGuest', `There is no guest "${id}". ${advice}`);
  }

  #summary({ id, definition, status }: Guest): GuestSummary {
    const kept = this.definitions.keeps(id);
    return { id, name: definition.name, definition, kept, transient: this.definitions.isTransient(id), status };
  }

  /** Writes down what the event log keeps. */
  #record(event: VmmEvent): void {
    const { log } = this.#monitor;
    if (event.kind === 'guests') log.guests(this.list());
    else if (event.kind === 'status') log.status(this.get(event.id));
    else if (event.kind === 'executorReplaced') log.executorReplaced(event.id, event.message);
    else if (event.kind === 'balloon') log.balloonAsked(event.id, event.mib);
    else if (event.kind === 'processors') log.processors(this.#processors.settings);
    else if (event.kind === 'memory') log.memoryLimit(this.#pool.usage.limitBytes);
    if (event.kind === 'guests' || event.kind === 'status') this.#monitor.look();
  }

  #emit(event: VmmEvent): void {
    this.#record(event);
    for (const listener of this.#listeners) listener(event);
  }
}
