/** The balloon: a slider that the user moves by keyboard, a guest that answers, and one that has no driver for it. */
import { bootTimeoutMs, expect, i386, test } from './fixtures.ts';

const mib = 2 ** 20;

test('a guest gives up memory when its slider is moved, and takes it back', async ({ vmm, page }) => {
  await vmm.open(`?guest=${i386}`);
  await vmm.booted(i386);
  const memory = async () => (await vmm.stats(i386)).memory;
  const freeKiB = async () => Number(await vmm.run(i386, "awk '/^MemFree/ { print $2 }' /proc/meminfo", bootTimeoutMs));
  const pane = vmm.pane(i386);
  await expect.poll(async () => (await memory()).balloonDriver).toBe('ready');
  // What the boot has touched and freed would hide what the balloon does to what is resident.
  await vmm.run(i386, 'head -c 67108864 /dev/zero > /tmp/large', bootTimeoutMs);
  const free = await freeKiB();
  const { residentBytes } = await memory();
  expect(residentBytes).toBeGreaterThan(64 * mib);

  await pane.locator('.guest-memory summary').focus();
  await page.keyboard.press('Enter');
  const slider = pane.getByRole('slider', { name: /Memory that the guest keeps/ });
  await expect(slider).toHaveValue('256');
  await slider.focus();
  for (let step = 0; step < 64; step++) await page.keyboard.press('ArrowLeft');
  await expect(pane.locator('.guest-memory output')).toHaveText('192 MiB');
  await expect(pane.getByRole('status').filter({ hasText: 'It gave up 64 MiB.' })).toBeVisible();
  await expect.poll(async () => (await memory()).balloonedBytes).toBe(64 * mib);
  expect(free - (await freeKiB())).toBeGreaterThan(60 * 1024);

  // The guest frees what it held: memory that it reports as free counts no longer.
  await vmm.run(i386, 'rm /tmp/large', bootTimeoutMs);
  await expect
    .poll(async () => (await memory()).residentBytes, { timeout: 30_000 })
    .toBeLessThan(residentBytes - 32 * mib);

  await slider.focus();
  await page.keyboard.press('End');
  await expect(pane.getByRole('status').filter({ hasText: 'It has all of it.' })).toBeVisible();
  await expect.poll(async () => (await memory()).balloonedBytes).toBe(0);
  await expect.poll(async () => (await memory()).guest?.freeBytes).toBeGreaterThan(free * 1024 - 8 * mib);
  await page.keyboard.press('Escape');
  await expect(slider).toBeHidden();

  await vmm.run(i386, 'rmmod virtio_balloon', bootTimeoutMs);
  await pane.locator('.guest-memory summary').click();
  await expect(pane.getByRole('status').filter({ hasText: 'no balloon driver' })).toBeVisible();
});
