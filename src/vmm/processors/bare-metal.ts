/**
 * Bare-metal mode from the coordinator's side: the host page, the processors' workers, and the guests on them. It adds and
 * removes; who runs where the processors decide among themselves (docs/adr/0015).
 */
import { HostPage, maximumVcpus, vcpuState, type TraceEntry } from '../../abi/host-page.ts';
import type { Bell } from '../../abi/storage.ts';
import type { RegionResult, RunResult, StartOptions, StartResult } from '../../abi/executor.ts';
import type { ProcessorEvent } from '../../abi/processor.ts';
import { Tenure } from '../../abi/tenure.ts';
import { messageOf, VmmError } from '../errors.ts';
import type { ProcessorHandle } from '../host.ts';
import type { Place } from './seat.ts';
import { enterShare, type Share } from './share.ts';

export interface BareMetalOptions {
  readonly createProcessor: (name: string) => ProcessorHandle;
  readonly timeSliceMs: number;
}

interface Tenant {
  readonly options: StartOptions;
  /** Settles the guest's {@link BareGuest.run}. */
  settle: { resolve: (result: RunResult) => void; reject: (error: Error) => void } | undefined;
  readonly die: (message: string) => void;
  /** A processor died that had it. */
  lost: boolean;
}

export class BareMetal {
  readonly page: HostPage;
  readonly #createProcessor: BareMetalOptions['createProcessor'];
  readonly #workers = new Map<number, ProcessorHandle>();
  /** Workers that are known to be gone. */
  readonly #dead = new WeakSet<ProcessorHandle>();
  /** Processors that the user grants. */
  #wanted = 0;
  /** Resolves when a worker has left, or has died and is buried; of each number. */
  readonly #departures = new Map<number, Promise<void>>();
  readonly #tenants = new Map<number, Tenant>();
  /** Guests that have been added. */
  #added = 0;
  /** Vcpu numbers that are taken, though perhaps no tenant is there yet. */
  readonly #taken = new Set<number>();
  /** Additions and removals come one after the other: each processor knows the same guests. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: BareMetalOptions) {
    this.page = HostPage.create(options.timeSliceMs);
    this.#createProcessor = options.createProcessor;
  }

  nowNs(): number {
    return performance.now() * 1e6;
  }

  #inOrder<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#last.then(act);
    this.#last = done.catch(() => undefined);
    return done;
  }

  // Processors.

  /** Grants so many processors. @throws VmmError `hostRefused` */
  setCount(count: number): Promise<void> {
    return this.#inOrder(async () => {
      this.#wanted = count;
      await this.#employMissing();
      this.#grant(2 ** count - 1);
      // Until they are gone their numbers are not free.
      await Promise.all([...this.#departures].flatMap(([n, left]) => (n < count ? [] : [left])));
    });
  }

  async #employMissing(): Promise<void> {
    for (let n = 0; n < this.#wanted; n++) if (!this.#workers.has(n)) await this.#employ(n);
  }

  #grant(mask: number): void {
    this.page.header.granted = mask | 0;
    this.page.sharesChanged();
    for (const n of this.#workers.keys()) this.page.ring(n);
  }

  setTimeSlice(milliseconds: number): void {
    this.page.header.timeSliceNs = milliseconds * 1e6;
  }

  async #employ(n: number): Promise<void> {
    const worker = this.#createProcessor(`processor ${n}`);
    const { port1, port2 } = new MessageChannel();
    port1.addEventListener('message', ({ data }: MessageEvent<ProcessorEvent>) => this.#onEvent(data));
    port1.start();
    try {
      this.page.use('executor', n);
      await worker.api.join({
        page: this.page.buffer,
        executor: n,
        originMs: performance.timeOrigin,
        events: port2,
      });
      for (const [vcpu, { options }] of this.#tenants) await this.#introduce(worker, n, vcpu, options);
    } catch (error) {
      worker.terminate('it could not be started');
      port1.close();
      throw new VmmError('hostRefused', `Processor ${n} could not be started: ${messageOf(error)}.`);
    }
    this.#workers.set(n, worker);
    void worker.died.then(() => this.#dead.add(worker));
    // Before it runs: it leaves when it is not granted.
    this.#grant(this.page.header.granted | (1 << n));
    const gone = (): void => {
      port1.close();
      worker.terminate('it is no longer granted');
      this.#workers.delete(n);
      this.#departures.delete(n);
    };
    // What one that died has told before is still to come: its port stays open.
    this.#departures.set(
      n,
      worker.api.run().then(gone, (error: unknown) => this.#onDeath(n, worker, messageOf(error))),
    );
  }

  async #introduce(worker: ProcessorHandle, n: number, vcpu: number, options: StartOptions): Promise<StartResult> {
    this.page.announceMail(n);
    const result = await worker.api.add(vcpu, { ...options, fresh: false });
    if (!result.ok) throw new Error(result.error.message);
    return result;
  }

  /** The worker is gone, and with it the guest that it ran. Others take the rest over until another one is there. */
  async #onDeath(n: number, worker: ProcessorHandle, message: string): Promise<void> {
    const { page } = this;
    worker.terminate(message);
    // It may run on for a while: nothing that it does counts any more.
    page.fence(n);
    await page.whenLocked(() => this.#bury(n, message));
    this.#workers.delete(n);
    this.#departures.delete(n);
    void this.#inOrder(() => this.#employMissing()).catch((error: unknown) => {
      console.error(messageOf(error));
    });
  }

  #bury(n: number, message: string): void {
    const { page } = this;
    const executor = page.executors[n];
    if (executor === undefined) return;
    const { current } = executor;
    const vcpu = page.vcpus[current];
    executor.current = -1;
    page.setExecutorState(n, 'absent');
    if (vcpu?.state === vcpuState.running && vcpu.executor === n) {
      vcpu.state = vcpuState.held;
      const tenant = this.#tenants.get(current);
      if (tenant !== undefined) tenant.lost = true;
      tenant?.die(message);
    }
    for (const [k, { heldBy }] of page.vcpus.entries()) {
      if (heldBy !== n) continue;
      page.release(k);
      page.wake(k);
    }
    this.#grant(page.header.granted & ~(1 << n));
  }

  #onEvent(event: ProcessorEvent): void {
    const tenant = this.#tenants.get(event.vcpu);
    const { settle } = tenant ?? {};
    if (tenant === undefined || settle === undefined) return;
    tenant.settle = undefined;
    if (event.kind === 'result') settle.resolve(event.result);
    else settle.reject(new Error(event.message));
  }

  // Guests.

  /** A place for a guest. @throws VmmError `outOfMemory` when the host page is full */
  enter(share: Share): BareGuest {
    for (let n = 0; n < maximumVcpus; n++) {
      if (this.#taken.has(n)) continue;
      this.#taken.add(n);
      return new BareGuest(this, n, share);
    }
    throw new VmmError('outOfMemory', `More than ${maximumVcpus} guests cannot share the processors: stop one first.`);
  }

  /** For {@link BareGuest}. */
  add(vcpu: number, start: StartOptions, share: Share, die: (message: string) => void): Promise<StartResult> {
    return this.#inOrder(async () => {
      // Those that have died may not have been replaced yet.
      await this.#employMissing();
      const options = { ...start, translationGroup: ++this.#added };
      const record = this.page.vcpus[vcpu];
      const [first] = this.#workers;
      if (record === undefined || first === undefined) throw new Error('no processor is granted');
      this.page.use('vcpu', vcpu);
      enterShare(record, share);
      record.state = vcpuState.held;
      Object.assign(record, {
        executor: -1,
        heldBy: -1,
        runNs: 0,
        stealNs: 0,
        runEnteredNs: 0,
        stealEnteredNs: 0,
        switches: 0,
        moves: 0,
      });
      let laidOut: StartResult | undefined;
      if (options.fresh) {
        this.page.announceMail(first[0]);
        laidOut = await first[1].api.add(vcpu, options);
        if (!laidOut.ok) return laidOut;
      }
      this.#tenants.set(vcpu, { options, settle: undefined, die, lost: false });
      return this.#introduceToAll(vcpu, options, laidOut && { by: first[1], result: laidOut });
    });
  }

  /** Tells all processors of a guest; the answer of the one that has laid it out, or of any. */
  async #introduceToAll(
    vcpu: number,
    options: StartOptions,
    laidOut?: { readonly by: ProcessorHandle; readonly result: StartResult },
  ): Promise<StartResult> {
    let answer = laidOut?.result;
    for (const [n, worker] of [...this.#workers]) {
      if (worker === laidOut?.by) continue;
      try {
        const result = await this.#introduce(worker, n, vcpu, options);
        answer ??= result;
      } catch (error) {
        // Another one replaces it, and is told of all guests.
        if (!this.#dead.has(worker)) throw error;
        await this.#departures.get(n);
      }
    }
    if (answer !== undefined) return answer;
    await this.#employMissing();
    return this.#introduceToAll(vcpu, options);
  }

  async run(vcpu: number): Promise<RunResult> {
    const tenant = this.#tenants.get(vcpu);
    if (tenant === undefined) throw new Error('start must have succeeded before run');
    const result = new Promise<RunResult>((resolve, reject) => {
      tenant.settle = { resolve, reject };
    });
    const restedAt = new Tenure(tenant.options.memory.buffer).value;
    await this.page.whenLocked(() => this.page.admit(vcpu, restedAt, this.nowNs()));
    this.page.wake(vcpu);
    return result;
  }

  async region(vcpu: number, address: bigint): Promise<RegionResult> {
    const n = this.page.vcpus[vcpu]?.executor ?? -1;
    const worker = this.#workers.get(n);
    if (worker === undefined) return { ok: false, message: 'The guest has not run on any processor yet.' };
    this.page.announceMail(n);
    return worker.api.region(vcpu, address);
  }

  /**
   * Kills the processor that runs the guest, or ran it last. Resolves when its guests are the others' (or its successor's);
   * true: it had this one.
   */
  async kill(vcpu: number): Promise<boolean> {
    await this.#endWorker(this.page.vcpus[vcpu]?.executor ?? -1, 'it was killed');
    return this.#tenants.get(vcpu)?.lost ?? false;
  }

  async #endWorker(n: number, why: string): Promise<void> {
    const departure = this.#departures.get(n);
    this.#workers.get(n)?.terminate(why);
    await departure;
  }

  /** Takes the guest off, whatever it does. A processor that does not let go of it is terminated. */
  async evict(vcpu: number): Promise<void> {
    const record = this.page.vcpus[vcpu];
    if (record === undefined) return;
    const holder = await this.page.whenLocked(() => {
      if (record.state === vcpuState.running) return record.executor;
      record.state = vcpuState.absent;
      return -1;
    });
    if (holder >= 0) await this.#endWorker(holder, 'it was stopped');
    await this.#inOrder(async () => {
      this.#tenants.delete(vcpu);
      await Promise.all(
        [...this.#workers].map(async ([n, worker]) => {
          this.page.announceMail(n);
          await worker.api.remove(vcpu).catch(() => undefined);
        }),
      );
      record.state = vcpuState.absent;
      this.#taken.delete(vcpu);
    });
  }

  trace(from?: number): { readonly records: TraceEntry[]; readonly next: number } {
    return this.page.trace(from);
  }
}

/** A guest on the processors: what a hosted guest's worker is to the coordinator. */
export class BareGuest implements Place {
  readonly vcpu: number;
  readonly died: Promise<string>;
  /** The processors sleep on bells of their own. */
  readonly alsoRings: (urgent: boolean) => void;
  readonly bell: Bell;
  readonly #host: BareMetal;
  readonly #share: Share;
  #die: (message: string) => void = () => undefined;
  #terminated = false;

  constructor(host: BareMetal, vcpu: number, share: Share) {
    this.#host = host;
    this.vcpu = vcpu;
    this.#share = share;
    this.alsoRings = (urgent) => host.page.wake(vcpu, urgent);
    this.bell = { page: host.page.buffer, vcpu };
    this.died = new Promise((resolve) => {
      this.#die = resolve;
    });
  }

  readonly api = {
    start: (options: StartOptions): Promise<StartResult> =>
      this.#host.add(this.vcpu, options, this.#share, (message) => this.#die(message)),
    run: (): Promise<RunResult> => this.#host.run(this.vcpu),
    region: (address: bigint): Promise<RegionResult> => this.#host.region(this.vcpu, address),
  };

  kill(): Promise<boolean> {
    return this.#host.kill(this.vcpu);
  }

  /** Once: its number may be another guest's afterwards. */
  terminate(): void {
    if (this.#terminated) return;
    this.#terminated = true;
    void this.#host.evict(this.vcpu);
  }
}
