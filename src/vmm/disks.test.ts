/** What the coordinator decides about disks, with a storage worker and locks that are pretended. The real ones: `e2e`. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { DiskPlace, StorageApi, StorageResult } from '../abi/storage.ts';
import type { DiskRecord } from './disk-registry.ts';
import { Disks } from './disks.ts';
import type { Host, StorageHandle } from './host.ts';

class PretendedStorage implements StorageApi {
  readonly open_ = new Map<number, DiskPlace>();
  readonly removed: string[] = [];
  failure: StorageResult<never> | undefined;

  listen = () => Promise.resolve();
  attach = () => Promise.resolve();
  route = () => Promise.resolve();
  detach = () => Promise.resolve();
  retry = () => Promise.resolve();
  copy = () => Promise.resolve(this.failure ?? { ok: true as const });
  image = () => Promise.resolve({ ok: true as const, image: new Blob(['x']) });
  allocated = () => Promise.resolve(0);

  open(handle: number, place: DiskPlace, access: 'read' | 'write') {
    this.open_.set(handle, place);
    return Promise.resolve({ ok: true as const, sizeBytes: 1 << 20, readOnly: access === 'read' });
  }

  close(handle: number) {
    this.open_.delete(handle);
    return Promise.resolve({ ok: true as const });
  }

  remove(id: string) {
    this.removed.push(id);
    return Promise.resolve({ ok: true as const });
  }
}

/** Locks as one tab sees them. */
function pretendedLocks(): LockManager {
  const held: string[] = [];
  const request = async (name: string, options: LockOptions, act: (lock: Lock | null) => unknown): Promise<unknown> => {
    // It is waited for, as long as the signal says.
    if (options.mode !== 'shared' && held.includes(name)) throw new DOMException('it is held', 'TimeoutError');
    held.push(name);
    try {
      return await act({ name, mode: options.mode ?? 'exclusive' });
    } finally {
      held.splice(held.indexOf(name), 1);
    }
  };
  const query = () => Promise.resolve({ held: held.map((name) => ({ name })), pending: [] });
  return { request, query } as unknown as LockManager;
}

let storage: PretendedStorage;
let disks: Disks;
let changes: number;

beforeEach(() => {
  storage = new PretendedStorage();
  changes = 0;
  const records = new Map<string, DiskRecord>();
  const handle: StorageHandle = { api: storage, died: new Promise(() => {}) };
  const host: Partial<Host> = {
    pageUrl: 'https://page.example/',
    createStorage: () => handle,
    locks: pretendedLocks(),
    disks: {
      all: () => Promise.resolve([...records.values()]),
      save: (record) => Promise.resolve(void records.set(record.id, record)),
      forget: (id) => Promise.resolve(void records.delete(id)),
    },
  };
  disks = new Disks(host as Host, () => {
    changes++;
  });
});

describe('disks', () => {
  it('are made, listed, and deleted', async () => {
    const id = await disks.create({ name: 'My disk', sizeMiB: 8 });
    expect(await disks.create({ name: 'My disk', sizeMiB: 8 })).toBe('my-disk-2');
    expect(await disks.list()).toMatchObject([{ id, name: 'My disk', sizeBytes: 8 << 20, usedBy: undefined }, {}]);
    await disks.delete(id);
    expect([storage.removed, (await disks.list()).map((disk) => disk.id)]).toEqual([['my-disk'], ['my-disk-2']]);
    expect(changes).toBe(3);
  });

  it('refuse what makes no sense', async () => {
    await expect(disks.create({ name: 'x', sizeMiB: 0.5 })).rejects.toMatchObject({ code: 'badArgument' });
    await expect(disks.create({ name: ' ', sizeMiB: 5 })).rejects.toMatchObject({ code: 'badArgument' });
    await expect(disks.open('nothing', 'A', undefined)).rejects.toMatchObject({
      code: 'unknownDisk',
      message: /There is none yet/,
    });
    await expect(disks.open('ftp://a.example/x', 'A', undefined)).rejects.toMatchObject({ code: 'badArgument' });
  });

  it('have one writer, and any number of readers', async () => {
    const id = await disks.create({ name: 'Home', sizeMiB: 8 });
    const first = await disks.open(id, 'Box', undefined);
    await expect(disks.open(id, 'Other', undefined)).rejects.toMatchObject({
      code: 'diskInUse',
      message: /^Box has the disk "home" open/,
    });
    await expect(disks.delete(id)).rejects.toMatchObject({ code: 'diskInUse' });
    expect((await disks.list())[0]?.usedBy).toBe('Box');
    const reader = await disks.open(`${id},ro`, 'Other', undefined);
    expect([first.definition.readOnly, reader.definition.readOnly]).toEqual([false, true]);
    expect(await first.release()).toBe(true);
    await reader.release();
    const next = await disks.open(id, 'Other', undefined);
    expect(storage.open_.size).toBe(1);
    await next.release();
  });

  it('are taken from addresses relative to the page', async () => {
    const disk = await disks.open('images/base.img', 'Box', undefined);
    expect([...storage.open_.values()]).toEqual([{ kind: 'url', url: 'https://page.example/images/base.img' }]);
    expect(disk.definition.id).toBe('base-img');
    expect(Disks.urlsOf(['home', 'https://other.example/a,ro'], 'https://page.example/')).toEqual([
      'https://other.example/a',
    ]);
  });

  it('that could not be imported are not there', async () => {
    storage.failure = { ok: false, code: 'network', message: 'It broke off.' };
    await expect(disks.import('Half', new Blob(['x']))).rejects.toMatchObject({
      code: 'storage',
      message: 'It broke off.',
    });
    expect([await disks.list(), storage.open_.size]).toEqual([[], 0]);
  });
});

describe('a guest’s own disk', () => {
  const base = { url: 'https://page.example/guests/box/disk/1.json', sha256: 'ab', sizeBytes: 1 << 20 };

  it('stands on the catalogue’s image, and is found again', async () => {
    const id = await disks.ownDisk('box', base);
    expect(id).toBe('box');
    expect(await disks.ownDisk('box', { ...base, sha256: 'cd' })).toBe('box');
    expect(await disks.ownDisk('box-2', base)).toBe('box-2');
    await disks.open(id, 'Box', undefined);
    const { url, sha256 } = base;
    expect([...storage.open_.values()]).toMatchObject([{ kind: 'stored', id: 'box', base: { url, sha256 } }]);
  });

  it('is none that somebody has made by that name', async () => {
    await disks.create({ name: 'box', sizeMiB: 1 });
    expect(await disks.ownDisk('box', base)).toBe('box-2');
    expect(await disks.ownDisk('box', base)).toBe('box-2');
  });
});
