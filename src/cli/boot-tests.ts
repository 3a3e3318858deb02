/**
 * Boots the catalogue's kernels under Node:
 *
 *     tsx src/cli/boot-tests.ts [--guest ID] [--only TEST] [--points N] [--idle SECONDS] [--record]
 *
 * - script: boots to the ready line, runs a script whose output must be QEMU's, gives up memory to the balloon and takes it
 *   back, as under QEMU too, sleeps 10 s to a tenth of a second, and powers off;
 * - idle: host CPU of this process with a guest idle at its prompt (default 20 s; 60 s is what the promise is about:
 *   --idle 60, or TABVISOR_IDLE_SECONDS);
 * - repeat: two runs under the virtual clock, with a balloon that asks for memory, retire the same number of instructions
 *   up to the prompt;
 * - revive: at N points of a boot (default 4; TABVISOR_KILL_POINTS) the guest is parked, its worker terminated without
 *   notice, and a new one goes on: console output and instruction count are those of the undisturbed run;
 * - disk: a file system is made, written, and read back; media that are slow, damaged or read-only; an executor is killed
 *   with requests under way.
 *
 * `--record` runs the script under QEMU and stores what it prints in testing/guest-script.json. The last line is
 * `N passed, N failed`. Where the guests' images have not been built, the tests fail and say so.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { BlockLayer } from '../storage/block.ts';
import { shared, startHeadless, type HeadlessMachine } from './headless.ts';
import { runDiskScript, TestDisks } from './testing/disk-test.ts';
import { guestScript, runBalloonScript, runCommand, runScript } from './testing/guest-script.ts';
import { QemuGuest } from './testing/qemu.ts';

const images = new URL('../../.cache/guests/images/', import.meta.url);
const expectedFile = new URL('./testing/guest-script.json', import.meta.url);
const guests = { 'linux-i386': 'i386', 'linux-amd64': 'amd64' } as const;
type GuestId = keyof typeof guests;

const bootTimeoutMs = 180_000;
const ramBytes = 256 * 2 ** 20;
/** What the balloon is asked for. */
const balloonMiB = 64;
const ready = /tabvisor: guest ready/;
/**
 * Typed before power-on, so that it is there at the same instruction in every run: what comes early is lost. The guest ends
 * when it has given the balloon what it asks for.
 */
const typedAhead = `until grep -q inflate.${balloonMiB * 256} /proc/vmstat; do sleep 1; done; poweroff -f\n`.repeat(4);

class Failure extends Error {}

function expect(condition: boolean, message: () => string): void {
  if (!condition) throw new Failure(message());
}

function imageFile(id: GuestId, name: string): URL {
  const file = new URL(`${id}/${name}`, images);
  expect(existsSync(file), () => `there is no image of ${id}: run npm run guests first`);
  return file;
}

function power(id: GuestId, clock: 'real' | 'virtual', disks: readonly BlockLayer[] = []): Promise<HeadlessMachine> {
  return startHeadless({
    kernel: shared(readFileSync(imageFile(id, 'vmlinuz'))),
    initrd: shared(readFileSync(imageFile(id, 'initrd.gz'))),
    commandLine: 'console=ttyS0 cryptomgr.notests',
    ramBytes,
    clock,
    noReboot: true,
    balloon: { deflateOnOom: false, freePageReporting: true },
    balloonMiB: clock === 'virtual' ? balloonMiB : 0,
    disks,
  });
}

// script

/** Share of a core that this process, workers included, used while `wait` passed. */
async function hostLoad(wait: () => Promise<unknown>): Promise<number> {
  const startUsage = process.cpuUsage();
  const start = performance.now();
  await wait();
  const { user, system } = process.cpuUsage(startUsage);
  return (user + system) / 1000 / (performance.now() - start);
}

/** The guest gives up memory and takes it back, and prints each time what it prints under QEMU. */
async function testBalloon(machine: HeadlessMachine, expected: readonly string[]): Promise<void> {
  const before = await machine.askForMemoryStatistics(bootTimeoutMs);
  const outputs = await runBalloonScript(machine.console, bootTimeoutMs, async (mib) => {
    machine.setBalloon(mib);
    await machine.waitForBalloon(mib, bootTimeoutMs);
    const { balloonedBytes, guest } = await machine.askForMemoryStatistics(bootTimeoutMs);
    expect(balloonedBytes === mib * 2 ** 20, () => `${balloonedBytes} bytes are in a balloon of ${mib} MiB`);
    const total = before.guest?.totalBytes ?? 0;
    expect(guest?.totalBytes === total - mib * 2 ** 20, () => `of ${total} bytes the guest has ${guest?.totalBytes}`);
  });
  expect(
    JSON.stringify(outputs) === JSON.stringify(expected),
    () => `with the balloon it printed ${JSON.stringify(outputs)}, under QEMU ${JSON.stringify(expected)}`,
  );
}

async function testScript(id: GuestId): Promise<string> {
  const expected = (JSON.parse(readFileSync(expectedFile, 'utf8')) as Record<string, string[]>)[id] ?? [];
  const machine = await power(id, 'real');
  try {
    const run = machine.run();
    // A failure before its end closes the machine: that is what it is about then.
    run.catch(() => {});
    await machine.console.waitForText(ready, { timeoutMs: bootTimeoutMs });
    await machine.console.waitForText(/~# /, { timeoutMs: bootTimeoutMs });
    const outputs = await runScript(machine.console, guestScript, bootTimeoutMs);
    guestScript.forEach((command, i) => {
      expect(
        outputs[i] === expected[i],
        () => `"${command}" printed ${show(outputs[i])}, under QEMU ${show(expected[i])}`,
      );
    });
    await testBalloon(machine, expected.slice(guestScript.length));
    const from = machine.console.position;
    const slept = runCommand(machine.console, 'sleep 10', bootTimeoutMs);
    // Typing, and the shell that reads it, are not sleep.
    await machine.console.waitForText(/@begin@\r\n/, { from, timeoutMs: bootTimeoutMs });
    const start = performance.now();
    await slept;
    const seconds = (performance.now() - start) / 1000;
    expect(Math.abs(seconds - 10) <= 0.1, () => `sleep 10 took ${seconds.toFixed(3)} s`);
    await machine.console.type('poweroff -f\n');
    const result = await run;
    expect(result.kind === 'ended' && result.state === 'poweredOff', () => `it ended with ${JSON.stringify(result)}`);
    return `sleep 10 took ${seconds.toFixed(3)} s`;
  } finally {
    await machine.close();
  }
}

// idle

/**
 * Most of a core that a guest may take at its prompt. The promise is 2 % over 60 s; a shorter run is for what spins, as
 * compilers are still at work in it.
 */
function mostLoad(seconds: number): number {
  return seconds < 60 ? 0.04 : 0.02;
}

/** What the kernel still does after its start, and V8's compilers in the background, is not idling. */
const settlingMs = 30_000;

async function testIdle(id: GuestId, idleSeconds: number): Promise<string> {
  const machine = await power(id, 'real');
  try {
    void machine.run().catch(() => {});
    await machine.console.waitForText(/~# /, { timeoutMs: bootTimeoutMs });
    await delay(settlingMs);
    const load = await hostLoad(() => delay(idleSeconds * 1000));
    const text = `${(load * 100).toFixed(2)} % of a core over ${idleSeconds} s`;
    const most = mostLoad(idleSeconds);
    expect(load < most, () => `an idle guest took ${text}, more than ${most * 100} %`);
    return text;
  } finally {
    await machine.close();
  }
}

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}

function show(text: string | undefined): string {
  return text === undefined ? 'nothing' : JSON.stringify(text);
}

// repeat, revive

interface Life {
  readonly retired: number;
  readonly text: string;
}

/** From power-on to power-off under the virtual clock, with new executors at the given instruction counts. */
async function live(id: GuestId, points: readonly number[]): Promise<Life> {
  const machine = await power(id, 'virtual');
  // A guest that missed what was typed would idle for ever, in no time.
  const limit = setTimeout(() => {
    machine.stop();
  }, bootTimeoutMs);
  try {
    await machine.console.type(typedAhead);
    for (const point of points) {
      const result = await machine.run({ parkAtRetired: point });
      expect(result.kind === 'parked', () => `at ${point} instructions it did not park: ${JSON.stringify(result)}`);
      const { retired } = machine.control.fields;
      expect(retired === point, () => `it parked after ${retired} instructions, not ${point}`);
      await machine.kill();
      await machine.attach();
    }
    const result = await machine.run();
    expect(
      result.kind === 'ended' && result.state === 'poweredOff',
      () => `it ended with ${JSON.stringify(result)} after ${show(machine.console.text.slice(-500))}`,
    );
    const { retired } = machine.control.fields;
    await machine.close();
    return { retired, text: machine.console.text };
  } finally {
    clearTimeout(limit);
    await machine.close();
  }
}

function compare(a: Life, b: Life): void {
  const at = [...a.text].findIndex((character, i) => character !== b.text[i]);
  expect(
    a.text === b.text,
    () => `the output differs at ${at}: ${show(a.text.slice(at, at + 80))} and ${show(b.text.slice(at, at + 80))}`,
  );
  expect(a.retired === b.retired, () => `${a.retired} and ${b.retired} instructions retired`);
}

/** One undisturbed run of each guest serves both tests. */
class Undisturbed {
  readonly #lives = new Map<GuestId, Promise<Life>>();

  of(id: GuestId): Promise<Life> {
    const life = this.#lives.get(id) ?? live(id, []);
    this.#lives.set(id, life);
    return life;
  }
}

async function testRepeat(id: GuestId, undisturbed: Undisturbed): Promise<string> {
  const first = await undisturbed.of(id);
  expect(ready.test(first.text), () => `it did not come up: ${show(first.text.slice(-300))}`);
  compare(first, await live(id, []));
  return `${first.retired} instructions`;
}

async function testRevive(id: GuestId, undisturbed: Undisturbed, count: number): Promise<string> {
  const first = await undisturbed.of(id);
  const seed = Number(process.env.TABVISOR_KILL_SEED ?? Date.now() % 2 ** 31);
  const points = randomPoints(seed, count, first.retired);
  try {
    compare(first, await live(id, points));
  } catch (error) {
    throw new Failure(`${error instanceof Error ? error.message : String(error)} (TABVISOR_KILL_SEED=${seed})`);
  }
  return `${count} executors killed, seed ${seed}`;
}

/** Distinct instruction counts in ascending order (a linear congruential generator, Numerical Recipes' constants). */
function randomPoints(seed: number, count: number, below: number): number[] {
  const points = new Set<number>();
  for (let state = seed >>> 0; points.size < count;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    points.add(1 + Math.floor((state / 2 ** 32) * (below - 1)));
  }
  return [...points].sort((a, b) => a - b);
}

// disk

async function testDisk(id: GuestId): Promise<string> {
  const disks = new TestDisks();
  const machine = await power(id, 'real', await disks.layers());
  try {
    const run = machine.run();
    run.catch(() => {});
    await machine.console.waitForText(/~# /, { timeoutMs: bootTimeoutMs });
    await runDiskScript(machine, disks, expect);
    await machine.pause();
    await machine.kill();
    disks.answer();
    await machine.attach();
    const second = machine.run();
    second.catch(() => {});
    await machine.resume();
    const found = await runCommand(machine.console, 'wait; wc -c </tmp/slow; md5sum -c /mnt/sum', bootTimeoutMs);
    expect(/^8192\n.*random: OK$/.test(found), () => `after its executor was killed it printed ${show(found)}`);
    await machine.console.type('umount /mnt; poweroff -f\n');
    const result = await second;
    expect(result.kind === 'ended' && result.state === 'poweredOff', () => `it ended with ${JSON.stringify(result)}`);
    return 'a file system, damage, delay, and a killed executor';
  } finally {
    await machine.close();
  }
}

// The program.

async function record(): Promise<void> {
  const outputs: Record<string, string[]> = {};
  for (const [id, arch] of Object.entries(guests) as [GuestId, (typeof guests)[GuestId]][]) {
    const path = (name: string): string => decodeURIComponent(imageFile(id, name).pathname);
    const guest = new QemuGuest({
      arch,
      kernel: path('vmlinuz'),
      initrd: path('initrd.gz'),
      commandLine: 'console=ttyS0 cryptomgr.notests',
    });
    try {
      await guest.waitForText(/~# /, { timeoutMs: bootTimeoutMs });
      const balloon = (mib: number): Promise<void> => guest.setBalloon(mib);
      outputs[id] = [
        ...(await runScript(guest, guestScript, bootTimeoutMs)),
        ...(await runBalloonScript(guest, bootTimeoutMs, balloon)),
      ];
    } finally {
      guest.end();
    }
  }
  writeFileSync(expectedFile, `${JSON.stringify(outputs, undefined, 2)}\n`);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      guest: { type: 'string' },
      only: { type: 'string' },
      points: { type: 'string', default: process.env.TABVISOR_KILL_POINTS ?? '4' },
      idle: { type: 'string', default: process.env.TABVISOR_IDLE_SECONDS ?? '20' },
      record: { type: 'boolean', default: false },
    },
  });
  if (values.record) {
    await record();
    return 0;
  }
  const undisturbed = new Undisturbed();
  const tests: Record<string, (id: GuestId) => Promise<string>> = {
    script: testScript,
    idle: (id) => testIdle(id, Number(values.idle)),
    repeat: (id) => testRepeat(id, undisturbed),
    disk: testDisk,
    revive: (id) => testRevive(id, undisturbed, Number(values.points)),
  };
  let passed = 0;
  let failed = 0;
  for (const id of Object.keys(guests) as GuestId[]) {
    for (const [name, test] of Object.entries(tests)) {
      if ((values.guest ?? id) !== id || (values.only ?? name) !== name) continue;
      const start = performance.now();
      const seconds = (): string => `${((performance.now() - start) / 1000).toFixed(1)} s`;
      try {
        const detail = await test(id);
        passed++;
        process.stdout.write(`ok   ${id} ${name}, ${seconds()}: ${detail}\n`);
      } catch (error) {
        failed++;
        const text = error instanceof Failure ? error.message : error instanceof Error ? error.stack : String(error);
        process.stdout.write(`FAIL ${id} ${name}, ${seconds()}: ${text}\n`);
      }
    }
  }
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  return failed === 0 && passed > 0 ? 0 : 1;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`boot-tests: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
