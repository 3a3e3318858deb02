/** Real guests in the page: what a visitor of the URL gets. */
import { amd64, bootTimeoutMs, expect, i386, ready, test } from './fixtures.ts';

test.describe('two guests from the URL', () => {
  test('boot side by side; each answers in its own console', async ({ vmm, page }) => {
    await vmm.open(`?guest=${amd64}&guest=${i386}`);
    await Promise.all([vmm.booted(amd64), vmm.booted(i386)]);
    expect(await vmm.run(amd64, 'uname -m')).toBe('x86_64');
    expect(await vmm.run(i386, 'uname -m')).toBe('i686');
    await expect(vmm.pane(amd64)).toHaveAttribute('data-state', 'running');
    await expect(vmm.pane(i386)).toHaveAttribute('data-state', 'running');
    // Both consoles are on the screen at once.
    await expect(vmm.pane(amd64).locator('.xterm')).toBeInViewport();
    await expect(vmm.pane(i386).locator('.xterm')).toBeInViewport();
    await expect(page).toHaveTitle(/Linux .*running.*Tabvisor/);
    const memory = await vmm.memory();
    expect(memory.memories).toBe(2);
  });

  test('one crashes, the other goes on', async ({ vmm }) => {
    await vmm.open(`?guest=${amd64}&guest=${i386}`);
    await Promise.all([vmm.booted(amd64), vmm.booted(i386)]);
    await vmm.type(i386, 'echo c > /proc/sysrq-trigger\n');
    await vmm.text(i386, /Kernel panic/);
    expect(await vmm.run(amd64, 'echo alive $((6 * 7))')).toContain('alive');
    // What has crashed can be ended and booted again beside the other.
    await vmm.page.evaluate((id) => window.tabvisor.kill(id), i386);
    await vmm.state(i386, 'stopped', 'crashed');
    await vmm.pane(i386).getByRole('button', { name: 'Start' }).click();
    await vmm.booted(i386);
    expect(await vmm.run(amd64, 'uname -m')).toBe('x86_64');
  });

  test('an executor that dies takes only its guest with it', async ({ vmm, page }) => {
    await vmm.open(`?guest=${amd64}&guest=${i386}`);
    await Promise.all([vmm.booted(amd64), vmm.booted(i386)]);
    await vmm.pane(i386).getByRole('button', { name: 'Kill' }).click();
    await expect(vmm.pane(i386).locator('.notice')).toContainText('killed');
    expect(await vmm.run(amd64, 'uname -m')).toBe('x86_64');
    await expect(page.getByRole('tab', { name: /32-bit/ })).toHaveAttribute('data-state', 'stopped');
  });
});

test.describe('one guest', () => {
  test.beforeEach(async ({ vmm }) => {
    await vmm.open(`?guest=${i386}`);
    await vmm.booted(i386);
  });

  test('takes what is typed into its console', async ({ vmm, page }) => {
    const from = await vmm.position(i386);
    await vmm.pane(i386).locator('.xterm').click();
    await page.keyboard.type('uname -m');
    await page.keyboard.press('Enter');
    await vmm.text(i386, /^i686\r?$/m, { from });
    // Out of the console by keyboard alone, and back.
    await page.keyboard.press('F6');
    await expect(page.getByRole('tab', { name: /32-bit/ })).toBeFocused();
    await page.keyboard.press('Enter');
    await expect(vmm.pane(i386).locator('textarea')).toBeFocused();
  });

  test('pastes and copies', async ({ vmm, page }) => {
    const from = await vmm.position(i386);
    await page.evaluate(() => navigator.clipboard.writeText('echo pasted'));
    await vmm.pane(i386).locator('.xterm').click();
    await page.keyboard.press('Control+V');
    await page.keyboard.press('Enter');
    await vmm.text(i386, /^pasted\r?$/m, { from });
    await vmm
      .pane(i386)
      .locator('.xterm-screen')
      .dblclick({ position: { x: 20, y: 8 } });
    await page.keyboard.press('Control+Shift+C');
    await expect.poll(() => page.evaluate(() => navigator.clipboard.readText())).not.toBe('echo pasted');
  });

  test('pauses within 50 ms while it computes flat out, and resumes', async ({ vmm }) => {
    await vmm.type(i386, 'while :; do :; done\n');
    await expect.poll(async () => (await vmm.stats(i386)).millionInstructionsPerSecond).toBeGreaterThan(1);
    const tookMs = await vmm.page.evaluate(async (id) => {
      const start = performance.now();
      await window.tabvisor.pause(id);
      return performance.now() - start;
    }, i386);
    expect(tookMs).toBeLessThan(50);
    const before = (await vmm.stats(i386)).instructions;
    await expect(vmm.pane(i386).locator('.notice')).toContainText('Paused');
    expect((await vmm.stats(i386)).instructions).toBe(before);
    await vmm.pane(i386).getByRole('button', { name: 'Resume' }).click();
    await vmm.state(i386, 'running');
    await expect.poll(async () => (await vmm.stats(i386)).instructions).toBeGreaterThan(before);
    await vmm.interrupt(i386);
    expect(await vmm.run(i386, 'uname -m')).toBe('i686');
  });

  test('tells its tiers, and shows any compiled code beside the guest', async ({ vmm, page }) => {
    await vmm.run(i386, 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done');
    const { instructions, tiers, core, compiler, exits } = await vmm.stats(i386);
    expect(tiers.compiled).toBeGreaterThan(instructions / 10);
    expect(tiers.interpreted + tiers.compiled).toBeGreaterThan(instructions * 0.9);
    expect(tiers.interpreted + tiers.compiled).toBeLessThanOrEqual(instructions * 1.1);
    expect(compiler.regionsAlive).toBeGreaterThan(0);
    expect(compiler.modulesAlive).toBeGreaterThan(0);
    expect(compiler.modulesAlive).toBeLessThanOrEqual(compiler.modules);
    expect(compiler.milliseconds).toBeGreaterThan(0);
    expect(compiler.exits.go).toBeGreaterThan(0);
    expect(core.tlbMisses).toBeGreaterThan(0);
    expect(core.invalidations).toBeGreaterThan(0);
    expect(exits.portWrite.count).toBeGreaterThan(0);
    await expect.poll(() => vmm.pane(i386).locator('.facts').getAttribute('title')).toContain('by compiled code');

    const region = (address: string) =>
      page.evaluate(([id, at]) => window.tabvisor.region(id, at).catch((error: Error) => error.message), [
        i386,
        address,
      ] as const);
    const refusal = await region('0');
    const nearest = /The nearest of \d+ regions?: ([0-9a-f]+) to /.exec(refusal)?.[1] ?? '';
    expect(nearest, refusal).not.toBe('');
    const text = await region(nearest);
    expect(text).toMatch(new RegExp(`^region .*32-bit code`, 'm'));
    expect(text).toMatch(new RegExp(`;; ${nearest}  [a-z]`));
    // The guest goes on as before; what is typed while it stands still is echoed before its prompt, too.
    expect(await vmm.run(i386, 'uname -m')).toMatch(/(^|\n)i686$/);
  });

  test('resets, and boots again', async ({ vmm }) => {
    const from = await vmm.position(i386);
    await vmm.pane(i386).getByRole('button', { name: 'Reset' }).click();
    await vmm.text(i386, ready, { from, timeoutMs: bootTimeoutMs });
  });

  test('shuts down when the power button is pressed, and starts again in the same memory', async ({ vmm }) => {
    await vmm.pane(i386).getByRole('button', { name: 'Power off' }).click();
    const status = await vmm.state(i386, 'stopped', 'crashed');
    expect(status).toEqual({ state: 'stopped', cause: { kind: 'poweredOff' } });
    await expect(vmm.pane(i386).locator('.notice')).toContainText('Powered off');
    await expect.poll(async () => (await vmm.memory()).cleaning).toBe(0);
    expect((await vmm.memory()).keptBytes).toBeGreaterThan(0);
    await vmm.pane(i386).getByRole('button', { name: 'Start' }).click();
    await vmm.booted(i386);
    expect((await vmm.memory()).memories).toBe(1);
  });

  test('boots again after a reload', async ({ vmm, page }) => {
    await page.reload();
    await page.waitForFunction(() => window.tabvisor !== undefined);
    await vmm.booted(i386);
    expect(await vmm.run(i386, 'uname -m')).toBe('i686');
  });
});

test('the page stays responsive while both guests print without end', async ({ vmm, page }) => {
  await vmm.open(`?guest=${amd64}&guest=${i386}`);
  await Promise.all([vmm.booted(amd64), vmm.booted(i386)]);
  await vmm.type(amd64, 'yes tabvisor\n');
  await vmm.type(i386, 'yes tabvisor\n');
  await Promise.all([vmm.text(amd64, /(tabvisor\r?\n){20}/), vmm.text(i386, /(tabvisor\r?\n){20}/)]);
  const frames = await page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        const start = performance.now();
        let count = 0;
        const next = () => {
          count++;
          if (performance.now() - start > 3000) resolve(count / 3);
          else requestAnimationFrame(next);
        };
        requestAnimationFrame(next);
      }),
  );
  // On two cores that two guests keep busy: still a page that answers.
  expect(frames).toBeGreaterThan(5);
  for (const id of [amd64, i386]) await vmm.interrupt(id);
  expect(await vmm.run(amd64, 'uname -m')).toBe('x86_64');
});
