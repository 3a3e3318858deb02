export interface PortEvent {
  readonly type: string;
  /** What was sent. */
  readonly data?: unknown;
}

/** One end of a channel between two threads: the `MessagePort` of browsers and of Node's `worker_threads` alike. */
export interface Port {
  postMessage(message: unknown): void;
  /** `messageerror`: a message came that this thread cannot read. */
  addEventListener(type: 'message' | 'messageerror', listener: (event: PortEvent) => void): void;
  /** Messages come from now on. */
  start(): void;
}

/** A port to a service whose messages are counted, too, for a thread that computes: it reads none meanwhile. */
export interface SignalledPort {
  /** To be transferred. */
  readonly port: Port;
  /** One word, shared: how many messages the service has sent. */
  readonly signal: Int32Array;
}
