/**
 * Guests that outlast the page: their definitions are kept in the browser's storage, and can be edited, copied, and
 * carried elsewhere as files. `window.tabvisor.definitions` is one.
 *
 * A guest that was made by `create`, or by the page's address, is transient: it lasts as long as the page, unless one
 * keeps it ({@link Definitions.keep}). A guest that is kept and removed is forgotten (`remove`).
 *
 * @example in the page's developer console
 * const id = await tabvisor.definitions.define({ name: 'Box', catalogueId: 'linux-i386', memoryMiB: 64 });
 * await tabvisor.definitions.edit(id, { autostart: true });
 * const text = tabvisor.definitions.export(id);
 */
import type { CatalogueEntry } from './catalogue.ts';
import { DefinitionKeeper, type StorageStatus } from './definition-keeper.ts';
import { keptFiles, type DefinitionStore, type KeptFile } from './definition-store.ts';
import {
  definitionDefaults,
  definitionFile,
  keptFileUrl,
  parseDefinition,
  parseDefinitionFile,
  type Definition,
  type DefinitionChanges,
  type DefinitionField,
} from './definition.ts';
import { VmmError } from './errors.ts';
import type { Guest } from './guest.ts';
import { catalogueEntry, definitionOfEntry, slugOf } from './sources.ts';

/** What definitions need of the coordinator. */
export interface DefinitionSurroundings {
  readonly guests: () => ReadonlyMap<string, Guest>;
  /** @throws VmmError `unknownGuest` */
  readonly guest: (id: string) => Guest;
  /** An id made from `base` that no guest has, and that is none of `taken`. */
  readonly freeId: (base: string, taken: ReadonlySet<string>) => string;
  /** Adds a guest to the page. */
  readonly add: (id: string, definition: Definition) => void;
  readonly catalogue: () => Promise<readonly CatalogueEntry[]>;
  readonly fetch: typeof fetch;
  /** The list of guests, or what it shows of one, has changed. */
  readonly changed: () => void;
  readonly storageChanged: () => void;
  /** A line about a guest for the developer. */
  readonly log: (id: string, line: string) => void;
}

export class Definitions {
  readonly #keeper: DefinitionKeeper;
  readonly #around: DefinitionSurroundings;
  /** Guests that are not transient, whether or not storage has them. */
  readonly #own = new Set<string>();

  constructor(store: DefinitionStore | undefined, around: DefinitionSurroundings) {
    this.#around = around;
    this.#keeper = new DefinitionKeeper(store, () => around.storageChanged());
  }

  /** Whether what {@link define} and {@link edit} do outlasts the page. */
  get storage(): StorageStatus {
    return this.#keeper.status;
  }

  /**
   * Brings back the guests that were defined in earlier visits; to be called once. Returns the ids of those that are to
   * start with the page. What cannot be read is told as `log`, and left where it is.
   */
  async load(): Promise<string[]> {
    const { definitions, unreadable } = await this.#keeper.load();
    for (const [id, definition] of definitions) {
      // One that the user has made before storage answered has the id.
      if (this.#around.guests().has(id)) continue;
      this.#own.add(id);
      this.#around.add(id, definition);
    }
    for (const [id, why] of unreadable) {
      this.#around.log(id, `Its definition cannot be read, and is left as it is: ${why}`);
    }
    return [...definitions].filter(([, { autostart }]) => autostart).map(([id]) => id);
  }

  /**
   * Defines a guest that is kept: it is there again when the page is opened the next time. What is not given is the
   * catalogue's, or a default. Returns the guest's id, made from its name; it stays when the guest is renamed.
   * Where storage fails the guest lasts as long as the page: see {@link storage}.
   * @throws VmmError `badDefinition`, which says what is wrong with each field; `unknownCatalogueId`, `noCatalogue`
   */
  async define(settings: DefinitionChanges): Promise<string> {
    const { catalogueId } = settings;
    const base =
      catalogueId === undefined
        ? definitionDefaults
        : definitionOfEntry(catalogueEntry(await this.#around.catalogue(), catalogueId), {});
    const definition = parseDefinition({ ...base, ...settings });
    return this.#addKept(definition);
  }

  /**
   * Changes a definition; a field that is given as undefined goes. Counts from the next start on, the name at once.
   * @throws VmmError `badDefinition`; `wrongState` when a guest that runs is to become a template
   */
  async edit(id: string, changes: DefinitionChanges): Promise<void> {
    const guest = this.#around.guest(id);
    const definition = parseDefinition({ ...guest.definition, ...changes });
    if (definition.template && guest.alive) {
      throw new VmmError('wrongState', `${guest.definition.name} runs: stop it before you make it a template.`);
    }
    guest.definition = definition;
    this.#around.changed();
    if (this.#keeper.has(id)) await this.keep(id);
  }

  /** @throws VmmError `badDefinition` */
  rename(id: string, name: string): Promise<void> {
    return this.edit(id, { name });
  }

  /**
   * Defines a guest like another one, with what is to be different; of a template that is how guests are made. Returns
   * the id of the copy, which is kept, does not start with the page, and is no template.
   * @throws VmmError `badDefinition`
   */
  async duplicate(id: string, changes: DefinitionChanges = {}): Promise<string> {
    const { definition } = this.#around.guest(id);
    const name = `Copy of ${definition.name}`.slice(0, 80);
    const copy = parseDefinition({ ...definition, name, autostart: false, template: false, ...changes });
    return this.#addKept(copy, id);
  }

  /**
   * Keeps a guest that was made for this visit (by `create`, or by the page's address), and the files of this computer that
   * it boots. @throws VmmError `badDefinition`
   */
  async keep(id: string): Promise<void> {
    const guest = this.#around.guest(id);
    parseDefinition(guest.definition);
    this.#own.add(id);
    if (await this.#keepFiles(id, guest)) await this.#keeper.save(id, guest.definition);
    this.#around.changed();
  }

  /** Keeps a guest that was made like another one, with the files that the other one boots. */
  async keepCopy(id: string, original: string): Promise<void> {
    await this.#copyFiles(this.#around.guest(id).definition, original, id);
    await this.keep(id);
  }

  /** What a guest boots that is kept beside its definition. @throws Error where it is not there */
  async keptFile(id: string, file: KeptFile): Promise<Blob> {
    const content = await this.#keeper.file(id, file);
    if (content !== undefined) return content;
    throw new Error('it was a file that is not in the storage of this browser: choose it again, in "Edit"');
  }

  /** Keeps what the addresses of this page's files (`blob:`) stand for. False: storage failed. */
  async #keepFiles(id: string, guest: Guest): Promise<boolean> {
    for (const file of keptFiles) {
      const field = urlField[file];
      const url = guest.definition[field];
      if (url?.startsWith('blob:') !== true) continue;
      const response = await this.#around.fetch(url);
      if (!(await this.#keeper.saveFile(id, file, await response.blob()))) return false;
      guest.definition = { ...guest.definition, [field]: keptFileUrl };
    }
    return true;
  }

  /** The definition of a guest as the text of a file, for {@link import} here or elsewhere. */
  export(id: string): string {
    return definitionFile(this.#around.guest(id).definition);
  }

  /** Defines a guest from such a text. Returns its id. @throws VmmError `badDefinition`, which says what is wrong */
  async import(content: string): Promise<string> {
    return this.#addKept(parseDefinitionFile(content));
  }

  /** Whether the guest lasts as long as the page by intent, and not because storage fails. */
  isTransient(id: string): boolean {
    return !this.#own.has(id);
  }

  /** Whether the guest's definition is in storage. */
  keeps(id: string): boolean {
    return this.#keeper.has(id);
  }

  /** Takes a definition out of storage; the guest, if there is one, is transient then. */
  async forget(id: string): Promise<void> {
    this.#own.delete(id);
    await this.#keeper.delete(id);
  }

  /** @param original whose files it has */
  async #addKept(definition: Definition, original?: string): Promise<string> {
    // Those that cannot be read, and those of other tabs, are not to be overwritten.
    const taken = await this.#keeper.ids();
    const id = this.#around.freeId(slugOf(definition.name), taken);
    this.#own.add(id);
    this.#around.add(id, definition);
    if (original !== undefined) await this.#copyFiles(definition, original, id);
    await this.keep(id);
    return id;
  }

  async #copyFiles(definition: Definition, from: string, to: string): Promise<void> {
    for (const file of keptFiles) {
      if (definition[urlField[file]] !== keptFileUrl) continue;
      const content = await this.#keeper.file(from, file);
      if (content !== undefined) await this.#keeper.saveFile(to, file, content);
    }
  }
}

const urlField = { kernel: 'kernelUrl', initrd: 'initrdUrl' } as const satisfies Record<KeptFile, DefinitionField>;
