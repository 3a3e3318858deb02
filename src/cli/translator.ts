/** The thread that compiles for headless machines; machines of one process can have it in common. */
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import type { ServedExecutor } from '../abi/executor.ts';
import { signalBytes, type SignalledPort } from '../base/port.ts';
import { workerProgram } from './worker-program.ts';

export class HeadlessTranslator {
  #worker: Worker | undefined;

  /** The executor's end of a new channel, for a guest in `memory`. */
  connect(memory: WebAssembly.Memory, module: WebAssembly.Module): SignalledPort & { readonly port: MessagePort } {
    const worker = (this.#worker ??= this.#start());
    const { port1, port2 } = new MessageChannel();
    const signal = new Int32Array(new SharedArrayBuffer(signalBytes));
    const served: ServedExecutor = { port: port1, signal, memory, module };
    worker.postMessage(served, [port1]);
    return { port: port2, signal };
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
