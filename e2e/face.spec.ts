/** The page for everybody: by keyboard alone at 1280 × 720, and without barriers in every view, dark and light. */
import { AxeBuilder } from '@axe-core/playwright';
import type { Page } from '@playwright/test';
import { expect, i386, test } from './fixtures.ts';

test.use({ viewport: { width: 1280, height: 720 } });

/** Serious and critical findings of axe in what is on the screen, in both themes; not in what guests print. */
async function barriers(page: Page, view: string): Promise<string[]> {
  const found: string[] = [];
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    const axe = new AxeBuilder({ page }).exclude('.xterm-rows');
    // All else is the same in both.
    if (colorScheme === 'dark') axe.withRules('color-contrast');
    const { violations } = await axe.analyze();
    for (const { id, impact, nodes } of violations) {
      if (impact !== 'serious' && impact !== 'critical') continue;
      found.push(`${view}, ${colorScheme}: ${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(' | ')}`);
    }
  }
  return found;
}

test('axe finds nothing serious in any view, dark or light', async ({ vmm, page }) => {
  const found: string[] = [];
  const look = async (view: string) => void found.push(...(await barriers(page, view)));
  await vmm.open();
  await expect(page.getByRole('button', { name: 'Boot Linux (32-bit)' })).toBeVisible();
  await look('catalogue');
  await page.getByRole('tab', { name: 'Host' }).click();
  await look('host without guests');
  await page.getByRole('tab', { name: 'Catalogue' }).click();
  await page.getByRole('button', { name: 'New guest' }).click();
  await page.getByRole('dialog').getByLabel('Memory').fill('1');
  await look('dialog');
  await vmm.open(`?guest=${i386}&guest=nonesuch&mode=bare-metal&processors=1`);
  await vmm.state(i386, 'running');
  await vmm.text(i386, /Linux version/);
  await look('tiles');
  const pane = vmm.pane(i386);
  await page.getByRole('tab', { name: /32-bit/ }).click();
  await page.getByRole('button', { name: 'Show one guest at a time' }).click();
  for (const view of ['Console', 'Monitor', 'Settings', 'Events']) {
    await pane.getByRole('tab', { name: view }).click();
    await look(view);
  }
  await page.getByRole('tab', { name: /32-bit/ }).click({ button: 'right' });
  await expect(page.getByRole('menu')).toBeVisible();
  await look('menu');
  await page.keyboard.press('Escape');
  await page.getByRole('tab', { name: 'Host' }).click();
  await expect(page.getByRole('img', { name: /^Timeline/ })).toBeVisible();
  await look('host');
  expect(found).toEqual([]);
});

test('everything is done by keyboard alone', async ({ vmm, page }) => {
  await vmm.open();
  await expect(page.getByRole('button', { name: 'Boot Linux (32-bit)' })).toBeVisible();
  const focused = page.locator(':focus');
  const press = async (...keys: string[]) => {
    for (const key of keys) await page.keyboard.press(key);
  };

  await test.step('past the bar, into the catalogue, and boot', async () => {
    await press('Tab');
    await expect(focused).toHaveText('Skip to the content');
    await expect(focused).toBeInViewport();
    await press('Enter');
    await expect(page.locator('main.home')).toBeFocused();
    for (let n = 0; n < 12 && (await focused.getAttribute('aria-label')) !== 'Boot Linux (32-bit)'; n++)
      await press('Tab');
    const outline = await focused.evaluate((element) => getComputedStyle(element).outlineWidth);
    expect(outline).toBe('2px');
    await press('Enter');
    await vmm.state(i386, 'running');
  });

  await test.step('through the inventory', async () => {
    const guest = page.getByRole('tab', { name: 'Linux (32-bit): running' });
    await expect(guest).toBeVisible();
    await expect(vmm.pane(i386).locator('textarea')).toBeFocused();
    await press('F6');
    await expect(guest).toBeFocused();
    await press('Home');
    await expect(page.getByRole('tab', { name: 'Host' })).toBeFocused();
    await expect(page.getByRole('heading', { name: 'Host', level: 1 })).toBeVisible();
    await press('ArrowDown', 'ArrowDown');
    await expect(guest).toBeFocused();
    // One stop for Tab: the rest is reached by arrows.
    await expect(page.locator('.inventory [tabindex="0"]')).toHaveCount(1);
  });

  await test.step('what can be done with a guest', async () => {
    await press('Shift+F10');
    const menu = page.getByRole('menu');
    await expect(menu.getByRole('menuitem').first()).toBeFocused();
    await press('End');
    await expect(menu.getByRole('menuitem', { name: 'Settings' })).toBeFocused();
    await press('Escape');
    await expect(menu).toHaveCount(0);
    await press('Shift+F10', 'Enter');
    await vmm.state(i386, 'paused');
    await press('Shift+F10', 'Enter');
    await vmm.state(i386, 'running');
  });

  await test.step('tabs of the guest, and its settings, checked as one types', async () => {
    const pane = vmm.pane(i386);
    await page.getByRole('tab', { name: /32-bit/ }).focus();
    await press('F2');
    await expect(pane.getByLabel('Name')).toBeFocused();
    await pane.getByLabel('Weight').focus();
    await press('Control+A');
    await page.keyboard.type('0');
    await expect(pane.getByText(/from 1 to 65535/)).toBeVisible();
    await press('Control+A');
    await page.keyboard.type('512');
    await press('Enter');
    await expect(pane.getByText(/Saved\. Weight, cap and processors count at once/)).toBeVisible();
    expect(await page.evaluate((id) => window.tabvisor.share(id).weight, i386)).toBe(512);
    await pane.getByLabel('Runs on processors').focus();
    await page.keyboard.type('0 x');
    await expect(pane.getByText(/numbers from 0 to 31/)).toBeVisible();
    await press('Control+A');
    await page.keyboard.type('0');
    await press('Tab');
    await expect(pane.getByLabel('Preferred processors')).toBeFocused();
    await page.keyboard.type('1');
    await press('Enter');
    await expect(pane.getByText(/Saved\. Weight, cap and processors count at once/)).toBeVisible();
    const { affinity } = await page.evaluate((id) => window.tabvisor.share(id), i386);
    expect(affinity).toEqual({ hard: [0], soft: [1] });
    await pane.getByRole('tab', { name: 'Settings' }).focus();
    await press('ArrowLeft');
    await expect(pane.getByRole('tab', { name: 'Monitor' })).toBeFocused();
    await expect(pane.getByRole('img', { name: 'Memory over time' })).toBeVisible();
    await press('ArrowRight', 'ArrowRight');
    await expect(pane.getByRole('tabpanel', { name: 'Events' })).toContainText('It goes on.');
    await press('Home');
    await expect(pane.locator('.xterm')).toBeVisible();
  });

  await test.step('the kind of hypervisor', async () => {
    await page.getByRole('tab', { name: /32-bit/ }).focus();
    await press('Home', 'Enter');
    await expect(page.getByRole('heading', { name: 'Host', level: 1 })).toBeFocused();
    await page.getByLabel('Hosted (type 2)').focus();
    await press('ArrowDown', 'Tab', 'Control+A');
    await page.keyboard.type('0');
    await expect(page.getByText(/a whole number from 1 to/)).toBeVisible();
    await press('Control+A');
    await page.keyboard.type('1');
    await press('Enter');
    await expect(page.getByText('In effect. Guests ran on meanwhile.')).toBeVisible();
    expect(await page.evaluate(() => window.tabvisor.processorsNow)).toMatchObject({ mode: 'bare-metal', count: 1 });
    expect(new URL(page.url()).searchParams.get('processors')).toBe('1');
  });

  await test.step('close', async () => {
    await page.getByRole('tab', { name: /32-bit/ }).focus();
    await press('Delete');
    await expect(page.getByRole('dialog').getByRole('button', { name: 'Let it run' })).toBeFocused();
    await press('Tab', 'Enter');
    await expect(page.getByRole('tab', { name: /32-bit/ })).toHaveCount(0);
  });
});

test('nothing is cut off or scrolls sideways at 1280 × 720', async ({ vmm, page }) => {
  await vmm.open(`?guest=${i386}&guest=${i386}&guest=${i386}`);
  await vmm.state(`${i386}-3`, 'running');
  const sideways = () => page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  expect(await sideways()).toBe(false);
  for (const id of [i386, `${i386}-2`]) await expect(vmm.pane(id).locator('.xterm')).toBeInViewport();
  for (const place of ['Host', 'Catalogue']) {
    await page.getByRole('tab', { name: place }).click();
    expect(await sideways()).toBe(false);
  }
});
