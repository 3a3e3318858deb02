/** An executor's way to its translator: in its own thread, or behind a port in another one (`translation-service.ts`). */
import type { Port } from '../../base/port.ts';
import type { ServiceMessage } from './translation-service.ts';
import type { Translation, TranslationOrder } from './translation.ts';
import type { Translator } from './translator.ts';

export interface TranslationLink {
  /** An order is under way. */
  readonly busy: boolean;
  /** A translation can be taken. */
  readonly ready: boolean;
  order(order: TranslationOrder): void;
  /** The translation that has come, once. */
  take(): Translation | undefined;
  /** A translation waits in the thread's event loop: resolves when it can be taken. Undefined: none does. */
  delivery(): Promise<void> | undefined;
}

/** Translates while the guest waits. */
export class LocalTranslation implements TranslationLink {
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

  delivery(): undefined {
    return undefined;
  }
}

export interface RemoteGuest {
  readonly memory: WebAssembly.Memory;
  readonly cpu: number;
  /** `core.wasm`. */
  readonly core: WebAssembly.Module;
  readonly debug: boolean;
}

export class RemoteTranslation implements TranslationLink {
  private readonly port: Port;
  private readonly signal = new Int32Array(new SharedArrayBuffer(4));
  private readonly arrived: Translation[] = [];
  private ordered = 0;
  private received = 0;
  private waiting: (() => void) | undefined;

  constructor(port: Port, guest: RemoteGuest) {
    this.port = port;
    port.addEventListener('message', ({ data }) => {
      this.received++;
      this.arrived.push(data as Translation);
      this.waiting?.();
      this.waiting = undefined;
    });
    port.start();
    this.send({ kind: 'connect', ...guest, signal: this.signal });
  }

  private send(message: ServiceMessage): void {
    this.port.postMessage(message);
  }

  get busy(): boolean {
    return this.ordered !== this.received;
  }

  get ready(): boolean {
    return this.arrived.length > 0;
  }

  order(order: TranslationOrder): void {
    this.ordered++;
    this.send({ kind: 'order', order });
  }

  take(): Translation | undefined {
    return this.arrived.shift();
  }

  delivery(): Promise<void> | undefined {
    // A message may be here before the signal that tells of it.
    if (Atomics.load(this.signal, 0) <= this.received) return undefined;
    return new Promise((resolve) => {
      this.waiting = resolve;
    });
  }
}
