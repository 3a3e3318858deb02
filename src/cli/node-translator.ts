/** The headless machines' compile worker: a {@link TranslationService}; each message brings the port of one executor. */
import { parentPort, type MessagePort } from 'node:worker_threads';
import { TranslationService } from '../cpu/jit/translation-service.ts';
import { heedBranchHints } from './engine-flags.ts';

heedBranchHints();

const service = new TranslationService(() => performance.now());

parentPort?.on('message', (port: MessagePort) => {
  service.serve(port);
});
