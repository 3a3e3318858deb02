/** A host page with processors in this thread, for tests. */
import { ControlPage } from '../../abi/control.ts';
import { allExecutors, defaultWeight, HostPage, vcpuState, type TraceEntry } from '../../abi/host-page.ts';
import type { StartOptions } from '../../abi/executor.ts';
import type { ProcessorEvent } from '../../abi/processor.ts';
import { ByteRing } from '../../abi/ring.ts';
import { Tenure } from '../../abi/tenure.ts';
import { signalBytes, type SignalledPort } from '../../base/port.ts';
import { TranslationService } from '../../cpu/jit/translation-service.ts';
import { memoryMap } from '../../machine/memory-map.ts';
import { Processor } from '../processor.ts';
import { debugExitPort } from './tiny-guest.ts';

const ramBytes = 16 * 2 ** 20;
const map = memoryMap(ramBytes);
const originMs = performance.timeOrigin;

interface Added {
  readonly memory: WebAssembly.Memory;
  readonly control: ControlPage;
  readonly options: StartOptions;
}

export interface BenchOptions {
  /** `core.wasm`. */
  readonly module: WebAssembly.Module;
  /** `auto`: a service compiles, in this thread too, while no processor runs. */
  readonly tier: 'interpreter' | 'auto';
  /** Resolves in a later task of the event loop. */
  nextTask(): Promise<void>;
}

/** One of the processors runs at a time, until it has nothing to do for long. */
export class Bench {
  readonly page = HostPage.create();
  readonly events: ProcessorEvent[] = [];
  readonly guests: Added[] = [];
  readonly #processors: Processor[] = [];
  readonly #options: BenchOptions;
  readonly #service = new TranslationService(() => performance.now());
  readonly #channels: MessageChannel[] = [];
  /** Called whenever a processor looks at the clock, which it does all the time. */
  onClock: () => void = () => undefined;

  constructor(options: BenchOptions) {
    this.#options = options;
  }

  /** An executor's way to the service, which sends to all executors of a guest. */
  #translator(guest: number, memory: WebAssembly.Memory): SignalledPort {
    const channel = new MessageChannel();
    this.#channels.push(channel);
    const signal = new Int32Array(new SharedArrayBuffer(signalBytes));
    this.#service.serve({ port: channel.port1, signal }, memory, this.#options.module, guest);
    return { port: channel.port2, signal, shared: true };
  }

  close(): void {
    for (const { port1 } of this.#channels) port1.close();
  }

  async processor(): Promise<Processor> {
    const executor = this.#processors.length;
    const processor = new Processor(
      {
        performance: {
          timeOrigin: originMs,
          now: () => {
            this.onClock();
            return performance.now();
          },
        },
        calendarSeconds: () => 0,
        randomSeed: () => 1n,
        nextTask: this.#options.nextTask,
      },
      { debugExitPort, tier: this.#options.tier },
    );
    const events = {
      postMessage: (event: unknown) => {
        this.events.push(event as ProcessorEvent);
        if (this.events.length === this.guests.length) this.revoke();
      },
      addEventListener: () => undefined,
      start: () => undefined,
    };
    this.page.use('executor', executor);
    await processor.join({ page: this.page.buffer, executor, originMs, events });
    this.#processors.push(processor);
    return processor;
  }

  async add(kernel: Uint8Array, clock: 'real' | 'virtual' = 'real', weight = defaultWeight): Promise<number> {
    const pages = map.totalBytes / 65536;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const bytes = new SharedArrayBuffer(kernel.length);
    new Uint8Array(bytes).set(kernel);
    const definition = { name: 'test', ramBytes, commandLine: '', clock, noReboot: true };
    const options: Omit<StartOptions, 'fresh'> = { memory, module: this.#options.module, definition, kernel: bytes };
    const n = this.guests.length;
    this.page.use('vcpu', n);
    const vcpu = this.page.vcpus[n];
    if (vcpu === undefined) throw new Error('no room');
    Object.assign(vcpu, {
      weight,
      capPercent: 0,
      hardMask: allExecutors,
      softMask: allExecutors,
      state: vcpuState.held,
    });
    for (const k of this.#processors.keys()) await this.#introduce(k, n, { ...options, fresh: k === 0 });
    const control = new ControlPage(memory.buffer);
    control.alsoRings = (urgent) => {
      this.page.wake(n, urgent);
    };
    this.guests.push({ memory, control, options: { ...options, fresh: false } });
    this.page.admit(n, new Tenure(memory.buffer).value, performance.now() * 1e6);
    this.page.wake(n);
    return n;
  }

  async #introduce(processor: number, guest: number, options: StartOptions): Promise<void> {
    this.page.announceMail(processor);
    const { tier } = this.#options;
    const translator = tier === 'auto' ? { translator: this.#translator(guest, options.memory) } : {};
    const added = await this.#processors[processor]?.add(guest, { ...options, ...translator });
    if (added?.ok !== true) throw new Error(added?.error.message ?? 'no such processor');
  }

  /** One more processor, which knows the guests that there are, but nothing of what was compiled for them. */
  async lateProcessor(): Promise<Processor> {
    const processor = await this.processor();
    for (const [n, { options }] of this.guests.entries())
      await this.#introduce(this.#processors.length - 1, n, options);
    return processor;
  }

  grant(executors: number): void {
    this.page.header.granted = executors;
    this.page.sharesChanged();
  }

  revoke(): void {
    this.grant(0);
    for (const [n] of this.#processors.entries()) this.page.ring(n);
  }

  revokeAfter(milliseconds: number): void {
    const end = performance.now() + milliseconds;
    this.onClock = () => {
      if (performance.now() > end && this.page.header.granted !== 0) this.revoke();
    };
  }

  /** What the guest has sent on its serial port since this was last asked. */
  bytes(n: number): Uint8Array {
    const { memory } = this.guests[n] as Added;
    return new ByteRing(memory.buffer, map.consoleOut).read();
  }

  output(n: number): string {
    return new TextDecoder().decode(this.bytes(n));
  }

  trace(): TraceEntry[] {
    return this.page.trace().records;
  }
}
