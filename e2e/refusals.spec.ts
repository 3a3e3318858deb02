/** What cannot be booted: each a clear message in the guest's pane, and the other guest unharmed. */
import { amd64, expect, i386, test, type Vmm } from './fixtures.ts';

/** The healthy guest beside what fails. */
async function unharmed(vmm: Vmm): Promise<void> {
  await vmm.booted(i386);
  expect(await vmm.run(i386, 'uname -m')).toBe('i686');
}

test('an unknown guest', async ({ vmm }) => {
  await vmm.open(`?guest=nonesuch&guest=${i386}`);
  await expect(vmm.pane('nonesuch').getByRole('alert')).toContainText(
    /The catalogue has no guest "nonesuch".*linux-amd64/,
  );
  await unharmed(vmm);
});

test('a kernel that is not one', async ({ vmm }) => {
  await vmm.open(`?guest=${i386}&kernel=guests/manifest.json`);
  await expect(vmm.pane('manifest.json').getByRole('alert')).toContainText(/could not be started.*kernel/is);
  await unharmed(vmm);
});

test('a kernel that does not exist', async ({ vmm }) => {
  await vmm.open(`?guest=${i386}&kernel=guests/nothing/vmlinuz`);
  await expect(vmm.pane('vmlinuz').getByRole('alert')).toContainText(/nothing\/vmlinuz does not exist \(HTTP 404\)/);
  await unharmed(vmm);
});

test('an initrd that is shorter than the catalogue says', async ({ vmm, page }) => {
  await page.route(`**/guests/${amd64}/initrd.gz`, async (route) => {
    const response = await route.fetch();
    const body = await response.body();
    const { 'content-length': _length, ...headers } = response.headers();
    await route.fulfill({ status: 200, headers, body: body.subarray(0, 100_000) });
  });
  await vmm.open(`?guest=${amd64}&guest=${i386}`);
  await expect(vmm.pane(amd64).getByRole('alert')).toContainText(/initrd .* truncated or outdated/);
  await unharmed(vmm);
});

test("a truncated initrd of one's own", async ({ vmm, page }) => {
  await page.route('**/own/initrd.gz', async (route) => {
    const response = await route.fetch({ url: new URL(`guests/${i386}/initrd.gz`, page.url()).href });
    const body = await response.body();
    await route.fulfill({ status: 200, contentType: 'application/octet-stream', body: body.subarray(0, 100_000) });
  });
  await vmm.open(`?guest=${i386}&kernel=guests/${i386}/vmlinuz&initrd=own/initrd.gz`);
  await expect(vmm.pane('vmlinuz').getByRole('alert')).toContainText(/initrd .* truncated/);
  await unharmed(vmm);
});

test('more memory than the limit leaves', async ({ vmm, page }) => {
  await vmm.open(`?guest=${i386}`);
  await vmm.booted(i386);
  await page.getByTitle('Memory of all guests').click();
  await page.getByLabel(/Memory limit/).fill('400');
  await page.getByRole('button', { name: 'Set', exact: true }).click();
  await page.getByRole('tab', { name: 'Catalogue' }).click();
  await page.getByRole('button', { name: /Boot Linux \(64-bit\)/ }).click();
  await expect(vmm.pane(amd64).getByRole('alert')).toContainText(
    /needs 304 MiB .* only 96 MiB of the limit of 400 MiB are free.*raise the limit/,
  );
  await unharmed(vmm);
  // What it says helps.
  await page.evaluate(() => window.tabvisor.setMemoryBudget(1024));
  await vmm.pane(amd64).getByRole('button', { name: 'Start' }).click();
  await vmm.booted(amd64);
});

test('a memory size that is none', async ({ vmm }) => {
  await vmm.open(`?guest=${i386}&mem=much`);
  await expect(vmm.pane(i386).getByRole('alert')).toContainText(/mem=much is not a memory size/);
});

test('something from another site, unless the user agrees', async ({ vmm, page }) => {
  const asked: string[] = [];
  await page.route('https://elsewhere.example/**', async (route) => {
    asked.push(route.request().url());
    await route.fulfill({
      status: 200,
      headers: { 'Access-Control-Allow-Origin': '*', 'Cross-Origin-Resource-Policy': 'cross-origin' },
      body: 'no kernel',
    });
  });
  await vmm.open('?kernel=https://elsewhere.example/bzImage');
  const dialog = page.getByRole('dialog');
  await expect(dialog).toContainText('Boot a system from elsewhere.example?');
  await expect(dialog).toContainText('https://elsewhere.example/bzImage');
  await page.keyboard.press('Escape');
  await expect(vmm.pane('bzImage').getByRole('alert')).toContainText(/did not agree/);
  expect(asked).toEqual([]);
  await vmm.pane('bzImage').getByRole('button', { name: 'Start' }).click();
  await dialog.getByRole('button', { name: 'Boot it' }).click();
  await expect(vmm.pane('bzImage').getByRole('alert')).toContainText(/kernel/i);
  expect(asked).toHaveLength(1);
});

test('a page that is not cross-origin isolated says what to do', async ({ vmm, page }) => {
  await page.route(/127\.0\.0\.1:\d+\/(\?.*)?$/, async (route) => {
    const response = await route.fetch();
    const headers = Object.fromEntries(
      Object.entries(response.headers()).filter(([name]) => !name.startsWith('cross-origin-')),
    );
    await route.fulfill({ response, headers });
  });
  await vmm.open(`?guest=${i386}`);
  await expect(page.getByRole('alert')).toContainText(
    /not cross-origin isolated.*Cross-Origin-Opener-Policy.*npm start/,
  );
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('No guest can run in this page yet');
});
