/** A guest as the coordinator keeps it: what it is, the state it is in, and its present or last life. */
import { requestBit } from '../abi/control.ts';
import type { GuestDefinition } from '../abi/executor.ts';
import { readStatistics, type Statistics } from '../abi/statistics.ts';
import type { GuestSource } from './catalogue.ts';
import { GuestConsole } from './console.ts';
import { messageOf, VmmError, type VmmErrorCode } from './errors.ts';
import { GuestLife, type Ending } from './guest-life.ts';
import type { ExecutorHandle, Host } from './host.ts';
import { fetchImage } from './images.ts';
import { initrdProblem } from './initrd.ts';
import type { MemoryPool } from './memory-pool.ts';
import type { SharedImages } from './shared-images.ts';

/** Why a guest is no longer running, though nothing went wrong. */
export type StopCause =
  | { readonly kind: 'poweredOff' }
  | { readonly kind: 'killed' }
  /** Through isa-debug-exit. */
  | { readonly kind: 'debugExit'; readonly exitCode: number }
  /** It asked for a reset, and was started with `noReboot`. */
  | { readonly kind: 'resetStopped' };

export type CrashCause =
  | { readonly kind: 'tripleFault'; readonly message: string }
  /** The worker died, and with it what it was doing. */
  | { readonly kind: 'executorDied'; readonly message: string };

/** The state of a guest: a closed union, with the cause where there is one. */
export type GuestStatus =
  | { readonly state: 'defined' }
  /** `step` says what is being done, for people. */
  | { readonly state: 'starting'; readonly step: string }
  | { readonly state: 'running' }
  | { readonly state: 'paused' }
  | { readonly state: 'stopped'; readonly cause: StopCause }
  | { readonly state: 'crashed'; readonly cause: CrashCause }
  /** It could not be started. */
  | { readonly state: 'failed'; readonly code: VmmErrorCode; readonly message: string };

/** What the guest has done since power-on, and where it stands. */
export interface GuestStats extends Statistics {
  /** Million instructions a second of wall clock, over the last half second or more. */
  readonly millionInstructionsPerSecond: number;
  /** Share of wall clock spent running guest instructions over the same time, 0…1. */
  readonly load: number;
  /** Share of the instructions that were compiled code's over the same time, 0…1. */
  readonly compiledShare: number;
  /** Present size of the guest's memory, overhead included. */
  readonly memoryBytes: number;
  /** RAM that the guest sees. */
  readonly ramBytes: number;
  /** Console bytes that nobody read. */
  readonly consoleLostBytes: number;
}

interface Sample {
  readonly atMs: number;
  readonly statistics: Statistics;
}

const noRate = { millionInstructionsPerSecond: 0, load: 0, compiledShare: 0 };

/** Rates are taken over at least this long. */
const sampleMs = 500;

export class Guest {
  readonly id: string;
  readonly source: GuestSource;
  readonly console = new GuestConsole();
  readonly #host: Host;
  readonly #pool: MemoryPool;
  readonly #images: SharedImages;
  readonly #core: () => Promise<WebAssembly.Module>;
  readonly #createExecutor: () => ExecutorHandle;
  readonly #changed: () => void;
  #status: GuestStatus = { state: 'defined' };
  #life: GuestLife | undefined;
  #starting: AbortController | undefined;
  #ramBytes = 0;
  #last: GuestStats | undefined;
  #sample: Sample | undefined;
  #rate = noRate;

  constructor(
    id: string,
    source: GuestSource,
    around: {
      host: Host;
      pool: MemoryPool;
      images: SharedImages;
      core: () => Promise<WebAssembly.Module>;
      createExecutor: () => ExecutorHandle;
      changed: () => void;
    },
  ) {
    this.id = id;
    this.source = source;
    this.#host = around.host;
    this.#pool = around.pool;
    this.#images = around.images;
    this.#core = around.core;
    this.#createExecutor = around.createExecutor;
    this.#changed = around.changed;
  }

  get status(): GuestStatus {
    return this.#status;
  }

  /** It holds a memory or is about to. */
  get alive(): boolean {
    return ['starting', 'running', 'paused'].includes(this.#status.state);
  }

  /** Boots it. @throws VmmError; the same is then its status (`failed`). */
  async start(): Promise<void> {
    if (this.alive) throw new VmmError('wrongState', `${this.source.name} is ${this.#status.state} already.`);
    const starting = new AbortController();
    this.#starting = starting;
    this.#step('Preparing');
    try {
      const life = await this.#makeLife(starting.signal);
      this.#life = life;
      this.#step('Loading the kernel');
      this.#last = undefined;
      this.#sample = undefined;
      this.#rate = noRate;
      this.console.clear();
      await life.start();
      this.#setStatus({ state: 'running' });
      void life.ended.then((ending) => this.#onEnded(life, ending));
    } catch (error) {
      this.#life = undefined;
      const failure = error instanceof VmmError ? error : new VmmError('hostRefused', messageOf(error));
      if (starting.signal.aborted) this.#setStatus({ state: 'stopped', cause: { kind: 'killed' } });
      else this.#setStatus({ state: 'failed', code: failure.code, message: failure.message });
      this.console.rejectWaiters(failure.message);
      throw failure;
    } finally {
      this.#starting = undefined;
    }
  }

  async #makeLife(signal: AbortSignal): Promise<GuestLife> {
    if (this.#host.obstacle !== undefined) throw new VmmError('notIsolated', this.#host.obstacle);
    await this.#askConsent();
    // Before anything is downloaded: a refusal should not take a minute to come.
    const lease = this.#pool.acquire(this.source.memoryMiB * 2 ** 20);
    let executor: ExecutorHandle | undefined;
    try {
      // It loads its script while the images come.
      executor = this.#createExecutor();
      const [module, kernel, initrd] = await this.#fetchAll(signal);
      if (signal.aborted) throw new VmmError('wrongState', 'The guest was stopped while it started.');
      this.#ramBytes = lease.ramBytes;
      const definition: GuestDefinition = {
        name: this.source.name,
        ramBytes: lease.ramBytes,
        commandLine: this.source.commandLine,
        clock: this.source.clock ?? 'real',
        noReboot: false,
      };
      return new GuestLife({ lease, executor, module, definition, kernel, initrd, console: this.console });
    } catch (error) {
      executor?.terminate();
      // No executor has seen the memory: it is as clean as it was, and scrubbing it again costs little.
      void lease.release({ quiet: true });
      throw error;
    }
  }

  async #askConsent(): Promise<void> {
    const origin = new URL(this.#host.pageUrl).origin;
    const urls = [this.source.kernelUrl, this.source.initrdUrl].filter((url) => url !== undefined);
    const foreign = urls.filter((url) => /^https?:/.test(url) && new URL(url).origin !== origin);
    if (foreign.length === 0 || (await this.#host.confirmForeign(foreign))) return;
    throw new VmmError(
      'notAllowed',
      'It was not booted, because you did not agree to boot something from another site.',
    );
  }

  async #fetchAll(
    killed: AbortSignal,
  ): Promise<[WebAssembly.Module, SharedArrayBuffer, SharedArrayBuffer | undefined]> {
    // Whatever fails first ends the rest: nothing goes on loading, or tells of its progress, for a guest that failed.
    const fetching = new AbortController();
    const { signal } = fetching;
    killed.addEventListener('abort', () => fetching.abort());
    const progress = new Map<string, { received: number; total: number | undefined }>();
    const fetchOne = (what: string, url: string, expectedBytes: number | undefined) =>
      fetchImage({
        what,
        url,
        expectedBytes,
        signal,
        fetcher: this.#host.fetch,
        images: this.#images,
        progress: (received, total) => {
          if (signal.aborted) return;
          progress.set(what, { received, total });
          this.#step(`Fetching ${progressText(progress)}`);
        },
      });
    const { kernelUrl, kernelBytes, initrdUrl, initrdBytes } = this.source;
    const fetchInitrd = async (url: string) => {
      const bytes = await fetchOne('initrd', url, initrdBytes);
      const problem = await initrdProblem(bytes);
      if (problem !== undefined) throw new VmmError('badGuest', `The initrd ${url} ${problem}`);
      return bytes;
    };
    this.#step('Fetching the kernel');
    try {
      return await Promise.all([
        this.#core(),
        fetchOne('kernel', kernelUrl, kernelBytes),
        initrdUrl === undefined ? undefined : fetchInitrd(initrdUrl),
      ]);
    } catch (error) {
      fetching.abort();
      throw error;
    }
  }

  /** Resolves when the guest stands still. */
  async pause(): Promise<void> {
    const life = this.#requireLife('paused', 'running');
    await life.level(requestBit.pause, 'set');
    if (this.#status.state === 'running') this.#setStatus({ state: 'paused' });
  }

  async resume(): Promise<void> {
    const life = this.#requireLife('resumed', 'paused');
    await life.level(requestBit.pause, 'clear');
    this.#sample = undefined;
    if (this.#status.state === 'paused') this.#setStatus({ state: 'running' });
  }

  /** Presses the reset button. */
  reset(): void {
    this.#requireLife('reset', 'running').pulse(requestBit.reset);
  }

  /** Presses the power button: the guest is asked to shut down, and may take its time. */
  powerOff(): void {
    this.#requireLife('powered off', 'running').pulse(requestBit.powerButton);
  }

  /** @throws VmmError `wrongState`, `noRegion` */
  async region(address: bigint): Promise<string> {
    const result = await this.#requireLife('asked for compiled code', 'running', 'paused').region(address);
    if (!result.ok) throw new VmmError('noRegion', result.message);
    return result.text;
  }

  /** Ends it at once; nothing is written back. */
  async kill(): Promise<void> {
    this.#starting?.abort();
    await this.#life?.kill();
  }

  get stats(): GuestStats {
    const life = this.#life;
    if (life === undefined) {
      return this.#last ?? this.#statsOf(undefined);
    }
    const now: Sample = { atMs: this.#host.now(), statistics: readStatistics(life.control) };
    const before = this.#sample;
    if (before === undefined) this.#sample = now;
    else if (now.atMs - before.atMs >= sampleMs) {
      this.#rate = rateBetween(before, now);
      this.#sample = now;
    }
    return this.#statsOf(life);
  }

  #statsOf(life: GuestLife | undefined): GuestStats {
    const running = life !== undefined && this.#status.state === 'running';
    return {
      ...readStatistics(life?.control),
      ...(running ? this.#rate : noRate),
      memoryBytes: life?.memoryBytes ?? 0,
      ramBytes: this.#ramBytes,
      consoleLostBytes: this.console.lostBytes,
    };
  }

  #onEnded(life: GuestLife, ending: Ending): void {
    if (this.#life !== life) return;
    this.#last = { ...this.#statsOf(life), ...noRate, memoryBytes: 0 };
    this.#life = undefined;
    this.#setStatus(statusOf(ending));
    this.console.rejectWaiters(`${this.source.name} has ended: nothing more will be printed.`);
  }

  #requireLife(what: string, ...states: readonly GuestStatus['state'][]): GuestLife {
    if (this.#life === undefined || !states.includes(this.#status.state)) {
      throw new VmmError(
        'wrongState',
        `${this.source.name} is ${this.#status.state}: only a guest that is ${states.join(' or ')} can be ${what}.`,
      );
    }
    return this.#life;
  }

  #step(step: string): void {
    this.#setStatus({ state: 'starting', step });
  }

  #setStatus(status: GuestStatus): void {
    this.#status = status;
    this.#changed();
  }
}

function rateBetween(before: Sample, now: Sample): typeof noRate {
  const ms = now.atMs - before.atMs;
  const a = before.statistics;
  const b = now.statistics;
  const ran = b.instructions - a.instructions;
  const interpreted = b.tiers.interpreted - a.tiers.interpreted;
  const compiled = b.tiers.compiled - a.tiers.compiled;
  return {
    millionInstructionsPerSecond: Math.max(0, ran / ms / 1000),
    load: Math.min(1, Math.max(0, (b.busySeconds - a.busySeconds) / (ms / 1000))),
    compiledShare: compiled > 0 ? compiled / (compiled + interpreted) : 0,
  };
}

function statusOf(ending: Ending): GuestStatus {
  if (ending.kind === 'killed') return { state: 'stopped', cause: { kind: 'killed' } };
  if (ending.kind === 'executorDied') {
    return { state: 'crashed', cause: { kind: 'executorDied', message: ending.message } };
  }
  switch (ending.state) {
    case 'stopped':
      return { state: 'stopped', cause: { kind: 'killed' } };
    case 'poweredOff':
      return { state: 'stopped', cause: { kind: 'poweredOff' } };
    case 'debugExit':
      return { state: 'stopped', cause: { kind: 'debugExit', exitCode: ending.exitCode } };
    case 'resetStopped':
      return { state: 'stopped', cause: { kind: 'resetStopped' } };
    case 'crashed':
      return { state: 'crashed', cause: { kind: 'tripleFault', message: ending.message ?? '' } };
  }
}

function progressText(progress: ReadonlyMap<string, { received: number; total: number | undefined }>): string {
  const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
  return [...progress]
    .map(([what, { received, total }]) =>
      total === undefined ? `${what} ${mib(received)} MiB` : `${what} ${mib(received)} of ${mib(total)} MiB`,
    )
    .join(', ');
}
