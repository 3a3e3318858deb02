/**
 * Where definitions of guests are kept between visits. The coordinator works without: a store that fails is told of, and
 * guests then last as long as the page.
 */
import { createStore, del, delMany, entries, get, keys, set, type UseStore } from 'idb-keyval';
import { parseDefinition, type Definition } from './definition.ts';
import { messageOf } from './errors.ts';

/** Definitions by the id of their guest. Every method may reject: storage can be refused, full, or taken away. */
export interface DefinitionStore {
  load(): Promise<LoadedDefinitions>;
  ids(): Promise<readonly string[]>;
  save(id: string, definition: Definition): Promise<void>;
  /** Takes its files out, too. */
  delete(id: string): Promise<void>;
  /** Files of this computer that a guest boots. A Blob is kept by reference until it is written: it may be large. */
  saveFile(id: string, file: KeptFile, content: Blob): Promise<void>;
  file(id: string, file: KeptFile): Promise<Blob | undefined>;
}

export const keptFiles = ['kernel', 'initrd'] as const;

export type KeptFile = (typeof keptFiles)[number];

const fileKey = (id: string, file: KeptFile) => `${id}/${file}`;

export interface LoadedDefinitions {
  readonly definitions: ReadonlyMap<string, Definition>;
  /** What cannot be read, by id: it is left where it is. Whole sentences. */
  readonly unreadable: ReadonlyMap<string, string>;
}

/** Keeps them while the page lasts. For tests. */
export function memoryDefinitions(initial: ReadonlyMap<string, unknown> = new Map()): DefinitionStore {
  const kept = new Map(initial);
  const files = new Map<string, Blob>();
  return {
    load: () => Promise.resolve(parseAll(kept)),
    ids: () => Promise.resolve([...kept.keys()]),
    save: (id, definition) => Promise.resolve(void kept.set(id, structuredClone(definition))),
    delete: (id) => {
      kept.delete(id);
      for (const file of keptFiles) files.delete(fileKey(id, file));
      return Promise.resolve();
    },
    saveFile: (id, file, content) => Promise.resolve(void files.set(fileKey(id, file), content)),
    file: (id, file) => Promise.resolve(files.get(fileKey(id, file))),
  };
}

/** What of storage that does not answer, as private windows of some browsers have it. */
const answerLimitMs = 5000;

/** Keeps them in IndexedDB, for this browser and the page's origin. */
export function indexedDbDefinitions(): DefinitionStore {
  // Opened with the first request and not now: where there is no IndexedDB that throws.
  let opened: UseStore | undefined;
  let openedFiles: UseStore | undefined;
  const store = () => (opened ??= createStore('tabvisor', 'definitions'));
  // A data base of its own: to add a store to the first one would have to wait for all other tabs.
  const files = () => (openedFiles ??= createStore('tabvisor-files', 'files'));
  return {
    load: () => inTime(async () => parseAll(new Map(await entries<string, unknown>(store())))),
    ids: () => inTime(() => keys<string>(store())),
    save: (id, definition) => inTime(() => set(id, definition, store())),
    delete: (id) =>
      inTime(async () => {
        await del(id, store());
        const present = await keys<string>(files());
        await delMany(
          keptFiles.map((file) => fileKey(id, file)).filter((key) => present.includes(key)),
          files(),
        );
      }),
    saveFile: (id, file, content) => inTime(() => set(fileKey(id, file), content, files())),
    file: (id, file) => inTime(() => get<Blob>(fileKey(id, file), files())),
  };
}

async function inTime<T>(work: () => Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('the browser does not answer')), answerLimitMs);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Storage is foreign bytes: another version of the page, or another page of this origin, may have written there. */
function parseAll(kept: ReadonlyMap<string, unknown>): LoadedDefinitions {
  const definitions = new Map<string, Definition>();
  const unreadable = new Map<string, string>();
  for (const [id, value] of kept) {
    try {
      definitions.set(id, parseDefinition(value));
    } catch (error) {
      unreadable.set(id, messageOf(error));
    }
  }
  return { definitions, unreadable };
}
