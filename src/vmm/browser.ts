/** The coordinator's surroundings in a browser: workers, the compiled core, the page's address. */
import { releaseProxy, transfer, wrap, type Remote } from 'comlink';
import coreUrl from '../../build/core/core.wasm.gzip?url';
import type {
  ExecutorApi,
  RegionResult,
  RunResult,
  ServedExecutor,
  StartOptions,
  StartResult,
} from '../abi/executor.ts';
import { signalBytes, type SignalledPort } from '../base/port.ts';
import type { JoinOptions, ProcessorApi } from '../abi/processor.ts';
import { indexedDbDefinitions } from './definition-store.ts';
import type { ExecutorHandle, Host, ProcessorHandle } from './host.ts';
import type { ScrubberApi } from './scrubber.ts';
import { vanished } from './worker-death.ts';

export interface BrowserHostOptions {
  readonly confirmForeign: Host['confirmForeign'];
}

export function browserHost(options: BrowserHostOptions): Host {
  const scrubber = lazyScrubber();
  const translator = lazyTranslator();
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
    createExecutor: (name) => createExecutor(name, translator),
    createProcessor: (name) => createProcessor(name, translator),
    hardwareConcurrency: navigator.hardwareConcurrency,
    scrub: (memory) => scrubber().scrub(memory),
    definitions: indexedDbDefinitions(),
    now: () => performance.now(),
    confirmForeign: options.confirmForeign,
  };
}

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
}

function createExecutor(purpose: string, translator: TranslatorWorker): ExecutorHandle {
  // Also the name of the lock that it holds while it lives; locks are common to all tabs.
  const name = `${purpose} ${crypto.randomUUID()}`;
  const ended = new AbortController();
  const worker = new Worker(new URL('../executor/worker.ts', import.meta.url), { type: 'module', name });
  const remote: Remote<ExecutorApi> = wrap<ExecutorApi>(worker);
  // The first answer of the worker says that it holds its lock.
  let watchLock = (): void => {};
  const gone = new Promise<string>((resolve) => {
    watchLock = () => void vanished(name, ended.signal).then(() => resolve('the browser ended it'), console.error);
  });
  const died = Promise.race([deathOf(worker), gone]);
  return {
    api: {
      start: async (start: StartOptions) => {
        const end = translator.connect(start.memory, start.module);
        const result = await orDeath<StartResult>(
          remote.start(transfer({ ...start, translator: end }, [end.port])),
          died,
        );
        if (!ended.signal.aborted) watchLock();
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
  const died = Promise.race([deathOf(worker), gone]);
  return {
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
    terminate: () => {
      if (ended.signal.aborted) return;
      ended.abort();
      remote[releaseProxy]();
      worker.terminate();
    },
  };
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
  };
}

/** One worker cleans the memories of a page, made when the first comes back. */
function lazyScrubber(): () => ScrubberApi {
  let scrubber: Remote<ScrubberApi> | undefined;
  return () => {
    scrubber ??= wrap<ScrubberApi>(
      new Worker(new URL('./scrubber.ts', import.meta.url), { type: 'module', name: 'scrubber' }),
    );
    const remote = scrubber;
    return { scrub: (memory) => remote.scrub(memory) };
  };
}
