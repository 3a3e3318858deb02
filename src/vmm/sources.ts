/** From what a definition names to what is fetched: an entry of the catalogue, or addresses of one's own. */
import type { CatalogueEntry, GuestSource, SourceOverrides } from './catalogue.ts';
import { keptFiles, type KeptFile } from './definition-store.ts';
import { definitionDefaults, keptFileUrl, type Definition } from './definition.ts';
import { messageOf, VmmError } from './errors.ts';

/** @throws VmmError `unknownCatalogueId`, which names what there is */
export function catalogueEntry(entries: readonly CatalogueEntry[], id: string): CatalogueEntry {
  const entry = entries.find((candidate) => candidate.catalogueId === id);
  if (entry !== undefined) return entry;
  const known = entries.filter((candidate) => !candidate.hidden).map((candidate) => candidate.catalogueId);
  const advice = known.length === 0 ? 'It is empty: run "npm run guests".' : `It has ${known.join(', ')}.`;
  // Guests with a disk are built on request.
  const howToBuild = /^[a-z][a-z0-9-]*$/.test(id)
    ? ` If there is a recipe for it, "npm run guests ${id}" builds it.`
    : '';
  throw new VmmError('unknownCatalogueId', `The catalogue has no guest "${id}". ${advice}${howToBuild}`);
}

/** What a guest boots whose definition names an entry of the catalogue. */
export function entrySource(entry: CatalogueEntry, definition: Definition): GuestSource {
  const { name, memoryMiB, clock, commandLine = entry.commandLine } = definition;
  return { ...entry, name, memoryMiB, clock, commandLine };
}

/** The same for a kernel of one's own. @throws VmmError `badArgument` */
export function ownSource(definition: Definition, pageUrl: string): GuestSource {
  const { name, memoryMiB, clock, kernelUrl = '', initrdUrl, commandLine = 'console=ttyS0' } = definition;
  try {
    const resolve = (url: string, file: KeptFile) =>
      url === keptFileUrl ? `${keptFileUrl}${file}` : new URL(url, pageUrl).href;
    return {
      name,
      memoryMiB,
      clock,
      commandLine,
      kernelUrl: resolve(kernelUrl, 'kernel'),
      ...(initrdUrl === undefined ? {} : { initrdUrl: resolve(initrdUrl, 'initrd') }),
    };
  } catch (error) {
    throw new VmmError('badArgument', `The address of the kernel or initrd is wrong: ${messageOf(error)}.`);
  }
}

/** Fetches addresses, and files that are kept with a definition. */
export function fetchWithKept(fetcher: typeof fetch, keptFile: (file: KeptFile) => Promise<Blob>): typeof fetch {
  return async (address, options) => {
    const file = keptFiles.find((one) => address === `${keptFileUrl}${one}`);
    return file === undefined ? fetcher(address, options) : new Response(await keptFile(file));
  };
}

export function definitionOfEntry(entry: CatalogueEntry, overrides: SourceOverrides): Definition {
  const { name, catalogueId, memoryMiB } = entry;
  return { ...definitionDefaults, name, catalogueId, memoryMiB, ...overrides };
}

export function definitionOfSource(source: GuestSource, overrides: SourceOverrides): Definition {
  const { name, kernelUrl, initrdUrl, commandLine, memoryMiB, clock = 'real' } = source;
  return {
    ...definitionDefaults,
    name,
    kernelUrl,
    ...(initrdUrl === undefined ? {} : { initrdUrl }),
    commandLine,
    memoryMiB,
    clock,
    ...overrides,
  };
}

/** A name for programs: `My Linux (1)` is `my-linux-1`. */
export function slugOf(name: string): string {
  const slug = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 40);
  return slug === '' ? 'guest' : slug;
}

/** What a developer calls an address in a guest. @throws VmmError `badArgument` */
export function addressOf(address: number | bigint | string): bigint {
  if (typeof address === 'bigint') return BigInt.asUintN(64, address);
  if (typeof address === 'number' && Number.isSafeInteger(address) && address >= 0) return BigInt(address);
  const digits = /^(?:0x)?([0-9a-f]{1,16})$/i.exec(`${address}`)?.[1];
  if (typeof address === 'string' && digits !== undefined) return BigInt(`0x${digits}`);
  throw new VmmError(
    'badArgument',
    `${address} is no address: give a number, a bigint, or text like "ffffffff81000000".`,
  );
}
