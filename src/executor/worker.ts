/** The browser's executor worker: {@link ExecutorApi} through Comlink. */
import { expose } from 'comlink';
import type { NamedExecutorApi } from '../abi/executor.ts';
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
const api: NamedExecutorApi = {
  start: async (options, purpose) => {
    // `name` cannot be assigned to in TypeScript's view; HTML has it as replaceable.
    Object.defineProperty(self, 'name', { value: `${purpose} ${self.name}` });
    await life;
    return session.start(options);
  },
  run: () => session.run(),
  region: (address) => session.region(address),
};
expose(api);
