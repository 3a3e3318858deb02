/**
 * Processor time of a page's workers, from /proc (proc(5), stat): on a machine that others use as well, what a workload costs
 * can be told from it, which wall time cannot tell.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { Page } from 'playwright';

/** USER_HZ: the unit of `utime` and `stime`, 100 on all that Chromium runs on. */
const ticksPerSecond = 100;

/** Seconds of all workers of the page's renderer until now; undefined where there is no /proc. */
export async function workerSeconds(page: Page): Promise<number | undefined> {
  if (process.platform !== 'linux') return undefined;
  const browser = page.context().browser();
  if (browser === null) throw new Error('the page has no browser of its own');
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  await session.detach();
  const renderers = processInfo.filter(({ type }) => type === 'renderer');
  return renderers.reduce((sum, { id }) => sum + secondsOf(id), 0);
}

function secondsOf(pid: number): number {
  let ticks = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
    const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
    // Chromium's name of a worker's thread, which the kernel cuts off at 15 letters.
    if (!name.startsWith('DedicatedWorker')) continue;
    // Fields 14 and 15; the third comes first behind the name.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / ticksPerSecond;
}
