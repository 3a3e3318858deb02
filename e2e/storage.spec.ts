/**
 * The layers of virtual disks that live in browsers, in a real one: the contract that every layer keeps to, and what is
 * IndexedDB's and HTTP's own. With TABVISOR_MEASURE=1 also what chunk size is the fastest.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from '@playwright/test';
import { contractBytes, pattern } from '../src/storage/testing/contract.ts';
import { expect, test } from './fixtures.ts';
import { suiteCode } from './suite-code.ts';

/** Another site, which lets the page read its file. */
function serve(): Promise<Server> {
  const image = pattern(0, contractBytes);
  const server = createServer((request, response) => {
    const headers = {
      'Access-Control-Allow-Origin': '*',
      'Access-Control-Allow-Headers': 'Range',
      'Access-Control-Expose-Headers': 'Content-Range, ETag',
      'Cross-Origin-Resource-Policy': 'cross-origin',
      ETag: '"1"',
    };
    const [, from = '0', to = '0'] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const end = Math.min(Number(to) + 1, image.length);
    const total = `bytes ${from}-${end - 1}/${image.length}`;
    if (request.url === '/private.img') response.writeHead(206, { 'Content-Range': total });
    else if (request.url === '/whole.img') response.writeHead(200, headers);
    else response.writeHead(206, { ...headers, 'Content-Range': total });
    response.end(request.url === '/whole.img' ? image : image.subarray(Number(from), end));
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}

let code = '';
let server: Server;
let origin = '';

test.beforeAll(async () => {
  code = await suiteCode();
  server = await serve();
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

test.afterAll(() => {
  server.close();
});

async function openSuite(page: Page): Promise<void> {
  await page.goto('./');
  await page.addScriptTag({ content: code });
}

test('every layer keeps to the contract', async ({ page }) => {
  await openSuite(page);
  const result = await page.evaluate((url) => window.suite.runContract(url), `${origin}/disk.img`);
  expect(result.failures).toEqual([]);
  expect(result.passed).toBeGreaterThanOrEqual(14);
});

test('a page that has lost its disk to another one writes nothing', async ({ page }) => {
  await openSuite(page);
  expect(await page.evaluate(() => window.suite.runFencing())).toEqual(['fenced', '1', 'none']);
});

test('damage is noticed', async ({ page }) => {
  await openSuite(page);
  expect(await page.evaluate(() => window.suite.runDamage())).toBe('corrupt');
});

test('an overlay keeps what it has read of an address', async ({ page }) => {
  await openSuite(page);
  expect(await page.evaluate((url) => window.suite.runOverlay(url), `${origin}/disk.img`)).toBe(true);
});

test('a site that gives no ranges, or does not permit it, is told apart', async ({ page, vmm }) => {
  await vmm.open();
  const refusal = (path: string): Promise<string> =>
    page.evaluate(
      (url) =>
        window.tabvisor.disks.import('refused', url).then(
          () => '',
          (error: Error) => error.message,
        ),
      `${origin}/${path}`,
    );
  expect(await refusal('whole.img')).toMatch(/does not give parts of a file/);
  expect(await refusal('private.img')).toMatch(/Access-Control-Allow-Origin/);
});

if (process.env['TABVISOR_MEASURE'] === '1') {
  test('chunk sizes', async ({ page }) => {
    await openSuite(page);
    for (const chunkKiB of [64, 128, 256, 512, 1024]) {
      console.log(JSON.stringify(await page.evaluate((size) => window.suite.measure(size), chunkKiB)));
    }
  });
}
