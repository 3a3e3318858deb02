/** Takes samples from machines: boots them, gives them calls of `bench`, and reads what they print. */
import type { Counters, Machine, Peer, Session } from './peers/peer.ts';
import { load } from './machine-info.ts';
import type { GuestDescription, Sample } from './samples.ts';

const bootTimeoutMs = 600_000;
const promptTimeoutMs = 60_000;
/** For one row at full scale on the slowest peer. */
const rowTimeoutMs = 1_200_000;

/** What the init of every catalogue guest prints. */
const ready = /^tabvisor: guest ready\n/m;
const uptime = /^(\d+\.\d\d) \d+\.\d\d\n/m;
const result = /^BENCH (\S+) (\S+) ([\d.]+) (\S+)\n/m;
/** Guests print milliseconds; nothing takes no time. */
const leastSeconds = 0.0005;

type Key = Pick<Sample, 'section' | 'arch' | 'peer' | 'round'>;

function rate(before: Counters | undefined, after: Counters | undefined): Partial<Sample> {
  if (before === undefined || after === undefined) return {};
  const instructions = after.instructions - before.instructions;
  const busySeconds = after.busySeconds - before.busySeconds;
  return busySeconds > 0
    ? { instructions, millionInstructionsPerSecond: instructions / busySeconds / 1e6 }
    : { instructions };
}

/** Boots to the ready line. */
export async function measureBoot(peer: Peer, machine: Machine, key: Key & { row: string }): Promise<Sample> {
  const session = await peer.start(machine);
  try {
    const { atMs } = await session.console.next(ready, bootTimeoutMs);
    const seconds = (atMs - session.poweredOnMs) / 1000;
    const counters = await session.counters?.();
    const none = { instructions: 0, busySeconds: 0 };
    return { ...key, seconds, hostSeconds: seconds, ...rate(counters && none, counters), load: load() };
  } finally {
    await session.stop();
  }
}

/** Boots to the shell's prompt. */
export async function startShell(peer: Peer, machine: Machine): Promise<Session> {
  const session = await peer.start(machine);
  try {
    await session.console.next(ready, bootTimeoutMs);
    await session.console.next(/[#$] /, promptTimeoutMs);
    return session;
  } catch (error) {
    await session.stop();
    throw error;
  }
}

/** Asks a guest at its prompt what it runs on. */
export async function describeGuest(session: Session, key: Pick<Sample, 'arch' | 'peer'>): Promise<GuestDescription> {
  const { console } = session;
  const source = '/sys/devices/system/clocksource/clocksource0/current_clocksource';
  await session.type(
    `grep -m1 '^model name' /proc/cpuinfo; grep -m1 '^bugs' /proc/cpuinfo; echo clock: $(cat ${source})\n`,
  );
  const cpu = await console.next(/^model name\s*: *(.*)\n/m, promptTimeoutMs);
  const bugs = await console.next(/^bugs\s*: *(.*)\n/m, promptTimeoutMs);
  const clock = await console.next(/^clock: (.*)\n/m, promptTimeoutMs);
  return { ...key, cpu: cpu.match[1] ?? '', bugs: (bugs.match[1] ?? '').trim(), clockSource: clock.match[1] ?? '' };
}

/** One call of `bench` in a guest at its prompt: a sample for each of its rows. */
export async function measureCall(
  session: Session,
  rows: readonly string[],
  options: { readonly key: Key; readonly scale: string },
): Promise<Sample[]> {
  const { console } = session;
  let before = await session.counters?.();
  await session.type(`cat /proc/uptime; SCALE=${options.scale} bench ${rows.join(' ')}; cat /proc/uptime\n`);
  const start = await console.next(uptime, promptTimeoutMs);
  let lastMs = start.atMs;
  const samples: Sample[] = [];
  for (const row of rows) {
    const { match, atMs } = await console.next(result, rowTimeoutMs);
    const [, , name = '', seconds = '', checksum = ''] = match;
    if (name !== row) throw new Error(`the guest measured ${name} instead of ${row}`);
    const after = await session.counters?.();
    samples.push({
      ...options.key,
      row,
      seconds: Math.max(Number(seconds), leastSeconds),
      hostSeconds: (atMs - lastMs) / 1000,
      checksum,
      ...rate(before, after),
      load: load(),
    });
    lastMs = atMs;
    before = after;
  }
  const end = await console.next(uptime, promptTimeoutMs);
  const guestSeconds = Number(end.match[1]) - Number(start.match[1]);
  const clockRate = guestSeconds / ((end.atMs - start.atMs) / 1000);
  return samples.map((sample) => ({ ...sample, clockRate }));
}

/** Runs an image of decode-once.ts. @param instructions between its two lines. */
export async function measureDecode(
  peer: Peer,
  machine: Machine,
  key: Key & { row: string; instructions: number },
): Promise<Sample> {
  const session = await peer.start(machine);
  try {
    const begin = await session.console.next(/begin\n/, bootTimeoutMs);
    const end = await session.console.next(/end\n/, rowTimeoutMs);
    const seconds = (end.atMs - begin.atMs) / 1000;
    const millionInstructionsPerSecond = key.instructions / seconds / 1e6;
    return { ...key, seconds, hostSeconds: seconds, millionInstructionsPerSecond, load: load() };
  } finally {
    await session.stop();
  }
}
