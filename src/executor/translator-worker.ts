/** The browser's compile worker: a {@link TranslationService}; each message brings the port of one more executor. */
import { TranslationService } from '../cpu/jit/translation-service.ts';

const service = new TranslationService(() => performance.now());

addEventListener('message', ({ data }: MessageEvent<MessagePort>) => {
  service.serve(data);
});
