export interface PortEvent {
  readonly type: string;
  /** What was sent. */
  readonly data?: unknown;
}

/** One end of a channel between two threads: the `MessagePort` of browsers and of Node's `worker_threads` alike. */
export interface Port {
  postMessage(message: unknown): void;
  addEventListener(type: 'message', listener: (event: PortEvent) => void): void;
  /** Messages come from now on. */
  start(): void;
}
