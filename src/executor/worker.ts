/** The browser's executor worker: {@link ExecutorApi} through Comlink. */
import { expose } from 'comlink';
import { Session } from './session.ts';
import { showLife } from './sign-of-life.ts';

const seed = new BigUint64Array(1);

const session = new Session({
  nowNs: () => performance.now() * 1e6,
  calendarSeconds: () => Math.floor(Date.now() / 1000),
  randomSeed: () => crypto.getRandomValues(seed)[0] ?? 0n,
});

// Its name is unique (`vmm/browser.ts`).
const life = showLife(self.name);

// Comlink sees an object's own interface only where it is plain.
expose({
  start: async (options: Parameters<Session['start']>[0]) => {
    await life;
    return session.start(options);
  },
  run: () => session.run(),
  region: (address: bigint) => session.region(address),
});
