/**
 * Many guests one after the other in one page, each touching all of its RAM: the page's memory stays within the budget, its
 * thread answers, and no guest finds a byte of a former one. Eight in `npm test`, 200 in `npm run guests-in-sequence`.
 */
import { foundClean, foundDirty, touchingGuest } from '../src/executor/testing/tiny-guest.ts';
import { expect, test } from './fixtures.ts';
import { loadText, rendererOf, residentMiB } from './renderer.ts';

const guests = Number(process.env['TABVISOR_GUESTS'] ?? 8);
const memoryMiB = 256;
const budgetMiB = 1024;
/** What the page may take beside the budget. */
const besideMiB = 512;
const longestTaskMs = 100;

declare global {
  interface Window {
    /** Lengths of tasks of the main thread that took more than 50 ms (Long Tasks API). */
    longTasks: number[];
  }
}

test(`${guests} guests in sequence stay within the budget, and find no byte of each other`, async ({ vmm, page }) => {
  test.skip(process.platform !== 'linux', 'it reads /proc');
  test.setTimeout(60_000 + guests * 10_000);
  await vmm.open();
  const kernel = Buffer.from(touchingGuest(memoryMiB * 2 ** 20)).toString('base64');
  await page.evaluate(async (budget) => {
    await window.tabvisor.setMemoryBudget(budget);
    window.longTasks = [];
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) window.longTasks.push(duration);
    }).observe({ entryTypes: ['longtask'] });
  }, budgetMiB);
  const start = performance.now();
  const run = (n: number) =>
    page.evaluate(
      async ([index, kernelUrl, mib]) => {
        const { tabvisor } = window;
        const id = await tabvisor.create({ name: `guest ${index}`, kernelUrl, commandLine: '', memoryMiB: mib });
        await tabvisor.start(id);
        const { text } = await tabvisor.waitForText(id, /.* zero\r?\n/);
        const { residentBytes } = tabvisor.stats(id).memory;
        await tabvisor.remove(id);
        return { said: text.trim(), residentBytes };
      },
      [n, `data:application/octet-stream;base64,${kernel}`, memoryMiB] as const,
    );
  for (let n = 0; n < guests; n++) {
    const { said, residentBytes } = await run(n);
    expect(said, `guest ${n}`).toBe(foundClean);
    expect(said).not.toBe(foundDirty);
    // All but what lies below its own page: tables of the firmware, the loader's.
    expect(residentBytes).toBeGreaterThan((memoryMiB - 1) * 2 ** 20);
  }
  const { now, peak } = residentMiB(await rendererOf(page));
  const longest = Math.max(0, ...(await page.evaluate(() => window.longTasks)));
  const text =
    `${guests} guests of ${memoryMiB} MiB in ${((performance.now() - start) / 1000).toFixed(0)} s: renderer at most ` +
    `${peak.toFixed(0)} MiB (${now.toFixed(0)} at the end) with a budget of ${budgetMiB}; longest task of the main thread ` +
    `${longest === 0 ? 'under 50' : longest.toFixed(0)} ms; ${loadText()}`;
  test.info().annotations.push({ type: 'recycling', description: text });
  console.log(text);
  expect(peak, text).toBeLessThan(budgetMiB + besideMiB);
  expect(longest, text).toBeLessThan(longestTaskMs);
});
