/**
 * A guest as the coordinator keeps it: its definition, the state it is in (`lifecycle.ts`), and its present or last life.
 */
import { requestBit } from '../abi/control.ts';
import type { GuestDefinition } from '../abi/executor.ts';
import { readMemoryStatistics, readStatistics, type MemoryStatistics, type Statistics } from '../abi/statistics.ts';
import { guestBalloon, setBalloon } from './balloon.ts';
import { fetchBootImages } from './boot-images.ts';
import type { GuestSource } from './catalogue.ts';
import { GuestConsole } from './console.ts';
import type { Definition } from './definition.ts';
import { messageOf, VmmError } from './errors.ts';
import { GuestLife, type Ending } from './guest-life.ts';
import { statusOf, type GuestStatus } from './guest-status.ts';
import type { ExecutorHandle, Host } from './host.ts';
import {
  answerTo,
  isAlive,
  refusalText,
  stateAfter,
  type LifecycleOutcome,
  type LifecycleRequest,
  type LifecycleState,
} from './lifecycle.ts';
import type { MemoryPool } from './memory-pool.ts';
import type { MonitoredGuest } from './monitor/monitor.ts';
import type { SharedImages } from './shared-images.ts';

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
  /** RAM that the guest sees; reserved for it, whatever it touches. */
  readonly ramBytes: number;
  /** What of its RAM holds something, and what it gave up. */
  readonly memory: MemoryStatistics;
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

/** What a guest needs of the coordinator. */
export interface GuestSurroundings {
  readonly host: Host;
  readonly pool: MemoryPool;
  readonly images: SharedImages;
  readonly core: () => Promise<WebAssembly.Module>;
  /** Whatever kind of hypervisor runs the guest. */
  readonly createExecutor: () => ExecutorHandle;
  /** Where what the definition names lies. */
  readonly source: (definition: Definition) => Promise<GuestSource>;
  readonly fetch: typeof fetch;
  /** {@link Guest.status} has changed. */
  readonly changed: () => void;
  /** An executor died of `message`, and another one goes on with the guest. */
  readonly replaced: (message: string) => void;
}

const killedWhileStarting = 'The guest was stopped while it started.';

export class Guest {
  readonly id: string;
  /** What it is; a change counts from the next start on. */
  definition: Definition;
  readonly console = new GuestConsole();
  readonly #around: GuestSurroundings;
  #state: LifecycleState = 'defined';
  #status: GuestStatus = { state: 'defined' };
  /** What was asked for last and takes its time; has come to an end when the state is none of passage. */
  #underWay: Promise<void> = Promise.resolve();
  #life: GuestLife | undefined;
  #starting: AbortController | undefined;
  #ramBytes = 0;
  #last: GuestStats | undefined;
  #sample: Sample | undefined;
  #rate = noRate;

  constructor(id: string, definition: Definition, around: GuestSurroundings) {
    this.id = id;
    this.definition = definition;
    this.#around = around;
  }

  get status(): GuestStatus {
    return this.#status;
  }

  /** It holds a memory or is about to. */
  get alive(): boolean {
    return isAlive(this.#state);
  }

  /** What the monitor reads of it. */
  get monitored(): MonitoredGuest {
    const { out, in: given } = this.console.traffic;
    return {
      id: this.id,
      name: this.definition.name,
      status: this.#status,
      // While it starts its memory is being laid out.
      control: this.#status.state === 'starting' ? undefined : this.#life?.control,
      ramBytes: this.#ramBytes,
      consoleOut: out,
      consoleIn: given,
    };
  }

  // Requests.

  /** Boots it. @throws VmmError; the same is then its status (`failed`). */
  async start(): Promise<void> {
    if (this.definition.template) throw this.#wrongState('is a template: duplicate it, and start the copy.');
    return this.#ask('start', () => this.#boot());
  }

  /** Resolves when the guest stands still. */
  pause(): Promise<void> {
    return this.#ask('pause', () => this.#level('set', 'paused'));
  }

  resume(): Promise<void> {
    return this.#ask('resume', () => this.#level('clear', 'resumed'));
  }

  /** Presses the reset button. */
  reset(): Promise<void> {
    return this.#ask('reset', () => this.#pulse(requestBit.reset));
  }

  /** Presses the power button: the guest is asked to shut down, and may take its time. */
  powerOff(): Promise<void> {
    return this.#ask('powerOff', () => this.#pulse(requestBit.powerButton));
  }

  /** Ends it at once; nothing is written back. */
  kill(): Promise<void> {
    return this.#ask('kill', () => this.#kill());
  }

  /** Kills it if it runs; it answers no request afterwards. */
  remove(): Promise<void> {
    return this.#ask('remove', () => Promise.resolve());
  }

  /** Kills the worker that runs it. @throws VmmError `wrongState` */
  async killExecutor(): Promise<void> {
    await this.#requireLife().killExecutor();
  }

  /** Wants so many MiB in the guest's balloon. @throws VmmError `wrongState`, `badArgument` */
  setBalloon(sizeMiB: number): void {
    setBalloon(this.#requireLife().control, this.#ramBytes, sizeMiB);
  }

  /** Asks the guest's driver what memory it has and uses: see {@link GuestStats.memory} for the answer. */
  askForMemoryStatistics(): void {
    this.#requireLife().control.askForBalloonStatistics();
  }

  /** @throws VmmError `wrongState`, `noRegion` */
  async region(address: bigint): Promise<string> {
    const result = await this.#requireLife().region(address);
    if (!result.ok) throw new VmmError('noRegion', result.message);
    return result.text;
  }

  /** Answers a request as {@link answerTo} says; `act` begins what is to be done, and resolves when it is. */
  async #ask(request: LifecycleRequest, act: () => Promise<void>): Promise<void> {
    for (;;) {
      const answer = answerTo(this.#state, request);
      switch (answer.kind) {
        case 'already':
          return;
        case 'act':
          return act();
        case 'go':
          this.#state = answer.to;
          this.#underWay = act();
          return this.#underWay;
        case 'join':
          return this.#underWay;
        case 'wait':
          // Whoever asked for that learns of its failure; here only what it leads to counts.
          await this.#underWay.catch(() => undefined);
          break;
        case 'killFirst':
          await this.kill();
          break;
        case 'refuse':
          throw this.#wrongState(refusalText(this.#state, request, answer.advice));
      }
    }
  }

  #wrongState(rest: string): VmmError {
    return new VmmError('wrongState', `${this.definition.name} ${rest}`);
  }

  #requireLife(): GuestLife {
    if (this.#life !== undefined && this.#starting === undefined) return this.#life;
    throw this.#wrongState(`is ${this.#status.state}: only a guest that is running or paused can do that.`);
  }

  // What is done about them.

  async #boot(): Promise<void> {
    const starting = new AbortController();
    this.#starting = starting;
    const { signal } = starting;
    this.#step('Preparing', signal);
    let life: GuestLife | undefined;
    try {
      const made = await this.#makeLife(signal);
      life = made;
      if (signal.aborted) throw new VmmError('wrongState', killedWhileStarting);
      this.#life = life;
      this.#step('Loading the kernel', signal);
      this.#last = undefined;
      this.#sample = undefined;
      this.#rate = noRate;
      this.console.clear();
      await life.start();
      void life.ended.then((ending) => this.#onEnded(made, ending));
      if (!this.#settle('started', { state: 'running' })) throw new VmmError('wrongState', killedWhileStarting);
      this.#starting = undefined;
    } catch (error) {
      const failure = error instanceof VmmError ? error : new VmmError('hostRefused', messageOf(error));
      if (signal.aborted) {
        // Who has killed it says so, and may have started it again; the life may have come too late for that.
        await life?.kill();
        throw new VmmError('wrongState', killedWhileStarting);
      }
      this.#starting = undefined;
      this.#life = undefined;
      this.#settle('failed', { state: 'failed', code: failure.code, message: failure.message });
      this.console.rejectWaiters(failure.message);
      throw failure;
    }
  }

  async #makeLife(signal: AbortSignal): Promise<GuestLife> {
    const { host, pool, images, core, createExecutor, fetch: fetcher } = this.#around;
    if (host.obstacle !== undefined) throw new VmmError('notIsolated', host.obstacle);
    const { definition: defined } = this;
    const source = await this.#around.source(defined);
    await this.#askConsent(source);
    if (signal.aborted) throw new VmmError('wrongState', killedWhileStarting);
    // Before anything is downloaded: a refusal should not take a minute to come.
    const lease = pool.acquire(source.memoryMiB * 2 ** 20);
    let executor: ExecutorHandle | undefined;
    try {
      // It loads its script while the images come.
      executor = createExecutor();
      const step = (text: string) => this.#step(text, signal);
      const boot = await fetchBootImages({ source, fetcher, images, core, killed: signal, step });
      if (signal.aborted) throw new VmmError('wrongState', killedWhileStarting);
      this.#ramBytes = lease.ramBytes;
      const definition: GuestDefinition = {
        name: defined.name,
        ramBytes: lease.ramBytes,
        commandLine: source.commandLine,
        clock: source.clock ?? 'real',
        noReboot: false,
        balloon: guestBalloon,
      };
      const { replaced } = this.#around;
      return new GuestLife({ lease, executor, createExecutor, replaced, definition, ...boot, console: this.console });
    } catch (error) {
      executor?.terminate();
      // No executor has seen the memory: it is as clean as it was, and scrubbing it again costs little.
      void lease.release({ quiet: true });
      throw error;
    }
  }

  async #askConsent(source: GuestSource): Promise<void> {
    const { host } = this.#around;
    const origin = new URL(host.pageUrl).origin;
    const urls = [source.kernelUrl, source.initrdUrl].filter((url) => url !== undefined);
    const foreign = urls.filter((url) => /^https?:/.test(url) && new URL(url).origin !== origin);
    if (foreign.length === 0 || (await host.confirmForeign(foreign))) return;
    throw new VmmError(
      'notAllowed',
      'It was not booted, because you did not agree to boot something from another site.',
    );
  }

  /** Pauses or resumes. What the executor does not answer is taken back, so that the guest is what its state says. */
  async #level(how: 'set' | 'clear', outcome: 'paused' | 'resumed'): Promise<void> {
    const life = this.#requireLife();
    try {
      await life.level(requestBit.pause, how);
    } catch (error) {
      if (how === 'set') life.control.release(requestBit.pause);
      else life.control.request(requestBit.pause);
      this.#settle('unanswered', this.#status);
      throw error;
    }
    this.#sample = undefined;
    if (this.#settle(outcome, { state: outcome === 'paused' ? 'paused' : 'running' })) return;
    throw this.#wrongState(`ended before it was ${outcome}.`);
  }

  #pulse(bits: number): Promise<void> {
    this.#requireLife().pulse(bits);
    return Promise.resolve();
  }

  async #kill(): Promise<void> {
    this.#starting?.abort();
    try {
      await this.#life?.kill();
    } finally {
      // One that was starting has no life yet, or its life tells nobody.
      this.#starting = undefined;
      this.#life = undefined;
      if (this.#settle('stopped', { state: 'stopped', cause: { kind: 'killed' } })) {
        this.console.rejectWaiters(`${this.definition.name} was stopped.`);
      }
    }
  }

  get stats(): GuestStats {
    const life = this.#life;
    if (life === undefined) {
      return this.#last ?? this.#statsOf(undefined);
    }
    const now: Sample = { atMs: this.#around.host.now(), statistics: readStatistics(life.control) };
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
      memory: readMemoryStatistics(life?.control),
      consoleLostBytes: this.console.lostBytes,
    };
  }

  #onEnded(life: GuestLife, ending: Ending): void {
    if (this.#life !== life) return;
    this.#last = { ...this.#statsOf(life), ...noRate, memoryBytes: 0, memory: readMemoryStatistics(undefined) };
    this.#life = undefined;
    this.#starting = undefined;
    const status = statusOf(ending);
    this.#settle(status.state === 'crashed' ? 'crashed' : 'stopped', status);
    this.console.rejectWaiters(`${this.definition.name} has ended: nothing more will be printed.`);
  }

  #step(step: string, signal: AbortSignal): void {
    if (!signal.aborted) this.#setStatus({ state: 'starting', step });
  }

  /** Something has come to an end. False: it no longer mattered. */
  #settle(outcome: LifecycleOutcome, status: GuestStatus): boolean {
    const next = stateAfter(this.#state, outcome);
    if (next === undefined) return false;
    this.#state = next;
    this.#setStatus(status);
    return true;
  }

  #setStatus(status: GuestStatus): void {
    this.#status = status;
    this.#around.changed();
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
