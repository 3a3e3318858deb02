/** The storage worker's side of {@link StorageApi}: opens disks, and serves the rings of the guests that have them. */
import { ControlPage } from '../abi/control.ts';
import { HostPage } from '../abi/host-page.ts';
import type { AttachOptions, Bell, DiskPlace, StorageApi, StorageEvent, StorageResult } from '../abi/storage.ts';
import type { Port } from '../base/port.ts';
import { type BlockLayer, readBytes } from './block.ts';
import { MemoryChunkStore } from './chunk-store.ts';
import { ChunkedDisk } from './chunked.ts';
import { StorageError, storageError } from './errors.ts';
import { FileDisk } from './file.ts';
import { HttpDisk } from './http.ts';
import { deleteDatabase, IndexedDbChunks } from './indexed-db.ts';
import { fetchPacked, PackedDisk } from './packed.ts';
import { DiskServer } from './server.ts';

interface OpenDisk {
  readonly layer: BlockLayer;
  server: DiskServer | undefined;
  control: ControlPage | undefined;
}

/** What is copied at a time from disk to disk. */
const copyBytes = 1 << 20;

export class StorageService implements StorageApi {
  readonly #disks = new Map<number, OpenDisk>();
  #events: Port | undefined;

  listen(port: Port): Promise<void> {
    this.#events = port;
    return Promise.resolve();
  }

  #tell(event: StorageEvent): void {
    this.#events?.postMessage(event);
  }

  #disk(handle: number): OpenDisk {
    const disk = this.#disks.get(handle);
    if (disk === undefined) throw new StorageError('closed', 'The disk is not open.');
    return disk;
  }

  open(
    handle: number,
    place: DiskPlace,
    access: 'read' | 'write',
  ): Promise<StorageResult<{ readonly sizeBytes: number; readonly readOnly: boolean }>> {
    return attempt(async () => {
      const layer = await openLayer(place, access === 'write');
      this.#disks.set(handle, { layer, server: undefined, control: undefined });
      return { sizeBytes: layer.sizeBytes, readOnly: !layer.capabilities.writable };
    });
  }

  attach(handle: number, { memory, address, bell }: AttachOptions): Promise<void> {
    const disk = this.#disk(handle);
    const control = new ControlPage(memory.buffer);
    control.alsoRings = ringerOf(bell);
    const tell = (kind: StorageEvent['kind']) => (error: StorageError) => {
      this.#tell({ kind, handle, message: error.message });
    };
    const server = new DiskServer({
      buffer: memory.buffer,
      address,
      layer: disk.layer,
      ring: () => control.ring(),
      onError: tell('error'),
      onStall: tell('stall'),
    });
    disk.server = server;
    disk.control = control;
    void server.serve();
    return Promise.resolve();
  }

  route(handle: number, bell: Bell | undefined): Promise<void> {
    const { control } = this.#disk(handle);
    if (control !== undefined) {
      control.alsoRings = ringerOf(bell);
      // What was rung on the way between two bells.
      control.ring();
    }
    return Promise.resolve();
  }

  detach(handle: number): Promise<void> {
    const disk = this.#disk(handle);
    disk.server?.stop();
    disk.server = undefined;
    disk.control = undefined;
    return Promise.resolve();
  }

  retry(handle: number): Promise<void> {
    this.#disk(handle).server?.retry();
    return Promise.resolve();
  }

  close(handle: number): Promise<StorageResult<object>> {
    return attempt(async () => {
      const { layer } = this.#disk(handle);
      await this.detach(handle);
      this.#disks.delete(handle);
      await layer.close();
      return {};
    });
  }

  copy(from: number, to: number): Promise<StorageResult<object>> {
    return attempt(async () => {
      const [source, target] = [this.#disk(from).layer, this.#disk(to).layer];
      for (let at = 0; at < source.sizeBytes; at += copyBytes) {
        const pieces = await source.read(at, Math.min(copyBytes, source.sizeBytes - at));
        if (pieces.some((piece) => piece.some((byte) => byte !== 0))) await target.write(at, pieces);
      }
      await target.flush();
      return {};
    });
  }

  image(handle: number): Promise<StorageResult<{ readonly image: Blob }>> {
    return attempt(async () => {
      const { layer } = this.#disk(handle);
      // The browser keeps large blobs outside of memory.
      const parts: Blob[] = [];
      for (let at = 0; at < layer.sizeBytes; at += copyBytes) {
        parts.push(new Blob([await readBytes(layer, at, Math.min(copyBytes, layer.sizeBytes - at))]));
      }
      return { image: new Blob(parts, { type: 'application/octet-stream' }) };
    });
  }

  allocated(handle: number): Promise<number> {
    const { layer } = this.#disk(handle);
    return Promise.resolve(layer instanceof ChunkedDisk ? layer.allocatedBytes : 0);
  }

  remove(id: string): Promise<StorageResult<object>> {
    return attempt(async () => {
      await deleteDatabase(id);
      return {};
    });
  }
}

async function openLayer(place: DiskPlace, writable: boolean): Promise<BlockLayer> {
  if (place.kind === 'stored') {
    const { id, sizeBytes, chunkBytes } = place;
    const base = place.base && (await PackedDisk.open(place.base, fetchPacked));
    const store = await IndexedDbChunks.open(id, writable);
    return ChunkedDisk.open({ store, sizeBytes, chunkBytes, writable, base });
  }
  const base =
    place.kind === 'file'
      ? new FileDisk(place.file)
      : await HttpDisk.open(place.url, (url, options) => fetch(url, options));
  // Its cache, and where it is written to.
  return ChunkedDisk.open({ store: new MemoryChunkStore(), base, sizeBytes: base.sizeBytes, writable });
}

function ringerOf(bell: Bell | undefined): ((urgent: boolean) => void) | undefined {
  if (bell === undefined) return undefined;
  const page = new HostPage(bell.page);
  return (urgent) => {
    page.wake(bell.vcpu, urgent);
  };
}

async function attempt<T extends object>(act: () => Promise<T>): Promise<StorageResult<T>> {
  try {
    return { ok: true, ...(await act()) };
  } catch (error) {
    const { code, message } = storageError(error);
    return { ok: false, code, message };
  }
}
