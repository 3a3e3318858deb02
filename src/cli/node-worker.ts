/** The headless machine's executor worker: a {@link Session} behind plain messages. See `headless.ts`. */
import { randomBytes } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { parentPort } from 'node:worker_threads';
import type { StartOptions } from '../abi/executor.ts';
import { heedBranchHints } from './engine-flags.ts';
import { Session, type MachineExtras, type SessionLimits } from '../executor/session.ts';

export type WorkerRequest =
  | { readonly call: 'start'; readonly options: StartOptions; readonly extras: MachineExtras }
  | { readonly call: 'run'; readonly limits: SessionLimits }
  | { readonly call: 'region'; readonly address: bigint };

heedBranchHints();
// The only way to V8's collector from within a thread.
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const session = new Session({
  nowNs: () => performance.now() * 1e6,
  calendarSeconds: () => Math.floor(Date.now() / 1000),
  randomSeed: () => randomBytes(8).readBigUInt64LE(),
  collectGarbage: () => {
    collect();
    // Pages that a collection has emptied are given back by the next one.
    collect();
  },
});

async function answer(request: WorkerRequest): Promise<unknown> {
  switch (request.call) {
    case 'start':
      return session.start(request.options, request.extras);
    case 'run':
      return session.runUntil(request.limits);
    case 'region':
      return session.region(request.address);
  }
}

parentPort?.on('message', (request: WorkerRequest) => {
  // A rejection is a defect: it ends the worker, and the machine's calls fail with its message.
  void answer(request).then((result) => {
    parentPort?.postMessage(result);
  });
});
