/** An executor's way to its translator: in its own thread, or behind a port in another one (`translation-service.ts`). */
import { receivedWord, sentWord, type Port, type SignalledPort } from '../../base/port.ts';
import type { ServiceMessage } from './translation-service.ts';
import type { Translation, TranslationOrder } from './translation.ts';
import type { Translator } from './translator.ts';

export interface TranslationLink {
  /** What is translated for the guest's other executors comes here, too, and with the same numbers. */
  readonly shared: boolean;
  /** An order is under way. */
  readonly busy: boolean;
  /** A translation can be taken. */
  readonly ready: boolean;
  order(order: TranslationOrder): void;
  /** The translation that has come, once. */
  take(): Translation | undefined;
  /** A translation waits in the thread's event loop: resolves when it can be taken. Undefined: none does. */
  delivery(): Promise<void> | undefined;
  /** Translations that wait so. */
  readonly backlog: number;
  /** Nothing is ordered any more, nor awaited. */
  close(): void;
}

/** Translates while the guest waits. */
export class LocalTranslation implements TranslationLink {
  readonly shared = false;
  readonly busy = false;
  readonly ready = false;
  private readonly translator: () => Translator;
  private readonly nowMs: () => number;
  private done: Translation | undefined;

  constructor(translator: () => Translator, nowMs: () => number) {
    this.translator = translator;
    this.nowMs = nowMs;
  }

  order(order: TranslationOrder): void {
    this.done = this.translator().translate(order, this.nowMs);
  }

  take(): Translation | undefined {
    const { done } = this;
    this.done = undefined;
    return done;
  }

  readonly backlog = 0;

  delivery(): undefined {
    return undefined;
  }

  close(): void {}
}

export class RemoteTranslation implements TranslationLink {
  readonly shared: boolean;
  private readonly port: Port;
  private readonly signal: Int32Array;
  private readonly arrived: Translation[] = [];
  private ordered = 0;
  private answered = 0;
  private received = 0;
  private epoch = 0;
  private waiting: (() => void) | undefined;

  /** `cpu`: the vCPU's place in the guest's memory. */
  constructor({ port, signal, shared = false }: SignalledPort, cpu: number, debug: boolean) {
    this.shared = shared;
    this.port = port;
    this.signal = signal;
    port.addEventListener('message', ({ data }) => {
      this.receive(data as Translation);
    });
    port.addEventListener('messageerror', () => {
      const error = new Error('a translation came that could not be read');
      const failures = [{ error, records: new Uint32Array() }];
      this.receive({ own: true, epoch: this.epoch, modules: [], failures, declined: [], microseconds: 0 });
    });
    port.start();
    this.send({ kind: 'connect', cpu, debug });
  }

  private receive(translation: Translation): void {
    this.received++;
    if (translation.own && this.answered < this.ordered) this.answered++;
    Atomics.store(this.signal, receivedWord, this.received);
    this.arrived.push(translation);
    this.waiting?.();
    this.waiting = undefined;
  }

  private send(message: ServiceMessage): void {
    this.port.postMessage(message);
  }

  get busy(): boolean {
    return this.answered < this.ordered;
  }

  get ready(): boolean {
    return this.arrived.length > 0;
  }

  order(order: TranslationOrder): void {
    this.ordered++;
    this.epoch = order.epoch;
    this.send({ kind: 'order', order });
  }

  take(): Translation | undefined {
    return this.arrived.shift();
  }

  get backlog(): number {
    return Atomics.load(this.signal, sentWord) - this.received;
  }

  close(): void {
    this.port.close?.();
  }

  delivery(): Promise<void> | undefined {
    // A message may be here before the signal that tells of it.
    if (this.backlog <= 0) return undefined;
    return new Promise((resolve) => {
      this.waiting = resolve;
    });
  }
}
