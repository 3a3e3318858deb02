/** Fetches what a guest boots, with progress, and tells apart everything that can go wrong on the way. */
import { messageOf, sizeText, VmmError } from './errors.ts';
import type { SharedImages } from './shared-images.ts';

export interface FetchImageOptions {
  /** `kernel` or `initrd`: the word of the messages. */
  readonly what: string;
  readonly url: string;
  /** Size that the catalogue promises. */
  readonly expectedBytes?: number | undefined;
  readonly fetcher: typeof fetch;
  readonly images: SharedImages;
  readonly signal: AbortSignal;
  /** `totalBytes` is undefined where the server does not say. */
  readonly progress: (receivedBytes: number, totalBytes: number | undefined) => void;
}

/** @throws VmmError `fetchFailed`, with what to do. */
export async function fetchImage(options: FetchImageOptions): Promise<SharedArrayBuffer> {
  const { what, url, fetcher, signal } = options;
  const failed = (why: string) => new VmmError('fetchFailed', `The ${what} ${url} ${why}`);
  let response: Response;
  try {
    response = await fetcher(url, { signal });
  } catch (error) {
    if (signal.aborted) throw failed('was not fetched: the guest was stopped.');
    throw failed(
      `could not be fetched (${messageOf(error)}). Is the server up, and does it send CORS headers if it is another one?`,
    );
  }
  if (response.status === 404) throw failed('does not exist (HTTP 404). Check the address.');
  if (!response.ok) throw failed(`could not be fetched: the server answered HTTP ${response.status}.`);
  let bytes: SharedArrayBuffer;
  try {
    bytes = await readBody(response, options);
  } catch (error) {
    throw failed(
      signal.aborted ? 'was not fetched: the guest was stopped.' : `broke off (${messageOf(error)}). Try again.`,
    );
  }
  if (bytes.byteLength === 0) throw failed('is empty.');
  const { expectedBytes } = options;
  if (expectedBytes !== undefined && bytes.byteLength !== expectedBytes) {
    throw failed(
      `has ${bytes.byteLength} bytes where the catalogue promises ${expectedBytes}: it is truncated or outdated. ` +
        'Run "npm run guests" and reload.',
    );
  }
  return bytes;
}

async function readBody(response: Response, options: FetchImageOptions): Promise<SharedArrayBuffer> {
  // A compressed answer is longer than its Content-Length says.
  const encoded = response.headers.get('Content-Encoding') !== null;
  const length = encoded ? undefined : Number(response.headers.get('Content-Length') ?? NaN);
  const total = length === undefined || Number.isNaN(length) ? options.expectedBytes : length;
  if (response.body === null) return options.images.share([]);
  const reader = response.body.getReader();
  const chunks: Uint8Array[] = [];
  let received = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    received += value.byteLength;
    options.progress(received, total);
  }
  if (length !== undefined && received < length) {
    throw new Error(`${sizeText(received)} of ${sizeText(length)} arrived`);
  }
  return options.images.share(chunks);
}
