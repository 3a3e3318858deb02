/** Bare-metal mode: guests that share processors, and the switch between the two kinds of hypervisor. */
import { amd64, expect, i386, test, type Vmm } from './fixtures.ts';

const busyLoop = 'while :; do :; done';

/** Run time of each guest over so many milliseconds, in percent of one processor. */
function sharesOver(vmm: Vmm, milliseconds: number): Promise<Record<string, number>> {
  return vmm.page.evaluate(async (wait) => {
    const times = () => window.tabvisor.processorsNow.guests;
    const before = times();
    const start = performance.now();
    await new Promise((resolve) => setTimeout(resolve, wait));
    const took = performance.now() - start;
    return Object.fromEntries(
      Object.entries(times()).map(([id, { runSeconds }]) => [
        id,
        ((runSeconds - (before[id]?.runSeconds ?? 0)) / took) * 1e5,
      ]),
    );
  }, milliseconds);
}

test('two guests share one processor by weight, and an echo does not wait', async ({ vmm }) => {
  await vmm.open(`?guest=${amd64}&guest=${i386}&mode=bare-metal&processors=1`);
  await vmm.bootedQuietly(amd64);
  await vmm.bootedQuietly(i386);
  expect(await vmm.run(amd64, 'uname -m')).toBe('x86_64');
  await vmm.page.evaluate((id) => window.tabvisor.setShare(id, { weight: 768 }), amd64);
  // A third guest stays idle at its prompt.
  const idle = `${amd64}-2`;
  await vmm.page.evaluate(async (id) => window.tabvisor.start(await window.tabvisor.create(id)), amd64);
  await vmm.bootedQuietly(idle);
  for (const id of [amd64, i386]) await vmm.type(id, `${busyLoop}\n`);
  await vmm.page.waitForTimeout(1000);
  const shares = await sharesOver(vmm, 10_000);
  const total = (shares[amd64] ?? 0) + (shares[i386] ?? 0);
  expect(((shares[amd64] ?? 0) / total) * 100, JSON.stringify(shares)).toBeGreaterThan(73);
  expect(((shares[amd64] ?? 0) / total) * 100, JSON.stringify(shares)).toBeLessThan(77);

  const echoes = await vmm.page.evaluate(async (id) => {
    const times: number[] = [];
    for (let n = 0; n < 50; n++) {
      const from = window.tabvisor.consolePosition(id);
      const start = performance.now();
      await window.tabvisor.type(id, 'x');
      await window.tabvisor.waitForText(id, 'x', { from });
      times.push(performance.now() - start);
    }
    return times.sort((a, b) => a - b);
  }, idle);
  console.log(
    `echo beside two busy guests on one processor: median ${echoes[25]?.toFixed(1)}, worst ${echoes[49]?.toFixed(1)} ms`,
  );
  expect(echoes[25]).toBeLessThan(20);
  const reasons = await vmm.page.evaluate(() => [
    ...new Set(window.tabvisor.schedule().entries.map(({ reason }) => reason)),
  ]);
  expect(reasons).toEqual(expect.arrayContaining(['slice', 'halt', 'preempt']));
  for (const id of [amd64, i386]) await vmm.interrupt(id);
  expect(await vmm.run(i386, 'uname -m')).toBe('i686');
});

test('the kind of hypervisor changes while guests run', async ({ vmm }) => {
  await vmm.open(`?guest=${amd64}&guest=${i386}`);
  await vmm.bootedQuietly(amd64);
  await vmm.bootedQuietly(i386);
  // It counts, and tells at the end: nothing is lost on the way.
  await vmm.type(i386, 'n=0; while [ $n -lt 40000 ]; do n=$((n+1)); done; echo counted $n\n');
  for (const [mode, count] of [
    ['bare-metal', 1],
    ['bare-metal', 2],
    ['hosted', 1],
    ['bare-metal', 2],
    ['bare-metal', 1],
  ] as const) {
    const state = await vmm.page.evaluate(
      ([wanted, processors]) => window.tabvisor.processors({ mode: wanted, count: processors }),
      [mode, count] as const,
    );
    expect(state).toMatchObject({ mode, count });
    expect(state.processors).toHaveLength(mode === 'hosted' ? 0 : count);
    expect(await vmm.run(amd64, `echo ${mode} $((${count} + 1))`)).toBe(`${mode} ${count + 1}`);
  }
  await vmm.text(i386, /counted 40000/, { timeoutMs: 60_000 });
  await vmm.page.evaluate((id) => window.tabvisor.pause(id), amd64);
  await vmm.page.evaluate(() => window.tabvisor.processors({ mode: 'hosted' }));
  await vmm.state(amd64, 'paused');
  await vmm.page.evaluate((id) => window.tabvisor.resume(id), amd64);
  expect(await vmm.run(amd64, 'uname -m')).toBe('x86_64');
  await vmm.type(i386, 'poweroff\n');
  await vmm.state(i386, 'stopped');
});

test('guests on processors end, begin anew and survive the death of an idle processor', async ({ vmm }) => {
  await vmm.open(`?guest=${i386}&guest=${amd64}&mode=bare-metal&processors=2`);
  await vmm.bootedQuietly(i386);
  await vmm.bootedQuietly(amd64);
  let crashed = 0;
  for (const worker of vmm.page.workers()) {
    const name = await worker.evaluate(() => self.name);
    if (!name.startsWith('processor')) continue;
    // Both are idle at their prompts: a processor that dies now holds nobody, but for their housekeeping.
    for (const id of [i386, amd64]) {
      await expect.poll(async () => (await vmm.stats(id)).millionInstructionsPerSecond).toBeLessThan(0.5);
    }
    await worker.evaluate(() => {
      setTimeout(() => {
        throw new Error('killed by a test');
      }, 0);
    });
    for (const id of [i386, amd64]) {
      const answer = await vmm.run(id, 'echo still $((40 + 2))').catch(async (error: unknown) => {
        const { state } = await vmm.page.evaluate((one) => window.tabvisor.get(one).status, id);
        if (state !== 'crashed') throw error;
        crashed++;
        await vmm.page.evaluate((one) => window.tabvisor.start(one), id);
        await vmm.bootedQuietly(id);
        return vmm.run(id, 'echo still $((40 + 2))');
      });
      expect(answer).toBe('still 42');
    }
  }
  expect(crashed).toBeLessThanOrEqual(1);

  // One that was paused in the midst of its work is at rest, whatever becomes of the processor that ran it.
  const from = await vmm.position(amd64);
  await vmm.type(amd64, 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo sum $i\n');
  await vmm.page.evaluate((id) => window.tabvisor.pause(id), amd64);
  for (let n = 0; n < 3; n++) await vmm.page.evaluate((id) => window.tabvisor.killExecutor(id), amd64);
  expect(await vmm.page.evaluate((id) => window.tabvisor.get(id).status, amd64)).toEqual({ state: 'paused' });
  expect(await vmm.run(i386, 'echo still $((40 + 2))')).toBe('still 42');
  await vmm.page.evaluate((id) => window.tabvisor.resume(id), amd64);
  await vmm.text(amd64, /^sum 20000\r?$/m, { from });
  await vmm.page.waitForFunction(() =>
    window.tabvisor.processorsNow.processors.every(({ busySeconds }) => busySeconds > 0),
  );

  await vmm.type(i386, `${busyLoop}\n`);
  const killed = await vmm.page.evaluate(async (id) => {
    const start = performance.now();
    await window.tabvisor.kill(id);
    return performance.now() - start;
  }, i386);
  expect(killed).toBeLessThan(2000);
  await vmm.state(i386, 'stopped');
  expect(await vmm.run(amd64, 'uname -m')).toBe('x86_64');
  await vmm.page.evaluate((id) => window.tabvisor.start(id), i386);
  await vmm.bootedQuietly(i386);
  await vmm.type(amd64, 'echo c > /proc/sysrq-trigger\n');
  await vmm.page.evaluate((id) => window.tabvisor.kill(id), amd64);
  expect(await vmm.run(i386, 'uname -m')).toBe('i686');
  expect(await vmm.page.evaluate(() => Object.keys(window.tabvisor.processorsNow.guests))).toEqual([i386]);
});

test('a processor that ends without a word is noticed: its guests go on, or are crashed with the cause', async ({
  vmm,
}) => {
  await vmm.open(`?guest=${i386}&guest=${amd64}&mode=bare-metal&processors=1`);
  await vmm.bootedQuietly(i386);
  await vmm.bootedQuietly(amd64);
  await vmm.type(i386, `${busyLoop}\n`);
  for (const worker of vmm.page.workers()) {
    const name = await worker.evaluate(() => self.name);
    if (name.startsWith('processor')) await worker.evaluate(() => self.close());
  }
  const ended = await vmm.state(i386, 'crashed');
  expect(ended).toMatchObject({ cause: { message: expect.stringMatching(/the browser ended it/) as unknown } });
  expect(await vmm.run(amd64, 'echo still $((40 + 2))')).toBe('still 42');
  await vmm.page.evaluate((id) => window.tabvisor.start(id), i386);
  await vmm.bootedQuietly(i386);
});

test('the page switches, and refuses what makes no sense', async ({ vmm }) => {
  await vmm.open('?mode=bare-metal&processors=99');
  await expect(vmm.page.getByText(/99 processors cannot be granted/)).toBeVisible();
  const control = vmm.page.locator('details', { hasText: 'Kind of hypervisor' });
  await control.locator('summary').click();
  await control.getByLabel('Kind of hypervisor').selectOption('bare-metal');
  await control.getByLabel('Processors granted').fill('1');
  await control.getByRole('button', { name: 'Set' }).click();
  await expect(control.locator('summary')).toHaveText(/Bare-metal, 1 of \d+/);
  expect(new URL(vmm.page.url()).searchParams.get('mode')).toBe('bare-metal');
});
