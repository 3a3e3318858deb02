/** Guests that outlast the page: defined, edited, copied, carried as files, by mouse and by keyboard. */
import { readFileSync } from 'node:fs';
import type { Page } from '@playwright/test';
import { bootTimeoutMs, expect, i386, test, type Vmm } from './fixtures.ts';

const row = (page: Page, id: string) => page.locator(`[data-definition="${id}"]`);

async function define(vmm: Vmm, settings: Record<string, unknown>): Promise<string> {
  return vmm.page.evaluate((what) => window.tabvisor.definitions.define(what), { catalogueId: i386, ...settings });
}

/** Reloads; resolves when the coordinator is there again. */
async function reload(page: Page): Promise<void> {
  await page.reload();
  await page.waitForFunction(() => window.tabvisor !== undefined);
}

test('a guest is defined in a dialog that says what is wrong as one types, and is there after a reload', async ({
  vmm,
  page,
}) => {
  await vmm.open();
  await page.getByRole('button', { name: 'New guest' }).click();
  const dialog = page.getByRole('dialog', { name: 'New guest' });
  await expect(dialog.getByLabel('Name')).toBeFocused();
  await page.keyboard.type('My box');
  await dialog.getByLabel('Boots').selectOption(i386);
  const wrong: readonly (readonly [string, string, RegExp])[] = [
    ['Memory', '12', /from 16M to 3584M/],
    ['Weight', '0', /from 1 to 65535/],
    ['Cap, in %', '200', /from 1 to 100, or 0 for none/],
  ];
  for (const [label, value, message] of wrong) {
    await dialog.getByLabel(label).fill(value);
    await expect(dialog.getByText(message)).toBeVisible();
    await expect(dialog.getByLabel(label)).toHaveAttribute('aria-invalid', 'true');
  }
  // What is wrong is not taken, and gets the keyboard.
  await dialog.getByRole('button', { name: 'Define' }).click();
  await expect(dialog.getByLabel('Memory')).toBeFocused();
  await dialog.getByLabel('Memory').fill('96M');
  await dialog.getByLabel('Weight').fill('512');
  await dialog.getByLabel('Cap, in %').fill('50');
  await dialog.getByLabel('Command line').fill('console=ttyS0 quiet');
  await expect(dialog.locator('[aria-invalid="true"]')).toHaveCount(0);
  await page.keyboard.press('Enter');
  await expect(dialog).toBeHidden();
  await expect(row(page, 'my-box')).toContainText(/My box.*not started.*96 MiB · weight 512 · at most 50 %/);

  await reload(page);
  await expect(row(page, 'my-box')).toContainText(/My box.*96 MiB/);
  expect(await page.evaluate(() => window.tabvisor.get('my-box').definition)).toEqual({
    name: 'My box',
    catalogueId: i386,
    commandLine: 'console=ttyS0 quiet',
    memoryMiB: 96,
    clock: 'real',
    weight: 512,
    capPercent: 50,
    autostart: false,
    template: false,
  });
  // It takes the screen only when it is started, and leaves it without being forgotten.
  await expect(vmm.pane('my-box')).toHaveCount(0);
  await page.getByRole('button', { name: 'Start: My box' }).click();
  await vmm.state('my-box', 'running');
  await vmm.pane('my-box').getByRole('button', { name: 'Kill' }).click();
  await vmm.pane('my-box').getByRole('button', { name: 'Close' }).click();
  await expect(row(page, 'my-box')).toBeVisible();
});

test('guests are renamed, copied, made from templates and deleted by keyboard', async ({ vmm, page }) => {
  await vmm.open();
  const id = await define(vmm, { name: 'First' });
  await page.getByRole('button', { name: 'Start: First' }).focus();
  await page.keyboard.press('F2');
  const dialog = page.getByRole('dialog', { name: 'Edit First' });
  await expect(dialog.getByLabel('Name')).toBeFocused();
  await page.keyboard.type('Base');
  await dialog.getByLabel(/^Template/).focus();
  await page.keyboard.press('Space');
  await page.keyboard.press('Enter');
  await expect(dialog).toBeHidden();
  const make = page.getByRole('button', { name: 'New from it: Base' });
  await expect(make).toBeFocused();
  await expect(row(page, id)).toContainText('template');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('button', { name: 'Start: Copy of Base' })).toBeFocused();

  await page.keyboard.press('Delete');
  const question = page.getByRole('dialog', { name: 'Delete Copy of Base?' });
  await expect(question).toContainText('forgotten');
  await page.keyboard.press('Escape');
  await expect(row(page, 'copy-of-base')).toBeVisible();
  await page.getByRole('button', { name: 'Delete Copy of Base' }).click();
  await question.getByRole('button', { name: 'Delete' }).click();
  await expect(row(page, 'copy-of-base')).toHaveCount(0);
  await reload(page);
  await expect(row(page, id)).toContainText('Base');
  await expect(page.locator('[data-definition]')).toHaveCount(1);
});

test('a definition goes out as a file and comes back, chosen or dropped; what is none is refused', async ({
  vmm,
  page,
}) => {
  await vmm.open();
  const id = await define(vmm, { name: 'Traveller', memoryMiB: 48 });
  const download = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Export Traveller' }).click();
  const file = await download;
  expect(file.suggestedFilename()).toBe('traveller.tabvisor.json');
  const content = readFileSync(await file.path(), 'utf8');
  expect(JSON.parse(content)).toMatchObject({ format: 'tabvisor-guest', version: 1, guest: { memoryMiB: 48 } });
  await page.evaluate((guest) => window.tabvisor.remove(guest), id);

  const chooser = page.waitForEvent('filechooser');
  await page.getByRole('button', { name: 'Import …' }).click();
  await (await chooser).setFiles({ name: 'a.json', mimeType: 'application/json', buffer: Buffer.from(content) });
  await expect(page.getByRole('button', { name: 'Start: Traveller' })).toBeFocused();

  const drop = async (name: string, text: string) => {
    const data = await page.evaluateHandle(
      ([called, body]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([body], called));
        return transfer;
      },
      [name, text] as const,
    );
    await page.locator('main.home').dispatchEvent('drop', { dataTransfer: data });
  };
  await drop('b.json', content.replace('Traveller', 'Dropped'));
  await expect(row(page, 'dropped')).toBeVisible();
  await drop('evil.json', content.replace('48', '1e9'));
  await expect(page.getByRole('alert')).toContainText(/evil\.json was not imported\. Memory must be a size/);
  await drop('x.png', 'PNG');
  await expect(page.getByRole('alert')).toContainText(/x\.png was not imported.*no JSON/);
  await expect(page.locator('[data-definition]')).toHaveCount(2);
});

test('a guest from the address lasts as long as the page, unless it is kept', async ({ vmm, page }) => {
  await vmm.open(`?guest=${i386}`);
  await vmm.state(i386, 'running');
  expect(await page.evaluate((id) => window.tabvisor.get(id).kept, i386)).toBe(false);
  await vmm.pane(i386).getByRole('button', { name: 'Keep it for the next visit' }).click();
  await expect(page).toHaveURL(/\/$/);
  await reload(page);
  await expect(row(page, i386)).toContainText('not started');
  await expect(vmm.pane(i386)).toHaveCount(0);
});

test('a guest of files of this computer is kept with them', async ({ vmm, page, request }) => {
  const file = async (name: string) => ({
    name,
    mimeType: 'application/octet-stream',
    buffer: await (await request.get(`./guests/${i386}/${name}`)).body(),
  });
  await vmm.open();
  await page.getByRole('button', { name: 'New guest' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('Files');
  await dialog.getByLabel('Boots').selectOption({ label: 'A kernel of your own' });
  await dialog.getByLabel('Kernel from this computer').setInputFiles(await file('vmlinuz'));
  await dialog.getByLabel('Initial RAM disk from this computer').setInputFiles(await file('initrd.gz'));
  await dialog.getByRole('button', { name: 'Define' }).click();
  await expect(page.getByRole('button', { name: 'Start: Files' })).toBeFocused();
  await reload(page);
  await page.getByRole('button', { name: 'Start: Files' }).click();
  await vmm.state('files', 'running');
  await vmm.text('files', /Linux version/, { timeoutMs: bootTimeoutMs });
});

test('guests start with the page if they are to, and not where the address says no', async ({ vmm, page }) => {
  await vmm.open();
  const id = await define(vmm, { name: 'Eager', autostart: true });
  await reload(page);
  await vmm.state(id, 'running');
  await expect(vmm.pane(id)).toBeVisible();
  await vmm.open('?autostart=no');
  await expect(row(page, id)).toContainText('not started');
});

test('where the browser stores nothing, guests work, and the page says that they are not kept', async ({
  vmm,
  page,
}) => {
  await page.addInitScript(() => {
    IDBFactory.prototype.open = () => {
      throw new DOMException('storage is disabled', 'SecurityError');
    };
  });
  await vmm.open();
  await expect(page.getByRole('status')).toContainText(/not kept when this page closes.*storage is disabled.*export/i);
  const id = await define(vmm, { name: 'Brief' });
  await page.getByRole('button', { name: 'Start: Brief' }).click();
  await vmm.state(id, 'running');
});

test('leaving the page is asked about while guests run, and only then', async ({ vmm, page }) => {
  const asked: string[] = [];
  page.on('dialog', (dialog) => {
    asked.push(dialog.type());
    void dialog.accept();
  });
  await vmm.open(`?guest=${i386}`);
  await vmm.state(i386, 'running');
  // Browsers ask only those who have touched the page.
  await vmm.pane(i386).locator('.xterm').click();
  await reload(page);
  expect(asked).toEqual(['beforeunload']);
  await vmm.state(i386, 'running');
  await vmm.pane(i386).getByRole('button', { name: 'Kill' }).click();
  await vmm.state(i386, 'stopped');
  await reload(page);
  expect(asked).toEqual(['beforeunload']);
  // A running guest is not closed by a key without a question.
  await vmm.state(i386, 'running');
  await page.getByRole('tab', { name: /32-bit/ }).focus();
  await page.keyboard.press('Delete');
  await page.getByRole('dialog').getByRole('button', { name: 'Let it run' }).click();
  expect(await page.evaluate((id) => window.tabvisor.get(id).status.state, i386)).toBe('running');
});
