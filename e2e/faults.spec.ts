/**
 * What goes wrong around guests, or is done to them: no other guest is disturbed, and the page stays usable.
 * TABVISOR_FLOOD_SECONDS: how long each flood lasts.
 */
import { amd64, expect, i386, test, type Vmm } from './fixtures.ts';

const floodMs = Number(process.env['TABVISOR_FLOOD_SECONDS'] ?? 2) * 1000;

/** Milliseconds that the other guest takes to answer, as the page sees it. */
async function answers(vmm: Vmm, id: string): Promise<number> {
  const start = Date.now();
  expect(await vmm.run(id, 'echo here $((40 + 2))')).toBe('here 42');
  return Date.now() - start;
}

/** A click is answered. */
async function usable(vmm: Vmm): Promise<void> {
  await vmm.tab('Catalogue').click();
  await expect(vmm.page.getByRole('button', { name: /Boot Linux \(64-bit\)/ })).toBeVisible();
}

for (const mode of ['hosted', 'bare-metal'] as const) {
  test(`floods of the console, of a doorbell and of the control interface, ${mode}`, async ({ vmm, page }) => {
    await vmm.open(`?guest=${i386}&guest=${amd64}${mode === 'hosted' ? '' : '&mode=bare-metal&processors=2'}`);
    await vmm.bootedQuietly(i386);
    await vmm.bootedQuietly(amd64);
    const position = await vmm.position(i386);
    await vmm.type(i386, 'while :; do echo 0123456789012345678901234567890123456789; done\n');
    await vmm.text(i386, /(0123456789\r?\n.*){20}/, { from: position });
    expect(await answers(vmm, amd64)).toBeLessThan(5000);

    // A guest that reads nothing of what it is sent; each byte rings its doorbell.
    await vmm.interrupt(i386);
    await vmm.type(i386, 'stty -echo; sleep 1000000\n');
    const flood = page.evaluate(
      async ([id, lastsMs]) => {
        let rings = 0;
        for (const end = performance.now() + lastsMs; performance.now() < end;) {
          for (let n = 0; n < 200; n++, rings++) void window.tabvisor.type(id, '\u0000').catch(() => undefined);
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
        return rings;
      },
      [i386, floodMs] as const,
    );
    expect(await answers(vmm, amd64)).toBeLessThan(5000);
    await usable(vmm);
    expect(await flood).toBeGreaterThan((floodMs / 1000) * 1000);

    const calls = page.evaluate(
      async ([id, lastsMs]) => {
        const { tabvisor } = window;
        let made = 0;
        const start = performance.now();
        for (const end = start + lastsMs; performance.now() < end;) {
          // 10,000 calls a second, of all kinds.
          for (const due = (performance.now() - start) * 10; made < due; made += 5) {
            tabvisor.list();
            tabvisor.stats(id);
            tabvisor.setShare(id, { weight: 256 + (made % 100) });
            void tabvisor.pause(id).catch(() => undefined);
            void tabvisor.resume(id).catch(() => undefined);
          }
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
        return made / ((performance.now() - start) / 1000);
      },
      [i386, floodMs] as const,
    );
    expect(await answers(vmm, amd64)).toBeLessThan(10_000);
    console.log(`${mode}: ${(await calls).toFixed(0)} calls a second of the control interface`);
    await usable(vmm);
    expect(await answers(vmm, amd64)).toBeLessThan(5000);
    await page.evaluate((id) => window.tabvisor.resume(id), i386).catch(() => undefined);
    await vmm.state(i386, 'running');
  });
}

test('the machine was asleep: an hour passed in a moment, and the guest goes on with a sane clock', async ({ vmm }) => {
  await vmm.open(`?guest=${i386}`);
  await vmm.bootedQuietly(i386);
  // Its kernel may report in the midst of it that a processor was stuck for an hour.
  const times = async (): Promise<{ uptime: number; date: number }> => {
    const from = await vmm.position(i386);
    await vmm.type(i386, 'echo "up $(cut -d " " -f 1 /proc/uptime) at $(date +%s) end"\n');
    const [uptime, date] = (await vmm.text(i386, /up (\d+\.\d+ at \d+) end/, { from })).split(' at ').map(Number);
    return { uptime: uptime ?? NaN, date: date ?? NaN };
  };
  const before = await times();
  for (const worker of vmm.page.workers()) {
    if (!(await worker.evaluate(() => self.name)).startsWith('guest')) continue;
    await worker.evaluate(() => {
      const now = performance.now.bind(performance);
      performance.now = () => now() + 3600e3;
      const today = Date.now.bind(Date);
      Date.now = () => today() + 3600e3;
    });
  }
  const after = await times();
  expect(after.uptime - before.uptime).toBeGreaterThan(3599);
  expect(after.uptime - before.uptime).toBeLessThan(3700);
  expect(Math.abs(after.date - before.date - (after.uptime - before.uptime))).toBeLessThan(5);
  const start = Date.now();
  const from = await vmm.position(i386);
  await vmm.type(i386, 'sleep 1; echo awake $((1))\n');
  await vmm.text(i386, /awake 1/, { from });
  expect(Date.now() - start).toBeLessThan(10_000);
});

test('two tabs run the same guests, and neither notices that the other goes', async ({ vmm, context, page }) => {
  await vmm.open(`?guest=${i386}`);
  await vmm.bootedQuietly(i386);
  const other = await context.newPage();
  await other.goto(page.url());
  await other.waitForFunction(
    (id) => window.tabvisor?.list().some((one) => one.id === id && one.status.state === 'running'),
    i386,
  );
  expect(await answers(vmm, i386)).toBeLessThan(10_000);
  await other.close({ runBeforeUnload: false });
  expect(await answers(vmm, i386)).toBeLessThan(5000);
  expect((await vmm.page.evaluate((id) => window.tabvisor.get(id).status, i386)).state).toBe('running');
});
