/** The monitor: figures of real guests, their charts and files, and what watching eight guests costs the page. */
import { readFileSync } from 'node:fs';
import { expect, test, Vmm } from './fixtures.ts';

/**
 * A multiboot kernel that computes without end and now and then prints a dot: a guest that is there in no time.
 *
 * mov edx, 3F8h; outer: mov ecx, 100000000; inner: inc eax; dec ecx; jnz inner; mov al, '.'; out dx, al; jmp outer
 */
function spinningKernel(): Buffer {
  const kernel = Buffer.alloc(128);
  const load = 0x100000;
  const flags = 0x10003;
  const header = [0x1badb002, flags, -(0x1badb002 + flags), load, load, 0, load + 0x100, load + 0x20];
  for (const [n, value] of header.entries()) kernel.writeInt32LE(value | 0, 4 * n);
  kernel.set(
    [0xba, 0xf8, 0x03, 0, 0, 0xb9, 0, 0xe1, 0xf5, 0x05, 0x40, 0x49, 0x75, 0xfc, 0xb0, 0x2e, 0xee, 0xeb, 0xf2],
    32,
  );
  return kernel;
}

async function spinners(vmm: Vmm, count: number): Promise<string[]> {
  await vmm.page.route('**/own/spinner', (route) =>
    route.fulfill({ status: 200, contentType: 'application/octet-stream', body: spinningKernel() }),
  );
  return vmm.page.evaluate(async (many) => {
    const ids: string[] = [];
    for (let n = 0; n < many; n++) {
      const kernelUrl = new URL('own/spinner', document.baseURI).href;
      ids.push(await window.tabvisor.create({ name: `Spinner ${n + 1}`, kernelUrl, commandLine: '', memoryMiB: 16 }));
    }
    await Promise.all(ids.map((id) => window.tabvisor.start(id)));
    return ids;
  }, count);
}

/** Milliseconds of processor time that the page's main thread takes in a second. */
async function mainThreadLoad(vmm: Vmm, seconds: number): Promise<number> {
  const session = await vmm.page.context().newCDPSession(vmm.page);
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  const busy = async () => {
    const { metrics } = await session.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'TaskDuration')?.value ?? NaN;
  };
  const before = await busy();
  await vmm.page.waitForTimeout(seconds * 1000);
  const took = (await busy()) - before;
  await session.detach();
  return (took * 1000) / seconds;
}

test('tells what guests and host do, in both modes, for people and for programs', async ({ vmm, page }) => {
  await vmm.open();
  const [id = '', other = ''] = await spinners(vmm, 2);
  const figures = () => page.evaluate(() => window.tabvisor.monitor());
  await expect.poll(async () => (await figures()).guests[id]?.cpuPercent).toBeGreaterThan(30);
  const hosted = await figures();
  expect(hosted.guests[id]).toMatchObject({ name: 'Spinner 1', state: 'running', stealPercent: undefined });
  expect(hosted.guests[id]?.millionInstructionsPerSecond.compiled).toBeGreaterThan(1);
  expect(hosted.guests[id]?.exitsPerSecond.all).toBeGreaterThan(0);
  expect(hosted.guests[id]?.memory.reservedBytes).toBe(16 * 2 ** 20);
  expect(hosted.host.guestsAlive).toBe(2);

  // Two busy guests on one processor: each waits half of the time.
  await page.evaluate(() => window.tabvisor.processors({ mode: 'bare-metal', count: 1 }));
  await expect.poll(async () => (await figures()).guests[other]?.stealPercent).toBeGreaterThan(30);
  await expect.poll(async () => (await figures()).host.cpuPercent).toBeLessThan(115);

  await page.getByRole('tab', { name: 'Spinner 1' }).click();
  const pane = vmm.pane(id);
  await pane.getByRole('tab', { name: 'Monitor' }).click();
  await expect(pane.locator('.tile', { hasText: 'Processor' })).toContainText(/\d+ %.*% stolen/);
  await expect(pane.getByRole('img', { name: 'Instructions over time' }).locator('canvas')).toBeVisible();
  await expect(pane.getByRole('row', { name: /End of a slice/ })).toContainText('/s');
  await pane.getByLabel('Time shown').selectOption('last 5 minutes');
  const saved = async (format: 'JSON' | 'CSV') => {
    const download = page.waitForEvent('download');
    await pane.locator('.panel:not([hidden])').getByRole('button', { name: format }).click();
    const file = await download;
    return { name: file.suggestedFilename(), text: readFileSync(await file.path(), 'utf8') };
  };
  const samples = await saved('CSV');
  expect(samples.name).toBe(`${id}-monitor.csv`);
  expect(samples.text).toMatch(/^time,cpu,steal,instructions,.*exit\.halt.*\r\n\d+/);

  await page.evaluate((guest) => window.tabvisor.pause(guest), id);
  await page.evaluate((guest) => window.tabvisor.kill(guest), id);
  await pane.getByRole('tab', { name: 'Events' }).click();
  await expect(pane.getByRole('row').nth(1)).toContainText('It was killed.');
  const events = JSON.parse((await saved('JSON')).text) as { kind: string }[];
  expect(events.map(({ kind }) => kind)).toEqual(['guestAdded', 'starting', 'running', 'paused', 'stopped']);
  const { entries } = await page.evaluate(() => window.tabvisor.events());
  expect(entries.find(({ kind }) => kind === 'processors')?.text).toContain('1 processor');
});

test('watching eight guests takes at most 10 ms of the main thread a second', async ({ vmm, page }) => {
  const seconds = 8;
  const open = async (one: Vmm): Promise<string> => {
    // One guest at a time.
    await one.page.addInitScript(() => localStorage.setItem('tabvisor.layout', 'tabs'));
    await one.open('?mode=bare-metal&processors=1');
    const [id = ''] = await spinners(one, 8);
    await one.page.getByRole('tab', { name: 'Spinner 1: running' }).click();
    // Boots and first drawings.
    await one.page.waitForTimeout(3000);
    return id;
  };
  // The same page without its sampler: what consoles and the coordinator take by themselves.
  const bare = new Vmm(await page.context().newPage());
  await bare.page.addInitScript(() => {
    window.setInterval = (() => 0) as unknown as typeof window.setInterval;
  });
  await open(bare);
  const without = await mainThreadLoad(bare, seconds);
  expect(await bare.page.evaluate(() => window.tabvisor.history().rows)).toBe(1);
  await bare.page.close();

  const id = await open(vmm);
  const inventory = await mainThreadLoad(vmm, seconds);
  await vmm.pane(id).getByRole('tab', { name: 'Monitor' }).click();
  await page.waitForTimeout(3000);
  const charts = await mainThreadLoad(vmm, seconds);
  const sampling = await page.evaluate(() => {
    const column = window.tabvisor.history().column('sampling', 10);
    return column.reduce((sum, ms) => sum + ms, 0) / column.length;
  });
  const text =
    `main thread with 8 busy guests, ms/s: ${without.toFixed(1)} without the monitor, ${inventory.toFixed(1)} with it, ` +
    `${charts.toFixed(1)} with a guest's charts on the screen; ${sampling.toFixed(2)} ms a sample of all guests`;
  test.info().annotations.push({ type: 'monitor', description: text });
  console.log(text);
  expect(charts - without, text).toBeLessThan(10);
});

test('the scheduler is drawn while it decides, and stands still when frozen', async ({ vmm, page }) => {
  await vmm.open('?mode=bare-metal&processors=1');
  await spinners(vmm, 2);
  await page.getByRole('tab', { name: 'Host' }).click();
  const timeline = page.getByRole('img', { name: /^Timeline of 1 processors over 1 second: Spinner 1, Spinner 2/ });
  await expect(timeline).toBeVisible();
  // It is about the last second: the guests have to have run for as long.
  const readout = page.locator('.timeline-readout');
  await expect(async () => {
    await timeline.hover({ position: { x: 400, y: 12 } });
    await expect(readout).toContainText(/Spinner/, { timeout: 500 });
  }).toPass();
  await page.getByRole('button', { name: 'Freeze' }).click();
  await timeline.hover({ position: { x: 400, y: 12 } });
  await expect(readout).toContainText(/Spinner [12]: [\d.]+ ms on CPU 0.*; .*\./);
  await expect(page.getByRole('row', { name: /CPU 0 Spinner/ })).toBeVisible();
  await page.getByLabel('Hosted (type 2)').check();
  await page.getByRole('button', { name: 'Apply' }).click();
  await expect(page.getByText('In effect. Guests ran on meanwhile.')).toBeVisible();
  await expect(timeline).toBeHidden();
  expect(new URL(page.url()).searchParams.get('mode')).toBeNull();
});
