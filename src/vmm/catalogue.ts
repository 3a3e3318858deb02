/**
 * The guests that the page offers (the manifest that `npm run guests` writes), and those that a URL asks for. The
 * manifest and the URL are foreign bytes: everything is checked, and what is wrong is said.
 */
import { guestRamMinimumBytes } from '../abi/executor.ts';
import type { PackedDiskPlace } from '../abi/storage.ts';
import { messageOf, VmmError } from './errors.ts';

/** The image that the disk of a guest stands on. */
export interface BaseDisk extends PackedDiskPlace {
  readonly sizeBytes: number;
}

/** What is to be booted, before anything of it is fetched. */
export interface GuestSource {
  /** Catalogue id, or undefined for a guest of one's own. */
  readonly catalogueId?: string;
  readonly name: string;
  /** Address of the kernel: bzImage, multiboot 1 or ELF. */
  readonly kernelUrl: string;
  readonly initrdUrl?: string;
  readonly commandLine: string;
  readonly memoryMiB: number;
  /** Sizes in bytes as the catalogue promises them: a shorter answer is a broken one. */
  readonly kernelBytes?: number;
  readonly initrdBytes?: number;
  readonly clock?: 'real' | 'virtual';
  /** Each guest that boots it has a disk of its own on this one, made at its first start. */
  readonly disk?: BaseDisk;
}

export interface CatalogueEntry extends GuestSource {
  readonly catalogueId: string;
  readonly description: string;
  readonly arch: string;
  /** For tests and benchmarks; the page does not list it. */
  readonly hidden: boolean;
  /** What it is made of: package names with versions. */
  readonly packages: readonly string[];
}

const defaultCommandLine = 'console=ttyS0';
const defaultMemoryMiB = 256;

type Json = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(from: Json, key: string, where: string): string {
  const value = from[key];
  if (typeof value !== 'string' || value === '') throw new Error(`${where} has no "${key}"`);
  return value;
}

function file(value: unknown, base: string, where: string): { url: string; bytes: number | undefined } {
  if (!isObject(value)) throw new Error(`${where} is not there`);
  const bytes = value['sizeBytes'];
  return {
    url: new URL(text(value, 'file', where), base).href,
    bytes: typeof bytes === 'number' ? bytes : undefined,
  };
}

function baseDisk(value: unknown, base: string, where: string): BaseDisk | undefined {
  if (value === undefined) return undefined;
  if (!isObject(value) || !isObject(value['index'])) throw new Error(`${where} has no index`);
  const { index, sizeBytes } = value;
  if (!Number.isSafeInteger(sizeBytes)) throw new Error(`${where} has no size`);
  return {
    url: file(index, base, where).url,
    sha256: text(index, 'sha256', where),
    sizeBytes: Number(sizeBytes),
  };
}

function parseEntry(value: unknown, index: number, base: string): CatalogueEntry {
  if (!isObject(value)) throw new Error(`guest ${index} is not an object`);
  const id = text(value, 'id', `guest ${index}`);
  const kernel = file(value['kernel'], base, `the kernel of ${id}`);
  const initrd = value['initrd'] === undefined ? undefined : file(value['initrd'], base, `the initrd of ${id}`);
  const disk = baseDisk(value['disk'], base, `the disk of ${id}`);
  const memory = value['memoryMiB'];
  const packages = Array.isArray(value['packages']) ? value['packages'].filter(isObject) : [];
  return {
    catalogueId: id,
    name: text(value, 'name', id),
    description: typeof value['description'] === 'string' ? value['description'] : '',
    arch: typeof value['arch'] === 'string' ? value['arch'] : '',
    hidden: value['hidden'] === true,
    commandLine: typeof value['commandLine'] === 'string' ? value['commandLine'] : defaultCommandLine,
    memoryMiB: typeof memory === 'number' ? memory : defaultMemoryMiB,
    kernelUrl: kernel.url,
    ...(kernel.bytes === undefined ? {} : { kernelBytes: kernel.bytes }),
    ...(initrd === undefined ? {} : { initrdUrl: initrd.url }),
    ...(initrd?.bytes === undefined ? {} : { initrdBytes: initrd.bytes }),
    ...(disk === undefined ? {} : { disk }),
    packages: packages.map((entry) => `${String(entry['name'])} ${String(entry['version'])}`),
  };
}

/** @param base address of the manifest, which the addresses in it are relative to. @throws Error */
export function parseManifest(manifest: unknown, base: string): CatalogueEntry[] {
  if (!isObject(manifest)) throw new Error('the manifest is not an object');
  if (manifest['format'] !== 1) throw new Error(`the manifest has format ${String(manifest['format'])}, not 1`);
  if (!Array.isArray(manifest['guests'])) throw new Error('the manifest lists no guests');
  return manifest['guests'].map((entry, index) => parseEntry(entry, index, base));
}

const howToBuild = 'Run "npm run guests" to build the guest images, or boot a kernel of your own with ?kernel=URL.';

/** Fetches the catalogue. @throws VmmError `noCatalogue` */
export async function fetchCatalogue(url: string, fetcher: typeof fetch): Promise<CatalogueEntry[]> {
  let response: Response;
  try {
    response = await fetcher(url);
  } catch (error) {
    throw new VmmError('noCatalogue', `The guest catalogue could not be fetched (${messageOf(error)}). ${howToBuild}`);
  }
  if (response.status === 404) throw new VmmError('noCatalogue', `No guest image has been built. ${howToBuild}`);
  if (!response.ok) {
    throw new VmmError(
      'noCatalogue',
      `The guest catalogue could not be fetched (HTTP ${response.status}). ${howToBuild}`,
    );
  }
  try {
    return parseManifest(await response.json(), response.url === '' ? url : response.url);
  } catch (error) {
    throw new VmmError('noCatalogue', `The guest catalogue is broken: ${messageOf(error)}. ${howToBuild}`);
  }
}

/** One guest that a URL asks for: an entry of the catalogue, or a kernel of one's own. */
export type GuestRequest =
  | { readonly kind: 'catalogue'; readonly id: string; readonly overrides: SourceOverrides }
  | { readonly kind: 'own'; readonly source: GuestSource }
  | { readonly kind: 'invalid'; readonly name: string; readonly message: string };

export interface SourceOverrides {
  readonly memoryMiB?: number;
  readonly commandLine?: string;
  readonly clock?: 'virtual';
  readonly disks?: readonly string[];
}

/** RAM in MiB from `512`, `512M` or `1G`, as QEMU's `-m` takes it; undefined where it makes no sense. */
export function parseMemoryMiB(value: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*(m|mib|mb|g|gib|gb)?$/i.exec(value.trim());
  if (match === null) return undefined;
  const mib = Math.round(Number(match[1]) * (/^g/i.test(match[2] ?? '') ? 1024 : 1));
  return mib * 2 ** 20 >= guestRamMinimumBytes ? mib : undefined;
}

/**
 * The guests of a query: every `guest=ID` is one, and `kernel=URL` (with `initrd`, `append`, `mem`) is one more.
 * `mem`, `append` and each `disk=` (`Definition.disks`) apply to all of the URL; `clock=virtual` counts time in instructions.
 */
export function guestsOfQuery(query: string, pageUrl: string): GuestRequest[] {
  const parameters = new URLSearchParams(query);
  const mem = parameters.get('mem');
  const memoryMiB = mem === null ? undefined : parseMemoryMiB(mem);
  const commandLine = parameters.get('append');
  const clock = parameters.get('clock') === 'virtual' ? 'virtual' : undefined;
  const disks = parameters.getAll('disk');
  const overrides: SourceOverrides = {
    ...(memoryMiB === undefined ? {} : { memoryMiB }),
    ...(commandLine === null ? {} : { commandLine }),
    ...(clock === undefined ? {} : { clock }),
    ...(disks.length === 0 ? {} : { disks }),
  };
  const requests: GuestRequest[] = parameters.getAll('guest').map((id) => ({ kind: 'catalogue', id, overrides }));
  const kernel = parameters.get('kernel');
  if (kernel !== null) requests.push(ownGuest(kernel, parameters.get('initrd'), overrides, pageUrl));
  if (mem === null || memoryMiB !== undefined) return requests;
  const message = `mem=${mem} is not a memory size: write it as 512, 512M or 1G, at least 16M.`;
  return requests.map((request) => ({
    kind: 'invalid',
    name: request.kind === 'catalogue' ? request.id : (kernel ?? 'guest'),
    message,
  }));
}

function ownGuest(kernel: string, initrd: string | null, overrides: SourceOverrides, pageUrl: string): GuestRequest {
  const resolve = (url: string) => {
    const resolved = new URL(url, pageUrl);
    if (!/^(https?|blob|data):$/.test(resolved.protocol)) throw new Error(`${resolved.protocol} cannot be fetched`);
    return resolved.href;
  };
  try {
    const source: GuestSource = {
      name:
        kernel
          .split(/[?#]/)[0]
          ?.split('/')
          .findLast((part) => part !== '') ?? 'kernel',
      kernelUrl: resolve(kernel),
      ...(initrd === null || initrd === '' ? {} : { initrdUrl: resolve(initrd) }),
      commandLine: defaultCommandLine,
      memoryMiB: defaultMemoryMiB,
      ...overrides,
    };
    return { kind: 'own', source };
  } catch (error) {
    return {
      kind: 'invalid',
      name: kernel,
      message: `The address of the kernel or initrd is wrong: ${messageOf(error)}.`,
    };
  }
}
