import { describe, expect, it } from 'vitest';
import { fetchCatalogue, guestsOfQuery, parseManifest, parseMemoryMiB } from './catalogue.ts';

const page = 'http://localhost:5173/';
const manifest = {
  format: 1,
  guests: [
    {
      id: 'linux-i386',
      name: 'Linux (32-bit)',
      arch: 'i386',
      memoryMiB: 128,
      commandLine: 'console=ttyS0 cryptomgr.notests',
      kernel: { file: 'linux-i386/vmlinuz', sizeBytes: 5 },
      initrd: { file: 'linux-i386/initrd.gz', sizeBytes: 6 },
      packages: [{ name: 'busybox-static', version: '1:1.35' }],
    },
  ],
};

describe('manifest', () => {
  it('yields sources with addresses and sizes', () => {
    expect(parseManifest(manifest, `${page}guests/manifest.json`)).toMatchObject([
      {
        catalogueId: 'linux-i386',
        kernelUrl: `${page}guests/linux-i386/vmlinuz`,
        kernelBytes: 5,
        initrdBytes: 6,
        memoryMiB: 128,
        packages: ['busybox-static 1:1.35'],
      },
    ]);
  });

  it.each([null, [], {}, { format: 2, guests: [] }, { format: 1 }, { format: 1, guests: [{}] }])(
    'refuses %j',
    (broken) => {
      expect(() => parseManifest(broken, page)).toThrow();
    },
  );

  it('says what to do when there is none', async () => {
    const answer = (response: Response) => () => Promise.resolve(response);
    await expect(fetchCatalogue(page, answer(new Response('', { status: 404 })))).rejects.toThrow(/npm run guests/);
    await expect(fetchCatalogue(page, answer(new Response('<html>')))).rejects.toThrow(/broken/);
    await expect(fetchCatalogue(page, () => Promise.reject(new Error('offline')))).rejects.toThrow(/offline/);
  });
});

describe('query', () => {
  it('boots every guest that it names', () => {
    const requests = guestsOfQuery('?guest=linux-amd64&guest=linux-i386&mem=1G', page);
    expect(requests).toEqual([
      { kind: 'catalogue', id: 'linux-amd64', overrides: { memoryMiB: 1024 } },
      { kind: 'catalogue', id: 'linux-i386', overrides: { memoryMiB: 1024 } },
    ]);
  });

  it("takes a kernel of one's own", () => {
    const [request] = guestsOfQuery('?kernel=/k/bzImage&initrd=i.gz&append=quiet&mem=64', page);
    expect(request).toMatchObject({
      kind: 'own',
      source: {
        name: 'bzImage',
        kernelUrl: `${page}k/bzImage`,
        initrdUrl: `${page}i.gz`,
        commandLine: 'quiet',
        memoryMiB: 64,
      },
    });
  });

  it('tells what makes no sense', () => {
    expect(guestsOfQuery('?guest=a&mem=much', page)).toMatchObject([{ kind: 'invalid', name: 'a' }]);
    expect(guestsOfQuery('?kernel=javascript:alert(1)', page)).toMatchObject([{ kind: 'invalid' }]);
    expect(guestsOfQuery('', page)).toEqual([]);
  });

  it('reads sizes as QEMU does', () => {
    expect(['64', '64M', '1G', '1.5g', '8', '-1', 'x', ''].map(parseMemoryMiB)).toEqual([
      64,
      64,
      1024,
      1536,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });
});
