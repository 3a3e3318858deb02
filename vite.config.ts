/**
 * The page's build: cross-origin isolation in dev and preview, and the guest images of `.cache/guests/images` under
 * `/guests/`, served from where they lie (they are never copied into dist).
 */
import { createReadStream, statSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';

const root = path.dirname(fileURLToPath(import.meta.url));
const images = path.join(root, '.cache/guests/images');

/** What SharedArrayBuffer asks for (HTML, cross-origin isolation). */
const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

interface ByteRange {
  readonly start: number;
  /** Inclusive. */
  readonly end: number;
}

/** The single range of a Range header (RFC 9110 §14.2), `undefined` for the whole file, `null` if unsatisfiable. */
export function parseRange(header: string | undefined, size: number): ByteRange | undefined | null {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (match === null || (match[1] === '' && match[2] === '')) return undefined;
  const start = match[1] === '' ? Math.max(0, size - Number(match[2])) : Number(match[1]);
  const end = match[1] === '' || match[2] === '' ? size - 1 : Math.min(size - 1, Number(match[2]));
  return start <= end && start < size ? { start, end } : null;
}

/** The file that a URL below `/guests/` names, or undefined if it names none or points out of the folder. */
function imageFile(url: string): { file: string; size: number } | undefined {
  try {
    const file = path.join(images, decodeURIComponent(new URL(url, 'http://localhost').pathname));
    if (!file.startsWith(images + path.sep)) return undefined;
    const stat = statSync(file);
    return stat.isFile() ? { file, size: stat.size } : undefined;
  } catch {
    return undefined;
  }
}

function serveImage(request: IncomingMessage, response: ServerResponse): void {
  const found = imageFile(request.url ?? '/');
  if (found === undefined) {
    // A real 404: the single-page fallback would answer with index.html, and a guest would boot HTML.
    response.writeHead(404, { ...isolation, 'Content-Type': 'text/plain' }).end('no such guest image\n');
    return;
  }
  const headers = {
    ...isolation,
    'Content-Type': found.file.endsWith('.json') ? 'application/json' : 'application/octet-stream',
    'Accept-Ranges': 'bytes',
    'Cache-Control': 'no-cache',
  };
  const range = parseRange(request.headers.range, found.size);
  if (range === null) {
    response.writeHead(416, { ...headers, 'Content-Range': `bytes */${found.size}` }).end();
    return;
  }
  const { start, end } = range ?? { start: 0, end: found.size - 1 };
  response.writeHead(range === undefined ? 200 : 206, {
    ...headers,
    'Content-Length': end - start + 1,
    ...(range === undefined ? {} : { 'Content-Range': `bytes ${start}-${end}/${found.size}` }),
  });
  if (request.method === 'HEAD' || found.size === 0) response.end();
  else
    createReadStream(found.file, { start, end })
      .on('error', () => response.destroy())
      .pipe(response);
}

function guestImages(): Plugin {
  return {
    name: 'tabvisor:guest-images',
    configureServer: (server) => void server.middlewares.use('/guests', serveImage),
    configurePreviewServer: (server) => void server.middlewares.use('/guests', serveImage),
  };
}

/** `--mode fake`: the page with a pretended executor, to work on the page without a processor core. */
function fakeExecutor(): Plugin {
  return {
    name: 'tabvisor:fake-executor',
    enforce: 'pre',
    transform(code, id) {
      if (!id.endsWith('/src/vmm/browser.ts')) return undefined;
      return code
        .replace('../executor/worker.ts', './testing/fake-worker.ts')
        .replace('../../build/core/core.wasm.gzip?url', './testing/empty.wasm.gzip?url');
    },
  };
}

export default defineConfig(({ mode }) => ({
  base: './',
  plugins: [guestImages(), ...(mode === 'fake' ? [fakeExecutor()] : [])],
  worker: { format: 'es' },
  // An address that is not there is a 404 and not the front page.
  appType: 'mpa',
  server: { headers: isolation, watch: { ignored: ['**/.cache/**', '**/build/types/**'] } },
  preview: { headers: isolation },
  build: {
    target: 'es2022',
    sourcemap: true,
    assetsInlineLimit: 0,
    outDir: mode === 'fake' ? 'build/fake-page' : 'dist',
  },
}));
