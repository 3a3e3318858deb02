/**
 * End-to-end tests in Chromium against the built page (`npm run build` before; `npm test` does all of it).
 * With TABVISOR_FAKE=1 the page runs a pretended executor (vite's mode `fake`): for work on the page alone.
 */
import { defineConfig } from '@playwright/test';
import { BROWSER_ARGUMENTS, findBrowser } from './tools/browser.mjs';

const port = Number(process.env['TABVISOR_E2E_PORT'] ?? 4317);
const fake = process.env['TABVISOR_FAKE'] === '1';
const executablePath = findBrowser();

export default defineConfig({
  testDir: 'e2e',
  testMatch: '*.spec.ts',
  // It needs an image that is built on request: `npm run test:debian`.
  testIgnore: process.env['TABVISOR_DEBIAN'] === undefined ? ['debian.spec.ts'] : [],
  outputDir: 'test-results',
  // Each test boots whole machines: side by side they would only take each other's cores.
  workers: 1,
  fullyParallel: false,
  retries: 0,
  timeout: 240_000,
  expect: { timeout: 15_000 },
  reporter: [['list'], ['json', { outputFile: 'test-results/results.json' }]],
  use: {
    baseURL: `http://127.0.0.1:${port}/`,
    browserName: 'chromium',
    viewport: { width: 1440, height: 900 },
    permissions: ['clipboard-read', 'clipboard-write'],
    screenshot: 'only-on-failure',
    launchOptions: {
      args: BROWSER_ARGUMENTS,
      ...(executablePath === undefined ? {} : { executablePath }),
    },
  },
  webServer: {
    command: `npx vite preview --host 127.0.0.1 --port ${port} --strictPort${fake ? ' --mode fake' : ''}`,
    url: `http://127.0.0.1:${port}/`,
    reuseExistingServer: false,
    stdout: 'ignore',
  },
});
