/** The browser's compile worker: a {@link TranslationService}; each message brings one more executor to serve. */
import type { ServedExecutor } from '../abi/executor.ts';
import { TranslationService } from '../cpu/jit/translation-service.ts';

const service = new TranslationService(() => performance.now());

addEventListener('message', ({ data }: MessageEvent<ServedExecutor>) => {
  service.serve(data, data.memory, data.module);
});
