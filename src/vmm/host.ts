/** What the coordinator needs of its surroundings. The page gives the browser's (`browser.ts`), tests their own. */
import type { ControlPage } from '../abi/control.ts';
import type { ExecutorApi } from '../abi/executor.ts';
import type { ProcessorApi } from '../abi/processor.ts';
import type { StorageApi, StorageEvent } from '../abi/storage.ts';
import type { DefinitionStore } from './definition-store.ts';
import type { DiskRegistry } from './disk-registry.ts';
import type { CopyOptions, CopyResult } from './guest-copy.ts';
import type { MemoryPoolOptions } from './memory-pool.ts';

/** An executor worker, from outside. */
export interface ExecutorHandle {
  readonly api: ExecutorApi;
  /** Resolves with what is known when the worker died of itself; never after {@link terminate}. */
  readonly died: Promise<string>;
  /** Ends the worker without notice. It may still run for a moment. Once is enough, twice does no harm. */
  terminate(): void;
  /**
   * Kills the thread that runs the guest or ran it last, which others use too, as if it had died by itself; resolves when it is
   * known whether it had the guest: `died` tells of that. Absent: the thread is the guest's own.
   */
  readonly kill?: (() => Promise<boolean>) | undefined;
  /** Is given the control page through which the coordinator rings, where it needs that. */
  connect?(control: ControlPage): void;
}

/** A processor worker of bare-metal mode, from outside. A call of one that died rejects. */
export interface ProcessorHandle {
  readonly api: ProcessorApi;
  /** Resolves with what is known when the worker died, or was terminated. */
  readonly died: Promise<string>;
  /** Ends the worker without notice. It may still run for a moment. @param why what those who wait for it are told */
  terminate(why: string): void;
}

/** The storage worker, from outside. */
export interface StorageHandle {
  readonly api: StorageApi;
  /** Resolves with what is known when the worker died. */
  readonly died: Promise<string>;
}

/** Small settings of the user's that outlast the page. Where storage fails nothing is read, and writing does nothing. */
export interface Settings {
  read(key: string): string | undefined;
  write(key: string, value: string): void;
}

/** A copy of a guest to another memory, made off the main thread. A call rejects where the copy cannot be made. */
export interface CopyJob {
  /** Copies what the guest holds while it runs, so that {@link finish} takes less time. */
  ahead(): Promise<void>;
  /** Makes the copy, while the guest is at rest. */
  finish(options: CopyOptions): Promise<CopyResult>;
  /** Nothing more is asked for. */
  end(): void;
}

export interface Host {
  /** Undefined if guests can run here, else what is missing and what to do. */
  readonly obstacle: string | undefined;
  /** Address of the page, for relative addresses and to know what another origin is. */
  readonly pageUrl: string;
  readonly catalogueUrl: string;
  readonly fetch: typeof fetch;
  /** Compiles `core.wasm`; asked for once. */
  readonly loadCore: () => Promise<WebAssembly.Module>;
  readonly createExecutor: (name: string) => ExecutorHandle;
  /** Absent: no bare-metal mode here. */
  readonly createProcessor?: (name: string) => ProcessorHandle;
  /** Processors that the host has; absent: 1. */
  readonly hardwareConcurrency?: number;
  readonly scrub: MemoryPoolOptions['scrub'];
  /** Begins to copy a guest; the destination is all zero, and as large as the source. */
  readonly beginCopy: (source: WebAssembly.Memory, destination: WebAssembly.Memory) => CopyJob;
  /** Memories were dropped: has all threads collect their garbage, so that the host gets them back. Absent: they do so alone. */
  readonly collectGarbage?: () => void;
  /** Makes a guest memory; absent: the host's own constructor. */
  readonly allocate?: MemoryPoolOptions['allocate'];
  /** Memory of the device in GiB, as far as the browser says; absent: it does not. */
  readonly deviceMemoryGiB?: number;
  /** Absent: settings last as long as the page. */
  readonly settings?: Settings;
  /** Keeps definitions of guests; absent: nothing is kept. */
  readonly definitions?: DefinitionStore;
  /** Which disks are kept; and the worker that serves them. Absent: there are no disks. */
  readonly disks?: DiskRegistry;
  readonly createStorage?: (onEvent: (event: StorageEvent) => void) => StorageHandle;
  /** Locks that all tabs share. */
  readonly locks?: LockManager;
  /** Asks the browser not to throw the page's storage away when space gets short. */
  readonly persist?: () => Promise<boolean>;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Asks the user whether to boot what lies at other origins. */
  readonly confirmForeign: (urls: readonly string[]) => Promise<boolean>;
}
