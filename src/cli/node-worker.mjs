/** Entry of the headless executor worker: loads TypeScript, whoever started the process (tsx, vitest), then the worker. */
import { register } from 'tsx/esm/api';

register();
await import('./node-worker.ts');
