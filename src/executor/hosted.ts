/**
 * The driver of hosted mode: a guest that has its thread to itself. Browser and operating system decide when the thread
 * runs; it sleeps on the guest's doorbell.
 */
import { goOn, type Executor, type ExecutorResult, type RunLimits, type Sleep } from './executor.ts';

/**
 * Runs the guest until it ends, is parked or stopped, has mail, or meets a limit. Blocks the thread, but for moments in
 * which compiled code comes in, and for the sleep of a guest that is quiet or paused: the engine's own tasks run then. The
 * guest is at rest afterwards.
 * @param nowNs monotonic host time in nanoseconds
 */
export async function runHosted(executor: Executor, nowNs: () => number, limits: RunLimits): Promise<ExecutorResult> {
  if (!executor.claim()) throw new Error('the guest is in the midst of another executor, or was when that died');
  executor.begin(limits);
  // A guest that its last executor left paused is not touched before there is something to do: should this thread die
  // meanwhile, yet another one goes on.
  for (let pause = executor.lastingPause(); pause !== undefined; pause = executor.lastingPause()) {
    await sleep(executor, pause);
  }
  if (!executor.wake()) return { kind: 'replaced' };
  // Host time that passed while nobody ran the guest is not guest time.
  executor.resumeClock();
  for (;;) {
    const turn = executor.turn();
    if (turn === goOn) {
      const delivery = executor.delivery();
      if (delivery) await delivery;
    } else if (turn.kind !== 'sleep') {
      return turn;
    } else {
      const start = nowNs();
      const slept = sleep(executor, turn);
      if (slept) await slept;
      if (!executor.wake()) return { kind: 'replaced' };
      executor.slept(turn, nowNs() - start);
    }
  }
}

/** Blocks, or returns what is to be awaited. */
function sleep({ control }: Executor, { doorbell, timeoutMs, long }: Sleep): Promise<void> | undefined {
  if (long) return control.waitInEventLoop(doorbell, timeoutMs);
  control.wait(doorbell, timeoutMs);
  return undefined;
}
