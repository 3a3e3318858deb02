/**
 * The few globals that every host of the DOM-free layers has (a browser's window and workers, Node 20), declared here
 * because those layers compile without the DOM library. Declarations only; nothing to import. Layers with the DOM or
 * WebWorker library or with Node's types must not include this file.
 */

/** High-resolution time (W3C hr-time). */
declare const performance: {
  /** Milliseconds since {@link timeOrigin}, monotonic. */
  now(): number;
  readonly timeOrigin: number;
};

/** The console of the host, for the developer. Layers report to the user through their callers. */
declare const console: {
  log(...values: unknown[]): void;
  warn(...values: unknown[]): void;
  error(...values: unknown[]): void;
};

declare class TextEncoder {
  /** UTF-8. */
  encode(text?: string): Uint8Array<ArrayBuffer>;
}

declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
  /** Refuses shared memory in browsers: copy first. */
  decode(bytes?: Uint8Array, options?: { stream?: boolean }): string;
}

declare function setTimeout(callback: () => void, milliseconds?: number): unknown;
declare function clearTimeout(timer: unknown): void;
declare function queueMicrotask(callback: () => void): void;
declare function structuredClone<T>(value: T): T;

/** Two ports, each of which receives what the other one posts, in a task of the event loop. */
declare class MessageChannel {
  readonly port1: MessageChannelPort;
  readonly port2: MessageChannelPort;
}
interface MessageChannelPort {
  addEventListener(type: 'message', listener: () => void): void;
  start(): void;
  close(): void;
  postMessage(message: unknown): void;
}
