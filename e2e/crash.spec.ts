/**
 * A browser that is killed (SIGKILL) while a disk is written to: every record whose flush was acknowledged is there when it is
 * started again. TABVISOR_KILLS says how often (default 3). It proves order and replay; what is in the operating system's
 * cache survives such a kill, so lost power is what `npm run power-loss` is about.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium, type BrowserContext, type Page } from '@playwright/test';
import { BROWSER_ARGUMENTS, findBrowser } from '../tools/browser.mjs';
import { expect, test } from './fixtures.ts';
import { suiteCode } from './suite-code.ts';

const kills = Number(process.env['TABVISOR_KILLS'] ?? 3);

/** The browser process of a profile, which is this test's alone. */
function browserOf(profile: string): number {
  const list = execFileSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8', maxBuffer: 1 << 26 });
  const mine = list
    .split('\n')
    .filter((line) => line.includes(`--user-data-dir=${profile}`) && !line.includes('--type='));
  const pid = Number(/^\s*(\d+)/.exec(mine[0] ?? '')?.[1]);
  if (mine.length !== 1 || !Number.isInteger(pid))
    throw new Error(`${mine.length} browsers have the profile ${profile}`);
  return pid;
}

async function open(profile: string, baseURL: string, code: string): Promise<{ context: BrowserContext; page: Page }> {
  const executablePath = findBrowser();
  const context = await chromium.launchPersistentContext(profile, {
    args: BROWSER_ARGUMENTS,
    ...(executablePath === undefined ? {} : { executablePath }),
  });
  const page = await context.newPage();
  await page.goto(baseURL);
  await page.addScriptTag({ content: code });
  return { context, page };
}

test('what was flushed outlives a browser that is killed', async ({ baseURL }) => {
  const code = await suiteCode();
  const profile = mkdtempSync(path.join(tmpdir(), 'tabvisor-crash-'));
  let acknowledged = 0;
  try {
    for (let kill = 0; kill < kills; kill++) {
      const { context, page } = await open(profile, baseURL ?? '', code);
      expect(await page.evaluate((count) => window.suite.missingRecords(count), acknowledged)).toEqual([]);
      // A different moment each time.
      const until = acknowledged + 40 + 37 * kill + (Date.now() % 50);
      const reached = new Promise<void>((resolve) => {
        page.on('console', (message) => {
          const record = /^acknowledged (\d+)$/.exec(message.text())?.[1];
          if (record === undefined) return;
          acknowledged = Math.max(acknowledged, Number(record) + 1);
          if (acknowledged >= until) resolve();
        });
      });
      const closed = new Promise((resolve) => {
        context.on('close', resolve);
      });
      // It ends with the browser.
      page.evaluate((from) => window.suite.writeRecords(from), acknowledged).catch(() => undefined);
      await reached;
      process.kill(browserOf(profile), 'SIGKILL');
      await closed;
    }
    const { context, page } = await open(profile, baseURL ?? '', code);
    expect(await page.evaluate((count) => window.suite.missingRecords(count), acknowledged)).toEqual([]);
    await context.close();
  } finally {
    rmSync(profile, { recursive: true, force: true });
  }
});
