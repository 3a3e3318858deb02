/**
 * A guest's seat: what its life knows as its executor, whichever kind of hypervisor runs it. Under it the guest can be
 * taken from a worker of its own to the processors of bare-metal mode and back, while it runs.
 */
import { requestBit, type ControlPage } from '../../abi/control.ts';
import type { ExecutorApi, RunResult, StartOptions, StartResult } from '../../abi/executor.ts';
import type { Bell } from '../../abi/storage.ts';
import type { ExecutorHandle } from '../host.ts';

/** Something that can run the guest. */
export interface Place extends ExecutorHandle {
  /** Also rings where the guest's doorbell alone wakes nobody. */
  readonly alsoRings?: (urgent: boolean) => void;
  /** The same, for other threads. */
  readonly bell?: Bell;
}

interface Move {
  readonly makePlace: () => Place;
  readonly done: () => void;
}

export class Seat implements ExecutorHandle {
  readonly api: ExecutorApi;
  readonly died: Promise<string>;
  #place: Place;
  #control: ControlPage | undefined;
  #options: StartOptions | undefined;
  #started: Promise<unknown> | undefined;
  #move: Move | undefined;
  #state: 'new' | 'running' | 'over' = 'new';
  #resolveDied: (message: string) => void = () => undefined;

  constructor(place: Place) {
    this.#place = place;
    this.died = new Promise((resolve) => {
      this.#resolveDied = resolve;
    });
    this.api = {
      start: (options) => this.#start(options),
      run: () => this.#run(),
      region: (address) => this.#place.api.region(address),
    };
    this.#watch(place);
  }

  /** What runs the guest at present. */
  get place(): Place {
    return this.#place;
  }

  get kill(): (() => Promise<boolean>) | undefined {
    const { place } = this;
    return place.kill && (() => place.kill?.() ?? Promise.resolve(false));
  }

  connect(control: ControlPage): void {
    this.#control = control;
    this.#hangBell(control, this.#place);
  }

  #hangBell(control: ControlPage, { alsoRings, bell }: Place): void {
    control.alsoRings = alsoRings;
    control.bell = bell;
    control.bellChanged?.(bell);
  }

  terminate(): void {
    this.#state = 'over';
    this.#place.terminate();
    this.#finishMove();
  }

  get over(): boolean {
    return this.#state === 'over';
  }

  /** Another place is to run the guest; resolves when it does, or when there is nothing to be moved any more. */
  async moveTo(makePlace: () => Place): Promise<void> {
    // Whatever is under way comes first: a start, another move.
    while (this.#move !== undefined) await this.#moved();
    await this.#started;
    if (this.#state === 'over') return;
    if (this.#options === undefined) {
      this.#place.terminate();
      this.#take(makePlace());
      return;
    }
    const moved = this.#moved();
    this.#move = { makePlace, done: this.#moveDone };
    this.#control?.request(requestBit.park);
    await moved;
  }

  #moveDone: () => void = () => undefined;
  #movedPromise: Promise<void> | undefined;

  #moved(): Promise<void> {
    this.#movedPromise ??= new Promise((resolve) => {
      this.#moveDone = () => {
        this.#movedPromise = undefined;
        resolve();
      };
    });
    return this.#movedPromise;
  }

  #finishMove(): void {
    const move = this.#move;
    this.#move = undefined;
    move?.done();
  }

  #take(place: Place): void {
    this.#place = place;
    if (this.#control !== undefined) this.#hangBell(this.#control, place);
    this.#watch(place);
  }

  #watch(place: Place): void {
    void place.died.then((message) => {
      if (this.#place === place) this.#resolveDied(message);
    });
  }

  async #start(options: StartOptions): Promise<StartResult> {
    const started = this.#place.api.start(options);
    this.#started = started.catch(() => undefined);
    const result = await started;
    if (result.ok) this.#options = { ...options, fresh: false };
    return result;
  }

  async #run(): Promise<RunResult> {
    this.#state = 'running';
    for (;;) {
      const result = await this.#place.api.run().catch((error: unknown) => {
        this.#finishMove();
        throw error;
      });
      if (result.kind === 'mail') return result;
      if (result.kind !== 'parked' || this.#move === undefined) {
        this.#state = 'over';
        this.#finishMove();
        return result;
      }
      await this.#change(this.#move);
    }
  }

  /** Everything of the guest is in its memory: the next place goes on there. */
  async #change({ makePlace }: Move): Promise<void> {
    const { place: old } = this;
    this.#control?.release(requestBit.park);
    try {
      const next = makePlace();
      this.#take(next);
      old.terminate();
      if (this.#options === undefined) throw new Error('it was moved before it had started');
      const result = await next.api.start(this.#options);
      if (!result.ok) throw new Error(result.error.message);
    } finally {
      this.#finishMove();
    }
  }
}
