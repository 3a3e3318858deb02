/**
 * One life of a guest, from power-on to its end: a memory, an executor, the control page and the console's pumps. It
 * ends exactly once, with an {@link Ending}, whatever happens: `ended` never rejects.
 */
import { ControlPage, requestBit } from '../abi/control.ts';
import {
  guestOverheadBytes,
  type FinalState,
  type GuestDefinition,
  type RegionResult,
  type RunResult,
} from '../abi/executor.ts';
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
  readonly module: WebAssembly.Module;
  readonly definition: GuestDefinition;
  readonly kernel: SharedArrayBuffer;
  readonly initrd: SharedArrayBuffer | undefined;
  readonly console: GuestConsole;
}

/** How long a guest has to stop by itself before its worker is terminated. */
const killGraceMs = 250;
/** How long an executor may take to acknowledge a request before that is an error. It should take under 50 ms. */
const acknowledgeLimitMs = 5000;

const delay = (milliseconds: number) =>
  new Promise<void>((resolve) => {
    setTimeout(resolve, milliseconds);
  });

export class GuestLife {
  readonly control: ControlPage;
  readonly ended: Promise<Ending>;
  readonly #options: LifeOptions;
  #resolveEnded: (ending: Ending) => void = () => {};
  #pump: { detach: () => Promise<void> } | undefined;
  #over = false;

  /** The executor is not asked for anything before {@link start}. */
  constructor(options: LifeOptions) {
    this.#options = options;
    this.control = new ControlPage(options.lease.memory.buffer);
    options.executor.connect?.(this.control);
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    void options.executor.died.then((message) => this.#end({ kind: 'executorDied', message }, false));
  }

  get memoryBytes(): number {
    return this.#options.lease.memory.buffer.byteLength;
  }

  /**
   * Has the executor lay the machine out, and sets the guest running.
   * @throws VmmError `badGuest` or `hostRefused` when the executor cannot start it; the life is over then.
   */
  async start(): Promise<void> {
    const { executor, lease, module, definition, kernel, initrd } = this.#options;
    const started = executor.api.start({
      memory: lease.memory,
      module,
      definition,
      kernel,
      ...(initrd === undefined ? {} : { initrd }),
      fresh: true,
    });
    const result = await Promise.race([
      started.catch((error: unknown) => ({ ok: false as const, error: died(messageOf(error)) })),
      this.ended.then((ending) => ({
        ok: false as const,
        error: died(ending.kind === 'executorDied' ? ending.message : 'it was stopped'),
      })),
    ]);
    if (!result.ok) {
      // An executor that answers in order has left the memory alone; one that died may be anywhere.
      await this.#end({ kind: 'killed' }, result.error.kind !== 'internal');
      const code = result.error.kind === 'internal' || result.error.kind === 'hostRefused' ? 'hostRefused' : 'badGuest';
      throw new VmmError(code, result.error.message);
    }
    const { rings } = result;
    if (Object.values(rings).some((address) => address >= guestOverheadBytes)) {
      await this.#end({ kind: 'killed' }, true);
      throw new VmmError('hostRefused', 'The executor put a ring where the page cannot see it: reload the page.');
    }
    this.#pump = this.#options.console.attach(lease.memory.buffer, rings, this.control);
    void this.#drive();
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

  /** The compiled code of an address. Interrupts the guest for the time that it takes. */
  region(address: bigint): Promise<RegionResult> {
    const over = { ok: false as const, message: 'The guest has ended before it could answer.' };
    if (this.#over) return Promise.resolve(over);
    const failed = (error: unknown) => ({
      ok: false as const,
      message: `The executor gave no answer: ${messageOf(error)}`,
    });
    const answer = this.#options.executor.api.region(address).catch(failed);
    this.control.request(requestBit.mail);
    return Promise.race([answer, this.ended.then(() => over)]);
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

  async #drive(): Promise<void> {
    while (!this.#over) {
      let result: RunResult;
      try {
        result = await this.#options.executor.api.run();
      } catch (error) {
        await this.#end({ kind: 'executorDied', message: messageOf(error) }, false);
        return;
      }
      switch (result.kind) {
        // Whoever set the mail bit has posted its messages before: they come before this next `run`.
        case 'mail':
          break;
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
    this.#options.executor.terminate();
    // After `ended` has been told: its listeners still read the counters.
    await delay(0);
    await this.#options.lease.release({ quiet });
  }
}

function died(message: string): { kind: 'internal'; message: string } {
  return { kind: 'internal', message: `The executor could not start the guest: ${message}` };
}
