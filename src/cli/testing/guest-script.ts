/**
 * A script that is typed into a guest's shell, command by command, on whatever runs the guest: this project's machine
 * or QEMU. What each command prints is cut out of the console's text by markers that the echo of the typed line does
 * not contain.
 */

/** A console with a guest's shell at the other end. */
export interface ShellConsole {
  readonly position: number;
  type(text: string): Promise<void> | void;
  waitForText(
    pattern: RegExp,
    options: { from?: number; timeoutMs?: number },
  ): Promise<{ groups: readonly (string | undefined)[] }>;
}

/** What the issue asks of a booted guest; every line prints the same on any PC of the guest's kind. */
export const guestScript: readonly string[] = [
  'uname -m',
  "grep -E '^(processor|siblings|cpu cores|fpu|fpu_exception|wp)' /proc/cpuinfo",
  'head -c 8388608 /dev/zero | md5sum',
  'i=0; while [ $i -lt 200 ]; do /bin/true || echo failed; i=$((i+1)); done; echo forks $i',
  `awk 'BEGIN { for (i = 1; i <= 20000; i++) { s += i * i % 7 / 3; t = t * 1.0000001 + i / 3 } printf "%.9f %.9g %d\\n", s, t, 2147483647 }'`,
  `awk 'BEGIN { a = 1; b = 1; for (i = 0; i < 70; i++) { c = a + b; a = b; b = c } print a, 1 / 3, 10 % 3, int(-7.5) }'`,
  'seq 1 2000 | sort -rn | head -n 3 | tr "\\n" " "',
  'printf "%s" tabvisor | sha256sum',
  'seq 1 5000 | gzip | gunzip | md5sum',
];

/** Runs the commands; what each printed, without its last line break. */
export async function runScript(
  console: ShellConsole,
  commands: readonly string[],
  timeoutMs: number,
): Promise<string[]> {
  // Kernel messages would land between a command and its marker.
  await runCommand(console, 'dmesg -n 1', timeoutMs);
  const outputs: string[] = [];
  for (const command of commands) outputs.push(await runCommand(console, command, timeoutMs));
  return outputs;
}

/** MiB that the balloon is asked for, one after the other; each time the guest says what it has now. */
const balloonSteps = [64, 16, 0] as const;

/** What the guest makes of its balloon, in differences: how much RAM it has at all depends on the machine. */
const balloonScript: readonly string[] = [
  'echo $((before - $(total))) kB less',
  "awk '/^balloon_(in|de)flate/' /proc/vmstat",
  '[ "$(md5sum < /tmp/kept)" = "$sum" ] && echo kept',
];

/** @param setBalloon resolves when the guest has given up so many MiB in all */
export async function runBalloonScript(
  console: ShellConsole,
  timeoutMs: number,
  setBalloon: (mib: number) => Promise<void>,
): Promise<string[]> {
  const outputs: string[] = [];
  const run = async (command: string): Promise<void> => {
    outputs.push(await runCommand(console, command, timeoutMs));
  };
  await run("total() { awk '/^MemTotal/ { print $2 }' /proc/meminfo; }; before=$(total)");
  await run('head -c 20971520 /dev/urandom > /tmp/kept; sum=$(md5sum < /tmp/kept)');
  await run('cd /sys/bus/virtio/devices/virtio0; cat device vendor status; cd');
  for (const mib of balloonSteps) {
    await setBalloon(mib);
    for (const command of balloonScript) await run(command);
  }
  await run('rm /tmp/kept');
  return outputs;
}

export async function runCommand(console: ShellConsole, command: string, timeoutMs: number): Promise<string> {
  const from = console.position;
  await console.type(`echo "@be"gin@; ${command}; echo "@en"d$?@\n`);
  const { groups } = await console.waitForText(/@begin@\r\n([^]*?)@end(\d+)@/, { from, timeoutMs });
  const [output = '', status = ''] = groups;
  if (status !== '0') throw new Error(`"${command}" ended with status ${status}: ${output}`);
  return output.replaceAll('\r\n', '\n').replace(/\n$/, '');
}
