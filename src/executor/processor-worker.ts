/** The browser's processor worker of bare-metal mode: {@link ProcessorApi} through Comlink. */
import { expose } from 'comlink';
import type { ProcessorApi } from '../abi/processor.ts';
import { nextTask } from '../base/next-task.ts';
import { Processor } from './processor.ts';
import { showLife } from './sign-of-life.ts';

const seed = new BigUint64Array(1);

const processor = new Processor({
  performance,
  calendarSeconds: () => Math.floor(Date.now() / 1000),
  randomSeed: () => crypto.getRandomValues(seed)[0] ?? 0n,
  nextTask,
});

// Its name is unique (`vmm/browser.ts`).
const life = showLife(self.name);

// Comlink sees an object's own interface only where it is plain.
const api: ProcessorApi = {
  join: async (options) => {
    await life;
    return processor.join(options);
  },
  add: (vcpu, options) => processor.add(vcpu, options),
  remove: (vcpu) => processor.remove(vcpu),
  region: (vcpu, address) => processor.region(vcpu, address),
  run: () => processor.run(),
};
expose(api);
