/** Keeps definitions for the coordinator, and knows whether that works: guests do, whatever storage does. */
import type { Definition } from './definition.ts';
import type { DefinitionStore, KeptFile, LoadedDefinitions } from './definition-store.ts';
import { messageOf } from './errors.ts';

/** Whether definitions outlast the page. */
export interface StorageStatus {
  readonly works: boolean;
  /** Where it does not: what that means and what to do. */
  readonly message?: string;
}

export class DefinitionKeeper {
  readonly #store: DefinitionStore | undefined;
  readonly #changed: () => void;
  readonly #kept = new Set<string>();
  #status: StorageStatus = { works: true };

  /** @param changed {@link status} has */
  constructor(store: DefinitionStore | undefined, changed: () => void) {
    this.#store = store;
    this.#changed = changed;
    if (store === undefined) this.#status = { works: false, message: notKept('this page has no storage') };
  }

  get status(): StorageStatus {
    return this.#status;
  }

  /** What is kept, as far as is known. */
  has(id: string): boolean {
    return this.#kept.has(id);
  }

  async load(): Promise<LoadedDefinitions> {
    const loaded = await this.#try((store) => store.load());
    if (loaded === undefined) return { definitions: new Map(), unreadable: new Map() };
    for (const id of loaded.definitions.keys()) this.#kept.add(id);
    return loaded;
  }

  /** Ids that are taken in storage, by whatever. */
  async ids(): Promise<ReadonlySet<string>> {
    return new Set(await this.#try((store) => store.ids()));
  }

  async save(id: string, definition: Definition): Promise<void> {
    const saved = await this.#try(async (store) => {
      await store.save(id, definition);
      return true;
    });
    if (saved) this.#kept.add(id);
  }

  /** False: storage failed, which {@link status} tells. */
  async saveFile(id: string, file: KeptFile, content: Blob): Promise<boolean> {
    return (
      (await this.#try(async (store) => {
        await store.saveFile(id, file, content);
        return true;
      })) ?? false
    );
  }

  file(id: string, file: KeptFile): Promise<Blob | undefined> {
    return this.#try((store) => store.file(id, file));
  }

  async delete(id: string): Promise<void> {
    if (!this.#kept.delete(id)) return;
    await this.#try((store) => store.delete(id));
  }

  /** Undefined where there is no storage, or it fails. */
  async #try<T>(work: (store: DefinitionStore) => Promise<T>): Promise<T | undefined> {
    if (this.#store === undefined) return undefined;
    try {
      const result = await work(this.#store);
      this.#tell({ works: true });
      return result;
    } catch (error) {
      this.#tell({ works: false, message: notKept(`storage failed: ${messageOf(error)}`) });
      return undefined;
    }
  }

  #tell(status: StorageStatus): void {
    const { works, message } = this.#status;
    if (works === status.works && message === status.message) return;
    this.#status = status;
    this.#changed();
  }
}

function notKept(why: string): string {
  return (
    `What you define or change is not kept when this page closes (${why}). Guests work as ever. ` +
    'Allow this site to store data, or export what you want to keep.'
  );
}
