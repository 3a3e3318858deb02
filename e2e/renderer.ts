/** The host memory of the page's renderer process. Linux only: it reads /proc. */
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import type { Page } from '@playwright/test';

/** The page's renderer: the one that has used most of the processor. */
export async function rendererOf(page: Page): Promise<number> {
  const browser = page.context().browser();
  if (browser === null) throw new Error('the page has no browser of its own');
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  await session.detach();
  const [used] = processInfo.filter(({ type }) => type === 'renderer').toSorted((a, b) => b.cpuTime - a.cpuTime);
  if (used === undefined) throw new Error('the browser has no renderer');
  return used.id;
}

/** Resident memory now, and at most since the process began or {@link forgetPeak}; in MiB (proc(5), status). */
export function residentMiB(pid: number): { readonly now: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024;
  return { now: field('VmRSS'), peak: field('VmHWM') };
}

/** For what is measured: how busy the machine was in the last minute. */
export function loadText(): string {
  return `machine load ${loadavg()[0]?.toFixed(1)}`;
}
