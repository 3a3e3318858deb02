/** The thread that compiles for headless machines; machines of one process can have it in common. */
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import { workerProgram } from './worker-program.ts';

export class HeadlessTranslator {
  #worker: Worker | undefined;
  /** Why it died, if it did: guests are interpreted from then on where they are not compiled yet. */
  failure: Error | undefined;

  /** The executor's end of a new channel. */
  connect(): MessagePort {
    const worker = (this.#worker ??= this.#start());
    const { port1, port2 } = new MessageChannel();
    worker.postMessage(port1, [port1]);
    return port2;
  }

  #start(): Worker {
    const worker = new Worker(workerProgram('node-translator'), { execArgv: [] });
    worker.on('error', (error) => {
      this.failure = error instanceof Error ? error : new Error(String(error));
      console.error(`tabvisor: the compiler's thread died, guests go on with the interpreter: ${this.failure.message}`);
    });
    // It serves; it is nothing to wait for.
    worker.unref();
    return worker;
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }
}
