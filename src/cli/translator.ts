/** The thread that compiles for headless machines; machines of one process can have it in common. */
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import { workerProgram } from './worker-program.ts';

export class HeadlessTranslator {
  #worker: Worker | undefined;

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
      if (this.#worker === worker) this.#worker = undefined;
      const message = error instanceof Error ? error.message : String(error);
      console.error(`tabvisor: the compiler's thread died (${message}): nothing more is compiled for running guests`);
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
