/** The pretended executor as a worker: what `vite --mode fake` loads in place of the real one. */
import { expose } from 'comlink';
import { FakeExecutor } from './fake-executor.ts';

expose(new FakeExecutor());
