/**
 * Boots a guest, and a second one beside it, in this process, and tells its parent what memory the process has after
 * each. Started by memory.ts with `--expose-gc`.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { shared, startHeadless, type HeadlessMachine } from '../src/cli/headless.ts';
import { HeadlessTranslator } from '../src/cli/translator.ts';
import { workerProgram } from '../src/cli/worker-program.ts';
import type { MemoryAnswer, MemoryOrder } from './memory.ts';
import { processMemory, type ProcessMemory } from './process-memory.ts';

const bootTimeoutMs = 600_000;
/** The engine frees and trims what a boot needed; the guest has nothing more to do. */
const settleMs = 3000;

/** What lies in memory when it has settled. */
async function measure(ramBytes: number, guests: number): Promise<ProcessMemory> {
  await sleep(settleMs);
  globalThis.gc?.();
  return processMemory('self', ramBytes, guests);
}

async function run({ machine, tier }: MemoryOrder): Promise<MemoryAnswer> {
  const kernel = shared(readFileSync(machine.kernel));
  const initrd = machine.initrd === undefined ? undefined : shared(readFileSync(machine.initrd));
  const ramBytes = machine.memoryMiB * 2 ** 20;
  // As the page's guests have one in common.
  const translator = new HeadlessTranslator();
  const boot = async (): Promise<HeadlessMachine> => {
    const { commandLine } = machine;
    const options = { kernel, initrd, commandLine, ramBytes, translator, ...(tier === undefined ? {} : { tier }) };
    const running = await startHeadless(options);
    const ended = running.run().then((ending) => {
      throw new Error(`the guest ended: ${JSON.stringify(ending)}`);
    });
    await Promise.race([running.console.waitForText('tabvisor: guest ready', { timeoutMs: bootTimeoutMs }), ended]);
    return running;
  };
  const process0 = await measure(ramBytes, 0);
  const first = await boot();
  const process1 = await measure(ramBytes, 1);
  const second = await boot();
  const process2 = await measure(ramBytes, 2);
  const worker = new Worker(workerProgram('node-worker'), { execArgv: [] });
  await once(worker, 'online');
  const { rssBytes } = await measure(ramBytes, 2);
  // All were needed up to here.
  await Promise.allSettled([first.kill(), second.kill(), worker.terminate(), translator.close()]);
  return {
    kind: 'measured',
    withGuests: [process0, process1, process2],
    workerBytes: rssBytes - process2.rssBytes,
  };
}

process.on('message', (order: MemoryOrder) => {
  run(order)
    .catch((error: unknown): MemoryAnswer => ({
      kind: 'failed',
      message: error instanceof Error ? error.message : String(error),
    }))
    .then((answer) => process.send?.(answer, () => process.exit(0)));
});
process.on('disconnect', () => process.exit(0));
