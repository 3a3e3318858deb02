/**
 * Virtual disks, as things of their own: `window.tabvisor.disks`. The coordinator decides who may open which (Web Locks, so
 * that tabs know of each other); the storage worker moves the bytes.
 *
 * A guest's definition names its disks by *references*: `ID` (for writing), `ID,ro`, or the address of a raw image, whose
 * changes are forgotten when the guest ends. Before those comes the guest's own disk, where the catalogue has an image for it.
 *
 * @example in the page's developer console
 * const id = await tabvisor.disks.create({ name: 'Home', sizeMiB: 64 });
 * await tabvisor.definitions.define({ name: 'Box', catalogueId: 'linux-amd64', disks: [id] });
 */
import type { GuestDisk } from '../abi/executor.ts';
import type { Bell, DiskPlace, StorageResult } from '../abi/storage.ts';
import type { BaseDisk } from './catalogue.ts';
import type { DiskRecord } from './disk-registry.ts';
import { AttachedDisk } from './disk-attachment.ts';
import { messageOf, VmmError } from './errors.ts';
import type { Host, StorageHandle } from './host.ts';
import { slugOf } from './sources.ts';

export interface DiskSummary extends DiskRecord {
  /** The guest that writes to it, in this tab or another; undefined: none does. */
  readonly usedBy: string | undefined;
}

const mib = 2 ** 20;
const chunkBytes = 256 * 1024;
const largestMiB = 64 * 1024;
/** How long a disk is waited for whose holder may be giving it up: two locks are let go one after the other. */
const releaseMs = 300;
const lockPrefix = 'tabvisor-disk:';
const holderPrefix = 'tabvisor-disk-holder:';

export class Disks {
  readonly #host: Host;
  readonly #changed: () => void;
  #storage: StorageHandle | undefined;
  #nextHandle = 1;
  readonly #attached = new Map<number, AttachedDisk>();

  constructor(host: Host, changed: () => void) {
    this.#host = host;
    this.#changed = changed;
  }

  /** Those that are kept in this browser. */
  async list(): Promise<DiskSummary[]> {
    const records = await this.#registry.all();
    const holders = await this.#holders();
    return records.map((record) => ({ ...record, usedBy: holders.get(record.id) }));
  }

  /** Makes an empty disk. Returns its id. @throws VmmError `badArgument`, `storage` */
  async create({ name, sizeMiB }: { readonly name: string; readonly sizeMiB: number }): Promise<string> {
    if (!Number.isInteger(sizeMiB) || sizeMiB < 1 || sizeMiB > largestMiB) {
      throw new VmmError('badArgument', `A disk can have from 1 to ${largestMiB} MiB, not ${sizeMiB}.`);
    }
    return this.#create(name, sizeMiB * mib);
  }

  /**
   * The disk of a guest whose catalogue entry has an image for it: the one that was made for it before, or a new one, which
   * takes room for what is written to it only. Returns its id. @throws VmmError `storage`
   */
  async ownDisk(guest: string, { url, sha256, sizeBytes }: BaseDisk): Promise<string> {
    const made = (await this.#registry.all()).find(({ madeFor }) => madeFor === guest);
    return made?.id ?? this.#create(guest, sizeBytes, { base: { url, sha256 }, madeFor: guest });
  }

  async #create(name: string, sizeBytes: number, more: Pick<DiskRecord, 'base' | 'madeFor'> = {}): Promise<string> {
    if (name.trim() === '' || name.length > 80) {
      throw new VmmError('badArgument', 'A disk needs a name of at most 80 characters.');
    }
    const taken = new Set((await this.#registry.all()).map(({ id }) => id));
    const base = slugOf(name);
    let id = base;
    for (let n = 2; taken.has(id); n++) id = `${base}-${n}`;
    await this.#registry.save({ id, name, sizeBytes, chunkBytes, created: Date.now(), ...more });
    // What a browser may throw away when space gets short is no place for a disk.
    await this.#host.persist?.();
    this.#changed();
    return id;
  }

  /** Makes a disk of a raw image: a file, or an address. Returns its id. @throws VmmError `storage` */
  async import(name: string, source: Blob | string): Promise<string> {
    const place: DiskPlace =
      typeof source === 'string'
        ? { kind: 'url', url: new URL(source, this.#host.pageUrl).href }
        : { kind: 'file', file: source };
    const { api } = this.#worker();
    const from = this.#nextHandle++;
    const { sizeBytes } = good(await api.open(from, place, 'read'));
    try {
      const id = await this.#create(name, sizeBytes);
      try {
        await this.#with(id, 'write', async (to) => good(await api.copy(from, to)));
        return id;
      } catch (error) {
        await this.delete(id);
        throw error;
      }
    } finally {
      await api.close(from);
    }
  }

  /** All of a disk, as a raw image. @throws VmmError `unknownDisk`, `storage` */
  async export(id: string): Promise<Blob> {
    return this.#with(id, 'read', async (handle) => good(await this.#worker().api.image(handle)).image as Blob);
  }

  /** What a disk takes of the browser's storage, in bytes. @throws VmmError `unknownDisk`, `storage` */
  async allocated(id: string): Promise<number> {
    return this.#with(id, 'read', (handle) => this.#worker().api.allocated(handle));
  }

  /** For good. @throws VmmError `unknownDisk`, `diskInUse`, `storage` */
  async delete(id: string): Promise<void> {
    await this.#record(id);
    const release = await this.#lock(id, 'Deletion');
    try {
      good(await this.#worker().api.remove(id));
      await this.#registry.forget(id);
    } finally {
      release();
    }
    this.#changed();
  }

  // For guests.

  /** The addresses of other sites that references name. */
  static urlsOf(references: readonly string[], pageUrl: string): string[] {
    return references.map((reference) => parseReference(reference, pageUrl)).flatMap(({ url }) => url ?? []);
  }

  /**
   * Opens what a reference names for a guest.
   * @throws VmmError `unknownDisk`, `diskInUse` (which says who has it), `storage`
   */
  async open(reference: string, guest: string, bell: Bell | undefined): Promise<AttachedDisk> {
    const { id, url, access } = parseReference(reference, this.#host.pageUrl);
    const place: DiskPlace = url === undefined ? await this.#placeOf(id) : { kind: 'url', url };
    const release = url === undefined && access === 'write' ? await this.#lock(id, guest) : () => {};
    const storage = this.#worker();
    const handle = this.#nextHandle++;
    try {
      const opened = good(await storage.api.open(handle, place, access));
      const definition: GuestDisk = { sizeBytes: opened.sizeBytes, readOnly: opened.readOnly, id: id.slice(0, 20) };
      const disk = new AttachedDisk({
        ...{ storage, handle, definition, bell },
        released: () => {
          this.#attached.delete(handle);
          release();
          this.#changed();
        },
      });
      this.#attached.set(handle, disk);
      this.#changed();
      return disk;
    } catch (error) {
      release();
      throw error;
    }
  }

  // What it stands on.

  get #registry(): NonNullable<Host['disks']> {
    if (this.#host.disks !== undefined) return this.#host.disks;
    throw new VmmError('storage', 'This page has no storage for disks.');
  }

  #worker(): StorageHandle {
    if (this.#storage !== undefined) return this.#storage;
    const { createStorage } = this.#host;
    if (createStorage === undefined) throw new VmmError('storage', 'This page has no storage for disks.');
    const storage = createStorage((event) => this.#attached.get(event.handle)?.onEvent(event));
    this.#storage = storage;
    void storage.died.then((message) => {
      this.#storage = undefined;
      for (const disk of this.#attached.values()) disk.fail(message);
    });
    return storage;
  }

  async #record(id: string): Promise<DiskRecord> {
    const records = await this.#registry.all();
    const record = records.find((one) => one.id === id);
    if (record !== undefined) return record;
    const advice =
      records.length === 0 ? 'There is none yet.' : `There are ${records.map((one) => one.id).join(', ')}.`;
    throw new VmmError('unknownDisk', `There is no disk "${id}" in this browser. ${advice}`);
  }

  async #placeOf(id: string): Promise<DiskPlace> {
    const { sizeBytes, chunkBytes, base } = await this.#record(id);
    return { kind: 'stored', id, sizeBytes, chunkBytes, base };
  }

  async #with<T>(id: string, access: 'read' | 'write', act: (handle: number) => Promise<T>): Promise<T> {
    const place = await this.#placeOf(id);
    const release = access === 'write' ? await this.#lock(id, 'Import') : () => {};
    const { api } = this.#worker();
    const handle = this.#nextHandle++;
    try {
      good(await api.open(handle, place, access));
      let result: T;
      try {
        result = await act(handle);
      } catch (error) {
        await api.close(handle);
        throw error;
      }
      good(await api.close(handle));
      return result;
    } finally {
      release();
    }
  }

  /** The right to write to a disk; the returned function gives it up. @throws VmmError `diskInUse` */
  async #lock(id: string, holder: string): Promise<() => void> {
    const { locks } = this.#host;
    if (locks === undefined) return () => {};
    let release: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const got = await new Promise<boolean>((resolve, reject) => {
      locks
        .request(`${lockPrefix}${id}`, { signal: AbortSignal.timeout(releaseMs) }, async () => {
          resolve(true);
          // Another lock, whose name tells who it is.
          await locks.request(`${holderPrefix}${id}:${holder}`, { mode: 'shared' }, () => held);
        })
        .catch((error: unknown) => {
          if (error instanceof DOMException && error.name === 'TimeoutError') resolve(false);
          else reject(error as Error);
        });
    });
    if (got) return release;
    const who = (await this.#holders()).get(id) ?? 'somebody';
    throw new VmmError(
      'diskInUse',
      `${who} has the disk "${id}" open for writing, in this tab or another. Stop that guest first, or open the disk ` +
        `read-only, as "${id},ro": it then shows what was saved last.`,
    );
  }

  async #holders(): Promise<Map<string, string>> {
    const { held = [] } = (await this.#host.locks?.query()) ?? {};
    const holders = new Map<string, string>();
    for (const { name = '' } of held) {
      const [, id, holder] = new RegExp(`^${holderPrefix}([^:]*):(.*)$`, 's').exec(name) ?? [];
      if (id !== undefined && holder !== undefined) holders.set(id, holder);
    }
    return holders;
  }
}

interface Reference {
  readonly id: string;
  readonly url: string | undefined;
  readonly access: 'read' | 'write';
}

/** @throws VmmError `badArgument` */
function parseReference(reference: string, pageUrl: string): Reference {
  const [, what = '', ro] = /^(.*?)(,ro)?$/s.exec(reference) ?? [];
  const access = ro === undefined ? 'write' : 'read';
  if (/^[a-z0-9-]+$/.test(what)) return { id: what, url: undefined, access };
  try {
    const { href, protocol, pathname } = new URL(what, pageUrl);
    if (!/^(https?|blob):$/.test(protocol)) throw new Error(`${protocol} cannot be fetched`);
    return { id: slugOf(pathname.split('/').at(-1) ?? ''), url: href, access };
  } catch (error) {
    throw new VmmError('badArgument', `"${reference}" is neither a disk nor an address: ${messageOf(error)}.`);
  }
}

/** @throws VmmError `storage` */
function good<T extends object>(result: StorageResult<T>): T {
  if (result.ok) return result;
  throw new VmmError('storage', result.message);
}
