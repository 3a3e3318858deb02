/** One Tabvisor machine in a Node process of its own, driven over IPC: see child-session.ts for the messages. */
import { readFileSync } from 'node:fs';
import { shared, startHeadless, type HeadlessMachine } from '../../src/cli/headless.ts';
import type { TierName } from '../../src/cpu/jit/compiler.ts';
import type { Answer, Order } from './child-session.ts';

interface Start {
  readonly machine: { kernel: string; initrd?: string; commandLine: string; memoryMiB: number };
  readonly tier?: TierName;
}

function answer(message: Answer): void {
  process.send?.(message);
}

async function start({ machine, tier }: Start): Promise<HeadlessMachine> {
  const kernel = shared(readFileSync(machine.kernel));
  const initrd = machine.initrd === undefined ? undefined : shared(readFileSync(machine.initrd));
  answer({ kind: 'powerOn' });
  const running = await startHeadless({
    kernel,
    initrd,
    commandLine: machine.commandLine,
    ramBytes: machine.memoryMiB * 2 ** 20,
    ...(tier === undefined ? {} : { tier }),
  });
  running.console.listen((bytes) => {
    process.stdout.write(bytes);
    return undefined;
  });
  running.run().then(
    (ending) => answer({ kind: 'failed', message: `the guest ended: ${JSON.stringify(ending)}` }),
    (error: unknown) => answer({ kind: 'failed', message: String(error) }),
  );
  return running;
}

let running: Promise<HeadlessMachine> | undefined;

async function obey(order: Order): Promise<void> {
  if (order.kind === 'start') running = start(order as unknown as Start);
  const machine = await running;
  if (machine === undefined) return;
  if (order.kind === 'type') await machine.console.type(order.text);
  if (order.kind === 'counters') {
    const { instructions, busySeconds } = machine.stats;
    answer({ kind: 'counters', instructions, busySeconds });
  }
}

process.on('message', (order: Order) => {
  obey(order).catch((error: unknown) => answer({ kind: 'failed', message: String(error) }));
});
process.on('disconnect', () => process.exit(0));
