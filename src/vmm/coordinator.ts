/**
 * The coordinator of a page: its guests, their memory, and everything that one may ask of them. `window.tabvisor` is
 * one, and so is what the tests drive: the page has no other way in.
 *
 * Every method that takes an id throws (or rejects with) a {@link VmmError} whose message says what to do; `code` tells
 * programs which it is.
 *
 * @example in the page's developer console
 * const id = await tabvisor.create('linux-i386');
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
import { messageOf, VmmError } from './errors.ts';
import { Guest, type GuestStats, type GuestStatus } from './guest.ts';
import type { Host } from './host.ts';
import { MemoryPool, type MemoryPoolUsage } from './memory-pool.ts';
import { Processors } from './processors/processors.ts';
import type { ProcessorSettings, ProcessorsState, ScheduleEntry, Share } from './processors/share.ts';
import { SharedImages } from './shared-images.ts';

export interface GuestSummary {
  readonly id: string;
  readonly name: string;
  readonly source: GuestSource;
  readonly status: GuestStatus;
}

/** What {@link Coordinator.subscribe} tells. */
export type VmmEvent =
  | { readonly kind: 'guests' }
  | { readonly kind: 'status'; readonly id: string }
  | { readonly kind: 'memory' }
  /** Mode, count or time slice of the processors has changed, or a guest's share of them. */
  | { readonly kind: 'processors' }
  /** A line about the guest from its executor, for the developer. */
  | { readonly kind: 'log'; readonly id: string; readonly line: string };

export interface CoordinatorOptions {
  /** Bytes that all guests may take together at first. */
  readonly memoryLimitBytes: number;
}

export class Coordinator {
  readonly #host: Host;
  readonly #pool: MemoryPool;
  readonly #images = new SharedImages();
  readonly #processors: Processors;
  readonly #guests = new Map<string, Guest>();
  readonly #listeners = new Set<(event: VmmEvent) => void>();
  #catalogue: Promise<readonly CatalogueEntry[]> | undefined;
  #core: Promise<WebAssembly.Module> | undefined;

  constructor(host: Host, options: CoordinatorOptions) {
    this.#host = host;
    this.#processors = new Processors(host, () => this.#emit({ kind: 'processors' }));
    this.#pool = new MemoryPool(
      {
        limitBytes: options.memoryLimitBytes,
        scrub: host.scrub,
        ...(host.allocate === undefined ? {} : { allocate: host.allocate }),
      },
      () => this.#emit({ kind: 'memory' }),
    );
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
    return [...this.#guests.values()].map(summary);
  }

  /** One guest: its name, what it boots, its state with the cause. */
  get(id: string): GuestSummary {
    return summary(this.#guest(id));
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
   * Defines a guest, without starting it: a catalogue id (with what is to be different), or a source of one's own.
   * Returns the guest's id: the catalogue id where that is free, else with a number.
   * @throws VmmError `unknownCatalogueId`, `noCatalogue`
   */
  async create(what: string | GuestSource, overrides: SourceOverrides = {}): Promise<string> {
    const source = typeof what === 'string' ? await this.#catalogueSource(what) : this.#ownSource(what);
    return this.#define({ ...source, ...overrides });
  }

  /** The guests that a query string (`?guest=…&kernel=…`) asks for. */
  requestsOf(query: string): GuestRequest[] {
    return guestsOfQuery(query, this.#host.pageUrl);
  }

  /** Boots a guest that is not running; resolves when it runs. Rejects with what its state then tells (`failed`). */
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
  async reset(id: string): Promise<void> {
    this.#guest(id).reset();
  }

  /** Presses the ACPI power button. Resolves at once; the guest shuts down when it pleases: see {@link waitForState}. */
  async powerOff(id: string): Promise<void> {
    this.#guest(id).powerOff();
  }

  /** Ends the guest at once, whatever it does. Nothing happens to a guest that does not run. */
  kill(id: string): Promise<void> {
    return this.#guest(id).kill();
  }

  /** Kills the guest if it runs, and takes it off the list. */
  async remove(id: string): Promise<void> {
    const guest = this.#guest(id);
    await guest.kill();
    this.#guests.delete(id);
    this.#processors.forget(id);
    this.#emit({ kind: 'guests' });
  }

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
        const message = `${guest.source.name} is ${guest.status.state}, not ${states.join(' or ')}, after ${timeoutMs} ms.`;
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

  /** The memory of all guests together. */
  get memory(): MemoryPoolUsage {
    return this.#pool.usage;
  }

  /** Guests that run keep what they have; the limit counts for the next. */
  setMemoryLimit(bytes: number): void {
    this.#pool.setLimit(bytes);
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
   * Changes what is named; counts from now on, and for later starts of the guest.
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

  /** The console's bytes as they come, for a terminal; a listener that returns a promise slows the guest down. */
  onConsole(id: string, listener: OutputListener): () => void {
    return this.#guest(id).console.listen(listener);
  }

  /** Tells of every change; returns a function that ends it. */
  subscribe(listener: (event: VmmEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #catalogueSource(id: string): Promise<GuestSource> {
    const entries = await this.catalogue();
    const entry = entries.find((candidate) => candidate.catalogueId === id);
    if (entry !== undefined) return entry;
    const known = entries.filter((candidate) => !candidate.hidden).map((candidate) => candidate.catalogueId);
    const advice = known.length === 0 ? 'It is empty: run "npm run guests".' : `It has ${known.join(', ')}.`;
    throw new VmmError('unknownCatalogueId', `The catalogue has no guest "${id}". ${advice}`);
  }

  #ownSource(source: GuestSource): GuestSource {
    try {
      const resolve = (url: string) => new URL(url, this.#host.pageUrl).href;
      return {
        ...source,
        kernelUrl: resolve(source.kernelUrl),
        ...(source.initrdUrl === undefined ? {} : { initrdUrl: resolve(source.initrdUrl) }),
      };
    } catch (error) {
      throw new VmmError('badArgument', `The address of the kernel or initrd is wrong: ${messageOf(error)}.`);
    }
  }

  #define(source: GuestSource): string {
    const base = source.catalogueId ?? source.name;
    let id = base;
    for (let n = 2; this.#guests.has(id); n++) id = `${base}-${n}`;
    const guest = new Guest(id, source, {
      host: this.#host,
      pool: this.#pool,
      images: this.#images,
      core: () => this.#loadCore(),
      createExecutor: () => this.#processors.seatFor(id),
      changed: () => this.#emit({ kind: 'status', id }),
    });
    guest.console.onLog = (line) => this.#emit({ kind: 'log', id, line });
    this.#guests.set(id, guest);
    this.#emit({ kind: 'guests' });
    return id;
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

  #emit(event: VmmEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

function addressOf(address: number | bigint | string): bigint {
  if (typeof address === 'bigint') return BigInt.asUintN(64, address);
  if (typeof address === 'number' && Number.isSafeInteger(address) && address >= 0) return BigInt(address);
  const digits = /^(?:0x)?([0-9a-f]{1,16})$/i.exec(`${address}`)?.[1];
  if (typeof address === 'string' && digits !== undefined) return BigInt(`0x${digits}`);
  throw new VmmError(
    'badArgument',
    `${address} is no address: give a number, a bigint, or text like "ffffffff81000000".`,
  );
}

function summary(guest: Guest): GuestSummary {
  return { id: guest.id, name: guest.source.name, source: guest.source, status: guest.status };
}
