/** Fetches all that a guest boots, side by side; whatever fails first ends the rest. */
import type { GuestSource } from './catalogue.ts';
import { VmmError } from './errors.ts';
import { fetchImage } from './images.ts';
import { initrdProblem } from './initrd.ts';
import type { SharedImages } from './shared-images.ts';

export interface BootImages {
  readonly module: WebAssembly.Module;
  readonly kernel: SharedArrayBuffer;
  readonly initrd: SharedArrayBuffer | undefined;
}

export interface FetchBootImagesOptions {
  readonly source: GuestSource;
  readonly fetcher: typeof fetch;
  readonly images: SharedImages;
  readonly core: () => Promise<WebAssembly.Module>;
  /** The guest was killed. */
  readonly killed: AbortSignal;
  /** What is being done, for people. */
  readonly step: (step: string) => void;
}

/** @throws VmmError `fetchFailed`, `badGuest`, `hostRefused` */
export async function fetchBootImages(options: FetchBootImagesOptions): Promise<BootImages> {
  const { source, step, killed, fetcher, images } = options;
  // Nothing goes on loading, or tells of its progress, for a guest that failed.
  const fetching = new AbortController();
  const { signal } = fetching;
  killed.addEventListener('abort', () => fetching.abort());
  const progress = new Map<string, { received: number; total: number | undefined }>();
  const fetchOne = (what: string, url: string, expectedBytes: number | undefined) =>
    fetchImage({
      what,
      url,
      expectedBytes,
      signal,
      fetcher,
      images,
      progress: (received, total) => {
        if (signal.aborted) return;
        progress.set(what, { received, total });
        step(`Fetching ${progressText(progress)}`);
      },
    });
  const fetchInitrd = async (url: string) => {
    const bytes = await fetchOne('initrd', url, source.initrdBytes);
    const problem = await initrdProblem(bytes);
    if (problem !== undefined) throw new VmmError('badGuest', `The initrd ${url} ${problem}`);
    return bytes;
  };
  step('Fetching the kernel');
  try {
    const [module, kernel, initrd] = await Promise.all([
      options.core(),
      fetchOne('kernel', source.kernelUrl, source.kernelBytes),
      source.initrdUrl === undefined ? undefined : fetchInitrd(source.initrdUrl),
    ]);
    return { module, kernel, initrd };
  } catch (error) {
    fetching.abort();
    throw error;
  }
}

function progressText(progress: ReadonlyMap<string, { received: number; total: number | undefined }>): string {
  const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
  return [...progress]
    .map(([what, { received, total }]) =>
      total === undefined ? `${what} ${mib(received)} MiB` : `${what} ${mib(received)} of ${mib(total)} MiB`,
    )
    .join(', ');
}
