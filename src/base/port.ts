export interface PortEvent {
  readonly type: string;
  /** What was sent. */
  readonly data?: unknown;
}

/** One end of a channel between two threads: the `MessagePort` of browsers and of Node's `worker_threads` alike. */
export interface Port {
  postMessage(message: unknown): void;
  /** `messageerror`: a message came that this thread cannot read. */
  /** `close`: the other end is gone; where the host tells of that. */
  addEventListener(type: 'message' | 'messageerror' | 'close', listener: (event: PortEvent) => void): void;
  /** Messages come from now on. */
  start(): void;
  close?(): void;
}

/** A port to a service whose messages are counted, too, for a thread that computes: it reads none meanwhile. */
export interface SignalledPort {
  /** To be transferred. */
  readonly port: Port;
  /** Two words, shared: messages that the service has sent ({@link sentWord}), and those received ({@link receivedWord}). */
  readonly signal: Int32Array;
  /** The service's messages go to all who have this, and are about things that they have in common. */
  readonly shared?: boolean;
}

export const sentWord = 0;
export const receivedWord = 1;
export const signalBytes = 8;
