/**
 * A guest as the coordinator keeps it: its definition, the state it is in (`lifecycle.ts`), and its present or last life.
 */
import { requestBit } from '../abi/control.ts';
import { maximumDisks } from '../abi/disk-ring.ts';
import type { GuestDefinition } from '../abi/executor.ts';
import { readMemoryStatistics, readStatistics, type MemoryStatistics, type Statistics } from '../abi/statistics.ts';
import { guestBalloon, setBalloon } from './balloon.ts';
import { fetchBootImages } from './boot-images.ts';
import type { GuestSource } from './catalogue.ts';
import { GuestConsole } from './console.ts';
import type { Definition } from './definition.ts';
import type { AttachedDisk } from './disk-attachment.ts';
import { Disks } from './disks.ts';
import { messageOf, sizeText, VmmError } from './errors.ts';
import { GuestLife, type Ending, type LifeCopy } from './guest-life.ts';
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

/** The life of a clone before it begins, and how it was made. */
interface CloneLife {
  readonly life: GuestLife;
  readonly copy: LifeCopy;
}

const noRate = { millionInstructionsPerSecond: 0, load: 0, compiledShare: 0 };

/** Rates are taken over at least this long. */
const sampleMs = 500;

/** What a guest needs of the coordinator. */
export interface GuestSurroundings {
  readonly host: Host;
  readonly pool: MemoryPool;
  readonly images: SharedImages;
  readonly disks: Disks;
  readonly core: () => Promise<WebAssembly.Module>;
  /** Whatever kind of hypervisor runs the guest. */
  /** An executor for a guest that starts, which is due what its definition says. */
  readonly createExecutor: () => ExecutorHandle;
  /** Another one for a guest that goes on, which is due what it was. */
  readonly replaceExecutor: () => ExecutorHandle;
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

  /** What of the budget is reserved for it. */
  get reservedBytes(): number {
    return this.#life?.lease.chargedBytes ?? 0;
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
    return this.#ask('start', () => this.#begin('fresh', (signal) => this.#makeLife(signal)));
  }

  /** Resolves when the guest stands still. */
  pause(): Promise<void> {
    return this.#ask('pause', () => this.#level('set', 'paused'));
  }

  resume(): Promise<void> {
    this.#life?.retryDisks();
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

  /**
   * Boots nothing, but begins as a copy of a guest that runs or is paused. Resolves when it has begun to run.
   * @throws VmmError; the same is then its status (`failed`)
   */
  async startAsCloneOf(source: Guest): Promise<LifeCopy> {
    let made: CloneLife | undefined;
    const isMade = () => {
      if (made === undefined) throw this.#wrongState('runs already.');
      return made;
    };
    const make = async (signal: AbortSignal) => {
      this.#step(`Copying ${source.definition.name}`, signal);
      await source.#ask('clone', async () => {
        made = await source.#cloneInto(this, signal);
      });
      return isMade().life;
    };
    await this.#ask('start', () => this.#begin('goOn', make));
    await isMade().life.hasRun();
    return isMade().copy;
  }

  /** Moves it to a memory that nobody has used, which has nothing but what the guest holds. @throws VmmError */
  async compact(): Promise<LifeCopy> {
    let copy: LifeCopy | undefined;
    await this.#ask('compact', async () => {
      copy = await this.#compact();
    });
    if (copy === undefined) throw this.#wrongState('was not compacted.');
    return copy;
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

  /** @param how the life begins: with power-on, or where its memory's guest was */
  async #begin(how: 'fresh' | 'goOn', make: (signal: AbortSignal) => Promise<GuestLife>): Promise<void> {
    const starting = new AbortController();
    this.#starting = starting;
    const { signal } = starting;
    this.#step('Preparing', signal);
    let life: GuestLife | undefined;
    try {
      const made = await make(signal);
      life = made;
      if (signal.aborted) throw new VmmError('wrongState', killedWhileStarting);
      this.#life = life;
      if (how === 'fresh') this.#step('Loading the kernel', signal);
      this.#last = undefined;
      this.#sample = undefined;
      this.#rate = noRate;
      this.console.clear();
      await life.start(how);
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
    const lease = await pool.lend(source.memoryMiB * 2 ** 20, defined.name);
    let executor: ExecutorHandle | undefined;
    const disks: AttachedDisk[] = [];
    try {
      // It loads its script while the images come.
      executor = createExecutor();
      const step = (text: string) => this.#step(text, signal);
      const boot = await fetchBootImages({ source, fetcher, images, core, killed: signal, step });
      if (signal.aborted) throw new VmmError('wrongState', killedWhileStarting);
      this.#ramBytes = lease.ramBytes;
      for (const reference of await this.#diskReferences(source)) disks.push(await this.#openDisk(reference));
      if (signal.aborted) throw new VmmError('wrongState', killedWhileStarting);
      const definition: GuestDefinition = {
        name: defined.name,
        ramBytes: lease.ramBytes,
        commandLine: source.commandLine,
        clock: source.clock ?? 'real',
        noReboot: false,
        balloon: guestBalloon,
        disks: disks.map((disk) => disk.definition),
      };
      const { replaced, replaceExecutor } = this.#around;
      return new GuestLife({
        lease,
        executor,
        createExecutor: replaceExecutor,
        replaced,
        definition,
        ...boot,
        console: this.console,
        disks,
      });
    } catch (error) {
      executor?.terminate();
      for (const disk of disks) await disk.release();
      // No executor has seen the memory: it is as clean as it was, and scrubbing it again costs little.
      void lease.release({ quiet: true });
      throw error;
    }
  }

  /** What is `/dev/vda` and on. @throws VmmError `badArgument`, `storage` */
  async #diskReferences({ disk }: GuestSource): Promise<readonly string[]> {
    const { disks = [] } = this.definition;
    if (disk === undefined) return disks;
    if (disks.length >= maximumDisks) {
      throw new VmmError('badArgument', `Besides its own disk this guest can have ${maximumDisks - 1}: take one away.`);
    }
    return [await this.#around.disks.ownDisk(this.id, disk), ...disks];
  }

  async #openDisk(reference: string): Promise<AttachedDisk> {
    const disk = await this.#around.disks.open(reference, this.definition.name, undefined);
    disk.onTrouble = ({ kind, message }) => {
      this.console.onLog?.(`Disk "${reference}": ${message}`);
      // Nothing is lost: its requests wait, and are tried again when it is resumed.
      if (kind === 'stall') this.pause().catch((error: unknown) => this.console.onLog?.(messageOf(error)));
    };
    return disk;
  }

  /** Makes the life of a clone of this guest. */
  async #cloneInto(clone: Guest, signal: AbortSignal): Promise<CloneLife> {
    const { host, pool } = this.#around;
    const life = this.#requireLifeWithoutDisks('cloned');
    const lease = await pool.lend(life.lease.ramBytes, clone.definition.name);
    const { createExecutor, replaceExecutor, replaced } = clone.#around;
    let executor: ExecutorHandle | undefined;
    try {
      growTo(lease.memory, life.memoryBytes);
      // It loads its script while the copy is made.
      executor = createExecutor();
      const job = host.beginCopy(life.lease.memory, lease.memory);
      const copy = await life.copyTo(job).finally(() => job.end());
      if (signal.aborted) throw new VmmError('wrongState', killedWhileStarting);
      clone.#ramBytes = lease.ramBytes;
      const options = { lease, executor, createExecutor: replaceExecutor, replaced, console: clone.console, disks: [] };
      return { copy, life: new GuestLife({ ...options, ...life.image }) };
    } catch (error) {
      executor?.terminate();
      // No executor has seen the memory, and the copier is done with it.
      void lease.release({ quiet: true });
      throw error;
    }
  }

  /** The storage worker serves a disk in the memory where it was attached, and one guest alone may write it. */
  #requireLifeWithoutDisks(what: string): GuestLife {
    const life = this.#requireLife();
    if (!life.hasDisks) return life;
    throw this.#wrongState(`has disks: only a guest without disks can be ${what}.`);
  }

  async #compact(): Promise<LifeCopy> {
    const { host, pool } = this.#around;
    const life = this.#requireLifeWithoutDisks('compacted');
    const lease = pool.acquireUnused(life.lease, this.definition.name);
    try {
      growTo(lease.memory, life.memoryBytes);
      return await life.moveTo(lease, (from, to) => host.beginCopy(from, to));
    } catch (error) {
      // Where the guest has moved and was lost, an executor may still look at it.
      void lease.release({ quiet: false });
      throw error;
    } finally {
      this.#sample = undefined;
      this.#around.changed();
    }
  }

  async #askConsent(source: GuestSource): Promise<void> {
    const { host } = this.#around;
    const origin = new URL(host.pageUrl).origin;
    const images = [source.kernelUrl, source.initrdUrl].filter((url) => url !== undefined);
    const urls = [...images, ...Disks.urlsOf(this.definition.disks ?? [], host.pageUrl)];
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

/** Gives a memory the size of another one. @throws VmmError `hostRefused` */
function growTo(memory: WebAssembly.Memory, bytes: number): void {
  const missing = Math.ceil((bytes - memory.buffer.byteLength) / 65536);
  if (missing <= 0) return;
  try {
    memory.grow(missing);
  } catch (error) {
    throw new VmmError('hostRefused', `The browser refused the ${sizeText(bytes)} of a copy (${messageOf(error)}).`);
  }
}
