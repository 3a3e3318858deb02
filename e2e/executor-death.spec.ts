/** Workers that die under real guests: one at rest goes on in a new worker, one that computes is crashed and says so. */
import type { Worker } from '@playwright/test';
import { amd64, expect, i386, test, type Vmm } from './fixtures.ts';

const killExecutor = (vmm: Vmm, id: string) => vmm.page.evaluate((guest) => window.tabvisor.killExecutor(guest), id);

const statusOf = (vmm: Vmm, id: string) => vmm.page.evaluate((guest) => window.tabvisor.get(guest).status, id);

/** Resolves when the guest sleeps at its prompt: its processor has halted, and does no more than its housekeeping. */
async function idle(vmm: Vmm, id: string): Promise<void> {
  await expect.poll(async () => (await vmm.stats(id)).millionInstructionsPerSecond).toBeLessThan(0.5);
}

/** The worker that runs a guest. It answers only while the guest is quiet: it sleeps in its event loop then. */
async function workerOf(vmm: Vmm, id: string): Promise<Worker> {
  for (const worker of vmm.page.workers()) {
    if ((await worker.evaluate(() => self.name)).startsWith(`guest ${id} `)) return worker;
  }
  throw new Error(`${id} has no worker`);
}

test('guests at rest do not notice that their workers die; one that computes is crashed, and no other', async ({
  vmm,
  page,
}) => {
  await vmm.open(`?guest=${amd64}&guest=${i386}`);
  await Promise.all([vmm.booted(amd64), vmm.booted(i386)]);

  await test.step('idle at the prompt', async () => {
    for (const id of [amd64, i386]) {
      await vmm.run(id, 'x=kept; echo $x > /tmp/file');
      let survived = 0;
      for (let n = 0; n < 4; n++) {
        await idle(vmm, id);
        await killExecutor(vmm, id);
        const { state } = await statusOf(vmm, id);
        if (state === 'running') {
          survived++;
          expect(await vmm.run(id, 'echo $x $(cat /tmp/file)')).toBe('kept kept');
        } else {
          // The kill hit the guest's housekeeping, a hundredth of its time.
          expect(state).toBe('crashed');
          await page.evaluate((guest) => window.tabvisor.start(guest), id);
          await vmm.booted(id);
          await vmm.run(id, 'x=kept; echo $x > /tmp/file');
        }
      }
      expect(survived).toBeGreaterThanOrEqual(2);
      expect(await vmm.run(id, 'sleep 1; echo slept')).toBe('slept');
    }
  });

  await test.step('paused while it computed', async () => {
    const from = await vmm.position(i386);
    await vmm.type(i386, 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo sum $i\n');
    await page.evaluate((id) => window.tabvisor.pause(id), i386);
    for (let n = 0; n < 3; n++) await killExecutor(vmm, i386);
    expect(await statusOf(vmm, i386)).toEqual({ state: 'paused' });
    await page.evaluate((id) => window.tabvisor.resume(id), i386);
    await vmm.text(i386, /^sum 20000\r?$/m, { from });
  });

  await test.step('gone without a word', async () => {
    await idle(vmm, i386);
    await idle(vmm, amd64);
    const replaced = page.waitForEvent('console', (message) => message.text().includes('another one goes on with it'));
    const worker = await workerOf(vmm, i386);
    await worker.evaluate(() => {
      setTimeout(() => self.close());
    });
    expect((await replaced).text()).toContain(`[${i386}] Its worker died (the browser ended it)`);
    expect(await vmm.run(i386, 'echo $x')).toBe('kept');
  });

  await test.step('while it computes', async () => {
    await vmm.type(amd64, 'while :; do :; done\n');
    await expect.poll(async () => (await vmm.stats(amd64)).load).toBeGreaterThan(0.5);
    await killExecutor(vmm, amd64);
    expect(await statusOf(vmm, amd64)).toEqual({
      state: 'crashed',
      cause: { kind: 'executorDied', message: 'it was killed' },
    });
    await expect(vmm.pane(amd64).getByRole('alert')).toContainText(/died while it computed: it was killed/);
    expect(await vmm.run(i386, 'echo $x')).toBe('kept');
    await vmm.pane(amd64).getByRole('button', { name: 'Start' }).click();
    await vmm.booted(amd64);
    expect(await vmm.run(amd64, 'uname -m')).toBe('x86_64');
  });
});
