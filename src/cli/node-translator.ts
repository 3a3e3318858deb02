/** The headless machines' compile worker: a {@link TranslationService}; each message brings one more executor. */
import { parentPort } from 'node:worker_threads';
import type { ServedExecutor } from '../abi/executor.ts';
import { TranslationService } from '../cpu/jit/translation-service.ts';
import { heedBranchHints } from './engine-flags.ts';

heedBranchHints();

const service = new TranslationService(() => performance.now());

parentPort?.on('message', (executor: ServedExecutor) => {
  service.serve(executor, executor.memory, executor.module, executor.group);
});
