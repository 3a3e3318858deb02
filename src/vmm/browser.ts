/** The coordinator's surroundings in a browser: workers, the compiled core, the page's address. */
import { releaseProxy, transfer, wrap, type Remote } from 'comlink';
import coreUrl from '../../build/core/core.wasm.gzip?url';
import {
  collectGarbageMessage,
  type NamedExecutorApi,
  type RegionResult,
  type RunResult,
  type ServedExecutor,
  type StartOptions,
  type StartResult,
} from '../abi/executor.ts';
import { provokeGarbageCollection } from '../base/collect-garbage.ts';
import { signalBytes, type SignalledPort } from '../base/port.ts';
import type { StorageApi, StorageEvent } from '../abi/storage.ts';
import type { JoinOptions, ProcessorApi } from '../abi/processor.ts';
import { indexedDbDefinitions } from './definition-store.ts';
import { indexedDbDisks } from './disk-registry.ts';
import type { CopyJob, ExecutorHandle, Host, ProcessorHandle, Settings, StorageHandle } from './host.ts';
import type { MemoryWorkerApi } from './memory-worker.ts';
import { vanished } from './worker-death.ts';

export interface BrowserHostOptions {
  readonly confirmForeign: Host['confirmForeign'];
}

export function browserHost(options: BrowserHostOptions): Host {
  const scrubber = lazyMemoryWorker('scrubber');
  // Another one: nobody waits for a copy because a memory is being cleaned.
  const copier = lazyMemoryWorker('copier');
  let copies = 0;
  // Not in TypeScript's DOM library, and not in every browser (Device Memory API).
  const { deviceMemory: deviceMemoryGiB } = navigator as { deviceMemory?: number };
  const translator = lazyTranslator();
  const workers = executorWorkers();
  return {
    obstacle: obstacle(),
    pageUrl: document.baseURI,
    catalogueUrl: new URL('guests/manifest.json', document.baseURI).href,
    fetch: (...parameters) => fetch(...parameters),
    loadCore: async () => {
      const response = await fetch(coreUrl);
      if (!response.ok || response.body === null) throw new Error(`HTTP ${response.status} for ${coreUrl}`);
      // Compressed by the build, as not every server does it; an eighth of the size.
      const core = new Response(response.body.pipeThrough(new DecompressionStream('gzip')));
      const module = await WebAssembly.compile(await core.arrayBuffer());
      translator.prepare(module);
      return module;
    },
    createExecutor: (name) => createExecutor(name, workers, translator),
    createProcessor: (name) => createProcessor(name, translator),
    hardwareConcurrency: navigator.hardwareConcurrency,
    scrub: (memory) => scrubber.get().scrub(memory),
    beginCopy: (source, destination) => beginCopy(copier.get(), copies++, source, destination),
    collectGarbage: () => {
      translator.collectGarbage();
      for (const worker of [scrubber, copier]) worker.collectGarbage();
      provokeGarbageCollection();
    },
    ...(deviceMemoryGiB === undefined ? {} : { deviceMemoryGiB }),
    settings: localSettings,
    definitions: indexedDbDefinitions(),
    disks: indexedDbDisks(),
    createStorage,
    locks: navigator.locks,
    persist: () => navigator.storage.persist(),
    now: () => performance.now(),
    confirmForeign: options.confirmForeign,
  };
}

/** Storage may be refused: settings hold for this visit then. */
const localSettings: Settings = {
  read: (key) => {
    try {
      return localStorage.getItem(key) ?? undefined;
    } catch {
      return undefined;
    }
  },
  write: (key, value) => {
    try {
      localStorage.setItem(key, value);
    } catch (error) {
      console.warn(`The setting ${key} is not kept: ${String(error)}`);
    }
  },
};

function obstacle(): string | undefined {
  if (typeof WebAssembly !== 'object' || typeof SharedArrayBuffer === 'undefined' || !crossOriginIsolated) {
    return (
      'This page is not cross-origin isolated, so the browser gives it no shared memory, which guests live in. ' +
      'Serve it with the headers "Cross-Origin-Opener-Policy: same-origin" and "Cross-Origin-Embedder-Policy: ' +
      'require-corp", over https or from localhost; "npm start" does so.'
    );
  }
  return undefined;
}

/** The worker that compiles. */
interface TranslatorWorker {
  /** Has it get ready for guests of a core. */
  prepare(module: WebAssembly.Module): void;
  /** Gives an executor's end of a new channel to it, for a guest in `memory`. */
  connect(
    memory: WebAssembly.Memory,
    module: WebAssembly.Module,
    group?: number,
  ): SignalledPort & { readonly port: MessagePort };
  collectGarbage(): void;
}

/** A worker for an executor, which has loaded its program or is about to. */
interface LoadingWorker {
  readonly worker: Worker;
  /** Its name when it was made, and that of the lock that it holds while it lives; locks are common to all tabs. */
  readonly name: string;
  /** See {@link deathOf}. */
  readonly died: Promise<string>;
}

interface ExecutorWorkers {
  take(purpose: string): LoadingWorker;
  /** Makes one ahead, if there is none: loading its program takes longer than to copy a guest. */
  prepare(): void;
}

function executorWorkers(): ExecutorWorkers {
  let spare: LoadingWorker | undefined;
  const make = (purpose: string): LoadingWorker => {
    const name = `${purpose} ${crypto.randomUUID()}`;
    const worker = new Worker(new URL('../executor/worker.ts', import.meta.url), { type: 'module', name });
    return { worker, name, died: deathOf(worker) };
  };
  return {
    take: (purpose) => {
      const taken = spare;
      spare = undefined;
      return taken ?? make(purpose);
    },
    prepare: () => {
      if (spare !== undefined) return;
      const made = make('spare executor');
      spare = made;
      void made.died.then(() => {
        if (spare === made) spare = undefined;
      });
    },
  };
}

/** How long after a guest's start a worker for the next one is made: the guest should have the processors until then. */
const prepareAfterMs = 1000;

function createExecutor(purpose: string, workers: ExecutorWorkers, translator: TranslatorWorker): ExecutorHandle {
  const { worker, name, died: failed } = workers.take(purpose);
  const ended = new AbortController();
  const remote = wrap<NamedExecutorApi>(worker);
  // The first answer of the worker says that it holds its lock.
  let watchLock = (): void => {};
  const gone = new Promise<string>((resolve) => {
    watchLock = () => void vanished(name, ended.signal).then(() => resolve('the browser ended it'), console.error);
  });
  const died = Promise.race([failed, gone]);
  return {
    api: {
      start: async (start: StartOptions) => {
        const end = translator.connect(start.memory, start.module);
        const result = await orDeath<StartResult>(
          remote.start(transfer({ ...start, translator: end }, [end.port]), purpose),
          died,
        );
        if (!ended.signal.aborted) watchLock();
        setTimeout(workers.prepare, start.fresh ? prepareAfterMs : 0);
        return result;
      },
      run: () => orDeath<RunResult>(remote.run(), died),
      region: (address) => orDeath<RegionResult>(remote.region(address), died),
    },
    died,
    terminate: () => {
      if (ended.signal.aborted) return;
      ended.abort();
      remote[releaseProxy]();
      worker.terminate();
    },
  };
}

function createProcessor(purpose: string, translator: TranslatorWorker): ProcessorHandle {
  const name = `${purpose} ${crypto.randomUUID()}`;
  const ended = new AbortController();
  const worker = new Worker(new URL('../executor/processor-worker.ts', import.meta.url), { type: 'module', name });
  const remote: Remote<ProcessorApi> = wrap<ProcessorApi>(worker);
  let watchLock = (): void => {};
  const gone = new Promise<string>((resolve) => {
    watchLock = () => void vanished(name, ended.signal).then(() => resolve('the browser ended it'), console.error);
  });
  let terminated = (_why: string): void => {};
  const died = Promise.race([deathOf(worker), gone, new Promise<string>((resolve) => (terminated = resolve))]);
  return {
    died,
    api: {
      join: async (options: JoinOptions) => {
        await orDeath(remote.join(transfer(options, [options.events as MessagePort])), died);
        if (!ended.signal.aborted) watchLock();
      },
      add: (vcpu, start) => {
        const end = translator.connect(start.memory, start.module, start.translationGroup);
        return orDeath<StartResult>(remote.add(vcpu, transfer({ ...start, translator: end }, [end.port])), died);
      },
      remove: (vcpu) => orDeath(remote.remove(vcpu), died),
      region: (vcpu, address) => orDeath<RegionResult>(remote.region(vcpu, address), died),
      run: () => orDeath(remote.run(), died),
    },
    terminate: (why) => {
      if (ended.signal.aborted) return;
      ended.abort();
      remote[releaseProxy]();
      worker.terminate();
      terminated(why);
    },
  };
}

/** One worker serves the disks of a page: caches, and the order of commits, are in it. */
function createStorage(onEvent: (event: StorageEvent) => void): StorageHandle {
  const worker = new Worker(new URL('../storage/worker.ts', import.meta.url), { type: 'module', name: 'storage' });
  const remote = wrap<StorageApi>(worker);
  const { port1, port2 } = new MessageChannel();
  port1.addEventListener('message', ({ data }: MessageEvent<StorageEvent>) => onEvent(data));
  port1.start();
  void remote.listen(transfer(port2, [port2]));
  return { api: remote as unknown as StorageApi, died: deathOf(worker) };
}

/** Resolves with what is known when the worker dies of itself. */
function deathOf(worker: Worker): Promise<string> {
  return new Promise((resolve) => {
    worker.addEventListener('error', (event) => {
      event.preventDefault();
      resolve(event.message || 'its script could not be loaded');
    });
    worker.addEventListener('messageerror', () => resolve('a message could not be read'));
  });
}

/** A call whose worker is gone never returns by itself. */
function orDeath<T>(call: Promise<T>, died: Promise<string>): Promise<T> {
  return Promise.race([call, died.then((message) => Promise.reject(new Error(message)))]);
}

/** One worker compiles for the guests of a page, made when it is first needed: what it has warmed up serves all. */
function lazyTranslator(): TranslatorWorker {
  let worker: Worker | undefined;
  const start = (): Worker => {
    const made = new Worker(new URL('../executor/translator-worker.ts', import.meta.url), {
      type: 'module',
      name: 'translator',
    });
    made.addEventListener('error', (event) => {
      event.preventDefault();
      // Guests that start from now on get another one.
      if (worker === made) worker = undefined;
      const message = event.message || 'its script could not be loaded';
      console.error(`The compiler's thread failed (${message}): nothing more is compiled for running guests.`);
    });
    return made;
  };
  return {
    prepare: (module) => {
      (worker ??= start()).postMessage(module);
    },
    connect: (memory, module, group) => {
      worker ??= start();
      const { port1, port2 } = new MessageChannel();
      const signal = new Int32Array(new SharedArrayBuffer(signalBytes));
      const shared = group !== undefined;
      const served: ServedExecutor = { port: port1, signal, memory, module, ...(shared ? { group } : {}) };
      worker.postMessage(served, [port1]);
      return { port: port2, signal, shared };
    },
    collectGarbage: () => worker?.postMessage(collectGarbageMessage),
  };
}

interface LazyMemoryWorker {
  get(): MemoryWorkerApi;
  collectGarbage(): void;
}

/** A worker for memories, made when it is first needed; another one when it has died. */
function lazyMemoryWorker(name: string): LazyMemoryWorker {
  let current: MemoryWorkerApi | undefined;
  const get = (): MemoryWorkerApi => {
    if (current !== undefined) return current;
    const worker = new Worker(new URL('./memory-worker.ts', import.meta.url), { type: 'module', name });
    const remote = wrap<MemoryWorkerApi>(worker);
    const died = deathOf(worker);
    const made: MemoryWorkerApi = {
      scrub: (memory) => orDeath(remote.scrub(memory), died),
      beginCopy: (id, source, destination) => orDeath(remote.beginCopy(id, source, destination), died),
      copyAhead: (id) => orDeath(remote.copyAhead(id), died),
      finishCopy: (id, options) => orDeath(remote.finishCopy(id, options), died),
      endCopy: (id) => orDeath(remote.endCopy(id), died),
      collectGarbage: () => orDeath(remote.collectGarbage(), died),
    };
    current = made;
    void died.then(() => {
      current = undefined;
      worker.terminate();
    });
    return made;
  };
  // One that has died has no garbage.
  return { get, collectGarbage: () => void current?.collectGarbage().catch(() => undefined) };
}

function beginCopy(
  worker: MemoryWorkerApi,
  id: number,
  source: WebAssembly.Memory,
  destination: WebAssembly.Memory,
): CopyJob {
  const begun = worker.beginCopy(id, source, destination);
  // Whoever asks for more learns of it.
  begun.catch(() => undefined);
  return {
    ahead: () => begun.then(() => worker.copyAhead(id)),
    finish: (options) => begun.then(() => worker.finishCopy(id, options)),
    end: () => void worker.endCopy(id).catch(() => undefined),
  };
}
