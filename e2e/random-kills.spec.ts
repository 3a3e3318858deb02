/**
 * Workers killed at random moments under a guest that prints numbers, computes for each a little, and sleeps between
 * them. Whatever the moment: the guest goes on and misses no number, or it is crashed and says so; never wrong output. On
 * processors the ring of decisions tells that a guest which crashed had been running at that moment.
 * `npm run kill-campaign` for many; TABVISOR_SEED repeats a run.
 */
import { amd64, expect, test, type Vmm } from './fixtures.ts';

const kills = Number(process.env['TABVISOR_KILLS'] ?? 2);
const seed = Number(process.env['TABVISOR_SEED'] ?? 1);

/** xorshift32: numbers in 0…1 that a seed repeats. */
function random(from: number): () => number {
  let state = from || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

const program =
  'n=0; while :; do i=0; while [ $i -lt 60 ]; do i=$((i+1)); done; ' +
  'n=$((n+1)); echo "number $n sum $((n*i))"; sleep 1; done\n';
/** Kills come within this time: a round of the program, most of which it is asleep unless the host is very busy. */
const withinMs = 1200;

async function begin(vmm: Vmm): Promise<number> {
  await vmm.booted(amd64).catch(async (error: unknown) => {
    const status = await vmm.page.evaluate((id) => window.tabvisor.get(id).status, amd64);
    throw new Error(`it did not boot (${JSON.stringify(status)}): ${String(error)}`);
  });
  const from = await vmm.position(amd64);
  await vmm.type(amd64, program);
  await vmm.text(amd64, /number 3 sum 180\r?\n/, { from });
  return from;
}

/** All whole lines that the program printed are right: each number after the one before, each sum of its number. */
function checkNumbers(text: string): number {
  const lines = [...text.matchAll(/^number (\d+) sum (\d+)\r?\n/gm)];
  lines.forEach(([, number, sum], index) => {
    expect([Number(number), Number(sum)]).toEqual([index + 1, 60 * (index + 1)]);
  });
  return lines.length;
}

for (const mode of ['hosted', 'bare-metal'] as const) {
  test(`${kills} kills at random moments, ${mode}: the guest goes on without a gap, or is crashed`, async ({
    vmm,
    page,
  }) => {
    test.setTimeout(240_000 + kills * 20_000);
    const next = random(seed);
    const came = { wentOn: 0, crashed: 0 };
    await vmm.open(`?guest=${amd64}${mode === 'hosted' ? '' : '&mode=bare-metal&processors=2'}`);
    let from = await begin(vmm);
    for (let n = 0; n < kills; n++) {
      // The kill comes from within the page, or its moment would be that of the test's messages.
      const { state, position, ran } = await page.evaluate(
        async ([id, afterMs]) => {
          await new Promise((resolve) => setTimeout(resolve, afterMs));
          await window.tabvisor.killExecutor(id);
          const { status } = window.tabvisor.get(id);
          const ran = window.tabvisor.schedule().entries.at(-1)?.guest !== undefined;
          return { state: status.state, position: window.tabvisor.consolePosition(id), ran };
        },
        [amd64, next() * withinMs] as const,
      );
      const console = () => page.evaluate((id) => window.tabvisor.consoleText(id), amd64);
      if (state === 'running') {
        came.wentOn++;
        await vmm.text(amd64, /number \d+ sum \d+\r?\n(.*\n)*number/, { from: position });
        checkNumbers((await console()).slice(from));
        continue;
      }
      came.crashed++;
      expect(state).toBe('crashed');
      if (mode === 'bare-metal') expect(ran).toBe(true);
      checkNumbers((await console()).slice(from));
      await page.evaluate((id) => window.tabvisor.start(id), amd64);
      from = await begin(vmm);
    }
    test.info().annotations.push({ type: 'kills', description: JSON.stringify(came) });
    console.log(`${kills} kills, ${mode}, seed ${seed}: ${came.wentOn} went on, ${came.crashed} crashed`);
    const { state } = await page.evaluate((id) => window.tabvisor.get(id).status, amd64);
    expect(state).toBe('running');
    // A few may all hit it while it computes.
    if (kills >= 20) expect(came.wentOn).toBeGreaterThan(0);
  });
}
