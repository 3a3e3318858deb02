import { afterEach, describe, expect, it } from 'vitest';
import type { VmmEvent } from './coordinator.ts';
import { memoryDefinitions, type DefinitionStore } from './definition-store.ts';
import { definitionDefaults } from './definition.ts';
import { endFixtures, fixture, kernelImage } from './testing/fixture.ts';

afterEach(endFixtures);

const box = { name: 'My Box', catalogueId: 'i386', memoryMiB: 32 };

/** Addresses of this page's files, too, as a browser has them. */
const withFiles: typeof fetch = (address) => fetch(address);

/** The page opened anew, with what the store has. */
async function visit(definitions: DefinitionStore) {
  const { vmm } = fixture({ definitions });
  return { vmm, autostart: await vmm.definitions.load() };
}

describe('definitions', () => {
  it('survive the page, with every change', async () => {
    const store = memoryDefinitions();
    const { vmm } = await visit(store);
    const id = await vmm.definitions.define(box);
    expect(id).toBe('my-box');
    await vmm.definitions.edit(id, { weight: 512, capPercent: 25, hardAffinity: [1] });
    await vmm.definitions.edit(id, { commandLine: 'quiet', autostart: true });
    await vmm.definitions.rename(id, 'Other');
    const gone = await vmm.definitions.define({ ...box, name: 'Gone' });
    await vmm.remove(gone);

    const again = await visit(store);
    expect(again.autostart).toEqual([id]);
    expect(again.vmm.list()).toEqual([
      {
        id,
        name: 'Other',
        kept: true,
        transient: false,
        status: { state: 'defined' },
        definition: {
          ...definitionDefaults,
          ...box,
          name: 'Other',
          weight: 512,
          capPercent: 25,
          hardAffinity: [1],
          commandLine: 'quiet',
          autostart: true,
        },
      },
    ]);
    await again.vmm.start(id);
    await again.vmm.waitForText(id, /Linux version .*Other\r\n.*Command line: quiet\r\n/);
    expect(again.vmm.share(id)).toEqual({ weight: 512, cap: 25, affinity: { hard: [1], soft: [] } });
    // What the catalogue says counts again.
    await again.vmm.definitions.edit(id, { commandLine: undefined });
    await again.vmm.kill(id);
    await again.vmm.start(id);
    await again.vmm.waitForText(id, 'Command line: console=ttyS0');
  });

  it('take what is not said from the catalogue', async () => {
    const { vmm } = await visit(memoryDefinitions());
    const id = await vmm.definitions.define({ catalogueId: 'amd64' });
    expect(vmm.get(id).definition).toEqual({
      ...definitionDefaults,
      name: 'Linux (64-bit)',
      catalogueId: 'amd64',
      memoryMiB: 16,
    });
    await expect(vmm.definitions.define({ catalogueId: 'nonesuch' })).rejects.toMatchObject({
      code: 'unknownCatalogueId',
    });
    await expect(vmm.definitions.define({ ...box, memoryMiB: 1 })).rejects.toMatchObject({ code: 'badDefinition' });
    await expect(vmm.definitions.edit(id, { name: '' })).rejects.toMatchObject({ code: 'badDefinition' });
    expect(vmm.get(id).name).toBe('Linux (64-bit)');
    expect(vmm.list()).toHaveLength(1);
  });

  it('can be copied; a template is what copies are made from, and does not run', async () => {
    const store = memoryDefinitions();
    const { vmm } = await visit(store);
    const id = await vmm.definitions.define({ ...box, autostart: true });
    const copy = await vmm.definitions.duplicate(id);
    expect(vmm.get(copy)).toMatchObject({ id: 'copy-of-my-box', name: 'Copy of My Box', kept: true });
    expect(vmm.get(copy).definition.autostart).toBe(false);

    await vmm.definitions.edit(id, { template: true, autostart: false });
    await expect(vmm.start(id)).rejects.toMatchObject({
      code: 'wrongState',
      message: 'My Box is a template: duplicate it, and start the copy.',
    });
    const made = await vmm.definitions.duplicate(id, { name: 'Made' });
    await vmm.start(made);
    await expect(vmm.definitions.edit(made, { template: true })).rejects.toMatchObject({ code: 'wrongState' });
    expect((await visit(store)).vmm.list().map((guest) => guest.id)).toEqual([id, copy, made]);
  });

  it('are kept of guests from elsewhere only if one says so', async () => {
    const store = memoryDefinitions();
    const { vmm } = await visit(store);
    const id = await vmm.create('amd64', { memoryMiB: 64 });
    expect(vmm.get(id)).toMatchObject({ kept: false, transient: true });
    // A change of what is not kept is not kept either.
    await vmm.definitions.rename(id, 'Mine');
    expect((await visit(store)).vmm.list()).toEqual([]);
    await vmm.definitions.keep(id);
    expect(vmm.get(id)).toMatchObject({ kept: true, transient: false });
    expect((await visit(store)).vmm.get(id)).toMatchObject({ name: 'Mine', definition: { memoryMiB: 64 } });
  });

  it('are kept with the files of this computer that they name', async () => {
    const store = memoryDefinitions();
    const { vmm } = fixture({ definitions: store, fetch: withFiles });
    await vmm.definitions.load();
    const kernelUrl = URL.createObjectURL(new Blob([kernelImage()]));
    const source = { name: 'File', kernelUrl, commandLine: 'quiet', memoryMiB: 16 };
    const id = await vmm.create(source);
    await vmm.definitions.edit(id, { memoryMiB: 32 });
    expect(vmm.get(id).definition.kernelUrl).toBe(kernelUrl);
    await vmm.definitions.keep(id);
    const copy = await vmm.definitions.duplicate(id);
    expect(vmm.get(copy).definition).toMatchObject({ kernelUrl: 'kept:', memoryMiB: 32 });
    await vmm.remove(id);
    URL.revokeObjectURL(kernelUrl);

    const again = await visit(store);
    await again.vmm.start(copy);
    await again.vmm.waitForText(copy, 'Command line: quiet');
    // Elsewhere the file is not there.
    const elsewhere = await visit(memoryDefinitions());
    const there = await elsewhere.vmm.definitions.import(again.vmm.definitions.export(copy));
    await expect(elsewhere.vmm.start(there)).rejects.toMatchObject({
      code: 'fetchFailed',
      message: expect.stringMatching(/not in the storage of this browser: choose it again/) as string,
    });
    expect(await store.file(id, 'kernel')).toBeUndefined();
    await again.vmm.remove(copy);
    expect(await store.file(copy, 'kernel')).toBeUndefined();
  });

  it('go elsewhere as a file', async () => {
    const { vmm } = await visit(memoryDefinitions());
    const id = await vmm.definitions.define({ ...box, weight: 100 });
    const elsewhere = await visit(memoryDefinitions());
    const there = await elsewhere.vmm.definitions.import(vmm.definitions.export(id));
    expect(elsewhere.vmm.get(there)).toEqual(vmm.get(id));
    await expect(elsewhere.vmm.definitions.import('{}')).rejects.toMatchObject({ code: 'badDefinition' });
  });

  it('that cannot be read are told of, and left alone', async () => {
    const kept = new Map<string, unknown>([
      ['my-box', { name: 'My Box', future: true }],
      ['good', { ...definitionDefaults, ...box }],
    ]);
    const store = memoryDefinitions(kept);
    const { vmm } = fixture({ definitions: store });
    const events: VmmEvent[] = [];
    vmm.subscribe((event) => void events.push(event));
    await vmm.definitions.load();
    expect(vmm.list().map((guest) => guest.id)).toEqual(['good']);
    expect(events.find((event) => event.kind === 'log')).toMatchObject({
      id: 'my-box',
      line: expect.stringMatching(/cannot be read.*no field "future"/) as string,
    });
    expect(await vmm.definitions.define(box)).toBe('my-box-2');
    expect(await store.ids()).toEqual(['my-box', 'good', 'my-box-2']);
  });

  it('of another tab are not overwritten', async () => {
    const store = memoryDefinitions();
    const [a, b] = [await visit(store), await visit(store)];
    expect(await a.vmm.definitions.define(box)).toBe('my-box');
    expect(await b.vmm.definitions.define(box)).toBe('my-box-2');
    expect((await visit(store)).vmm.list()).toHaveLength(2);
  });

  it('are not kept where storage fails: guests work, and the page is told', async () => {
    let works = false;
    const kept = memoryDefinitions();
    const attempt = <T>(work: () => Promise<T>): Promise<T> =>
      works ? work() : Promise.reject(new DOMException('denied', 'SecurityError'));
    const store: DefinitionStore = {
      load: () => attempt(() => kept.load()),
      ids: () => attempt(() => kept.ids()),
      save: (id, definition) => attempt(() => kept.save(id, definition)),
      delete: (id) => attempt(() => kept.delete(id)),
      saveFile: (...parameters) => attempt(() => kept.saveFile(...parameters)),
      file: (...parameters) => attempt(() => kept.file(...parameters)),
    };
    const { vmm } = fixture({ definitions: store });
    const told: boolean[] = [];
    vmm.subscribe(({ kind }) => void (kind === 'storage' && told.push(vmm.definitions.storage.works)));
    expect(await vmm.definitions.load()).toEqual([]);
    const id = await vmm.definitions.define(box);
    expect(vmm.get(id)).toMatchObject({ kept: false, transient: false });
    expect(vmm.definitions.storage).toEqual({
      works: false,
      message: expect.stringMatching(/not kept when this page closes \(storage failed: denied\)/) as string,
    });
    await vmm.start(id);
    // Given back: what is kept from now on is.
    works = true;
    await vmm.definitions.keep(id);
    expect(vmm.get(id).kept).toBe(true);
    expect(told).toEqual([false, true]);
    // Taken away while a guest runs.
    works = false;
    await vmm.definitions.rename(id, 'Renamed');
    expect(vmm.get(id)).toMatchObject({ name: 'Renamed', status: { state: 'running' } });
    expect(told).toEqual([false, true, false]);
    expect((await visit(kept)).vmm.get(id).name).toBe('My Box');
    const none = fixture();
    expect(none.vmm.definitions.storage.works).toBe(false);
  });
});
