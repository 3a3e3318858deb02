/**
 * Entry of the headless executor worker: loads TypeScript, whoever started the process (tsx, vitest), then the worker.
 * By way of `require`: hooks of `import` run in a thread of their own, one more for each worker, which takes 18 MiB.
 */
import { createRequire } from 'node:module';
import { register } from 'tsx/cjs/api';

register();
createRequire(import.meta.url)('./node-worker.ts');
