/** The page around the guests. */
import { amd64, expect, i386, test } from './fixtures.ts';

test('the catalogue starts what one clicks, and the address remembers it', async ({ vmm, page }) => {
  await vmm.open();
  await expect(page).toHaveTitle('Tabvisor: boot a computer in this tab');
  await expect(page.getByRole('heading', { name: 'Linux (64-bit)' })).toBeVisible();
  await page.getByRole('button', { name: 'Boot Linux (32-bit)' }).click();
  await vmm.booted(i386);
  await expect(page).toHaveURL(/\?guest=linux-i386$/);
  await page.getByRole('tab', { name: 'Catalogue' }).click();
  await expect(page.getByRole('button', { name: 'Boot Linux (32-bit)' })).toBeVisible();
  await page.getByRole('tab', { name: /32-bit/ }).click();
  await expect(vmm.pane(i386).locator('.xterm')).toBeVisible();
});

test('says what to do when there are no guest images', async ({ vmm, page }) => {
  await page.route('**/guests/manifest.json', (route) => route.fulfill({ status: 404, body: '' }));
  await vmm.open();
  await expect(page.getByRole('status')).toContainText(/No guest image has been built.*npm run guests/);
});

test('shows guests one at a time where one prefers that', async ({ vmm, page }) => {
  await vmm.open(`?guest=${amd64}&guest=${i386}`);
  await Promise.all([vmm.state(amd64, 'running'), vmm.state(i386, 'running')]);
  await expect(vmm.pane(amd64)).toBeVisible();
  await expect(vmm.pane(i386)).toBeVisible();
  await page.getByRole('button', { name: 'Show one guest at a time' }).click();
  await expect(vmm.pane(i386)).toBeHidden();
  await page.getByRole('tab', { name: /64-bit/ }).focus();
  await page.keyboard.press('ArrowRight');
  await expect(vmm.pane(i386)).toBeVisible();
  await expect(vmm.pane(amd64)).toBeHidden();
  await page.setViewportSize({ width: 480, height: 800 });
  await expect(vmm.pane(i386)).toBeVisible();
  expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
});

test('is dark or light, and keeps the choice', async ({ vmm, page }) => {
  await page.emulateMedia({ colorScheme: 'light' });
  await vmm.open();
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await page.getByRole('button', { name: /dark and light/ }).click();
  const dark = await background();
  expect(dark).not.toBe(light);
  await page.reload();
  expect(await background()).toBe(dark);
});

test('serves isolated pages, ranges of images, and real 404s', async ({ request }) => {
  const front = await request.get('./');
  expect(front.headers()).toMatchObject({
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-embedder-policy': 'require-corp',
  });
  const part = await request.get('./guests/manifest.json', { headers: { Range: 'bytes=0-9' } });
  expect(part.status()).toBe(206);
  expect(await part.body()).toHaveLength(10);
  expect((await request.get('./guests/nothing')).status()).toBe(404);
  expect((await request.get('./guests/../../package.json')).status()).toBe(404);
});

test('transfers at most 1.5 MB without guest images', async ({ vmm, page }) => {
  let bytes = 0;
  page.on('response', async (response) => {
    if (!new URL(response.url()).pathname.startsWith('/guests/')) {
      bytes += (await response.body().catch(() => Buffer.alloc(0))).length;
    }
  });
  await vmm.open(`?guest=${i386}`);
  await vmm.state(i386, 'running');
  expect(bytes).toBeGreaterThan(10_000);
  expect(bytes).toBeLessThan(1_500_000);
});
