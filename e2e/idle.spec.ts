/**
 * Host CPU of all the browser's processes with a guest idle at its prompt. 20 s by default; the promise is about 60
 * (TABVISOR_IDLE_SECONDS=60). Linux only: it reads /proc.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { amd64, expect, i386, test } from './fixtures.ts';

const idleSeconds = Number(process.env['TABVISOR_IDLE_SECONDS'] ?? 20);
/** The promise is 2 % over 60 s; a shorter run is for what spins, as compilers are still at work in it. */
const mostLoad = idleSeconds < 60 ? 0.04 : 0.02;
/** USER_HZ, which is 100 on every Linux that runs a browser. */
const ticksPerSecond = 100;

/** Pid, parent, and CPU ticks used, of each process (proc(5), fields 1, 4, 14 and 15 of stat). */
function processes(): { pid: number; parent: number; ticks: number }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        // The second field is a name in parentheses, which may hold blanks.
        const fields = readFileSync(`/proc/${name}/stat`, 'utf8')
          .replace(/^.*\) /s, '')
          .split(' ');
        return [{ pid: Number(name), parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) }];
      } catch {
        return []; // It ended meanwhile.
      }
    });
}

/** CPU seconds that this process's descendants have used: the browser, all of it. */
function browserSeconds(): number {
  const all = processes();
  const family = new Set([process.pid]);
  for (let size = 0; size !== family.size;) {
    size = family.size;
    for (const { pid, parent } of all) if (family.has(parent)) family.add(pid);
  }
  family.delete(process.pid);
  return all.filter(({ pid }) => family.has(pid)).reduce((sum, { ticks }) => sum + ticks, 0) / ticksPerSecond;
}

for (const guest of [amd64, i386]) {
  test(`${guest} idle at its prompt takes next to nothing of the host`, async ({ vmm }) => {
    test.skip(process.platform !== 'linux', 'it reads /proc');
    await vmm.open(`?guest=${guest}`);
    await vmm.booted(guest);
    // The guest's own housekeeping after its start, V8's compilers in the background, and the collection of what they left
    // are not idling.
    await vmm.page.waitForTimeout(30_000);
    const before = browserSeconds();
    const start = performance.now();
    await vmm.page.waitForTimeout(idleSeconds * 1000);
    const load = (browserSeconds() - before) / ((performance.now() - start) / 1000);
    const text = `${(load * 100).toFixed(2)} % of a core over ${idleSeconds} s, all processes of the browser`;
    test.info().annotations.push({ type: 'idle', description: text });
    console.log(text);
    expect(before).toBeGreaterThan(0.5);
    expect(load, text).toBeLessThan(mostLoad);
  });
}
