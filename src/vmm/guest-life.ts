/**
 * One life of a guest, from power-on to its end: a memory, an executor, the control page and the console's pumps. It
 * ends exactly once, with an {@link Ending}, whatever happens: `ended` never rejects.
 *
 * It may outlive its executor: where the guest was at rest when that died (halted, paused: `abi/tenure.ts`), a new one
 * goes on with it.
 */
import { ControlPage, requestBit } from '../abi/control.ts';
import {
  guestOverheadBytes,
  type FinalState,
  type GuestDefinition,
  type RegionResult,
  type RunResult,
  type StartResult,
} from '../abi/executor.ts';
import { Tenure } from '../abi/tenure.ts';
import type { AttachedDisk } from './disk-attachment.ts';
import { type GuestConsole } from './console.ts';
import { messageOf, VmmError } from './errors.ts';
import type { ExecutorHandle } from './host.ts';
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
/** How long an executor may take to acknowledge a request before that is an error. It should take under 50 ms. */
const acknowledgeLimitMs = 5000;

/** Replacements in a row that may die before they have taken the guest up: one may be killed early, but none works. */
const fruitlessLimit = 4;

const delay = (milliseconds: number) =>
  new Promise<void>((resolve) => {
    setTimeout(resolve, milliseconds);
  });

export class GuestLife {
  readonly control: ControlPage;
  readonly ended: Promise<Ending>;
  readonly #options: LifeOptions;
  readonly #tenure: Tenure;
  #executor: ExecutorHandle;
  /** Tells those who wait for an answer of the present executor that none will come. */
  #abandoned = new AbortController();
  /** An executor was replaced: its worker may still be there for a moment, asleep in the memory. */
  #replaced = false;
  /** Replacements in a row that have died before they had taken the guest up. */
  #fruitless = 0;
  #resolveEnded: (ending: Ending) => void = () => {};
  #pump: { detach: () => Promise<void> } | undefined;
  #over = false;

  /** The executor is not asked for anything before {@link start}. */
  constructor(options: LifeOptions) {
    this.#options = options;
    this.#executor = options.executor;
    this.control = new ControlPage(options.lease.memory.buffer);
    this.control.bellChanged = (bell) => {
      for (const disk of options.disks) disk.route(bell);
    };
    options.executor.connect?.(this.control);
    this.#tenure = new Tenure(options.lease.memory.buffer);
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    this.#watch(options.executor);
  }

  get memoryBytes(): number {
    return this.#options.lease.memory.buffer.byteLength;
  }

  /**
   * Has the executor lay the machine out, and sets the guest running.
   * @throws VmmError `badGuest` or `hostRefused` when the executor cannot start it; the life is over then.
   */
  async start(): Promise<void> {
    const result = await this.#startExecutor(this.#executor, 'fresh');
    if (!result.ok) {
      // An executor that answers in order has left the memory alone; one that died may be anywhere.
      await this.#end({ kind: 'killed' }, result.error.kind !== 'internal');
      const code = result.error.kind === 'internal' || result.error.kind === 'hostRefused' ? 'hostRefused' : 'badGuest';
      throw new VmmError(code, result.error.message);
    }
    const { rings } = result;
    const { lease } = this.#options;
    if (
      Object.values(rings)
        .flat()
        .some((address) => address >= guestOverheadBytes)
    ) {
      await this.#end({ kind: 'killed' }, true);
      throw new VmmError('hostRefused', 'The executor put a ring where the page cannot see it: reload the page.');
    }
    await this.#attachDisks(rings.disks);
    this.#pump = this.#options.console.attach(lease.memory.buffer, rings, this.control);
    void this.#drive(this.#executor);
  }

  /** @throws VmmError `hostRefused`; the life is over then */
  async #attachDisks(addresses: readonly number[]): Promise<void> {
    const { disks, lease } = this.#options;
    try {
      for (const [n, disk] of disks.entries()) {
        const address = addresses[n];
        if (address === undefined) throw new Error('the executor has no place for it');
        await disk.attach(lease.memory, address, this.control);
      }
    } catch (error) {
      await this.#end({ kind: 'killed' }, true);
      throw new VmmError('hostRefused', `A disk could not be attached: ${messageOf(error)}.`);
    }
  }

  async #startExecutor(executor: ExecutorHandle, how: 'fresh' | 'goOn'): Promise<StartResult> {
    const { lease, module, definition, kernel, initrd } = this.#options;
    const started = executor.api.start({
      memory: lease.memory,
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
    const serial = how === 'set' ? this.control.request(bits) : this.control.release(bits);
    const deadline = Date.now() + acknowledgeLimitMs;
    for (;;) {
      const seen = this.control.load('acknowledgeSerial');
      if (this.#over || this.control.acknowledged(serial)) return;
      const left = deadline - Date.now();
      if (left <= 0) throw new VmmError('timeout', 'The guest\'s executor does not answer. "Kill" will end it.');
      await Promise.race([this.control.changed('acknowledgeSerial', seen, left), this.ended]);
    }
  }

  /** Sets pulse bits: the executor acts on them when it next looks. */
  pulse(bits: number): void {
    if (!this.#over) this.control.request(bits);
  }

  /** Requests that wait for room in the browser's storage are tried again. */
  retryDisks(): void {
    for (const disk of this.#options.disks) disk.retry();
  }

  /** The compiled code of an address. Interrupts the guest for the time that it takes. */
  region(address: bigint): Promise<RegionResult> {
    const none = (message: string) => ({ ok: false as const, message });
    const over = none('The guest has ended before it could answer.');
    if (this.#over) return Promise.resolve(over);
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
   * Kills the executor's worker, as if it had died by itself. Resolves when another one goes on with the guest, or the
   * life is over.
   */
  killExecutor(): Promise<void> {
    return this.#onDeath(this.#executor, 'it was killed');
  }

  #watch(executor: ExecutorHandle): void {
    void executor.died.then((message) => this.#onDeath(executor, message));
  }

  async #onDeath(executor: ExecutorHandle, message: string): Promise<void> {
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
    await this.#options.lease.release({ quiet: quiet && !this.#replaced && !left.includes(false) });
  }
}

function died(message: string): { kind: 'internal'; message: string } {
  return { kind: 'internal', message: `The executor could not start the guest: ${message}` };
}

/** With the kind of error, which tells a trap of the core. */
function errorText(error: unknown): string {
  return error instanceof Error && error.name !== 'Error' ? `${error.name}: ${error.message}` : messageOf(error);
}
