/** The browser's storage worker: {@link StorageService} through Comlink. */
import { expose } from 'comlink';
import { StorageService } from './service.ts';

expose(new StorageService());
