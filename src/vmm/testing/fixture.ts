/** A coordinator on pretended executors, a catalogue and files, for tests. */
import { Coordinator } from '../coordinator.ts';
import { GuestCopy } from '../guest-copy.ts';
import type { ExecutorHandle, Host } from '../host.ts';
import { FakeExecutor } from './fake-executor.ts';

const page = 'http://localhost/';

/** What a pretended executor takes for a kernel. */
export function kernelImage(): Uint8Array<ArrayBuffer> {
  const kernel = new Uint8Array(4096);
  kernel.set(new TextEncoder().encode('HdrS'), 0x202);
  return kernel;
}

const entry = (id: string, name: string, kernel = 'vmlinuz') => ({
  id,
  name,
  memoryMiB: 16,
  commandLine: 'console=ttyS0',
  kernel: { file: kernel },
  initrd: { file: 'initrd.gz' },
});

const files: Record<string, () => Response> = {
  '/manifest.json': () =>
    Response.json({
      format: 1,
      guests: [
        entry('amd64', 'Linux (64-bit)'),
        entry('i386', 'Linux (32-bit)'),
        entry('noKernel', 'Text', 'text'),
        entry('missing', 'Missing', 'missing'),
        { ...entry('short', 'Short'), initrd: { file: 'initrd.gz', sizeBytes: 3000 } },
      ],
    }),
  '/vmlinuz': () => new Response(kernelImage()),
  '/initrd.gz': () => new Response(new Uint8Array(2000)),
  '/text': () => new Response('not a kernel'),
};

export interface Fixture {
  readonly vmm: Coordinator;
  /** The executors in the order of their making. */
  readonly handles: (ExecutorHandle & { readonly die: (message: string) => void; readonly api: FakeExecutor })[];
  /** What the user was asked to agree to. */
  readonly asked: string[][];
}

const fixtures: Coordinator[] = [];

export function fixture(over: Partial<Host> = {}, limitMiB = 1024): Fixture {
  const handles: Fixture['handles'] = [];
  const asked: string[][] = [];
  const vmm = new Coordinator(
    {
      obstacle: undefined,
      pageUrl: page,
      catalogueUrl: `${page}manifest.json`,
      fetch: (url) => {
        const { pathname } = new URL(String(url));
        return Promise.resolve(files[pathname]?.() ?? new Response('', { status: 404 }));
      },
      loadCore: () => Promise.resolve(new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]))),
      createExecutor: () => {
        let die: (message: string) => void = () => {};
        const died = new Promise<string>((resolve) => (die = resolve));
        const handle = { api: new FakeExecutor(), died, die, terminate: () => {} };
        handles.push(handle);
        return handle;
      },
      scrub: (memory) => {
        new Uint8Array(memory.buffer).fill(0);
        return Promise.resolve();
      },
      beginCopy: (source, destination) => {
        const copy = new GuestCopy(source.buffer, destination.buffer);
        return {
          ahead: () => Promise.resolve(copy.ahead()),
          finish: (options) => Promise.resolve(copy.finish(options)),
          end: () => {},
        };
      },
      now: () => performance.now(),
      confirmForeign: (urls) => {
        asked.push([...urls]);
        return Promise.resolve(false);
      },
      ...over,
    },
    { memoryLimitBytes: limitMiB * 2 ** 20 },
  );
  fixtures.push(vmm);
  return { vmm, handles, asked };
}

/** Boots a guest of the catalogue to its prompt; resolves to its id. */
export async function running(vmm: Coordinator, catalogueId = 'amd64'): Promise<string> {
  const id = await vmm.create(catalogueId);
  await vmm.start(id);
  await vmm.waitForText(id, /guest ready[^]*# $/);
  return id;
}

/** To be called after each test. */
export async function endFixtures(): Promise<void> {
  for (const vmm of fixtures.splice(0)) for (const { id } of vmm.list()) await vmm.kill(id);
}
