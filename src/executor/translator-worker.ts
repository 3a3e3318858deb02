/**
 * The browser's compile worker: a {@link TranslationService}. A message brings one more executor to serve, or the core of
 * those that are to come.
 */
import type { ServedExecutor } from '../abi/executor.ts';
import { TranslationService } from '../cpu/jit/translation-service.ts';

const service = new TranslationService(() => performance.now());

addEventListener('message', ({ data }: MessageEvent<ServedExecutor | WebAssembly.Module>) => {
  if (data instanceof WebAssembly.Module) service.prepare(data);
  else service.serve(data, data.memory, data.module, data.group);
});
