/**
 * One life of a guest, from power-on to its end: a memory, an executor, the control page and the console's pumps. It
 * ends exactly once, with an {@link Ending}, whatever happens: `ended` never rejects.
 *
 * It may outlive its executor: where the guest was at rest when that died (halted, paused: `abi/tenure.ts`), a new one
 * goes on with it. It can move to another memory ({@link GuestLife.moveTo}), and be copied while it runs
 * ({@link GuestLife.copyTo}).
 */
import { ControlPage, guestState, requestBit } from '../abi/control.ts';
import {
  guestOverheadBytes,
  type FinalState,
  type GuestDefinition,
  type GuestRings,
  type RegionResult,
  type RunResult,
  type StartResult,
} from '../abi/executor.ts';
import { Tenure } from '../abi/tenure.ts';
import type { AttachedDisk } from './disk-attachment.ts';
import type { ConsolePump, GuestConsole } from './console.ts';
import { messageOf, VmmError } from './errors.ts';
import type { CopyResult } from './guest-copy.ts';
import type { CopyJob, ExecutorHandle } from './host.ts';
import { park, setLevel, type AskedLife } from './level-requests.ts';
import type { MemoryLease } from './memory-pool.ts';

export type Ending =
  | { readonly kind: 'ended'; readonly state: FinalState; readonly exitCode: number; readonly message?: string }
  /** The worker is gone, or broke its contract; what it was doing is lost. */
  | { readonly kind: 'executorDied'; readonly message: string }
  | { readonly kind: 'killed' };

export interface LifeOptions {
  readonly lease: MemoryLease;
  readonly executor: ExecutorHandle;
  /** Makes another executor, when one has died. */
  readonly createExecutor: () => ExecutorHandle;
  /** An executor died of `message`, and another one goes on with the guest. */
  readonly replaced: (message: string) => void;
  readonly module: WebAssembly.Module;
  readonly definition: GuestDefinition;
  readonly kernel: SharedArrayBuffer;
  readonly initrd: SharedArrayBuffer | undefined;
  readonly console: GuestConsole;
  /** In the order of the definition's. */
  readonly disks: readonly AttachedDisk[];
}

/** How long a guest has to stop by itself before its worker is terminated. */
const killGraceMs = 250;
/** Replacements in a row that may die before they have taken the guest up: one may be killed early, but none works. */
const fruitlessLimit = 4;

const delay = (milliseconds: number) =>
  new Promise<void>((resolve) => {
    setTimeout(resolve, milliseconds);
  });

/** A copy of a guest that ran. */
export interface LifeCopy extends CopyResult {
  /** From the request to stand still until the guest's executor said that it goes on; 0 for a guest that was paused. */
  readonly pausedMilliseconds: number;
}

export class GuestLife {
  readonly ended: Promise<Ending>;
  /** Without those that may be replaced: who keeps a memory that was dropped keeps the browser from taking it back. */
  readonly #options: Omit<LifeOptions, 'lease' | 'executor'>;
  #lease: MemoryLease;
  #control: ControlPage;
  #tenure: Tenure;
  #rings: GuestRings | undefined;
  /** What moves or copies the guest, one after the other; requests of other kinds wait. Never rejects. */
  #busy: Promise<void> = Promise.resolve();
  /** Somebody waits for the guest to be parked. */
  #onParked: (() => void) | undefined;
  #executor: ExecutorHandle;
  /** Of executors that have died: what became of the guest has been settled. */
  readonly #deaths = new WeakMap<ExecutorHandle, Promise<void>>();
  /** Tells those who wait for an answer of the present executor that none will come. */
  #abandoned = new AbortController();
  /** An executor was replaced: its worker may still be there for a moment, asleep in the memory. */
  #replaced = false;
  /** Replacements in a row that have died before they had taken the guest up. */
  #fruitless = 0;
  #resolveEnded: (ending: Ending) => void = () => {};
  #pump: ConsolePump | undefined;
  #over = false;

  /** The executor is not asked for anything before {@link start}. */
  constructor({ lease, executor, ...options }: LifeOptions) {
    this.#options = options;
    this.#executor = executor;
    this.#lease = lease;
    this.#control = new ControlPage(lease.memory.buffer);
    this.#control.bellChanged = (bell) => {
      for (const disk of options.disks) disk.route(bell);
    };
    executor.connect?.(this.#control);
    this.#tenure = new Tenure(lease.memory.buffer);
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    this.#watch(executor);
  }

  get control(): ControlPage {
    return this.#control;
  }

  get lease(): MemoryLease {
    return this.#lease;
  }

  get memoryBytes(): number {
    return this.#lease.memory.buffer.byteLength;
  }

  get hasDisks(): boolean {
    return this.#options.disks.length > 0;
  }

  /** What another guest needs to be like this one. */
  get image(): Pick<LifeOptions, 'module' | 'definition' | 'kernel' | 'initrd'> {
    const { module, definition, kernel, initrd } = this.#options;
    return { module, definition, kernel, initrd };
  }

  /**
   * Has the executor lay the machine out (`fresh`), or take up the one that the memory holds, and sets the guest running.
   * @throws VmmError `badGuest` or `hostRefused` when the executor cannot start it; the life is over then.
   */
  async start(how: 'fresh' | 'goOn' = 'fresh'): Promise<void> {
    const result = await this.#startExecutor(this.#executor, how);
    if (!result.ok) {
      // An executor that answers in order has left the memory alone; one that died may be anywhere.
      await this.#end({ kind: 'killed' }, result.error.kind !== 'internal');
      const code = result.error.kind === 'internal' || result.error.kind === 'hostRefused' ? 'hostRefused' : 'badGuest';
      throw new VmmError(code, result.error.message);
    }
    const { rings } = result;
    if (
      Object.values(rings)
        .flat()
        .some((address) => address >= guestOverheadBytes)
    ) {
      await this.#end({ kind: 'killed' }, true);
      throw new VmmError('hostRefused', 'The executor put a ring where the page cannot see it: reload the page.');
    }
    await this.#attachDisks(rings.disks);
    this.#rings = rings;
    this.#attachConsole(rings);
    void this.#drive(this.#executor);
  }

  /** @throws VmmError `hostRefused`; the life is over then */
  async #attachDisks(addresses: readonly number[]): Promise<void> {
    try {
      for (const [n, disk] of this.#options.disks.entries()) {
        const address = addresses[n];
        if (address === undefined) throw new Error('the executor has no place for it');
        await disk.attach(this.#lease.memory, address, this.control);
      }
    } catch (error) {
      await this.#end({ kind: 'killed' }, true);
      throw new VmmError('hostRefused', `A disk could not be attached: ${messageOf(error)}.`);
    }
  }

  /** Resolves when an executor has begun to run a guest that went on, or the life is over. */
  async hasRun(): Promise<void> {
    while (!this.#over && this.control.state === 'parked') {
      await Promise.race([this.control.changed('state', guestState.parked), this.ended]);
    }
  }

  #attachConsole(rings: GuestRings): void {
    this.#pump = this.#options.console.attach(this.#lease.memory.buffer, rings, this.control);
  }

  async #startExecutor(executor: ExecutorHandle, how: 'fresh' | 'goOn'): Promise<StartResult> {
    const { module, definition, kernel, initrd } = this.#options;
    const started = executor.api.start({
      memory: this.#lease.memory,
      module,
      definition,
      kernel,
      ...(initrd === undefined ? {} : { initrd }),
      fresh: how === 'fresh',
    });
    const over = this.ended.then((ending) => ({
      ok: false as const,
      error: died(ending.kind === 'executorDied' ? ending.message : 'it was stopped'),
    }));
    const failed = (error: unknown) => ({ ok: false as const, error: died(messageOf(error)) });
    const result = await Promise.race([started.catch(failed), over]);
    return this.#over ? over : result;
  }

  /** Sets or clears level bits; resolves when the executor has acted. @throws VmmError `timeout` */
  async level(bits: number, how: 'set' | 'clear'): Promise<void> {
    await this.#busy;
    return this.#level(bits, how);
  }

  #level(bits: number, how: 'set' | 'clear'): Promise<void> {
    return setLevel(this.control, bits, how, this.#asked);
  }

  get #asked(): AskedLife {
    return { isOver: () => this.#over, ended: this.ended };
  }

  /** Sets pulse bits: the executor acts on them when it next looks. */
  pulse(bits: number): void {
    void this.#busy.then(() => {
      if (!this.#over) this.control.request(bits);
    });
  }

  /** Requests that wait for room in the browser's storage are tried again. */
  retryDisks(): void {
    for (const disk of this.#options.disks) disk.retry();
  }

  /** The compiled code of an address. Interrupts the guest for the time that it takes. */
  async region(address: bigint): Promise<RegionResult> {
    await this.#busy;
    const none = (message: string) => ({ ok: false as const, message });
    const over = none('The guest has ended before it could answer.');
    if (this.#over) return over;
    const { signal } = this.#abandoned;
    const abandoned = new Promise<RegionResult>((resolve) => {
      signal.addEventListener('abort', () => resolve(none('The executor died before it could answer. Ask again.')));
    });
    const failed = (error: unknown) => none(`The executor gave no answer: ${messageOf(error)}`);
    const answer = this.#executor.api.region(address).catch(failed);
    this.control.request(requestBit.mail);
    return Promise.race([answer, abandoned, this.ended.then(() => over)]);
  }

  /** Ends the guest now: by request if its executor still answers, else without. */
  async kill(): Promise<void> {
    if (this.#over) return;
    if (this.#pump !== undefined) {
      this.control.request(requestBit.stop);
      await Promise.race([this.ended, delay(killGraceMs)]);
    }
    await this.#end({ kind: 'killed' }, false);
  }

  /**
   * Kills the executor's worker, or the processor that runs the guest or ran it last, as if it had died by itself. Resolves
   * when another one goes on with the guest, or the life is over.
   */
  async killExecutor(): Promise<void> {
    await this.#busy;
    const executor = this.#executor;
    if (executor.kill === undefined || (await executor.kill())) return this.#onDeath(executor, 'it was killed');
  }

  // Moves and copies.

  /** Lets nobody else move, copy or ask anything of the guest until it is done. */
  #alone<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#busy.then(act);
    this.#busy = done.then(
      () => undefined,
      () => undefined,
    );
    return done;
  }

  #requireAlive(what: string): void {
    if (this.#over) throw new VmmError('wrongState', `The guest ended before it was ${what}.`);
  }

  /**
   * Has the guest copied, as a clone of it. It runs meanwhile, but for a moment at the end.
   * @throws VmmError `wrongState` when it ends before that, `timeout`; whatever the copy fails of
   */
  copyTo(job: CopyJob): Promise<LifeCopy> {
    return this.#alone(async () => {
      this.#requireAlive('cloned');
      const { rings } = this.#requireStarted();
      await job.ahead();
      this.#requireAlive('cloned');
      const paused = (this.control.load('request') & requestBit.pause) !== 0;
      const start = performance.now();
      let result: CopyResult;
      try {
        if (!paused) await this.#level(requestBit.pause, 'set');
        result = await job.finish({ as: 'clone', rings });
        this.#requireAlive('cloned');
      } finally {
        if (!paused) await this.#level(requestBit.pause, 'clear');
      }
      return { ...result, pausedMilliseconds: paused ? 0 : performance.now() - start };
    });
  }

  /**
   * Moves the guest to another memory, which nobody has used, and drops its own. It stands still meanwhile, and is paused
   * or not as before.
   * @throws VmmError `wrongState` when it ends before that; whatever the copy fails of: the guest goes on where it was then
   */
  moveTo(lease: MemoryLease, copy: (from: WebAssembly.Memory, to: WebAssembly.Memory) => CopyJob): Promise<LifeCopy> {
    return this.#alone(async () => {
      const { rings } = this.#requireStarted();
      const start = performance.now();
      await this.#park();
      await this.#pump?.detach('moving');
      const job = copy(this.#lease.memory, lease.memory);
      try {
        const result = await job.finish({ as: 'moved' });
        this.#requireAlive('moved');
        this.#settleIn(lease);
        return { ...result, pausedMilliseconds: performance.now() - start };
      } finally {
        job.end();
        await this.#unpark(rings);
      }
    });
  }

  #settleIn(lease: MemoryLease): void {
    lease.takeOver(this.#lease);
    this.#lease = lease;
    this.#control = new ControlPage(lease.memory.buffer);
    this.#tenure = new Tenure(lease.memory.buffer);
    // Whoever may still sleep does so in the former memory.
    this.#replaced = false;
  }

  #requireStarted(): { readonly rings: GuestRings } {
    if (this.#rings === undefined || this.#over) throw new VmmError('wrongState', 'The guest does not run.');
    return { rings: this.#rings };
  }

  /** Takes the guest from its executor, which ends. */
  async #park(): Promise<void> {
    const parked = new Promise<void>((resolve) => {
      this.#onParked = resolve;
    });
    await park(this.control, parked, this.#asked).finally(() => (this.#onParked = undefined));
    this.#requireAlive('moved');
    this.#executor.terminate();
  }

  /** Another executor goes on with the guest, where it lies now. */
  async #unpark(rings: GuestRings): Promise<void> {
    if (this.#over) return;
    this.control.release(requestBit.park);
    this.#attachConsole(rings);
    const problem = await this.#continueElsewhere();
    if (problem === undefined) return;
    // It waits for what is under way, and so for this.
    void this.#end({ kind: 'executorDied', message: problem }, false);
    throw new VmmError('hostRefused', `The guest was lost when it was moved: ${problem}.`);
  }

  #watch(executor: ExecutorHandle): void {
    void executor.died.then((message) => this.#onDeath(executor, message));
  }

  /** Whoever learns of the same death waits for the same. */
  #onDeath(executor: ExecutorHandle, message: string): Promise<void> {
    const known = this.#deaths.get(executor);
    if (known !== undefined) return known;
    const handled = this.#bury(executor, message);
    this.#deaths.set(executor, handled);
    return handled;
  }

  async #bury(executor: ExecutorHandle, message: string): Promise<void> {
    if (this.#over || executor !== this.#executor) return;
    executor.terminate();
    if (this.#pump === undefined || !this.#claim()) return this.#end({ kind: 'executorDied', message }, false);
    const problem = await this.#replaceExecutor();
    if (problem !== undefined) await this.#end({ kind: 'executorDied', message: `${message}; ${problem}` }, false);
    else this.#options.replaced(message);
  }

  /** False where the guest cannot go on, or where replacements die before they have done anything: so would the next. */
  #claim(): boolean {
    const fruitless = this.#replaced && !this.#tenure.enteredSinceClaim;
    this.#fruitless = fruitless ? this.#fruitless + 1 : 0;
    return this.#fruitless < fruitlessLimit && this.#tenure.claim();
  }

  /** What went wrong, or undefined. */
  async #replaceExecutor(): Promise<string | undefined> {
    this.#replaced = true;
    this.#abandoned.abort();
    this.#abandoned = new AbortController();
    return this.#continueElsewhere();
  }

  /** What went wrong, or undefined. */
  async #continueElsewhere(): Promise<string | undefined> {
    try {
      const next = this.#options.createExecutor();
      this.#executor = next;
      next.connect?.(this.control);
      const result = await this.#startExecutor(next, 'goOn');
      if (!result.ok) return `another one could not go on: ${result.error.message}`;
      this.#watch(next);
      void this.#drive(next);
      return undefined;
    } catch (error) {
      return `another one could not be made: ${messageOf(error)}`;
    }
  }

  async #drive(executor: ExecutorHandle): Promise<void> {
    while (!this.#over && executor === this.#executor) {
      let result: RunResult;
      try {
        result = await executor.api.run();
      } catch (error) {
        await this.#onDeath(executor, errorText(error));
        return;
      }
      switch (result.kind) {
        // Whoever set the mail bit has posted its messages before: they come before this next `run`.
        case 'mail':
          break;
        case 'replaced':
          return;
        case 'parked':
          if (this.#onParked !== undefined) {
            this.#onParked();
            this.#onParked = undefined;
            return;
          }
          await this.#end({ kind: 'ended', state: 'stopped', exitCode: 0, message: 'It was parked.' }, true);
          return;
        case 'ended':
          await this.#end(result, true);
          return;
      }
    }
  }

  /** @param quiet the executor has returned and will not touch the memory again */
  async #end(ending: Ending, quiet: boolean): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    await this.#pump?.detach();
    this.#resolveEnded(ending);
    this.#executor.terminate();
    // After `ended` has been told: its listeners still read the counters.
    await delay(0);
    const left = await Promise.all(this.#options.disks.map((disk) => disk.release()));
    // The copier may still look at the memory.
    await this.#busy;
    await this.#lease.release({ quiet: quiet && !this.#replaced && !left.includes(false) });
  }
}

function died(message: string): { kind: 'internal'; message: string } {
  return { kind: 'internal', message: `The executor could not start the guest: ${message}` };
}

/** With the kind of error, which tells a trap of the core. */
function errorText(error: unknown): string {
  return error instanceof Error && error.name !== 'Error' ? `${error.name}: ${error.message}` : messageOf(error);
}
