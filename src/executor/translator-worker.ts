/**
 * The browser's compile worker: a {@link TranslationService}. A message brings one more executor to serve, the core of
 * those that are to come, or that it should collect its garbage.
 */
import { collectGarbageMessage, type TranslatorMessage } from '../abi/executor.ts';
import { provokeGarbageCollection } from '../base/collect-garbage.ts';
import { TranslationService } from '../cpu/jit/translation-service.ts';

const service = new TranslationService(() => performance.now());

addEventListener('message', ({ data }: MessageEvent<TranslatorMessage>) => {
  if (data === collectGarbageMessage) provokeGarbageCollection();
  else if (data instanceof WebAssembly.Module) service.prepare(data);
  else service.serve(data, data.memory, data.module, data.group);
});
